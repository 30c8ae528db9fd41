"""equinox: modules are trees with functions and strings among their leaves."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equinox import internal as eqxi

import minijvp
from minijvp import ArgumentError
from tests.interop.models import Recurrent, as_doubles, normal
from tests.side_by_side import same

MLP = eqx.nn.MLP(2, 1, 3, 2, activation=jax.nn.gelu, key=jax.random.key(0), dtype=jnp.float64)


def loss(model: Any, x: Any) -> Any:
    return (jax.vmap(model)(x) ** 2).mean()


def test_a_module_goes_in_as_it_is() -> None:
    """Its activation is a leaf and a function: static."""
    x = normal(0, 4, 2)
    assert any(callable(leaf) for leaf in jax.tree_util.tree_leaves(MLP))
    bridged = minijvp.from_jax(loss)
    same(minijvp.grad(bridged, 1)(MLP, x), jax.grad(loss, 1)(MLP, x), 1e-12)
    params, static = eqx.partition(MLP, eqx.is_inexact_array)
    found = minijvp.grad(lambda params: bridged(eqx.combine(params, static), x))(params)
    same(found, eqx.filter_grad(loss)(MLP, x), 1e-12)


def test_a_module_is_a_function() -> None:
    """A model itself is bridged, and so is a method of one."""
    x = normal(1, 2)
    same(minijvp.jacrev(minijvp.from_jax(MLP))(x), jax.jacrev(MLP)(x), 1e-12)
    model = as_doubles_module(Recurrent(jax.random.key(1)))
    call, h = minijvp.from_jax(model.cell.__call__), normal(2, 3)
    same(minijvp.jit(minijvp.jacfwd(call, 1))(x, h), jax.jacfwd(model.cell, 1)(x, h), 1e-12)


def as_doubles_module(model: Any) -> Any:
    params, static = eqx.partition(model, eqx.is_inexact_array)
    return eqx.combine(as_doubles(params), static)


def test_filtered_transformations_inside() -> None:
    """eqx.filter_jit, filter_vmap and filter_checkpoint are JAX, and are traced."""

    @eqx.filter_jit
    def filtered(model: Any, x: Any, key: Any) -> Any:
        model = eqx.tree_at(lambda m: m.layers[0].bias, model, replace_fn=jnp.sin)
        out = eqx.filter_vmap(eqx.filter_checkpoint(model))(x)
        return eqx.nn.Dropout(0.5)(eqx.nn.LayerNorm((4, 1))(out) + out, key=key).sum()

    x, key = normal(0, 4, 2), jax.random.key(0)
    params, static = eqx.partition(MLP, eqx.is_inexact_array)
    bridged = minijvp.from_jax(filtered)
    for word in (minijvp.grad, lambda f: minijvp.jit(minijvp.grad(f))):
        found = word(lambda params: bridged(eqx.combine(params, static), x, key))(params)
        same(found, eqx.filter_grad(filtered)(MLP, x, key), 1e-10)


def test_an_ensemble() -> None:
    """Modules made by vmap, applied by vmap of a bridged function."""
    keys = jax.random.split(jax.random.key(2), 3)
    make = lambda key: eqx.nn.MLP(2, 1, 3, 1, key=key, dtype=jnp.float64)
    models, x = eqx.filter_vmap(make)(keys), normal(0, 4, 2)
    params, static = eqx.partition(models, eqx.is_array)
    apply = minijvp.from_jax(lambda params, x: loss(eqx.combine(params, static), x))
    found = minijvp.vmap(minijvp.grad(apply), (0, None))(params, x)
    wanted = [eqx.filter_grad(loss)(make(key), x) for key in keys]
    for i, one in enumerate(wanted):
        rows = jax.tree_util.tree_map(lambda leaf: leaf[i], found)
        for a, b in zip(*map(jax.tree_util.tree_leaves, (rows, one)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_checks_of_values() -> None:
    """They are operations of equinox's own, one of which asks all lanes of a batch together."""
    fun = lambda x: jnp.sin(eqx.error_if(x, x < 0, "below zero")).sum()
    bridged, x = minijvp.from_jax(fun), jnp.array([0.5, 2.0])
    same(minijvp.jit(minijvp.grad(bridged))(x), jnp.cos(x))
    same(minijvp.vmap(minijvp.grad(bridged))(x), jnp.cos(x))
    with pytest.raises(Exception, match="below zero"):
        minijvp.jit(minijvp.grad(bridged))(-x)


@pytest.mark.parametrize("kind", ["bounded", "checkpointed"])
def test_its_loops(kind: str) -> None:
    """A loop with a bound has both modes; one with checkpoints has a rule for reverse mode."""
    step = lambda carry: (carry[0] + 1, jnp.sin(carry[1]) * carry[1])
    loop = lambda x: eqxi.while_loop(lambda carry: carry[0] < 5, step, (0, x), kind=kind, max_steps=8)[1]
    bridged, x = minijvp.from_jax(loop), jnp.array(1.2)
    same(minijvp.jit(minijvp.grad(bridged))(x), jax.jit(jax.grad(loop))(x))
    same(minijvp.jit(minijvp.vmap(minijvp.grad(bridged)))(x[None]), jax.jit(jax.grad(loop))(x)[None])


def test_a_module_among_the_arguments_is_split_first() -> None:
    model = eqx.nn.MLP(2, "scalar", 3, 1, key=jax.random.key(0))
    with pytest.raises(ArgumentError, match=r"activation is (.|\n)*params, static = eqx.partition\(module"):
        minijvp.grad(minijvp.from_jax(lambda m: m(jnp.ones(2))))(model)
