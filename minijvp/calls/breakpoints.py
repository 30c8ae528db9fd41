"""Stops in the debugger while a program runs, where the variables of a function have values."""

from __future__ import annotations

import builtins
from contextlib import suppress
from threading import RLock
from types import FrameType
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp.core.tracer import Tracer, is_traced

CALL = "__breakpoint__"
"""How Python's `breakpoint` is called by the line that stands for the user's."""

stopping = RLock()


class Stop:
    """Opens the debugger at a line of a function, for values of those leaves of its variables that are traced.

    It is the debugger of Python's `breakpoint()`, which finds a frame with the name, file and line of the function.
    """

    def __init__(self, frame: FrameType):
        text = "\n" * (frame.f_lineno - 1) + f"{CALL}()"
        code = compile(text, frame.f_code.co_filename, "exec")
        self.code = code.replace(co_name=frame.f_code.co_name)
        self.module = frame.f_globals
        self.values: dict[str, Any] = dict(frame.f_locals)
        self.traced: dict[str, tuple[list[Any], list[int], Any]] = {}
        """Leaves, the places of traced ones, and structure, of the variables that have some."""
        self.arrays: list[Any] = []
        for name, value in self.values.items():
            with suppress(Exception):  # by pytrees of users, which may do anything
                leaves, tree = tree_flatten(value)
                places = [i for i, x in enumerate(leaves) if is_usable(x)]
                if places:
                    self.arrays += [leaves[i] for i in places]
                    self.traced[name] = [None if is_usable(x) else x for x in leaves], places, tree
        for name in self.traced:
            del self.values[name]

    def __call__(self, *arrays: Any) -> None:
        values, given = dict(self.values), iter(arrays)
        for name, (leaves, places, tree) in self.traced.items():
            leaves = list(leaves)
            for i in places:
                leaves[i] = np.asarray(next(given))
            values[name] = leaves
            with suppress(Exception):
                values[name] = tree_unflatten(tree, leaves)
        with stopping:
            exec(self.code, self.module, {**values, CALL: builtins.breakpoint})


def is_usable(x: Any) -> bool:
    """Whether a value is traced, by what has not ended."""
    return not x.owner.finished() if isinstance(x, Tracer) else is_traced(x)
