"""Families of primitives: what a primitive gets for free by belonging to one; and the few primitives families stand on.

Letters in rules, here and in every file of operations: `x, y` operands, `out` result, `t` tangent, `ct` cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax

from minijvp.core.placements import Placement
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import PYTHON_SCALARS, Array, ArrayType, Axes, Params, ScalarType, type_of, wrapped
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.splitting import split_as, split_batches

Derivative = Callable[..., Any]


def is_linear(x: Any) -> bool:
    """In a transpose rule: whether the argument is linear, so that only its type is known.

    >>> import numpy as np
    >>> from minijvp.extend import is_linear, type_of
    >>> is_linear(2.0), is_linear(type_of(np.ones(3)))
    (False, True)
    """
    return type(x) is ArrayType


def zeros_like(x: Any) -> Array:
    """Zeros of the shape and dtype of a value, a tracer or a type."""
    t = x if isinstance(x, ArrayType) else type_of(x)
    return zeros(**zeros_of(t))


def zeros_of(t: ArrayType) -> Params:
    """The parameters of `zeros` for zeros of a type."""
    params: Params = {"shape": t.shape, "dtype": t.dtype}
    return params if t.placement is None else {**params, "placement": t.placement}


def instantiate(t: Any, x: Any) -> Array:
    """The tangent or cotangent `t` of `x`, as zeros if it is None.

    >>> import numpy as np
    >>> from minijvp.extend import instantiate
    >>> instantiate(None, np.ones(2)).tolist(), instantiate(3.0, 1.0)
    ([0.0, 0.0], 3.0)
    """
    return zeros_like(x) if t is None else t


def add_tangents(x: Any, y: Any) -> Any:
    """The sum of two tangents or cotangents, either of which may be None.

    >>> from minijvp.extend import add_tangents
    >>> float(add_tangents(1.0, 2.0)), add_tangents(None, 2.0), add_tangents(None, None)
    (3.0, 2.0, None)
    """
    if x is None:
        return y
    return x if y is None else add(x, y)


def nonzero(tangents: Sequence[Any]) -> tuple[bool, ...]:
    """Which tangents (or cotangents) are not symbolic zeros."""
    return tuple([t is not None for t in tangents])


def spread(values: Iterable[Any], where: Sequence[bool]) -> tuple[Any, ...]:
    """The values at the places that are true, None at the others."""
    rest = iter(values)
    return tuple([next(rest) if flag else None for flag in where])


def leading_axis(axis: Axis, x: Array, batched: bool) -> Array:
    """`x` with a leading batch axis: as it is if it is `batched`, or repeated. A Python scalar stays one.

    >>> import numpy as np
    >>> from minijvp.extend import Axis, leading_axis
    >>> leading_axis(Axis(2), np.array([1.0, 5.0]), False).tolist(), leading_axis(Axis(2), 3.0, False)
    ([[1.0, 5.0], [1.0, 5.0]], 3.0)
    """
    if batched or type(x) in PYTHON_SCALARS:
        return x
    t = type_of(x)
    how = {"shape": (axis.size, *t.shape), "broadcast_dimensions": tuple(range(1, len(t.shape) + 1))}
    return broadcast_in_dim(x, **how, **(split_as(t.stacked(axis.size, axis.split)) if axis.split else {}))


def all_batched(axis: Axis, args: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    """All arguments with a leading batch axis; what is a Python scalar in a program fits as it is."""
    return [
        x if not b and type(type_of(x)) is ScalarType else leading_axis(axis, x, b)
        for x, b in zip(args, batched, strict=True)
    ]


class Elementwise(Primitive):
    """A primitive that works element by element on arrays of one shape and dtype; Python scalars fit every array.

    `function` is one of jax.numpy or jax.lax. `derivatives` has for each argument the function (t, out, *args) ->
    tangent, or None where the derivative is zero. Of a primitive that is made outside of minijvp, one that is missing
    raises MissingRuleError when it is needed.

    >>> import jax.numpy as jnp, minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import Elementwise
    >>> sinc = Elementwise('sinc_', lambda x: jnp.sin(x) / x, lambda t, out, x: t * (mnp.cos(x) - out) / x)
    >>> print(f'{minijvp.grad(sinc)(1.0):.4f}', minijvp.vmap(sinc)(mnp.array([1.0, 2.0])).shape)
    -0.3012 (2,)
    """

    def __init__(self, name: str, function: Callable[..., Any], *derivatives: Derivative | None, doc: str = ""):
        super().__init__(name, doc or f"Elementwise: see jax.lax.{name}.")
        self.function = function
        self.derivatives = derivatives
        self._results: dict[tuple, tuple[Any, bool]] = {}

    def impl(self, *args: Array, **params: Any) -> Array:
        return self.function(*spread_scalars(args), **params)

    def type_rule(self, *types: ArrayType, **params: Any) -> ArrayType:
        first = types[0]
        weak = True
        for t in types:
            if not t.weak_type:
                weak = False
            if type(t) is not ScalarType:
                if type(first) is ScalarType:
                    first = t
                elif t is not first and (t.shape != first.shape or t.dtype != first.dtype):
                    raise self.mismatch(types)
        key = (first.dtype, weak, *params.items())
        result = self._results.get(key)
        if result is None:
            operand = jax.ShapeDtypeStruct((), first.dtype, weak_type=weak)
            out = jax.eval_shape(partial(self.function, **params), *[operand] * len(types))
            # A boolean is as good as strong: it takes part in no promotion.
            result = self._results[key] = out.dtype, weak and bool(out.weak_type) and out.dtype != np.bool_
        # Of Python scalars only, the result is one too: it still fits every array.
        return type(first)(first.shape, *result)

    def mismatch(self, types: Sequence[ArrayType]) -> ArgumentError:
        return ArgumentError(
            f"{self.name} received operands of types {', '.join(map(repr, types))}.",
            "A primitive takes operands of one shape and one dtype.",
            "The function in minijvp.numpy broadcasts and promotes.",
        )

    def jvp(self, primals: tuple, tangents: tuple, /, **params: Any) -> tuple[Any, Any]:
        out, tangent = self(*primals, **params), None
        if self.made_outside:
            self.require_derivatives(tangents)
        else:
            params.pop("accuracy", None)  # of the result, and no business of the derivative
        for t, derivative in zip(tangents, self.derivatives, strict=False):
            if t is not None and derivative is not None:
                found = derivative(t, out, *primals, **params)
                tangent = found if tangent is None else add_tangents(tangent, found)
        return out, tangent

    def taylor(self, primals: tuple, series: tuple, /, **params: Any) -> Any:
        if self.made_outside or any([d is not None for d in self.derivatives]):
            return None
        return self(*primals, **params), None

    def require_derivatives(self, tangents: Sequence[Any]) -> None:
        """Raise MissingRuleError for an argument with a tangent, of which no derivative was given, not even None."""
        n, given = len(tangents), len(self.derivatives)
        for i, t in enumerate(tangents[given:], given):
            if t is not None:
                names = ", ".join([f"derivative_{k}" for k in range(n)])
                raise MissingRuleError(
                    f"the primitive {self.name!r} has no derivative for its argument number {i}, counted from 0.",
                    f"Elementwise was given derivatives for {given} of {n} arguments, and none is taken for zero.",
                    "Give one for each argument, a function (t, out, *args) -> tangent, or None where it is zero: "
                    f"Elementwise({self.name!r}, function, {names}).",
                )

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], /, **params: Any) -> tuple[Any, Any]:
        if not all(batched):
            args = tuple(all_batched(axis, args, batched))
        return self(*args, **params), True


def differ_in_jax(*primitives: Elementwise) -> None:
    """Say that what JAX finds for these cancels, overflows, is nan where there is a limit, or is missing.

    Their derivatives here are in docs/accuracy.md.
    """
    for primitive in primitives:
        primitive.own_derivative = True


class LinearElementwise(Elementwise):
    """An elementwise primitive that is linear in all its arguments together (neg, add, real ...).

    `transposes` has for each argument the function (ct, *args) -> cotangent.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        transposes: Sequence[Callable[..., Any]],
        derivatives: Sequence[Derivative],
        doc: str = "",
    ):
        super().__init__(name, function, *derivatives, doc=doc)
        self.transposes = transposes

    def taylor(self, primals: tuple, series: tuple, /, **params: Any) -> Any:
        out, moving = self(*primals, **params), [s and (s, d) for s, d in zip(series, self.derivatives, strict=True)]

        def find(k: int) -> Any:
            found = None
            for s, derivative in filter(None, moving):
                if derivative is not None and (c := s[k]) is not None:
                    found = add_tangents(found, derivative(c, out, *primals, **params))
            return found

        return out, find

    def transpose(self, ct: Array, /, *args: Any, **params: Any) -> Any:
        return tuple(
            [rule(ct, *args, **params) if is_linear(x) else None for rule, x in zip(self.transposes, args, strict=True)]
        )


