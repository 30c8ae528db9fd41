"""Products summed over axes against jax.numpy: values, dtypes, weak types and derivatives under every trace."""

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
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.tools.samples import TOLERANCES, direction, require_close
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.staging import stage
from tests.checks import instantiated, pullback
from tests.samples import random

# JAX 0.12 takes vectors of the plane no more.
PLANE: list[Any] = [
    ("cross", (3, 4), (2, 4), {"axisa": 0, "axisb": 0, "axisc": 0}),
    ("cross", (2, 3, 2), (2,), {}),
]
PLANE = PLANE if jax.__version_info__ < (0, 12) else []
NAMES = ["dot", "matmul", "vdot", "vecdot", "inner", "outer", "tensordot", "einsum", "trace", "kron", "cross"]
PAIRS = ["dot", "matmul", "vdot", "vecdot", "inner", "outer", "kron", "cross"]


def arr(*shape: int, dtype: Any = "float64", seed: int = 0) -> Any:
    return jnp.asarray(random(*shape, dtype=np.dtype(dtype), seed=seed))


def agree(ours: Any, theirs: Any, *xs: Any, derivatives: bool = True) -> None:
    """The two functions agree on these arrays, and on tangents and cotangents. One compilation for both."""
    expected = jax.eval_shape(theirs, *xs)
    jaxpr = stage(lambda *a: [ours(*a)], [type_of(x) for x in xs]).check()
    (out,) = jaxpr.out_types
    assert (out.dtype, out.weak_type) == (expected.dtype, expected.weak_type)
    near = max([TOLERANCES.get(x.dtype.name, 1e-10) for x in (*xs, expected)])
    places = [i for i, x in enumerate(xs) if derivatives and is_inexact(x.dtype) and is_inexact(expected.dtype)]
    primals = [xs[i] for i in places]
    tangents = [direction(x, i) for i, x in enumerate(primals)]
    cts = [direction(jnp.zeros(expected.shape, expected.dtype), 9)] if places else []

    def restricted(f: Any, xs: Any) -> Any:
        def function(*some: Any) -> list[Any]:
            full = list(xs)
            for i, x in zip(places, some, strict=True):
                full[i] = x
            return [f(*full)]

        return function

    def mine(xs: Any, primals: Any, tangents: Any, cts: Any) -> Any:
        value, f = lower(jaxpr, *xs), restricted(ours, xs)
        if not places:
            return value, [], []
        moved = [instantiated(t, x) for t, x in zip(jvp_flat(f, primals, tangents)[1], value, strict=True)]
        return value, moved, pullback(f, primals, cts)

    def judged(xs: Any, primals: Any, tangents: Any, cts: Any) -> Any:
        f = restricted(theirs, xs)
        if not places:
            return f(*primals), [], []
        return *jax.jvp(f, primals, tangents), list(jax.vjp(f, *primals)[1](cts))

    results = jax.jit(lambda *args: (mine(*args), judged(*args)))(list(xs), primals, tangents, cts)
    for actual, wanted, what, scale in zip(*results, ("value", "tangents", "cotangents"), (1, 10, 10), strict=True):
        require_close(actual, wanted, scale * near, what)


def agree_by_name(name: str, *xs: Any, derivatives: bool = True, **params: Any) -> None:
    agree(partial(getattr(mnp, name), **params), partial(getattr(jnp, name), **params), *xs, derivatives=derivatives)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((1, 2, 3), (1, 3, 4)),
        ((1, 2, 3), (6, 3, 4)),
        ((2, 1, 1, 2, 3), (1, 4, 3, 1)),
        ((2, 0), (0, 3)),
    ],
    ids=str,
)
def test_matmul(x: Any, y: Any) -> None:
    agree_by_name("matmul", arr(*x), arr(*y, seed=1))


@pytest.mark.parametrize(("x", "y"), [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,))], ids=str)
def test_matmul_is_one_equation(x: Any, y: Any) -> None:
    jaxpr = stage(lambda x, y: [mnp.matmul(x, y)], [type_of(arr(*x)), type_of(arr(*y))])
    assert [e.primitive.name for e in jaxpr.equations] == ["dot_general"]


