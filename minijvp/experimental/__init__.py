"""The names of jax.experimental that minijvp has: io_callback, and ode, the solution of differential equations."""

from minijvp.calls.host_calls import io_callback
from minijvp.experimental import ode as ode

__all__ = ["io_callback", "ode"]
