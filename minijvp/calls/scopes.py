"""Parts of a program that the caller names, or wants at once: scopes for `with` statements and for functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from typing import Any

from jax.extend.source_info_util import new_name_stack

from minijvp import trees
from minijvp.api.names import naming
from minijvp.core.tracing import detached
from minijvp.errors import ArgumentError, ConcretizationError, ForeignFunctionError


class named_scope(ContextDecorator):
    """A name for the operations inside of a `with` statement, or of a function, in what XLA's tools show.

    Derivatives of the operations have the name too. Programs that differ in names only share one compilation where
    they are found by their structure: outside of jit the name may be that of the first.

    Raises ArgumentError for a name that is no string.

    >>> import minijvp, minijvp.numpy as mnp
    >>> @minijvp.jit
    ... def f(x):
    ...     with minijvp.named_scope("attention"):
    ...         return mnp.sin(x)
    >>> "attention/sin" in f.lower(1.0).as_text(debug_info=True)
    True
    """

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise ArgumentError(
                f"named_scope received {name!r:.200} of type {type(name).__name__}.",
                "It is a name for operations.",
                "Pass a string.",
            )
        self.names = new_name_stack(name)
        self.entered: list[naming] = []

    def __enter__(self) -> None:
        self.entered.append(naming(self.names))
        self.entered[-1].__enter__()

    def __exit__(self, *exception: Any) -> None:
        self.entered.pop().__exit__(*exception)


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """The function, with its operations in the scope of a name, by default its own: see `named_scope`."""
    trees.require_callable(fun, "named_call")
    return named_scope(trees.function_name(fun) if name is None else name)(fun)


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """A scope in which operations compute at once, whatever is being traced: it gives values that steer Python.

    Raises ConcretizationError for traced values.

    >>> import minijvp, minijvp.numpy as mnp
    >>> @minijvp.jit
    ... def f(x):
    ...     with minijvp.ensure_compile_time_eval():
    ...         n = int(mnp.sum(mnp.arange(4)))
    ...     return x**n
    >>> float(f(2.0))
    64.0
    """
    try:
        with detached():
            yield
    except ForeignFunctionError as error:
        raise ConcretizationError(
            f"ensure_compile_time_eval met a traced value: {error.what}",
            "Inside of it operations compute at once, and a traced value has no numbers.",
            "Take operations on traced values out of it.",
        ) from error
