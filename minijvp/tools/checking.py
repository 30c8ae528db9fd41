"""Checks of derivatives: of a function against numerical differences, and of a user's rule against its function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

from minijvp import trees
from minijvp.core.types import x64_enabled
from minijvp.errors import ArgumentError
from minijvp.tools.levels import Level, Subject, widest_types
from minijvp.tools.reports import Report
from minijvp.tracebacks import border


@border
def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    *,
    seed: int = 0,
) -> Report:
    """The report of a comparison of the derivatives of `f` at `args` with numerical differences, in which all agree.

    Args:
        f: takes pytrees of arrays by position and returns one. What is not floating has no derivative, and is ignored.
        args: the arguments, in a tuple.
        order: up to which order derivatives are checked, in every sequence of the modes.
        modes: "fwd", "rev" or both.
        atol, rtol: how much an element may differ, and by which share of it; by default it follows from the dtypes.
        seed: of the random directions.

    Along a random direction for each leaf of the arguments, forward and reverse mode are held against extrapolated
    central differences, which are taken in the widest dtype there is; further <ct, J t> against <J^T ct, t>, compiled
    and batched derivatives against eager ones, and those in the dtypes of the arguments against those in the widest.

    Raises DerivativeError that names the leaf, the mode and both numbers; ArgumentError for other modes or orders.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, section 3.1, for the identity.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.check_grads(lambda p: mnp.sin(p['x']) * p['y'], ({'x': 1.0, 'y': 2.0},), order=2).passed
    True
    """
    trees.require_callable(f, "check_grads")
    require_plan(args, order, modes)
    subject = Subject(f, tuple(args))
    report = Report(f"check_grads of {subject.name}", rtol, atol, x64=x64_enabled())
    subject.call(*subject.leaves)
    with widest_types(subject):
        level = Level(subject.call, subject.leaves, subject.in_names, subject.out_names, report, seed)
        level.check_against_differences(order, tuple(modes))
    return report.required()


@border
def check_rule(
    f: Any, *args: Any, rtol: float | None = None, atol: float | None = None, seed: int = 0, **kwargs: Any
) -> Report:
    """The report of a comparison of the rule of `f` with the derivative of its function, in which all agree.

    Args:
        f: what `minijvp.custom_jvp` or `minijvp.custom_vjp` made, with its rule. `f.fun` is the function itself.
        args, kwargs: the point, pytrees of arrays. Keyword arguments are not varied.
        rtol, atol: the largest difference, relative to the derivative, and what is added to that; by default they
            follow from the dtypes.
        seed: of the random directions.

    Leaf by leaf, tangents and cotangents by the rule are held against those of `f.fun` (where it has none, against
    differences) and against each other (<ct, J t> = <J^T ct, t>), compiled and batched ones against eager ones. The
    remainders `|f(x + h t) - f(x) - h J t|` must shrink as h^2: the slope stands in the report. All of it is done in
    the widest dtype there is; in the dtypes of the arguments a rule may differ from that by as much as they round.

    Raises DerivativeError, which names the leaf, and ArgumentError for an `f` without a rule.

    Source: P. E. Farrell, D. A. Ham, S. W. Funke and M. E. Rognes, Automated derivation of the adjoint of high-level
    transient finite element programs, SIAM J. Sci. Comput. 35(4), 2013, section 4, for the test of the remainders.

    >>> import minijvp, minijvp.numpy as mnp
    >>> sine = minijvp.custom_jvp(mnp.sin)
    >>> sine.defjvps(lambda t, out, x: mnp.cos(x) * t)
    >>> minijvp.check_rule(sine, 0.5).passed
    True
    """
    trees.require_callable(f, "check_rule")
    if isinstance(f, MethodType):
        f, args = f.__func__, (f.__self__, *args)
    fun = getattr(f, "fun", None)
    if not callable(fun):
        raise ArgumentError(
            f"check_rule received {trees.function_name(f)}, which has no rule of its own.",
            "It compares the rule of a custom_jvp or custom_vjp function with the function itself, its attribute fun.",
            "Pass what minijvp.custom_jvp or custom_vjp made. To check another function: minijvp.check_grads.",
        )
    fixed = frozenset(i % len(args) for i in getattr(f, "nondiff", ()) if -len(args) <= i < len(args))
    ruled, plain = (Subject(g, args, kwargs, fixed, trees.function_name(f)) for g in (f, fun))
    report = Report(f"check_rule of {ruled.name}", rtol, atol, x64=x64_enabled())
    ruled.call(*ruled.leaves)
    with widest_types(ruled):
        level = Level(ruled.call, ruled.leaves, ruled.in_names, ruled.out_names, report, seed)
        level.check_against_function(plain.call)
    return report.required()


def require_plan(args: Any, order: Any, modes: Any) -> None:
    """Raise ArgumentError for arguments, an order or modes that check_grads cannot use."""
    if not isinstance(args, (tuple, list)):
        raise ArgumentError(
            f"args of check_grads is of type {type(args).__name__}.",
            "It takes the positional arguments of the function in a tuple.",
            "Write check_grads(f, (x,)).",
        )
    if type(order) is not int or order < 1:
        raise ArgumentError(
            f"check_grads received order={order!r}.", "It is the number of derivatives.", "Pass 1, 2, ..."
        )
    if isinstance(modes, str) or not modes or not set(modes) <= {"fwd", "rev"}:
        raise ArgumentError(
            f"check_grads received modes={modes!r}.",
            'There are forward mode, "fwd", and reverse mode, "rev".',
            'Pass ("fwd",), ("rev",) or ("fwd", "rev").',
        )
