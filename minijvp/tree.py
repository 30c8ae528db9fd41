"""The functions of jax.tree: they know containers, and what lies in them may be traced."""

from jax.tree import *  # noqa: F403
