"""Patterns of random programs contain what is not zero; colourings of random patterns give every entry back."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any
from xml.etree.ElementTree import fromstring

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import minijvp
import minijvp.numpy as mnp
from minijvp.errors import ArgumentError
from minijvp.extend import Elementwise, LinearPrimitive, Primitive
from minijvp.sparse import Pattern, loops, programs, sets
from tests.tables import restored

N = 6
INDICES = np.array([4, 0, 0, 5, 2, 1])
MASK = np.array([1, 0, 1, 1, 0, 1], np.float32)
BAND = np.triu(np.tril(np.ones((N, N), np.float32), 1))

STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "shift": lambda x, y: mnp.concatenate([x[1:], y[:1]]),
    "product": lambda x, y: x * y,
    "sine": lambda x, y: mnp.sin(x) + y,
    "mask": lambda x, y: x * MASK - y,
    "gather": lambda x, y: x[INDICES] * 0.5,
    "scatter": lambda x, y: y.at[INDICES].add(x),
    "write": lambda x, y: x.at[1:3].set(y[3:5]),
    "band": lambda x, y: BAND @ x / 2,
    "rows": lambda x, y: (x.reshape(2, 3) @ mnp.ones((3, 3), "float32") / 3).reshape(-1),
    "column": lambda x, y: x + mnp.repeat(y.reshape(2, 3).mean(1), 3),
    "flip": lambda x, y: x[::-1] + mnp.roll(y, 2),
    "choice": lambda x, y: mnp.where(MASK > 0, x, y),
    "values": lambda x, y: mnp.where(x > y, x, 0.3 * y),
    "round": lambda x, y: mnp.floor(x) + y,
    "branch": lambda x, y: minijvp.lax.cond(x[0] > 0, lambda: x * 1.5, lambda: y),
    "loop": lambda x, y: minijvp.lax.fori_loop(0, 3, lambda i, c: c.at[i + 1].add(0.5 * c[i] * y[i]), x),
    "scan": lambda x, y: minijvp.lax.scan(lambda c, v: (c * 0.5 + v[0], c * v[1]), y[0], (x, y))[1],
    "while": lambda x, y: minijvp.lax.while_loop(
        lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1].at[2:4].multiply(c[1][1:3])), (0, x)
    )[1],
    "lanes": lambda x, y: minijvp.vmap(lambda a, b: mnp.outer(a, b)[0, :3])(x.reshape(2, 3), y.reshape(2, 3)).reshape(
        -1
    ),
    "jit": lambda x, y: minijvp.jit(lambda x: mnp.tanh(x) * y[2])(x),
    "rule": lambda x, y: minijvp.nn.relu(x) + y[::-1],
    "slice": lambda x, y: mnp.concatenate([minijvp.lax.dynamic_slice(x, (2,), (3,)), y[:3]]),
    "unknown": lambda x, y: y + minijvp.lax.dynamic_index_in_dim(x, mnp.argmax(y), keepdims=False),
    "window": lambda x, y: minijvp.lax.reduce_window(x, -np.inf, minijvp.lax.max, (2,), (1,), "SAME") + y,
}


def program(names: list[str]) -> Callable[[Any], Any]:
    def fun(x: Any) -> Any:
        return reduce(lambda pair, name: (STEPS[name](*pair), pair[0]), names, (x, x[::-1]))[0]

    return fun


POINT = np.array([0.7, -0.4, 1.3, 0.2, -1.1, 0.9], np.float32)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5))
def test_patterns_contain_what_is_not_zero(names: list[str]) -> None:
    fun, x = program(names), mnp.asarray(POINT)
    found = minijvp.sparsity(fun)(x)
    wanted = np.asarray(minijvp.jacfwd(fun)(x))
    assert not (wanted != 0)[~found.toarray()].any()
    assert not (wanted != 0)[~minijvp.sparsity(fun, local=True)(x).toarray()].any()
    np.testing.assert_allclose(minijvp.sparse_jacobian(fun)(x).todense(), wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(set(STEPS) - {"window"})), min_size=1, max_size=3))
def test_patterns_of_hessians_contain_what_is_not_zero(names: list[str]) -> None:
    fun, x = lambda x: mnp.sum(program(names)(x) ** 2), mnp.asarray(POINT)
    wanted = np.asarray(minijvp.hessian(fun)(x))
    assert not (wanted != 0)[~minijvp.sparsity(fun, order=2)(x).toarray()].any()
    tolerance = 1e-4 * max(1, np.abs(wanted).max())
    np.testing.assert_allclose(minijvp.sparse_hessian(fun)(x).todense(), wanted, rtol=1e-4, atol=tolerance)


EXACT: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "a matrix with zeros": (lambda x: BAND @ x, ["11....", ".11...", "..11..", "...11.", "....11", ".....1"]),
    "a mask": (lambda x: (x * MASK)[:3] + x[0], ["1.....", "1.....", "1.1..."]),
    "computed indices": (lambda x: x[(mnp.arange(3) * 2) % 5], ["1.....", "..1...", "....1."]),
    "a scan of few steps": (
        lambda x: minijvp.lax.scan(lambda i, v: (i + 1, v * x[i]), 0, x[::-1])[1][:3],
        ["1....1", ".1..1.", "..11.."],
    ),
    "a loop with a known number of steps": (
        lambda x: minijvp.lax.fori_loop(0, 2, lambda i, c: c.at[i].set(x[5 - i]), x)[:3],
        [".....1", "....1.", "..1..."],
    ),
    "zeros of a kernel": (
        lambda x: minijvp.lax.conv(x[None, None], mnp.array([[[1.0, 0.0, 2.0]]], "float32"), (1,), "VALID")[0, 0],
        ["1.1...", ".1.1..", "..1.1.", "...1.1"],
    ),
    "dilated windows": (
        lambda x: minijvp.lax.reduce_window(x, 0.0, minijvp.lax.add, (2,), (2,), "VALID", window_dilation=(3,)),
        ["1..1..", "..1..1"],
    ),
    "written over": (
        lambda x: x.at[1].set(0.0).at[mnp.array([2])].set(x[0])[:4],
        ["1.....", "......", "1.....", "...1.."],
    ),
    "an unknown row": (
        lambda x: x.reshape(3, 2)[mnp.argmax(x[:3])],
        ["1.1.1.", ".1.1.1"],
    ),
    "a rule that is not the function's derivative": (
        lambda x: straight_through(x)[:2],
        ["1.....", ".1...."],
    ),
}


@minijvp.custom_jvp
def straight_through(x: Any) -> Any:
    return mnp.round(x)


straight_through.defjvp(lambda primals, tangents: (straight_through(*primals), tangents[0]))


@pytest.mark.parametrize("name", EXACT)
def test_patterns_are_exact(name: str) -> None:
    fun, wanted = EXACT[name]
    found = minijvp.sparsity(fun)(mnp.asarray(POINT)).toarray()
    assert ["".join(".1"[int(entry)] for entry in row) for row in found] == wanted


def test_values_at_the_point_are_followed() -> None:
    fun = lambda x: (
        mnp.where(x > 0, x, x[::-1]) * mnp.maximum(x[0], x[1]) + minijvp.lax.cond(x[2] > 0, lambda: x[3], lambda: x[4])
    )
    x = mnp.asarray(POINT)
    here, everywhere = (minijvp.sparsity(fun, local=flag)(x) for flag in (True, False))
    assert everywhere.nnz == 6 * 4 + sum(len({i, 5 - i} - {0, 1, 3, 4}) for i in range(6))
    assert not here.global_
    assert here.toarray()[2].tolist() == [True, False, True, True, False, False]
    assert here.toarray()[1].tolist() == [True, False, False, True, True, False]


def test_long_loops_are_a_fixed_point() -> None:
    def chained(x: Any) -> Any:
        """Each turn moves the first two carries on, and leaves the last alone."""
        turn = lambda c, _: ((c[1] * c[0], c[1] + x[2], c[2]), c[0] * c[2])
        return minijvp.lax.scan(turn, (x[0], x[1], x[3]), None, length=30_000)

    carry, rows = minijvp.sparsity(chained)(mnp.asarray(POINT)).toarray()[:3], slice(3, None)
    assert carry.astype(int).tolist() == [[1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]]
    every = minijvp.sparsity(chained)(mnp.asarray(POINT)).toarray()[rows]
    assert every.shape == (30_000, 6)
    assert (every == [True, True, True, True, False, False]).all()


def test_loops_in_loops_are_not_followed_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too many equations as a whole is a fixed point outside, and steps inside."""
    steps = []
    by_step = loops.step_by_step
    monkeypatch.setattr(loops, "step_by_step", lambda e, *rest: steps.append(e.params["length"]) or by_step(e, *rest))

    def nested(x: Any) -> Any:
        inner = lambda c, _: (mnp.concatenate([c[:1], c[:-1] * c[1:]]), None)
        outer = lambda c, _: (minijvp.lax.scan(inner, c, None, length=100)[0], None)
        return minijvp.lax.scan(outer, x, None, length=1_000)[0]

    assert np.array_equal(minijvp.sparsity(nested)(mnp.asarray(POINT)).toarray(), np.tril(np.ones((6, 6), bool)))
    assert steps == [100]


