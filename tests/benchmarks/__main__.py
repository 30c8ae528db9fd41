"""The command: measures, prints the table and its summary, and exits with 0 whatever the figures are."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from tests.benchmarks import (
    bridge,
    compiled,
    control_flow,
    defaults,
    depth,
    devices,
    eager,
    growth,
    libraries,
    products,
    published,
    quaternion,
    rematerialisation,
    sparse,
    staging,
    start,
    taylor,
)
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.chart import draw
from tests.benchmarks.contenders import INSTALLED, PACKAGES
from tests.benchmarks.report import Row, summary, table
from tests.benchmarks.timing import FULL, QUICK, Settings

MODULES = (
    eager,
    staging,
    compiled,
    depth,
    devices,
    defaults,
    growth,
    published,
    taylor,
    control_flow,
    products,
    bridge,
    libraries,
    quaternion,
    rematerialisation,
    sparse,
    start,
)
BENCHMARKS: list[Benchmark] = [b for module in MODULES for b in module.BENCHMARKS]

NOTES = """\
Medians of interleaved repeats (A B A B ...) in one process, float32; ratio: minijvp beside JAX, the median of paired
ratios; fastest: that of the fastest samples; mean: the geometric mean of a group. First calls run with
minijvp.config(compile_gradients_after=None): an operation at a time, as a gradient does when it is new. Hot: the
default, after 8 calls. What is traced and compiled is a new function each time; nothing is cleared, so caches keyed by
shapes, dtypes and parameters are warm on both sides, and no cache on disk is used. First in its process: with all
caches empty, each in a process of its own. Rematerialisation: minijvp with memory_budget="auto" or the budget in the
name, beside JAX's default or, after a stroke, beside jax.checkpoint of each layer or step; planned - unplanned is the
largest difference of gradients relative to the largest entry of an array. Defaults: minijvp beside itself with
memory_budget and outline "off", in seconds of the processor. Devices: eight forced on the CPU, in a process of its
own. Libraries, where they are installed: trace +
lower in seconds of the processor. NumPy's matrix products use one thread, so
that its threads do not wait for work while others are measured."""


def selected(benchmarks: Sequence[Benchmark], only: str, quick: bool) -> list[Benchmark]:
    """Those with `only` in their name or that of a group; a quick run leaves out slow ones where that is empty."""
    found = [b for b in benchmarks if any(only.lower() in name.lower() for name in (b.name, *b.groups))]
    return [b for b in found if not (quick and b.slow)] if quick and not only else found


def unknown(benchmarks: Sequence[Benchmark], only: str) -> str:
    """The message for a name that no benchmark has."""
    groups = dict.fromkeys(group for b in benchmarks for group in b.groups)
    return "\n  ".join(
        [f"No benchmark and no group has {only!r} in its name. They are:", *[b.name for b in benchmarks], *groups]
    )


def measure(benchmarks: Sequence[Benchmark], settings: Settings) -> list[Row]:
    rows: list[Row] = []
    start = time.perf_counter()
    for i, benchmark in enumerate(benchmarks, 1):
        progress(f"[{i}/{len(benchmarks)}] {time.perf_counter() - start:.0f} s  {benchmark.name}")
        try:
            rows += benchmark.measure(benchmark.name, settings)
        except Exception as e:
            # One benchmark that fails must not cost the figures of the others.
            rows.append(Row(benchmark.name, benchmark.groups[0], error=f"{type(e).__name__}: {e}"))
    progress(f"done in {time.perf_counter() - start:.0f} s")
    return rows


def progress(line: str) -> None:
    """One line that is overwritten; lines of their own where stderr is a file."""
    print(f"\r\033[K{line}" if sys.stderr.isatty() else line, end="", file=sys.stderr, flush=True)
    if not sys.stderr.isatty() or line.startswith("done"):
        print(file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "jax": jax.__version__,
        **{name: version(PACKAGES[name]) for name in INSTALLED if name in PACKAGES},
        "python": platform.python_version(),
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }


def load(before: dict[str, Any]) -> str:
    """How far to trust the figures: on a busy machine they are those of the other processes too."""
    busy, cores = max(before["load"][0], os.getloadavg()[0]), before["cores"]
    return f"Load {busy:.1f} on {cores} cores{': too busy for differences of a few percent' if busy > cores else ''}."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="minijvp side by side with JAX.")
    parser.add_argument("--quick", action="store_true", help="less than a minute: fewer benchmarks, and noisier")
    parser.add_argument("--only", metavar="NAME", default="", help="the benchmarks that have this in a name or group")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows there too")
    parser.add_argument("--chart", metavar="FILE", type=Path, help="draw the ratios there: a PNG, SVG or PDF")
    options = parser.parse_args(arguments)
    chosen = selected(BENCHMARKS, options.only, options.quick)
    if not chosen:
        print(unknown(BENCHMARKS, options.only))
        return
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_enable_compilation_cache", False)
    before = machine()
    rows = measure(chosen, QUICK if options.quick else FULL)
    report = {"quick": options.quick, "machine": before, "rows": [row.as_dict() for row in rows]}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(table(rows), summary(rows), sep="\n\n")
    for row in rows:
        if row.error:
            print(f"failed: {row.name}: {row.error}")
    print(NOTES, load(before), sep="\n")
    if options.chart:
        draw(rows, options.chart)


if __name__ == "__main__":
    main()
