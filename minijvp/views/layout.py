"""Where the boxes and arrows of a picture go: in layers, found with nothing but Python, so alike on every machine.

Boxes are given by their sizes in an order in which every arrow goes from an earlier to a later one; arrows point down.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

Point = tuple[float, float]
Edges = Sequence[tuple[int, int]]

GAP, SPACE, LANE = 34.0, 15.0, 12.0
"""Between layers; between boxes of a layer; between arrows that pass through it."""

LONG = 12
"""An arrow over more layers than this goes around, at the right side."""

SWEEPS = 12


@dataclass
class Layout:
    """The size of the whole, the centre of each box, and the Bézier control points of each arrow."""

    width: float
    height: float
    centres: list[Point]
    routes: list[list[Point]]


def layered(sizes: Sequence[Point], edges: Edges) -> Layout:
    """The layout in layers: every arrow goes down, with few crossings, and boxes stand near what they are connected to.

    Source: K. Sugiyama, S. Tagawa and M. Toda, Methods for visual understanding of hierarchical system structures,
    IEEE Transactions on Systems, Man and Cybernetics 11(2), 1981.
    """
    layer = layers_of(len(sizes), edges)
    sizes, paths = list(sizes), {}
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for v, k in enumerate(layer):
        layers[k].append(v)
    for u, v in edges:
        if layer[v] - layer[u] <= LONG:
            between = range(len(sizes), len(sizes) + layer[v] - layer[u] - 1)
            for i, w in enumerate(between):
                layers[layer[u] + 1 + i].append(w)
            sizes += [(0.0, 0.0)] * len(between)
            paths[u, v] = [u, *between, v]
    above, below = neighbours(len(sizes), [step for path in paths.values() for step in pairwise(path)])
    layers = ordered(layers, above, below)
    xs = across(layers, above, below, sizes)
    for path in paths.values():
        straighten(path, layers, layer[path[0]] + 1, xs, sizes)
    left = min([x - w / 2 for x, (w, _) in zip(xs, sizes, strict=True)], default=0.0)
    xs = [x - left for x in xs]
    width = max([x + w / 2 for x, (w, _) in zip(xs, sizes, strict=True)], default=0.0)
    heights = [max(sizes[v][1] for v in row) for row in layers]
    tops = [0.0, *accumulate(h + GAP for h in heights)]
    bands = {v: (tops[k], tops[k] + heights[k]) for k, row in enumerate(layers) for v in row}
    centres = [(xs[v], sum(bands[v]) / 2) for v in range(len(layer))]
    starts, ends = ports(below, xs, sizes), ports(above, xs, sizes)
    routes = {edge: down(path, xs, bands, sizes, starts, ends) for edge, path in paths.items()}
    long = [edge for edge in edges if edge not in paths]
    sides = lanes([(layer[u], layer[v]) for u, v in long])
    for u, v in long:
        side = width + 12 + 5 * sides[layer[u], layer[v]]
        routes[u, v] = around(centres[u], sizes[u], bands[u][1], centres[v], sizes[v], bands[v][0], side, 4 * (u % 3))
    width = max(width, width + 12 + 5 * max(sides.values(), default=-4))
    return Layout(width, max(tops[-1] - GAP, 0.0), centres, [routes[edge] for edge in edges])


def around(
    start: Point, size: Point, bottom: float, end: Point, end_size: Point, top: float, side: float, shift: float
) -> list[Point]:
    """The line of an arrow that leaves below a box, passes all layers at one side, and arrives above another."""
    (x0, x1), (leave, reach) = (start[0] + size[0] / 2 - 7, end[0] + end_size[0] / 2 - 7), (bottom + 6, top - 14)
    before = [(x0, start[1] + size[1] / 2), (x0, leave + shift), (side, leave + shift)]
    return bent([*before, (side, reach + shift), (x1, reach + shift), (x1, end[1] - end_size[1] / 2)])


def lanes(spans: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The lane of each span of layers, so that those that share a lane do not overlap; short ones come first."""
    found: dict[tuple[int, int], int] = {}
    taken: list[list[tuple[int, int]]] = []
    for start, end in sorted(set(spans), key=lambda s: (s[1] - s[0], s)):
        free = (k for k, lane in enumerate(taken) if all(end < a or b < start for a, b in lane))
        k = next(free, len(taken))
        taken += [[]] * (k == len(taken))
        taken[k] = [*taken[k], (start, end)]
        found[start, end] = k
    return found


