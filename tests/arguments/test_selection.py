"""What derivatives take: complex numbers, integers, tangents and cotangents. They refuse what JAX refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_structure

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from tests.side_by_side import both

FLOAT0 = jax.dtypes.float0
X = np.array([0.3, -0.7])
Z = X + 1j * np.array([0.2, 0.5])


class Side(NamedTuple):
    """An implementation: its transformations and its array functions."""

    api: Any
    np: Any


OURS, JAX = Side(minijvp, mnp), Side(jax, jnp)


def outcome(side: Side, call: Callable[[Side], Any]) -> Any:
    """The result of a call, or the error that refuses it."""
    try:
        return call(side)
    except minijvp.MinijvpError as error:
        return error if error.why and error.do else None  # which is no refusal of ours
    except (TypeError, ValueError, NotImplementedError, AssertionError) as error:
        return None if side is OURS else error


def require_same(call: Callable[[Side], Any], case: str) -> Any:
    """The result or the error. Fails if one side refuses, or the results differ in tree, dtype or numbers."""
    found, wanted = (outcome(side, call) for side in (OURS, JAX))
    if isinstance(found, Exception) or isinstance(wanted, Exception):
        assert isinstance(found, Exception) == isinstance(wanted, Exception), f"{case}: {found}, should be {wanted}"
        return found
    assert tree_structure(found) == tree_structure(wanted), case
    for a, b in zip(tree_leaves(found), tree_leaves(wanted), strict=True):
        assert (np.shape(a), jnp.result_type(a)) == (np.shape(b), jnp.result_type(b)), case
        if jnp.result_type(b) != FLOAT0:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=case)
    return found


ARGUMENTS: dict[str, Any] = {
    "float32": X.astype(np.float32),
    "complex64": Z.astype(np.complex64),
    "integers": np.array([1, 2]),
    "Python float": 0.3,
    "Python complex": 0.3 + 0.2j,
    "float and complex": {"a": np.float32(0.3), "b": np.complex64(0.2 + 0.5j)},
    "complex and int": {"b": np.complex64(0.2 + 0.5j), "n": np.int32(2)},
}


def total(side: Side, x: Any) -> Any:
    return sum([side.np.sum(side.np.asarray(leaf)) for leaf in tree_leaves(x)])


FUNCTIONS: dict[str, Callable[[Side, Any], Any]] = {
    "real part": lambda side, x: side.np.real(total(side, x) * total(side, x)),
    "holomorphic": lambda side, x: total(side, x) ** 2,
    "conjugate": lambda side, x: side.np.conj(total(side, x)),
    "times a complex number": lambda side, x: total(side, x) * (1 + 2j),
    "real and complex": lambda side, x: (side.np.real(total(side, x)), total(side, x) * 1j),
    "boolean": lambda side, x: side.np.real(total(side, x)) > 0,
    "complex constant": lambda side, x: 1j,
}
DERIVATIVES: dict[str, dict[str, Any]] = {
    "grad": {},
    "grad holomorphic": {"holomorphic": True},
    "grad allow_int": {"allow_int": True},
    "grad holomorphic allow_int": {"holomorphic": True, "allow_int": True},
    "value_and_grad": {},
    "value_and_grad holomorphic": {"holomorphic": True},
    "jacfwd": {},
    "jacfwd holomorphic": {"holomorphic": True},
    "jacrev": {},
    "jacrev holomorphic": {"holomorphic": True},
    "hessian": {},
    "hessian holomorphic": {"holomorphic": True},
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_complex_numbers(name: str) -> None:
    transformation = name.split()[0]
    for label, fun in FUNCTIONS.items():
        for kind, x in ARGUMENTS.items():

            def call(side: Side) -> Any:
                return getattr(side.api, transformation)(lambda x: fun(side, x), **DERIVATIVES[name])(x)

            require_same(call, f"{name} of {label} at {kind}")


def test_integers_beside_results() -> None:
    """JAX makes zeros of the integers' dtype of these blocks; of arguments, they hold no numbers here."""
    both(lambda api, np: api.jacfwd(lambda x: {"x": 2 * x, "i": np.argmax(x), "n": np.arange(3)})(X))
    blocks = minijvp.jacrev(lambda tree: tree["a"] * tree["n"], allow_int=True)({"a": 2.0, "n": 3})
    assert (blocks["a"], blocks["n"].dtype) == (3.0, FLOAT0)


