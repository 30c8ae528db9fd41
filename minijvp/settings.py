"""The settings of minijvp: for the process, and for a part of a program."""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import partial, wraps
from typing import Any

import jax

from minijvp.budgets import Budget, checked_budget
from minijvp.core.hooks import hooks, other_plans
from minijvp.errors import ArgumentError, UnusedScopeWarning
from minijvp.tracebacks import border


@dataclass(frozen=True)
class Settings:
    """What can be set, with the defaults."""

    compile_gradients_after: int | None = 3
    """From which call on a gradient that recurs outside of jit runs as one compiled program; None is never."""

    memory_budget: Budget = "auto"
    """What staged reverse mode may keep in memory between its two passes."""

    outline: str = "auto"
    """Whether equal parts of a program are differentiated and compiled once: "auto", where it pays, or "off"."""

    nan_safe: bool = False
    """Whether a tangent or cotangent that is zero absorbs what is not finite."""

    optimize: bool = True
    """Whether anything is done to be faster or smaller: not so, the other settings are None and "off"."""

    check_nans: bool = False
    """Whether calls check that their results are finite."""

    explain_compiles: bool = False
    """Whether it is said what is compiled, and why again."""

    traceback: str = "short"
    """Which frames the traceback of an error shows: "short", those of the user, or "full", all."""

    @property
    def plan(self) -> Plan:
        """What staged programs depend on."""
        return (self.memory_budget, self.outline, self.nan_safe) if self.optimize else ("off", "off", self.nan_safe)


Plan = tuple[Budget, str, bool]
"""The memory budget, whether programs are outlined, and whether zeros of tangents absorb."""

DEFAULT_PLAN = (Settings.memory_budget, Settings.outline, Settings.nan_safe)


def optimizing() -> bool:
    """`config.optimize`, at no cost as long as it has not been set."""
    return not other_plans or config.optimize


