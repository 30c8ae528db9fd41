"""Functions of JAX that are not bridged but stated anew, because their derivatives are better another way."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from minijvp.custom_rules.decorators import custom_jvp
from minijvp.interop.docstrings import RESTATED
from minijvp.interop.from_jax import from_jax
from minijvp.interop.surface import entitled
from minijvp.numpy.makers import surface


def restated(module: ModuleType, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a definition over our functions: with nothing traced, the function of JAX computes at once."""
    original = getattr(module, name)

    def decorate(traced: Callable[..., Any]) -> Callable[..., Any]:
        return entitled(surface(original)(traced), original, module, name, RESTATED, traced.__doc__ or "")

    return decorate


def with_derivative(module: ModuleType, name: str, derivative: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function of JAX, of one array element by element, with this function of ours for its derivative."""
    ruled = custom_jvp(from_jax(getattr(module, name)))
    ruled.defjvps(lambda t, out, x: t * derivative(x))
    return restated(module, name)(lambda x: ruled(x))
