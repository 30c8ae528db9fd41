"""haiku: modules whose arithmetic is minijvp's own, and those of the library beside it."""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

import minijvp
from tests.libraries.programs import in_widest, normal
from tests.side_by_side import SIDES, same


def test_a_module_over_minijvp() -> None:
    """Its parameters are haiku's; what it does with them is written with minijvp.numpy."""

    def network(np: Any, x: Any) -> Any:
        w = hk.get_parameter("w", (3, 2), init=hk.initializers.RandomNormal())
        b = hk.get_parameter("b", (2,), init=jnp.ones)
        noise = jax.random.normal(hk.next_rng_key(), (4, 2), x.dtype)
        hk.set_state("seen", np.mean(x, 0))
        return np.tanh(x @ w + b + noise)

    x, key = normal(0, 4, 3), jax.random.key(0)
    found = []
    for api, np in SIDES:
        module = hk.transform_with_state(lambda x, np=np: network(np, x))
        params, state = in_widest(module.init(key, x))

        def loss(params: Any, x: Any, apply: Any = module.apply, state: Any = state) -> Any:
            out, state = apply(params, state, key, x)
            return (out**2).sum() + sum(leaf.sum() for leaf in jax.tree_util.tree_leaves(state))

        both = api.value_and_grad(loss, (0, 1))
        rows = jax.tree_util.tree_map(lambda leaf: jnp.stack([leaf, -leaf]), params)
        batch = api.jit(api.vmap(api.grad(loss), (0, None)))(rows, x)
        found.append([both(params, x), api.jit(both)(params, x), batch])
    same(*found)


def test_modules_of_haiku_inside_of_a_function_of_minijvp() -> None:
    """What is haiku's is bridged by from_jax, and the rest is not."""
    encoder = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([4, 2], activation=jax.nn.silu)(x)))
    x = normal(1, 5, 3)
    params = in_widest(encoder.init(jax.random.key(1), x))

    def loss(api: Any, np: Any, apply: Any) -> Any:
        def of_a_row(params: Any, row: Any) -> Any:
            out = apply(params, row)
            return np.log(np.exp(out).sum()) - out[0] if row[0] > 0 or api is jax else -out[1]

        return of_a_row

    row = jnp.abs(x[0])
    found = minijvp.grad(loss(*SIDES[0], minijvp.from_jax(encoder.apply)), (0, 1))(params, row)
    same(found, jax.grad(loss(*SIDES[1], encoder.apply), (0, 1))(params, row))
