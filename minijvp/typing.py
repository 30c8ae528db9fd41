"""The names of jax.typing, for annotations."""

from jax.typing import *  # noqa: F403
