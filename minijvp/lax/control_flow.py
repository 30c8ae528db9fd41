"""Loops and choices that stay one operation in a program: cond, switch, scan, while_loop, and what is made of them.

Inside of disable_jit they run in Python, and hand values to the functions of the user.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from jax.tree_util import tree_map, tree_unflatten

from minijvp.api.batching import vmap
from minijvp.arguments.tangents import leaf_namer
from minijvp.calls.programs import fits
from minijvp.control_flow.branches import joined
from minijvp.control_flow.cond import cond as cond_primitive
from minijvp.control_flow.progress import bar_of
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.tracer import Tracer
from minijvp.core.types import PYTHON_SCALARS, Array, ArrayType, jit_is_disabled, type_of
from minijvp.dimensions import as_size, decided
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.lax.bodies import Tree, pair, require_functions, require_same, run, staged
from minijvp.lax.loops import run_scan
from minijvp.lax.plain import number_of, scan_plainly
from minijvp.lax.segments import segment_size
from minijvp.numpy.promotion import array, join
from minijvp.operations import shape as shapes
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import ne
from minijvp.operations.families import reshape
from minijvp.tracebacks import border
from minijvp.trees import place_of

__all__ = ["cond", "map", "scan", "switch"]

Carry = TypeVar("Carry")
INT32 = np.dtype(np.int32)
NOT_GIVEN = object()


# Choices


@border
def cond(
    pred: Array, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any, operand: Any = NOT_GIVEN
) -> Any:
    """`true_fun(*operands)` where `pred` is true, else `false_fun(*operands)`; only one of them runs.

    Args:
        pred: a bool without axes; a number counts as true if it is not 0.
        true_fun, false_fun: return pytrees of arrays of the same structure, shapes and dtypes.
        operands: pytrees of arrays. The functions may also close over arrays and traced values.
        operand: the one operand, by name.

    Under vmap, with a `pred` of its own for each lane, both run and the results are selected; a branch with a loop or
    a matrix product in it runs only if a lane wants it. The gradient of the branch not taken is exactly zero.

    Raises ArgumentError if `pred` is no such value, or if the branches return different trees or types.

    >>> import minijvp, minijvp.numpy as mnp
    >>> f = lambda x: minijvp.lax.cond(x > 0, mnp.sqrt, lambda x: -x, x)
    >>> float(minijvp.grad(f)(4.0)), float(minijvp.grad(f)(-1.0))
    (0.25, -1.0)
    """
    if not callable(true_fun) and callable(false_fun) and len(operands) == 2 and callable(operands[1]):
        x, f, y, g = true_fun, false_fun, *operands  # the form of JAX's first years
        return cond(pred, lambda x, _: f(x), lambda _, y: g(y), x, y)
    named = [("true_fun", true_fun), ("false_fun", false_fun)]
    require_functions("cond", named)
    index, values = as_index(truth(pred, "cond")), given(operands, operand, "cond")
    which = number_of(index)
    return choose("cond", index, named, values) if which is None else named[not which][1](*values)


@border
def switch(index: Array, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = NOT_GIVEN) -> Any:
    """`branches[index](*operands)`; only that branch runs. An index that is out of range is clamped.

    Args:
        index: an integer without axes.
        branches: functions that return pytrees of arrays of the same structure, shapes and dtypes.
        operands: pytrees of arrays.
        operand: the one operand, by name.

    Raises ArgumentError for an index that is no integer, if there is no branch, and as `cond` does.

    >>> import minijvp, minijvp.numpy as mnp
    >>> float(minijvp.lax.switch(1, [mnp.sin, mnp.exp, mnp.cos], 0.0))
    1.0
    """
    if callable(branches):
        raise ArgumentError(
            f"the branches of switch are {branches!r:.99}, which is one function.",
            "One of several functions is to run.",
            "Write switch(index, [f, g], *operands).",
        )
    named = [(f"branches[{k}]", branch) for k, branch in enumerate(branches)]
    if not named:
        raise ArgumentError("switch received no branches.", "One of them is to run.", "Give it a function at least.")
    require_functions("switch", named)
    index = as_index(scalar(index, "the index of switch", "iu", "an integer"))
    values = given(operands, operand, "switch")
    which = 0 if len(named) == 1 else number_of(index)
    if which is None:
        return choose("switch", index, named, values)
    return named[min(max(which, 0), len(named) - 1)][1](*values)


def given(operands: tuple, operand: Any, function: str) -> tuple:
    """The operands, by position or the one by name."""
    if operand is NOT_GIVEN:
        return operands
    if operands:
        raise ArgumentError(
            f"{function} received operands by position, and `operand` too.",
            "`operand` is another way to write one operand.",
            "Pass all by position.",
        )
    return (operand,)


def scalar(x: Any, what: str, sorts: str, wanted: str) -> Array:
    """`x` as a Python scalar or an array, if it is one number of a sort that fits; ArgumentError if not."""
    try:
        t = type_of(x)
    except ArgumentError:
        t = None
    if t is None or t.shape or t.dtype.kind not in sorts:
        found = f"{x!r:.200} of type {type(x).__name__}" if t is None else f"{t!r}"
        raise ArgumentError(
            f"{what} is {found}{x.origin() if isinstance(x, Tracer) else ''}.",
            f"It must be {wanted} without axes, since it decides for the whole.",
            "Reduce it (mnp.any, mnp.all), or choose element by element with mnp.where.",
        )
    return x if type(x) in PYTHON_SCALARS else array(x, what)


def truth(pred: Array, function: str) -> Array:
    """A predicate as a bool."""
    pred = scalar(pred, f"the predicate of {function}", "biuf", "a bool (or a number)")
    if type(pred) in PYTHON_SCALARS:
        return bool(pred)
    return pred if type_of(pred).dtype.kind == "b" else ne(pred, 0)


def as_index(x: Array) -> Array:
    """A number as an int32."""
    if type(x) in PYTHON_SCALARS:
        return np.int32(min(max(x, -1), 2**31 - 1))
    return x if type_of(x).dtype == INT32 else convert_element_type(x, new_dtype=INT32, weak_type=False)


def choose(function: str, index: Array, named: Sequence[tuple[str, Callable[..., Any]]], operands: tuple) -> Any:
    """The result of the branch that `index` numbers."""
    values = [Tree(x, leaf_namer(x, f"operand {i} of {function}")) for i, x in enumerate(operands)]
    signatures = [value.signature for value in values]
    made = [staged(fun, f"{name} of {function}", signatures) for name, fun in named]
    first_name, first_fun = named[0]
    (first,) = made[0][1]
    for (name, fun), (_, (result,)) in zip(named[1:], made[1:], strict=True):
        require_same(
            f"the branches of {function} return different types: {first_name} is {place_of(first_fun)}, "
            f"{name} is {place_of(fun)}",
            (first_name, name),
            first,
            result,
            "Which of them runs is not known yet, and what follows must fit both.",
            "Make them return the same containers, shapes and dtypes (x.astype(...), mnp.zeros_like).",
            on_devices=True,
        )
    # A false predicate is the index 0.
    programs, constants = joined([jaxpr for jaxpr, _ in (made if function == "switch" else reversed(made))])
    leaves = [x for value in values for x in value.leaves]
    outs = cond_primitive(index, *constants, *leaves, branches=tuple(programs))
    return tree_unflatten(first.structure, outs)


# Loops


@border
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    *,
    checkpoint: int | bool | str | None = None,
    progress: str | None = None,
) -> tuple[Any, Any]:
    """The last carry and the stacked results of `carry, y = f(carry, x)`, for one row `x` of `xs` after the other.

    scan : ((c, a) -> (c, b)) -> (c, [a]) -> (c, [b])

    Args:
        f: takes a carry and a row, and returns the next carry, of the same types, and a result.
        init: the first carry, a pytree of arrays.
        xs: a pytree of arrays whose leading axes have one size; or None, and `length` says how many steps there are.
        length: the number of steps.
        reverse: go from the last row to the first.
        unroll: how many steps make a turn of the compiled loop; True for all.
        _split_transpose: JAX's experiment with another program for the transposed loop. It has the same results, and
            changes nothing here.
        checkpoint: memory for time in reverse mode. It keeps what each step needs to be differentiated (None), or the
            carry at every `checkpoint`-th step only, and computes the steps between again: True for every step,
            "auto" for about the square root of the number of steps, where the least is kept.
        progress: the name of a bar that shows how far the loop is, while it runs (see minijvp.progress).

    The loop is one operation of a program, whatever its length. Python scalars in `init` are weakly typed.

    Raises ArgumentError if the rows have different numbers, `length` or `checkpoint` is none, or the carry changes its
    types.

    >>> import minijvp, minijvp.numpy as mnp
    >>> last, partial_sums = minijvp.lax.scan(lambda c, x: (c + x, c + x), 0.0, mnp.array([1.0, 2.0, 3.0]))
    >>> float(last), partial_sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    require_functions("scan", [("f", f)])
    carry = Tree(init, leaf_namer(init, "init of scan"))
    rows = Tree(xs, leaf_namer(xs, "xs of scan"))
    length = common_length(rows, length)
    unroll = require_unroll(unroll, length, "scan")
    size = segment_size(checkpoint, length)
    shown = bar_of(progress, "scan", length)
    if jit_is_disabled() and length:
        return scan_plainly(f, carry, rows, length, reverse, **shown)
    row = rows.structure, [t.with_shape(t.shape[1:]) for t in rows.types]
    jaxpr, carry, (_, ys) = stage_loop(
        "scan", f, "f", carry, lambda c: staged(f, "f of scan", [c.signature, row], lambda result: pair(f, result))
    )
    last, results = run_scan(jaxpr, carry.leaves, rows.leaves, length, bool(reverse), unroll, size, **shown)
    return tree_unflatten(carry.structure, last), tree_unflatten(ys.structure, results)


