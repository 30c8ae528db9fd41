"""Loops of a number of steps that only running them shows.

while_loop : (a -> Bool, a -> a) -> a -> a
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import lax
from jax.core import eval_context

from minijvp.calls.carrier import reached
from minijvp.calls.programs import (
    ControlFlow,
    Flags,
    array_types,
    batched_carry,
    chosen,
    either,
    groups,
    present,
    reaching,
    require_types,
    spread_around,
    typed,
)
from minijvp.control_flow.reverse_loop import differentiated, pull_loop, pull_program
from minijvp.control_flow.scan import first_guess, jvp_body, started, vmap_body
from minijvp.control_flow.while_programs import (
    BOOL,
    INT32,
    any_lane,
    counting,
    fewer_steps,
    lanes_program,
    own_steps,
    with_more_carries,
)
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType, type_of
from minijvp.operations.families import instantiate, is_linear, nonzero, spread, zeros_like
from minijvp.operations.reduction import reduce_max
from minijvp.transforms.vmap import vmap_jaxpr


class While(ControlFlow):
    """The first carries for which `cond_jaxpr` is false; `body_jaxpr` makes the next ones.

    The arguments are `n_cond_constants` constants of the condition, `n_body_constants` of the body, and the first
    carries. Both jaxprs are open, and take their constants and then the carries.

    In reverse mode the loop is run as it is, and counted; the way back computes its steps again (`while_tangents`,
    `while_cotangents`), so that memory does not depend on their number. One step at a time is linearized; what that
    keeps is planned as that of any program, by the memory budget that was in force, which goes with the body.
    """

    may_not_end = True
    own_derivative = True

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
        body = hooks.linearizer.carried_along(params["body_jaxpr"])
        wrt = differentiated(body, n_body, nonzero(tangents[k:]))
        carried = wrt[n_body:]
        if not any(carried):
            return self(*primals, **params), (None,) * n_carry
        # The loop itself keeps nothing but the number of its steps.
        condition = with_more_carries(params["cond_jaxpr"], (INT32,))
        counted = {**params, "cond_jaxpr": condition, "body_jaxpr": counting(params["body_jaxpr"])}
        *outs, n = self(*primals, np.int32(0), **counted)
        _, t_constants, t_init = groups(tangents, k, n_body)
        t_inputs = [*present(t_constants), *started(t_init, primals[k + n_body :], carried)]
        t_outs = while_tangents(n, *primals[k:], *t_inputs, body=body, n_constants=n_body, wrt=wrt)
        return tuple(outs), spread(t_outs, carried)

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

    def narrowed(self, equation: Equation, used: Flags) -> Equation:
        k = equation.params["n_cond_constants"]
        if equation.has_effects:
            return equation
        condition, body, constants, carry = narrowed_loop(**equation.params, used=used)
        if all(carry):
            return equation
        how = {"cond_jaxpr": condition, "body_jaxpr": body, "n_cond_constants": k, "n_body_constants": sum(constants)}
        inputs = tuple(chosen(equation.inputs, (True,) * k + constants + carry))
        return Equation(self, inputs, how, tuple(chosen(equation.outputs, carry)), equation.source)

    def reached(self, equation: Equation, inputs: Flags, differentiable: bool) -> Flags:
        params = equation.params
        k, n_body = params["n_cond_constants"], params["n_body_constants"]
        carry = first_guess(params["body_jaxpr"], n_body, len(equation.outputs), inputs[k:], differentiable)
        if not differentiable and any(reached(params["cond_jaxpr"], (*inputs[:k], *carry))):
            return (True,) * len(carry)
        return carry


class Differentiating(ControlFlow):
    """A loop that differentiates its body when it runs, so that the rules of functions inside belong to its program."""

    own_derivative = True

    def for_evaluation(self, params: dict[str, Any]) -> dict[str, Any]:
        return params


class Lanes(NamedTuple):
    """A loop of lanes, which take `n` steps in all: its body, its constants and first carries, and how many are added.

    `before` and `after` of them are no inputs of the loop that is batched; of those that are, `batched` says which have
    the batch axis.
    """

    n: Any
    body: Jaxpr
    inputs: list[Any]
    n_constants: int
    before: int
    after: int
    batched: Flags

    @classmethod
    def of(
        cls,
        axis: Axis,
        body: Jaxpr,
        n_constants: int,
        n: Any,
        inputs: Sequence[Any],
        own: bool,
        batched: Sequence[bool],
        wanted: Iterable[bool],
    ) -> Lanes:
        """The loop over all lanes, which have a number of steps of their `own`, or all the same one.

        The inputs have a batch axis where they are `batched`, and get one where it is `wanted`.
        """
        n_carry = len(inputs) - n_constants
        all_wanted = either(either(batched, wanted), (False,) * n_constants + (own,) * n_carry)
        if own:
            program, extra = own_steps(body, n_constants, axis, all_wanted).hoist_constants()
            arrays = batched_carry(axis, inputs, batched, all_wanted)
            first = [*extra, n]
            steps = reduce_max(n, axes=(0,))
            return cls(
                steps, program, [*first, *arrays, np.int32(0)], len(first) + n_constants, len(first), 1, all_wanted
            )
        program, extra, carried, _ = vmap_body(body, n_constants, n_carry, axis, all_wanted)
        flags = all_wanted[:n_constants] + carried
        arrays = batched_carry(axis, inputs, batched, flags)
        return cls(n, program, [*extra, *arrays], len(extra) + n_constants, len(extra), 0, flags)

    def around(self, flags: Flags) -> Flags:
        """Flags of the inputs of the loop that is batched, for all of its inputs."""
        return (False,) * self.before + flags + (False,) * self.after


class WhileTangents(Differentiating):
    """The last tangents of carries, of a loop that is known to take `n` steps.

    The arguments are `n` (int32), the constants and the first carries of the loop, and tangents of those that `wrt`
    names. In the tangents it is linear. It is a loop of duals; its transpose is `while_cotangents`.
    """

    def as_while(self, args: Sequence[Any], added: Any, params: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments and parameters of the loop of duals; `added(x)` is what goes with an argument more."""
        n_constants, wrt = params["n_constants"], params["wrt"]
        n_carry = len(wrt) - n_constants
        program, extra, _, _ = jvp_body(params["body"], n_constants, n_carry, wrt)
        n, constants, init, t_constants, t_carry = groups(args, 1, n_constants, n_carry, sum(wrt[:n_constants]))
        moving = [*map(added, extra), *constants, *t_constants]
        how = {
            "cond_jaxpr": fewer_steps(program.in_types[len(moving) :]),
            "body_jaxpr": counting(program),
            "n_cond_constants": 1,
            "n_body_constants": len(moving),
        }
        return (*n, *moving, *init, *t_carry, added(np.int32(0))), how

    def picked(self, outs: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        """The tangents among the results of the loop of duals."""
        carried = params["wrt"][params["n_constants"] :]
        return tuple(outs[len(carried) : len(carried) + sum(carried)])

    def impl(self, *args: Any, **params: Any) -> tuple[Any, ...]:
        with eval_context():
            arguments, how = self.as_while(args, itself, params)
        return self.picked(while_loop.impl(*arguments, **how), params)

    def type_rule(self, *types: ArrayType, body: Jaxpr, n_constants: int, wrt: Flags) -> tuple[ArrayType, ...]:
        tangents = [t.strong() for t in chosen(body.in_types, wrt)]
        require_types("the arguments of while_tangents", types, (INT32, *body.in_types, *tangents))
        return tuple(tangents[sum(wrt[:n_constants]) :])

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self.derivative(while_loop.jvp, primals, tangents, params)

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self.derivative(while_loop.linearize, primals, tangents, params)

    def derivative(self, rule: Any, primals: tuple, tangents: tuple, params: dict[str, Any]) -> tuple[Any, Any]:
        k = 1 + len(params["wrt"])
        if not any(nonzero(tangents[:k])):
            return self(*primals, **params), self(*primals[:k], *map(instantiate, tangents[k:], primals[k:]), **params)
        arguments, how = self.as_while(primals, itself, params)
        outs, t_outs = rule(arguments, self.as_while(tangents, lambda _: None, params)[0], **how)
        return self.picked(outs, params), self.picked(t_outs, params)

    def transpose(self, ct: tuple, *args: Any, body: Jaxpr, n_constants: int, wrt: Flags) -> tuple[Any, ...]:
        (n, *inputs), tangents = groups(args, 1 + len(wrt))
        cts = pulled(n, inputs, spread(ct, wrt[n_constants:]), body, n_constants, wrt)
        return (*(None,) * (1 + len(inputs)), *for_linear(tangents, chosen(cts, wrt)))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, body: Jaxpr, n_constants: int, wrt: Flags
    ) -> tuple[Any, Any]:
        """Each lane has tangents of its own, so what they belong to is batched. All lanes walk together."""
        (n, *inputs), tangents = groups(args, 1 + len(wrt))
        (own, *flags), b_tangents = groups(batched, 1 + len(wrt))
        lanes = Lanes.of(axis, body, n_constants, n, inputs, own, flags, map(bool, spread(b_tangents, wrt)))
        ts = batched_carry(axis, tangents, b_tangents, chosen(lanes.batched, wrt))
        outs = while_tangents(
            lanes.n, *lanes.inputs, *ts, body=lanes.body, n_constants=lanes.n_constants, wrt=lanes.around(wrt)
        )
        return tuple(outs), tuple(chosen(lanes.batched[n_constants:], wrt[n_constants:]))


