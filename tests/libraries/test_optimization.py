"""jaxopt and functions with checked types: minijvp's own functions go into them."""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.libraries import checked
from tests.libraries.programs import normal
from tests.side_by_side import SIDES, same

X, Y = normal(0, 6, 2), normal(1, 6)


@pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained:DeprecationWarning")
@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "unrolled"])
def test_an_objective_of_minijvp(implicit: bool) -> None:
    """The solver differentiates it, and JAX the solver: second derivatives of minijvp, in JAX."""
    import jaxopt

    def ridge(np: Any) -> Any:
        return lambda params, x, y, weight: (
            np.mean(np.logaddexp(0.0, x @ params) - y * (x @ params)) + weight * np.sum(params**2)
        )

    def solution(objective: Any) -> Any:
        solver = jaxopt.GradientDescent(objective, stepsize=0.5, maxiter=5, implicit_diff=implicit, tol=0.0)
        return jax.jit(jax.jacrev(lambda weight: solver.run(jnp.zeros(2), X, Y, weight).params))(jnp.array(0.3))

    same(solution(minijvp.to_jax(ridge(mnp))), solution(ridge(jnp)), 1e-9)


def test_checked_types() -> None:
    """A tracer of minijvp has the shape and the dtype that an annotation asks for, and no other."""
    w, found = normal(2, 2, 3), []
    for api, np in SIDES:
        layer = checked.layer(np)
        loss = lambda x, w: layer(x, w).sum()
        grad = api.grad(loss, (0, 1))
        found.append([api.jit(grad)(X, w), api.vmap(grad, (0, None))(jnp.stack([X, 2 * X]), w)])
    same(*found)
    layer = checked.layer(mnp)
    for wrong in (lambda x: x[0], lambda x: x > 0, lambda x: x):
        with pytest.raises(jaxtyping.TypeCheckError, match="checked"):
            minijvp.grad(lambda x, wrong=wrong: layer(x, wrong(x)).sum())(X)
