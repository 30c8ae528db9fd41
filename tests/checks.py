"""What every primitive must satisfy, judged by JAX, by finite differences and by the dot-product identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.jaxpr import lower
from minijvp.core.primitive import Axis
from minijvp.core.types import PYTHON_SCALARS, is_inexact, is_key, type_of
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.staging import shape_struct, stage
from minijvp.transforms.transpose import transpose_flat
from minijvp.transforms.vmap import repeat, vmap_flat
from tests.samples import Sample

TOLERANCES = {"bfloat16": 5e-2, "float16": 5e-3, "float32": 2e-5, "complex64": 2e-5}


def tolerance(sample: Sample) -> float:
    if sample.tolerance is not None:
        return sample.tolerance
    return max((TOLERANCES.get(str(type_of(x).dtype), 1e-10) for x in sample.args), default=1e-10)


def as_list(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (tuple, list)) else [out]


def assert_close(actual: Sequence[Any], expected: Sequence[Any], tolerance: float, what: str) -> None:
    assert len(actual) == len(expected), what
    for a, e in zip(actual, expected, strict=True):
        if is_key(jnp.result_type(e)):
            assert jnp.result_type(a) == jnp.result_type(e), what
            a, e = jax.random.key_data(a), jax.random.key_data(e)
        assert jnp.shape(a) == jnp.shape(e), f"{what}: shape {jnp.shape(a)}, should be {jnp.shape(e)}"
        assert jnp.result_type(a) == jnp.result_type(e), f"{what}: {jnp.result_type(a)}, should be {jnp.result_type(e)}"
        a, e = (
            np.asarray(x, dtype=np.float64) if jnp.result_type(x) == jnp.bfloat16 else np.asarray(x) for x in (a, e)
        )
        scale = max(1.0, float(np.max(np.abs(e), initial=0, where=np.isfinite(e)))) if e.dtype.kind in "fc" else 1.0
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def arrays(sample: Sample) -> list[Any]:
    """The arguments as jax arrays; Python scalars stay literals."""
    return [x if type(x) in PYTHON_SCALARS else jax.device_put(x) for x in sample.args]


def call(sample: Sample):
    return lambda *xs: as_list(sample.primitive(*xs, **sample.params))


def oracle(sample: Sample):
    return lambda *xs: as_list(sample.oracle(*xs))


def differentiable(sample: Sample) -> list[int]:
    if not sample.differentiable:
        return []
    return [i for i, x in enumerate(arrays(sample)) if type(x) not in PYTHON_SCALARS and is_inexact(x.dtype)]


def subsets(positions: Sequence[int]) -> Iterator[list[int]]:
    """Each argument alone, and all together."""
    yield from ([i] for i in positions)
    if len(positions) > 1:
        yield list(positions)


def direction(x: Any, seed: int) -> Any:
    """Normal numbers of the shape and dtype of x."""
    generator = np.random.default_rng([seed, *x.shape])
    v = generator.standard_normal(x.shape)
    v = v + 1j * generator.standard_normal(x.shape) if jnp.iscomplexobj(x) else v
    return jax.device_put(np.asarray(v, x.dtype))


class Derivatives(NamedTuple):
    """What JAX and finite differences say of the derivatives in some arguments; None is what they are not asked."""

    tangents: list[Any] | None
    cotangents: list[Any] | None
    quotients: list[Any] | None


class Judgement(NamedTuple):
    """What they say of a sample: its values, derivatives in `subsets` of its arguments, and forward over reverse."""

    values: list[Any]
    derivatives: list[Derivatives]
    curvature: list[Any] | None


@lru_cache(maxsize=1)  # the checks of a sample follow one another
def judged(sample: Sample) -> Judgement:
    """The judgement, by one compilation: one for each operation of JAX would take more time than all else together."""
    xs = arrays(sample)
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    return jax.jit(fix(lambda *xs: judgement(sample, xs), xs, traced))(*[xs[i] for i in traced])


def judgement(sample: Sample, xs: Sequence[Any]) -> Judgement:
    outs = oracle(sample)(*xs)
    cts = cotangents_in_jax(outs)
    derivatives, curvature = [], None
    for positions in subsets(differentiable(sample)):
        fun, primals, tangents = restricted(oracle(sample), xs, positions)
        pushed = pulled = quotients = None
        if sample.jax_derivative:
            pushed = inexact(jax.jvp(fun, primals, tangents)[1], outs)
            pull = lambda *primals, fun=fun: list(jax.vjp(fun, *primals)[1](cts))
            pulled, curvature = jax.jvp(pull, primals, tangents)  # the last is that of all arguments
        if sample.finite_differences and all(type_of(x).dtype.itemsize >= 8 for x in primals):
            quotients = inexact(difference_quotient(sample, xs, positions, tangents), outs)
        derivatives.append(Derivatives(pushed, pulled, quotients))
    return Judgement(outs, derivatives, curvature)


def difference_quotient(sample: Sample, xs: Sequence[Any], positions: Sequence[int], tangents: Sequence[Any]) -> Any:
    """The central one, in double precision."""
    if any(xs[i].dtype == np.complex64 for i in positions):
        xs = [x if type(x) in PYTHON_SCALARS or x.dtype != np.complex64 else x.astype(np.complex128) for x in xs]
    fun, primals = fix(oracle(sample), xs, positions), [xs[i] for i in positions]
    ahead, behind = (fun(*[x + h * t for x, t in zip(primals, tangents, strict=True)]) for h in (1e-6, -1e-6))
    return [(a - b) / 2e-6 if is_inexact(a.dtype) else a for a, b in zip(ahead, behind, strict=True)]


def inexact(tangents: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
    """The tangents of the outputs that have one, of their dtypes."""
    return [
        t if t.dtype == x.dtype else t.astype(x.dtype)
        for t, x in zip(tangents, outs, strict=True)
        if is_inexact(x.dtype)
    ]


def restricted(fun: Any, xs: Sequence[Any], positions: Sequence[int]) -> tuple[Any, list[Any], list[Any]]:
    """`fun` of the arguments at `positions`, those arguments, and a direction to move them in."""
    primals = [xs[i] for i in positions]
    return fix(fun, xs, positions), primals, [direction(x, i) for i, x in enumerate(primals)]


def cotangents(outs: Sequence[Any]) -> list[Any]:
    return [direction(x, 9 + i) if is_inexact(x.dtype) else None for i, x in enumerate(outs)]


def cotangents_in_jax(outs: Sequence[Any]) -> list[Any]:
    """The same for JAX, which wants float0 where there is none."""
    return [np.zeros(x.shape, jax.dtypes.float0) if ct is None else ct for x, ct in zip(outs, cotangents(outs))]


def check_evaluation(sample: Sample) -> None:
    assert_close(call(sample)(*arrays(sample)), judged(sample).values, tolerance(sample), "value")


def check_types(sample: Sample) -> None:
    xs = arrays(sample)
    types = sample.primitive.type_rule(*map(type_of, xs), **sample.params)
    out = sample.primitive(*xs, **sample.params)
    assert isinstance(types, tuple) == isinstance(out, tuple) and sample.primitive.returns_tuple in (
        None,
        isinstance(out, tuple),
    )
    assert as_list(types) == [type_of(x) for x in as_list(out)]


def check_lowering(sample: Sample) -> None:
    found = compiled(call(sample), arrays(sample))
    assert_close(found, call(sample)(*arrays(sample)), tolerance(sample), "compiled value")


def compiled(fun: Any, xs: Sequence[Any]) -> list[Any]:
    """`fun(*xs)`, staged and compiled as one program; Python scalars are a part of it."""
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    inputs = [xs[i] for i in traced]
    jaxpr = stage(fix(fun, xs, traced), [type_of(x) for x in inputs]).check()
    str(jaxpr)
    return jax.jit(lambda *a: lower(jaxpr, *a))(*inputs)


def fix(fun: Any, xs: Sequence[Any], positions: Sequence[int]):
    """`fun` of the arguments at `positions`, the others fixed."""

    def partial(*some: Any) -> Any:
        full = list(xs)
        for i, x in zip(positions, some, strict=True):
            full[i] = x
        return fun(*full)

    return partial


def check_jvp(sample: Sample) -> None:
    xs, values = arrays(sample), judged(sample).values
    for positions, judge in zip(subsets(differentiable(sample)), judged(sample).derivatives, strict=True):
        fun, primals, tangents = restricted(call(sample), xs, positions)
        outs, out_tangents = jvp_flat(fun, primals, tangents)
        what = f"tangent for arguments {positions}"
        assert_close(outs, values, tolerance(sample), f"primal beside the {what}")
        actual = [instantiated(t, x) for t, x in zip(out_tangents, outs, strict=True) if is_inexact(x.dtype)]
        if judge.tangents is not None:
            assert_close(actual, judge.tangents, 5 * tolerance(sample), what)
        if judge.quotients is not None:
            assert_close(actual, judge.quotients, 1e-5, f"{what} by differences")


def instantiated(t: Any, x: Any) -> Any:
    return np.zeros(x.shape, x.dtype) if t is None else t


def pullback(fun: Any, primals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of all primals, zeros included."""
    _, linear, nonzero = linearize_flat(fun, primals, [True] * len(primals))
    linear.check()
    cts = [ct for ct, n in zip(cotangents, nonzero, strict=True) if n]
    n = len(primals)
    return [
        instantiated(ct, x) for ct, x in zip(transpose_flat(linear, [True] * n, [None] * n, cts), primals, strict=True)
    ]


