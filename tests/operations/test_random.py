"""Random keys as values, batches of keys against loops, and the derivative of gamma samples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_prng_impl

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, MissingRuleError
from minijvp.core.types import type_of
from minijvp.operations import families, gather, shape, slicing
from minijvp.operations import random as ops
from minijvp.operations.dynamic_slicing import dynamic_slice, dynamic_update_slice
from minijvp.operations.elementwise import copy, eq, select_n
from minijvp.tools.samples import require_close
from tests.side_by_side import same

KEY = jax.random.key(3)
KEYS = jax.random.split(KEY, 3)
FLOAT0 = jax.dtypes.float0
A = np.array([0.3, 1.0, 4.0])


def same_keys(found: Any, wanted: Any) -> None:
    require_close([found], [wanted], 0, "keys")


def normal(key: Any) -> Any:
    """A number of the standard normal distribution, nearly."""
    bits = ops.random_bits(key, bit_width=32, shape=(12,))
    return mnp.sum(bits / 2.0**32) - 6.0


def first(k: Any) -> Any:
    return slicing.slice(k, start_indices=(0,), limit_indices=(1,), strides=None)


MOVES = {
    "broadcast_in_dim": lambda k: families.broadcast_in_dim(k, shape=(2, 3), broadcast_dimensions=(1,)),
    "reshape": lambda k: families.reshape(k, new_sizes=(3, 1)),
    "transpose": lambda k: shape.transpose(families.reshape(k, new_sizes=(3, 1)), permutation=(1, 0)),
    "squeeze": lambda k: shape.squeeze(families.reshape(k, new_sizes=(3, 1)), dimensions=(1,)),
    "concatenate": lambda k: shape.concatenate(k, k, dimension=0),
    "rev": lambda k: shape.rev(k, dimensions=(0,)),
    "slice": lambda k: slicing.slice(k, start_indices=(1,), limit_indices=(3,), strides=None),
    "dynamic_slice": lambda k: dynamic_slice(k, np.int32(1), slice_sizes=(2,)),
    "dynamic_update_slice": lambda k: dynamic_update_slice(k, first(k), np.int32(2)),
    "gather": lambda k: gather.take_along_axis(k, np.array([2, 0], np.int32), 0),
    "select_n": lambda k: select_n(np.array([True, False, True]), k, shape.rev(k, dimensions=(0,))),
    "copy": copy,
    "stop_gradient": minijvp.stop_gradient,
    "index": lambda k: k[::2],
    "stack": lambda k: mnp.stack([k, k]),
    "take": lambda k: mnp.take(k, np.array([1, 1]), axis=0),
    "where": lambda k: mnp.where(np.array([True, False, False]), k, k[::-1]),
}


@pytest.mark.parametrize("move", MOVES)
def test_keys_are_moved_as_numbers_are(move: str) -> None:
    found = MOVES[move](KEYS)
    same_keys(found, KEYS[MOVES[move](np.arange(3))])
    same_keys(minijvp.jit(MOVES[move])(KEYS), found)
    rows = jnp.stack([KEYS, KEYS[::-1]])
    same_keys(minijvp.vmap(MOVES[move])(rows), jnp.stack([MOVES[move](r) for r in rows]))


def test_keys_compare() -> None:
    same(minijvp.jit(eq)(KEYS, KEYS[::-1]), jnp.array([False, True, False]))


def test_types_and_programs() -> None:
    assert repr(type_of(KEYS)) == "key<fry>[3]"
    assert (type_of(KEYS).size, type_of(KEYS).bytes) == (3, 24)
    jaxpr = minijvp.make_jaxpr(
        lambda k: ops.random_bits(shape.concatenate(k, KEYS, dimension=0), bit_width=8, shape=())
    )
    text = str(jaxpr(KEYS))
    assert text == (
        "{ lambda a:key<fry>[3] ; b:key<fry>[3] . let\n"
        "    c:key<fry>[6] = concatenate[dimension=0] b a\n"
        "    d:u8[6] = random_bits[bit_width=8 shape=()] c\n"
        "  in (d,) }"
    )
    assert "random_seed[impl=fry] a" in str(
        minijvp.make_jaxpr(lambda s: ops.random_seed(s, impl=threefry_prng_impl))(1)
    )
    seeded = [minijvp.make_jaxpr(lambda s: ops.random_seed(s, impl=threefry_prng_impl))(1) for _ in range(2)]
    assert seeded[0] == seeded[1]
    assert hash(seeded[0]) == hash(seeded[1])


def test_float0_at_the_border() -> None:
    fun = lambda k, x: (k, x * normal(k))
    (out, y), (t_key, t) = minijvp.jvp(fun, (KEY, 2.0), (np.zeros((), FLOAT0), 1.0))
    same_keys(out, KEY)
    assert (t_key.dtype, t_key.shape) == (FLOAT0, ())
    same((y, t), (2.0 * normal(KEY), normal(KEY)))
    _, pullback = minijvp.vjp(fun, KEY, 2.0)
    ct_key, ct = pullback((np.zeros((), FLOAT0), 1.0))
    assert (ct_key.dtype, ct_key.shape) == (FLOAT0, ())
    same(ct, normal(KEY))
    keys = minijvp.grad(lambda k, x: x * normal(k[1]), (0, 1), allow_int=True)(KEYS, 2.0)
    assert (keys[0].dtype, keys[0].shape) == (FLOAT0, (3,))
    same(keys[1], normal(KEYS[1]))
    with pytest.raises(ArgumentError, match=r"received key<fry>\[3\] for k"):
        minijvp.grad(lambda k, x: x * normal(k[1]))(KEYS, 2.0)
    with pytest.raises(ArgumentError, match="the value is key"):
        minijvp.jvp(fun, (KEY, 2.0), (1.0, 1.0))


def test_derivatives_pass_by_keys() -> None:
    """The noise of a reparameterized loss is a constant."""

    def loss(scale: Any, key: Any) -> Any:
        noise = mnp.stack([normal(k) for k in (key, ops.random_fold_in(key, np.uint32(1)))])
        return mnp.sum(mnp.sin(scale * noise))

    noise = np.array([normal(KEY), normal(jax.random.fold_in(KEY, 1))])
    same(minijvp.grad(loss)(0.7, KEY), (noise * np.cos(0.7 * noise)).sum())
    same(minijvp.jit(minijvp.grad(loss))(0.7, KEY), (noise * np.cos(0.7 * noise)).sum())
    mapped = minijvp.vmap(minijvp.grad(loss), (None, 0))(0.7, KEYS)
    same(mapped, jnp.stack([minijvp.grad(loss)(0.7, k) for k in KEYS]))
    same(minijvp.grad(lambda s: minijvp.vmap(loss, (None, 0))(s, KEYS).sum())(0.7), mapped.sum())


BATCHES = {
    "random_bits": lambda k: ops.random_bits(k, bit_width=16, shape=(2,)),
    "random_split": lambda k: ops.random_split(k, shape=(2,)),
    "random_fold_in": lambda k: ops.random_fold_in(k, np.uint32(7)),
    "random_unwrap": ops.random_unwrap,
    "random_clone": ops.random_clone,
    "normal": normal,
}
JAX = {
    "random_bits": lambda k: jax.random.bits(k, (2,), "uint16"),
    "random_split": lambda k: jax.random.split(k, 2),
    "random_fold_in": lambda k: jax.random.fold_in(k, 7),
    "random_unwrap": jax.random.key_data,
    "random_clone": jax.random.clone,
    "normal": normal,
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_of_keys_is_a_loop(name: str) -> None:
    wanted = jnp.stack([JAX[name](k) for k in KEYS])
    for mapped in (minijvp.vmap(BATCHES[name]), minijvp.jit(minijvp.vmap(BATCHES[name]))):
        require_close([mapped(KEYS)], [wanted], 0, name)
    if name != "normal":
        require_close([wanted], [jax.vmap(JAX[name])(KEYS)], 0, name)


def test_old_style_keys() -> None:
    raw = jax.random.PRNGKey(5)

    def split(raw: Any) -> Any:
        return ops.random_unwrap(ops.random_split(ops.random_wrap(raw, impl=threefry_prng_impl), shape=(2,)))

    same(minijvp.jit(split)(raw), jax.random.split(raw))
    rows = jnp.stack([raw, raw + 1])
    same(minijvp.vmap(split)(rows), jax.vmap(jax.random.split)(rows))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("log_space", [False, True])
def test_derivative_of_gamma_samples(log_space: bool, dtype: Any) -> None:
    """The implicit derivative, in both modes and in a batch, is JAX's."""
    a, t = A.astype(dtype), np.array([1.0, -0.5, 2.0], dtype)
    tolerance = 1e-10 if dtype is np.float64 else 2e-5
    function = jax.random.loggamma if log_space else jax.random.gamma
    ours = lambda a: ops.random_gamma(KEY, a, log_space=log_space)
    theirs = lambda a: function(KEY, a, dtype=a.dtype)
    require_close(minijvp.jvp(ours, (a,), (t,)), jax.jvp(theirs, (a,), (t,)), tolerance, "jvp")
    found = minijvp.vjp(ours, a)[1](t)
    require_close(found, jax.vjp(theirs, a)[1](t), tolerance, "vjp")
    mapped = minijvp.vmap(minijvp.grad(lambda k, a: mnp.sum(ops.random_gamma(k, a, log_space=log_space)), 1), (0, None))
    loop = [jax.grad(lambda a, k=k: function(k, a, dtype=a.dtype).sum())(a) for k in KEYS]
    require_close([mapped(KEYS, a)], [jnp.stack(loop)], tolerance, "batch of gradients")