@pytest.mark.parametrize(
    ("name", "x", "y", "params"),
    [
        ("dot", (2, 5, 3), (6, 3, 4), {}),
        ("dot", (3,), (6, 3, 4), {}),
        ("dot", (2, 3), (3,), {}),
        ("dot", (), (3, 4), {}),
        ("dot", (3, 4), (), {}),
        ("dot", (), (), {}),
        ("vdot", (2, 3), (3, 2), {}),
        ("vdot", (), (1,), {}),
        ("vecdot", (2, 3), (3,), {}),
        ("vecdot", (3, 2), (3, 1, 3, 2), {"axis": 0}),
        ("vecdot", (3, 2), (4, 3, 2), {"axis": -2}),
        ("inner", (2, 3), (5, 4, 3), {}),
        ("inner", (3,), (3,), {}),
        ("inner", (), (3, 2), {}),
        ("outer", (2, 3), (4,), {}),
        ("outer", (), (2, 2), {}),
        ("tensordot", (2, 3, 4), (3, 4, 2), {}),
        ("tensordot", (2, 3, 4), (4, 3), {"axes": 1}),
        ("tensordot", (2, 3), (4,), {"axes": 0}),
        ("tensordot", (2, 3, 4), (3, 2, 4), {"axes": ((1, 0), (0, 1))}),
        ("tensordot", (2, 3, 4), (4, 3), {"axes": [[-1], [0]]}),
        ("tensordot", (2, 3, 4), (4, 3), {"axes": (1, -1)}),
        ("tensordot", (2, 3), (2, 3), {"axes": ((), ())}),
        ("kron", (2, 3), (5,), {}),
        ("kron", (2, 1, 3), (2, 2), {}),
        ("kron", (), (2, 2), {}),
        ("cross", (2, 3), (3,), {}),
        ("cross", (4, 1, 3), (5, 3), {"axisc": 0}),
        ("cross", (3, 4), (3, 4), {"axis": 0}),
        *PLANE,
    ],
    ids=str,
)
def test_pairs(name: str, x: Any, y: Any, params: dict[str, Any]) -> None:
    agree_by_name(name, arr(*x), arr(*y, seed=1), **params)
    mixed = arr(*x, dtype="complex64"), arr(*y, dtype="float32", seed=1)
    agree_by_name(name, *mixed, derivatives=not params, **params)


def weak(*shape: int, value: Any) -> Any:
    return jax.lax.broadcast(jnp.asarray(value), shape)


OPERANDS = {
    "weak float": lambda: weak(3, value=1.5),
    "weak int": lambda: weak(3, value=2),
    "bool": lambda: jnp.array([True, False, True]),
    **{
        d: partial(lambda d: jnp.array([1, 2, 3], d), d)
        for d in ("int8", "int32", "float16", "bfloat16", "float32", "complex64")
    },
}


@pytest.mark.parametrize("first", OPERANDS)
@pytest.mark.parametrize("name", PAIRS)
def test_dtypes(name: str, first: str) -> None:
    x = OPERANDS[first]()
    for second in OPERANDS:
        y = OPERANDS[second]()
        if name in ("kron", "cross") and first == second == "bool":
            continue
        jaxpr = stage(lambda x, y: [getattr(mnp, name)(x, y)], [type_of(x), type_of(y)]).check()
        try:
            expected = jax.eval_shape(getattr(jnp, name), x, y)
        except TypeError:
            # jax refuses products of a weak integer and an integer of another width.
            assert "weak int" in (first, second)
            continue
        (out,) = jaxpr.out_types
        assert (out.dtype, out.weak_type) == (expected.dtype, expected.weak_type), second
        if name == "matmul":
            require_close(lower(jaxpr, x, y), [jnp.matmul(x, y)], TOLERANCES.get(expected.dtype.name, 1e-10), second)


@pytest.mark.parametrize("name", ["dot", "matmul", "vdot", "vecdot", "inner", "tensordot"])
def test_preferred_type_and_precision(name: str) -> None:
    params = {"axes": 1} if name == "tensordot" else {}
    for dtype in ("int8", "float32"):
        x, y = arr(3, dtype=dtype), arr(3, dtype=dtype, seed=1)
        agree_by_name(name, x, y, preferred_element_type="float64", **params)
        agree_by_name(name, x, y, precision="highest", derivatives=False, **params)
        agree_by_name(name, x, y, precision=(jax.lax.Precision.HIGH,) * 2, derivatives=False, **params)
    for preferred in ("float64", "float32"):
        soft = weak(3, value=1.5), weak(3, value=2.0)
        agree_by_name(name, *soft, preferred_element_type=preferred, derivatives=False, **params)


