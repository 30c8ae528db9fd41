"""Settings of every test: float64 is available, and one line of XLA threads a worker."""

from __future__ import annotations

import jax

jax.config.update("jax_enable_x64", True)
