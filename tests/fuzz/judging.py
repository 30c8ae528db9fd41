"""What JAX says of a case: a plan under a word, in a mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_leaves, tree_map, tree_structure

import minijvp
from minijvp.core.types import is_inexact
from tests.fuzz.blurring import blur, blurred, is_blurred
from tests.fuzz.building import Program, build
from tests.fuzz.modes import MODES
from tests.fuzz.plans import Plan
from tests.fuzz.sides import JAX, JUDGE, OURS
from tests.fuzz.words import FLOAT0, Word, all_weights, dtype_of, order, transformed

ROUGH = 1e-8
"""Relative to the largest number of an array: what is nearer than this is right; beyond, a closer look decides."""
ROUGH_SINGLE = 2.0**-12
HIDING = 0.01
"""Where rounding may explain more than this, the case says nothing."""
DIFFERENCES = 1e-5
"""The relative tolerance of difference quotients."""
WIDTH = 1e-5
"""Half the distance of the points of a central difference."""


@dataclass(frozen=True)
class Case:
    """One run."""

    plan: Plan
    word: Word
    mode: str

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.word)) or 'value'}, {self.mode}, {self.plan.precision}"


@dataclass(frozen=True)
class Verdict:
    """What came out: right, or the kind of the fault; where JAX refuses, or rounding hides all, there is none."""

    kind: str
    detail: str = ""

    @property
    def failed(self) -> bool:
        return self.kind not in PASSING


PASSING = {"right", "JAX refuses", "both refuse", "ill-conditioned", "nothing left", "JAX is not finite", "compiler"}
"""With "compiler", JAX gives our result where nothing is compiled as a whole; or XLA gave up."""
LAYOUT_OF_FFT = "LayoutUtil::IsMonotonicWithDim0Major"
"""In the message where it gives up: the layout of an FFT before a decomposition, as in JAX (findings/)."""


def judge(case: Case) -> Verdict:
    """The verdict on a case."""
    program = build(case.plan)
    if not program.results:
        return Verdict("nothing left")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return verdict(program, case)


def verdict(program: Program, case: Case) -> Verdict:
    if case.mode == "staged":
        try:  # all in one compilation, which is what takes the time
            wanted, wide, found, quotients = by_jax(program, case.word, with_ours=True)
        except Exception:
            pass  # whose fault it is, is found out below
        else:
            return first_fault([compared(program, case.word, found, wanted, wide), differences(program, quotients)])
    return separately(program, case)


def separately(program: Program, case: Case) -> Verdict:
    """The verdict of two runs."""
    refusal: Exception | None = None
    wanted = wide = None
    try:
        wanted, wide, *_ = by_jax(program, case.word)
    except Exception as error:
        refusal = error
    try:
        answers = jax.block_until_ready(MODES[case.mode](program, case.word))
    except Exception as error:
        if refusal is None and case.mode in NOT_STAGED:
            refusal = refusal_without_jit(program, case.word)
        if refusal is not None:
            return Verdict("both refuse", described(refusal))
        return Verdict("compiler" if LAYOUT_OF_FFT in str(error) else "refused", described(error))
    if refusal is not None:
        return Verdict("JAX refuses", described(refusal))
    return first_fault([compared(program, case.word, found, wanted, wide) for found in answers])


NOT_STAGED = {"eager", "recurring", "from_jax"}
"""Modes in which NumPy's arrays reach the program as they are, where JAX might refuse them too."""


def refusal_without_jit(program: Program, word: Word) -> Exception | None:
    """Why JAX refuses a case that it takes where all is compiled."""
    try:
        without_jit(program, word)
    except Exception as error:
        return error
    return None


def first_fault(verdicts: Sequence[Verdict]) -> Verdict:
    return next((v for v in verdicts if v.failed), verdicts[0])


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def by_jax(program: Program, word: Word, with_ours: bool = False) -> tuple[Any, Any, Any, Any]:
    """What JAX's word gives; the same in double precision, if there is single precision in the program.

    And, for the pullback of the program, our result and that of differences, if they are asked for.
    """
    plain, wide = (JUDGE.function(program.source, widened=widened) for widened in (False, True))
    ours = minijvp.to_jax(transformed(OURS, OURS.function(program.source), word))

    def run(args: Any, widened: Any) -> tuple[Any, Any, Any, Any]:
        wanted = transformed(JUDGE, plain, word)(*args)
        found, quotients = None, None
        if with_ours:
            found = ours(*args)
            quotients = quotients_of(program, plain, args, wanted)
        return wanted, transformed(JUDGE, wide, word)(*widened) if program.single else wanted, found, quotients

    return jax.block_until_ready(jax.jit(run)(program.arguments, program.widened))


