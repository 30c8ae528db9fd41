"""config(check_nans=True), and JAX's own checks under jit: errors explain what is not finite."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.hooks import hooks
from minijvp.errors import ArgumentError, NonFiniteError
from tests.explain.test_explain_nan import ZEROS, line_of, root
from tests.plain import unplugged

CALLS: dict[str, Callable[[Any], Any]] = {
    "jit": minijvp.jit(minijvp.grad(root)),
    "jit, by keyword": lambda x: minijvp.jit(minijvp.grad(root, argnums="x"))(x=x),
    "grad": minijvp.grad(root),
    "value_and_grad": minijvp.value_and_grad(root),
    "vmap": lambda x: minijvp.vmap(minijvp.grad(root))(jnp.stack([x, x])),
    "vjp": lambda x: minijvp.vjp(root, x)[1](1.0),
    "jvp": lambda x: minijvp.jvp(root, (x,), (mnp.ones_like(x),)),
    "linearize": lambda x: minijvp.linearize(root, x)[1](mnp.ones_like(x)),
    "jacfwd": minijvp.jacfwd(root),
    "jacrev": minijvp.jacrev(root),
    "hessian": minijvp.hessian(root),
    "value_and_jacobian": minijvp.value_and_jacobian(root, chunk_size=2),
    "value_grad_and_hessian": minijvp.value_grad_and_hessian(root),
    "taylor": lambda x: minijvp.taylor(root, x, mnp.ones_like(x), 2),
    "jet": lambda x: minijvp.jet(root, (x,), ((mnp.ones_like(x),) * 2,)),
    "laplacian": minijvp.laplacian(root),
    "hessian_diagonal": minijvp.hessian_diagonal(root),
    "sparse_hessian": minijvp.sparse_hessian(root),
}


@pytest.mark.parametrize("name", ["elementwise_grad", "divergence", "sparse_jacobian"])
def test_derivatives_of_functions_of_many_numbers(name: str) -> None:
    call = getattr(minijvp, name)(mnp.sqrt)
    with minijvp.config(check_nans=True):
        with pytest.raises(NonFiniteError, match="inf"):
            call(ZEROS)
        call(ZEROS + 1)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_finite_is_explained(name: str) -> None:
    call = CALLS[name]
    call(ZEROS)  # nothing is checked
    with minijvp.config(check_nans=True):
        with pytest.raises(NonFiniteError) as error:
            call(ZEROS)
        call(ZEROS + 1)
    assert isinstance(error.value, FloatingPointError)
    # The inf among what a linearization keeps is an argument of the map of tangents, and becomes nan in the next line.
    marker = "# there" if name == "linearize" else "# here"
    assert error.value.report.source.line == line_of(root, marker)
    assert marker in str(error.value)
    assert "check_nans" in error.value.why
    assert error.value.do == error.value.report.remedy
    call(ZEROS)


def test_what_is_called_inside_is_not_checked_by_itself() -> None:
    inner = minijvp.jit(mnp.log)
    masked = lambda x: mnp.sum(mnp.where(x > 0, inner(x), 0.0))
    with minijvp.config(check_nans=True):
        assert minijvp.jit(masked)(ZEROS) == 0
        assert minijvp.vmap(masked)(ZEROS).tolist() == [0, 0, 0]
        with pytest.raises(NonFiniteError):
            inner(ZEROS)


def test_donated_arguments() -> None:
    fun = minijvp.jit(mnp.log, donate_argnums=0)
    x = jnp.zeros(3)
    with minijvp.config(check_nans=True):
        with pytest.raises(NonFiniteError, match="log, in the forward pass, makes inf of 0"):
            fun(x)
        assert not x.is_deleted()
    fun(x)
    assert x.is_deleted()


def test_all_sorts_of_results() -> None:
    fun = minijvp.jit(lambda x: {"a": x, "b": (x > 0, minijvp.random.key(0), x / x), "c": None})
    with minijvp.config(check_nans=True):
        fun(ZEROS + 1)
        with pytest.raises(NonFiniteError, match=r"result\['b'\]\[2\]"):
            fun(ZEROS)
        assert minijvp.grad(lambda x, n: x * n, allow_int=True, argnums=(0, 1))(1.0, 2)[0] == 2


def test_decorators_processes_and_threads() -> None:
    gradient = minijvp.grad(root)
    found: list[Any] = []
    with minijvp.config(check_nans=True):
        thread = threading.Thread(target=lambda: found.append(gradient(ZEROS)))
        thread.start()
        thread.join()
    assert np.isnan(found[0]).all()
    with pytest.raises(NonFiniteError):
        minijvp.config(check_nans=True)(gradient)(ZEROS)
    minijvp.config.update(check_nans=True)
    try:
        with pytest.raises(NonFiniteError):
            gradient(ZEROS)
        with minijvp.config(check_nans=False):
            gradient(ZEROS)
    finally:
        minijvp.config.update(check_nans=False)
    assert np.isnan(gradient(ZEROS)).all()


def test_numbers_of_python() -> None:
    with minijvp.config(check_nans=True):
        for number in (mnp.nan, mnp.inf):
            with pytest.raises(NonFiniteError, match=f"the argument x is {number}"):
                minijvp.jit(lambda x: x)(number)
            with pytest.raises(NonFiniteError, match=f"the argument x is {number}"):
                minijvp.vmap(lambda y, x: y * x, (0, None))(ZEROS + 1, number)


def test_errors_can_be_pickled() -> None:
    with minijvp.config(check_nans=True), pytest.raises(NonFiniteError) as error:
        minijvp.grad(root)(ZEROS)
    found = pickle.loads(pickle.dumps(error.value))
    assert (type(found), str(found), found.do) == (NonFiniteError, str(error.value), error.value.do)
    assert found.report is None


def test_jax_checks_too() -> None:
    fun = minijvp.jit(minijvp.grad(root))
    for scope in (jax.debug_nans, minijvp.debug_nans):
        with scope(True):
            with pytest.raises(NonFiniteError) as error:
                fun(ZEROS)
            assert error.value.report.source.line == line_of(root)
            assert isinstance(error.value.__cause__, FloatingPointError)
            fun(ZEROS + 1)
    with jax.debug_infs(True), pytest.raises(NonFiniteError):
        minijvp.jit(mnp.log)(ZEROS)


def test_what_cannot_be_explained_is_said_all_the_same() -> None:
    calls = 0

    def fun(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x / x if calls == 1 else x

    with minijvp.config(check_nans=True), pytest.raises(NonFiniteError, match="An operation at a time they are finite"):
        minijvp.jit(fun)(ZEROS)

    def other(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("no more")
        return x / x

    with minijvp.config(check_nans=True), pytest.raises(NonFiniteError, match="no more"):
        minijvp.jit(other)(ZEROS)


def test_the_machine_alone_checks_compiled_calls() -> None:
    with unplugged(), minijvp.config(check_nans=True), pytest.raises(NonFiniteError):
        minijvp.jit(lambda x: minijvp.grad(root)(x))(ZEROS)


def test_programs_are_the_same() -> None:
    fun = minijvp.jit(minijvp.grad(root))
    text = fun.lower(ZEROS).as_text()
    with minijvp.config(check_nans=True):
        assert fun.lower(ZEROS).as_text() == text


def test_bad_settings() -> None:
    with pytest.raises(ArgumentError, match="check_nans=1"):
        minijvp.config(check_nans=1)
    assert hooks.explainer is not None


def test_with_zeros_that_absorb() -> None:
    fun = lambda x: mnp.sum(mnp.where(x > 0, mnp.sqrt(x), 0.0) + mnp.sqrt(x + 1))  # here
    gradient = minijvp.grad(fun, nan_safe=True)
    with minijvp.config(check_nans=True):
        assert minijvp.jit(gradient)(ZEROS).tolist() == gradient(ZEROS).tolist() == [0.5, 0.5, 0.5]
        for call in (gradient, minijvp.jit(gradient)):
            with pytest.raises(NonFiniteError) as error:
                call(ZEROS - 1)
            assert error.value.report.source.text.endswith("# here")
    with minijvp.config(nan_safe=True):
        assert not minijvp.explain_nan(minijvp.grad(fun))(ZEROS)
        report = minijvp.explain_nan(minijvp.grad(lambda x: mnp.sum(mnp.sqrt(x))))(ZEROS)
        assert (report.direction, report.derivative_of) == ("backward", "sqrt")
