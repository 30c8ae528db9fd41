"""How functions that transformations return are pickled, and programs.

Functions are pickled by what made them: the transformation, and its arguments by name. One that is found in its module
by its name, as a decorated one is, is pickled by that, as all functions of Python are. Those of jit, which are plain
functions because every call of an object costs more, have no other way, but as arguments of other transformations.
"""

from __future__ import annotations

import copyreg
import operator
import sys
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

from minijvp import trees
from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.core.primitive import Primitive, registry

Making = tuple[Callable[..., Any], dict[str, Any]]
"""What made a function, and its arguments by name."""


class Made(partial):
    """A function that a transformation returned.

    >>> import copy, math, minijvp
    >>> copy.deepcopy(minijvp.from_jax(math.sin))
    <minijvp.from_jax of sin>
    """

    __slots__ = ("making",)
    making: Making

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.func, name)  # its code and its closure

    def __reduce__(self) -> Any:
        return name_of(self) or reduced(*self.making)

    def __repr__(self) -> str:
        maker, arguments = self.making
        return f"<minijvp.{arguments.get('who', maker.__name__)} of {trees.function_name(self)}>"


class Jitted:
    """What stands for a function of jit where one that is made of it is pickled."""

    def __init__(self, making: Making):
        self.making = making

    def __reduce__(self) -> Any:
        return reduced(*self.making)


def portable(fun: Any) -> Any:
    """The function, or what stands for it where it is pickled."""
    making = getattr(fun, "__dict__", {}).get("making")
    return fun if making is None or name_of(fun) else Jitted(making)


def reduced(maker: Callable[..., Any], arguments: dict[str, Any]) -> tuple[Any, ...]:
    """How a function is pickled by what made it."""
    return made_again, (maker, {name: portable(value) for name, value in arguments.items()})


def made_again(maker: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What a transformation returns for these arguments, when it is unpickled."""
    return maker(arguments["fun"], **{name: value for name, value in arguments.items() if name != "fun"})


def name_of(fun: Any) -> str | None:
    """The qualified name by which a function is found in its module; None if that is not this one."""
    try:
        found = operator.attrgetter(fun.__qualname__)(sys.modules[fun.__module__])
    except (AttributeError, KeyError):
        return None
    return fun.__qualname__ if found is fun else None


def named(name: str) -> Primitive:
    """The primitive of that name, when it is unpickled. KeyError if none was made in this process."""
    return registry[name]


def plug_in() -> None:
    """From now on functions, programs and primitives can be pickled."""
    trees.made = Made
    Primitive.__reduce__ = lambda self: (named, (self.name,))  # type: ignore[method-assign]
    # The line of an equation stays behind: it is an instruction of code in this process.
    copyreg.pickle(Equation, lambda e: (Equation, (e.primitive, e.inputs, e.params, e.outputs, None)))
    parts = operator.attrgetter("constants", "inputs", "equations", "outputs", "name", "holds_derivatives")
    copyreg.pickle(Jaxpr, lambda jaxpr: (Jaxpr, parts(jaxpr)))
