"""The pages of docs/ as HTML: sphinx-build -W docs build/docs, with the extra `docs`. A broken link is an error."""

import inspect
import re
import textwrap
from importlib import import_module, metadata
from types import ModuleType

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.application import Sphinx

project = "minijvp"
release = metadata.version("minijvp")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]

myst_heading_anchors = 3  # links to sections, as in Markdown elsewhere
default_role = "literal"  # what stands between single backquotes in docstrings is code
smartquotes = False

autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
autosummary_generate = ["errors.md"]  # a page for each error, in docs/errors, which is not kept
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "minijvp"
html_copy_source = False
html_show_copyright = False


def first_line(value: object) -> str:
    """What the docstring of a value begins with, or its text, if it has none of its own."""
    text = inspect.getdoc(value) or ""
    of_its_type = not (inspect.isroutine(value) or inspect.isclass(value)) and text == inspect.getdoc(type(value))
    if of_its_type and not repr(value).startswith("<"):
        return textwrap.shorten(repr(value), 100)
    return textwrap.shorten(re.sub(r":\w+:`~?([^`]*)`", r"\1", text.partition("\n\n")[0]), 200).replace("`", "")


class PublicNames(Directive):
    """A table of the public names of a module, those with a text in API as links to it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        module = import_module(self.arguments[0])
        names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
        rows = []
        for name, value in [(name, getattr(module, name)) for name in sorted(names)]:
            if not isinstance(value, ModuleType):
                known = {"refdomain": "py", "reftype": "obj", "reftarget": f"{module.__name__}.{name}"}
                link = addnodes.pending_xref("", nodes.literal(text=name), **known)
                cells = (nodes.paragraph("", "", cell) for cell in (link, nodes.Text(first_line(value))))
                rows.append(nodes.row("", *(nodes.entry("", cell) for cell in cells)))
        widths = nodes.colspec(colwidth=25), nodes.colspec(colwidth=75)
        return [nodes.table("", nodes.tgroup("", *widths, nodes.tbody("", *rows), cols=2))]


def skipped(app: Sphinx, what: str, name: str, *about: object) -> bool | None:
    """Whether a member is left out: how errors are made is no matter of who meets them."""
    return True if what == "exception" and name in ("__init__", "__new__") else None


def setup(app: Sphinx) -> None:
    """Add `public-names` to the directives."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-skip-member", skipped)