def spread_scalars(args: Sequence[Any]) -> Sequence[Any]:
    """The operands of an elementwise operation, with scalars in the dtype and, where need be, the shape of the arrays.

    Compiled code receives a Python scalar as an array without axes and of a weak dtype.
    """
    if len(args) == 1:
        return args
    array = None
    scalars = False
    for x in args:
        if type(x) in PYTHON_SCALARS:
            scalars = True
        elif array is None:
            array = x
        elif x.ndim != array.ndim:
            scalars = True
            array = x if x.ndim > array.ndim else array
        elif x.dtype != array.dtype:
            scalars = True
            array = x if yields(array, x) else array
    if not scalars or array is None:
        return args
    return [_spread(x, array) for x in args]


def yields(x: Array, y: Array) -> bool:
    """Whether x, of another dtype than y, is a scalar that takes the dtype of y; of two scalars, the simpler sort."""
    if not getattr(x, "weak_type", False):
        return False
    sorts = "biufc"
    return not getattr(y, "weak_type", False) or sorts.index(x.dtype.kind) < sorts.index(y.dtype.kind)


def _spread(x: Array, array: Array) -> Array:
    if type(x) in PYTHON_SCALARS:
        if getattr(array, "weak_type", False):
            return lax.full_like(array, x)
        return wrapped(x, array.dtype)  # jax.lax broadcasts literals
    if getattr(x, "weak_type", False) and (x.dtype != array.dtype or x.ndim != array.ndim):
        if x.dtype != array.dtype or not getattr(array, "weak_type", False):
            x = lax.convert_element_type(x, array.dtype)
        return lax.broadcast(x, array.shape) if x.ndim < array.ndim else x
    return x


