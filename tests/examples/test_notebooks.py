"""The notebooks: each runs from top to bottom, shows what stands in it, and its exercises can be solved."""

from __future__ import annotations

import importlib.util
import re
import sys
from copy import deepcopy
from types import ModuleType

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode

from examples.notebooks.write import FOLDER, NAMES, cleaned, difference, executed, merged, path_of, text_of

CHAPTERS = [f"chapter{n}" for n in range(1, 8)]
KILOBYTES, LINES = 300, 15
TODAY = re.compile(r"/tmp/|/home/|/root/|site-packages|ipykernel| at 0x[0-9a-f]+|Warning\b")


def read(name: str) -> NotebookNode:
    return nbformat.read(path_of(name), as_version=4)


def tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", ())


def solutions(notebook: NotebookNode) -> list[NotebookNode]:
    """Cells with the answers of the exercises, and after each the cell that checks it."""
    cells, found = notebook.cells, []
    for i, cell in enumerate(cells):
        if tagged(cell, "answer"):
            (code,) = re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
            assert tagged(cells[i - 2], "exercise") and tagged(cells[i - 1], "check")
            found += [nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell(cells[i - 1].source)]
    return found


def said(cell: NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_there_is_a_notebook_for_each_chapter() -> None:
    assert [name.partition("_")[0] for name in NAMES] == [*CHAPTERS, "quickstart"]
    lecture = {path.stem for path in (FOLDER.parent / "lecture").glob("chapter*.py")}
    assert lecture == set(NAMES) - {"quickstart"}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_what_stands_in_it(name: str) -> None:
    notebook = read(name)
    n, answers = len(notebook.cells), solutions(notebook)
    run = executed(nbformat.from_dict({**deepcopy(notebook), "cells": [*notebook.cells, *answers]}))
    run.cells, checks = run.cells[:n], run.cells[n + 1 :: 2]
    errors = [o.text for cell in run.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    assert errors == []
    _, differences = merged(notebook, run)
    assert differences == [], f"python examples/notebooks/write.py {name} writes what it shows now"
    assert {said(cell) for cell in checks} == {"Right.\n"}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_written_as_it_is_shown(name: str) -> None:
    notebook, text = read(name), path_of(name).read_text(encoding="utf-8")
    nbformat.validate(notebook)
    assert text == text_of(cleaned(notebook)), "run python examples/notebooks/write.py"
    assert len(text.encode()) <= KILOBYTES * 1024
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in codes) <= LINES
    for cell in codes:
        assert not TODAY.search(str(cell.outputs)), cell.id
    assert re.match(r"# .+\n\nYou will learn\n\n- ", notebook.cells[0].source)
    assert 2 <= sum(tagged(cell, "exercise") for cell in codes) <= 4
    assert len(solutions(notebook)) == 2 * sum(tagged(cell, "exercise") for cell in codes)
    assert {said(cell) for cell in codes if tagged(cell, "check")} == {
        "Not answered yet: write it in the place of the dots above.\n"
    }
    links = re.findall(r"\]\((\w+\.ipynb)\)", "".join(cell.source for cell in notebook.cells))
    assert all((FOLDER / link).exists() for link in links)


def output(**data: str) -> list[NotebookNode]:
    forms = {"plain": "text/plain", "html": "text/html", "svg": "image/svg+xml"}
    found = {forms[name]: text for name, text in data.items()}
    return [nbformat.v4.new_output("display_data", found)]


def test_differences_are_words_and_numbers() -> None:
    assert difference(output(plain="a 1.0 b"), output(plain="a  1.0000001 b"), False) == ""
    assert "1.0 is now 1.1" in difference(output(plain="a 1.0 b"), output(plain="a 1.1 b"), False)
    assert difference(output(plain="[ 1.25  2. ]"), output(plain="[1.2500001 2.]"), False) == ""
    assert difference(output(plain="2.5 ms"), output(plain="40 ms"), True) == ""
    assert "after" in difference(output(plain="2.5 ms"), output(plain="2.5 s"), True)
    assert "after" in difference(output(plain="a"), output(plain="a", html="<b>a</b>"), False)
    assert "after" in difference(output(plain="a"), [], False)
    assert difference(output(html="<td>1</td>"), output(html="<th>1</th>"), False) == ""
    picture = '<svg><title>f</title><path d="M 1 2"/><text>{}</text></svg>'
    assert difference(output(svg=picture.format(1)), output(svg=picture.format(2)), True) == ""
    assert difference(output(svg=picture.format(1)), output(svg=picture.format(2)), False)


def test_a_run_leaves_what_says_the_same_and_names_cells() -> None:
    cell = nbformat.v4.new_code_cell("print(time())", outputs=output(plain="3 ms"))
    cell.metadata = nbformat.from_dict({"tags": ["varies"], "execution": {"iopub.status.busy": "now"}})
    before = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}})
    after = deepcopy(before)
    after.cells[0].outputs = output(plain="4 ms")
    notebook, differences = merged(before, cleaned(after))
    assert differences == []
    assert notebook.cells[0].outputs[0].data["text/plain"] == "3 ms"
    assert notebook.cells[0].metadata == {"tags": ["varies"]} and notebook.cells[0].execution_count == 1
    assert list(notebook.metadata) == ["kernelspec", "language_info"]

    from_kernel = executed(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("f = lambda: 1\nf.__code__")]))
    assert re.search(r'file "Cell In\[1\]", line 1', from_kernel.cells[0].outputs[0].data["text/plain"])


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which the module appends
    spec = importlib.util.spec_from_file_location("helpers", FOLDER / "helpers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_wrong_answers_are_told(helpers: ModuleType, capsys: pytest.CaptureFixture) -> None:
    def told(*args, **kwargs) -> str:
        helpers.check(*args, **kwargs)
        return capsys.readouterr().out.strip()

    assert told(..., 1.0) == told(lambda x: ..., np.sin, at=[1.0]) == helpers.WAITING
    assert told(1.00001, 1.0) == told((1, 2.0), (1.0, np.float32(2))) == told("b", "b") == "Right."
    assert told(2.0, 1.5) == "Not yet: it is 2., which is wrong by 0.5."
    assert told("a", "b") == "Not yet: a is wrong."
    assert "shape (2,), and () is wanted" in told(np.ones(2), 1.0)
    assert "it has the form" in told((1.0, 2.0), 1.0)
    assert told(np.nan, 1.0).startswith("Not yet: it is nan")
    assert told(np.sin, np.sin, at=[1.0, 2.0]) == "Right."
    assert told(np.abs, lambda x: x, at=[1.0, -2.0]) == "Not yet at point 2 of 2: it is 2., which is wrong by 4."
    assert told(np.multiply, lambda x, y: x * y, at=[(2.0, 3.0)]) == "Right."
    assert told(np.sin, lambda x: np.sin(2 * x), at=[1.0], transform=lambda f: lambda x: f(2 * x)) == "Right."


def test_tables_are_written_with_six_digits(helpers: ModuleType) -> None:
    found = helpers.table("t", ("a", "b"), [("x", 1 / 3), (np.float32(2), 3)])
    assert found.rows == (("x", "0.333333"), ("2", "3"))
