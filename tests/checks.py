"""What every primitive must satisfy, judged by JAX: the library's own checks, and that JAX finds our derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from minijvp.core.types import PYTHON_SCALARS, is_inexact, type_of
from minijvp.tools import rules
from minijvp.tools.judging import Derivatives, Judgement
from minijvp.tools.levels import pull, push
from minijvp.tools.samples import (
    arrays,
    call,
    cotangents,
    differentiable,
    fix,
    inexact,
    oracle,
    require_close,
    restricted,
    subsets,
    tolerance,
)
from tests.samples import Sample


def pullback(fun: Any, primals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of all primals, zeros included."""
    return pull(fun)(primals, cotangents)[1]


def instantiated(t: Any, x: Any) -> Any:
    return np.zeros(x.shape, x.dtype) if t is None else t


def in_jax(cts: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
    """Cotangents for JAX, which wants float0 where there is none."""
    return [np.zeros(x.shape, jax.dtypes.float0) if ct is None else ct for x, ct in zip(outs, cts, strict=True)]


@lru_cache(maxsize=1)  # the checks of a sample follow one another
def judged(sample: Sample) -> Judgement:
    """The judgement, by one compilation: one for each operation of JAX would take more time than all else together."""
    xs = arrays(sample)
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    asked = jax.jit(fix(lambda *xs: judgement(sample, xs), xs, traced))
    values, derivatives, curvature = asked(*[xs[i] for i in traced])
    return Judgement(values, [Derivatives(*found) for found in derivatives], curvature)


def judgement(sample: Sample, xs: Sequence[Any]) -> tuple:
    outs = oracle(sample)(*xs)
    cts = in_jax(cotangents(outs), outs)
    derivatives, curvature = [], None
    everything = differentiable(sample)
    for positions in subsets(everything):
        fun, primals, tangents = restricted(oracle(sample), xs, positions)
        pushed = pulled = quotients = None
        if sample.jax_derivative:
            pushed = inexact(jax.jvp(fun, primals, tangents)[1], outs)
            pull = lambda *primals, fun=fun: list(jax.vjp(fun, *primals)[1](cts))
            if positions == everything:
                pulled, curvature = jax.jvp(pull, primals, tangents)
            else:
                pulled = pull(*primals)
        if sample.finite_differences and all(type_of(x).dtype.itemsize >= 8 for x in primals):
            quotients = inexact(difference_quotient(sample, xs, positions, tangents), outs)
        derivatives.append((pushed, pulled, quotients))
    return outs, derivatives, curvature


def difference_quotient(sample: Sample, xs: Sequence[Any], positions: Sequence[int], tangents: Sequence[Any]) -> Any:
    """The central one, in double precision: one step, in the program that has all of the judgement."""
    if any(xs[i].dtype == np.complex64 for i in positions):
        xs = [x if type(x) in PYTHON_SCALARS or x.dtype != np.complex64 else x.astype(np.complex128) for x in xs]
    fun, primals = fix(oracle(sample), xs, positions), [xs[i] for i in positions]
    ahead, behind = (fun(*[x + h * t for x, t in zip(primals, tangents, strict=True)]) for h in (1e-6, -1e-6))
    return [(a - b) / 2e-6 if is_inexact(a.dtype) else a for a, b in zip(ahead, behind, strict=True)]


def check_in_jax(sample: Sample, judge: Any) -> None:
    """JAX's derivatives of the primitive, in all arguments, are ours."""
    xs, positions = arrays(sample), differentiable(sample)
    if not positions:
        return
    fun, primals, tangents = restricted(call(sample), xs, positions)
    outs, out_tangents = push(fun)(primals, tangents)
    cts = cotangents(outs)

    def theirs(*primals: Any) -> tuple[list[Any], Sequence[Any]]:
        found, ts = jax.jvp(fun, primals, tuple(tangents))
        return inexact(ts, found), jax.vjp(fun, *primals)[1](in_jax(cts, found))

    pushed, pulled = jax.jit(theirs)(*primals)
    require_close(pushed, inexact(out_tangents, outs), 5 * tolerance(sample), "tangent in JAX")
    require_close(pulled, pullback(fun, primals, cts), 5 * tolerance(sample), "cotangents in JAX")


CHECKS: dict[str, Callable[[Sample], None]] = {
    check.__name__.removeprefix("check_"): partial(check, judge=judged) for check in (*rules.CHECKS, check_in_jax)
}
