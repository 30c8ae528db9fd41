"""Shapes, dtypes and weak types of public functions, and of the results of transformations, as JAX has them.

Nearly all is traced and not computed. A function that JAX refuses has to be refused. The weakness of a boolean counts
for nothing: it takes part in no promotion.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy
import pytest
from jax.tree_util import tree_flatten, tree_leaves, tree_unflatten

import minijvp
import minijvp.numpy as mnp
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import PYTHON_SCALARS, ArrayType, ScalarType, type_of
from minijvp.optimize.eager.steps import step
from tests.interop.calls import CALLS
from tests.samples import Sample, all_samples


class Side(NamedTuple):
    """An implementation: its transformations and its array functions."""

    api: Any
    np: Any


OURS, JAX = Side(minijvp, mnp), Side(jax, jnp)
SHAPES = dict(x=(4, 4), y=(4, 4), m=(2, 3, 4), v=(4,), w=(4,), u=(4,), s=(), t=(), A=(4, 4), c=(4,))
FIRST = set("xmvsAc")
"""The names whose kind is the first of a pair; the others have the second."""

KINDS: dict[str, tuple[Any, bool]] = {
    "weak float": (float, True),
    "weak int": (int, True),
    "weak complex": (complex, True),
    "float32": (jnp.float32, False),
    "float64": (jnp.float64, False),
    "bfloat16": (jnp.bfloat16, False),
    "int32": (jnp.int32, False),
    "int64": (jnp.int64, False),
    "uint8": (jnp.uint8, False),
    "bool": (jnp.bool_, False),
    "complex64": (jnp.complex64, False),
}
NUMBERS = {"float": 0.5, "int": 2, "bool": True}
REFUSALS = (TypeError, ValueError, OverflowError, AttributeError, IndexError, NotImplementedError, RuntimeError)


def operand(name: str, kinds: tuple[str, str]) -> Any:
    """A value that is traced, by its name in a call."""
    dtype, weak = KINDS[kinds[name not in FIRST]]
    return jax.ShapeDtypeStruct(SHAPES[name], jax.dtypes.canonicalize_dtype(dtype), weak_type=weak)


def kind_of(x: Any) -> tuple:
    """Shape, dtype and weakness of a leaf of a result."""
    if isinstance(x, (bool, int, float, complex)):
        return (), jnp.result_type(x), type(x) is not bool
    return tuple(x.shape), x.dtype, bool(getattr(x, "weak_type", False)) and x.dtype != numpy.bool_


def kinds_of(api: Any, fun: Callable[..., Any], args: Sequence[Any]) -> Any:
    """The kinds of the leaves of a result, found by tracing; or that the call is refused."""
    others: list[Any] = []

    def arrays(*args: Any) -> list[Any]:
        leaves = tree_leaves(fun(*args))
        is_array = [hasattr(x, "shape") or isinstance(x, (bool, int, float, complex)) for x in leaves]
        others.extend([x for x, flag in zip(leaves, is_array, strict=True) if not flag])
        return [x for x, flag in zip(leaves, is_array, strict=True) if flag]

    try:
        found = api.eval_shape(arrays, *args)
    except REFUSALS:
        return "refused"
    return [kind_of(x) for x in found] + list(map(str, others))


# Calls of every sort, by their text. `np`, `lax`, `nn` ... are those of the side that evaluates it.

CREATION = """
np.full((2,), 0.5); np.full((2,), 1); np.full((2,), True); np.full((2,), 1j); np.full((2,), 0.5, 'float32')
np.full((2,), s); np.full((2,), s, float); np.full((4, 4), v); np.full(3, np.asarray(0.5)); np.full((2,), 0.5) * s
np.full_like(x, 0.5); np.full_like(x, 1); np.full_like(x, s); np.full_like(x, v); np.full_like(x, 0.5, 'float32')
np.full_like(s, 2); np.full_like(v, 0.5, shape=(2,)); np.full_like(0.5, v); np.full_like(1, 0.5)
np.zeros_like(x); np.ones_like(x); np.empty_like(x); np.zeros_like(x, 'float32'); np.ones_like(x, float)
np.zeros_like(0.5); np.ones_like(2); np.zeros_like(s, shape=(2,)); np.ones_like(True)
np.zeros(2) * s; np.ones(2) * s; np.zeros((2,), int) * s; np.empty(2) * s; np.zeros(2, 'float32') * s
np.arange(3) * s; np.arange(3.0) * s; np.arange(0, 1, 0.25) * s; np.arange(3, dtype='float32') * s; np.arange(1, 3) * s
np.linspace(0, 1, 4) * v; np.linspace(s, 1, 4); np.linspace(0.0, s, 4); np.linspace(s, 2.0, 3, dtype='float32')
np.linspace(s, 1, 3, retstep=True); np.linspace(v, 0.0, 3); np.linspace(0, 3, 4, retstep=True)
np.logspace(0, 1, 3) * s; np.logspace(s, 1, 3); np.geomspace(1, 2, 3) * s; np.geomspace(s, 2.0, 3)
np.eye(4) * v; np.eye(4, dtype=int) * v; np.identity(4) * v; np.tri(4) * v; np.tri(2); np.tri(2, dtype=int)
np.asarray(s); np.asarray(s, 'float32'); np.asarray(s, float); np.asarray(v, int); np.asarray(v, bool)
np.asarray(0.5) * v; np.asarray(1) * v; np.asarray([1, 2, 3, 4]) * v; np.asarray([0.5, 1.0, 2.0, 3.0]) * v
np.asarray([s, s]); np.asarray([s, 1]); np.asarray([[s, 0.5], [1, s]]); np.asarray([v, [1, 2, 3, 4]])
np.asarray([s, 0.5], 'float32'); np.asarray([True, s]); np.array(s); np.array(v, 'float32'); np.array([s, 2.0])
np.array([0.5, 1.0]) * s; np.array(0.5); np.array(2); np.array(s, ndmin=2); np.array([v, v]); np.array([s, s], float)
np.copy(v); np.float32(s); np.float64(v); np.int32(v); np.bool_(v); np.float32(0.5); np.complex64(s); np.bfloat16(v)
np.float32([0.5, s]); np.astype(v, 'float32'); np.astype(v, float); np.astype(v, int); v.astype(complex)
v.astype(v.dtype); np.result_type(v, 0.5); np.result_type(v, s); np.result_type(s, 'float32')
lax.full((2,), 0.5); lax.full((2,), s); lax.full((2,), 1); lax.full((2,), 0.5, 'float32'); lax.full((2,), s, float)
lax.full((2,), 1j, float); lax.full_like(v, 0.5); lax.full_like(v, s); lax.full_like(v, 1); lax.full_like(s, True)
lax.full_like(v, 0.5, 'float32'); lax.full_like(0.5, 1); lax.iota(float, 3) * s; lax.full_like(v, 0.5, shape=(2,))
lax.convert_element_type(v, 'float32'); lax.convert_element_type(v, float); lax.convert_element_type(0.5, float)
"""

ARITHMETIC = """
v + 1; v + 1.0; v + True; v + 1j; 1 - v; 2.0 * v; v / 2; 2 / v; v // 2; v // 2.0; v % 2; v % 2.0; divmod(v, 2)
2**v; v**2; v**2.0; v**0.5; v**s; s**v; v**True; v**-1; v + numpy.float32(1); v + numpy.float64(1); -v; +v; abs(v)
v * numpy.int32(2); v + numpy.ones(4, 'float32'); numpy.float64(2) * v; v @ v; v @ x; v > 0; v == 1; v != 0.5; v & 1
v << 1; ~v; v + s; s * x; v + w; v * w; v / w; v ** w; v > w
np.power(v, 2); np.power(2, v); np.power(2.0, v); np.power(v, w); np.float_power(v, 2); np.power(v, True)
np.power(2, True); np.power(2, 3); np.power(2.0, 3); np.power(True, 2); np.square(v); np.sqrt(v); np.reciprocal(v)
np.maximum(v, 0); np.maximum(v, 0.0); np.minimum(1, v); np.maximum(v, w); np.fmax(v, 0.0); np.hypot(v, 1)
np.arctan2(v, 1.0); np.logaddexp(v, 0); np.copysign(v, 1.0); np.heaviside(v, 0.5); np.mod(v, 2); np.fmod(v, 2.0)
np.real(v); np.imag(v); np.conj(v); np.angle(v); np.angle(s); np.angle(v, deg=True); np.abs(v); np.sign(v)
np.floor(v); np.rint(v); np.trunc(v); np.sinc(v); np.deg2rad(v); np.rad2deg(v); np.log2(v); np.log10(v)
np.nan_to_num(v); np.isnan(v); np.isclose(v, 0.5); np.i0(v); np.exp(s); np.logaddexp2(v, 1.0)
np.sin(0.5); np.sin(1); np.sqrt(2); np.log(2); np.add(1, 2); np.add(1, 2.0); np.multiply(0.5, True); np.add(True, True)
np.maximum(1, 2.0); np.divide(1, 2); np.negative(2); np.abs(-2); np.square(3); np.floor(0.5); np.floor(2)
np.floor_divide(7, 2); np.mod(7, 2.0); np.equal(1, 2); np.conj(1j); np.real(1j); np.angle(1j); np.angle(0.5); np.exp(1j)
"""

CHOICE = """
np.where(v > 0, v, 0); np.where(v > 0, v, 0.0); np.where(v > 0, 1, v); np.where(v > 0, 1.0, 2); np.where(v > 0, 1, 2)
np.where(True, v, 0.5); np.where(v > 0, v, w); np.where(v > 0, v, 1j); np.where(True, 1.0, 2.0)
np.where(v > 0, True, v); np.where(v > 0, numpy.float32(1), 2.0); np.clip(v, 0, 1)
np.clip(v, 0.0, 1.0); np.clip(v, 0); np.clip(v, w, 1)
np.clip(v, None, 1.0); v.clip(0, 1); np.clip(0.5, v, 1); np.select([v > 0, v > 1], [v, 1.0], 0)
np.select([v > 0], [1.0], 2); np.piecewise(v, [v > 0], [np.sin, 0.0])
lax.clamp(0.0, v, 1.0); lax.clamp(0, v, 1); lax.clamp(w, v, w); lax.clamp(s, v, 1.0); lax.clamp(0.0, 0.5, 1.0)
lax.select(v > 0, v, w); lax.select(v > 0, v, 0.0); lax.select(True, 1.0, 2.0); lax.select_n(v > 0, v, w)
lax.select(s > 0, s, 1.0); lax.select(True, v, w)
"""

REDUCTIONS = """
np.sum(v); np.sum(x, 0); np.mean(v); np.var(v); np.std(x, 1); np.max(v); np.min(v); np.prod(v); np.cumsum(v)
np.cumprod(v); np.median(v); np.ptp(v); np.average(v); np.average(v, weights=w); np.any(v); np.count_nonzero(v)
np.sum(v, dtype='float32'); np.mean(v, dtype='float32'); np.cumsum(v, dtype='float32'); np.sum(v, dtype=float)
np.mean(v, dtype=float); np.prod(v, dtype=float); np.cumsum(v, dtype=float); np.var(v, dtype=float)
np.sum(v, initial=1.0); np.max(v, initial=0); np.max(v, initial=0.5); np.sum(v, where=v > 0); np.mean(v, where=v > 0)
np.sum(s); np.mean(s); np.max(s); np.var(s); np.sum(0.5); np.mean(2); np.max(0.5); np.std(v, ddof=1); np.nansum(v)
np.nanmean(v); np.nanmax(v); np.trace(x); np.trace(x, dtype=float); np.sum(x, keepdims=True)
np.quantile(v, 0.5); np.quantile(v, s); np.quantile(v, np.asarray([0.1, 0.5])); np.percentile(v, 50)
np.percentile(v, 50.0); np.quantile(v, 0.5, method='nearest'); np.quantile(v, 0.5, method='lower'); np.quantile(v, 1)
np.nanquantile(v, 0.5); np.nanpercentile(v, 50); np.nanmedian(v); np.median(x, 0); np.quantile(x, 0.5, axis=0)
np.quantile(0.5, 0.5); np.quantile(v, w)
"""

ARRANGEMENT = """
np.concatenate([v, w]); np.concatenate([v, np.ones(2)]); np.concatenate([v, v], dtype='float32')
np.concatenate([v, v], dtype=float); np.stack([v, w]); np.stack([v, v], dtype=float); np.stack([s, t])
np.stack([s, 0.5])
np.vstack([v, w]); np.hstack([v, w]); np.hstack([s, s]); np.append(v, 1.0); np.append(v, s); np.atleast_1d(s)
np.atleast_2d(0.5); np.column_stack([v, v]); np.block([v, w]); np.hstack([v, v], dtype=float)
np.pad(v, 1); np.pad(v, 1, constant_values=0.5); np.pad(v, 1, constant_values=s); np.pad(v, 1, mode='edge')
np.tile(v, 2); np.tile(s, 2); np.repeat(v, 2); np.repeat(s, 2); np.roll(v, 1); np.flip(v); np.diag(v); np.diag(x)
np.diag(v, 1); np.diagonal(x); np.tril(x); np.triu(x); np.diagflat(v); np.ravel(x); np.reshape(v, (2, 2))
np.broadcast_to(v, (2, 4)); np.broadcast_to(0.5, (2,)); np.broadcast_arrays(v, 0.5); np.sort(v); np.argsort(v)
np.meshgrid(v, w); np.rot90(x); v[0]; v[:2]; v[np.array([0, 1])]; x[0, 1]; v.at[0].set(1.0); v.at[0].set(s)
v.at[0].add(1); v.at[0].add(w[0]); v.at[np.array([0, 1])].multiply(2.0); v.at[0].min(0); np.take(v, 0)
np.take(v, np.array([0, 1])); np.take_along_axis(v, np.array([0]), 0); v.at[0].divide(2.0); v.at[0].power(2)
v.at[np.array([0])].get(mode='fill', fill_value=0.5); v.at[0].set(w[0]); np.round(v, 2); np.expand_dims(v, 0)
np.dot(v, w); np.dot(v, 2.0); np.inner(v, w); np.outer(v, w); np.vdot(v, w); np.matmul(x, v)
np.einsum('i,i->', v, w); np.einsum('i->', v); np.tensordot(x, v, 1); np.kron(v, w); np.cross(v[:3], w[:3])
np.dot(v, w, preferred_element_type='float32'); np.linalg.norm(v); np.linalg.norm(x); np.linalg.norm(v, 1)
np.interp(s, v, w); np.polyval(v, s); np.polyval(v, 0.5); np.gradient(v); np.diff(v); np.histogram(v); np.cov(v)
"""

LAX = """
lax.add(v, w); lax.add(v, 1.0); lax.add(1.0, v); lax.add(v, 1); lax.add(v, True); lax.add(v, 1j); lax.add(1.0, 2.0)
lax.add(1, 2.0); lax.mul(v, s); lax.mul(s, t); lax.sub(v, numpy.float32(1)); lax.sub(v, numpy.float64(1))
lax.max(v, 0.0); lax.pow(v, 2.0); lax.pow(v, 2); lax.pow(v, numpy.int32(2)); lax.pow(2.0, v); lax.atan2(v, 1.0)
lax.rem(v, 2.0); lax.eq(v, 0.0); lax.lt(v, 0); lax.lt(0.0, 1.0); lax.div(v, 2.0); lax.div(2, 3); lax.integer_pow(v, 3)
lax.integer_pow(v, -1); lax.neg(0.5); lax.exp(v); lax.exp(0.5); lax.abs(v); lax.sign(v); lax.sqrt(2.0)
lax.reciprocal(v); lax.square(v); lax.conj(v); lax.real(v); lax.complex(v, w); lax.complex(v, 0.0)
lax.complex(0.5, 0.0)
lax.nextafter(v, 0.0); lax.erf(v); lax.lgamma(v); lax.igamma(v, w); lax.igamma(1.0, v); lax.betainc(1.0, v, 0.5)
lax.polygamma(1.0, v); lax.zeta(v, 2.0); lax.bitwise_and(v, 1); lax.shift_left(v, 1); lax.population_count(v)
lax.reduce_precision(v, 5, 10); lax.round(v); lax.is_finite(v); lax.logistic(v); lax.add(v, s); lax.add(x, v)
lax.mul(v, w[:1]); lax.broadcast(v, (2,)); lax.broadcast(0.5, (2,)); lax.broadcast_in_dim(0.5, (2,), ())
lax.reshape(0.5, (1,)); lax.expand_dims(s, (0,)); lax.transpose(x, (1, 0)); lax.concatenate([v, w], 0)
lax.stop_gradient(v); lax.optimization_barrier(v); lax.pad(v, 0.0, ((1, 1, 0),)); lax.pad(v, 0, ((1, 1, 0),))
lax.pad(v, s, ((1, 1, 0),)); lax.pad(v, w[0], ((1, 1, 0),)); lax.dynamic_slice(v, (1,), (2,))
lax.dynamic_update_slice(v, w[:2], (1,)); lax.dynamic_update_slice(v[0], w[0], ()); lax.dynamic_index_in_dim(v, 1)
lax.dynamic_update_index_in_dim(v, s, 0, 0); lax.sort(v); lax.top_k(v, 2); lax.argmax(v, 0, int); lax.cumsum(v)
lax.cummax(v); lax.cumprod(v); lax.cumlogsumexp(v); lax.reduce_sum(v, (0,)); lax.reduce_max(v, (0,))
lax.reduce_prod(v, (0,)); lax.reduce_and(v > 0, (0,)); lax.dot(v, w); lax.dot(s, v); lax.dot(x, v)
lax.dot_general(x, y, (((1,), (0,)), ((), ()))); lax.batch_matmul(m, m.transpose(0, 2, 1))
lax.associative_scan(np.add, v); lax.associative_scan(np.add, v[:1]); lax.dot_general(v, w, (((-1,), (0,)), ((), ())))
"""

PROGRAMS = """
lax.cond(True, lambda z: z, lambda z: z, v); lax.cond(s > 0, lambda z: z * 2, lambda z: z, s)
lax.cond(s > 0, lambda z: z, lambda z: 1.0, s); lax.cond(s > 0, lambda z: 1, lambda z: 2, s)
lax.cond(s > 0, lambda z: 1.0, lambda z: 2.0, s); lax.switch(1, [lambda z: z, lambda z: 2 * z], s)
lax.cond(s > 0, lambda z: z, lambda z: np.float32(1.0), s); lax.cond(s > 0, lambda z: z, lambda z: z * 2, 0.5)
lax.scan(lambda c, z: (c + z, z), s, v); lax.scan(lambda c, z: (c + 1, c), 0.5, None, length=2)
lax.scan(lambda c, z: (c + 1, c), 0, None, length=2); lax.scan(lambda c, z: (c + z, c), 0.0, v)
lax.scan(lambda c, z: (c + z, c), 0, v); lax.scan(lambda c, z: (c * s, 1.0), 1.0, None, length=2)
lax.scan(lambda c, z: ((c[0] + 1, c[1] * 2), z), (0, s), v); lax.scan(lambda c, z: (z, c), 0.5, v)
lax.scan(lambda c, z: (np.asarray(1.0), c), s, v); lax.scan(lambda c, z: (c, z), s, (v, w))
lax.while_loop(lambda c: c < 3, lambda c: c + 1, s); lax.while_loop(lambda c: c < 3, lambda c: c + 1.0, 0.5)
lax.while_loop(lambda c: c < 3, lambda c: c + 1, 0); lax.while_loop(lambda c: c < 3, lambda c: c + s, 0.0)
lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * s), (0, 1.0))
lax.while_loop(lambda c: c[1], lambda c: (c[0] * 2.0, c[0] < 3), (s, True))
lax.fori_loop(0, 3, lambda i, c: c + i, s); lax.fori_loop(0, 3, lambda i, c: c * 2.0, 0.5)
lax.fori_loop(0, 3, lambda i, c: i, 0); lax.fori_loop(0, 3, lambda i, c: c + s, 0.0)
lax.fori_loop(0, s, lambda i, c: c + 1, 0); lax.map(lambda z: z * 2, v); lax.map(lambda z: 1.0, v)
lax.map(lambda z: (z, 1), v); api.jit(lambda z: z)(s); api.jit(lambda z: (z, 1.0, 2))(v); api.jit(lambda z: z * 2)(0.5)
api.jit(lambda z, q: z * q)(2, v); api.checkpoint(lambda z: z * 2.0)(s); api.checkpoint(lambda z: (z, 1.0))(v)
api.checkpoint(lambda z: np.sin(z))(0.5); api.vmap(lambda z: z * 2)(v); api.vmap(lambda z: (z, 1.0))(v)
api.vmap(lambda z, q: q, in_axes=(0, None))(v, s); api.vmap(lambda z, q: q * 2.0, in_axes=(0, None))(v, 0.5)
api.vmap(lambda z: lax.psum(z, 'i'), axis_name='i')(v); api.vmap(lambda z: lax.pmean(z, 'i'), axis_name='i')(v)
api.vmap(lambda z: lax.psum(1, 'i'), axis_name='i')(v); api.vmap(lambda z: lax.pmean(1.0, 'i'), axis_name='i')(v)
api.vmap(lambda z: lax.pmax(z, 'i'), axis_name='i')(v); api.vmap(lambda z: lax.all_gather(z, 'i'), axis_name='i')(v)
nn.relu(v); nn.relu(0.5); nn.softmax(v); nn.logsumexp(v); nn.one_hot(np.array([1, 2]), 4) * s; nn.leaky_relu(v, 0.2)
special.xlogy(v, 2.0); special.xlogy(0.5, v); special.logit(s); special.gammainc(v, 1.0); random.normal(key) * s
random.uniform(key, (2,), minval=s); random.bernoulli(key, s); random.normal(key, (2,), 'float32') * s
"""

GROUPS = {
    "creation": CREATION,
    "arithmetic": ARITHMETIC,
    "choice": CHOICE,
    "reductions": REDUCTIONS,
    "arrangement": ARRANGEMENT,
    "lax": LAX,
    "programs": PROGRAMS,
}
WEAK, STRONG = ("weak float", "weak float"), ("float32", "float32")
PAIRS = [WEAK, STRONG, ("float32", "weak float"), ("weak int", "float32"), ("int32", "weak float")]
MORE_PAIRS = [("weak complex", "weak complex"), ("bool", "bool"), ("complex64", "float64"), ("uint8", "bfloat16")]
MANY = {"creation", "arithmetic", "choice"}
"""The groups that are asked with `MORE_PAIRS` too."""


def calls(text: str) -> Iterator[str]:
    return (call.strip() for line in text.strip().splitlines() for call in line.split(";"))


def names_in(text: str) -> list[str]:
    """The operands that a call mentions."""
    return [n for n in SHAPES if re.search(rf"(?<![\w.']){n}(?![\w'(=])", text)]


def names_of(side: Side) -> dict[str, Any]:
    scipy, random = (import_module(f"{side.api.__name__}.{name}") for name in ("scipy.special", "random"))
    return dict(np=side.np, api=side.api, lax=side.api.lax, nn=side.api.nn, special=scipy, random=random, numpy=numpy)


def evaluated(side: Side, text: str, fixed: dict[str, Any]) -> Callable[..., Any]:
    """The call as a function of the operands that are not fixed."""
    traced = [n for n in names_in(text) if n not in fixed]
    known = {**names_of(side), "key": jax.random.key(0), **fixed}
    return lambda *args: eval(text, known | dict(zip(traced, args, strict=True)))


def combinations(text: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], dict[str, Any]]]:
    """The kinds that a call is asked with, and what is a Python number in it."""
    names = names_in(text)
    if not names:
        return [(WEAK, {})]
    several = not FIRST.isdisjoint(names) and not FIRST.issuperset(names)
    place = names[0] not in FIRST
    chosen = pairs if several else [(kind, kind) for kind in dict.fromkeys([pair[place] for pair in pairs])]
    found: list[tuple[tuple[str, str], dict[str, Any]]] = [(kinds, {}) for kinds in chosen]
    scalars = [n for n in names if not SHAPES[n]]
    if scalars:
        found += [(STRONG, dict.fromkeys(scalars, number)) for number in NUMBERS.values()]
        found += [(("int32", "int32"), dict.fromkeys(scalars, 0.5))]
    return found


@pytest.mark.parametrize(("group", "x64"), list(product(GROUPS, (True, False))))
def test_calls(group: str, x64: bool) -> None:
    pairs = PAIRS + (MORE_PAIRS if group in MANY else []) if x64 else PAIRS[1:4]
    wrong = []
    with jax.enable_x64(x64), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of complex numbers that lose their imaginary part, and of 64 bits
        for text in calls(GROUPS[group]):
            for kinds, fixed in combinations(text, pairs):
                args = [operand(n, kinds) for n in names_in(text) if n not in fixed]
                wanted = kinds_of(jax, evaluated(JAX, text, fixed), args)
                found = kinds_of(minijvp, evaluated(OURS, text, fixed), args)
                if found != wanted:
                    wrong.append(f"{text} of {kinds} {fixed or ''}: {found}, should be {wanted}")
    assert not wrong, "\n".join(wrong)


UNDER_TRACE = """
np.full((2,), 0.5); np.full((4,), 0.5) * v; np.full((2,), 1) * s; np.full_like(v, 0.5); np.zeros_like(v)
np.asarray([s, 1.0]); np.array([v, v]); np.float32(s); v.astype(float); v * 2.0; v**2; 2**v; np.where(v > 0, v, 0)
np.where(v > 0, 1.0, v); np.clip(v, 0, 1); np.quantile(v, 0.5); np.mean(v); np.linspace(s, 1, 3); np.arange(4) * v
np.angle(v); np.diag(v); np.pad(v, 1); lax.clamp(0.0, v, 1.0); lax.full_like(v, 0.5); np.concatenate([v, v]) * s
np.abs(v * 1j); np.deg2rad(v); np.round(v, 1); v.at[0].set(1.0); lax.mul(v, v)
"""


@pytest.mark.parametrize(("transformation", "kinds"), [("jvp", STRONG), ("vjp", WEAK)])
def test_values_under_a_derivative(transformation: str, kinds: tuple[str, str]) -> None:
    """With nothing staged: the kinds of the values that a differentiated function sees."""

    def seen(side: Side, text: str) -> list[Any]:
        names = names_in(text)
        args = [jnp.full(operand(n, kinds).shape, 0.5, None if kinds is WEAK else "float32") for n in names]
        fun, out = evaluated(side, text, {}), []

        def watched(*xs: Any) -> Any:
            result = fun(*xs)
            out.extend(map(kind_of, tree_leaves(result)))
            return result

        try:
            side.api.jvp(watched, tuple(args), tuple(args)) if transformation == "jvp" else side.api.vjp(watched, *args)
        except REFUSALS:
            return ["refused"]
        return out

    texts = [text for text in calls(UNDER_TRACE) if names_in(text)]
    pairs = [(text, seen(OURS, text), seen(JAX, text)) for text in texts]
    wrong = [f"{text}: {found}, should be {wanted}" for text, found, wanted in pairs if found != wanted]
    assert not wrong, "\n".join(wrong)


# Every public function, called as in tests/interop/calls.py.

SOLVED = "the unknowns of a system are strongly typed, whatever the solver makes of them"
DIFFERENT = {
    "jax.lax.custom_linear_solve": SOLVED,
    "jax.scipy.sparse.linalg.bicgstab": SOLVED,
    "jax.scipy.sparse.linalg.cg": SOLVED,
    "jax.scipy.sparse.linalg.gmres": SOLVED,
}
"""Functions of which a result is stronger than JAX's, with the reasons."""

