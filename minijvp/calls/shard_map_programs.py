"""Programs that devices run together, each with its parts of arrays: the operation that carries one, and its rules.

A program of parts is staged inside of a shard_map of JAX, which knows the types of the parts: along which axes of
devices they vary. Each transformation is a shard_map of the transformed program, made inside of one, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec, get_abstract_mesh

from minijvp.calls.dependence import reached
from minijvp.calls.programs import Flags, chosen, present
from minijvp.calls.taylor import by_call, flags_of
from minijvp.core import placements
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import Array, ArrayType, Params
from minijvp.errors import ArgumentError
from minijvp.operations.collectives import psum
from minijvp.operations.elementwise import div
from minijvp.operations.families import is_linear, nonzero, reshape, spread
from minijvp.operations.placing import brought, whole
from minijvp.operations.sharding import spread_over
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import residuals_of
from minijvp.transforms.staging import stage
from minijvp.transforms.taylor import taylor_jaxpr
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr

Specs = tuple[PartitionSpec, ...]

WHOLE = PartitionSpec()
"""The spec of an array that each device has."""


def names_in(spec: Iterable[Any]) -> list[Any]:
    """The axes of a mesh that a spec names."""
    entries = [e if isinstance(e, tuple) else (e,) for e in spec if e is not None and e != PartitionSpec.UNCONSTRAINED]
    return [name for entry in entries for name in entry]


def repeated(specs: Specs, flags: Sequence[Flags]) -> Specs:
    """The spec of each coefficient that is not zero: that of the value that it belongs to."""
    return tuple([spec for spec, own in zip(specs, flags, strict=True) for flag in own if flag])


class ShardMap(ProgramPrimitive):
    """The outputs of `jaxpr`, run on each device of a mesh with its parts of the operands.

    `in_specs` and `out_specs` have a spec for each operand and output, `manual` the axes of the mesh that the program
    sees; the others are the compiler's. With `check_vma`, types tell along which axes values vary.
    """

    recomputable = "expensive"

    def impl(self, *args: Array, jaxpr: Jaxpr, out_specs: Specs, **how: Any) -> tuple[Any, ...]:
        return in_jax(lambda *parts: tuple(lower(jaxpr, *parts)), out_specs=out_specs, **how)(*args)

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        return super().type_rule(*types, **params)

    def jvp(
        self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, in_specs: Specs, out_specs: Specs, **how: Any
    ) -> tuple[Any, Any]:
        flags = nonzero(tangents)
        pushed, out_flags = inside(lambda: jvp_jaxpr(jaxpr, flags), how)
        specs = {
            "in_specs": (*in_specs, *chosen(in_specs, flags)),
            "out_specs": (*out_specs, *chosen(out_specs, out_flags)),
        }
        outs = self.call(pushed, *primals, *present(tangents), **specs, **how)
        n = len(jaxpr.outputs)
        return outs[:n], spread(outs[n:], out_flags)

    def taylor_to(
        self,
        order: int,
        primals: tuple,
        series: tuple,
        *,
        jaxpr: Jaxpr,
        in_specs: Specs,
        out_specs: Specs,
        **how: Any,
    ) -> tuple[Any, Any]:
        flags = flags_of(series, order)
        taylor, out_flags = inside(lambda: taylor_jaxpr(jaxpr, order, flags), how)
        specs = {
            "in_specs": (*in_specs, *repeated(in_specs, flags)),
            "out_specs": (*out_specs, *repeated(out_specs, out_flags)),
        }
        return by_call(partial(self.call, taylor, **specs, **how), primals, series, out_flags)

    def linearize(
        self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, in_specs: Specs, out_specs: Specs, **how: Any
    ) -> tuple[Any, Any]:
        # Residuals leave each device along a leading axis, which has one row for each that may have another value.
        flags, n = nonzero(tangents), len(jaxpr.outputs)

        def make() -> Any:
            known, linear, origins, out_flags = hooks.linearizer.program(jaxpr, flags)
            rows = [self.rows_of(t, how) for t in known.out_types[n:]]
            places = (*[None] * len(in_specs), *[None] * n)
            kept = iter(rows)
            leading = [next(kept) if o is None else places[o] for o in origins]
            return stacked(known, n, rows), unstacked(linear, leading), origins, out_flags, rows, leading

        known, linear, origins, out_flags, rows, leading = inside(make, how)
        kept = tuple([WHOLE if names is None else PartitionSpec(names) for names in rows])
        found = self.call(known, *primals, in_specs=in_specs, out_specs=(*out_specs, *kept), **how)
        residuals = residuals_of(origins, primals, found, n)
        places = (*in_specs, *out_specs)
        specs = [
            places[o] if o is not None else WHOLE if names is None else PartitionSpec(names)
            for o, names in zip(origins, leading, strict=True)
        ]
        outs = self.call(
            linear,
            *residuals,
            *present(tangents),
            in_specs=(*specs, *chosen(in_specs, flags)),
            out_specs=tuple(chosen(out_specs, out_flags)),
            **how,
        )
        return tuple(found[:n]), spread(outs, out_flags)

    def rows_of(self, t: ArrayType, how: Params) -> tuple[Any, ...] | None:
        """The axes of devices along which a residual has rows of its own: those along which it varies; None if none."""
        varying = placements.varying(t.placement) & how["manual"] if how["check_vma"] else how["manual"]
        return tuple([name for name in how["mesh"].axis_names if name in varying]) or None

    def transpose(
        self, ct: tuple, *args: Any, jaxpr: Jaxpr, in_specs: Specs, out_specs: Specs, **how: Any
    ) -> tuple[Any, ...]:
        linear, flags = tuple(map(is_linear, args)), nonzero(ct)
        known = [not flag for flag in linear]
        pulled, ct_flags = inside(lambda: pullback(jaxpr, linear, flags, in_specs, out_specs, how), how)
        specs = {
            "in_specs": (*chosen(in_specs, known), *chosen(out_specs, flags)),
            "out_specs": tuple(chosen(chosen(in_specs, linear), ct_flags)),
        }
        outs = self.call(pulled, *chosen(args, known), *present(ct), **specs, **how)
        return spread(spread(outs, ct_flags), linear)

    def batch(
        self,
        axis: Axis,
        args: tuple,
        batched: tuple[bool, ...],
        *,
        jaxpr: Jaxpr,
        in_specs: Specs,
        out_specs: Specs,
        **how: Any,
    ) -> tuple[Any, Any]:
        along = axis.split.spec[0] if axis.split else axis.mesh_axes
        seen = placements.entry_of(along, how["manual"])
        if seen is not None and axis.name is not None and self.uses_axis(axis.name, {"jaxpr": jaxpr, **how}):
            raise ArgumentError(
                f"a collective along {axis.name!r}, the axis of a vmap that is split along {along!r}, in a shard_map.",
                "Each device has some of its lanes only.",
                f"Map over an axis that is not split, or speak along {along!r} inside.",
            )
        twice = next((s for s in (*in_specs, *out_specs) if set(names_in((seen,))) & set(names_in(s))), None)
        if twice is not None:
            raise ArgumentError(
                f"vmap over an axis that is split along {along!r}, of a shard_map with the spec {twice}.",
                "No axis of a mesh splits an array twice.",
                "First put the lanes on all devices, by minijvp.reshard, or map over them in the specs, too.",
            )
        rest = placements.entry_of(along, set(how["mesh"].axis_names) - how["manual"])
        if rest is not None and axis.split is None:
            raise ArgumentError(
                f"vmap with spmd_axis_name={along!r}, of a shard_map that maps over {sorted(map(str, how['manual']))}.",
                "Its lanes would be spread by an axis of the mesh that the function does not see.",
                f"Name {rest!r} in axis_names too, or leave it to the compiler: no spmd_axis_name.",
            )
        lanes = axis.size // math.prod([how["mesh"].shape[name] for name in names_in((seen,))])

        def make() -> Any:
            split = placements.of(NamedSharding(get_abstract_mesh(), PartitionSpec(rest)), placements.NOT_VARYING)
            return vmap_jaxpr(jaxpr, Axis(lanes, axis.name, split=split), batched)

        mapped, out_batched = inside(make, how)

        def with_lanes(specs: Specs, flags: Sequence[bool]) -> Specs:
            return tuple([PartitionSpec(seen, *s) if b else s for s, b in zip(specs, flags, strict=True)])

        specs = {"in_specs": with_lanes(in_specs, batched), "out_specs": with_lanes(out_specs, out_batched)}
        return self.call(mapped, *args, **specs, **how), out_batched

    def call(self, jaxpr: Jaxpr, *args: Array, in_specs: Specs, **how: Any) -> tuple[Any, ...]:
        """The outputs of a jaxpr, whose constants each device has."""
        opened, constants = jaxpr.hoist_constants()
        return self(*constants, *args, jaxpr=opened, in_specs=(*[WHOLE] * len(constants), *in_specs), **how)

    def reached(self, equation: Equation, inputs: tuple[bool, ...], differentiable: bool) -> Sequence[bool]:
        return reached(equation.params["jaxpr"], inputs, differentiable)

    def uses_axis(self, name: Any, params: Params) -> bool:
        return name not in params["manual"] and super().uses_axis(name, params)


shard_map_primitive = ShardMap("shard_map")


def in_jax(fun: Callable[..., Any], *, mesh: Any, manual: frozenset[Any], **how: Any) -> Callable[..., Any]:
    """The function under JAX's shard_map."""
    return jax.shard_map(fun, mesh=mesh, axis_names=manual, **how)


