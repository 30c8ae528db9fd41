"""Collectives along the named axis of a vmap, against jax.vmap(axis_name=...)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, lax
from tests.side_by_side import both, same

X = jnp.array([[0.3, -1.2], [2.0, 0.7], [-0.4, 1.1]])
W = jnp.arange(24.0).reshape(2, 3, 4) / 7 - 1
ROTATION = ((0, 1), (1, 2), (2, 0))


COLLECTIVES = {
    "psum": lambda api, x: api.lax.psum(x, "i"),
    "pmean": lambda api, x: api.lax.pmean(x, "i"),
    "pmax": lambda api, x: api.lax.pmax(x, "i"),
    "pmin": lambda api, x: api.lax.pmin(x, "i"),
    "all_gather": lambda api, x: api.lax.all_gather(x, "i"),
    "all_gather_last": lambda api, x: api.lax.all_gather(x, "i", axis=-1),
    "all_gather_tiled": lambda api, x: api.lax.all_gather(x, "i", tiled=True),
    "ppermute": lambda api, x: api.lax.ppermute(x, "i", ROTATION),
    "pshuffle": lambda api, x: api.lax.pshuffle(x, "i", (2, 0, 1)),
    "axis_index": lambda api, x: x * api.lax.axis_index("i"),
    "axis_size": lambda api, x: x * api.lax.axis_size("i"),
}
DIFFERENTIABLE = [name for name in COLLECTIVES if name not in ("pmax", "pmin")]


@pytest.mark.parametrize("name", COLLECTIVES)
def test_values(name: str) -> None:
    both(lambda api, np: api.vmap(lambda x: COLLECTIVES[name](api, x), axis_name="i")(X))
    both(lambda api, np: api.vmap(lambda x: COLLECTIVES[name](api, x), in_axes=1, out_axes=-1, axis_name="i")(X.T))


@pytest.mark.parametrize("name", COLLECTIVES)
def test_values_that_are_not_mapped(name: str) -> None:
    y = X[0]
    both(lambda api, np: api.vmap(lambda x: COLLECTIVES[name](api, y) + x.sum(), axis_name="i")(X))
    both(lambda api, np: api.vmap(lambda x: COLLECTIVES[name](api, x), in_axes=None, axis_name="i", axis_size=3)(y))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_of_a_mapped_function(name: str) -> None:
    def case(api: Any, np: Any) -> Any:
        def loss(x: Any) -> Any:
            return np.sin(api.vmap(lambda x: np.cos(x).sum() * COLLECTIVES[name](api, x * x), axis_name="i")(x)).sum()

        return api.grad(loss)(X)

    both(case)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_mapped_gradient(name: str) -> None:
    """The gradient is taken inside: each lane differentiates a collective of its own values."""

    def case(api: Any, np: Any) -> Any:
        return api.vmap(api.grad(lambda x: np.sin(COLLECTIVES[name](api, x * x)).sum()), axis_name="i")(X)

    both(case)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_pushforward(name: str) -> None:
    def case(api: Any, np: Any) -> Any:
        fun = lambda x: COLLECTIVES[name](api, x * x)
        inside = api.vmap(lambda x, t: api.jvp(fun, (x,), (t,)), axis_name="i")(X, X[::-1])
        return inside, api.jvp(api.vmap(fun, axis_name="i"), (X,), (X[::-1],))

    both(case)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_jit_inside_vmap(name: str) -> None:
    def case(api: Any, np: Any) -> Any:
        fun = api.jit(lambda x: np.sin(COLLECTIVES[name](api, x * x)).sum())
        mapped = api.vmap(fun, axis_name="i")
        gradients = api.grad(lambda x: mapped(x).sum())(X), api.vmap(api.grad(fun), axis_name="i")(X)
        return mapped(X), api.jit(mapped)(X), gradients

    both(case)


@pytest.mark.parametrize("perm", [(), ((0, 2),), ((1, 1), (2, 0))])
def test_lanes_that_receive_nothing_have_zeros(perm: Any) -> None:
    """JAX's vmap refuses these; they are the product with a matrix."""
    m = np.zeros((3, 3))
    for source, destination in perm:
        m[destination, source] = 1
    shifted = minijvp.vmap(lambda x: minijvp.lax.ppermute(x * x, "i", perm), axis_name="i")
    same(shifted(X), jnp.asarray(m) @ X**2)
    same(minijvp.grad(lambda x: mnp.sin(shifted(x)).sum())(X), jax.grad(lambda x: jnp.sin(m @ x**2).sum())(X))