def common_length(rows: Tree, length: Any) -> int:
    """The number of steps of a scan; ArgumentError names the rows that do not fit."""
    where = leaf_namer(rows.value, "xs")
    if length is not None:
        length = require_count(length, "length of scan")
    for i, t in enumerate(rows.types):
        if not t.shape:
            raise ArgumentError(
                f"{where(i)} of scan is {t!r}, which has no leading axis.",
                "scan goes through the rows of its xs, one a step.",
                "Pass an array with an axis more, or close over a value that is the same in every step.",
            )
    lengths = {t.shape[0] for t in rows.types} | (set() if length is None else {length})
    if len(lengths) == 1:
        return lengths.pop()
    if not lengths:
        raise ArgumentError(
            "scan received neither xs nor length.",
            "Without arrays to go through, the number of steps is not known.",
            "Pass length=n, or xs with at least one array in it.",
        )
    listed = [f"{where(i)}: {t!r} has {t.shape[0]} rows" for i, t in enumerate(rows.types)]
    listed += [] if length is None else [f"length={length}"]
    raise ArgumentError(
        "scan received arrays of different lengths: " + "; ".join(listed) + ".",
        "Every step takes one row of each.",
        "Make their leading axes equal, and omit `length` where there are arrays.",
    )


def require_count(length: Any, what: str) -> int:
    """`length` as an integer that is not negative."""
    if isinstance(length, Tracer):
        raise ConcretizationError(
            f"{what} is a traced {length.type!r}{length.origin()}.",
            "The results of a scan have an axis of that size, and sizes are not traced.",
            "Use fori_loop or while_loop, whose number of steps may be traced; or a static argument of jit.",
        )
    try:
        n = as_size(length)
    except TypeError:
        n = -1
    if decided(lambda: n < 0):
        raise ArgumentError(
            f"{what} is {length!r} of type {type(length).__name__}.",
            "It is a number of rows.",
            "Pass an integer that is not negative.",
        )
    return n


