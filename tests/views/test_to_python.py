"""Code that a program becomes gives the numbers of the program."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.calls.shard_map_programs import shard_map_primitive
from minijvp.core.types import PYTHON_SCALARS, is_inexact
from minijvp.interop.foreign import foreign
from minijvp.tools.samples import arrays, call, fix, require_close, tolerance
from minijvp.views.python.code import PythonCode, to_python
from tests.interop.primitives import scaled_sine
from tests.samples import Sample, all_samples


def kept_samples() -> list[Sample]:
    """The first and the last sample of each primitive: they differ most. Libraries and meshes have no text."""
    by_name: dict[str, list[Sample]] = {}
    for sample in all_samples():
        if sample.primitive in (foreign, shard_map_primitive):
            continue
        by_name.setdefault(sample.primitive.name, []).append(sample)
    return [s for group in by_name.values() for s in {id(s): s for s in (group[0], group[-1])}.values()]


@pytest.mark.parametrize("sample", kept_samples(), ids=str)
def test_every_primitive_is_written(sample: Sample) -> None:
    xs = arrays(sample)
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    fun, args = fix(call(sample), xs, traced), [xs[i] for i in traced]
    code = to_python(lambda *given: fun(*given))(*args)
    assert "minijvp" not in without_comments(code.source)
    require_close(code.compile()(*args), fun(*args), tolerance(sample), code.source)


def test_an_operation_of_a_library_is_refused() -> None:
    fun = minijvp.from_jax(lambda x: scaled_sine.bind(x, x))
    with pytest.raises(minijvp.MissingRuleError, match="to_python cannot write"):
        to_python(fun)(jnp.ones(2))


def test_a_mesh_of_devices_is_refused() -> None:
    mesh = jax.make_mesh((1,), ("i",))
    double = minijvp.shard_map(lambda x: 2 * x, mesh=mesh, in_specs=PartitionSpec("i"), out_specs=PartitionSpec("i"))
    with pytest.raises(minijvp.MissingRuleError, match="to_python cannot write shard_map"):
        to_python(double)(jax.device_put(jnp.ones(2), jax.NamedSharding(mesh, PartitionSpec("i"))))


def check(fun: Any, *args: Any) -> PythonCode:
    """The code, which must give the numbers, the dtypes and the tree of the function."""
    code = to_python(fun)(*args)
    expected, actual = fun(*args), code.compile()(*args)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    require_close(jax.tree.leaves(actual), jax.tree.leaves(expected), 1e-12, code.source)
    assert "minijvp" not in without_comments(code.source)
    return code


def without_comments(source: str) -> str:
    """The code alone: the comments quote lines of whoever traced a program first."""
    return re.sub("#.*", "", source)


def f(x1, x2, x3):
    return 6 * (x1 + x2**2 * x3)


def loss(params, x, y):
    hidden = mnp.tanh(x @ params["w"] + params["b"])
    return mnp.mean((hidden.sum(axis=1) - y) ** 2)


def rnn(w, xs):
    def step(h, x):
        h = mnp.tanh(w @ h + x)
        return h, h.sum()

    h, ys = lax.scan(step, mnp.zeros(3), xs)
    return (h * h).sum() + ys.sum()


def root(a):
    return lax.while_loop(lambda x: abs(x * x - a) > 1e-9 * a, lambda x: (x + a / x) / 2, a)


def choice(x):
    return lax.cond(x.sum() > 0, lambda x: mnp.sin(x).sum(), lambda x: (x * x).sum(), x)


@minijvp.custom_vjp
def clipped(x):
    return x * x


clipped.defvjp(lambda x: (x * x, x), lambda x, ct: (mnp.clip(ct * 2 * x, -1.0, 1.0),))

rng = np.random.default_rng(0)
W, X, H = jnp.asarray(rng.normal(size=(3, 3))), jnp.asarray(rng.normal(size=(5, 3))), jnp.asarray(rng.normal(size=4))
PARAMS = {"w": jnp.asarray(rng.normal(size=(3, 8))), "b": jnp.zeros(8)}

PROGRAMS = {
    "grad": (minijvp.grad(f, (0, 1, 2)), 1.0, 2.0, 3.0),
    "value_and_grad": (minijvp.value_and_grad(loss), PARAMS, X, jnp.arange(5.0)),
    "jvp": (lambda x, t: minijvp.jvp(lambda p: loss(p, X, jnp.arange(5.0)), (x,), (t,)), PARAMS, PARAMS),
    "vmap": (minijvp.vmap(minijvp.grad(loss), in_axes=(None, 0, 0)), PARAMS, X[:, None], jnp.arange(5.0)[:, None]),
    "jit": (minijvp.jit(minijvp.grad(lambda x: minijvp.jit(mnp.sin)(x) * x)), 0.5),
    "hessian": (minijvp.hessian(lambda b: loss({**PARAMS, "b": b}, X, jnp.arange(5.0))), jnp.ones(8)),
    "scan": (minijvp.grad(rnn), W, X),
    "scan hessian": (minijvp.hessian(lambda b: rnn(W, X + b)), jnp.zeros(3)),
    "while": (minijvp.value_and_grad(root), 2.0),
    "while second": (minijvp.grad(minijvp.grad(root)), 2.0),
    "while forward": (minijvp.jacfwd(root), 2.0),
    "while batched": (minijvp.vmap(minijvp.grad(root)), jnp.array([2.0, 3.0])),
    "cond": (minijvp.grad(choice), H),
    "cond batched": (minijvp.vmap(choice), X),
    "switch": (lambda i, x: lax.switch(i, [mnp.sin, mnp.cos, lambda x: x * x], x), 1, H),
    "custom_vjp": (minijvp.grad(lambda x: clipped(x).sum()), H),
    "checkpoint": (minijvp.grad(lambda x: minijvp.checkpoint(lambda x: mnp.sin(mnp.cos(x)).sum())(x)), H),
    "indexing": (minijvp.grad(lambda x: (x[1:, ::2] * x[:-1, [0, 2]]).sum()), X),
    "cholesky": (minijvp.grad(lambda x: mnp.linalg.solve(x @ x.T + mnp.eye(3), x[0]).sum()), W),
    "integers": (minijvp.grad(lambda x, n: x[n] ** 2, allow_int=True), H, 2),
    "keys": (lambda key: minijvp.random.normal(key, (3,)), jax.random.key(0)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_transformed_functions(name: str) -> None:
    check(*PROGRAMS[name])


def test_it_looks_like_code_written_by_hand() -> None:
    text = re.sub(r" *#.*", "", to_python(minijvp.value_and_grad(loss))(PARAMS, X, jnp.arange(5.0)).source)
    assert (
        text
        == """import jax.numpy as jnp


