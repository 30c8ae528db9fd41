"""Jacobians and Hessians: jvp and vjp along all unit vectors at once, by vmap. There is no trace here.

jacfwd, jacrev : (a -> b) -> a -> (CT a, b)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.api.gradients import require_differentiable
from minijvp.api.linear_maps import PullBack, linear_map_at
from minijvp.api.names import JVP, VMAP, transforming
from minijvp.arguments.tangents import for_user
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.primitive import Axis
from minijvp.core.tracing import state
from minijvp.core.types import is_inexact, type_of
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import eq
from minijvp.operations.families import add, instantiate, leading_axis, reshape
from minijvp.operations.shape import iota, move_axis, size_beside
from minijvp.operations.slicing import slice as slice_primitive
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.vmap import vmap_flat
from minijvp.trees import Argnums, Selection


def jacfwd(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`, a column at a time by forward mode: right for few arguments.

    jacfwd : (a -> b) -> a -> (CT a, b)

    The arguments are those of `grad`, but the result of `fun` is any pytree of arrays. The Jacobian is the tree of the
    result, each leaf the tree of the argument(s); its leaves have the shape of the result followed by the argument's.

    Raises ArgumentError if an argument is not floating, or is complex without `holomorphic`.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.jacfwd(lambda x: x ** 2)(mnp.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    trees.require_callable(fun, "jacfwd")
    return columns_at_a_time(fun, argnums, has_aux, holomorphic, "jacfwd")


def columns_at_a_time(
    fun: Callable[..., Any], argnums: Argnums, has_aux: bool, holomorphic: bool, who: str
) -> Callable[..., Any]:
    """What jacfwd returns, in messages called `who`."""

    @trees.wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux)
        require_differentiable(selection, who, holomorphic)
        require_real(selection, who, holomorphic)
        leaves = selection.leaves
        outs: Sequence[Any] = ()

        def push(*tangents: Any) -> list[Any]:
            nonlocal outs
            with transforming(JVP):
                outs, out_tangents = jvp_flat(selection.positional, leaves, tangents)
            # Integers have blocks of zeros, as in JAX; booleans have none.
            require_result(selection, outs[: selection.n], who, jnp.complexfloating if holomorphic else jnp.number)
            return [instantiate(t, x) for t, x in zip(out_tangents[: selection.n], outs, strict=False)]

        columns = over_basis(push, leaves)
        blocks = blocks_of(columns, [type_of(x).shape for x in leaves], -1, outs)
        found = tree_unflatten(selection.out_tree, [selection.unflatten(row) for row in blocks])
        result = (found, selection.aux(outs)) if has_aux else found
        if other_plans:
            hooks.check(result, jacobian, args, kwargs)
        return result

    return jacobian


def jacrev(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`, a row at a time by reverse mode: right for few results.

    jacrev : (a -> b) -> a -> (CT a, b)

    Arguments and result are those of `jacfwd`; with `allow_int`, integer arguments have blocks of dtype float0.

    Raises ArgumentError if an argument is not floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.jacrev(lambda x: x ** 2)(mnp.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    trees.require_callable(fun, "jacrev")

    @trees.wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux)
        require_differentiable(selection, "jacrev", holomorphic, allow_int)
        leaves = selection.leaves
        outs, pullback, constants = linear_map_at(PullBack, selection, leaves)
        results = outs[: selection.n]
        require_result(selection, results, "jacrev", jnp.complexfloating if holomorphic else jnp.floating)

        def pull(*cts: Any) -> list[Any]:
            found = pullback.flat(constants, cts)
            return [instantiate(ct, x) for ct, x in zip(found, leaves, strict=True) if is_inexact(type_of(x).dtype)]

        shapes = [type_of(x).shape for x in results]
        differentiated = [x for x in leaves if is_inexact(type_of(x).dtype)]
        found = iter(blocks_of(over_basis(pull, results), shapes, 0, differentiated))
        columns = [next(found) if is_inexact(type_of(x).dtype) else float0_blocks(x, shapes) for x in leaves]
        rows = [selection.unflatten([blocks[i] for blocks in columns]) for i in range(len(results))]
        whole = tree_unflatten(selection.out_tree, rows)
        result = (whole, selection.aux(outs)) if has_aux else whole
        if other_plans:
            hooks.check(result, jacobian, args, kwargs)
        return result

    return jacobian


jacobian = jacrev


def hessian(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns the matrix of second derivatives of `fun`, by forward mode over reverse mode.

    hessian : (a -> b) -> a -> (CT a, CT a, b)

    The arguments are those of `jacfwd`; leaves have the shape of the result followed twice by the argument's.

    Raises ArgumentError if an argument is not floating, or is complex without `holomorphic`.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.hessian(lambda x: x[0] ** 2 * x[1])(mnp.array([1.0, 3.0])).tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    trees.require_callable(fun, "hessian")
    inner = jacrev(fun, argnums, has_aux, holomorphic)
    return columns_at_a_time(inner, argnums, has_aux, holomorphic, "hessian")


def over_basis(fun: Callable[..., list[Any]], leaves: Sequence[Any]) -> Sequence[Any]:
    """The results of `fun` for all unit vectors of the space of `leaves`, along a leading axis."""
    types = [type_of(x) for x in leaves]
    spaces = tuple([(t.shape, t.size, t.dtype) for t in types if is_inexact(t.dtype)])
    total = sum([size for _, size, _ in spaces])
    vectors = iter(state.trace.above(unit_vectors)(spaces))
    basis = [next(vectors) if is_inexact(t.dtype) else None for t in types]
    axis = Axis(total)
    with transforming(VMAP):
        outs, batched = vmap_flat(fun, axis, basis, [b is not None for b in basis])
    return [leading_axis(axis, x, b) for x, b in zip(outs, batched, strict=True)]


Spaces = tuple[tuple[tuple[int, ...], int, Any], ...]


def unit_vectors(spaces: Spaces, xp: Any = np) -> list[Any]:
    """The unit vectors of a sum of spaces, given by shapes, sizes and dtypes: for each space their parts in it."""
    total = sum([size for _, size, _ in spaces])
    parts, start = [], 0
    for shape, size, dtype in spaces:
        if is_symbolic(total):
            parts.append(symbolic_units(total, size, start, shape, dtype))
        else:
            parts.append(xp.eye(total, size, -start, dtype=dtype).reshape(total, *shape))
        start += size
    return parts


def symbolic_units(total: Any, size: Any, start: Any, shape: tuple[Any, ...], dtype: Any) -> Any:
    """The parts of unit vectors that one of the spaces has, of which some sizes are symbolic."""
    rows, columns = (iota(dtype=np.dtype(np.int32), shape=(total, size), dimension=d) for d in (0, 1))
    ones = eq(rows, add(columns, size_beside(start, columns)))
    return reshape(convert_element_type(ones, new_dtype=dtype), new_sizes=(total, *shape))


def blocks_of(
    columns: Sequence[Any], shapes: Sequence[tuple[int, ...]], axis: int, like: Sequence[Any]
) -> list[list[Any]]:
    """Each of the columns, whose first axis is that of the basis, cut into blocks with these shapes at `axis`.

    The blocks of a column are as weakly typed as the value in `like` that it belongs to.
    """
    weak = tuple([type_of(x).weak_type for _, x in zip(columns, like)])
    blocks = state.trace.above(split_all)(*columns, shapes=tuple(shapes), axis=axis, weak=weak)
    n = len(shapes)
    return [list(blocks[i * n : (i + 1) * n]) for i in range(len(columns))]


def split_all(*columns: Any, shapes: Sequence[tuple[int, ...]], axis: int, weak: Sequence[bool]) -> list[Any]:
    """The blocks of all columns."""
    blocks = []
    for c, flag in zip(columns, weak, strict=True):
        if type_of(c).weak_type != flag:
            c = convert_element_type(c, new_dtype=c.dtype, weak_type=flag)
        blocks.extend(split_block(move_axis(c, 0, axis), shapes, axis))
    return blocks


def split_block(x: Any, shapes: Sequence[tuple[int, ...]], axis: int) -> list[Any]:
    """`x` cut along its first or last axis into blocks of these shapes."""
    shape = type_of(x).shape
    axis %= len(shape)
    blocks, start = [], 0
    for block_shape in shapes:
        size = math.prod(block_shape)
        starts = tuple(start if d == axis else 0 for d in range(len(shape)))
        limits = tuple(start + size if d == axis else n for d, n in enumerate(shape))
        block = (
            x if size == shape[axis] else slice_primitive(x, start_indices=starts, limit_indices=limits, strides=None)
        )
        blocks.append(reshape(block, new_sizes=(*shape[:axis], *block_shape, *shape[axis + 1 :])))
        start += size
    return blocks


def float0_blocks(x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Blocks of a Jacobian for an argument without derivatives."""
    return [for_user(None, type_of(x).with_shape((*shape, *type_of(x).shape))) for shape in shapes]


