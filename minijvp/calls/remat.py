"""Rematerialisation as users call it: checkpoint, remat, and names for values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.programs import stage_tree
from minijvp.arguments.tangents import leaf_namer
from minijvp.budgets import Budget, optional_budget
from minijvp.calls.checkpoint import checkpoint as checkpoint_primitive
from minijvp.calls.policies import Within, names_in, warn_of_unknown_names
from minijvp.calls.static_arguments import StaticArguments
from minijvp.core.tracing import nothing_is_traced
from minijvp.core.types import jit_is_disabled
from minijvp.errors import ArgumentError
from minijvp.operations.annotations import name as name_primitive
from minijvp.transforms.staging import argument_type


def checkpoint(
    fun: Callable[..., Any] | None = None,
    /,
    *,
    prevent_cse: bool | Sequence[bool] = True,
    policy: Callable[..., bool] | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Iterable[str] = (),
    concrete: bool = False,
    memory_budget: Budget | None = None,
) -> Any:
    """A function that computes what `fun` does, and of which reverse mode keeps the arguments only.

    checkpoint : (a -> b) -> (a -> b)

    The backward pass computes again what it needs: less memory for more time. Without arguments in the call,
    `checkpoint(policy=...)` is a decorator. What `fun` closes over counts as an argument.

    Args:
        fun: takes and returns pytrees of arrays.
        prevent_cse: the compiler may not merge the second computation with the first. False is faster inside scan,
            where it cannot anyway.
        policy: says which values are kept besides: one of `minijvp.checkpoint_policies` or of
            jax.checkpoint_policies, or a function `policy(primitive, *types, **params) -> bool`. Policies of JAX are
            asked about the primitive of JAX that has the same name; those that offload keep nothing. It is asked about
            each operation, in inner calls of jit too; a loop or a choice is one operation: names inside do nothing.
        static_argnums, static_argnames: arguments that are ordinary Python values; they must be hashable.
        concrete: False; JAX has taken the option away.
        memory_budget: in place of a policy: reverse mode of `fun` keeps what this allows, as in `minijvp.config`. A
            part is one of what it would keep without checkpoint.

    Raises ArgumentError for arguments that are neither arrays nor static, for static ones that `fun` does not have, a
    policy that cannot be called, and concrete=True. Warns
    where a policy of minijvp mentions names that `fun` does not have (with those that it has), unless it mentions
    all of these: then it may serve several functions, each of which has a part of its names.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 12.

    >>> import jax, minijvp, minijvp.numpy as mnp
    >>> out, pullback = minijvp.vjp(minijvp.checkpoint(lambda x: mnp.sin(mnp.sin(x))), 0.0)
    >>> float(pullback(1.0)[0]), len(jax.tree_util.tree_leaves(pullback))
    (1.0, 1)
    """
    making = checkpoint, {**locals()}
    if concrete:
        raise ArgumentError(
            "checkpoint received concrete=True.",
            "The program is staged, and values of arguments are not there meanwhile. JAX has no such option any more.",
            "Name the arguments whose values Python needs in static_argnums or static_argnames.",
        )
    if fun is None:
        options: dict[str, Any] = dict(prevent_cse=prevent_cse, policy=policy, memory_budget=memory_budget)
        return partial(checkpoint, static_argnums=static_argnums, static_argnames=static_argnames, **options)
    trees.require_callable(fun, "checkpoint")
    require_policy(policy)
    budget = optional_budget(memory_budget, "checkpoint")
    kept = policy if budget is None else budget_policy(policy, budget)
    static = [None if trees.entries_of(option) == () else option for option in (static_argnums, static_argnames)]
    require_parameters(fun, *static)
    static_arguments = StaticArguments(fun, *static)
    held = prevent_cse if isinstance(prevent_cse, bool) else any(prevent_cse)

    @trees.wraps(fun, making)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if nothing_is_traced() or jit_is_disabled():
            return computed(fun, static_arguments, args, kwargs)
        dynamic, dynamic_kwargs, static = static_arguments.split(args, kwargs)
        leaves, tree = tree_flatten((dynamic, dynamic_kwargs))
        fixed = {key for key, _, _ in static}
        positions = [k for k in range(len(args)) if k not in fixed]
        leaves = trees.as_arrays(leaves, trees.call_namer(fun, dynamic, dynamic_kwargs, positions))
        closed, out_tree = stage_tree(static_arguments.close(fun, static), tree, tuple(map(argument_type, leaves)))
        jaxpr, constants = closed.hoist_constants()
        if names_in(policy):
            warn_of_unknown_names(jaxpr, policy)
        outs = checkpoint_primitive(*constants, *leaves, jaxpr=jaxpr, prevent_cse=held, policy=kept)
        return tree_unflatten(out_tree, outs)

    return checkpointed


remat = checkpoint


def computed(fun: Callable[..., Any], of: StaticArguments, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result where nothing differentiates it. As when it is staged, the function takes and returns arrays."""
    fixed = of.positions(args)
    dynamic = {i: x for i, x in enumerate(args) if i not in fixed}
    named = {k: x for k, x in kwargs.items() if k not in of.argnames}
    dynamic, named = trees.with_arrays(
        (dynamic, named), lambda _: trees.call_namer(fun, tuple(dynamic.values()), named, list(dynamic))
    )
    result = fun(*[dynamic.get(i, x) for i, x in enumerate(args)], **{**kwargs, **named})
    return trees.with_arrays(result, lambda tree: trees.result_namer(tree, trees.function_name(fun)))


