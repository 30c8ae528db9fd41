"""Transposition: a linear program read backwards.

linear_transpose : (a -o b) -> b -o a

Equations without a linear input are evaluated forward (this is how recomputation happens too); the others are
transposed in reverse order, and the cotangents of a variable that is used several times add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.core.config import cached_by_budget
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.tracing import is_traced, state
from minijvp.core.types import is_inexact
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import add
from minijvp.transforms.borders import from_border, leaf_namer, require_same_tree, to_border
from minijvp.transforms.linearity import first_error, zero_constants
from minijvp.transforms.manual_axes import require_no_sum
from minijvp.transforms.staging import abstract_types, stage


def transpose_flat(jaxpr: Jaxpr, linear: Sequence[bool], args: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """The cotangents of the inputs that are `linear`; `args` are the values of the others (ignored for linear ones).

    Cotangents are per output; None is zero, on either side.
    """
    # A variable is linear if it has no value here.
    values: dict[Atom, Any] = dict(jaxpr.constants)
    values.update([(v, x) for v, x, flag in zip(jaxpr.inputs, args, linear, strict=True) if not flag])
    received: dict[Atom, Any] = {}
    outer = state.source
    e: Equation | None = None
    try:
        pending = _evaluate_known(jaxpr, values)
        for v, ct in zip(jaxpr.outputs, cotangents, strict=True):
            if ct is not None and type(v) is Var and v not in values:
                received[v] = add(received[v], ct) if v in received else ct
        for e in reversed(pending):
            if len(e.outputs) == 1:
                ct = received.pop(e.outputs[0], None)
                if ct is None:
                    continue
                cts = (ct,)
            else:
                cts = tuple([received.pop(v, None) for v in e.outputs])
                if all([ct is None for ct in cts]):
                    continue
            state.source = e.source or outer
            args = [v.value if type(v) is Literal else values.get(v, v.type) for v in e.inputs]
            found = e.primitive.transpose(cts if e.primitive.returns_tuple else cts[0], *args, **e.params)
            for v, ct in zip(e.inputs, found if type(found) is tuple else (found,)):
                if ct is not None and type(v) is Var and v not in values:
                    received[v] = add(received[v], ct) if v in received else ct
    except (TypeError, ValueError) as error:
        if e is not None and is_about_linearity(error):
            raise not_linear(e) from error
        raise
    finally:
        state.source = outer
    return [received.get(v) for v, flag in zip(jaxpr.inputs, linear, strict=True) if flag]


def is_about_linearity(error: Exception) -> bool:
    """Whether a transpose rule failed for want of a value: there is no rule, or it used an argument that is linear."""
    return (isinstance(error, MissingRuleError) and ", at " not in error.what) or "ArrayType" in str(error)


def not_linear(e: Equation) -> MissingRuleError:
    """The error for an equation that cannot be transposed."""
    line = f", at {e.source}: {e.source.text}" if e.source else ""
    return MissingRuleError(
        f"the primitive {e.primitive.name!r} has no transpose rule for "
        f"{', '.join([repr(v.type) for v in e.inputs])}{line}.",
        "It is not linear in all of these that are not known, or nobody has said how it is transposed.",
        "Transpose linear functions only (x * c with a known c, and not x * x): for another function, vjp transposes "
        "its derivative. A primitive that is linear needs a transpose rule where it is defined.",
    )


def _evaluate_known(jaxpr: Jaxpr, values: dict[Atom, Any]) -> list[Equation]:
    """Evaluate what no linear input reaches into `values`; the linear equations are returned."""
    pending = []
    outer = state.source
    for e in jaxpr.equations:
        for v in e.inputs:
            if type(v) is Var and v not in values:
                pending.append(e)
                break
        else:
            state.source = e.source or outer
            out = e.primitive(*[v.value if type(v) is Literal else values[v] for v in e.inputs], **e.params)
            values.update(zip(e.outputs, out if type(out) is tuple else (out,), strict=True))
    return pending


@cached_by_budget(maxsize=4096)
def transpose_jaxpr(
    jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...]
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The transposed program of an open jaxpr, and which linear inputs get a cotangent.

    It takes the inputs that are not `linear`, then a cotangent for each output that is `nonzero`.
    """
    return new_transpose(jaxpr, linear, nonzero)


