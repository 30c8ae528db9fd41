"""Gradients and pullbacks of whole functions, composed from linearize and transpose. There is no trace here.

vjp : (a -> b) -> a -> (b, CT b -o CT a)
grad : (a -> R) -> a -> CT a
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.sharding import get_abstract_mesh
from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.api.names import JVP, TRANSPOSE, as_tangents, transforming
from minijvp.api.taps import Taps
from minijvp.arguments.tangents import for_user, freezing
from minijvp.budgets import Budget, checked_budget
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.tracing import EVALUATION, detached, state
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.transforms.transpose import transpose_flat
from minijvp.trees import Argnums, Selection


def grad(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    taps: bool = False,
    memory_budget: Budget | None = None,
    nan_safe: bool | None = None,
    frozen: Any = None,
    non_differentiable: str = "error",
) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`, by reverse mode.

    grad : (a -> R) -> a -> CT a

    Args:
        fun: takes pytrees of arrays and returns a real number (an array of shape ()).
        argnums: the arguments to differentiate: a position, a name, or a sequence of these; both find an argument that
            is passed by name too.
        has_aux: `fun` returns a pair (number, auxiliary data), and the result is (gradient, auxiliary data).
        holomorphic: arguments and result are complex, and `fun` is holomorphic.
        allow_int: integer arguments are allowed; their gradients have dtype float0.
        taps: the result ends in the cotangents of tapped values, by their names (see `minijvp.tap`): it is
            (gradient, taps), or (gradient, auxiliary data, taps).
        memory_budget: what may be kept between the forward and the reverse pass, as in `minijvp.config`; without one,
            that holds where a program is staged. With one, `fun` is staged for it, as by jit, wherever it is called;
            but for "auto", by which nothing is staged that is not without.
        nan_safe: True has zeros of cotangents absorb what is not finite, as in `minijvp.config`; None is its setting.
        frozen: leaves that are not differentiated, and cost nothing: their gradient is None. A tree of bools that has
            the tree of the gradient, or is a prefix of it; or a function of (path, leaf), the path in that tree being
            text like "['w'][0]", or of (leaf) alone.
        non_differentiable: "error" refuses leaves that are not floating; "none" has None as their gradient.

    The gradient has the tree, shapes and dtypes of the argument, in a tuple if `argnums` is a sequence. For a real
    function of complex arguments it is, as in JAX, the conjugate of the direction of steepest ascent.

    Raises ArgumentError if the result is not a real scalar, if an argument is not floating, for `frozen` that does not
    fit the argument, and for a budget that cannot be kept.

    >>> import minijvp
    >>> float(minijvp.grad(lambda x: 2 * x**3 - 6 * x**2 + x + 1)(2.0))
    1.0
    >>> float(minijvp.grad(lambda w, x: w * x, argnums='w')(2.0, x=5.0))
    5.0
    >>> root = lambda x: minijvp.numpy.where(x > 0, minijvp.numpy.sqrt(x), 0.0)
    >>> float(minijvp.grad(root)(0.0)), float(minijvp.grad(root, nan_safe=True)(0.0))
    (nan, 0.0)
    >>> g = minijvp.grad(lambda p: p['w'] * p['n'], frozen=lambda path, leaf: path == "['n']")({'w': 2.0, 'n': 3.0})
    >>> float(g['w']), g['n']
    (3.0, None)
    """
    making = grad, {**locals()}
    trees.require_callable(fun, "grad")
    budget = differentiation_budget(memory_budget, taps, "grad")
    plain = frozen is None and non_differentiable == "error"
    freeze = None if plain else freezing(frozen, non_differentiable, "grad", allow_int)

    @trees.wraps(fun, making)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux, freeze)
        outs, found, tapped = differentiate(selection, holomorphic, allow_int, taps, budget)
        whole = (found, selection.aux(outs), *tapped) if has_aux else (found, *tapped)
        result = whole if has_aux or taps else found
        if other_plans:
            hooks.check(result, gradient, args, kwargs)
        return result

    return gradient if nan_safe is None else trees.wraps(fun, making)(hooks.with_nan_safe(gradient, nan_safe, "grad"))


