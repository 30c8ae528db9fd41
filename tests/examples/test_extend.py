"""examples/extend: whole programs run as a user runs them, and their numbers are held against others."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import minijvp
import minijvp.numpy as mnp
from minijvp import extend
from minijvp.core.primitive import registry
from minijvp.extend import Primitive, Sample
from minijvp.interop.reading import TABLE
from tests.examples.documents import blocks, run_block
from tests.examples.test_examples import EXTENDING, ROOT, run
from tests.tables import restored

FOLDER = ROOT / "examples" / "extend"
PRINTED = {
    "callback": "Bessel's equation holds",
    "elementwise": "W'(0) = 1.000000, W''(0) = -2.000000",
    "flops": "786432 are in matrix products",
    "program": "the compiled gradient has both labels",
    "structured": "(2, 3)",
    "taylor": "agrees with a product with the Hessian, by a gradient inside",
}


@pytest.fixture(scope="module")
def examples() -> Any:
    """The modules; their primitives are gone afterwards."""
    found: dict[str, ModuleType] = {}
    with restored(registry):
        for name in PRINTED:
            spec = spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            found[name] = module_from_spec(spec)
            spec.loader.exec_module(found[name])
        yield found


def test_every_file_is_known() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_examples_run(name: str) -> None:
    assert PRINTED[name] in run(f"{name}.py", FOLDER)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem)
def test_they_need_nothing_but_public_names(path: Path) -> None:
    text = path.read_text()
    for line in text.splitlines():
        if line.startswith(("import minijvp", "from minijvp")):
            assert line.split()[1] in ("minijvp", "minijvp.extend", "minijvp.numpy")
    assert "._" not in text


def test_their_primitives_pass(examples: dict[str, ModuleType]) -> None:
    """In double precision too, which they do not run in by themselves."""
    minijvp.check_primitive(examples["elementwise"].lambert_w, [(np.array([-0.3, 0.1, 2.9, 3.1, 1e4]),)])
    x = np.array([[1.0, 2.0, 0.5, 0.1], [3.0, -1.0, 4.0, 0.0]])
    minijvp.check_primitive(examples["structured"].series_product, [(x, x[::-1].copy()), (x[0], x[1])])
    bessel = examples["callback"].bessel
    samples = [Sample(bessel, (np.array([0.5, 4.0]),), lambda x, n=n: scipy.special.jv(n, x), {"n": n}) for n in (0, 2)]
    minijvp.check_primitive(bessel, samples)
    labelled = examples["program"].labelled
    program = extend.stage(lambda x, y: [mnp.sin(x) * y, mnp.sum(y)], [extend.type_of(x[0])] * 2)
    oracle = lambda x, y: (np.sin(x) * y, np.sum(y))
    params = {"jaxpr": program, "label": "checked"}
    minijvp.check_primitive(labelled, [Sample(labelled, (x[0], x[1]), oracle, params)])


def test_numbers_of_elementwise_and_structured(examples: dict[str, ModuleType]) -> None:
    x = np.array([-0.3, 0.0, 1.0, 2.9, 3.1, 1e6])
    np.testing.assert_allclose(examples["elementwise"].lambert_w(x), scipy.special.lambertw(x).real, rtol=1e-12)
    product: Primitive = examples["structured"].series_product
    a, b = np.array([1.0, 2.0, 0.5]), np.array([3.0, -1.0, 4.0])
    np.testing.assert_allclose(product(a, b), np.convolve(a, b)[:3])
    with pytest.raises(minijvp.ArgumentError, match="one shape and dtype"):
        minijvp.grad(lambda x: mnp.sum(product(x, a[:2])))(a)


FUNCTIONS = {
    "products": lambda np_: lambda x: np_.sum(np_.tanh(x) * x**3 - np_.log(x) * 2.0),
    "a matrix": lambda np_: lambda x: np_.reshape(x, (2, 2)).T @ np_.exp(-np_.cos(x[:2])),
    "no derivative": lambda np_: lambda x: x[0] - x[0] + 3.0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_taylor_against_jax(examples: dict[str, ModuleType], name: str) -> None:
    taylor = examples["taylor"].taylor
    ours, theirs = FUNCTIONS[name](mnp), FUNCTIONS[name](jnp)
    x, v = np.array([0.5, 1.5, 0.7, 2.0]), np.array([1.0, -1.0, 0.5, 2.0])
    push = lambda f: lambda x: jax.jvp(f, (x,), (v,))[1]
    expected = [f(x) for f in (theirs, push(theirs), push(push(theirs)))]
    for f in (
        lambda x: taylor(ours, x, v),
        minijvp.jit(lambda x: taylor(ours, x, v)),
        lambda x: taylor(minijvp.jit(ours), x, v),
    ):
        for a, b in zip(f(x), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    batch = minijvp.vmap(lambda x, v: taylor(ours, x, v)[2], (0, None))(np.stack([x, x]), v)
    np.testing.assert_allclose(batch, np.stack([expected[2]] * 2), rtol=1e-10, atol=1e-12)
    slope = minijvp.jvp(lambda x: taylor(ours, x, v)[2], (x,), (v,))[1]
    np.testing.assert_allclose(slope, push(push(push(theirs)))(x), rtol=1e-10, atol=1e-12)


def test_taylor_inside_of_itself(examples: dict[str, ModuleType]) -> None:
    taylor = examples["taylor"].taylor
    fourth = taylor(lambda x: taylor(lambda x: x**5, x, 1.0)[2], 2.0, 1.0)[2]
    np.testing.assert_allclose(fourth, 120 * 2.0)


def test_what_taylor_has_no_rule_for(examples: dict[str, ModuleType]) -> None:
    with pytest.raises(minijvp.MissingRuleError, match="no rule for sort"):
        examples["taylor"].taylor(mnp.sort, np.ones(3), np.ones(3))


def test_taylor_meets_what_calls_are_made_of(examples: dict[str, ModuleType]) -> None:
    taylor, label = examples["taylor"].taylor, examples["program"].label
    x = np.array([0.5, 2.0])
    expected = taylor(mnp.sin, x, x)
    for f in (minijvp.checkpoint(mnp.sin), label("sine")(mnp.sin)):
        np.testing.assert_allclose(taylor(f, x, x), expected, rtol=1e-12)


def test_labels_go_with_what_transformations_make(examples: dict[str, ModuleType]) -> None:
    example = examples["program"]
    w, v, x = np.full((5, 3), 0.1), np.full((3, 3), 0.2), np.ones((7, 5))
    first = example.label("first")(mnp.dot)

    def layers(w: Any, v: Any, x: Any) -> Any:
        second = example.label("second")(lambda h: mnp.tanh(h @ v))  # closes over v, which is differentiated
        return mnp.sum(second(first(x, w)))

    plain = lambda w, v, x: jnp.sum(jnp.tanh(x @ w @ v))
    found, expected = minijvp.grad(layers, (0, 1, 2)), jax.grad(plain, (0, 1, 2))
    jax.tree.map(np.testing.assert_allclose, found(w, v, x), expected(w, v, x))
    pushed = lambda *xs: minijvp.jvp(layers, xs, xs)[1]
    np.testing.assert_allclose(pushed(w, v, x), jax.jvp(plain, (w, v, x), (w, v, x))[1])
    for f, passes in ((layers, 1), (pushed, 3), (found, 3)):
        counted = example.products(minijvp.make_jaxpr(f)(w, v, x))
        assert counted == {"first": 7 * 5 * 3 * passes, "second": 7 * 3 * 3 * passes}
    lanes = example.products(minijvp.make_jaxpr(minijvp.vmap(layers, (None, None, 0)))(w, v, np.stack([x, x])))
    assert lanes == {"first": 2 * 7 * 5 * 3, "second": 2 * 7 * 3 * 3}


def test_flops_against_the_compiler(examples: dict[str, ModuleType]) -> None:
    flops = examples["flops"].flops
    x, y = jnp.ones((7, 5)), jnp.ones((5, 3))
    f = lambda np_: lambda x, y: np_.sum((x @ y) * 2.0)
    counted = flops(minijvp.make_jaxpr(f(mnp))(x, y))
    assert counted == 2 * 7 * 5 * 3 + 2 * 7 * 3
    compiled: Any = jax.jit(f(jnp)).lower(x, y).compile().cost_analysis()
    np.testing.assert_allclose(counted, (compiled[0] if isinstance(compiled, list) else compiled)["flops"], rtol=0.02)
    turn = lambda x, y: lambda carry, _: (carry + f(mnp)(x, y), None)
    loop = minijvp.make_jaxpr(lambda x, y: minijvp.lax.scan(turn(x, y), 0.0, length=3)[0])(x, y)
    assert flops(loop) == 3 * (counted + 1)
    branches = minijvp.make_jaxpr(lambda p, x, y: minijvp.lax.cond(p, f(mnp), lambda x, y: 0.0, x, y))(True, x, y)
    assert flops(branches) == counted


def test_the_document_runs() -> None:
    """From top to bottom, with the numbers and the output that it shows."""
    names: dict[str, Any] = {}
    with restored(registry, TABLE), redirect_stdout(StringIO()) as printed, jax.enable_x64(False):
        for code in blocks(EXTENDING):
            run_block(code, names)
    texts = blocks(EXTENDING, "text")
    assert texts
    for text in texts:
        assert text in printed.getvalue()
    assert [name for name in extend.__all__ if f"`{name}`" not in EXTENDING.read_text() and name not in names] == []


def test_numbers_in_the_document_are_looked_at() -> None:
    lines = [line for code in blocks(EXTENDING) for line in code.splitlines() if line[:1].isalpha()]
    assert len([line for line in lines if re.search(r"\)(\[.*\])?  # -?[\d.]+$", line)]) > 15


def test_files_that_the_document_names_are_there() -> None:
    words = {word for line in EXTENDING.read_text().splitlines() for word in line.split("`") if word.endswith(".py")}
    assert {Path(word).name for word in words} == {f"{name}.py" for name in PRINTED}
