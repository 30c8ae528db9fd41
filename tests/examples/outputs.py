"""What the programs in a document print: python -m tests.examples.outputs FILE prints a list, as JSON.

A block of Python is a program of its own, `block.py`, if a block of text stands under it: what it prints. With
`--together` behind the file, each goes on where the one before ended; with `--errors`, it is what goes to stderr.
"""

from __future__ import annotations

import io
import json
import linecache
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax


def examples(text: str) -> list[tuple[str, str]]:
    """The programs in a document, with what they are said to print."""
    return re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", text, re.DOTALL)


def output(code: str, names: dict[str, Any], redirect: Any = redirect_stdout) -> str:
    """What a program prints, where lines are in `block.py`."""
    printed = io.StringIO()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "block.py"
        path.write_text(code)
        linecache.clearcache()
        with redirect(printed):
            exec(compile(code, str(path), "exec", dont_inherit=True), names)
            jax.effects_barrier()
    return printed.getvalue().replace(f"{folder}/", "")


def main(file: str, how: str = "") -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    redirect = redirect_stderr if how == "--errors" else redirect_stdout
    programs = [code for code, _ in examples(Path(file).read_text())]
    found = [output(code, names if how == "--together" else {**names}, redirect) for code in programs]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
