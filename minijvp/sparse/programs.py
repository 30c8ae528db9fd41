"""The programs whose dependences are found, and patterns by program: each is found once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer as TracerOfJax
from jax.tree_util import tree_flatten, tree_unflatten
from scipy.sparse import csr_array

from minijvp import trees
from minijvp.api.gradients import grad
from minijvp.calls.linear_call import goes_forward
from minijvp.core.jaxpr import Jaxpr, has_own_derivatives
from minijvp.core.tracer import Tracer
from minijvp.core.types import ARRAY_CLASSES, ArrayType, type_of
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.sparse.interpreter import follow
from minijvp.sparse.pattern import Pattern
from minijvp.sparse.sets import identity, stacked
from minijvp.sparse.values import Value, constant
from minijvp.transforms.linearize import linearize_jaxpr
from minijvp.transforms.staging import argument_type, stage
from minijvp.trees import Argnums, Selection

KEPT = 256
"""How many patterns are kept."""

SMALL = 2**20
"""Arrays of JAX of fewer bytes are compared by what they hold, as those of NumPy are, larger ones by what they are."""

patterns: dict[Any, tuple[Pattern, Any]] = {}
"""The patterns that were found, by program and constants, with these constants."""


@dataclass
class Problem:
    """A function to differentiate by some of its arguments, as a program.

    The open `jaxpr` takes its `constants`, the `leaves` of these arguments, and all `others`: arrays that it may
    read, but whose values the dependences are not to be taken from.
    """

    jaxpr: Jaxpr
    constants: tuple[Any, ...]
    leaves: list[Any]
    others: list[Any]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the derivative, as a matrix."""
        sizes = [t.size for t in self.jaxpr.out_types], [type_of(x).size for x in self.leaves]
        return sum(sizes[0]), sum(sizes[1])

    @property
    def args(self) -> list[Any]:
        """All arguments of the program."""
        return [*self.constants, *self.leaves, *self.others]

    @property
    def goes_forward(self) -> bool:
        """Whether it has derivatives in forward mode."""
        if not has_own_derivatives(self.jaxpr):
            return True
        places = range(len(self.constants), len(self.constants) + len(self.leaves))
        moving = tuple([i in places for i in range(len(self.jaxpr.inputs))])
        return goes_forward(linearize_jaxpr(self.jaxpr, moving)[1])

    def pattern(self) -> Pattern:
        """Where the derivative may have entries, whatever the arguments are."""
        key = self.jaxpr, len(self.leaves), tuple(map(by_content, self.constants))
        kept = patterns.get(key)
        if kept is not None:
            return kept[0]
        found = self.followed(lambda x, t: Value(t), lambda x, t: Value(t))
        if not any(map(is_traced, self.constants)):
            if len(patterns) >= KEPT:
                patterns.clear()
            patterns[key] = found, self.constants
        return found

    def pattern_here(self, who: str) -> Pattern:
        """Where the derivative may have entries at these arguments."""
        if any(map(is_traced, self.args)):
            raise ArgumentError(
                f"{who} with local=True was called inside of another transformation.",
                "The pattern at a point follows the values there, and these are not known yet.",
                "Call it outside, with arrays, or leave local out: the pattern is then that of all arguments.",
            )
        return self.followed(constant, constant, False)

    def followed(self, leaf: Callable[..., Value], other: Callable[..., Value], everywhere: bool = True) -> Pattern:
        """The pattern, for what is known of arguments and of others."""
        types = iter(self.jaxpr.in_types)
        inputs = [Value(next(types)) if is_traced(x) else constant(x, next(types)) for x in self.constants]
        units, start = identity(self.shape[1]), 0
        for x in self.leaves:
            t = next(types)
            inputs.append(leaf(x, t)._replace(sets=units[start : start + t.size] if t.size else None))
            start += t.size
        inputs += [other(x, t) for x, t in zip(self.others, types, strict=True)]
        outs = follow(self.jaxpr, inputs)
        matrix = stacked([v.sets for v in outs], [v.type.size for v in outs])
        if matrix is None:
            matrix = csr_array(self.shape, dtype=bool)
        matrix.sort_indices()
        return Pattern(matrix, everywhere)


def is_traced(x: Any) -> bool:
    """Whether a value is not known, but a tracer of ours or of JAX."""
    return isinstance(x, (Tracer, TracerOfJax))


def by_content(x: Any) -> Any:
    """A key for a constant: what it holds, or what it is if that is large and cannot change, or is not known."""
    changes = isinstance(x, np.ndarray)
    if not changes and (is_traced(x) or not hasattr(x, "dtype") or x.dtype.kind not in "biufc" or x.nbytes >= SMALL):
        return id(x)
    return x.dtype.name, np.shape(x), sha256(np.asarray(x).tobytes()).digest()


