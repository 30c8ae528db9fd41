"""Tracebacks end at the user's line, without frames of minijvp or JAX; those of faults of minijvp stay whole."""

from __future__ import annotations

import re
import statistics
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax

W, X = jnp.ones((3, 4)), jnp.ones(5)


@pytest.fixture(autouse=True)
def short() -> Iterator[None]:
    with minijvp.config(traceback="short"):
        yield


def loss(w: Any, x: Any = X) -> Any:
    return mnp.sum(mnp.tanh(x @ w))  # wrong


def by_numpy(w: Any) -> Any:
    return np.linalg.norm(w)  # wrong


def by_jax(w: Any) -> Any:
    return jnp.sum(w)  # wrong


def branch(w: Any) -> Any:
    if w.sum() > 0:  # wrong
        return w.sum()
    return -w.sum()


def own(w: Any) -> Any:
    raise KeyError("a fault of the user")  # wrong


@minijvp.custom_jvp
def ruled(x: Any) -> Any:
    return mnp.sum(x)


@ruled.defjvp
def rule(primals: Any, tangents: Any) -> Any:
    return ruled(*primals), primals[0] @ tangents[0]  # wrong


INSIDE: dict[str, Callable[[], Any]] = {
    "grad": lambda: minijvp.grad(loss)(W),
    "value_and_grad": lambda: minijvp.value_and_grad(loss)(W, X),
    "jit": lambda: minijvp.jit(loss)(W),
    "jit of grad": lambda: minijvp.jit(minijvp.grad(loss))(W, X),
    "grad of jit": lambda: minijvp.grad(minijvp.jit(loss))(W),
    "grad of grad": lambda: minijvp.grad(lambda w: minijvp.grad(loss)(w).sum())(W),
    "grad, nan_safe": lambda: minijvp.grad(loss, nan_safe=True)(W),
    "grad of a condition": lambda: minijvp.jit(minijvp.grad(branch))(W),
    "vmap": lambda: minijvp.vmap(loss, in_axes=(None, 0))(W, jnp.ones((2, 5))),
    "vmap of grad": lambda: minijvp.vmap(minijvp.grad(loss), in_axes=(None, 0))(W, jnp.ones((2, 5))),
    "jvp": lambda: minijvp.jvp(loss, (W,), (W,)),
    "vjp": lambda: minijvp.vjp(loss, W),
    "linearize": lambda: minijvp.linearize(loss, W),
    "jacfwd": lambda: minijvp.jacfwd(loss)(W),
    "jacrev": lambda: minijvp.jacrev(loss)(W),
    "hessian": lambda: minijvp.hessian(loss)(W),
    "make_jaxpr": lambda: minijvp.make_jaxpr(loss)(W),
    "eval_shape": lambda: minijvp.eval_shape(loss, W),
    "lower": lambda: minijvp.jit(loss).lower(W),
    "checkpoint": lambda: minijvp.grad(minijvp.checkpoint(loss))(W),
    "scan": lambda: lax.scan(lambda c, w: (c, loss(w)), 0.0, jnp.ones((2, 3, 4))),
    "grad of scan": lambda: minijvp.grad(lambda w: lax.scan(lambda c, x: (c + loss(w, x), None), 0.0, X[None])[0])(W),
    "fori_loop": lambda: lax.fori_loop(0, 3, lambda i, c: c + loss(W), 0.0),
    "while_loop": lambda: minijvp.jit(lambda w: lax.while_loop(lambda c: c < loss(w), lambda c: c, 0.0))(W),
    "cond": lambda: lax.cond(True, loss, loss, W),
    "NumPy": lambda: minijvp.grad(by_numpy)(W),
    "jax.numpy": lambda: minijvp.grad(by_jax)(W),
    "the user's": lambda: minijvp.jit(minijvp.grad(own))(W),
    "a rule": lambda: minijvp.grad(ruled)(W),
    "from_jax": lambda: minijvp.grad(minijvp.from_jax(lambda w: jnp.sum(X @ w)))(W),  # wrong
    "to_jax": lambda: minijvp.to_jax(loss)(W),
    "taylor": lambda: minijvp.taylor(loss, W, W, 3),
    "jet": lambda: minijvp.jet(loss, (W,), ((W, W),)),
    "hvp": lambda: minijvp.hvp(loss, (W,), (W,)),
    "ggnvp": lambda: minijvp.ggnvp(mnp.sum, loss, (W,), (W,)),
    "ggnvp, loss": lambda: minijvp.ggnvp(loss, lambda w: w, (W,), (W,)),
    "fishervp": lambda: minijvp.fishervp(loss, (W,), (W,)),
    "divergence": lambda: minijvp.divergence(loss)(W),
    "laplacian": lambda: minijvp.laplacian(loss)(W),
    "hessian_diagonal": lambda: minijvp.hessian_diagonal(loss)(W),
    "jacobian_operator": lambda: minijvp.jacobian_operator(loss, W),
    "hessian_operator": lambda: minijvp.hessian_operator(loss, W),
    "sparsity": lambda: minijvp.sparsity(loss)(W),
    "sparse_jacobian": lambda: minijvp.sparse_jacobian(loss)(W),
    "draw": lambda: minijvp.draw(loss, W),
    "reverse_trace": lambda: minijvp.reverse_trace(loss, W),
    "forward_trace": lambda: minijvp.forward_trace(loss, (W,), (W,)),
    "residual_report": lambda: minijvp.residual_report(loss, W),
    "remat_plan": lambda: minijvp.remat_plan(loss, W),
    "backward_graph": lambda: minijvp.backward_graph(loss, W),
    "check_grads": lambda: minijvp.check_grads(loss, (W,), order=1),
    "explain_nan": lambda: minijvp.explain_nan(loss)(W),
    "why_zero": lambda: minijvp.why_zero(loss)(W),
}
AT_ONCE: dict[str, Callable[[], Any]] = {
    "an operation": lambda: mnp.dot(X, W),
    "an option": lambda: mnp.sum(W, axis=5),
    "sizes": lambda: minijvp.vmap(loss)(W, X),
    "argnums": lambda: minijvp.grad(loss, argnums=5)(W),
    "too many arguments": lambda: minijvp.grad(loss)(W, X, X),
    "an integer": lambda: minijvp.grad(loss)(1),
    "a string": lambda: minijvp.jit(loss)("text"),
    "lengths": lambda: lax.scan(lambda c, x: (c, x), 0.0, (X, W)),
    "tangents": lambda: minijvp.jvp(loss, (W,), (X,)),
    "no scalar": lambda: minijvp.grad(lambda w: w)(W),
}


