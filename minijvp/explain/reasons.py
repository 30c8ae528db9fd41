"""What is said of an operation that hands on no derivative: why, and what to do."""

from __future__ import annotations

import numpy as np

from minijvp.core.primitive import Nondifferentiable
from minijvp.core.types import is_inexact, is_key, type_of
from minijvp.custom_rules.custom_jvp import CustomJVPCall
from minijvp.custom_rules.custom_vjp import CustomVJPCall
from minijvp.explain.cuts import End
from minijvp.explain.tape import UNFOLDED, Read, Step

THROUGH = "for a derivative as if it were not there, write x + stop_gradient(f(x) - x) for f(x)"

ALWAYS: dict[str, tuple[str, str]] = {
    "stop_gradient": ("it is there to hand on no derivative", "remove it where the derivative is wanted"),
    "convert_element_type": ("integers and booleans have no derivative", f"keep floating numbers, or, {THROUGH}"),
    **dict.fromkeys(
        ["eq", "ne", "lt", "le", "gt", "ge", "eq_to", "le_to", "lt_to", "is_finite"],
        (
            "a comparison does not change where its operands change a little",
            "compare smoothly (a sigmoid of the difference), if the derivative of the choice itself is wanted",
        ),
    ),
    **dict.fromkeys(["round", "floor", "ceil", "sign"], ("it is constant between its jumps", THROUGH)),
    **dict.fromkeys(
        ["argmax", "argmin", "sort", "top_k", "approx_top_k"],
        (
            "the place of an element does not change where the elements change a little",
            "take the elements themselves (max, sort), or weights in place of places (softmax)",
        ),
    ),
}
"""Of what has no derivative, whatever the values are."""

CHOICE = "differentiate where it is taken, or choose smoothly"
ELSEWHERE = "differentiate an element that is taken, or take this one"
LARGER = "another operand is taken", "choose a point on the other side, or a function with a slope on both (softplus)"
SATURATED = "scale its operand: numbers near 0 have a derivative that is not lost"

HERE: dict[str, tuple[str, str]] = {
    **dict.fromkeys(["select_n", "or_constant"], ("the other case is taken", CHOICE)),
    **dict.fromkeys(["gather", "slice", "dynamic_slice", "split"], ("other elements are taken", ELSEWHERE)),
    **dict.fromkeys(["scatter", "dynamic_update_slice", "scatter_apply"], ("the elements are written over", ELSEWHERE)),
    "pad": ("the elements are cut off", ELSEWHERE),
    **dict.fromkeys(["max", "min"], LARGER),
    "clamp": ("it lies outside of the bounds", "choose a point inside of them, or wider bounds"),
    **dict.fromkeys(
        ["reduce_max", "reduce_min", "reduce_window_max", "reduce_window_min", "cummax", "cummin"],
        ("another element is taken", "use a smooth function (logsumexp), if all should count"),
    ),
    **dict.fromkeys(
        ["mul", "dot_general", "conv_general_dilated", "scaled_dot", "absorbing_mul", "reduce_prod"],
        ("it is multiplied by zero", "look at where the other factor becomes zero"),
    ),
    "div": ("the quotient does not change with it: zero is divided, or by infinity", "look at the other operand"),
    **dict.fromkeys(
        [
            *["tanh", "logistic", "erf", "erfc", "exp", "exp2", "expm1", "atan", "softmax", "logsumexp"],
            *["log_softmax", "logaddexp", "asinh", "integer_pow", "pow", "square", "abs"],
        ],
        ("", SATURATED),
    ),
}
"""Of what has a derivative that is zero at these values; without a text, its operand is told."""

PARTS = frozenset({"real", "imag"})

STATIONARY = frozenset({"integer_pow", "pow", "square", "abs"})

WANTED: dict[str, str] = {
    "bool()": "Python decides by it (if, while, and, or, not)",
    "cond": "it chooses the branch",
    "while": "it decides whether the loop goes on",
}


def name_of(end: End) -> str:
    """How an end is called: the primitive, the function with a rule, or who read the value."""
    if isinstance(end.what, Read):
        return end.what.by
    return f"{ruled(end.what)}, by its rule" if has_rule(end.what) else end.what.primitive.name


