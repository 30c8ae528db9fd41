"""Loops of a number of steps that only running them shows.

while_loop : (a -> Bool, a -> a) -> a -> a
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.jaxpr import Jaxpr, Var, evaluate, inner_jaxprs, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType, type_of
from minijvp.errors import MissingRuleError
from minijvp.higher_order.cond import across, chosen_operands
from minijvp.higher_order.jit import nonzero, spread
from minijvp.higher_order.programs import (
    ControlFlow,
    Extension,
    Flags,
    array_types,
    batched_carry,
    groups,
    present,
    require_types,
    typed,
)
from minijvp.higher_order.scan import first_guess, jvp_body, started, vmap_body
from minijvp.operations.bitwise import bitwise_and
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import all_batched
from minijvp.operations.reduction import reduce_or
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_jaxpr

BOOL = ArrayType((), np.dtype(bool))


class While(ControlFlow):
    """The first carries for which `cond_jaxpr` is false; `body_jaxpr` makes the next ones.

    The arguments are `n_cond_constants` constants of the condition, `n_body_constants` of the body, and the first
    carries. Both jaxprs are open, and take their constants and then the carries.
    """

    def impl(
        self, *args: Any, cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, n_cond_constants: int, n_body_constants: int
    ) -> tuple[Any, ...]:
        cond_constants, rest = args[:n_cond_constants], args[n_cond_constants:]
        exact = [typed(x, t) for x, t in zip(rest, body_jaxpr.in_types, strict=True)]
        constants, init = exact[:n_body_constants], exact[n_body_constants:]
        return tuple(
            lax.while_loop(
                lambda carry: lower(cond_jaxpr, *cond_constants, *carry)[0],
                lambda carry: lower(body_jaxpr, *constants, *carry),
                init,
            )
        )

    def type_rule(
        self, *types: ArrayType, cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, n_cond_constants: int, n_body_constants: int
    ) -> tuple[ArrayType, ...]:
        cond_constants, rest = types[:n_cond_constants], types[n_cond_constants:]
        carry = array_types(body_jaxpr.out_types)
        require_types("the arguments of a while's body", rest, body_jaxpr.in_types)
        require_types("the carries that a while's body returns", carry, body_jaxpr.in_types[n_body_constants:])
        require_types("the arguments of a while's condition", cond_jaxpr.in_types, (*cond_constants, *carry))
        require_types("what a while's condition returns", cond_jaxpr.out_types, (BOOL,))
        return tuple(carry)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        k, n_body = params["n_cond_constants"], params["n_body_constants"]
        n_carry = len(primals) - k - n_body
        body, extra, carried, _ = jvp_body(params["body_jaxpr"], n_body, n_carry, nonzero(tangents[k:]))
        cond_constants, constants, init = groups(primals, k, n_body)
        _, t_constants, t_init = groups(tangents, k, n_body)
        moving = [*extra, *constants, *present(t_constants)]
        outs = self(
            *cond_constants,
            *moving,
            *init,
            *started(t_init, init, carried),
            cond_jaxpr=with_more_carries(params["cond_jaxpr"], body.in_types[len(moving) + n_carry :]),
            body_jaxpr=body,
            n_cond_constants=k,
            n_body_constants=len(moving),
        )
        return outs[:n_carry], spread(outs[n_carry:], carried)

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        k, n_body = params["n_cond_constants"], params["n_body_constants"]
        n_carry = len(primals) - k - n_body
        guess = first_guess(params["body_jaxpr"], n_body, n_carry, nonzero(tangents[k:]), differentiable=True)
        if not any(guess):
            return self(*primals, **params), (None,) * n_carry
        raise MissingRuleError(
            "a while loop cannot be differentiated in reverse mode (grad, vjp, linearize).",
            "Its number of steps is not known before it runs, and neither is the memory for their residuals.",
            "Use forward mode (jvp, jacfwd), a scan or a fori_loop with static bounds, or stop_gradient.",
        )

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        k, n_body = params["n_cond_constants"], params["n_body_constants"]
        cond_constants, constants, init = groups(args, k, n_body)
        flags, b_init = batched[k:], batched[k + n_body :]
        cond_jaxpr, body_jaxpr = params["cond_jaxpr"], params["body_jaxpr"]
        body, extra, carried, _ = vmap_body(body_jaxpr, n_body, len(init), axis, flags)
        condition, (differs,) = vmap_jaxpr(cond_jaxpr, axis, (*batched[:k], *carried))
        if differs:
            return self.batch_lanes(axis, args, batched, **params)
        condition, more = condition.hoist_constants()
        init = batched_carry(axis, init, b_init, carried)
        outs = self(
            *more,
            *cond_constants,
            *extra,
            *constants,
            *init,
            cond_jaxpr=condition,
            body_jaxpr=body,
            n_cond_constants=len(more) + k,
            n_body_constants=len(extra) + n_body,
        )
        return outs, carried

    def batch_lanes(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        """The loop that runs as long as one lane wants another step. A further carry says which lanes do."""
        k, n_body = params["n_cond_constants"], params["n_body_constants"]
        constants, init = groups(args, k + n_body)
        init = batched_carry(axis, init, batched[k + n_body :], (True,) * len(init))
        condition, program = lanes_program(params["cond_jaxpr"], params["body_jaxpr"], axis, k, n_body, batched)
        (running,) = evaluate(condition, *constants[:k], *init)
        body, extra = program.hoist_constants()
        outs = self(
            *extra,
            *constants,
            running,
            *init,
            cond_jaxpr=any_lane(axis, tuple(map(type_of, init))),
            body_jaxpr=body,
            n_cond_constants=0,
            n_body_constants=len(extra) + k + n_body,
        )
        return outs[1:], (True,) * len(init)


while_loop = While("while")


@lru_cache(maxsize=4096)
def with_more_carries(cond_jaxpr: Jaxpr, types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition over further carries, which it does not read."""
    return Extension(cond_jaxpr).finish([*cond_jaxpr.inputs, *map(Var, types)], cond_jaxpr.outputs)


