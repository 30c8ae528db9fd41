"""A choice among programs, of which one runs.

cond : (Int, [a -> b]) -> a -> b
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from jax import lax

from minijvp.calls.carrier import reached
from minijvp.calls.programs import (
    ControlFlow,
    Extension,
    Flags,
    array_types,
    chosen,
    either,
    groups,
    instantiated,
    present,
    reaching,
    require_types,
    typed,
)
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, Var, evaluate, inner_jaxprs, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import PYTHON_SCALARS, ArrayType, ScalarType, is_inexact, type_of
from minijvp.errors import JaxprError
from minijvp.operations.annotations import or_constant
from minijvp.operations.bitwise import bitwise_not
from minijvp.operations.casting import convert_element_type
from minijvp.operations.dynamic_slicing import dynamic_slice
from minijvp.operations.elementwise import clamp, eq, ge, select_n
from minijvp.operations.families import (
    all_batched,
    broadcast_in_dim,
    is_linear,
    leading_axis,
    nonzero,
    reshape,
    spread,
    zeros_like,
)
from minijvp.operations.reduction import reduce_max, reduce_or
from minijvp.operations.shape import iota
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import LinearizedJaxpr
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr


class Cond(ControlFlow):
    """The outputs of the one of `branches`, open jaxprs over the same operands, that `index` (int32) names.

    An index that is out of range is clamped.
    """

    repeats = False

    def impl(self, index: Any, *operands: Any, branches: tuple[Jaxpr, ...]) -> tuple[Any, ...]:
        exact = [typed(x, t) for x, t in zip(operands, branches[0].in_types, strict=True)]
        return tuple(lax.switch(index, [partial(lower, b) for b in branches], *exact))

    def type_rule(self, index: ArrayType, *types: ArrayType, branches: tuple[Jaxpr, ...]) -> tuple[ArrayType, ...]:
        if index.shape or not (index.dtype == np.int32 or (type(index) is ScalarType and index.dtype.kind == "i")):
            raise JaxprError(f"the index of a cond should be an int32 without axes, and is {index!r}.")
        outs = array_types(branches[0].out_types)
        for branch in branches:
            require_types("the operands of a branch", branch.in_types, types)
            require_types("the results of a branch", branch.out_types, outs)
        return tuple(outs)

    def jvp(self, primals: tuple, tangents: tuple, *, branches: tuple[Jaxpr, ...]) -> tuple[Any, Any]:
        index, *operands = primals
        programs, extra, out_nonzero = jvp_branches(branches, nonzero(tangents[1:]))
        outs = self(index, *extra, *operands, *present(tangents[1:]), branches=programs)
        outs, t_outs = groups(outs, len(out_nonzero))
        return tuple(outs), spread(t_outs, out_nonzero)

    def linearize(self, primals: tuple, tangents: tuple, *, branches: tuple[Jaxpr, ...]) -> tuple[Any, Any]:
        index, *operands = primals
        parts = linearize_branches(branches, nonzero(tangents[1:]))
        outs = self(index, *parts.extra, *operands, branches=parts.known)
        n = len(parts.out_nonzero)
        if not any(parts.out_nonzero):
            return outs, (None,) * n
        known = (*operands, *outs)
        residuals = [known[i] for i in parts.shared] + list(outs[n:])
        t_outs = self(index, *residuals, *present(tangents[1:]), branches=parts.linear)
        return outs[:n], spread(t_outs, parts.out_nonzero)

    def transpose(self, ct: tuple, index: Any, *operands: Any, branches: tuple[Jaxpr, ...]) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, operands))
        programs, extra, found = transpose_branches(branches, linear, nonzero(ct))
        if not any(found):
            return (None,) * (1 + len(operands))
        known = chosen(operands, [not flag for flag in linear])
        cts = self(index, *extra, *known, *present(ct), branches=programs)
        return (None, *spread(cts, found))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, branches: tuple[Jaxpr, ...]
    ) -> tuple[Any, Any]:
        index, *operands = args
        if batched[0]:
            return select_or_hand_on(axis, index, operands, batched[1:], branches)
        programs, extra, out_batched = vmap_branches(branches, axis, batched[1:])
        return self(index, *extra, *operands, branches=programs), out_batched

    def narrowed(self, equation: Equation, used: Flags) -> Equation:
        branches = tuple([b.without_dead_code(used) for b in equation.params["branches"]])
        outputs = tuple(chosen(equation.outputs, used))
        return Equation(self, equation.inputs, {"branches": branches}, outputs, equation.source)

    def reached(self, equation: Equation, inputs: Flags, differentiable: bool) -> Flags:
        branches = equation.params["branches"]
        if inputs[0]:
            places = [common_place(k, branches) for k in range(len(equation.outputs))]
            return tuple([place is None or inputs[1 + place] for place in places])
        return union([reached(b, inputs[1:], differentiable) for b in branches])


cond = Cond("cond")


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


@cached(maxsize=4096)
def jvp_branches(branches: tuple[Jaxpr, ...], flags: Flags) -> tuple[tuple[Jaxpr, ...], tuple[Any, ...], Flags]:
    """The branches on duals, the arrays that they close over, and which results have a tangent."""
    made = [jvp_jaxpr(branch, flags) for branch in branches]
    out_nonzero = union([found for _, found in made])
    types = branches[0].out_types
    programs, extra = joined([p for p, _ in made])
    complete = []
    for program, (_, found) in zip(programs, made, strict=True):
        body = Extension(program)
        outs, t_outs = groups(program.outputs, len(types))
        t_outs = instantiated(body, spread(t_outs, found), types, out_nonzero)
        complete.append(body.finish(program.inputs, outs + t_outs))
    return tuple(complete), extra, out_nonzero


class Linearized(NamedTuple):
    """The two choices that a choice is linearized to.

    `known` takes the arrays `extra`, and the operands; its further results are residuals, in slots that the branches
    share. `linear` takes those of operands and results that `shared` numbers, the slots, and the tangents.
    """

    known: tuple[Jaxpr, ...]
    extra: tuple[Any, ...]
    linear: tuple[Jaxpr, ...]
    shared: tuple[int, ...]
    out_nonzero: Flags


@cached_by_linearizer(maxsize=4096)
def linearize_branches(branches: tuple[Jaxpr, ...], flags: Flags) -> Linearized:
    """The known and the linear branches; `flags` says which operands have a tangent."""
    made = hooks.linearizer.branches(branches, flags)
    out_nonzero = union([found for _, _, _, found in made])
    types, n = branches[0].out_types, len(branches[0].outputs)
    places, shared, slots = shared_residuals(made)
    operands = branches[0].in_types
    known, extra = joined([p for p, *_ in made])
    known_bodies, linear_bodies = [], []
    for program, (_, linear, origins, found), placed in zip(known, made, places, strict=True):
        body = Extension(program)
        new = dict(zip([i for i in placed if i < 0], program.outputs[n:], strict=True))
        filled = [new[~k] if ~k in new else body.zeros(t) for k, t in enumerate(slots)]
        known_bodies.append(body.finish(program.inputs, [*program.outputs[:n], *filled]))
        residuals, tangents = groups(linear.inputs, len(origins))
        variables = dict(zip(placed, residuals, strict=True))
        wanted = [(i, (*operands, *types)[i]) for i in shared] + [(~k, t) for k, t in enumerate(slots)]
        body = Extension(linear)
        t_outs = instantiated(body, spread(linear.outputs, found), types, out_nonzero)
        inputs = [variables[i] if i in variables else Var(t) for i, t in wanted]
        linear_bodies.append(body.finish([*inputs, *tangents], t_outs))
    return Linearized(tuple(known_bodies), extra, tuple(linear_bodies), tuple(shared), out_nonzero)


def shared_residuals(made: Sequence[LinearizedJaxpr]) -> tuple[list[list[int]], list[int], list[ArrayType]]:
    """The places of the residuals of each branch, those of operands and results that are some, and the slots."""
    slots: list[ArrayType] = []
    places = [place_residuals(linear, origins, slots) for _, linear, origins, _ in made]
    return places, sorted({i for placed in places for i in placed if i >= 0}), slots


def place_residuals(linear: Jaxpr, origins: Sequence[int | None], slots: list[ArrayType]) -> list[int]:
    """For each residual of a branch its number among operands and results, or ~k for the slot k, maybe a new one."""
    free = list(range(len(slots)))
    places = []
    for origin, t in zip(origins, linear.in_types, strict=False):
        if origin is not None:
            places.append(origin)
            continue
        slot = next((k for k in free if slots[k] == t), None)
        if slot is None:
            slots.append(t)
            slot = len(slots) - 1
        else:
            free.remove(slot)
        places.append(~slot)
    return places


@cached_by_linearizer(maxsize=4096)
def transpose_branches(
    branches: tuple[Jaxpr, ...], linear: Flags, flags: Flags
) -> tuple[tuple[Jaxpr, ...], tuple[Any, ...], Flags]:
    """The transposed branches, the arrays that they close over, and which operands get a cotangent."""
    made = [transpose_jaxpr(branch, linear, flags) for branch in branches]
    found_by_each = [tuple(map(bool, spread(found, linear))) for _, found in made]
    found = union(found_by_each)
    programs, extra = joined([p for p, _ in made])
    complete = []
    for program, own in zip(programs, found_by_each, strict=True):
        body = Extension(program)
        cts = instantiated(body, spread(program.outputs, own), branches[0].in_types, found)
        complete.append(body.finish(program.inputs, cts))
    return tuple(complete), extra, found


@cached(maxsize=4096)
def vmap_branches(
    branches: tuple[Jaxpr, ...], axis: Axis, batched: Flags
) -> tuple[tuple[Jaxpr, ...], tuple[Any, ...], Flags]:
    """The batched branches, the arrays that they close over, and which results are batched."""
    made = [vmap_jaxpr(branch, axis, batched) for branch in branches]
    out_batched = union([found for _, found in made])
    programs, extra = joined([p for p, _ in made])
    complete = []
    for program, (_, found) in zip(programs, made, strict=True):
        body = Extension(program)
        places = zip(program.outputs, out_batched, found, strict=True)
        outs = [body.repeated(axis.size, v) if wanted and not b else v for v, wanted, b in places]
        complete.append(body.finish(program.inputs, outs))
    return tuple(complete), extra, out_batched


# A choice that differs from lane to lane runs every branch on all lanes, and selects. In the lanes that did not choose
# it a branch computes nobody knows what, and 0 * inf in its derivative would be a NaN in a gradient. Therefore in those
# lanes its operands are constants; and for a branch of which one lane may cost much, those of a lane that chose it.


def select_or_hand_on(
    axis: Axis, index: Any, operands: Sequence[Any], batched: Flags, branches: tuple[Jaxpr, ...]
) -> tuple[tuple[Any, ...], Flags]:
    """The outputs of the branches that the lanes chose, and which are batched: not what all hand on that is not."""
    same = [handed_on(k, operands, batched, branches) for k in range(len(branches[0].outputs))]
    flags = tuple([x is None for x in same])
    if all(flags):
        return select_branch(axis, index, operands, batched, branches), flags
    selected: Sequence[Any] = ()
    if any(flags):
        rest = tuple([b.without_dead_code(flags) for b in branches])
        selected = select_branch(axis, index, operands, batched, rest)
    found = spread(selected, flags)
    return tuple([x if x is not None else y for x, y in zip(same, found, strict=True)]), flags


def place_of_output(k: int, branch: Jaxpr) -> int | None:
    """The place of the operand that a branch hands on as output `k`; None if that is another value."""
    return next((i for i, v in enumerate(branch.inputs) if v is branch.outputs[k]), None)


def common_place(k: int, branches: tuple[Jaxpr, ...]) -> int | None:
    """The place of the operand that all branches hand on as output `k`; None if there is none."""
    places = {place_of_output(k, b) for b in branches}
    return places.pop() if len(places) == 1 else None


def handed_on(k: int, operands: Sequence[Any], batched: Flags, branches: tuple[Jaxpr, ...]) -> Any:
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


def select_branch(
    axis: Axis, index: Any, operands: Sequence[Any], batched: Flags, branches: tuple[Jaxpr, ...]
) -> tuple[Any, ...]:
    """The outputs of the branches that the lanes chose, all batched."""
    n = len(branches)
    if n == 2:
        which = ge(index, 1)
        lanes = [bitwise_not(which), which]
    else:
        which = clamp(np.int32(0), index, np.int32(n - 1))
        lanes = [eq(which, k) for k in range(n)]
    cases = [run_branch(axis, chose, operands, batched, b) for chose, b in zip(lanes, branches, strict=True)]
    if n == 1:
        return tuple(cases[0])
    return tuple([select_n(across(which, x[0]), *x) for x in zip(*cases, strict=True)])


def across(lanes: Any, x: Any) -> Any:
    """A value for each lane, repeated to the shape of `x`."""
    shape = type_of(x).shape
    return broadcast_in_dim(lanes, shape=shape, broadcast_dimensions=(0,)) if len(shape) > 1 else lanes


def run_branch(axis: Axis, lanes: Any, operands: Sequence[Any], batched: Flags, branch: Jaxpr) -> list[Any]:
    """The batched outputs of a branch, right in the lanes that are true, if any."""
    alone = not (axis.name is not None and any(e.primitive.uses_axis(axis.name, e.params) for e in branch))
    used = reaching(branch, (True,) * len(branch.outputs))
    if not (alone and is_slow(branch)):
        inexact = [u and is_inexact(t.dtype) for u, t in zip(used, branch.in_types, strict=True)]
        operands = [
            constant_where(lanes, leading_axis(axis, x, b)) if flag else x
            for x, b, flag in zip(operands, batched, inexact, strict=True)
        ]
        program, out_batched = vmap_jaxpr(branch, axis, either(batched, inexact))
        return all_batched(axis, evaluate(program, *operands), out_batched)
    operands = chosen_operands(axis, lanes, operands, [b and u for b, u in zip(batched, used, strict=True)])
    program, out_batched = vmap_jaxpr(branch, axis, batched)
    opened, extra = program.hoist_constants()
    index = convert_element_type(reduce_or(lanes, axes=(0,)), new_dtype=np.dtype(np.int32), weak_type=False)
    outs = cond(index, *extra, *operands, branches=(nothing(opened), opened))
    return all_batched(axis, outs, out_batched)


def constant_where(lanes: Any, x: Any) -> Any:
    """`x`, of which every lane has its own, as a constant in the lanes that are false."""
    return or_constant(across(lanes, x), x, x)


def chosen_operands(axis: Axis, lanes: Any, operands: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The operands; those whose flag is true have, in lanes that are false, the value of one that is true."""
    if not any(flags) or not axis.size:
        return list(operands)
    numbers = iota(dtype=np.dtype(np.int32), shape=(axis.size,), dimension=0)
    lane = reduce_max(select_n(lanes, zeros_like(numbers), numbers), axes=(0,))

    def replaced(x: Any) -> Any:
        shape = type_of(x).shape
        row = dynamic_slice(x, lane, *[np.int32(0)] * (len(shape) - 1), slice_sizes=(1, *shape[1:]))
        row = leading_axis(axis, reshape(row, new_sizes=shape[1:]), False)
        return or_constant(across(lanes, x), x, row)

    return [replaced(x) if flag else x for x, flag in zip(operands, flags, strict=True)]


@cached(maxsize=4096)
def nothing(branch: Jaxpr) -> Jaxpr:
    """A program of the same types whose results are zeros."""
    body = Extension(Jaxpr((), (), (), ()))
    return body.finish(map(Var, branch.in_types), [body.zeros(t) for t in branch.out_types])


@lru_cache(maxsize=4096)
def is_slow(jaxpr: Jaxpr) -> bool:
    """Whether a program is worth the look whether anybody wants it: it has a loop, or an operation that is costly."""
    for e in jaxpr:
        inner = list(inner_jaxprs(e.params))
        loop = isinstance(e.primitive, ControlFlow) and e.primitive.repeats
        if loop or any(map(is_slow, inner)) or (not inner and e.primitive.recomputable in ("dear", "never")):
            return True
    return False
