"""Products of two arrays of which one axis is cut into groups of different sizes, as in a mixture of experts.

Labels are those of contraction.py. With the ragged axis r and the groups g, a product is, by the place of r,

    free:        out[b, r, n] = the sum over k of x[b, r, k] * y[g(r), b, k, n]
    summed:      out[g, b, m, n] = the sum over r in g of x[b, r, m] * y[b, r, n]
    kept:        an ordinary product

and the cotangents of the first two are again such products, free or summed.
"""

from __future__ import annotations

from typing import Any

from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.contraction import BATCH, Labels, cast_like, dot_general, labels_of
from minijvp.operations.families import add_tangents, broadcast_in_dim, is_linear, leading_axis
from minijvp.operations.shape import transpose

GROUP: Labels = (-2,)


class RaggedDotGeneral(Primitive):
    """The product of x and y, in which an axis of x consists of groups of `group_sizes` elements each.

    `ragged_dot_dimension_numbers` are those of jax.lax.ragged_dot_general. `group_sizes` has one axis; or one more for
    each axis of x that is kept, and for each free (or summed) one before the ragged axis: groups may differ along them.
    """

    own_derivative = True
    recomputable = "expensive"

    def impl(
        self, x: Array, y: Array, group_sizes: Array, *, ragged_dot_dimension_numbers: Any, **params: Any
    ) -> Array:
        return lax.ragged_dot_general(x, y, group_sizes, ragged_dot_dimension_numbers, **params)

    def type_rule(self, *types: ArrayType, **params: Any) -> ArrayType:
        try:
            return super().type_rule(*types, **params)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"ragged_dot_general of {', '.join(map(repr, types))} with {params['ragged_dot_dimension_numbers']}.",
                f"{error}.".replace("..", "."),
                "ragged_dot takes x of shape (m, k), y of shape (groups, k, n) and integers of shape (groups,).",
            ) from None

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        (x, y, group_sizes), (t_x, t_y, _) = primals, tangents
        out = self(x, y, group_sizes, **params)
        tangent = None if t_x is None else self(t_x, y, group_sizes, **params)
        return out, tangent if t_y is None else add_tangents(tangent, self(x, t_y, group_sizes, **params))

    def transpose(
        self, ct: Array, x: Any, y: Any, group_sizes: Array, *, ragged_dot_dimension_numbers: Any, **params: Any
    ) -> Any:
        d = ragged_dot_dimension_numbers
        ragged = d.lhs_ragged_dimensions[0]
        if ragged in d.dot_dimension_numbers[1][0]:
            return *dot_general.transpose(ct, x, y, dimension_numbers=d.dot_dimension_numbers, **params), None
        x_labels, y_labels, out_labels, prefix = ragged_labels(d, len(x.shape), len(y.shape))
        groups = (group_sizes, prefix if group_sizes.ndim > 1 else (), ragged)
        if is_linear(y):
            return None, cast_like(ragged_contract(x, x_labels, ct, out_labels, y_labels, groups, **params), y), None
        operands = (ct, out_labels, y, y_labels) if ragged in out_labels else (y, y_labels, ct, out_labels)
        return cast_like(ragged_contract(*operands, x_labels, groups, **params), x), None, None

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, ragged_dot_dimension_numbers: Any, **params: Any
    ) -> tuple[Any, Any]:
        d = ragged_dot_dimension_numbers
        x, y, sizes = args
        if d.lhs_ragged_dimensions[0] in d.dot_dimension_numbers[1][0]:
            product = {"dimension_numbers": d.dot_dimension_numbers, **params}
            return (
                dot_general.batch(axis, (x, y), batched[:2], **product)
                if any(batched[:2])
                else (
                    dot_general(x, y, **product),
                    False,
                )
            )
        ranks = [len(type_of(v).shape) - b for v, b in zip(args, batched, strict=True)]
        x_labels, y_labels, out_labels, prefix = ragged_labels(d, ranks[0], ranks[1])
        if batched[2] or ranks[2] > 1:
            # Groups that differ along the batch axis need it in both operands.
            x, y, sizes = (leading_axis(axis, v, b) for v, b in zip(args, batched, strict=True))
            batched = (True, True, True)
            if ranks[2] == 1:
                shape = type_of(sizes).shape
                lengths = tuple([type_of(x).shape[1 + label] for label in prefix])
                sizes = broadcast_in_dim(
                    sizes, shape=(axis.size, *lengths, shape[1]), broadcast_dimensions=(0, 1 + len(lengths))
                )
            prefix = BATCH + prefix
        else:
            prefix = ()
        x_labels = BATCH + x_labels if batched[0] else x_labels
        y_labels = BATCH + y_labels if batched[1] else y_labels
        groups = (sizes, prefix, d.lhs_ragged_dimensions[0])
        return ragged_contract(x, x_labels, y, y_labels, BATCH + out_labels, groups, **params), True