@pytest.mark.parametrize("name", ["pmax", "pmin"])
def test_gradients_of_extrema(name: str) -> None:
    """JAX has none for these. The lane with the extremum gets it all; lanes that tie share it."""
    extremum = getattr(minijvp.lax, name)
    weights = jnp.array([1.0, 2.0])

    def loss(x: Any) -> Any:
        return (minijvp.vmap(lambda x: extremum(x, "i"), axis_name="i")(x) * weights).sum()

    reduction = {"pmax": jnp.max, "pmin": jnp.min}[name]
    x = X.at[2].set(X[0])
    for point in (X, x):
        same(minijvp.grad(loss)(point), jax.grad(lambda x: 3 * (reduction(x, 0) * weights).sum())(point))


def test_trees() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            tree = {"a": x, "b": (x.sum(), None), "n": np.arange(2) + api.lax.axis_index("i")}
            lax = api.lax
            return [
                lax.psum(tree, "i"),
                lax.pmean({"a": x}, "i"),
                lax.pmax(tree, "i"),
                lax.all_gather(tree, "i"),
                lax.ppermute(tree, "i", ROTATION),
            ]

        return api.vmap(fun, axis_name="i")(X)

    both(case)


def test_python_scalars() -> None:
    sizes = []

    def fun(x: Any) -> Any:
        sizes.append((minijvp.lax.psum(1, "i"), minijvp.lax.psum(2.0, "i"), minijvp.lax.axis_size("i")))
        return x / minijvp.lax.psum(1, "i")

    same(minijvp.vmap(fun, axis_name="i")(X), X / 3)
    same(minijvp.vmap(minijvp.jit(fun), axis_name="i")(X), X / 3)
    assert sizes == [(3, 6.0, 3)] * 2
    assert all(type(x) is type(y) for x, y in zip(sizes[0], (1, 1.0, 1), strict=True))


def test_integers() -> None:
    n = jnp.arange(6).reshape(3, 2)
    both(
        lambda api, np: api.vmap(
            lambda n: (api.lax.psum(n, "i"), api.lax.pmean(n, "i"), api.lax.pmax(n, "i")), axis_name="i"
        )(n)
    )


def test_axis_index_is_int32() -> None:
    found = minijvp.vmap(lambda x: minijvp.lax.axis_index("i"), axis_name="i")(X)
    assert (found.dtype, found.tolist()) == ("int32", [0, 1, 2])


def test_results_that_are_the_same_for_all() -> None:
    both(lambda api, np: api.vmap(lambda x: api.lax.psum(x, "i"), out_axes=None, axis_name="i")(X))
    both(lambda api, np: api.vmap(lambda x: api.lax.all_gather(x, "i"), out_axes=None, axis_name="i")(X))


@pytest.mark.parametrize("axes", ["i", "j", ("i", "j"), ("j", "i"), ("i",)])
@pytest.mark.parametrize("name", ["psum", "pmean", "pmax", "axis_index", "axis_size"])
def test_nested_names(name: str, axes: Any) -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            collective = getattr(api.lax, name)
            return x * (collective(axes) if name.startswith("axis") else collective(x, axes))

        return api.vmap(api.vmap(fun, axis_name="j"), axis_name="i")(W)

    both(case)


