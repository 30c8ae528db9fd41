"""Taps: the cotangents that they show are those of a zero added by hand, in JAX; and edits."""

from __future__ import annotations

import gc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, MissingRuleError, grad, jit, jvp, lax, tap, value_and_grad, vjp, vmap
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import EVALUATION, Trace
from tests.side_by_side import same

X = jnp.array([0.3, -1.2, 2.0])


def chain(x: Any) -> Any:
    """The derivative by the tapped value is the cosine of it."""
    return mnp.sum(mnp.sin(tap(x * x, "square")))


def both_of(f: Any, *xs: Any) -> list[Any]:
    """Gradient and taps, eager, compiled, and of the compiled function."""
    return [grad(f, taps=True)(*xs), jit(grad(f, taps=True))(*xs), grad(jit(f), taps=True)(*xs)]


# Reading


def test_cotangents_by_name() -> None:
    for gradient, taps in both_of(chain, X):
        same(gradient, 2 * X * jnp.cos(X * X))
        same(taps, {"square": jnp.cos(X * X)})


def test_what_is_returned() -> None:
    wanted = {"square": jnp.cos(X * X)}
    with_aux = lambda x: (chain(x), x)
    gradient = grad(chain)(X)
    same(grad(with_aux, has_aux=True, taps=True)(X), (gradient, X, wanted))
    same(value_and_grad(chain, taps=True)(X), (chain(X), gradient, wanted))
    same(value_and_grad(with_aux, has_aux=True, taps=True)(X), ((chain(X), X), gradient, wanted))
    same(grad(lambda x: x.sum(), taps=True)(X), (jnp.ones(3), {}))


def test_trees_integers_and_names_met_twice() -> None:
    def f(x: Any) -> Any:
        t = tap({"a": x * 2, "n": (3, jnp.arange(2)), "c": x * 1j}, "tree")
        u = tap(tap(x, "twice") * 3, "twice")
        return mnp.sum(t["a"] * t["n"][0]) + mnp.sum(mnp.imag(t["c"])) + mnp.sum(u * u) / 2

    for _, taps in both_of(f, X):
        tree = taps["tree"]
        same((tree["a"], tree["c"]), (jnp.full(3, 3.0), jnp.full(3, -1j)))
        assert [n.dtype for n in tree["n"]] == [jax.dtypes.float0] * 2
        same(taps["twice"], [9 * X, 3 * X])


def test_values_that_the_arguments_do_not_reach() -> None:
    """A constant has a cotangent too; what is not used has a zero, or is no part of a compiled program."""
    for gradient, taps in both_of(lambda x: mnp.sum(tap(jnp.ones(3), "constant") * x), X):
        same((gradient, taps), (jnp.ones(3), {"constant": X}))
    same(grad(lambda x: (tap(x * 2, "unused"), x.sum())[1], taps=True)(X)[1], {"unused": jnp.zeros(3)})


def loop(x: Any) -> Any:
    def body(c: Any, row: Any) -> Any:
        c = tap(mnp.sin(c * row), "c")
        return c, tap(c * c, "row")

    c, ys = lax.scan(body, x, jnp.arange(1.0, 5.0))
    return c + mnp.sum(ys * jnp.arange(4.0))


def loop_with_zeros(x: Any, zero_c: Any, zero_row: Any) -> Any:
    def body(c: Any, rows: Any) -> Any:
        row, zero, zero_row = rows
        c = jnp.sin(c * row) + zero
        return c, c * c + zero_row

    c, ys = jax.lax.scan(body, x, (jnp.arange(1.0, 5.0), zero_c, zero_row))
    return c + jnp.sum(ys * jnp.arange(4.0))


def test_scan_stacks_the_steps() -> None:
    wanted = jax.grad(loop_with_zeros, (0, 1, 2))(0.5, jnp.zeros(4), jnp.zeros(4))
    for gradient, taps in both_of(loop, jnp.asarray(0.5)):
        same((gradient, taps["c"], taps["row"]), wanted)
    nested = lambda x: lax.scan(lambda c, _: (loop(c), None), x, length=3)[0]
    for _, taps in both_of(nested, jnp.asarray(0.5)):
        assert taps["c"].shape == (3, 4)
        same(
            taps["c"][2],
            jax.grad(loop_with_zeros, 1)(
                lax.scan(lambda c, _: (loop(c), None), 0.5, length=2)[0], jnp.zeros(4), jnp.zeros(4)
            ),
        )


