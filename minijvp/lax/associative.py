"""All partial results of an associative operation, in parallel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.arguments.tangents import leaf_namer
from minijvp.calls.jit import call
from minijvp.core.tracing import EVALUATION, state
from minijvp.core.types import Array, jit_is_disabled, type_of
from minijvp.errors import ArgumentError
from minijvp.lax.bodies import Tree, require_functions, require_same
from minijvp.numpy.promotion import converted, normalize_axis
from minijvp.operations import shape as shapes
from minijvp.operations.families import reshape
from minijvp.operations.slicing import slice as slice_primitive
from minijvp.tracebacks import border
from minijvp.transforms.staging import stage

__all__ = ["associative_scan"]


@border
def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All partial results of an associative operation along an axis, in about twice the logarithm of its size steps.

    Args:
        fn: takes two trees like `elems`, with any size of `axis`, and combines them element by element of it.
        elems: a pytree of arrays in which `axis` has one size.
        reverse: from the last element to the first.
        axis: the axis to go along.

    Raises ArgumentError if the sizes differ, there is no such axis, or `fn` returns another tree.

    Source: G. E. Blelloch, Prefix sums and their applications, CMU-CS-90-190, 1990.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.lax.associative_scan(mnp.multiply, mnp.array([1, 2, 3, 4])).tolist()
    [1, 2, 6, 24]
    """
    require_functions("associative_scan", [("fn", fn)])
    tree = Tree(elems, leaf_namer(elems, "elems of associative_scan"))
    if not tree.leaves:
        return elems
    axis = normalize_axis(axis, tree.types[0].ndim, "associative_scan")
    sizes = {t.shape[axis] if axis < t.ndim else None for t in tree.types}
    if len(sizes) != 1 or None in sizes:
        paths = trees.leaf_paths(tree.value)
        listed = "; ".join(f"elems{path}: {t!r}" for path, t in zip(paths, tree.types, strict=True))
        raise ArgumentError(
            f"associative_scan received arrays of different sizes along axis {axis}: {listed}.",
            "They are combined element by element of that axis.",
            "Make the sizes equal, or choose another axis.",
        )

    def fun(*leaves: Array) -> list[Any]:
        rows = [shapes.rev(x, dimensions=(axis,)) for x in leaves] if reverse else list(leaves)
        out = partial_results(Combination(fn, tree, axis), rows)
        return [shapes.rev(x, dimensions=(axis,)) for x in out] if reverse else out

    if state.trace is EVALUATION and not jit_is_disabled():
        # At once, as one compiled program.
        return tree_unflatten(tree.structure, call(stage(fun, tree.types, trees.function_name(fn)), *tree.leaves))
    return tree_unflatten(tree.structure, fun(*tree.leaves))


class Combination:
    """An associative operation on lists of leaves, along an axis."""

    def __init__(self, fn: Callable[[Any, Any], Any], tree: Tree, axis: int):
        self.fn = fn
        self.tree = tree
        self.axis = axis

    def __call__(self, x: Sequence[Any], y: Sequence[Any]) -> list[Any]:
        first, second = (tree_unflatten(self.tree.structure, v) for v in (x, y))
        result = Tree(self.fn(first, second), lambda i: f"leaf {i} of the result of {trees.function_name(self.fn)}")
        require_same(
            f"fn of associative_scan, {trees.place_of(self.fn)}, changes the types",
            ("received", "returned"),
            Tree(first, str),
            result,
            "Its results are combined again.",
            "Return the containers, shapes and dtypes that came in.",
        )
        return result.leaves

    def part(self, xs: Sequence[Any], start: int, stop: int, stride: int = 1) -> list[Any]:
        """The elements from `start` to before `stop` along the axis."""

        def sliced(x: Array) -> Array:
            shape = type_of(x).shape
            starts = tuple([start if d == self.axis else 0 for d in range(len(shape))])
            limits = tuple([min(stop, n) if d == self.axis else n for d, n in enumerate(shape)])
            strides = tuple([stride if d == self.axis else 1 for d in range(len(shape))])
            return slice_primitive(x, start_indices=starts, limit_indices=limits, strides=strides)

        return [sliced(x) for x in xs]

    def interleaved(self, even: Array, odd: Array) -> Array:
        """The elements of two arrays in turns, strongly typed; the first may have one more."""
        even, odd = (converted(x, x.dtype) for x in (even, odd))
        shape, n = type_of(even).shape, type_of(odd).shape[self.axis]
        (head,) = self.part([even], 0, n)
        pairs = shapes.concatenate(
            *[shapes.expand_dims(x, (self.axis + 1,)) for x in (head, odd)], dimension=self.axis + 1
        )
        both = reshape(pairs, new_sizes=(*shape[: self.axis], 2 * n, *shape[self.axis + 1 :]))
        if n == shape[self.axis]:
            return both
        return shapes.concatenate(both, *self.part([even], n, n + 1), dimension=self.axis)


def partial_results(combine: Combination, xs: list[Any]) -> list[Any]:
    """x0, x0 x1, x0 x1 x2, ...: the odd ones are those of the products of neighbours, and give the even ones."""
    n, axis = type_of(xs[0]).shape[combine.axis], combine.axis
    if n < 2:
        return xs
    products = combine(combine.part(xs, 0, n - 1, 2), combine.part(xs, 1, n, 2))
    odd = partial_results(combine, products)
    even = combine.part(xs, 0, 1)
    if n > 2:
        later = combine(combine.part(odd, 0, (n - 1) // 2), combine.part(xs, 2, n, 2))
        even = [shapes.concatenate(x, y, dimension=axis) for x, y in zip(even, later, strict=True)]
    return [combine.interleaved(x, y) for x, y in zip(even, odd, strict=True)]
