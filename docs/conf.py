"""The pages of docs/ as HTML: sphinx-build -W docs build/docs, with the extra `docs`. A broken link is an error."""

from importlib import metadata

project = "minijvp"
release = metadata.version("minijvp")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 3  # links to sections, as in Markdown elsewhere
default_role = "literal"  # what stands between single backquotes in docstrings is code
smartquotes = False

autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "minijvp"
html_copy_source = False
html_show_copyright = False
