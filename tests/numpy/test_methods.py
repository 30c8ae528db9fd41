"""Tracers have the methods and attributes of jax.Array."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import Tracer
from tests.side_by_side import both

PLACED = "where and how an array lies in memory is not known before there is one"
WITHOUT = {
    "addressable_data": PLACED,
    "addressable_shards": PLACED,
    "byteswap": "jax.Array has it from NumPy, and refuses it",
    "clone": PLACED,
    "committed": PLACED,
    "copy_to_host_async": PLACED,
    "delete": PLACED,
    "device": PLACED,
    "device_buffer": PLACED,
    "device_buffers": PLACED,
    "devices": PLACED,
    "flat": "it gives access to memory",
    "format": PLACED,
    "global_shards": PLACED,
    "is_deleted": PLACED,
    "is_fully_addressable": PLACED,
    "is_fully_replicated": PLACED,
    "is_ready": PLACED,
    "on_device_size_in_bytes": PLACED,
    "platform": PLACED,
    "sharding": PLACED,
    "to_device": PLACED,
    "tobytes": PLACED,
    "traceback": "made_at() gives the line that made a tracer",
    "unsafe_buffer_pointer": PLACED,
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
