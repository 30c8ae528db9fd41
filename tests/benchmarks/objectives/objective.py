"""What an objective function consists of: programs for any library of NumPy's names, and data to run them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Program = Callable[..., Any]


@dataclass(frozen=True)
class Objective:
    """A function, the derivative that is wanted of it, and its data.

    name: of the problem.
    wanted: the derivative, in words.
    make: takes a library (minijvp, jax, autograd: a module with `numpy`), and returns the function.
    derivative: takes a library that `runs_on` accepts, and returns the program of the derivative. Both programs take
        the same arguments; the first one is differentiated. Neither is compiled.
    generate: takes the entries of a size as keyword arguments, and returns the arguments in float64.
    sizes: by name: "test", "quick" and "full".
    needs: the transformations that a library must have for the derivative.
    """

    name: str
    wanted: str
    make: Callable[[Any], Program]
    derivative: Callable[[Any], Program]
    generate: Callable[..., tuple[Any, ...]]
    sizes: Mapping[str, Mapping[str, int]]
    needs: tuple[str, ...]

    def data(self, size: str | Mapping[str, int], dtype: Any = np.float64) -> tuple[Any, ...]:
        """The arguments: trees of NumPy arrays, floats of `dtype` and indices of int32. The same in each call."""
        arguments = self.generate(**(self.sizes[size] if isinstance(size, str) else size))
        return jax.tree.map(lambda x: x.astype(dtype if x.dtype.kind == "f" else np.int32), arguments)

    def runs_on(self, library: Any) -> bool:
        """Whether `library` has what the derivative needs."""
        return all(hasattr(library, name) for name in self.needs)


def gradient_of(make: Callable[[Any], Program]) -> Callable[[Any], Program]:
    """The derivative that is the gradient by reverse mode."""
    return lambda library: library.grad(make(library))


def log_sum_exp(xp: Any, x: Any) -> Any:
    """log(sum(exp(x))) along the last axis, which stays with length 1, without overflow."""
    top = xp.max(x, axis=-1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(x - top), axis=-1, keepdims=True))
