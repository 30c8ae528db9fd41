"""Printed programs: a refactoring must not change what the transformations make.

`python -m tests.test_goldens` writes the files anew; the difference is then to be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp

FOLDER = Path(__file__).parent / "goldens"
X = np.linspace(0.5, 2.0, 6, dtype=np.float32).reshape(2, 3)
V = X[0]


def layer(w: Any, x: Any) -> Any:
    return mnp.tanh(x @ w)


def normalized(x: Any) -> Any:
    return (x - x.mean()) / mnp.sqrt(x.var() + 1e-5)


PROGRAMS: dict[str, tuple[Any, tuple]] = {
    "sin": (lambda x: mnp.sin(x) * x + 1, (V,)),
    "grad": (minijvp.grad(lambda x: (mnp.sin(x) * x).sum()), (V,)),
    "grad_of_grad": (minijvp.grad(minijvp.grad(mnp.tanh)), (1.0,)),
    "jvp": (lambda x, t: minijvp.jvp(lambda x: mnp.exp(x) * x, (x,), (t,)), (V, V)),
    "vjp": (lambda x, ct: minijvp.vjp(lambda x: x**3, x)[1](ct), (V, V)),
    "vmap": (minijvp.vmap(layer, in_axes=(None, 0)), (np.ones((3, 2), np.float32), X)),
    "vmap_of_grad": (minijvp.vmap(minijvp.grad(lambda x: mnp.prod(x))), (X,)),
    "hessian": (minijvp.hessian(lambda x: mnp.sum(x**3)), (V,)),
    "jit_of_grad": (minijvp.jit(minijvp.grad(lambda x: mnp.sum(mnp.log(x)))), (V,)),
    "grad_of_jit": (minijvp.grad(lambda x: minijvp.jit(lambda x: mnp.sum(mnp.cos(x)))(x)), (V,)),
    "network": (minijvp.value_and_grad(lambda w, x: mnp.mean(layer(w, x) ** 2)), (np.ones((3, 2), np.float32), X)),
    "normalization": (minijvp.grad(lambda x: normalized(x)[0]), (V,)),
    "where": (minijvp.grad(lambda x: mnp.where(x > 1, x**2, 0.0).sum()), (V,)),
    "indexing": (minijvp.grad(lambda x: x[np.array([0, 2, 0])].sum() * x[1]), (V,)),
    "update": (minijvp.grad(lambda x: x.at[1:].set(x[0]).sum()), (V,)),
    "promotion": (lambda x, i: x * i + 2 * i - True, (V, np.arange(3, dtype=np.int32))),
    "collective": (minijvp.vmap(lambda x: x / minijvp.lax.psum(x, "i"), axis_name="i"), (V,)),
    "pytrees": (minijvp.grad(lambda p: p["a"] * p["b"][0] + p["b"][1]), ({"a": 1.0, "b": (2.0, 3.0)},)),
}


def printed(name: str) -> str:
    fun, args = PROGRAMS[name]
    jaxpr = minijvp.make_jaxpr(fun)(*args)
    return f"{jaxpr.check()}\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name: str) -> None:
    assert printed(name) == (FOLDER / f"{name}.txt").read_text()


def test_every_file_has_its_program() -> None:
    assert {p.stem for p in FOLDER.glob("*.txt")} == set(PROGRAMS)


if __name__ == "__main__":
    import jax

    jax.config.update("jax_enable_x64", True)
    FOLDER.mkdir(exist_ok=True)
    for name in PROGRAMS:
        (FOLDER / f"{name}.txt").write_text(printed(name))