def frames_of(call: Callable[[], Any]) -> tuple[Exception, list[traceback.FrameSummary]]:
    """The error that a call raises, and the frames of its traceback from the call on."""
    try:
        call()
    except Exception as error:
        return error, list(traceback.extract_tb(error.__traceback__)[1:])
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("name", [*INSIDE, *AT_ONCE])
def test_frames_are_those_of_the_user(name: str) -> None:
    error, frames = frames_of({**INSIDE, **AT_ONCE}[name])
    assert frames and {frame.filename for frame in frames} == {__file__}, "".join(traceback.format_list(frames))
    assert name in AT_ONCE or "wrong" in (frames[-1].line or ""), frames
    printed = "".join(traceback.format_exception(error))
    assert "JAX_TRACEBACK_FILTERING" not in printed
    assert "/minijvp/" not in printed.replace(__file__, ""), printed


def test_there_are_few() -> None:
    assert statistics.median([len(frames_of(call)[1]) for call in (INSIDE | AT_ONCE).values()]) <= 3


def test_what_minijvp_did_not_mean_to_raise_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("minijvp.transforms.jvp.JVPTrace.unpack")
    error, frames = frames_of(lambda: minijvp.jvp(mnp.sin, (1.0,), (1.0,)))
    assert isinstance(error, AttributeError)
    assert "/minijvp/" in frames[-1].filename and len(frames) > 4


def test_all_frames_where_they_are_asked_for() -> None:
    with minijvp.config(traceback="full"):
        _, frames = frames_of(INSIDE["jit of grad"])
    assert len(frames) > 8 and any("minijvp" in frame.filename for frame in frames)
    before = jax.config.jax_traceback_filtering
    jax.config.update("jax_traceback_filtering", "off")
    try:
        assert len(frames_of(INSIDE["jit of grad"])[1]) > 8
    finally:
        jax.config.update("jax_traceback_filtering", before)
    with pytest.raises(minijvp.ArgumentError, match=re.escape("traceback='none'")):
        minijvp.config.update(traceback="none")


def test_clauses_for_errors_of_jax_catch_ours() -> None:
    for error in (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerBoolConversionError,
        jax.errors.TracerIntegerConversionError,
    ):
        with pytest.raises(error):
            minijvp.jit(branch)(W)
    with pytest.raises(jax.errors.NonConcreteBooleanIndexError):
        minijvp.jit(lambda x: x[x > 0])(X)
    for error in (TypeError, ValueError):
        with pytest.raises(error):
            minijvp.grad(lambda w: w)(W)