def require_real(selection: Selection, transformation: str, holomorphic: bool) -> None:
    """Raise ArgumentError for a complex argument of a function that is not said to be holomorphic."""
    for i, x in enumerate(selection.leaves):
        if x.dtype.kind == "c" and not holomorphic:
            raise ArgumentError(
                f"{transformation} of {trees.function_name(selection.fun)} received {type_of(x)!r} for "
                f"{selection.leaf_name(i)}.",
                "By a complex number there are two derivatives, along the real and the imaginary axis: forward mode "
                "would give the first.",
                "Say holomorphic=True if the function is holomorphic, or differentiate by two real arguments: "
                "lambda x, y: f(x + 1j * y).",
            )


def require_result(selection: Selection, outs: Sequence[Any], transformation: str, wanted: Any) -> None:
    """Raise ArgumentError for results of another sort than `wanted`, an abstract dtype: they have no Jacobian."""
    for x in outs:
        kind = type_of(x)
        if not jnp.issubdtype(kind.dtype, wanted):
            raise ArgumentError(
                f"{transformation} with holomorphic={wanted is jnp.complexfloating} cannot use the result {kind!r} of "
                f"{trees.function_name(selection.fun)}.",
                "Results must be floating; complex ones have one derivative only if the function is holomorphic.",
                "Compute real floating results (has_aux=True for others), or say holomorphic=True.",
            )