MODULES = sorted({module for modules in CALLS.values() for module in modules})
TWICE = {"jax.numpy", "jax.lax", "jax.scipy.sparse.linalg"}
"""The modules with functions over our own primitives, which are asked twice; others are read from JAX's programs."""


class Keywords(dict):
    """The keyword arguments of a call."""


def public_calls(module: str) -> Iterator[tuple[str, str]]:
    for text, modules in CALLS.items():
        yield from ((name, text) for name in modules.get(module, "").split())


def arguments(text: str, kinds: tuple[str, str]) -> tuple[tuple, dict[str, Any]]:
    """The arguments of a call, arrays of small numbers where it has operands."""
    values = {}
    for name in SHAPES:
        kind = operand(name, kinds)
        full = jnp.full(kind.shape, 0.5) if kind.weak_type else jnp.full(kind.shape, 0.5, kind.dtype)
        values[name] = full
    values |= dict(i=jnp.array([1, 2, 3, 2]), b=jnp.array([True, False, True, True]), key=jax.random.key(0))
    args = eval(f"({text},)", values | dict(jnp=jnp, np=numpy, lax=jax.lax, kw=Keywords))
    return (args[:-1], dict(args[-1])) if isinstance(args[-1], Keywords) else (args, {})


def called(function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> tuple[Callable[..., Any], list[Any]]:
    """A call as a function of the arrays in it, and these."""
    leaves, tree = tree_flatten(args)
    places = [i for i, x in enumerate(leaves) if isinstance(x, jax.Array)]

    def call(*xs: Any) -> Any:
        full = list(leaves)
        for i, x in zip(places, xs, strict=True):
            full[i] = x
        return function(*tree_unflatten(tree, full), **kwargs)

    return call, [leaves[i] for i in places]


def module_of(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2])


