"""The rules of a primitive at sample arguments, held against each other, its function, loops and differences.

A check takes a sample and a judge, and raises RuleError for what is wrong. `by_differences` judges for those who have
a primitive only; the tests of minijvp bring another one, which asks JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.arguments.axes import repeat
from minijvp.core.jaxpr import evaluate, lower
from minijvp.core.primitive import Axis, Nondifferentiable, Primitive
from minijvp.core.types import PYTHON_SCALARS, is_arraylike, is_key, type_in_jax, type_of
from minijvp.errors import ArgumentError, MinijvpError, RuleError
from minijvp.tools.judging import Judge, by_differences
from minijvp.tools.levels import np_array, pull, push
from minijvp.tools.samples import (
    Sample,
    arrays,
    as_list,
    call,
    cotangents,
    differentiable,
    fix,
    inexact,
    require_close,
    restricted,
    subsets,
    tolerance,
)
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_flat

Check = Callable[[Sample, Judge], None]


def check_primitive(
    primitive: Primitive, samples: Sequence[Any], *, judge: Judge | None = None, checks: Sequence[Check] = ()
) -> None:
    """Check all rules of a primitive at samples of its arguments.

    Args:
        primitive: what is checked.
        samples: for each, a tuple of arrays and Python scalars, or a `Sample`, which has parameters, a function to be
            compared with, a tolerance, or says what is not asked of the primitive there.
        judge: a function from a sample to a `Judgement`; by default values are those of `impl` or of the sample's own
            function, and derivatives are extrapolated central differences in the widest dtype that it takes.
        checks: those that are made, by default `minijvp.tools.rules.CHECKS`.

    Held against each other are: the result and that of its function; the types and the type rule; the compiled result
    and the eager one; tangents and cotangents of each argument and of all, and differences; <ct, J t> and <J^T ct, t>;
    `linearize` and `jvp`; derivatives of the pullback and their differences; batches of results and of pullbacks, of
    each argument and of all, and Python loops; and the types for batches of no lanes at all.

    Raises RuleError that names every check that failed, its sample, what was found and what was expected; ArgumentError
    for samples that are none.

    >>> import jax.numpy as jnp, minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import Elementwise
    >>> cube = Elementwise('cube', lambda x: x**3, lambda t, out, x: 3 * x * x * t)
    >>> minijvp.check_primitive(cube, [(mnp.array([1.0, -2.0]),)])
    >>> wrong = Elementwise('wrong', lambda x: x**3, lambda t, out, x: 3 * x * t)
    >>> minijvp.check_primitive(wrong, [(mnp.array([1.0, -2.0]),)])
    Traceback (most recent call last):
    minijvp.errors.RuleError: check_primitive of wrong: ...
    """
    if not isinstance(primitive, Primitive):
        raise ArgumentError(
            f"check_primitive received {primitive!r:.99} of type {type(primitive).__name__}.",
            "It checks the rules of a primitive.",
            "Pass a minijvp.extend.Primitive. For functions there is minijvp.check_grads, for rules of custom_jvp and "
            "custom_vjp minijvp.check_rule.",
        )
    judge = lru_cache(maxsize=1)(judge or by_differences)
    failures, total = [], 0
    given = list(samples) if isinstance(samples, (tuple, list)) else [samples]
    found = [as_sample(primitive, s) for s in given] or [as_sample(primitive, None)]
    require_floating(primitive, found)
    for sample in found:
        for check in checks or CHECKS:
            total += 1
            try:
                check(sample, judge)
            except Exception as error:
                text = str(error) if isinstance(error, MinijvpError) else f"{type(error).__name__}: {error}"
                failures.append((check.__name__.removeprefix("check_"), str(sample), text, error))
    if failures:
        listed = "\n".join([f"    {name} at {sample}: {text}" for name, sample, text, _ in failures])
        raise RuleError(
            f"check_primitive of {primitive.name}: {len(failures)} of {total} checks failed.\n{listed}",
            "A rule does not do what the others say, or what differences and loops say of the function.",
            "Correct that rule. Near a kink or a jump differences have no meaning: choose another point, or pass a "
            "Sample with finite_differences=False; where the function is inexact, pass one with a tolerance.",
        ) from failures[0][3]


def require_floating(primitive: Primitive, samples: Sequence[Sample]) -> None:
    """Raise ArgumentError where no derivative would be checked, and the samples do not say so."""
    if isinstance(primitive, Nondifferentiable) or any([not s.differentiable or differentiable(s) for s in samples]):
        return
    raise ArgumentError(
        f"check_primitive of {primitive.name} received samples with no array of floating numbers.",
        "Derivatives are checked at such arrays; a Python scalar is a constant of a program, and an integer has none.",
        "Add a sample with one, (mnp.array([0.5, -1.5]),), or say Sample(..., differentiable=False, why=...).",
    )


def as_sample(primitive: Primitive, given: Any) -> Sample:
    """What a user gave, as a sample of the primitive. Raises ArgumentError if it is none."""
    if isinstance(given, Sample) and given.primitive is primitive:
        return given
    if isinstance(given, (tuple, list)) and all(map(is_arraylike, given)):
        return Sample(primitive, tuple(given))
    what = "no samples" if given is None else f"{given!s:.200} as a sample"
    raise ArgumentError(
        f"check_primitive of {primitive.name} received {what}.",
        "A sample is a tuple with the arguments of a call, arrays and Python scalars, or a Sample of this primitive.",
        "Write check_primitive(primitive, [(x, y)]), or Sample(primitive, (x, y), params={...}) for parameters.",
    )


# What is checked


def check_evaluation(sample: Sample, judge: Judge) -> None:
    """The result is that of the function."""
    require_close(call(sample)(*arrays(sample)), judge(sample).values, tolerance(sample), "value")


def check_types(sample: Sample, judge: Judge) -> None:
    """The type rule gives the types of the results, and there are several where these are a tuple."""
    xs = arrays(sample)
    types = sample.primitive.type_rule(*map(type_of, xs), **sample.params)
    out = sample.primitive(*xs, **sample.params)
    several = isinstance(out, tuple)
    if isinstance(types, tuple) != several or sample.primitive.returns_tuple not in (None, several):
        raise RuleError(f"the type rule gives {types!r}, and the result is {'a tuple' if several else 'one value'}.")
    found, wanted = [type_of(x) for x in as_list(out)], as_list(types)
    # Computed, a Python scalar has become an array.
    if list(map(type_in_jax, found)) != list(map(type_in_jax, wanted)):
        raise RuleError(f"the result has the types {found}, expected by the type rule: {wanted}.")


def check_lowering(sample: Sample, judge: Judge) -> None:
    """The compiled result is the eager one."""
    found = compiled(call(sample), arrays(sample))
    require_close(found, call(sample)(*arrays(sample)), tolerance(sample), "compiled value")


def check_jvp(sample: Sample, judge: Judge) -> None:
    """Tangents are those of the judge, and by differences."""
    xs, values = arrays(sample), judge(sample).values
    for positions, judged in zip(subsets(differentiable(sample)), judge(sample).derivatives, strict=True):
        fun, primals, tangents = restricted(call(sample), xs, positions)
        outs, out_tangents = push(fun)(primals, tangents)
        what = f"tangent for arguments {positions}"
        require_close(outs, values, tolerance(sample), f"primal beside the {what}")
        found = inexact(out_tangents, outs)
        if judged.tangents is not None:
            require_close(found, judged.tangents, 5 * tolerance(sample), what)
        if judged.quotients is not None:
            require_close(found, judged.quotients, judged.allowed, f"{what} by differences")


def check_linearize(sample: Sample, judge: Judge) -> None:
    """The rule that separates what is linear gives what the other one gives."""
    if type(sample.primitive).linearize is Primitive.linearize:
        return
    xs = arrays(sample)
    for positions in subsets(differentiable(sample)):
        fun, primals, tangents = restricted(call(sample), xs, positions)
        outs, out_tangents = push(fun)(primals, tangents)
        results, linear, nonzero = linearize_flat(fun, primals, [True] * len(primals))
        what = f"linearize for arguments {positions}"
        require_close(results, outs, tolerance(sample), f"primal of {what}")
        moved = [t for t, flag in zip(out_tangents, nonzero, strict=True) if flag]
        require_close(evaluate(linear, *tangents), moved, 5 * tolerance(sample), f"tangent of {what}")
        for t, flag in zip(out_tangents, nonzero, strict=True):
            if not flag and np.any(np.asarray(t)):
                raise RuleError(f"{what} says that a tangent is zero, and jvp that it is not.")


def check_vjp(sample: Sample, judge: Judge) -> None:
    """Cotangents are those of the judge, and <ct, J t> is <J^T ct, t>."""
    xs = arrays(sample)
    for positions, judged in zip(subsets(differentiable(sample)), judge(sample).derivatives, strict=True):
        fun, primals, tangents = restricted(call(sample), xs, positions)
        outs, out_tangents = push(fun)(primals, tangents)
        cts = cotangents(outs)
        found = pull(fun)(primals, cts)[1]
        what = f"cotangents of arguments {positions}"
        if judged.cotangents is not None:
            require_close(found, judged.cotangents, 5 * tolerance(sample), what)
        with np.errstate(invalid="ignore"):  # infinite ones times 0
            terms = [np_array(ct) * np_array(t) for ct, t in zip(cts, out_tangents, strict=True) if ct is not None]
            left, largest = sum(term.sum().real for term in terms), sum(np.abs(term).sum() for term in terms)
            right = sum((np_array(ct) * np_array(t)).sum().real for ct, t in zip(found, tangents, strict=True))
        allowed = 10 * tolerance(sample) * max(1, largest)
        if not np.isclose(left, right, rtol=0, atol=allowed, equal_nan=True):
            raise RuleError(f"{what}: <J'ct, t> is {right:.8g}, expected <ct, J t>: {left:.8g}.")


def check_second_order(sample: Sample, judge: Judge) -> None:
    """Forward over reverse."""
    judged = judge(sample)
    if judged.curvature is None:
        return
    xs, positions = arrays(sample), differentiable(sample)
    fun, primals, tangents = restricted(call(sample), xs, positions)
    cts = cotangents(fun(*primals))
    found = push(lambda *primals: pull(fun)(primals, cts)[1])(primals, tangents)[1]
    require_close(found, judged.curvature, max(50 * tolerance(sample), judged.allowed), "forward over reverse")


LANES = Axis(3)


def check_batch(sample: Sample, judge: Judge) -> None:
    """vmap against loops: in one staged program, and eagerly where every argument is batched."""
    xs = arrays(sample)
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    if not sample.batch or not traced:
        return
    n, cts = len(xs), cotangents(call(sample)(*xs))
    both = xs + [stacked(x) if i in traced else x for i, x in enumerate(xs)]

    def program(*zs: Any) -> list[Any]:
        return [x for outs, *_ in batches(sample, cts, mapped, zs[:n], zs[n:]) for x in outs]

    found = iter(compiled(program, both))
    for outs, limit, what in batches(sample, cts, looped, both[:n], both[n:]):
        require_close(list(islice(found, len(outs))), outs, limit, what)
    eager = call(sample), both[n:], [i in traced for i in range(n)]
    require_close(mapped(*eager), looped(*eager), 5 * tolerance(sample), "eager batch")


def check_empty_batch(sample: Sample, judge: Judge) -> None:
    """vmap of no lanes at all: the shapes, as far as to XLA."""
    xs = arrays(sample)
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    if not sample.batch or not traced:
        return
    cts = cotangents(call(sample)(*xs))
    none = {i: type_of(xs[i]).with_shape((0, *np.shape(xs[i]))) for i in traced}
    over = partial(mapped, axis=Axis(0))

    def program(*ys: Any) -> list[Any]:
        empty = dict(zip(none, ys, strict=True))
        lanes = [empty.get(i, x) for i, x in enumerate(xs)]
        return [x for outs, *_ in batches(sample, cts, over, xs, lanes) for x in outs]

    jaxpr = stage(program, list(none.values())).check()
    for t in jaxpr.out_types:
        if t.shape[:1] != (0,):
            raise RuleError(f"a batch of no lanes has the type {t!r}, expected a leading axis of size 0.")
    jax.eval_shape(lambda *ys: lower(jaxpr, *ys), *map(type_in_jax, none.values()))


CHECKS: tuple[Check, ...] = (
    *(check_evaluation, check_types, check_lowering, check_jvp, check_linearize, check_vjp, check_second_order),
    *(check_batch, check_empty_batch),
)


# Parts of the checks


def compiled(fun: Any, xs: Sequence[Any]) -> list[Any]:
    """`fun(*xs)`, staged and compiled as one program; Python scalars are a part of it."""
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    inputs = [xs[i] for i in traced]
    jaxpr = stage(fix(fun, xs, traced), [type_of(x) for x in inputs]).check()
    str(jaxpr)
    return jax.jit(lambda *a: lower(jaxpr, *a))(*inputs)


def batches(sample: Sample, cts: Sequence[Any], over: Any, xs: Sequence[Any], ys: Sequence[Any]) -> list[tuple]:
    """What `over` makes of values and pullbacks where some arguments are batches, `ys`, with tolerances and names."""
    found = []
    for chosen in subsets([i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]):
        batched = [i in chosen for i in range(len(xs))]
        args = [y if b else x for x, y, b in zip(xs, ys, batched, strict=True)]
        found.append((over(call(sample), args, batched), 5 * tolerance(sample), f"batch over arguments {chosen}"))
        positions = [i for i in differentiable(sample) if i in chosen]
        if positions:  # batches of the transpose rules
            pulled = partial(pullback_of, sample, positions, cts)
            what = f"batched pullback for arguments {positions}"
            found.append((over(pulled, args, batched), 20 * tolerance(sample), what))
    return found


def pullback_of(sample: Sample, positions: Sequence[int], cts: Sequence[Any], *xs: Any) -> list[Any]:
    """The cotangents of the arguments at `positions`."""
    return pull(fix(call(sample), xs, positions))([xs[i] for i in positions], cts)[1]


def mapped(fun: Any, args: Sequence[Any], batched: Sequence[bool], axis: Axis = LANES) -> list[Any]:
    """The results for batches, all with a batch axis."""
    outs, flags = vmap_flat(fun, axis, args, batched)
    return [x if flag else repeat(axis, x) for x, flag in zip(outs, flags, strict=True)]


def looped(fun: Any, args: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    """The same by a loop in Python."""
    lanes = [rows(x) if b else [x] * LANES.size for x, b in zip(args, batched, strict=True)]
    turns = [fun(*turn) for turn in zip(*lanes, strict=True)]
    return [stack(column) for column in zip(*turns, strict=True)]


# Arrays are cut and stacked by NumPy, which compiles nothing; only keys are unknown to it.


def stacked(x: Any) -> Any:
    """Variants of an argument along a new leading axis: rolled, so that every row is a legal argument too."""
    if is_key(jnp.result_type(x)):
        return jax.random.wrap_key_data(stacked(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    lanes = [np.roll(np.asarray(x).ravel(), k).reshape(np.shape(x)) for k in range(LANES.size)]
    return jax.device_put(np.stack(lanes))


def rows(x: Any) -> list[Any]:
    """The lanes of a batch."""
    return list(x) if is_key(x.dtype) else [jax.device_put(row) for row in np.asarray(x)]


def stack(xs: Sequence[Any]) -> Any:
    """A batch of lanes."""
    return jnp.stack(xs) if is_key(jnp.result_type(xs[0])) else np.stack(xs)