def test_gamma_samples_that_underflow() -> None:
    """The logarithm of a sample that is too small for its format, and its derivative, are finite."""
    out, t = minijvp.jvp(lambda a: ops.random_gamma(KEY, a, log_space=True), (jnp.full(3, 1e-4),), (jnp.ones(3),))
    assert np.isfinite(out).all()
    assert np.isfinite(t).all()
    assert (np.exp(out) == 0).any()


def test_second_derivatives_of_samples_that_underflow() -> None:
    """A sample that is 0 to all its digits stays there, as in JAX."""
    a = jnp.full(4, 1e-3)
    assert (ops.random_gamma(KEY, a, log_space=False) == 0).tolist() == [False, False, True, False]
    second = lambda api: api.jvp(api.grad(lambda a: api.random.gamma(KEY, a).sum()), (a,), (a,))[1]
    require_close([second(minijvp)], [second(jax)], 1e-10, "second derivative")
    assert second(minijvp)[2] == 0


@pytest.mark.parametrize("a", [0.4, 1.0, 2.5])
def test_incomplete_gamma_at_its_ends(a: float) -> None:
    """It is 0 and 1 there for every a. (At infinity JAX's own igamma_grad_a, the first derivative, is nan.)"""
    first = minijvp.grad(minijvp.lax.igamma)
    second = minijvp.grad(first)
    third = minijvp.grad(second)
    assert [float(f(a, 0.0)) for f in (first, second, third)] == [0, 0, 0]
    assert [float(f(a, np.inf)) for f in (second, third)] == [0, 0]