class WhileCotangents(Differentiating):
    """The cotangents of constants and of first carries, of a loop that is known to take `n` steps.

    The arguments are `n` (int32), the constants and the first carries of the loop, and cotangents of the last carries
    that `cts` names, in which it is linear. The loop is differentiated with respect to what `wrt` names. The transpose
    is `while_tangents`; the derivative, `while_curvature`, is a loop of this kind over duals.
    """

    def impl(self, n: Any, *args: Any, body: Jaxpr, n_constants: int, wrt: Flags, cts: Flags) -> tuple[Any, ...]:
        inputs, given = groups(args, len(wrt))
        return pull_loop(body, n_constants, wrt, cts, n, inputs, given)

    def type_rule(
        self, *types: ArrayType, body: Jaxpr, n_constants: int, wrt: Flags, cts: Flags
    ) -> tuple[ArrayType, ...]:
        given = [t.strong() for t in chosen(body.in_types[n_constants:], cts)]
        require_types("the arguments of while_cotangents", types, (INT32, *body.in_types, *given))
        return tuple([t.strong() for t in chosen(body.in_types, pull_program(body, n_constants, wrt, cts).found)])

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        k = 1 + len(params["wrt"])
        out = self(*primals, **params)
        if not any(nonzero(tangents[:k])):
            return out, self(*primals[:k], *map(instantiate, tangents[k:], primals[k:]), **params)
        along = differentiated(params["body"], params["n_constants"], nonzero(tangents[1:k]))
        directions = started(tangents[1:k], primals[1:k], along)
        t_cts = spread(tangents[k:], params["cts"])
        how = {**params, "along": along, "t_cts": nonzero(t_cts)}
        by_input = spread(while_curvature(*primals, *directions, *present(t_cts), **how), curvature_plan(**how).found)
        return out, tuple(chosen(by_input, pull_program(**params).found))

    def transpose(
        self, ct: tuple, n: Any, *args: Any, body: Jaxpr, n_constants: int, wrt: Flags, cts: Flags
    ) -> tuple[Any, ...]:
        inputs, given = groups(args, len(wrt))
        t = pushed(n, inputs, spread(ct, pull_program(body, n_constants, wrt, cts).found), body, n_constants)
        return (*(None,) * (1 + len(inputs)), *for_linear(given, chosen(t, cts)))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        """Each lane gets cotangents of its own, so what they belong to is batched. All lanes walk together."""
        body, n_constants, wrt, cts = (params[k] for k in ("body", "n_constants", "wrt", "cts"))
        (n, *inputs), given = groups(args, 1 + len(wrt))
        (own, *flags), b_given = groups(batched, 1 + len(wrt))
        found = pull_program(**params).found
        lanes = Lanes.of(axis, body, n_constants, n, inputs, own, flags, found)
        cts_in = spread(batched_carry(axis, given, b_given, (True,) * len(given)), cts)
        outs = pulled(
            lanes.n,
            lanes.inputs,
            [*cts_in, *[None] * lanes.after],
            lanes.body,
            lanes.n_constants,
            lanes.around(wrt),
        )
        places = zip(outs, lanes.inputs, lanes.around(found), strict=True)
        return tuple([instantiate(c, x) for c, x, flag in places if flag]), (True,) * sum(found)


