"""The two passes of reverse mode as functions of their own, compiled once each.

fwd_and_bwd : (a -> b) -> (a -> (b, residuals), (residuals, CT b) -> CT a)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp import trees
from minijvp.api.linear_maps import vjp
from minijvp.calls.jit import jit
from minijvp.calls.static_arguments import as_tuple


def fwd_and_bwd(
    fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool = False, jitted: bool = True
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and the backward pass of `fun`.

    fwd_and_bwd : (a -> b) -> (a -> (b, residuals), (residuals, CT b) -> CT a)

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        argnums: the positions of the arguments that are differentiated.
        jitted: compile both.

    `fwd(*args)` returns `(out, residuals)` or `(out, residuals, aux)`; `bwd(residuals, ct)` returns a cotangent, or a
    tuple of them if `argnums` is a sequence.

    Raises ArgumentError as `vjp` does.

    >>> import minijvp, minijvp.numpy as mnp
    >>> fwd, bwd = minijvp.fwd_and_bwd(lambda x, y: x * mnp.sin(y), argnums=1)
    >>> out, residuals = fwd(3.0, 0.0)
    >>> float(bwd(residuals, 1.0))
    3.0
    """
    trees.require_callable(fun, "fwd_and_bwd")
    wanted = as_tuple(argnums, int, "argnums", "fwd_and_bwd")

    def fwd(*args: Any) -> tuple[Any, ...]:
        positions = trees.normalize_indices(wanted, len(args), "argnums", fun)
        of_some = lambda *some: fun(*trees.replaced(args, positions, some))
        return vjp(of_some, *[args[i] for i in positions], has_aux=has_aux)

    def bwd(residuals: Callable[[Any], tuple[Any, ...]], ct: Any) -> Any:
        cts = residuals(ct)
        return cts[0] if isinstance(argnums, int) else cts

    return (jit(fwd), jit(bwd)) if jitted else (fwd, bwd)
