"""Loops and choices against jax.lax: values, derivatives, types of carries, and bad inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, ConcretizationError
from tests.side_by_side import SIDES, both, same, under_words
from tests.xla import QUICKLY_COMPILED

lax = minijvp.lax
FLOAT0 = jax.dtypes.float0
X = jnp.array([0.3, -1.2, 2.0])
SCALES, SWAPS = np.array([1.0, 0.9, 1.1]), np.array([0, 1, -1], "int32")


# Words of up to three transformations on programs of a side (x, n) -> tree; x a vector, n an int32 that steers.


def total(tree: Any) -> Any:
    return sum(leaf.sum() for leaf in tree_leaves(tree))


def jvp(side: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    def pushed(x: Any, n: Any) -> Any:
        return side[0].jvp(fun, (x, n), (side[1].ones_like(x), np.zeros((), FLOAT0)))[1]

    return pushed


def grad(side: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return side[0].grad(lambda x, n: total(fun(x, n)))


def vmap(side: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    def mapped(x: Any, n: Any) -> Any:
        out = side[0].vmap(fun)(x * SCALES[:, None], n + SWAPS)
        return tree_map(lambda leaf: leaf.sum(0), out)

    return mapped


def jit(side: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return side[0].jit(fun)


LETTERS = (jvp, grad, vmap, jit)
WORDS = [word for length in (1, 2, 3) for word in product(LETTERS, repeat=length)]


def choice_in_loop_in_choice(side: Any) -> Callable[..., Any]:
    """A scan whose steps choose, in a branch of a cond, closing over traced values everywhere."""
    api, np = side

    def fun(x: Any, n: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            h, count = carry["h"], carry["count"]
            h = api.lax.cond(
                row.sum() > 0.5 * h[0], lambda h: np.sin(h) * row, lambda h: h * x[0] + np.sqrt(row**2 + n), h
            )
            return {"h": h, "count": count + 1}, (h * count, None)

        rows = np.stack([x, x * x, np.cos(x)])

        def loop(x: Any) -> Any:
            last, (ys, _) = api.lax.scan(step, {"h": x, "count": 0}, rows, reverse=True)
            return last["h"] + ys.sum(0)

        return api.lax.cond(n > 0, loop, lambda y: y * x, x)

    return fun


def loops_in_loops(side: Any) -> Callable[..., Any]:
    """A fori_loop in a scan without arrays in a switch; a map; the number of steps is static."""
    api, np = side

    def fun(x: Any, n: Any) -> Any:
        def outer(c: Any, _: Any) -> Any:
            c = api.lax.fori_loop(0, 2, lambda i, c: np.tanh(c * x) + i, c)
            return c, c[0]

        last, firsts = api.lax.switch(
            n,
            [
                lambda: (x, np.zeros(3)),
                lambda: api.lax.scan(outer, x, length=3),
                lambda: (np.exp(-x), x[0] * np.ones(3)),
            ],
        )
        return last, api.lax.map(lambda row: row * x.sum(), firsts)

    return fun


def prefix_products(side: Any) -> Callable[..., Any]:
    api, np = side

    def combine(a: Any, b: Any) -> Any:
        return {"scale": a["scale"] * b["scale"], "shift": b["scale"] * a["shift"] + b["shift"]}

    return lambda x, n: api.lax.associative_scan(combine, {"scale": np.sin(x), "shift": x * x + n})


def while_loop(side: Any, condition: Any, body: Any, init: Any) -> Any:
    """The loop; for JAX, which does not differentiate it in reverse, five steps of a scan that may do nothing."""
    if side[0] is minijvp:
        return lax.while_loop(condition, body, init)

    def step(c: Any, _: Any) -> Any:
        return tree_map(lambda new, old: jnp.where(condition(c), new, old), body(c), c), None

    return jax.lax.scan(step, tree_map(jnp.asarray, init), length=5)[0]


def steered(side: Any) -> Callable[..., Any]:
    """While loops in a scan: how many steps they take is known only when they run, and differs from lane to lane."""
    api, np = side

    def fun(x: Any, n: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            grown = while_loop(side, lambda c: c[0] < n + 2, lambda c: (c[0] + 1, np.sin(c[1]) * x + row), (0, c))[1]
            return grown, while_loop(side, lambda c: c < 3.0, lambda c: c + 1.0 + row * row, row)

        return api.lax.scan(step, x, np.cos(x))

    return fun


PROGRAMS = [choice_in_loop_in_choice, loops_in_loops, prefix_products, steered]


@cache
def expected(program: Callable[..., Any], word: tuple) -> Any:
    """JAX's answer. Its own jit is not on trial: it runs once, around the word."""
    return jax.jit(transformed(SIDES[1], program, word), **QUICKLY_COMPILED)(X, jnp.int32(1))


