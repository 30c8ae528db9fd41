"""The border with JAX: its programs read into ours, and ours as functions of JAX."""

from minijvp.interop import collectives, first_order, foreign, higher_order, references  # they fill the table
from minijvp.interop.from_jax import from_jax
from minijvp.interop.to_jax import to_jax

__all__ = ["collectives", "first_order", "foreign", "from_jax", "higher_order", "references", "to_jax"]
