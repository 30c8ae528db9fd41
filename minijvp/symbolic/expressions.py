"""Programs as expressions: a jaxpr run on symbols.

to_sympy : (a -> b) -> a -> (symbols of a, expressions of b)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_leaves, tree_unflatten

from minijvp import trees
from minijvp.api.programs import make_jaxpr
from minijvp.core.jaxpr import run
from minijvp.core.tracing import evaluating
from minijvp.core.types import ArrayType, type_of
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.symbolic.arrays import elements
from minijvp.symbolic.elements import sympy
from minijvp.symbolic.equations import apply, require_small
from minijvp.symbolic.evaluation import compiled
from minijvp.symbolic.symbols import flat, leaf_names, named, new_symbols, require_number, shown_name, spread


@dataclass(frozen=True)
class Expressions:
    """A function as expressions of SymPy; calling it gives its results for numbers, by NumPy.

    `symbols` is a tuple with the symbols of each argument, `outputs` has the expressions of the result, both in trees
    like those of the function; an array is a NumPy array of symbols or expressions.
    """

    name: str
    symbols: tuple[Any, ...]
    outputs: Any
    out_types: tuple[ArrayType, ...] = field(repr=False)

    def __call__(self, *args: Any) -> Any:
        """The results for numbers in trees like the example arguments: NumPy arrays."""
        leaves, tree = tree_flatten(args)
        if tree != trees.tree_structure(self.symbols):
            raise ArgumentError(
                f"the expressions of {self.name} received arguments of structure {tree}.",
                f"They are of arguments of structure {trees.tree_structure(self.symbols)}.",
                "Pass arguments like those for which they were made.",
            )
        pairs = list(zip(leaves, tree_leaves(self.symbols), strict=True))
        for i, (x, symbols) in enumerate(pairs):
            if np.shape(symbols) and np.shape(symbols) != np.shape(x):
                raise ArgumentError(
                    f"leaf {i} of the arguments of the expressions of {self.name} has shape {np.shape(x)}.",
                    f"It was {np.shape(symbols)} when they were made, and each element has a symbol.",
                    "Pass that shape, or make expressions for the other one.",
                )
        return self._compiled(*[value for x, symbols in pairs for value in spread(x, symbols)])

    @cached_property
    def _compiled(self) -> Any:
        return compiled(flat(self.symbols), self.outputs)

    def __str__(self) -> str:
        names = ", ".join(map(str, flat(self.symbols)))
        return "\n".join(f"{self.name}({names}){path} = {e}" for path, e in named(self.outputs))


def to_sympy(f: Any, *args: Any, names: Sequence[str] | None = None) -> Expressions:
    """The expressions of SymPy that `f` computes, in symbols for its arguments.

    to_sympy : (a -> b) -> a -> (symbols of a, expressions of b)

    Args:
        f: takes and returns pytrees of scalars and small arrays; any transformed function, too.
        args: example arguments. Only their types matter: a float is a real symbol, an integer an integer one.
        names: one for each argument; by default those of the parameters of `f`. An array x has the symbols x_0, x_1
            ..., a tree {'w': matrix} those p_w_0_0, p_w_0_1 ....

    Expressions are of real numbers: nothing is rounded or overflows, and floats with a small denominator are fractions.
    Compiled functions, checkpoints and functions with rules are written out. What stop_gradient returns is a function
    of that name, whose derivative is zero.

    Raises MissingRuleError with the line of what has no closed form: loops, branches, algorithms; ConcretizationError
    for a Python branch on an argument; ArgumentError for large arrays; MissingPackageError without SymPy.

    >>> import minijvp.numpy as mnp
    >>> e = to_sympy(lambda x, w: mnp.tanh(w @ x), mnp.ones(2), mnp.ones((1, 2)))
    >>> print(e)
    f(x_0, x_1, w_0_0, w_0_1)[0] = tanh(w_0_0*x_0 + w_0_1*x_1)
    >>> e(mnp.zeros(2), mnp.ones((1, 2)))
    array([0.])
    """
    return expressions(f, args, names, "to_sympy")


def expressions(f: Any, args: tuple[Any, ...], names: Sequence[str] | None, user: str) -> Expressions:
    """The expressions of `f`, for a public function that errors name."""
    trees.require_callable(f, user)
    sympy()
    name = shown_name(f)
    try:
        jaxpr, shapes = make_jaxpr(f, return_shape=True)(*args)
    except ConcretizationError as error:
        raise ConcretizationError(
            error.what,
            f"{user} turns {name} into an expression for all arguments: it cannot take one of the branches.",
            "Choose between values by minijvp.numpy.where, which becomes a Piecewise; or differentiate the function at "
            "a point, by minijvp.grad or minijvp.numerical.derivative.",
        ) from None
    leaves, tree = tree_flatten(args)
    where = trees.call_namer(f, args, {})
    for i, x in enumerate(leaves):
        require_small(type_of(x), lambda i=i: f"{where(i)} of {name}")
    for t in jaxpr.out_types:
        require_number(t, f"a result of {name}")
    symbols = tree_unflatten(tree, new_symbols(leaves, leaf_names(f, args, names, user)))
    with evaluating():
        outs = run(jaxpr, [np.asarray(s, object) for s in tree_leaves(symbols)], lambda e, xs: apply(e, xs, user))
    outs = [elements(x) for x in outs]
    outputs = tree_unflatten(trees.tree_structure(shapes), [x if x.ndim else x[()] for x in outs])
    return Expressions(name, symbols, outputs, jaxpr.out_types)
