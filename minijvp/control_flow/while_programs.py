"""Programs that the rules of while are made with: conditions, and bodies that count or stop lane by lane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minijvp.calls.dependence import reaching, spread_around
from minijvp.calls.programs import Extension, Flags, chosen, either, groups
from minijvp.control_flow.base import ControlFlow
from minijvp.control_flow.bodies import Body, batched_carry, narrowed, of_carries, vmap_body
from minijvp.control_flow.lanes import across, chosen_operands, constant_where
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, Literal, Var, evaluate
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, Params, is_inexact
from minijvp.operations.bitwise import bitwise_and
from minijvp.operations.elementwise import lt, select_n
from minijvp.operations.families import add, all_batched, broadcast_in_dim
from minijvp.operations.reduction import reduce_max, reduce_or
from minijvp.transforms.staging import stage, stage_as
from minijvp.transforms.vmap import vmap_jaxpr

BOOL, INT32 = ArrayType((), np.dtype(bool)), ArrayType((), np.dtype(np.int32))


class LoopPrograms(NamedTuple):
    """The programs of a while, each over constants of its own and the carries."""

    condition: Jaxpr
    n_cond_constants: int
    body: Body

    @classmethod
    def of(cls, params: Params) -> LoopPrograms:
        """Those among the parameters."""
        body = of_carries(params["body_jaxpr"], params["n_body_constants"])
        return cls(params["cond_jaxpr"], params["n_cond_constants"], body)

    @property
    def params(self) -> dict[str, Any]:
        return {
            "cond_jaxpr": self.condition,
            "body_jaxpr": self.body.jaxpr,
            "n_cond_constants": self.n_cond_constants,
            "n_body_constants": self.body.n_constants,
        }


@cached(maxsize=4096)
def live_programs(programs: LoopPrograms, used: Flags) -> tuple[LoopPrograms, Flags, Flags]:
    """The programs without dead carries, which neither the condition nor a live one needs; the operands and carries."""
    condition, k, body = programs
    step = lambda carry: body.carry(reaching(body.jaxpr, carry))
    carry = spread_around(step, either(used, reaching(condition, (True,))[k:]))
    made, ins = narrowed(body, carry, ())
    cond_ins = (True,) * k + carry
    inputs = tuple(chosen(condition.inputs, cond_ins))
    goes_on = Jaxpr((), inputs, condition.equations, condition.outputs, condition.name)
    return LoopPrograms(goes_on, k, made), (True,) * k + ins, carry


@cached(maxsize=4096)
def with_more_carries(cond_jaxpr: Jaxpr, types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition over further carries, which it does not read."""
    return Extension(cond_jaxpr).finish([*cond_jaxpr.inputs, *map(Var, types)], cond_jaxpr.outputs)


