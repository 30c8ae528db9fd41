"""The interpreter stack: traces, tracers, and the thread's current trace.

Calling a primitive asks the current trace to process it. A trace that owns none of the arguments delegates
to its parent; the bottom is `EvalTrace`, which computes, or a `StagingTrace`, which records. A tracer
belongs to the trace that it names (`x.owner is self`), so there are no levels, and perturbations cannot be
confused: with two nested derivatives each trace sees its own tracers and takes the other's for constants.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import eval_context
from jax.extend.core import find_top_trace
from jax.extend.core import unsafe_get_axis_names_DO_NOT_USE as names_of_axes  # type: ignore[attr-defined]
from jax.sharding import get_abstract_mesh

from minijvp.core import source
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.placements import lane_in_jax, refuse_conflict
from minijvp.core.tracer import refuse_tracers, resolved
from minijvp.core.types import Params, type_of
from minijvp.errors import ArgumentError, EscapedTracerError

live_traces: set[Trace] = set()
"""Every trace that is active now, in any thread. Empty means: nothing is being traced, only computed."""


class Trace:
    """An interpreter of primitives. `parent` is the one that it is built on.

    What it is asked to process concerns it if one of the arguments is a tracer that it owns; all else it delegates to
    `self.parent.process(primitive, args, params)`. Its rules are functions like any other, and run under the parent:
    `with current(self.parent):`. A transformation makes a trace on the current one, wraps arguments in tracers,
    calls the function `with current(trace):`, and looks into the tracers that come back.

    >>> import minijvp
    >>> from minijvp.extend import Trace, current, current_trace
    >>> class Counting(Trace):
    ...     def __init__(self, parent):
    ...         self.parent, self.names = parent, []
    ...     def process(self, primitive, args, params):
    ...         self.names.append(primitive.name)
    ...         return self.parent.process(primitive, args, params)
    >>> with current(Counting(current_trace())) as trace:
    ...     x = minijvp.numpy.sin(1.0)
    >>> trace.names
    ['sin']
    """

    __slots__ = ("parent",)

    parent: Trace

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        """The result of `primitive(*args, **params)` under this interpreter."""
        raise NotImplementedError

    def lift(self, value: Any) -> Any:
        """`value` as a tracer of this interpreter, where it has one: a constant with the behaviour of traced values."""
        return value

    def above(self, kind: Any) -> Any:
        """What to use on top of this trace in the place of `kind`, a class of traces or a function of the library."""
        kind = (other_plans and hooks.nan_safe(kind)) or kind
        return kind if state.substitutes is None else state.substitutes.get(kind, kind)

    @property
    def description(self) -> str:
        return type(self).__name__

    def finished(self) -> bool:
        return self not in live_traces


class EvalTrace(Trace):
    """The bottom of the stack: computes with jax arrays."""

    __slots__ = ()

    def above(self, kind: Any) -> Any:
        return (other_plans and hooks.nan_safe(kind)) or (kind if hooks.faster is None else hooks.faster(kind))

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        try:
            return primitive.evaluate(args, params)
        except (TypeError, ValueError, EscapedTracerError):
            values = resolved(args)
            if values is not args:
                return self.process(primitive, tuple(values), params)
            refuse_tracers(args, primitive.name)
            refuse_types(primitive, args, params)
            raise
        except Exception as error:
            refuse_conflict(error, primitive.name, map(type_of, args))
            raise


def computes(trace: Trace) -> bool:
    """Whether an operation on constants is computed at once, and not recorded, when `trace` is the current one."""
    while trace is not EVALUATION:
        if not hasattr(trace, "parent"):
            return False
        trace = trace.parent
    return True


class ThreadState(threading.local):
    """What a thread is doing: its current trace, the line that equations are charged to, the named batch axes.

    And while a program is staged to be looked into, what is used in the place of traces, so that equations say what
    they are derivatives of.
    """

    def __init__(self) -> None:
        self.trace: Trace = EVALUATION
        self.source: source.Source | None = None
        self.axis_sizes: dict[Any, int] = {}
        self.substitutes: dict[Any, Any] | None = None


EVALUATION = EvalTrace()
state = ThreadState()


with eval_context():
    JAX_EVALUATION = find_top_trace(())


def traced_by_jax() -> bool:
    """Whether what is computed now is part of a program that JAX traces: to compile, to differentiate, to batch."""
    return find_top_trace(()) is not JAX_EVALUATION


def as_constant(x: Any, dtype: Any = None, copy: bool | None = None) -> jax.Array:
    """A Python scalar, NumPy value or list of such as an array of JAX, never as a value of what JAX traces now."""
    if not traced_by_jax():
        return jnp.asarray(x, dtype, copy=copy)
    with eval_context():
        return jnp.asarray(x, dtype, copy=copy)


def nothing_is_traced() -> bool:
    """Whether nothing is traced now, neither by minijvp nor by JAX: operations give numbers, and no more is asked."""
    return state.trace is EVALUATION and not traced_by_jax()


class current:
    """Context manager: `trace` is the current trace inside.

    It is live for as long, and has finished then; unless it was live before, as the parent of a live trace is. So too
    where an interrupt comes while this begins or ends: what `__exit__` could not do is done when the object goes.

    >>> from minijvp.extend import Trace, current, current_trace
    >>> with current(Trace()) as trace:
    ...     print(current_trace() is trace, trace.finished())
    True False
    >>> trace.finished()
    True
    """

    __slots__ = ("began", "previous", "trace")

    def __init__(self, trace: Trace):
        self.trace: Any = trace

    def __enter__(self) -> Trace:
        trace = self.trace
        self.began = trace not in live_traces and trace is not EVALUATION
        self.previous = state.trace
        state.trace = trace
        if self.began:
            live_traces.add(trace)
        return trace

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        state.trace = self.previous
        if self.began:
            live_traces.discard(self.trace)
        self.trace = None

    def __del__(self) -> None:
        try:
            if self.trace is not None:
                if self.began:
                    live_traces.discard(self.trace)
                if state.trace is self.trace:
                    state.trace = self.previous
        except AttributeError:
            pass  # it had not begun


def current_trace() -> Trace:
    """The trace that processes operations now: the parent of the next one.

    >>> from minijvp.extend import current_trace
    >>> current_trace().description
    'EvalTrace'
    """
    return state.trace


class attributed_to:
    """Context manager: equations recorded inside carry `line` and not the line of the running Python code."""

    __slots__ = ("line", "previous")

    def __init__(self, line: source.Source | None):
        self.line = line

    def __enter__(self) -> None:
        self.previous = state.source
        state.source = self.line

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        state.source = self.previous


class evaluating:
    """Context manager: primitives compute at once inside, whatever is being traced outside."""

    __slots__ = ("previous",)

    def __enter__(self) -> None:
        self.previous = state.trace
        state.trace = EVALUATION

    def __exit__(self, *exception: object) -> None:
        state.trace = self.previous


class detached(evaluating):
    """Context manager: primitives compute at once inside, whatever is being traced outside, by JAX too.

    What is kept for later calls is made in it: a constant that is made under a trace of JAX is a tracer.
    """

    __slots__ = ("outside",)

    def __enter__(self) -> None:
        super().__enter__()
        self.outside = eval_context()
        self.outside.__enter__()

    def __exit__(self, *exception: object) -> None:
        self.outside.__exit__(None, None, None)
        super().__exit__(*exception)


def named_axes() -> tuple[tuple[Any, int], ...]:
    """The names and sizes of the axes that collectives find here: those of minijvp's vmap, and those that JAX binds."""
    return (*state.axis_sizes.items(), *[(name, jax.lax.axis_size(name)) for name in names_of_axes()])


def axes_here() -> tuple[Any, ...]:
    """What a program depends on that is staged here: the axes, and whether types tell what varies between devices."""
    named = named_axes()
    manual = [name for name in get_abstract_mesh().manual_axes if name in dict(named)]
    return (*named, bool(lane_in_jax(manual[0]).manual_axis_type.varying)) if manual else named


def refuse_types(primitive: Any, args: Sequence[Any], params: Params) -> None:
    """Raise our own error, where the type rule of a primitive that could not be computed has one."""
    try:
        primitive.type_rule(*map(type_of, args), **params)
    except ArgumentError as error:
        raise error from None
    except Exception:
        pass  # the first error says more
