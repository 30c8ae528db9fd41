"""What usually mends an operation whose result is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WHERE = "where(ok, f(where(ok, x, safe)), other), with a safe value inside too"
SAFE = "minijvp.config(nan_safe=True) has zeros absorb what is not finite in derivatives"

ROOTS = {"sqrt", "rsqrt", "cbrt", "pow", "integer_pow"}
LOGS = {"log", "log1p"}
ARCS = {"acos", "asin", "atanh", "acosh", "erf_inv"}
QUOTIENTS = {"div", "rem"}
EXPONENTIALS = {"exp", "exp2", "expm1", "sinh", "cosh"}
FACTORS = {"cholesky", "eigh", "svd", "qr", "lu", "triangular_solve"}
SUMS = {"sub", "add", "reduce_sum", "reduce_max", "logsumexp", "softmax", "log_softmax"}


def remedy_for(place: str, primitive: str | None, derivative_of: str | None, operands: Sequence[Any], kind: str) -> str:
    """Advice for an operation, or for the derivative of one, by the values of its operands where these are known."""
    if place == "argument":
        return "The value was there before the call: look at where it was made."
    if place == "constant":
        return (
            "The program has it as a number: written there, or computed before, or by NumPy or JAX, whose operations "
            "are not seen (from_jax shows those of JAX). A product with it is nan even where the other factor is 0: "
            "choose by where before the product."
        )
    name = derivative_of or primitive or ""
    if name in ROOTS:
        if derivative_of is None and kind == "nan":
            return f"A root of a negative number: clip it (maximum(x, 0.0)), or choose before the root: {WHERE}."
        return (
            f"The derivative of {name} is infinite at 0: add a small number inside, sqrt(x + eps), or choose before "
            f"it: {WHERE}. {SAFE}."
        )
    if name in LOGS:
        return (
            f"The logarithm has no value at or below 0, and its derivative none at 0: choose before it: {WHERE}; or "
            f"clip, log(maximum(x, tiny)); for x log x there is scipy.special.entr or xlogy. {SAFE}."
        )
    if name in ARCS:
        return (
            f"The derivative is infinite at the border: clip a little inside of it, or choose before: {WHERE}. {SAFE}."
        )
    if name in QUOTIENTS:
        if inf_by_inf(operands):
            return "inf / inf: rescale before the exponentials (softmax, logsumexp and sigmoid of minijvp.nn do)."
        return f"A division by 0: choose the divisor before it: x / where(y == 0, 1.0, y). {SAFE}."
    if name in EXPONENTIALS:
        return (
            "An overflow: subtract the maximum before (logsumexp, softmax), clip the exponent, or use sigmoid and "
            "softplus, which do not overflow."
        )
    if name in FACTORS:
        return (
            "The matrix is singular, or not positive definite: add a small multiple of the identity, or choose a "
            f"regular one before: {WHERE}."
        )
    if name in SUMS and kind == "nan":
        return (
            "inf - inf: of a row of which everything is masked by -inf nothing is left. Mask by a large finite number "
            "(-1e9), or choose a row of zeros before."
        )
    if kind == "inf":
        return f"An overflow of {name}: rescale, or compute logarithms."
    return f"Choose before the operation: {WHERE}. {SAFE}."


def inf_by_inf(operands: Sequence[Any]) -> bool:
    """Whether both operands are infinite."""
    return len(operands) == 2 and all([isinstance(x, float) and abs(x) == float("inf") for x in operands])