class Config:
    """The settings in force: attributes to read, `update` for the whole process, and a call for a `with` statement.

    - `memory_budget`: what reverse mode under `jit` may keep between its two passes. "auto", the default, computes
      again, by a minimum cut between the forward and the backward program, what costs no noticeable time; "off" keeps
      every residual. A float f, 0 < f <= 1, is a part of the bytes that "off" keeps, and an int is a number of bytes:
      to stay within these, expensive operations are computed again too. 1.0 is "auto". Bytes are those of one device:
      where the arguments lie on a mesh, or `jit` has shardings on one, each of its devices is taken to have an equal
      part of every value. What is the same on all of them takes more. What devices may have to communicate for, such
      as a product of matrices, is computed again there only if a budget cannot be kept otherwise.
    - `compile_gradients_after`: from which call on a gradient that recurs outside of `jit` (the same program, on
      arguments of the same types) runs as one compiled program: a positive integer, by default 3; None is never.
      The compiled program rounds as under `jit`: XLA may join a product and a sum, so its last bits may differ from
      those of the calls before. With 1 or None all calls agree to the bit.

    - `outline`: "auto", the default, has stretches of a program under `jit` that are equal, such as the layers of a
      network that a Python loop calls one after the other, differentiated and compiled once, and called as often;
      "off" leaves the program as it was written. Where there are too few, or too short ones, to gain, nothing is done;
      nor in a gradient with memory_budget="off", which would keep more by it.

    - `nan_safe`: True has a tangent or cotangent that is exactly zero stay zero, whatever a derivative multiplies it
      with, and a factor that is zero absorb an infinite one. Where zero times infinite stands for a limit, 0 may be
      wrong. False, the default, computes 0 * inf = nan.

    - `optimize`: False takes all of this away, and the compiled rules of eager derivatives: what runs then is the plain
      machine, an operation at a time. No result changes but in its last bits, by rounding. It is there to be read, to
      be traced with a debugger, and to be held against.

    - `check_nans`: with True, `jit`, `vmap`, derivatives and Jacobians raise NonFiniteError where a result of a call is
      nan or inf; the error has the report of `minijvp.explain_nan`, for which the call is made once more. What is
      called inside of a transformation is not checked by itself. Arguments are not donated then.

    - `explain_compiles`: with True, the logger "minijvp" is told what `jit` compiles, and a gradient that recurs: which
      function, how long tracing, lowering and XLA took, and if it was compiled before, why again: what is not as in
      the closest earlier call. What takes over 2 s is told while it is compiled. Calls take longer.

    - `traceback`: "short", the default, leaves frames of minijvp, JAX and NumPy out of the tracebacks of errors that
      leave minijvp, so that the last line is the user's; but for errors that minijvp did not mean to raise. "full"
      leaves all frames in, as JAX_TRACEBACK_FILTERING=off does, the setting of JAX.

    A `with` statement holds in its thread (and asyncio task), and in what inherits the context of that. The memory
    budget is a part of what `minijvp.jit` compiles for: a function that is called under another one is compiled for
    that too. `jax.jit` knows nothing of it; a program that it compiled keeps the budget of its first call.

    The call alone changes nothing: it returns a `Scope`, which warns with UnusedScopeWarning if it is never entered. A
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
        settings = self._scoped.get() or self._process
        return settings.compile_gradients_after if settings.optimize else None

    @property
    def memory_budget(self) -> Budget:
        return self.plan[0]

    @property
    def outline(self) -> str:
        return self.plan[1]

    @property
    def plan(self) -> Plan:
        """What staged programs depend on: the memory budget, whether they are outlined, and whether zeros absorb."""
        return (self._scoped.get() or self._process).plan

    @property
    def check_nans(self) -> bool:
        return (self._scoped.get() or self._process).check_nans

    @property
    def explain_compiles(self) -> bool:
        return (self._scoped.get() or self._process).explain_compiles

    @property
    def nan_safe(self) -> bool:
        return self.plan[2]

    @property
    def traceback(self) -> str:
        return (self._scoped.get() or self._process).traceback

    @property
    def optimize(self) -> bool:
        return (self._scoped.get() or self._process).optimize

    def __repr__(self) -> str:
        return f"config({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields(Settings))})"

    def __getattr__(self, name: str) -> Any:
        """A setting of JAX."""
        if name.startswith("jax_"):
            return getattr(jax.config, name)
        raise AttributeError(f"minijvp.config has no setting {name!r}")

    @border
    def update(self, name: str | None = None, value: Any = None, /, **changes: Any) -> None:
        """Change settings for the whole process: by keywords, or one by its name, which may be one of JAX."""
        if name is not None and name.startswith("jax_"):
            jax.config.update(name, value)
        elif name is not None:
            changes[name] = value
        self._process = changed(self._process, checked(changes))

    @border
    def __call__(self, **changes: Any) -> Scope:
        """The settings changed, for the `with` statement that this is used in, in its thread."""
        return Scope(self, checked(changes))


class Scope:
    """Settings for a `with` statement, or for the calls of a function that is decorated with it.

    It can be entered again when it was left. One that is never used warns when it is dropped.
    """

    __slots__ = ("_before", "_changes", "_config", "_settings", "_used")

    def __init__(self, config: Config, changes: dict[str, Any]):
        self._config = config
        self._changes = changes
        self._settings: Settings | None = None
        self._used = False

    def __enter__(self) -> None:
        if self._settings is not None:
            raise ArgumentError(
                f"{self!r} was entered twice at a time.",
                "A scope remembers one place to go back to.",
                "Call minijvp.config for each `with` statement.",
            )
        self._used = True
        scoped = self._config._scoped
        self._before = scoped.get()
        self._settings = changed(self._before or self._config._process, self._changes)
        scoped.set(self._settings)

    def __exit__(self, *exception: object) -> None:
        self._config._scoped.set(self._before)
        self._settings = None

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
        @border
        def scoped(*args: Any, **kwargs: Any) -> Any:
            with Scope(self._config, self._changes):
                return fun(*args, **kwargs)

        return scoped

    def __repr__(self) -> str:
        return f"minijvp.config({', '.join([f'{name}={value!r}' for name, value in self._changes.items()])})"

    def __del__(self) -> None:
        settings = getattr(self, "_settings", None)
        if settings is not None and self._config._scoped.get() is settings:
            self._config._scoped.set(self._before)  # an interrupt came while it was entered or left
        if not getattr(self, "_used", True):  # an interrupt may come before it is set
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
    if found.plan != DEFAULT_PLAN or found.check_nans or found.explain_compiles:
        key = id(found)
        other_plans[key] = weakref.ref(found, lambda _: other_plans.pop(key, None))
    return found


def checked_count(value: Any, who: str) -> int | None:
    """A number of calls, or None; ArgumentError for others."""
    if value is None or (type(value) is int and value > 0):
        return value
    raise ArgumentError(
        f"{who} received compile_gradients_after={value!r:.200}.",
        "This setting is a positive integer, or None.",
        "Pass a value of that kind.",
    )


def checked_switch(value: Any, who: str, name: str) -> bool:
    """True or False; ArgumentError for others."""
    if type(value) is bool:
        return value
    raise ArgumentError(
        f"{who} received {name}={value!r:.200}.",
        "This setting is True or False.",
        "Pass one of these.",
    )


def checked_choice(value: Any, who: str, name: str, meanings: dict[str, str]) -> str:
    """One of some words, each with what it means; ArgumentError for others."""
    if isinstance(value, str) and value in meanings:
        return value
    raise ArgumentError(
        f"{who} received {name}={value!r:.200}.",
        f"This setting is {', or '.join([f'{word!r}, {meaning}' for word, meaning in meanings.items()])}.",
        "Pass one of these.",
    )


def with_nan_safe(fun: Callable[..., Any], value: bool, who: str) -> Callable[..., Any]:
    """A function in whose calls zeros of tangents absorb, or do not."""
    return config(nan_safe=checked_switch(value, who, "nan_safe"))(fun)


OUTLINE = {"auto": "which outlines equal parts of a program where it pays", "off": "which never does"}
TRACEBACK = {"short": "the frames of the user", "full": "all frames"}

CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "check_nans": partial(checked_switch, name="check_nans"),
    "compile_gradients_after": checked_count,
    "explain_compiles": partial(checked_switch, name="explain_compiles"),
    "memory_budget": checked_budget,
    "nan_safe": partial(checked_switch, name="nan_safe"),
    "optimize": partial(checked_switch, name="optimize"),
    "outline": partial(checked_choice, name="outline", meanings=OUTLINE),
    "traceback": partial(checked_choice, name="traceback", meanings=TRACEBACK),
}

config = Config()


def safe_trace(plain: Any) -> Any:
    """What to use in the place of a plain trace, where zeros of tangents absorb; None where they do not."""
    return hooks.safe_traces.get(plain, plain) if config.nan_safe else None


hooks.nan_safe, hooks.with_nan_safe = safe_trace, with_nan_safe
hooks.full_tracebacks, hooks.explains_compiles = lambda: config.traceback == "full", lambda: config.explain_compiles