def test_primitives_from_outside_are_followed_by_their_derivatives() -> None:
    class Doubled(Primitive):
        def impl(self, x: Any) -> Any:
            return x[1:] * 2

        def jvp(self, primals: tuple, tangents: tuple) -> Any:
            return self(*primals), None if tangents[0] is None else tangents[0][1:] * 2

    class Turned(LinearPrimitive):
        def impl(self, x: Any) -> Any:
            return x[::-1]

    with restored(minijvp.core.primitive.registry):
        doubled, turned, cube = Doubled("doubled_"), Turned("turned_"), Elementwise("cube_", lambda x: x**3, None)
        x = mnp.asarray(POINT)
        assert np.array_equal(minijvp.sparsity(doubled)(x).toarray(), np.eye(6)[1:])
        assert minijvp.sparsity(turned)(x).toarray().all()  # it is its own derivative: nothing more is known
        assert minijvp.sparsity(cube)(x).nnz == 0


def test_a_pattern_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []
    follow = programs.follow
    monkeypatch.setattr(programs, "follow", lambda *args: followed.append(1) or follow(*args))
    monkeypatch.setattr(programs, "patterns", {})
    band = BAND.copy()
    jacobian = minijvp.sparse_jacobian(lambda x: mnp.asarray(band) @ x)
    for factor in (1.0, 2.0):
        jacobian(mnp.asarray(POINT) * factor)
    assert len(followed) == 1
    minijvp.jit(jacobian)(mnp.asarray(POINT))
    assert len(followed) == 1
    jacobian(mnp.asarray(POINT).astype("float16"))
    assert len(followed) == 2


