"""Backwards through a loop whose number of steps is known only when it runs, in memory that does not depend on it.

The steps are divided into segments, at whose beginnings the carries are kept; a segment is computed again when the
way back comes to it, and divided likewise. A level keeps a fixed number of carries, and costs one loop more.

Source: the multi-level schedules of A. Griewank and A. Walther, Evaluating derivatives, chapter 12, 2008.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.core import eval_context

from minijvp.calls.dependence import fixpoint, reaching, spread_around
from minijvp.calls.programs import Flags, both, chosen, groups, present, typed
from minijvp.control_flow.bodies import Body, jvp_body, with_carry
from minijvp.control_flow.progress import Backward, Bar
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.types import Array, ArrayType
from minijvp.operations.families import spread
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_flat

SLOT_BYTES = 2**20
"""What the kept carries of one level may take, if there are more than `FEWEST_SLOTS` of them."""
FEWEST_SLOTS, MOST_SLOTS = 32, 4096
STEPS = 2**20
"""For loops of so many steps there are enough levels; a longer one repeats more steps."""


@cached_by_linearizer(maxsize=4096)
def differentiated(body: Body, flags: Flags) -> Flags:
    """Which constants and carries have a tangent, after any number of steps, if at first those of `flags` have."""

    def turn(carry: Flags) -> Any:
        return linearize_jaxpr(body.jaxpr, with_carry(flags, body.n_constants, carry))[3], carry

    _, carried = fixpoint(turn, body.carry(flags), body.depending(flags, differentiable=True))
    return with_carry(flags, body.n_constants, carried)


class Pull(NamedTuple):
    """One step backwards, for a body that is differentiated with respect to some inputs.

    `program` takes constants, the carries before the step, and cotangents of the carries after it that `cts` names;
    it gives cotangents of the inputs that are `produced`. After any number of steps there are those that are `found`.
    """

    program: Jaxpr
    cts: Flags
    produced: Flags
    found: Flags


@cached_by_linearizer(maxsize=4096)
def pull_program(loop: Body, wrt: Flags, cts: Flags) -> Pull:
    """The step backwards, if at first the cotangents of the carries in `cts` are not zero."""
    body, _, n = loop
    # What a step computes again is a part of its linear program, as in other programs; a budget goes with the body.
    with hooks.linearizer.within("auto"):
        known, linear, origins, out_nonzero = hooks.linearizer.program(body, wrt)
    n_residuals = len(origins)

    def step(carry: Flags) -> Flags:
        needed = reaching(linear, chosen(carry, out_nonzero))[n_residuals:]
        return tuple(map(bool, loop.carry(spread(needed, wrt))))

    def turn(carry: Flags) -> Any:
        found: Flags = ()

        def fun(*args: Array) -> list[Any]:
            nonlocal found
            inputs, given = groups(args, len(body.inputs))
            outs = evaluate(known, *inputs)
            residuals = residuals_of(origins, inputs, outs, n)
            flags = [False] * n_residuals + [True] * sum(wrt)
            wanted = chosen(spread(given, carry), out_nonzero)
            pulled = transpose_flat(linear, flags, [*residuals, *[None] * sum(wrt)], wanted)
            found = tuple([c is not None for c in spread(pulled, wrt)])
            return [c for c in pulled if c is not None]

        types = [*body.in_types, *(t.strong() for t in chosen(body.out_types, carry))]
        program = stage(fun, types, f"pull({body.name})" if body.name else "")
        return loop.carry(found), carry, program, found

    start = both(cts, loop.carry(wrt))
    _, carried, program, produced = fixpoint(turn, start, spread_around(step, start))
    return Pull(program, carried, produced, with_carry(produced, loop.n_constants, carried))


class Curvature(NamedTuple):
    """The way back through a loop of duals: its body, whose first constants are `extra`, and what is pulled through it.

    `found` says for which constants and carries, of the loop that the duals are of, there are cotangents in the end.
    """

    body: Body
    extra: tuple[Any, ...]
    wrt: Flags
    cts: Flags
    found: Flags


@cached_by_linearizer(maxsize=4096)
def curvature_of(body: Body, wrt: Flags, cts: Flags, along: Flags, t_cts: Flags) -> Curvature:
    """The way back for cotangents in `cts`, of a loop that is differentiated `along` some inputs; `t_cts` move too."""
    made = jvp_body(body, along)
    wrt_of, along_of = body.inputs(wrt), body.inputs(along)
    none = lambda flags: (False,) * sum(flags)
    start = len(made.extra)
    constants = (False,) * start + (*wrt_of.constants, *none(along_of.constants))
    flags = differentiated(made.body, (*constants, *wrt_of.carry, *none(along_of.carry)))
    pull = pull_program(made.body, flags, t_cts + tuple(chosen(cts, along_of.carry)))
    found = made.body.inputs(pull.found)
    both = (*found.constants[start : start + body.n_constants], *found.carry[: body.n_carry])
    return Curvature(made.body, made.extra, flags, pull.cts, both)


def slots(types: Sequence[ArrayType]) -> tuple[int, int]:
    """How many carries a level keeps, and how many levels there are."""
    size = sum([t.bytes for t in types])
    n = min(max(SLOT_BYTES // max(size, 1), FEWEST_SLOTS), MOST_SLOTS)
    levels = 1
    while n**levels < STEPS:
        levels += 1
    return n, levels


def pull_loop(
    loop: Body, wrt: Flags, cts: Flags, n: Array, inputs: Sequence[Any], given: Any, bar: Bar | None = None
) -> Any:
    """The cotangents that `pull_program` finds, after `n` steps, by raw jax.lax calls. It may show a bar."""
    body = loop.jaxpr
    with eval_context():
        program, _, found, _ = pull_program(loop, wrt, cts)
    types = loop.inputs(body.in_types)
    constants, init, _ = loop.inputs([typed(x, t) for x, t in zip(inputs, body.in_types, strict=True)])

    def backwards(carry: Any, state: Any) -> Any:
        sums, ct = state
        pulled = loop.inputs(spread(lower(program, *constants, *carry, *ct), found))
        sums = [s + c for s, c in zip(sums, present(pulled.constants), strict=True)]
        return sums, [jnp.zeros_like(v) if c is None else c for c, v in zip(chosen(pulled.carry, cts), ct)]

    sums = [jnp.zeros_like(v) for v in chosen(constants, loop.inputs(found).constants)]
    state: Any = sums, list(given)
    way: AbstractContextManager[Any] = nullcontext() if bar is None else Backward(bar, n)
    with way as told:
        walk = WayBack(lambda carry: lower(body, *constants, *carry), backwards, *slots(types.carry), told)
        found = walk.segment(0, init, n, told.begin(state) if told else state)
        sums, ct = found[1] if told else found
    return (*sums, *ct)


class WayBack:
    """The way back through a loop, for its step forwards and its step backwards, by levels of `size` slots.

    With a bar, `told`, its state goes with a ticket.
    """

    def __init__(
        self, step: Callable[[Any], Any], backwards: Callable[[Any, Any], Any], size: int, levels: int, told: Any = None
    ):
        self.step = step
        self.backwards = backwards
        self.size = size
        self.levels = levels
        self.told = told

    def advance(self, x: Any, n: Array) -> Any:
        """The carries `n` steps later."""
        return lax.fori_loop(0, n, lambda _, x: self.step(x), x)

    def keep(self, x: Any, n: Array, stride: Any) -> Any:
        """`n` slots with the carries after every `stride` steps, the first with `x` itself."""
        empty = [jnp.broadcast_to(jnp.zeros_like(v), (self.size, *v.shape)) for v in x]
        kept = [lax.dynamic_update_index_in_dim(k, v, 0, 0) for k, v in zip(empty, x, strict=True)]

        def put(j: Array, state: Any) -> Any:
            x, kept = state
            x = self.step(x) if stride is None else self.advance(x, stride)
            return x, [lax.dynamic_update_index_in_dim(k, v, j, 0) for k, v in zip(kept, x, strict=True)]

        return lax.fori_loop(1, n, put, (x, kept))[1]

    def back(self, kept: Any, n: Array, do: Callable[[Any, Any, Any], Any], state: Any, told: Any = None) -> Any:
        """The state after `do(j, slot, state)` for all slots from the last one to the first."""

        def turn(k: Array, state: Any) -> Any:
            j = n - 1 - k
            return do(j, [lax.dynamic_index_in_dim(v, j, 0, keepdims=False) for v in kept], state)

        return lax.fori_loop(0, n, turn, state) if told is None else told.steps(n, turn, state)

    def segment(self, level: int, x: Any, n: Array, state: Any) -> Any:
        """The state before `n` steps that begin with the carries `x`."""
        if level == self.levels - 1:
            return self.last(x, n, state)
        # As long as the levels below suffice they are filled, so that a short loop is computed once more only.
        below = self.size ** (self.levels - 1 - level)
        stride = jnp.maximum(below, -(-n // self.size))
        count = -(-n // stride)
        kept = self.keep(x, count, stride)

        def do(j: Array, x: Any, state: Any) -> Any:
            return self.segment(level + 1, x, jnp.minimum(stride, n - j * stride), state)

        return self.back(kept, count, do, state)

    def last(self, x: Any, n: Array, state: Any) -> Any:
        """The state before `n` steps, all of which are kept, or one part after the other if they are too many."""

        def part(k: Array, state: Any) -> Any:
            start = (parts - 1 - k) * self.size
            count = jnp.minimum(n - start, self.size)
            kept = self.keep(self.advance(x, start), count, None)
            return self.back(kept, count, lambda j, x, state: self.backwards(x, state), state, self.told)

        parts = -(-n // self.size)
        return lax.fori_loop(0, parts, part, state)
