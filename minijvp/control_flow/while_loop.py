"""Loops of a number of steps that only running them shows.

while_loop : (a -> Bool, a -> a) -> a -> a
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax.core import eval_context

from minijvp.calls.dependence import reached
from minijvp.calls.linear_call import LinearCall, goes_forward
from minijvp.calls.programs import Flags, array_types, chosen, groups, in_series, present, require_types, typed
from minijvp.calls.silence import silent
from minijvp.control_flow.base import ControlFlow
from minijvp.control_flow.bodies import Body, Transformed, batched_carry, jvp_body, of_carries, started, vmap_body
from minijvp.control_flow.progress import Bar, shown, while_told
from minijvp.control_flow.reverse_loop import Curvature, Pull, curvature_of, differentiated, pull_loop, pull_program
from minijvp.control_flow.while_programs import (
    BOOL,
    INT32,
    Lanes,
    LoopPrograms,
    any_lane,
    counting,
    fewer_steps,
    lanes_program,
    live_programs,
    with_more_carries,
)
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, Params, type_of
from minijvp.operations.families import instantiate, nonzero, spread, zeros_like
from minijvp.transforms.vmap import vmap_jaxpr


class While(ControlFlow):
    """The first carries for which `cond_jaxpr` is false; `body_jaxpr` makes the next ones.

    The arguments are `n_cond_constants` constants of the condition, `n_body_constants` of the body, and the first
    carries. Both jaxprs are open, and take their constants and then the carries.

    In reverse mode the loop is run as it is, and counted; the way back computes its steps again (`while_tangents`,
    `while_cotangents`), so that memory does not depend on their number. One step at a time is linearized; what that
    keeps is planned as that of any program, by the memory budget that was in force, which goes with the body.
    """

    body = "body_jaxpr"
    helpers = ("cond_jaxpr",)
    may_not_end = True
    own_derivative = True

    def impl(self, *args: Array, progress: Bar | None = None, **params: Any) -> tuple[Any, ...]:
        condition, k, body = LoopPrograms.of(params)
        exact = [typed(x, t) for x, t in zip(args[k:], body.jaxpr.in_types, strict=True)]
        constants, init, _ = body.inputs(exact)
        goes_on = lambda carry: lower(condition, *args[:k], *carry)[0]
        step = lambda carry: lower(body.jaxpr, *constants, *carry)
        return tuple(
            lax.while_loop(goes_on, step, init) if progress is None else while_told(goes_on, step, init, progress)
        )

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        condition, k, body = LoopPrograms.of(params)
        carry = array_types(body.jaxpr.out_types)
        require_types("the arguments of a while's body", types[k:], body.jaxpr.in_types)
        wanted = body.inputs(body.jaxpr.in_types).carry
        require_types("the carries that a while's body returns", carry, wanted)
        require_types("the arguments of a while's condition", condition.in_types, (*types[:k], *carry))
        require_types("what a while's condition returns", condition.out_types, (BOOL,))
        return tuple(carry)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        _, k, body = LoopPrograms.of(params)
        made = jvp_body(body, nonzero(tangents[k:]))
        outs, t_outs = self.of_duals(made, primals, body.of_duals(primals[k:], tangents[k:], made.carried), params)
        return tuple(outs), spread(t_outs, made.carried)

    def of_duals(self, made: Transformed, primals: tuple, args: Sequence[Any], params: Params) -> list[list[Any]]:
        """The last carries, and their tangents, of the loop of duals, whose condition reads the primals only."""
        condition, k, body = LoopPrograms.of(params)
        more = made.body.inputs(made.body.jaxpr.in_types).carry[body.n_carry :]
        programs = LoopPrograms(with_more_carries(condition, tuple(more)), k, made.body)
        return groups(self(*primals[:k], *made.extra, *args, **programs.params, **shown(params)), body.n_carry)

    def taylor_to(self, order: int, primals: tuple, series: tuple, **params: Any) -> tuple[Any, Any]:
        _, k, body = LoopPrograms.of(params)
        made = jvp_body(body, nonzero(series[k:]), order)
        args = body.of_series(primals[k:], series[k:], made.carried, order)
        outs, found = self.of_duals(made, primals, args, params)
        return tuple(outs), in_series(found, made.carried, order)

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        condition, k, plain = LoopPrograms.of(params)
        body = of_carries(hooks.linearizer.carried_along(silent(plain.jaxpr)), plain.n_constants)
        x, t = body.inputs(primals[k:]), body.inputs(tangents[k:])
        wrt = differentiated(body, nonzero(tangents[k:]))
        carried = body.carry(wrt)
        if not any(carried):
            return self(*primals, **params), (None,) * body.n_carry
        # The loop itself keeps nothing but the number of its steps. What it shows is shown once.
        counted = of_carries(counting(plain.jaxpr), plain.n_constants)
        programs = LoopPrograms(with_more_carries(condition, (INT32,)), k, counted)
        *outs, n = self(*primals, np.int32(0), **programs.params, **shown(params))
        t_inputs = [*present(t.constants), *started(t.carry, x.carry, carried)]
        how = of_loop(body, wrt, **shown(params, "tangents"))
        return tuple(outs), spread(while_tangents(n, *primals[k:], *t_inputs, **how), carried)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        condition, k, body = LoopPrograms.of(params)
        made = vmap_body(body, axis, batched[k:])
        condition, (differs,) = vmap_jaxpr(condition, axis, (*batched[:k], *made.carried))
        if differs:
            return self.batch_lanes(axis, args, batched, params)
        condition, more = condition.hoist_constants()
        x, b = body.inputs(args[k:]), body.inputs(batched[k:])
        init = batched_carry(axis, x.carry, b.carry, made.carried)
        programs = LoopPrograms(condition, len(more) + k, made.body)
        outs = self(*more, *args[:k], *made.extra, *x.constants, *init, **programs.params, **shown(params))
        return outs, made.carried

    def batch_lanes(self, axis: Axis, args: tuple, batched: tuple[bool, ...], params: Params) -> tuple[Any, Any]:
        """The loop that runs as long as one lane wants another step. A further carry says which lanes do."""
        programs = LoopPrograms.of(params)
        k, n = programs.n_cond_constants, programs.n_cond_constants + programs.body.n_constants
        constants, init = groups(args, n)
        init = batched_carry(axis, init, batched[n:], (True,) * len(init))
        condition, program = lanes_program(programs, axis, batched)
        (running,) = evaluate(condition, *constants[:k], *init)
        body, extra = program.hoist_constants()
        goes_on = any_lane(axis, tuple(map(type_of, init)))
        made = LoopPrograms(goes_on, 0, of_carries(body, len(extra) + n))
        outs = self(*extra, *constants, running, *init, **made.params, **shown(params))
        return outs[1:], (True,) * len(init)

    def without_outputs(self, equation: Equation, used: Flags) -> Equation:
        if equation.has_effects:
            return equation
        programs, ins, carry = live_programs(LoopPrograms.of(equation.params), used)
        if all(carry):
            return equation
        inputs, outputs = tuple(chosen(equation.inputs, ins)), tuple(chosen(equation.outputs, carry))
        return Equation(self, inputs, {**programs.params, **shown(equation.params)}, outputs, equation.source)

    def reached(self, equation: Equation, inputs: Flags, differentiable: bool) -> Flags:
        condition, k, body = LoopPrograms.of(equation.params)
        carry = body.depending(inputs[k:], differentiable)
        # If it decides how often the loop runs, everything depends on it.
        if not differentiable and any(reached(condition, (*inputs[:k], *carry))):
            return (True,) * len(carry)
        return carry


class LoopDerivative(ControlFlow, LinearCall):
    """A map of tangents or cotangents, of a loop that is known to take `n` (int32) steps, the first operand.

    It makes its program of the body when it runs, so that the rules of functions inside belong to it.
    """

    body = ""
    helpers = ("body",)
    rules = ()

    def n_residuals(self, params: Params) -> int:
        return 1 + len(params["wrt"])

    def for_evaluation(self, params: Params) -> dict[str, Any]:
        return params

    def restated(self, *args: Any, **params: Any) -> Any:
        return None


class WhileTangents(LoopDerivative):
    """The last tangents of carries, of a loop that is known to take `n` steps.

    The arguments are `n` (int32), the constants and the first carries of the loop, and tangents of those that `wrt`
    names. In the tangents it is linear. It is a loop of duals; its transpose is `while_cotangents`.
    """

    def goes_forward(self, params: Params) -> bool:
        """Whether its body does."""
        return goes_forward(jvp_body(loop_of(params), params["wrt"]).body.jaxpr)

    def as_while(self, args: Sequence[Any], added: Any, params: Params) -> tuple[tuple, dict[str, Any]]:
        """The arguments and parameters of the loop of duals; `added(x)` is what goes with an argument more."""
        body, wrt = loop_of(params), params["wrt"]
        made = jvp_body(body, wrt)
        n_tangents = sum(body.inputs(wrt).constants)
        n, constants, init, t_constants, t_carry = groups(args, 1, body.n_constants, body.n_carry, n_tangents)
        goes_on = fewer_steps(tuple(made.body.inputs(made.body.jaxpr.in_types).carry))
        programs = LoopPrograms(goes_on, 1, of_carries(counting(made.body.jaxpr), made.body.n_constants))
        moving = [*map(added, made.extra), *constants, *t_constants]
        return (*n, *moving, *init, *t_carry, added(np.int32(0))), {**programs.params, **shown(params)}

    def picked(self, outs: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The tangents among the results of the loop of duals."""
        carried = loop_of(params).carry(params["wrt"])
        return tuple(outs[len(carried) : len(carried) + sum(carried)])

    def impl(self, *args: Array, **params: Any) -> tuple[Any, ...]:
        with eval_context():
            arguments, how = self.as_while(args, itself, params)
        return self.picked(while_loop.impl(*arguments, **how), params)

    def type_rule(
        self, *types: ArrayType, body: Jaxpr, n_constants: int, wrt: Flags, progress: Bar | None = None
    ) -> tuple[ArrayType, ...]:
        tangents = [t.strong() for t in chosen(body.in_types, wrt)]
        require_types("the arguments of while_tangents", types, (INT32, *body.in_types, *tangents))
        return tuple(tangents[sum(wrt[:n_constants]) :])

    def restated(self, *args: Any, **params: Any) -> Any:
        arguments, how = self.as_while(args, itself, params)
        return self.picked(while_loop(*arguments, **how), params)

    def moved(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        arguments, how = self.as_while(primals, itself, params)
        t_arguments, _ = self.as_while(tangents, lambda _: None, params)
        outs, t_outs = getattr(while_loop, mode)(arguments, t_arguments, **how)
        return self.picked(outs, params), self.picked(t_outs, params)

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        body, wrt = loop_of(params), params["wrt"]
        cts = spread(ct, body.carry(wrt))
        return chosen(cotangents(residuals, cts, body, wrt, **shown(params, "backward")), wrt)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        """Each lane has tangents of its own, so what they belong to is batched. All lanes walk together."""
        body, wrt = loop_of(params), params["wrt"]
        residuals, ts = groups(args, 1 + len(wrt))
        flags, b_ts = groups(batched, 1 + len(wrt))
        lanes = Lanes.of(axis, body, residuals, flags, map(bool, spread(b_ts, wrt)))
        ts = batched_carry(axis, ts, b_ts, chosen(lanes.batched, wrt))
        how = of_loop(lanes.body, lanes.around(wrt), **shown(params))
        outs = while_tangents(lanes.n, *lanes.inputs, *ts, **how)
        return tuple(outs), tuple(chosen(body.carry(lanes.batched), body.carry(wrt)))


class WhileCotangents(LoopDerivative):
    """The cotangents of constants and of first carries, of a loop that is known to take `n` steps.

    The arguments are `n` (int32), the constants and the first carries of the loop, and cotangents of the last carries
    that `cts` names, in which it is linear. The loop is differentiated with respect to what `wrt` names. The transpose
    is `while_tangents`; the derivative, `while_curvature`, is a loop of this kind over duals.
    """

    def impl(self, n: Array, *args: Array, **params: Any) -> tuple[Any, ...]:
        inputs, given = groups(args, len(params["wrt"]))
        return pull_loop(loop_of(params), params["wrt"], params["cts"], n, inputs, given, params.get("progress"))

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        body = loop_of(params)
        in_types = body.jaxpr.in_types
        given = [t.strong() for t in chosen(body.inputs(in_types).carry, params["cts"])]
        require_types("the arguments of while_cotangents", types, (INT32, *in_types, *given))
        return tuple([t.strong() for t in chosen(in_types, pull_of(params).found)])

    def moved(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        k = self.n_residuals(params)
        along = differentiated(loop_of(params), nonzero(tangents[1:k]))
        directions = started(tangents[1:k], primals[1:k], along)
        t_cts = spread(tangents[k:], params["cts"])
        how = {**params, "along": along, "t_cts": nonzero(t_cts), **shown(params, "tangents")}
        outs = self(*primals, **params)
        by_input = spread(while_curvature(*primals, *directions, *present(t_cts), **how), curvature(how).found)
        return outs, tuple(chosen(by_input, pull_of(params).found))

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        return chosen(tangents(residuals, spread(ct, pull_of(params).found), loop_of(params)), params["cts"])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        """Each lane gets cotangents of its own, so what they belong to is batched. All lanes walk together."""
        wrt, found = params["wrt"], pull_of(params).found
        residuals, given = groups(args, 1 + len(wrt))
        flags, b_given = groups(batched, 1 + len(wrt))
        lanes = Lanes.of(axis, loop_of(params), residuals, flags, found)
        cts = spread(batched_carry(axis, given, b_given, (True,) * len(given)), params["cts"])
        cts = (*cts, *[None] * lanes.after)
        outs = cotangents((lanes.n, *lanes.inputs), cts, lanes.body, lanes.around(wrt), **shown(params))
        places = zip(outs, lanes.inputs, lanes.around(found), strict=True)
        return tuple([instantiate(c, x) for c, x, flag in places if flag]), (True,) * sum(found)


class WhileCurvature(LoopDerivative):
    """The tangents of what `while_cotangents` gives: second derivatives of a loop that is known to take `n` steps.

    Its arguments are those of `while_cotangents`; tangents of the constants and first carries that `along` names; and
    tangents of the cotangents that `t_cts` names. In the tangents it is linear. It is a `while_cotangents` over duals;
    and since second derivatives are symmetric, its transpose is an operation of its own kind.
    """

    def n_residuals(self, params: Params) -> int:
        return 1 + len(params["wrt"]) + sum(params["cts"])

    def as_cotangents(self, args: Sequence[Any], added: Any, params: Params) -> tuple[tuple, dict[str, Any]]:
        """The arguments and parameters of `while_cotangents` over duals; `added(x)` goes with an argument more."""
        body, plan, cts, t_cts = loop_of(params), curvature(params), params["cts"], params["t_cts"]
        t_constants, t_carry, _ = body.inputs(params["along"])
        n, constants, init, given, by_constants, by_init, t_given = groups(
            args, 1, body.n_constants, body.n_carry, sum(cts), sum(t_constants), sum(t_carry)
        )
        types = plan.body.inputs(plan.body.jaxpr.in_types).carry
        of_duals = chosen(zip([*spread(t_given, t_cts), *chosen(spread(given, cts), t_carry)], types), plan.cts)
        pulled = [added(zeros_like(t)) if c is None else c for c, t in of_duals]
        arguments = (*n, *map(added, plan.extra), *constants, *by_constants, *init, *by_init, *pulled)
        return arguments, of_loop(plan.body, plan.wrt, cts=plan.cts, **shown(params))

    def picked(self, outs: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """The results for constants and carries, without those for their tangents."""
        return tuple(outs[: sum(curvature(params).found)])

    def impl(self, *args: Array, **params: Any) -> tuple[Any, ...]:
        with eval_context():
            arguments, how = self.as_cotangents(args, itself, params)
        return self.picked(while_cotangents.impl(*arguments, **how), params)

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        body = loop_of(params)
        in_types = body.jaxpr.in_types
        carry = body.inputs(in_types).carry
        linear = [*chosen(in_types, params["along"]), *chosen(carry, params["t_cts"])]
        wanted = (INT32, *in_types, *chosen(carry, params["cts"]), *linear)
        require_types("the arguments of while_curvature", types, wanted)
        return tuple([t.strong() for t in chosen(in_types, curvature(params).found)])

    def moved(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        arguments, how = self.as_cotangents(primals, itself, params)
        t_arguments, _ = self.as_cotangents(tangents, lambda _: None, params)
        outs, t_outs = while_cotangents.derivative(mode, arguments, t_arguments, how)
        return self.picked(outs, params), self.picked(t_outs, params)

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        body, along, cts = loop_of(params), params["along"], params["cts"]
        inputs = residuals[1 : 1 + len(along)]
        u = spread(ct, curvature(params).found)
        mirrored = {**params, "wrt": along, "along": differentiated(body, nonzero(u)), "t_cts": (False,) * len(cts)}
        outs = while_curvature(*residuals, *started(u, inputs, mirrored["along"]), **mirrored)
        by_inputs = chosen(spread(outs, curvature(mirrored).found), along)
        t = tangents((residuals[0], *inputs), u, body) if any(params["t_cts"]) else [None] * len(cts)
        return [*by_inputs, *chosen(t, params["t_cts"])]

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        arguments, how = self.as_cotangents(args, itself, params)
        flags, _ = self.as_cotangents(batched, lambda _: False, params)
        outs, out_batched = while_cotangents.batch(axis, arguments, flags, **how)
        return self.picked(outs, params), self.picked(out_batched, params)


while_loop = While("while")
while_tangents = WhileTangents("while_tangents")
while_cotangents = WhileCotangents("while_cotangents")
while_curvature = WhileCurvature("while_curvature")


def itself(x: Any) -> Any:
    """The argument."""
    return x


def loop_of(params: Params) -> Body:
    """The body of the loop that something is a derivative of."""
    return of_carries(params["body"], params["n_constants"])


def of_loop(body: Body, wrt: Flags, **others: Any) -> dict[str, Any]:
    """The parameters of a derivative of a loop."""
    return {"body": body.jaxpr, "n_constants": body.n_constants, "wrt": wrt, **others}


def pull_of(params: Params) -> Pull:
    """The step backwards of `while_cotangents` with these parameters."""
    return pull_program(loop_of(params), params["wrt"], params["cts"])


def curvature(params: Params) -> Curvature:
    """What `while_curvature` with these parameters is, as a way back through a loop of duals."""
    return curvature_of(loop_of(params), *[params[k] for k in ("wrt", "cts", "along", "t_cts")])


def cotangents(residuals: Sequence[Any], cts: Sequence[Any], body: Body, wrt: Flags, **others: Any) -> Sequence[Any]:
    """The cotangents of constants and first carries, where there are any, for those of the last carries."""
    pull = pull_program(body, wrt, nonzero(cts))
    given = started(cts, residuals[1 + body.n_constants :], pull.cts)
    return spread(while_cotangents(*residuals, *given, **of_loop(body, wrt, cts=pull.cts, **others)), pull.found)


def tangents(residuals: Sequence[Any], ts: Sequence[Any], body: Body) -> Sequence[Any]:
    """The tangents of the last carries, where there are any, for those of constants and first carries."""
    wrt = differentiated(body, nonzero(ts))
    outs = while_tangents(*residuals, *started(ts, residuals[1:], wrt), **of_loop(body, wrt))
    return spread(outs, body.carry(wrt))