def bent(corners: Sequence[Point], radius: float = 5.0) -> list[Point]:
    """Control points of a line through these corners, which are rounded."""
    found = [corners[0]]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        start, end = towards(corner, before, radius), towards(corner, after, radius)
        found += [found[-1], start, start, corner, corner, end]
    return [*found, found[-1], corners[-1], corners[-1]]


def towards(start: Point, end: Point, length: float) -> Point:
    """The point at this distance on the way, or half way if that is nearer."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    share = min(0.5, length / max(abs(dx) + abs(dy), 1e-9))
    return start[0] + share * dx, start[1] + share * dy


def layers_of(n: int, edges: Edges) -> list[int]:
    """The layer of each box: as early as it can be; one with no fewer arrows out than in, as late as it can be."""
    before, after = neighbours(n, edges)
    layer = [0] * n
    for v in range(n):
        layer[v] = max((layer[u] + 1 for u in before[v]), default=0)
    for v in reversed(range(n)):
        if len(before[v]) <= len(after[v]) > 0:
            layer[v] = min(layer[w] for w in after[v]) - 1
    used = {k: i for i, k in enumerate(sorted(set(layer)))}
    return [used[k] for k in layer]


def neighbours(n: int, edges: Edges) -> tuple[list[list[int]], list[list[int]]]:
    """For each of n boxes, where arrows come from and where they go to."""
    before: list[list[int]] = [[] for _ in range(n)]
    after: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        before[v].append(u)
        after[u].append(v)
    return before, after


def ordered(layers: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    """The layers, each in an order with few crossings: by the mean places of neighbours, in sweeps down and up."""
    best, fewest = layers, crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        near = below if sweep % 2 else above
        places: dict[int, float] = {}
        rows = []
        for row in reversed(layers) if sweep % 2 else layers:
            means = {v: mean([places[u] for u in near[v]], i) for i, v in enumerate(row)}
            row = sorted(row, key=means.__getitem__)
            places.update((v, i) for i, v in enumerate(row))
            rows.append(row)
        layers = rows[::-1] if sweep % 2 else rows
        n = crossings(layers, below)
        if n < fewest:
            best, fewest = layers, n
    return best


def crossings(layers: list[list[int]], below: list[list[int]]) -> int:
    """The number of pairs of arrows that cross."""
    total = 0
    for row, following in pairwise(layers):
        places = {v: i for i, v in enumerate(following)}
        seen: list[int] = []
        for u in row:
            ends = sorted(places[v] for v in below[u])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def across(
    layers: list[list[int]], above: list[list[int]], below: list[list[int]], sizes: Sequence[Point]
) -> list[float]:
    """The horizontal places, each near the mean of its neighbours', without overlap."""
    both = [a + b for a, b in zip(above, below, strict=True)]
    # The longest paths become straight: else every box at their side would push them further aside.
    through = [i + j for i, j in zip(depths(layers, above), depths(layers[::-1], below), strict=True)]
    longest = max(through, default=0) or 1
    weights = [
        max((n / longest) ** 32, 1e-3) * (1e-3 if len(near) == 1 else 1) for n, near in zip(through, both, strict=True)
    ]
    xs = [0.0] * len(sizes)
    rows = [
        (row, [room(sizes[u][0], sizes[v][0]) for u, v in pairwise(row)], [weights[v] for v in row]) for row in layers
    ]
    for sweep in range(SWEEPS):
        near = both if sweep >= SWEEPS - 2 else below if sweep % 2 else above
        for row, gaps, heavy in rows[:: -1 if sweep % 2 else 1]:
            wanted = [mean([xs[u] for u in near[v]], xs[v], [weights[u] for u in near[v]]) for v in row]
            for v, x in zip(row, nearest(wanted, gaps, heavy), strict=True):
                xs[v] = x
    return xs


