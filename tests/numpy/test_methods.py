"""Tracers have the methods and attributes of jax.Array."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import Tracer
from minijvp.numpy.operators import ATTRIBUTES_OF_MEMORY, METHODS_OF_MEMORY
from tests.side_by_side import both

PLACED = "where and how an array lies in memory is not known before there is one"
WITHOUT = {
    "clone": PLACED,
    "device_buffer": PLACED,
    "device_buffers": PLACED,
    "platform": PLACED,
    "traceback": "made_at() gives the line that made a tracer",
    "unsafe_raw_buffer": PLACED,
    "aval": "`type` is minijvp's",
}


def test_every_attribute_of_an_array_is_there() -> None:
    names = {n for n in dir(jnp.ones(2)) if not n.startswith("_")}
    assert sorted(n for n in names - set(dir(Tracer)) if n not in WITHOUT) == []


METHODS: list[Callable[[Any], Any]] = [
    lambda x: x.compress(np.array([True, False, True, True])),
    lambda x: x.take(np.array([2, 0])) * x[x.argpartition(1)[:2]],
    lambda x: x.reshape(2, 2).T @ x.reshape(2, 2).mT,
    lambda x: x.searchsorted(np.array([0.5])) * x,
    lambda x: x.view("int64") * x,
    lambda x: x.astype("float32").sum() + x.nbytes + x.itemsize,
    lambda x: sum(row * i for i, row in enumerate(x)) * len(x),
    lambda x: np.ones(4) @ x + x @ np.ones(4) + jnp.ones(4) @ x + (np.ones(4) - x).sum() + (jnp.ones(4) / x).sum(),
    lambda x: ((x < jnp.ones(4)) | (np.ones(4) < x)) * x,
    lambda x: x.at[1].multiply(3.0).at[-1].set(x[0]) * 2.0,
]


@pytest.mark.parametrize("number", range(len(METHODS)))
def test_methods_under_derivatives(number: int) -> None:
    both(lambda api, np: api.grad(lambda x: np.sin(METHODS[number](x)).sum())(np.arange(4.0) + 0.3))
    both(lambda api, np: api.vmap(METHODS[number])(np.arange(8.0).reshape(2, 4) + 0.3))


def test_a_tracer_is_its_own_copy() -> None:
    def fun(x: Any) -> Any:
        assert copy.copy(x) is copy.deepcopy(x) is x.block_until_ready() is x
        assert x.__array_namespace__() is mnp
        return x * 2.0

    assert float(minijvp.grad(fun)(1.0)) == 2.0


def test_selections_of_known_values() -> None:
    both(lambda api, np: api.grad(lambda x: (x[x.nonzero()] ** 2).sum())(np.array([0.0, 2.0, 3.0])))


def test_item_without_a_value() -> None:
    with pytest.raises(minijvp.ConcretizationError, match=r"item\(\) needs the value of a traced"):
        minijvp.jit(lambda x: x.item())(1.0)


def test_bytes() -> None:
    x = np.array([1.0, 2.5, 3.0])
    both(lambda api, np: api.jit(lambda x: x.byteswap().byteswap() * x)(x))
    both(lambda api, np: api.vmap(lambda x: x.astype("int16").byteswap())(x[None]))
    both(lambda api, np: api.grad(lambda x: (x.byteswap().byteswap() * x).sum())(x))
    assert minijvp.grad(lambda x: x * len(minijvp.stop_gradient(x).tobytes()))(1.0) == 8.0
    for transform in (minijvp.grad, minijvp.jit):
        with pytest.raises(minijvp.ConcretizationError, match=r"tobytes\(\)"):
            transform(lambda x: x * len(x.tobytes()))(1.0)


def test_a_tracer_on_a_device() -> None:
    device = jax.devices()[0]
    both(lambda api, np: api.jit(api.grad(lambda x: np.sin(x.to_device(device))))(1.0))
    both(lambda api, np: api.vmap(lambda x: x.to_device(device) * 2)(np.arange(3.0)))
    with pytest.raises(minijvp.ArgumentError, match="stream"):
        minijvp.jit(lambda x: x.to_device(device, stream=1))(1.0)


def test_membership() -> None:
    both(lambda api, np: api.grad(lambda x: (x * 2.0 if 3.0 in x else x).sum())(np.arange(6.0)))
    both(lambda api, np: api.jit(lambda x: x.__contains__(1.0))(np.arange(3.0)))
    with pytest.raises(minijvp.ConcretizationError, match="bool"):
        minijvp.jit(lambda x: x if 1.0 in x else -x)(np.arange(3.0))
    for element, x in ((1.0, np.ones((2, 2))), (np.ones(2), np.ones(2)), (1.0, 1.0)):
        with pytest.raises(minijvp.ArgumentError, match="looks for a number in a vector"):
            minijvp.jit(lambda x, element=element: x * (element in x))(x)


@pytest.mark.parametrize("name", METHODS_OF_MEMORY + ATTRIBUTES_OF_MEMORY)
def test_a_tracer_has_no_memory(name: str) -> None:
    def fun(x: Any) -> Any:
        assert hasattr(x, name) == (name in METHODS_OF_MEMORY)
        return getattr(x, name)() * x

    error = minijvp.ConcretizationError if name in METHODS_OF_MEMORY else AttributeError
    with pytest.raises(
        error, match=rf"{name}.* was asked of a traced f\d\d\[\]\*?[.,](.|\n)*no memory(.|\n)*Ask it of"
    ):
        minijvp.grad(fun)(1.0)


BY_ARRAYS: list[Callable[[Any, Any], Any]] = [
    lambda np_, x: x.transpose(np.array([0, 2, 1])),
    lambda np_, x: np_.transpose(x, np.array([2, 0, 1])),
    lambda np_, x: x.reshape(np.array([4, -1])),
    lambda np_, x: np_.reshape(x, np.array([6, 4])),
    lambda np_, x: np_.broadcast_to(x, np.array([5, 2, 3, 4])),
    lambda np_, x: np_.moveaxis(x, np.array([0, 1]), np.array([1, 0])),
    lambda np_, x: np_.sum(x, axis=np.array([0, 1])),
    lambda np_, x: np_.expand_dims(x, np.array([0, 1])),
    lambda np_, x: np_.flip(x, np.array([0, 1])),
    lambda np_, x: x[0, 0].transpose(0),
]


@pytest.mark.parametrize("number", range(len(BY_ARRAYS)))
def test_axes_and_shapes_that_are_arrays_of_numpy(number: int) -> None:
    f, x = BY_ARRAYS[number], np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    wanted = jax.jit(lambda x: f(jnp, x))(x)
    np.testing.assert_array_equal(minijvp.jit(lambda x: f(mnp, x))(x), wanted)
    np.testing.assert_array_equal(minijvp.jvp(lambda x: f(mnp, x), (x,), (x,))[1], wanted)
