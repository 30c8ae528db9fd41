"""The branches of a choice as programs of the same inputs and outputs, and what the transformations make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minijvp.calls.programs import Extension, Flags, either, flat, groups, in_series, instantiated
from minijvp.calls.taylor import pushed
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.jaxpr import Jaxpr, Var
from minijvp.core.primitive import Axis
from minijvp.core.types import PYTHON_SCALARS, type_of
from minijvp.operations.families import spread
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr

Branches = tuple[Jaxpr, ...]


class TransformedBranches(NamedTuple):
    """The branches that a transformation makes of others. Their first operands are the arrays `extra`.

    `found` says which results have a tangent, which operands a cotangent, which results a batch axis.
    """

    branches: Branches
    extra: tuple[Any, ...]
    found: Flags


def joined(programs: Sequence[Jaxpr]) -> tuple[list[Jaxpr], tuple[Any, ...]]:
    """Programs of the same inputs as open ones that all take, first, the constants of all; and those constants."""
    opened = [p.hoist_constants() for p in programs]
    extra = tuple([x for _, constants in opened for x in constants])
    if not extra:
        return list(programs), ()
    found = []
    for i, (program, constants) in enumerate(opened):
        others = [[Var(type_of(x)) for x in c] for _, c in opened]
        own, rest = groups(program.inputs, len(constants))
        others[i] = own
        inputs = [v for group in others for v in group] + rest
        found.append(Extension(program).finish(inputs, program.outputs))
    return found, extra


def union(flags: Sequence[Flags]) -> Flags:
    """Place by place, whether one of them is true."""
    first, *rest = flags
    for other in rest:
        first = either(first, other)
    return first


def completed(
    made: Sequence[tuple[Jaxpr, Flags]], outputs: Callable[[Extension, Sequence[Any], Flags, Flags], Sequence[Any]]
) -> TransformedBranches:
    """The programs that a transformation made, with equal outputs: what one of them found, all are to give.

    `outputs(body, outs, own, found)` gives those of one, from its outputs and the flags of what it found by itself.
    """
    found = union([own for _, own in made])
    programs, extra = joined([program for program, _ in made])
    bodies = [(Extension(program), program, own) for program, (_, own) in zip(programs, made, strict=True)]
    branches = [body.finish(p.inputs, outputs(body, p.outputs, own, found)) for body, p, own in bodies]
    return TransformedBranches(tuple(branches), extra, found)


@cached_by_linearizer(maxsize=4096)
def jvp_branches(branches: Branches, flags: Flags, order: int | None = None) -> TransformedBranches:
    """The branches on duals, or with Taylor coefficients up to an order; which results have a tangent, or some."""
    types = branches[0].out_types
    n = len(types)

    def outputs(body: Extension, outs: Sequence[Any], own: Flags, found: Flags) -> list[Any]:
        places = zip(in_series(outs[n:], own, order or 1), types, found, strict=True)
        return [*outs[:n], *flat([s or [body.zeros(t) for _ in range(order or 1)] for s, t, flag in places if flag])]

    return completed([pushed(branch, flags, order) for branch in branches], outputs)


@cached_by_linearizer(maxsize=4096)
def transpose_branches(branches: Branches, linear: Flags, flags: Flags) -> TransformedBranches:
    """The transposed branches; which operands get a cotangent."""
    made = [transpose_jaxpr(branch, linear, flags) for branch in branches]

    def outputs(body: Extension, outs: Sequence[Any], own: Flags, found: Flags) -> list[Any]:
        return instantiated(body, spread(outs, own), branches[0].in_types, found)

    return completed([(program, tuple(map(bool, spread(own, linear)))) for program, own in made], outputs)


@cached(maxsize=4096)
def vmap_branches(branches: Branches, axis: Axis, batched: Flags) -> TransformedBranches:
    """The batched branches; which results are batched."""

    def outputs(body: Extension, outs: Sequence[Any], own: Flags, found: Flags) -> list[Any]:
        places = zip(outs, found, own, strict=True)
        return [body.repeated(axis.size, v) if wanted and not b else v for v, wanted, b in places]

    return completed([vmap_jaxpr(branch, axis, batched) for branch in branches], outputs)


def place_of_output(k: int, branch: Jaxpr) -> int | None:
    """The place of the operand that a branch hands on as output `k`; None if that is another value."""
    return next((i for i, v in enumerate(branch.inputs) if v is branch.outputs[k]), None)


def common_place(k: int, branches: Branches) -> int | None:
    """The place of the operand that all branches hand on as output `k`; None if there is none."""
    places = {place_of_output(k, b) for b in branches}
    return places.pop() if len(places) == 1 else None


def handed_on(k: int, operands: Sequence[Any], batched: Flags, branches: Branches) -> Any:
    """The operand, the same for all lanes, that is output `k` whatever they choose; None if there is none.

    Branches may name it by several places: an operand that is passed twice is one.
    """
    found = None
    for branch in branches:
        place = place_of_output(k, branch)
        if place is None or batched[place] or (found is not None and operands[place] is not found):
            return None
        found = operands[place]
    fits = type(found) not in PYTHON_SCALARS and type_of(found) == branches[0].out_types[k]
    return found if fits else None