def transformed(side: Any, program: Callable[..., Any], word: tuple) -> Callable[..., Any]:
    fun = program(side)
    for letter in reversed(word):
        fun = letter(side, fun)
    return fun


CASES = [
    (program, word) for program in PROGRAMS for word in WORDS if program is choice_in_loop_in_choice or len(word) < 3
]


@pytest.mark.parametrize(("program", "word"), under_words(CASES))
def test_word(program: Callable[..., Any], word: tuple) -> None:
    found = transformed(SIDES[0], program, word)(X, jnp.int32(1))
    same(found, expected(program, tuple(letter for letter in word if letter is not jit)), 1e-9)


# Forms


def test_forms_of_cond_and_switch() -> None:
    for pred in (True, False, 0, 2.5, np.bool_(True), jnp.array(0), np.float32(1.0)):
        both(lambda api, np, pred=pred: api.lax.cond(pred, lambda x: np.sin(x), lambda x: x * 2, X))
        both(lambda api, np, pred=pred: api.lax.cond(pred, lambda: {"a": (X, None)}, lambda: {"a": (X + 1, None)}))
        both(
            lambda api, np, pred=pred: api.lax.cond(pred, lambda x: x["a"], lambda x: x["b"], operand={"a": 1, "b": 2})
        )
    both(lambda api, np: api.lax.cond(True, X, lambda x: x * 2, 3.0, lambda x: x * np.ones(3)))
    for index in (-5, 0, 1, 2, 9, np.uint8(1), jnp.array(2), 2**40):
        both(lambda api, np, index=index: api.lax.switch(min(index, 9), [np.sin, np.cos, lambda x: x], X))
    same(minijvp.lax.switch(2**40, [mnp.sin, mnp.cos], X), jnp.cos(X))
    both(lambda api, np: api.lax.switch(7, [lambda x: (x, 1)], X))


def test_weak_types_are_those_of_jax() -> None:
    def kinds(tree: Any) -> Any:
        return [(x.dtype, x.weak_type) for x in tree_leaves(tree)]

    one, wide, rows = jnp.float32(1), jnp.float64(1), jnp.ones(3, "float32")
    cases = [
        lambda lax: lax.scan(lambda c, x: (x, c), 0.0, rows),
        lambda lax: lax.scan(lambda c, x: (c + 1.5, c), 0, None, length=2),
        lambda lax: lax.scan(lambda c, _: (c + 1.5, c), 0.0, None, length=0),
        lambda lax: lax.scan(lambda c, x: ((c[0] + x, c[1] * 2), None), (0, 0.5), rows)[0],
        lambda lax: lax.while_loop(lambda c: c < 3, lambda c: c + one, 0.0),
        lambda lax: lax.while_loop(lambda c: c < 3, lambda c: c + 1.5, 0),
        lambda lax: lax.while_loop(lambda c: c < 3, lambda c: c + 1, 0),
        lambda lax: lax.cond(True, lambda: wide, lambda: 1.0),
        lambda lax: lax.cond(True, lambda: 1.0, lambda: wide),
        lambda lax: lax.switch(1, [lambda: wide, lambda: 1.0]),
        lambda lax: lax.fori_loop(0, 3, lambda i, c: c + i, 0.0),
        lambda lax: lax.fori_loop(0, 3, lambda i, c: i, jnp.int32(0) if not jax.config.jax_enable_x64 else 0),
        lambda lax: lax.fori_loop(np.int8(0), np.int8(3), lambda i, c: c * i, 1),
    ]
    for case in cases:
        found, wanted = case(minijvp.lax), case(jax.lax)
        assert kinds(found) == kinds(wanted)
        same(found, wanted)


