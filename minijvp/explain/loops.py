"""Loops that are run up to a turn, once more and silently, and say since when a carry is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.calls.programs import typed
from minijvp.calls.silence import silent
from minijvp.control_flow.bodies import Body
from minijvp.control_flow.scan import body_of
from minijvp.control_flow.while_loop import loop_of, pull_of
from minijvp.control_flow.while_programs import LoopPrograms
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, lower
from minijvp.core.types import Params, is_inexact
from minijvp.operations.families import spread

EVER = 2**31 - 1


@cached(maxsize=256)
def compiled(body: Body, condition: Jaxpr | None, length: int, reverse: bool) -> Any:
    """The compiled loop, which runs until a turn: its carries, since when they are nan and inf, and the turns."""
    flags = [is_inexact(t.dtype) for t in body.inputs(body.jaxpr.in_types).carry]

    def advance(stop: Any, outer: Any, constants: Any, init: Any, xs: Any) -> Any:
        def goes_on(state: Any) -> Any:
            turn, carry, _, _ = state
            wanted = turn < stop
            return wanted if condition is None else wanted & lower(silent(condition), *outer, *carry)[0]

        def step(state: Any) -> Any:
            turn, carry, nans, infs = state
            row = length - 1 - turn if reverse else turn
            rows = [lax.dynamic_index_in_dim(x, row, keepdims=False) for x in xs]
            outs = lower(silent(body.jaxpr), *constants, *carry, *rows)[: body.n_carry]
            carry = [typed(x, t) for x, t in zip(outs, body.inputs(body.jaxpr.in_types).carry, strict=True)]
            return turn + 1, carry, since(jnp.isnan, carry, turn, nans), since(jnp.isinf, carry, turn, infs)

        def since(is_bad: Any, carry: Any, turn: Any, known: Any) -> Any:
            bad = [jnp.any(is_bad(x)) if flag else jnp.array(False) for x, flag in zip(carry, flags, strict=True)]
            return [jnp.where(b, jnp.where(k < 0, turn, k), -1) for b, k in zip(bad, known, strict=True)]

        carry = [typed(x, t) for x, t in zip(init, body.inputs(body.jaxpr.in_types).carry, strict=True)]
        never = [jnp.array(-1, jnp.int32) for _ in carry]
        # What is not finite from the start began before the first turn.
        turns, carry, nans, infs = lax.while_loop(goes_on, step, (jnp.array(0, jnp.int32), carry, never, never))
        return turns, carry, nans, infs

    return jax.jit(advance)


class Loop(NamedTuple):
    """A scan, or a while with its condition: a body, and how many turns there are at most."""

    body: Body
    length: int
    reverse: bool = False
    condition: Jaxpr | None = None
    outer: Sequence[Any] = ()

    @classmethod
    def of_scan(cls, params: Params) -> Loop:
        return cls(body_of(params), params["length"], params["reverse"])

    @classmethod
    def of_while(cls, params: Params, outer: Sequence[Any]) -> Loop:
        """With the constants of the condition."""
        condition, _, body = LoopPrograms.of(params)
        return cls(body, EVER, False, condition, outer)

    @classmethod
    def of_steps(cls, body: Body, n: int) -> Loop:
        """So many steps of a body without rows."""
        return cls(body, n)

    @property
    def of_turns(self) -> str:
        return "" if self.length == EVER else f" of {self.length}"

    def row(self, turn: int) -> int:
        """The row that a turn reads, and the turn that reads a row."""
        return self.length - 1 - turn if self.reverse else turn

    def advance(self, turns: int, given: Any) -> tuple[list[Any], dict[str, np.ndarray], int]:
        """The carries after some turns, since which turn each is nan or inf without a break, and the turns."""
        run = compiled(self.body, self.condition, self.length if self.reverse else 0, self.reverse)
        taken, carry, nans, infs = run(np.int32(turns), self.outer, given.constants, given.init, given.xs)
        return carry, {"nan": np.array(nans), "inf": np.array(infs)}, int(taken)


class WayBack(NamedTuple):
    """A step of the way back through a while: its program, and which of its results are cotangents of which carries."""

    program: Jaxpr
    n_constants: int
    n_carry: int
    cts: tuple[bool, ...]
    found: tuple[bool, ...]

    @classmethod
    def of(cls, params: Params) -> WayBack:
        pull, body = pull_of(params), loop_of(params)
        return cls(pull.program, body.n_constants, body.n_carry, pull.cts, pull.produced)

    def step(self, constants: Sequence[Any], carry: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """The results of a step."""
        return list(compiled_program(self.program)(*constants, *carry, *cts))

    def carried(self, results: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """The cotangents of carries before a step, from its results."""
        by_input = spread(results, self.found)
        carry = by_input[self.n_constants : self.n_constants + self.n_carry]
        kept = [c for c, flag in zip(carry, self.cts, strict=True) if flag]
        return [jnp.zeros_like(v) if c is None else c for c, v in zip(kept, cts, strict=True)]


@cached(maxsize=256)
def compiled_program(jaxpr: Jaxpr) -> Any:
    """A program, compiled."""
    return jax.jit(lambda *args: lower(silent(jaxpr), *args))
