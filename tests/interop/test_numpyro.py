"""numpyro: samplers and variational inference whose gradients come from minijvp."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.tree_util import tree_map
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import initialize_model

import minijvp
from tests.interop.models import normal, schools
from tests.side_by_side import same

Y, SIGMA = jnp.array([28.0, 8.0, -3.0]), jnp.array([15.0, 10.0, 16.0])


def leapfrog(api: Any, potential: Any, add: Any) -> Any:
    """Three steps of Hamiltonian dynamics, from a position and a momentum."""

    def trajectory(z: Any, r: Any) -> Any:
        slope = api.grad(potential)
        for _ in range(3):
            r = add(r, slope(z), -0.05)
            z = add(z, r, 0.1)
            r = add(r, slope(z), -0.05)
        return z, r, potential(z)

    return trajectory


def test_hamiltonian_dynamics() -> None:
    info = initialize_model(jax.random.key(0), schools, model_args=(SIGMA, Y))
    z, potential = info.param_info.z, info.potential_fn
    r = tree_map(jnp.cos, z)
    add = lambda a, b, scale: tree_map(lambda a, b: a + scale * b, a, b)
    found = minijvp.jit(leapfrog(minijvp, minijvp.from_jax(potential), minijvp.from_jax(add)))
    wanted = jax.jit(leapfrog(jax, potential, add))
    same(found(z, r), wanted(z, r), 1e-10)
    chains, momenta = tree_map(lambda leaf: jnp.stack([leaf, 0.9 * leaf]), (z, r))
    same(minijvp.vmap(found)(chains, momenta), jax.vmap(wanted)(chains, momenta), 1e-10)


def regression(features: Any, y: Any) -> None:
    w = numpyro.sample("w", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.StudentT(4.0, features @ w, scale), obs=y)


def test_evidence_lower_bound() -> None:
    """The loss of numpyro's own variational inference, with a guide that it makes itself."""
    features, y = normal(0, 4, 2), normal(1, 4)
    guide = AutoNormal(regression)
    svi = SVI(regression, guide, numpyro.optim.Adam(0.1), Trace_ELBO(num_particles=2))
    params = svi.get_params(svi.init(jax.random.key(0), features, y))

    def loss(params: Any, key: Any) -> Any:
        return Trace_ELBO(num_particles=2).loss(key, params, regression, guide, features, y)

    key = jax.random.key(1)
    found = minijvp.jit(minijvp.value_and_grad(minijvp.from_jax(loss)))(params, key)
    same(found, jax.jit(jax.value_and_grad(loss))(params, key), 1e-10)


def test_reparameterized_samples() -> None:
    """Derivatives of samples in the parameters of their distributions, in both modes."""

    def samples(x: Any, key: Any) -> Any:
        keys = jax.random.split(key, 6)
        return [
            dist.Gamma(x[0], x[1]).rsample(keys[0]),
            dist.Beta(x[0], x[1]).rsample(keys[1]),
            dist.StudentT(x[0], x[1], 2.0).rsample(keys[2]),
            dist.Gumbel(x[0], x[1]).rsample(keys[3], (2,)),
            dist.TransformedDistribution(dist.Normal(x[0], x[1]), dist.transforms.SigmoidTransform()).rsample(keys[4]),
            dist.Dirichlet(x).rsample(keys[5]),
        ]

    x, key = jnp.array([1.3, 0.7]), jax.random.key(0)
    wanted = jax.jit(jax.jacfwd(samples))(x, key)
    same(minijvp.jit(minijvp.jacfwd(minijvp.from_jax(samples)))(x, key), wanted, 1e-9)
    same(minijvp.jit(minijvp.jacrev(minijvp.from_jax(samples)))(x, key), wanted, 1e-9)
