"""Objective functions by which tools of automatic differentiation are compared in publications.

Each is written once, from its formula, for any library with NumPy's names: minijvp, JAX, NumPy itself for values, and
HIPS autograd where that has the transformations for the derivative.
"""

from tests.benchmarks.objectives.bundle import BUNDLE
from tests.benchmarks.objectives.hand import HAND, HAND_SURFACE
from tests.benchmarks.objectives.kmeans import KMEANS
from tests.benchmarks.objectives.lstm import LSTM
from tests.benchmarks.objectives.mixture import MIXTURE
from tests.benchmarks.objectives.objective import Objective

OBJECTIVES: dict[str, Objective] = {o.name: o for o in (MIXTURE, BUNDLE, LSTM, HAND, HAND_SURFACE, KMEANS)}

__all__ = ["OBJECTIVES", "Objective"]