def check_vjp(sample: Sample) -> None:
    xs = arrays(sample)
    for positions, judge in zip(subsets(differentiable(sample)), judged(sample).derivatives, strict=True):
        fun, primals, tangents = restricted(call(sample), xs, positions)
        outs, out_tangents = jvp_flat(fun, primals, tangents)
        cts = cotangents(outs)
        actual = pullback(fun, primals, cts)
        what = f"cotangents of arguments {positions}"
        if judge.cotangents is not None:
            assert_close(actual, judge.cotangents, 5 * tolerance(sample), what)
        with np.errstate(invalid="ignore"):  # infinite ones times 0
            terms = [
                wide(ct) * wide(t) for ct, t in zip(cts, out_tangents, strict=True) if ct is not None and t is not None
            ]
            left, size = sum(term.sum().real for term in terms), sum(np.abs(term).sum() for term in terms)
            right = sum((wide(ct) * wide(t)).sum().real for ct, t in zip(actual, tangents, strict=True))
        np.testing.assert_allclose(left, right, rtol=0, atol=10 * tolerance(sample) * max(1, size), err_msg=what)


def wide(x: Any) -> np.ndarray:
    return np.asarray(x).astype(np.complex128 if jnp.iscomplexobj(x) else np.float64)


def check_second_order(sample: Sample) -> None:
    """Forward over reverse, against JAX."""
    expected = judged(sample).curvature
    if expected is None:
        return
    xs, positions = arrays(sample), differentiable(sample)
    fun, primals, tangents = restricted(call(sample), xs, positions)
    cts = cotangents(fun(*primals))
    actual = jvp_flat(lambda *a: pullback_traced(fun, a, cts), primals, tangents)[1]
    actual = [instantiated(t, x) for t, x in zip(actual, primals, strict=True)]
    assert_close(actual, expected, 50 * tolerance(sample), "forward over reverse")


