"""check_primitive: right rules pass in every dtype, and each wrong one is named with the numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import RuleError, check_primitive, lax
from minijvp.extend import ArrayType, BilinearPrimitive, Elementwise, LinearPrimitive, Primitive, Sample

numbers = count()
X = np.array([0.5, -1.5, 2.0])


pytestmark = pytest.mark.usefixtures("registry_as_before")


def name() -> str:
    return f"checked_{next(numbers)}"


class Scaled(BilinearPrimitive):
    """y times x, where y is one number: rules that a wrong one below takes the place of."""

    def impl(self, x: Any, y: Any) -> Any:
        return x * y[..., None]

    def transpose_x(self, ct: Any, x: ArrayType, y: Any) -> Any:
        return ct * y[..., None]

    def transpose_y(self, ct: Any, x: Any, y: ArrayType) -> Any:
        return mnp.sum(ct * x, -1)

    def batch(self, axis: Any, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        x, y = args
        y = y if batched[1] else mnp.broadcast_to(y, (axis.size, *y.shape))
        x = x if batched[0] else mnp.broadcast_to(x, (axis.size, *x.shape))
        return self(x, y), True


class Cumulative(LinearPrimitive):
    """Two results: sums so far, and twice the operand."""

    def impl(self, x: Any) -> Any:
        return jnp.cumsum(x, -1), 2 * x

    def transpose(self, ct: tuple, x: ArrayType) -> Any:
        first, second = (mnp.zeros(x.shape, x.dtype) if c is None else c for c in ct)
        return mnp.flip(mnp.cumsum(mnp.flip(first, -1), -1), -1) + 2 * second

    def batch(self, axis: Any, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*args), (True, True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "bfloat16"])
def test_right_rules_pass(dtype: str) -> None:
    x = jnp.asarray(X, dtype) + (1j if "complex" in dtype else 0)
    check_primitive(Scaled(name()), [(x, x[1])])
    check_primitive(Cumulative(name()), [(x,), (jnp.stack([x, x]),)])
    sine = Elementwise(name(), jnp.sin, lambda t, out, x: t * mnp.cos(x))
    check_primitive(sine, [(x,), Sample(sine, (x,), np.sin)] if dtype == "float64" else [(x,)])


@pytest.mark.parametrize("x64", [False, True])
def test_with_and_without_64_bit_types(x64: bool) -> None:
    with jax.enable_x64(x64):
        x = jnp.asarray(X, "float32")
        check_primitive(Scaled(name()), [(x, x[0])])

        def single(x: Any) -> Any:
            return lax_single(x) if x.dtype == np.float32 else refuse()

        lax_single, refuse = lambda x: jnp.tanh(x), lambda: 1 / 0
        only = Elementwise(name(), single, lambda t, out, x: t * (1 - out * out))
        check_primitive(only, [(x,)])
        half = Elementwise(only.name + "_", single, lambda t, out, x: t * (1 - 0.9 * out * out))
        with pytest.raises(RuleError, match="by differences"):
            check_primitive(half, [(x,)])


@pytest.mark.parametrize(
    ("primitive", "samples"),
    [
        (lax.sin_p, [(X,), (1.0,), (np.float32(2),)]),
        (lax.add_p, [(X, 2.0), (2, np.arange(3))]),
        (lax.sort_p, [Sample(lax.sort_p, (X,), params={"dimension": 0, "is_stable": True, "num_keys": 1})]),
        (lax.gt_p, [(X, X[::-1].copy())]),
        (lax.reduce_sum_p, [Sample(lax.reduce_sum_p, (X,), np.sum, params={"axes": (0,)})]),
    ],
    ids=["sin", "add", "sort", "gt", "reduce_sum"],  # samples as text have addresses in them
)
def test_primitives_of_our_own(primitive: Primitive, samples: list[Any]) -> None:
    check_primitive(primitive, samples)


WRONG: dict[str, tuple[str, type[Primitive], str, Callable[..., Any]]] = {
    "a jvp rule": ("jvp", Scaled, "jvp", lambda self, p, t: (self(*p), self(t[0] if t[0] is not None else p[0], p[1]))),
    "one cotangent": ("vjp", Scaled, "transpose_y", lambda self, ct, x, y: 2 * mnp.sum(ct * x, -1)),
    "cotangents of two results": ("vjp", Cumulative, "transpose", lambda self, ct, x: mnp.zeros(x.shape, x.dtype)),
    "lanes in another order": (
        "batch",
        Scaled,
        "batch",
        lambda self, axis, args, batched: (mnp.flip(Scaled.batch(self, axis, args, batched)[0], 0), True),
    ),
    "a batch of one argument": (
        "batch",
        Scaled,
        "batch",
        lambda self, axis, args, batched: Scaled.batch(self, axis, args, batched if all(batched) else (False, True)),
    ),
    "no batch rule": ("batch", Cumulative, "batch", Primitive.batch),
    "no jvp rule": ("jvp", Scaled, "jvp", Primitive.jvp),
    "weak types": (
        "types",
        Scaled,
        "type_rule",
        lambda self, x, y: ArrayType(x.shape, x.dtype, weak_type=True),
    ),
    "linearize": (
        "linearize",
        Scaled,
        "linearize",
        lambda self, p, t: (self(*p), None if t[0] is None else self(t[0], p[1])),
    ),
    "an axis of no size": (
        "empty_batch",
        Cumulative,
        "impl",
        lambda self, x: (jnp.cumsum(x, -1), 2 * x) if x.size else 1 / 0,
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_rules_are_named(what: str) -> None:
    check, cls, rule, function = WRONG[what]
    primitive = type("Wrong", (cls,), {rule: function})(name())
    args = (X, X[0]) if cls is Scaled else (X,)
    with pytest.raises(RuleError, match=f"check_primitive of {primitive.name}: [0-9]+ of 9 checks failed") as caught:
        check_primitive(primitive, [args])
    failed = [line.split()[0] for line in caught.value.what.splitlines()[1:] if f" at {primitive.name}-" in line]
    assert check in failed
    assert caught.value.why and caught.value.do


def test_a_message_has_both_numbers() -> None:
    wrong = Elementwise(name(), jnp.sin, lambda t, out, x: 2 * t)
    with pytest.raises(RuleError) as caught:
        check_primitive(wrong, [(np.zeros(2),), (np.ones(3),)])
    (line,) = [s for s in str(caught.value).splitlines() if s.strip().startswith(f"jvp at {wrong.name}-float64[3]")]
    assert "tangent for arguments [0] by differences" in line and "expected" in line and "3 of 3 differ" in line


def test_second_derivatives_are_checked() -> None:
    """The first derivative is right, and a part of it is a constant for the second one."""
    frozen = Elementwise(name(), jnp.sin, lambda t, out, x: t * lax.stop_gradient(mnp.cos(x)))
    with pytest.raises(RuleError, match="1 of 9 checks failed") as caught:
        check_primitive(frozen, [(X,)])
    assert "second_order at" in str(caught.value)


def test_a_function_to_compare_with() -> None:
    primitive = Elementwise(name(), lambda x: x + 1e-3, lambda t, out, x: t)
    check_primitive(primitive, [(X,)])
    with pytest.raises(RuleError, match=r"evaluation at .*value: "):
        check_primitive(primitive, [Sample(primitive, (X,), lambda x: x)])
    check_primitive(primitive, [Sample(primitive, (X,), lambda x: x, tolerance=1e-2)])


def test_what_is_left_out() -> None:
    kink = Elementwise(name(), jnp.abs, lambda t, out, x: t * mnp.sign(x))
    zero = np.array([0.0, 1.0])
    with pytest.raises(RuleError, match="second_order at"):
        check_primitive(kink, [(zero,)])
    check_primitive(kink, [Sample(kink, (zero,), finite_differences=False, why="a kink at 0")])

    class Bare(Primitive):
        def impl(self, x: Any) -> Any:
            return x * 2

    bare = Bare(name())
    with pytest.raises(RuleError, match="has no jvp rule"):
        check_primitive(bare, [(X,)])
    check_primitive(bare, [Sample(bare, (X,), differentiable=False, batch=False, why="it is for evaluation only")])
    with pytest.raises(minijvp.ArgumentError, match="does not say why"):
        Sample(bare, (X,), batch=False)


def test_what_are_no_samples() -> None:
    with pytest.raises(minijvp.ArgumentError, match="check_grads"):
        check_primitive(mnp.sin, [(X,)])
    for samples in ([], [X], [("x",)], [Sample(lax.cos_p, (X,))]):
        with pytest.raises(minijvp.ArgumentError, match="check_primitive of sin received"):
            check_primitive(lax.sin_p, samples)


@pytest.mark.parametrize("samples", [[(3.0,)], [(3,)], [(np.arange(2),)]], ids=["a number", "an integer", "integers"])
def test_samples_without_a_derivative_are_refused(samples: list[Any]) -> None:
    wrong = Elementwise(name(), lambda x: x * x, lambda t, out, x: 5 * t * x)
    with pytest.raises(minijvp.ArgumentError, match="no array of floating numbers"):
        check_primitive(wrong, samples)
    check_primitive(wrong, [Sample(wrong, samples[0], differentiable=False, why="a value alone")])


@pytest.mark.parametrize("samples", [None, 3, [], "abc"], ids=str)
def test_what_is_no_sample_is_refused(samples: Any) -> None:
    with pytest.raises(minijvp.ArgumentError, match=r"as a sample|no samples"):
        check_primitive(lax.sin_p, samples)
