"""Functions of minijvp inside programs of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.calls.in_jax import lower_with_rules
from minijvp.core.tracer import is_tracer_of_jax
from minijvp.core.tracing import evaluating
from minijvp.errors import ConcretizationError
from minijvp.operations.sharding import spread_like
from minijvp.transforms.staging import argument_type, stage


def to_jax(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun`, a function of minijvp, as one for jax.jit, jax.vmap, jax.grad and libraries built on JAX.

    to_jax : (a -> b) -> (a -> b)

    `fun` takes and returns pytrees of arrays, and may use any transformation of minijvp. Functions of minijvp work
    inside those of JAX without this; to_jax stages `fun` whenever JAX traces it, so that JAX sees one plain program of
    jax.lax and not a call for each operation. JAX's derivatives of it, in both modes and of any order, are those that
    minijvp's rules give (of custom_vjp, stop_gradient, while_loop ...). Arguments that are not arrays are static. With
    nothing traced by JAX, the result calls `fun`.

    Raises ArgumentError for results that are not arrays.

    >>> import jax, minijvp, minijvp.numpy as mnp
    >>> slope = minijvp.to_jax(minijvp.grad(lambda x: mnp.sin(x) ** 2))
    >>> round(float(jax.jit(jax.vmap(slope))(jax.numpy.array([0.0, 0.5]))[1]), 4)
    0.8415
    """
    making = to_jax, {**locals()}
    trees.require_callable(fun, "to_jax")

    @trees.wraps(fun, making)
    def bridged(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = tree_flatten((args, kwargs))
        traced = [i for i, x in enumerate(leaves) if is_tracer_of_jax(x)]
        if not traced:
            return fun(*args, **kwargs)
        out_tree = None

        def flat(*some: Any) -> list[Any]:
            nonlocal out_tree
            inner_args, inner_kwargs = tree_unflatten(tree, trees.replaced(leaves, traced, some))
            result = fun(*inner_args, **inner_kwargs)
            outs, out_tree = tree_flatten(result)
            return trees.as_arrays(outs, trees.result_namer(result, trees.function_name(fun)))

        operands = [leaves[i] for i in traced]
        try:
            with evaluating(), spread_like(operands):
                jaxpr = stage(flat, [argument_type(x) for x in operands], trees.function_name(fun))
        except ConcretizationError:
            return fun(*args, **kwargs)  # Python looks at values, which JAX may have (under jax.grad, say)
        return tree_unflatten(out_tree, lower_with_rules(jaxpr, *operands))

    return bridged
