"""A quaternion layer differentiated in three ways: time of a step beside JAX, and memory beside the plain way.

The layer, and what it is about, is in examples/quaternion.py, which measures PyTorch too.
"""

from __future__ import annotations

from functools import partial

from examples.quaternion import LIBRARIES, WAYS, data, loss_of, measure
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.report import QUATERNION, Ratio, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting

HIDDEN, LAYERS = 1024, 8


def run(way: str, batch: int, name: str, settings: Settings) -> list[Row]:
    args = data(HIDDEN, LAYERS, batch)
    funs = {side: api.jit(api.grad(loss_of(way, api, xp))) for side, (api, xp) in LIBRARIES.items()}
    check_same(*[fun(*args) for fun in funs.values()])
    series = interleave({side: Call(waiting(fun), args) for side, fun in funs.items()}, settings)
    return [row(f"step, batch {batch}, {way}", QUATERNION, series, 1.03)]


def memory(batch: int, goal: float | None, name: str, settings: Settings) -> list[Row]:
    """Bytes of each way; the ratios are to the plain way of minijvp."""
    args = data(HIDDEN, LAYERS, batch)
    plain, *others = (measure(way, "minijvp", *args) for way in WAYS)
    rows = []
    for other in others:
        sizes = {"kept": (other.kept, plain.kept), "temporary": (other.temporary, plain.temporary)}
        for what, (found, all_of_it) in sizes.items():
            assert found is not None
            assert all_of_it
            title = f"{what}, batch {batch}, {other.way} / plain"
            ratios = {"minijvp": Ratio(found / all_of_it)}
            rows.append(Row(title, QUATERNION, {"minijvp": float(found)}, ratios, goal, unit="B"))
    return rows


BENCHMARKS = [
    *[
        Benchmark(f"quaternion: step, batch {b}, {way}", (QUATERNION,), partial(run, way, b), True)
        for b in (32, 4096)
        for way in WAYS
    ],
    Benchmark("quaternion: memory, batch 32", (QUATERNION,), partial(memory, 32, 0.4), True),
    Benchmark("quaternion: memory, batch 4096", (QUATERNION,), partial(memory, 4096, None), True),
]
