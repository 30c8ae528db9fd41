"""Jacobians and Hessians: the linear map at a point, along unit vectors. There is no trace here.

jacfwd, jacrev, jacobian : (a -> b) -> a -> (CT a, b)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.api.gradients import require_differentiable, value_and_grad
from minijvp.api.linear_maps import PullBack, PushForward, linear_map_at
from minijvp.api.names import JVP, transforming
from minijvp.arguments.tangents import for_user
from minijvp.calls.linear_call import goes_forward
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.tracing import state
from minijvp.core.types import is_inexact, type_of
from minijvp.derivatives.chunks import ChunkSize, automatic_size, checked_chunk_size, over_basis
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import instantiate, reshape
from minijvp.operations.shape import move_axis
from minijvp.operations.slicing import slice as slice_primitive
from minijvp.transforms.jvp import jvp_flat
from minijvp.trees import Argnums, Selection


@trees.border
def jacfwd(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: ChunkSize = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`, a column at a time by forward mode: right for few arguments.

    jacfwd : (a -> b) -> a -> (CT a, b)

    The arguments are those of `grad`, but the result of `fun` is any pytree of arrays. The Jacobian is the tree of the
    result, each leaf the tree of the argument(s); its leaves have the shape of the result followed by the argument's.
    `chunk_size` is that of `jacobian`.

    Raises ArgumentError if an argument is not floating, or is complex without `holomorphic`.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.jacfwd(lambda x: x ** 2)(mnp.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    return derivative(fun, argnums, has_aux, holomorphic, who="jacfwd", mode="fwd", chunk_size=chunk_size)


@trees.border
def jacrev(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    chunk_size: ChunkSize = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`, a row at a time by reverse mode: right for few results.

    jacrev : (a -> b) -> a -> (CT a, b)

    Arguments and result are those of `jacfwd`; with `allow_int`, integer arguments have blocks of dtype float0.

    Raises ArgumentError if an argument is not floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.jacrev(lambda x: x ** 2)(mnp.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    return derivative(fun, argnums, has_aux, holomorphic, allow_int, who="jacrev", mode="rev", chunk_size=chunk_size)


def jacobian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    mode: str = "auto",
    chunk_size: ChunkSize = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`: linearized once, then a column or a row at a time.

    jacobian : (a -> b) -> a -> (CT a, b)

    Arguments and result are those of `jacfwd` and `jacrev`, and these:

    Args:
        mode: "fwd" pushes tangents forward, "rev" pulls cotangents back, "auto" takes what needs fewer of them, or
            "rev" of complex arguments, and where a custom rule for cotangents is not linear: it has no forward mode.
        chunk_size: how many unit vectors go through the linear program at once, inside of one loop: memory grows with
            that, and with the result, but not with their product. None is all of them; "auto" chooses by the sizes of
            what is computed, so that the values take no more than the result, or than 16 MiB.

    Raises ArgumentError if an argument or a result is not floating, and for an unknown mode or chunk size.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.jacobian(lambda x: x ** 2, chunk_size=1)(mnp.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    return derivative(fun, argnums, has_aux, holomorphic, allow_int, who="jacobian", mode=mode, chunk_size=chunk_size)


def value_and_jacobian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    mode: str = "auto",
    chunk_size: ChunkSize = None,
) -> Callable[..., Any]:
    """A function that returns the value of `fun` and its Jacobian, for one run of `fun`.

    value_and_jacobian : (a -> b) -> a -> (b, (CT a, b))

    The arguments are those of `jacobian`. The result is `(value, jacobian)`, or `((value, aux), jacobian)` with
    `has_aux`.

    Raises ArgumentError as `jacobian` does.

    >>> import minijvp, minijvp.numpy as mnp
    >>> value, jacobian = minijvp.value_and_jacobian(lambda x: x ** 2)(mnp.array([1.0, 3.0]))
    >>> value.tolist(), jacobian.tolist()
    ([1.0, 9.0], [[2.0, 0.0], [0.0, 6.0]])
    """
    options = {"who": "value_and_jacobian", "mode": mode, "chunk_size": chunk_size, "with_value": True}
    return derivative(fun, argnums, has_aux, holomorphic, allow_int, **options)


@trees.border
def hessian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: ChunkSize = None,
) -> Callable[..., Any]:
    """A function that returns the matrix of second derivatives of `fun`, by forward mode over reverse mode.

    hessian : (a -> b) -> a -> (CT a, CT a, b)

    The arguments are those of `jacfwd`; leaves have the shape of the result followed twice by the argument's.
    `chunk_size` is that of `jacobian`, for columns and for the rows of gradients.

    Raises ArgumentError if an argument is not floating, or is complex without `holomorphic`.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.hessian(lambda x: x[0] ** 2 * x[1])(mnp.array([1.0, 3.0])).tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    options = {"mode": "fwd", "chunk_size": checked_chunk_size(chunk_size, "hessian"), "who": "hessian"}
    trees.require_callable(fun, "hessian")
    return derivative(
        jacrev(fun, argnums, has_aux, holomorphic, chunk_size=chunk_size), argnums, has_aux, holomorphic, **options
    )


