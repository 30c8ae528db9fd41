"""Symbolic derivatives: SymPy applies the rules of differentiation to the expressions of a function.

derivative : (a -> b) -> a -> expressions of the derivative
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_leaves, tree_map

from minijvp import trees
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.symbolic.arrays import filled
from minijvp.symbolic.elements import sympy
from minijvp.symbolic.expressions import expressions


def derivative(
    f: Any, *args: Any, argnums: int | Sequence[int] = 0, order: int = 1, names: Sequence[str] | None = None
) -> Any:
    """The expressions of the derivative of `f`, in symbols for its arguments.

    derivative : (a -> b) -> a -> expressions of the derivative

    Args:
        f: takes and returns pytrees of real floating scalars and small arrays.
        args: example arguments, which give the types; see `to_sympy`.
        argnums: the arguments to differentiate by, a position or a tuple of them.
        order: how often.
        names: of the arguments.

    The result has the structure of `minijvp.jacobian`'s, and for order 2 of `minijvp.hessian`'s: for a scalar function
    of a scalar it is an expression; for one of an array, an array of expressions. As there, steps of sign, floor and
    their like are flat, and a tie of max and min is halved. SymPy drops what is multiplied by zero and collects equal
    factors; it simplifies no more. A rule that a function brings (`custom_jvp`) is not looked at: the function is
    differentiated as it stands. `evaluate` gives the numbers.

    Raises ArgumentError for arguments and results that have no derivative, and the errors of `to_sympy`.

    >>> import minijvp.numpy as mnp
    >>> derivative(lambda x: 2 * x**3 - 6 * x**2 + x + 1, 2.0)
    6*x**2 - 12*x + 1
    >>> derivative(lambda x, y: 2 * x**2 + 3 * y**2, 4.0, 5.0, argnums=(0, 1))
    (4*x, 6*y)
    >>> derivative(lambda x: mnp.cos(x * x), 1.0, order=2)
    -4*x**2*cos(x**2) - 2*sin(x**2)
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ArgumentError(
            f"derivative received order={order!r}.",
            "It counts how often the function is differentiated.",
            "Pass an integer from 1; to_sympy gives the function itself.",
        )
    found = expressions(f, args, names, "derivative")
    several = trees.entries_of(argnums)
    chosen = trees.normalize_indices((argnums,) if several is None else several, len(args), "argnums", f)
    for i in chosen:
        require_real_floats(args[i], f"{trees.argument_name(f, i)} of {found.name}")
    for t in found.out_types:
        require_real_floats(t, f"the result of {found.name}")
    variables = tuple([found.symbols[i] for i in chosen])
    result = found.outputs
    for _ in range(order):
        result = jacobian(result, variables if several is not None else variables[0])
    return result


def require_real_floats(tree: Any, what: str) -> None:
    """Raise ArgumentError for a tree with a leaf that has no derivative in real numbers."""
    for x in tree_leaves(tree):
        t = type_of(x) if not hasattr(x, "weak_type") else x
        if not is_inexact(t.dtype) or t.dtype.kind == "c":
            raise ArgumentError(
                f"derivative met a {t!r} in {what}.",
                "Derivatives by symbols are those of real functions of real numbers.",
                "Pass floats; take an integer into the function, or real and imaginary part apart.",
            )


def jacobian(outputs: Any, variables: Any) -> Any:
    """The derivative of each output by each variable: a tree of outputs, in each a tree of the variables."""

    def of_output(out: Any) -> Any:
        return tree_map(lambda symbols: by_leaf(out, symbols), variables)

    return tree_map(of_output, outputs)


def by_leaf(out: Any, symbols: Any) -> Any:
    """The derivatives of the elements of `out` by symbols: an array with the axes of both, or an expression."""
    out, symbols = np.asarray(out, object), np.asarray(symbols, object)
    shape = out.shape + symbols.shape
    made = filled(shape, [differentiate(e, s) for e in out.flat for s in symbols.flat])
    return made if shape else made[()]


def differentiate(expression: Any, symbol: Any) -> Any:
    """The derivative of an expression where it exists: jumps are flat; MissingRuleError if SymPy does not know it."""
    sp = sympy()
    raw = expression.diff(symbol)
    if not raw.has(sp.DiracDelta, sp.Derivative):
        return raw
    steps = (sp.floor, sp.ceiling, sp.sign)
    raw = raw.replace(lambda e: isinstance(e, sp.DiracDelta), lambda e: sp.S.Zero)
    raw = raw.replace(lambda e: isinstance(e, sp.Derivative) and isinstance(e.expr, steps), lambda e: sp.S.Zero).doit()
    if raw.has(sp.Derivative):
        unknown = min(map(str, raw.atoms(sp.Derivative)))
        raise MissingRuleError(
            f"SymPy does not know {unknown}.",
            "It is no combination of the functions that it has.",
            "Differentiate by minijvp.grad, or by minijvp.numerical.derivative.",
        )
    return raw
