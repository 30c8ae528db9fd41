"""Loops that show how far they are: by one bar on the host, which is drawn at most ten times a second.

A loop goes in parts. Behind each it calls the host, which draws, and says how many steps the next part has: few at
first, then what takes a tenth of a second, by the pace of the loop up to then and in earlier runs. So a run costs two
calls, of some 50 µs each, and ten a second besides. All of this is made where a loop is lowered: its derivatives, and
what they keep, are those of a loop without a bar.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from threading import RLock, local
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import get_abstract_mesh

from minijvp.core.hooks import hooks
from minijvp.core.types import ArrayType, Params
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.packages import package

PERIOD = 0.1
FASTER = 8
"""How many times more steps a part may have than the one before."""
FIRST_LINE, NEXT_LINE = 10.0, 1.5
"""Where there is no terminal, lines are written: after so many seconds, and each so many times later than the last."""
PARTS = 64
"""About how many parts a scan has at least: the steps of a part are a loop whose length the compiler knows."""
ALL = 2**30

INT32 = np.dtype(np.int32)
Ticket = tuple[Any, Any]
"""What a loop carries: the number of its run, and how many parts are left until the host is called."""


@dataclass(frozen=True)
class Bar:
    """What a bar is called, and how many of the steps that it counts a step of the loop has."""

    name: str
    words: tuple[str, ...] = ()
    scale: int = 1

    def of(self, word: str) -> Bar:
        """That of a derivative of the loop. What is transposed of a loop of tangents goes backward."""
        words = self.words[:-1] if word == "backward" and self.words[-1:] == ("tangents",) else self.words
        return replace(self, words=(*words, word))

    def __str__(self) -> str:
        return ", ".join((self.name, *self.words))

    def __repr__(self) -> str:
        return repr(str(self))


def bar_of(progress: Any, function: str, length: Any = None, scale: int = 1) -> dict[str, Any]:
    """The parameters that a loop has more for an argument `progress`: none, if it is None.

    Raises ArgumentError for what is no name, and for a `length` that is symbolic. A step counts as `scale` steps.
    """
    if progress is None:
        return {}
    if not isinstance(progress, Bar):
        require_name(progress, function)
    if is_symbolic(length):
        raise ArgumentError(
            f"{function} received progress={progress!r:.200} for {length} steps.",
            "A program that is exported for arrays of any size cannot call this process.",
            "Omit it.",
        )
    drawer()
    return {"progress": Bar(progress, scale=scale) if isinstance(progress, str) else progress}


def require_name(progress: Any, function: str) -> None:
    """Raise ArgumentError for what cannot be the name of a bar."""
    if not isinstance(progress, str):
        raise ArgumentError(
            f"{function} received progress={progress!r:.200} of type {type(progress).__name__}.",
            "It is what the bar is called.",
            'Write progress="training", or omit it.',
        )


def shown(params: Params, word: str | None = None) -> dict[str, Bar]:
    """The same for a loop that is made of one with these parameters, and called by a word more."""
    bar = params.get("progress")
    return {} if bar is None else {"progress": bar.of(word) if word else bar}


def drawer() -> Any:
    """What draws bars, here: in a terminal, or in a notebook. MissingPackageError where tqdm is not installed."""
    return package("tqdm.auto", "progress", "A loop with progress").tqdm


# On the host


class Run:
    """A run of a loop: how far it is, and what was drawn of it."""

    def __init__(self, title: str, total: int | None, scale: int, nested: bool, seen: bool):
        self.title, self.total, self.scale, self.nested, self.seen = title, total, scale, nested, seen
        self.started = self.called = self.drawn = perf_counter()
        self.done, self.parts, self.line_at = 0, 1, FIRST_LINE
        self.bar: Any = None

    def draw(self, last: bool = False) -> None:
        """Show how far it is. If that fails, the loop goes on unseen."""
        self.drawn = self.called
        try:
            self._draw(self.called - self.started, last)
        except Exception:
            self.seen = False

    def _draw(self, elapsed: float, last: bool) -> None:
        tqdm, done = drawer(), self.done * self.scale
        total = None if self.total is None else self.total * self.scale
        if self.seen and self.bar is None and not last and (sys.stderr.isatty() or in_notebook(tqdm)):
            self.bar = tqdm(total=total, desc=self.title, mininterval=0, miniters=0, leave=None, file=sys.stderr)
            self.bar.start_t -= elapsed
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
            if last:
                self.bar.close()
        elif self.seen and (elapsed >= self.line_at or (last and not self.nested)):
            self.line_at = NEXT_LINE * elapsed
            tqdm.write(tqdm.format_meter(done, total, elapsed, prefix=self.title), file=sys.stderr)


def in_notebook(tqdm: Any) -> bool:
    """Whether bars are widgets."""
    return any([c.__module__ == "tqdm.notebook" for c in tqdm.__mro__])


numbers = count(1)
runs: dict[int, Run] = {}
"""Those that are not at their end."""
lock = RLock()


def close_all() -> None:
    """Leave all bars as they are, where an error came: the loops will not end. What still runs is seen no more."""
    with lock:
        while runs:
            _, run = runs.popitem()
            if run.bar is not None:
                run.bar.close()
        hooks.failed = None


class Meter:
    """The bar of a compiled loop, whose parts have a multiple of `size` steps."""

    def __init__(self, bar: Bar, size: int = 1):
        self.bar, self.size = bar, size
        self.pace = 0.0
        """How many times `size` steps a second has, by what is known up to now."""
        self.nested = depth() > 0
        mesh = get_abstract_mesh()
        # Inside of shard_map each device calls.
        self.copies, self.opened = math.prod([mesh.shape[a] for a in mesh.manual_axes]), 0

    def __call__(self, sent: Any) -> Any:
        try:
            with lock:
                return np.array(self.answer(*np.asarray(sent).tolist()), INT32)
        except BaseException:  # an interrupt
            close_all()
            raise

    def answer(self, number: int, done: int, total: int, ended: int) -> tuple[int, int]:
        """The number of the run, which is 0 before it has one; and how many parts it goes on without a call."""
        if not number:
            return self.open(total)
        run, ended = runs.get(number), ended or done == total
        if run is None:
            return number, ALL
        now = perf_counter()
        if done > run.done:
            since, before = (run.started, 0) if ended else (run.called, run.done)
            self.pace = (done - before) / self.size / max(now - since, 1e-9)
        run.called, run.done = now, done
        if ended:
            del runs[number]
            hooks.failed = hooks.failed if runs else None
        if ended or now - run.drawn >= PERIOD:
            run.draw(last=bool(ended))
        run.parts = min(self.wanted(), FASTER * run.parts)
        return number, run.parts

    def open(self, total: int) -> tuple[int, int]:
        """A new run. Of those that are one, on several devices, one is seen."""
        number, seen = next(numbers) % ALL + 1, self.opened % self.copies == 0
        self.opened += 1
        run = Run(str(self.bar), None if total < 0 else total, self.bar.scale, self.nested, seen)
        if total:
            runs[number], hooks.failed = run, close_all
        if not 0 <= total <= 2 * PERIOD * self.pace * self.size:
            run.draw()
        run.parts = self.wanted() if seen else ALL
        return number, run.parts

    def wanted(self) -> int:
        """How many parts a call is worth."""
        return max(min(int(self.pace * PERIOD), ALL), 1)


@contextmanager
def counted(bar: Bar | None, total: int | None) -> Iterator[Callable[[], None]]:
    """What a loop of Python calls behind each step."""
    if bar is None:
        yield lambda: None
        return
    meter, done = Meter(bar), 0
    size = -1 if total is None else total
    number, left = meter.open(size)

    def step() -> None:
        nonlocal done, left
        done, left = done + 1, left - 1
        if not left:
            _, left = meter.answer(number, done, size, 0)

    try:
        yield step
    finally:
        meter.answer(number, done, size, 1)


# In the program


lowering = local()


def depth() -> int:
    """How many loops with a bar are lowered around the one that is."""
    return getattr(lowering, "depth", 0)


class Told:
    """A loop that is lowered, with its bar, for so many steps, or -1. While it is entered, loops are inside of it."""

    def __init__(self, bar: Bar, total: Any, size: int = 1):
        self.meter, self.total = Meter(bar, size), total

    def __enter__(self) -> Any:
        lowering.depth = depth() + 1
        return self

    def __exit__(self, *exception: object) -> None:
        lowering.depth = depth() - 1

    def call(self, number: Any, done: Any, ended: Any = 0) -> Ticket:
        """The number of the run and how many parts are left to the next call. For the number 0 a run begins."""
        sent = jnp.stack([jnp.asarray(x, INT32) for x in (number, done, self.total, ended)])
        # No effect for JAX, which costs time: the loop asks for the answer, so that it is called.
        found = jax.pure_callback(self.meter, jax.ShapeDtypeStruct((2,), INT32), sent)
        return found[0], found[1]


NOTHING = np.int32(0)


def scan_told(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: list[Any],
    rows: list[Any],
    types: list[ArrayType],
    length: int,
    reverse: bool,
    unroll: int,
    bar: Bar,
) -> tuple[Any, ...]:
    """The last carries and the results of lax.scan, for results of these types; it shows a bar."""
    # With a number of steps that leaves no remainder there is one loop less to compile.
    size = next((k for k in range(length // PARTS, length // PARTS // 8, -1) if length % k == 0), length // PARTS)
    size = max(size, 1)
    first, n = length % size, length // size

    def one(j: Any, state: Any) -> Any:
        carry, stacks = state
        i = length - 1 - j if reverse else j
        carry, ys = step(carry, [lax.dynamic_index_in_dim(x, i, keepdims=False) for x in rows])
        return list(carry), [lax.dynamic_update_index_in_dim(s, y, i, 0) for s, y in zip(stacks, ys, strict=True)]

    def steps(start: Any, n: int, state: Any) -> Any:
        if n == 1:
            return one(start, state)
        return lax.fori_loop(0, n, lambda j, state: one(start + j, state), state, unroll=min(unroll, n))

    # The run begins in the first turn, which makes no step: so not before all that the loop needs is there.
    def turn(carried: Any) -> Any:
        i, number, left, state = carried
        stop = jnp.minimum(n, i + left)
        state = lax.fori_loop(i, stop, lambda i, state: steps(first + i * size, size, state), state)
        return stop, *told.call(number, first + stop * size), state

    with Told(bar, length, size) as told:
        state = steps(0, first, (init, list(map(empty, types)))) if first else (init, list(map(empty, types)))
        carry, ys = lax.while_loop(lambda carried: carried[0] < n, turn, (NOTHING, NOTHING, NOTHING, state))[3]
    return (*carry, *ys)


def empty(t: ArrayType) -> Any:
    """An array of a type, to be written to."""
    found = lax.empty(t.shape, t.dtype)
    return found if t.placement is None else t.placement.give(found)


def while_told(goes_on: Callable[[Any], Any], step: Callable[[Any], Any], init: Any, bar: Bar) -> Any:
    """What lax.while_loop gives; it shows a bar."""

    def turn(carried: Any) -> Any:
        _, number, left, done, running, state = carried

        def next_one(inner: Any) -> Any:
            state = step(inner[2])
            return inner[0] + 1, goes_on(state), state

        n, running, state = lax.while_loop(lambda inner: inner[1] & (inner[0] < left), next_one, (0, running, state))
        ended = ~running & (number > 0)
        return ended, *told.call(number, done + n, ended), done + n, running, state

    with Told(bar, -1) as told:
        first = False, NOTHING, NOTHING, NOTHING, goes_on(init), init
        return lax.while_loop(lambda carried: ~carried[0], turn, first)[5]


class Backward(Told):
    """The way back through a loop of a known number of steps, which goes forward besides. A state goes with a ticket.

    A ticket tells too how many steps are done. The run ends with the last one.
    """

    def begin(self, state: Any) -> Any:
        """The state with a ticket."""
        return (*self.call(0, 0), NOTHING), state

    def steps(self, n: Any, step: Callable[[Any, Any], Any], told: Any) -> Any:
        """The state, with its ticket, after `step(i, state)` for i from 0 to before `n`."""

        def turn(carried: Any) -> Any:
            i, (number, left, done), state = carried
            stop = jnp.minimum(n, i + left)
            state = lax.fori_loop(i, stop, step, state)
            left, done = left - (stop - i), done + (stop - i)
            goes_on = (left > 0) & (done < self.total)
            number, left = lax.cond(goes_on, lambda: (number, left), lambda: self.call(number, done))
            return stop, (number, left, done), state

        return lax.while_loop(lambda carried: carried[0] < n, turn, (NOTHING, *told))[1:]
