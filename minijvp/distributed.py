"""The functions of jax.distributed: programs that run on several hosts."""

from jax.distributed import *  # noqa: F403