@pytest.mark.parametrize("axis", ["i", "j"])
@pytest.mark.parametrize("name", ["all_gather", "ppermute", "psum"])
def test_gradients_through_nested_names(name: str, axis: str) -> None:
    rotation = {"i": ((0, 1), (1, 0)), "j": ROTATION}[axis]

    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            options = (rotation,) if name == "ppermute" else ()
            return np.sin(getattr(api.lax, name)(x * x, axis, *options)).sum() * x

        both_axes = api.vmap(api.vmap(fun, axis_name="j"), axis_name="i")
        inside = api.vmap(api.vmap(api.grad(lambda x: fun(x).sum()), axis_name="j"), axis_name="i")
        return api.grad(lambda x: both_axes(x).sum())(W), inside(W)

    both(case)


def test_an_inner_name_hides_an_outer_one() -> None:
    both(lambda api, np: api.vmap(api.vmap(lambda x: x - api.lax.pmean(x, "i"), axis_name="i"), axis_name="i")(W))


def test_unnamed_maps_between() -> None:
    def case(api: Any, np: Any) -> Any:
        inner = api.vmap(lambda x: x / api.lax.psum(x * x, "i") + api.lax.all_gather(x, "i").sum(0))
        mapped = api.vmap(inner, axis_name="i")
        return mapped(W), api.vmap(api.vmap(lambda x: x - api.lax.psum(x, "i"), axis_name="i"))(W)

    both(case)


def test_normalization() -> None:
    """A batch norm, whose statistics are collective, and its gradients with respect to shared parameters."""

    def case(api: Any, np: Any) -> Any:
        def layer(p: Any, x: Any) -> Any:
            mean = api.lax.pmean(x, "batch")
            variance = api.lax.pmean((x - mean) ** 2, "batch")
            return p["scale"] * (x - mean) / np.sqrt(variance + 1e-5) + p["bias"]

        def loss(p: Any, x: Any) -> Any:
            return (api.vmap(layer, (None, 0), axis_name="batch")(p, x) ** 3).sum()

        p = {"scale": jnp.array([1.0, 2.0]), "bias": jnp.array([0.5, -0.5])}
        return api.value_and_grad(loss, (0, 1))(p, X), api.jit(api.grad(loss))(p, X)

    both(case)


def test_data_parallel_gradients() -> None:
    def case(api: Any, np: Any) -> Any:
        def step(w: Any, x: Any) -> Any:
            return w - 0.1 * api.lax.pmean(api.grad(lambda w: np.sin(w @ x))(w), "i")

        return api.vmap(step, (None, 0), out_axes=None, axis_name="i")(X[0], X)

    both(case)


def test_names_may_be_any_hashable() -> None:
    axis = object()
    same(minijvp.vmap(lambda x: minijvp.lax.psum(x, axis), axis_name=axis)(X), jnp.broadcast_to(X.sum(0), (3, 2)))


@pytest.mark.parametrize("name", COLLECTIVES)
def test_names_that_are_not_bound(name: str) -> None:
    with pytest.raises(ArgumentError, match="'i' is not bound"):
        COLLECTIVES[name](minijvp, X)
    with pytest.raises(ArgumentError, match="'i' is not bound"):
        minijvp.vmap(lambda x: COLLECTIVES[name](minijvp, x), axis_name="j")(X)
    minijvp.vmap(lambda x: COLLECTIVES[name](minijvp, x), axis_name="i")(X)
    with pytest.raises(ArgumentError, match="'i' is not bound"):
        COLLECTIVES[name](minijvp, X)


def test_a_jitted_function_knows_its_axes() -> None:
    """The same jitted function under maps of different sizes, and outside of any."""
    fun = minijvp.jit(lambda x: x / minijvp.lax.psum(1, "i"))
    same(minijvp.vmap(fun, axis_name="i")(X), X / 3)
    same(minijvp.vmap(fun, axis_name="i")(X[:2]), X[:2] / 2)
    with pytest.raises(NameError, match="not bound"):  # as in JAX
        fun(X[0])


