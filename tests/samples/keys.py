"""Samples of minijvp.operations.random. (A module named so would hide the function `random` of this package.)"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import rbg_prng_impl, threefry_prng_impl

from minijvp.operations import random as ops
from tests.samples import Sample

KEY = jax.random.key(7)
KEYS = jax.random.split(KEY, (2, 3))
RBG = jax.random.key(7, impl="rbg")
U32 = np.uint32
IMPLICIT = {
    "jax_derivative": False,
    "finite_differences": False,
    "why": "samples jump, and there is no second derivative; tests/operations/test_random.py judges the first",
}


def key_by_key(function: Any) -> Any:
    """`function` of one key as a function of an array of keys."""

    def oracle(keys: Any, *args: Any) -> Any:
        if not keys.ndim:
            return function(keys, *args)
        rows = [
            function(k, *[a.reshape(-1, *a.shape[keys.ndim :])[i] for a in args]) for i, k in enumerate(keys.ravel())
        ]
        return jnp.stack(rows).reshape(*keys.shape, *rows[0].shape)

    return oracle


def of(label: str, primitive: Any, oracle: Any, *args: Any, **params: Any) -> Sample:
    return Sample(primitive, args, key_by_key(oracle), params, label=label)


def gamma(label: str, keys: Any, a: Any, log_space: bool) -> Sample:
    name = jax.random.loggamma if log_space else jax.random.gamma
    a = np.asarray(a)
    oracle = key_by_key(lambda k, a: name(k, a, dtype=a.dtype))
    return Sample(ops.random_gamma, (keys, a), oracle, {"log_space": log_space}, label=label, **IMPLICIT)


def generator(label: str, state: Any, dtype: Any, algorithm: Any = lax.RandomAlgorithm.RNG_DEFAULT) -> Sample:
    params = {"shape": (2, 3), "dtype": np.dtype(dtype), "algorithm": algorithm}

    def oracle(state: Any) -> Any:
        pairs = [lax.rng_bit_generator(s, **params) for s in state.reshape(-1, state.shape[-1])]
        states, bits = (jnp.stack(column) for column in zip(*pairs, strict=True))
        return states.reshape(state.shape), bits.reshape(*state.shape[:-1], 2, 3)

    return Sample(ops.rng_bit_generator, (state,), oracle, params, label=label)


def threefry(label: str, *args: Any) -> Sample:
    def oracle(*args: Any) -> Any:
        k1, k2, x1, x2 = (jnp.broadcast_to(x, np.broadcast_shapes(*map(np.shape, args))).ravel() for x in args)
        pairs = [jax.extend.random.threefry_2x32((a, b), jnp.stack([c, d])) for a, b, c, d in zip(k1, k2, x1, x2)]
        shape = np.broadcast_shapes(*map(np.shape, args))
        return tuple(jnp.stack(column).reshape(shape) for column in zip(*pairs, strict=True))

    return Sample(ops.threefry2x32, args, oracle, label=label)


seeds = np.array([3, -1, 2**20], np.int64)
numbers = np.array([[7, 8, 9], [1, 2, 3]], U32)
SAMPLES = [
    Sample(ops.random_seed, (np.int32(5),), lambda s: jax.random.key(s), {"impl": threefry_prng_impl}, label="int32"),
    Sample(
        ops.random_seed,
        (seeds,),
        lambda s: jnp.stack([jax.random.key(x, impl="rbg") for x in s]),
        {"impl": rbg_prng_impl},
        label="rbg-int64",
    ),
    Sample(ops.random_seed, (5,), lambda s: jax.random.key(s), {"impl": threefry_prng_impl}, label="literal"),
    Sample(
        ops.random_wrap,
        (numbers[:, :2],),
        lambda x: jax.random.wrap_key_data(x, impl="threefry2x32"),
        {"impl": threefry_prng_impl},
    ),
    Sample(ops.random_unwrap, (KEYS,), jax.random.key_data, label="many"),
    Sample(ops.random_unwrap, (RBG,), jax.random.key_data, label="rbg"),
    Sample(ops.random_clone, (KEY,), jax.random.clone, label="single"),
    of("single", ops.random_split, lambda k: jax.random.split(k, (2, 2)), KEY, shape=(2, 2)),
    of("many", ops.random_split, lambda k: jax.random.split(k, 2), KEYS, shape=(2,)),
    of("rbg", ops.random_split, lambda k: jax.random.split(k, 2), RBG, shape=(2,)),
    of("single", ops.random_fold_in, jax.random.fold_in, KEY, U32(4)),
    of("literal", ops.random_fold_in, jax.random.fold_in, KEY, 4),
    of("many", ops.random_fold_in, jax.random.fold_in, KEYS, numbers),
    of("many-keys", ops.random_fold_in, jax.random.fold_in, KEYS, np.full((2, 3), 4, np.int16)),
    Sample(ops.random_fold_in, (KEYS, 4), lambda k, n: key_by_key(lambda k: jax.random.fold_in(k, n))(k), label="one"),
    Sample(
        ops.random_fold_in,
        (KEY, numbers[0]),
        lambda k, n: jnp.stack([jax.random.fold_in(k, x) for x in n]),
        label="many-numbers",
    ),
    *(
        of(
            f"{n}",
            ops.random_bits,
            lambda k, n=n: jax.random.bits(k, (2, 3), f"uint{n}"),
            KEY,
            bit_width=n,
            shape=(2, 3),
        )
        for n in (8, 16, 32, 64)
    ),
    of("many", ops.random_bits, lambda k: jax.random.bits(k, (2,), "uint32"), KEYS, bit_width=32, shape=(2,)),
    Sample(
        ops.random_bits,
        (RBG,),
        lambda k: jax.random.bits(k, (2,), "uint32"),
        {"bit_width": 32, "shape": (2,)},
        label="rbg",
        batch=False,
        why="in JAX a batch of such keys draws from the first of them",
    ),
    threefry("equal", *(numbers + U32(i) for i in range(4))),
    threefry("single-key", U32(4), U32(5), numbers[0], numbers[1]),
    threefry("single", *map(U32, range(4))),
    gamma("float64", KEY, [0.5, 2.0, 7.0], False),
    gamma("float32", KEYS[0], np.array([0.3, 2.0, 7.0], np.float32), False),
    gamma("log", KEYS[0], [[0.001, 0.5], [2.0, 9.0], [1.0, 1.0]], True),
    generator("uint32", np.array([1, 2, 3, 4], U32), U32),
    generator("uint64", np.array([5, 6], np.uint64), np.uint64, lax.RandomAlgorithm.RNG_THREE_FRY),
    generator("many", np.arange(8, dtype=U32).reshape(2, 4), np.uint8),
    Sample(
        ops.rng_uniform,
        (np.int32(3), np.int32(4)),
        lambda a, b: lax.rng_uniform(a, b, (2, 3)),
        {"shape": (2, 3)},
        batch=False,
        why="no call repeats another (here there is but one integer between the bounds)",
    ),
]
