"""A function whose arguments are checked when it is called, by annotations that are objects by then."""

# pyright: reportMissingImports=false
# ruff: noqa: F722
from typing import Any

import beartype
import jaxtyping
from jaxtyping import Array, Float


def layer(np: Any) -> Any:
    """A layer of a network, by jax.numpy or the like."""

    @jaxtyping.jaxtyped(typechecker=beartype.beartype)
    def checked(x: Float[Array, "n d"], w: Float[Array, "d m"]) -> Float[Array, "n m"]:
        return np.tanh(x @ w)

    return checked
