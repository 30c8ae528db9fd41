"""Operations of JAX and of libraries that minijvp does not know: by the rules that came with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.experimental import pallas, sparse
from jax.experimental.custom_partitioning import custom_partitioning

import minijvp
from minijvp.interop.foreign import ForeignEquation
from tests.interop.models import normal
from tests.interop.primitives import any_lane, bare, halves, refuses_tangents, scaled_sine
from tests.side_by_side import same

X, Y = normal(0, 3), normal(1, 3)


def under_all(fun: Callable[..., Any], *args: Any, batches: bool = True) -> None:
    """The derivatives in the first two arguments in both modes, compiled, of a batch, and of second order, as JAX's."""
    bridged, numbers = minijvp.from_jax(fun), tuple(range(len(args)))
    same(minijvp.grad(bridged, numbers)(*args), jax.grad(fun, numbers)(*args))
    same(minijvp.jit(minijvp.grad(bridged))(*args), jax.grad(fun)(*args))
    same(minijvp.jvp(bridged, args, args), jax.jvp(fun, args, args))
    if batches:
        rows = [jnp.stack([x, x + 0.5]) for x in args]
        same(minijvp.vmap(minijvp.grad(bridged))(*rows), jax.vmap(jax.grad(fun))(*rows))
        same(minijvp.jit(minijvp.hessian(bridged))(*args), jax.jit(jax.hessian(fun))(*args))


def test_an_operation_with_rules() -> None:
    under_all(lambda x, y: (scaled_sine.bind(x, y) ** 2).sum(), X, Y)
    under_all(lambda x: sum(jnp.sum(y) for y in halves.bind(x)), X)


def test_inside_of_control_flow_and_rules() -> None:
    def in_a_loop(x: Any, y: Any) -> Any:
        step = lambda c, _: (scaled_sine.bind(c, y), c)
        return jax.lax.scan(step, x, None, length=3)[0].sum()

    under_all(in_a_loop, X, Y)
    under_all(lambda x: jax.checkpoint(lambda x: scaled_sine.bind(x, x))(x).sum(), X)


def test_a_result_without_a_batch_axis() -> None:
    """A choice by it stays a choice."""
    fun = lambda x: jax.lax.cond(any_lane.bind(x > 0), jnp.sin, lambda x: x, x)
    assert "cond" in str(minijvp.make_jaxpr(minijvp.vmap(minijvp.from_jax(fun)))(X))
    same(minijvp.vmap(minijvp.from_jax(fun))(X), jax.vmap(fun)(X))
    grad = minijvp.vmap(minijvp.grad(minijvp.from_jax(fun)))
    same(grad(X), jax.vmap(jax.grad(fun))(X))


def test_zeros_stay_symbols() -> None:
    """A rule that refuses tangents gets none where JAX has none: behind one that gives zeros, and for arguments."""
    fun = lambda x: (halves.bind(x)[0] * refuses_tangents.bind(halves.bind(x)[1])).sum()
    under_all(fun, X)
    with pytest.raises(RuntimeError, match="unexpected tangent"):
        minijvp.grad(minijvp.from_jax(lambda x: refuses_tangents.bind(x).sum()))(X)


def test_what_has_no_rule_is_named() -> None:
    """It still runs, and a function with a rule of its own may call it."""
    fun = minijvp.from_jax(lambda x: bare.bind(x).sum())
    same(minijvp.jit(fun)(X), jnp.sin(X).sum())
    for word in (minijvp.grad, minijvp.vmap, lambda f: minijvp.jit(minijvp.grad(f))):
        with pytest.raises(minijvp.MissingRuleError, match=r"'bare' .* has no rule for") as raised:
            word(fun)(X)
        assert "bare.bind(x).sum()" in raised.value.what
    ruled = jax.custom_jvp(lambda x: bare.bind(x))
    ruled.defjvp(lambda primals, tangents: (ruled(*primals), jnp.cos(*primals) * tangents[0]))
    same(minijvp.grad(minijvp.from_jax(lambda x: ruled(x).sum()))(X), jnp.cos(X))


