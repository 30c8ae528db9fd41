"""Eager gradients that recur: after a few calls, one compiled program instead of an operation at a time.

A gradient that is asked for again and again still runs its function, since Python may decide otherwise this time; but
on tracers that compute nothing. What they record walks down a tree of operations in which every path from the root is
a program that has been met before. Where the walk ends stands the compiled gradient of exactly that program: a guard
on what the function did, not on what it was hoped to do. A value that Python asks for is computed on the way. Where
that fails (a function of JAX that wants values, say), the function is run once more, the plain way.

The compiled program rounds as under jit: XLA joins operations, a product and a sum are rounded once, and so its last
bits may differ from those of the calls before it. Calls of one kind agree to the bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from minijvp.answers import escaped, no_number
from minijvp.api.gradients import gradient_flat
from minijvp.calls.compiles import recurring_explained
from minijvp.calls.silence import silent_equations
from minijvp.core import source
from minijvp.core.hooks import other_plans
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var, evaluate
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import EVALUATION, Trace, current, evaluating, nothing_is_traced, state
from minijvp.core.types import PYTHON_SCALARS, ArrayType, Params, type_of
from minijvp.errors import ConcretizationError, MinijvpError
from minijvp.operations.sharding import spread_like
from minijvp.optimize.eager.steps import compiled, n_operations, repetitions
from minijvp.settings import config
from minijvp.transforms.linearize import with_tangent
from minijvp.transforms.staging import stage

OPERATIONS, PROGRAMS, FUNCTIONS = 100_000, 256, 4096
"""How many are kept; all are forgotten when there would be more."""

MISSES = 32
"""After so many calls in a row that met no compiled program, a function is left alone."""

COMPILED_ALREADY = 4.0
"""A program is not compiled if it has so many times more operations inside of its calls and loops than outside."""


class Operation:
    """A node of the tree: an operation on values that the path to it has, and what was seen to follow it."""

    __slots__ = ("active", "ends", "equation", "following", "new", "single")

    def __init__(self, equation: Equation, new: tuple[tuple[int, Var], ...], single: bool):
        self.equation = equation
        self.new = new
        """The arguments that are constants and were not used before, by their places, and variables for them."""
        self.single = single
        self.active: tuple[Var, ...] | None = None
        """The results that have a tangent, once that was asked."""
        self.following: dict[Hashable, Operation] = {}
        self.ends: dict[Hashable, RecurringGradient] = {}


class Root:
    """Where the programs of some types of arguments begin."""

    __slots__ = ("ends", "following", "inputs", "is_spread")

    def __init__(self, leaves: Sequence[Any], is_spread: bool):
        self.inputs = tuple([Var(type_of(x)) for x in leaves])
        self.is_spread = is_spread
        self.following: dict[Hashable, Operation] = {}
        self.ends: dict[Hashable, RecurringGradient] = {}


SPREAD: Any = object()
"""In the place of a root for arguments on a mesh of several devices, which have one for each way in which they lie."""


class Spread(NamedTuple):
    """What is known of a constant on a mesh of several devices: its type, and where it lies."""

    aval: Any
    sharding: Any


class RecurringGradient:
    """The gradient of a path: how often it was met, its compiled form, and how what it gives lies on devices."""

    __slots__ = ("met", "nonzero", "run", "shardings")

    def __init__(self) -> None:
        self.met = 0
        self.shardings: tuple[Any, ...] | None = None
        self.run: Callable[..., tuple[Any, ...]] | None = None
        self.nonzero: tuple[bool, ...] = ()

    def compile(self, jaxpr: Jaxpr, args: Sequence[Any], differentiated: Sequence[bool]) -> bool:
        """Compile the gradient of an open jaxpr at such arguments: its outputs, and the cotangents that are not zero.

        Returns whether that could be done: not if a rule in it asks for values.
        """

        def flat(*args: Any) -> list[Any]:
            outs, cts = gradient_flat(lambda *xs: evaluate(jaxpr, *xs), args, differentiated)
            self.nonzero = tuple([ct is not None for ct in cts])
            return [*outs, *[ct for ct in cts if ct is not None]]

        try:
            with spread_like(args):
                self.run = compiled(stage(flat, jaxpr.in_types, jaxpr.name), self.shardings)
        except ConcretizationError:
            return False
        tree.programs += 1
        return True


class PendingTracer(Tracer):
    """A value that is computed when it is asked for, or at the end with all others."""

    __slots__ = ("type", "variable")

    owner: Recording
    type: ArrayType

    def __init__(self, trace: Recording, variable: Var):
        self.owner = trace
        self.variable = variable
        self.type = variable.type

    def made_at(self) -> source.Source | None:
        return self.owner.line_of(self.variable)

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        if self.owner.depends(self.variable):
            if self.owner.finished():
                raise self.foreign(wanted_by)
            if as_number:
                raise no_number(self, wanted_by)
        return self.owner.value(self.variable)

    def resolved(self) -> Any:
        return self if self.owner.depends(self.variable) else self.owner.value(self.variable)


class Recording(Trace):
    """Walks down the tree, an operation of the function at a time, and grows it where that is new."""

    __slots__ = (
        "active",
        "constants",
        "differentiated",
        "evaluated",
        "flat",
        "judged",
        "known",
        "node",
        "path",
        "root",
        "values",
    )

    def __init__(self, root: Root, leaves: Sequence[Any], differentiated: Sequence[bool]):
        self.parent = EVALUATION
        self.root = root
        self.node: Root | Operation = root
        self.path: list[Operation] = []
        self.differentiated = differentiated
        self.constants: list[Var] = []
        self.known: dict[int, Var] = {}
        self.values: dict[Atom, Any] = dict(zip(root.inputs, leaves, strict=True))
        self.evaluated = 0
        self.active = {v for v, flag in zip(root.inputs, differentiated, strict=True) if flag}
        self.flat: set[Var] = set()
        self.judged = 0

    @property
    def description(self) -> str:
        return "a linearization (grad, vjp, linearize)"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        parts: list[Any] = [primitive]
        mine = False
        for x in args:
            if type(x) is PendingTracer and x.owner is self:
                parts.append(x.variable)
                mine = True
            elif isinstance(x, Tracer):
                return self.process(primitive, tuple(map(self.usable, args)), params)
            else:
                parts.append(self.described(x))
        if not mine:
            return EVALUATION.process(primitive, args, params)
        if len(args) > 2:
            parts.append(repetitions(args))
        if params:
            parts.append(tuple(params.items()))
        key = tuple(parts)
        node = self.node.following.get(key) or self.grow(key, primitive, args, params)
        self.node = node
        self.path.append(node)
        for i, v in node.new:
            self.bind(v, args[i])
        if node.single:
            return PendingTracer(self, node.equation.outputs[0])
        return tuple([PendingTracer(self, v) for v in node.equation.outputs])

    def bind(self, v: Var, x: Any) -> None:
        """Take `x` for a constant of the program."""
        self.constants.append(v)
        if isinstance(x, jax.Array):
            self.known[id(x)] = v
            self.values[v] = x
        else:
            # It may change before the program runs, and is another constant then.
            self.values[v] = np.array(x)

    def described(self, x: Any) -> Hashable:
        """What the tree knows of an argument that is no tracer of this trace: its variable, its type or its value."""
        cls = type(x)
        if cls in PYTHON_SCALARS or isinstance(x, np.generic):
            # repr, since -0.0 == 0.0 and nan != nan.
            return (cls, x) if x == x and x != 0 else (cls, repr(x))
        known = self.known.get(id(x))
        if known is not None:
            return known
        if not isinstance(x, jax.Array):
            return type_of(x)
        return Spread(x.aval, x.sharding) if self.root.is_spread else x.aval

    def usable(self, x: Any) -> Any:
        """An argument, or the value that a tracer of another trace stands for; EscapedTracerError if there is none."""
        if not isinstance(x, Tracer) or x.owner is self:
            return x
        value = x.resolved()
        if value is x:
            raise escaped(x, self.description) if x.owner.finished() else x.foreign(self.description)
        return value

    def grow(self, key: tuple, primitive: Any, args: tuple, params: Params) -> Operation:
        """A new node behind the present one."""
        atoms: list[Atom] = []
        new: dict[int, tuple[int, Var]] = {}
        for i, (x, part) in enumerate(zip(args, key[1:], strict=False)):
            if type(part) is Var:
                atoms.append(part)
            elif type(part) is tuple:
                atoms.append(Literal(x, type_of(x)))
            else:
                atoms.append(new.setdefault(id(x) if isinstance(x, jax.Array) else i, (i, Var(type_of(x))))[1])
        types = primitive.result_types([v.type for v in atoms], params)
        single = not primitive.returns_tuple
        outputs = tuple(map(Var, types))
        equation = Equation(primitive, tuple(atoms), params, outputs, state.source or source.capture(3))
        tree.operations += 1
        return self.node.following.setdefault(key, Operation(equation, tuple(new.values()), single))

    def program(self, outputs: Sequence[Var]) -> Jaxpr:
        """The open program of the path, in the arguments of the function and then its constants.

        What was shown when values were asked for is not shown again.
        """
        inputs = (*self.root.inputs, *self.constants)
        equations = [n.equation for n in self.path]
        if n := self.evaluated:
            equations[:n] = silent_equations(equations[:n])
        return Jaxpr((), inputs, tuple(equations), tuple(outputs)).without_dead_code()

    def arguments(self) -> list[Any]:
        """The arguments of that program."""
        values = self.values
        return [*[values[v] for v in self.root.inputs], *[values[v] for v in self.constants]]

    def value(self, variable: Var) -> Any:
        """The value of a variable; all that was recorded before it is computed now."""
        with evaluating():
            while variable not in self.values:
                self.advance()
        return self.values[variable]

    def advance(self) -> None:
        """Compute the next operation."""
        e = self.path[self.evaluated].equation
        out = e.primitive(*[v.value if type(v) is Literal else self.values[v] for v in e.inputs], **e.params)
        self.values.update(zip(e.outputs, out if type(out) is tuple else (out,), strict=True))
        self.evaluated += 1

    def act(self) -> None:
        """Compute what has effects, and was not computed yet."""
        last = max([i for i, n in enumerate(self.path, 1) if n.equation.has_effects], default=0)
        with evaluating():
            while self.evaluated < last:
                self.advance()

    def depends(self, variable: Var) -> bool:
        """Whether a variable has a tangent. Each operation is judged once: its path decides, and that is the node.

        Operations behind the one that made the variable are left alone: the rule of one may be asking.
        """
        while variable not in self.active and variable not in self.flat and self.judged < len(self.path):
            node = self.path[self.judged]
            if node.active is None:
                node.active = tuple(with_tangent(node.equation, self.active))
            self.active.update(node.active)
            self.flat.update(set(node.equation.outputs).difference(node.active))
            self.judged += 1
        return variable in self.active

    def line_of(self, variable: Var) -> source.Source | None:
        """The line of user code that made a variable."""
        return next((n.equation.source for n in self.path if variable in n.equation.outputs), None)


class Tree:
    """All programs that were met, and how often each function was called."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.roots: dict[Hashable, Root] = {}
        self.histories: dict[Hashable, History] = {}
        self.operations = self.programs = 0

    def root(self, leaves: Sequence[Any], differentiated: tuple[bool, ...]) -> Root:
        """The root for arguments of these types."""
        key: Hashable = tuple([x.aval for x in leaves]), differentiated, config.memory_budget
        found = self.roots.get(key)
        is_spread = found is SPREAD or (found is None and any([x.aval.sharding.mesh.size > 1 for x in leaves]))
        if is_spread:
            self.roots[key] = SPREAD
            key = key, tuple([x.sharding for x in leaves])
            found = self.roots.get(key)
        if found is None:
            if self.operations > OPERATIONS or self.programs > PROGRAMS:
                self.forget()
            found = self.roots[key] = Root(leaves, is_spread)
        return found


