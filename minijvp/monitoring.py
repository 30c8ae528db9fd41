"""The functions of jax.monitoring: listeners to what JAX and XLA report."""

from jax.monitoring import *  # noqa: F403
