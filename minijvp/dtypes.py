"""The names of jax.dtypes: types of numbers, and how they are joined."""

from jax.dtypes import *  # noqa: F403
