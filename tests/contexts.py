"""Contexts of MLIR, which JAX 0.10 makes anew for each program: that takes as long as to lower a small one."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from threading import get_ident
from typing import Any

import jax
from jax.interpreters import mlir

PROGRAMS = 100
"""So many share a context, as later versions of JAX do it: what it keeps is forgotten now and then."""


def share() -> None:
    """Lower in the context of the programs before, in each thread; in one of its own, while another is lowered."""
    if jax.__version__.startswith("0.10."):
        lowered, make = count(), mlir.make_ir_context
        context = lru_cache(1)(lambda thread, turn: make())
        names = make.__globals__
        shared = lambda: make() if is_lowering(names["ir"]) else context(get_ident(), next(lowered) // PROGRAMS)
        names["make_ir_context"] = shared


def is_lowering(ir: Any) -> bool:
    """Whether this thread is lowering a program, and computes something for it."""
    try:
        return ir.Context.current is not None
    except ValueError:
        return False
