"""Random numbers: keys, what is made of keys, and the bits that they give. Derivatives know one of them, random_gamma.

A key is an element of a key array, whose dtype names the generator; `random_wrap` and `random_unwrap` go between key
arrays and the uint32 numbers in them. An operation on an array of keys works key by key, so batching adds an axis.
"""

from __future__ import annotations

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives

from minijvp.core.primitive import Axis, Nondifferentiable, Primitive
from minijvp.core.types import Array, ArrayType, is_key, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import div, eq, exp, full_like, mul, select_n
from minijvp.operations.families import all_batched, broadcast_in_dim, leading_axis, zeros_like
from minijvp.operations.special import random_gamma_grad

UINT32 = np.dtype(np.uint32)
WIDTHS = (8, 16, 32, 64)


class OfKeys(Nondifferentiable):
    """An operation that works key by key, on arrays of any shape."""

    recomputable = "expensive"

    def batch(self, axis: Axis, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
        return self(*args, **params), True


def require_keys(name: str, keys: ArrayType) -> None:
    """Raise ArgumentError for a type that is not one of keys."""
    if not is_key(keys.dtype):
        raise ArgumentError(
            f"{name} received {keys!r}.",
            "It works on random keys.",
            "Make a key with jax.random.key(seed); random_wrap makes keys of the uint32 numbers in old-style ones.",
        )


class RandomSeed(OfKeys):
    """The key that the generator `impl` makes of each integer."""

    def impl(self, seeds: Array, *, impl: Any) -> Array:
        return primitives.random_seed_p.bind(jnp.asarray(seeds), impl=impl)

    def type_rule(self, seeds: ArrayType, *, impl: Any) -> ArrayType:
        if is_key(seeds.dtype) or seeds.dtype.kind not in "iu":
            raise ArgumentError(f"random_seed of {seeds!r}.", "A seed is an integer.", "Pass an integer.")
        return ArrayType(seeds.shape, super().type_rule(ArrayType((), seeds.dtype), impl=impl).dtype)


class RandomWrap(OfKeys):
    """Keys of the generator `impl`, of the uint32 numbers in them, which lie along the last axes (often one)."""

    recomputable = "free"

    def impl(self, x: Array, *, impl: Any) -> Array:
        return jax.random.wrap_key_data(x, impl=impl)

    def type_rule(self, x: ArrayType, *, impl: Any) -> ArrayType:
        if x.dtype != UINT32 or x.shape[x.ndim - len(impl.key_shape) :] != impl.key_shape:
            raise ArgumentError(
                f"random_wrap of {x!r} for the generator {impl}.",
                f"Its keys are uint32 numbers, with the last axes {impl.key_shape}.",
                "Make keys with jax.random.key(seed), or pass what random_unwrap gave.",
            )
        return super().type_rule(x.strong(), impl=impl)


class RandomUnwrap(OfKeys):
    """The uint32 numbers in keys, along new last axes."""

    recomputable = "free"

    def impl(self, keys: Array) -> Array:
        return jax.random.key_data(keys)

    def type_rule(self, keys: ArrayType) -> ArrayType:
        require_keys(self.name, keys)
        return super().type_rule(keys)


class RandomClone(OfKeys):
    """The same keys; a checker of key reuse takes them for new ones."""

    recomputable = "free"

    def impl(self, keys: Array) -> Array:
        return jax.random.clone(keys)

    def type_rule(self, keys: ArrayType) -> ArrayType:
        require_keys(self.name, keys)
        return keys


class RandomSplit(OfKeys):
    """New keys for each key: an array of `shape`."""

    def impl(self, keys: Array, *, shape: tuple[int, ...]) -> Array:
        return primitives.random_split_p.bind(keys, shape=shape)

    def type_rule(self, keys: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
        require_keys(self.name, keys)
        return ArrayType((*keys.shape, *shape), keys.dtype)


class RandomFoldIn(OfKeys):
    """A new key for each key and the integer beside it; one of the two may be single."""

    def impl(self, keys: Array, messages: Array) -> Array:
        return primitives.random_fold_in_p.bind(keys, lax.convert_element_type(messages, UINT32))

    def type_rule(self, keys: ArrayType, messages: ArrayType) -> ArrayType:
        require_keys(self.name, keys)
        fits = not keys.shape or not messages.shape or keys.shape == messages.shape
        if not fits or is_key(messages.dtype) or messages.dtype.kind not in "iu":
            raise ArgumentError(
                f"random_fold_in of {messages!r} into {keys!r}.",
                "It takes integers, as many as there are keys, or a single one of either.",
                "Use vmap for other combinations.",
            )
        return ArrayType(keys.shape or messages.shape, keys.dtype)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*full_rank(axis, args, batched)), True


def full_rank(axis: Axis, args: tuple, batched: tuple[bool, ...]) -> list[Any]:
    """Operands of one shape or none, as such for all rows: a single one of each row is repeated if it must be."""
    shapes = [type_of(x).shape[b:] for x, b in zip(args, batched, strict=True)]
    shape = max(shapes, key=len)
    rows = []
    for x, b, own in zip(args, batched, shapes, strict=True):
        if own == shape:
            x = leading_axis(axis, x, b) if shape else x
        elif b:
            x = broadcast_in_dim(x, shape=(axis.size, *shape), broadcast_dimensions=(0,))
        rows.append(x)
    return rows


class RandomBits(OfKeys):
    """Unsigned integers of `bit_width` random bits for each key: an array of `shape`."""

    def impl(self, keys: Array, *, bit_width: int, shape: tuple[int, ...]) -> Array:
        return primitives.random_bits_p.bind(keys, bit_width=bit_width, shape=shape)

    def type_rule(self, keys: ArrayType, *, bit_width: int, shape: tuple[int, ...]) -> ArrayType:
        require_keys(self.name, keys)
        if bit_width not in WIDTHS:
            raise ArgumentError(f"random_bits with bit_width={bit_width}.", f"Integers have one of {WIDTHS} bits.")
        return ArrayType((*keys.shape, *shape), np.dtype(f"uint{bit_width}"))


class Threefry2x32(Nondifferentiable):
    """The Threefry hash, 2 numbers of 32 bits: of the key (k1, k2) and the counters (x1, x2).

    Each is uint32, of one shape or single.

    Source: J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """

    recomputable = "expensive"

    def impl(self, *args: Array) -> Any:
        return tuple(primitives.threefry2x32_p.bind(*jnp.broadcast_arrays(*args)))

    def type_rule(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        shapes = {t.shape for t in types if t.shape}
        if len(types) != 4 or len(shapes) > 1 or any(t.dtype != UINT32 for t in types):
            raise ArgumentError(
                f"threefry2x32 received {', '.join(map(repr, types))}.",
                "It takes the two numbers of a key and two counters, uint32, of one shape or single.",
                "Convert and broadcast them.",
            )
        out = ArrayType(shapes.pop() if shapes else (), UINT32)
        return out, out

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*full_rank(axis, args, batched)), (True, True)


class RandomGamma(Primitive):
    """Samples of the gamma distribution with the shape parameters `a`; with `log_space`, their logarithms.

    The shape of the keys is that of the first axes of a. The derivative in a is that of a sample whose quantile stays.

    Source: M. Figurnov, S. Mohamed and A. Mnih, Implicit reparameterization gradients, NeurIPS 2018.
    """

    recomputable = "expensive"

    def impl(self, keys: Array, a: Array, *, log_space: bool) -> Array:
        return primitives.random_gamma_p.bind(keys, a, log_space=log_space)

    def type_rule(self, keys: ArrayType, a: ArrayType, *, log_space: bool) -> ArrayType:
        require_keys(self.name, keys)
        if a.shape[: keys.ndim] != keys.shape or str(a.dtype) not in ("float16", "bfloat16", "float32", "float64"):
            raise ArgumentError(
                f"random_gamma with {keys!r} of parameters {a!r}.",
                "Parameters are real, and their first axes are those of the keys.",
                "jax.random.gamma broadcasts and converts.",
            )
        return a

    def jvp(self, primals: tuple, tangents: tuple, *, log_space: bool) -> tuple[Any, Any]:
        keys, a = primals
        t = tangents[1]
        out = self(keys, a, log_space=log_space)
        if t is None:
            return out, None
        if not log_space:
            return out, mul(t, random_gamma_grad(a, out))
        sample = exp(out)
        tiny = full_like(sample, float(jnp.finfo(sample.dtype).tiny))
        sample = select_n(eq(sample, zeros_like(sample)), sample, tiny)  # what underflows has a logarithm nevertheless
        return out, mul(t, div(random_gamma_grad(a, sample), sample))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, log_space: bool) -> tuple[Any, Any]:
        return self(*all_batched(axis, args, batched), log_space=log_space), True