def require_parameters(fun: Callable[..., Any], argnums: Any, argnames: Any) -> None:
    """Raise ArgumentError for static arguments that `fun` does not have."""
    if argnums is None and argnames is None:
        return
    try:
        jax.jit(fun, static_argnums=argnums, static_argnames=argnames)  # which compares them with the signature
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"checkpoint of {trees.function_name(fun)} received static arguments that do not fit: {error}",
            "Positions count the parameters from 0, and names are those of parameters.",
            "Correct static_argnums or static_argnames.",
        ) from None


def budget_policy(policy: Any, budget: Budget) -> Within:
    """The policy that a budget stands for; ArgumentError if another one was given too."""
    if policy is not None:
        raise ArgumentError(
            f"checkpoint received a policy and memory_budget={budget!r}.",
            "Either says what is kept.",
            "Leave one of them out.",
        )
    return Within(budget)


def require_policy(policy: Any) -> None:
    """Raise ArgumentError for a policy that is none."""
    try:
        hash(policy)
        usable = policy is None or callable(policy)
    except TypeError:
        usable = False
    if not usable:
        raise ArgumentError(
            f"checkpoint received policy={policy!r:.200}.",
            "A policy is a function that says of each operation whether its results are kept, and can be hashed.",
            "Pass one of minijvp.checkpoint_policies, or a function policy(primitive, *types, **params) -> bool.",
        )


def checkpoint_name(x: Any, name: str) -> Any:
    """`x`, a pytree of arrays, under a name by which policies of checkpoint know it.

    Raises ArgumentError for a name that is no string.

    >>> import minijvp, minijvp.numpy as mnp
    >>> policy = minijvp.checkpoint_policies.save_only_these_names('middle')
    >>> f = minijvp.checkpoint(lambda x: mnp.sin(minijvp.checkpoint_name(mnp.sin(x), 'middle')), policy=policy)
    >>> float(minijvp.grad(f)(0.0))
    1.0
    """
    if not isinstance(name, str):
        raise ArgumentError(
            f"checkpoint_name received the name {name!r:.200} of type {type(name).__name__}.",
            "Policies compare names, which are strings.",
            "Write checkpoint_name(x, 'name').",
        )
    leaves, tree = tree_flatten(x)
    arrays = trees.as_arrays(leaves, leaf_namer(x, "x"))
    return tree_unflatten(tree, [name_primitive(leaf, name=name) for leaf in arrays])
