"""Every elementwise derivative against mpmath, over the whole domain, and what it is taken for at the edges."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
from minijvp.core.primitive import registry
from minijvp.errors import MissingRuleError
from minijvp.operations.families import Elementwise, LinearElementwise
from tests.operations import accuracy
from tests.operations.accuracy import BOUND, DOCUMENT, DTYPES, EDGES, REFERENCES, REFUSED, SECOND, Reference

NAMES = {str(r) for r in REFERENCES}
PRIMITIVES = dict(registry)  # before any test or doctest has made one


@pytest.mark.parametrize(
    ("reference", "dtype"),
    [(r, dtype) for r in REFERENCES for dtype in DTYPES[: 1 if r.dear else None]],
    ids=lambda x: x.__name__ if isinstance(x, type) else str(x),
)
def test_derivatives(reference: Reference, dtype: Any) -> None:
    for i, slope in enumerate(reference.slopes):
        if callable(slope):
            for mode, error in zip(("jvp", "vjp"), accuracy.errors(reference, i, dtype), strict=True):
                assert error.ulps <= reference.bound(dtype), f"{mode} in argument {i}, at {error.at}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name: str, dtype: Any) -> None:
    for error in accuracy.errors(accuracy.second_derivative(name), 0, dtype):
        assert error.ulps <= BOUND, f"at {error.at}"


@pytest.mark.parametrize("reference", REFERENCES, ids=str)
def test_rules_are_differentiable_where_the_function_is(reference: Reference) -> None:
    points = [p for p in reference.points(np.float64) if accuracy.PLAIN.issuperset(p)]
    slopes = [(i, slope) for i, slope in enumerate(reference.slopes) if callable(slope)]
    for (i, slope), (j, _) in product(slopes, repeat=2):
        truth = [accuracy.slope_of_slope(slope, j, p) for p in points]
        known = [p for p, t in zip(points, truth, strict=True) if t is not None]
        if known:
            wanted = [t for t in truth if t is not None]
            for found in accuracy.second_derivatives(reference, i, j, known):
                np.testing.assert_allclose(found, wanted, 1e-8, 1e-12, err_msg=f"in {i} and {j}, at {known}")


def test_every_elementwise_primitive_has_a_reference() -> None:
    measured = {r.name for r in REFERENCES}
    for name, primitive in PRIMITIVES.items():
        if isinstance(primitive, Elementwise) and name not in measured and not primitive.made_outside:
            # A linear function is its own derivative; the others are flat.
            assert isinstance(primitive, LinearElementwise) or not any(primitive.derivatives), name


@pytest.mark.parametrize("reference", [r for r in REFERENCES if not all(map(callable, r.slopes))], ids=str)
def test_arguments_without_a_derivative(reference: Reference) -> None:
    for i, slope in enumerate(reference.slopes):
        if slope == REFUSED:
            with pytest.raises(MissingRuleError, match="is not known"):
                accuracy.derivatives(reference, i, np.float64)
        elif slope is None:
            assert not any(map(np.any, accuracy.derivatives(reference, i, np.float64)))


@pytest.mark.parametrize("edge", EDGES, ids=lambda e: f"{e.name}{e.at}")
def test_edges(edge: accuracy.Edge) -> None:
    (reference,) = [r for r in REFERENCES if str(r) == edge.name]
    positions = [i for i, slope in enumerate(reference.slopes) if callable(slope)]
    primals, tangents = tuple(map(jnp.float32, edge.at)), np.eye(len(edge.at), dtype=np.float32)
    ahead = [minijvp.jvp(reference, primals, tuple(map(jnp.asarray, tangents[i])))[1] for i in positions]
    eager = minijvp.grad(reference, tuple(positions))(*primals)
    compiled = minijvp.jit(minijvp.grad(reference, tuple(positions)))(*primals)
    alone = [minijvp.grad(reference, i)(*primals) for i in positions]
    for mode, found in (("vjp", eager), ("compiled vjp", compiled), ("vjp, each argument alone", alone)):
        np.testing.assert_allclose(found, edge.expected, rtol=1e-6, err_msg=mode)
    if all(map(math.isfinite, edge.expected)):  # else the zeros of other tangents meet infinities
        np.testing.assert_allclose(ahead, edge.expected, rtol=1e-6, err_msg="jvp")


OF_JAX = {
    "nn.elu": jax.nn.elu,
    "nn.celu": jax.nn.celu,
    "nn.selu": jax.nn.selu,
    "nn.sigmoid": jax.nn.sigmoid,
    "nn.silu": jax.nn.silu,
    "scipy.special.expit": jax.scipy.special.expit,
    "scipy.special.digamma": jax.scipy.special.digamma,
    "scipy.special.i0e": jax.scipy.special.i0e,
    "tanh": jnp.tanh,
    "expm1": jnp.expm1,
    "asinh": jnp.arcsinh,
    "atan2": jnp.arctan2,
    "pow": jax.lax.pow,
    "erf": jax.scipy.special.erf,
}


@pytest.mark.parametrize("name", OF_JAX)
def test_functions_of_jax_made_of_primitives(name: str) -> None:
    (ours,) = [r for r in REFERENCES if str(r) == name]
    function = minijvp.from_jax(OF_JAX[name])
    theirs = Reference(name, ours.slopes, ours.points, function, flushed=ours.flushed, worse=ours.worse)
    for i in range(len(ours.slopes)):
        assert max(accuracy.errors(theirs, i, np.float32)).ulps <= ours.bound(np.float32)


def test_the_document_has_every_reference() -> None:
    text = DOCUMENT.read_text()
    rows = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert rows >= NAMES | set(SECOND)
    assert accuracy.table(["function", "at", "derivatives", "note"], accuracy.edge_rows()) in text


def test_errors_are_counted_in_units_of_the_last_place() -> None:
    limits = np.finfo(np.float32)
    one, above = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    with accuracy.mp.workdps(accuracy.DIGITS):
        assert accuracy.units(float(above), accuracy.mp.mpf(float(one)), limits) == 1
        assert accuracy.units(0.0, accuracy.mp.mpf("1e-39"), limits) == 0
        assert accuracy.units(0.0, accuracy.mp.mpf("2e-38"), limits) > 1e6
        assert accuracy.units(math.inf, accuracy.mp.mpf("1e39"), limits) == 0
        assert accuracy.units(math.inf, accuracy.mp.mpf("1e38"), limits) == math.inf
        assert accuracy.units(math.nan, accuracy.mp.mpf(0), limits) == math.inf
