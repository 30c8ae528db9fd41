"""The names of jax.experimental that minijvp has: io_callback, ode (differential equations), jet (Taylor mode)."""

from minijvp.calls.host_calls import io_callback
from minijvp.experimental import jet as jet
from minijvp.experimental import ode as ode

__all__ = ["io_callback", "jet", "ode"]


def __dir__() -> list[str]:
    return sorted(__all__)
