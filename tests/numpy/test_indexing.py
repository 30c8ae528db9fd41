"""Indexing against jax.numpy: values, tangents, pullbacks and batches, for every sort of index."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import minijvp
import minijvp.numpy as mnp
from minijvp.core.jaxpr import lower
from minijvp.core.primitive import Axis
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.numpy.indexing import getitem, take, take_along_axis
from minijvp.numpy.updates import at
from minijvp.tools.samples import direction, require_close
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_flat
from tests.checks import instantiated, pullback

SHAPE = (4, 3, 5)
X = jnp.asarray(np.random.default_rng(0).standard_normal(SHAPE))
L, J = np.array([0, -2, 3]), np.array([[1], [-1]])
K = np.array([2, 0, 2], np.int8)
MASK = np.array([True, False, True, True])
MASK2 = np.arange(12).reshape(4, 3) % 3 != 1
MASK3 = np.asarray(X) > 0
A = jnp.asarray

BASIC = [
    ...,
    (),
    slice(None),
    2,
    -1,
    11,
    -11,
    np.int32(1),
    np.array(2),
    (1, 2),
    (1, 2, 3),
    (-1, ..., 4),
    (..., 1),
    (slice(1, 3), slice(None, None, 2)),
    (slice(None), slice(None, None, -1)),
    slice(None, None, -2),
    (slice(3, 0, -2), slice(0, 0), 1),
    slice(-100, 100),
    slice(100, -100, -3),
    slice(3, 1),
    slice(np.int64(1), A(3)),
    None,
    (None, 0, None, ..., None),
    (..., None, slice(1, -1)),
    (0, slice(None, None, 2), slice(4, 0, -3)),
]
ADVANCED = [
    True,
    False,
    np.True_,
    (0, True),
    (None, True, 0),
    L,
    A(L),
    K,
    A(K),
    A(np.array([0, 3], np.uint8)),
    J,
    (L,),
    (L, 1),
    (1, L),
    (1, slice(None), L),
    (A(1), slice(None), L),
    (slice(None), L % 3, K),
    (slice(None), A(L % 3), K),
    (L, slice(None), K),
    (L, None, K),
    (L, ..., K),
    (slice(None), L % 3, ..., K),
    (None, L),
    (0, None, L % 3),
    ([0, 1],),
    ([True, False, True, False], slice(None), [1]),
    (J, L % 3),
    (J, slice(None), L),
    (L, slice(None, None, 2)),
    (L, slice(None, None, -1)),
    (slice(None, None, -2), L % 3),
    (slice(1, 3), L % 3, slice(3, None, -2)),
    (slice(1, 3), slice(0, 2), A(L)),
    (slice(None, None, 3), 1, A(L), None),
    (True, L),
    (L, slice(None), True),
    (L, slice(2, 2)),
    np.zeros(0, int),
    (slice(None), np.zeros((0, 3), int)),
    MASK,
    A(MASK),
    MASK2,
    MASK3,
    (MASK, 1),
    (slice(None), np.array([True, False, True]), slice(1, 3)),
    (MASK, slice(None), L),
    (1, MASK2[0]),
    (..., MASK3[0, 0]),
    np.zeros(4, bool),
    np.array([7, -7]),
    A(np.array([7, -7])),
    A(-2),
    (A(1), A(2)),
    (A(np.int8(-1)), slice(1, 3), A(np.uint16(2))),
    (slice(None, None, 2), A(1), slice(None, None, -2)),
    (A(9), None, ..., A(-9)),
]
INDICES = BASIC + ADVANCED


def name_of(index: Any) -> str:
    return repr(index).replace("\n", "").replace("slice", "s")[:80]


def judged(index: Any) -> Any:
    """The index for JAX, which stumbles over np.True_."""
    if isinstance(index, tuple):
        return tuple(map(judged, index))
    return bool(index) if isinstance(index, np.bool_) else index


def check(fun: Any, judge: Any, *primals: Any, tolerance: float = 1e-12, batch: bool = True) -> None:
    """Value, tangent, pullback and batch of a function of floating arrays, against JAX; most in one compilation."""
    flat = lambda *xs: [fun(*xs)]
    tangents = tuple(direction(x, k) for k, x in enumerate(primals))
    jaxpr = stage(flat, [type_of(x) for x in primals]).check()

    @jax.jit
    def compiled(*primals: Any) -> Any:
        value, tangent = jax.jvp(judge, primals, tangents)
        ct = direction(value, 7)
        wanted = value, tangent, jax.vjp(judge, *primals)[1](ct)
        variants = [jnp.stack([x, 2 * x, x + 1]) for x in primals] if batch else []
        mapped = batches(fun, judge, variants, [True] * len(primals)) if batch else ([], [])
        return lower(jaxpr, *primals), pullback(flat, list(primals), [ct]), wanted, mapped

    value, cotangents, (expected, tangent, wanted), mapped = compiled(*primals)
    assert jaxpr.out_types[0].weak_type == expected.aval.weak_type
    require_close(value, [expected], tolerance, "value")
    require_close(cotangents, wanted, tolerance, "pullback")
    outs, found = jvp_flat(flat, primals, tangents)
    require_close(outs, [expected], tolerance, "primal")
    require_close([instantiated(found[0], expected)], [tangent], tolerance, "tangent")
    require_close(*mapped, 1e-12, "batch")


def batches(fun: Any, judge: Any, args: list[Any], batched: list[bool]) -> tuple[list[Any], list[Any]]:
    """vmap of a function, and a loop over JAX's."""
    (out,), (flag,) = vmap_flat(lambda *xs: [fun(*xs)], Axis(3), args, batched)
    rows = [judge(*[x[k] if b else x for x, b in zip(args, batched, strict=True)]) for k in range(3)]
    return [out if flag else jnp.broadcast_to(out, (3, *out.shape))], [jnp.stack(rows)]


