"""Exported programs as bytes, which jax.export writes by the package flatbuffers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import minijvp
import minijvp.numpy as mnp
from tests.calls.test_export import X, require_same, symbolic


def test_gradients_of_what_was_read_from_bytes() -> None:
    def loss(x: Any) -> Any:
        return mnp.mean(mnp.sin(x) ** 2)

    exported = export.export(minijvp.jit(loss))(*symbolic(("b", 3)))
    found = minijvp.from_jax(minijvp.export.deserialize(exported.serialize(vjp_order=1)).call)
    wanted = jax.grad(lambda x: jnp.mean(jnp.sin(x) ** 2))(X)
    require_same(minijvp.grad(found)(X), wanted)
    require_same(minijvp.jit(minijvp.grad(found))(np.concatenate([X, X])), np.concatenate([wanted, wanted]) / 2)


def test_a_gradient_is_the_same_from_bytes() -> None:
    exported = export.export(minijvp.jit(minijvp.grad(lambda x: mnp.mean(x**3))))(*symbolic(("b", "c")))
    again = export.deserialize(exported.serialize())
    require_same(again.call(X), exported.call(X))
    assert again.in_avals == exported.in_avals or str(again.in_avals) == str(exported.in_avals)
