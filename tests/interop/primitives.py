"""Primitives of JAX as a library would define them, which no table of minijvp has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def defined(name: str, fun: Any, shapes: Any, multiple_results: bool = False) -> Primitive:
    """A primitive with this meaning, and without rules."""
    primitive = Primitive(name)
    primitive.multiple_results = multiple_results
    primitive.def_impl(fun)
    primitive.def_abstract_eval(shapes)
    mlir.register_lowering(primitive, mlir.lower_fun(fun, multiple_results=multiple_results))
    return primitive


def no_tangent(x: Any) -> Any:
    """A tangent of a value that is zero, as a symbol."""
    return ad.Zero(jax.typeof(x).to_tangent_aval())


def like(aval: Any) -> Any:
    return ShapedArray(aval.shape, aval.dtype)


bare = defined("bare", lambda x: jnp.sin(x), like)
"""One that has no rules at all."""

scaled_sine = defined("scaled_sine", lambda x, y: jnp.sin(x) * y, lambda x, y: like(x))
"""sin(x) * y, which is linear in y."""


def scaled_sine_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    out = scaled_sine.bind(x, y)
    tangent = no_tangent(out)
    if not isinstance(dx, ad.Zero):
        tangent = lax.cos(x) * dx * y
    if not isinstance(dy, ad.Zero):
        more = scaled_sine.bind(x, dy)
        tangent = more if isinstance(tangent, ad.Zero) else tangent + more
    return out, tangent


def scaled_sine_transpose(ct: Any, x: Any, y: Any) -> Any:
    assert ad.is_undefined_primal(y) and not ad.is_undefined_primal(x)
    return [None, scaled_sine.bind(x, ct)]


def elementwise_batch(primitive: Primitive) -> Any:
    def rule(args: Any, dims: Any, **params: Any) -> Any:
        size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
        moved = [
            jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
            for x, d in zip(args, dims, strict=True)
        ]
        out = primitive.bind(*moved, **params)
        return out, [0] * len(out) if primitive.multiple_results else 0

    return rule


ad.primitive_jvps[scaled_sine] = scaled_sine_jvp
ad.primitive_transposes[scaled_sine] = scaled_sine_transpose
batching.primitive_batchers[scaled_sine] = elementwise_batch(scaled_sine)

halves = defined(
    "halves",
    lambda x: [x * x, jnp.sign(x), jnp.int32(7)],
    lambda x: [like(x), like(x), ShapedArray((), jnp.int32)],
    True,
)
"""The square, the sign, whose tangent is zero, and an integer."""


def halves_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    outs = halves.bind(x)
    return outs, [2 * x * t, *[no_tangent(y) for y in outs[1:]]]


def halves_batch(args: Any, dims: Any) -> Any:
    return halves.bind(*args), [*dims, *dims, None]


ad.primitive_jvps[halves] = halves_jvp
batching.primitive_batchers[halves] = halves_batch

refuses_tangents = defined("refuses_tangents", lambda x: x, like)
"""The identity, whose rule refuses every tangent that is not known to be zero."""


def refuse(primals: Any, tangents: Any) -> Any:
    if any(not isinstance(t, ad.Zero) for t in tangents):
        raise RuntimeError("unexpected tangent")
    out = refuses_tangents.bind(*primals)
    return out, no_tangent(out)


ad.primitive_jvps[refuses_tangents] = refuse
batching.primitive_batchers[refuses_tangents] = elementwise_batch(refuses_tangents)

any_lane = defined("any_lane", lambda x: jnp.any(x), lambda x: ShapedArray((), jnp.dtype(bool)))
"""Whether one element of one lane is true: the result has no batch axis."""

batching.primitive_batchers[any_lane] = lambda args, dims: (any_lane.bind(*args), None)
