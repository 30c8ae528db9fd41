"""A function of the user applied to elements at computed places, once for each time that a place is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from minijvp import trees
from minijvp.calls.call import applied as by_programs
from minijvp.control_flow.reduce import each
from minijvp.control_flow.while_loop import while_loop
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.annotations import stop_gradient
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import lt, select_n
from minijvp.operations.families import add, broadcast_in_dim, leading_axis, zeros_like
from minijvp.operations.gather import FILL, batched_numbers, read_back, scatter, scatter_add
from minijvp.operations.reduction import reduce_max
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import linearize_jaxpr
from minijvp.transforms.staging import stage

INT32 = np.dtype(np.int32)
CLIP = lax.GatherScatterMode.CLIP


class ScatterApply(ProgramPrimitive):
    """The operand with `jaxpr`, a program from one number to one, applied at `indices`, as often as these repeat.

    What is written are slices as a scatter of updates of shape `update_shape` with these parameters writes them.
    """

    body = ""
    helpers = ("jaxpr",)
    returns_tuple = False
    has_steps = True
    recomputable = "moderate"
    own_derivative = True

    def impl(self, x: Array, indices: Array, *, jaxpr: Jaxpr, dimension_numbers: Any, **params: Any) -> Array:
        apply = lambda v: lax.convert_element_type(lower(jaxpr, v)[0], x.dtype)
        return lax.scatter_apply(x, indices, apply, dimension_numbers, **params)

    def type_rule(
        self,
        x: ArrayType,
        indices: ArrayType,
        *,
        jaxpr: Jaxpr,
        dimension_numbers: Any,
        update_shape: tuple[int, ...],
        **params: Any,
    ) -> ArrayType:
        require_number(jaxpr, x)
        return scatter.type_rule(x, indices, ArrayType(update_shape, x.dtype), dimension_numbers=dimension_numbers)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        if tangents[0] is None:
            return self(*primals, **params), None
        jaxpr, _ = jvp_jaxpr(in_operations(tuple(map(type_of, primals)), tuple(params.items())), (True, False))
        out, t = evaluate(jaxpr, *primals, tangents[0])
        return out, t

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        if tangents[0] is None:
            return self(*primals, **params), None
        jaxpr = in_operations(tuple(map(type_of, primals)), tuple(params.items()))
        (out,), (t,) = by_programs(linearize_jaxpr(jaxpr, (True, False)), evaluate, primals, tangents)
        return out, t

    def batch(
        self,
        axis: Axis,
        args: tuple,
        batched: tuple[bool, ...],
        *,
        dimension_numbers: Any,
        update_shape: tuple[int, ...],
        **params: Any,
    ) -> tuple[Any, Any]:
        x, indices = args
        numbers = batched_numbers(dimension_numbers, batched[1])
        params["indices_are_sorted"] = params["indices_are_sorted"] and not batched[1]
        shape = (axis.size, *update_shape)
        x = leading_axis(axis, x, batched[0])
        return self(x, indices, dimension_numbers=numbers, update_shape=shape, **params), True


@cached(maxsize=4096)
def in_operations(types: tuple[ArrayType, ...], params: tuple[tuple[str, Any], ...]) -> Jaxpr:
    """What `scatter_apply` computes for operand and indices of these types, as a program that has a derivative."""
    return stage(lambda x, indices: [applied(x, indices, (), **dict(params))], types, "scatter_apply")


def as_program(function: Callable[[Any], Any], x: ArrayType) -> tuple[Jaxpr, tuple[Any, ...]]:
    """A function of one element of an operand as an open program, and its constants, which are leading inputs."""
    name = trees.function_name(function)
    result = lambda v: trees.as_arrays([function(v)], lambda i: f"the result of {name}")
    return stage(result, [ArrayType((), x.dtype)], name).hoist_constants()


def apply_at(x: Array, indices: Array, jaxpr: Jaxpr, constants: Sequence[Any], **params: Any) -> Array:
    """The operand with a program, of constants and one number, applied at places, as `scatter_apply` does it."""
    if not constants:
        return scatter_apply(x, indices, jaxpr=jaxpr, **params)
    require_number(jaxpr, type_of(x))
    return applied(x, indices, constants, jaxpr=jaxpr, **params)


def require_number(program: Jaxpr, x: ArrayType) -> None:
    """Raise ArgumentError unless a program gives one number of the dtype of the operand."""
    if [(t.shape, t.dtype) for t in program.out_types] != [((), x.dtype)]:
        raise ArgumentError(
            f"a function that is applied to elements of {x!r} returned {', '.join(map(repr, program.out_types))}.",
            "It takes one element, and its result takes the place of that.",
            "Return one number of the same dtype: f(x).astype(x.dtype).",
        )


def applied(
    x: Array,
    indices: Array,
    constants: Sequence[Any],
    *,
    jaxpr: Jaxpr,
    dimension_numbers: Any,
    update_shape: tuple[int, ...],
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: Any,
) -> Array:
    """The same by operations that have derivatives: elements are read, changed and written.

    Where an element is in several slices, all of them change it as often as it is there, and write the same.
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices}
    how = {"dimension_numbers": dimension_numbers, **flags}
    updates = ArrayType(update_shape, type_of(x).dtype)
    numbers = ArrayType(type_of(x).shape, INT32)
    # What is dropped is read at the edge, where it must not matter.
    old = read_back(x, indices, updates, mode=CLIP if mode == FILL else mode, **how)
    change = lambda v: each(jaxpr, [*constants, v], update_shape)[0]
    if unique_indices and mode != FILL:
        return scatter(x, indices, change(old), mode=mode, **how)
    ones = broadcast_in_dim(np.int32(1), shape=update_shape, broadcast_dimensions=())
    count = scatter_add(zeros_like(numbers), indices, ones, mode=mode, **how)
    times = read_back(count, indices, updates, mode=mode, **how)
    new = repeated(change, old, times, 1 if unique_indices else greatest(count))
    return scatter(x, indices, new, mode=mode, **how)


def greatest(x: Array) -> Array:
    """The largest of numbers that are not negative; 0 if there are none."""
    shape = type_of(x).shape
    return reduce_max(x, axes=tuple(range(len(shape)))) if 0 not in shape else np.int32(0)


def repeated(change: Any, old: Array, times: Array, most: Array) -> Array:
    """`old`, each element changed as often as `times` says, which is `most` at most."""

    def step(k: Array, value: Array) -> Array:
        active = lt(broadcast_in_dim(k, shape=type_of(old).shape, broadcast_dimensions=()), times)
        # An element that is done goes in as a constant: a derivative there may be infinite, and times 0 that is nan.
        return select_n(active, value, change(select_n(active, stop_gradient(old), value)))

    if type(most) is int:
        return step(np.int32(0), old)
    if type_of(old).weak_type:
        old = convert_element_type(old, new_dtype=old.dtype, weak_type=False)
    types = [ArrayType((), INT32), type_of(old)]
    goes_on = stage(lambda k, value: [lt(k, most)], types, "repeated")
    body = stage(lambda k, value: [add(k, np.int32(1)), step(k, value)], types, "repeated")
    (condition, condition_constants), (turn, constants) = goes_on.hoist_constants(), body.hoist_constants()
    _, new = while_loop(
        *condition_constants,
        *constants,
        np.int32(0),
        old,
        cond_jaxpr=condition,
        body_jaxpr=turn,
        n_cond_constants=len(condition_constants),
        n_body_constants=len(constants),
    )
    return new


scatter_apply = ScatterApply("scatter_apply")
