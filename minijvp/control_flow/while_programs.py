"""Programs that the rules of while are made with: conditions, and bodies that count or stop lane by lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minijvp.calls.programs import ControlFlow, Extension, Flags, groups
from minijvp.control_flow.cond import across, chosen_operands, constant_where
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, Literal, Var, evaluate, inner_jaxprs
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType, is_inexact
from minijvp.operations.bitwise import bitwise_and
from minijvp.operations.elementwise import lt, select_n
from minijvp.operations.families import add, all_batched, broadcast_in_dim
from minijvp.operations.reduction import reduce_or
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_jaxpr

BOOL, INT32 = ArrayType((), np.dtype(bool)), ArrayType((), np.dtype(np.int32))


@cached(maxsize=4096)
def with_more_carries(cond_jaxpr: Jaxpr, types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition over further carries, which it does not read."""
    return Extension(cond_jaxpr).finish([*cond_jaxpr.inputs, *map(Var, types)], cond_jaxpr.outputs)


@cached(maxsize=4096)
def any_lane(axis: Axis, types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition that some lane is running."""
    return stage(lambda running, *carry: [reduce_or(running, axes=(0,))], [BOOL.with_shape((axis.size,)), *types])


@cached(maxsize=4096)
def lanes_program(
    cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, axis: Axis, n_cond_constants: int, n_body_constants: int, batched: Flags
) -> tuple[Jaxpr, Jaxpr]:
    """The batched condition, and a body of all constants, of which lanes are running, and of batched carries.

    Lanes that are done keep their carries.
    """
    k, n_fixed = n_cond_constants, n_cond_constants + n_body_constants
    n_carry = len(batched) - n_fixed
    condition, _ = vmap_jaxpr(cond_jaxpr, axis, batched[:k] + (True,) * n_carry)
    flags = batched[k:n_fixed] + (True,) * n_carry
    step, stepped = vmap_jaxpr(body_jaxpr, axis, flags)
    in_types = condition.in_types[:k] + step.in_types[: n_fixed - k]

    def body(*args: Any) -> list[Any]:
        cond_constants, constants, (running, *carry) = groups(args, k, n_fixed - k)
        seen = seen_by_running(axis, running, [*constants, *carry], step.in_types, flags, body_jaxpr)
        new = all_batched(axis, evaluate(step, *seen), stepped)
        new = [select_n(across(running, x), x, y) for x, y in zip(carry, new, strict=True)]
        return [bitwise_and(running, *evaluate(condition, *cond_constants, *new)), *new]

    types = [*in_types, BOOL.with_shape((axis.size,)), *condition.in_types[k:]]
    return condition, stage(body, types, f"vmap({body_jaxpr.name})" if body_jaxpr.name else "")


@cached(maxsize=4096)
def own_steps(body: Jaxpr, n_constants: int, axis: Axis, batched: Flags) -> Jaxpr:
    """A body whose lanes take different numbers of steps.

    Its inputs are those numbers, constants, carries (all batched), and the number of the step.
    """
    n_carry = len(body.outputs)
    step, stepped = vmap_jaxpr(body, axis, batched[:n_constants] + (True,) * n_carry)

    def fun(counts: Any, *args: Any) -> list[Any]:
        constants, carry, (i,) = groups(args, n_constants, n_carry)
        running = lt(broadcast_in_dim(i, shape=(axis.size,), broadcast_dimensions=()), counts)
        seen = seen_by_running(axis, running, [*constants, *carry], step.in_types, batched, body)
        new = all_batched(axis, evaluate(step, *seen), stepped)
        return [*(select_n(across(running, x), x, y) for x, y in zip(carry, new, strict=True)), add(i, np.int32(1))]

    return stage(fun, [INT32.with_shape((axis.size,)), *step.in_types, INT32])


def seen_by_running(
    axis: Axis, running: Any, inputs: Sequence[Any], types: Sequence[ArrayType], batched: Flags, body: Jaxpr
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
    return any(
        (isinstance(e.primitive, ControlFlow) and e.primitive.may_not_end)
        or any(map(may_not_end, inner_jaxprs(e.params)))
        for e in jaxpr
    )


@cached(maxsize=4096)
def counting(body: Jaxpr) -> Jaxpr:
    """The body with the number of steps as one carry more, the last."""
    program, number = Extension(body), Var(INT32)
    return program.finish([*body.inputs, number], [*body.outputs, program.sum(number, Literal(np.int32(1), INT32))])


@cached(maxsize=4096)
def fewer_steps(types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition that the number of steps, the last carry, is less than a constant."""
    return stage(lambda n, *carry: [lt(carry[-1], n)], [INT32, *types, INT32])
