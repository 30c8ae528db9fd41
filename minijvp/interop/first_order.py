"""The table's first-order half: primitives of JAX as ours, which mostly have the same names and parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from minijvp.control_flow.scatter_apply import apply_at
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Primitive, registry
from minijvp.core.types import Params, type_of
from minijvp.dimensions import broadcast_shapes
from minijvp.errors import MissingRuleError
from minijvp.interop.reading import TABLE, read, translates
from minijvp.operations import (
    casting,
    contraction,
    convolution,
    dynamic_slicing,
    elementwise,
    families,
    placing,
    sorting,
    windows,
)
from minijvp.operations import gather as gathering
from minijvp.operations import shape as shapes
from minijvp.operations import sharding as shardings
from minijvp.operations.splitting import split_in_pairs

PLACEMENT = ("sharding", "out_sharding")
"""Parameters that say on which devices of an explicit mesh a result lies."""


def static(value: Any) -> Any:
    """A parameter as a hashable value of Python: lists as tuples, NumPy integers as int."""
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return tuple([static(v) for v in value])
    if isinstance(value, np.integer):
        return int(value)
    return value


def refuse_option(primitive: str, name: str, value: Any) -> None:
    """Raise MissingRuleError for a parameter that would change the values, if it is given."""
    if value is not None and not says_nothing(value):
        raise MissingRuleError(
            f"from_jax met the primitive {primitive!r} with {name}={value!r}.",
            f"minijvp's operation has no parameter {name}.",
            f"Omit {name}.",
        )


def says_nothing(sharding: Any) -> bool:
    """Whether this is the sharding of a value that no explicit axis of a mesh divides, as JAX's own rules write it."""
    if not isinstance(sharding, NamedSharding) or any(sharding.spec):
        return False
    return AxisType.Explicit not in sharding.mesh.axis_types


def without_placement(primitive: str, params: Params) -> dict[str, Any]:
    """The parameters that say nothing about devices, as values of Python. MissingRuleError for what is no sharding.

    The result is brought to the type that JAX gives it, which says how explicit axes split it.
    """
    for name in PLACEMENT:
        if not isinstance(params.get(name), NamedSharding):
            refuse_option(primitive, name, params.get(name))
    return {k: static(v) for k, v in params.items() if k not in PLACEMENT}


def split_so(primitive: str, sharding: Any) -> Params:
    """The parameter `out_sharding` for a result that JAX splits so over the explicit axes of a mesh."""
    if says_nothing(sharding) or not isinstance(sharding, NamedSharding):
        refuse_option(primitive, "out_sharding", sharding)
        return {}
    return {"out_sharding": sharding}


def same(primitive: Primitive) -> Callable[..., Any]:
    """The translation into a primitive of ours with the same parameters."""

    def translation(*inputs: Any, **params: Any) -> Any:
        return primitive(*inputs, **without_placement(primitive.name, params))

    return translation


def elementwise_like(primitive: Primitive) -> Callable[..., Any]:
    """The translation into an elementwise primitive. In JAX a scalar fits every array; here a Python scalar does."""

    def translation(*inputs: Any, accuracy: Any = None, **params: Any) -> Any:
        if accuracy is not None:
            params["accuracy"] = accuracy
        if len(inputs) > 1:
            inputs = fit(inputs)
        return primitive(*inputs, **params)

    return translation


