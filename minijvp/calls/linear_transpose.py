"""The transpose of a function that is linear, as users call it.

linear_transpose : (a -o b) -> b -o a
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import Partial, tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.linear_maps import LinearMap
from minijvp.api.programs import abstract_types
from minijvp.arguments.linearity import first_error, zero_constants
from minijvp.arguments.tangents import for_user, from_user, leaf_namer, require_same_tree
from minijvp.core.types import ArrayType, is_inexact
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import zeros_like
from minijvp.tracebacks import border
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_flat
from minijvp.trees import FlatFunction


class Transposed(LinearMap):
    """The transpose of a linear function, as `linear_transpose` returns it. `in_types` are those of the function."""

    def __init__(self, *parts: Any, name: str):
        super().__init__(*parts)
        self.name = name

    @border
    def __call__(self, constants: Sequence[Any], ct: Any) -> tuple[Any, ...]:
        leaves, tree = tree_flatten(ct)
        require_same_tree(tree, self.out_tree, "the cotangent", "the result of the function")
        where = leaf_namer(ct, "cotangent")
        cts = from_user(leaves, self.out_types, "cotangent", where) if self.floats() else self.integers(leaves, where)
        n, known = len(self.in_types), len(constants)
        linear = [False] * known + [True] * n
        found = transpose_flat(self.jaxpr, linear, [*constants, *[None] * n], cts)
        found = [zeros_like(t) if c is None else c for c, t in zip(found, self.in_types, strict=True)]
        return tree_unflatten(self.in_tree, list(map(for_user, found, self.in_types)))

    def floats(self) -> bool:
        """Whether these are no integers."""
        return all([is_inexact(t.dtype) for t in self.in_types + self.out_types])

    def integers(self, leaves: Sequence[Any], where: Callable[[int], str]) -> list[Any]:
        """The cotangents of integers, by a function that maps integers to integers."""
        for i, (x, kind) in enumerate(zip(leaves, self.out_types, strict=True)):
            given = trees.require_array(x, lambda i=i: where(i))
            if (given.shape, given.dtype) != (kind.shape, kind.dtype):
                raise ArgumentError(
                    f"the cotangent at {where(i)} is {given!r}, but the value is {kind!r}.",
                    f"{self.name} maps integers to integers, and so does its transpose.",
                    f"Pass {kind!r}.",
                )
        return trees.as_arrays(leaves, where)


@border
def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """The transpose of a linear function: the map from cotangents of its result to those of its arguments.

    linear_transpose : (a -o b) -> b -o a

    Args:
        fun: linear in all its arguments together, pytrees of arrays; returns a pytree of arrays. All of them are
            floating or complex, or all are integers.
        primals: examples of the arguments, of which only shapes and dtypes matter (`jax.ShapeDtypeStruct` will do).

    The result takes a cotangent of the tree, shapes and dtypes of `fun`'s result, and returns a tuple with one for
    each argument. It is a pytree of the constants of `fun`.

    Raises ArgumentError for integers among floating arguments and results, MissingRuleError if `fun` is not linear.

    >>> import minijvp
    >>> [float(ct) for ct in minijvp.linear_transpose(lambda x, y: 2 * x + 3 * y, 0.0, 0.0)(1.0)]
    [2.0, 3.0]
    """
    trees.require_callable(fun, "linear_transpose")
    leaves, tree = tree_flatten(primals)
    types = abstract_types(leaves, leaf_namer(primals, "primals"))
    flat_fun = FlatFunction(fun, tree)
    jaxpr = stage(flat_fun.positional, types, trees.function_name(fun))
    require_one_kind(flat_fun.name, types, jaxpr.out_types, leaf_namer(primals, "primals"))
    # Other operations that are not linear are found when it is transposed.
    nothing, everything = (lambda e, linear: None), (lambda e, linear: e.outputs)
    error = first_error(jaxpr, set(jaxpr.inputs), zero_constants(jaxpr), nothing, everything)
    if error is not None:
        raise MissingRuleError(f"linear_transpose of {flat_fun.name}: {error.what}", error.why, error.do)
    opened, constants = jaxpr.hoist_constants()
    parts = opened, (True,) * len(jaxpr.outputs), tree, flat_fun.out_tree, types, jaxpr.out_types
    return Partial(Transposed(*parts, name=flat_fun.name), constants)


def require_one_kind(
    name: str, in_types: Sequence[ArrayType], out_types: Sequence[ArrayType], where: Callable[[int], str]
) -> None:
    """Raise ArgumentError if there are integers and others among the arguments and results of a linear function."""
    types = (*in_types, *out_types)
    integers = [t for t in types if t.dtype.kind in "iu"]
    if len(integers) == len(types) or all([is_inexact(t.dtype) for t in types]):
        return
    i = next(i for i, t in enumerate(types) if not is_inexact(t.dtype))
    n = len(in_types)
    raise ArgumentError(
        f"linear_transpose of {name}: {where(i) if i < n else f'leaf {i - n} of the result'} is {types[i]!r}.",
        "A linear function maps floating numbers to such, or integers to integers. Others have no cotangents.",
        "Close over arguments that are not floating, and return floating results only.",
    )
