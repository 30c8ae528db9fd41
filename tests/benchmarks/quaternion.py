"""A quaternion layer differentiated in four ways: time of a step beside JAX, and memory beside the plain way.

The layer, and what it is about, is in examples/quaternion.py, which measures PyTorch too.
"""

from __future__ import annotations

from functools import partial

from examples.quaternion import AUTOMATIC, WAYS, WAYS_OF, data, measure
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.report import QUATERNION, Ratio, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave

HIDDEN, LAYERS = 1024, 8


def run(way: str, batch: int, name: str, settings: Settings) -> list[Row]:
    """Beside JAX in the same way; the automatic one, which JAX has not, beside the custom rule."""
    args = data(HIDDEN, LAYERS, batch)
    ours = measure(way, "minijvp", *args)
    theirs = measure(WAYS[1] if way == AUTOMATIC else way, "JAX", *args)
    check_same(ours.gradient, theirs.gradient)
    series = interleave({"minijvp": Call(ours.step), "JAX": Call(theirs.step)}, settings)
    title = f"{way} / {theirs.way} of JAX" if way == AUTOMATIC else way
    return [row(f"step, batch {batch}, {title}", QUATERNION, series, 1.03)]


def memory(batch: int, goal: float | None, name: str, settings: Settings) -> list[Row]:
    """Bytes of each way; the ratios are to the plain way of minijvp."""
    args = data(HIDDEN, LAYERS, batch)
    plain, *others = (measure(way, "minijvp", *args) for way in WAYS_OF["minijvp"])
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
        for way in WAYS_OF["minijvp"]
    ],
    Benchmark("quaternion: memory, batch 32", (QUATERNION,), partial(memory, 32, 0.4), True),
    Benchmark("quaternion: memory, batch 4096", (QUATERNION,), partial(memory, 4096, None), True),
]
