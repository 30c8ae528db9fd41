"""Which values checkpoint keeps for reverse mode: functions `policy(primitive, *types, **params) -> bool`.

`primitive` is an operation of minijvp inside the function, `types` are those of its operands; where a policy says True,
the results of the operation are kept, and what is not kept is computed again. The names are those of JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

import jax
from jax.core import ShapedArray
from jax.extend.core import primitives as jax_primitives

from minijvp.core.primitive import Primitive
from minijvp.core.types import ArrayType
from minijvp.errors import ArgumentError
from minijvp.operations.annotations import name as name_primitive
from minijvp.operations.contraction import dot_general
from minijvp.operations.convolution import conv_general_dilated

__all__ = [
    "checkpoint_dots",
    "checkpoint_dots_with_no_batch_dims",
    "dots_saveable",
    "dots_with_no_batch_dims_saveable",
    "everything_saveable",
    "nothing_saveable",
    "offload_dot_with_no_batch_dims",
    "save_and_offload_only_these_names",
    "save_any_names_but_these",
    "save_anything_except_these_names",
    "save_from_both_policies",
    "save_only_these_names",
]

Policy = Callable[..., bool]


def everything_saveable(*args: Any, **params: Any) -> bool:
    """True: nothing is computed again, as without checkpoint."""
    return True


def nothing_saveable(*args: Any, **params: Any) -> bool:
    """False: only the arguments are kept. This is what checkpoint does without a policy."""
    return False


def dots_saveable(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
    """Whether the operation is a matrix product or a convolution."""
    return primitive is dot_general or primitive is conv_general_dilated


def dots_with_no_batch_dims_saveable(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
    """Whether the operation is a matrix product without batch axes, as of activations and weights."""
    if primitive is not dot_general:
        return False
    _, (batch, _) = params["dimension_numbers"]
    return not batch


checkpoint_dots = dots_saveable
checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable


@lru_cache(maxsize=256)
def save_only_these_names(*names: str) -> Policy:
    """A policy that keeps the values with one of these names, by `checkpoint_name`, and no others."""

    def policy(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        return primitive is name_primitive and params["name"] in names

    return policy


@lru_cache(maxsize=256)
def save_any_names_but_these(*names: str) -> Policy:
    """A policy that keeps the values with a name, by `checkpoint_name`, that is none of these."""

    def policy(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        return primitive is name_primitive and params["name"] not in names

    return policy


@lru_cache(maxsize=256)
def save_anything_except_these_names(*names: str) -> Policy:
    """A policy that keeps every value but those with one of these names."""

    def policy(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        return primitive is not name_primitive or params["name"] not in names

    return policy


@lru_cache(maxsize=256)
def save_from_both_policies(first: Policy, second: Policy) -> Policy:
    """A policy that keeps what one of the two keeps."""
    first, second = as_policy(first), as_policy(second)

    def policy(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        return first(primitive, *types, **params) or second(primitive, *types, **params)

    return policy


def offload_dot_with_no_batch_dims(*args: Any, **options: Any) -> NoReturn:
    """Raise ArgumentError: nothing is offloaded."""
    raise no_offloading("offload_dot_with_no_batch_dims", "dots_with_no_batch_dims_saveable")


def save_and_offload_only_these_names(*args: Any, **options: Any) -> NoReturn:
    """Raise ArgumentError: nothing is offloaded."""
    raise no_offloading("save_and_offload_only_these_names", "save_only_these_names")


def no_offloading(name: str, other: str) -> ArgumentError:
    """The error for a policy that moves values to another memory."""
    return ArgumentError(
        f"the policy {name} was asked for.",
        "minijvp keeps a value on its device or computes it again; it moves none to another memory.",
        f"Use {other}.",
    )


@lru_cache(maxsize=256)
def as_policy(policy: Any) -> Policy:
    """A policy of minijvp, from one of minijvp or JAX; None is nothing_saveable."""
    if policy is None:
        return nothing_saveable
    home = policy.__module__ if hasattr(policy, "__qualname__") else type(policy).__module__
    return of_jax(policy) if str(home).split(".")[0] == "jax" else policy


@lru_cache(maxsize=256)
def of_jax(policy: Any) -> Policy:
    """A policy that asks one of JAX about JAX's primitive of the same name; without such a one, it keeps nothing."""
    for name in ("everything_saveable", "nothing_saveable"):
        if policy is getattr(jax.checkpoint_policies, name):
            return globals()[name]

    def ours(primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        original = getattr(jax_primitives, f"{primitive.name}_p", None)
        if original is None:
            return False
        avals = [ShapedArray(t.shape, t.dtype, weak_type=t.weak_type) for t in types]
        answer = policy(original, *avals, **params)
        return answer is True or type(answer).__name__ == "SaveableType"

    return ours
