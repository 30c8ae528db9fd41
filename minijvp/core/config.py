"""The settings of minijvp: for the process, and for a part of a program."""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from dataclasses import dataclass, fields, replace
from functools import lru_cache, wraps
from numbers import Integral, Real
from typing import Any

import jax
from jax.core import eval_context

from minijvp.errors import ArgumentError, UnusedScopeWarning

Budget = str | float | int
"""'auto', 'off', a part (a float below 1.0) or bytes (an int): what differs in meaning is unequal, so they are keys."""


class Share(float):
    """A part that is aimed at, and not insisted on: the budget of the parts of a program that has one.

    It is equal to no float, which would mean something else.
    """

    def __eq__(self, other: object) -> bool:
        return type(other) is Share and float(self) == float(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((Share, float(self)))


@dataclass(frozen=True)
class Settings:
    """What can be set, with the defaults."""

    compile_gradients_after: int | None = 3
    """From which call on a gradient that recurs outside of jit runs as one compiled program; None is never."""

    memory_budget: Budget = "auto"
    """What staged reverse mode may keep in memory between its two passes."""


other_budgets: dict[int, weakref.ref[Settings]] = {}
"""Settings with a memory budget that is not the default, as long as they may be in force anywhere: in the process, in a
scope, or in a copy of the context of one that outlives it. Empty means that the default holds everywhere."""


class Config:
    """The settings in force: attributes to read, `update` for the whole process, and a call for a `with` statement.

    - `memory_budget`: what reverse mode under `jit` may keep between its two passes. "auto", the default, computes
      again, by a minimum cut between the forward and the backward program, what costs no noticeable time; "off" keeps
      every residual. A float f, 0 < f <= 1, is a part of the bytes that "off" keeps, and an int is a number of bytes:
      to stay within these, expensive operations are computed again too. 1.0 is "auto".
    - `compile_gradients_after`: from which call on a gradient that recurs outside of `jit` (the same program, on
      arguments of the same types) runs as one compiled program: a positive integer, by default 3; None is never.
      The compiled program rounds as under `jit`: XLA may join a product and a sum, so its last bits may differ from
      those of the calls before. With 1 or None all calls agree to the bit.

    A `with` statement holds in its thread (and asyncio task), and in what inherits the context of that. The memory
    budget is a part of what `minijvp.jit` compiles for: a function that is called under another one is compiled for
    that too. `jax.jit` knows nothing of it; a program that it compiled keeps the budget of its first call.

    The call alone changes nothing: it returns a `Scope`, which warns with UnusedScopeWarning if nobody enters it. A
    scope is a decorator too: the settings hold in every call of the function.

    Settings of JAX, by their names, which begin with `jax_`, are read here and updated too, as `jax.config` has them.

    Raises ArgumentError for a setting that does not exist, and for a value that it cannot have.

    >>> import minijvp
    >>> minijvp.config.update("jax_debug_nans", False)
    >>> with minijvp.config(compile_gradients_after=10):
    ...     minijvp.config.compile_gradients_after
    10
    """

    __slots__ = ("_process", "_scoped")

    def __init__(self) -> None:
        self._process = Settings()
        self._scoped: ContextVar[Settings | None] = ContextVar("minijvp.config", default=None)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in Config.__slots__:
            require_settings((name,))
            raise ArgumentError(
                f"minijvp.config.{name} was assigned to.",
                "Attributes of config are there to be read.",
                f"Write minijvp.config.update({name}=...) for the process, or `with minijvp.config({name}=...):`.",
            )
        object.__setattr__(self, name, value)

    @property
    def compile_gradients_after(self) -> int | None:
        return (self._scoped.get() or self._process).compile_gradients_after

    @property
    def memory_budget(self) -> Budget:
        return (self._scoped.get() or self._process).memory_budget

    def __repr__(self) -> str:
        return f"config({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields(Settings))})"

    def __getattr__(self, name: str) -> Any:
        """A setting of JAX."""
        if name.startswith("jax_"):
            return getattr(jax.config, name)
        raise AttributeError(f"minijvp.config has no setting {name!r}")

    def update(self, name: str | None = None, value: Any = None, /, **changes: Any) -> None:
        """Change settings for the whole process: by keywords, or one by its name, which may be one of JAX."""
        if name is not None and name.startswith("jax_"):
            jax.config.update(name, value)
        elif name is not None:
            changes[name] = value
        self._process = changed(self._process, checked(changes))

    def __call__(self, **changes: Any) -> Scope:
        """The settings changed, for the `with` statement that this is used in, in its thread."""
        return Scope(self, checked(changes))


class Scope:
    """Settings for a `with` statement, or for the calls of a function that is decorated with it.

    It can be entered again when it was left. One that is never used warns when it is dropped.
    """

    __slots__ = ("_changes", "_config", "_token", "_used")

    def __init__(self, config: Config, changes: dict[str, Any]):
        self._config = config
        self._changes = changes
        self._token: Token[Settings | None] | None = None
        self._used = False

    def __enter__(self) -> None:
        if self._token is not None:
            raise ArgumentError(
                f"{self!r} was entered twice at a time.",
                "A scope remembers one place to go back to.",
                "Call minijvp.config for each `with` statement.",
            )
        self._used = True
        scoped = self._config._scoped
        self._token = scoped.set(changed(scoped.get() or self._config._process, self._changes))

    def __exit__(self, *exception: object) -> None:
        token, self._token = self._token, None
        assert token is not None
        self._config._scoped.reset(token)

    def __call__(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        self._used = True
        suspended = inspect.iscoroutinefunction(fun) or inspect.isgeneratorfunction(fun)
        if not callable(fun) or suspended or inspect.isasyncgenfunction(fun):
            raise ArgumentError(
                f"{self!r} received {fun!r:.200} to decorate.",
                "It holds during a call of a function; a coroutine or a generator runs after its call."
                if suspended
                else "It decorates functions.",
                "Write a `with` statement inside.",
            )

        @wraps(fun)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            with Scope(self._config, self._changes):
                return fun(*args, **kwargs)

        return scoped

    def __repr__(self) -> str:
        return f"minijvp.config({', '.join([f'{name}={value!r}' for name, value in self._changes.items()])})"

    def __del__(self) -> None:
        if not self._used:
            warnings.warn(
                f"{self!r} changes nothing: it was called, and not entered. Write `with {self!r}:` for a part of a "
                f"program, or {repr(self).replace('(', '.update(', 1)} for the whole process.",
                UnusedScopeWarning,
                stacklevel=2,
            )


def require_settings(names: Iterable[str]) -> None:
    """Raise ArgumentError for a name that is none of a setting."""
    for name in names:
        if name not in CHECKS:
            raise ArgumentError(
                f"config has no setting {name!r}.",
                f"The settings are {', '.join(sorted(CHECKS))}.",
                "Correct the name.",
            )


def checked(changes: dict[str, Any]) -> dict[str, Any]:
    """Changes of settings, as they are kept; ArgumentError for one that cannot be."""
    require_settings(changes)
    return {name: CHECKS[name](value, "config") for name, value in changes.items()}


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with changes."""
    found = replace(settings, **changes)
    if found.memory_budget != Settings.memory_budget:
        key = id(found)
        other_budgets[key] = weakref.ref(found, lambda _: other_budgets.pop(key, None))
    return found


def checked_budget(value: Any, who: str) -> Budget:
    """The memory budget that `who` received, as a string or a Python number; ArgumentError for one that cannot be."""
    kind = type(value)
    if kind is Share:
        return value
    whole = issubclass(kind, Integral) and kind is not bool
    part = issubclass(kind, Real) and not issubclass(kind, Integral)
    if whole and value > 0:
        return int(value)
    if part and 0 < value <= 1:
        # All of the bytes is more than "auto" keeps; and 1.0 == 1, a byte.
        return float(value) if value < 1 else "auto"
    advice = "Pass bytes as an int: 2**30 is a GiB." if part and value > 1 else "Pass one of these."
    if isinstance(value, str) and value in ("auto", "off"):
        return value
    raise ArgumentError(
        f"{who} received memory_budget={value!r:.200}.",
        "A budget is 'auto' (compute again what costs no noticeable time), 'off' (keep every residual), a float f with "
        "0 < f <= 1 (a part of the bytes that 'off' keeps), or a positive int (a number of bytes).",
        advice,
    )


def optional_budget(value: Any, who: str) -> Budget | None:
    """The memory budget that `who` received as an option; None is the one in force."""
    return None if value is None else checked_budget(value, who)


def checked_count(value: Any, who: str) -> int | None:
    """A number of calls, or None; ArgumentError for others."""
    if value is None or (type(value) is int and value > 0):
        return value
    raise ArgumentError(
        f"{who} received compile_gradients_after={value!r:.200}.",
        "This setting is a positive integer, or None.",
        "Pass a value of that kind.",
    )


CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "compile_gradients_after": checked_count,
    "memory_budget": checked_budget,
}

config = Config()


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


def cached_by_budget(maxsize: int) -> Callable[[Callable[..., Any]], Any]:
    """The same for functions whose results depend on the memory budget in force besides."""

    def decorate(fun: Callable[..., Any]) -> Any:
        @cached(maxsize)
        def by_budget(budget: Budget, *args: Any, **kwargs: Any) -> Any:
            return fun(*args, **kwargs)

        @wraps(fun)
        def in_force(*args: Any, **kwargs: Any) -> Any:
            return by_budget(config.memory_budget, *args, **kwargs)

        vars(in_force).update(cache_clear=by_budget.cache_clear, cache_info=by_budget.cache_info)
        return in_force

    return decorate
