"""A jaxpr as statements of Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.primitive import Primitive
from minijvp.core.source import Source
from minijvp.core.types import PYTHON_SCALARS, ArrayType, ScalarType, is_key, type_of
from minijvp.operations.families import Elementwise
from minijvp.views.python.elementwise import Operands, is_array, named
from minijvp.views.python.inlining import Inliner
from minijvp.views.python.literals import array_literal, dtype_name, literal, number
from minijvp.views.python.operations import TABLE, broadcastable, expanded_shape
from minijvp.views.python.text import Assignment, Block, Code, Label, Part, code

Rule = Callable[["Writer", Equation, Block], Sequence[Atom]]
"""Writes an equation into a block; gives the atoms of its results."""


class Writer:
    """Writes equations into blocks, and collects the constants and helpers that they need.

    `rule_of` gives what writes an equation that carries a program or a function, for its primitive; None for others.
    """

    def __init__(self, rule_of: Callable[[Primitive], Rule | None]) -> None:
        self.rule_of = rule_of
        self.inliner = Inliner(self.keep)
        self.broadcasts: dict[Any, tuple[Code, tuple[int, ...] | None]] = {}
        self.ones: set[Any] = set()
        self.predicates: dict[Var, Var] = {}
        self.operands = Operands(self.broadcasts, lambda value: literal(value, self.keep))
        self.constants: dict[int, tuple[Part, Any]] = {}
        self.small: dict[int, tuple[Var, Any]] = {}
        self.opening = Block()

    def keep(self, value: Any, hint: str) -> Label:
        """The name of a value that goes with the code."""
        known = self.constants.get(id(value))
        if known is None:
            known = self.constants[id(value)] = (Label(hint), value)
        return known[0]  # type: ignore[return-value]

    def constant(self, value: Any) -> Atom:
        """What stands for a constant array: a literal, a variable that begins as one, or a parameter of the code."""
        if type(value) in PYTHON_SCALARS or isinstance(value, np.generic):
            return Literal(value, type_of(value))
        known = self.small.get(id(value))
        if known is None:
            known = self.small[id(value)] = (Var(type_of(value)), value)
            text = array_literal(value) if isinstance(value, (jax.Array, np.ndarray)) else None
            if text is None:
                self.constants[id(value)] = known
            else:
                self.opening.statements.append(Assignment((known[0],), text))
        return known[0]

    def program(self, jaxpr: Jaxpr, args: Sequence[Atom], block: Block, source: Source | None) -> list[Atom]:
        """Write the equations of a program for these arguments; gives the atoms of its results."""
        values: dict[Any, Atom] = {v: self.constant(x) for v, x in jaxpr.constants}
        values.update(zip(jaxpr.inputs, args, strict=True))
        for e in jaxpr.equations:
            inputs = tuple([values[v] if type(v) is Var else v for v in e.inputs])
            outputs = tuple([Var(v.type) for v in e.outputs])
            found = self.equation(Equation(e.primitive, inputs, e.params, outputs, e.source or source), block)
            values.update(zip(e.outputs, found, strict=True))
        return [values[v] if type(v) is Var else v for v in jaxpr.outputs]

    def equation(self, e: Equation, block: Block) -> Sequence[Atom]:
        """Write an equation; gives the atoms of its results."""
        name = e.primitive.name
        if (rule := self.rule_of(e.primitive)) is not None:
            return rule(self, e, block)
        known = simplified(e, self.ones)
        if known is not None:
            return (known,)
        text = self.operation(e)
        is_pure = not (e.has_effects or e.returns_tuple or e.primitive.recomputable in ("expensive", "never"))
        if is_pure and (known := block.known.get((text, e.outputs[0].type))) is not None:
            return (known,)
        if is_pure:
            block.known[text, e.outputs[0].type] = e.outputs[0]
        (self.note_broadcast if name == "broadcast_in_dim" else self.note_cast)(e)
        block.statements.append(Assignment(e.outputs, text, e.source, e.has_effects, as_tuple=e.returns_tuple))
        return e.outputs

    def operation(self, e: Equation) -> Code:
        """The right side of an equation: in its short form, as a function of jax.lax, or by its implementation."""
        rule = TABLE.get(e.primitive.name)
        text = rule(e, self.operands) if rule is not None else None
        if text is None and isinstance(e.primitive, Elementwise):
            text = named(e, self.operands)
        return text if text is not None else self.inliner.call(e.primitive, self.exact(e), e.params)

    def exact(self, e: Equation) -> list[Part | Code]:
        """The operands for an implementation; numbers among those of an elementwise operation have its dtype."""
        arrays = [v.type.dtype for v in e.inputs if is_array(v)]
        if isinstance(e.primitive, Elementwise) and arrays:
            return [self.operands.exact(v, arrays[0]) for v in e.inputs]
        return [self.operands.strict(v) for v in e.inputs]

    def note_broadcast(self, e: Equation) -> None:
        """Remember how an operand is written where it broadcasts by itself: a number has no shape."""
        (x,), (out,) = e.inputs, e.outputs
        if isinstance(x, Literal) and out.type.dtype.kind in "fiuc":
            self.ones.update([out] if x.value == 1 else [])
            self.broadcasts[out] = (number(out.type.dtype.type(x.value).item()),), None
        elif is_array(x):
            self.broadcasts[out] = broadcastable(e), expanded_shape(e)

    def note_cast(self, e: Equation) -> None:
        if e.primitive.name == "convert_element_type" and type(e.inputs[0]) is Var and e.inputs[0].type.dtype == bool:
            self.predicates[e.outputs[0]] = e.inputs[0]

    def typed(self, atom: Atom, t: ArrayType) -> Code:
        """An operand of a loop, which is an array."""
        if isinstance(atom, Var) and type(atom.type) is not ScalarType:
            return code(atom)
        value = atom.value if isinstance(atom, Literal) else None
        text = number(value.item()) if isinstance(value, np.generic) else self.operands.strict(atom)
        return code("jnp.array(", text, f", {dtype_name(t.dtype)})")

    def zeros_like(self, v: Var) -> Code:
        return (f"jnp.zeros({v.type.shape}, {dtype_name(v.type.dtype)})",)


def simplified(e: Equation, ones: set[Any]) -> Atom | None:
    """The operand, or the number, that an equation gives in any case; None if it computes something."""
    name, inputs, (out, *_) = e.primitive.name, e.inputs, (*e.outputs, None)
    if name == "convert_element_type" and type(inputs[0]) is Var and inputs[0].type.dtype == e.params["new_dtype"]:
        return inputs[0]
    if name == "mul" and out is not None:
        for one, other in (inputs, inputs[::-1]):
            if is_one(one, ones) and type(other) is Var and fits(other.type, out.type):
                return other
    is_cast = name == "convert_element_type" and not is_key(e.params["new_dtype"])
    foldable = (
        (is_cast or isinstance(e.primitive, Elementwise)) and inputs and all([type(v) is Literal for v in inputs])
    )
    if foldable and out is not None:
        value = np.asarray(e.primitive.evaluate(tuple([v.value for v in inputs]), e.params))  # type: ignore[union-attr]
        if value.dtype.kind in "fiucb" and value.shape == ():
            return Literal(value.item() if out.type.weak_type else value[()], out.type)
    return None


def fits(x: ArrayType, y: ArrayType) -> bool:
    """Whether two types are equal up to weakness."""
    return x.shape == y.shape and x.dtype == y.dtype


def is_one(atom: Atom, ones: set[Any]) -> bool:
    """Whether a factor is the number 1, or an array of ones."""
    return atom.value == 1 if isinstance(atom, Literal) else atom in ones
