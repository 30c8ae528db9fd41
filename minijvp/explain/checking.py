"""Results that are checked, and errors that say why they are not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_leaves

from minijvp import trees
from minijvp.core.tracer import is_traced
from minijvp.core.types import is_inexact
from minijvp.errors import NonFiniteError
from minijvp.explain.explain_nan import explain_nan
from minijvp.explain.report import NanReport


def check(result: Any, fun: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise NonFiniteError if `result`, that of a call, is not finite."""
    leaves = tree_leaves(result)
    if not any(map(is_traced, leaves)) and not are_finite(leaves):
        found = look(fun, args, kwargs)
        if isinstance(found, NonFiniteError) or found:
            raise error_of(found)
        if not found.is_meant:
            raise without_report(trees.function_name(fun), "An operation at a time they are")


def explained(fun: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> NonFiniteError | None:
    """The error that says why the results of a call are not finite; None if nothing makes them so."""
    found = look(fun, args, kwargs)
    return error_of(found) if isinstance(found, NonFiniteError) or found else None


def look(fun: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> NanReport | NonFiniteError:
    """The report on a call; where there is none, the error that says so."""
    try:
        return explain_nan(fun)(*args, **kwargs)
    except Exception as error:  # the call itself went well
        return without_report(trees.function_name(fun), f"The call could not be explained ({error}), as if they were")


def error_of(report: NanReport | NonFiniteError) -> NonFiniteError:
    """The error with a report."""
    if isinstance(report, NonFiniteError):
        return report
    rows = "\n".join([f"  {name}: {text}".replace("  : ", "      ") for name, text in report.rows if name != "remedy"])
    found = NonFiniteError(
        f"{report.title}\n{rows}",
        "Results are checked: by minijvp.config(check_nans=True), or by jax_debug_nans.",
        report.remedy,
    )
    found.report = report
    return found


def without_report(name: str, why: str) -> NonFiniteError:
    """The error for results of which it is not known why they are not finite."""
    return NonFiniteError(
        f"results of {name} are not finite.",
        f"{why} finite.",
        "Compare with minijvp.disable_jit(), and look at values on the way with minijvp.debug.print.",
    )


def are_finite(leaves: list[Any]) -> bool:
    """Whether all arrays are finite. Those on CPU are looked at where they are; of others, only the answer comes."""
    elsewhere = []
    for x in leaves:
        if not hasattr(x, "dtype") or not is_inexact(x.dtype):
            continue
        if isinstance(x, jax.Array) and [d.platform for d in x.devices()] != ["cpu"]:
            elsewhere.append(x)
        elif not np.isfinite(np.asarray(x)).all():
            return False
    return not elsewhere or bool(all_finite(elsewhere))


@jax.jit
def all_finite(arrays: list[Any]) -> Any:
    """Whether all are finite, as one program."""
    return jnp.stack([jnp.isfinite(x).all() for x in arrays]).all()
