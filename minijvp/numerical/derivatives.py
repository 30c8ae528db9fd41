"""Derivatives by differences, over pytrees: the same results as those of minijvp.grad, jacobian and hessian.

derivative, jacobian : (a -> b, a) -> (CT a, b)
gradient : (a -> R, a) -> CT a
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_unflatten

from minijvp.core.types import type_of
from minijvp.errors import ArgumentError
from minijvp.numerical.formulas import FORMULAS, Columns, Estimate
from minijvp.numerical.probe import Probe, type_name
from minijvp.numerical.steps import chosen, require_method

BATCH_NUMBERS = 1 << 22
"""How many numbers the arguments and the results of one batch of points may have, about."""


def derivative(f: Callable[..., Any], x: Any, method: str = "central", *, step: Any = None, error: bool = False) -> Any:
    """The derivative of `f` at the number `x`, by differences.

    Args:
        f: takes a number, an array of shape (), and returns a pytree of floating arrays.
        x: the point. A complex one if `f` is holomorphic.
        method: "forward", of first order; "central", of second; "complex-step", exact up to rounding, for real
            analytic functions that can be computed with complex numbers; "richardson", extrapolated central
            differences, which search for their own step.
        step: the step, or the first one of "richardson"; by default it follows from `x` and its dtype.
        error: return the pair (derivative, estimate of its error), for some more evaluations.

    Without `error` the methods evaluate `f` at 2, 2, 1 + 4 and 20 points or more (`count_evaluations`; a function that
    cannot be traced once more). Those of "complex-step" on the real axis check that the function is analytic.

    Raises ArgumentError for an `x` that is not one finite floating number, for unknown methods and steps that are not
    positive or too small, where `f` is not finite nearby, and where it is not analytic though it has to be.

    Source: W. H. Press, S. A. Teukolsky, W. T. Vetterling and B. P. Flannery, Numerical Recipes, 3rd edition, Cambridge
    2007, section 5.7.

    >>> import minijvp.numpy as mnp
    >>> from minijvp import numerical
    >>> round(float(numerical.derivative(mnp.sin, 0.0)), 3)
    1.0
    >>> slope, error = numerical.derivative(mnp.exp, 1.0, "richardson", error=True)
    >>> bool(abs(slope - mnp.exp(1.0)) <= error)
    True
    """
    probe = begin(f, x, method, "derivative")
    if probe.shapes != [()]:
        types = ", ".join(repr(type_of(leaf)) for leaf in probe.leaves)
        raise ArgumentError(
            f"derivative of {probe.name} received {types or 'nothing'} for {probe.leaf_name(0) if types else 'x'}.",
            "The derivative is taken at one number; a function of several has one by each.",
            "Use numerical.gradient if the result is a number, numerical.jacobian if it is not.",
        )
    return by_jacobian(probe, method, step, error)


def gradient(f: Callable[..., Any], x: Any, method: str = "central", *, step: Any = None, error: bool = False) -> Any:
    """The gradient of `f` at `x`, by differences: a pytree like `x`.

    Args:
        f: takes a pytree of floating arrays and returns a real number.
        x: the point.
        method, error: as for `derivative`.
        step: a number, or a pytree of numbers and arrays that fits `x`, to its leaves or from above.

    For n elements the methods evaluate `f` at n + 1, 2n, n + 4n and 20n points or more, in batches. The gradient by
    complex elements is, as that of minijvp.grad, the conjugate of the direction of steepest ascent.

    Raises ArgumentError as `derivative` does, and for a result that is not one real number.

    >>> from minijvp import numerical
    >>> slopes = numerical.gradient(lambda p: 2 * p["x"] ** 2 + 3 * p["y"] ** 2, {"x": 4.0, "y": 5.0}, "richardson")
    >>> {name: round(float(slope), 2) for name, slope in slopes.items()}
    {'x': 16.0, 'y': 30.0}
    """
    probe = begin(f, x, method, "gradient")
    if probe.out_shapes != [()] or np.dtype(probe.out_dtypes[0]).kind == "c":
        found = [f"{type_name(d)} of shape {s}" for d, s in zip(probe.out_dtypes, probe.out_shapes, strict=True)]
        raise ArgumentError(
            f"gradient needs a function with one real number as its result, but {probe.name} returned "
            f"{', '.join(found) or 'nothing'}.",
            "A gradient belongs to a single number; for more, the derivative is a Jacobian.",
            "Reduce the result (.sum(), .mean()), or use numerical.jacobian.",
        )
    found = first_order(probe, method, step, error)
    parts = [None if part is None else leaves_like_x(probe, part[:, 0]) for part in found]
    return (parts[0], parts[1]) if error else parts[0]


def jacobian(f: Callable[..., Any], x: Any, method: str = "central", *, step: Any = None, error: bool = False) -> Any:
    """The Jacobian of `f` at `x`, by differences: the tree of the result, each leaf the tree of `x`.

    Args:
        f: takes a pytree of floating arrays and returns one.
        x, method, step, error: as for `gradient`.

    Leaves have the shape of the result followed by the argument's, as those of minijvp.jacobian. Of complex elements
    the derivatives along both axes are taken: a complex result must be holomorphic in them.

    Raises ArgumentError as `derivative` does, and for a complex result that is not holomorphic.

    >>> from minijvp import numerical
    >>> import minijvp.numpy as mnp
    >>> mnp.round(numerical.jacobian(lambda x: x ** 2, mnp.array([1.0, 3.0])), 2).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    return by_jacobian(begin(f, x, method, "jacobian"), method, step, error)