def fit(xs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The operands in one shape, with literals beside arrays as Python scalars."""
    if all([isinstance(x, np.generic) for x in xs]):
        return xs
    shape = broadcast_shapes(*[type_of(x).shape for x in xs])
    return tuple([x.item() if isinstance(x, np.generic) else repeated(x, shape) for x in xs])


def repeated(x: Any, shape: tuple[int, ...]) -> Any:
    """The operand repeated to this shape, along new leading axes and axes of size 1."""
    found = type_of(x).shape
    if found == shape:
        return x
    places = tuple(range(len(shape) - len(found), len(shape)))
    return families.broadcast_in_dim(x, shape=shape, broadcast_dimensions=places)


for _primitive in registry.values():
    TABLE[_primitive.name] = (elementwise_like if isinstance(_primitive, families.Elementwise) else same)(_primitive)

TABLE["add_any"] = TABLE["add"]


@translates("mul")
def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """The product, of operands that are converted first if it is to have another dtype."""
    if out_dtype is not None:
        x, y = (casting.convert_element_type(v, new_dtype=np.dtype(out_dtype), weak_type=False) for v in (x, y))
    return elementwise.mul(*fit((x, y)))


@translates("top_k")
def top_k(x: Any, *, k: int, axis: int, is_stable: bool = True) -> Any:
    """The largest elements; of equal ones the first, whether that is asked for or not."""
    return sorting.top_k(x, k=k, axis=axis)


@translates("dynamic_slice")
def dynamic_slice(x: Any, *starts: Any, slice_sizes: Any) -> Any:
    """The part of a given size at starts that are clamped, and count from 0 here."""
    return dynamic_slicing.dynamic_slice(x, *starts, slice_sizes=static(slice_sizes), allow_negative_indices=False)


@translates("dynamic_update_slice")
def dynamic_update_slice(x: Any, update: Any, *starts: Any) -> Any:
    """The operand with a part replaced, at starts that are clamped, and count from 0 here."""
    return dynamic_slicing.dynamic_update_slice(x, update, *starts, allow_negative_indices=False)


@translates("reshape")
def reshape(x: Any, *, new_sizes: Any, dimensions: Any, sharding: Any = None) -> Any:
    """The elements, read along the axes in the order of `dimensions`, in another shape."""
    how = split_so("reshape", sharding)
    if dimensions is not None:
        x = shapes.transpose(x, permutation=static(dimensions))
    return families.reshape(x, new_sizes=static(new_sizes), **how)


@translates("broadcast_in_dim")
def broadcast_in_dim(x: Any, *, shape: Any, broadcast_dimensions: Any, sharding: Any = None) -> Any:
    """The operand, repeated along new axes and those of size 1."""
    how = split_so("broadcast_in_dim", sharding)
    return families.broadcast_in_dim(x, shape=static(shape), broadcast_dimensions=static(broadcast_dimensions), **how)


@translates("dot_general")
def dot_general(x: Any, y: Any, *, out_sharding: Any = None, **params: Any) -> Any:
    """A product, summed over some axes."""
    how = split_so("dot_general", out_sharding)
    return contraction.dot_general(x, y, **without_placement("dot_general", params), **how)


@translates("conv_general_dilated")
def conv_general_dilated(x: Any, y: Any, *, out_sharding: Any = None, **params: Any) -> Any:
    """A convolution."""
    how = split_so("conv_general_dilated", out_sharding)
    return convolution.conv_general_dilated(x, y, **without_placement("conv_general_dilated", params), **how)


@translates("reshard", contextual=True)
def reshard(equation: Any, x: Any) -> Any:
    """The operand, split otherwise, and over another mesh where a region of other types of axes begins or ends."""
    found = equation.invars[0].aval.sharding.mesh
    return placing.resharded(x, equation.params["dst_sharding"], None if found.empty else found)


@translates("stack")
def stack(*xs: Any, axis: int) -> Any:
    """The operands beside each other along a new axis."""
    return shapes.concatenate(*[shapes.expand_dims(x, (axis,)) for x in xs], dimension=axis)


@translates("unstack")
def unstack(x: Any, *, axis: int) -> list[Any]:
    """The slices along one axis, which disappears."""
    rows = shapes.split(x, sizes=(1,) * type_of(x).shape[axis], axis=axis)
    return [shapes.squeeze(row, dimensions=(axis,)) for row in rows]


@translates("tile")
def tile(x: Any, *, reps: Any) -> Any:
    """The operand repeated along each of its axes."""
    shape, reps = type_of(x).shape, static(reps)
    spread = tuple([n for pair in zip(reps, shape, strict=True) for n in pair])
    places = tuple(range(1, 2 * len(shape), 2))
    x = families.broadcast_in_dim(x, shape=spread, broadcast_dimensions=places)
    sizes = tuple([r * n for r, n in zip(reps, shape, strict=True)])
    return families.reshape(x, new_sizes=sizes, **split_in_pairs(x, sizes))


@translates("empty")
def empty(*, shape: Any, dtype: Any, out_sharding: Any = None) -> Any:
    """An array whose values are never read: zeros."""
    split_so("empty", out_sharding)
    return families.zeros(shape=static(shape), dtype=dtype)


@translates("empty2")
def empty2(*, dtype: Any, memory_space: Any) -> Any:
    """A number that is never read: for a branch of a choice, where JAX keeps the residuals of another one."""
    return families.zeros(shape=(), dtype=dtype)


@translates("device_put")
def device_put(*xs: Any, devices: Any, srcs: Any = None, copy_semantics: Any = None) -> list[Any]:
    """The operands, held to the shardings that are given. Where single devices are named, the values are the same.

    So they are wherever the operands come from, and whether they are copied.
    """
    for d in devices:
        refuse_option("device_put", "device", None if isinstance(d, (jax.Device, jax.sharding.Sharding)) else d)
    return held(xs, devices)


def held(xs: Sequence[Any], places: Sequence[Any]) -> list[Any]:
    """Values held to their shardings, where there are some; others may lie anywhere."""
    return [hold(x, s) if isinstance(s, jax.sharding.Sharding) else x for x, s in zip(xs, places, strict=True)]


def hold(x: Any, sharding: Any) -> Any:
    """A value held to a sharding: one over explicit axes alone is its type."""
    if isinstance(sharding, NamedSharding) and sharding.mesh.are_all_axes_explicit:
        return placing.resharded(x, sharding)
    return shardings.sharding_constraint(x, sharding=sharding)


@translates("sharding_constraint")
def sharding_constraint(
    x: Any, *, sharding: Any, layout: Any = None, context_mesh: Any = None, unconstrained_dims: Any = ()
) -> Any:
    """The operand, held to a sharding, which knows its mesh; jax.vmap adds dimensions that it does not constrain."""
    refuse_option("sharding_constraint", "layout", layout)
    if unconstrained_dims and isinstance(sharding, NamedSharding):
        entries = [*sharding.spec, *[None] * (type_of(x).ndim - len(sharding.spec))]
        free = PartitionSpec.UNCONSTRAINED
        spec = PartitionSpec(*[free if d in unconstrained_dims else entry for d, entry in enumerate(entries)])
        sharding = NamedSharding(sharding.mesh, spec, memory_kind=sharding.memory_kind)
    return hold(x, sharding)


@translates("dce_sink", "create_token", "after_all")
def no_value(*inputs: Any, **params: Any) -> tuple[()]:
    """Nothing: these order effects, and no result of ours depends on one, whatever their parameters are."""
    return ()


@translates("platform_index")
def platform_index(*, platforms: Any) -> Any:
    """The number of the branch written for the platform that runs now; an entry of None is for all others."""
    current = jax.default_backend()
    names = {"gpu": ("gpu", "cuda", "rocm")}.get(current, (current,))
    found = [i for i, entry in enumerate(platforms) if entry is None or set(names).intersection(entry)]
    return np.int32(found[0])


COMPUTATIONS = {"add", "mul", "max", "min", "and", "or", "xor"}


def computation(jaxpr: Any) -> str | None:
    """The name of the one operation on two numbers that a program of JAX does, or None."""
    if len(jaxpr.eqns) != 1 or len(jaxpr.invars) != 2:
        return None
    (e,) = jaxpr.eqns
    is_plain = jaxpr.outvars == e.outvars and len(e.invars) == 2 and e.primitive.name in COMPUTATIONS | {"sub"}
    turned = e.primitive.name != "sub" and e.invars == jaxpr.invars[::-1]
    return e.primitive.name if is_plain and (e.invars == jaxpr.invars or turned) else None


@translates("scatter")
def scatter(x: Any, indices: Any, updates: Any, *, update_jaxpr: Any, update_consts: Any, **params: Any) -> Any:
    """Updates written over slices, or, where the program of an update does not read it, a function of what is there."""
    kept = without_placement("scatter", params)
    if update_jaxpr is None or (not update_jaxpr.eqns and update_jaxpr.outvars == update_jaxpr.invars[1:]):
        return gathering.scatter(x, indices, updates, **kept)
    program, constants = read(ClosedJaxpr(update_jaxpr, update_consts))
    *_, new = program.inputs
    if any(v is new for v in (*program.outputs, *[v for e in program for v in e.inputs])):
        raise MissingRuleError(
            f"from_jax met a scatter by a function of its own: {update_jaxpr!s:.300}",
            "minijvp writes updates, combines them by add, sub, mul, min or max, or applies a function to elements.",
            "Gather what is there, combine it with the updates, and write the result.",
        )
    change = Jaxpr((), program.inputs[:-1], program.equations, program.outputs, program.name)
    return apply_at(x, indices, change, constants, update_shape=type_of(updates).shape, **kept)


def scattering(primitive: Primitive, operation: str) -> Callable[..., Any]:
    """The translation of a scatter by an operation that is known by its name, which its program repeats."""

    def translation(*inputs: Any, update_jaxpr: Any, update_consts: Any, **params: Any) -> Any:
        if update_jaxpr is not None and (update_consts or computation(update_jaxpr) != operation):
            refuse_option(primitive.name, "update_jaxpr", update_jaxpr)
        return primitive(*inputs, **without_placement(primitive.name, params))

    return translation


for _name in ("add", "sub", "mul", "min", "max"):
    TABLE[f"scatter-{_name}"] = scattering(registry[f"scatter-{_name}"], _name)


def selecting(primitive: Primitive) -> Callable[..., Any]:
    """The translation into a primitive that selects by a comparison, which is known by its name here."""

    def translation(*inputs: Any, select_prim: Any, **params: Any) -> Any:
        kept = without_placement(primitive.name, params)
        return primitive(*inputs, select_prim=select_prim.name, **kept)

    return translation


TABLE["select_and_gather_add"] = selecting(windows.select_and_gather_add)
TABLE["select_and_scatter_add"] = selecting(windows.select_and_scatter_add)


@translates("approx_top_k")
def approx_top_k(x: Any, *, reduction_dimension: int, **params: Any) -> Any:
    """About the largest elements along an axis, which may be counted from the end."""
    return sorting.approx_top_k(x, reduction_dimension=reduction_dimension % type_of(x).ndim, **params)


@translates("log2")
def log2(x: Any, *, accuracy: Any = None) -> Any:
    """The logarithm to the base 2."""
    refuse_option("log2", "accuracy", accuracy)
    return elementwise.mul(elementwise.log(x), 1 / math.log(2))


@translates("polynomial")
def polynomial(x: Any, *coefficients: Any, unroll: Any = None) -> Any:
    """The value of the polynomial with these coefficients, the lowest first; all steps are written out."""
    shape = np.broadcast_shapes(*[type_of(a).shape for a in (x, *coefficients)])
    x, out, *rest = [repeated(a, shape) for a in (x, *reversed(coefficients))]
    for c in rest:
        out = families.add(elementwise.mul(out, x), c)
    return out


@translates("scaled_matmul_wrapper")
def scaled_matmul(x: Any, y: Any, x_scale: Any, y_scale: Any, *, preferred_element_type: Any) -> Any:
    """The products of pairs of quantized matrices, the second of each pair transposed."""
    numbers = (((2,), (2,)), ((0,), (0,)))
    dtype = np.dtype(preferred_element_type)
    return contraction.scaled_dot(x, y, x_scale, y_scale, dimension_numbers=numbers, preferred_element_type=dtype)


@translates("scaled_dot")
def scaled_dot(*inputs: Any, dimension_numbers: Any, preferred_element_type: Any) -> Any:
    """A product of quantized arrays."""
    numbers, dtype = static(dimension_numbers), np.dtype(preferred_element_type)
    return contraction.scaled_dot(*inputs, dimension_numbers=numbers, preferred_element_type=dtype)
