"""Sparse derivatives: patterns that are found, colourings of them, and Jacobians and Hessians by these."""

from __future__ import annotations

from minijvp.sparse.derivatives import sparse_hessian, sparse_jacobian, sparsity
from minijvp.sparse.pattern import Colouring, Pattern

__all__ = ["Colouring", "Pattern", "sparse_hessian", "sparse_jacobian", "sparsity"]
