"""A function near a point: its values where a few elements of the argument are moved, in one batch, and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.programs import stage_tree
from minijvp.calls.jit import call
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Axis
from minijvp.core.tracer import is_traced
from minijvp.core.tracing import evaluating
from minijvp.core.types import PYTHON_SCALARS, ArrayType, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.interop.from_jax import from_jax
from minijvp.tools.levels import computed, np_array
from minijvp.tools.reports import precision
from minijvp.transforms.vmap import vmap_jaxpr

OUTSIDE_OF_DOMAIN = (ValueError, ArithmeticError)
"""What functions of Python raise for numbers that they are not defined for."""


@dataclass
class Evaluations:
    """How often functions were evaluated: the points of a batch count one by one."""

    total: int = 0

    def __int__(self) -> int:
        return self.total


_counting: ContextVar[tuple[Evaluations, ...]] = ContextVar("counting", default=())


@contextmanager
def count_evaluations() -> Iterator[Evaluations]:
    """A context manager: the `Evaluations` that minijvp.numerical makes of functions inside.

    >>> import minijvp.numpy as mnp
    >>> from minijvp import numerical
    >>> with numerical.count_evaluations() as evaluations:
    ...     slope = numerical.gradient(lambda x: mnp.sum(x ** 2), mnp.ones(5), "forward")
    >>> evaluations.total
    6
    """
    evaluations = Evaluations()
    token = _counting.set((*_counting.get(), evaluations))
    try:
        yield evaluations
    finally:
        _counting.reset(token)


class Probe:
    """`fun` of one pytree near `x`: as a function of the flat vector of its elements that returns a flat vector.

    A function that can be traced and batched is compiled for whole batches of points, in JAX's dtypes; any other is
    called point by point, with leaves of the kind and the dtype of `x`.
    """

    def __init__(self, fun: Callable[..., Any], x: Any, user: str, imaginary: bool = False):
        trees.require_callable(fun, user)
        self.fun, self.user, self.imaginary = fun, user, imaginary
        self.argument, self.name = x, trees.function_name(fun)
        self.leaf_name = trees.call_namer(fun, (x,), {})
        self.leaves, self.in_tree = tree_flatten(x)
        types = [require_floating(leaf, self.leaf_name, i, user) for i, leaf in enumerate(self.leaves)]
        self.shapes = [t.shape for t in types]
        self.offsets = np.cumsum([0] + [t.size for t in types])
        self.rows = 0
        self.known: dict[tuple, np.ndarray] = {}
        self.batches: dict[int, Jaxpr] = {}
        self.trouble: Exception | None = None
        with evaluating():
            self.program = self.traced([t.dtype for t in types])
        self.dtypes = [self.wide(t.dtype if self.program else own_dtype(leaf)) for t, leaf in zip(types, self.leaves)]
        self.x = self.require_finite()
        if self.program is None:
            self.known[()] = self.look(self.x[None], guarded=False)[0]
        else:
            self.out_dtypes = [t.dtype for t in self.program.out_types]
            self.out_shapes = [t.shape for t in self.program.out_types]
            self.by_jax = True
        self.out_offsets = np.cumsum([0] + [int(np.prod(shape)) for shape in self.out_shapes])
        self.require_floating_result()
        is_complex = any(np.dtype(d).kind == "c" for d in self.out_dtypes)
        self.out_dtype = np.dtype(np.complex128 if is_complex else np.float64)
        self.eps = self.precisions()

    def wide(self, dtype: Any) -> Any:
        """The dtype in which an argument is given: complex, for steps along the imaginary axis."""
        return np.dtype(jnp.promote_types(dtype, np.complex64)) if self.imaginary else np.dtype(dtype)

    def traced(self, dtypes: Sequence[Any]) -> Jaxpr | None:
        """The program of the function, written for minijvp or for JAX; None if there is none."""
        types = tuple([ArrayType(shape, self.wide(d)) for shape, d in zip(self.shapes, dtypes, strict=True)])
        _, tree = tree_flatten(((self.argument,), {}))
        for fun in (self.fun, from_jax(self.fun)):
            try:
                program, self.out_tree = stage_tree(fun, tree, types)
                opened, self.constants = program.hoist_constants()
                self.batched(opened, 1)
            except Exception:
                continue  # whatever it was, calling the function shows it again
            return opened
        return None

    def batched(self, program: Jaxpr, rows: int) -> Jaxpr:
        """The program for a batch of points."""
        if rows not in self.batches:
            n = len(self.constants)
            flags = (False,) * n + (True,) * (len(program.inputs) - n)
            self.batches[rows] = vmap_jaxpr(program, Axis(rows), flags, (True,) * len(program.outputs))[0]
        return self.batches[rows]

    def require_finite(self) -> np.ndarray:
        """The elements of the argument, exactly as the function gets them."""
        parts = [np.zeros(0)]
        for i, (leaf, dtype) in enumerate(zip(self.leaves, self.dtypes, strict=True)):
            part = np_array(np.asarray(leaf).astype(dtype))
            if not np.all(np.isfinite(part)):
                raise ArgumentError(
                    f"{self.user} of {self.name} received {self.leaf_name(i)} with numbers that are not finite.",
                    "There are no points nearby that differences could be taken between.",
                    "Pass finite numbers, in the range of the dtype.",
                )
            parts.append(part.ravel())
        return np.concatenate(parts)

    def require_floating_result(self) -> None:
        """Raise ArgumentError for results of which there are no differences."""
        for i, dtype in enumerate(self.out_dtypes):
            if not is_inexact(dtype):
                raise ArgumentError(
                    f"{self.name} returned {type_name(dtype)} as leaf {i} of its result, to {self.user}.",
                    "An integer result is piecewise constant: its differences are zero or jumps.",
                    "Compute the result in floating point, and omit what is not floating.",
                )

    def precisions(self) -> np.ndarray:
        """For each element, the relative precision of the computation."""
        inside = computed(self.program) if self.program else []
        worst = max([precision(d) for d in [*self.out_dtypes, *inside]], default=0.0)
        return np.concatenate(
            [np.zeros(0)]
            + [np.full(n, max(precision(d), worst)) for d, n in zip(self.dtypes, np.diff(self.offsets), strict=True)]
        )

    # Points

    def element(self, i: int) -> str:
        """The name of an element of the argument."""
        leaf = int(np.searchsorted(self.offsets, i, "right")) - 1
        index = np.unravel_index(i - self.offsets[leaf], self.shapes[leaf])
        return self.leaf_name(leaf) + (f"[{', '.join(map(str, index))}]" if index else "")

    def moved(self, index: np.ndarray, amount: np.ndarray) -> np.ndarray:
        """How far these elements move when these amounts are added, after rounding to their dtypes."""
        start = self.x[index]
        leaf = np.searchsorted(self.offsets, index, "right") - 1
        target = np.asarray(start + amount)
        for i, dtype in enumerate(self.dtypes):
            chosen = leaf == i
            target[chosen] = rounded(target[chosen], dtype)
        return target - start

    def values(self, index: np.ndarray, amounts: np.ndarray, finite: bool = True) -> np.ndarray:
        """The results where elements `index[c]` are moved by `amounts[c, p]`: an array of shape (c, p, results).

        Points at which an element is not moved are shared by several columns, and kept. With `finite`, a result that
        is not finite raises ArgumentError.
        """
        columns, points, order = amounts.shape
        moves = amounts.reshape(-1, order)
        places = np.repeat(index, points, axis=0)
        keys = {int(r): point_key(places[r], moves[r]) for r in np.flatnonzero((moves == 0).any(axis=1))}
        new = {key: r for r, key in keys.items() if key not in self.known}
        own = [r for r in range(len(moves)) if r not in keys] if keys else list(range(len(moves)))
        chosen = [*own, *new.values()]
        rows = np.repeat(self.x[None], len(chosen), axis=0).astype(np.result_type(self.x, moves))
        np.add.at(rows, (np.arange(len(chosen))[:, None], places[chosen]), moves[chosen])
        found = self.look(rows)
        if finite:
            self.require_finite_results(found, rows)
        self.known.update(zip(new, found[len(own) :], strict=True))
        full = np.empty((len(moves), found.shape[1]), found.dtype)
        full[own] = found[: len(own)]
        for r, key in keys.items():
            full[r] = self.known[key]
        return full.reshape(columns, points, found.shape[1])

    def require_finite_results(self, found: np.ndarray, rows: np.ndarray) -> None:
        """Raise ArgumentError that names the first point at which a result is not finite."""
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            moved = np.flatnonzero(rows[bad[0]] != self.x)
            names = [f"{self.element(int(i))} = {rows[bad[0], i]:.9g}" for i in moved]
            where = f"{' and '.join(names)}, to which {self.user} moved it" if names else "the point itself"
            raised = f" ({self.trouble})" if self.trouble else ""
            raise ArgumentError(
                f"{self.name} is not finite at {where}{raised}.",
                "A difference is taken between values at points nearby, and here one of them lies outside of the "
                "function's domain or overflows.",
                'Pass a smaller step, the method "forward" (points on one side only), or a point inside of the domain.',
            ) from self.trouble

    # Evaluation

    def look(self, rows: np.ndarray, guarded: bool = True) -> np.ndarray:
        """The results at each row, as numbers of float64 or complex128."""
        for evaluations in _counting.get():
            evaluations.total += len(rows)
        with evaluating(), jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
            if self.program is None:
                return np.stack([self.look_alone(row, guarded) for row in rows]) if len(rows) else self.nothing()
            return self.look_together(self.program, rows) if len(rows) else self.nothing()

    def nothing(self) -> np.ndarray:
        return np.zeros((0, int(self.out_offsets[-1])), self.out_dtype)

    def split(self, flat: np.ndarray) -> list[np.ndarray]:
        """Leaves of the shapes of the argument's, in float64 or complex128, along any leading axes of flat numbers."""
        ends = zip(pairwise(self.offsets), self.shapes, strict=True)
        return [flat[..., start:stop].reshape((*flat.shape[:-1], *shape)) for (start, stop), shape in ends]

    def arguments(self, rows: np.ndarray) -> list[np.ndarray]:
        """The leaves of the argument for flat rows, in their dtypes, along a leading axis."""
        return list(map(rounded, self.split(rows), self.dtypes))

    def look_together(self, program: Jaxpr, rows: np.ndarray) -> np.ndarray:
        """The results of a compiled batch. Smaller batches are filled up, so that one program serves all."""
        n = len(rows)
        self.rows = max(self.rows, n)
        filled = np.concatenate([rows, np.repeat(rows[-1:], self.rows - n, axis=0)])
        leaves = list(map(jnp.asarray, self.arguments(filled)))
        outs = call(self.batched(program, self.rows), *self.constants, *leaves)
        return np.concatenate([np.zeros((n, 0))] + [np_array(x)[:n].reshape(n, -1) for x in outs], axis=1)

    def look_alone(self, row: np.ndarray, guarded: bool) -> np.ndarray:
        """The results at one point. A function that was defined at the start may not be so everywhere."""
        xs = [like(leaf, x[0]) for leaf, x in zip(self.leaves, self.arguments(row[None]), strict=True)]
        try:
            result = self.fun(tree_unflatten(self.in_tree, xs))
        except OUTSIDE_OF_DOMAIN as error:
            if not guarded:
                raise
            self.trouble = error
            return np.full(int(self.out_offsets[-1]), np.nan)
        outs, tree = tree_flatten(result)
        where = trees.result_namer(result, self.name)
        shapes = [trees.require_array(x, lambda i=i: where(i)).shape for i, x in enumerate(outs)]
        if not guarded:
            self.out_tree, self.out_shapes = tree, shapes
            self.out_dtypes = [own_dtype(x) for x in outs]
            self.by_jax = any(isinstance(x, jax.Array) for x in outs)
        elif (tree, shapes) != (self.out_tree, self.out_shapes):
            raise ArgumentError(
                f"{self.name} returned {tree} of shapes {shapes} at one point and {self.out_tree} of shapes "
                f"{self.out_shapes} at another.",
                "There is no difference between results of different forms.",
                "Return the same tree and shapes for every argument.",
            )
        return np.concatenate([np.zeros(0)] + [np_array(x).ravel() for x in outs])