def has_rule(step: Step) -> bool:
    """Whether it is a function with a rule of its own."""
    return isinstance(step.primitive, (CustomJVPCall, CustomVJPCall))


def ruled(step: Step) -> str:
    """The name of a function with a rule."""
    return step.params["name"] or step.params["jaxpr"].name or "a function"


def reason(end: End) -> tuple[str, str]:
    """Why no derivative goes on here, and what to do."""
    what = end.what
    if isinstance(what, Read):
        return read_reason(what)
    if end.kind == "unused":
        why = "what is computed from it is not used for the result, or written over as a whole"
        return why, "use it, or leave it out"
    if has_rule(what):
        return rule_reason(end, what)
    if what.params.get("length") == 0 and what.primitive in UNFOLDED:
        return "the loop has no turns, so that this is not used", "look at the number of turns"
    if what.primitive in UNFOLDED and end.kind != "sum":
        why = "the turns that are left of a long loop are taken as one operation, which hands on no derivative"
        return why, "look at a shorter loop, or at its last turns by themselves"
    if end.kind == "structure":
        return structural_reason(what)
    if end.kind == "sum":
        return sum_reason(what)
    why, do = HERE.get(what.primitive.name, ("", "choose another point, or look at its operands"))
    if why:
        return why, do
    at = text_of(np.asarray(end.node.value)[end.elements])
    if what.primitive.name in STATIONARY and not np.any(np.asarray(end.node.value)[end.elements]):
        return f"its derivative is zero at {at}", "choose another point: this one is stationary"
    saturates = do is SATURATED
    return f"it is flat at {at}: its derivative {'rounds to' if saturates else 'is'} zero there", do


def read_reason(read: Read) -> tuple[str, str]:
    """Of a value that somebody looked at."""
    if read.by in WANTED:
        return WANTED[read.by], "use where, or a smooth function, if the derivative of the choice is wanted"
    why = "what Python computes from the number does not depend on the argument any more"
    if read.as_number:
        why += " (under grad this is an error, or stop_gradient has to say that it is meant)"
    return why, "compute with the array itself, by functions of minijvp.numpy"


def rule_reason(end: End, step: Step) -> tuple[str, str]:
    """Of a function with a rule of its own."""
    name = ruled(step)
    if end.kind == "sum":
        return sum_reason(step)
    if end.kind == "structure":
        why = f"the rule of {name} gives no derivative"
        return why, f"look at the rule, and at functions that it calls; check_rule holds it against {name}"
    at = text_of(np.asarray(end.node.value)[end.elements])
    if name in ("relu", "relu6"):
        return f"{name} is flat at {at}", "start from other values, or use a function with a slope on both sides (gelu)"
    why = f"{name} is flat at {at}: its rule gives zero"
    return why, f"choose another point; if the rule is yours, check_rule holds it against {name}"


def structural_reason(step: Step) -> tuple[str, str]:
    """Of an operation that has no derivative in its operand, whatever the values."""
    if step.primitive.name in ALWAYS:
        return ALWAYS[step.primitive.name]
    if isinstance(step.primitive, Nondifferentiable):
        return "its derivative is zero wherever it exists", THROUGH
    if not any(is_inexact(type_of(x.value).dtype) for x in step.outputs):
        return ALWAYS["convert_element_type"]
    return "it has no derivative in this operand", "look at which of its operands the result depends on"


def sum_reason(step: Step) -> tuple[str, str]:
    """Of an operation whose derivatives are not zero, while what they give together is."""
    if sum(step.flags) == 1 and step.primitive.name in ("mul", "div", "exp", "integer_pow", "square", "pow"):
        return "the product is too small for the dtype: it rounds to zero", "scale the function, or use more bits"
    if step.primitive.name in PARTS:
        return "the part that is taken does not change with it", "take the other part, or the absolute value"
    return "what comes by several paths adds up to zero here", "the result does not change along this argument"


def text_of(x: np.ndarray) -> str:
    """A number, or the range of several."""
    if is_key(x.dtype) or not x.size:
        return "these values"
    if x.dtype.kind == "c":
        return f"{x.ravel()[0]:.4g}" if x.size == 1 else "these values"
    low, high = float(x.min()), float(x.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} … {high:.4g}"
