"""Batching: one program over many values, along a leading axis.

vmap : (a -> b) -> [a] -> [b]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.arguments.axes import repeat
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis
from minijvp.core.source import Source
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ArrayType, Params, type_of
from minijvp.transforms.staging import stage_as


class BatchTracer(Tracer):
    """A value with a leading batch axis that the program does not see, or a lifted constant without one."""

    __slots__ = ("batched", "value")

    def __init__(self, trace: BatchTrace, value: Any, batched: bool = True):
        self.owner = trace
        self.value = value
        self.batched = batched

    @property
    def type(self) -> ArrayType:
        t = type_of(self.value)
        return t.row() if self.batched else t

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape[1:] if self.batched else self.value.shape

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    def made_at(self) -> Source | None:
        return self.value.made_at() if isinstance(self.value, Tracer) else None

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        if self.batched or self.owner.finished():
            return super().known_value(wanted_by, as_number)
        return self.value.known_value(wanted_by, as_number) if isinstance(self.value, Tracer) else self.value


class BatchTrace(Trace):
    """Applies the batch rule of every operation that touches one of its tracers or speaks along its named axis."""

    __slots__ = ("axis",)

    def __init__(self, parent: Trace, axis: Axis):
        self.parent = parent
        self.axis = axis

    @property
    def description(self) -> str:
        return f"a vmap of size {self.axis.size}"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        values, batched = self.unpack(args)
        if not any(batched) and not (self.axis.name is not None and primitive.uses_axis(self.axis.name, params)):
            return self.parent.process(primitive, values, params)
        previous = state.trace
        state.trace = self.parent
        try:
            out, out_batched = primitive.batch(self.axis, values, batched, **params)
        finally:
            state.trace = previous
        if type(out) is tuple:
            return tuple([self.pack(x, b) for x, b in zip(out, out_batched, strict=True)])
        return self.pack(out, out_batched)

    def lift(self, value: Any) -> Any:
        return value if isinstance(value, Tracer) else BatchTracer(self, value, batched=False)

    def unpack(self, args: Sequence[Any]) -> tuple[tuple, tuple[bool, ...]]:
        """The values, and which of them have the batch axis."""
        values, batched = [], []
        for x in args:
            mine = type(x) is BatchTracer and x.owner is self
            values.append(x.value if mine else x)
            batched.append(mine and x.batched)
        return tuple(values), tuple(batched)

    def pack(self, value: Any, batched: bool) -> Any:
        return BatchTracer(self, value) if batched else value


class axis_named:
    """Context manager: inside, collectives know an axis of this name and size."""

    __slots__ = ("axis", "previous")

    def __init__(self, axis: Axis):
        self.axis = axis

    def __enter__(self) -> None:
        self.previous = state.axis_sizes
        if self.axis.name is not None:
            state.axis_sizes = {**state.axis_sizes, self.axis.name: self.axis.size}

    def __exit__(self, *exception: object) -> None:
        state.axis_sizes = self.previous


def vmap_flat(
    fun: Callable[..., Sequence[Any]], axis: Axis, args: Sequence[Any], batched: Sequence[bool]
) -> tuple[Sequence[Any], tuple[bool, ...]]:
    """Results and which of them are batched, for a function of flat arguments. Batch axes are leading."""
    trace = state.trace.above(BatchTrace)(state.trace, axis)
    tracers = [trace.pack(x, b) for x, b in zip(args, batched, strict=True)]
    with current(trace), axis_named(axis):
        outs = fun(*tracers)
    return trace.unpack(outs)


@cached(maxsize=4096)
def vmap_jaxpr(
    jaxpr: Jaxpr, axis: Axis, batched: tuple[bool, ...], wanted: tuple[bool, ...] = ()
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The batched program of an open jaxpr, and which outputs are batched: those that are `wanted` in any case."""
    out_batched: tuple[bool, ...] = ()

    def fun(*args: Any) -> Sequence[Any]:
        nonlocal out_batched
        outs, out_batched = vmap_flat(lambda *xs: evaluate(jaxpr, *xs), axis, args, batched)
        if wanted:
            outs = [repeat(axis, x) if w and not b else x for x, b, w in zip(outs, out_batched, wanted, strict=True)]
            out_batched = tuple([w or b for w, b in zip(wanted, out_batched, strict=True)])
        return outs

    types = [t.stacked(axis.size, axis.split) if b else t for t, b in zip(jaxpr.in_types, batched, strict=True)]
    return stage_as("vmap", jaxpr, fun, types), out_batched
