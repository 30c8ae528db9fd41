"""Going through the cases of a seed: verdicts counted, failures made small."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import jax

from tests.fuzz.coverage import Coverage, covering
from tests.fuzz.generating import Choice, cases
from tests.fuzz.judging import Case, Verdict, judge


@dataclass
class Report:
    """What came out of many cases."""

    programs: int = 0
    verdicts: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    letters: Counter = field(default_factory=Counter)
    refusals: Counter = field(default_factory=Counter)
    failures: list[tuple[Case, Verdict]] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    seconds: float = 0.0

    def add(self, case: Case, verdict: Verdict) -> None:
        self.verdicts[verdict.kind] += 1
        self.modes[case.mode] += 1
        self.letters.update([letter.name for letter in case.word])
        if verdict.kind in ("JAX refuses", "both refuse"):
            self.refusals[verdict.detail[:160]] += 1
        if verdict.failed:
            self.failures.append((case, verdict))

    def __str__(self) -> str:
        count = lambda c: ", ".join([f"{n} {name}" for name, n in c.most_common()])
        return "\n".join([
            f"{self.programs} programs in {self.seconds:.0f} s, {len(self.failures)} failures",
            f"cases: {count(self.verdicts)}",
            f"modes: {count(self.modes)}",
            f"letters: {count(self.letters)}",
            str(self.coverage),
        ])  # fmt: skip


def session(
    seed: int,
    choice: Choice,
    programs: int | None = None,
    seconds: float | None = None,
    on_failure: Callable[[Case, Verdict], None] | None = None,
    progress: bool = False,
    first: int = 0,
    alternating: bool = False,
) -> Report:
    """Go through so many programs of a seed, or for so long; `alternating` tries each in one of its cases only."""
    report = Report()
    start, cpu = time.monotonic(), time.process_time()
    with covering() as report.coverage:
        for i, several in enumerate(cases(seed, choice)):
            if (programs is not None and i >= first + programs) or (seconds and time.monotonic() - start > seconds):
                break
            if i < first:
                continue
            for case in [several[i % len(several)]] if alternating else several:
                verdict = judge(case)
                report.add(case, verdict)
                if verdict.failed and on_failure is not None:
                    on_failure(case, verdict)
            report.programs += 1
            report.seconds = time.process_time() - cpu
            tidy(i)
            if progress:
                line = f"{report.programs} programs, {len(report.failures)} failures, {report.seconds:.0f} s"
                print(f"\r{line}", end="", file=sys.stderr, flush=True)
    if progress:
        print(file=sys.stderr)
    return report


MEMORY = 2 << 20
"""KiB of memory after which caches are emptied."""


def tidy(i: int) -> None:
    """Keep memory bounded."""
    if i % 20 == 19:
        gc.collect()
        if memory() > MEMORY:
            jax.clear_caches()


def memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024
