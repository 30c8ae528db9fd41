"""First-order primitives, each with all its rules, named as in jax.lax."""