def inside(make: Callable[[], Any], how: Params) -> Any:
    """What a function returns that makes programs of parts, and so is called inside of a shard_map of JAX."""
    with spread_over(1):  # the parts are those of one
        return placements.inside(make, **how)


def stacked(jaxpr: Jaxpr, n: int, rows: Sequence[Any]) -> Jaxpr:
    """The program, whose outputs from number n on have a leading axis of size 1 where there are `rows`."""

    def fun(*args: Any) -> list[Any]:
        outs = evaluate(jaxpr, *args)
        kept = zip(outs[n:], rows, strict=True)
        return [*outs[:n], *[x if r is None else reshape(x, new_sizes=(1, *x.shape)) for x, r in kept]]

    return stage(fun, jaxpr.in_types, jaxpr.name) if any(rows) else jaxpr


def unstacked(jaxpr: Jaxpr, rows: Sequence[Any]) -> Jaxpr:
    """The program, whose first inputs have a leading axis of size 1 where there are `rows`."""
    types = [*[t if r is None else t.stacked(1) for t, r in zip(jaxpr.in_types, rows)], *jaxpr.in_types[len(rows) :]]

    def fun(*args: Any) -> Sequence[Any]:
        given = [x if r is None else reshape(x, new_sizes=x.shape[1:]) for x, r in zip(args, rows)]
        return evaluate(jaxpr, *given, *args[len(rows) :])

    return stage(fun, types, jaxpr.name) if any(rows) else jaxpr


