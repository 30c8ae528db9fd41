"""The names of JAX: each public one is a name of minijvp, or in the table of docs/names.md with a reason."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.example_libraries
import jax.experimental
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import errors

TABLE = Path(minijvp.__file__).parent.parent / "docs" / "names.md"
IMPORTED = ["ad_checkpoint", "custom_batching", "custom_derivatives", "debug", "experimental", "experimental.ode"]
IMPORTED += ["errors", "export", "ffi", "flatten_util", "image", "ops", "ref", "sharding", "test_util", "tree_util"]
IMPORTED += ["api_util", "extend", "interpreters", "checkpoint_policies", "lax.linalg", "numpy.fft", "numpy.linalg"]
IMPORTED += ["nn.initializers", "scipy.spatial.transform"]
"""Modules that are not found as attributes of jax, or are not imported by it. All are imported here, so that what is
found does not depend on what else was."""

SCRIPTS = {"cloud_tpu_init", "collect_profile", "tools"}
"""Modules that are run."""


def found_in(module: str, package: Any) -> Any:
    """A module, or what stands for one, by its path below a package; None if there is none."""
    try:
        return import_module(f"{package.__name__}.{module}")
    except ImportError:
        for part in module.split("."):
            package = getattr(package, part, None)
        return package


def modules() -> list[str]:
    """The paths of JAX's public modules below jax."""
    found = [n for n in dir(jax) if isinstance(getattr(jax, n), ModuleType) and n[0] != "_"]
    scipy = [m.name.removeprefix("jax.") for m in pkgutil.walk_packages(jax.scipy.__path__, "jax.scipy.")]
    return sorted({*found, *IMPORTED, *scipy} - {"version", "example_libraries"} - SCRIPTS)


def public_names(module: str, package: Any) -> set[str]:
    """The names that a module of JAX shows, without modules of others that it happens to import."""
    space = found_in(module, package) if module else package
    names = {n for n in dir(space) if n[0] != "_"}
    foreign = {
        n
        for n in names
        if isinstance(value := getattr(space, n, None), ModuleType)
        and not (value.__name__.startswith("jax.") and value.__name__.endswith(f".{n}"))
    }
    return names - foreign


def missing() -> set[str]:
    """The names that JAX has and minijvp has not, with their paths below jax."""
    paths = modules()
    for module in paths:
        found_in(module, jax)
    found = {n for n in public_names("", jax) - SCRIPTS if not hasattr(minijvp, n)}
    for module in paths:
        ours = found_in(module, minijvp)
        found |= {f"{module}.{n}" for n in public_names(module, jax) if not hasattr(ours, n)}
    for m in pkgutil.iter_modules(jax.experimental.__path__):
        if m.name[0] != "_" and not hasattr(found_in("experimental", minijvp), m.name):
            found.add(f"experimental.{m.name}")
    return found


