"""Colourings: which columns or rows of a sparse derivative are computed together, and where its entries are then.

Greedy, the densest first. The colours that a row has met are the bits of a number, so that the work grows with the
non-zeros and not with the edges of the graph of conflicts, which a dense row makes complete.

Sources: A. H. Gebremedhin, F. Manne and A. Pothen, What color is your Jacobian? SIAM Review 47(4), 2005, for columns,
rows and stars; T. F. Coleman and A. Verma, The efficient computation of sparse Jacobian matrices using automatic
differentiation, SIAM J. Sci. Comput. 19(4), 1998, for both together.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from minijvp.sparse.sets import Matrix


def column_colours(pattern: Matrix) -> np.ndarray:
    """A colour for each column, from 0: two of one colour share no row. Columns without entries have -1."""
    columns = pattern.tocsc()
    met = [0] * pattern.shape[0]
    found = np.full(pattern.shape[1], -1)
    degrees = np.diff(pattern.indptr)
    # The densest row of each column decides, then its own entries.
    weight = np.zeros(pattern.shape[1])
    np.maximum.at(weight, pattern.indices, np.repeat(degrees, degrees))
    starts, rows = columns.indptr.tolist(), columns.indices.tolist()
    for c in np.lexsort((np.arange(len(found)), -np.diff(columns.indptr), -weight)).tolist():
        own = rows[starts[c] : starts[c + 1]]
        if not own:
            continue
        forbidden = 0
        for r in own:
            forbidden |= met[r]
        colour = lowest_free(forbidden)
        found[c] = colour
        bit = 1 << colour
        for r in own:
            met[r] |= bit
    return found


def lowest_free(colours: int) -> int:
    """The first colour that is not among these, which are the bits of a number."""
    return (~colours & (colours + 1)).bit_length() - 1


def count(colours: np.ndarray) -> int:
    """How many colours there are."""
    return int(colours.max(initial=-1)) + 1


def fewest_colours(pattern: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Colours for columns and for rows, such that each entry can be read from its column or from its row.

    The densest rows are computed as rows and all others by columns, or the densest columns as columns and all others by
    rows. How many these are is tried: none, or a power of two that leaves none as dense, and those first that may need
    the fewest colours.
    """
    turned = csr_array(pattern.T)
    tried = []
    for side, matrix in enumerate((pattern, turned)):
        degrees = [*np.sort(np.diff(matrix.indptr))[::-1].tolist(), 0]
        powers = [2**i for i in range(len(degrees).bit_length()) if 2**i < len(degrees)]
        sizes = [0, *[k for k in powers if 0 < degrees[k] < degrees[0]]]
        tried += [(degrees[k] + (k > 0), k, side, matrix) for k in sizes]
    best: tuple[np.ndarray, np.ndarray] | None = None
    for least, k, side, matrix in sorted(tried, key=lambda t: t[:3]):
        if best is None or least < sum(map(count, best)):
            pair = split_colours(matrix, k)[:: -1 if side else 1]
            if best is None or sum(map(count, pair)) < sum(map(count, best)):
                best = pair[0], pair[1]
    assert best is not None
    return best


def split_colours(pattern: Matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The colours of columns, for the rows that are not among the k densest; and those of these rows."""
    if not k:
        return column_colours(pattern), np.full(pattern.shape[0], -1)
    dense = np.zeros(pattern.shape[0], bool)
    dense[np.argsort(-np.diff(pattern.indptr), kind="stable")[:k]] = True
    return column_colours(only(pattern, ~dense)), column_colours(csr_array(only(pattern, dense).T))


def only(pattern: Matrix, rows: np.ndarray) -> Matrix:
    """The pattern with the entries of these rows."""
    keep = np.repeat(rows, np.diff(pattern.indptr))
    indptr = np.concatenate([[0], np.cumsum(np.where(rows, np.diff(pattern.indptr), 0))])
    return csr_array((pattern.data[keep], pattern.indices[keep], indptr), shape=pattern.shape)


def star_colours(pattern: Matrix) -> np.ndarray:
    """A colour for each column of a symmetric pattern, by which every entry can be read from one of two columns.

    Columns without entries have -1.
    It is a star colouring of the graph whose edges are the entries beside the diagonal: neighbours differ, and no path
    of four has two colours only. For each vertex are kept: the colours of its neighbours; those that two or more of
    them have; and the colours of neighbours that have two or more of the colour of this vertex, which another neighbour
    must not have.
    """
    n = pattern.shape[0]
    starts, columns = pattern.indptr.tolist(), pattern.indices.tolist()
    colours = [-1] * n
    once, twice, beyond = [0] * n, [0] * n, [0] * n
    first: list[dict[int, int]] = [{} for _ in range(n)]
    for v in np.argsort(-np.diff(pattern.indptr), kind="stable").tolist():
        own = columns[starts[v] : starts[v + 1]]
        if not own:
            continue
        near = [w for w in own if w != v]
        coloured = [w for w in near if colours[w] >= 0]
        forbidden = once[v]
        for w in coloured:
            forbidden |= beyond[w]
            if twice[v] >> colours[w] & 1:
                forbidden |= once[w]
        c = colours[v] = lowest_free(forbidden)
        bit = 1 << c
        for w in near:
            if once[w] & bit:
                if colours[w] >= 0:
                    beyond[v] |= 1 << colours[w]
                    if not twice[w] & bit:
                        beyond[first[w][c]] |= 1 << colours[w]
                twice[w] |= bit
            else:
                once[w] |= bit
                first[w][c] = v
        for w in coloured:
            if twice[v] >> colours[w] & 1:
                beyond[w] |= bit
    return np.array(colours, int)


def apart(pattern: Matrix) -> np.ndarray:
    """A colour for each variable of a square pattern, from 0: two of one colour meet in no entry.

    Such two share no row of a matrix that has one for each variable, and one with both ends for each entry.
    """
    n = pattern.shape[0]
    rows = np.repeat(np.arange(n), np.diff(pattern.indptr))
    ends = np.stack([rows, pattern.indices], 1)[rows != pattern.indices]
    indices = np.concatenate([np.arange(n), ends.ravel()])
    indptr = np.concatenate([np.arange(n), np.arange(n, len(indices) + 1, 2)])
    return column_colours(csr_array((np.ones(len(indices), bool), indices, indptr), shape=(n + len(ends), n)))


def readable(pattern: Matrix, colours: np.ndarray) -> np.ndarray:
    """For each entry whether no other one in its row has a column of the same colour."""
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    _, places, times = np.unique(
        rows * (count(colours) + 1) + colours[pattern.indices], return_inverse=True, return_counts=True
    )
    return (times[places] == 1) & (colours[pattern.indices] >= 0)
