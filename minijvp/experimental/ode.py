"""Solutions of ordinary differential equations, by steps whose size adapts, differentiated in both modes.

Derivatives are those of the numbers that the solver computes, with its steps held fixed: how long they are depends on
estimates of an error, and says nothing about the solution. So they are as accurate as the solution, in both modes and
of any order, and reverse mode integrates nothing backwards, which fails for equations that forget where they began.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jax.tree_util import tree_map

from minijvp import lax, trees
from minijvp import numpy as mnp
from minijvp.api.batching import vmap
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.flatten_util import ravel_pytree

__all__ = ["odeint"]


def __dir__() -> list[str]:
    return sorted(__all__)


# The coefficients of Dormand and Prince: stages, the solution of order 5, its error, and what it is in the middle of a
# step. Source: J. R. Dormand and P. J. Prince, A family of embedded Runge-Kutta formulae, 1980; L. F. Shampine, Some
# practical Runge-Kutta formulas, 1986.
TIMES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
SOLUTION = (*STAGES[-1], 0.0)
OTHER_SOLUTION = (1951 / 21600, 0.0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300, 1 / 60)
ERROR = tuple(np.subtract(SOLUTION, OTHER_SOLUTION).tolist())
MIDDLE = (
    6025192743 / 30085553152 / 2,
    0.0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)
QUARTIC = (
    (-8.0, -8.0, 16.0, -2.0, 2.0),
    (18.0, 14.0, -32.0, 5.0, -3.0),
    (-11.0, -5.0, 16.0, -4.0, 1.0),
    (0.0, 0.0, 0.0, 1.0, 0.0),
    (1.0, 0.0, 0.0, 0.0, 0.0),
)
ORDER, SAFETY, GROWTH, SHRINKAGE = 5, 0.9, 10.0, 0.2


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: float = np.inf,
    hmax: float = np.inf,
) -> Any:
    """The values at the times `t` of the solution of `dy/dt = func(y, t, *args)` that is `y0` at `t[0]`.

    Args:
        func: takes a state, a time and `args`, and returns the rate at which the state changes, a pytree like it. It
            may close over arrays and traced values.
        y0: the first state, a pytree of floating or complex arrays.
        t: an array of floats that increase.
        args: pytrees of arrays.
        rtol, atol: the error of a step that is accepted, as a share of the state and absolute.
        mxstep: how many steps are tried between two times at most; after that the result goes on from there.
        hmax: the longest step.

    Returns the states with a leading axis, one row for each time. They are differentiated with respect to `y0`, `t`,
    `args` and what `func` closes over, in both modes.

    Raises ArgumentError for times that are no array of floats, and where `func` returns something else than a rate.

    >>> import minijvp, minijvp.numpy as mnp
    >>> decay = lambda k: minijvp.experimental.ode.odeint(lambda y, t: -k * y, 1.0, mnp.array([0.0, 1.0]))[-1]
    >>> round(float(decay(2.0)), 4), round(float(minijvp.grad(decay)(2.0)), 4)
    (0.1353, -0.1353)
    """
    trees.require_callable(func, "odeint")
    require_times(t)
    y0 = tree_map(mnp.asarray, y0)
    start, unravel = ravel_pytree(y0)
    if not is_inexact(type_of(start).dtype):
        raise ArgumentError(
            f"odeint received a first state of {type_of(start)!r}.",
            "It changes by amounts that are no integers.",
            "Pass floats: 1.0 for 1.",
        )

    def rate(y: Any, time: Any) -> Any:
        found = func(unravel(y), time, *args)
        require_rate(func, found, y0)
        flat = ravel_pytree(found)[0]
        return flat.astype(start.dtype)

    return vmap(unravel)(solve(rate, start, mnp.asarray(t), rtol, atol, mxstep, hmax))


def require_times(t: Any) -> None:
    """Raise ArgumentError for what is no array of times."""
    kind = trees.require_array(t, lambda: "t of odeint")
    if kind.ndim != 1 or not kind.size or kind.dtype.kind not in "fV":
        raise ArgumentError(
            f"t of odeint is {kind!r}.",
            "The solution is given at several times, the first of which is that of y0.",
            "Pass an array of floats with one axis: mnp.linspace(0.0, 1.0, 11).",
        )


def require_rate(func: Callable[..., Any], found: Any, state: Any) -> None:
    """Raise ArgumentError if a rate has not the structure and the shapes of a state."""
    rate_leaves, rate_tree = trees.tree_flatten(found)
    leaves, tree = trees.tree_flatten(state)
    name = trees.function_name(func)
    where = trees.result_namer(found, name)
    shapes = [type_of(x).shape for x in trees.as_arrays(rate_leaves, where)]
    if rate_tree != tree or shapes != [type_of(x).shape for x in leaves]:
        raise ArgumentError(
            f"{name}, the rate of odeint, returned {tree_map(type_of, found)!r} for a state "
            f"{tree_map(type_of, state)!r}.",
            "Each number of the state has a rate.",
            "Return the same containers and shapes.",
        )


def solve(
    rate: Callable[[Any, Any], Any], y0: Any, times: Any, rtol: float, atol: float, mxstep: float, hmax: float
) -> Any:
    """The states at these times, for states that are vectors."""
    fixed = lax.stop_gradient
    tolerance = partial(error_ratio, rtol=rtol, atol=atol)

    def to_next(carry: Any, target: Any) -> Any:
        def goes_on(state: Any) -> Any:
            n, _, _, time, step, *_ = state
            return (time < target) & (n < mxstep) & (step > 0)

        def try_step(state: Any) -> Any:
            n, y, f, time, step, last, curve = state
            new_y, new_f, error, middle = runge_kutta(rate, y, f, time, step)
            ratio = fixed(tolerance(error, y, new_y))
            new_step = mnp.clip(next_step(step, ratio), 0.0, hmax).astype(step.dtype)
            new = new_y, new_f, time + step, time, interpolant(y, new_y, middle, f, new_f, step)
            y, f, time, last, curve = (mnp.where(ratio <= 1.0, a, b) for a, b in zip(new, (y, f, time, last, curve)))
            return n + 1, y, f, time, new_step, last, curve

        _, *carry = lax.while_loop(goes_on, try_step, (0, *carry))
        _, _, time, _, last, curve = carry
        # Before the first step there is nothing between `last` and `time`.
        width = mnp.where(time == last, 1.0, time - last)
        place = ((target - last) / width).astype(y0.real.dtype)
        return tuple(carry), mnp.polyval(curve, place)

    t0 = times[0]
    f0 = rate(y0, t0)
    step = fixed(mnp.clip(first_step(rate, t0, y0, f0, rtol, atol), 0.0, hmax)).astype(times.dtype)
    curve = mnp.stack([0 * y0] * 4 + [y0])
    _, ys = lax.scan(to_next, (y0, f0, t0, step, t0, curve), times[1:])
    return mnp.concatenate([y0[None], ys])


def combined(weights: tuple[Any, ...], rows: Any) -> Any:
    """Sums of the rows by their weights, in their full precision."""
    return mnp.dot(np.array(weights, rows.dtype), rows, precision=lax.Precision.HIGHEST)


def runge_kutta(rate: Callable[[Any, Any], Any], y: Any, f: Any, time: Any, step: Any) -> tuple[Any, ...]:
    """The state after a step, its rate, the estimate of the error, and the state in the middle of the step."""
    length = step.astype(y.real.dtype)
    slopes = f[None]
    for at, weights in zip(TIMES, STAGES, strict=True):
        new_f = rate(y + length * combined(weights, slopes), time + step * at)
        slopes = mnp.concatenate([slopes, new_f[None]])
    change, error, middle = length * combined((SOLUTION, ERROR, MIDDLE), slopes)
    return y + change, slopes[-1], error, y + middle


def interpolant(y: Any, new_y: Any, middle: Any, f: Any, new_f: Any, step: Any) -> Any:
    """The coefficients, highest first, of the quartic through both ends of a step and its middle, with the slopes."""
    length = step.astype(y.real.dtype)
    return combined(QUARTIC, mnp.stack([y, new_y, middle, length * f, length * new_f]))


def error_ratio(error: Any, y: Any, new_y: Any, *, rtol: float, atol: float) -> Any:
    """The error of a step, in the mean, as a share of what is accepted."""
    accepted = atol + rtol * mnp.maximum(mnp.abs(y), mnp.abs(new_y))
    return mnp.sqrt(mnp.mean((mnp.abs(error) / accepted) ** 2))


def next_step(step: Any, ratio: Any) -> Any:
    """The size of the next step: where the last one failed it is shorter."""
    least = mnp.where(ratio < 1.0, 1.0, SHRINKAGE)
    factor = mnp.clip(mnp.where(ratio == 0, 1.0, ratio) ** (-1.0 / ORDER) * SAFETY, least, GROWTH)
    return mnp.where(ratio == 0, step * GROWTH, step * factor)


def first_step(rate: Callable[[Any, Any], Any], t0: Any, y0: Any, f0: Any, rtol: float, atol: float) -> Any:
    """The size of the first step.

    Source: E. Hairer, S. P. Norsett and G. Wanner, Solving Ordinary Differential Equations I, section II.4.
    """
    norm = lambda x: mnp.linalg.norm(x / (atol + mnp.abs(y0) * rtol))
    d0, d1 = norm(y0), norm(f0)
    h0 = mnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
    f1 = rate(y0 + h0.astype(y0.real.dtype) * f0, t0 + h0)
    d2 = norm(f1 - f0) / h0
    flat = (d1 <= 1e-15) & (d2 <= 1e-15)
    h1 = mnp.where(flat, mnp.maximum(1e-6, h0 * 1e-3), (0.01 / mnp.maximum(d1, d2)) ** (1.0 / ORDER))
    return mnp.minimum(100.0 * h0, h1)
