"""The names of jax.experimental that minijvp has: io_callback, and ode, the solution of differential equations."""

from minijvp.experimental import ode as ode
from minijvp.higher_order.host_calls import io_callback

__all__ = ["io_callback", "ode"]