@pytest.mark.parametrize("perm", [((0, 1), (0, 2)), ((0, 1), (2, 1)), ((0, 3),), ((-1, 0),)])
def test_wrong_permutations(perm: Any) -> None:
    with pytest.raises(ArgumentError):
        minijvp.vmap(lambda x: minijvp.lax.ppermute(x, "i", perm), axis_name="i")(X)


# Axes that JAX binds


def spoken(lax_: Any, np_: Any) -> dict[str, Any]:
    """Functions of a number that speak along the axis i, by the one library or the other."""
    ours = lax_ is lax
    gathered = lambda x: lax_.all_gather(x, "i")
    rows = lambda x: np_.stack([x**k for k in range(lax_.axis_size("i"))])
    around = lambda: [(k, (k + 1) % lax_.axis_size("i")) for k in range(lax_.axis_size("i"))]
    here = lambda x: x[lax_.axis_index("i")]
    return {
        "psum": lambda x: np_.sin(x) / lax_.psum(x, "i"),
        "pmean": lambda x: x * lax_.pmean(x**2, "i"),
        # JAX differentiates neither of its own.
        "pmax": lambda x: x * (lax_.pmax(np_.sin(x), "i") if ours else np_.max(gathered(np_.sin(x)))),
        "pmin": lambda x: x * (lax_.pmin(np_.sin(x), "i") if ours else np_.min(gathered(np_.sin(x)))),
        "all_gather": lambda x: x * np_.sum(gathered(x) ** 2),
        "axis_index": lambda x: x**2 * lax_.axis_index("i") + lax_.axis_size("i"),
        "ppermute": lambda x: x * lax_.ppermute(x**2, "i", around()),
        # JAX refuses its own under its vmap: "tuple index out of range".
        "psum_scatter": lambda x: x * (lax_.psum_scatter(rows(x), "i") if ours else here(lax_.psum(rows(x), "i"))),
    }