def problem_of(
    fun: Callable[..., Any], argnums: Argnums, args: tuple, kwargs: dict[str, Any], order: int, who: str
) -> Problem:
    """The function, or of order 2 its gradient, as a program. ArgumentError for what has no sparse derivative."""
    selection = Selection(fun, argnums, args, kwargs)
    require_real_floats(selection, who)
    keys = selection.keys[0] if selection.single else tuple(selection.keys)
    of = fun if order == 1 else grad(scalar_valued(fun, who), keys)
    selection.fun = of
    leaves, tree = tree_flatten((args, kwargs))
    traced = [type(x) in ARRAY_CLASSES or isinstance(x, (np.ndarray, np.generic)) for x in leaves]
    others = trees.as_arrays([x for x, flag in zip(leaves, traced) if flag], trees.call_namer(fun, args, kwargs))
    n = len(selection.leaves)

    def flat(*values: Any) -> list[Any]:
        rest = iter(values[n:])
        found = [next(rest) if flag else x for x, flag in zip(leaves, traced, strict=True)]
        selection.args, selection.kwargs = tree_unflatten(tree, found)
        outs = selection.positional(*values[:n])
        require_real_results(selection, outs, who)
        return outs

    types = list(map(argument_type, [*selection.leaves, *others]))
    require_sizes(types, selection, who)
    opened, constants = stage(flat, types, trees.function_name(fun)).hoist_constants()
    return Problem(opened, constants, selection.leaves, others)


def require_real_floats(selection: Selection, who: str) -> None:
    """Raise ArgumentError for arguments that are not real floating numbers."""
    for i, x in enumerate(selection.leaves):
        kind = type_of(x)
        if not is_real_float(kind):
            complex_ = kind.dtype.kind == "c"
            raise ArgumentError(
                f"{who} of {trees.function_name(selection.fun)} received {kind!r} for {selection.leaf_name(i)}.",
                "By a complex number there are two derivatives, along the real and the imaginary axis."
                if complex_
                else "Integers and booleans have no derivative: no value lies close to another.",
                "Differentiate by two real arguments: lambda x, y: f(x + 1j * y)."
                if complex_
                else "Pass floats (1.0 for 1; x.astype(float)), or choose another argument with argnums.",
            )


def require_sizes(types: Sequence[ArrayType], selection: Selection, who: str) -> None:
    """Raise ArgumentError for an argument one of whose sizes is symbolic."""
    for t in types:
        if any(map(is_symbolic, t.shape)):
            raise ArgumentError(
                f"{who} of {trees.function_name(selection.fun)} received {t!r}, of which a size is symbolic.",
                "A pattern has a row or a column for each element, so their number must be known.",
                "Export the program for sizes that are numbers, or use jacfwd, jacrev or hessian.",
            )


def is_real_float(t: ArrayType) -> bool:
    """Whether numbers of this type are real and floating."""
    return jnp.issubdtype(t.dtype, np.floating)


def require_real_results(selection: Selection, outs: Sequence[Any], who: str) -> None:
    """Raise ArgumentError for results that are not real floating numbers."""
    for x in outs:
        if not is_real_float(type_of(x)):
            raise ArgumentError(
                f"{who} cannot use the result {type_of(x)!r} of {trees.function_name(selection.fun)}.",
                "Rows of the derivative belong to real floating numbers.",
                "Return such alone: mnp.real and mnp.imag of what is complex.",
            )


def scalar_valued(fun: Callable[..., Any], who: str) -> Callable[..., Any]:
    """The function; ArgumentError if its result is not one real number."""

    @trees.wraps(fun)
    def checked(*args: Any, **kwargs: Any) -> Any:
        out = fun(*args, **kwargs)
        leaves, tree = tree_flatten(out)
        types = [type_of(x) for x in trees.as_arrays(leaves, trees.result_namer(out, trees.function_name(fun)))]
        if len(types) != 1 or types[0].shape or not is_real_float(types[0]):
            raise ArgumentError(
                f"{who} needs a function with one real number as its result, but {trees.function_name(fun)} returned "
                f"{', '.join(map(repr, types)) or 'nothing'} (tree {tree}).",
                "The Hessian of one number is a square matrix; of more numbers there are as many.",
                "Reduce the result (.sum(), .mean()), or use sparse_jacobian of the gradient of one of them.",
            )
        return out

    return checked
