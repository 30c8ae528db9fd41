"""What transformations return can be pickled if what they are given can; public functions, by where they are found."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_flatten

import minijvp
import minijvp.numpy as mnp

X = jnp.linspace(0.1, 0.9, 3)


def total(x: Any) -> Any:
    return mnp.sum(mnp.sin(x) ** 2)


def wave(x: Any, k: Any = 2.0) -> Any:
    return mnp.sin(x) * k


def curve(x: Any) -> Any:
    return mnp.sin(x)


def loop(x: Any) -> Any:
    return minijvp.lax.fori_loop(0, 3, lambda i, c: mnp.sin(c) * i, x).sum()


def of_jax(x: Any) -> Any:
    return jnp.sin(x)


def of_numpy(x: Any) -> Any:
    return np.sin(x)


def of_numpy_jvp(primals: tuple, tangents: tuple) -> Any:
    return np.cos(primals[0]) * tangents[0]


def like(x: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def is_first(path: str, leaf: Any) -> bool:
    return path == "['a']"


def tangents_doubled(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    return curve(*primals), 2 * tangents[0]


def tangent_doubled(t: Any, out: Any, x: Any) -> Any:
    return t * 2


def forward(x: Any) -> tuple[Any, Any]:
    return curve(x), x


def backward(x: Any, ct: Any) -> tuple[Any]:
    return (ct * x,)


class Scaled:
    def __init__(self, scale: float):
        self.scale = scale

    def total(self, x: Any) -> Any:
        return total(x) * self.scale

    def __mul__(self, x: Any) -> Any:
        return self.scale * x

    @partial(minijvp.grad, argnums=1)
    def slope(self, x: Any) -> Any:
        return self * x


def ruled(kind: Any, method: str, *rules: Any) -> Any:
    made = kind(curve)
    getattr(made, method)(*rules)
    return made


@minijvp.jit
def compiled(x: Any) -> Any:
    return mnp.cos(x)


@minijvp.value_and_grad
def decorated(x: Any) -> Any:
    return mnp.sum(mnp.cos(x))


@minijvp.custom_jvp
def with_rule(x: Any) -> Any:
    return mnp.exp(x)


with_rule.defjvps(lambda t, out, x: t * out)

FOUND_BY_NAME = {"jit, as a decorator": compiled, "grad, as a decorator": decorated, "a rule of a lambda": with_rule}
MADE: dict[str, Callable[..., Any]] = {
    "grad": minijvp.grad(total),
    "grad with options": minijvp.grad(total, nan_safe=True, memory_budget=0.5),
    "value_and_grad": minijvp.value_and_grad(total),
    "a method": minijvp.grad(Scaled(3.0).total),
    "value_and_grad, nan-safe": minijvp.value_and_grad(total, nan_safe=True),
    "grad, frozen": minijvp.grad(total, frozen=is_first),
    "vmap": minijvp.vmap(wave, in_axes=[0]),
    "vmap of grad of jit": minijvp.vmap(minijvp.grad(minijvp.jit(wave))),
    "grad of a partial": minijvp.vmap(minijvp.grad(partial(wave, k=3.0))),
    "grad of a function of ours": minijvp.vmap(minijvp.grad(mnp.sinh)),
    "jacfwd": minijvp.jacfwd(wave),
    "jacrev": minijvp.jacrev(wave),
    "jacobian": minijvp.jacobian(wave, chunk_size=2),
    "hessian": minijvp.hessian(total),
    "value_and_jacobian": minijvp.value_and_jacobian(wave),
    "value_grad_and_hessian": minijvp.value_grad_and_hessian(total),
    "elementwise_grad": minijvp.elementwise_grad(mnp.tanh),
    "laplacian": minijvp.laplacian(total),
    "biharmonic": minijvp.biharmonic(total),
    "divergence": minijvp.divergence(wave),
    "hessian_diagonal": minijvp.hessian_diagonal(total),
    "checkpoint": minijvp.checkpoint(wave, policy=minijvp.checkpoint_policies.dots_saveable),
    "from_jax": minijvp.vmap(minijvp.grad(minijvp.from_jax(of_jax))),
    "to_jax": minijvp.to_jax(wave),
    "external": minijvp.external(of_numpy, like),
    "external with a rule": minijvp.jacfwd(minijvp.external(of_numpy, like, jvp=of_numpy_jvp)),
    "external by differences": minijvp.jacfwd(minijvp.external(of_numpy, like, differences=True)),
    "defjvp": minijvp.vmap(minijvp.grad(ruled(minijvp.custom_jvp, "defjvp", tangents_doubled))),
    "defjvps": minijvp.vmap(minijvp.grad(ruled(minijvp.custom_jvp, "defjvps", tangent_doubled))),
    "defvjp": minijvp.vmap(minijvp.grad(ruled(minijvp.custom_vjp, "defvjp", forward, backward))),
    "a rule for jit": minijvp.jacrev(minijvp.custom_jvp(minijvp.jit(total)).fun),
    "sparse_jacobian": minijvp.sparse_jacobian(wave),
    "make_jaxpr": minijvp.make_jaxpr(total),
    "jaxpr": minijvp.make_jaxpr(minijvp.grad(minijvp.jit(total)))(X),
    "jaxpr of a loop": minijvp.make_jaxpr(minijvp.grad(loop))(X),
    "a primitive": minijvp.make_jaxpr(mnp.sin)(X).equations[0].primitive,
    **FOUND_BY_NAME,
}


def results(fun: Callable[..., Any]) -> list[Any]:
    out = fun(X)
    return tree_flatten(out(X) if isinstance(out, minijvp.Jaxpr) else out)[0]


def assert_same(found: Callable[..., Any], wanted: Callable[..., Any]) -> None:
    for a, b in zip(results(found), results(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("name", MADE)
def test_a_round_trip_gives_the_same_numbers(name: str) -> None:
    made = MADE[name]
    for found in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert type(found) is type(made)
        assert getattr(found, "__name__", None) == getattr(made, "__name__", None)
        assert (found is made) == (name in FOUND_BY_NAME or name == "a primitive")
        assert_same(found, made)


def test_another_process_has_the_same(tmp_path: Path) -> None:
    path = tmp_path / "pickle"
    path.write_bytes(pickle.dumps(MADE))
    program = f"""if True:
        import pickle, sys
        made = pickle.loads(open({str(path)!r}, "rb").read())
        from tests.test_pickles import MADE, assert_same
        for name in {["grad", "vmap of grad of jit", "external with a rule", "defvjp", "jaxpr of a loop"]}:
            assert_same(made[name], MADE[name])
        print(len(made))
    """
    precision = {"JAX_ENABLE_X64": str(jax.config.jax_enable_x64)}  # type: ignore[attr-defined]
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | precision)
    assert run.stdout == f"{len(MADE)}\n", run.stderr


class Scale:
    """A model of JAX, with a method, or as a function."""

    factor = 3.0

    def apply(self, x: Any) -> Any:
        return jnp.sin(x) * self.factor


class Model(Scale):
    def __call__(self, x: Any) -> Any:
        return self.apply(x)


@pytest.mark.parametrize("kind", [Scale, Model])
def test_models_of_jax_are_pickled_by_themselves(kind: Any) -> None:
    again = pickle.loads(pickle.dumps(minijvp.from_jax(kind())))
    assert float(minijvp.grad(again.apply)(0.0)) == 3.0
    assert kind is Scale or float(minijvp.grad(again)(0.0)) == 3.0


def test_what_cannot_be_pickled_says_so() -> None:
    for made in (minijvp.grad(lambda x: x), minijvp.vmap(minijvp.jit(lambda x: x)), minijvp.custom_jvp(lambda x: x)):
        with pytest.raises((AttributeError, pickle.PicklingError), match=r"Can't (pickle|get) .*lambda"):
            pickle.dumps(made)
        assert type(copy.deepcopy(made)) is type(made)


def test_an_unpickled_program_is_equal_and_has_no_lines() -> None:
    jaxpr = minijvp.make_jaxpr(minijvp.grad(total))(X)
    hash(jaxpr)
    found = pickle.loads(pickle.dumps(jaxpr))
    assert found == jaxpr and hash(found) == hash(jaxpr) and str(found) == str(jaxpr)
    assert jaxpr.equations[0].source is not None and all(e.source is None for e in found)


def test_made_functions_are_functions_in_classes_and_in_text() -> None:
    assert float(Scaled(3.0).slope(2.0)) == 3.0
    assert repr(minijvp.grad(total)) == "<minijvp.grad of total>"
    assert repr(minijvp.jacfwd(minijvp.grad(total))) == "<minijvp.jacfwd of total>"


MODULES = ["", "numpy", "numpy.fft", "numpy.linalg", "lax", "lax.linalg", "nn", "nn.initializers", "random", "image"]
MODULES += ["ops", "debug", "extend", "flatten_util", "custom_derivatives", "custom_batching", "numerical", "symbolic"]
MODULES += [f"scipy.{name}" for name in minijvp.scipy.__all__] + ["scipy.sparse.linalg", "scipy.stats.norm"]
NOT_PICKLED = {"config", "ndarray"}
"""What holds the settings of a process, and a class of JAX that is not found where it says."""


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_is_pickled_by_its_name(module: str) -> None:
    here = import_module(f"minijvp.{module}".rstrip("."))
    found = {name: getattr(here, name) for name in here.__all__ if name not in NOT_PICKLED}
    ours = {
        name: f for name, f in found.items() if callable(f) and not get_origin(f) and f is not getattr(jax, name, None)
    }
    assert ours or module in ("scipy.cluster", "scipy.sparse")  # which hold modules only
    for name, again in pickle.loads(pickle.dumps(ours)).items():
        assert again is ours[name] or isinstance(again, jax.custom_jvp), name
