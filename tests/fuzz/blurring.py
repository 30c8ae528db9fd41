"""Programs in which every number that is computed is moved a little, as rounding moves it."""

from __future__ import annotations

import ast
from types import CodeType
from typing import Any

import jax
import jax.numpy as jnp

from minijvp.core.types import is_inexact


def blurred(source: str) -> CodeType:
    """The program with `noisy(..., number)` around every call, and every sum or product."""
    return compile(ast.fix_missing_locations(Blurring().visit(ast.parse(source))), "<program>", "exec")


class Blurring(ast.NodeTransformer):
    """Puts it there."""

    def __init__(self) -> None:
        self.count = 0

    def noisy(self, node: ast.Call | ast.BinOp) -> ast.Call:
        self.generic_visit(node)
        self.count += 1
        return ast.Call(ast.Name("noisy", ast.Load()), [node, ast.Constant(self.count)], [])

    visit_Call = visit_BinOp = noisy


def is_blurred(x: Any) -> bool:
    """Whether this is an array of floating numbers of JAX; what a program knows when it is traced stays as it is."""
    return isinstance(x, jax.Array) and is_inexact(x.dtype)


def blur(x: Any, phase: Any, strength: Any) -> Any:
    waves = jnp.cos(phase + 2.4 * jnp.arange(x.size).reshape(x.shape))
    return (1 + strength * waves).astype(jnp.real(x).dtype)
