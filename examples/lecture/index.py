"""The whole lecture: runs its seven chapters, and makes one page of what they say and draw.

`python examples/lecture/index.py` writes examples/output/lecture/index.html, which needs no other file, and the
pictures beside it. Each chapter runs alone too, and prints the same: `python examples/lecture/chapter1_gradient.py`.
"""

from __future__ import annotations

import argparse
import io
import platform
import time
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from notes import OUTPUT, Notes
from page import Chapter, page_of

CHAPTERS = (
    "chapter1_gradient",
    "chapter2_numerical",
    "chapter3_symbolic",
    "chapter4_forward",
    "chapter5_reverse",
    "chapter6_autograd_graph",
    "chapter7_custom_rules",
)


def run_chapter(number: int, name: str, folder: Path) -> Chapter:
    """The chapter, run; what it prints is kept from the terminal."""
    start = time.perf_counter()
    notes = Notes(folder)
    with redirect_stdout(io.StringIO()):
        module = import_module(name)
        module.chapter(notes)
    first, _, lead = (module.__doc__ or "").strip().partition("\n")
    subject = first.partition(":")[2].strip().rstrip(".")
    return Chapter(
        number,
        Path(__file__).with_name(f"{name}.py"),
        subject[0].upper() + subject[1:],
        " ".join(lead.split()),
        "\n".join(notes.html),
        tuple(notes.corrections),
        time.perf_counter() - start,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the folder of page and pictures (%(default)s)")
    folder = parser.parse_args().output
    chapters = []
    for number, name in enumerate(CHAPTERS, 1):
        print(f"{number}/{len(CHAPTERS)}  {name:24}", end="", flush=True)
        chapters.append(run_chapter(number, name, folder))
        print(f" {chapters[-1].seconds:5.1f} s", flush=True)
    versions = ", ".join(f"{package} {version(package)}" for package in ("minijvp", "jax", "sympy"))
    path = folder / "index.html"
    path.write_text(page_of(chapters, f"Made by {versions} and Python {platform.python_version()}"), encoding="utf-8")
    print(f"page: {path}, {path.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
