"""Programs of libraries built on JAX, under the transformations of minijvp: the answers are JAX's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import tree_map

import minijvp
from tests.libraries.programs import PROGRAMS, Program
from tests.side_by_side import same


def derivatives(api: Any, fun: Any, program: Program) -> Any:
    """The value and the gradient; of a smaller program also gradients of a batch and the derivative in a direction."""

    def found(x: Any, rows: Any, rest: Any) -> Any:
        of_x = lambda x: fun(x, *rest)
        first = api.value_and_grad(of_x)(x)
        if program.large:
            return first
        batch = api.vmap(api.grad(of_x))(rows)
        return (first, batch, api.jvp(of_x, (x,), (x,))) if program.forward else (first, batch)

    rows = tree_map(lambda leaf: jnp.stack([leaf, 0.9 * leaf]), program.x)
    return api.jit(found)(program.x, rows, program.rest)


# jaxopt and jax.core, as these libraries import them, warn of what they are.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Brax System, piplines and environments are not actively:UserWarning")
@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning")  # of jax-md, with x64
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    program = PROGRAMS[name]()
    bridged = minijvp.from_jax(program.fun)
    wanted = derivatives(jax, program.fun, program)
    same(derivatives(minijvp, bridged, program), wanted, program.tolerance)
    if not program.large:
        (_, gradient), *_ = wanted
        same(minijvp.grad(bridged)(program.x, *program.rest), gradient, program.tolerance)
        in_jax = jax.jit(jax.grad(minijvp.to_jax(bridged)))
        same(in_jax(program.x, *program.rest), gradient, program.tolerance)
