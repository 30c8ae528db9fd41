"""The names of jax.profiler, which watches XLA at work."""

from jax.profiler import *  # noqa: F403
