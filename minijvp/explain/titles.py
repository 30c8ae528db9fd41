"""How reports call a function."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from minijvp.trees import function_name


def innermost_name(fun: Any) -> str:
    """The name of the function inside of transformations and of functools.partial."""
    while isinstance(found := inspect.unwrap(fun), partial):
        fun = found.func
    return function_name(fun)
