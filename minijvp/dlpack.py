"""The functions of jax.dlpack: arrays of other libraries."""

from jax.dlpack import *  # noqa: F403
