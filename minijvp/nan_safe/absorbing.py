"""Products and quotients in which zeros absorb, and the trace that puts them in the place of the plain ones.

A derivative rule multiplies a tangent with a coefficient, and its transpose a cotangent. Where one of the two is zero
and the other is not finite, the product is nan, though the function may be flat there or not depend on the path at all.
Here a tangent that is zero absorbs every coefficient, and in products and powers a coefficient that is zero absorbs an
infinite tangent; one that is nan stays nan, since it says that there is no derivative. All else is the plain product.

Source: for the first half, ForwardDiff.jl's NaN-safe mode and the strong zeros of ChainRules.jl; the second gives the
subgradient of least norm of functions such as a norm at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.calls.call import Call
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import PYTHON_SCALARS, Array, ArrayType, Params, type_of
from minijvp.custom_rules.linear_solve import PROGRAMS, custom_linear_solve
from minijvp.operations.bitwise import bitwise_or
from minijvp.operations.contraction import dot_general
from minijvp.operations.convolution import conv_general_dilated
from minijvp.operations.elementwise import div, mul, ne, neg, select_n
from minijvp.operations.families import add_tangents, is_linear, zeros_like
from minijvp.operations.linear_algebra import triangular_solve, tridiagonal_solve
from minijvp.operations.ragged import ragged_dot_general
from minijvp.operations.reduction import reduce_or
from minijvp.operations.scatter_mul import scatter_mul
from minijvp.operations.softmax import center
from minijvp.transforms.staging import stage

Positions = tuple[int, ...]

Mend = Callable[[Array, tuple, Positions, bool, Callable[..., Array]], Array]
"""The result that is meant, from the plain one, the operands, which of them absorb, whether zeros of the other one are
exact, and the plain operation."""


class Absorbing(Primitive):
    """An operation that multiplies a tangent, in which zeros of that absorb.

    `absorbing` has the positions of such operands: one, or two in derivatives of it, where both are tangents. Zeros of
    the other one, the coefficient, absorb what is infinite if they are `exact`, and not what an exponential leaves.
    """

    own_derivative = True

    def __init__(self, plain: Primitive, mend: Mend):
        super().__init__(f"safe_{plain.name}", f"{plain.name}, in which zeros of a tangent absorb.")
        self.plain = plain
        self.compute = plain.impl
        self.mend = mend
        self.recomputable = plain.recomputable

    def impl(self, *args: Array, absorbing: Positions, exact: bool, **params: Any) -> Array:
        def plain(*args: Array) -> Array:
            return self.compute(*args, **params)

        return self.mend(plain(*args), args, absorbing, exact, plain)

    def type_rule(self, *types: ArrayType, absorbing: Positions, exact: bool, **params: Any) -> Any:
        return self.plain.type_rule(*types, **params)

    def work(self, inputs: Any, outputs: Any, params: Params) -> float:
        return self.plain.work(inputs, outputs, {k: v for k, v in params.items() if k not in ("absorbing", "exact")})

    def jvp(
        self, primals: tuple, tangents: tuple, *, absorbing: Positions, exact: bool, **params: Any
    ) -> tuple[Any, Any]:
        out = self(*primals, absorbing=absorbing, exact=exact, **params)
        wrapping = AbsorbingTrace(state.trace, exact)
        with current(wrapping):
            marked = wrapping.marked(primals, absorbing)
            tangent = self.pushed(wrapping.wrap(out), marked, wrapping.wrap(tangents), params)
        return out, wrapping.unwrap(tangent)

    def pushed(self, out: Any, primals: tuple, tangents: tuple, params: Params) -> Any:
        """The tangent, where the operation is linear in each operand by itself."""
        found = None
        for i, t in enumerate(tangents):
            if t is not None:
                found = add_tangents(found, self.plain(*primals[:i], t, *primals[i + 1 :], **params))
        return found

    def transpose(self, ct: Array, *args: Any, absorbing: Positions, exact: bool, **params: Any) -> Any:
        wrapping = AbsorbingTrace(state.trace, exact)
        with current(wrapping):
            found = self.plain.transpose(wrapping.wrap(ct), *wrapping.marked(args, absorbing), **params)
        return wrapping.unwrap(found)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, absorbing: Positions, exact: bool, **params: Any
    ) -> tuple[Any, Any]:
        wrapping = AbsorbingTrace(state.trace, exact)
        with current(wrapping):
            out, flag = self.plain.batch(axis, wrapping.marked(args, absorbing), batched, **params)
        return wrapping.unwrap(out), flag


class AbsorbingQuotient(Absorbing):
    """The quotient x / y, in which zeros of x absorb."""

    def pushed(self, out: Any, primals: tuple, tangents: tuple, params: Params) -> Any:
        (_, y), (t_x, t_y) = primals, tangents
        found = None if t_x is None else div(t_x, y)
        return found if t_y is None else add_tangents(found, neg(div(mul(t_y, out), y)))


class AbsorbingByRule(Absorbing):
    """An operation that is not linear in its other operands: its own rule gives the tangent."""

    def pushed(self, out: Any, primals: tuple, tangents: tuple, params: Params) -> Any:
        return self.plain.jvp(primals, tangents, **params)[1]


class AbsorbingTracer(Tracer):
    """A tangent or cotangent in a rule: what is linear in it is computed so that its zeros absorb."""

    __slots__ = ("value",)

    def __init__(self, trace: AbsorbingTrace, value: Any):
        self.owner = trace
        self.value = value

    @property
    def type(self) -> ArrayType:
        return type_of(self.value)

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        return self.value.known_value(wanted_by, as_number) if isinstance(self.value, Tracer) else self.value


class AbsorbingTrace(Trace):
    """Runs a rule: a plain operation that multiplies a tangent becomes the one in which zeros absorb."""

    __slots__ = ("exact",)

    def __init__(self, parent: Trace, exact: bool):
        self.parent = parent
        self.exact = exact

    @property
    def description(self) -> str:
        return "a derivative rule with nan_safe=True"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        tangents = [i for i, x in enumerate(args) if type(x) is AbsorbingTracer and x.owner is self]
        if not tangents:
            return self.parent.process(primitive, args, params)
        values = tuple([x.value if type(x) is AbsorbingTracer and x.owner is self else x for x in args])
        if isinstance(primitive, Call):
            flags = tuple([i in tangents for i in range(len(args))])
            jaxpr, marked = absorbing_program(params["jaxpr"], flags, self.exact)
            outs = self.parent.process(primitive, values, {**params, "jaxpr": jaxpr})
            return tuple([self.wrap(x) if flag else x for x, flag in zip(outs, marked, strict=True)])
        if primitive is custom_linear_solve:
            params = with_safe_solvers(params)
        safe = SAFE.get(primitive)
        if safe is not None and not any([is_harmless(x, values[tangents[0]]) for x in values]):
            primitive, params = safe, {**params, "absorbing": tuple(tangents), "exact": self.exact}
        return self.wrap(self.parent.process(primitive, values, params))

    def wrap(self, x: Any) -> Any:
        """A tangent of this rule, or each of several; None stays."""
        if type(x) is tuple:
            return tuple(map(self.wrap, x))
        return x if x is None else AbsorbingTracer(self, x)

    def marked(self, args: tuple, absorbing: Positions) -> tuple:
        """The operands, of which those whose zeros absorb are tangents of this rule, if their value is known."""
        return tuple([self.wrap(x) if i in absorbing and not is_linear(x) else x for i, x in enumerate(args)])

    def unwrap(self, x: Any) -> Any:
        """What a rule has returned."""
        if type(x) is tuple:
            return tuple(map(self.unwrap, x))
        return x.value if type(x) is AbsorbingTracer and x.owner is self else x


@cached(maxsize=4096)
def absorbing_program(jaxpr: Jaxpr, tangents: tuple[bool, ...], exact: bool) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program, in which zeros of these inputs absorb, and which outputs are tangents then."""
    marked: tuple[bool, ...] = ()

    def fun(*args: Any) -> list[Any]:
        nonlocal marked
        trace = AbsorbingTrace(state.trace, exact)
        with current(trace):
            outs = evaluate(jaxpr, *[trace.wrap(x) if t else x for x, t in zip(args, tangents, strict=True)])
        marked = tuple([type(x) is AbsorbingTracer and x.owner is trace for x in outs])
        return list(trace.unwrap(tuple(outs)))

    return stage(fun, jaxpr.in_types, jaxpr.name), marked