def value_and_grad_loss(params, x, y):
    b = jnp.asarray(params["b"])
    w = jnp.asarray(params["w"])
    x, y = jnp.asarray(x), jnp.asarray(y)
    a = x @ w
    c = a + b
    d = jnp.tanh(c)
    e = (2.0 / (jnp.exp(c) + jnp.exp(-c)))**2
    f = jnp.sum(d, axis=1)
    g = f - y
    h = g**2
    i = g * 2.0
    j = jnp.sum(h)
    k = j / 5.0
    l = 0.2 * i
    m = l[:, None] * e
    n = jnp.sum(m, axis=0)
    o = x.T @ m
    return k, {"b": n, "w": o}
"""
    )


def test_each_line_names_its_origin() -> None:
    lines = str(to_python(minijvp.grad(rnn))(W, X)).splitlines()
    assert sum("test_to_python.py" in line and "h = mnp.tanh(w @ h + x)" in line for line in lines) >= 6
    work = [x for x in lines if " = " in x and "asarray" not in x and not re.fullmatch(r"\s+\S.* = (carry|xs)(_2)?", x)]
    assert [x for x in work if "#" not in x] == []


def test_arguments_and_results_are_trees() -> None:
    point = jax.tree_util.Partial(f, 1.0)

    def tree(x, more, *, scale):
        return {"y": (x["a"][0] * scale, [more(2.0, x["a"][1]), None]), "a b": x["if"]}, more

    args = {"a": (jnp.ones(2), 2.0), "if": jnp.arange(3), "unused": 1.0}
    code = to_python(tree)(args, point, scale=2.0)
    out = code.compile()(args, point, scale=3.0)
    expected = tree(args, point, scale=3.0)
    assert jax.tree.structure(out) == jax.tree.structure(expected)
    require_close(jax.tree.leaves(out), jax.tree.leaves(expected), 1e-12, code.source)
    assert "unused" not in code.source


def test_constants_stand_in_the_text_or_beside_it() -> None:
    large, small = jnp.arange(100.0), jnp.array([1.0, jnp.inf])
    code = check(lambda x: x * large.sum() + (large * x).sum() + small, 2.0)
    assert "jnp.array([1.0, jnp.inf], jnp.float64)" in code.source
    assert [x.shape for x in code.constants.values()] == [(100,)]
    namespace: dict[str, Any] = {}
    exec(str(code), namespace)
    np.testing.assert_array_equal(namespace[code.name](1.0, **code.constants), code.compile()(1.0))


def test_callbacks_go_with_the_code() -> None:
    seen = []

    def fun(x):
        jax.debug.callback(seen.append, x)
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), float), x)

    code = to_python(minijvp.from_jax(fun))(0.5)
    assert float(code.compile()(0.5)) == np.sin(0.5)
    jax.effects_barrier()
    assert len(code.constants) == 2
    assert len(seen) == 1


def test_code_can_be_compiled_and_batched_by_jax() -> None:
    function = to_python(minijvp.grad(rnn))(W, X).compile()
    expected = jax.vmap(jax.grad(lambda w, xs: rnn_by_jax(w, xs)), (None, 0))(W, jnp.stack([X, 2 * X]))
    np.testing.assert_allclose(jax.jit(jax.vmap(function, (None, 0)))(W, jnp.stack([X, 2 * X])), expected, rtol=1e-10)


def rnn_by_jax(w, xs):
    def step(h, x):
        h = jnp.tanh(w @ h + x)
        return h, h.sum()

    h, ys = jax.lax.scan(step, jnp.zeros(3), xs)
    return (h * h).sum() + ys.sum()


def test_names_do_not_meet() -> None:
    def fun(jnp, a, carry, frexp, *rest):
        mantissa, exponent = mnp.frexp(frexp)
        total = lax.scan(lambda c, x: ((c[0] + x, c[1] * a), c[0]), (carry, jnp), rest[0])
        return total, mantissa, exponent, mnp.linalg.qr(rest[0][:, None])[0] ** 2, rest[1]["a"]

    code = check(fun, 1.0, 2.0, 3.0, jnp.asarray(8.0), jnp.arange(1.0, 4.0), {"a": jnp.ones(2)})
    assert "def fun(jnp_, a, carry, frexp, x4, x5):" in code.source
    check(lambda p, q: (p[0]["w"] - q[0]["w"], p[1] / q[1]), [{"w": 1.0}, 2.0], [{"w": 3.0}, 4.0])


def test_narrow_and_complex_numbers() -> None:
    check(minijvp.grad(lambda x: (mnp.tanh(x * 2) ** 3.5).sum()), jnp.ones(3, jnp.bfloat16))
    check(minijvp.grad(lambda x: mnp.abs(mnp.fft.fft(x) * (1 + 2j)).sum()), jnp.arange(3.0))


def test_what_is_refused() -> None:
    with pytest.raises(minijvp.ArgumentError, match=r"to_python received 3.*\n.*\nWrite to_python\(f\)"):
        to_python(3)
    with pytest.raises(minijvp.ArgumentError, match=r"x1 is 'a' of type str"):
        to_python(f)("a", 1.0, 2.0)
    with pytest.raises(minijvp.ConcretizationError):
        to_python(lambda x: x if x > 0 else -x)(1.0)


def test_caches_are_written_empty() -> None:
    """What a cache holds depends on what was done before, and may have no text."""
    assert not is_inexact(jax.random.key(0).dtype)
    x = jnp.arange(6.0).reshape(2, 3)
    fun = lambda x: minijvp.lax.reduce_window(x, -jnp.inf, minijvp.lax.max, (1, 2), (1, 1), "VALID")
    code = to_python(minijvp.grad(lambda x: fun(x).sum()))(x)
    np.testing.assert_array_equal(code.compile()(x), minijvp.grad(lambda x: fun(x).sum())(x))
