"""from_jax of optimizers, objects and modules: all their functions become functions of minijvp."""

from __future__ import annotations

import copy
import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import optax
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, from_jax
from tests.interop.models import normal
from tests.side_by_side import same

ours = from_jax(optax)
BRIDGED: Any = {optax: lambda x: x, ours: from_jax}
"""What one writes for an object of JAX, by the module at hand."""

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adamw": lambda o: o.adamw(o.warmup_cosine_decay_schedule(0.0, 0.1, 2, 8), weight_decay=1e-3),
    "chain": lambda o: o.chain(o.clip_by_global_norm(0.5), o.lion(o.exponential_decay(0.05, 2, 0.9))),
    "inject_hyperparams": lambda o: o.inject_hyperparams(o.adam)(learning_rate=o.cosine_decay_schedule(0.1, 10)),
    "multi_transform": lambda o: o.multi_transform(
        {"fast": o.adam(0.1), "slow": o.sgd(0.01)}, {"w": "fast", "v": "slow", "b": "fast"}
    ),
    "MultiSteps": lambda o: BRIDGED[o](o.MultiSteps(o.adam(0.1), 2)),
    "contrib": lambda o: o.contrib.schedule_free_adamw(0.1),
    "apply_if_finite": lambda o: o.apply_if_finite(o.masked(o.adam(0.1), {"w": True, "v": True, "b": False}), 3),
    "taken whole": lambda o: BRIDGED[o](optax.chain(optax.scale_by_adam(), optax.scale(-0.1))),
}


def training(api: Any, xp: Any, library: Any, make: Callable[[Any], Any]) -> Any:
    """Parameters, state, losses and norms of some steps, with everything of optax inside of the compiled step."""
    x, labels = normal(0, 5, 3), jnp.array([0, 3, 1, 1, 2])
    params = {"w": normal(2, 3, 4), "v": normal(3, 4, 4), "b": jnp.zeros(4)}
    optimizer = make(library)

    def loss(params: Any) -> Any:
        logits = xp.tanh(x @ params["w"] + params["b"]) @ params["v"]
        return library.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @api.jit
    def step(params: Any, state: Any) -> Any:
        value, gradient = api.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return library.apply_updates(params, updates), state, (value, library.tree.norm(gradient))

    state, found = api.jit(optimizer.init)(params), []
    for _ in range(5):
        params, state, seen = step(params, state)
        found.append(seen)
    return params, state, found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    found, expected = (training(*side, OPTIMIZERS[name]) for side in ((minijvp, mnp, ours), (jax, jnp, optax)))
    same(found, expected, 1e-9)
    assert found[2][-1][0] < found[2][0][0]


def descent(api: Any, lax: Any, library: Any) -> Callable[[Any, Any], Any]:
    """The loss after some steps inside of a scan, as a function of a learning rate and of where they begin."""

    def fun(rate: Any, x: Any) -> Any:
        optimizer = BRIDGED[library](optax.inject_hyperparams(optax.adam)(learning_rate=1.0))
        loss = lambda x: ((x - 1.0) ** 4).sum()

        def step(carry: Any, _: Any) -> Any:
            x, state = carry
            state = state._replace(hyperparams={**state.hyperparams, "learning_rate": rate})
            updates, state = optimizer.update(api.grad(loss)(x), state, x)
            return (library.apply_updates(x, updates), state), None

        state = optimizer.init(x)
        state = state._replace(hyperparams={**state.hyperparams, "learning_rate": rate})
        return loss(lax.scan(step, (x, state), None, length=3)[0][0])

    return fun


@pytest.mark.parametrize("word", ["jit grad", "vmap", "vmap grad", "jit vmap grad"])
def test_steps_are_transformed(word: str) -> None:
    args = (jnp.array([0.1, 0.3]), normal(0, 2, 3)) if "vmap" in word else (jnp.array(0.1), normal(0, 3))
    results = []
    for api, lax, library in ((minijvp, minijvp.lax, ours), (jax, jax.lax, optax)):
        fun = descent(api, lax, library)
        for name in reversed(word.split()):
            fun = api.grad(fun, (0, 1)) if name == "grad" else getattr(api, name)(fun)
        results.append(fun(*args))
    same(*results, 1e-9)


def test_a_line_search_takes_functions_of_minijvp() -> None:
    """lbfgs evaluates and differentiates the function that it is given, of which minijvp has the rules."""
    results = []
    for api, xp, library in ((minijvp, mnp, ours), (jax, jnp, optax)):
        optimizer = library.lbfgs()
        loss = lambda x, xp=xp: xp.sum(xp.cosh(x - 1.0)) + xp.sum(x) ** 2

        @api.jit
        def step(x: Any, state: Any, api: Any = api, optimizer: Any = optimizer, loss: Any = loss) -> Any:
            value, gradient = api.value_and_grad(loss)(x)
            updates, state = optimizer.update(gradient, state, x, value=value, grad=gradient, value_fn=loss)
            return x + updates, state

        x = normal(0, 3)
        state = optimizer.init(x)
        for _ in range(4):
            x, state = step(x, state)
        results.append(x)
    same(*results, 1e-8)


def test_what_remains() -> None:
    assert type(from_jax(optax.adam(0.1))) is type(optax.adam(0.1))
    assert ours.GradientTransformation is optax.GradientTransformation
    assert ours.adam is ours.adam and ours.tree is ours.tree
    assert {"adam", "losses"} <= set(dir(ours)) and not [name for name in dir(ours) if name.startswith("_")]
    assert repr(ours).startswith("from_jax(<module 'optax'")
    assert ours.adamw.__doc__ == optax.adamw.__doc__
    assert from_jax(math).pi is math.pi
    functions = from_jax({"sin": jnp.sin, "others": [jnp.cos, partial(jnp.power, 2.0)]})
    assert float(minijvp.grad(functions["others"][0])(0.0)) == 0.0
    assert float(minijvp.jit(functions["others"][1])(3.0)) == 8.0


def test_models_have_their_methods() -> None:
    x, key = normal(0, 3), jax.random.key(0)
    results = []
    for api, bridge in ((minijvp, from_jax), (jax, lambda model: model)):
        dense, linear = bridge(flax.linen.Dense(2)), bridge(eqx.nn.Linear(3, 2, key=key))
        params = api.jit(dense.init)(key, x)
        gradient = api.grad(lambda p, dense=dense: (dense.apply(p, x) ** 2).sum())(params)
        results.append((params, gradient, api.grad(lambda x, linear=linear: (linear(x) ** 2).sum())(x), linear.bias))
    same(*results, 1e-12)
    assert list(inspect.signature(from_jax(eqx.nn.Linear(3, 2, key=key))).parameters) == ["x", "key"]


def test_modules_of_networks_stay_what_they_are() -> None:
    """What can be called and is a pytree of parameters is returned as that."""
    linear = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    assert type(from_jax(eqx).tree_at(lambda m: m.bias, linear, jnp.ones(2))) is eqx.nn.Linear


@pytest.mark.parametrize(
    "x", [3, None, "sin", {}, (), OrderedDict(), [1.0], {"f": jnp.sin, "c": 3}, (jnp.sin, None), jnp.ones(2), object()]
)
def test_what_has_no_functions_is_refused(x: Any) -> None:
    with pytest.raises(ArgumentError, match=r"from_jax received .*, which cannot be called"):
        from_jax(x)


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="'optax' has no attribute 'adamx'"):
        _ = ours.adamx
    with pytest.raises(AttributeError, match="'_src': what begins with an underscore"):
        _ = ours._src
    assert copy.copy(ours).adam is not None