def require_unroll(unroll: Any, length: int, function: str) -> int:
    """How many steps make a turn, as an integer: True, and 0 as in JAX, stand for all."""
    if isinstance(unroll, bool) or (type(unroll) is int and unroll == 0):
        return 1 if unroll is False else max(length, 1)
    try:
        n = operator.index(unroll)
    except TypeError:
        n = -1
    if n < 0:
        raise ArgumentError(
            f"{function} received unroll={unroll!r}.",
            "It is the number of steps in a turn of the compiled loop.",
            "Pass a positive integer, or True for all steps.",
        )
    return n


def stage_loop(
    function: str, body: Any, name: str, carry: Tree, stage_once: Callable[[Tree], tuple[Jaxpr, list[Tree]]]
) -> tuple[Jaxpr, Tree, list[Tree]]:
    """The body of a loop, the first carries in the types that they keep, and the results of the body.

    As in JAX, a Python scalar or another weakly typed carry takes the dtype that the body gives it.
    """
    jaxpr, results = stage_once(carry)
    promoted = [
        promoted_carry(x, t, wanted) for x, t, wanted in zip(carry.leaves, carry.types, results[0].types, strict=False)
    ]
    if len(promoted) == len(carry.leaves) and any(x is not y for x, y in zip(promoted, carry.leaves, strict=True)):
        value = tree_unflatten(carry.structure, promoted)
        carry = Tree(value, leaf_namer(value, f"the carry of {function}"))
        jaxpr, results = stage_once(carry)
    require_same(
        f"the carry changes its types in {name} of {function}, {place_of(body)}",
        ("received", "returned"),
        carry,
        results[0],
        "What a step returns, the next one receives: a loop is one program for all its steps.",
        "Return the containers, shapes and dtypes that came in (x.astype(...)), or begin with what is returned.",
        on_devices=True,
    )
    return jaxpr, carry, results


