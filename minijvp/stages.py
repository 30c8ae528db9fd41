"""The classes of jax.stages: what `lower` and `compile` of a compiled function give."""

from jax.stages import *  # noqa: F403