class RngBitGenerator(Nondifferentiable):
    """The next state and random bits as an array of `shape` and `dtype`, by XLA's generator `algorithm`.

    A state is 4 numbers of uint32 or 2 of uint64, along the last axis; other axes hold one each, with bits for each.
    """

    recomputable = "expensive"

    def impl(self, state: Array, *, shape: tuple[int, ...], dtype: Any, algorithm: Any) -> Any:
        def draw(one: Array) -> tuple[Any, Any]:
            return tuple(lax.rng_bit_generator(one, shape, dtype, algorithm))

        lead = state.shape[:-1]
        if not lead:
            return draw(state)
        states, bits = lax.map(draw, lax.reshape(state, (prod(lead), state.shape[-1])))
        return lax.reshape(states, state.shape), lax.reshape(bits, (*lead, *shape))

    def type_rule(
        self, state: ArrayType, *, shape: tuple[int, ...], dtype: Any, algorithm: Any
    ) -> tuple[ArrayType, ...]:
        if (str(state.dtype), state.shape[-1:]) not in (("uint32", (4,)), ("uint64", (2,))):
            raise ArgumentError(
                f"rng_bit_generator of {state!r}.",
                "Its state is 4 numbers of uint32 or 2 of uint64.",
                "Pass such an array; it need not be random, but must differ from call to call.",
            )
        return state.strong(), ArrayType((*state.shape[:-1], *shape), np.dtype(dtype))

    def batch(self, axis: Axis, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
        return self(*args, **params), (True, True)


class RngUniform(Nondifferentiable):
    """Numbers between two bounds without axes, an array of `shape`, by the state that the device keeps.

    No call repeats another, so that a loop has no counterpart in a batch.
    """

    recomputable = "expensive"

    def impl(self, low: Array, high: Array, *, shape: tuple[int, ...]) -> Array:
        low, high = jnp.asarray(low), jnp.asarray(high)
        dtype = jnp.result_type(low, high)
        return lax.rng_uniform(low.astype(dtype), high.astype(dtype), shape)

    def type_rule(self, low: ArrayType, high: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
        if low.shape or high.shape or low.dtype != high.dtype:
            raise ArgumentError(
                f"rng_uniform between {low!r} and {high!r}.", "Its bounds are single numbers of one dtype."
            )
        return ArrayType(shape, low.dtype, low.weak_type and high.weak_type)


random_seed = RandomSeed("random_seed")
random_wrap = RandomWrap("random_wrap")
random_unwrap = RandomUnwrap("random_unwrap")
random_clone = RandomClone("random_clone")
random_split = RandomSplit("random_split")
random_fold_in = RandomFoldIn("random_fold_in")
random_bits = RandomBits("random_bits")
threefry2x32 = Threefry2x32("threefry2x32")
random_gamma = RandomGamma("random_gamma")
rng_bit_generator = RngBitGenerator("rng_bit_generator")
rng_uniform = RngUniform("rng_uniform")