class History:
    """The calls of the gradient of a function."""

    __slots__ = ("calls", "misses")

    def __init__(self) -> None:
        self.calls = self.misses = 0


tree = Tree()


def history(fun: Any) -> History | None:
    """The history of functions with the same code; None for one whose code is not known."""
    codes = []
    while True:
        if isinstance(fun, functools.partial):
            fun = fun.func
            continue
        code = getattr(fun, "__code__", None) or getattr(type(fun).__call__, "__code__", None)
        if code is None:
            return None
        codes.append(code)
        inner = getattr(fun, "__wrapped__", None)
        if inner is None:
            break
        fun = inner
    if len(tree.histories) > FUNCTIONS:
        tree.forget()
    return tree.histories.setdefault(tuple(codes), History())


def recurs(fun: Any) -> History | None:
    """The history of a function whose gradient is asked for, if this call of it is worth recording."""
    after = config.compile_gradients_after
    found = None if after is None else history(fun)
    if found is None or after is None:
        return None
    found.calls += 1
    return found if found.calls >= after - 1 and found.misses < MISSES else None


def recurring_gradient(
    fun: Callable[..., Sequence[Any]],
    leaves: Sequence[Any],
    flags: Sequence[bool],
    budget: Any = None,
    user_fun: Callable[..., Any] | None = None,
) -> tuple[Sequence[Any], list[Any]]:
    """What `gradient_flat` gives, by the compiled program of what `fun` does, if that was met before."""
    past = recurs(user_fun) if budget is None and nothing_is_traced() else None
    if past is None:
        return gradient_flat(fun, leaves, flags, budget)
    trace = Recording(tree.root(leaves, tuple(flags)), leaves, flags)
    args = [PendingTracer(trace, v) if flag else x for v, x, flag in zip(trace.root.inputs, leaves, flags, strict=True)]
    try:
        with current(trace):
            outs = fun(*args)
    except (MinijvpError, TypeError, ValueError):
        # Values of the plain way may do what these tracers cannot; if not, its error is the right one.
        past.misses = MISSES
        return gradient_flat(fun, leaves, flags)
    pending = [type(x) is PendingTracer and x.owner is trace for x in outs]
    if not pending[0]:
        trace.act()
        return [x.owner.value(x.variable) if p else x for x, p in zip(outs, pending)], [None] * sum(flags)
    variables = tuple([x.variable for x, p in zip(outs, pending) if p])
    results, cts = run(trace, variables, past, user_fun)
    rest = iter(results)
    return [next(rest) if p else x for x, p in zip(outs, pending)], cts


