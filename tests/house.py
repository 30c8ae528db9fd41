"""The house measured: how much there is to read, by which way a gradient goes through it, and what imports what.

    python -m tests.house           prints what is, the bound that tests/test_house.py keeps, and the goal
    python -m tests.house --write   brings the tables of docs/architecture.md up to date

Sources are read, and two calls are watched. What a call goes through depends on what ran before it in the process, so a
test asks for these in a process of their own: python -m tests.house --json.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import minijvp
import minijvp.numpy as mnp
from tests.plain import unplugged
from tests.test_architecture import FILES, FLOORS, MODULES, ROOT, circles, imports, local_imports, room, upward_imports

DOCUMENT = ROOT.parent / "docs" / "architecture.md"


class Bound(NamedTuple):
    """What a measure may be at most today, and what it is meant to become, if it is to become less."""

    today: int
    goal: int | None = None


BOUNDS = {
    "lines of core and transforms": Bound(3_498, 2_500),
    "lines of these and the rooms around them": Bound(5_998),
    "lines of minijvp": Bound(56_451),
    "eager gradient: files": Bound(23, 12),
    "eager gradient: functions": Bound(101, 55),
    "eager gradient: switches of file": Bound(90, 45),
    "eager gradient, not optimized: files": Bound(16, 12),
    "eager gradient, not optimized: functions": Bound(69, 55),
    "eager gradient, not optimized: switches of file": Bound(74, 45),
    "imports of gradients.py: files": Bound(31, 18),
    "imports of gradients.py: lines": Bound(5_413, 3_500),
    "modules that import config": Bound(6, 6),
    "modules in circles": Bound(0, 0),
    "imports upward": Bound(0, 0),
    "imports in functions": Bound(0, 0),
}
"""The one table of bounds. Who makes a measure smaller lowers its bound here, so that it stays so."""


def lines(*paths: Path) -> int:
    """The lines of files, blank ones and comments among them."""
    return sum(len(path.read_text().splitlines()) for path in paths)


AROUND = ("answers", "missing_rules", "no_arrays", "trees", "arguments", "api")
"""What was taken out of core and transforms, or may be, is in one of these rooms: moving it makes nothing smaller."""


def files_of(*rooms: str) -> list[Path]:
    """The files of some rooms."""
    return [f for f, m in zip(FILES, MODULES, strict=True) if room(m) in rooms]


@dataclass(frozen=True)
class ReadingPath:
    """The functions of minijvp that a call enters, in order: what one reads who follows it."""

    entered: tuple[CodeType, ...]

    @cached_property
    def files(self) -> list[str]:
        """By the first function entered in each."""
        return list(dict.fromkeys(map(file_of, self.entered)))

    @property
    def functions(self) -> int:
        return len(set(self.entered))

    @property
    def switches(self) -> int:
        """How often the next function entered stands in another file."""
        return sum(file_of(a) != file_of(b) for a, b in zip(self.entered, self.entered[1:]))

    def first_of(self, file: str) -> str:
        """The function through which a file is first entered."""
        return next(code.co_qualname for code in self.entered if file_of(code) == file)

    def of(self, file: str) -> int:
        """The number of functions that are entered in a file."""
        return len({code for code in self.entered if file_of(code) == file})


def file_of(code: CodeType) -> str:
    """The file of a function; generated ones name the file that generates them, and something in parentheses."""
    return str(Path(code.co_filename.partition(" (")[0]).relative_to(ROOT))


def reading_path(
    call: Callable[[], Any], settings: Callable[[], AbstractContextManager[Any]] = nullcontext, warm: int = 1
) -> ReadingPath:
    """Where `call` goes under settings, when it has been called `warm` times.

    Comprehensions, which are frames in Python 3.11 and none in 3.12, belong to the function that they stand in.
    """
    entered: list[CodeType] = []
    folder = f"{ROOT}/"

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder) and not code.co_name.endswith(("comp>", "expr>")):
            entered.append(code)

    with settings():
        for _ in range(warm):
            call()
        sys.setprofile(watch)
        try:
            call()
        finally:
            sys.setprofile(None)
    return ReadingPath(tuple(entered))


def eager_gradient() -> Any:
    return minijvp.grad(mnp.sin)(1.0)


def compiled_gradient() -> Any:
    return minijvp.jit(minijvp.grad(lambda x: mnp.sin(x)))(1.0)


def import_closure(module: str) -> list[str]:
    """The modules of minijvp that a module imports, and those that they import ..., with itself.

    Read from the source: what is imported for the type checker alone counts, and the packages around a module do not.
    """
    found, pending = {module}, [module]
    while pending:
        tree = ast.parse(FILES[MODULES.index(pending.pop())].read_text())
        new = {name for name, _ in imports(tree) if name in MODULES} - found
        found |= new
        pending += sorted(new)
    return sorted(found)


def importers_of_config() -> list[str]:
    """The modules that import the settings."""
    return [
        module
        for module, path in zip(MODULES, FILES, strict=True)
        if any(name == "minijvp.settings" for name, _ in imports(ast.parse(path.read_text())))
    ]


def measures() -> dict[str, int]:
    """Everything in BOUNDS, as it is; to be asked for first in a process."""
    closure = [FILES[MODULES.index(m)] for m in import_closure("minijvp.api.gradients")]
    found = {
        "lines of core and transforms": lines(*files_of("core", "transforms")),
        "lines of these and the rooms around them": lines(*files_of("core", "transforms", *AROUND)),
        "lines of minijvp": lines(*FILES),
        "imports of gradients.py: files": len(closure),
        "imports of gradients.py: lines": lines(*closure),
        "modules that import config": len(importers_of_config()),
        "modules in circles": len(circles()),
        "imports upward": sum(len(upward_imports(f)) for f in FILES),
        "imports in functions": sum(len(local_imports(f)) for f in FILES),
    }
    for name, settings in (("eager gradient", nullcontext), ("eager gradient, not optimized", unplugged)):
        path = reading_path(eager_gradient, settings)
        found |= {
            f"{name}: files": len(path.files),
            f"{name}: functions": path.functions,
            f"{name}: switches of file": path.switches,
        }
    return {name: found[name] for name in BOUNDS}


def path_table(path: ReadingPath) -> str:
    """The files of a path, in the order in which they are entered."""
    rows = [
        f"| {i} | `{file}` | {lines(ROOT / file)} | {path.of(file)} | `{path.first_of(file)}` |"
        for i, file in enumerate(path.files, 1)
    ]
    total = f"| | {len(path.files)} files | {sum(lines(ROOT / f) for f in path.files):,} | {path.functions} | |"
    return "\n".join(["| | file | lines | functions entered | the first |", "|-|-|-|-|-|", *rows, total])


def floors_table() -> str:
    """The floors of FLOORS, from the top down, with their lines."""
    rows = []
    for rooms in reversed(FLOORS):
        names = ", ".join(f"`{name}`" if name else "`minijvp`" for name in sorted(rooms))
        modules = files_of(*rooms)
        rows.append(f"| {names} | {len(modules)} | {lines(*modules):,} |")
    return "\n".join(["| rooms | files | lines |", "|-|-|-|", *rows])


def tables() -> dict[str, str]:
    """The tables of docs/architecture.md, by the names in their markers; to be asked for first in a process."""
    return {
        "eager": path_table(reading_path(eager_gradient, unplugged)),
        "staged": path_table(reading_path(compiled_gradient, warm=0)),
        "floors": floors_table(),
    }


def with_tables(text: str, tables: dict[str, str]) -> str:
    """A document with its tables between markers replaced."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by python -m tests.house --write -->", "<!-- end -->"
        pattern = rf"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})"
        text, n = re.subn(pattern, lambda _, table=table: f"\n{table}\n\n", text, count=1, flags=re.DOTALL)
        assert n == 1, f"{DOCUMENT.name} has no {begin}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.house")
    parser.add_argument("--write", action="store_true", help="update docs/architecture.md")
    parser.add_argument("--json", action="store_true", help="print measures and tables for a test")
    options = parser.parse_args()
    found, written = measures(), tables()
    if options.write:
        DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), written))
    elif options.json:
        print(json.dumps({"measures": found, "tables": written}))
    else:
        print(f"{'':50} {'today':>7} {'bound':>7} {'goal':>7}")
        for name, value in found.items():
            bound, goal = BOUNDS[name]
            print(f"{name:50} {value:7,} {bound:7,} {'–' if goal is None else format(goal, ','):>7}")


if __name__ == "__main__":
    main()
