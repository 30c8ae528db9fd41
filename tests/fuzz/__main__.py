"""The command: cases of a seed until the time is up; prints each failure as a minimal program, and what was covered."""

from __future__ import annotations

import argparse
import gc
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's remarks about programs that it compiles

import tests.conftest  # noqa: F401  (settings of XLA and JAX come first)

# isort: split
from tests.fuzz.generating import Choice
from tests.fuzz.judging import Case, Verdict
from tests.fuzz.modes import MODES
from tests.fuzz.printing import script
from tests.fuzz.running import session
from tests.fuzz.shrinking import shrunk
from tests.fuzz.words import LETTERS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, help="for so long (60, if there is no --programs)")
    parser.add_argument("--programs", type=int, help="so many programs")
    parser.add_argument("--seed", type=int, default=0, help="others give other programs")
    parser.add_argument("--first", type=int, default=0, help="begin with this program of the seed")
    parser.add_argument("--mode", choices=list(MODES), help="only this mode")
    parser.add_argument("--word", help=f"only this word: letters with strokes between, of {', '.join(LETTERS)}")
    parser.add_argument("--float32", action="store_true", help="programs of single precision")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds to make a failure smaller")
    found = parser.parse_args()
    if found.seconds is None and found.programs is None:
        found.seconds = 60.0
    return found


def main() -> int:
    """Return 1 if there were failures."""
    given = arguments()
    word = None if given.word is None else tuple([name for name in given.word.split("-") if name])
    choice = Choice("float32" if given.float32 else "float64", given.mode, word)

    def failed(case: Case, verdict: Verdict) -> None:
        print(script(*shrunk(case, verdict, given.shrink)), flush=True)

    report = session(given.seed, choice, given.programs, given.seconds, failed, progress=True, first=given.first)
    print(report)
    return int(bool(report.failures))


if __name__ == "__main__":
    gc.enable()
    sys.exit(main())
