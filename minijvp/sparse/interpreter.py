"""Which elements of the results of a program depend on which elements of its inputs: an interpreter over index sets.

An equation is followed by the rule of its primitive, or of its family. What has no rule is followed by its derivative,
the program of its jvp: so functions with rules of their own depend on what these say. What has neither, or is its own
derivative, depends on everything: no dependence is ever missed, but for values at which a derivative happens to be 0.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minijvp.calls.linear_call import LinearCall
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Equation, Jaxpr, Literal
from minijvp.core.primitive import Nondifferentiable, Primitive
from minijvp.core.types import ArrayType, is_inexact
from minijvp.errors import MissingRuleError
from minijvp.operations.families import Elementwise, nonzero, spread
from minijvp.operations.matrices import MatrixPrimitive
from minijvp.sparse import loops, movements, products
from minijvp.sparse.sets import Sets
from minijvp.sparse.values import Value, constant, results_of
from minijvp.transforms.staging import stage

Rule = Callable[[Equation, Sequence[Value]], list[Sets]]

RULES: dict[str, Rule] = {**movements.RULES, **products.RULES}

PROGRAMS: dict[str, Callable[[Equation, Sequence[Value], loops.Follow], list[Value]]] = {
    "cond": loops.choice,
    "scan": loops.scan,
    "while": loops.loop,
}


def follow(jaxpr: Jaxpr, inputs: Sequence[Value], by_rule: frozenset[Primitive] = frozenset()) -> list[Value]:
    """What is known of the outputs of a program, for what is of its inputs.

    `by_rule` are the primitives whose derivative the program is part of.
    """
    values: dict[Any, Value] = {v: constant(x, v.type) for v, x in jaxpr.constants}
    values.update(zip(jaxpr.inputs, inputs, strict=True))
    for e in jaxpr.equations:
        operands = [constant(v.value, v.type) if type(v) is Literal else values[v] for v in e.inputs]
        values.update(zip(e.outputs, followed(e, operands, by_rule), strict=True))
    return [constant(v.value, v.type) if type(v) is Literal else values[v] for v in jaxpr.outputs]


def followed(e: Equation, operands: Sequence[Value], by_rule: frozenset[Primitive]) -> list[Value]:
    """What is known of the results of an equation."""
    known = results_of(e, operands)
    dependent = any([v.sets is not None for v in operands]) and any([is_inexact(v.type.dtype) for v in e.outputs])
    if not dependent or type(e.primitive).jvp is Nondifferentiable.jvp:
        return [Value(v.type, None, x) for v, x in zip(e.outputs, known, strict=True)]
    found = dependences(e, operands, by_rule)
    triples = zip(e.outputs, found, known, strict=True)
    return [Value(v.type, out.sets if is_inexact(v.type.dtype) else None, out.known or x) for v, out, x in triples]


def dependences(e: Equation, operands: Sequence[Value], by_rule: frozenset[Primitive]) -> list[Value]:
    """The sets of the results of an equation, some of whose operands have some."""
    primitive = e.primitive
    rule = rule_of(primitive)
    if rule is not None:
        return [Value(v.type, sets) for v, sets in zip(e.outputs, rule(e, operands), strict=True)]
    inside = partial(follow, by_rule=by_rule)
    if primitive.is_call:
        return loops.call(e, operands, inside)
    if primitive.name in PROGRAMS and not primitive.made_outside:
        return PROGRAMS[primitive.name](e, operands, inside)
    by_derivative = partial(by_jvp, by_rule=by_rule)
    if isinstance(primitive, LinearCall):
        return loops.linear(e, operands, inside, by_derivative)
    return by_derivative(e, operands)


def rule_of(primitive: Primitive) -> Rule | None:
    """The rule of a primitive, by its name or its family."""
    if not primitive.made_outside and primitive.name in RULES:
        return RULES[primitive.name]
    if isinstance(primitive, Elementwise):
        return products.elementwise
    if isinstance(primitive, MatrixPrimitive):
        return products.of_matrices
    return None


def by_jvp(e: Equation, operands: Sequence[Value], by_rule: frozenset[Primitive]) -> list[Value]:
    """The sets of the results by the program of the derivative."""
    flags = tuple([v.sets is not None for v in operands])
    if e.primitive not in by_rule:
        try:
            literals = tuple([v.value if type(v) is Literal else None for v in e.inputs])
            types = tuple([v.type for v in operands])
            program, moved = jvp_program(e.primitive, types, flags, literals, tuple(e.params.items()))
        except MissingRuleError:
            pass  # of what has no derivative here, nothing is known
        else:
            primals = [Value(v.type, None, v.known) for v in operands]
            tangents = [Value(v.type.strong(), v.sets) for v in operands if v.sets is not None]
            outs = iter(follow(program, [*primals, *tangents], by_rule | {e.primitive}))
            return [Value(v.type, next(outs).sets) if flag else Value(v.type) for v, flag in zip(e.outputs, moved)]
    return [Value(v.type, sets) for v, sets in zip(e.outputs, products.anything(e, operands), strict=True)]


@cached(maxsize=1024)
def jvp_program(
    primitive: Primitive, types: tuple[ArrayType, ...], flags: tuple[bool, ...], literals: tuple, params: tuple
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program from operands, and tangents of those with a flag, to tangents of results; and which have one.

    It takes `literals` too, and does not read them: rules see them as numbers.
    """
    moved: tuple[bool, ...] = ()

    def push(*args: Any) -> list[Any]:
        nonlocal moved
        primals = tuple([x if n is None else n for x, n in zip(args, literals)])
        _, found = primitive.jvp(primals, spread(args[len(types) :], flags), **dict(params))
        tangents = found if type(found) is tuple else (found,)
        moved = nonzero(tangents)
        return [t for t in tangents if t is not None]

    tangent_types = [t.strong() for t, flag in zip(types, flags, strict=True) if flag]
    return stage(push, [*map(plain, types), *tangent_types], f"jvp({primitive.name})"), moved


def plain(t: ArrayType) -> ArrayType:
    """The type of an argument, also of a Python scalar."""
    return ArrayType(t.shape, t.dtype, t.weak_type, t.placement)
