"""The function that jit returns, with the parameters of the user's written out.

Half of what a wrapper costs is packing its arguments and unpacking them again; this one is made from its source, as
dataclasses make their methods, and does neither.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, update_wrapper
from types import CellType, CodeType, FunctionType
from typing import Any

from minijvp.core.source import PACKAGE

FIXED_WRAPPER = """
def jitted({arguments}):
    try:
        if __live_traces and __state.trace is not __evaluation:
            return __under_trace({packed}, {{}})
        try:
            return (__to_run() if __other_plans{or_in_jax} else __compiled)({arguments})
        except __errors as error:
            return __recover(error, {packed}, {{}})
    except Exception as error:
        __shorten(error)
        raise
"""


def plain_parameters(fun: Callable[..., Any]) -> tuple[str, ...] | None:
    """The parameters as they are written, one at least, if they have no defaults and none is by name only."""
    # Our own wrappers take what they wrap takes. Another's, though it names what it wraps, may take more.
    while hasattr(fun, "__wrapped__") and hasattr(fun, "__code__") and fun.__code__.co_filename.startswith(PACKAGE):
        fun = fun.__wrapped__
    try:
        parameters = list(inspect.signature(fun, follow_wrapped=False).parameters.values())
    except (TypeError, ValueError):
        return None
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    plain = all(p.kind in kinds and p.default is p.empty and not p.name.startswith("__") for p in parameters)
    return tuple(map(str, (p.replace(annotation=p.empty) for p in parameters))) if plain and parameters else None


@lru_cache(maxsize=1024)
def written_out(names: tuple[str, ...]) -> list[CodeType]:
    """The code of two functions with these parameters: one that looks whether JAX traces, and one that does not."""
    arguments, found = ", ".join(names), []
    for or_in_jax in (" or __find_top_trace(()) is not __jax_evaluation", ""):
        text = FIXED_WRAPPER.format(arguments=arguments, packed=f"({arguments},)", or_in_jax=or_in_jax)
        module = compile(text, f"{__file__} (wrapper)", "exec")  # the name marks its frame as one of ours
        found += [code for code in module.co_consts if isinstance(code, CodeType)]
    return found


def describe(lowered: Any, fun: Callable[..., Any]) -> None:
    """Give a function the name, the place and the parameters of `fun` for JAX, and nothing that keeps `fun` alive."""
    update_wrapper(lowered, fun, ("__module__", "__name__", "__qualname__", "__doc__"), ())
    code = getattr(inspect.unwrap(fun), "__code__", None)
    del lowered.__wrapped__
    if code is not None:
        lowered.__wrapped__ = FunctionType(code, {}, closure=tuple(CellType() for _ in code.co_freevars))
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return
    bare = [p.replace(annotation=p.empty, default=p.default if p.default is p.empty else None) for p in parameters]
    lowered.__signature__ = inspect.Signature(bare)
