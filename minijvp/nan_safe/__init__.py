"""NaN-safe derivatives: a tangent or cotangent that is exactly zero stays zero, whatever it is multiplied with.

They enter by one hook, where a forward or linearizing trace is made, and run by `minijvp.config(nan_safe=True)` or
`grad(..., nan_safe=True)`. Without it, no program is another than it would be.
"""

from minijvp.core.hooks import hooks
from minijvp.nan_safe.traces import SAFE_TRACES


def plug_in() -> None:
    """Have the machine use it."""
    hooks.safe_traces.update(SAFE_TRACES)