def check_batch(fun: Any, judge: Any, args: list[Any], batched: list[bool]) -> None:
    """What has no batch axis is known to both."""

    @jax.jit
    def compiled(*xs: Any) -> tuple[list[Any], list[Any]]:
        rest = iter(xs)
        return batches(fun, judge, [next(rest) if b else x for x, b in zip(args, batched, strict=True)], batched)

    require_close(*compiled(*[x for x, b in zip(args, batched, strict=True) if b]), 1e-12, "batch")


@pytest.mark.parametrize("index", INDICES, ids=name_of)
def test_getitem(index):
    check(lambda x: getitem(x, index), lambda x: x[judged(index)], X)


@pytest.mark.parametrize("index", BASIC, ids=name_of)
def test_basic_indices_need_no_gather(index):
    names = [e.primitive.name for e in stage(lambda x: [getitem(x, index)], [type_of(X)]).equations]
    assert set(names) <= {"slice", "rev", "squeeze", "reshape"}
    assert len(names) <= 3


def test_nothing_happens_for_whole_arrays():
    for index in (..., (), slice(None), (slice(None), ...)):
        assert stage(lambda x: [getitem(x, index)], [type_of(X)]).equations == ()


def test_traced_integers_are_a_dynamic_slice():
    types = [type_of(X), type_of(A(1))]
    jaxpr = stage(lambda x, i: [getitem(x, (i, slice(1, 3), -1))], types)
    assert [e.primitive.name for e in jaxpr.equations] == ["dynamic_slice", "squeeze"]


TRACED = [
    (lambda i: i, A(-1)),
    (lambda i: i, A(L)),
    (lambda i: (slice(None), i), A(K)),
    (lambda i: (slice(None, None, -1), i, slice(1, 4)), A(2)),
    (lambda i: (slice(None, None, -1), i, slice(1, 4)), A(L)),
    (lambda i: (i, slice(None), i), A(J)),
    (lambda i: (i, ..., 1), A(np.array([0, 2], np.uint8))),
    (lambda i: (i, L % 3, slice(None, None, 2)), A(L)),
    (lambda i: (i, MASK2[0]), A(1)),
    (lambda i: (i, True, None), A(1)),
]


@pytest.mark.parametrize(("index", "i"), TRACED)
def test_traced_integers(index, i):
    judge = lambda x, i: x[index(i)]
    fun = lambda x, i: getitem(x, index(i))
    jaxpr = stage(lambda x, i: [fun(x, i)], [type_of(X), type_of(i)]).check()
    require_close(lower(jaxpr, X, i), [judge(X, i)], 1e-12, "value")
    check(lambda x: fun(x, i), lambda x: judge(x, i), X)
    xs, indices = jnp.stack([X, 2 * X, X + 1]), jnp.stack([i, jnp.zeros_like(i), i % 3])
    for batched in ([True, True], [True, False], [False, True]):
        check_batch(fun, judge, [xs if batched[0] else X, indices if batched[1] else i], batched)

        def pull(x, i):
            out = jax.eval_shape(judge, X, A(indices[0]))
            return pullback(lambda x: [fun(x, i)], [x], [jnp.ones(out.shape)])[0]

        def judge_pull(x, i):
            out, pull = jax.vjp(lambda x: judge(x, i), x)
            return pull(jnp.ones(out.shape))[0]

        check_batch(pull, judge_pull, [xs if batched[0] else X, indices if batched[1] else i], batched)


def test_constants_indexed_by_tracers():
    """An array that nothing traces, and an index that is."""
    outs, batched = vmap_flat(lambda i: [getitem(np.asarray(X), i)], Axis(3), [A(L)], [True])
    assert batched == (True,)
    np.testing.assert_array_equal(outs[0], X[L])


