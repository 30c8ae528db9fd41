"""The functions and classes of jax.tree_util: they know containers, and what lies in them may be traced."""

from jax.tree_util import *  # noqa: F403