def test_python_scalars() -> None:
    x = arr(3, dtype="float32")
    for name in ("dot", "inner", "outer", "kron"):
        agree(lambda x, name=name: getattr(mnp, name)(2.0, x), lambda x, name=name: getattr(jnp, name)(2.0, x), x)
    agree(lambda x: mnp.einsum(",i->i", 2, x), lambda x: jnp.einsum(",i->i", 2, x), x)
    agree(lambda: mnp.vdot(2.0, 3), lambda: jnp.vdot(2.0, 3))
    for other in (2.0, jnp.float32(1)):
        with pytest.raises(ArgumentError, match="without axes"):
            stage(lambda x, other=other: [mnp.matmul(x, other)], [type_of(x)])


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        (" i j , j k -> k i ", [(2, 3), (3, 4)]),
        ("bA", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij->ji", [(2, 3)]),
        ("ii", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("iij->ji", [(3, 3, 2)]),
        ("iii->i", [(3, 3, 3)]),
        ("ijij->ij", [(2, 3, 2, 3)]),
        ("iji,j->i", [(2, 3, 2), (3,)]),
        ("i,j->ij", [(2,), (3,)]),
        ("i,i->i", [(3,), (3,)]),
        ("i,i", [(3,), (3,)]),
        ("ia,ib->i", [(3, 2), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("bij,bjk->ikb", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (6, 3, 4)]),
        ("...ij,...jk", [(3, 1, 2, 2), (4, 2, 2)]),
        ("i...->...", [(2, 3, 4)]),
        ("...i->i", [(2, 3, 4)]),
        ("...->", [(2, 3)]),
        ("i...,...j", [(2, 3), (3, 4)]),
        ("...i,...i->...", [(2, 3), (5, 1, 3)]),
        ("ij,jk->ik", [(3, 1), (3, 2)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("ij,jk,kl", [(2, 3), (3, 4), (4, 2)]),
        ("ij,jk,kl,lm->mi", [(2, 3), (3, 4), (4, 2), (2, 5)]),
        ("i,i,i->", [(3,), (3,), (3,)]),
        ("ij,ij,j->i", [(2, 3), (2, 3), (3,)]),
        ("i,j,k->kij", [(2,), (3,), (4,)]),
        ("ab,bc,ca->", [(2, 3), (3, 4), (4, 2)]),
        ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("->", [()]),
        (",i->i", [(), (3,)]),
    ],
    ids=str,
)
def test_einsum(subscripts: str, shapes: Any) -> None:
    xs = [arr(*s, seed=i) for i, s in enumerate(shapes)]
    agree(partial(mnp.einsum, subscripts), partial(jnp.einsum, subscripts), *xs)


@pytest.mark.parametrize("subscripts", ["ij->i", "ii->i", "ij,jk,k->i"])
def test_einsum_dtypes(subscripts: str) -> None:
    n = subscripts.count(",") + 1
    for dtype in ("bool", "int8", "int32", "float16", "float32", "complex64"):
        xs = [arr(3, 3, dtype=dtype), arr(3, 3, dtype=dtype, seed=1), arr(3, dtype=dtype, seed=2)][:n]
        for params in ({}, {"preferred_element_type": "float32"}):
            if dtype == "complex64" and params:
                continue
            ours, theirs = (partial(m.einsum, subscripts, **params) for m in (mnp, jnp))
            agree(ours, theirs, *xs, derivatives=False)
    mixed = [arr(3, 3), arr(3, 3, dtype="float32", seed=1), arr(3, dtype="int32", seed=2)][:n]
    agree(partial(mnp.einsum, subscripts), partial(jnp.einsum, subscripts), *mixed)
    soft = [weak(3, 3, value=1.5), weak(3, 3, value=2.0), weak(3, value=0.5)][:n]
    agree(partial(mnp.einsum, subscripts), partial(jnp.einsum, subscripts), *soft, derivatives=False)


@pytest.mark.parametrize("optimize", ["auto", "optimal", "greedy", True, False, [(0, 2), (0, 1)]], ids=str)
def test_einsum_paths(optimize: Any) -> None:
    xs = [arr(2, 3), arr(3, 4, seed=1), arr(4, 5, seed=2)]
    ours, theirs = (partial(m.einsum, "ij,jk,kl->li", optimize=optimize) for m in (mnp, jnp))
    agree(ours, theirs, *xs)


@pytest.mark.parametrize(
    "labels",
    [
        ([0, 1], [1, 2], [0, 2]),
        ([5, 3], [3, 1], None),
        (["b", "a"], ["a", "c"], ["c", "b"]),
        ([..., 1], [1, ...], [...]),
        ((0, ...), (..., 2), None),
    ],
    ids=str,
)
def test_einsum_interleaved(labels: Any) -> None:
    first, second, out = labels
    rest = () if out is None else (out,)
    square = first[0] is ... or second[0] is ...
    xs = (arr(3, 3), arr(3, 3, seed=1)) if square else (arr(2, 3), arr(3, 4, seed=1))
    ours, theirs = (lambda x, y, m=m: m.einsum(x, first, y, second, *rest) for m in (mnp, jnp))
    agree(ours, theirs, *xs)


def test_einsum_of_a_large_chain_is_pairwise() -> None:
    xs = [arr(4, 4, dtype="float32", seed=i) for i in range(5)]
    jaxpr = stage(lambda *a: [mnp.einsum("ab,bc,cd,de,ef->af", *a)], [type_of(x) for x in xs])
    assert [e.primitive.name for e in jaxpr.equations].count("dot_general") == 4


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((3, 3), {}),
        ((2, 4), {}),
        ((2, 4), {"offset": 1}),
        ((2, 4), {"offset": 3}),
        ((4, 2), {"offset": -2}),
        ((4, 2), {"offset": -4}),
        ((4, 2), {"offset": 9}),
        ((2, 3, 4), {"offset": -1, "axis1": 2, "axis2": 0}),
        ((2, 3, 4), {"axis1": -1, "axis2": 1}),
        ((2, 2), {"dtype": "float32"}),
    ],
    ids=str,
)
def test_trace(shape: Any, params: dict[str, Any]) -> None:
    for dtype in ("float64", "int8", "bool", "complex64"):
        if dtype != "complex64" or "dtype" not in params:
            agree_by_name("trace", arr(*shape, dtype=dtype), derivatives=dtype == "float64", **params)


def x_of(*shapes: Any) -> list[Any]:
    return [type_of(arr(*s)) for s in shapes]


@pytest.mark.parametrize(
    ("function", "shapes", "part"),
    [
        (mnp.matmul, [(2, 3), (4, 5)], "sizes 3 and 4"),
        (mnp.matmul, [(2, 1), (3, 5)], "sizes 1 and 3"),
        (mnp.matmul, [(2, 2, 3), (4, 3, 5)], "sizes 2 and 4"),
        (mnp.matmul, [(), (3,)], "without axes"),
        (mnp.dot, [(3, 2), (3,)], "sizes 2 and 3"),
        (mnp.vdot, [(2, 3), (3,)], "sizes 6 and 3"),
        (mnp.vecdot, [(3, 2), (3,)], "sizes 2 and 3"),
        (mnp.vecdot, [(), (3,)], "axis"),
        (mnp.inner, [(3, 2), (3,)], "sizes 2 and 3"),
        (mnp.tensordot, [(3,), (3,)], "fewer axes"),
        (partial(mnp.tensordot, axes=1.0), [(3,), (3,)], "pair"),
        (partial(mnp.tensordot, axes=(1, [0])), [(3, 2), (2,)], "pairs"),
        (partial(mnp.tensordot, axes=([1], [0, 1])), [(3, 2), (2, 3)], "pairs"),
        (partial(mnp.tensordot, axes=([1, 1], [0, 1])), [(2, 2), (2, 2)], "once"),
        (partial(mnp.tensordot, axes=([2], [0])), [(2, 2), (2, 2)], "axis=2"),
        (partial(mnp.tensordot, axes=("a", "b")), [(2, 2), (2, 2)], "pair"),
        (partial(mnp.tensordot, axes=([1], [1])), [(3, 2), (2, 3)], "sizes 2 and 3"),
        (partial(mnp.einsum, "ij,jk"), [(2, 3), (2, 3)], "'j'"),
        (partial(mnp.einsum, "ij,jk"), [(2, 3)], "1 operands"),
        (partial(mnp.einsum, "ijk"), [(2, 3)], "operand 0"),
        (partial(mnp.einsum, "i...j..."), [(2, 3)], "einsum"),
        (partial(mnp.einsum, "...ijk"), [(2, 3)], "operand 0"),
        (partial(mnp.einsum, "ij->k"), [(2, 3)], "'k'"),
        (partial(mnp.einsum, "ij->ii"), [(2, 3)], "'i'"),
        (partial(mnp.einsum, "i;j->i"), [(2, 3)], "letters"),
        (partial(mnp.einsum, "ij", out=1), [(2, 3)], "out"),
        (partial(mnp.einsum, "ii"), [(2, 3)], "sizes 2 and 3"),
        (partial(mnp.outer, out=1), [(2,), (3,)], "out"),
        (partial(mnp.matmul, out_sharding=1), [(2, 3, 4), (2, 4, 3)], "out_sharding"),
        (mnp.trace, [(3,)], "axis2?=1|axis=1"),
        (partial(mnp.trace, axis1=1), [(3, 3)], "one axis"),
        (mnp.cross, [(4,), (3,)], "2 or 3"),
        (mnp.cross, [(2, 3), (5, 3)], "broadcast"),
    ],
    ids=lambda part: getattr(part, "func", part).__name__ if callable(part) else str(part),
)
def test_errors(function: Any, shapes: Any, part: str) -> None:
    with pytest.raises(ArgumentError, match=part):
        stage(lambda *xs: [function(*xs)], x_of(*shapes))


def property_test(function: Any) -> Any:
    return settings(derandomize=True, deadline=None, max_examples=30)(function)


sizes = st.integers(1, 3)
dtypes = st.sampled_from(["float32", "float64", "int32", "bool", "complex64"])


@property_test
@given(st.data(), sizes, sizes, sizes, dtypes, dtypes)
def test_matmul_property(data: Any, n: int, m: int, k: int, x_dtype: str, y_dtype: str) -> None:
    leading = data.draw(st.lists(sizes, max_size=2))
    shapes = []
    for core in ((n, m), (m, k)):
        rest = [data.draw(st.sampled_from([1, size])) for size in leading[data.draw(st.integers(0, len(leading))) :]]
        shapes.append((*rest, *core))
    x, y = (arr(*s, dtype=d, seed=i) for i, (s, d) in enumerate(zip(shapes, (x_dtype, y_dtype), strict=True)))
    agree_by_name("matmul", x, y)


@property_test
@given(st.data(), st.lists(sizes, min_size=1, max_size=4), dtypes)
def test_tensordot_property(data: Any, shape: list[int], dtype: str) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    extra = data.draw(st.lists(sizes, max_size=2))
    order = data.draw(st.permutations(range(len(axes) + len(extra))))
    other = [[*[shape[d] for d in axes], *extra][i] for i in order]
    places = [list(order).index(i) for i in range(len(axes))]
    x, y = arr(*shape, dtype=dtype), arr(*other, dtype=dtype, seed=1)
    agree_by_name("tensordot", x, y, axes=(tuple(axes), tuple(d - len(other) for d in places)))


@property_test
@given(st.data(), st.integers(1, 3), dtypes)
def test_einsum_property(data: Any, n: int, dtype: str) -> None:
    named = dict(zip("abcd", data.draw(st.tuples(sizes, sizes, sizes, sizes)), strict=True))
    terms = [data.draw(st.text("abcd", max_size=3)) for _ in range(n)]
    used = sorted(set("".join(terms)))
    result = data.draw(st.permutations(used).flatmap(lambda p: st.integers(0, len(p)).map(lambda k: "".join(p[:k]))))
    subscripts = ",".join(terms) + data.draw(st.sampled_from(["", "->" + result]))
    xs = [arr(*[named[c] for c in term], dtype=dtype, seed=i) for i, term in enumerate(terms)]
    agree(partial(mnp.einsum, subscripts), partial(jnp.einsum, subscripts), *xs)
