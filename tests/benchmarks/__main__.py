"""The command: measures, prints the table, and exits with 0 whatever the figures are."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from tests.benchmarks import bridge, compiled, control_flow, derivatives, eager, quaternion, staging
from tests.benchmarks.timing import FULL, QUICK, Row, Settings, table

GROUPS = (eager, staging, compiled, derivatives, bridge, control_flow, quaternion)
BENCHMARKS = {name: measured for group in GROUPS for name, measured in group.BENCHMARKS.items()}

NOTES = """\
Medians of interleaved repeats (A B A B ...) in one process, float32; ratio: the median of the paired ratios.
staging: trace + lower of a new function each time; nothing is cleared, so caches keyed by shapes, dtypes and
parameters are warm on both sides. First in its process: with all caches empty, each in a process of its own."""


def measure(names: Sequence[str], settings: Settings) -> list[Row]:
    rows: list[Row] = []
    start = time.perf_counter()
    for i, name in enumerate(names, 1):
        progress(f"[{i}/{len(names)}] {time.perf_counter() - start:.0f} s  {name}")
        try:
            rows += BENCHMARKS[name](name, settings)
        except Exception as e:
            # One benchmark that fails must not cost the figures of the others.
            rows.append(Row(name, error=f"{type(e).__name__}: {e}"))
    progress(f"done in {time.perf_counter() - start:.0f} s")
    return rows


def progress(line: str) -> None:
    """One line that is overwritten; lines of their own where stderr is a file."""
    print(f"\r\033[K{line}" if sys.stderr.isatty() else line, end="", file=sys.stderr, flush=True)
    if not sys.stderr.isatty() or line.startswith("done"):
        print(file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    return {
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }


def load(before: dict[str, Any]) -> str:
    """How far to trust the figures: on a busy machine they are those of the other processes too."""
    busy, cores = max(before["load"][0], os.getloadavg()[0]), before["cores"]
    return f"Load {busy:.1f} on {cores} cores{': too busy for differences of a few percent' if busy > cores else ''}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="minijvp side by side with JAX.")
    parser.add_argument("--quick", action="store_true", help="less than a minute, and noisier")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows there too")
    parser.add_argument("--only", metavar="NAME", default="", help="the benchmarks that have this in their names")
    options = parser.parse_args()
    names = [name for name in BENCHMARKS if options.only.lower() in name.lower()]
    if not names:
        print(f"No benchmark has {options.only!r} in its name. They are:", *BENCHMARKS, sep="\n  ")
        return
    jax.config.update("jax_enable_x64", False)
    before = machine()
    rows = measure(names, QUICK if options.quick else FULL)
    print(table(rows))
    for row in rows:
        if row.error:
            print(f"failed: {row.name}: {row.error}")
    print(NOTES)
    print(load(before), "The JSON report has quartiles and ratios of the fastest.")
    if options.json:
        report = {"quick": options.quick, "machine": before, "rows": [row.as_dict() for row in rows]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