def listed() -> dict[str, str]:
    """The names in the table, without `jax.`, and what is said of the versions that have them."""
    rows = [line.split("|") for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    return {
        name.removeprefix("jax."): versions.strip()
        for _, names, versions, _, _ in rows
        for name in re.findall(r"`([\w.]+)`", names)
    }


def test_the_table_lists_what_is_missing_and_no_more() -> None:
    version = ".".join(jax.__version__.split(".")[:2])
    table = {name for name, versions in listed().items() if versions in ("", version)}
    found = missing()
    assert sorted(found - table) == [], "JAX has these names, and neither minijvp nor docs/names.md has"
    assert sorted(table - found) == [], "docs/names.md has these names, and minijvp has them too, or JAX has not"


def test_the_api_has_every_function_of_our_own() -> None:
    lines = [line for page in ("api.md", "errors.md") for line in (TABLE.parent / page).read_text().splitlines()]
    described = {line.rpartition(" ")[2].removeprefix("minijvp.") for line in lines if line.startswith(("..", "   "))}
    ours = {n for n in minijvp.__all__ if str(getattr(getattr(minijvp, n), "__module__", "")).startswith("minijvp.")}
    assert sorted(ours - described - {"config"}) == []


def test_the_reference_has_every_module() -> None:
    listed = set(
        re.findall(r"^```\{public-names\} minijvp\.?(\S*)$", (TABLE.parent / "reference.md").read_text(), re.M)
    )
    assert {*minijvp.MODULES, "", "numpy"} <= listed | {"scipy"}
    modules = [f"scipy.{name}" for name in dir(minijvp.scipy)]
    assert [m for m in modules if not any(found == m or found.startswith(f"{m}.") for found in listed)] == []


def test_every_error_has_a_page() -> None:
    pages = (TABLE.parent / "errors.md").read_text().split(":toctree: errors")[1].split("```")[0].split()
    ours = {name for name in errors.__all__ if getattr(errors, name).__module__ == errors.__name__}
    assert set(pages) == {getattr(errors, name).__name__ for name in ours} and len(pages) == len(set(pages))


def test_every_name_of_minijvp_is_found() -> None:
    for name in minijvp.__all__:
        assert getattr(minijvp, name) is not None
    for name in ("closure_convert", "no_such_name"):
        assert hasattr(minijvp, name) is (name != "no_such_name")
    assert minijvp.tree.map is jax.tree.map
    assert minijvp.Array is jax.Array


def test_primitives_have_the_names_of_jax() -> None:
    for name in ("sin_p", "mul_p", "reduce_sum_p", "dot_general_p", "while_p", "scatter_add_p"):
        assert getattr(minijvp.lax, name).name == getattr(jax.lax, name).name
    x = mnp.array([1.0, 2.0])
    square = minijvp.lax.mul_p.bind(x, x, out_dtype=None)
    assert float(minijvp.lax.reduce_sum_p.bind(square, axes=(0,), out_sharding=None)) == 5.0
    slope = minijvp.grad(lambda x: minijvp.lax.sin_p.bind(x, accuracy=None))
    assert float(minijvp.jit(slope)(0.0)) == 1.0
    equation = minijvp.make_jaxpr(mnp.sin)(1.0).equations[0]
    assert equation.primitive is minijvp.lax.sin_p


def test_tracers_are_arrays_and_have_types() -> None:
    seen = []

    def f(x: minijvp.Array) -> Any:
        seen.append((isinstance(x, minijvp.Array), isinstance(x, jax.Array), minijvp.typeof(x)))
        return x * x

    for transformed in (minijvp.jit(f), minijvp.grad(f), minijvp.vmap(lambda x: f(x), axis_size=1, in_axes=None), f):
        transformed(mnp.float32(2))
    assert {(a, b) for a, b, _ in seen} == {(True, True)}
    assert {(t.shape, t.dtype.name) for _, _, t in seen} == {((), "float32")}


def test_errors_are_found_by_the_names_of_jax() -> None:
    with pytest.raises(minijvp.errors.TracerBoolConversionError):
        minijvp.jit(lambda x: 1 if x > 0 else 2)(1.0)
    with pytest.raises(minijvp.errors.NonConcreteBooleanIndexError):
        minijvp.jit(lambda x: x[x > 0])(mnp.ones(3))
    kept = []
    minijvp.jit(lambda x: kept.append(x) or x)(1.0)
    with pytest.raises(minijvp.errors.UnexpectedTracerError):
        minijvp.numpy.sin(kept[0])


def test_settings_of_jax() -> None:
    before = minijvp.config.jax_debug_nans
    minijvp.config.update("jax_debug_nans", not before)
    assert jax.config.jax_debug_nans is not before
    minijvp.config.update("jax_debug_nans", before)
    minijvp.config.update("memory_budget", "auto")
    with pytest.raises(minijvp.ArgumentError, match="no_such"):
        minijvp.config.update("no_such", 1)
    assert not hasattr(minijvp.config, "no_such")


def test_functions_of_other_modules() -> None:
    x = mnp.array([1.0, 2.0, 3.0, 4.0])
    ids = mnp.array([0, 0, 1, 1])
    for name in ("segment_sum", "segment_max", "segment_min"):
        ours, theirs = getattr(minijvp.ops, name), getattr(jax.ops, name)
        found = minijvp.jit(minijvp.grad(lambda x, f=ours: (f(x, ids, num_segments=2) ** 2).sum()))(x)
        assert found.tolist() == jax.grad(lambda x, f=theirs: (f(x, ids, num_segments=2) ** 2).sum())(x).tolist()
    assert minijvp.ops.segment_prod(x, ids, 2).tolist() == [2.0, 12.0]
    resized = minijvp.grad(lambda x: minijvp.image.resize(x, (8,), "linear").sum())(x)
    assert resized.tolist() == jax.grad(lambda x: jax.image.resize(x, (8,), "linear").sum())(x).tolist()
    device = minijvp.devices()[0]
    assert minijvp.grad(lambda x: minijvp.device_put(x, device).sum())(x).tolist() == [1.0] * 4
    out, _, aux = minijvp.fwd_and_bwd(lambda a, x: (a * x, x), 1, has_aux=True)[0](3.0, 2.0)
    assert (float(out), float(aux)) == (6.0, 2.0)
    fwd, bwd = minijvp.fwd_and_bwd(lambda a, x: a * x, (0, 1), jitted=False)
    assert [float(ct) for ct in bwd(fwd(3.0, 2.0)[1], 1.0)] == [2.0, 3.0]
    minijvp.test_util.check_grads(mnp.sin, (1.0,), 1, modes=["rev"], eps=1e-3)
    exported = minijvp.export.export(minijvp.jit(mnp.sin))(1.0)
    assert inspect.isfunction(exported.call) or callable(exported.call)
