"""A quaternion layer differentiated in three ways: time of a step beside JAX, and memory beside the plain way.

The layer, and what it is about, is in examples/quaternion.py, which measures PyTorch too.
"""

from __future__ import annotations

from functools import partial

from examples.quaternion import LIBRARIES, WAYS, data, loss_of, measure
from tests.benchmarks.timing import Row, Settings, check_same, compare

HIDDEN, LAYERS = 1024, 8


def run(way: str, batch: int, name: str, settings: Settings) -> list[Row]:
    args = data(HIDDEN, LAYERS, batch)
    ours, theirs = (api.jit(api.grad(loss_of(way, api, xp))) for api, xp in LIBRARIES.values())
    check_same(ours(*args), theirs(*args))
    return compare(name, (ours, args), (theirs, args), 1.03, settings)


def memory(batch: int, goal: float | None, name: str, settings: Settings) -> list[Row]:
    """The column of JAX has the plain way of minijvp, beside which the others stand."""
    args = data(HIDDEN, LAYERS, batch)
    plain, *others = (measure(way, "minijvp", *args) for way in WAYS)
    rows = []
    for row in others:
        sizes = {"kept": (row.kept, plain.kept), "temporary": (row.temporary, plain.temporary)}
        for what, (found, all_of_it) in sizes.items():
            assert found is not None
            assert all_of_it
            title = f"{name}, {what}, {row.way} beside plain"
            rows.append(Row(title, found, all_of_it, found / all_of_it, goal, unit="B"))
    return rows


BENCHMARKS = {
    **{f"quaternion: step, batch {b}, {way}": partial(run, way, b) for b in (32, 4096) for way in WAYS},
    "quaternion: memory, batch 32": partial(memory, 32, 0.4),
    "quaternion: memory, batch 4096": partial(memory, 4096, None),
}