def hessian(f: Callable[..., Any], x: Any, method: str = "central", *, step: Any = None, error: bool = False) -> Any:
    """The second derivatives of `f` at `x`, by differences: a tree of trees like that of minijvp.hessian.

    Args:
        f: takes a pytree of real floating arrays and returns one, most often a number.
        x, method, step, error: as for `gradient`. "complex-step" is here a central difference of first derivatives by
            complex steps; `step` is that of the difference.

    Leaves have the shape of the result followed twice by the argument's. Mixed derivatives are taken once.

    Raises ArgumentError as `derivative` does, and for complex arguments.

    Source: M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 1964, section 25.3, and K.-L. Lai and
    J. L. Crassidis, Extensions of the first and second complex-step derivative approximations, J. Comput. Appl. Math.
    219(1), 2008.

    >>> from minijvp import numerical
    >>> import minijvp.numpy as mnp
    >>> mnp.round(numerical.hessian(lambda x: x[0] ** 2 * x[1], mnp.array([1.0, 3.0]), "richardson"), 1).tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    probe = begin(f, x, method, "hessian")
    if any(d.kind == "c" for d in probe.dtypes):
        raise ArgumentError(
            f"hessian of {probe.name} received complex arguments.",
            "Second derivatives by complex numbers have four parts, of which there is no usual arrangement.",
            "Pass the real and the imaginary part as two leaves.",
        )
    n = len(probe.x)
    i, j = np.triu_indices(n)
    pairs = Columns(probe, np.stack([i, j], axis=1), np.ones(len(i)))
    found = in_blocks(pairs, method, chosen(probe, method, step, order=2), error)
    parts = []
    for part in found:
        if part is not None:
            full = np.zeros((n, n, part.shape[1]), part.dtype)
            full[i, j] = full[j, i] = part
            parts.append(tree_of_blocks(probe, full))
    return tuple(parts) if error else parts[0]


def begin(f: Callable[..., Any], x: Any, method: str, user: str) -> Probe:
    """The function at the point, after everything else that can be refused at once was looked at."""
    require_method(method, user)
    return Probe(f, x, f"numerical.{user}")


def by_jacobian(probe: Probe, method: str, step: Any, error: bool) -> Any:
    """The Jacobian as a tree of trees; with `error`, also that of the errors."""
    parts = [None if part is None else tree_of_blocks(probe, part) for part in first_order(probe, method, step, error)]
    return tuple(parts) if error else parts[0]


def first_order(probe: Probe, method: str, step: Any, error: bool) -> Estimate:
    """The derivatives of the results by each element."""
    n = len(probe.x)
    steps = chosen(probe, method, step)
    along_x = Columns(probe, np.arange(n)[:, None], np.ones(n))
    if not any(d.kind == "c" for d in probe.dtypes):
        return in_blocks(along_x, method, steps, error)
    real = in_blocks(along_x, method, steps, True)
    owners = np.repeat([d.kind == "c" for d in probe.dtypes], np.diff(probe.offsets))
    complex_ones = np.flatnonzero(owners)
    along_y = Columns(probe, complex_ones[:, None], np.full(len(complex_ones), 1j))
    return joined(probe, real, in_blocks(along_y, method, steps, True), complex_ones)


def joined(probe: Probe, along_x: Estimate, along_y: Estimate, where: np.ndarray) -> Estimate:
    """Derivatives by complex elements, from those along their axes; those of complex results must be holomorphic."""
    assert along_x.error is not None
    assert along_y.error is not None
    outs = np.repeat([np.dtype(d).kind == "c" for d in probe.out_dtypes], np.diff(probe.out_offsets))
    x, y = along_x.value[where], along_y.value
    error = along_x.error[where] + along_y.error
    size = np.maximum(np.abs(x), np.abs(y))
    bad = np.argwhere((np.abs(y - 1j * x) > 10 * error + probe.eps[where][:, None] ** 0.5 * size) & outs)
    if len(bad):
        c, r = bad[0]
        raise ArgumentError(
            f"{probe.name} is not holomorphic at {probe.element(int(where[c]))}: its derivative along the real axis is "
            f"{x[c, r]:.6g}, and along the imaginary axis {y[c, r]:.6g}, which is not i times that.",
            "The derivative of such a function by a complex number is not one number.",
            "Differentiate the real part, the imaginary part or the absolute value of its result, or pass the real and "
            "the imaginary part of x as two leaves.",
        )
    value, errors = along_x.value.astype(np.complex128), along_x.error.copy()
    value[where] = np.where(outs, (x - 1j * y) / 2, x - 1j * y)
    errors[where] = error
    return Estimate(value, errors)


def in_blocks(columns: Columns, method: str, step: np.ndarray, error: bool) -> Estimate:
    """The estimates for the columns, for so many at a time that a batch fits into memory."""
    n, probe = len(columns.index), columns.probe
    per_column = 2**columns.order * (len(probe.x) + int(probe.out_offsets[-1]) + 1)
    blocks = max(1, -(-n * per_column // BATCH_NUMBERS))
    found = []
    for chosen_ones in np.array_split(np.arange(n), blocks):
        part = columns.some(chosen_ones)
        found.append(FORMULAS[method](part, step[part.index], error))
    errors = [e.error for e in found if e.error is not None]
    return Estimate(np.concatenate([e.value for e in found]), np.concatenate(errors) if errors else None)


# Trees


def tree_of_blocks(probe: Probe, found: np.ndarray) -> Any:
    """The tree of trees of the derivatives in an array of shape (elements, [elements,] results)."""
    order = found.ndim - 1
    results = np.moveaxis(found, -1, 0)
    rows = []
    for k, shape in enumerate(probe.out_shapes):
        block = results[probe.out_offsets[k] : probe.out_offsets[k + 1]]
        rows.append(subtree(probe, block, shape, probe.out_dtypes[k], order))
    return tree_unflatten(probe.out_tree, rows)


def subtree(probe: Probe, block: np.ndarray, shape: tuple[int, ...], dtype: Any, order: int) -> Any:
    """The tree like that of the argument of the parts of a block along its second axis, of these trees, and so on."""
    if order == 0:
        return result_array(probe, block.reshape(shape), dtype)
    entries = []
    for i, inner in enumerate(probe.shapes):
        part = block[:, probe.offsets[i] : probe.offsets[i + 1]]
        wide = np.dtype(jnp.promote_types(dtype, np.complex64)) if probe.dtypes[i].kind == "c" else dtype
        # What belongs to this leaf goes to the front with the result, and the axes of the next order follow it.
        flat = part.reshape(part.shape[0] * part.shape[1], *part.shape[2:])
        entries.append(subtree(probe, flat, (*shape, *inner), wide, order - 1))
    return tree_unflatten(probe.in_tree, entries)


def leaves_like_x(probe: Probe, flat: np.ndarray) -> Any:
    """The tree of the argument, of a number for each of its elements."""
    return tree_unflatten(probe.in_tree, [result_array(probe, *x) for x in zip(probe.split(flat), probe.dtypes)])


def result_array(probe: Probe, x: np.ndarray, dtype: Any) -> Any:
    """An array of JAX if the function computes such, else one of NumPy; errors, which are real, stay so."""
    dtype = np.dtype(dtype)
    if x.dtype.kind != "c" and dtype.kind == "c":
        dtype = np.zeros(0, dtype).real.dtype
    if x.dtype.kind == "c" and dtype.kind != "c":
        x = np.real(x)
    x = x.astype(dtype)
    return jnp.asarray(x) if probe.by_jax else x[()]
