"""explain_nan: the operation that made the first value that is not finite, in a call of any function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.calls.programs import as_arrays
from minijvp.core.tracer import is_traced
from minijvp.core.tracing import detached
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError, MinijvpError
from minijvp.explain import entrances
from minijvp.explain.marks import staged
from minijvp.explain.meant import made_besides
from minijvp.explain.report import NanReport, report_on, result_text
from minijvp.explain.runs import KINDS, Origin, Run, origin_of
from minijvp.explain.stretches import seldom_collected
from minijvp.explain.titles import innermost_name
from minijvp.transforms.staging import argument_type

__all__ = ["entrances", "explain_nan"]  # the former is imported for what it registers


def explain_nan(fun: Callable[..., Any], *, kinds: str | Sequence[str] = ("nan", "inf")) -> Callable[..., NanReport]:
    """A function that calls `fun` and returns a `NanReport`: what made its results nan or inf, and where.

    Args:
        fun: any function, also grad(f), jit(grad(f)), vmap(grad(f)) or from_jax(f); takes and returns pytrees.
        kinds: which results are looked into: "nan", "inf", or both. With both, if an inf is what a nan was made of (log
            of 0, which is multiplied by 0 later), the report is on the operation that made the inf, and says where it
            becomes nan; with "nan" alone, it is on the latter.

    The report is true if a result is not finite. It is on the operation that comes first of those that led to that: its
    result is not finite though its operands are. What is not finite on the way, and is not in the results, as behind a
    `where`, is not reported; nor an inf that the program has as a number, such as -inf in a mask: then the report is on
    the operation that makes nan of it. Python code in `fun` may look at values.

    The program of the call runs an operation at a time, which keeps every value, and loops and calls are looked into
    where they lead to the result; nothing else is changed, but what `fun` does besides computing, it does.

    Raises ArgumentError for what is no function, for kinds that there are not, and for traced arguments.

    >>> import minijvp, minijvp.numpy as mnp
    >>> report = minijvp.explain_nan(minijvp.grad(lambda x: mnp.sqrt(x) * x))(0.0)
    >>> bool(report), report.kind, report.direction, report.derivative_of
    (True, 'inf', 'backward', 'sqrt')
    >>> report.operands, report.becomes.primitive
    ((0.5, 0), 'mul')
    >>> minijvp.explain_nan(minijvp.grad(mnp.sqrt))(1.0)
    sqrt: all results are finite.
    """
    trees.require_callable(fun, "explain_nan")
    wanted = checked_kinds(kinds)

    @trees.wraps(fun)
    def explained(*args: Any, **kwargs: Any) -> NanReport:
        leaves, tree = tree_flatten((args, kwargs))
        refuse_traced(fun, leaves, args, kwargs)
        with seldom_collected(), detached(), jax.debug_nans(False), jax.debug_infs(False):
            return Call(fun, leaves, tree, trees.call_namer(fun, args, kwargs)).explain(wanted)

    return explained


def checked_kinds(kinds: Any) -> tuple[str, ...]:
    """The kinds that are looked for; ArgumentError for others."""
    found = (kinds,) if isinstance(kinds, str) else kinds
    if isinstance(found, (tuple, list, set, frozenset)) and found and all([k in KINDS for k in found]):
        return tuple(found)
    raise ArgumentError(
        f"explain_nan received kinds={kinds!r:.200}.",
        "What is not finite is nan or inf.",
        'Pass "nan", "inf", or both in a tuple.',
    )


def refuse_traced(fun: Any, leaves: Sequence[Any], args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise ArgumentError for an argument without a value."""
    for i, x in enumerate(leaves):
        if is_traced(x):
            raise ArgumentError(
                f"explain_nan of {trees.function_name(fun)} received a traced {type_of(x)!r} for "
                f"{trees.call_namer(fun, args, kwargs)(i)}.",
                "It looks at values, and under a transformation there are none.",
                "Call it outside, on the transformed function: explain_nan(grad(f))(x), explain_nan(jit(f))(x).",
            )


class Call:
    """A call of a function, staged and run."""

    def __init__(self, fun: Callable[..., Any], leaves: Sequence[Any], tree: Any, name: Callable[[int], str]):
        self.fun, self.name = fun, innermost_name(fun)
        self.leaves, self.tree, self.argument_name = leaves, tree, name
        self.names: list[str] = []
        """Of the results that are arrays."""
        # Python numbers are what they are: they may be static, and may be shapes. What is not finite is no shape.
        arrays = [isinstance(x, (jax.Array, np.ndarray, np.generic)) for x in leaves]
        others = [type(x) in (float, complex) and not np.isfinite(x) for x in leaves]
        try:
            self.run = self.run_with([a or b for a, b in zip(arrays, others, strict=True)])
        except (MinijvpError, TypeError, ValueError):
            if not any(others):
                raise
            self.run = self.run_with(arrays)  # it was static

    def run_with(self, flags: Sequence[bool]) -> Run:
        """The run of the program that has these leaves of the arguments as its own."""
        self.places = [i for i, flag in enumerate(flags) if flag]
        values = [self.leaves[i] for i in self.places]
        types = [argument_type(x) for x in values]

        def flat(*xs: Any) -> list[Any]:
            args, kwargs = tree_unflatten(self.tree, trees.replaced(self.leaves, self.places, xs))
            result = self.fun(*args, **kwargs)
            outputs, _ = trees.flatten_numbers(result)
            names = trees.leaf_paths(tree_unflatten(tree_flatten(result)[1], outputs))
            self.names = [f"result{n}" for n, x in zip(names, outputs, strict=True) if is_number(x)]
            return [x for x in outputs if is_number(x)]

        return Run(staged(flat, types, values, self.name), as_arrays(values, types))

    def explain(self, kinds: Sequence[str]) -> NanReport:
        """The report on the call."""
        outputs = self.run.jaxpr.outputs
        for kind in KINDS:
            targets = [(v, place, None) for v in outputs if (place := self.run.where(v, kind)) is not None]
            if not targets:
                continue
            origin = origin_of(self.run, targets, kind)
            if kind == "inf" and origin is not None and origin.place == "constant":
                origin = made_besides(self.run)
            names, values = self.results()
            if origin is None:
                return NanReport(self.name, result=result_text(names, values, kind) if kind in kinds else "")
            before = origin_of_inf(origin) if kind == "nan" and "inf" in kinds else None
            first = before or (origin if kind in kinds else None)
            if first is not None:
                name = self.argument_name(self.places[first.number]) if first.place == "argument" else ""
                result = result_text(names, values, kind)
                return report_on(self.name, first, origin if before else None, name, result)
        return NanReport(self.name)

    def results(self) -> tuple[list[str], list[Any]]:
        """The names and values of results that may be not finite."""
        found = [(n, x) for n, v in zip(self.names, self.run.jaxpr.outputs) if (x := self.run.array(v)) is not None]
        return [n for n, _ in found], [x for _, x in found]


def is_number(x: Any) -> bool:
    """Whether a result is one that a program can have."""
    try:
        type_of(x)
    except (ArgumentError, TypeError):
        return False
    return not trees.is_float0(x)


def origin_of_inf(origin: Origin) -> Origin | None:
    """The operation that made the inf of which an operation makes nan, if one did."""
    e = origin.equation
    if origin.place != "operation" or e is None:
        return None
    operands = origin.run.operands(e, origin.index, "inf")
    found = origin_of(origin.run, [(v, place, None) for v, place in operands], "inf") if operands else None
    return found if found is not None and found.place == "operation" else None