@pytest.mark.parametrize("name", ["gamma", "loggamma", "dirichlet"])
def test_second_derivatives_of_gamma_samples(name: str) -> None:
    """Forward over reverse is JAX's; JAX has no reverse over reverse."""
    ours = lambda a: mnp.sum(getattr(minijvp.random, name)(KEY, a) ** 2)
    theirs = lambda a: jnp.sum(getattr(jax.random, name)(KEY, a) ** 2)
    expected = [jax.jit(jax.jacfwd(jax.grad(theirs)))(A)]
    require_close([minijvp.jit(minijvp.hessian(ours))(A)], expected, 1e-9, "forward over reverse")
    require_close([minijvp.jit(minijvp.jacrev(minijvp.grad(ours)))(A)], expected, 1e-9, "reverse over reverse")
    require_close([jax.jit(jax.hessian(minijvp.to_jax(ours)))(A)], expected, 1e-9, "in JAX")


def test_state_of_the_bit_generator() -> None:
    """Each row has a state of its own, where JAX draws all rows from the first state."""
    params = {"shape": (2,), "dtype": np.dtype(np.uint32), "algorithm": jax.lax.RandomAlgorithm.RNG_DEFAULT}
    states = jnp.arange(12, dtype=np.uint32).reshape(3, 4)
    found = minijvp.vmap(lambda s: ops.rng_bit_generator(s, **params))(states)
    rows = [jax.lax.rng_bit_generator(s, **params) for s in states]
    require_close(found, [jnp.stack(column) for column in zip(*rows, strict=True)], 0, "states and bits")


def test_uniform_numbers_of_the_device() -> None:
    fun = lambda low, high: ops.rng_uniform(low, high, shape=(100,))
    for x in (fun(1.0, np.float64(3.0)), minijvp.jit(fun)(1.0, 3.0)):
        assert (x >= 1).all()
        assert (x < 3).all()
        assert x.std() > 0.1
    with pytest.raises(MissingRuleError, match="rng_uniform"):
        minijvp.vmap(fun)(np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.random_bits(x, bit_width=8, shape=()), "random keys"),
        (lambda x: ops.random_bits(KEY, bit_width=7, shape=()), "bit_width=7"),
        (lambda x: ops.random_split(x, shape=(2,)), "random keys"),
        (lambda x: ops.random_unwrap(x), "random keys"),
        (lambda x: ops.random_clone(x), "random keys"),
        (lambda x: ops.random_seed(x, impl=threefry_prng_impl), "A seed is an integer"),
        (lambda x: ops.random_seed(KEY, impl=threefry_prng_impl), "A seed is an integer"),
        (lambda x: ops.random_wrap(x, impl=threefry_prng_impl), "uint32 numbers"),
        (lambda x: ops.random_fold_in(KEYS, np.zeros(2, np.uint32)), "as many as there are keys"),
        (lambda x: ops.random_fold_in(KEYS, x), "It takes integers"),
        (lambda x: ops.random_gamma(KEYS, x, log_space=False), "first axes are those of the keys"),
        (lambda x: ops.threefry2x32(x, x, x, x), "uint32"),
        (lambda x: ops.rng_uniform(x, 1.0, shape=()), "single numbers"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        minijvp.jit(call)(jnp.ones(2))
