"""Patterns of sparse derivatives and their colourings, as values that can be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from minijvp.errors import ArgumentError
from minijvp.sparse import colouring
from minijvp.sparse.picture import braille, spy
from minijvp.sparse.sets import Matrix
from minijvp.views.svg import Picture

MODES = "auto", "fwd", "rev", "symmetric"


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a derivative may have entries that are not zero: a row for each element of the result.

    `matrix` is a boolean `scipy.sparse.csr_array`, sorted; columns are the elements of the arguments. `global_` says
    whether it holds for all arguments of the same types, or at one point.

    >>> import minijvp, minijvp.numpy as mnp
    >>> pattern = minijvp.sparsity(lambda x: x[1:] * x[:-1])(mnp.ones(4))
    >>> pattern
    pattern of 3 x 4 with 6 non-zeros (50 %)
    ⠙⠦
    >>> pattern.colouring().n
    2
    """

    matrix: Matrix
    global_: bool = True
    _colourings: dict[str, Colouring] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, matrix: Any, shape: tuple[int, int] | None = None) -> Pattern:
        """A pattern given by a matrix, dense, of scipy.sparse or a BCOO; or by a pattern.

        Raises ArgumentError for what is none of these, and for one of another shape.
        """
        if isinstance(matrix, Pattern):
            found = matrix
        else:
            try:
                where = csr_array(matrix) if not hasattr(matrix, "indices_sorted") else from_bcoo(matrix)
            except (TypeError, ValueError) as error:
                raise ArgumentError(
                    f"a pattern was given as {matrix!r:.200}.",
                    "It is a matrix that is not zero where there may be entries.",
                    "Pass a Pattern, a matrix of NumPy, scipy.sparse or jax.experimental.sparse.",
                ) from error
            where = csr_array((np.ones(where.nnz, bool), where.indices, where.indptr), shape=where.shape)
            where.sum_duplicates()
            found = cls(where)
        if shape is not None and found.shape != shape:
            raise ArgumentError(
                f"the pattern given has shape {found.shape}, and the derivative {shape}.",
                "A pattern has a row for each element of the result and a column for each of the arguments.",
                "Leave it out, to have it found, or give that of this function.",
            )
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """The number of elements of the result, and of the arguments."""
        return tuple(map(int, self.matrix.shape))  # type: ignore[return-value]

    @property
    def nnz(self) -> int:
        """How many entries there are."""
        return int(self.matrix.nnz)

    @property
    def density(self) -> float:
        """Which part of all entries these are."""
        return self.nnz / max(self.shape[0] * self.shape[1], 1)

    @cached_property
    def rows(self) -> np.ndarray:
        """The row of each entry."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.matrix.indptr))

    @property
    def columns(self) -> np.ndarray:
        """The column of each entry, in the order of the rows."""
        return self.matrix.indices

    @cached_property
    def symmetric(self) -> bool:
        """Whether it is its own transpose."""
        if self.shape[0] != self.shape[1]:
            return False
        other = csr_array(self.matrix.T)
        other.sort_indices()
        return np.array_equal(other.indptr, self.matrix.indptr) and np.array_equal(other.indices, self.matrix.indices)

    @cached_property
    def apart(self) -> np.ndarray:
        """A colour for each variable of a square pattern: two of one colour meet in no entry beside the diagonal."""
        if self.shape[0] != self.shape[1]:
            raise ArgumentError(
                f"the pattern of {self.shape[0]} x {self.shape[1]} is not square.",
                "Of another one a row and a column do not belong to the same variable.",
                "Take the pattern of a Hessian: minijvp.sparsity(fun, order=2)(x).",
            )
        return colouring.apart(self.matrix)

    def toarray(self) -> np.ndarray:
        """The pattern as a dense array of booleans."""
        return self.matrix.toarray()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        same = self.shape == other.shape and np.array_equal(self.matrix.indptr, other.matrix.indptr)
        return same and np.array_equal(self.columns, other.columns)

    __hash__ = object.__hash__

    def colouring(self, mode: str = "auto") -> Colouring:
        """Which columns are computed together by forward mode, and which rows by reverse mode; found once.

        "auto" is forward, reverse, or both, for some columns and rows each, by which has the fewest colours;
        "symmetric" is forward, where an entry is read from its column or from that of its row. Raises ArgumentError
        for another mode, and for "symmetric" of a pattern that is not.
        """
        if mode not in MODES:
            raise ArgumentError(
                f"colouring received the mode {mode!r}.",
                f"The modes are {', '.join(map(repr, MODES))}.",
                "Name one of these.",
            )
        if mode == "symmetric" and not self.symmetric:
            raise ArgumentError(
                f"the pattern of {self.shape[0]} x {self.shape[1]} is not symmetric.",
                "A colouring by symmetry reads entries from the column of their row.",
                "Use another mode.",
            )
        if mode not in self._colourings:
            self._colourings[mode] = self._found(mode)
        return self._colourings[mode]

    def _found(self, mode: str) -> Colouring:
        nothing = [np.full(n, -1) for n in self.shape]
        if mode == "fwd":
            return Colouring(self, mode, colouring.column_colours(self.matrix), nothing[0])
        if mode == "rev":
            return Colouring(self, mode, nothing[1], colouring.column_colours(csr_array(self.matrix.T)))
        if mode == "symmetric":
            return Colouring(self, mode, colouring.star_colours(self.matrix), nothing[0])
        return Colouring(self, mode, *colouring.fewest_colours(self.matrix))

    @property
    def picture(self) -> Picture:
        """The pattern drawn: a dot for each entry, or for a block of the matrix in which there are some."""
        return spy(self.matrix, self.title)

    def draw(self) -> Picture:
        """The picture: Jupyter shows it, `save` writes it."""
        return self.picture

    def _repr_html_(self) -> str:
        return self.picture._repr_html_()

    @property
    def title(self) -> str:
        at = "" if self.global_ else " at a point"
        m, n = self.shape
        return f"pattern{at} of {m} x {n} with {self.nnz} non-zeros ({100 * self.density:.3g} %)"

    def __str__(self) -> str:
        return f"{self.title}\n{braille(self.matrix)}"

    __repr__ = __str__


def from_bcoo(matrix: Any) -> Matrix:
    """The places of the entries of a matrix of jax.experimental.sparse."""
    rows, columns = np.asarray(matrix.indices).T
    return csr_array((np.ones(len(rows), bool), (rows, columns)), shape=matrix.shape)


@dataclass(frozen=True, eq=False)
class Colouring:
    """Which columns of a derivative are computed together by forward mode, and which rows by reverse mode.

    `columns` and `rows` have the colour of each, or -1 where it is not computed. By a colouring with the mode
    "symmetric", every entry is read from its column or from that of its row.
    """

    pattern: Pattern
    mode: str
    columns: np.ndarray
    rows: np.ndarray

    @property
    def n_columns(self) -> int:
        """How many tangents are pushed forward."""
        return colouring.count(self.columns)

    @property
    def n_rows(self) -> int:
        """How many cotangents are pulled back."""
        return colouring.count(self.rows)

    @property
    def n(self) -> int:
        """How many colours there are."""
        return self.n_columns + self.n_rows

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """For each entry where it is read: the number of what is computed, by columns first, and a place in that."""
        pattern, by_column = self.pattern, self.columns[self.pattern.columns]
        direct = colouring.readable(pattern.matrix, self.columns)
        if self.mode == "symmetric":
            lines = np.where(direct, by_column, self.columns[pattern.rows])
        else:
            lines = np.where(direct, by_column, self.n_columns + self.rows[pattern.rows])
        return lines, np.where(direct, pattern.rows, pattern.columns)

    @property
    def title(self) -> str:
        return f"{self.n} colours ({self.n_columns} of columns, {self.n_rows} of rows) for the {self.pattern.title}"

    def __str__(self) -> str:
        return self.title

    __repr__ = __str__

    @property
    def picture(self) -> Picture:
        """The pattern drawn, each entry in the colour by which it is read."""
        return spy(self.pattern.matrix, self.title, self.places[0], self.n)

    def draw(self) -> Picture:
        """The picture: Jupyter shows it, `save` writes it."""
        return self.picture

    def _repr_html_(self) -> str:
        return self.picture._repr_html_()
