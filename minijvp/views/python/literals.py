"""Values of Python and of JAX as expressions: parameters of operations, numbers, arrays, functions of JAX."""

from __future__ import annotations

import cmath
import enum
import math
from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.types import is_key
from minijvp.views.python.text import Code, Part, bracketed, code, listed, tupled

PUBLIC = {"lax": lax, "jnp": jnp, "lax.linalg": lax.linalg, "jax.nn": jax.nn, "jax.random": jax.random}
LARGEST_LITERAL = 16

Keep = Callable[[Any, str], Part]
"""Takes a value that has no expression, and a hint for its name; gives a name that stands for it."""


def literal(value: Any, keep: Keep) -> Code:
    """The expression of a value; parts that have none are kept as constants."""
    if value is None or value is ... or (isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum)):
        return ("..." if value is ... else repr(value),)
    if isinstance(value, (float, complex)) and not isinstance(value, np.generic):
        return (number(value),)
    if isinstance(value, np.generic):
        return (f"{dtype_name(value.dtype, scalar=True)}({number(value.item())})",)
    if isinstance(value, np.dtype) or (isinstance(value, type) and hasattr(value, "dtype")):
        return code(dtype_name(value)) if not is_key(value) else code(keep(value, "dtype"))
    if isinstance(value, type) and value in (bool, int, float, complex):
        return (value.__name__,)
    if isinstance(value, enum.Enum) and getattr(lax, type(value).__name__, None) is type(value):
        return (f"lax.{type(value).__name__}.{value.name}",)
    return container(value, keep) or code(public_name(value) or keep(value, "constant"))


def container(value: Any, keep: Keep) -> Code | None:
    """The expression of a tuple, list, dict or record of JAX; None for something else."""
    cls = type(value)
    if cls is tuple:
        return tupled([literal(v, keep) for v in value])
    if cls is list:
        return bracketed(literal(v, keep) for v in value)
    if cls is dict:
        return code("{", listed(code(literal(k, keep), ": ", literal(v, keep)) for k, v in value.items()), "}")
    if getattr(lax, cls.__name__, None) is cls:
        defaults = signature(cls).parameters
        fields = [(name, getattr(value, name), p.default) for name, p in defaults.items()]
        given = listed(code(f"{name}=", literal(x, keep)) for name, x, default in fields if x != default)
        return code(f"lax.{cls.__name__}(", given, ")")
    return None


def number(x: bool | complex) -> str:
    """A number of Python as an expression, also one that has no literal."""
    if isinstance(x, complex):
        return (
            repr(x) if cmath.isfinite(x) and not _negative_zero(x) else f"complex({number(x.real)}, {number(x.imag)})"
        )
    if isinstance(x, float) and not math.isfinite(x):
        return "jnp.nan" if math.isnan(x) else "jnp.inf" if x > 0 else "-jnp.inf"
    return repr(x)


def _negative_zero(x: complex) -> bool:
    return any(part == 0 and math.copysign(1, part) < 0 for part in (x.real, x.imag))


def dtype_name(dtype: Any, scalar: bool = False) -> str:
    """The public name of a dtype; with `scalar`, of the class of its scalars."""
    name = np.dtype(dtype).name
    if name == "bool":
        return "np.bool_" if scalar else "bool"
    return f"np.{name}" if scalar and hasattr(np, name) else f"jnp.{name}"


def array_literal(value: Any) -> Code | None:
    """The expression of a small array; None for a large one, and for keys."""
    dtype = value.dtype
    if value.size > LARGEST_LITERAL or is_key(dtype):
        return None
    host = np.asarray(value)
    if host.size > 1 and (host == host.flat[0]).all() and host.flat[0] != 0:
        return (f"jnp.full({host.shape}, {number(host.flat[0].item())}, {dtype_name(dtype)})",)
    items = _nested(host.tolist()) if host.size else f"np.zeros({host.shape})"
    return (f"jnp.array({items}, {dtype_name(dtype)})",)


def _nested(items: Any) -> str:
    if isinstance(items, list):
        return f"[{', '.join(map(_nested, items))}]"
    return number(items)


def public_name(value: Any) -> str | None:
    """Where a function or an object of JAX is found by its users."""
    return public_names().get(id(value)) if callable(value) or hasattr(value, "bind") else None


@cache
def public_names() -> dict[int, str]:
    """The names of what JAX makes public, by identity."""
    found: dict[int, str] = {}
    for path, module in PUBLIC.items():
        for name in dir(module):
            value = getattr(module, name)
            if name[0] != "_" and (callable(value) or hasattr(value, "bind")):
                found.setdefault(id(value), f"{path}.{name}")
    return found