def test_loops_made_of_scans() -> None:
    f = lambda x: lax.fori_loop(0, 3, lambda i, c: tap(c * 2.0, "c"), x)
    for _, taps in both_of(f, jnp.asarray(1.0)):
        same(taps["c"], jnp.array([4.0, 2.0, 1.0]))
    mapped = lambda x: lax.map(lambda r: tap(r * r, "r"), x).sum()
    same(grad(mapped, taps=True)(X)[1]["r"], jnp.ones(3))


def test_batches() -> None:
    wanted = jnp.cos(X * X)
    inside = lambda x: mnp.sum(vmap(lambda r: mnp.sin(tap(r * r, "square")))(x))
    for _, taps in both_of(inside, X):
        same(taps["square"], wanted)
    same(vmap(grad(chain, taps=True))(X[:, None])[1]["square"], wanted[:, None])
    shared = lambda x, w: mnp.sum(vmap(lambda r: r * tap(w * 2, "w"))(x))
    same(grad(shared, taps=True)(X, 3.0)[1]["w"], X.sum())
    loops = vmap(grad(loop, taps=True))(X)
    same(loops[1]["c"], jnp.stack([grad(loop, taps=True)(x)[1]["c"] for x in X]))
    together = grad(lambda x: mnp.sum(vmap(loop)(x)), taps=True)(X)
    same(together[1]["c"], loops[1]["c"].T)


def choice(x: Any) -> Any:
    return lax.cond(x > 0, lambda x: tap(x * 2, "a") * tap(x, "b"), lambda x: tap(x * 3, "a"), x)


def test_branches_not_taken_have_zeros() -> None:
    for x, wanted in ((0.5, {"a": 0.5, "b": 1.0}), (-0.5, {"a": 1.0, "b": 0.0})):
        for _, taps in both_of(choice, jnp.asarray(x)):
            same(taps, {k: jnp.asarray(v) for k, v in wanted.items()})
    same(
        vmap(grad(choice, taps=True))(jnp.array([0.5, -0.5]))[1], {"a": jnp.array([0.5, 1.0]), "b": jnp.array([1.0, 0])}
    )
    three = lambda i, x: lax.switch(i, [lambda x: x, lambda x: tap(x, "t") * 2, lambda x: tap(tap(x, "t"), "t") * 3], x)
    found = [grad(three, 1, taps=True)(i, 1.0)[1]["t"] for i in range(3)]
    same(found, [[jnp.asarray(float(v)) for v in row] for row in ([0, 0], [2, 0], [3, 3])])


def test_inside_other_programs() -> None:
    for wrap in (minijvp.from_jax, lambda f: f):
        f = lambda x, wrap=wrap: mnp.sum(wrap(jit(jit(lambda x: x * x) if wrap is minijvp.from_jax else chain))(x))
        same(grad(f, taps=True)(X)[0], 2 * X if wrap is minijvp.from_jax else grad(chain)(X))
    inner = lambda x: mnp.sum(jit(lambda y: tap(y, "inner") * 2)(x) * tap(x, "outer"))
    for _, taps in both_of(inner, X):
        same(taps, {"inner": 2 * X, "outer": 2 * X})


def test_inside_what_is_computed_again() -> None:
    f = lambda x: mnp.sum(mnp.sin(tap(x * x, "square", lambda g: 2 * g)))
    for gradient, taps in both_of(minijvp.checkpoint(f), X):
        same((gradient, taps["square"]), (4 * X * jnp.cos(X * X), jnp.cos(X * X)))
    body = lambda c, row: (tap(mnp.sin(c * row), "c"), None)
    steps = lambda **options: lambda x: lax.scan(body, x, jnp.arange(1.0, 7.0), **options)[0]
    same(grad(steps(checkpoint=True), taps=True)(0.5), grad(steps(), taps=True)(0.5))


