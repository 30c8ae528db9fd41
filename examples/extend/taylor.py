"""A transformation: Taylor mode of second order, in which a value travels with its first two derivatives along a curve.

Run it as `python examples/extend/taylor.py`. An operation is met once, and not four times as by a jvp of a jvp. What
the rules compute is transformed in turn, so it works under jit, grad and vmap, and they work inside of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.extend import Trace, Tracer, current, current_trace, evaluate, type_of


class Jet(Tracer):
    """A value, and its first and second derivative; None is zero."""

    def __init__(self, trace: Trace, *parts: Any):
        self.owner, self.parts = trace, parts

    type = property(lambda self: type_of(self.parts[0]))


class TaylorTrace(Trace):
    """Applies the rule of every operation that touches one of its jets."""

    def __init__(self, parent: Trace):
        self.parent = parent

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        jets = [x.parts if isinstance(x, Jet) and x.owner is self else (x, None, None) for x in args]
        if all(part is None for parts in jets for part in parts[1:]):
            return self.parent.process(primitive, tuple(parts[0] for parts in jets), params)
        if primitive.is_call:  # jit, checkpoint: the operations inside are met here
            (body,) = primitive.bodies(params)
            with current(self):
                return tuple(evaluate(body, *args))
        if primitive not in RULES:
            raise minijvp.MissingRuleError(f"Taylor mode has no rule for {primitive}.", do="Add one to RULES.")
        with current(self.parent):
            return Jet(self, *RULES[primitive](*jets, **params))


def each(function: Callable[..., Any], *xs: Any) -> Any:
    """A function of several values that is zero where one of them is."""
    return None if any(x is None for x in xs) else function(*xs)


def total(*terms: Any) -> Any:
    """The sum of those that are not zero."""
    return sum(rest[1:], rest[0]) if (rest := [x for x in terms if x is not None]) else None


def composed(primitive: Any, slopes: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """The rule of a function of one argument, of which `slopes(x, out)` are the first two derivatives."""

    def rule(jet: tuple, **params: Any) -> tuple:
        (x, x1, x2), out = jet, primitive(jet[0], **params)
        d1, d2 = slopes(x, out, **params)
        return out, each(lambda t: d1 * t, x1), total(each(lambda t: d2 * t * t, x1), each(lambda t: d1 * t, x2))

    return rule


def linear(primitive: Any) -> Callable[..., Any]:
    """The rule of a linear function of one argument."""
    return lambda jet, **params: tuple(each(lambda x: primitive(x, **params), x) for x in jet)


def product(primitive: Any) -> Callable[..., Any]:
    """The rule of a function that is linear in each of two arguments."""

    def rule(x: tuple, y: tuple, **params: Any) -> tuple:
        f = lambda i, j: each(lambda a, b: primitive(a, b, **params), x[i], y[j])
        return f(0, 0), total(f(1, 0), f(0, 1)), total(f(2, 0), each(lambda p: 2 * p, f(1, 1)), f(0, 2))

    return rule


def powers(x: Any, out: Any, *, y: int) -> tuple[Any, Any]:
    return y * x ** (y - 1), y * (y - 1) * x ** (y - 2)


RULES: dict[Any, Callable[..., Any]] = {
    lax.add_p: lambda x, y: tuple(total(a, b) for a, b in zip(x, y, strict=True)),
    lax.sub_p: lambda x, y: tuple(total(a, each(mnp.negative, b)) for a, b in zip(x, y, strict=True)),
    lax.sin_p: composed(lax.sin_p, lambda x, out: (mnp.cos(x), -out)),
    lax.cos_p: composed(lax.cos_p, lambda x, out: (-mnp.sin(x), -out)),
    lax.exp_p: composed(lax.exp_p, lambda x, out: (out, out)),
    lax.log_p: composed(lax.log_p, lambda x, out: (1 / x, -1 / x**2)),
    lax.square_p: composed(lax.square_p, lambda x, out: (2 * x, 2.0)),
    lax.tanh_p: composed(lax.tanh_p, lambda x, out: (1 - out**2, -2 * out * (1 - out**2))),
    lax.integer_pow_p: composed(lax.integer_pow_p, powers),
    **{p: product(p) for p in (lax.mul_p, lax.dot_general_p)},
    **{p: linear(p) for p in (lax.neg_p, lax.reduce_sum_p, lax.broadcast_in_dim_p)},
    **{p: linear(p) for p in (lax.reshape_p, lax.squeeze_p, lax.slice_p, lax.transpose_p)},
}


def taylor(f: Callable[..., Any], x: Any, v: Any) -> tuple[Any, ...]:
    """f(x + h v) at h = 0, with its first and its second derivative by h; for a function of one array."""
    with current(TaylorTrace(current_trace())) as trace:
        out = f(Jet(trace, x, v, None))
    parts = out.parts if isinstance(out, Jet) and out.owner is trace else (out, None, None)
    return tuple(mnp.zeros_like(parts[0]) if part is None else part for part in parts)


def main() -> None:
    weights = mnp.array([[0.3, -0.5, 0.2], [0.8, 0.1, -0.4]])
    model = minijvp.jit(lambda x: mnp.sum(mnp.cos(weights @ mnp.sin(x)) ** 2 * mnp.exp(-mnp.sum(x))))
    x, v = mnp.array([0.1, 0.7, -0.3]), mnp.array([1.0, 2.0, -1.0])
    along = lambda f: lambda x: minijvp.jvp(f, (x,), (v,))[1]
    curvature, hessian = lambda x: taylor(model, x, v)[2], minijvp.hessian(model)(x)
    pairs = {
        "jvp of jvp": (
            mnp.stack(taylor(model, x, v)),
            mnp.stack([f(x) for f in (model, along(model), along(along(model)))]),
        ),
        "the Hessian, under jit": (minijvp.jit(curvature)(x), v @ hessian @ v),
        "a diagonal of the Hessian, by vmap": (
            minijvp.vmap(lambda v: taylor(model, x, v)[2])(mnp.eye(3)),
            mnp.diag(hessian),
        ),
        "a third derivative, by grad": (minijvp.grad(curvature)(x), minijvp.grad(along(along(model)))(x)),
        "a product with the Hessian, by a gradient inside": (taylor(minijvp.grad(model), x, v)[1], hessian @ v),
    }
    for name, (found, expected) in pairs.items():
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        print(f"agrees with {name}")


if __name__ == "__main__":
    main()
