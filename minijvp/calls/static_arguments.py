"""Arguments of a function that are ordinary Python values: which they are, by position and by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from typing import Any

import jax

from minijvp import trees
from minijvp.errors import ArgumentError


class StaticArguments:
    """Which arguments of a function, which is not kept, are static, by position and by name."""

    def __init__(self, fun: Callable[..., Any], argnums: Any, argnames: Any):
        self.argnums = as_tuple(argnums, int, "static_argnums")
        self.argnames = as_tuple(argnames, str, "static_argnames")
        self.function, self.names = trees.function_name(fun), positional_names(fun)
        names = self.names
        if argnums is None:
            self.argnums = tuple(names.index(n) for n in self.argnames if n in names)
        elif argnames is None:
            self.argnames = tuple(names[i] for i in self.argnums if -len(names) <= i < len(names))

    def split(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any], tuple]:
        """Dynamic positional, dynamic keyword, and static arguments (as a hashable key)."""
        if not self.argnums and not self.argnames:
            return args, kwargs, ()
        positions = self.positions(args)
        dynamic = tuple(x for i, x in enumerate(args) if i not in positions)
        static = tuple((i, type(args[i]), args[i]) for i in sorted(positions))
        static += tuple((k, type(kwargs[k]), kwargs[k]) for k in sorted(kwargs) if k in self.argnames)
        for name, _, value in static:
            self.require_hashable(value, name)
        return dynamic, {k: v for k, v in kwargs.items() if k not in self.argnames}, static

    def positions(self, args: tuple) -> set[int]:
        """Which of the positional arguments are static."""
        return {i % len(args) for i in self.argnums if -len(args) <= i < len(args)}

    def close(self, fun: Callable[..., Any], static: tuple) -> Callable[..., Any]:
        """The function of the dynamic arguments, the static ones fixed."""
        if not static:
            return fun
        by_name = {k: v for k, _, v in static if isinstance(k, str)}
        by_position = {k: v for k, _, v in static if isinstance(k, int)}

        @trees.wraps(fun)
        def closed(*dynamic: Any, **kwargs: Any) -> Any:
            rest = iter(dynamic)
            n = len(dynamic) + len(by_position)
            args = [by_position[i] if i in by_position else next(rest) for i in range(n)]
            return fun(*args, **by_name, **kwargs)

        return closed

    def require_hashable(self, value: Hashable, name: int | str) -> None:
        """Raise ArgumentError for a static argument that cannot be looked up."""
        try:
            hash(value)
        except TypeError:
            if isinstance(name, str):
                where = f"static argument {name!r}"
            else:
                where = self.names[name] if name < len(self.names) else f"argument {name}"
            raise ArgumentError(
                f"{where} of {self.function} is of type {type(value).__name__}, which cannot be hashed: {value!r:.200}",
                "jit compiles once for each value of its static arguments, and looks them up by hash.",
                "Pass something hashable (a tuple for a list), or let jit trace this argument: take it out of "
                "static_argnums and static_argnames.",
            ) from None


def as_tuple(value: Any, single: type, what: str, function: str = "jit") -> tuple:
    """One entry or several as a tuple; ArgumentError if one is not of the type `single`. Integers are Python's."""
    if value is None:
        return ()
    several = trees.entries_of(value)
    entries = (value,) if several is None else several
    if single is int:
        entries = tuple([entry if (i := trees.as_index(entry)) is None else i for entry in entries])
    for entry in entries:
        if not isinstance(entry, single) or type(entry) is bool:
            raise ArgumentError(
                f"{function} received {what}={value!r}.",
                "Positions of arguments are integers, and their names are strings.",
                "Pass one, or a tuple of them: ...argnums takes positions, ...argnames takes names.",
            )
    return entries


def counted_in_jax(fun: Callable[..., Any], argnums: Any) -> Any:
    """Positions of jit, as JAX counts negative ones: from 0.12 on from the last parameter, if there is no `*args`."""
    names = positional_names(fun)
    if argnums is None or not names or jax.__version_info__ < (0, 12):
        return argnums
    if any([p.kind is p.VAR_POSITIONAL for p in inspect.signature(fun).parameters.values()]):
        return argnums
    return tuple([i % len(names) if -len(names) <= i < 0 else i for i in as_tuple(argnums, int, "static_argnums")])


def positional_names(fun: Callable[..., Any]) -> list[str]:
    """The names of the parameters that can be given by position, as far as they are known."""
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