def value_and_grad(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    taps: bool = False,
    memory_budget: Budget | None = None,
    nan_safe: bool | None = None,
    frozen: Any = None,
    non_differentiable: str = "error",
) -> Callable[..., Any]:
    """A function that returns the value of `fun` and its gradient, at the cost of the gradient.

    value_and_grad : (a -> R) -> a -> (R, CT a)

    The arguments are those of `grad`. The result is `(value, gradient)`, or `((value, aux), gradient)` with `has_aux`;
    with `taps` the cotangents of tapped values follow, by their names.

    Raises ArgumentError as `grad` does.

    >>> import minijvp
    >>> value, gradient = minijvp.value_and_grad(lambda p: 2 * p['x']**2 + 3 * p['y']**2)({'x': 4.0, 'y': 5.0})
    >>> float(value), float(gradient['x']), float(gradient['y'])
    (107.0, 16.0, 30.0)
    """
    making = value_and_grad, {**locals()}
    trees.require_callable(fun, "value_and_grad")
    budget = differentiation_budget(memory_budget, taps, "value_and_grad")
    plain = frozen is None and non_differentiable == "error"
    freeze = None if plain else freezing(frozen, non_differentiable, "value_and_grad", allow_int)

    @trees.wraps(fun, making)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux, freeze)
        outs, gradient, tapped = differentiate(selection, holomorphic, allow_int, taps, budget)
        value = tree_unflatten(selection.out_tree, outs[:1])
        result = (value, selection.aux(outs)) if has_aux else value, gradient, *tapped
        if other_plans:
            hooks.check(result, value_and_gradient, args, kwargs)
        return result

    safe = None if nan_safe is None else hooks.with_nan_safe(value_and_gradient, nan_safe, "value_and_grad")
    return value_and_gradient if safe is None else trees.wraps(fun, making)(safe)


def differentiation_budget(value: Any, taps: bool, who: str) -> Budget | None:
    """The budget of a gradient: "off" with taps, which have to see the function run."""
    budget = None if value is None else checked_budget(value, who)
    if taps and budget not in (None, "auto", "off"):
        raise ArgumentError(
            f"{who} received memory_budget={value!r} and taps=True.",
            "A budget has the function staged before it is differentiated, and taps are heard while it is.",
            "Leave one of them out.",
        )
    return "off" if taps else budget


def differentiate(
    selection: Selection, holomorphic: bool, allow_int: bool, with_taps: bool, budget: Budget | None
) -> tuple[Sequence[Any], Any, list[Any]]:
    """The flat results of a call, of which the first is the value; its gradient; and what taps heard, if wanted."""
    leaves, taps = selection.leaves, Taps() if with_taps else None
    inexact = require_differentiable(selection, "grad", holomorphic, allow_int)

    def checked(*xs: Any) -> list[Any]:
        outs = selection.positional(*xs) if taps is None else taps.run(selection.positional, xs)
        require_scalar(selection, outs, holomorphic)
        return outs

    # Taps have to see the function run.
    gradient_of = gradient_flat if taps else state.trace.above(gradient_flat)
    outs, cts = gradient_of(checked, leaves, inexact, budget, selection.fun)
    found = iter(cts)
    gradient = [for_user(next(found) if i else None, x) for i, x in zip(inexact, leaves)]
    return outs, selection.unflatten(gradient), [] if taps is None else [taps.cotangents(list(found))]