def promoted_carry(x: Array, t: ArrayType, wanted: ArrayType) -> Array:
    """A first carry in the dtype where it and what the body makes of it meet, if its own dtype is weak."""
    if not t.weak_type or fits(t, wanted):
        return x
    dtype, _ = join([(t.dtype, True), (wanted.dtype, wanted.weak_type)])
    return convert_element_type(x, new_dtype=dtype, weak_type=False)


@border
def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None, progress: str | None = None) -> Any:
    """The stacked results of `f` for one row of `xs` after the other; with `batch_size`, for that many at a time.

    Args:
        f: takes a row and returns a pytree of arrays.
        xs: a pytree of arrays whose leading axes have one size.
        batch_size: how many rows run together under vmap; 0 for all.
        progress: the name of a bar that shows how far the loop is, while it runs (see minijvp.progress).

    Raises ArgumentError if the rows have different numbers.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.lax.map(mnp.sum, mnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [3.0, 7.0]
    """
    require_functions("map", [("f", f)])
    if batch_size is None:
        return scan(lambda _, x: ((), run(f, "f of map", (x,))), (), xs, progress=progress)[1]
    rows = Tree(xs, leaf_namer(xs, "xs of map"))
    length = common_length(rows, None)
    size = require_count(batch_size, "batch_size of map") or length
    n, rest = divmod(length, size) if size else (0, 0)
    shown = bar_of(progress, "map", length, size)

    def part(start: int, stop: int, shape: tuple[int, ...]) -> Any:
        leaves = [x[start:stop] for x in rows.leaves]
        leaves = [reshape(x, new_sizes=(*shape, *type_of(x).shape[1:])) for x in leaves]
        return tree_unflatten(rows.structure, leaves)

    mapped = vmap(f)
    if n == 0 or (n, rest) == (1, 0):
        return mapped(xs)
    ys = map(mapped, part(0, n * size, (n, size)), **shown)
    ys = tree_map(lambda y: reshape(y, new_sizes=(n * size, *y.shape[2:])), ys)
    if not rest:
        return ys
    return tree_map(
        lambda *pieces: shapes.concatenate(*pieces, dimension=0), ys, mapped(part(n * size, length, (rest,)))
    )
