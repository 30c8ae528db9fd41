"""Which outputs of a program depend on which inputs, also after any number of turns of a loop around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.calls.programs import Flags, chosen, either
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Nondifferentiable, Primitive
from minijvp.core.types import is_inexact
from minijvp.operations.families import Elementwise


def reached(jaxpr: Jaxpr, inputs: Sequence[bool], differentiable: bool = False) -> Flags:
    """Which outputs depend on one of these inputs; with `differentiable`, so that they can have a tangent."""
    known = {v for v, flag in zip(jaxpr.inputs, inputs, strict=True) if flag}
    for e in jaxpr.equations:
        if known.isdisjoint(e.inputs) or (differentiable and is_flat(e.primitive)):
            continue
        outputs: Sequence[Any] = e.outputs
        if len(outputs) > 1:
            flags = e.primitive.reached(e, tuple([v in known for v in e.inputs]), differentiable)
            outputs = [v for v, flag in zip(outputs, flags, strict=True) if flag]
        known.update([v for v in outputs if not differentiable or is_inexact(v.type.dtype)])
    return tuple([v in known for v in jaxpr.outputs])


def is_flat(primitive: Primitive) -> bool:
    """Whether the derivative of a primitive is zero."""
    if isinstance(primitive, Elementwise):
        missing = primitive.made_outside and not primitive.derivatives  # which is not zero
        return not any(primitive.derivatives) and not missing
    return isinstance(primitive, Nondifferentiable)


def reaching(jaxpr: Jaxpr, outputs: Sequence[bool]) -> Flags:
    """Which inputs one of these outputs depends on."""
    known = set(chosen(jaxpr.outputs, outputs))
    for e in reversed(jaxpr.equations):
        if not known.isdisjoint(e.outputs):
            known.update(e.inputs)
    return tuple([v in known for v in jaxpr.inputs])


def spread_around(step: Callable[[Flags], Sequence[bool]], carry: Flags) -> Flags:
    """The carries that a property reaches from `carry`; `step` says which it reaches in one turn of the loop."""
    while (found := either(carry, step(carry))) != carry:
        carry = found
    return carry


# Which carries of a loop have a tangent, a cotangent, a batch axis? Such a property spreads from the arguments through
# the body, and around the loop. A guess from the dependencies in the body spares running a transformation twice.


def fixpoint(turn: Callable[[Flags], Any], carry: Flags, guess: Flags) -> Any:
    """What `turn` gives for the carries that have a property, by its own account; the first of it is that account.

    `carry` has the property from the start; the search begins with `guess`.
    """
    while True:
        result = turn(guess)
        found = either(carry, result[0])
        if found == guess:
            return result
        # Where the guess was too large it shrinks, else it grows.
        guess = found if either(found, guess) == guess else either(found, guess)