class LinearPrimitive(Primitive):
    """A primitive that is linear in some of its arguments together: in those that `linear_arguments` names.

    Its `jvp` is itself, applied to tangents. It needs `impl`, `transpose` and `batch`.

    >>> import jax.numpy as jnp, minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import LinearPrimitive
    >>> class Reversed(LinearPrimitive):
    ...     def impl(self, x):
    ...         return jnp.flip(x, -1)
    ...     def transpose(self, ct, x):
    ...         return self(ct)
    ...     def batch(self, axis, args, batched):
    ...         return self(*args), True
    >>> reversed_ = Reversed('reversed')
    >>> minijvp.grad(lambda x: reversed_(x) @ mnp.arange(3.0))(mnp.ones(3)).tolist()
    [2.0, 1.0, 0.0]
    """

    linear_arguments: tuple[int, ...] | None = (0,)
    """Positions of the arguments in which it is linear; None means all of them."""

    def jvp(self, primals: tuple, tangents: tuple, /, **params: Any) -> tuple[Any, Any]:
        out = self(*primals, **params)
        positions = range(len(primals)) if self.linear_arguments is None else self.linear_arguments
        if all(tangents[i] is None for i in positions):
            return out, (None,) * len(out) if type(out) is tuple else None
        arguments = list(primals)
        for i in positions:
            arguments[i] = instantiate(tangents[i], primals[i])
        return out, self(*arguments, **params)

    def taylor(self, primals: tuple, series: tuple, /, **params: Any) -> Any:
        if type(self).jvp is not LinearPrimitive.jvp:
            return None
        out = self(*primals, **params)
        positions = range(len(primals)) if self.linear_arguments is None else self.linear_arguments

        def find(k: int) -> Any:
            given = {i: None if series[i] is None else series[i][k] for i in positions}
            if all([c is None for c in given.values()]):
                return (None,) * len(out) if type(out) is tuple else None
            arguments = [instantiate(given[i], x) if i in given else x for i, x in enumerate(primals)]
            return self(*arguments, **params)

        return out, find


