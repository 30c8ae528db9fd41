"""The names of jax.export: compiled programs, those of minijvp.jit too, as bytes that other processes can run."""

from jax.export import *  # noqa: F403
