"""Slices at computed places: every index that a dtype has, in every state, against jax.lax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import minijvp
import minijvp.numpy as mnp
from minijvp import lax as ours

X = jnp.arange(1.0, 13.0).reshape(4, 3)
GATHER = lax.GatherDimensionNumbers(offset_dims=(0,), collapsed_slice_dims=(0,), start_index_map=(0,))
SCATTER = lax.ScatterDimensionNumbers((0,), (0,), (0,))
INDICES = {
    "int8": [-128, -9, -8, -5, -4, -3, -1, 0, 1, 2, 3, 4, 127],
    "uint8": [0, 1, 3, 4, 255],
    "int32": [-(2**31), -9, -5, -1, 0, 2, 4, 2**31 - 1],
    "uint32": [0, 3, 4, 2**31, 2**31 + 2, 2**32 - 1],
    "int64": [-(2**63), -(2**40), 1 - 2**32, -9, -5, -1, 2, 4, 2**32 + 1, 2**40, 2**63 - 1],
    "uint64": [0, 3, 2**32 + 1, 2**63, 2**64 - 1],
}


def slices(api: Any, x: Any, i: Any) -> tuple[Any, ...]:
    """What every function makes of one index."""
    clamped = {"allow_negative_indices": False}
    rows, row = x[:2, :2] * 10, x[0] * 10
    return (
        api.dynamic_slice(x, (i, i), (2, 2)),
        api.dynamic_slice(x, (i, i), (2, 2), **clamped),
        api.dynamic_slice(x, (i, i), (2, 2), allow_negative_indices=(True, False)),
        api.dynamic_slice_in_dim(x, i, 2, -1),
        api.dynamic_slice_in_dim(x, i, 2, **clamped),
        api.dynamic_index_in_dim(x, i, 1, False),
        api.dynamic_index_in_dim(x, i, **clamped),
        api.dynamic_update_slice(x, rows, (i, i)),
        api.dynamic_update_slice(x, rows, (i, i), **clamped),
        api.dynamic_update_slice_in_dim(x, rows.reshape(1, 4)[:, :3], i, 0),
        api.dynamic_update_slice_in_dim(x, row[None], i, 0, **clamped),
        api.dynamic_update_index_in_dim(x, row, i, 0),
        api.dynamic_update_index_in_dim(x, row, i, 0, **clamped),
    )


def defaults(api: Any, x: Any, i: Any) -> tuple[Any, ...]:
    """Reads and writes at one index without a mode, beside those with one."""
    return (
        api.gather(x, i[None], GATHER, (1, 3)),
        api.gather(x, i[None], GATHER, (1, 3), mode="fill"),
        api.gather(x, i[None], GATHER, (1, 3), mode="clip"),
        api.scatter(x, i[None], x[0] * 10, SCATTER),
        api.scatter_add(x, i[None], x[0] * 10, SCATTER),
        api.scatter_mul(x, i[None], x[0] * 10, SCATTER, unique_indices=True),
        api.scatter_min(x, i[None], x[0] * 10, SCATTER),
        api.scatter_max(x, i[None], x[0] * 10, SCATTER),
    )


def total(np_like: Any, case: Any, api: Any) -> Any:
    return lambda x, i: sum(np_like.nansum(np_like.sin(out) * (k + 1)) for k, out in enumerate(case(api, x, i)))


@pytest.mark.parametrize("dtype", INDICES)
@pytest.mark.parametrize("case", [slices, defaults])
def test_indices_of_every_dtype(case: Any, dtype: str) -> None:
    if case is defaults and dtype in ("uint32", "int64", "uint64"):
        return  # 32 bits of a large index are another index, in XLA's scatter
    indices = jnp.asarray(np.array(INDICES[dtype], dtype))
    theirs, mine = lambda x, i: case(lax, x, i), lambda x, i: case(ours, x, i)
    bridged = minijvp.from_jax(theirs)
    wanted = jax.jit(jax.vmap(theirs, (None, 0)))(X, indices)
    one_by_one = jax.jit(theirs)
    compiled, read = minijvp.jit(mine), minijvp.jit(bridged)
    rows = minijvp.jit(minijvp.vmap(mine, (0, None)))
    for k, i in enumerate(indices):
        for found in (one_by_one(X, i), compiled(X, i), read(X, i), [x[0] for x in rows(X[None], i)]):
            for x, y in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(x, y[k], err_msg=str(i))
    for function in (mine, bridged):
        for found in (
            minijvp.jit(minijvp.vmap(function, (None, 0)))(X, indices),
            minijvp.jvp(lambda x: minijvp.vmap(function, (None, 0))(x, indices), (X,), (X,))[0],
        ):
            for x, y in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(x, y)
    gradients = jax.jit(jax.vmap(jax.grad(total(jnp, case, lax)), (None, 0)))(X, indices)
    through = lambda x, i: sum(mnp.nansum(mnp.sin(out) * (k + 1)) for k, out in enumerate(bridged(x, i)))
    for function in (total(mnp, case, ours), through):
        found = minijvp.jit(minijvp.vmap(minijvp.grad(function), (None, 0)))(X, indices)
        np.testing.assert_allclose(found, gradients, rtol=1e-12)
    eager = [minijvp.grad(total(mnp, case, ours))(X, i) for i in indices]
    np.testing.assert_allclose(eager, gradients, rtol=1e-12)


def test_indices_that_python_knows() -> None:
    for i in (-7, -5, -1, 0, 2, 9, 2**40, -(2**40)):
        for function in (
            lambda api, i: lambda x: api.dynamic_slice(x, (i, 1), (2, 2)),
            lambda api, i: lambda x: api.dynamic_update_slice(x, x[:2, :2] * 10, (i, i)),
            lambda api, i: lambda x: api.dynamic_index_in_dim(x, i, 1),
        ):
            np.testing.assert_array_equal(minijvp.jit(function(ours, i))(X), function(lax, i)(X), err_msg=str(i))
    with pytest.raises(minijvp.ArgumentError, match="allow_negative_indices=False"):
        minijvp.jit(lambda x: ours.dynamic_slice(x, (-1, 0), (2, 2), allow_negative_indices=False))(X)