@pytest.mark.parametrize("module", MODULES)
def test_public_functions(module: str) -> None:
    theirs, ours = module_of(module), module_of(module.replace("jax", "minijvp", 1))
    wrong, differ = [], set()
    for name, text in public_calls(module):
        if not hasattr(theirs, name):
            continue  # this version of JAX has no such function
        for kinds in [WEAK, ("float32", "weak float")] if module in TWICE else [("weak float", "float32")]:
            args, kwargs = arguments(text, kinds)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of functions that are deprecated in JAX
                wanted = kinds_of(jax, *called(getattr(theirs, name), args, kwargs))
                found = kinds_of(minijvp, *called(getattr(ours, name), args, kwargs))
            if found != wanted and f"{module}.{name}" in DIFFERENT:
                differ.add(f"{module}.{name}")
            elif found != wanted:
                wrong.append(f"{name}({text}) of {kinds}: {found}, should be {wanted}")
    assert not wrong, "\n".join(wrong)
    assert differ == {name for name in DIFFERENT if name.rpartition(".")[0] == module}


# Results of transformations.


def custom_jvp(side: Side) -> Any:
    fun = side.api.custom_jvp(lambda x: side.np.sin(x) * 2.0)
    fun.defjvp(lambda primals, tangents: (fun(primals[0]), tangents[0] * 2.0))
    return fun