def quotients_of(program: Program, fun: Callable[..., Any], args: Any, pullback: Any) -> Any:
    """Difference quotients of two widths in one direction, and what the pullback says of it."""
    if program.single or not program.smooth:
        return None
    directions = all_weights(JUDGE, args, 5)
    out, cotangents, _ = pullback
    weights = all_weights(JUDGE, out, 3)

    def along(h: Any) -> Any:
        moved = tree_map(lambda x, t: x + h * t if dtype_of(t) != FLOAT0 else x, args, directions)
        return inner(weights, fun(*moved))

    values = jax.lax.map(along, jnp.array([WIDTH, -WIDTH, 2 * WIDTH, -2 * WIDTH]))
    slopes = (values[0] - values[1]) / (2 * WIDTH), (values[2] - values[3]) / (4 * WIDTH)
    return *slopes, inner(cotangents, directions), jnp.max(jnp.abs(values))


def inner(xs: Any, ys: Any) -> Any:
    """The real part of the sum of products."""
    pairs = zip(tree_leaves(xs, is_leaf=is_none), tree_leaves(ys, is_leaf=is_none), strict=True)
    return sum([jnp.real(x * y).sum() for x, y in pairs if moves(x) and moves(y)], jnp.zeros(()))


def is_none(x: Any) -> bool:
    return x is None


def moves(x: Any) -> bool:
    """Whether this is a number that has a derivative."""
    return x is not None and is_inexact(dtype_of(x))


def differences(program: Program, quotients: Any) -> Verdict:
    """Whether the derivatives that both agree about are those of the function; widths that differ say nothing."""
    if quotients is None:
        return Verdict("right")
    narrow, wide, slope, height = map(float, quotients)
    allowed = DIFFERENCES * max(abs(slope), 1e-3 * height, 1e-3)
    if not np.isfinite([narrow, wide, slope]).all() or abs(narrow - wide) > 0.1 * allowed:
        return Verdict("right")
    if abs(narrow - slope) <= allowed:
        return Verdict("right")
    return Verdict("differences", f"JAX says {slope} of the slope, differences say {narrow} and {wide}")


# Comparison


def compared(program: Program, word: Word, found: Any, wanted: Any, wide: Any) -> Verdict:
    """The verdict on a result: its tree, its types, and its numbers."""
    if tree_structure(found) != tree_structure(wanted):
        return Verdict("structure", f"{tree_structure(found)}, should be {tree_structure(wanted)}")
    rows = list(zip(tree_leaves(found), tree_leaves(wanted), tree_leaves(wide), strict=True))
    for i, (x, y, _) in enumerate(rows):
        for kind, of in (("shape", np.shape), ("dtype", dtype_of)):
            if of(x) != of(y):
                return Verdict(kind, f"result {i} has {kind} {of(x)}, should be {of(y)}")
    differing = [i for i, (x, y, _) in enumerate(rows) if is_weak(x) != is_weak(y)]
    if differing and not weak_by_convention(program, word):
        uncompiled = weak_without_jit(program, word)
        for i in differing:
            if is_weak(rows[i][0]) != uncompiled[i]:
                return Verdict("weak type", f"result {i} is {'' if is_weak(rows[i][0]) else 'not '}weak")
    verdict = numbers(program, word, rows)
    if verdict.failed:
        theirs = without_jit(program, word)
        if not numbers(program, word, [(x, y, y) for (x, *_), y in zip(rows, theirs, strict=True)]).failed:
            return Verdict("compiler", verdict.detail)
    return verdict


def is_weak(x: Any) -> bool:
    return bool(getattr(getattr(x, "aval", None), "weak_type", type(x) in (int, float, complex)))


def weak_by_convention(program: Program, word: Word) -> bool:
    """Whether results are derivatives in a number of Python: ours are weak, JAX's if its last operation is."""
    return order(word) > 0 and any(type(x) is float for x in program.arguments)


def weak_without_jit(program: Program, word: Word) -> list[bool]:
    """Which results of JAX are weak if they are not compiled: that may differ."""
    return [is_weak(x) for x in without_jit(program, word)]