OURS, THEIRS = spoken(lax, mnp), spoken(jax.lax, jnp)
WORDS = {
    "value": lambda api, f: f,
    "grad": lambda api, f: api.grad(f),
    "grad-grad": lambda api, f: api.grad(api.grad(f)),
    "jacfwd": lambda api, f: api.jacfwd(f),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", OURS)
def test_axes_of_vmap_of_jax(name: str, word: str) -> None:
    f, w, x = OURS[name], WORDS[word], jnp.arange(1.0, 5.0) ** 1.5
    jitted, read = w(minijvp, minijvp.jit(f)), w(minijvp, minijvp.from_jax(THEIRS[name]))
    functions = [w(minijvp, f), minijvp.jit(w(minijvp, f)), w(jax, minijvp.to_jax(f)), jitted, read]
    if (name, word) != ("psum_scatter", "jacfwd"):  # eager, it is JAX's own
        functions.append(w(jax, f))
    wanted = jax.vmap(w(jax, THEIRS[name]), axis_name="i")(x)
    for function in functions:
        np.testing.assert_allclose(jax.vmap(function, axis_name="i")(x), wanted, rtol=1e-10)
    inside = jax.vmap(minijvp.vmap(w(minijvp, f)), axis_name="i")(x[:, None])
    np.testing.assert_allclose(inside[:, 0], wanted, rtol=1e-10)
    for function in (jitted, read):  # along an axis of another size, nothing is left of the first
        smaller = jax.vmap(function, axis_name="i")(x[:3])
        np.testing.assert_allclose(smaller, jax.vmap(w(jax, THEIRS[name]), axis_name="i")(x[:3]), rtol=1e-10)


def test_partial_permutations_under_vmap_of_jax() -> None:
    x = jnp.arange(1.0, 5.0)
    for pairs in ([], [(0, 2)], [(3, 0), (1, 1)]):
        shift = lambda x, pairs=pairs: lax.ppermute(x, "i", pairs)
        wanted = minijvp.vmap(shift, axis_name="i")(x)
        np.testing.assert_array_equal(jax.vmap(shift, axis_name="i")(x), wanted)


def test_names_that_jax_does_not_bind() -> None:
    with pytest.raises(minijvp.ArgumentError, match=r"known here: \['i'\]"):
        jax.vmap(lambda x: lax.psum(x, "j"), axis_name="i")(jnp.ones(3))


def test_axes_of_devices() -> None:
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("i")
    shared = lambda f, check: jax.shard_map(f, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=check)
    f = lambda x: x * lax.psum(mnp.sin(x), "i")
    x = jnp.arange(3.0)
    for check in (False, True):
        for g in (f, minijvp.jit(f), minijvp.to_jax(f)):
            np.testing.assert_allclose(shared(g, check)(x), x * jnp.sin(x), rtol=1e-6)
        gradient = shared(minijvp.grad(lambda x: f(x).sum()), check)(x)
        np.testing.assert_allclose(gradient, jnp.sin(x) + x * jnp.cos(x), rtol=1e-6)


TWO = ("i", "j")
SEVERAL = {
    "all_to_all": lambda api, x: api.lax.all_to_all(x, TWO, 0, 0),
    "all_to_all_crossed": lambda api, x: api.lax.all_to_all(x, ("j", "i"), 0, 0),
    "all_to_all_tiled": lambda api, x: api.lax.all_to_all(x, TWO, 0, 0, tiled=True),
    "pswapaxes": lambda api, x: api.lax.pswapaxes(x, TWO, 0),
    "all_to_all_one": lambda api, x: api.lax.all_to_all(x[:2], ("i",), 0, 0),
    "psum_of_an_axis": lambda api, x: api.lax.psum(x, ("i", 0)),
    "psum_of_scalars": lambda api, x: x * api.lax.psum({"n": 1}, "j")["n"],
    "psum_of_groups": lambda api, x: x * api.lax.psum(2, "j", axis_index_groups=[[0], [2], [1]]),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_over_several_axes(name: str) -> None:
    x = jnp.arange(36.0).reshape(2, 3, 6) / 7

    def case(api: Any, np: Any) -> Any:
        inner = lambda x: SEVERAL[name](api, x * x)
        fun = api.vmap(api.vmap(inner, axis_name="j"), axis_name="i")
        return fun(x), api.grad(lambda x: np.vdot(fun(x), np.cos(fun(x))))(x)

    both(case)


def test_groups_and_names_that_do_not_fit() -> None:
    mapped = lambda fun: minijvp.vmap(minijvp.vmap(fun, axis_name="j"), axis_name="i")(jnp.zeros((2, 3, 6)))
    with pytest.raises(ArgumentError, match="groups of one size"):
        mapped(lambda x: x * lax.psum(1, "j", axis_index_groups=[[0, 1], [2]]))
    with pytest.raises(ArgumentError, match="axis_index_groups"):
        mapped(lambda x: lax.psum(x, "j", axis_index_groups=[[0, 1, 2]]))
    with pytest.raises(ArgumentError, match="ppermute received the axis names"):
        mapped(lambda x: lax.ppermute(x, TWO, [(0, 1)]))
    with pytest.raises(ArgumentError, match="axis=7"):
        mapped(lambda x: lax.psum(x, 7))


def test_parts_along_one_axis_take_no_detour() -> None:
    """The blocks that several axes need are for those."""
    for send in (minijvp.lax.all_to_all, minijvp.from_jax(jax.lax.all_to_all)):
        mapped = minijvp.vmap(lambda x, send=send: send(x, "i", 0, 0), axis_name="i")
        assert len(minijvp.make_jaxpr(mapped)(jnp.ones((3, 3))).equations) == 3
