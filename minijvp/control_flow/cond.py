"""A choice among programs, of which one runs.

cond : (Int, [a -> b]) -> a -> b
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from jax import lax

from minijvp.calls.dependence import reached, reaching
from minijvp.calls.programs import (
    Extension,
    Flags,
    array_types,
    chosen,
    either,
    filled,
    flat,
    groups,
    in_series,
    instantiated,
    present,
    require_types,
    typed,
)
from minijvp.control_flow.base import ControlFlow
from minijvp.control_flow.branches import (
    Branches,
    common_place,
    handed_on,
    joined,
    jvp_branches,
    transpose_branches,
    union,
    vmap_branches,
)
from minijvp.control_flow.lanes import across, chosen_operands, constant_where
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, Var, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, ScalarType, is_inexact
from minijvp.errors import JaxprError
from minijvp.operations.bitwise import bitwise_not
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import clamp, eq, ge, select_n
from minijvp.operations.families import all_batched, is_linear, leading_axis, nonzero, spread
from minijvp.operations.reduction import reduce_or
from minijvp.transforms.linearize import LinearizedJaxpr
from minijvp.transforms.vmap import vmap_jaxpr


class Cond(ControlFlow):
    """The outputs of the one of `branches`, open jaxprs over the same operands, that `index` (int32) names.

    An index that is out of range is clamped.
    """

    body = "branches"
    repeats = False
    takes_more = True

    def impl(self, index: Array, *operands: Array, branches: Branches) -> tuple[Any, ...]:
        exact = [typed(x, t) for x, t in zip(operands, branches[0].in_types, strict=True)]
        return tuple(lax.switch(index, [partial(lower, b) for b in branches], *exact))

    def type_rule(self, index: ArrayType, *types: ArrayType, branches: Branches) -> tuple[ArrayType, ...]:
        if index.shape or not (index.dtype == np.int32 or (type(index) is ScalarType and index.dtype.kind == "i")):
            raise JaxprError(f"the index of a cond should be an int32 without axes, and is {index!r}.")
        outs = array_types(branches[0].out_types)
        for branch in branches:
            require_types("the operands of a branch", branch.in_types, types)
            require_types("the results of a branch", branch.out_types, outs)
        return tuple(outs)

    def jvp(self, primals: tuple, tangents: tuple, *, branches: Branches) -> tuple[Any, Any]:
        index, *operands = primals
        programs, extra, out_nonzero = jvp_branches(branches, nonzero(tangents[1:]))
        outs = self(index, *extra, *operands, *present(tangents[1:]), branches=programs)
        outs, t_outs = groups(outs, len(out_nonzero))
        return tuple(outs), spread(t_outs, out_nonzero)

    def taylor_to(self, order: int, primals: tuple, series: tuple, *, branches: Branches) -> tuple[Any, Any]:
        (index, *operands), flags = primals, nonzero(series[1:])
        programs, extra, found = jvp_branches(branches, flags, order)
        given = flat(filled(series[1:], operands, flags, order))
        outs, coefficients = groups(self(index, *extra, *operands, *given, branches=programs), len(found))
        return tuple(outs), in_series(coefficients, found, order)

    def linearize(self, primals: tuple, tangents: tuple, *, branches: Branches) -> tuple[Any, Any]:
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

    def transpose(self, ct: tuple, index: Array, *operands: Any, branches: Branches) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, operands))
        programs, extra, found = transpose_branches(branches, linear, nonzero(ct))
        if not any(found):
            return (None,) * (1 + len(operands))
        known = chosen(operands, [not flag for flag in linear])
        cts = self(index, *extra, *known, *present(ct), branches=programs)
        return (None, *spread(cts, found))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, branches: Branches) -> tuple[Any, Any]:
        index, *operands = args
        if batched[0]:
            return select_or_delegate(axis, index, operands, batched[1:], branches)
        programs, extra, out_batched = vmap_branches(branches, axis, batched[1:])
        return self(index, *extra, *operands, branches=programs), out_batched

    def without_outputs(self, equation: Equation, used: Flags) -> Equation:
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


class LinearizedChoice(NamedTuple):
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
def linearize_branches(branches: Branches, flags: Flags) -> LinearizedChoice:
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
    return LinearizedChoice(tuple(known_bodies), extra, tuple(linear_bodies), tuple(shared), out_nonzero)


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


# A choice that differs from lane to lane runs every branch on all lanes, and selects; `lanes` says what that takes.


def select_or_delegate(
    axis: Axis, index: Array, operands: Sequence[Any], batched: Flags, branches: Branches
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


def select_branch(
    axis: Axis, index: Array, operands: Sequence[Any], batched: Flags, branches: Branches
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


def run_branch(axis: Axis, lanes: Array, operands: Sequence[Any], batched: Flags, branch: Jaxpr) -> list[Any]:
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


@cached(maxsize=4096)
def nothing(branch: Jaxpr) -> Jaxpr:
    """A program of the same types whose results are zeros."""
    body = Extension(Jaxpr((), (), (), ()))
    return body.finish(map(Var, branch.in_types), [body.zeros(t) for t in branch.out_types])


@lru_cache(maxsize=4096)
def is_slow(jaxpr: Jaxpr) -> bool:
    """Whether a program is worth the look whether anybody wants it: it has a loop, or an operation that is costly."""
    for e in jaxpr:
        loop = isinstance(e.primitive, ControlFlow) and e.primitive.repeats
        costly = not e.programs and e.primitive.recomputable in ("expensive", "never")
        if loop or costly or any(map(is_slow, e.programs)):
            return True
    return False