def test_concrete_index_arrays_are_one_constant():
    jaxpr = stage(lambda x: [getitem(x, (L, slice(None, None, 2), K))], [type_of(X)])
    assert [e.primitive.name for e in jaxpr.equations] == ["gather"]
    again = stage(lambda x: [getitem(x, (L.copy(), slice(None, None, 2), K))], [type_of(X)])
    assert jaxpr.constants[0][1] is again.constants[0][1]


def test_index_tables_are_narrow():
    jaxpr = stage(lambda x, i: [getitem(x, i)], [type_of(X), type_of(A(L))])
    (e,) = [e for e in jaxpr.equations if e.primitive.name == "gather"]
    assert e.inputs[1].type.dtype == np.int32


def test_weak_types_stay_weak():
    weak = jnp.full(3, 1.0)
    assert weak.weak_type
    for index in (1, slice(1, 2), A(1), L % 3, A(L % 3)):
        assert stage(lambda x: [getitem(x, index)], [type_of(weak)]).out_types[0].weak_type
        assert stage(lambda x: [at(x)[index].set(X[0, 0, 0])], [type_of(weak)]).out_types[0].weak_type


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        ([0, 1], TypeError, "tuple"),
        (("a", 0), TypeError, "asarray"),
        (range(2), TypeError, "asarray"),
        ("a", TypeError, "integers"),
        (1.0, TypeError, "integers"),
        (np.ones(2), TypeError, "float64"),
        (A(np.ones(2)), TypeError, "float64"),
        ((0, 0, 0, 0), IndexError, "too many"),
        ((MASK3, 0), IndexError, "too many"),
        ((..., ...), IndexError, "ellipsis"),
        (np.ones(3, bool), IndexError, "boolean index of shape"),
        (slice(None, None, 0), ValueError, "zero"),
        (slice(1.0, None), TypeError, "interpreted as an integer"),
        ((np.arange(2), np.arange(3)), ValueError, "do not broadcast"),
        ((False, np.arange(3)), ValueError, "do not broadcast"),
    ],
    ids=name_of,
)
def test_errors(index, error, text):
    with pytest.raises(error, match=text):
        stage(lambda x: [getitem(x, index)], [type_of(X)])
    with pytest.raises(error):
        X[index]


def test_traced_masks_and_bounds_are_refused():
    types = [type_of(X), type_of(A(MASK)), type_of(A(1))]
    with pytest.raises(ConcretizationError, match=r"mnp\.where"):
        stage(lambda x, m, i: [getitem(x, m)], types)
    with pytest.raises(ConcretizationError, match=r"mnp\.where"):
        stage(lambda x, m, i: [at(x)[m].set(1.0)], types)
    with pytest.raises(ConcretizationError, match=r"lax\.dynamic_slice"):
        stage(lambda x, m, i: [getitem(x, slice(i, None))], types)


def test_masks_that_depend_on_no_tangent_are_concrete():
    (out,), (t,) = jvp_flat(lambda x: [getitem(x, jnp.asarray(MASK3))], [X], [X])
    np.testing.assert_array_equal(out, X[MASK3])
    np.testing.assert_array_equal(t, X[MASK3])


def test_empty_axes():
    empty = jnp.zeros((0, 3))
    types = [type_of(empty)]
    assert stage(lambda x: [getitem(x, np.zeros(0, int))], types).out_types[0].shape == (0, 3)
    for index in (0, A(0), A(L), L):
        with pytest.raises(IndexError, match="size 0"):
            stage(lambda x: [getitem(x, index)], types)
    assert stage(lambda x: [at(x)[A(L)].set(1.0)], types).out_types[0].shape == (0, 3)


def test_static_indices_are_checked_where_jax_is_told_to():
    x = jnp.arange(3.0)
    inside = [lambda x: x[2], lambda x: x[-3], lambda x: x.at[5].get(mode="clip"), lambda x: x[A([5])]]
    inside += [lambda x: x.at[5].set(1.0), lambda x: x[1:9]]
    outside = [lambda x: x[3], lambda x: x[-4], lambda x: x[None, 5], lambda x: x.at[3].get()]
    outside += [
        lambda x: x.at[3].get(mode="promise_in_bounds"),
        lambda x: x.at[-2].get(wrap_negative_indices=False),
    ]
    for index in outside:
        np.testing.assert_array_equal(minijvp.jit(index)(x), jax.jit(index)(x))
    jax.config.update("jax_check_static_indices", True)
    try:
        for index in outside:
            for transform in (jax.jit, minijvp.jit, minijvp.vmap, minijvp.grad):
                with pytest.raises(IndexError, match="out of bounds for axis 0 with size 3"):
                    transform(lambda x, index=index: index(x))(x[None] if transform is minijvp.vmap else x)
        for index in inside:
            np.testing.assert_array_equal(minijvp.vmap(index)(x[None])[0], index(x))
        # A write is not held to the promise, in JAX either: what it gives is undefined.
        assert minijvp.vmap(lambda x: x.at[5].set(1.0, mode="promise_in_bounds"))(x[None]).shape == (1, 3)
    finally:
        jax.config.update("jax_check_static_indices", False)


