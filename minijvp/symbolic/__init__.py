"""Symbolic differentiation with SymPy: programs as expressions, their derivatives, and how those swell."""

from minijvp.symbolic.derivatives import derivative
from minijvp.symbolic.evaluation import evaluate
from minijvp.symbolic.expressions import Expressions, to_sympy
from minijvp.symbolic.swell import Swell, expression_swell, nested, product

__all__ = ["Expressions", "Swell", "derivative", "evaluate", "expression_swell", "nested", "product", "to_sympy"]


def __dir__() -> list[str]:
    return sorted(__all__)
