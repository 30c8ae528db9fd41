"""`help` of every public name: what it computes, in which words, and nothing that is not there."""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from types import ModuleType
from typing import Any

import jax
import pytest

import minijvp
from minijvp.interop.docstrings import BRIDGED, EXAMPLES, RESTATED, docstring

SURFACES = [
    "numpy",
    "numpy.linalg",
    "numpy.fft",
    "lax",
    "lax.linalg",
    "nn",
    "nn.initializers",
    "random",
    "image",
    "ops",
]
SURFACES += ["scipy.cluster.vq", "scipy.fft", "scipy.integrate", "scipy.linalg", "scipy.ndimage", "scipy.optimize"]
SURFACES += ["scipy.signal", "scipy.special", "scipy.stats", "scipy.sparse.linalg"]
OTHERS = ["ad_checkpoint", "checkpoint_policies", "custom_batching", "custom_derivatives", "debug", "extend"]
OTHERS += [
    "experimental",
    "experimental.ode",
    "flatten_util",
    "numerical",
    "scipy",
    "scipy.interpolate",
    "scipy.sparse",
    "sharding",
]
OTHERS += ["errors", "symbolic", "test_util"]
ANY = {"fromfile", "fromiter", "printoptions", "set_printoptions", "psum_scatter_start"}
"""Functions of JAX that take whatever they are given."""


def module(path: str, package: str = "minijvp") -> ModuleType:
    return import_module("minijvp.calls.policies" if path == "checkpoint_policies" else f"{package}.{path}")


def functions(path: str) -> dict[str, Callable[..., Any]]:
    """The public functions of a module, and of the distributions of scipy.stats."""
    found = {f"{path}.{n}": getattr(module(path), n) for n in dir(module(path))}
    for name, value in list(found.items()):
        if isinstance(value, ModuleType) and path == "scipy.stats":
            found |= {f"{name}.{n}": getattr(value, n) for n in dir(value)}
    return {n: f for n, f in found.items() if inspect.isfunction(f) and not n.endswith("_p")}


def exists(path: str) -> bool:
    """Whether a name that a text refers to is there."""
    package, *names = path.rstrip(".").split(".")
    root = {"jax": jax, "minijvp": minijvp}[package]
    return reduce(lambda found, name: getattr(found, name, None), names, root) is not None


@pytest.mark.parametrize("path", SURFACES)
def test_functions_say_what_they_compute(path: str) -> None:
    found = functions(path)
    assert found
    for name, function in found.items():
        text = inspect.getdoc(function) or ""
        first, *rest = text.split("\n")
        assert len(first) > 5 and not first.startswith(
            ("What jax", "Alias of :func:`jax", "Alias of :func:`minijvp")
        ), (name, first)
        assert "see there" not in text and "for arrays and tracers" not in text, name
        assert text.count("\nThis is jax.") <= 1, name
        assert rest[:2] == [] or rest[0] or not rest[1].startswith(" "), (name, text)  # the margin is taken away
        names = set(re.findall(r"`~?(minijvp\.[\w.]+)", text))
        lost = {n for n in names if not exists(n) and exists(n.replace("minijvp", "jax", 1))}
        assert not lost, (name, lost)
        signature = inspect.signature(function)
        assert str(signature) != "(*args, **kwargs)" or name.rpartition(".")[2] in ANY, (name, signature)
        assert pydoc.render_doc(function).startswith("Python Library Documentation: function"), name


def test_there_is_more_than_a_line() -> None:
    texts = {n: inspect.getdoc(f) or "" for path in SURFACES for n, f in functions(path).items()}
    short = [n for n, text in texts.items() if len(text) < 120]
    assert len(short) < 0.02 * len(texts), short
    assert sum("Args:" in text or ">>>" in text or "arameters" in text for text in texts.values()) > 0.7 * len(texts)


def test_percentile() -> None:
    text = inspect.getdoc(minijvp.numpy.percentile) or ""
    assert text.startswith("Compute the percentile")
    for part in (BRIDGED.format("jax.numpy.percentile"), EXAMPLES, "\nArgs:\n", "`minijvp.numpy.quantile`"):
        assert part in text
    assert RESTATED.format("jax.numpy.sum") in (inspect.getdoc(minijvp.numpy.sum) or "")
    assert "its derivative in b is right" in (inspect.getdoc(minijvp.nn.logsumexp) or "")
    assert minijvp.numpy.max.__qualname__ == "max"  # amax is made of it
    assert "element-wise" in (inspect.getdoc(minijvp.numpy.abs) or "").split("\n")[0]  # JAX says: Alias of absolute


def test_texts_however_they_are_written() -> None:
    def one_line():
        """A line."""

    def no_text():
        pass

    def indented():
        """
        A line
        and a half.

        More of :func:`jax.lax.sin`, `jax.pmap`.

        >>> 1
        1
        """

    assert docstring(one_line, "jax.f", "By {}.") == "A line.\n\nBy jax.f."
    assert docstring(no_text, "jax.f", "By {}.").startswith("What jax.f returns.")
    assert docstring(no_text, "jax.lax.fft", "By {}.").startswith("The Fourier transform")
    found = inspect.cleandoc(docstring(indented, "jax.f", "By {}."))
    assert found.startswith(
        f"A line\nand a half.\n\nBy jax.f.\n{EXAMPLES}\n\nMore of :func:`minijvp.lax.sin`, `jax.pmap`."
    )
    ours = inspect.cleandoc(docstring(indented, "jax.f", "By {}.", "Ours,\n    in two lines."))
    assert ours.startswith("Ours,\nin two lines.\n\nBy jax.f.\n")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", [*SURFACES, *OTHERS])
def test_modules_show_public_names_only(path: str) -> None:
    shown = dir(module(path))
    assert shown and [n for n in shown if n.startswith("_") and n != "__version__"] == []
    assert {"annotations", "Any", "Callable", "jax", "np"}.isdisjoint(shown)
    assert [n for n in shown if not hasattr(module(path), n)] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_package_shows_public_names_only() -> None:
    assert [n for n in dir(minijvp) if (n.startswith("_") and n != "__version__") or not hasattr(minijvp, n)] == []
    assert {"tree", "tree_util", "Array", "typeof", "debug", "dtypes", "errors", "scipy"} <= set(dir(minijvp))
    assert {"special", "linalg", "stats", "sparse", "optimize"} <= set(dir(minijvp.scipy))
    overview = pydoc.plain(pydoc.render_doc(minijvp))
    assert overview.index("grad, value_and_grad") < overview.index("PACKAGE CONTENTS") < 4000


def test_types_stay_types() -> None:
    assert minijvp.lax.PrecisionLike is jax.lax.PrecisionLike
    assert minijvp.lax.PrecisionLike | None == jax.lax.PrecisionLike | None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", SURFACES)
def test_functions_of_jax_that_are_named_are_there(path: str) -> None:
    for name, fun in functions(path).items():
        for where in re.findall(r"This is (jax\.[\w.]+)[;,]", inspect.getdoc(fun) or ""):
            space, _, attribute = where.rpartition(".")
            assert callable(getattr(import_module(space), attribute, None)), name