@cached(maxsize=4096)
def safe_solver(jaxpr: Jaxpr, n: int) -> Jaxpr:
    """A solver, with `n` constants, whose solution for a right side of zeros is zero.

    So it is where zeros absorb in its operations, which may solve many systems at once; and where the whole right side
    is zero, however it solves.
    """
    n_unknowns = len(jaxpr.inputs) - n
    solver, _ = absorbing_program(jaxpr, (False,) * n + (True,) * n_unknowns, False)

    def fun(*args: Any) -> list[Any]:
        outs = evaluate(solver, *args)
        parts = [reduce_or(ne(b, zeros_like(b)), axes=tuple(range(type_of(b).ndim))) for b in args[n:]]
        return [*[select_n(reduce(bitwise_or, parts), zeros_like(x), x) for x in outs[:n_unknowns]], *outs[n_unknowns:]]

    return stage(fun, jaxpr.in_types, jaxpr.name)


def with_safe_solvers(params: Params) -> Params:
    """The parameters of a linear solve, whose solutions for right sides of zeros are zero."""
    lengths = zip(PROGRAMS, params["const_lengths"], strict=True)
    solvers = {name: safe_solver(params[name], n) for name, n in lengths if "solve" in name and params[name]}
    return {**params, **solvers}


def is_harmless(x: Any, t: Any) -> bool:
    """Whether an operand is a number in the program by which no tangent like this becomes nan that is not."""
    if type(x) not in PYTHON_SCALARS:
        return False
    with np.errstate(all="ignore"):
        number = np.asarray(x).astype(type_of(t).dtype)
    return number != 0 and bool(np.isfinite(number))


