"""Communication along named axes: that of a vmap, of minijvp or of JAX, or those of a mesh, inside of shard_map.

There JAX types values by the axes along which they vary (with check_vma=True). What does not vary is made to, where it
meets what does; the derivative of that is a sum over devices, which `minijvp.operations.placing` brings about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec, auto_axes, get_abstract_mesh

from minijvp.core import placements
from minijvp.core.placements import Placement
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import named_axes, state
from minijvp.core.types import Array, ArrayType, Params, array_type_in_jax, type_of
from minijvp.errors import ArgumentError, UnboundAxisError
from minijvp.operations.elementwise import div, eq, mul, select_n
from minijvp.operations.families import LinearPrimitive, leading_axis, reduce_sum, zeros_like
from minijvp.operations.reduction import reduce_max, reduce_min, shares, winners
from minijvp.operations.shape import concatenate, iota, squeeze, transpose
from minijvp.operations.slicing import slice as slice_primitive


class Collective:
    """Mixin: a primitive that is processed by the vmap whose axis it names, with batched operands or without.

    What meets none is lowered to `function`, an operation of JAX along an axis that JAX's vmap has; or, along one or
    several of a mesh, to `on_mesh`.
    """

    function: Callable[..., Any]
    on_mesh: Callable[..., Any] | None = None
    type_rule: Callable[..., Any]

    def impl(self, *args: Any, axis_name: Any, **params: Any) -> Any:
        axis_size(axis_name)
        function = self.on_mesh if self.on_mesh is not None and is_of_mesh(axis_name) else self.function
        return function(*args, axis_name, **params)

    def type_for(self, types: Sequence[ArrayType], params: Params) -> Any:
        # What JAX makes vary, where its types tell; it does not know the lanes of our vmap.
        name = params["axis_name"]
        vary = {a for t in types for a in placements.varying(t.placement)}
        if not vary.isdisjoint(names_in(name)) or types_tell(name):
            return Primitive.type_rule(self, *types, **params)  # type: ignore[arg-type]
        return self.type_rule(*types, **params)

    def uses_axis(self, name: Any, params: Params) -> bool:
        return name == params["axis_name"] or (type(params["axis_name"]) is tuple and name in params["axis_name"])


def lane_number(axis_name: Any) -> Array:
    """The number of the lane along an axis."""
    placement = lane_type(axis_name).placement if is_of_mesh(axis_name) else None
    return axis_index(axis_name=axis_name, **({} if placement is None else {"placement": placement}))


def lane_type(axis_name: Any) -> ArrayType:
    """The type of the number of a device along axes of a mesh."""
    return array_type_in_jax(placements.lane_in_jax(axis_name))


def types_tell(axis_name: Any) -> bool:
    """Whether these are axes of a mesh, and types say what varies along them: not with check_vma=False."""
    return is_of_mesh(axis_name) and lane_type(axis_name).placement is not None


def unbound(axis_name: Any) -> UnboundAxisError:
    """The error for an axis name that no surrounding vmap has."""
    known = sorted([str(name) for name, _ in named_axes()])
    mesh = get_abstract_mesh()
    free = sorted([str(name) for name in set(mesh.axis_names) - set(mesh.manual_axes)])
    return UnboundAxisError(
        f"the axis name {axis_name!r} is not bound.",
        f"A collective speaks along the axis of a surrounding vmap, or one that a shard_map made manual; known here: "
        f"{known}." + (f" The mesh in force has {free} besides, which are not manual here." if free else ""),
        f"Call the function under vmap(..., axis_name={axis_name!r}), or under shard_map over a mesh with that axis.",
    )


def is_bound(axis_name: Any) -> bool:
    """Whether a surrounding vmap or shard_map has an axis of this name."""
    return axis_name in state.axis_sizes or axis_name in dict(named_axes())


def is_of_mesh(axis_name: Any) -> bool:
    """Whether this is an axis of a mesh, or a tuple of such, which a surrounding shard_map has made manual."""
    manual = get_abstract_mesh().manual_axes
    return all([name in manual and name not in state.axis_sizes for name in names_in(axis_name)])


def names_in(axis_name: Any) -> tuple[Any, ...]:
    """The names of an axis, or of several, which the parameter of a collective has."""
    return axis_name if type(axis_name) is tuple else (axis_name,)


def together(names: Sequence[Any]) -> list[Any]:
    """The names, those of a mesh as one tuple: devices speak along several of its axes at once."""
    of_mesh = tuple([name for name in names if is_of_mesh(name)])
    others = [name for name in names if name not in of_mesh]
    return [*others, of_mesh] if of_mesh else others


def axis_size(axis_name: Any) -> int:
    """The number of lanes of the surrounding vmap, or of devices, along an axis; of several of a mesh, the product.

    Raises UnboundAxisError if there is none.
    """
    if type(axis_name) is not tuple and axis_name in state.axis_sizes:
        return state.axis_sizes[axis_name]
    found = dict(named_axes())
    size = 1
    for name in names_in(axis_name):
        if name not in found:
            raise unbound(name)
        size *= found[name]
    return size


class PSum(Collective, LinearPrimitive):
    """The sum over all lanes, the same in every lane."""

    function = staticmethod(lax.psum)
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any) -> ArrayType:
        return x

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any) -> Array:
        # What varies, by its type, has a sum that does not: then so is its cotangent, the same for all.
        varying = placements.varying(x.placement)
        rest = tuple([name for name in names_in(axis_name) if name not in varying])
        return self(ct, axis_name=rest if type(axis_name) is tuple else axis_name) if rest else ct

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any) -> tuple[Any, bool]:
        if axis.name != axis_name:
            return self(*args, axis_name=axis_name), True
        if batched[0]:
            return reduce_sum(args[0], axes=(0,)), False
        return mul(args[0], type_of(args[0]).dtype.type(axis.size).item()), False


class PExtremum(Collective, Primitive):
    """The largest or smallest value over all lanes; lanes that tie share the tangent."""

    own_derivative = True
    recomputable = "never"

    def __init__(self, name: str, reduction: Any, function: Callable[..., Any]):
        super().__init__(name)
        self.reduction = reduction
        self.function = function

    def type_rule(self, x: ArrayType, *, axis_name: Any) -> ArrayType:
        return x

    def jvp(self, primals: tuple, tangents: tuple, *, axis_name: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x, axis_name=axis_name)
        if t is None:
            return out, None
        chosen = winners(x, out)
        count = psum(shares(x, chosen), axis_name=axis_name)
        return out, div(psum(select_n(chosen, zeros_like(t), t), axis_name=axis_name), count)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any) -> tuple[Any, bool]:
        if axis.name != axis_name:
            return self(*args, axis_name=axis_name), True
        return (self.reduction(args[0], axes=(0,)) if batched[0] else args[0]), False


class AllGather(Collective, LinearPrimitive):
    """The values of all lanes along a new leading axis, the same in every lane."""

    function = staticmethod(lambda x, name, axis_size: lax.all_gather(x, name))
    on_mesh = staticmethod(lambda x, name, axis_size: lax.all_gather(lax.expand_dims(x, (0,)), name, tiled=True))
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any, axis_size: int) -> ArrayType:
        return x.stacked(axis_size)

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any, axis_size: int) -> Array:
        return reduce_scatter(ct, axis_name=axis_name, axis_size=axis_size)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any, axis_size: int
    ) -> tuple[Any, bool]:
        if axis.name == axis_name:
            return leading_axis(axis, args[0], batched[0]), False
        return swap_leading(self(*args, axis_name=axis_name, axis_size=axis_size)), True


class AxisIndex(Collective, Primitive):
    """The number of the lane. Along an axis of a mesh, by which values are typed, it has a placement."""

    function = staticmethod(lambda name, placement=None: lax.axis_index(name))
    knows_placements = True

    def type_rule(self, *, axis_name: Any, placement: Placement | None = None) -> ArrayType:
        return ArrayType((), np.dtype(np.int32), False, placement)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self(**params), None

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, bool]:
        return iota(dtype=np.dtype(np.int32), shape=(axis.size,), dimension=0), True


class PPermute(Collective, LinearPrimitive):
    """The value of the lane that `perm` sends here (pairs of source and destination), or zeros if none does."""

    function = staticmethod(lambda x, name, perm: permuted(x, name, perm))
    on_mesh = staticmethod(lax.ppermute)
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any, perm: tuple[tuple[int, int], ...]) -> ArrayType:
        return x

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any, perm: tuple[tuple[int, int], ...]) -> Array:
        return self(ct, axis_name=axis_name, perm=tuple((destination, source) for source, destination in perm))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any, perm: tuple[tuple[int, int], ...]
    ) -> tuple[Any, bool]:
        if axis.name != axis_name:
            return self(*args, axis_name=axis_name, perm=perm), True
        x = leading_axis(axis, args[0], batched[0])
        source_of = {destination: source for source, destination in perm}
        rows = [
            one_row(x, source_of[i]) if i in source_of else zeros_like(type_of(x).with_shape((1, *x.shape[1:])))
            for i in range(axis.size)
        ]
        return concatenate(*rows, dimension=0), True


class ReduceScatter(Collective, LinearPrimitive):
    """The sum over all lanes of the row that has the number of the lane: the leading axis has one for each."""

    function = staticmethod(lambda x, name, axis_size: lax.psum(x, name)[lax.axis_index(name)])
    on_mesh = staticmethod(lambda x, name, axis_size: scattered(x, name))
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any, axis_size: int) -> ArrayType:
        require_rows(self.name, x, axis_name, axis_size)
        return x.row()

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any, axis_size: int) -> Array:
        return all_gather(ct, axis_name=axis_name, axis_size=axis_size)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any, axis_size: int
    ) -> tuple[Any, bool]:
        if axis.name != axis_name:
            return self(swap_leading(args[0]), axis_name=axis_name, axis_size=axis_size), True
        require_rows(self.name, row_type(args[0], batched[0]), axis_name, axis.size)
        return psum.batch(axis, args, batched, axis_name=axis_name)[0], True


class AllToAll(Collective, LinearPrimitive):
    """Row i of the result is the row that lane i has for this lane: a transpose of lanes and rows of the leading axis.

    Source: the operation is MPI_Alltoall.
    """

    function = staticmethod(lambda x, name, axis_size: lax.all_gather(x, name)[:, lax.axis_index(name)])
    on_mesh = staticmethod(lambda x, name, axis_size: lax.all_to_all(x, name, 0, 0, tiled=True))
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any, axis_size: int) -> ArrayType:
        require_rows(self.name, x, axis_name, axis_size)
        return x

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any, axis_size: int) -> Array:
        return self(ct, axis_name=axis_name, axis_size=axis_size)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any, axis_size: int
    ) -> tuple[Any, bool]:
        if axis.name == axis_name:
            require_rows(self.name, row_type(args[0], batched[0]), axis_name, axis.size)
            return swap_leading(leading_axis(axis, args[0], batched[0])), True
        return swap_leading(self(swap_leading(args[0]), axis_name=axis_name, axis_size=axis_size)), True


class PBroadcast(Collective, LinearPrimitive):
    """The value of the lane `source`, the same in every lane."""

    function = staticmethod(lambda x, name, source: lax.all_gather(x, name)[source])
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any, source: int) -> ArrayType:
        return x

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any, source: int) -> Array:
        total = psum(ct, axis_name=axis_name)
        return select_n(eq(lane_number(axis_name), source), zeros_like(total), total)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any, source: int
    ) -> tuple[Any, bool]:
        if axis.name != axis_name:
            return self(*args, axis_name=axis_name, source=source), True
        if not 0 <= source < axis.size:
            raise ArgumentError(
                f"pbroadcast along {axis_name!r} of size {axis.size} received source={source}.",
                "There is no such lane.",
                "Lanes count from 0.",
            )
        return (squeeze(one_row(args[0], source), dimensions=(0,)) if batched[0] else args[0]), False


def permuted(x: Array, axis_name: Any, perm: tuple[tuple[int, int], ...]) -> Array:
    """ppermute by JAX, whose vmap knows whole permutations only: lanes that receive nothing are sent what is unused."""
    lanes = range(axis_size(axis_name))
    unused, left_out = (sorted({*lanes} - {pair[side] for pair in perm}) for side in (0, 1))
    out = lax.ppermute(x, axis_name, (*perm, *zip(unused, left_out, strict=True)))
    receives = jnp.asarray([i not in left_out for i in lanes])
    return jnp.where(receives[lax.axis_index(axis_name)], out, jnp.zeros_like(out)) if left_out else out


def scattered(x: Array, axis_name: Any) -> Array:
    """psum_scatter by JAX, which lowers that where no explicit axis of the mesh splits the operand."""
    scatter = lambda x: lax.squeeze(lax.psum_scatter(x, axis_name, tiled=True), (0,))
    sharding = jax.typeof(x).sharding
    if all([entry is None for entry in sharding.spec]):
        return scatter(x)
    axes = sharding.mesh.explicit_axes
    return auto_axes(scatter, axes=axes, out_sharding=PartitionSpec(*sharding.spec[1:]))(x)


def require_rows(name: str, x: ArrayType, axis_name: Any, axis_size: int) -> None:
    """Raise ArgumentError unless the leading axis has a row for each lane."""
    if x.shape[:1] != (axis_size,):
        raise ArgumentError(
            f"{name} of {x!r} along {axis_name!r} of size {axis_size}.",
            "Its leading axis has a row for each lane.",
            "Move the axis to the front; split one of another size by a reshape.",
        )


def row_type(x: Array, batched: bool) -> ArrayType:
    """The type of `x` in one lane."""
    kind = type_of(x)
    return kind.with_shape(kind.shape[1:]) if batched else kind


def swap_leading(x: Array) -> Array:
    """`x` with its first two axes in the other order."""
    return transpose(x, permutation=(1, 0, *range(2, len(type_of(x).shape))))


def one_row(x: Array, i: int) -> Array:
    """`x[i:i + 1]`."""
    shape = type_of(x).shape
    starts = (i,) + (0,) * (len(shape) - 1)
    return slice_primitive(x, start_indices=starts, limit_indices=(i + 1, *shape[1:]), strides=None)


psum = PSum("psum")
pmax = PExtremum("pmax", reduce_max, lax.pmax)
pmin = PExtremum("pmin", reduce_min, lax.pmin)
all_gather = AllGather("all_gather")
axis_index = AxisIndex("axis_index")
ppermute = PPermute("ppermute")
reduce_scatter = ReduceScatter("reduce_scatter")
all_to_all = AllToAll("all_to_all")
pbroadcast = PBroadcast("pbroadcast")
