"""jax.export of programs of minijvp: symbolic sizes, several platforms, and exported programs inside of others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import minijvp
import minijvp.numpy as mnp
from minijvp.dimensions import countable
from minijvp.optimize.rematerialize.linearization import TooSmallError
from tests.calls.export_programs import FUNCTIONS, JAX, OURS, PROGRAMS

X = np.arange(6.0, dtype="float32").reshape(2, 3)


def symbolic(*shapes: Any, constraints: Any = ()) -> list[Any]:
    """Arguments of float32 of these shapes, whose sizes may be names."""
    scope = export.SymbolicScope(constraints)
    written = [",".join(map(str, s)) + "," * (len(s) == 1) for s in shapes]
    return [jax.ShapeDtypeStruct(export.symbolic_shape(s, scope=scope), "float32") for s in written]


def arguments(shapes: Any, **sizes: int) -> list[Any]:
    """Arrays of shapes with numbers for the names."""
    rng = np.random.RandomState(0)
    found = [[eval(n, dict(sizes)) if isinstance(n, str) else n for n in s] for s in shapes]
    return [rng.randn(*s).astype("float32") for s in found]


def require_same(found: Any, wanted: Any) -> None:
    """The same shapes, dtypes and values."""
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-4)


def gradients_of(m: Any, program: Callable[..., Any], n: int) -> Callable[..., Any]:
    """The derivatives of a loss by all of its arguments."""
    return m.grad(partial(program, m), tuple(range(n)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_with_symbolic_sizes(name: str) -> None:
    shapes, program = PROGRAMS[name]
    found = export.export(minijvp.jit(gradients_of(OURS, program, len(shapes))))(*symbolic(*shapes))
    for b in (2, 5):
        args = arguments(shapes, a=b + 1, b=b, t=3)
        require_same(found.call(*args), jax.jit(gradients_of(JAX, program, len(shapes)))(*args))


@pytest.mark.parametrize(
    "name", ["means", "products", "indices", "transformer", "recurrent", "batched", "read_from_jax"]
)
def test_gradients_under_jit_of_jax(name: str) -> None:
    shapes, program = PROGRAMS[name]
    found = export.export(jax.jit(gradients_of(OURS, program, len(shapes))))(*symbolic(*shapes))
    args = arguments(shapes, a=2, b=3, t=4)
    require_same(found.call(*args), jax.jit(gradients_of(JAX, program, len(shapes)))(*args))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_with_symbolic_sizes(name: str) -> None:
    shapes, program = FUNCTIONS[name]
    found = export.export(minijvp.jit(partial(program, OURS)))(*symbolic(*shapes))
    for b in (1, 4):
        args = arguments(shapes, b=b)
        require_same(found.call(*args), jax.jit(partial(program, JAX))(*args))


def test_equal_names_of_two_scopes_are_two_sizes() -> None:
    compiled = minijvp.jit(minijvp.grad(lambda x: (x * x.shape[0]).mean() * x.shape[1]))
    for _ in range(2):
        assert export.export(compiled)(*symbolic(("b", "c"))).call(X).shape == (2, 3)
    np.testing.assert_allclose(export.export(compiled)(*symbolic(("c", "b"))).call(X), 1.0)


def test_a_jaxpr_has_symbolic_sizes() -> None:
    jaxpr = minijvp.make_jaxpr(minijvp.grad(lambda x: mnp.mean(x**2)))(*symbolic(("b", 3)))
    assert repr(jaxpr.in_types) == repr(jaxpr.out_types) == "(f32[b,3],)"
    assert "dim_as_value[dim=3*b]" in str(jaxpr)
    assert minijvp.eval_shape(mnp.transpose, *symbolic(("b", 3))).shape[0] == 3


def deep(x: Any, w: Any) -> Any:
    """Many products."""
    for _ in range(8):
        x = mnp.tanh(x @ w)
    return (x**2).mean()


@pytest.mark.parametrize("constraints", [(), ("b <= 100000",)])
@pytest.mark.parametrize("budget", ["auto", "off", 0.5])
def test_plans_for_symbolic_sizes(budget: Any, constraints: Any) -> None:
    args = arguments([(5, 256), (256, 256)])
    args[1] /= 16
    with minijvp.config(memory_budget=budget):
        compiled = minijvp.jit(minijvp.grad(deep, (0, 1)))
        found = export.export(compiled)(*symbolic(("b", 256), (256, 256), constraints=constraints))
    require_same(found.call(*args), minijvp.grad(deep, (0, 1))(*args))
    assert (str(found.mlir_module()).count("stablehlo.tanh") > 8) == (budget == 0.5)


def test_a_budget_is_held_to_the_bounds_of_symbolic_sizes() -> None:
    with minijvp.config(memory_budget=10_000_000):
        compiled = minijvp.jit(minijvp.grad(deep, (0, 1)))
        export.export(compiled)(*symbolic(("b", 256), (256, 256), constraints=("b <= 1000",)))
        with pytest.raises(TooSmallError, match="too small"):
            export.export(compiled)(*symbolic(("b", 256), (256, 256), constraints=("b <= 100000",)))


def test_sizes_count_by_their_bounds() -> None:
    scope = export.SymbolicScope(("b <= 1000", "c >= 16"))
    b, c, d = export.symbolic_shape("b, c, d", scope=scope)
    assert (countable(7), countable(b), countable(c), countable(d), countable(3 * d)) == (7, 1024, 16, 1, 2)


def loss(x: Any) -> Any:
    """The sum of the squares of sines."""
    return (mnp.sin(x) ** 2).sum()


def loss_of_jax(x: Any) -> Any:
    """The same, written for JAX."""
    return (jnp.sin(x) ** 2).sum()


@pytest.mark.parametrize("shape", [(2, 3), ("b", 3)])
def test_exported_programs_inside_of_transformations(shape: Any) -> None:
    exported = minijvp.from_jax(export.export(minijvp.jit(loss))(*symbolic(shape)).call)
    wanted = jax.grad(loss_of_jax)(X)
    require_same(minijvp.grad(exported)(X), wanted)
    require_same(minijvp.jit(minijvp.grad(lambda x: exported(x) * 2))(X), 2 * wanted)
    require_same(minijvp.vjp(exported, X)[1](1.0)[0], wanted)
    twice = minijvp.grad(lambda x: (minijvp.grad(exported)(x) ** 2).sum())(X)
    require_same(twice, jax.grad(lambda x: (jax.grad(loss_of_jax)(x) ** 2).sum())(X))
    again = export.export(minijvp.jit(minijvp.grad(exported)))(*symbolic(shape))
    require_same(again.call(X), wanted)


def test_several_platforms() -> None:
    shapes, program = PROGRAMS["images"]
    gradient = gradients_of(OURS, program, len(shapes))
    found = export.export(minijvp.jit(gradient), platforms=("cpu", "cuda", "tpu"))(*symbolic(*shapes))
    assert found.platforms == ("cpu", "cuda", "tpu")
    args = arguments(shapes, b=2)
    require_same(found.call(*args), jax.jit(gradients_of(JAX, program, len(shapes)))(*args))


def test_what_wraps_a_compiled_function_has_not_its_methods() -> None:
    # jax.jit and jax.export take `trace` and `lower` from a function that has them: they were those of the loss.
    product = minijvp.jit(lambda x, y: (x @ y).sum())
    minijvp.jit(minijvp.grad(minijvp.jit(loss)))(X)
    for wrap in (
        minijvp.grad,
        minijvp.value_and_grad,
        minijvp.vmap,
        minijvp.jacrev,
        minijvp.jacfwd,
        minijvp.checkpoint,
    ):
        assert not {"trace", "lower", "eval_shape", "clear_cache"}.intersection(vars(wrap(product)))
    for compile in (jax.jit, minijvp.jit):
        gradient = compile(minijvp.grad(product))
        require_same(export.export(gradient)(X, X.T).call(X, X.T), np.broadcast_to(X.sum(0), (2, 3)))
        assert gradient.lower(X, X.T).out_info.shape == gradient.eval_shape(X, X.T).shape == (2, 3)