def custom_vjp(side: Side) -> Any:
    fun = side.api.custom_vjp(lambda x: side.np.sin(x) * 2.0)
    fun.defvjp(lambda x: (fun(x), x), lambda x, ct: (ct * 2.0,))
    return fun


def from_jax(side: Side, fun: Any) -> Any:
    return minijvp.from_jax(fun) if side is OURS else fun


FUNCTIONS: dict[str, Callable[[Side, Any], Any]] = {
    "identity": lambda side, x: x,
    "constant": lambda side, x: 1.0,
    "sin": lambda side, x: side.np.sin(x),
    "product": lambda side, x: 2 * x * 3.0 + 1,
    "quotient": lambda side, x: x / 3 - x % 0.3,
    "square": lambda side, x: x**2,
    "root": lambda side, x: side.np.sqrt(abs(x)),
    "power": lambda side, x: x**2.5,
    "exponential": lambda side, x: 2**x,
    "where": lambda side, x: side.np.where(x > 0, x, 0),
    "where-constant": lambda side, x: side.np.where(x > 0, 1.0, x),
    "clip": lambda side, x: side.np.clip(x, 0, 1),
    "maximum": lambda side, x: side.np.maximum(x, 0),
    "sum": lambda side, x: side.np.sum(x),
    "mean": lambda side, x: side.np.mean(x),
    "cumsum": lambda side, x: side.np.cumsum(x),
    "quantile": lambda side, x: side.np.quantile(x, 0.5),
    "median": lambda side, x: side.np.median(x),
    "float32": lambda side, x: side.np.float32(x),
    "astype": lambda side, x: side.np.asarray(x).astype(float),
    "full": lambda side, x: side.np.full((3,), 0.5) * x,
    "full_like": lambda side, x: side.np.full_like(x, 0.5) * x,
    "zeros_like": lambda side, x: side.np.zeros_like(x),
    "ones": lambda side, x: side.np.ones(3) * x,
    "asarray": lambda side, x: side.np.asarray(2.0) * x,
    "list": lambda side, x: side.np.array([x, x]),
    "stack": lambda side, x: side.np.stack([x, x * 2]),
    "index": lambda side, x: side.np.atleast_1d(x)[0],
    "update": lambda side, x: side.np.atleast_1d(x).at[0].set(1.0),
    "dot": lambda side, x: side.np.dot(x, x),
    "modulus": lambda side, x: side.np.abs(x * 1j),
    "pad": lambda side, x: side.np.pad(side.np.atleast_1d(x), 1),
    "diag": lambda side, x: side.np.diag(side.np.atleast_1d(x)),
    "softmax": lambda side, x: side.api.nn.softmax(side.np.atleast_1d(x)),
    "relu": lambda side, x: side.api.nn.relu(x),
    "tree": lambda side, x: {"a": x, "b": 2.0 * x},
    "stop_gradient": lambda side, x: side.api.lax.stop_gradient(x) * x,
    "cond": lambda side, x: side.api.lax.cond(True, lambda y: y * 2.0, lambda y: y, x),
    "scan": lambda side, x: side.api.lax.scan(lambda c, _: (c * 2.0, c), x, None, length=2),
    "fori": lambda side, x: side.api.lax.fori_loop(0, 3, lambda i, c: c * 2.0 + i, x),
    "map": lambda side, x: side.api.lax.map(lambda y: y * 2, side.np.atleast_1d(x)),
    "jit": lambda side, x: side.api.jit(lambda y: side.np.sin(y) * 2.0)(x),
    "checkpoint": lambda side, x: side.api.checkpoint(lambda y: side.np.sin(y) * 2.0)(x),
    "vmap": lambda side, x: side.api.vmap(lambda y: y * 2.0)(side.np.atleast_1d(x)),
    "vmap-constant": lambda side, x: side.api.vmap(lambda y: 1.0)(side.np.atleast_1d(x)),
    "custom_jvp": lambda side, x: custom_jvp(side)(x),
    "custom_vjp": lambda side, x: custom_vjp(side)(x),
    "from_jax": lambda side, x: from_jax(side, lambda y: jnp.full((3,), 0.5) * jnp.sin(y) * 2)(x),
}


