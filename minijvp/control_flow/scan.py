"""Loops of a static number of steps over the rows of arrays.

scan : ((c, a) -> (c, b)) -> (c, [a]) -> (c, [b])
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
from jax import lax

from minijvp.calls.carrier import reached
from minijvp.calls.programs import (
    ControlFlow,
    Extension,
    Flags,
    array_types,
    batched_carry,
    chosen,
    groups,
    instantiated,
    present,
    reaching,
    require_types,
    settle,
    spread_around,
    typed,
)
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, Var, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType, jit_is_disabled
from minijvp.operations.families import instantiate, is_linear, nonzero, spread, zeros_like
from minijvp.operations.shape import move_axis
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import Loop
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr


class Scan(ControlFlow):
    """The last carries, and the stacked results of all steps, of a loop over the leading axis of arrays.

    Its arguments are `n_constants` constants, `n_carry` first carries, and arrays of `length` rows. The open `jaxpr`
    takes constants, carries and one row of each array; it gives the next carries and one row of each result.
    `reverse` goes from the last row to the first; `unroll` is the number of steps in a turn of the compiled loop.
    """

    def impl(
        self, *args: Any, jaxpr: Jaxpr, n_constants: int, n_carry: int, length: int, reverse: bool, unroll: Any
    ) -> tuple[Any, ...]:
        fixed = n_constants + n_carry
        exact = [typed(x, t) for x, t in zip(args[:fixed], jaxpr.in_types, strict=False)]
        constants, init = exact[:n_constants], exact[n_constants:]

        def step(carry: Any, x: Any) -> tuple[Any, Any]:
            outs = lower(jaxpr, *constants, *carry, *x)
            return outs[:n_carry], outs[n_carry:]

        # Without a step to take in Python, JAX knows no types of results inside of disable_jit.
        with jax.disable_jit(False) if jit_is_disabled() and not length else nullcontext():
            carry, ys = lax.scan(step, init, list(args[fixed:]), length, reverse, unroll)
        return (*carry, *ys)

    def type_rule(
        self, *types: ArrayType, jaxpr: Jaxpr, n_constants: int, n_carry: int, length: int, reverse: bool, unroll: Any
    ) -> tuple[ArrayType, ...]:
        fixed, in_types = n_constants + n_carry, jaxpr.in_types
        carry, ys = groups(array_types(jaxpr.out_types), n_carry)
        require_types("the carries that a scan's body returns", carry, in_types[n_constants:fixed])
        require_types("the arguments of a scan", types, (*in_types[:fixed], *stacked(length, in_types[fixed:])))
        return (*carry, *stacked(length, ys))

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        n_constants, n_carry = params["n_constants"], params["n_carry"]
        body, extra, carried, out_nonzero = jvp_body(params["jaxpr"], n_constants, n_carry, nonzero(tangents))
        constants, init, xs = groups(primals, n_constants, n_carry)
        t_constants, t_init, t_xs = groups(tangents, n_constants, n_carry)
        outs = self(
            *extra,
            *constants,
            *present(t_constants),
            *init,
            *started(t_init, init, carried),
            *xs,
            *present(t_xs),
            **changed(params, body, len(extra) + n_constants + len(present(t_constants)), n_carry + sum(carried)),
        )
        n_ys = len(out_nonzero) - n_carry
        carry, t_carry, ys, t_ys = groups(outs, n_carry, sum(carried), n_ys)
        return (*carry, *ys), spread([*t_carry, *t_ys], (*carried, *out_nonzero[n_carry:]))

    def turns(self, params: dict[str, Any]) -> int:
        return params["length"]

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        n_constants, n_carry = params["n_constants"], params["n_carry"]
        length, unroll = params["length"], params["unroll"]
        unrolled = unroll is True or unroll >= length
        parts = linearize_body(params["jaxpr"], n_constants, n_carry, nonzero(tangents), length, unrolled)
        constants, init, xs = groups(primals, n_constants, n_carry)
        t_constants, t_init, t_xs = groups(tangents, n_constants, n_carry)
        outs = self(*parts.extra, *primals, **changed(params, parts.known, len(parts.extra) + n_constants, n_carry))
        n = len(parts.out_nonzero)
        outs, stacks = outs[:n], outs[n:]
        if not any(parts.out_nonzero):
            return outs, (None,) * n
        sources = {
            "constant": constants,
            "invariant": evaluate(parts.invariant, *parts.extra, *constants),
            "x": xs,
            "y": outs[n_carry:],
            "stack": stacks,
        }
        fixed, moving = ([sources[kind][i] for kind, i in places] for places in (parts.fixed, parts.moving))
        t_outs = self(
            *fixed,
            *present(t_constants),
            *started(t_init, init, parts.carried),
            *moving,
            *present(t_xs),
            **changed(params, parts.linear, len(fixed) + len(present(t_constants)), sum(parts.carried)),
        )
        return outs, spread(t_outs, parts.out_nonzero)

    def transpose(self, ct: tuple, *args: Any, **params: Any) -> tuple[Any, ...]:
        n_constants, n_carry = params["n_constants"], params["n_carry"]
        linear = tuple(map(is_linear, args))
        parts = transpose_body(params["jaxpr"], n_constants, n_carry, linear, nonzero(ct))
        constants, init, xs = groups(args, n_constants, n_carry)
        histories = self.histories(constants, init, xs, parts.known_carry, params)
        ct_carry, ct_ys = groups(ct, n_carry)
        known_constants, known_xs = (chosen(v, [not is_linear(x) for x in v]) for v in (constants, xs))
        sums = [zeros_like(x) for x in parts.constants_of(constants)]
        outs = self(
            *parts.extra,
            *known_constants,
            *sums,
            *started(ct_carry, init, parts.carried),
            *histories,
            *known_xs,
            *present(ct_ys),
            **changed(
                params,
                parts.body,
                len(parts.extra) + len(known_constants),
                len(sums) + sum(parts.carried),
                reverse=not params["reverse"],
            ),
        )
        found = spread(outs, (*parts.found[:n_constants], *parts.carried, *parts.found[n_constants + n_carry :]))
        return tuple([c if flag else None for c, flag in zip(found, linear, strict=True)])

    def histories(self, constants: Any, init: Any, xs: Any, known: Flags, params: dict[str, Any]) -> list[Any]:
        """For each carry that is known without the linear arguments, its values before every step."""
        if not any(known):
            return []
        n_constants, n_carry = len(constants), len(init)
        body = history_body(params["jaxpr"], n_constants, n_carry, known)
        args = [zeros_like(x) if is_linear(x) else x for x in (*constants, *chosen(init, known), *xs)]
        return list(self(*args, **changed(params, body, n_constants, sum(known)))[sum(known) :])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        n_constants, n_carry = params["n_constants"], params["n_carry"]
        body, extra, carried, out_batched = vmap_body(params["jaxpr"], n_constants, n_carry, axis, batched)
        constants, init, xs = groups(args, n_constants, n_carry)
        _, b_init, b_xs = groups(batched, n_constants, n_carry)
        init = batched_carry(axis, init, b_init, carried)
        xs = [move_axis(x, 0, 1) if b else x for x, b in zip(xs, b_xs, strict=True)]
        outs = self(*extra, *constants, *init, *xs, **changed(params, body, len(extra) + n_constants, n_carry))
        carry, ys = groups(outs, n_carry)
        ys = [move_axis(y, 1, 0) if b else y for y, b in zip(ys, out_batched[n_carry:], strict=True)]
        return (*carry, *ys), out_batched

    def narrowed(self, equation: Equation, used: Flags) -> Equation:
        params = equation.params
        if equation.has_effects:
            return equation
        body, ins, outs = narrowed_body(params["jaxpr"], params["n_constants"], params["n_carry"], used)
        if all(outs):
            return equation
        constants, carry, _ = groups(ins, params["n_constants"], params["n_carry"])
        how = changed(params, body, sum(constants), sum(carry))
        inputs, outputs = tuple(chosen(equation.inputs, ins)), tuple(chosen(equation.outputs, outs))
        return Equation(self, inputs, how, outputs, equation.source)

    def reached(self, equation: Equation, inputs: Flags, differentiable: bool) -> Flags:
        jaxpr, n_constants, n_carry = [equation.params[name] for name in ("jaxpr", "n_constants", "n_carry")]
        carry = first_guess(jaxpr, n_constants, n_carry, inputs, differentiable)
        return carry + reached(jaxpr, with_carry(inputs, n_constants, carry), differentiable)[n_carry:]


scan = Scan("scan")


def stacked(length: int, types: Sequence[ArrayType]) -> list[ArrayType]:
    """The types of arrays whose rows have these types."""
    return [t.with_shape((length, *t.shape)) for t in types]


def changed(params: dict[str, Any], jaxpr: Jaxpr, n_constants: int, n_carry: int, **others: Any) -> dict[str, Any]:
    """The parameters of the same loop with another body."""
    return {**params, "jaxpr": jaxpr, "n_constants": n_constants, "n_carry": n_carry, **others}


def started(tangents: Sequence[Any], primals: Sequence[Any], carried: Sequence[bool]) -> list[Any]:
    """The first tangents of the carries that have one, zeros where it is zero at first."""
    return [instantiate(t, x) for t, x, flag in zip(tangents, primals, carried, strict=True) if flag]


def first_guess(jaxpr: Jaxpr, n_constants: int, n_carry: int, flags: Flags, differentiable: bool) -> Flags:
    """Which carries depend, after some turns, on the inputs of the body that `flags` names."""

    def step(carry: Flags) -> Flags:
        return reached(jaxpr, with_carry(flags, n_constants, carry), differentiable)[:n_carry]

    return spread_around(step, flags[n_constants : n_constants + n_carry])


def with_carry(flags: Flags, n_constants: int, carry: Flags) -> Flags:
    """The flags of the inputs of a body, those of the carries replaced."""
    return flags[:n_constants] + carry + flags[n_constants + len(carry) :]


@cached(maxsize=4096)
def narrowed_body(jaxpr: Jaxpr, n_constants: int, n_carry: int, used: Flags) -> tuple[Jaxpr, Flags, Flags]:
    """The body without dead carries, which neither a used result nor a live carry needs; its inputs and outputs."""
    ys = used[n_carry:]

    def step(carry: Flags) -> Flags:
        return reaching(jaxpr, carry + ys)[n_constants : n_constants + n_carry]

    carry = spread_around(step, used[:n_carry])
    body = jaxpr.without_dead_code(carry + ys)
    ins = with_carry(reaching(body, (True,) * len(body.outputs)), n_constants, carry)
    return Jaxpr((), tuple(chosen(body.inputs, ins)), body.equations, body.outputs, body.name), ins, carry + ys


@cached(maxsize=4096)
def jvp_body(jaxpr: Jaxpr, n_constants: int, n_carry: int, flags: Flags) -> tuple[Jaxpr, tuple[Any, ...], Flags, Flags]:
    """The body on duals, the arrays it closes over, which carries and which outputs have a tangent.

    Its inputs are those arrays, constants and their tangents, carries and theirs, rows and theirs; likewise outputs.
    """

    def turn(carry: Flags) -> Any:
        program, out_nonzero = jvp_jaxpr(jaxpr, with_carry(flags, n_constants, carry))
        return out_nonzero[:n_carry], carry, program, out_nonzero

    guess = first_guess(jaxpr, n_constants, n_carry, flags, differentiable=True)
    _, carried, program, out_nonzero = settle(turn, flags[n_constants : n_constants + n_carry], guess)
    opened, extra = program.hoist_constants()
    n, n_in = len(extra), len(jaxpr.inputs)
    head, primals, tangents = groups(opened.inputs, n, n_in)
    all_tangents = spread(tangents, with_carry(flags, n_constants, carried))
    inputs = head
    for part, t_part in zip(groups(primals, n_constants, n_carry), groups(all_tangents, n_constants, n_carry)):
        inputs += [*part, *present(t_part)]
    body = Extension(opened)
    outs, t_outs = groups(opened.outputs, len(jaxpr.outputs))
    t_outs = list(spread(t_outs, out_nonzero))
    t_carry = instantiated(body, t_outs[:n_carry], jaxpr.out_types, carried)
    outputs = [*outs[:n_carry], *t_carry, *outs[n_carry:], *present(t_outs[n_carry:])]
    return body.finish(inputs, outputs), extra, carried, carried + out_nonzero[n_carry:]


Place = tuple[str, int]
"""Where a residual is found: among the constants, the invariants, the arrays, the results or the stacks of a scan."""


class Linearized(NamedTuple):
    """The two loops that a scan is linearized to.

    `known` takes the arrays `extra`, and what the scan takes; its further results are stacks of residuals. `invariant`
    gives the residuals that are the same in all steps, from `extra` and the constants. `linear` takes the residuals
    at the places `fixed`, tangents of constants; tangents of carries; residuals at `moving`, and tangents of rows.
    """

    known: Jaxpr
    extra: tuple[Any, ...]
    invariant: Jaxpr
    linear: Jaxpr
    fixed: tuple[Place, ...]
    moving: tuple[Place, ...]
    carried: Flags
    out_nonzero: Flags


@cached_by_linearizer(maxsize=4096)
def linearize_body(
    jaxpr: Jaxpr, n_constants: int, n_carry: int, flags: Flags, length: int, unrolled: bool = False
) -> Linearized:
    """The known and the linear body of a scan of `length` steps; `flags` says which arguments have a tangent."""
    n_in, n_out = len(jaxpr.inputs), len(jaxpr.outputs)
    loop = Loop(
        length,
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

    guess = first_guess(jaxpr, n_constants, n_carry, flags, differentiable=True)
    start = flags[n_constants : n_constants + n_carry]
    _, carried, known, linear, origins, out_nonzero = settle(turn, start, guess)
    known, extra = known.hoist_constants()
    places, invariants, stacks = place_residuals(known, origins, len(extra), len(jaxpr.outputs), n_constants, n_carry)
    n = len(extra) + n_constants
    fixed_inputs = known.inputs[:n]
    known_body = Jaxpr((), known.inputs, known.equations, known.outputs[: len(jaxpr.outputs)] + stacks, known.name)
    invariant = Jaxpr((), fixed_inputs, known.equations, invariants).without_dead_code(effects=False)
    residuals, tangents = groups(linear.inputs, len(places))
    is_fixed = [kind in ("constant", "invariant") for kind, _ in places]
    t_constants, t_carry, t_xs = groups(spread(tangents, with_carry(flags, n_constants, carried)), n_constants, n_carry)
    body = Extension(linear)
    t_outs = list(spread(linear.outputs, out_nonzero))
    linear_body = body.finish(
        [
            *chosen(residuals, is_fixed),
            *present(t_constants),
            *present(t_carry),
            *chosen(residuals, [not f for f in is_fixed]),
            *present(t_xs),
        ],
        [*instantiated(body, t_outs[:n_carry], jaxpr.out_types, carried), *present(t_outs[n_carry:])],
    )
    fixed, moving = (tuple(chosen(places, [f is flag for f in is_fixed])) for flag in (True, False))
    return Linearized(
        known_body.without_dead_code(),
        extra,
        invariant,
        linear_body,
        fixed,
        moving,
        carried,
        carried + out_nonzero[n_carry:],
    )


def place_residuals(
    known: Jaxpr, origins: Sequence[int | None], n_extra: int, n_outputs: int, n_constants: int, n_carry: int
) -> tuple[list[Place], tuple[Any, ...], tuple[Any, ...]]:
    """Where each residual is found, and the atoms of the invariant and of the stacked ones."""
    n_inputs = len(known.inputs) - n_extra
    unchanging = [i < n_extra + n_constants for i in range(len(known.inputs))]
    varies = {v for v, flag in zip(known.inputs, unchanging, strict=True) if not flag}
    for e in known.equations:
        if not varies.isdisjoint(e.inputs):
            varies.update(e.outputs)
    places: list[Place] = []
    invariants: list[Any] = []
    stacks: list[Any] = []
    new = iter(known.outputs[n_outputs:])
    for origin in origins:
        if origin is not None and origin < n_constants:
            places.append(("constant", origin))
            continue
        if origin is not None and n_constants + n_carry <= origin < n_inputs:
            places.append(("x", origin - n_constants - n_carry))
            continue
        if origin is not None and origin >= n_inputs + n_carry:
            places.append(("y", origin - n_inputs - n_carry))
            continue
        v = next(new) if origin is None else (*known.inputs[n_extra:], *known.outputs)[origin]
        kind, values = ("stack", stacks) if v in varies else ("invariant", invariants)
        places.append((kind, len(values)))
        values.append(v)
    return places, tuple(invariants), tuple(stacks)


class Transposed(NamedTuple):
    """The body of the reverse loop.

    It takes the arrays `extra` and the constants that are known; sums of cotangents of the linear constants, and
    cotangents of the carries that are `carried`; values of the carries that are known, known rows, and cotangents of
    rows. It gives the sums and the cotangents before the step, and cotangents of the linear rows; those `found` exist.
    """

    body: Jaxpr
    extra: tuple[Any, ...]
    known_carry: Flags
    carried: Flags
    found: Flags

    def constants_of(self, constants: Sequence[Any]) -> list[Any]:
        """The constants that get a cotangent."""
        return chosen(constants, self.found[: len(constants)])


@cached_by_linearizer(maxsize=4096)
def transpose_body(jaxpr: Jaxpr, n_constants: int, n_carry: int, linear: Flags, flags: Flags) -> Transposed:
    """The body of the reverse loop, for the arguments that are linear and the cotangents that are not zero."""
    carry_linear = first_guess(jaxpr, n_constants, n_carry, linear, differentiable=False)
    linear = with_carry(linear, n_constants, carry_linear)
    n_fixed = n_constants + n_carry

    def turn(carry: Flags) -> Any:
        program, found = transpose_jaxpr(jaxpr, linear, carry + flags[n_carry:])
        found = spread(found, linear)
        return tuple(map(bool, found[n_constants:n_fixed])), carry, program, tuple(map(bool, found))

    def step(carry: Flags) -> Flags:
        needed = reaching(jaxpr, carry + flags[n_carry:])[n_constants:n_fixed]
        return tuple([a and b for a, b in zip(needed, carry_linear, strict=True)])

    start = tuple([a and b for a, b in zip(flags[:n_carry], carry_linear, strict=True)])
    _, carried, program, found = settle(turn, start, spread_around(step, start))
    opened, extra = program.hoist_constants()
    known = tuple([not flag for flag in linear])
    known_flags = groups(known, n_constants, n_carry)
    head, k_constants, k_carry, k_xs, ct_carry, ct_ys = groups(
        opened.inputs, len(extra), *map(sum, known_flags), sum(carried)
    )
    cts = list(spread(opened.outputs, found))
    body = Extension(opened)
    sums = [Var(t.strong()) for t in chosen(jaxpr.in_types[:n_constants], found[:n_constants])]
    added = [body.sum(s, c) for s, c in zip(sums, present(cts[:n_constants]), strict=True)]
    carry_types = jaxpr.in_types[n_constants:n_fixed]
    next_carry = instantiated(body, cts[n_constants:n_fixed], carry_types, carried)
    transposed = body.finish(
        [*head, *k_constants, *sums, *ct_carry, *k_carry, *k_xs, *ct_ys],
        [*added, *next_carry, *present(cts[n_fixed:])],
    )
    return Transposed(transposed, extra, tuple(known_flags[1]), carried, found)


@cached(maxsize=4096)
def history_body(jaxpr: Jaxpr, n_constants: int, n_carry: int, known: Flags) -> Jaxpr:
    """The body of a loop of the carries that are `known` alone; it gives their next values, and as rows these."""
    constants, carry, xs = groups(jaxpr.inputs, n_constants, n_carry)
    carry = chosen(carry, known)
    outputs = (*chosen(jaxpr.outputs[:n_carry], known), *carry)
    history = Jaxpr((), (*constants, *carry, *xs), jaxpr.equations, outputs, jaxpr.name)
    return history.without_dead_code(effects=False)


@cached(maxsize=4096)
def vmap_body(
    jaxpr: Jaxpr, n_constants: int, n_carry: int, axis: Axis, flags: Flags
) -> tuple[Jaxpr, tuple[Any, ...], Flags, Flags]:
    """The batched body, the arrays it closes over, which carries and which outputs are batched."""

    def turn(carry: Flags) -> Any:
        program, out_batched = vmap_jaxpr(jaxpr, axis, with_carry(flags, n_constants, carry))
        return out_batched[:n_carry], carry, program, out_batched

    guess = first_guess(jaxpr, n_constants, n_carry, flags, differentiable=False)
    _, carried, program, out_batched = settle(turn, flags[n_constants : n_constants + n_carry], guess)
    opened, extra = program.hoist_constants()
    body = Extension(opened)
    places = zip(opened.outputs, carried, out_batched)
    carry = [body.repeated(axis.size, v) if c and not b else v for v, c, b in places]
    return (
        body.finish(opened.inputs, [*carry, *opened.outputs[n_carry:]]),
        extra,
        carried,
        carried + out_batched[n_carry:],
    )