class BilinearPrimitive(Primitive):
    """A primitive that is linear in each of its two arguments while the other is fixed.

    Its `jvp` is a sum of two of itself. It needs `impl`, `batch`, and the cotangents of its arguments: `transpose_x`
    where the first is linear, `transpose_y` where the second is.

    >>> import jax.numpy as jnp, minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import BilinearPrimitive
    >>> class Outer(BilinearPrimitive):
    ...     def impl(self, x, y):
    ...         return x[..., :, None] * y[..., None, :]
    ...     def transpose_x(self, ct, x, y):
    ...         return ct @ y
    ...     def transpose_y(self, ct, x, y):
    ...         return x @ ct
    >>> outer = Outer('outer')
    >>> minijvp.grad(lambda y: mnp.sum(outer(mnp.array([1.0, 2.0]), y)))(mnp.ones(3)).tolist()
    [3.0, 3.0, 3.0]
    """

    def jvp(self, primals: tuple, tangents: tuple, /, **params: Any) -> tuple[Any, Any]:
        (x, y), (t_x, t_y) = primals, tangents
        out = self(x, y, **params)
        tangent = None if t_x is None else self(t_x, y, **params)
        return out, tangent if t_y is None else add_tangents(tangent, self(x, t_y, **params))

    def taylor(self, primals: tuple, series: tuple, /, **params: Any) -> Any:
        return None if type(self).jvp is not BilinearPrimitive.jvp else convolution(self, primals, series, params)

    def transpose(self, ct: Array, x: Any, y: Any, /, **params: Any) -> Any:
        return (
            (self.transpose_x(ct, x, y, **params), None)
            if is_linear(x)
            else (None, self.transpose_y(ct, x, y, **params))
        )

    def transpose_x(self, ct: Array, x: ArrayType, y: Array, /, **params: Any) -> Array:
        raise self.missing("transpose_x")

    def transpose_y(self, ct: Array, x: Array, y: ArrayType, /, **params: Any) -> Array:
        raise self.missing("transpose_y")


def convolution(primitive: Primitive, primals: tuple, series: tuple, params: Params) -> tuple[Any, Any]:
    """The Taylor rule of a product: coefficient k is the sum of the products of coefficients j and k - j."""
    (x, y), (s_x, s_y) = primals, series

    def product(a: Any, b: Any) -> Any:
        return None if a is None or b is None else primitive(a, b, **params)

    def find(k: int) -> Any:
        if s_x is None:
            return product(x, s_y[k])
        if s_y is None:
            return product(s_x[k], y)
        found = None
        for j in range(k + 1):
            found = add_tangents(found, product(s_x[j], s_y[k - j]))
        return found

    return primitive(x, y, **params), find


class Zeros(Primitive):
    """Zeros of a given shape and dtype, and placement."""

    recomputable = "free"

    def impl(self, *, shape: tuple[int, ...], dtype: Any, placement: Placement | None = None) -> Array:
        found = lax.full(shape, 0, dtype)
        return found if placement is None else placement.give(found)

    def type_rule(self, *, shape: tuple[int, ...], dtype: Any, placement: Placement | None = None) -> ArrayType:
        return ArrayType(shape, dtype, False, placement)