def rounded(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The numbers in another dtype; real ones of what is complex for others' sake."""
    return (np.real(x) if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype)


def like(leaf: Any, x: Any) -> Any:
    """A value of NumPy as an array of JAX or a number of Python, where `leaf` is one."""
    if isinstance(leaf, jax.Array):
        return jnp.asarray(x)
    return x.item() if type(leaf) in PYTHON_SCALARS else x


def point_key(places: np.ndarray, moves: np.ndarray) -> tuple:
    """A key for the point at which these elements are moved."""
    return tuple(sorted([(int(i), complex(m).real, complex(m).imag) for i, m in zip(places, moves) if m != 0]))


def own_dtype(x: Any) -> np.dtype:
    """The dtype of a value outside of JAX: Python's floats have 64 bits."""
    return np.dtype(type(x)) if type(x) in PYTHON_SCALARS else np.dtype(x.dtype)


def type_name(dtype: Any) -> str:
    """The name of a dtype with its article."""
    return f"{'an' if np.dtype(dtype).name[0] in 'aeiou' else 'a'} {np.dtype(dtype).name}"


def require_floating(x: Any, name: Callable[[int], str], i: int, user: str) -> ArrayType:
    """The type of a leaf of the argument; ArgumentError if it has no differences that could be taken."""
    if is_traced(x):
        raise ArgumentError(
            f"{user} received a traced value for {name(i)}.",
            "Differences are computed from numbers, outside of compiled, batched and differentiated functions.",
            "Call it outside of the transformation. A function with a derivative by differences inside of one: "
            "minijvp.external(f, result_type, differences=True).",
        )
    trees.require_array(x, lambda: name(i))
    t = type_of(x)
    if not is_inexact(t.dtype):
        raise ArgumentError(
            f"{user} received {type_name(t.dtype)} for {name(i)}.",
            "Integers and booleans have no derivative: no value lies close to another.",
            "Pass floats (1.0 for 1; x.astype(float)), and close over what is not to be moved.",
        )
    return t
