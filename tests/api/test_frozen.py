"""Leaves that grad, value_and_grad and vjp leave out: frozen, or without a derivative."""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from tests.side_by_side import same

X = jnp.array([0.3, -1.2, 2.0])
PARAMS = {"a": jnp.array([1.0, 2.0, -0.5]), "b": {"w": jnp.array(0.7), "v": [X, jnp.array(2.0)]}}


def loss(params: Any) -> Any:
    inner = params["b"]
    return mnp.sum(mnp.sin(params["a"]) * inner["v"][0] * inner["w"]) + inner["v"][1] ** 2


def loss_of_jax(params: Any) -> Any:
    inner = params["b"]
    return jnp.sum(jnp.sin(params["a"]) * inner["v"][0] * inner["w"]) + inner["v"][1] ** 2


def without(tree: Any, *paths: str) -> Any:
    """The tree with None in place of the leaves whose path begins with one of these."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: None if jax.tree_util.keystr(path).startswith(paths) else x, tree
    )


WANTED = jax.grad(loss_of_jax)(PARAMS)

CHOICES = {
    "prefix": ({"a": False, "b": True}, ("['b']",)),
    "tree": ({"a": True, "b": {"w": False, "v": [True, False]}}, ("['a']", "['b']['v'][0]")),
    "numpy-bools": ({"a": np.True_, "b": np.False_}, ("['a']",)),
    "nothing": (False, ()),
    "everything": (True, ("[",)),
    "leaf": (lambda leaf: leaf.ndim == 1, ("['a']", "['b']['v'][0]")),
    "path": (lambda path, leaf: "['v']" in path, ("['b']['v']",)),
    "path-and-option": (lambda path, leaf, key="'w'": key in path, ("['b']['w']",)),
    "path-and-leaf-by-default": (lambda path, leaf=None: "['v']" in path, ("['b']['v']",)),
    "leaf-and-option": (lambda leaf, dims=1: leaf.ndim == dims, ("['a']", "['b']['v'][0]")),
    "starred": (lambda *args: "['v']" in args[0] and args[1].ndim == 1, ("['b']['v'][0]",)),
    "partial": (partial(lambda key, path, leaf: key in path, "'w'"), ("['b']['w']",)),
}


@pytest.mark.parametrize(("frozen", "paths"), CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("word", ["eager", "jit", "vmap", "vmap-jit"])
def test_frozen_leaves_have_none_and_others_the_gradient(frozen: Any, paths: tuple[str, ...], word: str) -> None:
    gradient = minijvp.grad(loss, frozen=frozen)
    if "jit" in word:
        gradient = minijvp.jit(gradient)
    params, wanted = PARAMS, without(WANTED, *paths) if paths else WANTED
    if "vmap" in word:
        gradient = minijvp.vmap(gradient)
        params, wanted = jax.tree.map(lambda x: jnp.stack([x, x]), (params, wanted))
    same(gradient(params), wanted)


@pytest.mark.parametrize(("frozen", "paths"), CHOICES.values(), ids=CHOICES)
def test_value_and_grad_and_vjp_freeze_likewise(frozen: Any, paths: tuple[str, ...]) -> None:
    wanted = without(WANTED, *paths) if paths else WANTED
    value, gradient = minijvp.value_and_grad(loss, frozen=frozen)(PARAMS)
    same((value, gradient), (loss_of_jax(PARAMS), wanted))
    given = frozen if callable(frozen) else (frozen,)
    out, pull = minijvp.vjp(loss, PARAMS, frozen=given)
    same((out, pull(jnp.array(1.0))), (loss_of_jax(PARAMS), (wanted,)))


def test_several_arguments_have_a_tuple_of_choices() -> None:
    f = lambda x, y, z: x * y["k"] * z["k"]
    x, y, z = 2.0, {"k": 3.0}, {"k": 5.0}
    found = minijvp.grad(f, argnums=(0, "z"), frozen=(True, False))(x, y, z=z)
    assert found[0] is None and float(found[1]["k"]) == 6.0
    found = minijvp.grad(f, argnums=(2, 0), frozen=lambda path, leaf: path == "[0]['k']")(x, y, z)
    assert found[0] == {"k": None} and float(found[1]) == 15.0


def test_the_other_options_go_with_frozen_leaves() -> None:
    def with_aux(params: Any) -> Any:
        return minijvp.tap(loss(params), "loss"), params["a"]

    frozen = {"a": True, "b": False}
    (value, aux), gradient, taps = minijvp.value_and_grad(with_aux, has_aux=True, taps=True, frozen=frozen)(PARAMS)
    same((value, aux, gradient), (loss_of_jax(PARAMS), PARAMS["a"], without(WANTED, "['a']")))
    assert float(taps["loss"]) == 1.0
    same(minijvp.grad(loss, memory_budget=0.5, frozen=frozen)(PARAMS), without(WANTED, "['a']"))
    z = {"c": jnp.array(1 + 2j), "r": jnp.array(3.0)}
    found = minijvp.grad(lambda p: p["c"] ** 2 * p["r"], holomorphic=True, frozen={"c": False, "r": True})(z)
    same(found, {"c": jnp.array(6 + 12j), "r": None})


def test_a_second_derivative_of_what_is_not_frozen() -> None:
    def squared(params: Any) -> Any:
        gradient = minijvp.grad(loss, frozen={"a": False, "b": True})(params)
        return mnp.sum(gradient["a"] ** 2)

    wanted = jax.grad(lambda p: jnp.sum(jax.grad(loss_of_jax)(p)["a"] ** 2))(PARAMS)
    same(minijvp.grad(squared)(PARAMS), wanted)


def test_a_frozen_leaf_may_be_anything() -> None:
    params = {"w": 2.0, "n": 3, "f": mnp.sin, "name": "sum"}
    f = lambda p: p["f"](p["w"]) * getattr(mnp, p["name"])(mnp.ones(range(9)[p["n"]]))
    found = minijvp.grad(f, frozen=lambda path, leaf: path != "['w']")(params)
    assert found == {"w": found["w"], "n": None, "f": None, "name": None}
    np.testing.assert_allclose(found["w"], 3 * np.cos(2.0), rtol=1e-6)


def test_a_module_of_equinox_by_its_filters() -> None:
    model = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0))
    x = jnp.array([0.5, -1.0])
    ours = minijvp.grad(
        lambda m: minijvp.from_jax(lambda m, x: m(x)[0])(m, x), frozen=lambda leaf: not eqx.is_inexact_array(leaf)
    )
    same(eqx.filter(ours(model), eqx.is_array), eqx.filter(eqx.filter_grad(lambda m: m(x)[0])(model), eqx.is_array))
    spec = jax.tree.map(lambda leaf: True, model)  # a module of bools can be called too, and is a tree
    spec = eqx.tree_at(lambda m: m.layers[-1].bias, spec, False)
    found = minijvp.grad(lambda m: minijvp.from_jax(lambda m, x: m(x)[0])(m, x), frozen=spec)(model)
    assert found.layers[0].weight is None and found.layers[-1].weight is None
    same(found.layers[-1].bias, jnp.ones(1, found.layers[-1].bias.dtype))


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1, momentum=0.9), optax.adam(0.1)], ids=["sgd", "adam"])
def test_optimizers_take_gradients_with_none(optimizer: Any) -> None:
    frozen = {"a": True, "b": {"w": False, "v": [False, True]}}
    gradient = minijvp.grad(loss, frozen=frozen)(PARAMS)
    trained = without(PARAMS, "['a']", "['b']['v'][1]")
    updates, _ = optimizer.update(gradient, optimizer.init(trained), trained)
    every, _ = optimizer.update(WANTED, optimizer.init(PARAMS), PARAMS)
    wanted = without(optax.apply_updates(PARAMS, every), "['a']", "['b']['v'][1]")
    same(optax.apply_updates(trained, updates), wanted)
    same(eqx.apply_updates(PARAMS, updates), eqx.combine(wanted, PARAMS))


N, RANK = 1000, 4


def lora(params: Any, x: Any) -> Any:
    for layer in params:
        x = mnp.tanh(x @ layer["w"] + (x @ layer["down"]) @ layer["up"])
    return mnp.sum(x**2)


def memory(gradient: Any, *args: Any) -> tuple[int, int]:
    """The bytes that a compiled gradient needs besides its arguments, for itself and for its results."""
    found = minijvp.jit(gradient).lower(*args).compile().memory_analysis()
    return found.temp_size_in_bytes, found.output_size_in_bytes


def test_frozen_weights_cost_no_bytes() -> None:
    shapes = {"w": (N, N), "down": (N, RANK), "up": (RANK, N)}
    params = [{k: jax.ShapeDtypeStruct(s, np.float32) for k, s in shapes.items()} for _ in range(4)]
    x = jax.ShapeDtypeStruct((16, N), np.float32)
    frozen = [{"w": True, "down": False, "up": False}] * 4

    def closing(rest: Any, weights: Any, x: Any) -> Any:
        return minijvp.grad(lambda rest: lora([{**r, "w": w} for r, w in zip(rest, weights, strict=True)], x))(rest)

    found = memory(minijvp.grad(lora, frozen=frozen), params, x)
    rest = [{k: p[k] for k in ("down", "up")} for p in params]
    closed = memory(closing, rest, [p["w"] for p in params], x)
    whole = memory(minijvp.grad(lora), params, x)
    matrix = 4 * N * N
    assert found == closed
    assert sum(found) < 0.2 * matrix and sum(whole) > 4 * matrix  # no gradient of a frozen weight, nor a residual


def test_frozen_leaves_have_no_tangent_and_no_residual() -> None:
    weights = {"w": jnp.ones((8, 8)), "down": jnp.ones((8, 2)), "up": jnp.ones((2, 8))}
    frozen = lambda path, leaf: "'w'" in path
    program = minijvp.make_jaxpr(minijvp.grad(lora, frozen=frozen))([weights], jnp.ones((3, 8)))
    closed = minijvp.make_jaxpr(
        lambda p, x: minijvp.grad(lambda q: lora([{**p[0], **q}], x))({"down": p[0]["down"], "up": p[0]["up"]})
    )
    assert [e.primitive for e in program] == [e.primitive for e in closed([weights], jnp.ones((3, 8)))]
    assert all(v.type.shape != (8, 8) for e in program for v in e.outputs)
    _, pull = minijvp.vjp(lora, [weights], jnp.ones((3, 8)), frozen=lambda path, x: "up" not in path)
    assert all(x.shape != (8, 8) for x in jax.tree.leaves(pull))


# leaves that are not floating


def test_leaves_that_are_not_floating_have_none_where_it_is_wanted() -> None:
    params = {"w": X, "n": 3, "flags": jnp.array([True, False, True]), "nothing": None, "key": jax.random.key(0)}
    f = lambda p: mnp.sum(mnp.where(p["flags"], p["w"], 0.0)) * p["n"]
    wanted = {"w": jnp.array([3.0, 0.0, 3.0]), "n": None, "flags": None, "nothing": None, "key": None}
    same(minijvp.grad(f, non_differentiable="none")(params), wanted)
    same(minijvp.jit(minijvp.value_and_grad(f, non_differentiable="none"))(params)[1], wanted)
    found = minijvp.grad(f, non_differentiable="none", frozen=lambda path, leaf: path == "['w']")(params)
    assert found == dict.fromkeys(params)


def test_allow_int_gives_float0_beside_frozen_leaves() -> None:
    found = minijvp.grad(
        lambda p: p["w"] * p["n"] * p["m"], allow_int=True, frozen={"w": False, "n": False, "m": True}
    )({"w": 2.0, "n": 3, "m": 4})
    assert float(found["w"]) == 12.0 and found["n"].dtype == jax.dtypes.float0 and found["m"] is None


def test_by_default_they_are_refused_by_their_path() -> None:
    with pytest.raises(ArgumentError, match=r"^grad of product received i64\[\]\* for p\['n'\]\.") as e:
        minijvp.grad(product)({"w": 2.0, "n": 3})
    assert "non_differentiable='none'" in e.value.do


def product(p: Any) -> Any:
    return p["w"] * p["n"]


REFUSED = {
    "word": ({"non_differentiable": "zero"}, "grad received non_differentiable='zero'.", "'error' or 'none'"),
    "both": (
        {"non_differentiable": "none", "allow_int": True},
        "grad received non_differentiable='none' and allow_int=True.",
        "'error' or 'none'",
    ),
    "no-bool": ({"frozen": {"w": 0, "n": True}}, "frozen of grad says 0 of type int for the leaf '['w']'.", "a bool"),
    "none": (
        {"frozen": {"w": None, "n": True}},
        "frozen of grad says None of type NoneType for the leaf '['w']'.",
        "a bool",
    ),
    "traced": (
        {"frozen": lambda x: mnp.sin(x) > 0},
        "frozen of grad says Array(True, dtype=bool, weak_type=True) of type ArrayImpl",
        "(path, leaf)",
    ),
    "other-tree": ({"frozen": {"w": True}}, "frozen={'w': True} does not fit the value", "the same containers"),
}


@pytest.mark.parametrize(("options", "what", "do"), REFUSED.values(), ids=REFUSED)
def test_bad_choices_are_refused(options: Any, what: str, do: str) -> None:
    with pytest.raises(ArgumentError) as e:
        minijvp.grad(product, **options)({"w": 2.0, "n": 3.0})
    assert e.value.what.startswith(what) and do in e.value.do


def test_bad_options_are_refused_before_there_are_arguments() -> None:
    for transformation in (minijvp.grad, minijvp.value_and_grad):
        with pytest.raises(ArgumentError, match=f"{transformation.__name__} received non_differentiable=3"):
            transformation(product, non_differentiable=3)  # type: ignore[arg-type]


# arguments that are passed by name alone


def test_the_first_parameter_is_differentiated_where_all_are_passed_by_name() -> None:
    f = lambda x, y: x * y**2
    assert float(minijvp.grad(f)(x=2.0, y=3.0)) == 9.0
    assert float(minijvp.grad(f)(y=3.0, x=2.0)) == 9.0
    assert float(minijvp.jit(minijvp.grad(f))(y=3.0, x=2.0)) == 9.0
    assert minijvp.vmap(minijvp.grad(f))(x=X, y=X).tolist() == (X**2).tolist()
    assert float(minijvp.value_and_grad(f, argnums=1)(x=2.0, y=3.0)[1]) == 12.0
    assert minijvp.grad(lambda *, p, q: p["w"] * q, frozen=lambda leaf: True)(p={"w": 1.0}, q=2.0) == {"w": None}
    with pytest.raises(ArgumentError, match="argnums=0 is out of range"):
        minijvp.grad(lambda **named: named["x"])(x=2.0)


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        (lambda: True, "a function of no parameters"),
        (lambda path, leaf, key: True, "a function of path, leaf, key"),
        (lambda leaf, *, key: True, "a function of leaf, key"),
        (lambda **options: True, r"a function of \*\*options"),
    ],
)
def test_predicates_of_other_parameters(predicate: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as error:
        minijvp.grad(loss, frozen=predicate)(PARAMS)
    assert "(path, leaf)" in error.value.do
