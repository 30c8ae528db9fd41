"""The sets of operations that carry programs: calls, choices and loops.

A loop of few steps is followed step by step. Of one of many, what carries depend on after any number of steps is a
fixed point: the closure of what they depend on after one. The results of its steps are then those of one step, batched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from minijvp.calls.linear_call import linear_call
from minijvp.calls.programs import groups
from minijvp.control_flow.bodies import Body
from minijvp.control_flow.scan import body_of
from minijvp.control_flow.while_programs import LoopPrograms
from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType, is_inexact
from minijvp.custom_rules.custom_vjp import custom_vjp_linear
from minijvp.errors import MissingRuleError
from minijvp.sparse.products import anything
from minijvp.sparse.sets import Sets, closure, identity, merge, numbers, product, stacked, take, union, union_of
from minijvp.sparse.values import Known, Value
from minijvp.transforms.vmap import vmap_jaxpr

Follow = Callable[[Jaxpr, Sequence[Value]], list[Value]]
"""What finds the values of the outputs of a program, for those of its inputs."""

STEPS = 20_000
"""How many equations of a loop are followed, step by step."""


def call(e: Equation, values: Sequence[Value], follow: Follow) -> list[Value]:
    """A call is its body."""
    return follow(e.params["jaxpr"], values)


def choice(e: Equation, values: Sequence[Value], follow: Follow) -> list[Value]:
    """cond: the branch that is known to run, or any."""
    index, *operands = values
    branches = e.params["branches"]
    if index.known is not None:
        return follow(branches[min(max(int(index.known.array), 0), len(branches) - 1)], operands)
    found = [follow(b, operands) for b in branches]
    return [Value(same[0].type, union_of([v.sets for v in same])) for same in zip(*found, strict=True)]


def scan(e: Equation, values: Sequence[Value], follow: Follow) -> list[Value]:
    """scan."""
    body, length = body_of(e.params), e.params["length"]
    if length * (equations_in(body.jaxpr) + 1) <= STEPS:
        return step_by_step(e, body, values, follow)
    x = body.inputs(values)
    rows = [Value(t, merged_rows(v, t.size)) for v, t in zip(x.xs, body.inputs(body.jaxpr.in_types).xs, strict=True)]
    carry = fixed_point(body, [*x.constants, *x.carry, *rows], follow)
    if not e.outputs[body.n_carry :]:
        return carry
    flags = (False,) * len(x.constants) + tuple([v.sets is not None for v in carry]) + (True,) * len(x.xs)
    batched, out_batched = vmap_jaxpr(body.jaxpr, Axis(length), flags)
    repeated = [lanes(v, length) if v.sets is not None else v for v in carry]
    found = follow(batched, [*x.constants, *repeated, *x.xs])[body.n_carry :]
    outs = zip(found, e.outputs[body.n_carry :], out_batched[body.n_carry :], strict=True)
    return [*carry, *[Value(out.type, v.sets if flag else lanes(v, length).sets) for v, out, flag in outs]]


@lru_cache(maxsize=1024)
def equations_in(jaxpr: Jaxpr) -> int:
    """How many equations a program runs, those of loops at each step."""
    inside = [e.primitive.trip_count(e.params) * sum(map(equations_in, e.primitive.bodies(e.params))) for e in jaxpr]
    return len(jaxpr.equations) + sum(inside)


def lanes(v: Value, n: int) -> Value:
    """A value, n times along a leading axis; what it is, is not said."""
    rows = None if v.sets is None else numbers((v.type.size,))[None].repeat(n, 0)
    return Value(v.type.with_shape((n, *v.type.shape)), None if rows is None else take(v.sets, rows))


def merged_rows(v: Value, size: int) -> Sets:
    """The sets of a row that may be any."""
    return None if v.sets is None else merge(v.sets, numbers((v.sets.shape[0],)) % size, size)


def step_by_step(e: Equation, body: Body, values: Sequence[Value], follow: Follow) -> list[Value]:
    """A scan, each of its steps by itself."""
    x, length = body.inputs(values), e.params["length"]
    carry, steps = list(x.carry), []
    for i in range(length)[:: -1 if e.params["reverse"] else 1]:
        outs = follow(body.jaxpr, [*x.constants, *carry, *[v.row(i, length) for v in x.xs]])
        carry = [Value(v.type, out.sets, out.known) for v, out in zip(x.carry, outs)]
        steps.append(outs[body.n_carry :])
    if not steps:
        return [*carry, *[Value(v.type) for v in e.outputs[body.n_carry :]]]
    ys = zip(*steps[:: -1 if e.params["reverse"] else 1], strict=True)
    return [*carry, *[stack(v.type, rows) for v, rows in zip(e.outputs[body.n_carry :], ys, strict=True)]]


def stack(t: ArrayType, rows: Sequence[Value]) -> Value:
    """Rows as one value of a type."""
    known = [v.known for v in rows if v.known is not None]
    whole = Known(lambda *xs: np.stack(list(map(np.asarray, xs))), known) if len(known) == len(rows) else None
    return Value(t, stacked([v.sets for v in rows], [v.type.size for v in rows]), whole)


def loop(e: Equation, values: Sequence[Value], follow: Follow) -> list[Value]:
    """while: the carries after any number of steps."""
    _, k, body = LoopPrograms.of(e.params)
    return fixed_point(body, values[k:], follow)


def fixed_point(body: Body, values: Sequence[Value], follow: Follow) -> list[Value]:
    """The carries after any number of steps; each input of the body may be of any of them."""
    sizes = [v.type.size if is_inexact(v.type.dtype) else 0 for v in values]
    moving = [
        v.sets is not None or body.n_constants <= i < body.n_constants + body.n_carry for i, v in enumerate(values)
    ]
    sizes = [n if flag else 0 for n, flag in zip(sizes, moving, strict=True)]
    units, start, own = identity(sum(sizes)), 0, []
    for i, (v, n) in enumerate(zip(values, sizes, strict=True)):
        known = v.known if i < body.n_constants else None
        own.append(Value(v.type, units[start : start + n] if n else None, known))
        start += n
    outs = follow(body.jaxpr, own)[: body.n_carry]
    init, carries = groups(list(zip(values, sizes, strict=True)), body.n_constants, body.n_carry)[:2]
    before, count = sum([n for _, n in init]), sum([n for _, n in carries])
    step = stacked([v.sets if n else None for v, (_, n) in zip(outs, carries)], [n for _, n in carries])
    if step is None or not count:
        return [Value(v.type) for v, _ in carries]
    given = stacked([v.sets for v, n in zip(values, sizes, strict=True)], sizes)
    first = stacked([v.sets for v, _ in carries], [n for _, n in carries])
    others = step.copy()
    others.data[(others.indices >= before) & (others.indices < before + count)] = False
    others.eliminate_zeros()
    reached = product(closure(step[:, before : before + count]), union(first, product(others, given)))
    found, start = [], 0
    for v, n in carries:
        sets = reached[start : start + n] if reached is not None and n else None
        found.append(Value(v.type, sets if sets is not None and sets.nnz else None))
        start += n
    return found


def linear(e: Equation, values: Sequence[Value], follow: Follow, by_jvp: Callable[..., list[Value]]) -> list[Value]:
    """A linear map: by its program if that is one of tangents, and by its derivative where residuals have sets."""
    primitive: Any = e.primitive
    n = primitive.n_residuals(e.params)
    still = [Value(v.type, None, v.known) for v in values[:n]]
    found = [Value(v.type, s) for v, s in zip(e.outputs, anything(e, [*still, *values[n:]]))]
    if primitive in (linear_call, custom_vjp_linear):
        with suppress(MissingRuleError):  # it may have no program
            found = follow(primitive.forward(e.params), primitive.read([*still, *values[n:]], e.params))
    if any([v.sets is not None for v in values[:n]]):
        moved = by_jvp(e, [*values[:n], *[Value(v.type, None, v.known) for v in values[n:]]])
        found = [Value(v.type, union(v.sets, w.sets)) for v, w in zip(found, moved, strict=True)]
    return found
