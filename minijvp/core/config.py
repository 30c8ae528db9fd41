"""The settings of minijvp: for the process, and for a part of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any

from minijvp.errors import ArgumentError


class Share(float):
    """A fraction that is aimed at, and not insisted on: the budget of what is inside a program that has one."""


Budget = str | int | float


@dataclass(frozen=True)
class Settings:
    """What can be set, with the defaults."""

    compile_gradients_after: int | None = 3
    """From which call on a gradient that recurs outside of jit runs as one compiled program; None is never."""

    memory_budget: str = "off"
    """Whether reverse mode under jit decides itself what to compute again: "auto", or "off"."""


_positive = "a positive integer, or None"
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "memory_budget": (lambda b: b in ("auto", "off") or isinstance(b, (int, float)), "'auto' or 'off'"),
    "compile_gradients_after": (lambda n: n is None or (type(n) is int and n > 0), _positive),
}


class Config:
    """The settings in force: attributes to read, `update` for the whole process, and a call for a `with` statement.

    - `memory_budget`: "auto" lets reverse mode under `jit` compute again what is not worth keeping, by a minimum cut
      between the forward and the backward program; "off", the default, keeps every residual.
    - `compile_gradients_after`: from which call on a gradient that recurs outside of `jit` (the same program, on
      arguments of the same types) runs as one compiled program: a positive integer, by default 3; None is never.

    Raises ArgumentError for a setting that does not exist, and for a value that it cannot have.

    >>> import minijvp
    >>> with minijvp.config(compile_gradients_after=10):
    ...     minijvp.config.compile_gradients_after
    10
    """

    def __init__(self) -> None:
        self._process = Settings()
        self._scoped: ContextVar[Settings | None] = ContextVar("minijvp.config", default=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scoped.get() or self._process, name)

    def __repr__(self) -> str:
        return f"config({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields(Settings))})"

    def update(self, **changes: Any) -> None:
        """Change settings for the whole process."""
        self._process = changed(self._process, changes)

    @contextmanager
    def __call__(self, **changes: Any) -> Iterator[None]:
        """Change settings for the `with` statement that this is used in, in its thread."""
        token = self._scoped.set(changed(self._scoped.get() or self._process, changes))
        try:
            yield
        finally:
            self._scoped.reset(token)


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with changes; ArgumentError for one that cannot be."""
    for name, value in changes.items():
        if name not in CHECKS:
            raise ArgumentError(
                f"config has no setting {name!r}.",
                f"The settings are {', '.join(sorted(CHECKS))}.",
                "Correct the name.",
            )
        accepts, wanted = CHECKS[name]
        if not accepts(value):
            raise ArgumentError(
                f"config received {name}={value!r}.", f"This setting is {wanted}.", "Pass a value of that kind."
            )
    return replace(settings, **changes)


config = Config()