def test_functions_with_rules_cannot_be_read() -> None:
    sine = minijvp.custom_jvp(lambda x: tap(mnp.sin(x), "inside"))
    sine.defjvps(lambda t, out, x: mnp.cos(x) * t)
    same(grad(sine)(1.0), jnp.cos(jnp.asarray(1.0)))
    with pytest.raises(MissingRuleError, match="'inside' cannot be read inside custom_jvp_call"):
        grad(sine, taps=True)(1.0)


def test_while_loops_cannot_be_read() -> None:
    f = lambda x: lax.while_loop(lambda c: c < 10, lambda c: tap(c * 2, "c"), x)
    same(grad(f)(1.0), jnp.asarray(16.0))
    for run in (lambda: grad(f, taps=True)(1.0), lambda: grad(jit(f), taps=True)(1.0)):
        with pytest.raises(MissingRuleError, match=r"'c' cannot be read inside while(.|\n)*scan") as raised:
            run()
        assert raised.value.why and raised.value.do


def test_the_innermost_derivative_reads() -> None:
    """And derivatives of what was read are right."""
    square = lambda x: grad(lambda x: mnp.sin(tap(x * x, "square")), taps=True)(x)[1]["square"]
    same(grad(square)(2.0), -4 * jnp.sin(jnp.asarray(4.0)))
    same(jvp(square, (2.0,), (1.0,))[1], -4 * jnp.sin(jnp.asarray(4.0)))
    same(grad(lambda x: grad(chain)(x[None]).sum(), taps=True)(2.0)[1], {})
    outside = grad(lambda x: tap(grad(mnp.sin)(x), "slope") * 3, taps=True)(1.0)
    same(outside[1]["slope"], jnp.asarray(3.0))


# Costs


def test_what_is_not_asked_for_leaves_nothing() -> None:
    plain = lambda x: mnp.sum(mnp.sin(x * x))
    assert str(minijvp.make_jaxpr(grad(chain))(X)) == str(minijvp.make_jaxpr(grad(plain))(X))
    tapped = lambda x: lax.scan(lambda c, r: (tap(c * r, "c"), None), x, jnp.ones(3))[0]
    without = lambda x: lax.scan(lambda c, r: (c * r, None), x, jnp.ones(3))[0]
    for f, g in ((tapped, without), (jit(tapped), jit(without))):
        text = str(minijvp.make_jaxpr(grad(f))(1.0))
        assert "tap" not in text.replace("tapped", "") and "add_zero" not in text
        assert text.count("=") == str(minijvp.make_jaxpr(grad(g))(1.0)).count("=")
    lowered = [jit(f).lower(X).as_text().split("{", 1)[1].count("stablehlo.") for f in (chain, plain)]
    assert lowered[0] == lowered[1]


# Edits


def clipped(x: Any) -> Any:
    return tap(x, bwd=lambda g: mnp.clip(g, -1.0, 1.0))


def test_edits() -> None:
    f = lambda x: mnp.sum(clipped(x) ** 2)
    wanted = jnp.clip(2 * X, -1, 1)
    for g in (f, jit(f), lambda x: mnp.sum(vmap(clipped)(x) ** 2), lambda x: mnp.sum(lax.map(clipped, x) ** 2)):
        same(g(X), jnp.sum(X * X))
        same(grad(g)(X), wanted)
        same(jit(grad(g))(X), wanted)
        same(vmap(grad(g))(jnp.stack([X, X]))[1], wanted)
    same(vjp(clipped, X)[1](2 * X)[0], wanted)
    same(minijvp.jacrev(clipped)(X), jnp.eye(3))


