"""The names of jax.sharding: how arrays lie on several devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.sharding
from jax.sharding import *  # noqa: F403

from minijvp.interop.from_jax import bridged
from minijvp.interop.surface import bridge, entitled, public_names

__all__ = public_names(jax.sharding)


def __dir__() -> list[str]:
    return sorted(__all__)


reshard = bridge(jax.sharding.reshard, jax.sharding, "reshard")


def region_maker(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A decorator of jax.sharding, for functions whose axes of the mesh are of another type inside."""

    def decorate(f: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        return partial(decorate, **options) if f is None else bridged(original(f, **options))

    return entitled(decorate, original, jax.sharding, name)


auto_axes = region_maker(jax.sharding.auto_axes, "auto_axes")
explicit_axes = region_maker(jax.sharding.explicit_axes, "explicit_axes")
