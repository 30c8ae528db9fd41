"""Elementwise operations as a person writes them, and how their operands broadcast.

A writer of the table takes an equation and gives its text, or None where the short form would mean something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.jaxpr import Atom, Equation, Literal, Var
from minijvp.core.types import ArrayType, ScalarType, is_inexact
from minijvp.views.python.literals import dtype_name, number
from minijvp.views.python.text import Code, Part, code, listed

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^"}
INFIX |= {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

UNARY = {n: f"jnp.{n}" for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "exp2", "expm1", "log", "log1p")}
UNARY |= {n: f"jnp.{n}" for n in ("sqrt", "cbrt", "floor", "ceil", "sign", "asin", "acos", "atan", "asinh", "atanh")}
UNARY |= {"logistic": "jax.nn.sigmoid", "abs": "jnp.abs", "is_finite": "jnp.isfinite", "rsqrt": "lax.rsqrt"}
BINARY = {"max": "jnp.maximum", "min": "jnp.minimum", "atan2": "jnp.atan2", "hypot": "jnp.hypot"}
LAX_NAMES = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "not": "bitwise_not"}


class Operands:
    """How the operands of an equation are written, where arrays of other shapes would broadcast to the right one."""

    def __init__(self, broadcasts: dict[Any, tuple[Code, tuple[int, ...] | None]], literal: Callable[[Any], Code]):
        self.broadcasts = broadcasts
        self.literal = literal

    def strict(self, atom: Any) -> Part | Code:
        """The operand as it is."""
        return atom if type(atom) is Var else self.literal(atom.value)

    def exact(self, atom: Any, dtype: Any) -> Part | Code:
        """The operand, for a function that takes operands of one dtype only."""
        if type(atom) is Literal and not isinstance(atom.value, np.generic):
            return self.literal(np.dtype(dtype).type(atom.value))
        return self.strict(atom)

    def loose(self, atoms: Sequence[Atom]) -> list[Part | Code]:
        """The operands of an elementwise operation, with as few explicit broadcasts as give the shape of the result."""
        arrays = [v for v in atoms if is_array(v)]
        wanted = arrays[0].type.shape
        for explicit in ((), *((v,) for v in arrays if v in self.broadcasts), arrays):
            loosened = [v for v in arrays if v in self.broadcasts and v not in explicit]
            shapes = [self.broadcasts[v][1] if v in loosened else v.type.shape for v in arrays]
            numbers = [shape is None for shape in shapes]
            if not all(numbers) and np.broadcast_shapes(*[s for s in shapes if s is not None]) == wanted:
                return [self.broadcasts[v][0] if v in loosened else self.simple(v) for v in atoms]
        return list(map(self.strict, atoms))

    def simple(self, atom: Any) -> Part | Code:
        """An operand beside one that has the dtype of the result."""
        if type(atom) is Literal and isinstance(atom.value, np.generic):
            return (number(atom.value.item()),)
        return self.strict(atom)


def is_array(atom: Atom) -> bool:
    """Whether an operand is an array, and no number of Python."""
    return type(atom) is Var and type(atom.type) is not ScalarType


def _infix(e: Equation, operands: Operands) -> Code | None:
    symbol = INFIX[e.primitive.name]
    kind = e.inputs[0].type.dtype.kind
    arrays = [v for v in e.inputs if is_array(v)]
    if not arrays or (symbol in "+-*/" and not is_plain(arrays[0].type.dtype, division=symbol == "/")):
        return None
    if symbol in ("<", "<=", ">", ">=") and kind == "c":
        return None
    if any([type(v) is Literal and not _fits(v.value, arrays[0].type.dtype) for v in e.inputs]):
        return None
    x, y = operands.loose(e.inputs)
    return code(x, f" {symbol} ", y)


def is_plain(dtype: Any, division: bool = False) -> bool:
    """Whether operators of arrays do with this dtype what the operations do."""
    return is_inexact(dtype) or (not division and getattr(dtype, "kind", "V") in "iu")


def _fits(value: Any, dtype: Any) -> bool:
    """Whether a number beside an array leaves the dtype of the array as it is."""
    if isinstance(value, np.generic):
        return value.dtype == dtype
    if isinstance(value, bool):
        return True
    kinds = "bV" if isinstance(value, int) else "biuV" if isinstance(value, float) else "biufV"
    return dtype.kind not in kinds or (dtype.kind == "V" and is_inexact(dtype) and not isinstance(value, complex))


def _unary(e: Equation, operands: Operands) -> Code | None:
    (x,) = e.inputs
    name = UNARY[e.primitive.name]
    is_real = x.type.dtype.kind != "c"
    if not is_array(x) or not is_inexact(x.type.dtype) or any(p is not None for p in e.params.values()):
        return None
    return code(f"{name}(", x, ")") if is_real or e.primitive.name in ("sin", "cos", "exp", "log", "abs") else None


def _binary(e: Equation, operands: Operands) -> Code | None:
    arrays = [v for v in e.inputs if is_array(v)]
    if not arrays or arrays[0].type.dtype.kind not in "fiu":
        return None
    if any([type(v) is Literal and not _fits(v.value, arrays[0].type.dtype) for v in e.inputs]):
        return None
    return code(f"{BINARY[e.primitive.name]}(", listed(operands.loose(e.inputs)), ")")


def _negative(e: Equation, operands: Operands) -> Code | None:
    (x,) = e.inputs
    return code("-", x) if is_array(x) and is_plain(x.type.dtype) else None


def _inverted(e: Equation, operands: Operands) -> Code | None:
    return code("~", e.inputs[0]) if is_array(e.inputs[0]) else None


def _square(e: Equation, operands: Operands) -> Code | None:
    (x,) = e.inputs
    return code(x, "**2") if is_array(x) and x.type.dtype.kind != "c" else None


SLOPES = {
    "one_minus_square": ("(1.0 - ", 0, ") * (1.0 + ", 0, ")"),
    "times_one_minus": (0, " * (1.0 - ", 0, ")"),
    "tanh_slope": ("(2.0 / (jnp.exp(", 0, ") + jnp.exp(-", 0, ")))**2"),
    "logistic_slope": (1, " * jax.nn.sigmoid(-", 0, ")"),
}
"""Derivatives, with the numbers of operands."""


def _slope(e: Equation, operands: Operands) -> Code | None:
    if not is_array(e.inputs[0]) or e.inputs[0].type.dtype.kind == "c":
        return None
    return code(*[part if isinstance(part, str) else e.inputs[part] for part in SLOPES[e.primitive.name]])


def _integer_power(e: Equation, operands: Operands) -> Code | None:
    (x,), y = e.inputs, e.params["y"]
    if not is_array(x) or not is_inexact(x.type.dtype):
        return None
    return code(x, f"**{y}" if y >= 0 else f" ** ({y})")


def _power(e: Equation, operands: Operands) -> Code | None:
    x, y = e.inputs
    real = [is_inexact(v.type.dtype) and v.type.dtype.kind != "c" for v in (x, y)]
    if not all(real) or not (is_array(x) or is_array(y)):
        return _integer_exponent(e, operands)
    base, exponent = operands.loose((x, y))
    base = code("(", base, ")") if isinstance(x, Literal) and str(x.value)[0] == "-" else base
    return code(base, "**" if type(y) is Var else " ** ", exponent)


def _integer_exponent(e: Equation, operands: Operands) -> Code | None:
    """lax.pow with exponents of another shape."""
    x, y = e.inputs
    shape = e.outputs[0].type.shape
    if type(y) is Literal or not is_array(x) or not is_array(y):
        wide = [_whole(v, e.outputs[0].type, operands, i) for i, v in enumerate(e.inputs)]
    else:
        wide = [v if v.type.shape == shape else code("jnp.broadcast_to(", v, f", {shape})") for v in (x, y)]
    return code("lax.pow(", listed(wide), ")")


def _whole(atom: Any, t: ArrayType, operands: Operands, position: int) -> Part | Code:
    """An operand of `lax.pow` in the shape of the result, in its dtype or, as an exponent, in its own."""
    if is_array(atom):
        return atom
    dtype = atom.type.dtype if position and atom.type.dtype.kind in "iu" else t.dtype
    return code(f"jnp.full({t.shape}, ", operands.strict(atom), f", {dtype_name(dtype)})")


def _select(e: Equation, operands: Operands) -> Code | None:
    which, *cases = e.inputs
    if which.type.dtype != bool or len(cases) != 2 or not any(map(is_array, cases)):
        return None
    if type(which) is Literal or (which.type.shape and which in operands.broadcasts):
        return None
    if any([type(v) is Literal and not isinstance(v.value, np.generic) for v in cases]):
        return None
    first, second = operands.loose(cases)
    return code("jnp.where(", listed([which, second, first]), ")")


def _clamp(e: Equation, operands: Operands) -> Code | None:
    lower, x, upper = e.inputs
    if not is_array(x) or any([type(v) is Var and not is_array(v) for v in (lower, upper)]):
        return None
    return code("lax.clamp(", listed([operands.exact(v, x.type.dtype) for v in (lower, x, upper)]), ")")


def named(e: Equation, operands: Operands) -> Code | None:
    """An elementwise function of jax.lax, for operands of one dtype."""
    name = LAX_NAMES.get(e.primitive.name, e.primitive.name)
    arrays = [v for v in e.inputs if type(v) is Var]
    if not hasattr(lax, name) or e.params:
        return None
    dtype = (arrays or e.inputs)[0].type.dtype
    return code(
        f"lax.{name}(", listed(operands.exact(v, dtype) if arrays else operands.strict(v) for v in e.inputs), ")"
    )


Write = Callable[[Equation, Operands], Code | None]

ELEMENTWISE: dict[str, Write] = {
    **dict.fromkeys(INFIX, _infix),
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BINARY, _binary),
    "neg": _negative,
    "not": _inverted,
    "square": _square,
    **dict.fromkeys(SLOPES, _slope),
    "integer_pow": _integer_power,
    "pow": _power,
    "select_n": _select,
    "clamp": _clamp,
}
"""How an elementwise operation is written, by the name of its primitive."""
