"""What every primitive must satisfy, judged by JAX, by finite differences and by the dot-product identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.jaxpr import lower
from minijvp.core.primitive import Axis
from minijvp.core.types import PYTHON_SCALARS, is_inexact, is_key, type_of
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_flat
from minijvp.transforms.vmap import vmap_flat
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
    return [x if type(x) in PYTHON_SCALARS else jnp.asarray(x) for x in sample.args]


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
    x = jnp.asarray(x)
    generator = np.random.default_rng([seed, *x.shape])
    v = generator.standard_normal(x.shape)
    return jnp.asarray(v + 1j * generator.standard_normal(x.shape) if jnp.iscomplexobj(x) else v, x.dtype)


def check_evaluation(sample: Sample) -> None:
    assert_close(call(sample)(*arrays(sample)), oracle(sample)(*arrays(sample)), tolerance(sample), "value")


def check_types(sample: Sample) -> None:
    xs = arrays(sample)
    types = sample.primitive.type_rule(*map(type_of, xs), **sample.params)
    out = sample.primitive(*xs, **sample.params)
    assert isinstance(types, tuple) == isinstance(out, tuple) == sample.primitive.returns_tuple
    assert as_list(types) == [type_of(x) for x in as_list(out)]


def check_lowering(sample: Sample) -> None:
    xs = arrays(sample)
    traced = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    fun, inputs = fix(call(sample), xs, traced), [xs[i] for i in traced]
    jaxpr = stage(fun, [type_of(x) for x in inputs]).check()
    str(jaxpr)
    assert_close(jax.jit(lambda *a: lower(jaxpr, *a))(*inputs), fun(*inputs), tolerance(sample), "compiled value")


def fix(fun: Any, xs: Sequence[Any], positions: Sequence[int]):
    """`fun` of the arguments at `positions`, the others fixed."""

    def partial(*some: Any) -> Any:
        full = list(xs)
        for i, x in zip(positions, some, strict=True):
            full[i] = x
        return fun(*full)

    return partial


def check_jvp(sample: Sample) -> None:
    xs = arrays(sample)
    for positions in subsets(differentiable(sample)):
        primals = [xs[i] for i in positions]
        tangents = [direction(x, i) for i, x in enumerate(primals)]
        outs, out_tangents = jvp_flat(fix(call(sample), xs, positions), primals, tangents)
        what = f"tangent for arguments {positions}"
        assert_close(outs, oracle(sample)(*xs), tolerance(sample), f"primal beside the {what}")
        actual = [instantiated(t, x) for t, x in zip(out_tangents, outs, strict=True) if is_inexact(x.dtype)]
        if sample.jax_derivative:
            _, expected = jax.jvp(fix(oracle(sample), xs, positions), primals, tangents)
            expected = [t for t, x in zip(expected, outs, strict=True) if is_inexact(x.dtype)]
            assert_close(actual, expected, 5 * tolerance(sample), what)
        if sample.finite_differences and all(type_of(x).dtype.itemsize >= 8 for x in primals):
            assert_close(actual, difference_quotient(sample, xs, positions, tangents), 1e-5, f"{what} by differences")


def instantiated(t: Any, x: Any) -> Any:
    return jnp.zeros_like(x) if t is None else t


def difference_quotient(sample: Sample, xs: Any, positions: Sequence[int], tangents: Sequence[Any]) -> list[Any]:
    if any(type_of(xs[i]).dtype == np.complex64 for i in positions):
        xs = [x if type(x) in PYTHON_SCALARS or x.dtype != np.complex64 else x.astype(np.complex128) for x in xs]
    fun, primals, step = fix(oracle(sample), xs, positions), [xs[i] for i in positions], 1e-6
    ahead, behind = (fun(*[x + s * t for x, t in zip(primals, tangents, strict=True)]) for s in (step, -step))
    outs = oracle(sample)(*arrays(sample))
    return [
        ((a - b) / (2 * step)).astype(x.dtype)
        for a, b, x in zip(ahead, behind, outs, strict=True)
        if is_inexact(x.dtype)
    ]


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
    for positions in subsets(differentiable(sample)):
        primals = [xs[i] for i in positions]
        fun = fix(call(sample), xs, positions)
        outs = fun(*primals)
        cts = [direction(x, 9 + i) if is_inexact(x.dtype) else None for i, x in enumerate(outs)]
        actual = pullback(fun, primals, cts)
        what = f"cotangents of arguments {positions}"
        if sample.jax_derivative:
            float0 = [
                np.zeros(x.shape, jax.dtypes.float0) if ct is None else ct for x, ct in zip(outs, cts, strict=True)
            ]
            expected = jax.vjp(fix(oracle(sample), xs, positions), *primals)[1](float0)
            assert_close(actual, expected, 5 * tolerance(sample), what)
        tangents = [direction(x, i) for i, x in enumerate(primals)]
        out_tangents = [instantiated(t, x) for t, x in zip(jvp_flat(fun, primals, tangents)[1], outs, strict=True)]
        left = sum(
            complex(jnp.vdot(jnp.conj(ct), t)) for ct, t in zip(cts, out_tangents, strict=True) if ct is not None
        )
        right = sum(complex(jnp.vdot(jnp.conj(ct), t)) for ct, t in zip(actual, tangents, strict=True))
        size = sum(float(jnp.sum(jnp.abs(ct * t))) for ct, t in zip(cts, out_tangents, strict=True) if ct is not None)
        np.testing.assert_allclose(
            left.real, right.real, rtol=0, atol=10 * tolerance(sample) * max(1, size), err_msg=what
        )


def check_second_order(sample: Sample) -> None:
    """Forward over reverse, against JAX."""
    positions = differentiable(sample)
    if not positions or not sample.jax_derivative:
        return
    xs = arrays(sample)
    primals = [xs[i] for i in positions]
    outs = call(sample)(*xs)
    cts = [direction(x, 9 + i) if is_inexact(x.dtype) else None for i, x in enumerate(outs)]
    tangents = [direction(x, i) for i, x in enumerate(primals)]
    fun, judge = fix(call(sample), xs, positions), fix(oracle(sample), xs, positions)
    actual = jvp_flat(lambda *a: pullback_traced(fun, a, cts), primals, tangents)[1]
    actual = [instantiated(t, x) for t, x in zip(actual, primals, strict=True)]
    float0 = [np.zeros(x.shape, jax.dtypes.float0) if ct is None else ct for x, ct in zip(outs, cts, strict=True)]
    expected = jax.jvp(lambda *a: list(jax.vjp(judge, *a)[1](float0)), tuple(primals), tuple(tangents))[1]
    assert_close(actual, expected, 50 * tolerance(sample), "forward over reverse")


def pullback_traced(fun: Any, primals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    _, linear, nonzero = linearize_flat(fun, primals, [True] * len(primals))
    n = len(primals)
    cts = [ct for ct, nz in zip(cotangents, nonzero, strict=True) if nz]
    found = transpose_flat(linear, [True] * n, [None] * n, cts)
    return [jnp.zeros(x.shape, x.dtype) if ct is None else ct for ct, x in zip(found, primals, strict=True)]


def check_batch(sample: Sample) -> None:
    if not sample.batch:
        return
    xs = arrays(sample)
    positions = [i for i, x in enumerate(xs) if type(x) not in PYTHON_SCALARS]
    for chosen in subsets(positions):
        batched = [i in chosen for i in range(len(xs))]
        args = [stacked(x) if b else x for x, b in zip(xs, batched, strict=True)]
        rows = [call(sample)(*[x[k] if b else x for x, b in zip(args, batched, strict=True)]) for k in range(3)]
        expected = [jnp.stack(column) for column in zip(*rows, strict=True)]
        outs, out_batched = vmap_flat(call(sample), Axis(3), args, batched)
        outs = [x if b else jnp.broadcast_to(x, (3, *x.shape)) for x, b in zip(outs, out_batched, strict=True)]
        assert_close(outs, expected, 5 * tolerance(sample), f"batch over arguments {chosen}")
        inexact = [i for i in differentiable(sample) if i in chosen]
        if inexact:
            check_batched_pullback(sample, args, batched, inexact)


def check_batched_pullback(sample: Sample, args: list[Any], batched: list[bool], positions: list[int]) -> None:
    """vmap of the pullback against a loop: batching of the transpose rules."""

    def pull(*xs: Any) -> list[Any]:
        fun = fix(call(sample), xs, positions)
        outs = jax.eval_shape(oracle(sample), *[args[i][0] if b else args[i] for i, b in enumerate(batched)])
        cts = [
            direction(jnp.zeros(x.shape, x.dtype), 9 + i) if is_inexact(x.dtype) else None for i, x in enumerate(outs)
        ]
        return pullback_traced(fun, [xs[i] for i in positions], cts)

    rows = [pull(*[x[k] if b else x for x, b in zip(args, batched, strict=True)]) for k in range(3)]
    expected = [jnp.stack(column) for column in zip(*rows, strict=True)]
    outs, out_batched = vmap_flat(pull, Axis(3), args, batched)
    outs = [x if b else jnp.broadcast_to(x, (3, *x.shape)) for x, b in zip(outs, out_batched, strict=True)]
    assert_close(outs, expected, 20 * tolerance(sample), f"batched pullback for arguments {positions}")


def stacked(x: Any) -> Any:
    """Three variants of an argument along a new leading axis: rolled, so that every row is a legal argument too."""
    if is_key(jnp.result_type(x)):
        return jax.random.wrap_key_data(stacked(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    rows = [np.roll(np.asarray(x).ravel(), k).reshape(np.shape(x)) for k in range(3)]
    return jnp.asarray(np.stack(rows))


CHECKS = [check_evaluation, check_types, check_lowering, check_jvp, check_vjp, check_second_order, check_batch]
