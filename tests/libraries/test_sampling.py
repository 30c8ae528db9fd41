"""blackjax: its samplers take the gradients of minijvp, and run under its transformations."""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.libraries.programs import normal
from tests.side_by_side import same

Z = {"a": normal(0, 3), "b": jnp.array(0.2)}
KEYS = jax.random.split(jax.random.key(0), 4)


def log_density(np: Any) -> Any:
    """That of a product of distributions, one of which depends on the other."""
    return lambda z: -np.sum(np.cosh(z["a"])) - np.exp(z["b"]) * np.sum(z["a"] ** 2) - z["b"] ** 2


def trajectories(density: Any, z: Any, keys: Any) -> Any:
    """Positions and energies along a chain of the No-U-Turn sampler."""
    sampler = blackjax.nuts(density, 0.3, jnp.array([1.0, 0.5, 2.0, 1.0]), max_num_doublings=3)

    def step(state: Any, key: Any) -> Any:
        state, info = sampler.step(key, state)
        return state, (state.position, info.energy, info.num_integration_steps)

    return jax.lax.scan(step, sampler.init(z), keys)[1]


@pytest.mark.parametrize("word", [minijvp.to_jax, lambda density: density], ids=["to_jax", "direct"])
def test_no_u_turn_sampler_by_gradients_of_minijvp(word: Any) -> None:
    found = jax.jit(lambda z: trajectories(word(log_density(mnp)), z, KEYS))(Z)
    wanted = jax.jit(lambda z: trajectories(log_density(jnp), z, KEYS))(Z)
    assert wanted[2].max() > 1
    same(found, wanted, 1e-10)


def test_no_u_turn_sampler_under_minijvp() -> None:
    """Chains in a batch, and how positions depend on the start, in forward mode: the sampler has a while loop."""
    chain = lambda z, keys: trajectories(log_density(jnp), z, keys)[0]
    rows = jax.tree_util.tree_map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), Z)
    keys = jnp.stack([KEYS[:2], KEYS[2:]])

    def directions(api: Any, chain: Any) -> Any:
        one = lambda z, keys: api.jvp(lambda z: chain(z, keys), (z,), (z,))
        return api.jit(api.vmap(one))(rows, keys)

    same(directions(minijvp, minijvp.from_jax(chain)), directions(jax, chain), 1e-9)


def test_adaptation_of_the_step_size() -> None:
    """A whole warm up, with the gradients of minijvp inside."""

    def tuned(density: Any) -> Any:
        warm_up = blackjax.window_adaptation(blackjax.hmc, density, num_integration_steps=2)
        (state, parameters), _ = warm_up.run(jax.random.key(1), Z, num_steps=10)
        return state.position, parameters["step_size"], parameters["inverse_mass_matrix"]

    same(tuned(minijvp.to_jax(log_density(mnp))), tuned(log_density(jnp)), 1e-8)
