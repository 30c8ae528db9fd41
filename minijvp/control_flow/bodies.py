"""The bodies of loops: their inputs and outputs by groups, and what the transformations make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from minijvp.calls.dependence import fixpoint, reached, reaching, spread_around
from minijvp.calls.programs import Extension, Flags, chosen, filled, flat, groups, in_series, present
from minijvp.calls.taylor import pushed
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Axis
from minijvp.core.tracing import as_constant
from minijvp.core.types import PYTHON_SCALARS
from minijvp.operations.families import instantiate, leading_axis, nonzero
from minijvp.transforms.vmap import vmap_jaxpr


class Groups(NamedTuple):
    """Values that go with the inputs of a body, one for one: arguments of its loop, tangents, flags, types."""

    constants: Any
    carry: Any
    xs: Any


class Body(NamedTuple):
    """An open jaxpr from constants, carries and rows (xs) to the next carries and rows (ys). A while has no rows."""

    jaxpr: Jaxpr
    n_constants: int
    n_carry: int

    def inputs(self, values: Sequence[Any]) -> Groups:
        """Values that go with the inputs, by groups."""
        return Groups(*groups(values, self.n_constants, self.n_carry))

    def outputs(self, values: Sequence[Any]) -> list[list[Any]]:
        """Values that go with the outputs: those of the carries, and those of the rows."""
        return groups(values, self.n_carry)

    def carry(self, flags: Flags) -> Flags:
        """The flags of the carries, of those of the inputs."""
        return flags[self.n_constants : self.n_constants + self.n_carry]

    def depending(self, flags: Flags, differentiable: bool) -> Flags:
        """Which carries depend, after some turns, on the inputs that `flags` names; see `reached`."""

        def step(carry: Flags) -> Flags:
            return reached(self.jaxpr, with_carry(flags, self.n_constants, carry), differentiable)[: self.n_carry]

        return spread_around(step, self.carry(flags))

    def of_duals(self, primals: Sequence[Any], tangents: Sequence[Any], carried: Flags) -> list[Any]:
        """The arguments of the loop of `jvp_body`: each group, and behind it its tangents that are there."""
        x, t = self.inputs(primals), self.inputs(tangents)
        constants = [*x.constants, *present(t.constants)]
        return [*constants, *x.carry, *started(t.carry, x.carry, carried), *x.xs, *present(t.xs)]

    def of_series(self, primals: Sequence[Any], series: Sequence[Any], carried: Flags, order: int) -> list[Any]:
        """The same for coefficients up to an order, of each that has some all of them."""
        wanted = with_carry(nonzero(series), self.n_constants, carried)
        x, s = self.inputs(primals), self.inputs(filled(series, primals, wanted, order))
        return [*x.constants, *flat(s.constants), *x.carry, *flat(s.carry), *x.xs, *flat(s.xs)]


class Transformed(NamedTuple):
    """The body that a transformation makes of another. Its first constants are the arrays `extra`.

    Which carries have a tangent or a batch axis tells `carried`, and which outputs `outputs`.
    """

    body: Body
    extra: tuple[Any, ...]
    carried: Flags
    outputs: Flags


def of_carries(jaxpr: Jaxpr, n_constants: int) -> Body:
    """The body of a while."""
    return Body(jaxpr, n_constants, len(jaxpr.outputs))


def with_carry(flags: Flags, n_constants: int, carry: Flags) -> Flags:
    """The flags of the inputs of a body, those of the carries replaced."""
    return flags[:n_constants] + carry + flags[n_constants + len(carry) :]


def started(tangents: Sequence[Any], primals: Sequence[Any], carried: Sequence[bool]) -> list[Any]:
    """The first tangents of the carries that have one, zeros where it is zero at first."""
    return [instantiate(t, x) for t, x, flag in zip(tangents, primals, carried, strict=True) if flag]


def batched_carry(axis: Axis, init: Sequence[Any], batched: Iterable[bool], wanted: Iterable[bool]) -> list[Any]:
    """The first carries, with the batch axis where it is `wanted`."""
    arrays = [as_constant(x) if type(x) in PYTHON_SCALARS else x for x in init]
    return [leading_axis(axis, x, b or not w) for x, b, w in zip(arrays, batched, wanted, strict=True)]


@cached_by_linearizer(maxsize=4096)
def jvp_body(body: Body, flags: Flags, order: int | None = None) -> Transformed:
    """The body on duals. Behind each group of its inputs, and of its outputs, are the tangents of it.

    For an order these are so many Taylor coefficients of each.
    """
    n = order or 1

    def turn(carry: Flags) -> Any:
        program, out_nonzero = pushed(body.jaxpr, with_carry(flags, body.n_constants, carry), order)
        return out_nonzero[: body.n_carry], carry, program, out_nonzero

    _, carried, program, out_nonzero = fixpoint(turn, body.carry(flags), body.depending(flags, differentiable=True))
    opened, extra = program.hoist_constants()
    head, primals, tangents = groups(opened.inputs, len(extra), len(body.jaxpr.inputs))
    x = body.inputs(primals)
    t = body.inputs(in_series(tangents, with_carry(flags, body.n_constants, carried), n))
    constants = [*head, *x.constants, *flat(t.constants)]
    carry, ys = body.outputs(opened.outputs[: len(body.jaxpr.outputs)])
    t_carry, t_ys = body.outputs(in_series(opened.outputs[len(body.jaxpr.outputs) :], out_nonzero, n))
    duals = Extension(opened)
    places = zip(t_carry, body.jaxpr.out_types, carried)
    t_carry = [s or [duals.zeros(kind) for _ in range(n)] for s, kind, flag in places if flag]
    program = duals.finish(
        [*constants, *x.carry, *flat(t.carry), *x.xs, *flat(t.xs)], [*carry, *flat(t_carry), *ys, *flat(t_ys)]
    )
    made = Body(program, len(constants), body.n_carry + n * sum(carried))
    return Transformed(made, extra, carried, carried + out_nonzero[body.n_carry :])


@cached(maxsize=4096)
def vmap_body(body: Body, axis: Axis, flags: Flags) -> Transformed:
    """The batched body. A row of a batched array is batched."""

    def turn(carry: Flags) -> Any:
        program, out_batched = vmap_jaxpr(body.jaxpr, axis, with_carry(flags, body.n_constants, carry))
        return out_batched[: body.n_carry], carry, program, out_batched

    _, carried, program, out_batched = fixpoint(turn, body.carry(flags), body.depending(flags, differentiable=False))
    opened, extra = program.hoist_constants()
    batch = Extension(opened)
    carry, ys = body.outputs(opened.outputs)
    places = zip(carry, carried, out_batched)
    carry = [batch.repeated(axis.size, v) if c and not b else v for v, c, b in places]
    made = Body(batch.finish(opened.inputs, [*carry, *ys]), len(extra) + body.n_constants, body.n_carry)
    return Transformed(made, extra, carried, carried + out_batched[body.n_carry :])


def live_carry(body: Body, used: Flags) -> Flags:
    """Which carries are live: those of the outputs that are `used`, and those that a live output needs."""
    ys = used[body.n_carry :]
    return spread_around(lambda carry: body.carry(reaching(body.jaxpr, carry + ys)), used[: body.n_carry])


def narrowed(body: Body, carry: Flags, ys: Flags) -> tuple[Body, Flags]:
    """The body with these carries and rows of results alone, and which of its inputs it still has."""
    program = body.jaxpr.without_dead_code(carry + ys)
    ins = with_carry(reaching(program, (True,) * len(program.outputs)), body.n_constants, carry)
    kept = Jaxpr((), tuple(chosen(program.inputs, ins)), program.equations, program.outputs, program.name)
    return Body(kept, sum(ins[: body.n_constants]), sum(carry)), ins
