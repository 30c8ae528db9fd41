"""`out_sharding`: results that lie on the devices of a mesh as the user says, along its explicit axes.

What a function of JAX does with it is many things, down to a region in which the axes are not explicit. So JAX traces
the function for such a call, and what it traced is read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec, get_abstract_mesh

from minijvp.core.tracing import EVALUATION, state
from minijvp.core.types import ArrayType
from minijvp.errors import ArgumentError
from minijvp.interop.from_jax import bridged

PLACEMENT = ("out_sharding", "sharding", "device")
"""Keywords that say where the result lies, whatever the function."""


@lru_cache(maxsize=1024)
def of_jax(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX as one of minijvp."""
    return bridged(original, pure=True)


def is_asked(kwargs: dict[str, Any]) -> bool:
    """Whether a call says how its result is split over a mesh: by out_sharding, or by a spec or explicit axes."""
    for name in PLACEMENT:
        given = kwargs.get(name)
        if given is not None and (name == "out_sharding" or is_explicit(given)):
            return True
    return False


def is_explicit(sharding: Any) -> bool:
    """Whether this is a spec, or a sharding over a mesh with axes that are explicit."""
    if isinstance(sharding, NamedSharding):
        return bool(sharding.mesh.explicit_axes)
    return isinstance(sharding, PartitionSpec)


def is_split(t: ArrayType) -> bool:
    """Whether explicit axes of a mesh split values of a type."""
    return t.placement is not None and t.placement.is_split


def require_spec(function: str, name: str, sharding: Any) -> None:
    """Raise ArgumentError for what says nothing about the axes of a mesh, or something wrong."""
    if not isinstance(sharding, (NamedSharding, PartitionSpec)):
        raise ArgumentError(
            f"{function} received {name}={sharding!r:.200}.",
            "It names for each axis of the result the explicit axes of a mesh that split it.",
            "Pass a jax.sharding.PartitionSpec, or a NamedSharding.",
        )
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else get_abstract_mesh()
    if mesh.empty:
        raise ArgumentError(
            f"{function} received {name}={sharding!r}, and there is no mesh.",
            "A PartitionSpec names axes of the mesh in force.",
            "Set one, by jax.set_mesh(mesh), or pass a NamedSharding, which has its own.",
        )
    spec = sharding.spec if isinstance(sharding, NamedSharding) else sharding
    names = [n for entry in spec for n in (entry if isinstance(entry, tuple) else (entry,)) if n is not None]
    wrong = [n for n in names if n not in mesh.explicit_axes]
    if wrong:
        raise ArgumentError(
            f"{function} received {name}={sharding!r:.200}, and {wrong[0]!r} is no explicit axis of the mesh.",
            f"Its explicit axes are {mesh.explicit_axes}; how others split a value is no part of its type.",
            "Name one of these. Where axes are left to the compiler, with_sharding_constraint holds values to them.",
        )


def split_result(original: Callable[..., Any], function: str, /, *args: Any, **kwargs: Any) -> Any:
    """What a function of JAX returns for a call that says how the result is split, for arrays and tracers.

    Raises ArgumentError if the sharding means nothing, or JAX cannot split the result so.
    """
    for name in PLACEMENT:
        if kwargs.get(name) is not None:
            require_spec(function, name, kwargs[name])
    given = next((kwargs[name] for name in PLACEMENT if kwargs.get(name) is not None), None)
    try:
        return original(*args, **kwargs) if state.trace is EVALUATION else of_jax(original)(*args, **kwargs)
    except ArgumentError:
        raise
    except (TypeError, ValueError, AssertionError) as error:
        if given is None:
            raise
        raise ArgumentError(
            f"{function} cannot split its result by {given!r:.200}.",
            f"JAX says: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
            "Correct the spec: each entry splits one axis, whose size is a multiple of the number of its devices.",
        ) from error


def read_at(x: Any, index: Any, **options: Any) -> Any:
    """`x.at[index].get(...)`, as JAX does it."""
    return jax.numpy.asarray(x).at[index].get(**options)


def write_at(x: Any, index: Any, values: Any, **options: Any) -> Any:
    """`x.at[index].set(...)` or another method, as JAX does it."""
    return getattr(jax.numpy.asarray(x).at[index], options.pop("method"))(values, **options)


def flattened(x: Any, **options: Any) -> Any:
    """`x.flatten(...)`, as JAX does it."""
    return jax.numpy.asarray(x).flatten(**options)