def test_equal_operations_are_equal() -> None:
    """They share programs of derivatives and compilations."""
    found = [jax.make_jaxpr(scaled_sine.bind)(x, Y).eqns[0] for x in (X, Y, X[:2])]
    first, second, other = map(ForeignEquation, found)
    assert first == second
    assert hash(first) == hash(second)
    assert first != other


@pytest.mark.parametrize("kind", [sparse.BCOO, sparse.BCSR, sparse.CSR, sparse.COO])
def test_sparse_matrices(kind: Any) -> None:
    """The gradient in the numbers of a matrix and in a vector. CSR and COO have no rules for batches."""
    dense = jnp.asarray(np.where(np.random.default_rng(0).random((4, 3)) > 0.5, normal(2, 4, 3), 0.0))
    leaves, tree = jax.tree_util.tree_flatten(kind.fromdense(dense))
    number = next(i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating))

    def fun(data: Any, v: Any) -> Any:
        matrix = jax.tree_util.tree_unflatten(tree, [*leaves[:number], data, *leaves[number + 1 :]])
        return jnp.sin(matrix @ v).sum()

    under_all(fun, leaves[number], X, batches=kind in (sparse.BCOO, sparse.BCSR))


def kernel(x: Any, y: Any, out: Any) -> None:
    out[...] = jnp.sin(x[...]) * y[...]


def by_pallas(x: Any, y: Any) -> Any:
    return pallas.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True)(x, y)


def test_pallas() -> None:
    """A kernel has forward mode, and reverse mode by a function with a rule."""
    fun = lambda x, y: by_pallas(x, y).sum()
    bridged = minijvp.from_jax(fun)
    same(minijvp.jvp(bridged, (X, Y), (Y, X)), jax.jvp(fun, (X, Y), (Y, X)))
    same(minijvp.jit(minijvp.vmap(bridged))(X[:, None], Y[:, None]), jnp.sin(X) * Y)
    with pytest.raises(minijvp.MissingRuleError, match=r"pallas_call.* no rule for cotangents"):
        minijvp.grad(bridged)(X, Y)
    ruled = jax.custom_vjp(by_pallas)
    backward = lambda kept, ct: (ct * jnp.cos(kept[0]) * kept[1], by_pallas(kept[0], ct))
    ruled.defvjp(lambda x, y: (by_pallas(x, y), (x, y)), backward)
    wanted = jnp.cos(X) * Y, jnp.sin(X)
    for word in (minijvp.grad, lambda *f: minijvp.jit(minijvp.grad(*f))):
        same(word(minijvp.from_jax(lambda x, y: ruled(x, y).sum()), (0, 1))(X, Y), wanted)


def test_programs_that_were_exported() -> None:
    exported = export.export(jax.jit(lambda x: jnp.sin(x) * x))(X)
    fun = lambda x: exported.call(x).sum()
    for word in (lambda f: f, minijvp.jit, minijvp.grad, lambda f: minijvp.jit(minijvp.grad(f))):
        found = word(minijvp.from_jax(fun))(X)
        same(found, (jnp.sin(X) * X).sum() if jnp.ndim(found) == 0 else jnp.sin(X) + X * jnp.cos(X))


def test_functions_with_a_partition_of_their_own() -> None:
    """JAX has no derivative of them."""
    partitioned = custom_partitioning(lambda x: jnp.sin(x))
    partitioned.def_partition(
        infer_sharding_from_operands=lambda *_: None, partition=lambda *_: None, sharding_rule="i -> i"
    )
    same(minijvp.jit(minijvp.from_jax(lambda x: partitioned(x)))(X), jnp.sin(X))
    with pytest.raises(minijvp.MissingRuleError, match="custom_partitioning"):
        minijvp.grad(minijvp.from_jax(lambda x: partitioned(x).sum()))(X)
