"""Side by side with JAX: `python -m tests.benchmarks [--quick] [--only NAME] [--json FILE] [--chart FILE]`.

All run interleaved in one process; HIPS autograd and PyTorch take part where they are installed.
"""

import os

# Before NumPy and PyTorch are imported: their threads would go on spinning for work while the others are measured.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
