"""Every public name of JAX's modules: it is there, and its gradient is JAX's. Exceptions are listed with reasons."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import tree_flatten, tree_leaves, tree_unflatten

import minijvp
import minijvp.numpy as mnp
from minijvp.interop.surface import public_names
from tests.interop.calls import CALLS, EAGER

MODULES = """
    jax.numpy jax.numpy.linalg jax.numpy.fft jax.lax jax.lax.linalg jax.nn jax.nn.initializers jax.random
    jax.scipy jax.scipy.special jax.scipy.stats jax.scipy.linalg jax.scipy.signal jax.scipy.ndimage jax.scipy.fft
    jax.scipy.integrate jax.scipy.interpolate jax.scipy.optimize jax.scipy.sparse jax.scipy.sparse.linalg
    jax.scipy.cluster jax.scipy.cluster.vq
""".split()
MODULES += [f"jax.scipy.stats.{n}" for n, value in vars(jax.scipy.stats).items() if inspect.ismodule(value)]
MODULES = [m for m in MODULES if not m.split(".")[-1].startswith("_")]

ABSENT: dict[str, str] = {}
"""Names that minijvp does not have, with the reasons."""

SELECTS = "JAX's gradient is zero; ours is that of the elements that are selected"
DIFFERENT = {
    "jax.numpy.union1d": SELECTS,
    "jax.numpy.unique": SELECTS,
    "jax.numpy.unique_all": SELECTS,
    "jax.numpy.unique_counts": SELECTS,
    "jax.numpy.unique_inverse": SELECTS,
    "jax.numpy.unique_values": SELECTS,
    "jax.numpy.intersect1d": SELECTS,
    "jax.numpy.setdiff1d": SELECTS,
    "jax.numpy.setxor1d": SELECTS,
}
"""Functions whose gradient is not JAX's, with the reasons."""

TRIANGLE = "in JAX 0.10 the derivative looks at both triangles, and the value at one"
WRONG_IN_010 = {"jax.scipy.linalg.cho_factor": TRIANGLE, "jax.scipy.linalg.cholesky": TRIANGLE}
if jax.__version__.startswith("0.10."):
    DIFFERENT |= WRONG_IN_010


def ours(module: str) -> Any:
    return import_module(module.replace("jax", "minijvp", 1))


def theirs(module: str) -> Any:
    return import_module(module)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_is_there(module: str) -> None:
    mine = ours(module)
    missing = [n for n in public_names(theirs(module)) if not hasattr(mine, n) and f"{module}.{n}" not in ABSENT]
    assert missing == []
    assert mine.__doc__
    for name in mine.__all__:
        value = getattr(mine, name)
        if inspect.isfunction(value):
            assert value.__doc__, name


@cache
def names() -> dict[str, Any]:
    """What the arguments in CALLS are made of."""
    generator = np.random.default_rng(0)
    x, y, v, w, u, m = (jnp.asarray(generator.uniform(0.2, 0.9, s)) for s in ((4, 4), (4, 4), 4, 4, 4, (2, 3, 4)))
    named = dict(x=x, y=y, v=v, w=w, u=u, m=m, A=x @ x.T + 2 * jnp.eye(4), c=v + 1j * w)
    named |= dict(s=jnp.asarray(0.3), t=jnp.asarray(0.7), i=jnp.array([1, 2, 3, 2]), b=v > 0.5)
    return named | dict(key=jax.random.key(0), jnp=jnp, np=np, lax=lax, kw=Keywords)


class Keywords(dict):
    """The keyword arguments of a call."""


def arguments(text: str) -> tuple[tuple, dict[str, Any]]:
    args = eval(f"({text},)", names())
    return (args[:-1], dict(args[-1])) if isinstance(args[-1], Keywords) else (args, {})


def is_differentiated(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.inexact)


def gradient(api: Any, np_like: Any, function: Callable[..., Any], args: tuple, kwargs: Any) -> Callable[..., Any]:
    """The gradient of a number that depends on all results, as a function of all arrays of floats in the arguments."""
    leaves, tree = tree_flatten(args)
    chosen = [i for i, x in enumerate(leaves) if is_differentiated(x)]

    def loss(*xs: Any) -> Any:
        full = list(leaves)
        for i, x in zip(chosen, xs, strict=True):
            full[i] = x
        total = np_like.zeros(())
        for out in tree_leaves(function(*tree_unflatten(tree, full), **kwargs)):
            if hasattr(out, "dtype") and jnp.issubdtype(out.dtype, jnp.complexfloating):
                total = total + np_like.sum(np_like.abs(out) ** 2)
            elif hasattr(out, "dtype") and jnp.issubdtype(out.dtype, jnp.floating):
                total = total + np_like.sum(np_like.sin(out))
        return total

    return api.grad(loss, tuple(range(len(chosen))))


class Function(NamedTuple):
    """A public function of a module of JAX."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    def is_there(self) -> bool:
        return hasattr(theirs(self.module), self.name)


TOGETHER = 16
"""Functions whose gradients are compiled at once, which takes half the time."""


def groups() -> Iterator[tuple[str, tuple[Function, ...]]]:
    """The arguments of a call, and functions that take them."""
    for text, modules in CALLS.items():
        functions = [Function(module, name) for module, names in modules.items() for name in names.split()]
        eager = [f for f in functions if str(f) in EAGER]
        yield from ((text, (f,)) for f in eager)
        compiled = [f for f in functions if str(f) not in EAGER]
        yield from ((text, tuple(compiled[i : i + TOGETHER])) for i in range(0, len(compiled), TOGETHER))


FUNCTIONS = [pytest.param(f, text, group, id=str(f)) for text, group in groups() for f in group]


@cache
def gradients(text: str, group: tuple[Function, ...]) -> dict[Function, Any]:
    """Our gradient and JAX's of each function that this version of JAX has; or the error."""
    args, kwargs = arguments(text)
    errors: dict[Function, Any] = {}

    def every(*xs: Any) -> dict[str, Any]:
        found = {}
        for f in group:
            try:
                judge = gradient(jax, jnp, getattr(theirs(f.module), f.name), args, kwargs)
                fun = gradient(minijvp, mnp, getattr(ours(f.module), f.name), args, kwargs)
                found[str(f)] = minijvp.to_jax(fun)(*xs), judge(*xs)
            except Exception as error:
                errors[f] = error
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions that are deprecated in JAX
        run = every if str(group[0]) in EAGER else jax.jit(every)
        found = run(*filter(is_differentiated, tree_leaves(args)))
    return {f: errors.get(f) or found[str(f)] for f in group}


