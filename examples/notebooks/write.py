"""Runs the notebooks, and writes what they show into them: `python examples/notebooks/write.py [NAME ...]`.

A notebook is its own source: change it in Jupyter, save it, and run this. An output that says what it said before, but
for last digits, stays as it was, so that the difference of a file is what has changed. Numbers in the outputs of a cell
with the tag "varies", as times and rounding errors, may be others each time.
"""

from __future__ import annotations

import argparse
import os
import re
from copy import deepcopy
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.font_manager  # noqa: F401 (where fonts are not listed yet, this does it, and says so, not in a kernel)
import nbformat
import numpy as np
from ipykernel.compiler import get_file_name
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
CELL_FILE = re.compile(r"""(?:[^\s"'<>]*/)?(\d{5,})\.py(?::(\d+))?""")
NOT_OURS = "MPLBACKEND", "XLA_FLAGS"
RELATIVE, ABSOLUTE = 1e-3, 1e-6


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.ipynb"


def text_of(notebook: NotebookNode) -> str:
    """The notebook as its file has it."""
    return nbformat.writes(notebook) + "\n"


def executed(notebook: NotebookNode) -> NotebookNode:
    """The notebook after a run from top to bottom in a new kernel, as users have it, without what is of this run alone.

    Raises CellExecutionError of nbclient for a cell that fails.
    """
    notebook = deepcopy(notebook)
    client = NotebookClient(notebook, kernel_name="python3", timeout=None, record_timing=False, coalesce_streams=True)
    client.resources = {"metadata": {"path": str(FOLDER)}}
    client.extra_arguments, client.startup_timeout = ["--log-level=ERROR"], 300
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    environment["PYTHONPATH"] = os.pathsep.join([str(FOLDER.parents[1]), environment.get("PYTHONPATH", "")])
    with TemporaryDirectory() as folder:
        client.execute(env={**environment, "IPYTHONDIR": folder})
    return cleaned(notebook)


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """The notebook without paths, times and versions, and with one form of each picture."""
    notebook = deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    numbers = {Path(get_file_name(cell.source)).stem: i for i, cell in enumerate(codes, 1)}
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
        cell.source = cell.source.strip("\n")
    for i, cell in enumerate(codes, 1):
        cell.execution_count = i
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = i
            if "text" in output:
                output.text = at_cells(output.text, numbers)
            if "data" in output:
                output.metadata, output.data = NotebookNode(), shown(output.data, numbers)
    return notebook


def shown(data: NotebookNode, numbers: dict[str, int]) -> NotebookNode:
    """What is displayed; of a picture not the HTML too, which code hosts leave out."""
    if "image/svg+xml" in data:
        data.pop("text/html", None)
        data["image/svg+xml"] = re.sub(r" *<metadata>.*?</metadata>\n?", "", data["image/svg+xml"], flags=re.DOTALL)
    return NotebookNode({form: at_cells(text, numbers) for form, text in data.items()})


def at_cells(text: str, numbers: dict[str, int]) -> str:
    """The text with cells by their numbers, where it has the files that a kernel makes of them."""

    def cell(found: re.Match[str]) -> str:
        file, line = found.groups()
        return f"Cell In[{numbers[file]}]" + f", line {line}" * bool(line) if file in numbers else found[0]

    return CELL_FILE.sub(cell, text)


def words(output: NotebookNode, varies: bool) -> list[str]:
    """What an output says: the kind of each part of it, and its words."""
    if "data" not in output:
        return [output.get("name", output.output_type), *output.get("text", "").split()]
    found = []
    for form, text in sorted(output.data.items()):
        if form == "image/svg+xml":
            text = "" if varies else " ".join(re.findall(r"<(?:text|title)\b.*?</(?:text|title)>", text, re.DOTALL))
        if form in ("image/svg+xml", "text/html"):
            text = unescape(re.sub(r"<[^>]*>", " ", text))
        found += [form, *text.split()]
    return found


def difference(before: list[NotebookNode], after: list[NotebookNode], varies: bool) -> str:
    """In what the outputs of a cell differ, which is nothing where their words are equal and their numbers close."""
    both = (" ".join(word for output in outputs for word in words(output, varies)) for outputs in (before, after))
    old, new = (re.sub(r" ?([\[\]]) ?", r"\1", text) for text in both)  # arrays have spaces there or not
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return f"before:\n{old}\nafter:\n{new}"
    if not varies:
        for x, y in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
            if not np.isclose(float(x.replace("−", "-")), float(y.replace("−", "-")), RELATIVE, ABSOLUTE):
                return f"{x} is now {y}, in:\n{new}"
    return ""


def merged(before: NotebookNode, after: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """The notebook after a run with the outputs from before where these say the same, and the differences of others."""
    notebook, found = deepcopy(after), []
    for old, new in zip(cleaned(before).cells, notebook.cells, strict=True):
        if new.cell_type == "code":
            differs = difference(old.outputs, new.outputs, "varies" in new.metadata.get("tags", ()))
            if differs:
                found.append(f"{new.id}, {differs}")
            else:
                new.outputs = old.outputs
    return notebook, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all, if none is named")
    names = [Path(name).stem for name in parser.parse_args().names] or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no notebook is named {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for path in map(path_of, names):
        before = nbformat.read(path, as_version=4)
        notebook, differences = merged(before, executed(before))
        text = text_of(notebook)
        same = text == path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {'as before' if same else 'written'}, {len(text) // 1024} KB", *differences, sep="\n  ")


if __name__ == "__main__":
    main()
