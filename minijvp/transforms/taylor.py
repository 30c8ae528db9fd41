"""Taylor mode: a value travels with the coefficients of its Taylor polynomial along a curve.

taylor : (a -> b) -> (a, [T a]) -> (b, [T b])

With x(t) = x_0 + x_1 t + x_2 t^2 + ... the coefficients of f(x(t)) are found one after the other, from those before.
Linear operations act on each, products convolve, and for all others the rule for tangents says how: the tangent that
it gives for (x, x') is the derivative y' of the result y, so y_k is coefficient k - 1 of y' over k. That rule computes
y and what belongs to it (the cosine of a sine) again, and there finds the series that is being found. So the jvp rule
of an elementary function is the differential equation from which its recurrence follows, and costs what products do.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minijvp.core.caching import cached_by_linearizer
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import PYTHON_SCALARS, Params, is_inexact, type_of
from minijvp.operations.elementwise import mul
from minijvp.operations.families import instantiate, spread, zeros_like
from minijvp.transforms.jvp import PrimalTracer
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.staging import stage_as

Coefficients = Sequence[Any]
"""Normalised coefficients from number 1 on; one that is None is zero."""


class Series:
    """The coefficients of a value, or of several, from number 0 on; those that are asked for are found in order."""

    __slots__ = ("find", "found")

    def __init__(self, found: list[Any], find: Callable[[int], Any]):
        self.found = found
        self.find = find

    @property
    def ready(self) -> int:
        """The number of the last coefficient that is there already."""
        return len(self.found) - 1

    def __getitem__(self, k: int) -> Any:
        found = self.found
        while len(found) <= k:
            found.append(self.find(len(found)))
        return found[k]


class Runs:
    """The coefficients of the results of a program, found together by a run of it to the order asked for."""

    __slots__ = ("found", "run")

    def __init__(self, run: Callable[[int], tuple[tuple, Sequence[Coefficients | None]]]):
        self.found: list[tuple] = []
        self.run = run

    @property
    def ready(self) -> int:
        """The number of the last coefficient that is there already."""
        return len(self.found) - 1

    def __getitem__(self, k: int) -> Any:
        if len(self.found) <= k:
            self.to(k)
        return self.found[k]

    def to(self, order: int) -> None:
        """Find all coefficients up to an order."""
        outs, series = self.run(order)
        self.found = [outs, *[tuple([s and s[k] for s in series]) for k in range(order)]]


class Part:
    """The coefficients of one of several values."""

    __slots__ = ("i", "whole")

    def __init__(self, whole: Any, i: int):
        self.whole = whole
        self.i = i

    @property
    def ready(self) -> int:
        """The number of the last coefficient that is there already."""
        return self.whole.ready

    def __getitem__(self, k: int) -> Any:
        return self.whole[k][self.i]


class TaylorTracer(PrimalTracer):
    """A primal with the series of coefficients that it begins, or with None: a lifted constant.

    A coefficient of None is zero, number 0 too, beside a primal of zeros.
    """

    __slots__ = ("series",)

    def __init__(self, trace: TaylorTrace, primal: Any, series: Any):
        self.owner = trace
        self.primal = primal
        self.series = series

    @property
    def moves(self) -> bool:
        return self.series is not None


class TaylorTrace(Trace):
    """Applies the Taylor rule of every operation that touches one of its tracers, up to an order.

    While it does, `ties` has what the operation and its rule have computed: there a rule finds its own result again.
    """

    __slots__ = ("order", "ties")

    def __init__(self, parent: Trace, order: int):
        self.parent = parent
        self.order = order
        self.ties: dict[Any, Any] | None = None

    @property
    def description(self) -> str:
        return f"a Taylor mode of order {self.order}"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        primals, series = self.unpack(args)
        if not any([s is not None for s in series]):
            return self.parent.process(primitive, primals, params)
        previous, ties = state.trace, self.ties
        state.trace = self.parent
        try:
            if ties is not None:
                return self.tied(primitive, args, primals, series, params)
            self.ties = {}
            out = self.tied(primitive, args, primals, series, params)
            for x in out if type(out) is tuple else (out,):
                if self.moves(x):
                    x.series[self.order]
            return out
        finally:
            state.trace, self.ties = previous, ties

    def lift(self, value: Any) -> Any:
        return value if isinstance(value, Tracer) else TaylorTracer(self, value, None)

    def owns(self, x: Any) -> bool:
        return type(x) is TaylorTracer and x.owner is self

    def moves(self, x: Any) -> bool:
        """Whether this is a value that changes along the curve, as far as is known."""
        return self.owns(x) and x.series is not None

    def unpack(self, args: Sequence[Any]) -> tuple[tuple, tuple]:
        """Primals, and their series; None for those of constants."""
        mine = [self.owns(x) for x in args]
        primals = tuple([x.primal if own else x for x, own in zip(args, mine, strict=True)])
        return primals, tuple([x.series if own else None for x, own in zip(args, mine, strict=True)])

    def pack(self, out: Any, coefficients: Any) -> Any:
        """The results as tracers, those that can have coefficients."""
        if coefficients is None:
            return out
        if type(out) is not tuple:
            return TaylorTracer(self, out, coefficients) if is_inexact(type_of(out).dtype) else out
        parts = enumerate(out)
        return tuple(
            [TaylorTracer(self, x, Part(coefficients, i)) if is_inexact(type_of(x).dtype) else x for i, x in parts]
        )

    def tied(self, primitive: Any, args: tuple, primals: tuple, series: tuple, params: Params) -> Any:
        """The result of an operation, the one that it had before if it is done again in one rule."""
        assert self.ties is not None
        operands = tuple([(type(x), repr(x)) if type(x) in PYTHON_SCALARS else id(x) for x in args])
        key = primitive, operands, tuple(params.items())
        known = self.ties.get(key)
        if known is None:
            out = self.apply(primitive, args, primals, series, params, alone=not self.ties)
            known = self.ties[key] = args, out
        return known[1]

    def apply(self, primitive: Any, args: tuple, primals: tuple, series: tuple, params: Params, alone: bool) -> Any:
        """The results of an operation; of one that is `alone`, and no part of a rule, all coefficients are wanted."""
        if isinstance(primitive, ProgramPrimitive) and primitive.taylor_to is not None:
            if not alone and primitive.is_call and not primitive.own_derivative:
                with current(self):
                    return tuple(evaluate(primitive.bodies(params)[0], *args))
            coefficients = Runs(partial(self.run, primitive, primals, series, params))
            if alone:
                coefficients.to(self.order)
            else:
                coefficients.found = [primitive(*primals, **params)]
            return self.pack(coefficients[0], coefficients)
        rule = primitive.taylor(primals, series, **params)
        if rule is not None:
            out, find = rule
            return self.pack(out, None if find is None else Series([out], find))
        out = primitive(*primals, **params)
        return self.pack(out, Series([out], self.derived(primitive, args, params)))

    def run(self, primitive: Any, primals: tuple, series: tuple, params: Params, order: int) -> tuple[tuple, Any]:
        """What the rule of a primitive with programs gives for coefficients up to an order."""
        given = [s and [s[k] for k in range(1, order + 1)] for s in series]
        return primitive.taylor_to(order, primals, given, **params)

    def derived(self, primitive: Any, args: tuple, params: Params) -> Callable[[int], Any]:
        """The coefficients by other operations of this trace, which do not run before one is asked for."""
        made: Any = None

        def find(k: int) -> Any:
            nonlocal made
            if made is None:
                with current(self):
                    other = primitive.restated(*args, **params)
                    made = self.by_tangents(primitive, args, params) if other is None else self.coefficients(other)
            return made(k)

        return find

    def coefficients(self, out: Any) -> Callable[[int], Any]:
        """The coefficients of results, one or several."""
        one = lambda x, k: x.series[k] if self.moves(x) else None
        return (lambda k: tuple([one(x, k) for x in out])) if type(out) is tuple else partial(one, out)

    def by_tangents(self, primitive: Any, args: tuple, params: Params) -> Callable[[int], Any]:
        """The coefficients by the rule for tangents, run in this trace."""
        active = [self.moves(x) for x in args]
        if isinstance(primitive, ProgramPrimitive):
            out, slopes = primitive.jvp(
                args, tuple([self.slope(x) if a else None for x, a in zip(args, active)]), **params
            )
            return self.integrated(slopes, type(out) is tuple)
        several = False

        def apply(*xs: Any) -> tuple:
            nonlocal several
            out = primitive(*xs, **params)
            several = type(out) is tuple
            return out if several else (out,)

        _, linear, nonzero = linearize_flat(apply, args, active)
        linear = linear.without_dead_code()
        moving = [x for x, a in zip(args, active, strict=True) if a]
        if not any([self.owns(x) for _, x in linear.constants]):
            # It is the same linear map all along the curve.
            return partial(each, linear, [x.series for x in moving], nonzero, several)
        slopes = spread(evaluate(linear, *map(self.slope, moving)), nonzero)
        return self.integrated(slopes if several else slopes[0], several)

    def slope(self, x: TaylorTracer) -> TaylorTracer:
        """The derivative of a value along the curve."""
        assert self.ties is not None
        found = self.ties.get(id(x))
        if found is None:
            first = x.series[1]
            series = Series([first], lambda k: scaled(x.series[k + 1], k + 1))
            found = self.ties[id(x)] = TaylorTracer(self, instantiate(first, type_of(x.primal).strong()), series)
        return found

    def integrated(self, slopes: Any, several: bool) -> Callable[[int], Any]:
        """The coefficients of values whose derivatives along the curve are `slopes`; None is zero."""

        def one(slope: Any, k: int) -> Any:
            if self.moves(slope):
                return scaled(slope.series[k - 1], 1 / k)
            return self.unpack([slope])[0][0] if k == 1 else None

        return (lambda k: tuple([one(t, k) for t in slopes])) if several else partial(one, slopes)


def none(coefficients: Coefficients) -> bool:
    """Whether all are zero."""
    return all([c is None for c in coefficients])


def nothing(k: int) -> Any:
    """The coefficients of a constant."""
    return None


def scaled(x: Any, factor: float) -> Any:
    """A coefficient times a number."""
    return x if x is None or factor == 1 else mul(x, float(factor))


def each(linear: Jaxpr, series: Sequence[Any], nonzero: Sequence[bool], several: bool, k: int) -> Any:
    """Coefficient `k` of the results of a linear program, for the series of what it takes."""
    given = [s[k] for s in series]
    if none(given):
        return (None,) * len(nonzero) if several else None
    outs = evaluate(
        linear, *[zeros_like(v.type) if c is None else c for c, v in zip(given, linear.inputs, strict=True)]
    )
    found = spread(outs, nonzero)
    return found if several else found[0]


def taylor_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], series: Sequence[Coefficients | None], order: int
) -> tuple[Sequence[Any], list[list[Any] | None]]:
    """Results and their coefficients up to an order, for a function of flat arguments that returns a flat list.

    A series of None is that of a constant, and so is one of Nones.
    """
    trace = state.trace.above(TaylorTrace)(state.trace, order)
    args = [
        x if s is None or none(s) else TaylorTracer(trace, x, Series([x, *s], nothing))
        for x, s in zip(primals, series, strict=True)
    ]
    with current(trace):
        outs = fun(*args)
    out_primals, out_series = trace.unpack(outs)
    return out_primals, [s and [s[k] for k in range(1, order + 1)] for s in out_series]


@cached_by_linearizer(maxsize=4096)
def taylor_jaxpr(
    jaxpr: Jaxpr, order: int, nonzero: tuple[tuple[bool, ...], ...], filled: bool = False
) -> tuple[Jaxpr, tuple[tuple[bool, ...], ...]]:
    """The program of primals and coefficients for an open jaxpr, and which coefficients of its outputs are not zero.

    Its inputs are those of `jaxpr`, then the coefficients of each that are `nonzero`; its outputs likewise, and, if
    these are to be `filled`, all coefficients of those that have any.
    """
    out_nonzero: tuple[tuple[bool, ...], ...] = ()

    def fun(*args: Any) -> list[Any]:
        nonlocal out_nonzero
        rest = iter(args[len(jaxpr.inputs) :])
        series = [[next(rest) if flag else None for flag in flags] for flags in nonzero]
        outs, found = taylor_flat(partial(evaluate, jaxpr), args[: len(jaxpr.inputs)], series, order)
        found = [[None] * order if s is None else s for s in found]
        if filled:
            found = [
                s if none(s) else [instantiate(c, type_of(x)) for c in s] for s, x in zip(found, outs, strict=True)
            ]
        out_nonzero = tuple([tuple([c is not None for c in s]) for s in found])
        return [*outs, *[c for s in found for c in s if c is not None]]

    types = [*jaxpr.in_types, *[t.strong() for t, n in zip(jaxpr.in_types, nonzero, strict=True) for flag in n if flag]]
    return stage_as("taylor", jaxpr, fun, types), out_nonzero
