"""Side by side with JAX in one process: `python -m tests.benchmarks [--quick] [--json FILE] [--only NAME]`."""
