"""Loops of a static number of steps over the rows of arrays.

scan : ((c, a) -> (c, b)) -> (c, [a]) -> (c, [b])
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
from jax import lax

from minijvp.calls.dependence import fixpoint, reached, reaching, spread_around
from minijvp.calls.programs import (
    Extension,
    Flags,
    array_types,
    both,
    chosen,
    groups,
    in_series,
    instantiated,
    present,
    require_types,
    typed,
)
from minijvp.control_flow.base import ControlFlow
from minijvp.control_flow.bodies import (
    Body,
    Groups,
    batched_carry,
    jvp_body,
    live_carry,
    narrowed,
    started,
    vmap_body,
    with_carry,
)
from minijvp.control_flow.progress import Bar, scan_told, shown
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, Var, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, Params, jit_is_disabled
from minijvp.dimensions import countable, decided, is_symbolic
from minijvp.operations.families import is_linear, nonzero, spread, zeros_like
from minijvp.operations.shape import move_axis
from minijvp.transforms.linearize import Loop
from minijvp.transforms.transpose import transpose_jaxpr


class Scan(ControlFlow):
    """The last carries, and the stacked results of all steps, of a loop over the leading axis of arrays.

    Its arguments are `n_constants` constants, `n_carry` first carries, and arrays of `length` rows. The open `jaxpr`
    takes constants, carries and one row of each array; it gives the next carries and one row of each result.
    `reverse` goes from the last row to the first; `unroll` is the number of steps in a turn of the compiled loop. With
    a bar, `progress`, it shows how far it is.
    """

    takes_more = True

    def impl(
        self,
        *args: Array,
        jaxpr: Jaxpr,
        n_constants: int,
        n_carry: int,
        length: int,
        reverse: bool,
        unroll: Any,
        progress: Bar | None = None,
    ) -> tuple[Any, ...]:
        exact = [typed(x, t) for x, t in zip(args[: n_constants + n_carry], jaxpr.in_types, strict=False)]
        constants, init = groups(exact, n_constants)

        def step(carry: Any, x: Any) -> tuple[Any, Any]:
            outs = lower(jaxpr, *constants, *carry, *x)
            return outs[:n_carry], outs[n_carry:]

        # Without a step to take in Python, JAX knows no types of results inside of disable_jit.
        with jax.disable_jit(False) if jit_is_disabled() and not length else nullcontext():
            rows = list(args[len(exact) :])
            if progress is not None and length:
                types = stacked(length, array_types(jaxpr.out_types[n_carry:]))
                return scan_told(step, init, rows, types, length, reverse, unroll, progress)
            carry, ys = lax.scan(step, init, rows, None if rows and is_symbolic(length) else length, reverse, unroll)
        return (*carry, *ys)

    def type_rule(self, *types: ArrayType, length: int, **params: Any) -> tuple[ArrayType, ...]:
        body = body_of(params)
        wanted = body.inputs(body.jaxpr.in_types)
        carry, ys = body.outputs(array_types(body.jaxpr.out_types))
        require_types("the carries that a scan's body returns", carry, wanted.carry)
        rows = stacked(length, wanted.xs)
        require_types("the arguments of a scan", types, (*wanted.constants, *wanted.carry, *rows))
        return (*carry, *stacked(length, ys))

    def types_of_more(self, types: Sequence[ArrayType], params: Params) -> list[ArrayType]:
        return stacked(params["length"], types)

    def trip_count(self, params: Params) -> int:
        return countable(params["length"])

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        body = body_of(params)
        made = jvp_body(body, nonzero(tangents))
        outs = self(*made.extra, *body.of_duals(primals, tangents, made.carried), **changed(params, made.body))
        n_ys = len(made.outputs) - body.n_carry
        carry, t_carry, ys, t_ys = groups(outs, body.n_carry, sum(made.carried), n_ys)
        return (*carry, *ys), spread([*t_carry, *t_ys], made.outputs)

    def taylor_to(self, order: int, primals: tuple, series: tuple, **params: Any) -> tuple[Any, Any]:
        body = body_of(params)
        made = jvp_body(body, nonzero(series), order)
        args = body.of_series(primals, series, made.carried, order)
        outs = self(*made.extra, *args, **changed(params, made.body))
        n_ys = len(made.outputs) - body.n_carry
        carry, s_carry, ys, s_ys = groups(outs, body.n_carry, order * sum(made.carried), n_ys)
        return (*carry, *ys), in_series([*s_carry, *s_ys], made.outputs, order)

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        body, length, unroll = body_of(params), params["length"], params["unroll"]
        parts = linearize_body(
            body, nonzero(tangents), length, unrolled=unroll is True or decided(lambda: unroll >= length)
        )
        x, t = body.inputs(primals), body.inputs(tangents)
        outs = self(*parts.extra, *primals, **changed(params, parts.known))
        n = len(parts.out_nonzero)
        outs, stacks = outs[:n], outs[n:]
        if not any(parts.out_nonzero):
            return outs, (None,) * n
        sources = {
            "constant": x.constants,
            "invariant": evaluate(parts.invariant, *parts.extra, *x.constants),
            "x": x.xs,
            "y": outs[body.n_carry :],
            "stack": stacks,
        }
        fixed, moving = ([sources[kind][i] for kind, i in places] for places in (parts.fixed, parts.moving))
        t_outs = self(
            *fixed,
            *present(t.constants),
            *started(t.carry, x.carry, parts.carried),
            *moving,
            *present(t.xs),
            **changed(params, parts.linear, **shown(params, "tangents")),
        )
        return outs, spread(t_outs, parts.out_nonzero)

    def transpose(self, ct: tuple, *args: Any, **params: Any) -> tuple[Any, ...]:
        body, linear = body_of(params), tuple(map(is_linear, args))
        parts = transpose_body(body, linear, nonzero(ct))
        x, found = body.inputs(args), body.inputs(parts.found)
        ct_carry, ct_ys = body.outputs(ct)
        outs = self(
            *parts.extra,
            *known(x.constants),
            *map(zeros_like, chosen(x.constants, found.constants)),
            *started(ct_carry, x.carry, parts.carried),
            *self.histories(x, parts.known_carry, params),
            *known(x.xs),
            *present(ct_ys),
            **changed(params, parts.body, reverse=not params["reverse"], **shown(params, "backward")),
        )
        cts = spread(outs, (*found.constants, *parts.carried, *found.xs))
        return tuple([c if flag else None for c, flag in zip(cts, linear, strict=True)])

    def histories(self, x: Groups, wanted: Flags, params: Params) -> list[Any]:
        """For each carry that is `wanted`, which no linear argument changes, its values before every step."""
        if not any(wanted):
            return []
        body = history_body(body_of(params), wanted)
        args = [zeros_like(v) if is_linear(v) else v for v in (*x.constants, *chosen(x.carry, wanted), *x.xs)]
        unseen = {k: v for k, v in params.items() if k != "progress"}
        return list(self(*args, **changed(unseen, body))[body.n_carry :])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        body = body_of(params)
        made = vmap_body(body, axis, batched)
        x, b = body.inputs(args), body.inputs(batched)
        init = batched_carry(axis, x.carry, b.carry, made.carried)
        # The steps stay the leading axis of arrays of rows.
        xs = [move_axis(v, 0, 1) if flag else v for v, flag in zip(x.xs, b.xs, strict=True)]
        outs = self(*made.extra, *x.constants, *init, *xs, **changed(params, made.body))
        carry, ys = body.outputs(outs)
        ys = [move_axis(y, 1, 0) if flag else y for y, flag in zip(ys, body.outputs(made.outputs)[1], strict=True)]
        return (*carry, *ys), made.outputs

    def without_outputs(self, equation: Equation, used: Flags) -> Equation:
        if equation.has_effects:
            return equation
        body, ins, outs = live_body(body_of(equation.params), used)
        if all(outs):
            return equation
        inputs, outputs = tuple(chosen(equation.inputs, ins)), tuple(chosen(equation.outputs, outs))
        return Equation(self, inputs, changed(equation.params, body), outputs, equation.source)

    def reached(self, equation: Equation, inputs: Flags, differentiable: bool) -> Flags:
        body = body_of(equation.params)
        carry = body.depending(inputs, differentiable)
        outs = reached(body.jaxpr, with_carry(inputs, body.n_constants, carry), differentiable)
        return carry + outs[body.n_carry :]


scan = Scan("scan")


def body_of(params: Params) -> Body:
    """The body of a scan."""
    return Body(params["jaxpr"], params["n_constants"], params["n_carry"])


def changed(params: Params, body: Body, **others: Any) -> dict[str, Any]:
    """The parameters of the same loop with another body."""
    return {**params, **body._asdict(), **others}


def stacked(length: int, types: Sequence[ArrayType]) -> list[ArrayType]:
    """The types of arrays whose rows have these types."""
    return [t.stacked(length) for t in types]


def known(args: Sequence[Any]) -> list[Any]:
    """The arguments that are not linear."""
    return [x for x in args if not is_linear(x)]


@cached(maxsize=4096)
def live_body(body: Body, used: Flags) -> tuple[Body, Flags, Flags]:
    """The body without dead carries, which neither a used result nor a live carry needs; its inputs and outputs."""
    carry, ys = live_carry(body, used), used[body.n_carry :]
    made, ins = narrowed(body, carry, ys)
    return made, ins, carry + ys


ResidualPlace = tuple[str, int]
"""Where a residual is found: among the constants, the invariants, the arrays, the results or the stacks of a scan."""


class LinearizedScan(NamedTuple):
    """The two loops that a scan is linearized to.

    `known` takes the arrays `extra`, and what the scan takes; its further results are stacks of residuals. `invariant`
    gives the residuals that are the same in all steps, from `extra` and the constants. `linear` takes the residuals
    at the places `fixed`, tangents of constants; tangents of carries; residuals at `moving`, and tangents of rows.
    """

    known: Body
    extra: tuple[Any, ...]
    invariant: Jaxpr
    linear: Body
    fixed: tuple[ResidualPlace, ...]
    moving: tuple[ResidualPlace, ...]
    carried: Flags
    out_nonzero: Flags


@cached_by_linearizer(maxsize=4096)
def linearize_body(body: Body, flags: Flags, length: int, unrolled: bool = False) -> LinearizedScan:
    """The known and the linear body of a scan of `length` steps; `flags` says which arguments have a tangent."""
    jaxpr, n_constants, n_carry = body
    n_in, n_out = len(jaxpr.inputs), len(jaxpr.outputs)
    loop = Loop(
        countable(length),
        fixed_inputs=tuple([i < n_constants for i in range(n_in)]),
        kept_inputs=tuple([not n_constants <= i < n_constants + n_carry for i in range(n_in)]),
        kept_outputs=tuple([i >= n_carry for i in range(n_out)]),
        unrolled=unrolled,
    )

    def turn(carry: Flags) -> Any:
        known, linear, origins, out_nonzero = hooks.linearizer.program(
            jaxpr, with_carry(flags, n_constants, carry), loop
        )
        return out_nonzero[:n_carry], carry, known, linear, origins, out_nonzero

    guess = body.depending(flags, differentiable=True)
    _, carried, known, linear, origins, out_nonzero = fixpoint(turn, body.carry(flags), guess)
    known, extra = known.hoist_constants()
    places, invariants, stacks = place_residuals(body, known, len(extra), origins)
    n = len(extra) + n_constants
    known_body = Jaxpr((), known.inputs, known.equations, known.outputs[:n_out] + stacks, known.name)
    invariant = Jaxpr((), known.inputs[:n], known.equations, invariants).without_dead_code(effects=False)
    residuals, tangents = groups(linear.inputs, len(places))
    is_fixed = [kind in ("constant", "invariant") for kind, _ in places]
    is_moving = [not flag for flag in is_fixed]
    t = body.inputs(spread(tangents, with_carry(flags, n_constants, carried)))
    constants = [*chosen(residuals, is_fixed), *present(t.constants)]
    t_carry, t_ys = body.outputs(spread(linear.outputs, out_nonzero))
    extended = Extension(linear)
    linear_body = extended.finish(
        [*constants, *present(t.carry), *chosen(residuals, is_moving), *present(t.xs)],
        [*instantiated(extended, t_carry, jaxpr.out_types, carried), *present(t_ys)],
    )
    return LinearizedScan(
        Body(known_body.without_dead_code(), n, n_carry),
        extra,
        invariant,
        Body(linear_body, len(constants), sum(carried)),
        tuple(chosen(places, is_fixed)),
        tuple(chosen(places, is_moving)),
        carried,
        carried + out_nonzero[n_carry:],
    )


def place_residuals(
    body: Body, known: Jaxpr, n_extra: int, origins: Sequence[int | None]
) -> tuple[list[ResidualPlace], tuple[Any, ...], tuple[Any, ...]]:
    """Where each residual is found, and the atoms of the invariant and of the stacked ones.

    The inputs of `known` are `n_extra` arrays and those of `body`; its further outputs are residuals without an origin.
    An origin is a number among the inputs and the outputs of `body`.
    """
    varies = set(known.inputs[n_extra + body.n_constants :])
    for e in known.equations:
        if not varies.isdisjoint(e.inputs):
            varies.update(e.outputs)
    # What can be had from outside by each of those numbers: not carries, which are there after the last step only.
    x = body.inputs(body.jaxpr.inputs)
    ys = body.outputs(body.jaxpr.outputs)[1]
    there: list[ResidualPlace | None] = [("constant", i) for i in range(len(x.constants))]
    there += [None] * body.n_carry + [("x", i) for i in range(len(x.xs))]
    there += [None] * body.n_carry + [("y", i) for i in range(len(ys))]
    atoms = (*known.inputs[n_extra:], *known.outputs)
    places: list[ResidualPlace] = []
    values: dict[str, list[Any]] = {"invariant": [], "stack": []}
    new = iter(known.outputs[len(body.jaxpr.outputs) :])
    for origin in origins:
        place = None if origin is None else there[origin]
        if place is None:
            v = next(new) if origin is None else atoms[origin]
            kind = "stack" if v in varies else "invariant"
            place = kind, len(values[kind])
            values[kind].append(v)
        places.append(place)
    return places, tuple(values["invariant"]), tuple(values["stack"])


class Transposed(NamedTuple):
    """The body of the reverse loop.

    It takes the arrays `extra` and the constants that are known; sums of cotangents of the linear constants, and
    cotangents of the carries that are `carried`; values of the carries that are known, known rows, and cotangents of
    rows. It gives the sums and the cotangents before the step, and cotangents of the linear rows; those `found` exist.
    """

    body: Body
    extra: tuple[Any, ...]
    known_carry: Flags
    carried: Flags
    found: Flags


@cached_by_linearizer(maxsize=4096)
def transpose_body(body: Body, linear: Flags, flags: Flags) -> Transposed:
    """The body of the reverse loop, for the arguments that are linear and the cotangents that are not zero."""
    carry_linear = body.depending(linear, differentiable=False)
    linear = with_carry(linear, body.n_constants, carry_linear)
    ct_carry, ct_ys = flags[: body.n_carry], flags[body.n_carry :]

    def turn(carry: Flags) -> Any:
        program, ct_nonzero = transpose_jaxpr(body.jaxpr, linear, carry + ct_ys)
        found = tuple(map(bool, spread(ct_nonzero, linear)))
        return body.carry(found), carry, program, found

    def step(carry: Flags) -> Flags:
        return both(body.carry(reaching(body.jaxpr, carry + ct_ys)), carry_linear)

    start = both(ct_carry, carry_linear)
    _, carried, program, found = fixpoint(turn, start, spread_around(step, start))
    opened, extra = program.hoist_constants()
    is_known = body.inputs([not flag for flag in linear])
    head, k_constants, k_carry, k_xs, cts_carry, cts_ys = groups(
        opened.inputs, len(extra), *map(sum, is_known), sum(carried)
    )
    types, ct = body.inputs(body.jaxpr.in_types), body.inputs(spread(opened.outputs, found))
    reverse = Extension(opened)
    sums = [Var(t.strong()) for t, c in zip(types.constants, ct.constants, strict=True) if c is not None]
    added = [reverse.sum(s, c) for s, c in zip(sums, present(ct.constants), strict=True)]
    constants = [*head, *k_constants]
    transposed = reverse.finish(
        [*constants, *sums, *cts_carry, *k_carry, *k_xs, *cts_ys],
        [*added, *instantiated(reverse, ct.carry, types.carry, carried), *present(ct.xs)],
    )
    made = Body(transposed, len(constants), len(sums) + sum(carried))
    return Transposed(made, extra, tuple(is_known.carry), carried, found)


@cached(maxsize=4096)
def history_body(body: Body, wanted: Flags) -> Body:
    """The body of a loop of the carries that are `wanted` alone; it gives their next values, and as rows these."""
    x = body.inputs(body.jaxpr.inputs)
    carry = chosen(x.carry, wanted)
    outputs = (*chosen(body.outputs(body.jaxpr.outputs)[0], wanted), *carry)
    history = Jaxpr((), (*x.constants, *carry, *x.xs), body.jaxpr.equations, outputs, body.jaxpr.name)
    return Body(history.without_dead_code(effects=False), body.n_constants, len(carry))
