"""Programs of functions, as users call them: what a function does, and the types of what it returns.

make_jaxpr : (a -> b) -> a -> Jaxpr
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import ArrayType, ScalarType, abstract_type, type_in_jax
from minijvp.errors import ArgumentError
from minijvp.tracebacks import border
from minijvp.transforms.staging import stage


def make_jaxpr(
    fun: Callable[..., Any], static_argnums: int | Sequence[int] = (), *, return_shape: bool = False
) -> Callable[..., Any]:
    """A function that returns the program of `fun` as a `Jaxpr`, for arguments of the types it is called with.

    make_jaxpr : (a -> b) -> a -> Jaxpr

    Args:
        fun: takes and returns pytrees of arrays.
        static_argnums: positional arguments that are not traced.
        return_shape: also return the result's pytree of `jax.ShapeDtypeStruct`.

    Raises ArgumentError for arguments or results that are not arrays.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.make_jaxpr(lambda x: mnp.sin(x) * 2)(mnp.float32(1))
    { lambda ; a:f32[] . let
        b:f32[] = sin a
        c:f32[] = mul b 2.0
      in (c,) }
    """
    making = make_jaxpr, {**locals()}
    trees.require_callable(fun, "make_jaxpr")

    @trees.wraps(fun, making)
    def jaxpr_maker(*args: Any, **kwargs: Any) -> Any:
        several = trees.entries_of(static_argnums)
        indices = (static_argnums,) if several is None else several
        static = trees.normalize_indices(indices, len(args), "static_argnums", fun)
        positions = [i for i in range(len(args)) if i not in static]
        dynamic = tuple([args[i] for i in positions])
        leaves, tree = tree_flatten((dynamic, kwargs))
        types = abstract_types(leaves, trees.call_namer(fun, dynamic, kwargs, positions))
        jaxpr, out_tree = stage_tree(with_static(fun, args, static), tree, types)
        if return_shape:
            return jaxpr, tree_unflatten(out_tree, [type_in_jax(t) for t in jaxpr.out_types])
        return jaxpr

    return jaxpr_maker


@border
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of `fun(*args, **kwargs)` as a pytree of `jax.ShapeDtypeStruct`; nothing is computed.

    The arguments are pytrees of arrays or of anything with `shape` and `dtype`. Raises ArgumentError for others.

    >>> import jax, minijvp, minijvp.numpy as mnp
    >>> minijvp.eval_shape(mnp.dot, jax.ShapeDtypeStruct((1000, 9), 'float32'), jax.ShapeDtypeStruct((9,), 'float32'))
    ShapeDtypeStruct(shape=(1000,), dtype=float32)
    """
    trees.require_callable(fun, "eval_shape")
    leaves, tree = tree_flatten((args, kwargs))
    types = abstract_types(leaves, trees.call_namer(fun, args, kwargs))
    jaxpr, out_tree = stage_tree(fun, tree, types)
    return tree_unflatten(out_tree, [type_in_jax(t) for t in jaxpr.out_types])


def with_static(fun: Callable[..., Any], args: tuple, static: Sequence[int]) -> Callable[..., Any]:
    """`fun` of the arguments that are not static."""
    if not static:
        return fun

    def partial_fun(*dynamic: Any, **kwargs: Any) -> Any:
        rest = iter(dynamic)
        return fun(*[x if i in static else next(rest) for i, x in enumerate(args)], **kwargs)

    return partial_fun


def stage_tree(
    fun: Callable[..., Any], tree: Any, types: tuple[ArrayType, ...], lowered: bool = False
) -> tuple[Jaxpr, Any]:
    """The program of `fun` for arguments `(args, kwargs)` of structure `tree`, and the structure of its result."""
    out_tree = None
    name = trees.function_name(fun)

    def flat_fun(*leaves: Any) -> list[Any]:
        nonlocal out_tree
        args, kwargs = tree_unflatten(tree, leaves)
        result = fun(*args, **kwargs)
        outputs, out_tree = trees.flatten_numbers(result)
        return trees.as_arrays(outputs, trees.result_namer(result, name))

    jaxpr = stage(flat_fun, types, name, lowered)
    return jaxpr, out_tree


def abstract_types(leaves: Sequence[Any], where: Callable[[int], str]) -> tuple[ArrayType, ...]:
    """The types of arrays, and of what has a shape and a dtype; ArgumentError names the leaf that is neither."""
    types = []
    for i, x in enumerate(leaves):
        try:
            t = abstract_type(x)
        except ArgumentError:
            t = trees.require_array(x, lambda i=i: where(i))  # which names it
        types.append(ArrayType(t.shape, t.dtype, t.weak_type) if type(t) is ScalarType else t)
    return tuple(types)
