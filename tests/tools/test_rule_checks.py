"""Primitives from outside: how results are returned is found, and a rule that returns what it must not is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves

import minijvp
import minijvp.numpy as mnp
from minijvp.core.primitive import Primitive, registry
from minijvp.core.types import ArrayType
from minijvp.missing_rules import SKETCHES
from minijvp.operations.elementwise import cos, mul
from minijvp.operations.families import Elementwise, LinearPrimitive

X = np.array([1.0, 2.0, 3.0, 4.0])
numbers = count()


pytestmark = pytest.mark.usefixtures("registry_as_before")


def made(cls: Callable[[str], Any]) -> Any:
    """A primitive of a name of its own."""
    return cls(f"outside_{next(numbers)}")


class Halves(Primitive):
    """Twice the first half, and three times the second: two results."""

    def impl(self, x: Any) -> Any:
        n = x.shape[0] // 2
        return x[:n] * 2, x[n:] * 3

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return self(*primals), (None, None) if tangents[0] is None else self(*tangents)

    def transpose(self, ct: tuple, x: ArrayType) -> Any:
        n = x.shape[0] // 2
        first, second = (mnp.zeros(n, x.dtype) if c is None else c for c in ct)
        return mnp.concatenate([first * 2, second * 3])

    def batch(self, axis: Any, args: tuple, batched: Any) -> tuple[Any, Any]:
        (x,) = args
        n = x.shape[1] // 2
        return (x[:, :n] * 2, x[:, n:] * 3), (True, True)


class Whole(Halves):
    """One result in a tuple."""

    def impl(self, x: Any) -> Any:
        return (x * 2,)

    def transpose(self, ct: tuple, x: ArrayType) -> Any:
        (c,) = ct
        return c * 2

    def batch(self, axis: Any, args: tuple, batched: Any) -> tuple[Any, Any]:
        return self(*args), (True,)


@pytest.mark.parametrize(("cls", "slopes"), [(Halves, [8.0, 16.0, 54.0, 72.0]), (Whole, [8.0, 16.0, 24.0, 32.0])])
@pytest.mark.parametrize("first", ["grad", "jit", "vmap", "jvp"])
def test_several_results(cls: type[Primitive], slopes: list[float], first: str) -> None:
    """Nothing is declared, and whichever transformation is the first to ask finds it."""
    primitive = made(cls)
    loss = lambda x: sum([mnp.sum(out**2) for out in primitive(x)])
    gradient = minijvp.grad(loss)
    uses = {
        "grad": lambda: gradient(X),
        "jit": lambda: minijvp.jit(gradient)(X),
        "vmap": lambda: minijvp.vmap(gradient)(np.stack([X, X]))[1],
        "jvp": lambda: minijvp.jvp(gradient, (X,), (X,))[1],
    }
    assert primitive.returns_tuple is None
    for use in (uses.pop(first), *uses.values()):
        np.testing.assert_allclose(use(), slopes)
    assert primitive.returns_tuple


def test_results_that_are_a_tuple_sometimes() -> None:
    class Pieces(Halves):
        """The halves, or all of it."""

        def impl(self, x: Any, *, n: int) -> Any:
            return super().impl(x) if n == 2 else x

        def jvp(self, primals: tuple, tangents: tuple, *, n: int) -> tuple[Any, Any]:
            return self(*primals, n=n), self(*tangents, n=n)

    primitive = made(Pieces)
    minijvp.jvp(lambda x: primitive(x, n=2), (X,), (X,))
    with pytest.raises(minijvp.ArgumentError, match="returned one type, and a tuple of types before"):
        minijvp.jvp(lambda x: primitive(x, n=1), (X,), (X,))


class Double(Primitive):
    """Twice the operand: what the wrong ones below are derived from."""

    def impl(self, x: Any) -> Any:
        return x * 2

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return self(*primals), None if tangents[0] is None else self(*tangents)

    def transpose(self, ct: Any, x: ArrayType) -> Any:
        return self(ct)

    def batch(self, axis: Any, args: tuple, batched: Any) -> tuple[Any, Any]:
        return self(*args), True


WRONG: dict[str, tuple[str, Callable[..., Any], str]] = {
    "a list": ("impl", lambda self, x: [x * 2], "a list"),
    "nothing": ("impl", lambda self, x: None, "None of type NoneType"),
    "no pair": ("jvp", lambda self, primals, tangents: self(*primals), "a StagingTracer"),
    "a narrower tangent": (
        "jvp",
        lambda self, p, t: (self(*p), mnp.float32(t[0])),
        "f32[4] for a value of type f64[4]",
    ),
    "a tangent without axes": ("jvp", lambda self, p, t: (self(*p), mnp.sum(t[0])), "f64[] for a value of type f64[4]"),
    "0.0 for a tangent of zero": ("jvp", lambda self, p, t: (self(*p), 0.0), "f64[]* for a value of type f64[4]"),
    "a tangent in a tuple": ("jvp", lambda self, p, t: (self(*p), (t[0],)), "a single value and a tuple"),
    "another result": ("jvp", lambda self, p, t: (mnp.sum(p[0]), mnp.sum(t[0])), "returned f64[]"),
    "a cotangent without axes": ("transpose", lambda self, ct, x: mnp.sum(ct), "f64[] for a value of type f64[4]"),
    "a narrower cotangent": ("transpose", lambda self, ct, x: mnp.float32(ct), "f32[4] for a value of type f64[4]"),
    "a cotangent too many": ("transpose", lambda self, ct, x: (None, ct), "2 cotangents"),
    "cotangents in a list": ("transpose", lambda self, ct, x: [ct], "a list"),
    "a lost axis": ("batch", lambda self, axis, args, batched: (self(args[0][0]), True), "returned f64[4]"),
    "a wrong flag": ("batch", lambda self, axis, args, batched: (self(*args), False), "returned f64[3,4]"),
    "no flag": ("batch", lambda self, axis, args, batched: self(*args), "returned a "),
    "flags of a tuple": (
        "batch",
        lambda self, axis, args, batched: (self(*args), (True,)),
        "a single value and a tuple",
    ),
}
USES: dict[str, list[Callable[[Any], Any]]] = {
    "impl": [lambda f: f(X), lambda f: minijvp.jit(f)(X), lambda f: minijvp.grad(summed(f))(X)],
    "jvp": [lambda f: minijvp.jvp(f, (X,), (X,)), lambda f: minijvp.jit(minijvp.grad(summed(f)))(X)],
    "transpose": [lambda f: minijvp.grad(summed(f))(X), lambda f: minijvp.jit(minijvp.grad(summed(f)))(X)],
    "batch": [
        lambda f: minijvp.vmap(f)(np.stack([X] * 3)),
        lambda f: minijvp.jit(minijvp.vmap(f))(np.stack([X] * 3)),
        lambda f: minijvp.vmap(minijvp.grad(summed(f)))(np.stack([X] * 3)),
    ],
}


def summed(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: mnp.sum(tree_leaves(f(x))[0])


@pytest.mark.parametrize("name", WRONG)
def test_rules_that_return_what_they_must_not(name: str) -> None:
    rule, function, found = WRONG[name]
    for use in USES[rule]:
        primitive = made(type("Wrong", (Double,), {rule: function}))
        with pytest.raises(minijvp.ArgumentError, match=f"the {rule} rule of .*{primitive.name}") as caught:
            use(lambda x: primitive(x))
        assert found in caught.value.what and caught.value.why and f"Correct Wrong.{rule}" in caught.value.do


TYPES: dict[str, Callable[..., Any]] = {
    "another type than impl": lambda self, x: ArrayType((2,), x.dtype),
    "types in a list": lambda self, x: [x],
    "a class for a dtype": lambda self, x: ArrayType(x.shape, jnp.float64),
    "a list for a shape": lambda self, x: ArrayType([4], x.dtype),
}


@pytest.mark.parametrize("name", TYPES)
def test_type_rules_that_are_wrong(name: str) -> None:
    """They are seen where they are used, or beside a rule that disagrees with them."""
    for use in (minijvp.grad, lambda f: minijvp.jit(minijvp.grad(f)), lambda f: lambda x: minijvp.jvp(f, (x,), (x,))):
        primitive = made(type("Wrong", (Double,), {"type_rule": TYPES[name]}))
        with pytest.raises(minijvp.ArgumentError, match=f"(impl|type_rule|transpose|jvp) rule of .*{primitive.name}"):
            use(summed(lambda x: primitive(x)))(X)


class Scale(Primitive):
    """x times y, with a derivative in x only."""

    def impl(self, x: Any, y: Any) -> Any:
        return x * y

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return self(*primals), None if tangents[0] is None else self(tangents[0], primals[1])

    def transpose(self, ct: Any, x: ArrayType, y: Any) -> Any:
        return self(ct, y), None


def test_cotangents_of_the_wrong_arguments() -> None:
    right = made(Scale)
    np.testing.assert_allclose(minijvp.grad(lambda x: mnp.sum(right(x, X)))(X), X)
    swapped = made(type("Swapped", (Scale,), {"transpose": lambda self, ct, x, y: (None, self(ct, y))}))
    with pytest.raises(minijvp.ArgumentError, match="not linear only"):
        minijvp.grad(lambda x: mnp.sum(swapped(x, X)))(X)

    class Sum(LinearPrimitive):
        """Linear in both, and one cotangent is forgotten."""

        linear_arguments = None

        def impl(self, x: Any, y: Any) -> Any:
            return x + y

        def transpose(self, ct: Any, x: Any, y: Any) -> Any:
            return ct

    with pytest.raises(minijvp.ArgumentError, match="a bare cotangent") as caught:
        minijvp.grad(lambda x: mnp.sum(made(Sum)(x, x)))(X)
    assert "others are linear too" in caught.value.why


def test_members_of_families_from_outside() -> None:
    wrong = made(lambda name: Elementwise(name, jnp.sin, lambda t, out, x: mnp.sum(mul(t, cos(x)))))
    right = made(lambda name: Elementwise(name, jnp.sin, lambda t, out, x: mul(t, cos(x))))
    with pytest.raises(minijvp.ArgumentError, match="the jvp rule of"):
        minijvp.grad(lambda x: mnp.sum(wrong(x)))(X)
    np.testing.assert_allclose(minijvp.grad(lambda x: mnp.sum(right(x)))(X), np.cos(X))
    assert "jvp" in vars(right) and not vars(registry["sin"]).keys() & {"jvp", "impl", "transpose", "batch"}


MISSING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "jvp": (lambda f: minijvp.grad(summed(f))(X), "def jvp(self, primals, tangents"),
    "batch": (lambda f: minijvp.vmap(f)(np.stack([X] * 3)), "def batch(self, axis, args, batched"),
    "transpose": (lambda f: minijvp.linear_transpose(f, X)(X), "def transpose(self, ct, x"),
}


@pytest.mark.parametrize("rule", MISSING)
def test_a_rule_that_nobody_has_written(rule: str) -> None:
    class Bare(Primitive):
        def impl(self, x: Any) -> Any:
            return x * 2

    use, signature = MISSING[rule]
    primitive = made(Bare)
    for f in (lambda x: primitive(x), minijvp.jit(lambda x: primitive(x))):
        with pytest.raises(minijvp.MissingRuleError, match=f"'{primitive.name}' has no {rule} rule") as caught:
            use(f)
        assert signature in caught.value.do and "Write the rule in Bare" in caught.value.do
        assert "stop_gradient" not in str(caught.value)


@pytest.mark.parametrize("rule", MISSING)
def test_rules_as_messages_show_them(rule: str) -> None:
    space = {"Primitive": Primitive, "jnp": jnp, "mnp": mnp}
    sketch = "".join([f"    {line}\n" for name in ("impl", rule) for line in SKETCHES[name].splitlines()])
    exec(f"class Shown(Primitive):\n{sketch}", space)
    primitive = made(space["Shown"])
    if rule == "transpose":
        np.testing.assert_allclose(minijvp.linear_transpose(lambda x: primitive(x), X)(X)[0], 2 * X)
    elif rule == "batch":
        np.testing.assert_allclose(minijvp.vmap(lambda x: primitive(x))(X), np.sin(X))
    else:
        np.testing.assert_allclose(minijvp.grad(summed(lambda x: primitive(x)))(X), np.cos(X))


@pytest.mark.parametrize("transformed", [lambda f: f, minijvp.jit])
def test_a_transpose_rule_that_a_gradient_needs(transformed: Callable[..., Any]) -> None:
    """The message names the primitive and the line, also where an eager gradient takes it as a step."""

    primitive = made(type("Forward", (Double,), {"transpose": Primitive.transpose}))
    with pytest.raises(minijvp.MissingRuleError, match=rf"'{primitive.name}' has no transpose .*test_rule_checks.py"):
        transformed(minijvp.grad(lambda x: mnp.sum(primitive(x))))(X)


def test_a_definition_that_is_run_again() -> None:
    old = made(Double)
    program = minijvp.jit(lambda x: old(x))
    np.testing.assert_allclose(program(X), 2 * X)

    class Triple(Double):
        def __init__(self, name: str):
            super().__init__(name)

        def impl(self, x: Any) -> Any:
            return x * 3

    with pytest.warns(minijvp.RedefinedPrimitiveWarning, match=f"'{old.name}' was made before") as caught:
        new = Triple(old.name)
    assert caught[0].filename == __file__
    assert registry[old.name] is new
    np.testing.assert_allclose(program(X), 2 * X)
    np.testing.assert_allclose(minijvp.grad(summed(old))(X), [2.0] * 4)
    np.testing.assert_allclose(minijvp.grad(summed(new))(X), [3.0] * 4)
    np.testing.assert_allclose(minijvp.jit(lambda x: new(x))(X), 3 * X)


def test_a_name_of_our_own() -> None:
    own = registry["sin"]
    with pytest.raises(minijvp.ArgumentError, match="'sin' exists already"):
        Double("sin")
    assert registry["sin"] is own


def test_parameters_may_have_any_name() -> None:
    class Sum(LinearPrimitive):
        """Over an axis that is counted from the end; `rule` and `ct` mean nothing."""

        def impl(self, x: Any, *, axis: int, rule: int, ct: int) -> Any:
            return jnp.sum(x, axis)

        def transpose(self, cotangent: Any, x: ArrayType, **params: Any) -> Any:
            return mnp.broadcast_to(mnp.expand_dims(cotangent, params["axis"]), x.shape)

        def batch(self, lanes: Any, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
            return self(*args, **params), True

    primitive = made(Sum)
    f = lambda x: primitive(x, axis=-1, rule=1, ct=2)
    np.testing.assert_allclose(minijvp.vmap(minijvp.grad(f))(np.stack([X, X])), np.ones((2, 4)))
    np.testing.assert_allclose(minijvp.jvp(f, (X,), (X,))[1], 10)
    product = made(lambda name: Elementwise(name, lambda x, *, axis: x * axis, lambda t, out, x, *, axis: t * axis))
    np.testing.assert_allclose(minijvp.vmap(minijvp.grad(lambda x: product(x, axis=3)))(X), [3.0] * 4)


def test_a_cost_that_nobody_knows() -> None:
    with pytest.raises(minijvp.ArgumentError, match="recomputable='cheep'"):
        made(type("Cheep", (Double,), {"recomputable": "cheep"}))


def test_right_rules_are_left_alone() -> None:
    primitive = made(Double)
    for f in (primitive, minijvp.jit(lambda x: primitive(x)), minijvp.vmap(lambda x: primitive(x))):
        np.testing.assert_allclose(f(X), 2 * X)
        np.testing.assert_allclose(minijvp.grad(summed(f))(X), [2.0] * 4)
        np.testing.assert_allclose(minijvp.hessian(lambda x, f=f: mnp.sum(f(x) ** 2))(X), 8 * np.eye(4))
    assert jax.tree_util.tree_leaves(minijvp.make_jaxpr(lambda x: primitive(x))(1.0).equations)