def test_trees_with_nothing_in_them() -> None:
    both(lambda api, np: api.lax.scan(lambda c, x: (c, None), None, X))
    both(lambda api, np: api.lax.scan(lambda c, x: ((), {}), (), None, length=3))
    both(lambda api, np: api.lax.scan(lambda c, x: (c, x["a"]), {"n": None}, {"a": X, "b": None}))
    both(lambda api, np: api.lax.scan(lambda c, x: (c + 1, 2.0), 0, None, length=0))
    both(lambda api, np: api.lax.while_loop(lambda c: False, lambda c: c, (None, X)))
    both(lambda api, np: api.lax.fori_loop(5, 2, lambda i, c: c * i, X))
    both(lambda api, np: api.lax.map(lambda x: {"a": None}, X))
    assert lax.associative_scan(lambda a, b: a, {}) == {}


@pytest.mark.parametrize("unroll", [1, 2, 7, True, False, 0])
def test_unroll_and_reverse(unroll: Any) -> None:
    for reverse in (False, True):
        both(lambda api, np, reverse=reverse: api.lax.scan(lambda c, x: (c * x, c + x), 1.0, X, None, reverse, unroll))
    if unroll != 0 or unroll is False:
        both(lambda api, np: api.lax.fori_loop(0, 5, lambda i, c: c * X + i, X, unroll=unroll))


@pytest.mark.parametrize("batch_size", [None, 0, 1, 2, 3, 5, 7])
def test_map(batch_size: Any) -> None:
    xs = {"a": jnp.arange(10.0).reshape(5, 2), "b": jnp.arange(5)}
    both(lambda api, np: api.lax.map(lambda x: (np.sin(x["a"]).sum() * x["b"], x["b"]), xs, batch_size=batch_size))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 9])
def test_associative_scan(n: int) -> None:
    xs = np.random.default_rng(0).standard_normal((2, n, 3))
    for axis, reverse in ((-2, False), (1, True)):
        both(lambda api, np, a=axis, r=reverse: api.lax.associative_scan(np.add, np.asarray(xs), axis=a, reverse=r))
    both(lambda api, np: api.lax.associative_scan(np.logical_xor, np.asarray(xs[0, :, 0]) > 0))
    both(lambda api, np: api.jit(lambda x: api.lax.associative_scan(np.matmul, x))(np.ones((n, 2, 2))))


def test_traced_bounds() -> None:
    for lower, upper in ((0, 4), (jnp.int8(1), jnp.int8(3)), (3, 1), (jnp.int32(2), 5), (0, jnp.int64(3))):
        both(
            lambda api, np, a=lower, b=upper: api.jit(lambda a, b: api.lax.fori_loop(a, b, lambda i, c: c * X + i, X))(
                a, b
            )
        )


# Derivatives


def test_closures_get_their_gradients() -> None:
    def case(api: Any, np: Any) -> Any:
        def loss(w: Any, b: Any) -> Any:
            def step(h: Any, x: Any) -> Any:
                return np.tanh(w @ h + b * x), api.lax.cond(x > 0, lambda: w.sum() * x, lambda: b.sum())

            last, ys = api.lax.scan(step, np.zeros(3), X)
            return last.sum() + (ys**2).sum()

        return api.grad(loss, (0, 1))(np.ones((3, 3)) * 0.3, X)

    both(case)


