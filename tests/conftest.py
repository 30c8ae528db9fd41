"""Settings of every test: float64 is available, and programs that run once are compiled without optimization."""

from __future__ import annotations

import os

# Before the first import of jax: its backend reads them once.
QUICK_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILATION} --xla_cpu_multi_thread_eigen=false"

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
