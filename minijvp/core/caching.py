"""Caches of the programs that transformations make."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from jax.core import eval_context

from minijvp.core.hooks import hooks


def cached(maxsize: int) -> Callable[[Callable[..., Any]], Any]:
    """functools.lru_cache for functions that make programs: their constants are arrays, and no tracers of JAX."""

    def decorate(fun: Callable[..., Any]) -> Any:
        @lru_cache(maxsize)
        @wraps(fun)
        def outside(*args: Any, **kwargs: Any) -> Any:
            with eval_context():
                return fun(*args, **kwargs)

        return outside

    return decorate


def cached_by_linearizer(maxsize: int) -> Callable[[Callable[..., Any]], Any]:
    """The same for functions whose results depend on how programs inside are linearized besides."""

    def decorate(fun: Callable[..., Any]) -> Any:
        @cached(maxsize)
        def by_key(key: Any, *args: Any, **kwargs: Any) -> Any:
            return fun(*args, **kwargs)

        @wraps(fun)
        def in_force(*args: Any, **kwargs: Any) -> Any:
            return by_key(hooks.linearizer.key(), *args, **kwargs)

        vars(in_force).update(cache_clear=by_key.cache_clear, cache_info=by_key.cache_info)
        return in_force

    return decorate
