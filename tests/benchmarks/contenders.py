"""The libraries that are compared, as what programs are written for: transformations, and `numpy` for the functions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.report import CONTENDERS
from tests.benchmarks.timing import Call

Make = Callable[[Any], Callable[..., Any]]
"""From a library to a function that is written with it."""

PACKAGES = {"autograd": "autograd", "PyTorch": "torch"}


def installed(name: str) -> bool:
    return name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]) is not None


INSTALLED = tuple(name for name in CONTENDERS if installed(name))


def api(transforms: Any, xp: Any) -> SimpleNamespace:
    """What programs use of minijvp and of JAX: names with the same meaning in both."""
    names = "grad value_and_grad jvp vjp jacfwd jacrev hessian vmap jit lax make_jaxpr checkpoint".split()
    return SimpleNamespace(numpy=xp, **{name: getattr(transforms, name) for name in names})


MINIJVP, JAX = api(minijvp, mnp), api(jax, jnp)
BOTH = {"minijvp": MINIJVP, "JAX": JAX}


@cache
def library(name: str) -> Any:
    """The library of a contender, imported when it is wanted first."""
    if name in BOTH:
        return BOTH[name]
    module = import_module(PACKAGES[name])
    return autograd_api(module) if name == "autograd" else torch_api(module)


def autograd_api(autograd: Any) -> SimpleNamespace:
    """HIPS autograd; what it has no equal of is missing."""
    xp = import_module("autograd.numpy")
    same = {name: getattr(autograd, name) for name in ("grad", "value_and_grad", "hessian")}
    return SimpleNamespace(numpy=xp, jacrev=autograd.jacobian, **same)


def torch_api(torch: Any) -> SimpleNamespace:
    """PyTorch: gradients in the way that has the least overhead, the rest by torch.func."""

    def value_and_grad(fun: Callable[..., Any]) -> Callable[..., Any]:
        def both(x: Any, *rest: Any) -> tuple[Any, Any]:
            leaves, tree = jax.tree.flatten(x)
            inside = any(leaf.requires_grad for leaf in leaves)
            if not inside:
                leaves = [leaf.detach().requires_grad_() for leaf in leaves]
            out = fun(jax.tree.unflatten(tree, leaves), *rest)
            grads = torch.autograd.grad(out, leaves, create_graph=inside)
            return out if inside else out.detach(), jax.tree.unflatten(tree, grads)

        return both

    func = torch.func
    return SimpleNamespace(
        numpy=TorchNumpy(torch),
        value_and_grad=value_and_grad,
        grad=lambda fun: lambda *args: value_and_grad(fun)(*args)[1],
        jacfwd=func.jacfwd,
        jacrev=func.jacrev,
        hessian=func.hessian,
        vmap_grad=lambda fun, in_axes: func.vmap(func.grad(fun), in_dims=in_axes),
    )


class TorchNumpy:
    """The functions of NumPy that programs here use, where torch has them under other names."""

    def __init__(self, torch: Any):
        self.torch = torch
        self.min, self.max = torch.amin, torch.amax

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)


def arrays(name: str, tree: Any) -> Any:
    """A tree of arrays of JAX or NumPy, in the arrays of a contender."""
    if name == "PyTorch":
        return jax.tree.map(lambda x: import_module("torch").tensor(np.asarray(x)), tree)
    return jax.tree.map(np.asarray if name == "autograd" else jnp.asarray, tree)


def plain(tree: Any) -> Any:
    """A tree of any contender's arrays, in those of NumPy."""
    return jax.tree.map(np.asarray, tree)


def calls(make: Make, data: Sequence[Any], contenders: Sequence[str] = CONTENDERS) -> dict[str, Call]:
    """What `make` writes with each of the contenders that are installed, and the same data as its arguments."""
    return {name: Call(make(library(name)), arrays(name, tuple(data))) for name in contenders if name in INSTALLED}


def derivative(transform: str, program: Make, **options: Any) -> Make:
    """The derivative of a program by the transformation of that name."""

    def make(library: Any) -> Callable[..., Any]:
        return getattr(library, transform)(program(library), **options)

    return make


def nth_derivative(program: Make, order: int) -> Make:
    """The gradient of the gradient of ... a program."""

    def make(library: Any) -> Callable[..., Any]:
        fun = program(library)
        for _ in range(order):
            fun = library.grad(fun)
        return fun

    return make


def batched_gradient(program: Make, in_axes: Any) -> Make:
    """The gradient for each of a batch of arguments."""

    def make(library: Any) -> Callable[..., Any]:
        if hasattr(library, "vmap_grad"):
            return library.vmap_grad(program(library), in_axes)
        return library.vmap(library.grad(program(library)), in_axes=in_axes)

    return make


def compiled(make: Make) -> Make:
    """What `make` writes, compiled."""
    return lambda library: library.jit(make(library))


def renewed(make: Make, library: Any) -> Callable[..., Any]:
    """A function that no cache keyed by functions knows, compiled when it is called."""
    return library.jit(partial(make(library)))
