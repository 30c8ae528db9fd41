"""The function that jit returns, with the parameters of the user's written out.

Half of what a wrapper costs is packing its arguments and unpacking them again; this one is made from its source, as
dataclasses make their methods, and does neither.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
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


def plain_parameters(fun: Callable[..., Any]) -> list[str] | None:
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
    return list(map(str, (p.replace(annotation=p.empty) for p in parameters))) if plain and parameters else None


def written_out(names: Sequence[str], scope: dict[str, Any]) -> list[Callable[..., Any]]:
    """Two functions with these parameters, which use what the scope has: one that looks whether JAX traces, and not."""
    arguments = ", ".join(names)
    hidden = {f"__{name}": value for name, value in scope.items()}  # no parameter has such a name
    found = []
    for or_in_jax in (" or __find_top_trace(()) is not __jax_evaluation", ""):
        text = FIXED_WRAPPER.format(arguments=arguments, packed=f"({arguments},)", or_in_jax=or_in_jax)
        exec(compile(text, f"{__file__} (wrapper)", "exec"), hidden)  # the name marks its frame as one of ours
        found.append(hidden["jitted"])
    return found