def pullback(
    jaxpr: Jaxpr, linear: tuple[bool, ...], flags: tuple[bool, ...], in_specs: Specs, out_specs: Specs, how: Params
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """What `transpose_jaxpr` returns for the program of parts.

    The cotangent of an output varies along the axes that split it, also where the output is the same on all devices.
    Where types do not say what varies, an output that is not split along an axis is taken for the same on all its
    devices, each of which gets its share of the cotangent; and that of an input which is not split is the sum.
    """
    pulled, ct_flags = transpose_jaxpr(jaxpr, linear, flags)
    n = len(linear) - sum(linear)
    if how["check_vma"]:
        types = pulled.in_types[n:]
        arriving = [varied(t, names_in(s)) for t, s in zip(types, chosen(out_specs, flags), strict=True)]
        if all([t == a for t, a in zip(types, arriving, strict=True)]):
            return pulled, ct_flags

        def summed_up(*args: Any) -> Sequence[Any]:
            return evaluate(pulled, *args[:n], *[brought(ct, t) for ct, t in zip(args[n:], types, strict=True)])

        return stage(summed_up, (*pulled.in_types[:n], *arriving), pulled.name), ct_flags

    def others(spec: PartitionSpec) -> tuple[Any, ...]:
        named = names_in(spec)
        return tuple([name for name in how["mesh"].axis_names if name in how["manual"] and name not in named])

    copies = [math.prod([how["mesh"].shape[name] for name in others(s)]) for s in chosen(out_specs, flags)]
    summed = [others(s) for s in chosen(chosen(in_specs, linear), ct_flags)]

    def fun(*args: Any) -> list[Any]:
        shares = [ct if k == 1 else div(ct, float(k)) for ct, k in zip(args[n:], copies, strict=True)]
        found = evaluate(pulled, *args[:n], *shares)
        return [psum(ct, axis_name=axes) if axes else ct for ct, axes in zip(found, summed, strict=True)]

    return stage(fun, pulled.in_types, pulled.name), ct_flags


def varied(t: ArrayType, names: Sequence[Any]) -> ArrayType:
    """The type, inside of a shard_map, of what varies along these axes too."""
    axes = placements.varying(t.placement) | set(names)
    if axes == placements.varying(t.placement):
        return t
    p = t.placement or whole(t, get_abstract_mesh())
    return ArrayType(t.shape, t.dtype, t.weak_type, p.with_varying(axes))