def straighten(path: list[int], layers: list[list[int]], first: int, xs: list[float], sizes: Sequence[Point]) -> None:
    """Move the places where an arrow passes layers, from `first` on, so that it bends as seldom as there is room."""
    x, low, high = xs[path[0]], -math.inf, math.inf
    together: list[int] = []
    for k, v in enumerate(path[1:-1], first):
        row = layers[k]
        i = row.index(v)
        left = xs[row[i - 1]] + room(sizes[row[i - 1]][0], 0) if i else -math.inf
        right = xs[row[i + 1]] - room(0, sizes[row[i + 1]][0]) if i + 1 < len(row) else math.inf
        if max(low, left) > min(high, right):
            low, high, together = -math.inf, math.inf, []
        low, high = max(low, left), min(high, right)
        together.append(v)
        x = min(max(x, low), high)
        for w in together:
            xs[w] = x


def depths(layers: list[list[int]], near: list[list[int]]) -> list[int]:
    """The number of steps to the furthest box that leads to each one, where `near` has those a step before."""
    found = [0] * len(near)
    for v in (v for row in layers for v in row):
        found[v] = max((found[u] + 1 for u in near[v]), default=0)
    return found


def nearest(wanted: Sequence[float], gaps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The places nearest to those `wanted`, in weighted least squares, that keep the gaps: by pooling what collides."""
    offsets = [0.0, *accumulate(gaps)]
    blocks: list[tuple[float, float, int]] = []
    for x, offset, weight in zip(wanted, offsets, weights, strict=False):
        total, n = (x - offset) * weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / weight:
            more, heavier, m = blocks.pop()
            total, weight, n = total + more, weight + heavier, n + m
        blocks.append((total, weight, n))
    means = [total / weight for total, weight, n in blocks for _ in range(n)]
    return [x + offset for x, offset in zip(means, offsets, strict=False)]


def ports(near: list[list[int]], xs: Sequence[float], sizes: Sequence[Point]) -> dict[tuple[int, int], float]:
    """Where along its side each arrow leaves a box for a neighbour: in the order of the neighbours."""
    found = {}
    for u, neighbours in enumerate(near):
        step = min(LANE, 0.7 * sizes[u][0] / max(len(neighbours), 1))
        for i, v in enumerate(sorted(neighbours, key=xs.__getitem__)):
            found[u, v] = xs[u] + step * (i - (len(neighbours) - 1) / 2)
    return found


def down(
    path: list[int],
    xs: Sequence[float],
    bands: dict[int, Point],
    sizes: Sequence[Point],
    starts: dict[tuple[int, int], float],
    ends: dict[tuple[int, int], float],
) -> list[Point]:
    """The curve of an arrow: straight through layers, bent between them."""
    u, v = path[0], path[-1]
    x0, x1 = starts[u, path[1]], ends[v, path[-2]]
    points = [(x0, (sum(bands[u]) + sizes[u][1]) / 2), (x0, bands[u][1])]
    for w in path[1:-1]:
        points += [(xs[w], y) for y in bands[w]]
    points += [(x1, bands[v][0]), (x1, (sum(bands[v]) - sizes[v][1]) / 2)]
    curve = points[:1]
    for (xa, ya), (xb, yb) in pairwise(points):
        if (xa, ya) != (xb, yb):
            curve += [(xa, (ya + yb) / 2), (xb, (ya + yb) / 2), (xb, yb)]
    return curve


def room(left: float, right: float) -> float:
    """What the centres of neighbours of these widths keep apart; an arrow has none."""
    return (left + right) / 2 + (SPACE if left and right else LANE)


def mean(values: Sequence[float], default: float, weights: Sequence[float] = ()) -> float:
    """The mean of values, weighted or not; `default` if there are none."""
    heavy = weights or [1.0] * len(values)
    return sum(x * w for x, w in zip(values, heavy, strict=True)) / sum(heavy) if values else default
