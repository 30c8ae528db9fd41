"""Every parameter of JAX's functions: there, with the same place and default, and honoured or refused by its name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import Tracer, lax
from minijvp.interop.surface import is_function, public_names
from minijvp.numpy.updates import IndexUpdate, write
from tests.interop.test_surfaces import MODULES, ours, theirs

Parameter = inspect.Parameter
BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)

MORE = {
    "jax.lax.scan": {"checkpoint": "memory for time in reverse mode", "progress": "a bar"},
    "jax.lax.map": {"progress": "a bar"},
    "jax.lax.while_loop": {"max_steps": "reverse mode by a scan", "progress": "a bar"},
    "jax.lax.fori_loop": {"max_steps": "reverse mode by a scan", "progress": "a bar"},
}
"""Parameters that JAX's functions do not have, with what they are for."""

NO_OPERAND = "a value of its own says that there is none"
OTHER_DEFAULTS = {"jax.lax.cond.operand": NO_OPERAND, "jax.lax.switch.operand": NO_OPERAND}

TYPES = {"DotDimensionNumbers", "Key"}
"""Names of types, which are called by nobody."""

OLD_NAMES = {"minijvp.numpy.clip"}
"""Functions whose first argument may be missing in JAX, where it had another name once."""

NEWER = {"top_k": {"is_stable"}, "argsort": {"dtype"}, "erfc": {"accuracy"}}
"""Parameters of definitions that only a newer JAX has."""


def described(function: Any, left_out: Any = ()) -> list[tuple[str, Any, str]]:
    """The parameters of a function: their names, kinds and defaults."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, repr(p.default)) for p in parameters if p.name not in left_out]


@pytest.mark.parametrize("module", MODULES)
def test_signatures_are_those_of_jax(module: str) -> None:
    for name in public_names(theirs(module)):
        original, mine = getattr(theirs(module), name), getattr(ours(module), name)
        if not is_function(original) or original is mine or name in TYPES:
            continue
        full_name = f"{module}.{name}"
        other = [key.rpartition(".")[2] for key in OTHER_DEFAULTS if key.startswith(f"{full_name}.")]
        found, wanted = described(mine, [*MORE.get(full_name, ()), *other]), described(original, other)
        assert found == wanted, full_name
        assert all(inspect.signature(mine).parameters[k].default is not Parameter.empty for k in other)


# Functions that are defined here


def surfaces() -> Iterator[tuple[str, Any, Any]]:
    """The functions that are JAX's where nothing is traced, with their definitions."""
    for module in (mnp, lax):
        for name in module.__all__:
            function = getattr(module, name)
            definition = inspect.unwrap(function) if callable(function) else None
            if "__signature__" in getattr(function, "__dict__", ()) and definition.__module__.startswith("minijvp"):
                yield f"{module.__name__}.{name}", function, definition


SURFACES = list(surfaces())


def parameters_of(definition: Any) -> list[Parameter]:
    return list(inspect.signature(definition, follow_wrapped=False).parameters.values())


@pytest.mark.parametrize(("name", "function", "definition"), SURFACES, ids=[name for name, *_ in SURFACES])
def test_definitions_have_the_places_and_defaults_of_jax(name: str, function: Any, definition: Any) -> None:
    wanted, found = inspect.signature(function).parameters, parameters_of(definition)
    places = [p for p in found if p.kind in BY_POSITION]
    any_place = any(p.kind is Parameter.VAR_POSITIONAL for p in (*found, *wanted.values()))
    in_jax = [p for p in wanted.values() if p.kind in BY_POSITION]
    assert any_place or len(places) == len(in_jax)
    for p, original in zip(places, in_jax, strict=False):
        assert repr(p.default) == repr(original.default) or name in OLD_NAMES, p
        # A name by which the definition is called is JAX's: others go by position.
        assert p.kind is Parameter.POSITIONAL_ONLY or p.name == original.name, p
    for p in found:
        if p.kind is Parameter.KEYWORD_ONLY and p.name not in NEWER.get(function.__name__, ()):
            assert wanted[p.name].kind is Parameter.KEYWORD_ONLY, p
        if p.kind is Parameter.KEYWORD_ONLY and p.name in wanted:
            assert repr(p.default) == repr(wanted[p.name].default), p


def not_honoured() -> Iterator[tuple[str, Any, str]]:
    """The keywords of JAX that definitions do not have."""
    for name, function, definition in SURFACES:
        found = parameters_of(definition)
        known = {p.name for p in found} - {"out_sharding"} | {"device", "sharding"}  # of every function
        for p in inspect.signature(function).parameters.values():
            takes_any = any(q.kind is Parameter.VAR_KEYWORD for q in found)
            if p.kind is Parameter.KEYWORD_ONLY and p.name not in known and not takes_any:
                yield name, function, p.name