def new_transpose(
    jaxpr: Jaxpr, linear: Sequence[bool], nonzero: Sequence[bool], transpose: Callable[..., list[Any]] = transpose_flat
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """What `transpose_jaxpr` returns, made anew (for programs that will not be seen again), by `transpose`."""
    types = [t for t, flag in zip(jaxpr.in_types, linear, strict=True) if not flag]
    ct_types = [t.strong() for t, n in zip(jaxpr.out_types, nonzero, strict=True) if n]
    out_nonzero: tuple[bool, ...] = ()

    def fun(*inputs: Any) -> list[Any]:
        nonlocal out_nonzero
        known, incoming = iter(inputs[: len(types)]), iter(inputs[len(types) :])
        args = [None if flag else next(known) for flag in linear]
        cts = transpose(jaxpr, linear, args, [next(incoming) if n else None for n in nonzero])
        out_nonzero = tuple(ct is not None for ct in cts)
        return [ct for ct in cts if ct is not None]

    return stage(fun, types + ct_types, f"transpose({jaxpr.name})" if jaxpr.name else ""), out_nonzero


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """The transpose of a linear function: the map from cotangents of its result to those of its arguments.

    linear_transpose : (a -o b) -> b -o a

    Args:
        fun: linear in all its arguments together, pytrees of arrays; returns a pytree of arrays.
        primals: examples of the arguments, of which only shapes and dtypes matter (`jax.ShapeDtypeStruct` will do).

    The result takes a cotangent of the tree, shapes and dtypes of `fun`'s result, and returns a tuple with one for
    each argument.

    Raises ArgumentError for arguments that are not floating, MissingRuleError if `fun` is not linear.

    >>> import minijvp
    >>> [float(ct) for ct in minijvp.linear_transpose(lambda x, y: 2 * x + 3 * y, 0.0, 0.0)(1.0)]
    [2.0, 3.0]
    """
    trees.require_callable(fun, "linear_transpose")
    leaves, tree = tree_flatten(primals)
    types = abstract_types(leaves, leaf_namer(primals, "primals"))
    for i, t in enumerate(types):
        if not is_inexact(t.dtype):
            raise ArgumentError(
                f"linear_transpose received {t!r} for {leaf_namer(primals, 'primals')(i)}.",
                "Integers and booleans have no cotangents.",
                "Close over arguments that are not floating.",
            )
    flat_fun = trees.FlatFunction(fun, tree)
    jaxpr = stage(flat_fun.positional, types, trees.function_name(fun))
    for i, t in enumerate(jaxpr.out_types):
        if not is_inexact(t.dtype):
            raise ArgumentError(
                f"linear_transpose of {flat_fun.name}: leaf {i} of the result is {t!r}.",
                "Integers and booleans have no cotangents.",
                "Return floating results only.",
            )
    # Other operations that are not linear are found when it is transposed.
    nothing, everything = (lambda e, linear: None), (lambda e, linear: e.outputs)
    error = first_error(jaxpr, set(jaxpr.inputs), zero_constants(jaxpr), nothing, everything)
    if error is not None:
        raise MissingRuleError(f"linear_transpose of {flat_fun.name}: {error.what}", error.why, error.do)

    def transposed(ct: Any) -> tuple[Any, ...]:
        given, ct_tree = tree_flatten(ct)
        require_same_tree(ct_tree, flat_fun.out_tree, "the cotangent", "the result of the function")
        cts = from_border(given, jaxpr.out_types, "cotangent", leaf_namer(ct, "cotangent"))
        n = len(types)
        found = transpose_flat(jaxpr, [True] * n, [None] * n, cts)
        examples = [x for x in leaves if is_traced(x)]  # those that are types do not say how they vary
        require_no_sum("linear_transpose", examples, [c for c in found if c is not None], lambda i: f"argument {i}")
        return tree_unflatten(tree, [to_border(c, t) for c, t in zip(found, types, strict=True)])

    return transposed