def test_what_is_not_sparse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MOST", 20)
    with pytest.raises(ArgumentError, match="not sparse"):
        minijvp.sparsity(mnp.cumsum)(mnp.asarray(POINT))


def dense_products(matrix: np.ndarray, colouring: Any) -> list[np.ndarray]:
    """What forward and reverse mode would give for the colours."""
    columns = [matrix @ (colouring.columns == k) for k in range(colouring.n_columns)]
    return columns + [(colouring.rows == k) @ matrix for k in range(colouring.n_rows)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.floats(0, 1),
    st.integers(0, 2**31),
    st.sampled_from(["auto", "fwd", "rev"]),
)
def test_every_entry_can_be_read(m: int, n: int, density: float, seed: int, mode: str) -> None:
    random = np.random.default_rng(seed)
    where = random.random((m, n)) < density
    where[random.random(m) < 0.2] = True
    where[:, random.random(n) < 0.2] = True
    matrix = where * random.normal(size=(m, n))
    check_read(Pattern.of(where), matrix, mode)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 12), st.floats(0, 0.7), st.integers(0, 2**31))
def test_every_entry_of_a_symmetric_matrix_can_be_read(n: int, density: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = (random.random((n, n)) < density) * random.normal(size=(n, n))
    matrix = matrix + matrix.T
    colouring = check_read(Pattern.of(matrix != 0), matrix, "symmetric")
    assert colouring.n <= n
    pattern = Pattern.of(np.triu(matrix) != 0)  # which need not be symmetric
    beside = pattern.rows != pattern.columns
    assert (pattern.apart[pattern.rows] != pattern.apart[pattern.columns])[beside].all()
    assert sorted(set(pattern.apart)) == list(range(pattern.apart.max(initial=-1) + 1)) and len(pattern.apart) == n


def check_read(pattern: Pattern, matrix: np.ndarray, mode: str) -> Any:
    colouring = pattern.colouring(mode)
    lines, places = colouring.places
    products = dense_products(matrix, colouring)
    found = [products[line][place] for line, place in zip(lines, places, strict=True)]
    np.testing.assert_allclose(found, matrix[pattern.rows, pattern.columns], atol=1e-12)
    return colouring


def test_colours_are_few() -> None:
    n = 50
    eye = np.eye(n, dtype=bool)
    arrow = eye.copy()
    arrow[0] = arrow[:, 0] = True
    band = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 2
    assert Pattern.of(eye).colouring().n == 1
    assert Pattern.of(band).colouring().n == Pattern.of(band).colouring("symmetric").n == 5
    mixed = Pattern.of(arrow).colouring()
    assert (mixed.n_columns, mixed.n_rows) in ((2, 1), (1, 2))
    assert Pattern.of(arrow).colouring("symmetric").n == 2
    assert Pattern.of(arrow[1:]).colouring().n == 2
    assert Pattern.of(arrow[:1]).colouring().n_rows == 1


def test_patterns_show_themselves() -> None:
    pattern = minijvp.sparsity(lambda x: x[1:] * x[:-1])(mnp.ones(5))
    assert str(pattern) == repr(pattern) == "pattern of 4 x 5 with 8 non-zeros (40 %)\n⠙⢦⡀"
    assert pattern == Pattern.of(csr_array(pattern.toarray())) != Pattern.of(np.eye(4, 5))
    colouring = pattern.colouring()
    assert str(colouring).startswith("2 colours (2 of columns, 0 of rows)")
    for shown, kinds in ((pattern, 1), (colouring, 2)):
        assert shown.draw().svg.count("<path") == kinds
        assert sum(line.count("M") for line in shown.draw().svg.splitlines() if "<path" in line) == 8
        assert fromstring(shown.draw().svg).tag.endswith("svg")
        assert "<svg" in shown._repr_html_()
    large = minijvp.sparsity(mnp.sin)(mnp.ones(100_000))
    assert len(large.draw().svg) < 20_000
    assert len(str(large)) < 3_000


def test_nothing_is_kept_of_tracers() -> None:
    """The pattern of a function that closes over a tracer is not kept."""
    programs.patterns.clear()
    with jax.checking_leaks():
        minijvp.jit(lambda a: minijvp.sparse_jacobian(lambda x: a * x)(mnp.ones(3)).data)(2.0)
    assert not programs.patterns