def run(trace: Recording, variables: tuple[Var, ...], past: History, fun: Any) -> tuple[Sequence[Any], list[Any]]:
    """The values of these variables, and the cotangents of the arguments that are differentiated for the first."""
    program = trace.node.ends.get(variables)
    if program is None:
        program = trace.node.ends[variables] = RecurringGradient()
    program.met += 1
    if program.run is None:
        jaxpr = trace.program(variables)
        flags = [*trace.differentiated, *[False] * len(trace.constants)]
        after = config.compile_gradients_after
        recurring = after is not None and program.met >= min(after, 2) and worth_compiling(trace.path, jaxpr)
        if trace.root.is_spread and program.shardings is None:
            recurring = False  # the compiler is to leave what it gives where this call does
        if not recurring or not program.compile(jaxpr, trace.arguments(), flags):
            past.misses += 1
            outs, cts = gradient_flat(lambda *xs: evaluate(jaxpr, *xs), trace.arguments(), flags)
            if trace.root.is_spread:
                program.shardings = tuple([x.sharding for x in (*outs, *cts) if x is not None])
            return outs, cts
    past.misses = 0
    assert program.run is not None
    results = (recurring_explained(fun, program.run, program) if other_plans else program.run)(*trace.arguments())
    outs, rest = results[: len(variables)], iter(results[len(variables) :])
    return outs, [next(rest) if flag else None for flag in program.nonzero]


def worth_compiling(path: Sequence[Operation], jaxpr: Jaxpr) -> bool:
    """Whether the program of a path has no effects, and is not mostly compiled already: in calls of jit, in loops."""
    inside = sum([n_operations(inner) for e in jaxpr for inner in e.programs])
    return inside <= COMPILED_ALREADY * len(jaxpr.equations) and not any([n.equation.has_effects for n in path])
