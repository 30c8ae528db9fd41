"""How XLA compiles where its optimizations are not on trial. Most programs of tests run once."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

OPTIONS: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
if version("jaxlib").startswith("0.10."):
    OPTIONS["xla_cpu_use_fusion_emitters"] = False  # later versions have no such option, and stop at it

FLAGS = [f"--{name}={str(value).lower()}" for name, value in OPTIONS.items()]

QUICKLY_COMPILED: dict[str, Any] = {"compiler_options": OPTIONS}
"""Arguments of jit, for JAX's answers: also where the state of users is on trial, JAX is not."""