@lru_cache(maxsize=4096)
def any_lane(axis: Axis, types: tuple[ArrayType, ...]) -> Jaxpr:
    """The condition that some lane is running."""
    return stage(lambda running, *carry: [reduce_or(running, axes=(0,))], [BOOL.with_shape((axis.size,)), *types])


@lru_cache(maxsize=4096)
def lanes_program(
    cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, axis: Axis, n_cond_constants: int, n_body_constants: int, batched: Flags
) -> tuple[Jaxpr, Jaxpr]:
    """The batched condition, and a body of all constants, of which lanes are running, and of batched carries.

    Lanes that are done keep their carries.
    """
    k, n_fixed = n_cond_constants, n_cond_constants + n_body_constants
    n_carry = len(batched) - n_fixed
    condition, _ = vmap_jaxpr(cond_jaxpr, axis, batched[:k] + (True,) * n_carry)
    step, stepped = vmap_jaxpr(body_jaxpr, axis, batched[k:n_fixed] + (True,) * n_carry)
    in_types = condition.in_types[:k] + step.in_types[: n_fixed - k]

    def body(*args: Any) -> list[Any]:
        cond_constants, constants, (running, *carry) = groups(args, k, n_fixed - k)
        seen = chosen_operands(axis, running, carry, [loops_within(body_jaxpr)] * n_carry)
        new = all_batched(axis, evaluate(step, *constants, *seen), stepped)
        new = [select_n(across(running, x), x, y) for x, y in zip(carry, new, strict=True)]
        return [bitwise_and(running, *evaluate(condition, *cond_constants, *new)), *new]

    types = [*in_types, BOOL.with_shape((axis.size,)), *condition.in_types[k:]]
    return condition, stage(body, types, f"vmap({body_jaxpr.name})" if body_jaxpr.name else "")


def loops_within(jaxpr: Jaxpr) -> bool:
    """Whether a program has a loop that may not end for arguments of a lane that is done."""
    return any(isinstance(e.primitive, While) or any(map(loops_within, inner_jaxprs(e.params))) for e in jaxpr)
