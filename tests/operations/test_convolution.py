"""Convolutions that are compiled: in the form that XLA is fast at on CPU, and equal to those of JAX in every other."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import minijvp
from minijvp.operations.convolution import Convolution, in_canonical_form
from tests.samples import random

ORDERS = list(permutations(range(3)))
ONES: dict[str, Any] = {"window_strides": (1,), "padding": ((1, 0),), "lhs_dilation": (2,), "rhs_dilation": (1,)}
X, Y = random(4, 3, 6), random(4, 3, 2, seed=1)
"""Of the order (batch, feature, width), and the kernels (out, in, width)."""


def laid_out(x: Any, order: tuple[int, ...]) -> Any:
    """x with its axis i at order[i]."""
    return x.transpose([order.index(d) for d in range(3)])


@pytest.mark.parametrize("x_order", ORDERS)
def test_all_orders_of_axes(x_order: tuple[int, ...]) -> None:
    wanted = lax.conv_general_dilated(X, Y, (1,), ((1, 0),), (2,))
    for y_order, order in product(ORDERS, ORDERS):
        p = Convolution(**ONES, dimension_numbers=lax.ConvDimensionNumbers(x_order, y_order, order))
        found = in_canonical_form(laid_out(X, x_order), laid_out(Y, y_order), p)
        np.testing.assert_allclose(found, laid_out(wanted, order), rtol=1e-5, atol=1e-5)


def looped(api: Any, f: Callable[..., Any], y: Any, x: Any) -> Any:
    return api.lax.scan(lambda c, x: (c + api.numpy.sum(f(x, y)), None), 0.0, api.numpy.stack([x, 2 * x]))[0]


def chosen(api: Any, f: Callable[..., Any], y: Any, x: Any) -> Any:
    yes, no = lambda x, y: api.numpy.sum(f(x, y)), lambda x, y: -api.numpy.sum(f(x, 3 * y))
    return api.lax.cond(x.ravel()[0] > 5, yes, no, x, y)


def repeated(api: Any, f: Callable[..., Any], y: Any, x: Any) -> Any:
    """A loop of two steps; JAX takes its gradient where it knows the number of them."""
    step = lambda _, c: (c[0] * 1.5, c[1] + api.numpy.sum(f(c[0], y)))
    return api.lax.fori_loop(0, 2, step, (x, 0.0))[1]


def mapped(api: Any, f: Callable[..., Any], y: Any, x: Any) -> Any:
    both = api.vmap(f)(api.numpy.stack([x, 2 * x]), api.numpy.stack([y, 3 * y]))
    return api.numpy.sum(both) + api.numpy.sum(api.vmap(lambda x: f(x, y))(api.numpy.stack([x, 2 * x])))


def mapped_in_a_loop(api: Any, f: Callable[..., Any], y: Any, x: Any) -> Any:
    step = lambda c, x: (c + mapped(api, f, y, x), None)
    return api.lax.scan(step, 0.0, api.numpy.stack([x, 2 * x]))[0]


PLACES = (looped, chosen, repeated, mapped, mapped_in_a_loop)

ROTATED = [(ORDERS[i], ORDERS[(i + 2) % 6], ORDERS[(5 * i + 3) % 6]) for i in range(6)]
"""Every order of each of the three."""


def same(found: Any, wanted: Any) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        bound = 2e-12 if a.dtype in (np.float64, np.complex128) else 4e-6 if a.dtype.itemsize >= 4 else 3e-2
        a, b = (np.asarray(v, np.complex128) for v in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=bound * np.abs(b).max(initial=0))


@pytest.mark.parametrize("place", PLACES)
def test_values_and_gradients_wherever_it_stands(place: Callable[..., Any]) -> None:
    def total(api: Any) -> Callable[..., Any]:
        def convolved(orders: Any, x: Any, y: Any) -> Any:
            x, y = laid_out(x, orders[0]), laid_out(y, orders[1])
            out = api.lax.conv_general_dilated(
                x, y, (1,), ((1, 0),), (2,), dimension_numbers=lax.ConvDimensionNumbers(*orders)
            )
            return api.numpy.sin(out) * jnp.arange(out.size).reshape(out.shape) / out.size

        def squares(x: Any, y: Any) -> Any:
            return api.numpy.stack([api.numpy.sum(convolved(orders, x, y)) for orders in ROTATED])

        return lambda x, y: place(api, squares, y, x)

    both = jax.jit(jax.value_and_grad(total(jax), (0, 1)))(X, Y)
    same(minijvp.jit(minijvp.value_and_grad(total(minijvp), (0, 1)))(X, Y), both)
    same(jax.jit(jax.value_and_grad(minijvp.jit(total(minijvp)), (0, 1)))(X, Y), both)
    tangent = jax.jit(lambda x, y: jax.jvp(total(jax), (x, y), (y.sum() * x, y)))(X, Y)
    same(minijvp.jit(lambda x, y: minijvp.jvp(total(minijvp), (x, y), (y.sum() * x, y)))(X, Y), tangent)


KINDS: dict[str, tuple[tuple, tuple, dict[str, Any], Any, bool]] = {
    "nchw": ((2, 3, 6, 5), (4, 3, 3, 2), {}, np.float32, True),
    "strided": ((2, 3, 6, 5), (4, 3, 3, 2), {"window_strides": (2, 1)}, np.float32, True),
    "dilated": ((2, 3, 6, 5), (4, 3, 3, 2), {"lhs_dilation": (2, 1), "rhs_dilation": (1, 2)}, np.float32, True),
    "1d": ((2, 3, 6), (4, 3, 3), {}, np.float32, True),
    "bfloat16": ((2, 3, 6, 5), (4, 3, 3, 2), {}, jnp.bfloat16, True),
    "complex64": ((2, 3, 6, 5), (4, 3, 3, 2), {}, np.complex64, True),
    "groups of 16": ((2, 32, 6, 5), (4, 16, 3, 2), {"feature_group_count": 2}, np.float32, True),
    "batch groups of one kernel": ((4, 3, 6, 5), (4, 3, 3, 2), {"batch_group_count": 4}, np.float32, True),
    "small groups": ((2, 4, 6, 5), (4, 2, 3, 2), {"feature_group_count": 2}, np.float32, False),
    "batch groups": ((4, 3, 6, 5), (4, 3, 3, 2), {"batch_group_count": 2}, np.float32, False),
    "float64": ((2, 3, 6, 5), (4, 3, 3, 2), {}, np.float64, False),
    "float32 to float64": ((2, 3, 6), (4, 3, 3), {"preferred_element_type": np.float64}, np.float32, False),
    "no images": ((0, 3, 6, 5), (4, 3, 3, 2), {}, np.float32, True),
    "3d": ((2, 3, 4, 3, 5), (16, 3, 2, 2, 2), {}, np.float32, True),
    "3d, few features": ((2, 3, 4, 3, 5), (4, 3, 2, 2, 2), {}, np.float32, False),
    "3d, strided": ((2, 3, 4, 3, 5), (16, 3, 2, 2, 2), {"window_strides": (1, 2, 1)}, np.float32, False),
}
"""Shapes, parameters, dtype, and whether it is brought to the canonical form."""


def steps(api: Any, params: dict[str, Any], n: int) -> Callable[..., Any]:
    """The sum of squares of convolutions in a loop."""
    params = {"window_strides": (1,) * n, "padding": ((1, 1),) * n} | params

    def loss(x: Any, y: Any) -> Any:
        def step(c: Any, x: Any) -> tuple[Any, None]:
            out = api.lax.conv_general_dilated(x, y, **params)
            return c + api.numpy.sum(out * api.numpy.conj(out)).real.astype(np.float32), None

        return api.lax.scan(step, jnp.float32(0), api.numpy.stack([x, x * 2]))[0]

    return loss


def layouts(f: Callable[..., Any], *args: Any) -> list[str]:
    """Those of the convolutions in a program of minijvp, as it is handed to XLA."""
    text = minijvp.jit(f).lower(*args).as_text().replace(" ", "")
    return re.findall(r"dim_numbers=(\S*?),window=", text)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_in_a_loop(kind: str) -> None:
    x_shape, y_shape, params, dtype, moved = KINDS[kind]
    with jax.enable_x64(True):
        x, y = (jnp.asarray(v, dtype) for v in (random(*x_shape, dtype=dtype), random(*y_shape, dtype=dtype, seed=1)))
        ours, theirs = (steps(api, params, x.ndim - 2) for api in (minijvp, jax))
        places = set(layouts(ours, x, y))  # those of complex numbers are several of real ones
        axes = ",".join("012"[: x.ndim - 2])
        canonical = f"[b,{axes},f]x[{axes},i,o]->[b,{axes},f]"
        assert len(places) == 1
        assert (places == {canonical}) == moved
        if "preferred_element_type" in params:  # JAX refuses the gradient: float64 with float32
            same(minijvp.jit(ours)(x, y), jax.jit(theirs)(x, y))
        else:
            found = minijvp.jit(minijvp.value_and_grad(ours, (0, 1)))(x, y)
            same(found, jax.jit(jax.value_and_grad(theirs, (0, 1)))(x, y))


@pytest.mark.parametrize("layout", [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")])
def test_those_of_a_gradient_are_canonical_on_cpu_alone(layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    channels_last = layout[0] == "NHWC"
    x, y = random(*((2, 6, 6, 3) if channels_last else (2, 3, 6, 6))), random(*(3, 3) * 2)
    y = y.transpose(0, 2, 1, 3) if channels_last else y.transpose(1, 3, 0, 2)
    numbers = lax.conv_dimension_numbers(x.shape, y.shape, layout)

    def found() -> set[str]:
        return set(layouts(minijvp.grad(steps(minijvp, {"dimension_numbers": numbers}, 2), (0, 1)), x, y))

    assert len(found()) == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert len(found()) > 1
