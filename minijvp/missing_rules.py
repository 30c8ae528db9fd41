"""Messages for rules that are missing: which one, and how it is written."""

from __future__ import annotations

from textwrap import indent
from typing import Any

from minijvp.errors import MissingRuleError

WHY_MISSING = {
    "impl": "No rule says how it is computed.",
    "jvp": "No rule says how it is differentiated.",
    "batch": "No rule says how it is computed for a batch of arguments.",
}
INSTEAD_OF_RULE = (
    "Differentiate around it (stop_gradient), or put it into a function with a rule (custom_jvp, custom_vjp).",
    "Put it into a function with a rule (minijvp.custom_batching.custom_vmap), or call it in a loop (lax.map).",
)

SKETCHES = {
    "impl": """\
def impl(self, x, **params):  # arrays, and static parameters: the result, by jax.numpy or jax.lax
    return jnp.sin(x)
""",
    "jvp": """\
def jvp(self, primals, tangents, **params):  # here of sin(x); a tangent that is None is zero
    (x,), (t,) = primals, tangents
    return self(x), None if t is None else t * mnp.cos(x)
""",
    "transpose": """\
def transpose(self, ct, x, **params):  # here of 2 * x; x is an ArrayType, since its value is not known
    return ct * 2  # of several arguments: a tuple, with None for those that are no ArrayType
""",
    "transpose_x": """\
def transpose_x(self, ct, x, y, **params):  # here of x * y; x is an ArrayType, since its value is not known
    return ct * y
""",
    "transpose_y": """\
def transpose_y(self, ct, x, y, **params):  # here of x * y; y is an ArrayType, since its value is not known
    return ct * x
""",
    "batch": """\
def batch(self, axis, args, batched, **params):  # args[i] has a leading axis of axis.size where batched[i] is True
    return self(*args, **params), True  # here of an operation on each element; True, since the result has the axis
""",
}
"""How each rule is written, for messages."""


def missing_rule(primitive: Any, rule: str) -> MissingRuleError:
    """The error for a primitive without a rule that a transformation needs."""
    why = WHY_MISSING.get(rule, "It is not linear, or no rule says how it is transposed.")
    do = how_to_write(primitive, rule) if primitive.made_outside else INSTEAD_OF_RULE[rule == "batch"]
    error = MissingRuleError(f"the primitive {primitive.name!r} has no {rule} rule.", why, do)
    error.rule = rule
    return error


def how_to_write(primitive: Any, rule: str) -> str:
    """How a rule of this primitive is written."""
    sketch = indent(SKETCHES[rule].rstrip(), "    ")
    return f"Write the rule in {type(primitive).__name__}, as minijvp.extend.Primitive describes it:\n{sketch}"
