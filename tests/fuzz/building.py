"""From a plan to the source of a program.

The types of values are asked of JAX while the source grows, so that every operation gets operands that it takes
(operands.py). A step that JAX refuses for types is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.types import is_inexact
from tests.fuzz.deck import DECK
from tests.fuzz.operands import Builder, FuzzerError, Value
from tests.fuzz.plans import InputPlan, Plan, StepPlan, values
from tests.fuzz.sides import JAX, leaves

LARGEST = 48
"""Elements that a value may have."""
SINGLE = re.compile(r"\b(f32|c64|float32|complex64)\b")
"""What is of single precision on its way, whatever the result is."""


@dataclass
class Program:
    """The source of a function f, its arguments, and what was found while it was made."""

    source: str
    arguments: tuple[Any, ...]
    widened: tuple[Any, ...] = ()
    """The arguments in double precision."""
    operations: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """What JAX refused, and why."""
    results: tuple[str, ...] = ()
    """The names of the results."""
    single: bool = False
    """Whether anything is of single precision."""
    smooth: bool = True
    """Whether differences tell its derivatives: all rules are right ones, and it is not taken at a kink."""


class Scope:
    """The values that a step can see, and the named axes around it."""

    def __init__(self, state: Building, values: Sequence[Value], axes: tuple[tuple[str, int], ...] = ()):
        self.state = state
        self.values = list(values)
        self.axes = axes

    def inside(self, values: Sequence[Value], axes: tuple[tuple[str, int], ...]) -> Scope:
        """The scope of a function inside, which sees these values."""
        return Scope(self.state, values, self.axes + axes)

    def types(self, lines: Sequence[str], result: str) -> Any:
        """The type of an expression behind some lines."""
        text = "\n".join([*lines, result])
        seen = [v for v in self.values if re.search(rf"\b{v.name}\b", text)]
        head = f"def step({', '.join(v.name for v in seen)}):"
        scope = dict(self.state.names)
        exec("\n".join([head, *[f"    {line}" for line in lines], f"    return {result}"]), scope)
        run = scope["step"]
        for name, size in reversed(self.axes):
            run = named(run, name, size)
        types = jax.eval_shape(run, *[v.type for v in seen])
        cut = len(self.axes)
        return jax.tree.map(lambda t: jax.ShapeDtypeStruct(t.shape[cut:], t.dtype, weak_type=t.weak_type), types)


def named(fun: Callable[..., Any], name: str, size: int) -> Callable[..., Any]:
    return lambda *xs: jax.vmap(lambda _: fun(*xs), axis_name=name, axis_size=size)(jnp.zeros(size))


@dataclass
class Building:
    """What is known of the whole program while it is made."""

    plan: Plan
    names: dict[str, Any] = field(default_factory=JAX.names)
    operations: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    single: bool = False
    smooth: bool = True

    def run(self, scope: Scope, step: StepPlan) -> list[str]:
        """The lines of a step, whose results are values of the scope from now on; none if JAX refuses it."""
        operation = DECK[step.operation]
        builder = Builder(self, scope, step)
        done = len(self.operations)
        try:
            text = operation.make(builder)
            lines, found = self.bound(scope, builder, text)
        except FuzzerError:
            raise
        except Exception as error:
            del self.operations[done:]
            self.skipped.append((step.operation, f"{type(error).__name__}: {error}"))
            return []
        self.operations.append(step.operation)
        self.smooth &= operation.honest
        self.single |= operation.single or SINGLE.search("\n".join(lines)) is not None
        for v in found:
            v.active = builder.active and is_inexact(v.type.dtype) and v.type.size > 0
            v.shown = operation.shown
            self.single |= v.type.dtype.name in ("float32", "complex64")
        if any(v.active for v in found):
            for v in builder.used:
                v.loose = False
        scope.values += found
        return lines

    def bound(self, scope: Scope, builder: Builder, text: str) -> tuple[list[str], list[Value]]:
        """The lines that give the results of an expression names, and the values."""
        tree = scope.types(builder.lines, text)
        types = leaves(tree)
        if len(types) == 1 and LARGEST < types[0].size <= 50 * LARGEST:
            text = f"jnp.ravel({text})[::{-(-types[0].size // LARGEST)}]"
            tree = scope.types(builder.lines, text)
            types = [tree]
        if any(t.size > LARGEST for t in types) or len(types) > 8:
            raise ValueError("it is too large")
        names = [f"v{builder.step.number}" + (f"_{i}" if i else "") for i in range(len(types))]
        flat = type(tree) in (tuple, list) and all(hasattr(x, "dtype") for x in tree)
        if len(types) == 1 and hasattr(tree, "dtype"):
            line = f"{names[0]} = {text}"
        elif types:
            line = f"{', '.join(names)}{',' * (len(types) == 1)} = {text if flat else f'leaves({text})'}"
        else:
            line = f"leaves({text})"
        return [*builder.lines, line], [Value(n, t) for n, t in zip(names, types, strict=True)]


def input_value(plan: InputPlan, precision: str) -> tuple[Value, Any, Any]:
    """The value that an argument is, the argument, and the same in double precision."""
    dtypes = {"real": ("float64", "float32"), "complex": ("complex128", "complex64"), "int": ("int64", "int32")}
    wide, single = dtypes.get(plan.kind, ("", ""))
    x = values(plan, single if precision == "float32" and not plan.wide else wide)
    twin = x.astype(wide) if plan.kind in ("real", "complex") else x
    active = plan.kind in ("real", "complex", "float") and np.size(x) > 0
    scalar = plan.kind == "float"
    kind = jax.ShapeDtypeStruct(np.shape(x), np.result_type(x), weak_type=scalar)
    bounds = (-2, 2) if plan.kind in ("real", "float") else None
    return Value(plan.name, kind, active, scalar, bounds, given=True), x, twin


def build(plan: Plan) -> Program:
    """The program of a plan."""
    state = Building(plan)
    made = [input_value(p, plan.precision) for p in plan.inputs]
    state.single = any(v.type.dtype.name in ("float32", "complex64") for v, *_ in made)
    scope = Scope(state, [v for v, *_ in made])
    lines = unpacking(plan)
    for step in plan.steps:
        lines += state.run(scope, step)
    results = outputs(plan, scope.values[len(made) :])
    result = f"return {shown(plan.form, [v.name for v in results])}"
    head = f"def f({', '.join(parameters(plan))}):"
    source = "\n".join([head, *[f"    {line}" for line in [*lines, result]]]) + "\n"
    smooth = state.smooth and all(p.pattern == "plain" for p in plan.inputs)
    return Program(
        source,
        packed(plan, [x for _, x, _ in made]),
        packed(plan, [x for *_, x in made]),
        tuple(state.operations),
        tuple(state.skipped),
        tuple(v.name for v in results),
        state.single,
        smooth,
    )


def outputs(plan: Plan, made: Sequence[Value]) -> list[Value]:
    """The values that are results."""
    if plan.keep is not None:
        kept = [v for v in made if v.name in plan.keep]
        return kept or list(made[-1:])
    return [v for v in made if v.loose or v.shown] or list(made[-1:])


def is_packed(plan: Plan) -> bool:
    return plan.form == "packed" and len(plan.inputs) > 1 and all(p.kind == "real" for p in plan.inputs[:2])


def parameters(plan: Plan) -> list[str]:
    names = [p.name for p in plan.inputs]
    return ["p", *names[2:]] if is_packed(plan) else names


def unpacking(plan: Plan) -> list[str]:
    names = [p.name for p in plan.inputs]
    return [f"{names[0]}, {names[1]} = p['a'], p['b']"] if is_packed(plan) else []


def packed(plan: Plan, xs: Sequence[Any]) -> tuple[Any, ...]:
    return ({"a": xs[0], "b": xs[1]}, *xs[2:]) if is_packed(plan) else tuple(xs)


def shown(form: str, names: Sequence[str]) -> str:
    """The tree of the results."""
    if form == "dict":
        return "{" + ", ".join([f"'{n}': {n}" for n in names]) + "}"
    if form == "nested" and len(names) > 1:
        return f"({names[0]}, [{', '.join(names[1:])}], None)"
    return f"({', '.join(names)},)" if names else "()"
