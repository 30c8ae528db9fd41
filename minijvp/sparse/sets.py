"""Index sets: for each element of an array the inputs that it depends on, as a row of a sparse matrix of booleans.

None stands for sets that are all empty. A matrix is never changed once it is made, so that arrays can share one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, vstack

from minijvp.errors import ArgumentError

Matrix = Any
"""A csr_array of booleans, whose indices are sorted: SciPy says no types."""

Sets = Any
"""Such a matrix, or None."""

MOST = 200_000_000
"""How many dependences the sets of an array may have: with these, they take a gigabyte."""


def identity(n: int) -> Matrix:
    """Each of n elements depends on the input of its own number."""
    return csr_array(eye_array(n, dtype=bool, format="csr"))


def numbers(shape: Sequence[int]) -> np.ndarray:
    """The numbers of the elements of an array, at their places."""
    return np.arange(math.prod(shape)).reshape(shape)


def union(a: Sets, b: Sets) -> Sets:
    """For each element what is in either set."""
    if a is None or a is b:
        return b
    if b is None:
        return a
    return affordable(a.nnz + b.nnz) and a + b


def union_of(parts: Iterable[Sets]) -> Sets:
    """For each element what is in one of its sets."""
    found = None
    for part in parts:
        found = union(found, part)
    return found


def take(sets: Sets, rows: np.ndarray) -> Sets:
    """The sets of elements that are elements of another array, by their numbers; -1 depends on nothing."""
    if sets is None:
        return None
    rows = rows.reshape(-1)
    if len(rows) == sets.shape[0] and np.array_equal(rows, np.arange(len(rows))):
        return sets
    starts, lengths = sets.indptr[:-1], np.diff(sets.indptr)
    counts = np.where(rows < 0, 0, lengths[rows]) if len(lengths) else np.zeros(len(rows), int)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    if total == 0:
        return None
    affordable(total)
    places = np.repeat(starts[rows] - (ends - counts), counts) + np.arange(total)
    indptr = np.concatenate([[0], ends])
    return csr_array((np.ones(total, bool), sets.indices[places], indptr), shape=(len(rows), sets.shape[1]))


def merge(sets: Sets, labels: np.ndarray, count: int) -> Sets:
    """The sets of `count` elements, each the union of those whose label is its number; -1 goes nowhere."""
    if sets is None:
        return None
    labels = labels.reshape(-1)
    rows = np.flatnonzero(labels >= 0)
    return product(pairs(labels[rows], rows, (count, sets.shape[0])), sets)


def pairs(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Matrix:
    """The matrix that is true at these places, which may be named more than once."""
    found = csr_array((np.ones(len(rows), bool), (rows, columns)), shape=shape)
    found.sum_duplicates()
    return found


def product(by: Matrix, sets: Sets) -> Sets:
    """The sets of elements that depend, as `by` says, on elements that have sets."""
    if sets is None:
        return None
    affordable(int(np.diff(sets.indptr)[by.indices].sum()) if by.nnz * sets.nnz > MOST else 0)
    found = by @ sets
    found.sort_indices()
    return found if found.nnz else None


def spread(sets: Sets, n: int) -> Sets:
    """The sets of n elements that all have the one set, or each its own if there are as many."""
    if sets is None or sets.shape[0] == n:
        return sets
    return take(sets, np.zeros(n, int))


def everything(parts: Iterable[Sets], n: int) -> Sets:
    """The sets of n elements that each depend on all that the parts do."""
    whole = union_of([merge(s, np.zeros(s.shape[0], int), 1) for s in parts if s is not None])
    return spread(whole, n)


def stacked(parts: Sequence[Sets], sizes: Sequence[int]) -> Sets:
    """The sets of several arrays, one after the other."""
    widths = [s.shape[1] for s in parts if s is not None]
    if not widths:
        return None
    filled = [csr_array((n, widths[0]), dtype=bool) if s is None else s for s, n in zip(parts, sizes, strict=True)]
    return csr_array(vstack(filled, format="csr"))


def closure(step: Matrix) -> Matrix:
    """What elements depend on after any number of steps, none among them, where `step` says it for one."""
    found = affordable(step.nnz) and step + identity(step.shape[0])
    while True:
        twice = product(found, found)
        if twice is None or twice.nnz == found.nnz:
            return found
        found = twice


def affordable(n: int) -> Any:
    """True; ArgumentError for more dependences than there is room for."""
    if n > MOST:
        raise ArgumentError(
            f"the dependences found take more than {MOST:,} index pairs.",
            "A derivative with so many non-zeros is not sparse, or what the function does is known too little: a loop "
            "of many steps, indices that are computed from arguments.",
            "Use jacfwd, jacrev or hessian, say pattern= if it is known, or close over index arrays, so that they are "
            "known.",
        )
    return True