@pytest.mark.parametrize("transformation", ["jacfwd", "hessian"])
def test_why_forward_mode_refuses_complex_arguments(transformation: str) -> None:
    with pytest.raises(minijvp.ArgumentError, match=rf"{transformation} of <lambda> received c128\[2\] for z") as error:
        getattr(minijvp, transformation)(lambda z: mnp.real(mnp.sum(z)))(Z)
    assert "two derivatives" in error.value.why and "holomorphic=True" in error.value.do


PRIMALS: dict[str, Any] = {
    "float32": np.float32(0.5),
    "Python": 0.5,
    "vector": np.array([0.5, 1.0]),
    "float32 vector": np.array([0.5, 1.0], np.float32),
    "weak vector": jnp.full((2,), 0.5),
    "complex": np.complex128(0.5 + 1j),
    "tree": {"a": np.float32(0.5)},
    "list": [np.float32(0.5)],
    "None": (np.float32(0.5), None),
    "bfloat16": jnp.asarray(0.5, jnp.bfloat16),
}
GIVEN: dict[str, Any] = {
    "float": 1.0,
    "int": 1,
    "bool": True,
    "complex": 1j,
    "float32": np.float32(1),
    "float64": np.float64(1),
    "vector": np.ones(2),
    "float32 vector": np.ones(2, np.float32),
    "weak vector": jnp.full((2,), 1.0),
    "weak": jnp.asarray(1.0),
    "longer": np.ones(3),
    "one": np.ones(1),
    "int32": np.int32(1),
    "float0": np.zeros((), FLOAT0),
    "float0 vector": np.zeros(2, FLOAT0),
    "complex128": np.complex128(1),
    "tree": {"a": np.float32(1)},
    "another tree": {"b": np.float32(1)},
    "list": [np.float32(1)],
    "tuple": (np.float32(1),),
    "None": None,
    "pair with None": (np.float32(1), None),
    "pair": (np.float32(1), np.float32(1)),
    "numbers": [1.0, 1.0],
    "string": "text",
    "object": object(),
    "key": jax.random.key(1),
    "bfloat16": jnp.asarray(1, jnp.bfloat16),
}
WIDTHLESS = {(primal, "float") for primal in ("float32", "bfloat16")}
"""JAX refuses a Python float beside another width than float64; here it has none of its own."""

MAPS: dict[str, Callable[[Side, Any, Any], Any]] = {
    "jvp": lambda side, x, t: side.api.jvp(doubled, (x,), (t,)),
    "linearize": lambda side, x, t: side.api.linearize(doubled, x)[1](t),
    "vjp": lambda side, x, t: side.api.vjp(doubled, x)[1](t),
    "linear_transpose": lambda side, x, t: side.api.linear_transpose(doubled, x)(t),
}


def doubled(tree: Any) -> Any:
    return jax.tree_util.tree_map(lambda x: 2 * x, tree)


@pytest.mark.parametrize("name", MAPS)
def test_tangents_and_cotangents(name: str) -> None:
    for label, x in PRIMALS.items():
        for kind, t in GIVEN.items():
            if (label, kind) in WIDTHLESS:
                assert not isinstance(outcome(OURS, lambda side: MAPS[name](side, x, t)), Exception)
            else:
                require_same(lambda side: MAPS[name](side, x, t), f"{name} at {label} of {kind}")