@pytest.mark.parametrize(("function", "text", "group"), FUNCTIONS)
def test_gradient_is_that_of_jax(function: Function, text: str, group: tuple[Function, ...]) -> None:
    if not function.is_there():
        assert Function(*function.module.rsplit(".", 1)).is_there(), function
        return  # this version of JAX has no such function
    answer = gradients(text, tuple(filter(Function.is_there, group)))[function]
    if isinstance(answer, Exception):
        raise answer
    same = [np.allclose(a, b, rtol=1e-9, atol=1e-10, equal_nan=True) for a, b in zip(*answer, strict=True)]
    assert all(same) == (str(function) not in DIFFERENT), answer


def test_coverage() -> None:
    """At least 98 % of the functions that JAX differentiates have the same gradient here; the figure is printed."""
    total = len(FUNCTIONS)
    present = sum(len(public_names(theirs(m))) for m in MODULES)
    print(
        f"{present - len(ABSENT)} of {present} names are there; gradients of {total - len(DIFFERENT)} of {total} agree"
    )
    assert (total - len(DIFFERENT)) / total >= 0.98


def test_function_makers() -> None:
    slope = minijvp.grad(lambda x: mnp.vectorize(lambda a, b: jnp.sin(a) * b)(x, 2.0).sum())
    np.testing.assert_allclose(slope(jnp.arange(3.0)), 2 * np.cos(np.arange(3.0)))
    drawn = minijvp.vmap(lambda key: minijvp.nn.initializers.glorot_normal()(key, (2, 3)))(
        jax.random.split(jax.random.key(0), 2)
    )
    wanted = jax.vmap(lambda key: jax.nn.initializers.glorot_normal()(key, (2, 3)))(
        jax.random.split(jax.random.key(0), 2)
    )
    np.testing.assert_array_equal(drawn, wanted)


def test_ufunc_methods() -> None:
    x = jnp.arange(1.0, 4.0)
    np.testing.assert_allclose(minijvp.grad(lambda x: mnp.multiply.reduce(x))(x), [6.0, 3.0, 2.0])
    np.testing.assert_allclose(minijvp.grad(lambda x: mnp.add.outer(x, x).sum())(x), [6.0, 6.0, 6.0])
    product = mnp.frompyfunc(lambda a, b: a * b, 2, 1, identity=1)
    assert (product.nin, product.nout, product.identity) == (2, 1, 1)
    np.testing.assert_allclose(minijvp.grad(lambda x: product.reduce(x))(x), [6.0, 3.0, 2.0])
    np.testing.assert_allclose(minijvp.jit(lambda x: product.outer(x, x))(x), np.outer(x, x))


def test_bridged_classes() -> None:
    data, points = jnp.linspace(-1.0, 1.0, 7) ** 3, jnp.array([0.1, 0.4])

    def density(stats: Any, np_like: Any) -> Any:
        return lambda data, points: np_like.sum(stats.gaussian_kde(data).logpdf(points) * points)

    def value(interpolate: Any, np_like: Any) -> Any:
        grid = jnp.linspace(-1.0, 1.0, 7)
        return lambda data, points: np_like.sum(interpolate.RegularGridInterpolator((grid,), data)(points) * points)

    for case, module in ((density, "jax.scipy.stats"), (value, "jax.scipy.interpolate")):
        found = minijvp.grad(case(ours(module), mnp), (0, 1))(data, points)
        wanted = jax.grad(case(theirs(module), jnp), (0, 1))(data, points)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)
    assert ours("jax.scipy.stats").gaussian_kde(data).d == 1
    with pytest.raises(AttributeError):
        getattr(ours("jax.scipy.stats").gaussian_kde(data), "_nothing")  # noqa: B009


def test_selections_by_known_values() -> None:
    x = jnp.array([3.0, 0.0, 1.0, 3.0])
    cases: list[Callable[[Any], Any]] = [
        lambda np: lambda x: (np.unique(x) * np.arange(3.0)).sum(),
        lambda np: lambda x: np.extract(x > 0.5, x**2).sum(),
        lambda np: lambda x: np.trim_zeros(np.concatenate([np.zeros(2), x])).prod(),
        lambda np: lambda x: x[np.nonzero(x)].prod(),
        lambda np: lambda x: np.compress(x > 0, x * np.ones((2, 4)), axis=1).sum(),
        lambda np: lambda x: (x[np.where(x)] ** 2).sum(),
    ]
    for case in cases[1:]:
        np.testing.assert_allclose(minijvp.grad(case(mnp))(x), jax.grad(case(jnp))(x))
    np.testing.assert_allclose(minijvp.grad(cases[0](mnp))(x), [2.0, 0.0, 1.0, 0.0])
    with pytest.raises(minijvp.ConcretizationError, match="Pass size="):
        minijvp.jit(mnp.unique)(x)
    np.testing.assert_array_equal(minijvp.jit(partial(mnp.unique, size=3))(x), [0.0, 1.0, 3.0])