def ragged_labels(d: Any, x_ndim: int, y_ndim: int) -> tuple[Labels, Labels, Labels, Labels]:
    """Labels for the axes of x, of y and of the result, and those of the axes along which groups may differ."""
    x_labels, y_labels, out_labels = labels_of(d.dot_dimension_numbers, x_ndim, y_ndim)
    (x_summed, _), (x_kept, _) = d.dot_dimension_numbers
    ragged = d.lhs_ragged_dimensions[0]
    for group_axis in d.rhs_group_dimensions:
        out_labels = tuple([label for label in out_labels if label != y_labels[group_axis]])
        y_labels = (*y_labels[:group_axis], *GROUP, *y_labels[group_axis + 1 :])
    if ragged in x_summed:
        return x_labels, y_labels, GROUP + out_labels, (*x_kept, *x_summed[: x_summed.index(ragged)])
    free = tuple([label for label in x_labels if label not in (*x_kept, *x_summed)])
    return x_labels, y_labels, out_labels, (*x_kept, *free[: free.index(ragged)])


def ragged_contract(
    x: Array,
    x_labels: Labels,
    y: Array,
    y_labels: Labels,
    out_labels: Labels,
    groups: tuple[Any, Labels, int],
    **params: Any,
) -> Array:
    """The ragged product of x and y with axes as in `out_labels`.

    `groups` has the group sizes, the labels of their axes but the last, and that of the ragged axis.
    """
    sizes, prefix, ragged = groups
    is_free = ragged in out_labels
    first = [*prefix, ragged]
    common = sorted([label for label in x_labels if label in y_labels], key=lambda v: place(v, first))
    kept = [label for label in common if label in out_labels]
    summed = [label for label in common if label not in out_labels]
    x_free = [label for label in x_labels if label not in common]
    if is_free and len(prefix) > len(kept) and x_free != sorted(x_free, key=lambda v: place(v, first)):
        # The free axes before the ragged one are those along which groups differ.
        x_free.sort(key=lambda v: place(v, first))
        order = (*kept, *x_free, *summed)
        x, x_labels = transpose(x, permutation=tuple(map(x_labels.index, order))), order
    y_free = [label for label in y_labels if label not in (*common, *GROUP)]
    numbers = lax.RaggedDotDimensionNumbers(
        tuple([(tuple(map(x_labels.index, v)), tuple(map(y_labels.index, v))) for v in (summed, kept)]),
        (x_labels.index(ragged),),
        (y_labels.index(GROUP[0]),) if is_free else (),
    )
    out = ragged_dot_general(x, y, sizes, ragged_dot_dimension_numbers=numbers, **params)
    order = [*(() if is_free else GROUP), *kept, *x_free, *y_free]
    permutation = tuple(map(order.index, out_labels))
    return out if permutation == tuple(range(len(order))) else transpose(out, permutation=permutation)


def place(label: int, first: list[int]) -> int:
    """The place of a label among those that must come first, or the place after them."""
    return first.index(label) if label in first else len(first)


ragged_dot_general = RaggedDotGeneral("ragged_dot_general")