def summed(side: Side, fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def total(x: Any) -> Any:
        first, *others = [side.np.sum(side.np.asarray(leaf)) for leaf in tree_leaves(fun(x))]
        return sum(others, first)

    return total


def both(pair: tuple[Any, Callable[[Any], Any]], v: Any = None) -> tuple[Any, Any]:
    """A result, and the linear map beside it applied to it, or to `v`."""
    out, linear = pair
    return out, linear(out if v is None else v)


VALUES: dict[str, Callable[..., Any]] = {
    "plain": lambda side, fun, x: fun(x),
    "jit": lambda side, fun, x: side.api.jit(fun)(x),
    "vmap": lambda side, fun, x: side.api.vmap(fun)(side.np.stack([x, x])),
}
DERIVATIVES: dict[str, Callable[..., Any]] = {
    "jvp": lambda side, fun, x: side.api.jvp(fun, (x,), (x,)),
    "linearize": lambda side, fun, x: both(side.api.linearize(fun, x), x),
    "vjp": lambda side, fun, x: both(side.api.vjp(fun, x)),
    "grad": lambda side, fun, x: side.api.grad(summed(side, fun))(x),
    "value_and_grad": lambda side, fun, x: side.api.value_and_grad(summed(side, fun))(x),
    "jacfwd": lambda side, fun, x: side.api.jacfwd(fun)(x),
    "jacrev": lambda side, fun, x: side.api.jacrev(fun)(x),
    "hessian": lambda side, fun, x: side.api.hessian(fun)(x),
    "vmap of grad": lambda side, fun, x: side.api.vmap(side.api.grad(summed(side, fun)))(side.np.stack([x, x])),
    "jvp of grad": lambda side, fun, x: side.api.jvp(side.api.grad(summed(side, fun)), (x,), (x,)),
    "grad of checkpoint": lambda side, fun, x: side.api.grad(side.api.checkpoint(summed(side, fun)))(x),
}
BY_RULE = set("square root power exponential clip maximum quantile median index modulus pad diag".split())
"""Functions whose derivatives JAX's rules make strongly typed, also in a weak argument: by the constants in them, which
are not the same in all versions.

Here a tangent is as weak as its result, and a cotangent as its argument, whatever the rule."""

BOTH_MODES = {"custom_vjp": {"jvp", "linearize", "jacfwd", "hessian", "jvp of grad"}}
"""What JAX refuses, as it has no forward mode of functions with a reverse rule."""

ARGUMENTS: dict[str, Any] = {
    "Python": 0.5,
    "weak": jax.ShapeDtypeStruct((3,), float, weak_type=True),
    "float32": jax.ShapeDtypeStruct((3,), "float32"),
    "float32 number": jax.ShapeDtypeStruct((), "float32"),
}


COMPOSED = {"hessian", "vmap of grad", "jvp of grad", "grad of checkpoint"}
SOME = "identity constant sin square where mean quantile full list index tree scan jit vmap custom_jvp from_jax".split()
"""The functions that compositions of transformations are asked with."""


def erased(kinds: Any) -> Any:
    """Kinds without their weakness."""
    return kinds if isinstance(kinds, str) else [kind[:2] for kind in kinds]


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("transformation", [*VALUES, *DERIVATIVES])
def test_transformations(transformation: str, x64: bool) -> None:
    apply = (VALUES | DERIVATIVES)[transformation]
    wrong = []
    with jax.enable_x64(x64):
        names, arguments = (SOME if transformation in COMPOSED else FUNCTIONS), (ARGUMENTS if x64 else {"Python": 0.5})
        for name, (label, x) in product(names, arguments.items()):
            if transformation in BOTH_MODES.get(name, ()):
                continue
            fun = FUNCTIONS[name]
            sides = [lambda x, side=side: apply(side, lambda y: fun(side, y), x) for side in (OURS, JAX)]
            found, wanted = kinds_of(minijvp, sides[0], [x]), kinds_of(jax, sides[1], [x])
            if name in BY_RULE and transformation in DERIVATIVES:
                found, wanted = erased(found), erased(wanted)
            if found != wanted:
                wrong.append(f"{name} of {label}: {found}, should be {wanted}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("transformation", ["jvp", "grad", "jacfwd", "jacrev", "hessian", "vmap", "vmap of grad"])
def test_transformations_that_compute(transformation: str) -> None:
    apply = (VALUES | DERIVATIVES)[transformation]
    wrong = []
    for name in ("product", "where", "full"):
        for x in (0.5, jnp.full((3,), 0.5)):
            found, wanted = (
                [kind_of(leaf) for leaf in tree_leaves(apply(side, lambda y: FUNCTIONS[name](side, y), x))]
                for side in (OURS, JAX)
            )
            if found != wanted:
                wrong.append(f"{name} of {x!r}: {found}, should be {wanted}")
    assert not wrong, "\n".join(wrong)


# Type rules, which say what the compiled operation gives.


def weakened(sample: Sample) -> list[tuple[ArrayType, ...]]:
    """The types of the arguments, those of default dtypes weak: all of them together, and each alone."""
    types = [type_of(x) for x in sample.args]
    able = [i for i, t in enumerate(types) if t.dtype in (float, int, complex) and type(t) is not ScalarType]
    return [
        tuple([ArrayType(t.shape, t.dtype, True) if i in chosen else t for i, t in enumerate(types)])
        for chosen in [able, *([i] for i in able if len(able) > 1)]
        if chosen
    ]


STRONG_TYPES = {"select_and_gather_add", "random_gamma_grad"}
"""Primitives of tangents and of samples, for whose results nobody asks how weak they are."""


def test_type_rules_of_weak_arguments() -> None:
    wrong = []
    for sample in all_samples():
        primitive, params = sample.primitive, sample.params
        inner = any(isinstance(x, Jaxpr) for v in params.values() for x in (v if isinstance(v, tuple) else (v,)))
        if inner or primitive is step or primitive.name in STRONG_TYPES:
            continue
        numbers = {i: x for i, x in enumerate(sample.args) if type(x) in PYTHON_SCALARS}
        for types in weakened(sample):
            structs = [
                jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type)
                for i, t in enumerate(types)
                if i not in numbers
            ]

            def impl(*xs: Any) -> Any:
                rest = iter(xs)
                return primitive.impl(
                    *[numbers[i] if i in numbers else next(rest) for i in range(len(types))], **params
                )

            wanted = [kind_of(x) for x in tree_leaves(jax.eval_shape(impl, *structs))]
            found = primitive.type_rule(*types, **params)
            kinds = [kind_of(t) for t in (found if type(found) is tuple else (found,))]
            if kinds != wanted:
                wrong.append(f"{sample} of {types}: {kinds}, should be {wanted}")
    assert not wrong, "\n".join(wrong)
