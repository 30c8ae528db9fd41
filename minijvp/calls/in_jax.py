"""Programs as functions of JAX that keep their derivatives, where JAX transforms what it was given to compile.

JAX differentiates the operations that a program is lowered to, and knows none of the rules that it was written with:
those of custom_jvp and custom_vjp, of loops, of linear solves. So a program with such rules is lowered as a function
with a rule for tangents (jax.custom_jvp): its linearization, which is two programs again. Of the known one JAX sees the
operations. The linear one is an operation of JAX, `linear_program`, whose rules are the transformations of minijvp; so
both modes follow, and derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray, eval_context
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive as JaxPrimitive
from jax.interpreters import ad, batching, mlir

from minijvp.calls.programs import one_equation
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, has_own_derivatives, jaxpr_without_rules, lower
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, Params, is_inexact, placing_in_jax
from minijvp.operations.families import nonzero, spread
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr


def lower_with_rules(jaxpr: Jaxpr, *args: Array, run: Callable[..., list[Any]] = lower) -> list[Any]:
    """The outputs, by `run`, where JAX may differentiate them: with the derivatives that the rules of minijvp give."""
    if not has_own_derivatives(jaxpr):
        return run(jaxpr, *args)
    opened, constants = jaxpr.hoist_constants()

    def pushed(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        primals, tangents = as_arrays(primals), as_arrays(tangents)
        ts = [None if isinstance(t, SymbolicZero) or not is_inexact(t.dtype) else t for t in tangents]
        outs, t_outs = linearized(opened, primals, ts, run)
        return outs, [SymbolicZero(tangent_aval(x)) if t is None else t for x, t in zip(outs, t_outs, strict=True)]

    function = jax.custom_jvp(lambda *xs: list(run(opened, *as_arrays(xs))))
    function.defjvp(pushed, symbolic_zeros=True)
    return function(*constants, *args)


def as_arrays(xs: Sequence[Any]) -> list[Any]:
    """The values with arrays in place of numbers of Python and of literals, which JAX passes on as they are."""
    return [x if hasattr(x, "ndim") else jnp.asarray(x) for x in xs]


@cached(maxsize=4096)
def compiled(jaxpr: Jaxpr) -> Any:
    """An open jaxpr under jax.jit."""
    return jax.jit(lambda *args: lower(jaxpr, *args))


def run_compiled(jaxpr: Jaxpr, *args: Array) -> list[Any]:
    """The outputs, by one call of XLA."""
    return compiled(jaxpr_without_rules(jaxpr))(*args)


def evaluate_in_jax(primitive: Primitive, args: tuple, params: Params) -> Any:
    """The result of a primitive, for JAX a function with the derivative that the rules give."""
    outs = lower_with_rules(one_equation(primitive, args, params), *args, run=run_compiled)
    return tuple(outs) if primitive.returns_tuple else outs[0]


Primitive.evaluate_in_jax = evaluate_in_jax


def linearized(
    jaxpr: Jaxpr, primals: Sequence[Any], tangents: Sequence[Any], run: Callable[..., list[Any]] = lower
) -> tuple[list[Any], list[Any]]:
    """The outputs of an open jaxpr and their tangents; None is zero."""
    with eval_context():
        known, linear, origins, out_nonzero = linearize_jaxpr(jaxpr, nonzero(tangents))
    found = lower_with_rules(known, *primals, run=run)
    outs = found[: len(out_nonzero)]
    residuals = residuals_of(origins, primals, found, len(outs))
    given = [*residuals, *[t for t in tangents if t is not None]]
    return outs, list(spread(linear_program.bind(*given, jaxpr=linear), out_nonzero))


def tangent_aval(x: Any) -> Any:
    """The type of the tangents of a value, as JAX writes it."""
    return jax.typeof(x).to_tangent_aval()


linear_program = JaxPrimitive("linear_program")
"""The operation of JAX: the outputs of `jaxpr`. The arguments are residuals and tangents; in these it is linear."""

linear_program.multiple_results = True


@linear_program.def_impl
def evaluate(*args: Array, jaxpr: Jaxpr) -> list[Any]:
    """The outputs, computed."""
    return compiled(jaxpr)(*args)


@linear_program.def_abstract_eval
def types(*given: Any, jaxpr: Jaxpr) -> list[Any]:
    """The types of the outputs."""
    return [ShapedArray(t.shape, t.dtype, weak_type=t.weak_type, **placing_in_jax(t)) for t in jaxpr.out_types]


def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, jaxpr: Jaxpr) -> tuple[list[Any], list[Any]]:
    """Outputs and tangents."""
    outs, ts = linearized(jaxpr, primals, [None if isinstance(t, ad.Zero) else t for t in tangents])
    return outs, [ad.Zero(tangent_aval(x)) if t is None else t for x, t in zip(outs, ts, strict=True)]


def transpose(cts: Sequence[Any], *args: Any, jaxpr: Jaxpr) -> list[Any]:
    """The cotangents of the arguments that are linear."""
    linear = tuple(map(ad.is_undefined_primal, args))
    given = [None if isinstance(ct, ad.Zero) else ct for ct in cts]
    with eval_context():
        transposed, ct_nonzero = transpose_jaxpr(jaxpr, linear, nonzero(given))
    known = [x for x, flag in zip(args, linear, strict=True) if not flag]
    found = linear_program.bind(*known, *[ct for ct in given if ct is not None], jaxpr=transposed)
    rest = iter(spread(found, ct_nonzero))
    return [next(rest) if flag else None for flag in linear]


def batch(axis: Any, args: Sequence[Any], dims: Sequence[Any], *, jaxpr: Jaxpr) -> tuple[list[Any], list[Any]]:
    """The outputs for batches, and where their batch axes are. `axis` is JAX's account of its size and its name."""
    mapped = tuple([d is not None for d in dims])
    uses_name = any(e.primitive.uses_axis(axis.name, e.params) for e in jaxpr)
    if not any(mapped) and not uses_name:
        return linear_program.bind(*args, jaxpr=jaxpr), [None] * len(jaxpr.outputs)
    moved = [x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    with eval_context():
        batched, out_batched = vmap_jaxpr(jaxpr, Axis(axis.size, axis.name if uses_name else None), mapped)
    return linear_program.bind(*moved, jaxpr=batched), [0 if b else None for b in out_batched]


ad.primitive_jvps[linear_program] = jvp
ad.primitive_transposes[linear_program] = transpose
batching.fancy_primitive_batchers[linear_program] = batch
mlir.register_lowering(linear_program, mlir.lower_fun(lambda *args, jaxpr: lower(jaxpr, *args), multiple_results=True))
