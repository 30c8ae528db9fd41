"""Judges of primitives: what their values and derivatives should be at a sample. By default differences say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np

from minijvp.calls.jit import jit
from minijvp.core.types import is_inexact, type_of
from minijvp.tools.differences import difference_quotients, size
from minijvp.tools.levels import np_array, pull, widened
from minijvp.tools.reports import TOLERANCES as OF_DIFFERENCES
from minijvp.tools.reports import precision
from minijvp.tools.samples import (
    Flat,
    Sample,
    arrays,
    call,
    cotangents,
    differentiable,
    evaluated,
    fix,
    inexact,
    oracle,
    restricted,
    subsets,
    tolerance,
)
from minijvp.transforms.staging import stage


class Derivatives(NamedTuple):
    """What a judge says of the derivatives in some arguments; None is what it was not asked."""

    tangents: list[Any] | None
    cotangents: list[Any] | None
    quotients: list[Any] | None
    """Tangents by differences."""
    allowed: float = 1e-5
    """The relative error that quotients may have."""


class Judgement(NamedTuple):
    """What a judge says of a sample: values, derivatives in each of its arguments and all, and forward over reverse."""

    values: list[Any]
    derivatives: list[Derivatives]
    curvature: list[Any] | None
    allowed: float = 0.0
    """The relative error that the curvature may have beyond the sample's tolerance."""


Judge = Callable[[Sample], Judgement]


def by_differences(sample: Sample) -> Judgement:
    """Values by the function of the sample, and derivatives by differences: of `impl`, and second ones of pullbacks.

    They are taken in the widest dtype in which the rules take the arguments.
    """
    xs, fun = arrays(sample), evaluated(sample)
    values, outs = oracle(sample)(*xs), fun(*xs)
    positions = differentiable(sample)
    parts = list(subsets(positions))
    if not sample.finite_differences or not positions or not any(is_inexact(type_of(x).dtype) for x in outs):
        return Judgement(values, [Derivatives(None, None, None) for _ in parts], None)
    derivatives = []
    widen = takes_wide(sample, xs)
    with jax.enable_x64(True) if widen else nullcontext():
        wide = [widened(x) if widen and i in positions else x for i, x in enumerate(xs)]
        for part in parts:
            primals, ts = [wide[i] for i in part], restricted(fun, xs, part)[2]
            found, allowed = quotients(jax.jit, fix(fun, wide, part), primals, ts)
            found = [q for q, x in zip(found, outs, strict=True) if is_inexact(x.dtype)]
            derivatives.append(Derivatives(None, None, inexact(found, outs), max(5 * tolerance(sample), allowed)))
        some = fix(call(sample), wide, part)
        cts = [
            None if ct is None else ct.astype(x.dtype) for ct, x in zip(cotangents(outs), some(*primals), strict=True)
        ]
        curvature, allowed = quotients(jit, lambda *primals: pull(some)(primals, cts)[1], primals, ts)
    return Judgement(values, derivatives, inexact(curvature, [xs[i] for i in positions]), allowed)


def quotients(
    compile: Callable[[Any], Any], fun: Flat, primals: Sequence[Any], ts: Sequence[Any]
) -> tuple[list, float]:
    """The derivative of a function along a direction, by differences, and the relative error that it may have.

    A result that has none has the derivative 0.
    """
    ts = [t.astype(x.dtype) for x, t in zip(primals, ts, strict=True)]
    along = compile(lambda h, xs, ts: fun(*[x + (h * t).astype(x.dtype) for x, t in zip(xs, ts, strict=True)]))
    moving = [is_inexact(x.dtype) for x in along(0.0, primals, ts)]
    eps = max([precision(x.dtype) for x in (*primals, *along(0.0, primals, ts)) if is_inexact(x.dtype)])
    value = lambda h: [np_array(x) for x, flag in zip(along(h, primals, ts), moving, strict=True) if flag]
    found = difference_quotients(value, max(size(np_array(x)) for x in primals), eps)
    uncertain = max([10 * error / max(1.0, size(q)) for q, error in found])
    rest = iter([q for q, _ in found])
    usual = next(t[2] for t in OF_DIFFERENCES if eps <= t[0])
    return [next(rest) if flag else np.zeros(()) for flag in moving], usual + min(uncertain, 1e-3)


def takes_wide(sample: Sample, xs: Sequence[Any]) -> bool:
    """Whether the function and the rules work with 64-bit types."""
    positions = differentiable(sample)
    try:
        with jax.enable_x64(True):
            wide = [widened(xs[i]) for i in positions]
            jax.eval_shape(fix(evaluated(sample), xs, positions), *wide)
            stage(fix(call(sample), xs, positions), list(map(type_of, wide)))
    except Exception:  # of whatever kind: then it is judged in its own dtypes
        return False
    return True