def test_edits_in_programs() -> None:
    halved = lambda x: tap(x, bwd=lambda g: g / 2)
    looped = lambda x: lax.scan(lambda c, r: (halved(c * r), None), x, jnp.array([1.0, 2.0, 3.0]))[0]
    chosen = lambda x: lax.cond(x > 0, halved, lambda x: 3 * x, x)
    repeated = lambda x: lax.while_loop(lambda c: c < 10, lambda c: halved(c * 2), x)
    for f, x, wanted in ((looped, 1.0, 0.75), (chosen, 1.0, 0.5), (chosen, -1.0, 3.0), (repeated, 1.0, 1.0)):
        for g in (grad(f), jit(grad(f)), grad(jit(f)), lambda x, f=f: vmap(grad(f))(jnp.full(2, x))[0]):
            same(g(jnp.asarray(x)), jnp.asarray(wanted))


def test_what_is_read_came_before_the_edit() -> None:
    for gradient, taps in both_of(lambda x: tap(x, "x", lambda g: g * 10) ** 2, jnp.asarray(3.0)):
        same((gradient, taps["x"]), (jnp.asarray(60.0), jnp.asarray(6.0)))


def test_edits_of_trees_that_close_over_values() -> None:
    def f(x: Any, s: Any) -> Any:
        edit = lambda g: {"a": g["a"] * s, "n": g["n"], "b": g["b"] + g["a"]}
        t = tap({"a": x, "n": 3, "b": 2 * x}, bwd=edit)
        return t["a"] * 5 + t["b"]

    for g in (f, jit(f), lambda x, s: vmap(f)(x[None], s[None])[0]):
        same(grad(g)(*map(jnp.asarray, (1.0, 7.0))), jnp.asarray(5 * 7 + 2 * (1 + 5.0)))
    # The edit is a part of the gradient, and has a derivative itself.
    same(grad(lambda s: grad(f)(1.0, s))(7.0), jnp.asarray(5.0))
    same(jvp(grad(lambda x: tap(x, bwd=lambda g: g * g) ** 2), (3.0,), (1.0,))[1], jnp.asarray(24.0))


def test_forward_mode_refuses_edits() -> None:
    def edit(g: Any) -> Any:
        return g * 2

    f = lambda x: tap(x, bwd=edit)
    for run in (
        lambda: jvp(f, (1.0,), (1.0,)),
        lambda: jvp(jit(f), (1.0,), (1.0,)),
        lambda: minijvp.jacfwd(f)(X),
        lambda: minijvp.linearize(f, 1.0)[1](1.0),
        lambda: jit(minijvp.linearize(f, 1.0)[1])(1.0),
    ):
        with pytest.raises(MissingRuleError, match=r"forward mode(.|\n)*edited by edit(.|\n)*reverse mode") as raised:
            run()
        assert raised.value.what and raised.value.why and raised.value.do
    same(jvp(lambda x: tap(x, "x") * 2, (1.0,), (1.0,)), (jnp.asarray(2.0), jnp.asarray(2.0)))


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda x: tap(x), "neither a name nor an edit"),
        (lambda x: tap(x, 3), "name=3"),
        (lambda x: tap(x, bwd=3), "cannot be called"),
        (lambda x: tap("x", "x"), "not an array"),
        (lambda x: tap(x, bwd=lambda g: (g, g)), "structure"),
        (lambda x: tap(x, bwd=lambda g: mnp.stack([g, g])), r"f64\[2\] from the cotangent f64\[\]"),
        (lambda x: tap({"w": x}, bwd=lambda g: {"w": g["w"].astype(np.float32)}), r"f32\[\](.|\n)*x\['w'\]"),
        (lambda x: tap(x, bwd=lambda g: None), "structure"),
    ],
)
def test_bad_input(call: Any, part: str) -> None:
    with pytest.raises(ArgumentError, match=part) as raised:
        grad(call)(1.0)
    assert raised.value.what and raised.value.why and raised.value.do


def test_no_cycles_are_left() -> None:
    gc.collect()
    traced = lambda: {id(x) for x in gc.get_objects() if isinstance(x, (Trace, Tracer)) and x is not EVALUATION}
    before = traced()  # of tests that failed
    gc.disable()
    try:
        grad(chain, taps=True)(X)
        grad(loop, taps=True)(jnp.asarray(0.5))
        left = traced() - before
    finally:
        gc.enable()
    assert not left