def pullback_traced(fun: Any, primals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    _, linear, nonzero = linearize_flat(fun, primals, [True] * len(primals))
    n = len(primals)
    cts = [ct for ct, nz in zip(cotangents, nonzero, strict=True) if nz]
    found = transpose_flat(linear, [True] * n, [None] * n, cts)
    return [jnp.zeros(x.shape, x.dtype) if ct is None else ct for ct, x in zip(found, primals, strict=True)]


AXIS = Axis(3)


def check_batch(sample: Sample) -> None:
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
        assert_close(list(islice(found, len(outs))), outs, limit, what)
    assert not list(found)
    eager = call(sample), both[n:], [i in traced for i in range(n)]
    assert_close(mapped(*eager), looped(*eager), 5 * tolerance(sample), "eager batch")


def check_empty_batch(sample: Sample) -> None:
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
        return [
            x for outs, *_ in batches(sample, cts, over, xs, [empty.get(i, x) for i, x in enumerate(xs)]) for x in outs
        ]

    jaxpr = stage(program, list(none.values())).check()
    assert all(t.shape[0] == 0 for t in jaxpr.out_types)
    jax.eval_shape(lambda *ys: lower(jaxpr, *ys), *map(shape_struct, none.values()))


def batches(sample: Sample, cts: Sequence[Any], over: Any, xs: Sequence[Any], ys: Sequence[Any]) -> list[tuple]:
    """What `over` makes of values and pullbacks where some arguments are batches, `ys`, with tolerances and names."""
    found = []
    for chosen in subsets([i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]):
        batched = [i in chosen for i in range(len(xs))]
        args = [y if b else x for x, y, b in zip(xs, ys, batched, strict=True)]
        found.append((over(call(sample), args, batched), 5 * tolerance(sample), f"batch over arguments {chosen}"))
        positions = [i for i in differentiable(sample) if i in chosen]
        if positions:  # batches of the transpose rules
            pull = partial(pullback_of, sample, positions, cts)
            what = f"batched pullback for arguments {positions}"
            found.append((over(pull, args, batched), 20 * tolerance(sample), what))
    return found


def pullback_of(sample: Sample, positions: Sequence[int], cts: Sequence[Any], *xs: Any) -> list[Any]:
    return pullback_traced(fix(call(sample), xs, positions), [xs[i] for i in positions], cts)


def mapped(fun: Any, args: Sequence[Any], batched: Sequence[bool], axis: Axis = AXIS) -> list[Any]:
    outs, flags = vmap_flat(fun, axis, args, batched)
    return [x if flag else repeat(axis, x) for x, flag in zip(outs, flags, strict=True)]


def looped(fun: Any, args: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    turns = [fun(*turn) for turn in zip(*(rows(x) if b else [x] * 3 for x, b in zip(args, batched, strict=True)))]
    return [stack(column) for column in zip(*turns, strict=True)]


# Arrays are cut and stacked by NumPy, which compiles nothing; only keys are unknown to it.


def stacked(x: Any) -> Any:
    """Three variants of an argument along a new leading axis: rolled, so that every row is a legal argument too."""
    if is_key(jnp.result_type(x)):
        return jax.random.wrap_key_data(stacked(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    return jax.device_put(np.stack([np.roll(np.asarray(x).ravel(), k).reshape(np.shape(x)) for k in range(3)]))


def rows(x: Any) -> list[Any]:
    return list(x) if is_key(x.dtype) else [jax.device_put(row) for row in np.asarray(x)]


def stack(xs: Sequence[Any]) -> Any:
    return jnp.stack(xs) if is_key(jnp.result_type(xs[0])) else np.stack(xs)


def check_in_jax(sample: Sample) -> None:
    """JAX's derivatives of the primitive, in all arguments, are ours."""
    xs, positions = arrays(sample), differentiable(sample)
    if not positions:
        return
    fun, primals, tangents = restricted(call(sample), xs, positions)
    outs, out_tangents = jvp_flat(fun, primals, tangents)
    cts = cotangents_in_jax(outs)

    def theirs(*primals: Any) -> tuple[list[Any], Sequence[Any]]:
        found, ts = jax.jvp(fun, primals, tuple(tangents))
        return inexact(ts, found), jax.vjp(fun, *primals)[1](cts)

    pushed, pulled = jax.jit(theirs)(*primals)
    ours = [instantiated(t, x) for t, x in zip(out_tangents, outs, strict=True) if is_inexact(x.dtype)]
    assert_close(pushed, ours, 5 * tolerance(sample), "tangent in JAX")
    ours = pullback(fun, primals, cotangents(outs))
    assert_close(pulled, ours, 5 * tolerance(sample), "cotangents in JAX")


CHECKS = [
    *(check_evaluation, check_types, check_lowering, check_jvp, check_vjp, check_second_order, check_batch),
    check_empty_batch,
    check_in_jax,
]