def require_differentiable(
    selection: Selection, transformation: str, holomorphic: bool, allow_int: bool = False
) -> list[bool]:
    """Which leaves are floating; ArgumentError for an argument that `transformation` cannot differentiate."""
    inexact = [is_inexact(x.dtype) for x in selection.leaves]
    if not holomorphic and all(inexact):
        return inexact
    for i, x in enumerate(selection.leaves):
        kind = type_of(x)
        if holomorphic and not jnp.issubdtype(kind.dtype, jnp.complexfloating):
            raise ArgumentError(
                f"{transformation} with holomorphic=True received {kind!r} for {selection.leaf_name(i)}.",
                "A holomorphic function maps complex numbers to complex numbers.",
                "Convert the argument to a complex dtype, or omit holomorphic.",
            )
        if not is_inexact(kind.dtype) and not allow_int:
            raise ArgumentError(
                f"{transformation} of {trees.function_name(selection.fun)} received {kind!r} for "
                f"{selection.leaf_name(i)}.",
                "Integers and booleans have no derivative: no value lies close to another.",
                "Pass floats (1.0 for 1; x.astype(float)), choose another argument with argnums, or say allow_int=True "
                "for a gradient of dtype float0, or non_differentiable='none' for None.",
            )
    return inexact


def require_scalar(selection: Selection, outs: Sequence[Any], holomorphic: bool) -> None:
    """Raise ArgumentError if the result is not one number that has a gradient."""
    if selection.n == 1 and not holomorphic and not outs[0].shape and outs[0].dtype.kind == "f":
        return
    name = selection.name
    types = [type_of(x) for x in outs[: selection.n]]
    if selection.n != 1 or types[0].shape:
        found = ", ".join(map(repr, types)) or "nothing"
        raise ArgumentError(
            f"grad needs a function with one number as its result, but {name} returned {found}"
            f" (tree {selection.out_tree}).",
            "A gradient belongs to a single number; for more, the derivative is a Jacobian.",
            "Reduce the result (.sum(), .mean()), use has_aux=True for further results, or jacrev, jacfwd or vjp.",
        )
    is_complex = jnp.issubdtype(types[0].dtype, jnp.complexfloating)
    if holomorphic != is_complex:
        raise ArgumentError(
            f"grad with holomorphic={holomorphic} needs a {'complex' if holomorphic else 'real'} result, but {name} "
            f"returned {types[0]!r}.",
            "The gradient of a complex function that is not holomorphic has two parts, and grad returns one.",
            "Differentiate mnp.real, mnp.imag or mnp.abs of the result, or say holomorphic=True if it is.",
        )
    if not is_inexact(types[0].dtype):
        raise ArgumentError(
            f"grad needs a real result, but {name} returned {types[0]!r}.",
            "An integer result is piecewise constant: its gradient is zero or does not exist.",
            "Compute the result in floating point.",
        )


def gradient_flat(
    fun: Callable[..., Sequence[Any]],
    leaves: Sequence[Any],
    differentiated: Sequence[bool],
    budget: Budget | None = None,
    user_fun: Callable[..., Any] | None = None,
) -> tuple[Sequence[Any], list[Any]]:
    """Flat results, and the cotangents of the differentiated arguments for the first result; None is zero.

    `user_fun` is what the user has differentiated, where that is known: another one may be told by it.
    """
    with transforming(JVP):
        outs, linear, nonzero = hooks.linearizer.function(fun, leaves, differentiated, 1, budget)
        linear = as_tangents(linear)
    n = len(linear.inputs)
    if not nonzero[0]:
        return outs, [None] * n
    with transforming(TRANSPOSE):
        return outs, transpose_flat(linear, [True] * n, [None] * n, [seed(outs[0].dtype)])


_ones: dict[tuple[Any, Any], Any] = {}


def seed(dtype: Any) -> Any:
    """The number 1, the cotangent that a gradient starts from: an array to compute with, or a literal in a program."""
    if state.trace is not EVALUATION:
        return dtype.type(1)
    where = dtype, get_abstract_mesh()  # that mesh is part of the type of an array that is made here
    if where not in _ones:
        with detached():
            _ones[where] = jnp.ones((), dtype)
    return _ones[where]
