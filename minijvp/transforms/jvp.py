"""Forward mode: primal and tangent travel together.

jvp : (a -> b) -> (a, T a) -> (b, T b)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_flatten

from minijvp import trees
from minijvp.arguments.tangents import for_user, from_user, leaf_namer, require_same_tree
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.source import Source
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ArrayType, Params, type_of
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.transforms.staging import stage
from minijvp.trees import FlatFunction


class JVPTracer(Tracer):
    """A primal with its tangent. A tangent of None is zero."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self.owner = trace
        self.primal = primal
        self.tangent = tangent

    @property
    def type(self) -> ArrayType:
        return type_of(self.primal)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.primal.shape

    @property
    def dtype(self) -> Any:
        return self.primal.dtype

    def made_at(self) -> Source | None:
        for x in (self.primal, self.tangent):
            if isinstance(x, Tracer) and (line := x.made_at()) is not None:
                return line
        return None

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        if self.owner.finished():
            raise self.foreign(wanted_by)
        if as_number and self.tangent is not None:
            raise no_number(self, wanted_by)
        return self.primal.known_value(wanted_by, as_number) if isinstance(self.primal, Tracer) else self.primal


def no_number(tracer: Tracer, wanted_by: str) -> ConcretizationError:
    """The error for a value with a tangent that would become a number, and not only steer Python."""
    return ConcretizationError(
        f"{wanted_by} was asked of a {tracer.type!r} that is being differentiated{tracer.origin()}.",
        "The result would be a plain number without its derivative, and the gradient would be wrong.",
        "Keep the array; where the derivative is not wanted, say so: float(minijvp.stop_gradient(x)).",
    )


class JVPTrace(Trace):
    """Applies the jvp rule of every operation that touches one of its tracers."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        self.parent = parent

    @property
    def description(self) -> str:
        return "a jvp"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        primals, tangents, active = self.unpack(args)
        if not active:
            return self.parent.process(primitive, primals, params)
        out, tangent = self.apply(primitive, primals, tangents, params)
        if type(out) is tuple:
            return tuple([self.pack(x, t) for x, t in zip(out, tangent, strict=True)])
        return self.pack(out, tangent)

    def lift(self, value: Any) -> Any:
        return value if isinstance(value, Tracer) else JVPTracer(self, value, None)

    def unpack(self, args: Sequence[Any]) -> tuple[tuple, tuple, bool]:
        """Primals, tangents, and whether there is any tangent."""
        primals, tangents, active = [], [], False
        for x in args:
            if type(x) is JVPTracer and x.owner is self:
                primals.append(x.primal)
                tangents.append(x.tangent)
                active = active or x.tangent is not None
            else:
                primals.append(x)
                tangents.append(None)
        return tuple(primals), tuple(tangents), active

    def pack(self, primal: Any, tangent: Any) -> Any:
        return primal if tangent is None else JVPTracer(self, primal, tangent)

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        """Result and tangent of an operation, by its rule, which runs under the parent."""
        previous = state.trace
        state.trace = self.parent
        try:
            return primitive.jvp(primals, tangents, **params)
        finally:
            state.trace = previous


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Results and their tangents, for a function of flat arguments that returns a flat list. Tangents may be None."""
    trace = state.trace.above(JVPTrace)(state.trace)
    args = [trace.pack(x, t) for x, t in zip(primals, tangents, strict=True)]
    with current(trace):
        outs = fun(*args)
    out_primals, out_tangents, _ = trace.unpack(outs)
    return out_primals, out_tangents


@cached(maxsize=4096)
def jvp_jaxpr(jaxpr: Jaxpr, nonzero: tuple[bool, ...]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program of primals and tangents for an open jaxpr, and which outputs have a tangent.

    Its inputs are the inputs of `jaxpr`, then a tangent for each that is `nonzero`; its outputs likewise.
    """
    out_nonzero: tuple[bool, ...] = ()

    def fun(*args: Any) -> list[Any]:
        nonlocal out_nonzero
        rest = iter(args[len(jaxpr.inputs) :])
        primals = args[: len(jaxpr.inputs)]
        outs, tangents = jvp_flat(
            lambda *xs: evaluate(jaxpr, *xs), primals, [next(rest) if n else None for n in nonzero]
        )
        out_nonzero = tuple(t is not None for t in tangents)
        return [*outs, *(t for t in tangents if t is not None)]

    types = [*jaxpr.in_types, *(t.strong() for t, n in zip(jaxpr.in_types, nonzero, strict=True) if n)]
    return stage(fun, types, f"jvp({jaxpr.name})" if jaxpr.name else ""), out_nonzero


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """The result of `fun` and its derivative in the direction of `tangents`.

    jvp : (a -> b) -> (a, T a) -> (b, T b)

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        primals: tuple or list of arguments.
        tangents: tuple or list of the same trees, shapes and dtypes; integers and booleans have dtype float0.

    Returns `(out, out_tangent)`, or `(out, out_tangent, aux)`.

    Raises ArgumentError if the trees, shapes or dtypes of primals and tangents differ.

    Source: R. E. Wengert, A simple automatic derivative evaluation program, CACM 7(8), 1964.

    >>> import minijvp, minijvp.numpy as mnp
    >>> out, tangent = minijvp.jvp(mnp.sin, (0.0,), (2.0,))
    >>> float(out), float(tangent)
    (0.0, 2.0)
    """
    trees.require_callable(fun, "jvp")
    for value, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(value, (tuple, list)):
            raise ArgumentError(
                f"{name} of jvp is of type {type(value).__name__}.",
                "jvp takes the positional arguments of the function in a tuple, and their tangents in another.",
                "Write jvp(f, (x,), (t,)).",
            )
    leaves, tree = tree_flatten(tuple(primals))
    tangent_leaves, tangent_tree = tree_flatten(tuple(tangents))
    require_same_tree(tangent_tree, tree, "tangents", "primals")
    leaves = trees.as_arrays(leaves, leaf_namer(tuple(primals), "primals"))
    directions = from_user(
        tangent_leaves, [type_of(x) for x in leaves], "tangent", leaf_namer(tuple(tangents), "tangents")
    )
    flat_fun = FlatFunction(fun, tree, has_aux)
    outs, out_tangents = jvp_flat(flat_fun.positional, leaves, directions)
    return flat_fun.result(outs, [for_user(t, x) for t, x in zip(out_tangents[: flat_fun.n], outs, strict=False)])
