"""Which values checkpoint keeps for reverse mode: functions `policy(primitive, *types, **params) -> bool`.

`primitive` is an operation of minijvp inside the function, `types` are those of its operands; where a policy says True,
the results of the operation are kept, and what is not kept is computed again. The names are those of JAX.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jax
from jax.core import ShapedArray
from jax.extend.core import primitives as jax_primitives

from minijvp.budgets import Budget
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Primitive
from minijvp.core.source import is_internal
from minijvp.core.types import ArrayType, placing_in_jax
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


def __dir__() -> list[str]:
    return sorted(__all__)


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


@dataclass(frozen=True)
class ByName:
    """A policy that decides by the names of values."""

    names: frozenset[str]
    listed: bool
    """Whether it keeps the values with these names, or those with others."""
    unnamed: bool
    """Whether it keeps the values without a name."""

    def __call__(self, primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        return (params["name"] in self.names) == self.listed if primitive is name_primitive else self.unnamed


@dataclass(frozen=True)
class Either:
    """A policy that keeps what one of the two keeps."""

    first: Policy
    second: Policy

    @property
    def names(self) -> frozenset[str]:
        return names_in(self.first) | names_in(self.second)

    def __call__(self, primitive: Primitive, *types: ArrayType, **params: Any) -> bool:
        return self.first(primitive, *types, **params) or self.second(primitive, *types, **params)


@dataclass(frozen=True)
class Within:
    """In place of a policy: a memory budget, and what is kept is planned."""

    budget: Budget


def names_in(policy: Any) -> frozenset[str]:
    """The names that a policy mentions, as far as that can be seen: not of one of JAX, nor of a function."""
    return policy.names if isinstance(policy, (ByName, Either)) else frozenset()


def save_only_these_names(*names: str) -> Policy:
    """A policy that keeps the values with one of these names, by `checkpoint_name`, and no others."""
    return ByName(checked(names, "save_only_these_names"), listed=True, unnamed=False)


def save_any_names_but_these(*names: str) -> Policy:
    """A policy that keeps the values with a name, by `checkpoint_name`, that is none of these."""
    return ByName(checked(names, "save_any_names_but_these"), listed=False, unnamed=False)


def save_anything_except_these_names(*names: str) -> Policy:
    """A policy that keeps every value but those with one of these names."""
    return ByName(checked(names, "save_anything_except_these_names"), listed=False, unnamed=True)


def checked(names: tuple[Any, ...], policy: str) -> frozenset[str]:
    """The names as a set; ArgumentError for one that is no string."""
    for name in names:
        if not isinstance(name, str):
            raise ArgumentError(
                f"{policy} received the name {name!r:.200} of type {type(name).__name__}.",
                "Policies compare names, which are strings.",
                f"Write {policy}('first', 'second'); *names for a list.",
            )
    return frozenset(names)


def save_from_both_policies(first: Policy, second: Policy) -> Policy:
    """A policy that keeps what one of the two keeps."""
    return Either(as_policy(first), as_policy(second))


def names_of(jaxpr: Jaxpr) -> frozenset[str]:
    """The names that values of a program have, also inside of its calls, loops and choices."""
    inside = [names_of(inner) for e in jaxpr for inner in e.programs]
    return frozenset([e.params["name"] for e in jaxpr if e.primitive is name_primitive]).union(*inside)


@lru_cache(maxsize=4096)
def warn_of_unknown_names(jaxpr: Jaxpr, policy: Any) -> None:
    """Warn, once for a program, where a policy mentions names that no value of it has, and that may be a slip.

    It may, if there are names that the policy does not mention (one of them was meant), or no names at all. Where all
    are mentioned, it seems to serve several functions that have a part of its names each, as the blocks of a network.
    """
    mentioned, known = names_in(policy), names_of(jaxpr)
    unknown = mentioned - known
    if not unknown or (known and known <= mentioned):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and is_internal(frame.f_code):
        level, frame = level + 1, frame.f_back
    have = f"The names in it are {quoted(known)}." if known else "It has no names; checkpoint_name gives some."
    text = f"checkpoint of {jaxpr.name or 'a function'}: the policy mentions {quoted(unknown)}, and no value has such"
    warnings.warn(f"{text} a name. {have}", UserWarning, stacklevel=level)


def quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


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
        avals = [ShapedArray(t.shape, t.dtype, weak_type=t.weak_type, **placing_in_jax(t)) for t in types]
        answer = policy(original, *avals, **params)
        return answer is True or type(answer).__name__ == "SaveableType"

    return ours
