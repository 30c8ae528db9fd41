"""Programs as Python over jax.numpy."""
