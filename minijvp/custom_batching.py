"""Functions that bring their own way to be batched: custom_vmap, and sequential_vmap, by a loop over the lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any

from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

from minijvp import lax, trees
from minijvp.calls.programs import Flags, fits
from minijvp.calls.static_arguments import positional_names
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Axis
from minijvp.core.tracing import nothing_is_traced
from minijvp.core.types import ArrayType
from minijvp.custom_rules.custom_vmap import BatchRule, custom_vmap_call
from minijvp.custom_rules.decorators import by_position
from minijvp.custom_rules.rule_results import leaves_of, pair
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import all_batched
from minijvp.transforms.staging import argument_type, stage

__all__ = ["custom_vmap", "sequential_vmap"]


def __dir__() -> list[str]:
    return sorted(__all__)


class custom_vmap:
    """A function whose batches are by a rule.

    custom_vmap : (a -> b) -> (a -> b)

    `fun` takes and returns pytrees of arrays. Give the rule with `def_vmap`. A batched call is what the rule gives:
    both modes differentiate that, and vmap batches it again. Without a batch axis it is the function, differentiated
    as that.

    Raises ArgumentError if there is no rule, or if it returns other trees, shapes or dtypes than batches of what the
    function returns; MissingRuleError where a value that the function closes over, and no argument, is batched.

    >>> import minijvp, minijvp.numpy as mnp
    >>> @minijvp.custom_batching.custom_vmap
    ... def solve(a, b):
    ...     return b / a
    >>> @solve.def_vmap
    ... def rule(axis_size, in_batched, a, b):
    ...     return b * (1 / a), True
    >>> minijvp.vmap(solve, in_axes=(None, 0))(4.0, mnp.array([1.0, 2.0])).tolist()
    [0.25, 0.5]
    """

    def __init__(self, fun: Callable[..., Any]):
        trees.require_callable(fun, "custom_vmap")
        update_wrapper(self, fun)
        self.fun = fun
        self.name = trees.function_name(fun)
        self.names = positional_names(fun)
        self.vmap_rule: Callable[..., Any] | None = None

    def def_vmap(self, vmap_rule: Callable[..., Any]) -> Callable[..., Any]:
        """Give the rule for batches, and return it.

        `vmap_rule(axis_size, in_batched, *args)` takes a list with a tree of booleans for each argument, which say
        what is batched, and the arguments, where batch axes are leading. It returns the result, and which of its parts
        are batched: a tree of booleans, or one for all.
        """
        trees.require_callable(vmap_rule, "def_vmap")
        self.vmap_rule = vmap_rule
        return vmap_rule

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The function as a method: the instance is the first argument."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<custom_vmap {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.vmap_rule is None:
            raise ArgumentError(
                f"{self.name}, a custom_vmap function, was called and has no rule.",
                "Its batches would be by none.",
                f"Give it one before the first call: {self.name}.def_vmap(rule).",
            )
        if nothing_is_traced():  # as when it is staged, the function takes and returns arrays
            args, kwargs = trees.with_arrays((args, kwargs), lambda _: trees.call_namer(self.fun, args, kwargs))
            return trees.with_arrays(self.fun(*args, **kwargs), lambda out: trees.result_namer(out, self.name))
        args = by_position(self, args, kwargs, "with a rule for batches")
        leaves, tree = tree_flatten(args)
        leaves = trees.as_arrays(leaves, trees.call_namer(self.fun, args, {}))
        out_tree: Any = None

        def flat(*xs: Any) -> list[Any]:
            nonlocal out_tree
            result = self.fun(*tree_unflatten(tree, xs))
            outs, out_tree = tree_flatten(result)
            return trees.as_arrays(outs, trees.result_namer(result, self.name))

        jaxpr, captured = stage(flat, [argument_type(x) for x in leaves], self.name).hoist_constants()
        made = Batches(self, len(captured), tree, jaxpr, out_tree)
        outs = custom_vmap_call(*captured, *leaves, jaxpr=jaxpr, rule=BatchRule(made.program))
        return tree_unflatten(out_tree, outs)


class Batches:
    """The rule of one call, as programs in flat arguments, the first of which are values that the function captured."""

    def __init__(self, custom: custom_vmap, n_captured: int, tree: Any, jaxpr: Jaxpr, out_tree: Any):
        self.rule: Any = custom.vmap_rule
        self.name, self.n_captured = custom.name, n_captured
        self.tree, self.out_tree = tree, out_tree
        self.types, self.out_types = jaxpr.in_types, jaxpr.out_types

    def program(self, axis: Axis, batched: Flags) -> Jaxpr:
        """The program for batches of some arguments; all its results are batched."""
        n = self.n_captured
        if any(batched[:n]):
            t = self.types[batched.index(True)]
            raise MissingRuleError(
                f"{self.name}, a function with a rule for batches, closes over a {t!r} that is batched.",
                "The rule takes the arguments of the function only.",
                f"Pass the value to {self.name} as an argument.",
            )
        types = [t.stacked(axis.size, axis.split) if b else t for t, b in zip(self.types, batched, strict=True)]
        in_batched = list(tree_unflatten(self.tree, batched[n:]))

        def flat(*xs: Any) -> list[Any]:
            result = self.rule(axis.size, in_batched, *tree_unflatten(self.tree, xs[n:]))
            return self.batches(axis, result)

        return stage(flat, types, self.name)

    def batches(self, axis: Axis, result: Any) -> list[Any]:
        """The leaves of what the rule returned, all with a batch axis; ArgumentError if they do not fit the results."""
        role = f"the rule for batches of {self.name}, {trees.place_of(self.rule)},"
        out, out_batched = pair(result, role, "the result, and which of its parts are batched")
        leaves, where = leaves_of(out, role, self.name, self.out_tree), trees.result_namer(out, role)
        flags = [bool(b) for b in trees.flatten_prefix(out_batched, out, f"the second result of {role} ")]
        for i, (x, t, b) in enumerate(zip(leaves, self.out_types, flags, strict=True)):
            wanted = ArrayType((axis.size, *t.shape) if b else t.shape, t.dtype)
            if not fits(argument_type(x), wanted):
                raise ArgumentError(
                    f"{where(i)} is {argument_type(x)!r}, where {wanted!r} is wanted: {self.name} gives {t!r} there, "
                    f"and the rule says that it is {'' if b else 'not '}batched.",
                    "It computes a batch of the same results, with the batch axis in front.",
                    "Compute the same in both, in the same dtype, and say which results are batched.",
                )
        return list(all_batched(axis, leaves, flags))


def sequential_vmap(f: Callable[..., Any]) -> custom_vmap:
    """A function that is called for one lane after the other when it is batched, in a loop.

    `f` takes and returns pytrees of arrays.

    >>> import minijvp, minijvp.numpy as mnp
    >>> power = minijvp.custom_batching.sequential_vmap(lambda x, n: x**n)
    >>> minijvp.vmap(power, in_axes=(None, 0))(2.0, mnp.arange(4)).tolist()
    [1.0, 2.0, 4.0, 8.0]
    """
    custom = custom_vmap(f)

    @custom.def_vmap
    def rule(axis_size: int, in_batched: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        leaves, tree = tree_flatten(args)
        flags = tree_leaves(in_batched)

        def lane(rows: Sequence[Any]) -> Any:
            row = iter(rows)
            return custom(*tree_unflatten(tree, [next(row) if b else x for x, b in zip(leaves, flags, strict=True)]))

        out = lax.map(lane, [x for x, b in zip(leaves, flags, strict=True) if b])
        return out, tree_map(lambda _: True, out)

    return custom