def test_gradients_of_the_branch_not_taken() -> None:
    """No NaN from a singular branch, alone or in lanes; nor for a value that all lanes share."""

    def root(api: Any, np: Any, x: Any, w: Any) -> Any:
        return api.lax.cond(x > 0, lambda x, w: w * np.sqrt(x) / x, lambda x, w: x + w, x, w)

    xs = jnp.array([4.0, 0.0, 1.0, -1.0])
    for points in (xs, xs * 0):
        for side in SIDES:
            fun = lambda x, w, side=side: side[0].vmap(lambda x: root(*side, x, w))(x).sum()
            grads = side[0].grad(fun, (0, 1))(points, 2.0)
            assert all(np.isfinite(g).all() for g in grads)
            same(grads, tuple(g for g in jax.grad(lambda x, w: fun_by_where(x, w), (0, 1))(points, 2.0)))
    assert float(minijvp.grad(lambda x: root(minijvp, mnp, x, 2.0))(0.0)) == 1.0


def fun_by_where(x: Any, w: Any) -> Any:
    safe = jnp.where(x > 0, x, 1.0)
    return jnp.where(x > 0, w * jnp.sqrt(safe) / safe, x + w).sum()


def test_gradients_of_a_slow_branch_not_taken() -> None:
    """The branch has a loop and a product in it, and is singular and endless where it is not chosen."""

    def slow(x: Any, w: Any) -> Any:
        steps = lax.while_loop(lambda c: c[1] < 4.0, lambda c: (c[0] + 1, c[1] + x), (0, x))[0]
        return (w @ mnp.stack([mnp.log(x), mnp.sqrt(x)])).sum() * steps

    def fun(x: Any, w: Any) -> Any:
        return minijvp.vmap(lambda x: minijvp.lax.cond(x > 0, slow, lambda x, w: w[0, 0] * x, x, w))(x).sum()

    w = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    # Whole numbers of steps: 3 from 1.0, 7 from 0.5.
    judge = lambda x, w: sum(
        (w @ jnp.stack([jnp.log(v), jnp.sqrt(v)])).sum() * {1.0: 3, 0.5: 7}[float(xs[i])] if xs[i] > 0 else w[0, 0] * v
        for i, v in enumerate(x)
    )
    for xs in ([1.0, 0.0, -1.0, 0.5], [0.0, -1.0]):
        xs = jnp.array(xs)
        same(fun(xs, w), judge(xs, w))
        same(minijvp.jit(minijvp.grad(fun, (0, 1)))(xs, w), jax.grad(judge, (0, 1))(xs, w))


def test_integers_and_the_unused_have_no_tangents() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            def step(c: Any, row: Any) -> Any:
                n, h, unused = c
                return (n + 1, h * row[0], unused + 1.0), (n, row[1])

            rows = np.stack([x, x]).T, np.arange(3)
            (n, h, unused), (numbers, ks) = api.lax.scan(lambda c, r: step(c, (r[0][0], r[1])), (0, 1.0, 0.0), rows)
            return h + n + (numbers * ks).sum(), (n, unused, numbers)

        return api.grad(fun, has_aux=True)(X)

    both(case)


# Compilation


def test_a_fresh_function_with_the_same_body_does_not_compile_again() -> None:
    def run(w: Any) -> Any:
        loop = minijvp.lax.scan(lambda c, x: (mnp.sin(c) * w, c + x), 0.5, X)
        ends = minijvp.lax.while_loop(lambda c: c < 5.0, lambda c: c + w, 0.0)
        return loop, ends, minijvp.lax.cond(w > 0, lambda x: x * w, mnp.sin, X), minijvp.grad(loss)(w)

    def loss(w: Any) -> Any:
        last, ys = minijvp.lax.scan(lambda c, x: (mnp.sin(c) * w, c + x), 0.5, X)
        return minijvp.lax.cond(last > 0, lambda: ys.sum(), lambda: last)

    run(jnp.array(0.7))
    with count_compilations() as count:
        for w in (0.8, 0.9):
            run(jnp.array(w))
    assert count == []


