"""vmap against jax.vmap: axes of arguments and results, trees, sizes, nesting, and the loop it replaces."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, ConcretizationError
from tests.side_by_side import both

A, B = jnp.arange(24.0).reshape(2, 3, 4) / 7, jnp.arange(12.0).reshape(4, 3) - 5


@pytest.mark.parametrize("in_axes", [(1, 1), (1, -1), (-1, 0), [2, 0], (-1, -2), (2, None), (None, 0), (None, -1)])
def test_in_axes(in_axes: Any) -> None:
    both(lambda api, np: api.vmap(lambda x, y: (x.sum() * y, np.sin(x)), in_axes)(A, B))


@pytest.mark.parametrize("out_axes", [0, 1, 2, -1, -2, -3])
def test_out_axes(out_axes: int) -> None:
    both(lambda api, np: api.vmap(lambda x: np.sin(x), 1, out_axes)(A))
    both(lambda api, np: api.vmap(lambda x: B, 0, out_axes)(A))


def test_trees_of_axes() -> None:
    def fun(p: Any, x: Any) -> Any:
        return {"u": p["w"] @ x, "v": (p["b"] + x[0], None, p["c"]["d"]), "same": p["b"] * 2}

    def case(api: Any, np: Any) -> Any:
        in_axes = ({"w": -1, "b": None, "c": 0}, 1)
        out_axes = {"u": 1, "v": (0, 0, 0), "same": None}
        p = {"w": A, "b": jnp.array(3.0), "c": {"d": jnp.arange(4)}}
        return api.vmap(fun, in_axes, out_axes)(p, B.T)

    both(case)


def test_none_arguments() -> None:
    both(lambda api, np: api.vmap(lambda x, y: x * 2 if y is None else y)(A, None))
    both(lambda api, np: api.vmap(lambda x, y: (x, y), (0, None))(A, None))
    both(
        lambda api, np: api.vmap(lambda p: {"a": p["a"] + 1, "b": p["b"]}, ({"a": 0, "b": None},))({"a": A, "b": None})
    )


def test_keyword_arguments_are_mapped_over_axis_0() -> None:
    both(lambda api, np: api.vmap(lambda x, *, y, z: x * y + z["k"], in_axes=1)(A, y=B[:3, 0], z={"k": B[:3, 1]}))


def test_axis_size() -> None:
    both(lambda api, np: api.vmap(lambda: np.arange(3), axis_size=4)())
    both(lambda api, np: api.vmap(lambda x: x * 2, in_axes=None, axis_size=4)(B))
    both(lambda api, np: api.vmap(lambda x: x * 2, in_axes=None, out_axes=None, axis_size=4)(B))
    both(lambda api, np: api.vmap(np.sin, axis_size=2)(A))


def test_axes_of_size_zero_and_one() -> None:
    both(lambda api, np: api.vmap(lambda x: x.sum() + np.ones(3))(A[:0]))
    both(lambda api, np: api.vmap(lambda x: x @ B)(A[:1]))


def test_results_that_are_the_same_for_all() -> None:
    both(lambda api, np: api.vmap(lambda x: (3, np.ones(2), x, B), out_axes=(0, 1, 0, -1))(A))
    both(lambda api, np: api.vmap(lambda x: (B.sum(), x), out_axes=(None, 0))(A))


def test_nested() -> None:
    both(lambda api, np: api.vmap(api.vmap(lambda x: x * x.sum()))(A))
    both(lambda api, np: api.vmap(api.vmap(np.dot, (None, 1)), (0, None))(B, B.T))
    both(lambda api, np: api.vmap(lambda x: api.vmap(lambda y: x * y)(B.T @ x), -1)(A[0].T))
    both(lambda api, np: api.vmap(api.vmap(api.vmap(lambda x, y: x - y, (0, None)), (None, 0)), (0, 0), 2)(A, A))


def test_with_derivatives() -> None:
    def fun(w: Any, x: Any) -> Any:
        return ((w @ x) ** 2).sum()

    both(lambda api, np: api.vmap(api.grad(fun), (None, 0))(B, B))
    both(lambda api, np: api.grad(lambda w: api.vmap(partial(fun, w))(B).sum())(B))
    both(lambda api, np: api.vmap(lambda x: api.jvp(np.sin, (x,), (x,)))(A))
    both(lambda api, np: api.jacrev(api.vmap(lambda x: x[0] * x))(B))
    both(lambda api, np: api.vmap(lambda x, y: api.grad(lambda z: z * y * x)(x))(B[0], B[1]))


def test_integers_booleans_and_complex() -> None:
    z = jnp.array([1 + 2j, 3j, -1.0])
    both(
        lambda api, np: api.vmap(lambda n, b, z: (np.where(b, n, -n), n % 2, np.abs(z) * n, ~b))(
            jnp.arange(3), jnp.array([True, False, True]), z
        )
    )


def test_numpy_arguments() -> None:
    x = np.arange(3.0, dtype="float32")
    both(lambda api, np: api.vmap(lambda x, y: x * y + y)(x, x.astype(int)))


def test_weak_types_survive() -> None:
    for fun in (lambda x: x * 2, lambda x: 2.0, lambda x: x):
        for x in (jnp.arange(3), jnp.ones(3, "float32"), jnp.asarray(2.0) * jnp.arange(3)):
            ours, theirs = minijvp.vmap(fun)(x), jax.vmap(fun)(x)
            assert (ours.dtype, ours.weak_type) == (theirs.dtype, theirs.weak_type)


def test_values_that_are_not_mapped_steer_python() -> None:
    def fun(x: Any, n: Any) -> Any:
        return x * 2 if n > 1 else x

    assert minijvp.vmap(fun, (0, None))(jnp.ones(2), 3).tolist() == [2.0, 2.0]
    with pytest.raises(ConcretizationError):
        minijvp.vmap(fun)(jnp.ones(2), jnp.arange(2))


def test_shapes_inside() -> None:
    def fun(x: Any) -> Any:
        assert (x.shape, x.ndim, x.size, len(x)) == ((3, 4), 2, 12, 3)
        return x.T

    assert minijvp.vmap(fun)(A).shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: minijvp.vmap(mnp.add)(A, B), "different sizes"),
        (lambda: minijvp.vmap(mnp.sin, 3)(A), "cannot map axis 3"),
        (lambda: minijvp.vmap(mnp.sin)(1.0), "cannot map axis 0"),
        (lambda: minijvp.vmap(mnp.sin, "x")(A), "cannot map axis 'x'"),
        (lambda: minijvp.vmap(mnp.add, (0,))(A, A), "in_axes=(0,) has 1 entr"),
        (lambda: minijvp.vmap(mnp.sin, ({"a": 0},))(A), "does not fit"),
        (lambda: minijvp.vmap(mnp.sin, None)(A), "nothing to map over"),
        (lambda: minijvp.vmap(mnp.sin, axis_size=5)(A), "axis_size=5"),
        (lambda: minijvp.vmap(mnp.sin, out_axes=None)(A), "out_axes is None"),
        (lambda: minijvp.vmap(mnp.sin, out_axes=3)(A), "out of range"),
        (lambda: minijvp.vmap(mnp.sin, out_axes=(0, 0))(A), "does not fit"),
        (lambda: minijvp.vmap(lambda x: "text")(A), "not an array"),
        (lambda: minijvp.vmap(mnp.sin)("text"), "not an array"),
        (lambda: minijvp.vmap(A), "cannot be called"),
    ],
)
def test_errors(call: Any, words: str) -> None:
    with pytest.raises(ArgumentError) as error:
        call()
    assert words in str(error.value)


shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(shapes, st.data())
def test_a_map_is_a_loop(shape: tuple[int, ...], data: Any) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.arange(float(np.prod(shape))).reshape(shape)
    out_axis = data.draw(st.integers(-len(shape), len(shape) - 1))

    def fun(x: Any) -> Any:
        return mnp.cumsum(mnp.sin(x).reshape(-1)).reshape(x.shape) * x.sum()

    rows = [fun(np.take(x, i, axis)) for i in range(shape[axis])]
    found = minijvp.vmap(fun, axis, out_axis)(x)
    np.testing.assert_allclose(found, np.stack(rows, out_axis), rtol=1e-12, atol=1e-12)


def test_results_without_numbers_are_mapped() -> None:
    both(lambda api, np: api.vmap(api.grad(lambda x, i: x * i, (0, 1), allow_int=True))(np.arange(3.0), np.arange(3)))
    both(
        lambda api, np: api.vmap(api.grad(lambda x, i: x * i, (0, 1), allow_int=True), out_axes=-1)(
            np.arange(3.0), np.arange(3)
        )
    )


def test_a_choice_between_a_number_and_a_lane() -> None:
    """The number is a literal of the program, and there is one of it for all lanes."""
    f = minijvp.jit(lambda x: mnp.where(x > 1, -1, mnp.asarray(2) + 1))
    np.testing.assert_array_equal(minijvp.vmap(f)(jnp.arange(3.0)), [3, 3, -1])


@pytest.mark.parametrize("thing", [np.sin, "add", object(), float, slice(1), ..., b"x", frozenset()])
def test_what_is_not_mapped_may_be_anything(thing: Any) -> None:
    def fun(x: Any, y: Any) -> Any:
        (known, z) = y
        assert known is thing
        return x * z if known == "add" else x + z

    both(lambda api, np: api.vmap(fun, (0, None))(A, (thing, 2.0)))
    both(lambda api, np: api.grad(lambda a: api.vmap(fun, (0, None))(a, (thing, a[0])).sum())(A))
    with pytest.raises(ArgumentError, match=r"y\[0\] is"):
        minijvp.vmap(fun)(A, (thing, A))


def test_a_function_that_is_not_mapped() -> None:
    both(lambda api, np: api.vmap(lambda x, f: f(x), (0, None))(A, np.sin))


CHOICES = {
    "one": lambda api, x, y: api.lax.cond(x > 1, lambda x, y: (x, y), lambda x, y: (-x, y), x, y),
    "of three": lambda api, x, y: api.lax.switch(x.astype(int), [lambda x, y: (x * k, y) for k in range(3)], x, y),
    "closed over": lambda api, x, y: api.lax.cond(x > 1, lambda x: (x, y), lambda x: (-x, y), x),
    "in a loop": lambda api, x, y: api.lax.scan(
        lambda c, _: (api.lax.cond(c[0] > 1, lambda c: (c[0] * x, c[1]), lambda c: c, c), None), (x, y), None, 3
    )[0],
    "in a while loop": lambda api, x, y: api.lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1 + x, c[1]), (x, y)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_a_choice_hands_on_is_the_same_for_all(name: str) -> None:
    x, y = jnp.arange(3.0), jnp.float32(2)
    both(lambda api, np: api.vmap(lambda x: CHOICES[name](api, x, y), out_axes=(0, None))(x))
    swapped = lambda x: minijvp.lax.cond(x > 1, lambda y, z: (y, z), lambda y, z: (z, y), y, y + 1)
    with pytest.raises(ArgumentError, match="depends on mapped"):
        minijvp.vmap(swapped, out_axes=None)(x)


def test_arguments_without_numbers() -> None:
    none, n, x = np.zeros(3, jax.dtypes.float0), np.arange(3), np.arange(3.0)

    def case(api: Any, np_: Any) -> Any:
        push = lambda t: api.jvp(lambda n, y: y * n, (n, x), (t["a"], x))
        sizes = lambda t, y: (y * t.shape[0] + t.size, t)
        jitted = api.jit(push)({"a": none}), api.jit(sizes)(none, x), api.jit(lambda t: api.jit(sizes)(t, x))(none)
        mapped = api.vmap(lambda t, n, y: api.jvp(lambda n, y: y * n, (n, y), (t, y)))(none, n, x)
        rows = np.zeros((3, 2), jax.dtypes.float0)
        shapes = api.vmap(lambda t, y: (y + t.ndim, t), in_axes=(1, None))(rows, x), api.vmap(lambda t: t)(none)
        both_at_once = api.jit(api.vmap(lambda t, y: (y + t.size, t)))(rows, x)
        derived = api.grad(lambda y: np_.sum(api.jit(sizes)(none, y)[0]))(x)
        return jitted, mapped, shapes, both_at_once, derived, api.vmap(lambda t, y: (t, y), (None, 0))(none, x)

    both(case)
