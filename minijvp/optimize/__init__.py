"""What makes programs faster or smaller, and changes no result. The machine runs without it.

It enters by two hooks: faster traces for values that are computed at once, and linearization by a plan. By
`minijvp.config(optimize=False)` both do what the plain machine does.
"""

from minijvp.core.hooks import hooks
from minijvp.optimize.eager import faster
from minijvp.optimize.planner import Planner


def plug_in() -> None:
    """Have the machine use it."""
    hooks.faster = faster
    hooks.linearizer = Planner()