class count_compilations:
    """Context manager: the events of compilation inside."""

    def __enter__(self) -> list[str]:
        self.events: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(self.listen)
        return self.events

    def listen(self, event: str, *args: Any, **kwargs: Any) -> None:
        if "backend_compile" in event:
            self.events.append(event)

    def __exit__(self, *exception: object) -> None:
        jax.monitoring.clear_event_listeners()


# Bad inputs


def message(fun: Callable[[], Any], error: type[Exception] = ArgumentError) -> str:
    with pytest.raises(error) as caught:
        fun()
    assert type(caught.value) is error
    assert caught.value.why
    assert caught.value.do
    return str(caught.value)


def step(c: Any, x: Any) -> Any:
    return {"h": c["h"][:2], "n": c["n"] + 1.5, "z": x}, x


def test_trees_are_shown_side_by_side() -> None:
    text = message(lambda: lax.scan(step, {"h": X, "n": jnp.int32(0)}, X))
    assert "f of scan, step (" in text
    assert __file__ in text
    for row in (r"['h']  f64[3]    f64[2]", r"['n']  i32[]     f64[]", r"['z']  -         f64[]"):
        assert any(line.strip().startswith(row) and "<- differs" in line for line in text.splitlines()), text
    assert f"# {__file__}" in text  # the line that made the leaf
    text = message(lambda: lax.scan(lambda c, x: (list(c), x), (X, X), X))
    assert "PyTreeDef((*, *))" in text
    assert "PyTreeDef([*, *])" in text
    text = message(lambda: lax.cond(True, lambda x: {"a": x, "b": 1}, lambda x: {"a": x[0]}, X))
    assert "true_fun  false_fun" in text
    assert "['b']  i64[]*    -          <- differs" in text
    assert "branches[2]" in message(lambda: lax.switch(0, [lambda: 1, lambda: 2, lambda: 1.5]))
    assert "body_fun of while_loop" in message(lambda: lax.while_loop(lambda c: c > 0, lambda c: X, 1.0))
    assert "body_fun of fori_loop" in message(lambda: lax.fori_loop(0, 3, lambda i, c: (c, c), 1))


@pytest.mark.parametrize("pred", [X > 0, [True], "a", None, 1j, jnp.ones((), complex)])
def test_predicates_that_are_none(pred: Any) -> None:
    assert "the predicate of cond is" in message(lambda: lax.cond(pred, lambda: 1, lambda: 2))


@pytest.mark.parametrize("index", [1.5, X, "a", True, None])
def test_indices_that_are_none(index: Any) -> None:
    assert "the index of switch is" in message(lambda: lax.switch(index, [lambda: 1, lambda: 2]))


@pytest.mark.parametrize("condition", [lambda c: X > 0, lambda c: (True,), lambda c: 1, lambda c: None])
def test_conditions_that_are_none(condition: Any) -> None:
    assert "cond_fun of while_loop" in message(lambda: lax.while_loop(condition, lambda c: c + 1, 0))


def test_lengths() -> None:
    keep = lambda c, x: (c, x)
    text = message(lambda: lax.scan(keep, X, {"a": X, "b": [jnp.ones(4)]}))
    assert "xs['a']: f64[3] has 3 rows; xs['b'][0]: f64[4] has 4 rows" in text
    assert "length=4" in message(lambda: lax.scan(keep, X, X, 4))
    assert "xs['b'] of scan is f64[]*" in message(lambda: lax.scan(keep, X, {"a": X, "b": 3.0}))
    for length in (-1, 2.5, "a", X):
        assert "length of scan is" in message(lambda length=length: lax.scan(keep, X, None, length))
    assert "neither" in message(lambda: lax.scan(keep, X, None))
    message(lambda: minijvp.jit(lambda n: lax.scan(keep, X, None, n))(3), ConcretizationError)
    for unroll in (-1, 1.5, "a"):
        assert "unroll" in message(lambda unroll=unroll: lax.scan(keep, X, X, unroll=unroll))
    assert "xs['b']: f64[4]" in message(lambda: lax.map(lambda x: x, {"a": X, "b": jnp.ones(4)}))
    for size in (-1, 1.5):
        assert "batch_size of map" in message(lambda size=size: lax.map(lambda x: x, X, batch_size=size))