def test_arrays_without_axes():
    x = A(2.5)
    for index in ((), ..., None, True, False, (None, ...), np.array(False)):
        check(lambda x: getitem(x, index), lambda x: x[index], x)
        check(lambda x, v: at(x)[index].set(v), lambda x, v: x.at[index].set(v), x, A(1.5))
        check(lambda x, v: at(x)[index].add(v), lambda x, v: x.at[index].add(v), x, A(1.5))


# Property

axis_index = st.one_of(
    st.integers(-3, 2),
    st.slices(6),
    st.builds(slice, *[st.none() | st.integers(-9, 9)] * 2, st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3])),
    st.sampled_from([np.array([0, -1, 1]), np.array([[2], [0]]), A(np.array([1, 1, -2])), A(-1), np.array(1)]),
)


@st.composite
def any_index(draw):
    entries = draw(st.lists(axis_index, max_size=3))
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))), ...)
    return tuple(entries)


@given(any_index())
@settings(max_examples=25, derandomize=True, deadline=None)
def test_any_index(index):
    try:
        expected = X[index]
    except (TypeError, ValueError, IndexError):
        with pytest.raises((TypeError, ValueError, IndexError)):
            stage(lambda x: [getitem(x, index)], [type_of(X)])
        return
    check(lambda x: getitem(x, index), lambda x: x[index], X, batch=False)
    v = direction(expected, 3)
    jaxpr = stage(lambda x, v: [at(x)[index].add(v)], [type_of(X), type_of(v)]).check()
    require_close(lower(jaxpr, X, v), [X.at[index].add(v)], 1e-12, "sum")


@pytest.mark.parametrize(
    "index",
    [(None, True), (..., None, True), (slice(None), 0, True, 0), (0, True, None, L % 3), (J, True, L % 3)],
    ids=name_of,
)
def test_scalar_booleans_as_in_numpy(index):
    """JAX places axes differently, or fails, where a scalar boolean stands beside new axes or integers."""
    jaxpr = stage(lambda x: [getitem(x, index)], [type_of(X)]).check()
    np.testing.assert_array_equal(lower(jaxpr, X)[0], np.asarray(X)[index])


# Updates

V = jnp.asarray(np.random.default_rng(1).standard_normal(SHAPE))
UPDATED = [
    ...,
    2,
    -1,
    11,
    (1, slice(None, None, -1)),
    (slice(1, 3), slice(None, None, 2)),
    (None, 1, slice(3, 0, -2)),
    (slice(0, 2), 1, slice(1, 4)),
    (slice(None), None, slice(None, None, -1)),
    slice(2, 2),
    True,
    False,
    np.array([0, -1]),
    A(np.array([0, -1])),
    A(-1),
    (np.array([0, -1]), slice(None), np.array([2, 1])),
    (slice(None, None, -2), A(np.array([0, 2]))),
    MASK,
    MASK3,
    A(np.array([0, 7, -9])),
]


EVERYWHERE = [(method, index) for method in ("set", "add") for index in UPDATED]
SOMEWHERE = [
    (method, index)
    for method in ("subtract", "multiply", "divide", "power", "min", "max")
    for index in (-1, (None, 1, slice(3, 0, -2)), (np.array([0, -1]), slice(None), A(np.array([2, 1]))))
]


@pytest.mark.parametrize(("method", "index"), EVERYWHERE + SOMEWHERE, ids=name_of)
def test_updates(method, index):
    # jax.numpy does not know what is unique here: it needs the promise to differentiate products.
    options = {"unique_indices": True} if method in ("multiply", "divide", "power") else {}
    x = jnp.abs(X) + 0.5
    fun = lambda x, v: getattr(at(x)[index], method)(v, **options)
    judge = lambda x, v: getattr(x.at[index], method)(v, **options)
    v = jnp.abs(direction(x[index], 5)) + 0.5
    check(fun, judge, x, v, batch=method in ("set", "power"))


@pytest.mark.parametrize("method", ["set", "add", "multiply"])
def test_values_are_broadcast(method):
    for index in (1, (None, 1, slice(3, 0, -2)), np.array([0, -1])):
        fun = lambda x, v: getattr(at(x)[index], method)(v, unique_indices=True)
        judge = lambda x, v: getattr(x.at[index], method)(v, unique_indices=True)
        check(fun, judge, X, direction(X[index][:1], 5), batch=False)
        check(lambda x: fun(x, 2.0), lambda x: judge(x, 2.0), X, batch=False)