def absorbed(out: Array, absorbs: Array) -> Array:
    """The plain result, in which nan that zeros absorb is zero."""
    return jnp.where(jnp.isnan(out) & absorbs, lax.full_like(out, 0, shape=()), out)


def multiplied(out: Array, args: tuple, absorbing: Positions, exact: bool, plain: Any) -> Array:
    """For products of elements."""
    t, coefficient = args[absorbing[0]], args[1 - absorbing[0]]
    absorbs = t == 0
    if len(absorbing) == 2:
        absorbs = absorbs | (coefficient == 0)
    elif exact:
        absorbs = absorbs | ((coefficient == 0) & (t == t))
    return absorbed(out, absorbs)


def by_element(out: Array, args: tuple, absorbing: Positions, exact: bool, plain: Any) -> Array:
    """For what is done to each element of the first operand: quotients, and products in some places."""
    return absorbed(out, args[0] == 0)


def summed(out: Array, args: tuple, absorbing: Positions, exact: bool, plain: Callable[..., Array]) -> Array:
    """For sums of products. Only where nan comes out is more computed: which elements have a term that is not absorbed.

    Those keep what the plain sum is; the others are the sum of what is finite.
    """

    first = absorbing[0]

    def of(t: Array, coefficient: Array) -> Array:
        pair = (coefficient, t) if first else (t, coefficient)
        return plain(*[x.astype(like.dtype) for x, like in zip(pair, args)], *args[2:])

    def apart() -> Array:
        t, coefficient = args[first], args[1 - first]
        remains = coefficient != 0
        terms = (
            (t != 0, ~jnp.isfinite(coefficient)),
            (jnp.isnan(t), remains if len(absorbing) == 2 else jnp.ones_like(remains)),
            (jnp.isinf(t), remains),
        )
        counts = sum([of(*pair) != 0 for pair in terms])
        finite = of(*[jnp.where(jnp.isfinite(x), x, jnp.zeros((), x.dtype)) for x in (t, coefficient)])
        return jnp.where(counts != 0, out, finite)

    return lax.cond(jnp.isnan(out).any(), apart, lambda: out)


def solved(out: Array, args: tuple, absorbing: Positions, exact: bool, plain: Any) -> Array:
    """For linear systems: the solution for a right side of zeros is zero, whatever the matrix is."""
    return absorbed(out, (args[-1] == 0).all((-2, -1), keepdims=True))


def centered(out: Array, args: tuple, absorbing: Positions, exact: bool, plain: Callable[..., Array]) -> Array:
    """For differences from a weighted sum: zero where all tangents are zero, whatever the weights are."""
    t, weights = args
    return absorbed(out, (t == 0) & (plain(jnp.abs(t), jnp.full_like(weights, 0.25)) == 0))


SAFE: dict[Primitive, Absorbing] = {
    mul: Absorbing(mul, multiplied),
    div: AbsorbingQuotient(div, by_element),
    dot_general: Absorbing(dot_general, summed),
    ragged_dot_general: Absorbing(ragged_dot_general, summed),
    conv_general_dilated: Absorbing(conv_general_dilated, summed),
    center: AbsorbingByRule(center, centered),
    scatter_mul: AbsorbingByRule(scatter_mul, by_element),
    triangular_solve: AbsorbingByRule(triangular_solve, solved),
    tridiagonal_solve: AbsorbingByRule(tridiagonal_solve, solved),
}
"""What multiplies tangents, and that in which their zeros absorb."""
