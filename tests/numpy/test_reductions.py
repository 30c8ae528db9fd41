"""Reductions against jax.numpy: values, dtypes, weak types and derivatives under every trace."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp.numpy as mnp
from minijvp.core.jaxpr import lower
from minijvp.core.primitive import Axis
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.tools.rules import stacked
from minijvp.tools.samples import TOLERANCES, as_list, direction, require_close
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_flat
from tests.checks import instantiated, pullback
from tests.samples import distinct, random

NAMES = [
    "sum",
    "prod",
    "max",
    "min",
    "amax",
    "amin",
    "mean",
    "var",
    "std",
    "average",
    "any",
    "all",
    "argmax",
    "argmin",
    "cumsum",
    "cumprod",
    "count_nonzero",
    "ptp",
    "median",
    "nansum",
    "nanmean",
    "nanmax",
    "nanmin",
]
DTYPES = ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32", "complex64"]
REFUSED = {("ptp", "bool"), ("median", "complex64"), ("argmax", "complex64"), ("argmin", "complex64")}
MASK = np.array([True, False, True, True])


def agree(name: str, *xs: Any, derivatives: bool = True, batch: bool = False, **params: Any) -> None:
    """Our function and that of jax.numpy agree on values, types, tangents, cotangents and batches."""
    ours, theirs = (partial(getattr(m, name), **params) for m in (mnp, jnp))
    xs = tuple(map(jnp.asarray, xs))
    expected = as_list(jax.eval_shape(theirs, *xs))
    jaxpr = stage(lambda *a: as_list(ours(*a)), [type_of(x) for x in xs]).check()
    assert [(t.dtype, t.weak_type) for t in jaxpr.out_types] == [(x.dtype, x.weak_type) for x in expected]
    near = max([TOLERANCES.get(x.dtype.name, 1e-10) for x in (*xs, *expected)])
    derivatives = derivatives and all(is_inexact(x.dtype) for x in (*xs, *expected))
    tangents = [direction(x, i) for i, x in enumerate(xs)] if derivatives else []
    cts = [direction(jnp.zeros(x.shape, x.dtype), 9 + i) for i, x in enumerate(expected)] if derivatives else []
    rows = stacked(xs[0]) if batch else None

    def mine(xs: Any, tangents: Any, cts: Any, rows: Any) -> Any:
        function = lambda *a: as_list(ours(*a))
        value = lower(jaxpr, *xs)
        moved, pulled, mapped = [], [], []
        if derivatives:
            moved = [instantiated(t, x) for t, x in zip(jvp_flat(function, xs, tangents)[1], value, strict=True)]
            pulled = pullback(function, xs, cts)
        if batch:
            mapped = list(vmap_flat(function, Axis(3), [rows], [True])[0])
        return value, moved, pulled, mapped

    def judged(xs: Any, tangents: Any, cts: Any, rows: Any) -> Any:
        function = lambda *a: as_list(theirs(*a))
        value, moved, pulled = function(*xs), [], []
        if derivatives:
            _, moved = jax.jvp(function, tuple(xs), tuple(tangents))
            pulled = list(jax.vjp(function, *xs)[1](cts))
        return value, moved, pulled, jax.vmap(function)(rows) if batch else []

    results = jax.jit(lambda *args: (mine(*args), judged(*args)))(list(xs), tangents, cts, rows)
    kinds = ("value", "tangents", "cotangents", "batch")
    for actual, wanted, what, scale in zip(*results, kinds, (1, 10, 10, 1), strict=True):
        require_close(actual, wanted, scale * near, what)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_dtypes(name: str, dtype: str) -> None:
    x = random(2, 4, dtype=np.float64, low=-3, high=3)
    x = (x + 1j * x[::-1]).astype(dtype) if dtype == "complex64" else jnp.asarray(np.abs(x)).astype(dtype)
    if (name, dtype) in REFUSED:
        with pytest.raises(ArgumentError):
            stage(lambda x: [getattr(mnp, name)(x)], [type_of(x)])
        return
    agree(name, x, axis=1, derivatives=dtype in ("float32", "complex64"), batch=dtype == "float32")


@pytest.mark.parametrize("value", [2.5, 3, 1 + 2j, True])
@pytest.mark.parametrize("name", NAMES)
def test_weak_types(name: str, value: Any) -> None:
    """Results of weakly typed arrays, and of Python scalars under a trace."""
    if (name, {True: "bool", 1 + 2j: "complex64"}.get(value)) in REFUSED:
        return
    x = jnp.asarray(value)
    assert x.weak_type == (value is not True)
    agree(name, x, derivatives=False)
    expected = jax.eval_shape(getattr(jnp, name), value)
    (out,) = stage(lambda: [getattr(mnp, name)(value)], []).out_types
    assert (out.dtype, out.weak_type) == (expected.dtype, expected.weak_type)


@pytest.mark.parametrize("axis", [None, -1, (0, 2), (2, 1, 0), [1], ()], ids=str)
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("argmax", "argmin", "cumsum", "cumprod")])
def test_axes(name: str, axis: Any) -> None:
    # JAX compiles some of them with the axis as a static argument, which a list cannot be.
    if axis == [1] and (name in ("median", "count_nonzero") or name.startswith("nan")):
        axis = (1,)
    keepdims = axis in (None, -1, (2, 1, 0), ())
    agree(name, distinct(2, 3, 4, dtype=np.float64), axis=axis, keepdims=keepdims, derivatives=axis in (-1, (0, 2)))
    if axis is None:
        agree(name, distinct(2, 3, 4), axis=(-1, 0), keepdims=True, derivatives=False, batch=True)


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_one_axis(axis: Any) -> None:
    x = distinct(2, 3, dtype=np.float64)
    for name in ("argmax", "argmin"):
        for keepdims in (None, True):
            agree(name, x, axis=axis, keepdims=keepdims)
    for name in ("cumsum", "cumprod"):
        agree(name, x, axis=axis)
        agree(name, x.astype("int8"), axis=axis, dtype="float32")
    agree("argmax", np.array([[1.0, np.nan, 5.0]]), axis=axis)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "nansum", "nanmean", "any", "all"])
@pytest.mark.parametrize("shape", [(3, 4), (4,), (3, 1), ()], ids=str)
def test_where(name: str, shape: Any) -> None:
    where = random(*shape, dtype=bool, seed=2) | np.array(MASK[: shape[-1] if shape else 1][0])
    x = distinct(3, 4, dtype=np.float64)
    agree(name, x, where=where, axis=1, keepdims=True, derivatives=len(shape) == 2)
    agree(name, x, where=where, derivatives=False)
    agree(name, x.astype("int32"), where=jnp.asarray(where), axis=0)


@pytest.mark.parametrize("name", ["max", "min", "amax", "amin", "nanmax", "nanmin", "sum", "prod", "nansum"])
@pytest.mark.parametrize("initial", [0.25, True, np.float32(2.9)], ids=str)
def test_initial(name: str, initial: Any) -> None:
    for dtype in ("float64", "int8", "bool", "complex64") if initial == 0.25 else ("float16", "int32"):
        x = distinct(3, 4).astype(dtype)
        derivatives = dtype == "float64" and initial is not True
        agree(name, x, axis=0, initial=initial, where=MASK, keepdims=True, derivatives=derivatives)
    agree(name, x.real, axis=1, initial=initial, derivatives=False)
    agree(name, np.zeros((0, 3)), initial=jnp.asarray(initial), derivatives=False)


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "cumprod", "nansum", "mean", "nanmean"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "complex64", float])
def test_given_dtype(name: str, dtype: Any) -> None:
    for given_dtype in ("int8", "bfloat16"):
        agree(name, np.abs(distinct(2, 4)).astype(given_dtype), axis=1, dtype=dtype, derivatives=False)


def test_dtype_bool_and_promotion() -> None:
    for name in ("sum", "prod"):
        agree(name, np.array([[0.0, 2.0], [0.0, 0.0]]), axis=1, dtype=bool)
        for dtype in ("int8", "bool", "uint8", "float16"):
            agree(name, np.ones((2, 3), dtype), promote_integers=False)


@pytest.mark.parametrize("name", ["var", "std"])
def test_variances(name: str) -> None:
    x = distinct(3, 4, dtype=np.float64)
    for params in (
        {"ddof": 1},
        {"correction": 1.5},
        {"correction": jnp.float32(0.5)},
        {"ddof": 4},
        {"dtype": "float32"},
        {"dtype": "float16"},
        {"dtype": "complex128"},
        {"mean": np.zeros((3, 1))},
        {"mean": 1.5},
        {"mean": np.ones((3, 1), "float32"), "where": MASK, "ddof": 1},
        {"where": MASK, "correction": 3},
        {"where": MASK, "correction": jnp.asarray(1)},
    ):
        flat = params.get("ddof") == 4 or params.get("correction") == 3 or "dtype" in params
        agree(name, x, axis=1, keepdims=flat, **params, derivatives=not flat)
        if "dtype" not in params and name == "var":
            agree(name, (x + 1j * x.T.reshape(3, 4)).astype("complex64"), axis=1, **params, derivatives=not flat)


def test_average() -> None:
    x = distinct(2, 3, 4, dtype=np.float64)
    w = lambda *shape: np.abs(distinct(*shape, seed=3)) + 0.5
    for axis, weights in ((1, w(3)), (None, w(2, 3, 4)), ((0, 2), w(2, 4)), ((2, 0), w(4, 2)), (-1, w(2, 3, 4))):
        for returned in (False, True):
            params = {"axis": axis, "returned": returned, "keepdims": returned or axis == 1}
            for dtype in ("float64", "int32", "complex64"):
                agree("average", x.astype(dtype), weights=weights, **params, derivatives=dtype == "float64")
            agree("average", x, **params, derivatives=False)
    traced = stage(lambda x, w: [mnp.average(x, 1, w)], [type_of(x), type_of(w(3))])
    require_close(lower(traced, x, w(3)), [jnp.average(x, 1, w(3))], 1e-6, "traced weights")


def test_nans() -> None:
    x = distinct(3, 4, dtype=np.float64)
    x[0, 1] = x[2, 3] = np.nan
    agree("nansum", x, axis=1)
    agree("nanmax", x, axis=1)
    agree("nanmean", x, axis=1)
    x[1] = np.nan
    for name in NAMES:
        agree(name, x, axis=1, derivatives=False)
        if name.startswith("nan"):
            agree(name, x.astype("complex64"), axis=1, keepdims=True, derivatives=False)


def test_empty() -> None:
    for name in ("sum", "prod", "mean", "any", "all", "var", "count_nonzero", "nansum", "nanmean"):
        for axis in (None, 0, 1):
            agree(name, np.zeros((0, 3)), axis=axis, derivatives=False)
    for name in ("max", "min", "argmax", "argmin"):
        agree(name, np.zeros((0, 3)), axis=1)


def test_half_precision_accumulates_in_float32() -> None:
    x = jnp.full(4096, 1.0, "float16") + jnp.asarray([0, 0.25, 0.5, 0.25] * 1024, "float16")
    for name in ("sum", "mean"):
        jaxpr = stage(lambda x, name=name: [getattr(mnp, name)(x)], [type_of(x)])
        require_close(lower(jaxpr, x), [getattr(jnp, name)(x)], 0, name)


def test_sum_is_one_equation() -> None:
    x = jnp.ones((2, 3), "float32")
    assert [e.primitive.name for e in stage(lambda x: [mnp.sum(x)], [type_of(x)]).equations] == ["reduce_sum"]


@pytest.mark.parametrize(
    ("name", "params", "part"),
    [
        ("sum", {"axis": 2}, "axis=2"),
        ("sum", {"axis": -3}, "axis=-3"),
        ("sum", {"axis": (0, 0)}, "twice"),
        ("sum", {"axis": 1.0}, "axis=1.0"),
        ("sum", {"out": 1}, "out"),
        ("sum", {"initial": np.ones(3)}, "initial"),
        ("sum", {"where": np.ones(3)}, "where"),
        ("sum", {"where": np.ones(4, bool)}, "broadcast"),
        ("max", {"where": np.ones(3, bool)}, "initial"),
        ("min", {"out": 1}, "out"),
        ("mean", {"axis": 5}, "axis=5"),
        ("var", {"axis": 5}, "axis=5"),
        ("var", {"ddof": 1, "correction": 1}, "ddof"),
        ("var", {"dtype": "int32"}, "dtype"),
        ("std", {"dtype": "int32"}, "dtype"),
        ("average", {"weights": np.ones(4)}, "weights"),
        ("average", {"weights": np.ones(3)}, "axis"),
        ("average", {"weights": np.ones((3, 2)), "axis": 0}, "weights"),
        ("average", {"weights": [1.0, 2.0, 3.0], "axis": 1}, "list"),
        ("argmax", {"axis": (0, 1)}, "axis"),
        ("argmin", {"axis": 2}, "axis=2"),
        ("cumsum", {"axis": (0, 1)}, "axis"),
        ("cumprod", {"axis": 3}, "axis=3"),
        ("median", {"overwrite_input": True}, "overwrite_input"),
        ("median", {"axis": 3}, "axis=3"),
        ("ptp", {"axis": 3}, "axis=3"),
    ],
)
def test_errors(name: str, params: dict[str, Any], part: str) -> None:
    x = jnp.ones((2, 3))
    with pytest.raises(ArgumentError, match=part):
        stage(lambda x: as_list(getattr(mnp, name)(x, **params)), [type_of(x)])
    if part != "dtype" or name == "std":
        with pytest.raises((TypeError, ValueError, IndexError, NotImplementedError)):
            getattr(jnp, name)(x, **params)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "median"])
def test_no_elements(name: str) -> None:
    with pytest.raises(ArgumentError):
        stage(lambda x: [getattr(mnp, name)(x)], [type_of(jnp.zeros((0, 3)))])


def test_lists_and_complex_variances_are_refused() -> None:
    with pytest.raises(ArgumentError, match="list"):
        stage(lambda: [mnp.sum([1.0, 2.0])], [])
    with pytest.raises(ArgumentError, match="dtype"):
        stage(lambda x: [mnp.var(x, dtype="float32")], [type_of(jnp.ones(3, "complex64"))])


def property_test(function: Any) -> Any:
    return settings(derandomize=True, deadline=None, max_examples=30)(function)


@st.composite
def arrays_with_axes(draw: Any) -> tuple[np.ndarray, Any]:
    shape = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    dtype = draw(st.sampled_from(["float32", "float64", "int32", "bool", "complex64"]))
    x = distinct(*shape, dtype=np.float64, seed=draw(st.integers(0, 9)))
    x = np.asarray(x + 1j * np.cos(7 * x) if dtype == "complex64" else x, order="C").astype(dtype)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True)) if shape else []
    axes = [d - len(shape) if draw(st.booleans()) else d for d in axes]
    return x, draw(st.sampled_from([None, tuple(axes), *axes[:1]]))


@property_test
@given(arrays_with_axes(), st.sampled_from(["sum", "prod", "mean", "max", "min", "any", "all", "var"]), st.booleans())
def test_reduction_property(array: Any, name: str, keepdims: bool) -> None:
    x, axis = array
    agree(name, x, axis=axis, keepdims=keepdims)


@property_test
@given(arrays_with_axes(), st.sampled_from(["sum", "prod", "mean", "max", "min", "nansum", "nanmax"]), st.data())
def test_where_property(array: Any, name: str, data: Any) -> None:
    x, axis = array
    shape = x.shape[data.draw(st.integers(0, x.ndim)) :]
    mask = random(*shape, dtype=bool, seed=data.draw(st.integers(0, 9)))
    agree(name, x, axis=axis, where=mask, **({} if name == "mean" else {"initial": 1}), derivatives=False)


@property_test
@given(arrays_with_axes(), st.sampled_from(["count_nonzero", "average", "nansum", "nanmean", "nanmin"]))
def test_other_reductions_property(array: Any, name: str) -> None:
    x, axis = array
    agree(name, x, axis=axis)


@property_test
@given(arrays_with_axes(), st.sampled_from(["cumsum", "cumprod", "argmax", "argmin"]))
def test_one_axis_property(array: Any, name: str) -> None:
    x, axis = array
    axis = axis[0] if isinstance(axis, tuple) and axis else axis
    if (name, x.dtype.name) in REFUSED:
        return
    agree(name, x, axis=None if axis == () else axis)