@pytest.mark.parametrize("method", ["set", "add", "subtract", "min", "max"])
def test_repeated_indices(method):
    for i in (np.array([1, 2, 1, -2]), A(np.array([1, 2, 1, -2]))):
        v = direction(X[i], 5)
        judge = lambda x, v: getattr(x.at[i], method)(v)
        check(lambda x, v: getattr(at(x)[i], method)(v), judge, X, v, batch=False)


def test_products_at_known_different_indices_need_no_promise():
    for index in (MASK, np.array([2, 0]), (np.array([2, 0]), slice(None, None, 2))):
        v = direction(X[index], 5)
        fun = lambda x, v: at(x)[index].multiply(v)
        check(fun, lambda x, v: x.at[index].multiply(v, unique_indices=True), X, v)


@pytest.mark.parametrize("method", ["set", "add", "multiply", "min"])
def test_updates_in_batches(method):
    i = A(np.array([[0, 1], [2, 0], [3, 3 if method in ("add", "multiply") else 1]]))
    xs, v = jnp.stack([X, 2 * X, X + 1]), direction(X[0], 5)
    vs = jnp.stack([v, 2 * v, v + 1])
    fun = lambda x, i, v: getattr(at(x)[i, ::-1], method)(v)
    judge = lambda x, i, v: getattr(x.at[i, ::-1], method)(v)
    for flags in np.ndindex(2, 2, 2):
        if any(flags):
            args = [many if b else one for many, one, b in zip((xs, i, vs), (X, i[0], v), flags, strict=True)]
            check_batch(fun, judge, args, [bool(b) for b in flags])


@pytest.mark.parametrize("mode", ["drop", "promise_in_bounds", None, lax.GatherScatterMode.CLIP])
@pytest.mark.parametrize("i", [np.array([7, -9, -1]), A(np.array([7, -9, -1])), 11, 2, A(-9)], ids=name_of)
def test_modes(mode, i):
    options = {"mode": mode, "fill_value": -7}
    check(lambda x: at(x)[i].get(**options), lambda x: x.at[i].get(**options), X, batch=False)
    if mode != "promise_in_bounds":
        check(lambda x: at(x)[i].set(3.0, mode=mode), lambda x: x.at[i].set(3.0, mode=mode), X, batch=False)
        check(lambda x: at(x)[i].add(3.0, mode=mode), lambda x: x.at[i].add(3.0, mode=mode), X, batch=False)
    options = {"mode": "fill", "wrap_negative_indices": False}
    check(lambda x: at(x)[i].get(**options), lambda x: x.at[i].get(**options), X, batch=False)


@pytest.mark.parametrize("i", [np.array([7, -9, -1]), A(np.array([7, -9, -1])), 11, -11, A(-9)], ids=name_of)
def test_wrapping_mode(i):
    judge = lambda x: x[np.asarray(i) % 4]
    check(lambda x: at(x)[i].get(mode="wrap"), judge, X)
    check(lambda x: at(x)[i].add(1.0, mode="wrap"), lambda x: x.at[np.asarray(i) % 4].add(1.0), X)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool", "complex128", "float32", "bfloat16"])
def test_fill_values_of_other_dtypes(dtype):
    x, i = jnp.asarray(np.arange(4), dtype), A(np.array([9, -1]))
    for options in ({}, {"fill_value": 1}):
        jaxpr = stage(lambda x: [at(x)[i].get(mode="fill", **options)], [type_of(x)])
        require_close(lower(jaxpr, x), [x.at[i].get(mode="fill", **options)], 0, dtype)


def test_apply():
    for index in (1, (slice(None, None, 2), -1), np.array([0, 2]), A(np.array([0, 2])), MASK):
        judge = lambda x: x.at[index].set(jnp.sin(x[index]))
        check(lambda x: at(x)[index].apply(mnp.sin), judge, X)
    i = A(np.array([1, 9]))
    positive = jnp.abs(X) + 1
    check(lambda x: at(x)[i].apply(mnp.sqrt), lambda x: x.at[1].set(jnp.sqrt(x[1])), positive)


def often(function, x, index, wrap=True):
    """`x` with a function applied at the rows of an index, one occurrence after the other."""
    for i in map(int, index):
        i = i + x.shape[0] if i < 0 and wrap else i
        x = x.at[i].set(function(x[i]), mode="drop") if 0 <= i < x.shape[0] else x
    return x


