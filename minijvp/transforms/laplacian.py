"""Forward Laplacian: a value, its derivatives along n directions, and the sum of its second ones, in one pass.

laplacian : (a -> b) -> (a, [T a], T a) -> (b, [T b], T b)

Where y = f(x), the sums of second derivatives follow from those of x: lap y = f'(x) lap x + sum_i f''(x)[d_i x, d_i x].
So nothing of size n x n is made. The first term is the jvp of f; of the second there is none for a linear f.

Source: R. Li et al., A computational framework for neural network-based variational Monte Carlo with Forward Laplacian,
Nature Machine Intelligence 6, 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minijvp.core.caching import cached_by_linearizer
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import Params, type_of
from minijvp.operations.elementwise import full_like, mul
from minijvp.operations.families import (
    Elementwise,
    LinearElementwise,
    add_tangents,
    leading_axis,
    nonzero,
    reduce_sum,
    spread,
)
from minijvp.transforms.jvp import JVPTrace, PrimalTracer, jvp_flat
from minijvp.transforms.staging import stage_as
from minijvp.transforms.vmap import vmap_flat
from minijvp.trees import replaced


class LaplacianTracer(PrimalTracer):
    """A primal with its derivatives, along a leading axis of directions, and the sum of its second ones. None: zero."""

    __slots__ = ("derivatives", "laplacian")

    def __init__(self, trace: LaplacianTrace, primal: Any, derivatives: Any, laplacian: Any):
        self.owner = trace
        self.primal = primal
        self.derivatives = derivatives
        self.laplacian = laplacian

    @property
    def moves(self) -> bool:
        return self.derivatives is not None


class LaplacianTrace(Trace):
    """Carries derivatives and the sums of second ones through every operation that touches one of its tracers."""

    __slots__ = ("axis",)

    def __init__(self, parent: Trace, axis: Axis):
        self.parent = parent
        self.axis = axis

    @property
    def description(self) -> str:
        return "a forward Laplacian"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        values, derivatives, laplacians = self.unpack(args)
        if not any(nonzero(derivatives)):
            return self.parent.process(primitive, values, params)
        previous = state.trace
        state.trace = self.parent
        try:
            rule = rule_of(primitive, values)
            out, rows, total = rule(primitive, self.axis, values, derivatives, laplacians, params)
        finally:
            state.trace = previous
        if type(out) is tuple:
            return tuple([self.pack(*x) for x in zip(out, rows, total, strict=True)])
        return self.pack(out, rows, total)

    def lift(self, value: Any) -> Any:
        return value if isinstance(value, Tracer) else LaplacianTracer(self, value, None, None)

    def unpack(self, args: Sequence[Any]) -> tuple[tuple, tuple, tuple]:
        """Values, derivatives and Laplacians."""
        mine = [type(x) is LaplacianTracer and x.owner is self for x in args]
        return (
            tuple([x.primal if m else x for x, m in zip(args, mine, strict=True)]),
            tuple([x.derivatives if m else None for x, m in zip(args, mine, strict=True)]),
            tuple([x.laplacian if m else None for x, m in zip(args, mine, strict=True)]),
        )

    def pack(self, value: Any, derivatives: Any, laplacian: Any) -> Any:
        return value if derivatives is None else LaplacianTracer(self, value, derivatives, laplacian)


Triple = tuple[Any, Any, Any]
"""A value, its derivatives along a leading axis, and its Laplacian, or tuples of these; None is zero."""

Rule = Callable[[Any, Axis, tuple, tuple, tuple, Params], Triple]
"""What the result of a primitive is, for values, derivatives and Laplacians of its arguments."""


def rule_of(primitive: Any, values: tuple) -> Rule:
    """The rule for a primitive: of the program of a call, of scalar functions, or the one that is right for all."""
    if primitive.is_call and hasattr(primitive, "call"):  # not one with a rule for batches of its own
        return of_call
    by_table = isinstance(primitive, Elementwise) and not isinstance(primitive, LinearElementwise)
    # Of an elementwise operation the derivative is a number for each element only if those are real.
    if by_table and type(primitive).jvp is Elementwise.jvp and all([type_of(x).dtype.kind != "c" for x in values]):
        return of_jvp if primitive.made_outside or zeros_absorb() else of_elementwise
    return of_jvp


def zeros_absorb() -> bool:
    """Whether the setting nan_safe is on, for which rules run in traces of their own."""
    return bool(other_plans) and hooks.nan_safe(JVPTrace) is not None


def of_jvp(primitive: Any, axis: Axis, values: tuple, derivatives: tuple, laplacians: tuple, params: Params) -> Triple:
    """For every primitive: the second term is the jvp of its jvp, twice along each direction, summed up."""
    places = [i for i, d in enumerate(derivatives) if d is not None]
    points = [values[i] for i in places]
    first: tuple[bool, ...] = ()
    second: tuple[bool, ...] = ()
    several = False

    def call(*xs: Any) -> tuple[Any, ...]:
        nonlocal several
        out = primitive(*replaced(values, places, xs), **params)
        several = type(out) is tuple
        return out if several else (out,)

    def along(*directions: Any) -> list[Any]:
        nonlocal first, second

        def pushed(*xs: Any) -> list[Any]:
            nonlocal first
            _, tangents = jvp_flat(call, xs, directions)
            first = nonzero(tangents)
            return [t for t in tangents if t is not None]

        tangents, dots = jvp_flat(pushed, points, directions)
        second = nonzero(dots)
        return [*tangents, *[t for t in dots if t is not None]]

    outs, pushed = jvp_flat(call, points, [laplacians[i] for i in places])
    rows, batched = vmap_flat(along, axis, [derivatives[i] for i in places], [True] * len(places))
    rows = [leading_axis(axis, x, b) for x, b in zip(rows, batched, strict=True)]
    n = sum(first)
    sums = spread([reduce_sum(x, axes=(0,)) for x in rows[n:]], second)
    found = tuple(outs), spread(rows[:n], first), tuple(map(add_tangents, pushed, spread(sums, first)))
    return found if several else (found[0][0], found[1][0], found[2][0])


def of_elementwise(
    primitive: Any, axis: Axis, values: tuple, derivatives: tuple, laplacians: tuple, params: Params
) -> Triple:
    """For an elementwise operation: its second derivatives, an array, times the sum of products of derivatives."""
    rules = {k: v for k, v in params.items() if k != "accuracy"}
    places = [i for i, d in enumerate(derivatives) if d is not None]
    points = [values[i] for i in places]
    out = primitive(*values, **params)
    one = full_like(out, 1)

    def slopes(*xs: Any) -> list[Any]:
        args = replaced(values, places, xs)
        out = primitive(*args, **params)
        rule_of = dict(enumerate(primitive.derivatives))  # the last ones may be missing, and are zero
        wanted = [rule_of.get(i) for i in places]
        return [None if rule is None else rule(one, out, *args, **rules) for rule in wanted]

    rows = total = None
    for k, i in enumerate(places):
        # All pairs: the slope of one argument may be a rule that reads another, which has none of its own.
        first, second = jvp_flat(slopes, points, [full_like(values[i], 1) if j == i else None for j in places])
        if first[k] is not None:
            rows = add_tangents(rows, mul(leading_axis(axis, first[k], False), derivatives[i]))
            if laplacians[i] is not None:
                total = add_tangents(total, mul(first[k], laplacians[i]))
        for j, slope in zip(places, second, strict=True):
            if slope is not None:
                products = reduce_sum(mul(derivatives[i], derivatives[j]), axes=(0,))
                total = add_tangents(total, mul(slope, products))
    return out, rows, total


def of_call(primitive: Any, axis: Axis, values: tuple, derivatives: tuple, laplacians: tuple, params: Params) -> Triple:
    """For a call of a program: a call of that of values, derivatives and Laplacians."""
    options = {k: v for k, v in params.items() if k != "jaxpr"}
    given = [x for x in (*derivatives, *laplacians) if x is not None]
    program, first, second = laplacian_jaxpr(params["jaxpr"], axis, nonzero(derivatives), nonzero(laplacians))
    outs = primitive.call(program, *values, *given, **options)
    n, m = len(first), len(first) + sum(first)
    return outs[:n], spread(outs[n:m], first), spread(outs[m:], second)


def laplacian_flat(
    fun: Callable[..., Sequence[Any]],
    axis: Axis,
    values: Sequence[Any],
    derivatives: Sequence[Any],
    laplacians: Sequence[Any],
) -> Triple:
    """Results, their derivatives and their Laplacians, for a function of flat arguments that returns a flat list."""
    trace = LaplacianTrace(state.trace, axis)
    args = [trace.pack(*x) for x in zip(values, derivatives, laplacians, strict=True)]
    with current(trace):
        outs = fun(*args)
    return trace.unpack(outs)


@cached_by_linearizer(maxsize=4096)
def laplacian_jaxpr(
    jaxpr: Jaxpr, axis: Axis, moving: tuple[bool, ...], curved: tuple[bool, ...]
) -> tuple[Jaxpr, tuple[bool, ...], tuple[bool, ...]]:
    """The program of values, derivatives and Laplacians for an open jaxpr, and which outputs have the latter two.

    Its inputs are those of `jaxpr`, derivatives of those that are `moving`, Laplacians of those that are `curved`; its
    outputs likewise.
    """
    first: tuple[bool, ...] = ()
    second: tuple[bool, ...] = ()

    def fun(*args: Any) -> list[Any]:
        nonlocal first, second
        rest = iter(args[len(jaxpr.inputs) :])
        derivatives, laplacians = ([next(rest) if f else None for f in flags] for flags in (moving, curved))
        values = args[: len(jaxpr.inputs)]
        outs, rows, sums = laplacian_flat(partial(evaluate, jaxpr), axis, values, derivatives, laplacians)
        first, second = nonzero(rows), nonzero(sums)
        return [*outs, *[x for x in (*rows, *sums) if x is not None]]

    strong = [t.strong() for t in jaxpr.in_types]
    rows = [t.stacked(axis.size) for t, f in zip(strong, moving, strict=True) if f]
    types = [*jaxpr.in_types, *rows, *[t for t, f in zip(strong, curved, strict=True) if f]]
    return stage_as("laplacian", jaxpr, fun, types), first, second