class BroadcastInDim(LinearPrimitive):
    """The operand, maybe a Python scalar, repeated to `shape`; its axis i becomes axis `broadcast_dimensions[i]`."""

    recomputable = "free"

    def impl(self, x: Array, *, shape: tuple[int, ...], broadcast_dimensions: Axes, out_sharding: Any = None) -> Array:
        return lax.broadcast_in_dim(x, shape, broadcast_dimensions, out_sharding=out_sharding)

    def type_rule(
        self, x: ArrayType, *, shape: tuple[int, ...], broadcast_dimensions: Axes, out_sharding: Any = None
    ) -> ArrayType:
        if len(broadcast_dimensions) != x.ndim or any(
            not 0 <= d < len(shape) or n not in (1, shape[d])
            for n, d in zip(x.shape, broadcast_dimensions, strict=True)
        ):
            raise ArgumentError(f"{x!r} cannot be broadcast to {shape} with its axes at {broadcast_dimensions}.")
        return ArrayType(shape, x.dtype, x.weak_type)

    def transpose(
        self, ct: Array, x: ArrayType, *, shape: tuple[int, ...], broadcast_dimensions: Axes, out_sharding: Any = None
    ) -> Array:
        kept = {d for n, d in zip(x.shape, broadcast_dimensions, strict=True) if n == shape[d]}
        summed = tuple(d for d in range(len(shape)) if d not in kept)
        ct = reduce_sum(ct, axes=summed) if summed else ct
        return ct if len(kept) == x.ndim else reshape(ct, new_sizes=x.shape, **split_as(x, ct))

    def batch(
        self,
        axis: Axis,
        args: tuple,
        batched: Any,
        *,
        shape: tuple[int, ...],
        broadcast_dimensions: Axes,
        out_sharding: Any = None,
    ) -> tuple[Any, Any]:
        dimensions = (0, *(d + 1 for d in broadcast_dimensions))
        how = split_batches(axis, out_sharding)
        return self(*args, shape=(axis.size, *shape), broadcast_dimensions=dimensions, **how), True


class Reshape(LinearPrimitive):
    """The same elements in row-major order, in another shape."""

    recomputable = "free"

    def impl(self, x: Array, *, new_sizes: tuple[int, ...], out_sharding: Any = None) -> Array:
        return lax.reshape(x, new_sizes, out_sharding=out_sharding)

    def type_rule(self, x: ArrayType, *, new_sizes: tuple[int, ...], out_sharding: Any = None) -> ArrayType:
        if math.prod(new_sizes) != x.size:
            raise ArgumentError(
                f"reshape of {x!r} to {new_sizes}.", "The number of elements differs.", "Correct the new shape."
            )
        return ArrayType(new_sizes, x.dtype, x.weak_type)

    def transpose(self, ct: Array, x: ArrayType, *, new_sizes: tuple[int, ...], out_sharding: Any = None) -> Array:
        return reshape(ct, new_sizes=x.shape, **split_as(x, ct))

    def batch(
        self, axis: Axis, args: tuple, batched: Any, *, new_sizes: tuple[int, ...], out_sharding: Any = None
    ) -> tuple[Any, Any]:
        how = split_batches(axis, out_sharding)
        return self(*args, new_sizes=(axis.size, *new_sizes), **how), True


class ReduceSum(LinearPrimitive):
    """Sum over `axes`, which disappear from the shape."""

    recomputable = "moderate"

    def impl(self, x: Array, *, axes: Axes) -> Array:
        return lax.reduce_sum(x, axes)

    def type_rule(self, x: ArrayType, *, axes: Axes) -> ArrayType:
        if axes and (max(axes) >= x.ndim or min(axes) < 0):
            raise ArgumentError(f"reduce_sum of {x!r} over axes {axes}.", f"It has {x.ndim} axes, counted from 0.")
        return ArrayType(tuple(n for d, n in enumerate(x.shape) if d not in axes), x.dtype, x.weak_type)

    def transpose(self, ct: Array, x: ArrayType, *, axes: Axes) -> Array:
        kept = tuple(d for d in range(x.ndim) if d not in axes)
        return broadcast_in_dim(ct, shape=x.shape, broadcast_dimensions=kept, **split_as(x, ct))

    def batch(self, axis: Axis, args: tuple, batched: Any, *, axes: Axes) -> tuple[Any, Any]:
        return self(*args, axes=shifted(axes)), True


def shifted(axes: Sequence[int]) -> Axes:
    """Axes counted with a leading batch axis in place."""
    return tuple(d + 1 for d in axes)


zeros = Zeros("zeros")
broadcast_in_dim = BroadcastInDim("broadcast_in_dim")
reshape = Reshape("reshape")
reduce_sum = ReduceSum("reduce_sum")
add = LinearElementwise(
    "add",
    lax.add,
    derivatives=(lambda t, out, x, y: t, lambda t, out, x, y: t),
    transposes=(lambda ct, x, y: ct, lambda ct, x, y: ct),
)