@pytest.mark.parametrize("known", [True, False])
def test_apply_at_repeated_indices(known):
    index = np.array([1, 1, -1, 9, 1, 2])
    ours, theirs = lambda v: mnp.sin(v) + v, lambda v: jnp.sin(v) + v
    judge = lambda x: often(theirs, x, index)
    np.testing.assert_allclose(judge(X), X.at[index].apply(theirs), rtol=1e-12)
    i = index if known else A(index)
    check(lambda x: at(x)[i].apply(ours), judge, X)
    fun = lambda x, i: at(mnp.asarray(x))[i].apply(ours)
    for outside in (fun, minijvp.from_jax(lambda x, i: x.at[i].apply(theirs))):
        f = outside if not known else lambda x, i: outside(x, index)
        np.testing.assert_allclose(minijvp.jit(f)(X, index), judge(X), rtol=1e-12)
        gradient = minijvp.jit(minijvp.grad(lambda x, i: mnp.sum(mnp.cos(f(x, i)))))(X, index)
        np.testing.assert_allclose(gradient, jax.grad(lambda x: jnp.sum(jnp.cos(judge(x))))(X), rtol=1e-9)
    rows = np.stack([index, np.roll(index, 1)])
    wanted = np.stack([often(theirs, X, row) for row in rows])
    np.testing.assert_allclose(minijvp.vmap(fun, (None, 0))(X, rows), wanted, rtol=1e-12)
    no_wrap = minijvp.jit(lambda x, i: at(x)[i].apply(ours, wrap_negative_indices=False))(X, index)
    np.testing.assert_allclose(no_wrap, often(theirs, X, index, wrap=False), rtol=1e-12)