def without_jit(program: Program, word: Word) -> list[Any]:
    """The results of JAX, operation by operation."""
    run = lambda side: transformed(side, side.function(program.source), word)(*program.arguments)
    try:
        found = run(JAX)
    except Exception:  # it cannot reverse all that we do
        found = run(JUDGE)
    return tree_leaves(found)


def array(x: Any) -> np.ndarray:
    """The numbers of a result in double precision; none, if it has no derivative."""
    if dtype_of(x) == FLOAT0:
        return np.zeros(0)
    return np.asarray(x).astype(complex if np.iscomplexobj(x) else float)


def far(x: np.ndarray, y: np.ndarray) -> float:
    """The largest distance of two arrays, where both are finite."""
    both = np.isfinite(x) & np.isfinite(y)
    return float(np.max(np.abs(x[both] - y[both]), initial=0))


def size(x: np.ndarray) -> float:
    return float(np.max(np.abs(x[np.isfinite(x)]), initial=0))


def numbers(program: Program, word: Word, rows: Sequence[tuple[Any, Any, Any]]) -> Verdict:
    """The verdict on results of the right types."""
    arrays = [tuple(map(array, row)) for row in rows]
    largest = max([size(y) for _, y, _ in arrays], default=0)
    suspects = []
    for i, (x, y, z) in enumerate(arrays):
        allowed = ROUGH * size(y) + 1e-12 * max(largest, 1)
        if program.single:
            allowed = 8 * far(y, z) + ROUGH_SINGLE * size(z) + 1e-6 * max(largest, 1)
        if not np.array_equal(np.isnan(x), np.isnan(y)) or not same_infinities(x, y):
            suspects.append((i, "nan", 0.0))
        if far(x, z if program.single else y) > allowed:
            suspects.append((i, "value", far(x, z if program.single else y)))
    if not suspects:
        return Verdict("right")
    noise, harmless = rounding(program, word), Verdict("ill-conditioned")
    for i, kind, distance in suspects:
        x, y, _ = arrays[i]
        spread, unsettled = noise[i]
        what = f"result {i}: {show(x)}, should be {show(y)}"
        if kind == "nan":
            if not unsettled and worse(x, y).any():
                return Verdict("nan", what)
            if not unsettled:
                harmless = Verdict("JAX is not finite", what)
        elif distance > spread + ROUGH * size(y):
            return Verdict("value", f"{what}; it is off by {distance / max(size(y), 1e-300):.1e} of the largest number")
    return harmless


def worse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where our result is not finite, and JAX's is, or is so otherwise."""
    return ~np.isfinite(x) & ~(np.isnan(x) & np.isnan(y)) & (x != y)


def same_infinities(x: np.ndarray, y: np.ndarray) -> bool:
    where = np.isinf(y) | np.isinf(x)
    return bool(np.array_equal(x[where & ~np.isnan(x)], y[where & ~np.isnan(x)]))


def show(x: np.ndarray) -> str:
    with np.printoptions(precision=10, threshold=30):
        return " ".join(np.array2string(x).split())


def rounding(program: Program, word: Word) -> list[tuple[float, bool]]:
    """How far rounding of every step can move each result, and whether it decides what is finite.

    Every part of JAX's program in double precision is blurred, far more than it is rounded, and the effect scaled down.
    Two that are computed alike are blurred apart: compiled, they need not be rounded alike.
    """
    single = program.single
    level, unit = (2.0**-20, 2.0**-24) if single else (2.0**-40, 2.0**-53)
    code = blurred(program.source)

    def run(draw: Any, strength: Any, *args: Any) -> Any:
        scope = JUDGE.names(widened=single)
        noisy = lambda x, k: x * blur(x, 1.7 * k + draw, strength) if is_blurred(x) else x
        scope["noisy"] = lambda tree, k: tree_map(lambda x: noisy(x, k), tree)
        exec(code, scope)
        return transformed(JUDGE, scope["f"], word)(*args)

    compiled = jax.jit(run)
    results = [
        [array(x) for x in tree_leaves(compiled(d, s, *program.widened))]
        for d, s in ((0.0, 0.0), (0.3, level), (5.0, level), (9.0, level))
    ]
    found = []
    for exact, *others in zip(*results, strict=True):
        spread = max(far(exact, x) for x in others) * 128 * unit / level
        unsettled = not all(np.array_equal(np.isfinite(exact), np.isfinite(x)) for x in others)
        if spread > HIDING * size(exact):
            spread = np.inf
        found.append((spread, unsettled))
    return found
