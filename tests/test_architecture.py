"""The structure that the design promises, read from the source: floors, forbidden imports, documented names."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import jax
import pytest

import minijvp

ROOT = Path(minijvp.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = [str(p.relative_to(ROOT.parent).with_suffix("")).replace("/", ".").removesuffix(".__init__") for p in FILES]
FLOORS = [
    {"collector", "errors", "error_pages", "packages", "versions", "dimensions"},
    {"answers", "missing_rules", "no_arrays"},
    {"core"},
    {"budgets", "tracebacks"},
    {"settings"},
    {"trees"},
    {"operations"},
    {"arguments"},
    {"transforms"},
    {"api"},
    {"calls"},
    {"control_flow"},
    {"custom_rules"},
    {"derivatives"},
    {"nan_safe", "optimize"},
    {"interop"},
    {"numpy"},
    {"lax", "nn", "random", "scipy", "image", "ops"},
    {"custom_batching", "custom_derivatives", "debug", "experimental", "flatten_util", "products"},
    {"distributed", "dlpack", "dtypes", "export", "monitoring", "profiler", "sharding", "stages", "tree", "tree_util"},
    {"typing"},
    {"explain", "numerical", "sparse", "symbolic", "tools", "views"},
    {"ad_checkpoint", "extend", "test_util"},
    {""},
]
"""From the ground up; a module imports from its own floor and from those below."""

DIFFERENTIATING = {
    "grad",
    "value_and_grad",
    "jvp",
    "vjp",
    "linearize",
    "linear_transpose",
    "vmap",
    "pmap",
    "checkpoint",
}
DIFFERENTIATING |= {"remat", "custom_jvp", "custom_vjp", "jacfwd", "jacrev", "hessian", "jacobian", "make_jaxpr"}


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def floor(module: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room(module) in rooms)


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            # `from minijvp import trees` imports a module.
            whole = [f"{node.module}.{a.name}" for a in node.names]
            found += [(name if name in MODULES else node.module or "", node.lineno) for name in whole]
    return found


def upward_imports(path: Path) -> list[str]:
    """The imports of a file from floors above its own."""
    module = MODULES[FILES.index(path)]
    found = dict.fromkeys(i for i in imports(ast.parse(path.read_text())) if i[0].startswith("minijvp"))
    return [f"{module}:{line} imports {name}" for name, line in found if floor(name) > floor(module)]


def local_imports(path: Path) -> list[str]:
    """The imports inside the functions of a file."""
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    inner = {n.lineno for f in functions for n in ast.walk(f) if isinstance(n, (ast.Import, ast.ImportFrom))}
    return [f"{path.name}:{line}" for line in sorted(inner)]


def circles() -> list[str]:
    """The modules that import each other in a circle, and those that import such."""
    graph = {}
    for module, path in zip(MODULES, FILES, strict=True):
        names = {name for name, _ in imports(ast.parse(path.read_text()))}  # those for types only, too
        graph[module] = {m for m in MODULES if m in names and m != module}
    done: set[str] = set()
    while ready := {m for m, needed in graph.items() if m not in done and needed <= done}:
        done |= ready
    return sorted(set(graph) - done)


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_imports_go_down(path: Path) -> None:
    for name, line in imports(ast.parse(path.read_text())):
        assert not name.startswith("jax._src"), f"{path.name}:{line}"
    assert upward_imports(path) == []
    assert local_imports(path) == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    assert circles() == []


ASKED_OF_JAX = {
    "interop/foreign.py": {"jvp", "linear_transpose", "vmap"},
    "interop/from_jax.py": {"make_jaxpr"},
    "interop/higher_order.py": {"make_jaxpr"},
    "interop/references.py": {"make_jaxpr"},
    "interop/rules.py": {"make_jaxpr", "jvp", "vjp", "vmap"},
    "calls/in_jax.py": {"custom_jvp"},
}
"""The border: reading a program of JAX takes make_jaxpr; the derivative or the batch of one call of a function that has
a rule of its author's is that rule; and our own rules are the rules of a program where JAX differentiates it."""


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_jax_differentiates_nothing_here(path: Path) -> None:
    forbidden = DIFFERENTIATING - ASKED_OF_JAX.get(str(path.relative_to(ROOT)), set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "jax":
            assert node.attr not in forbidden, f"{path.name}:{node.lineno} uses jax.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module == "jax":
            assert not forbidden & {a.name for a in node.names}, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(
    "name", ["minijvp", "minijvp.extend", "minijvp.numpy", "minijvp.lax", "minijvp.nn", "minijvp.random"]
)
def test_public_names_are_documented(name: str) -> None:
    module = import_module(name)
    assert module.__doc__
    for public in module.__all__:
        value = getattr(module, public)
        if inspect.isfunction(value) or (inspect.isclass(value) and value.__module__.startswith("minijvp")):
            assert value.__doc__, f"{name}.{public}"


def test_transformations_show_an_example() -> None:
    for name in ("jit", "grad", "value_and_grad", "jvp", "vjp", "linearize", "vmap", "jacfwd", "jacrev", "hessian"):
        assert ">>>" in (getattr(minijvp, name).__doc__ or ""), name
    for name in ("linear_transpose", "make_jaxpr", "eval_shape", "stop_gradient", "from_jax", "to_jax"):
        assert ">>>" in (getattr(minijvp, name).__doc__ or ""), name


@pytest.mark.parametrize(("ours", "theirs"), [(minijvp.numpy, jax.numpy), (minijvp.lax, jax.lax), (minijvp.nn, jax.nn)])
def test_definitions_are_exported(ours: ModuleType, theirs: ModuleType) -> None:
    """A definition that its module does not list in __all__ would be bridged, and nothing else would show it."""
    found = 0
    for module in [import_module(m) for m in MODULES if m.startswith(f"{ours.__name__}.")]:
        for name, value in vars(module).items():
            definition = inspect.unwrap(value) if inspect.isfunction(value) else None
            own = "__signature__" in getattr(value, "__dict__", ()) and definition.__module__.startswith(ours.__name__)
            if own and hasattr(theirs, name) and module.__name__.rpartition(".")[2] not in vars(theirs):
                assert getattr(ours, name) is value, f"{module.__name__}.{name} is not in __all__"
                found += 1
    assert found > 5


def test_public_names_are_those_of_jax() -> None:
    assert [n for n in minijvp.numpy.__all__ if not hasattr(jax.numpy, n)] == []
    assert [n for n in minijvp.lax.__all__ if not hasattr(jax.lax, n)] == []


def test_the_supported_versions_are_checked() -> None:
    from minijvp.versions import check

    check((3, 11), "0.10.0")
    check((3, 13), "0.12.9")
    with pytest.raises(minijvp.UnsupportedVersionError, match=r"Python 3\.10"):
        check((3, 10), "0.10.0")
    with pytest.raises(minijvp.UnsupportedVersionError, match=r"pip install .jax>=0\.10,<0\.13"):
        check((3, 12), "0.9.1")


def test_importing_minijvp_imports_no_more_of_jax_than_it_needs() -> None:
    heavy = ["jax.experimental.sparse", "jax.scipy.stats", "jax.scipy.signal", "matplotlib", "sklearn"]
    program = f"import sys, minijvp; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
