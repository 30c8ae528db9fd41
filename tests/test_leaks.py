"""Nothing outlives its transformation: no tracer, no cycle of references, no cache that grows with every call."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer as JaxTracer

import minijvp.numpy as mnp
from minijvp import (
    checkpoint,
    custom_vjp,
    from_jax,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    lax,
    linear_transpose,
    linearize,
    make_jaxpr,
    nn,
    random,
    root,
    vjp,
    vmap,
)
from minijvp.calls.jit import jit_primitive
from minijvp.core.jaxpr import Equation, Jaxpr, Var
from minijvp.core.primitive import registry
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import EVALUATION, Trace, live_traces, state
from minijvp.optimize.eager import steps
from minijvp.transforms import jvp as forward
from minijvp.transforms import linearize as linearization
from minijvp.transforms import transpose as transposition
from minijvp.transforms import vmap as batching

OURS = (Tracer, Trace, Jaxpr, Equation, Var)


def loss(w: Any, x: Any) -> Any:
    return mnp.sum(mnp.tanh(x @ w) ** 2)


W, X = jnp.ones((3, 2)), jnp.ones((4, 3))

RUNS: dict[str, Callable[[], Any]] = {
    "grad": lambda: grad(loss)(W, X),
    "grad of both": lambda: grad(loss, argnums=(0, 1))(W, X),
    "grad of grad": lambda: grad(lambda x: grad(lambda x: mnp.sin(x) ** 3)(x))(1.0),
    "jvp": lambda: jvp(loss, (W, X), (W, X)),
    "vjp": lambda: vjp(loss, W, X)[1](1.0),
    "linearize": lambda: linearize(loss, W, X)[1](W, X),
    "jacfwd": lambda: jacfwd(lambda x: mnp.sin(x) * x)(jnp.ones(2)),
    "jacrev": lambda: jacrev(lambda x: mnp.sin(x) * x)(jnp.ones(2)),
    "hessian": lambda: hessian(lambda x: mnp.sum(x**3))(jnp.ones(2)),
    "vmap": lambda: vmap(loss, in_axes=(None, 0))(W, X),
    "vmap of grad": lambda: vmap(grad(loss), in_axes=(None, 0))(W, X),
    "named vmap": lambda: vmap(lambda x: x - mnp.max(x), axis_name="i")(X),
    "make_jaxpr": lambda: make_jaxpr(loss)(W, X),
    "linear_transpose": lambda: linear_transpose(lambda x: x @ W, X)(jnp.ones((4, 2))),
    "grad of jit": lambda: grad(shared)(W, X),
    "jit of grad": lambda: compiled(W, X),
}

shared = jit(loss)
compiled = jit(grad(loss))


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Only reference counts free anything while a test runs, and nothing is being traced afterwards.

    What other tests have made stays out of every search: it may be much, and hold tracers of tests that failed.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    assert state.trace is EVALUATION and not live_traces


def ours() -> Counter[type]:
    """How many objects of our classes the test has made. The collector tracks all of them."""
    return Counter([type(x) for x in gc.get_objects() if isinstance(x, OURS)])


def cache_sizes() -> dict[str, int]:
    """The number of entries of every cache that calls add to."""
    functions = [
        forward.jvp_jaxpr,
        linearization.linearize_jaxpr,
        transposition.transpose_jaxpr,
        batching.vmap_jaxpr,
    ]
    sizes = {f.__name__: f.cache_info().currsize for f in functions}
    sizes["steps"] = len(steps._by_operation)
    sizes["programs"] = len(steps._by_jaxpr)
    return sizes | {name: len(primitive._compiled) for name, primitive in registry.items()}


@pytest.mark.parametrize("name", RUNS)
def test_reference_counts_free_everything(name: str) -> None:
    run = RUNS[name]
    run()  # fills the caches, which are meant to stay
    run()
    gc.collect()
    before = ours()
    for _ in range(3):
        run()
    assert ours() == before


@pytest.mark.parametrize("name", RUNS)
def test_caches_do_not_grow(name: str) -> None:
    run = RUNS[name]
    run()
    run()
    before = cache_sizes()
    for _ in range(3):
        run()
    assert cache_sizes() == before


@pytest.mark.parametrize("name", ["grad", "jvp", "vmap", "vmap of grad", "vjp", "grad of jit", "jit of grad"])
def test_arrays_are_freed(name: str) -> None:
    """Residuals and arguments live no longer than the call, and what it returned."""
    functions: dict[str, Callable[[Any], Any]] = {
        "grad": lambda x: grad(loss)(W, x),
        "jvp": lambda x: jvp(loss, (W, x), (W, x)),
        "vmap": lambda x: vmap(loss, in_axes=(None, 0))(W, x),
        "vmap of grad": lambda x: vmap(grad(loss), in_axes=(None, 0))(W, x),
        "vjp": lambda x: vjp(loss, W, x)[1](1.0),
        "grad of jit": lambda x: grad(shared)(W, x),
        "jit of grad": lambda x: compiled(W, x),
    }
    run = functions[name]
    run(X)
    x = X + 1.0
    watched = weakref.ref(x)
    result = run(x)
    assert watched() is not None
    del x
    assert watched() is None
    watched_residuals = [
        weakref.ref(a) for a in (result if isinstance(result, tuple) else (result,)) if hasattr(a, "aval")
    ]
    del result
    assert all(ref() is None for ref in watched_residuals)


@pytest.mark.parametrize("name", ["grad", "vmap", "jvp", "make_jaxpr", "jit"])
def test_tracers_are_freed_with_the_last_reference(name: str) -> None:
    box: list[Any] = []

    def f(x: Any) -> Any:
        y = mnp.sin(x) * 2.0
        box.extend([x, y])
        return mnp.sum(y)

    runs: dict[str, Callable[[], Any]] = {
        "grad": lambda: grad(f)(jnp.ones(2)),
        "vmap": lambda: vmap(f)(jnp.ones((2, 2))),
        "jvp": lambda: jvp(f, (jnp.ones(2),), (jnp.ones(2),)),
        "make_jaxpr": lambda: make_jaxpr(f)(jnp.ones(2)),
        "jit": lambda: jit(f)(jnp.ones(2)),
    }
    runs[name]()
    assert len(box) == 2 and all(x.owner.finished() for x in box)
    references = [weakref.ref(x) for x in box]
    box.clear()
    assert [ref() for ref in references] == [None, None]


@pytest.mark.parametrize("name", ["grad", "vmap", "jvp", "make_jaxpr", "vmap of grad"])
def test_an_error_leaves_nothing_behind(name: str) -> None:
    references: list[Any] = []

    def f(x: Any) -> Any:
        y = mnp.sin(x)
        references.extend([weakref.ref(x), weakref.ref(y)])
        raise KeyError("mine")

    runs: dict[str, Callable[[], Any]] = {
        "grad": lambda: grad(f)(1.0),
        "vmap": lambda: vmap(f)(jnp.ones(2)),
        "jvp": lambda: jvp(f, (1.0,), (1.0,)),
        "make_jaxpr": lambda: make_jaxpr(f)(1.0),
        "vmap of grad": lambda: vmap(grad(f))(jnp.ones(2)),
    }
    with suppress(KeyError):
        runs[name]()
    assert len(references) == 2
    assert [ref() for ref in references] == [None, None]


def test_a_pullback_holds_its_residuals_and_no_tracers() -> None:
    x = jnp.ones(3) + 1.0
    _, pullback = vjp(lambda x: mnp.sin(x) * x, x)
    watched = weakref.ref(x)
    before = Counter({kind: n for kind, n in ours().items() if issubclass(kind, (Tracer, Trace))})
    del x
    pullback(jnp.ones(3))
    assert watched() is not None
    del pullback
    assert watched() is None
    after = Counter({kind: n for kind, n in ours().items() if issubclass(kind, (Tracer, Trace))})
    assert after == before


def test_equal_programs_compile_once() -> None:
    """A fresh lambda with the same body is the same program wherever jit is an operation of another program."""

    def fresh() -> Callable[[Any], Any]:
        return jit(lambda x: mnp.sin(x) * 2.5 + x)

    def run() -> None:
        grad(fresh())(1.0)
        vmap(fresh())(jnp.ones(3))
        jvp(fresh(), (1.0,), (1.0,))
        vmap(grad(fresh()))(jnp.ones(3))

    run()
    programs, sizes = len(jit_primitive._compiled), cache_sizes()
    for _ in range(3):
        run()
    assert len(jit_primitive._compiled) == programs
    assert cache_sizes() == sizes


def test_programs_with_other_constants_are_not_confused() -> None:
    def scaled(c: Any) -> Callable[[Any], Any]:
        return jit(lambda x: x * c)

    for c in (2.0, 3.0, jnp.asarray(4.0), jnp.asarray(5.0)):
        assert float(grad(scaled(c))(1.0)) == float(c)


def test_fresh_lambdas_share_their_steps() -> None:
    def run() -> Any:
        return grad(lambda x: mnp.sum(mnp.sin(x) * mnp.exp(x)))(jnp.ones(5))

    run()
    programs = dict(steps._by_jaxpr)
    run()
    assert steps._by_jaxpr == programs
    grad(lambda x: mnp.sum(mnp.sin(x) * mnp.exp(x)))(jnp.ones((2, 3, 7, 11)))
    assert len(steps._by_jaxpr) > len(programs)


def test_a_jitted_function_is_staged_once_under_a_trace() -> None:
    runs = []

    @jit
    def f(x: Any) -> Any:
        runs.append(x.shape)
        return mnp.sin(x)

    for _ in range(3):
        grad(f)(1.0)
        vmap(f)(jnp.ones(3))
        jvp(f, (2.0,), (1.0,))
    assert runs == [()] * len(runs) and len(runs) <= 2  # the type of 1.0 is weak, that of an element of ones is not


def test_a_jitted_function_that_is_dropped_frees_its_closure() -> None:
    def run() -> Any:
        constant = jnp.ones(3) + 1.0
        f = jit(lambda x: x * constant)
        f(1.0)
        grad(lambda x: mnp.sum(f(x)))(1.0)
        return weakref.ref(constant)

    watched = run()
    gc.collect()
    assert watched() is None


@pytest.mark.parametrize("name", ["grad", "jvp", "vmap"])
def test_thousands_of_operations_leave_nothing(name: str) -> None:
    def f(x: Any) -> Any:
        for _ in range(500):
            x = x * 0.999 + 0.001
        return x

    runs: dict[str, Callable[[], Any]] = {
        "grad": lambda: grad(f)(1.0),
        "jvp": lambda: jvp(f, (1.0,), (1.0,)),
        "vmap": lambda: vmap(f)(jnp.ones(2)),
    }
    runs[name]()
    before = ours()
    runs[name]()
    assert ours() == before


# JAX's tracers. What is kept for later calls may hold none: it would be of no use to them.


def rows(x: Any) -> Any:
    return mnp.arange(x.shape[0], dtype=x.dtype)[:, None] * x


doubled = custom_vjp(lambda x: mnp.sin(x))
doubled.defvjp(lambda x: (doubled(x), x), lambda x, ct: (2 * ct * mnp.cos(x),))

INSIDE: dict[str, Callable[[Any], Any]] = {
    "numbers of Python": lambda x: mnp.sum(x * 2.0 + mnp.full(x.shape, 0.5)) + 1,
    "indexing": lambda x: x[mnp.array([0, 1, 0]), 1:3].sum() + x.at[mnp.array([1, 1])].add(x[0]).sum(),
    "sorting": lambda x: mnp.sort(x, axis=0)[0].sum() + mnp.quantile(x, 0.3) + lax.top_k(x, 2)[0].sum(),
    "einsum": lambda x: mnp.einsum("ij,jk,ik->", x, W3, x),
    "solve": lambda x: mnp.linalg.solve(x[:3].T @ x[:3] + mnp.eye(3), x[0]).sum(),
    "eigh": lambda x: mnp.linalg.eigh(x.T @ x)[0].sum(),
    "fft": lambda x: mnp.abs(mnp.fft.fft(x)).sum(),
    "nn": lambda x: nn.relu(x).sum() + nn.softmax(x).sum() + nn.logsumexp(x),
    "random": lambda x: (random.normal(random.key(0), x.shape, x.dtype) * x).sum(),
    "scan": lambda x: lax.scan(lambda c, r: (mnp.sin(c) * r, c), x[0], rows(x))[0].sum(),
    "while": lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, mnp.sin(c[1]) * 2), (0, x))[1].sum(),
    "cond": lambda x: lax.cond(x[0, 0] > 0, lambda y: y.sum(), lambda y: mnp.cos(y).sum(), x),
    "associative_scan": lambda x: lax.associative_scan(mnp.multiply, x).sum(),
    "root": lambda x: root(lambda y: y * y - x.sum() ** 2 - 1, 1.0),
    "rules": lambda x: doubled(x).sum(),
    "checkpoint": lambda x: checkpoint(lambda y: mnp.sin(mnp.exp(y)) * x)(x).sum(),
    "jit": lambda x: jit(lambda y: (y * x).sum())(x * 2.0),
    "budget": lambda x: grad(lambda y: mnp.exp(mnp.sin(y)).sum(), memory_budget=0.5)(x).sum(),
    "vmap": lambda x: vmap(lambda r: r @ W3 @ r)(x).sum(),
    "hessian": lambda x: hessian(lambda y: (mnp.sin(y) ** 2).sum())(x[0]).sum(),
    "jacobians": lambda x: jacfwd(mnp.sin)(x[0]).sum() + jacrev(mnp.sin)(x[0]).sum(),
    "linearize": lambda x: linearize(mnp.sin, x)[1](x).sum(),
    "from_jax": lambda x: from_jax(lambda x: jnp.where(x > 0, jnp.sin(x), jnp.arange(3.0) * x).sum())(x),
    "from_jax of much": lambda x: from_jax(lambda x: jax.nn.gelu(jax.nn.softmax(jnp.linalg.norm(x) * x @ W3)).sum())(x),
    "from_jax, closing over a value": lambda x: closing_over(x)(x * 1.0),
}
W3 = jnp.arange(9.0).reshape(3, 3) / 9


def closing_over(x: Any) -> Callable[[Any], Any]:
    """A function of JAX that closes over a tracer of JAX, where there is one."""
    scale = jnp.sum(x) if isinstance(x, JaxTracer) and not isinstance(x, Tracer) else 2.0
    return from_jax(lambda y: (y * scale).sum())


OUTSIDE: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "alone": lambda f: f,
    "grad": grad,
    "jvp": lambda f: lambda x: jvp(f, (x,), (x,))[1],
    "vmap-grad": lambda f: lambda x: vmap(grad(f))(mnp.stack([x, x])),
}


def tracers_of_jax() -> list[Any]:
    gc.collect()
    return [x for x in gc.get_objects() if issubclass(type(x), JaxTracer)]


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("inside", INSIDE)
def test_no_cache_keeps_a_tracer_of_jax(inside: str, outside: str) -> None:
    fun = OUTSIDE[outside](INSIDE[inside])
    for n in (5, 4):  # a smaller batch at the end
        x = jnp.linspace(-1.0, 1.0, 3 * n).reshape(n, 3)
        found = jax.jit(lambda x: fun(x))(x)
        assert tracers_of_jax() == []
        np.testing.assert_allclose(found, fun(x), 1e-9, 1e-9)
    jax.jit(lambda x: fun(x))(x[:3])
    assert tracers_of_jax() == []