def value_grad_and_hessian(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: ChunkSize = None
) -> Callable[..., Any]:
    """A function that returns the value of `fun`, a real number, its gradient and its Hessian, for one run of each.

    value_grad_and_hessian : (a -> R) -> a -> (R, CT a, (CT a, CT a))

    The arguments are those of `hessian`. The result is `(value, gradient, hessian)`, or
    `((value, aux), gradient, hessian)` with `has_aux`.

    Raises ArgumentError as `value_and_grad` and `hessian` do.

    >>> import minijvp, minijvp.numpy as mnp
    >>> found = minijvp.value_grad_and_hessian(lambda x: x[0] ** 2 * x[1])(mnp.array([1.0, 3.0]))
    >>> [x.tolist() for x in found]
    [3.0, [6.0, 1.0], [[6.0, 2.0], [2.0, 0.0]]]
    """
    making, who = (value_grad_and_hessian, {**locals()}), "value_grad_and_hessian"
    trees.require_callable(fun, who)
    inner = value_and_grad(fun, argnums, has_aux)

    @trees.wraps(fun)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = inner(*args, **kwargs)
        return found, (value, found)

    outer = derivative(gradient, argnums, True, False, who=who, mode="fwd", chunk_size=chunk_size)

    @trees.wraps(fun, making)
    def value_gradient_and_hessian(*args: Any, **kwargs: Any) -> Any:
        found, (value, gradient) = outer(*args, **kwargs)
        return value, gradient, found

    return value_gradient_and_hessian


def derivative(
    fun: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool = False,
    *,
    who: str,
    mode: str,
    chunk_size: Any,
    with_value: bool = False,
) -> Callable[..., Any]:
    """What the functions above return, in messages called `who`."""
    making = derivative, {**locals()}
    trees.require_callable(fun, who)
    require_mode(mode, who)
    chunk_size = checked_chunk_size(chunk_size, who)
    at_once = mode == "fwd" and chunk_size is None

    @trees.wraps(fun, making)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux)
        require_differentiable(selection, who, holomorphic, allow_int and mode != "fwd")
        if mode == "fwd":
            require_real(selection, who, holomorphic)
        if at_once:
            outs, blocks = pushed_at_once(selection, who, holomorphic)
        else:
            outs, blocks = through_linear_map(selection, who, holomorphic, mode, chunk_size)
        found = tree_unflatten(selection.out_tree, [selection.unflatten(row) for row in blocks])
        if with_value:
            value = tree_unflatten(selection.out_tree, outs[: selection.n])
            result = (value, selection.aux(outs)) if has_aux else value, found
        else:
            result = (found, selection.aux(outs)) if has_aux else found
        if other_plans:
            hooks.check(result, jacobian, args, kwargs)
        return result

    return jacobian


Blocks = list[list[Any]]
"""A Jacobian: for each leaf of the result, a block for each leaf of the arguments."""


def pushed_at_once(selection: Selection, who: str, holomorphic: bool) -> tuple[Sequence[Any], Blocks]:
    """The flat results, and the Jacobian by one jvp along all unit vectors: nothing is kept for a second time."""
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
    return outs, blocks_of(columns, [type_of(x).shape for x in leaves], -1, outs)


def through_linear_map(
    selection: Selection, who: str, holomorphic: bool, mode: str, chunk_size: ChunkSize
) -> tuple[Sequence[Any], Blocks]:
    """The flat results, and the Jacobian by the linear map at the point, which is applied to unit vectors."""
    leaves = selection.leaves
    # What each chunk would compute again is kept.
    outs, pullback, constants = linear_map_at(PullBack, selection, leaves, "off" if chunk_size else None)
    results = outs[: selection.n]
    real = jnp.number if mode == "fwd" else jnp.floating
    require_result(selection, results, who, jnp.complexfloating if holomorphic else real)
    inexact = [is_inexact(type_of(x).dtype) for x in leaves]
    differentiated = [x for x, i in zip(leaves, inexact, strict=True) if i]
    n, m = (sum([type_of(x).size for x in xs]) for xs in (differentiated, results))
    symbolic = is_symbolic(n * m)
    if mode == "auto":
        two_modes = any([x.dtype.kind == "c" for x in leaves]) and not holomorphic
        mode = "rev" if two_modes or symbolic or n > m or not goes_forward(pullback.jaxpr) else "fwd"
    size = chunk_size if isinstance(chunk_size, int) else None
    if chunk_size == "auto" and not symbolic:
        width = max([type_of(x).dtype.itemsize for x in results], default=1)
        size = automatic_size(pullback.jaxpr, len(constants), n * m * width)
    shapes = [type_of(x).shape for x in results]
    if mode == "fwd":
        pushforward = PushForward(*pullback.key())

        def push(*tangents: Any) -> list[Any]:
            found = pushforward.flat(constants, [t for t in tangents if t is not None])
            return [instantiate(t, x) for t, x in zip(found, results, strict=True)]

        columns = over_basis(push, leaves, size)
        found = blocks_of(columns, [type_of(x).shape for x in differentiated], -1, results)
        rows = [iter(row) for row in found]
        whole = [
            [next(row) if i else float0_blocks(x, [shape])[0] for x, i in zip(leaves, inexact, strict=True)]
            for row, shape in zip(rows, shapes, strict=True)
        ]
        return outs, whole

    def pull(*cts: Any) -> list[Any]:
        found = pullback.flat(constants, cts)
        return [instantiate(ct, x) for ct, x, i in zip(found, leaves, inexact, strict=True) if i]

    pulled = iter(blocks_of(over_basis(pull, results, size), shapes, 0, differentiated))
    columns = [next(pulled) if i else float0_blocks(x, shapes) for x, i in zip(leaves, inexact, strict=True)]
    return outs, [[blocks[i] for blocks in columns] for i in range(len(results))]


def require_mode(mode: Any, who: str) -> None:
    """Raise ArgumentError for a mode that there is none of."""
    if not isinstance(mode, str) or mode not in ("auto", "fwd", "rev"):
        raise ArgumentError(
            f"{who} received mode={mode!r:.200}.",
            "A Jacobian is computed a column at a time, by forward mode, or a row at a time, by reverse mode.",
            "Pass 'fwd', 'rev', or 'auto' for what needs fewer of them.",
        )


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