def test_apply_closes_over_values_with_derivatives():
    index, scale = A(np.array([1, 1, 0])), jnp.asarray(1.5)
    fun = lambda x, s: mnp.sum(mnp.cos(at(x)[index].apply(lambda v: mnp.sin(v * s))))
    judge = lambda x, s: jnp.sum(jnp.cos(often(lambda v: jnp.sin(v * s), x, np.array([1, 1, 0]))))
    for found, wanted in zip(minijvp.grad(fun, (0, 1))(X, scale), jax.grad(judge, (0, 1))(X, scale), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
    for wrong in (lambda v: v > 0, lambda v: v[None]):
        with pytest.raises(ArgumentError, match="one number"):
            minijvp.jit(lambda x: at(x)[index].apply(wrong))(X)


@pytest.mark.parametrize("method", ["set", "add", "subtract", "multiply", "divide", "power", "min", "max"])
@pytest.mark.filterwarnings("ignore:.*(x.at|scatter inputs)")
def test_dtypes_of_updates(method):
    cases = [
        (jnp.arange(1, 5), 2),
        (jnp.arange(1, 5), np.int8(2)),
        (jnp.arange(1, 5), 1.5),
        (jnp.arange(1, 5, dtype=jnp.int8), A(2)),
        (jnp.arange(1, 5, dtype=jnp.float32), 2),
        (jnp.arange(1, 5, dtype=jnp.float32), np.float64(2.5)),
        (jnp.arange(1, 5, dtype=jnp.float32), True),
        (jnp.arange(1, 5, dtype=jnp.bfloat16), 1.5),
        (jnp.arange(1, 5) * (1 + 1j), 2.5),
        (jnp.full(4, 2.0), A(3.0)),
    ]
    for x, v in cases:
        if method in ("min", "max") and x.dtype.kind == "c":
            continue
        jaxpr = stage(lambda x: [getattr(at(x)[A([0, 2])], method)(v)], [type_of(x)]).check()
        expected = getattr(x.at[A([0, 2])], method)(v)
        assert jaxpr.out_types == (type_of(expected),)
        require_close(lower(jaxpr, x), [expected], 1e-6, f"{x.dtype} {v}")


def test_values():
    stage_ = lambda fun: lower(stage(lambda x: [fun(x)], [type_of(X)]), X)[0]
    np.testing.assert_array_equal(stage_(lambda x: at(x)[0].set([1, 2, 3, 4, 5])), X.at[0].set([1, 2, 3, 4, 5]))
    np.testing.assert_array_equal(stage_(lambda x: at(x)[0].mul(2)), X.at[0].mul(2))
    for bad in (np.ones(7), np.ones((1, 3, 5))):
        with pytest.raises(ValueError, match="broadcast"):
            stage_(lambda x: at(x)[0].set(bad))
        with pytest.raises(ValueError):
            X.at[0].set(bad)
    with pytest.raises(TypeError, match="booleans"):
        at(jnp.array([True]))[0].add(True)
    with pytest.warns(FutureWarning, match="do not fit"):
        at(jnp.arange(3))[0].set(1.5)
    with pytest.raises(ValueError, match="mode='raise'"):
        at(X)[0].set(1.0, mode="raise")
    assert repr(at(1)) == "At(1)"
    assert repr(at(1)[0]) == "IndexUpdate(1, 0)"


# take


@pytest.mark.parametrize("mode", [None, "fill", "clip", "wrap"])
@pytest.mark.parametrize(
    ("i", "axis"), [(-1, None), (A(2), 1), (np.array([9, -1, -9]), 0), (A([[0, 1], [-3, 70]]), -1)]
)
def test_take(i, axis, mode):
    check(lambda x: take(x, i, axis, mode=mode), lambda x: jnp.take(x, i, axis, mode=mode), X)


def test_take_options_and_errors():
    check(lambda x: take(x, A([9, 1]), fill_value=3.0), lambda x: jnp.take(x, A([9, 1]), fill_value=3.0), X[0, 0])
    check(lambda x: take(x, A([True]), 0), lambda x: jnp.take(x, A([True]), 0), X)
    check(lambda x: take(x, 0), lambda x: jnp.take(x, 0), A(1.0))
    types = [type_of(X)]
    for args in ((A([1.0]),), ([0, 1],), (0, 5), (0, 0, None, "raise"), (0, 0, X)):
        with pytest.raises((ArgumentError, TypeError)):
            stage(lambda x: [take(x, *args)], types)
    with pytest.raises(IndexError):
        stage(lambda x: [take(x, A([0]), 0)], [type_of(jnp.zeros((0, 3)))])
    np.testing.assert_array_equal(take(X, 1, 0), X[1])


ALONG = [
    ((4, 3, 5), (4, 3, 2), 2),
    ((4, 3, 5), (4, 3, 2), -1),
    ((4, 3, 5), (6, 3, 5), 0),
    ((4, 3, 5), (1, 1, 2), 2),
    ((4, 3, 5), (4, 1, 2), 2),
    ((4, 3, 5), (1, 7, 5), 1),
    ((1, 3, 5), (4, 3, 2), 2),
    ((4, 1, 5), (1, 3, 2), 2),
    ((1, 3, 1), (2, 2, 4), 1),
    ((4, 3, 5), (4, 3, 0), 2),
    ((1, 4), (1, 2), 1),
    ((5,), (3,), 0),
    ((4, 3), (6,), None),
]


@pytest.mark.parametrize(("shape", "index_shape", "axis"), ALONG)
@pytest.mark.parametrize("mode", [None, "clip"])
def test_take_along_axis(shape, index_shape, axis, mode):
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.standard_normal(shape))
    i = jnp.asarray(rng.integers(-6, 7, index_shape))
    fun = lambda x, i: take_along_axis(x, i, axis, mode=mode)
    judge = lambda x, i: jnp.take_along_axis(x, i, axis, mode=mode)
    check(lambda x: fun(x, i), lambda x: judge(x, i), x)
    xs, indices = jnp.stack([x, 2 * x, x + 1]), jnp.stack([i, i // 2, -i])
    for batched in ([True, True], [False, True]):
        check_batch(fun, judge, [xs if batched[0] else x, indices], batched)


def test_take_along_axis_errors():
    types = [type_of(X)]
    for i, axis in ((A([1]), 0), (jnp.ones((3, 3, 2), int), 2), (jnp.ones((4, 3, 2)), 2), (A(1), None), ([1], 0)):
        with pytest.raises(ArgumentError):
            stage(lambda x: [take_along_axis(x, i, axis)], types)
    empty, zeros = jnp.zeros((0, 3)), jnp.zeros((2, 3), int)
    np.testing.assert_array_equal(
        minijvp.jit(lambda x: take_along_axis(x, zeros, 0))(empty), jnp.take_along_axis(empty, zeros, 0)
    )
    i = A(np.array([7, -1]))
    options = {"axis": 0, "fill_value": -5.0}
    check(lambda x: take_along_axis(x, i, **options), lambda x: jnp.take_along_axis(x, i, **options), X[0, 0])


def test_keys_are_written() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    found = minijvp.jit(lambda keys, key: mnp.asarray(keys).at[0].set(key))(keys, keys[2])
    np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(keys.at[0].set(keys[2])))


def reads_and_writes(np_like, x, i):
    """What every function makes of one index, and of an array of indices."""
    x, pair = np_like.asarray(x), np_like.stack([i, i])
    row = x[0] * 10
    return (
        x[i],
        x[1:3, i],
        x[pair],
        np_like.take(x, i, 0),
        np_like.take(x, pair, 1, mode="clip"),
        np_like.take(x, i, 1, mode="wrap"),
        np_like.take(x, i),
        np_like.take_along_axis(x, np_like.broadcast_to(i, (1, 3)), 0),
        np_like.take_along_axis(x, np_like.broadcast_to(i, (1, 3)), 0, mode="clip"),
        np_like.take_along_axis(x, np_like.broadcast_to(i, (1, 3)), 0, wrap_negative_indices=False),
        x.at[i].get(mode="fill"),
        x.at[i].get(mode="clip", wrap_negative_indices=False),
        x.at[pair, 1:].get(mode="clip"),
        x.at[i].set(row),
        x.at[pair].add(x[:2] * 10, mode="clip"),
        x.at[:, i].set(x[:, 0] * 10, mode="drop", wrap_negative_indices=False),
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_indices_of_every_dtype(dtype):
    limits = np.iinfo(dtype)
    given = [limits.min, -(2**31), -9, -5, -4, -3, -1, 0, 1, 2, 3, 4, 9, 127, 255, 2**31 - 1]
    indices = jnp.asarray(np.array([v for v in given if limits.min <= v <= limits.max and v >= -(2**31)], dtype))
    theirs, mine = lambda x, i: reads_and_writes(jnp, x, i), lambda x, i: reads_and_writes(mnp, x, i)
    wanted = jax.jit(jax.vmap(theirs, (None, 0)))(X[:, :3, 0], indices)
    for function in (mine, minijvp.from_jax(theirs)):
        found = minijvp.jit(minijvp.vmap(function, (None, 0)))(X[:, :3, 0], indices)
        compiled = minijvp.jit(function)
        single = [compiled(X[:, :3, 0], i) for i in indices]
        for k, (x, y) in enumerate(zip(found, wanted, strict=True)):
            np.testing.assert_array_equal(x, y, err_msg=str(k))
            np.testing.assert_array_equal([s[k] for s in single], y, err_msg=str(k))

    def total(np_like, x, i):
        return sum(np_like.nansum(np_like.sin(out) * (k + 1)) for k, out in enumerate(reads_and_writes(np_like, x, i)))

    judge = jax.jit(jax.vmap(jax.grad(lambda x, i: total(jnp, x, i)), (None, 0)))(X[:, :3, 0], indices)
    gradient = minijvp.jit(minijvp.vmap(minijvp.grad(lambda x, i: total(mnp, x, i)), (None, 0)))(X[:, :3, 0], indices)
    np.testing.assert_allclose(gradient, judge, rtol=1e-12)


def test_indices_beyond_32_bits():
    """Where JAX's own conversion to 32 bits makes them others, they count as the numbers that they are."""
    x, n = jnp.arange(1.0, 6.0), 5
    for dtype, values in (
        ("uint32", [2**31, 2**32 - 1]),
        ("int64", [-(2**63), -(2**40), 1 - 2**32, 2**32 + 1, 2**40, 2**63 - 1]),
        ("uint64", [2**32 + 1, 2**63, 2**64 - 1]),
    ):
        for v in values:
            clipped = min(max(v + n if v < 0 else v, 0), n - 1)
            cases = (
                (lambda x, i: x[i], clipped),
                (lambda x, i: mnp.take(x, i, mode="clip"), min(max(v, 0), n - 1)),
                (lambda x, i: mnp.take(x, i, mode="wrap"), v % n),
                (lambda x, i: x.at[mnp.stack([i, i])].get(mode="clip")[0], clipped),
                (lambda x, i: mnp.take_along_axis(x, i[None], 0, mode="clip")[0], clipped),
            )
            i = jnp.asarray(np.array(v, dtype))
            found = minijvp.jit(lambda x, i: [fun(x, i) for fun, _ in cases])(x, i)
            np.testing.assert_array_equal(found, [x[k] for _, k in cases], err_msg=f"{dtype} {v}")


def test_small_dtypes_on_long_axes():
    """Where JAX adds the size of an axis in a dtype that has no room for it, negative indices count all the same."""
    x = jnp.arange(200.0)
    functions = (
        lambda x, i: x[i],
        lambda x, i: mnp.take(x, i),
        lambda x, i: mnp.take(x, i, mode="wrap"),
        lambda x, i: mnp.take_along_axis(x, i[None], 0)[0],
        lambda x, i: minijvp.lax.dynamic_index_in_dim(x, i, 0, False),
        lambda x, i: x.at[i].set(-1.0).argmin(),
    )
    for dtype, v in (("int8", -1), ("int8", -128), ("uint8", 199), ("int16", -200)):
        i = jnp.asarray(np.array(v, dtype))
        fun = lambda i: [f(mnp.asarray(x), i) for f in functions]
        np.testing.assert_array_equal(minijvp.jit(fun)(i), [v % 200] * len(functions), err_msg=f"{dtype} {v}")
        np.testing.assert_array_equal(minijvp.vmap(fun)(i[None]), [[v % 200]] * len(functions), err_msg=f"{dtype} {v}")