class WhileCurvature(Differentiating):
    """The tangents of what `while_cotangents` gives: second derivatives of a loop that is known to take `n` steps.

    Its arguments are those of `while_cotangents`; tangents of the constants and first carries that `along` names; and
    tangents of the cotangents that `t_cts` names. In the tangents it is linear. It is a `while_cotangents` over duals;
    and since second derivatives are symmetric, its transpose is an operation of its own kind.
    """

    def as_cotangents(self, args: Sequence[Any], added: Any, params: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments and parameters of `while_cotangents` over duals; `added(x)` goes with an argument more."""
        plan = curvature_plan(**params)
        n_constants, cts, along = (params[k] for k in ("n_constants", "cts", "along"))
        n_carry, t_carry = len(cts), along[n_constants:]
        n, constants, init, given, t_constants, t_init, t_given = groups(
            args, 1, n_constants, n_carry, sum(cts), sum(along[:n_constants]), sum(t_carry)
        )
        of_duals = [*spread(t_given, params["t_cts"]), *chosen(spread(given, cts), t_carry)]
        types = plan.body.in_types[plan.n_constants :]
        of_duals = [added(zeros_like(t)) if c is None else c for c, t in chosen(zip(of_duals, types), plan.cts)]
        arguments = (*n, *map(added, plan.extra), *constants, *t_constants, *init, *t_init, *of_duals)
        return arguments, {"body": plan.body, "n_constants": plan.n_constants, "wrt": plan.wrt, "cts": plan.cts}

    def picked(self, outs: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        """The results for constants and carries, without those for their tangents."""
        return tuple(outs[: sum(curvature_plan(**params).found)])

    def impl(self, *args: Any, **params: Any) -> tuple[Any, ...]:
        with eval_context():
            arguments, how = self.as_cotangents(args, itself, params)
        return self.picked(while_cotangents.impl(*arguments, **how), params)

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        body, n_constants = params["body"], params["n_constants"]
        carry = body.in_types[n_constants:]
        wanted = [
            *chosen(carry, params["cts"]),
            *chosen(body.in_types, params["along"]),
            *chosen(carry, params["t_cts"]),
        ]
        require_types("the arguments of while_curvature", types, (INT32, *body.in_types, *wanted))
        return tuple([t.strong() for t in chosen(body.in_types, curvature_plan(**params).found)])

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        k = 1 + len(params["wrt"]) + sum(params["cts"])
        if not any(nonzero(tangents[:k])):
            return self(*primals, **params), self(*primals[:k], *map(instantiate, tangents[k:], primals[k:]), **params)
        arguments, how = self.as_cotangents(primals, itself, params)
        t_arguments, _ = self.as_cotangents(tangents, lambda _: None, params)
        outs, t_outs = while_cotangents.jvp(arguments, t_arguments, **how)
        return self.picked(outs, params), self.picked(t_outs, params)

    def transpose(self, ct: tuple, n: Any, *args: Any, **params: Any) -> tuple[Any, ...]:
        body, n_constants, wrt, cts, along = (params[k] for k in ("body", "n_constants", "wrt", "cts", "along"))
        inputs, given, tangents, t_given = groups(args, len(wrt), sum(cts), sum(along))
        u = spread(ct, curvature_plan(**params).found)
        mirrored = {
            **params,
            "wrt": along,
            "along": differentiated(body, n_constants, nonzero(u)),
            "t_cts": (False,) * len(cts),
        }
        outs = while_curvature(n, *inputs, *given, *started(u, inputs, mirrored["along"]), **mirrored)
        found = for_linear(tangents, chosen(spread(outs, curvature_plan(**mirrored).found), along))
        t = pushed(n, inputs, u, body, n_constants) if t_given else [None] * len(cts)
        none = (None,) * (1 + len(inputs) + len(given))
        return (*none, *found, *for_linear(t_given, chosen(t, params["t_cts"])))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        arguments, how = self.as_cotangents(args, itself, params)
        flags, _ = self.as_cotangents(batched, lambda _: False, params)
        outs, out_batched = while_cotangents.batch(axis, arguments, flags, **how)
        return self.picked(outs, params), self.picked(out_batched, params)


@cached(maxsize=4096)
def narrowed_loop(
    cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, n_cond_constants: int, n_body_constants: int, used: Flags
) -> tuple[Jaxpr, Jaxpr, Flags, Flags]:
    """The loop without dead carries, which neither the condition nor a live one needs; its constants and carries."""

    def step(carry: Flags) -> Flags:
        return reaching(body_jaxpr, carry)[n_body_constants:]

    carry = spread_around(step, either(used, reaching(cond_jaxpr, (True,))[n_cond_constants:]))
    body = body_jaxpr.without_dead_code(carry)
    constants = reaching(body, (True,) * len(body.outputs))[:n_body_constants]
    cond_inputs = chosen(cond_jaxpr.inputs, (True,) * n_cond_constants + carry)
    inputs = chosen(body.inputs, constants + carry)
    return (
        Jaxpr((), tuple(cond_inputs), cond_jaxpr.equations, cond_jaxpr.outputs, cond_jaxpr.name),
        Jaxpr((), tuple(inputs), body.equations, body.outputs, body.name),
        constants,
        carry,
    )


while_loop = While("while")
while_tangents = WhileTangents("while_tangents")
while_cotangents = WhileCotangents("while_cotangents")
while_curvature = WhileCurvature("while_curvature")


def itself(x: Any) -> Any:
    """The argument."""
    return x


def for_linear(args: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """The cotangents of the arguments that are linear, None for the others."""
    return [c if is_linear(x) else None for x, c in zip(args, cts, strict=True)]


def pulled(
    n: Any, inputs: Sequence[Any], cts: Sequence[Any], body: Jaxpr, n_constants: int, wrt: Flags
) -> Sequence[Any]:
    """The cotangents of constants and first carries, where there are any, for those of the last carries."""
    pull = pull_program(body, n_constants, wrt, nonzero(cts))
    given = started(cts, inputs[n_constants:], pull.cts)
    outs = while_cotangents(n, *inputs, *given, body=body, n_constants=n_constants, wrt=wrt, cts=pull.cts)
    return spread(outs, pull.found)


def pushed(n: Any, inputs: Sequence[Any], tangents: Sequence[Any], body: Jaxpr, n_constants: int) -> Sequence[Any]:
    """The tangents of the last carries, where there are any, for those of constants and first carries."""
    wrt = differentiated(body, n_constants, nonzero(tangents))
    outs = while_tangents(n, *inputs, *started(tangents, inputs, wrt), body=body, n_constants=n_constants, wrt=wrt)
    return spread(outs, wrt[n_constants:])


class Plan(NamedTuple):
    """`while_cotangents` over duals: its parameters, the arrays its body closes over, and what it finds.

    `found` tells it for the constants and the carries of the loop that the duals are of.
    """

    body: Jaxpr
    extra: tuple[Any, ...]
    n_constants: int
    wrt: Flags
    cts: Flags
    found: Flags


@cached_by_linearizer(maxsize=4096)
def curvature_plan(body: Jaxpr, n_constants: int, wrt: Flags, cts: Flags, along: Flags, t_cts: Flags) -> Plan:
    """What `while_curvature` is, as a loop over duals."""
    n_carry = len(cts)
    program, extra, _, _ = jvp_body(body, n_constants, n_carry, along)
    t_constants, t_carry = along[:n_constants], along[n_constants:]
    start, none = len(extra), (False,)
    n = start + n_constants + sum(t_constants)
    flags = none * start + wrt[:n_constants] + none * sum(t_constants) + wrt[n_constants:] + none * sum(t_carry)
    flags = differentiated(program, n, flags)
    pull = pull_program(program, n, flags, t_cts + tuple(chosen(cts, t_carry)))
    found = pull.found[start : start + n_constants] + pull.found[n : n + n_carry]
    return Plan(program, extra, n, flags, pull.cts, found)