CALLS: dict[str, Callable[[Side], Any]] = {
    "too few tangents": lambda side: side.api.linearize(lambda x, y: x * y, X, X)[1](X),
    "too many tangents": lambda side: side.api.linearize(lambda x: x * x, X)[1](X, X),
    "tangents in a tuple": lambda side: side.api.linearize(lambda x, y: x * y, X, X)[1]((X, X)),
    "no tangents": lambda side: side.api.linearize(lambda x: x * x, X)[1](),
    "a list for an array": lambda side: side.api.linearize(lambda x: x * x, X)[1]([1.0, 2.0]),
    "of another width": lambda side: side.api.linearize(lambda x: x * x, X)[1](X.astype(np.float32)),
    "that would broadcast": lambda side: side.api.linearize(lambda x: x * x, X)[1](1.0),
    "integers": lambda side: side.api.linearize(lambda x: x * x, X)[1](np.ones(2, int)),
    "complex": lambda side: side.api.linearize(lambda x: x * x, X)[1](Z),
    "under jit": lambda side: side.api.jit(side.api.linearize(lambda x: x * x, X)[1])(X.astype(np.float32)),
    "under vmap": lambda side: side.api.vmap(side.api.linearize(lambda x: x * x, X)[1])(np.ones((2, 3))),
    "under jvp": lambda side: side.api.jvp(side.api.linearize(lambda x: x * x, X)[1], (np.ones(3),), (np.ones(3),)),
    "of a constant": lambda side: side.api.linearize(lambda x: 1.0, X)[1](np.ones(3)),
    "of an integer": lambda side: side.api.linearize(lambda x, n: x * n, X, 2)[1](X, 1.0),
    "two cotangents": lambda side: side.api.vjp(lambda x: x * x, X)[1](X, X),
    "a cotangent of None": lambda side: side.api.vjp(lambda x: x * x, X)[1](None),
    "another container": lambda side: side.api.vjp(lambda x: (x, x), X)[1]([X, X]),
    "a longer cotangent": lambda side: side.api.jit(side.api.vjp(lambda x: x * x, X)[1])(np.ones(4)),
    "the cotangent of a constant": lambda side: side.api.vjp(lambda x: 1.0, X)[1](np.ones(4)),
    "primals that are no tuple": lambda side: side.api.jvp(lambda x: x * x, X, X),
    "more tangents than primals": lambda side: side.api.jvp(lambda x: x * x, (X,), (X, X)),
    "no tangent": lambda side: side.api.jvp(lambda x: x, (X,), (None,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_do_not_fit(name: str) -> None:
    assert isinstance(require_same(CALLS[name], name), Exception)


LINEAR: dict[str, Callable[[Any, Any], Any]] = {
    "scale": lambda side, x: 3 * x,
    "zero": lambda side, x: x * 0,
    "sum": lambda side, x: side.np.sum(x),
    "cumsum": lambda side, x: side.np.cumsum(x),
    "where": lambda side, x: side.np.where(np.array([True, False]), x, 0),
    "conjugate": lambda side, x: side.np.conj(x) * 2j,
    "parts": lambda side, x: (side.np.real(x), side.np.imag(x)),
    "complex factor": lambda side, x: x * (1 + 2j),
    "narrower": lambda side, x: side.np.real(x).astype("float32"),
    "take": lambda side, x: x[np.array([0, 0])],
    "update": lambda side, x: x.at[0].set(0.0),
    "fft": lambda side, x: side.np.fft.fft(x),
    "scan": lambda side, x: side.api.lax.scan(lambda c, z: (c + z, c), 0.0 * x[0], x)[1],
    "cond": lambda side, x: side.api.lax.cond(True, lambda z: 2 * z, lambda z: 3 * z, x),
    "jit": lambda side, x: side.api.jit(lambda z: 2 * z)(x),
    "checkpoint": lambda side, x: side.api.checkpoint(lambda z: 2 * z)(x),
    "with zeros": lambda side, x: (x, jnp.zeros(2)),
    "nothing": lambda side, x: jnp.zeros(2),
}
NOT_LINEAR: dict[str, Callable[[Any, Any], Any]] = {
    "square": lambda side, x: x * x,
    "power": lambda side, x: x**2,
    "sin": lambda side, x: side.np.sin(x),
    "modulus": lambda side, x: side.np.abs(x),
    "quotient": lambda side, x: 2 / x,
    "product": lambda side, x: side.np.prod(x),
    "where": lambda side, x: side.np.where(side.np.real(x) > 0, x, 0),
    "dot": lambda side, x: side.np.dot(x, x),
    "scan": lambda side, x: side.api.lax.scan(lambda c, z: (c + z * z, c), 0.0 * x[0], x)[1],
    "cond": lambda side, x: side.api.lax.cond(side.np.real(x[0]) > 0, lambda z: 2 * z, lambda z: 3 * z, x),
    "jit": lambda side, x: side.api.jit(lambda z: z * z)(x),
    "checkpoint": lambda side, x: side.api.checkpoint(lambda z: z * z)(x),
    "in one of two": lambda side, x: (2 * x, side.np.exp(x)),
    "of a part": lambda side, x: x.at[0].multiply(x[1]),
    "integers": lambda side, x: side.np.argmax(side.np.real(x)),
}
AFFINE: dict[str, Callable[[Any, Any], Any]] = {
    "constant added": lambda side, x: x + 1,
    "array added": lambda side, x: 2 * x + X,
    "zero times and one": lambda side, x: x * 0 + 1,
}
"""A constant is added to a linear value."""

PARTLY_LINEAR: dict[str, Callable[[Any, Any], Any]] = {
    "update": lambda side, x: x.at[0].set(1.0),
    "concatenation": lambda side, x: side.np.concatenate([x, np.ones(1, x.dtype)]),
    "padding": lambda side, x: side.np.pad(x, 1, constant_values=1.0),
    "constant beside": lambda side, x: (x, jnp.ones(2)),
}
"""Some results are constants, and the others linear."""


def transposed(fun: Callable[[Any, Any], Any], x: Any) -> Callable[[Side], Any]:
    """The transpose of a function, applied to numbers of the right types."""

    def call(side: Side) -> Any:
        out = jax.eval_shape(lambda x: fun(JAX, x), x)
        ct = jax.tree_util.tree_map(lambda t: np.asarray(np.arange(1, t.size + 1).reshape(t.shape), t.dtype), out)
        return side.api.linear_transpose(lambda x: fun(side, x), x)(ct)

    return call


@pytest.mark.parametrize("x", [X, Z], ids=["real", "complex"])
def test_linear_transpose(x: Any) -> None:
    for name, fun in (LINEAR | PARTLY_LINEAR).items():
        assert not isinstance(require_same(transposed(fun, x), name), Exception), name
    for name, fun in NOT_LINEAR.items():
        assert isinstance(require_same(transposed(fun, x), name), Exception), name
    for name, fun in AFFINE.items():  # of which JAX transposes the linear part
        assert isinstance(outcome(OURS, transposed(fun, x)), minijvp.MissingRuleError), name


POSITIONS = (np.int64(1), np.int8(-1), np.uint8(1), np.array(1), jnp.array(1))


@pytest.mark.parametrize("position", POSITIONS, ids=repr)
def test_positions_are_integers_of_any_library(position: Any) -> None:
    f = lambda x, y: x * y**2
    assert minijvp.grad(f, position)(2.0, 3.0) == minijvp.jacfwd(f, position)(2.0, 3.0) == 12
    (found,) = minijvp.value_and_grad(f, (position,))(2.0, 3.0)[1]
    assert found == 12
    assert minijvp.jit(lambda x, n: x * len(n * "a"), static_argnums=position)(2.0, 3) == 6
    assert minijvp.grad(minijvp.checkpoint(lambda x, n: x * len(n), static_argnums=position))(2.0, "abc") == 3
    assert len(minijvp.make_jaxpr(lambda x, n: x * len(n), static_argnums=position)(2.0, "abc").inputs) == 1

    @partial(minijvp.custom_jvp, nondiff_argnums=(position,))
    def power(x: Any, n: int) -> Any:
        return x**n

    power.defjvp(lambda n, primals, tangents: (primals[0] ** n, 10.0 * tangents[0]))
    if int(position) >= 0:
        assert minijvp.grad(power)(2.0, 3) == 10


def test_an_array_of_positions_is_several() -> None:
    f = lambda x, y: x * y**2
    assert minijvp.grad(f, np.array([1, 0]))(2.0, 3.0) == (12, 9)
    with pytest.raises(ArgumentError, match="argnums received True"):
        minijvp.grad(f, True)(2.0, 3.0)
    with pytest.raises(ArgumentError, match="static_argnums"):
        minijvp.jit(f, static_argnums=1.0)


def test_an_argument_that_is_passed_by_name_has_its_position() -> None:
    f = lambda x, y=2.0: x * x * y
    assert float(minijvp.grad(f)(x=2.0, y=3.0)) == 12
    assert float(minijvp.grad(f, 1)(2.0, y=3.0)) == 4
    assert [float(g) for g in minijvp.jacrev(f, (1, 0))(y=3.0, x=2.0)] == [4, 12]
    assert float(minijvp.hessian(f)(x=2.0)) == 4
    for call in (lambda: minijvp.grad(f, 1)(x=2.0), lambda: minijvp.grad(lambda **k: k["x"])(x=2.0)):
        with pytest.raises(ArgumentError, match="out of range"):
            call()