@cached(maxsize=4096)
def any_lane(axis: Axis, types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition that some lane is running."""
    return stage(lambda running, *carry: [reduce_or(running, axes=(0,))], [BOOL.with_shape((axis.size,)), *types])


@cached(maxsize=4096)
def lanes_program(programs: LoopPrograms, axis: Axis, batched: Flags) -> tuple[Jaxpr, Jaxpr]:
    """The batched condition, and a body of all constants, of which lanes are running, and of batched carries.

    Lanes that are done keep their carries.
    """
    cond_jaxpr, k, (body_jaxpr, n_constants, n_carry) = programs
    n_fixed = k + n_constants
    condition, _ = vmap_jaxpr(cond_jaxpr, axis, batched[:k] + (True,) * n_carry)
    flags = batched[k:n_fixed] + (True,) * n_carry
    step, stepped = vmap_jaxpr(body_jaxpr, axis, flags)
    in_types = condition.in_types[:k] + step.in_types[:n_constants]

    def body(*args: Array) -> list[Any]:
        cond_constants, constants, (running, *carry) = groups(args, k, n_constants)
        seen = seen_by_running(axis, running, [*constants, *carry], step.in_types, flags, body_jaxpr)
        new = all_batched(axis, evaluate(step, *seen), stepped)
        new = [select_n(across(running, x), x, y) for x, y in zip(carry, new, strict=True)]
        return [bitwise_and(running, *evaluate(condition, *cond_constants, *new)), *new]

    types = [*in_types, BOOL.with_shape((axis.size,)), *condition.in_types[k:]]
    return condition, stage_as("vmap", body_jaxpr, body, types)


@cached(maxsize=4096)
def own_steps(loop: Body, axis: Axis, batched: Flags) -> Jaxpr:
    """A body whose lanes take different numbers of steps.

    Its inputs are those numbers, constants, carries (all batched), and the number of the step.
    """
    body, n_constants, n_carry = loop
    step, stepped = vmap_jaxpr(body, axis, batched[:n_constants] + (True,) * n_carry)

    def fun(counts: Array, *args: Array) -> list[Any]:
        constants, carry, (i,) = groups(args, n_constants, n_carry)
        running = lt(broadcast_in_dim(i, shape=(axis.size,), broadcast_dimensions=()), counts)
        seen = seen_by_running(axis, running, [*constants, *carry], step.in_types, batched, body)
        new = all_batched(axis, evaluate(step, *seen), stepped)
        return [*(select_n(across(running, x), x, y) for x, y in zip(carry, new, strict=True)), add(i, np.int32(1))]

    return stage(fun, [INT32.with_shape((axis.size,)), *step.in_types, INT32])


class Lanes(NamedTuple):
    """A loop of lanes, which take `n` steps in all: its body, and its constants and first carries.

    `before` and `after` of these are no inputs of the loop that is batched; of those that are, `batched` says which
    have the batch axis.
    """

    n: Any
    body: Body
    inputs: list[Any]
    before: int
    after: int
    batched: Flags

    @classmethod
    def of(
        cls, axis: Axis, body: Body, residuals: Sequence[Any], batched: Sequence[bool], wanted: Iterable[bool]
    ) -> Lanes:
        """The loop over all lanes, for the number of steps, of each lane or of all, and what it begins with.

        These have a batch axis where they are `batched`, and get one, but for the number, where it is `wanted`.
        """
        (n, *inputs), (own, *flags) = residuals, batched
        own_carry = (False,) * body.n_constants + (own,) * body.n_carry
        all_wanted = either(either(flags, wanted), own_carry)
        if own:
            program, extra = own_steps(body, axis, all_wanted).hoist_constants()
            arrays = batched_carry(axis, inputs, flags, all_wanted)
            first = [*extra, n]
            made = of_carries(program, len(first) + body.n_constants)
            return cls(reduce_max(n, axes=(0,)), made, [*first, *arrays, np.int32(0)], len(first), 1, all_wanted)
        batch = vmap_body(body, axis, all_wanted)
        have = all_wanted[: body.n_constants] + batch.carried
        arrays = batched_carry(axis, inputs, flags, have)
        return cls(n, batch.body, [*batch.extra, *arrays], len(batch.extra), 0, have)

    def around(self, flags: Flags) -> Flags:
        """Flags of the inputs of the loop that is batched, for all of its inputs."""
        return (False,) * self.before + flags + (False,) * self.after


def seen_by_running(
    axis: Axis, running: Array, inputs: Sequence[Any], types: Sequence[ArrayType], batched: Flags, body: Jaxpr
) -> list[Any]:
    """The inputs of a body, of which lanes that are done see constants only, so that they add nothing to cotangents.

    Where a loop inside might not end for them, they see the values of a lane that is running.
    """
    if may_not_end(body):
        return chosen_operands(axis, running, inputs, batched)
    flags = [b and is_inexact(t.dtype) for b, t in zip(batched, types, strict=True)]
    return [constant_where(running, x) if flag else x for x, flag in zip(inputs, flags, strict=True)]


def may_not_end(jaxpr: Jaxpr) -> bool:
    """Whether a program has a loop in it that may run forever."""
    unknown = lambda e: isinstance(e.primitive, ControlFlow) and e.primitive.may_not_end
    return any(unknown(e) or any(map(may_not_end, e.programs)) for e in jaxpr)


@cached(maxsize=4096)
def counting(body: Jaxpr) -> Jaxpr:
    """The body with the number of steps as one carry more, the last."""
    program, number = Extension(body), Var(INT32)
    return program.finish([*body.inputs, number], [*body.outputs, program.sum(number, Literal(np.int32(1), INT32))])


@cached(maxsize=4096)
def fewer_steps(types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition that the number of steps, the last carry, is less than a constant."""
    return stage(lambda n, *carry: [lt(carry[-1], n)], [INT32, *types, INT32])
