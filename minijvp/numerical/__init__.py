"""Derivatives from values alone, by differences: what automatic differentiation is compared with."""

from minijvp.numerical.curves import Curve, ErrorCurve, error_curve
from minijvp.numerical.derivatives import derivative, gradient, hessian, jacobian
from minijvp.numerical.probe import Evaluations, count_evaluations

__all__ = [
    "Curve",
    "ErrorCurve",
    "Evaluations",
    "count_evaluations",
    "derivative",
    "error_curve",
    "gradient",
    "hessian",
    "jacobian",
]


def __dir__() -> list[str]:
    return sorted(__all__)