def refused(call: Callable[[], Any], name: str) -> None:
    """Assert that an argument is refused by its name while something is traced."""
    with pytest.raises((minijvp.ArgumentError, minijvp.MissingRuleError, TypeError), match=name):
        minijvp.jit(lambda x: (call(), x))(1.0)


def test_what_is_not_honoured_is_refused_by_name() -> None:
    cases = list(not_honoured())
    assert len({name for *_, name in cases}) >= 6
    for name, function, keyword in cases:
        parameters = inspect.signature(function).parameters.values()
        needed = [object() for p in parameters if p.kind in BY_POSITION and p.default is Parameter.empty]
        with pytest.raises(minijvp.ArgumentError, match=rf"\b{keyword}\b") as caught:
            minijvp.jit(lambda x: (function(*needed, **{keyword: object()}), x))(1.0)
        assert str(caught.value).count("\n") == 2, name
        with pytest.raises(TypeError, match="not_a_keyword"):
            minijvp.jit(lambda x: (function(*needed, not_a_keyword=1), x))(1.0)


X = jnp.ones(3)
OPTIONS: dict[str, Callable[[Any], Any]] = {
    "axis_index_groups": lambda x: [
        getattr(lax, name)(x, "i", axis_index_groups=[[0]]) for name in ("psum", "pmean", "pmax", "pmin", "all_gather")
    ],
    "axis_index_groups  ": lambda x: lax.all_to_all(x[None], "i", 0, 0, axis_index_groups=[[0]]),
    "axis_index_groups   ": lambda x: lax.psum_scatter(x[None], "i", axis_index_groups=[[0]]),
    "to": lambda x: lax.all_gather(x, "i", to="reduced"),
    "out": lambda x: mnp.stack([x, x], 0, x),
    "out ": lambda x: mnp.compress(np.array([True]), x, out=x),
    "out_sharding": lambda x: x.at[0].get(out_sharding=X.sharding),
    "out_sharding ": lambda x: x.at[0].set(1.0, out_sharding=X.sharding),
    "out_sharding  ": lambda x: x.reshape(3, 1, out_sharding=X.sharding),
    "out_sharding   ": lambda x: x.flatten(out_sharding=X.sharding),
    "out_sharding    ": lambda x: lax.conv_general_dilated(
        x[None, None], x[None, None], (1,), "SAME", out_sharding=X.sharding
    ),
    "strategy": lambda x: x.at[0].get(strategy="gather"),
    "copy": lambda x: mnp.meshgrid(x, x, copy=False),
    "kind": lambda x: mnp.sort(x, kind="stable"),
    "order": lambda x: mnp.array(x, order="C"),
    "order ": lambda x: mnp.asarray([x, x], order="F"),
    "order  ": lambda x: x.copy("F"),
    "device": lambda x: mnp.zeros(3, device="cpu"),
    "concrete": lambda x: minijvp.checkpoint(mnp.sin, concrete=True)(x),
    "spmd_axis_name": lambda x: minijvp.vmap(mnp.sin, spmd_axis_name=[[]])(x),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_only_some_values_of_mean_something_are_refused(name: str) -> None:
    mapped = minijvp.vmap(OPTIONS[name], axis_name="i")
    with pytest.raises((minijvp.ArgumentError, minijvp.MissingRuleError, NotImplementedError), match=name.strip()):
        minijvp.jit(mapped)(X[None])


def test_keywords_go_by_position_where_definitions_have_other_names() -> None:
    x, y = jnp.array([0.5, 0.25]), jnp.array([2.0, 3.0])
    for call in (
        lambda np_, lax: np_.fmax(x1=x, x2=y),
        lambda np_, lax: np_.trunc(x=y),
        lambda np_, lax: lax.sub(y=x, x=y),
        lambda np_, lax: lax.clamp(max=y, min=x, x=x + y),
        lambda np_, lax: lax.igamma(a=x, x=y),
        lambda np_, lax: np_.take(indices=np.array([1]), a=x),
        lambda np_, lax: np_.einsum("i,i", x, y, optimize="optimal", _dot_general=jax.lax.dot_general),
        lambda np_, lax: np_.zeros(2, device=jax.devices()[0]) + x,
        lambda np_, lax: np_.astype(x, "int32", device=None),
        lambda np_, lax: lax.full_like(x, 3.0, sharding=X.sharding),
    ):
        found = minijvp.jit(lambda z: (call(mnp, lax), z)[0])(1.0)
        np.testing.assert_allclose(found, call(jnp, jax.lax), rtol=1e-12)


# Methods and transformations


def parameters_by_name(function: Any) -> dict[str, tuple[Any, str]]:
    """Kind and default of each parameter but the first, which is the object."""
    return {name: (kind, default) for name, kind, default in described(function)[1:]}


def test_methods_have_the_parameters_of_jax() -> None:
    names = [n for n in public_names(jax.Array) if callable(getattr(jax.Array, n)) and hasattr(Tracer, n)]
    assert len(names) >= 40  # tests/numpy/test_methods.py says which there are not, and why
    for name in names:
        found, wanted = (parameters_by_name(getattr(cls, name)) for cls in (Tracer, jax.Array))
        assert {k: found.get(k) for k in wanted} == wanted, name
    options = {k: p for k, p in parameters_by_name(write).items() if p[0] is Parameter.KEYWORD_ONLY}
    updates = type(X.at[0])
    for name in ("get", "set", "add", "subtract", "multiply", "mul", "divide", "power", "min", "max", "apply"):
        found, wanted = parameters_by_name(getattr(IndexUpdate, name)), parameters_by_name(getattr(updates, name))
        found |= options if found.pop("options", None) else {}
        found = {k: p for k, p in found.items() if k != "strategy" or k in wanted}  # of JAX 0.12
        assert found == wanted, name


GONE = "JAX has deprecated it"
INSIDE = "an experiment of JAX for its own programs"
ABSENT = {
    "jit": {"device": GONE, "backend": GONE},
    "vmap": {"sum_match": INSIDE},
    "grad": {"reduce_axes": GONE},
    "value_and_grad": {"reduce_axes": GONE},
    "vjp": {"reduce_axes": GONE, "saveable_args": INSIDE, "in_nzs": INSIDE},
    "linearize": {"in_nzs": INSIDE},
    "linear_transpose": {"reduce_axes": GONE},
    "make_jaxpr": {"axis_env": "axes get their names from vmap"},
    "custom_vjp.defvjp": {"generic_batching": INSIDE},
}
"""Parameters of JAX's transformations that ours do not have, and so refuse by their names, with the reasons."""

NOT_GIVEN = "JAX says by a value of its own that it was not given"
DECORATOR = "without it, the result is a decorator"
OWN_DEFAULTS = {
    "jit.fun": DECORATOR,
    "checkpoint.fun": DECORATOR,
    "remat.fun": DECORATOR,
    "jit.in_shardings": NOT_GIVEN,
    "jit.out_shardings": NOT_GIVEN,
    "checkpoint.concrete": NOT_GIVEN,
    "remat.concrete": NOT_GIVEN,
}
OWN = {
    "checkpoint": {"memory_budget", "concrete"},
    "grad": {"taps", "memory_budget", "nan_safe", "frozen", "non_differentiable"},
    "hessian": {"chunk_size"},
    "jacfwd": {"chunk_size"},
    "jacobian": {"mode", "chunk_size"},
    "jacrev": {"chunk_size"},
    "jvp": {"nan_safe"},
    "linearize": {"memory_budget", "nan_safe"},
    "remat": {"memory_budget", "concrete", "static_argnames"},
    "value_and_grad": {"taps", "memory_budget", "nan_safe", "frozen", "non_differentiable"},
    "vjp": {"memory_budget", "nan_safe", "frozen"},
}
"""Parameters that only ours have, besides those of JAX in another version."""

TRANSFORMATIONS = """
    jit vmap grad value_and_grad jvp vjp linearize linear_transpose jacfwd jacrev jacobian hessian checkpoint remat
    make_jaxpr eval_shape custom_jvp custom_vjp custom_jvp.defjvp custom_jvp.defjvps custom_vjp.defvjp
""".split()


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformations_have_the_parameters_of_jax(name: str) -> None:
    mine, original = minijvp, jax
    for part in name.split("."):
        mine, original = getattr(mine, part), getattr(original, part)
    found, wanted = inspect.signature(mine).parameters, inspect.signature(original).parameters
    absent = ABSENT.get(name, {})
    assert {k for k in wanted if k not in found} <= {*absent}
    assert {k for k in found if k not in wanted} <= OWN.get(name, set())
    assert not set(absent) & set(found)
    for k in absent:
        needed = [None for p in found.values() if p.kind in BY_POSITION and p.default is Parameter.empty]
        with pytest.raises(TypeError, match=k):
            mine(*needed, **{k: None})
    places = [[p for p in signature.values() if p.kind in BY_POSITION] for signature in (found, wanted)]
    assert [p.name for p in places[0]] == [p.name for p in places[1] if p.name not in absent][: len(places[0])]
    for k in set(wanted) & set(found):
        if f"{name}.{k}" not in OWN_DEFAULTS:
            assert repr(found[k].default) == repr(wanted[k].default), k


# What is taken is read


ROOT = Path(minijvp.__file__).parent
READ_ELSEWHERE = "`surface` takes it before"
SAME_VALUES = "the values are the same without it"
OF_A_CACHE = "what the result depends on, for its cache"
UNREAD = {
    **dict.fromkeys(
        [f"numpy/creation.py {n} device" for n in "zeros ones empty full arange eye asarray astype".split()]
        + [f"numpy/creation.py {n}_like device" for n in "zeros ones empty full".split()],
        READ_ELSEWHERE,
    ),
    "numpy/manipulation.py reshape copy": "unused in JAX too: whether there is a copy, the compiler decides",
    "numpy/operators.py itself args": "of __deepcopy__, and of nothing else",
    "numpy/operators.py array_namespace api_version": "there is one namespace",
    "numpy/promotion.py _join x64": "part of the key of a cache",
    "numpy/promotion.py _inexact x64": "part of the key of a cache",
    "numpy/reductions.py _total_dtype x64": "part of the key of a cache",
    "numpy/reductions.py _cumulative_dtype x64": "part of the key of a cache",
    "lax/reductions.py top_k is_stable": "the result is stable in any case",
    "interop/first_order.py top_k is_stable": "the result is stable in any case",
    "interop/first_order.py empty2 memory_space": SAME_VALUES,
    "interop/first_order.py device_put srcs": SAME_VALUES,
    "interop/first_order.py device_put copy_semantics": SAME_VALUES,
    "interop/first_order.py sharding_constraint context_mesh": "the sharding has its mesh",
    "interop/first_order.py no_value inputs": "it has no results",
    "interop/first_order.py no_value params": "it has no results",
    "interop/first_order.py polynomial unroll": SAME_VALUES,
    **{
        f"interop/references.py {name}": "of every operation on a reference"
        for name in ("every_other inputs", "free_ref equation", "free_ref reference", "freeze equation")
    },
    **{f"numpy/operators.py of_memory.method {name}": "a tracer has no memory" for name in ("args", "kwargs")},
    "lax/control_flow.py scan _split_transpose": SAME_VALUES,
    "interop/collectives.py all_to_all tiled": "JAX has given the operand the axes for it",
    "numpy/creation.py default_of_tri x64": OF_A_CACHE,
    "numpy/makers.py kind_of_result x64": OF_A_CACHE,
    "scipy/special.py _absorbing.in_y out": "of every derivative",
    "interop/higher_order.py remat_opt fun_jaxpr_thunk": "the function with fewer results",
    "api/gradients.py gradient_flat user_fun": "a faster one tells functions apart by it",
    "interop/higher_order.py remat_opt num_consts": "of the function",
    "interop/higher_order.py remat_opt num_res": "of the function",
    "custom_rules/decorators.py CustomRules.__get__ owner": "of every descriptor",
    "custom_rules/decorators.py CustomRules.defvjp optimize_remat": "residuals that nobody reads are never computed",
}
"""Parameters that functions do not read, with the reasons why their results do not depend on them."""

PUBLIC_FILES = ["calls/jit.py", "calls/remat.py", "custom_rules/decorators.py", "derivatives/jacobians.py"]
PUBLIC_FILES += [f"api/{n}.py" for n in ("batching", "gradients", "linear_maps", "programs")]


def unread(path: Path) -> Iterator[str]:
    """The parameters of functions, of rules of primitives and traces excepted, that their bodies do not read."""

    def visit(node: ast.AST, prefix: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            is_function = isinstance(child, (ast.FunctionDef, ast.Lambda))
            name = prefix + getattr(child, "name", "<lambda>") if is_function else prefix
            if isinstance(child, ast.FunctionDef) and child.name != "__getattr__":
                a = child.args
                named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *[p for p in (a.vararg, a.kwarg) if p]]
                reads = {n.id for n in ast.walk(child) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
                place = path.relative_to(ROOT).as_posix()
                yield from [f"{place} {name} {p.arg}" for p in named if p.arg not in {*reads, "self", "cls"}]
            bases = {ast.unparse(b) for b in child.bases} if isinstance(child, ast.ClassDef) else set()
            if not bases & {"Primitive", "Trace", "Exception"} and getattr(child, "name", "") != "axis_named":
                inside = f"{name}." if is_function else f"{child.name}." if isinstance(child, ast.ClassDef) else prefix
                yield from visit(child, inside)

    return visit(ast.parse(path.read_text()), "")


def test_what_is_taken_is_read() -> None:
    files = [f for part in ("numpy", "lax", "nn", "scipy", "interop") for f in sorted((ROOT / part).rglob("*.py"))]
    found = {name for path in [*files, *[ROOT / f for f in PUBLIC_FILES]] for name in unread(path)}
    assert found == set(UNREAD)