def test_functions_that_are_none_or_take_something_else() -> None:
    for wrong in (
        lambda: lax.scan(3, X, X),
        lambda: lax.cond(True, X, lambda: X),
        lambda: lax.switch(0, [lambda: 1, 3]),
        lambda: lax.switch(0, []),
        lambda: lax.while_loop(None, lambda c: c, 0),
        lambda: lax.fori_loop(0, 1, 3, 0),
        lambda: lax.map(3, X),
        lambda: lax.associative_scan(3, X),
        lambda: lax.scan(lambda c, x: c, X, X),
        lambda: lax.scan(lambda c, x: (c, "a"), X, X),
        lambda: lax.cond(True, lambda x: x, lambda x: x, 1, operand=2),
    ):
        message(wrong)
    for wrong in (
        lambda: lax.scan(lambda: 1, X, X),
        lambda: lax.cond(True, lambda x: x, lambda: 1.0, X),
        lambda: lax.while_loop(lambda: True, lambda c: c, 0),
        lambda: lax.fori_loop(0, 1, lambda c: c, 0),
        lambda: lax.map(lambda: 1, X),
    ):
        assert "cannot be called as it is" in message(wrong)
    with pytest.raises(TypeError, match="unsupported operand"):
        lax.scan(lambda c, x: (c + None, x), X, X)  # the user's own mistake stays theirs


def test_bounds_and_axes() -> None:
    assert "the bounds of fori_loop are f64[]" in message(lambda: lax.fori_loop(0.0, 3, lambda i, c: c, 1))
    loop = minijvp.jit(lambda a, b: lax.fori_loop(a, b, lambda i, c: c, 1))
    assert "i8[] and i32[]" in message(lambda: loop(jnp.int8(1), jnp.int32(4)))
    assert "unroll=4" in message(lambda: minijvp.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c, 1, unroll=4))(3))
    assert "axis=3" in message(lambda: lax.associative_scan(mnp.add, X, axis=3))
    assert "elems['b']: f64[2]" in message(lambda: lax.associative_scan(mnp.add, {"a": X, "b": X[:2]}))
    assert "fn of associative_scan" in message(lambda: lax.associative_scan(lambda a, b: a.sum(), X))


BOUNDS = [(0.0, 3.0), (0.5, 3.9), (jnp.float32(0), jnp.float32(3)), (3.0, 1.0), (False, True)]


@pytest.mark.parametrize(("lower", "upper"), BOUNDS)
def test_bounds_that_are_no_integers(lower: Any, upper: Any) -> None:
    both(lambda api, np: api.lax.fori_loop(lower, upper, lambda i, c: (c[0] * (1 + i), c[1] + i), (2.0, 0)))
    both(lambda api, np: api.grad(lambda c: api.lax.fori_loop(lower, upper, lambda i, c: c * (1 + i), c))(2.0))
    if type(lower) is not bool:
        loop = lambda api: lambda a, b, c: api.lax.fori_loop(a, b, lambda i, c: c * (1 + i), c)
        both(lambda api, np: api.jit(loop(api))(lower, upper, 2.0))
        both(lambda api, np: api.jit(api.jacfwd(loop(api), 2))(lower, upper, 2.0))


@pytest.mark.parametrize(("lower", "upper"), [(0, 3.0), (0.0, 3), (np.float32(0), 3), (0, 1j), ("0", 3)])
def test_bounds_that_do_not_fit(lower: Any, upper: Any) -> None:
    with pytest.raises(ArgumentError, match="fori_loop"):
        lax.fori_loop(lower, upper, lambda i, c: c, 1.0)


def test_split_transpose_changes_no_result() -> None:
    def case(api: Any, np: Any) -> Any:
        loop = lambda c, x: api.lax.scan(lambda c, x: (np.sin(c) * x, c), c, x, _split_transpose=True)[0]
        return loop(0.5, X), api.grad(loop, (0, 1))(0.5, X)

    both(case)
