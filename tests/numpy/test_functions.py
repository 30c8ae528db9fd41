"""Creation, manipulation, operators and methods: each call as jax.numpy answers it, compiled and differentiated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.side_by_side import both

X = np.random.default_rng(0).uniform(0.2, 1.5, (3, 4))
V = X[0]

CASES: dict[str, Any] = {
    # creation
    "zeros": lambda np_, x: np_.zeros((3, 4)) + x,
    "zeros-int": lambda np_, x: np_.zeros(4, np_.int32) + x,
    "ones": lambda np_, x: np_.ones((2, 3, 4), "float32") * x,
    "empty": lambda np_, x: np_.empty((3, 4)) + x,
    "full": lambda np_, x: np_.full((3, 4), 2.5) * x,
    "full-of-array": lambda np_, x: np_.full((2, 4), x[0]),
    "full-typed": lambda np_, x: np_.full(4, 2, np_.float32) * x,
    "likes": lambda np_, x: np_.zeros_like(x) + np_.ones_like(x) * np_.full_like(x, 3) + np_.empty_like(x) + x,
    "likes-typed": lambda np_, x: np_.ones_like(x, np_.int32, (4,)) * x,
    "array-nested": lambda np_, x: np_.array([[x[0, 0], 1.0], [2, x[1, 1]]]),
    "array-rows": lambda np_, x: np_.array([x[0], x[1] * 2, [1, 2, 3, 4.5]]),
    "array-ndmin": lambda np_, x: np_.array(x, ndmin=3),
    "asarray-dtype": lambda np_, x: np_.asarray(x, np_.float32) * np_.asarray([1, 2, 3, 4]),
    "asarray-list": lambda np_, x: np_.asarray([[1, 2], [3, 4.5]]) @ x[:2],
    "arange": lambda np_, x: np_.arange(4) * x + np_.arange(1, 9, 2) - np_.arange(0.0, 1.0, 0.25),
    "linspace": lambda np_, x: np_.linspace(0, 1, 4) * x,
    "linspace-traced": lambda np_, x: np_.linspace(x[0], x[1], 5, axis=1),
    "linspace-open": lambda np_, x: np_.linspace(x[0, 0], 3.0, 5, endpoint=False, retstep=True)[0],
    "linspace-step": lambda np_, x: np_.linspace(x[0, 0], 3.0, 5, retstep=True)[1],
    "eye": lambda np_, x: np_.eye(3) @ x + np_.eye(3, 4, 1) * x + np_.eye(3, 4, -1, np_.int32) * x,
    "identity": lambda np_, x: np_.identity(3) @ x,
    "tri": lambda np_, x: np_.tri(3, 4, 1) * x,
    "meshgrid": lambda np_, x: sum(g.sum(0)[0] * x.sum() for g in np_.meshgrid(x[0], x[1], indexing="ij")),
    "meshgrid-xy": lambda np_, x: np_.meshgrid(x[0], x[:, 1])[1] * x,
    "meshgrid-sparse": lambda np_, x: np_.meshgrid(x[0], x[:, 1], sparse=True)[1] * x,
    "copy": lambda np_, x: (
        np_.copy(x) * 2 + x.copy() * np_.array(x) + np_.array(x, copy=False) * np_.asarray(x, copy=True)
    ),
    "astype-copy": lambda np_, x: np_.astype(x, x.dtype, copy=True) * x.astype(x.dtype, True) + x.astype(x.dtype),
    "astype": lambda np_, x: np_.astype(x, np_.float32) + x.astype(np_.int32) + x.astype("float64"),
    "astype-bool": lambda np_, x: x.astype(bool) * x,
    "astype-complex": lambda np_, x: np_.abs(x.astype(complex) * (1 + 2j)),
    "result_type": lambda np_, x: np_.ones(4, np_.result_type(x, np_.int32)) * x,
    "shape": lambda np_, x: x * (np_.shape(x)[0] + np_.ndim(x) + np_.size(x) + np_.size(x, 1)),
    # manipulation
    "reshape": lambda np_, x: np_.reshape(x, (2, -1)) + x.reshape(2, 6) + x.reshape((6, 2)).T,
    "reshape-F": lambda np_, x: np_.reshape(x, (6, 2), order="F"),
    "ravel": lambda np_, x: np_.ravel(x) + x.flatten() + x.ravel("F"),
    "transpose": lambda np_, x: np_.transpose(x) + x.T + x.transpose(1, 0) + x.transpose((1, 0)) + x.mT,
    "transpose-3": lambda np_, x: np_.transpose(x.reshape(3, 2, 2), (2, 0, -2)),
    "matrix_transpose": lambda np_, x: np_.matrix_transpose(x.reshape(3, 2, 2)),
    "swapaxes": lambda np_, x: np_.swapaxes(x.reshape(3, 2, 2), 0, -1),
    "moveaxis": lambda np_, x: np_.moveaxis(x.reshape(3, 2, 2), (0, 1), (-1, 0)),
    "rollaxis": lambda np_, x: np_.rollaxis(x.reshape(3, 2, 2), 2) + np_.rollaxis(x.reshape(3, 2, 2), 0, 1).sum(),
    "expand_dims": lambda np_, x: np_.expand_dims(x, (0, -1)) + np_.expand_dims(x, 1)[..., None, 0, :, None].sum(),
    "squeeze": lambda np_, x: np_.squeeze(x[:, None, :1], 1) + x[:1].squeeze()[:1],
    "broadcast_to": lambda np_, x: np_.broadcast_to(x[0], (3, 4)) * x,
    "broadcast_arrays": lambda np_, x: sum(np_.broadcast_arrays(x, x[0], 2.0)),
    "atleast": lambda np_, x: np_.atleast_1d(x[0, 0])[0] * np_.atleast_2d(x[0]) * np_.atleast_3d(x)[:, :, 0],
    "atleast-3": lambda np_, x: np_.atleast_3d(x[0]) * np_.atleast_3d(x[0, 0]),
    "concatenate": lambda np_, x: np_.concatenate([x, x[:1] * 2, np_.ones((1, 4), np_.float32)]),
    "concatenate-axis": lambda np_, x: np_.concatenate((x, 2 * x), axis=-1) * np_.concat([x, x], axis=1),
    "concatenate-flat": lambda np_, x: np_.concatenate([x, x[0]], axis=None),
    "stack": lambda np_, x: np_.stack([x, 2 * x], axis=1) + np_.stack([x[0], x[1]], -1).sum(),
    "stacks": lambda np_, x: np_.vstack([x[0], x]).sum() * np_.hstack([x[0], x[1]]) + np_.dstack([x[0], x[1]]).sum(),
    "column_stack": lambda np_, x: np_.column_stack([x[:, 0], x]),
    "hstack-matrix": lambda np_, x: np_.hstack([x, x[:, :1]]),
    "append": lambda np_, x: np_.append(x, x[0] * 3) * np_.append(x, x[:1], axis=0).sum(),
    "split": lambda np_, x: np_.split(x, 2, axis=1)[1] * np_.split(x, [1, 3], 1)[1],
    "splits": lambda np_, x: np_.array_split(x, 3, 1)[0] * np_.hsplit(x, 2)[0] + np_.vsplit(x, 3)[2][:, :2],
    "unstack": lambda np_, x: np_.unstack(x, axis=1)[2] * x[:, 0],
    "flip": lambda np_, x: np_.flip(x) * np_.flip(x, 0) + np_.fliplr(x) - np_.flipud(x),
    "rot90": lambda np_, x: sum(np_.rot90(x, k).sum(0)[0] * x[0] for k in range(-1, 4)),
    "roll": lambda np_, x: np_.roll(x, 3) + np_.roll(x, -1, 0) * np_.roll(x, (1, 2), (0, 1)),
    "tile": lambda np_, x: np_.tile(x, (2, 1, 3)) + np_.tile(x[0], 3),
    "pad-sides": lambda np_, x: np_.pad(x, 1, constant_values=(x[0, 0], 2.0)),
    "pad-axes": lambda np_, x: np_.pad(x, ((1, 2), (0, 1)), constant_values=((1.0, x[0, 1]), (x[2, 0], 3.0))),
    "repeat": lambda np_, x: np_.repeat(x, 2, axis=1) + np_.repeat(x[0], 2),
    "repeat-total": lambda np_, x: np_.repeat(x, np_.astype(x[:, 0] > 0.5, int) + 1, 0, total_repeat_length=5),
    "repeat-counts": lambda np_, x: np_.repeat(x, np.asarray([1, 0, 2]), axis=0) * x.repeat(np.asarray([3, 0, 0]), 0),
    "pad": lambda np_, x: np_.pad(x, ((1, 0), (2, 1)), constant_values=2.0),
    "pad-modes": lambda np_, x: sum(
        np_.pad(x, 2, mode).sum(0)[:4] * x for mode in ("edge", "reflect", "symmetric", "wrap")
    ),
    "pad-other-modes": lambda np_, x: (
        np_.pad(x, 1, "mean") * np_.pad(x, ((0, 2), (2, 2)), "maximum", stat_length=2)[:5, :6]
        + np_.pad(x, 1, "linear_ramp", end_values=2.0)
        + np_.pad(x, 1, "reflect", reflect_type="odd")
        + np_.pad(x, 1, constant_values=((1, 2), (3, 4)))
        + np_.pad(x, 1, constant_values=x[0, 0])
    ),
    "tril": lambda np_, x: np_.tril(x) + np_.triu(x, 1) * 2 + np_.tril(x, -1) * 3,
    "diagonal": lambda np_, x: np_.diagonal(x, 1) * np_.diagonal(x, -1)[:1].sum() + x.diagonal(),
    "diag": lambda np_, x: np_.diag(x[0], 1) + np_.diag(x[0], -1) + np_.diag(np_.diag(x, 1), 2)[0, 2],
    "sort": lambda np_, x: np_.sort(x) * np_.sort(x, axis=0, descending=True) + np_.sort(x, None)[2],
    "argsort-dtype": lambda np_, x: (
        np_.argsort(x, 0, dtype=np_.int32) + np_.argsort(x > 0.8, descending=True, dtype="int8")
    ),
    "argsort": lambda np_, x: np_.argsort(x) * x + np_.argsort(x, axis=0, descending=True) * x + x.argsort(None)[0],
    # operators and methods
    "operators": lambda np_, x: (x + 1) * (2 - x) / (x + 3) - x**2 // 1 + x % 0.3 + (-x) + (+x) + abs(x - 1),
    "reflected": lambda np_, x: 2.0**x + 1 / x + (3 // x) + (2 % x) + (1 - x) + np.float64(2.0) * x + V * x + V / x,
    "numpy-left": lambda np_, x: (V - x) * (V @ x.T)[:, None] * np.where(V > 1, 1.0, 2.0) + np.float32(3) ** x,
    "matmul": lambda np_, x: x @ x.T + V @ x.T,
    "comparisons": lambda np_, x: ((x > 0.5) & (x <= 1.0) | ~(x == x[0, 0]) ^ (x != 1) & (V < x)) * x,
    "shifts": lambda np_, x: ((np_.arange(4) << 2) >> 1) * x + (1 << np_.arange(4)),
    "divmod": lambda np_, x: divmod(x, 0.4)[0] + divmod(1.0, x)[1],
    "round": lambda np_, x: round(x, 1) + x.round(2) + np_.round(x * 7),
    "methods": lambda np_, x: x.sum(0) + x.mean(0) + x.max(0) * x.min() + x.prod(0) + x.var() + x.std(1).sum(),
    "more-methods": lambda np_, x: x.clip(0.3, 1.0) + x.cumsum(1) * x.cumprod(0) + x.argmax() + x.ptp() + x.trace(),
    "conj": lambda np_, x: ((x + 1j) * x.conj() * (x * 1j).conjugate()).real + (x * 1j).imag,
    "logic-methods": lambda np_, x: (
        x * x.all() + x.any() + x.argmin(1)[:, None] + x.copy() + x.take(np.asarray([1, 2]))[0]
    ),
    "indexing": lambda np_, x: x[1] + x[:, 2:].sum() + x[..., None, 0].sum() + x[np.asarray([0, 2]), 1].sum(),
    "at": lambda np_, x: x.at[0].set(1.0).at[1, 2].add(x[0, 0]) * x.at[:, 1].multiply(2.0),
    "iteration": lambda np_, x: sum(row * i for i, row in enumerate(x)) + len(x),
    "dot": lambda np_, x: x.dot(V) + x.squeeze().swapaxes(0, 1).repeat(3, 0).sum() + x.sort(0)[0].sum(),
}


@pytest.mark.parametrize("name", CASES)
def test_like_jax_numpy(name: str) -> None:
    case = CASES[name]
    x = jnp.asarray(X)

    @jax.jit
    def judged(x: Any) -> tuple[Any, Any]:
        expected = case(jnp, x)
        smooth = jnp.issubdtype(expected.dtype, jnp.floating)
        return expected, jax.grad(lambda x: jnp.sum(jnp.sin(case(jnp, x))))(x) if smooth else None

    expected, slope = judged(x)
    for actual in (minijvp.jit(lambda x: case(mnp, x))(x), case(mnp, x)):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-12)
    if slope is not None:
        gradient = minijvp.grad(lambda x: mnp.sum(mnp.sin(case(mnp, x))))(x)
        np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-12)


def test_creation_is_part_of_the_program() -> None:
    jaxpr = minijvp.make_jaxpr(lambda: (mnp.zeros((1000, 1000)), mnp.ones(5), mnp.eye(3), mnp.arange(4)))()
    assert not jaxpr.constants


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("3 elements; the shape must hold as many", lambda x: x.reshape(2, -1)),
        ("do not broadcast", lambda x: x + mnp.ones(2)),
        ("axis=3", lambda x: mnp.stack([x, x], 3)),
        ("names an axis twice", lambda x: mnp.transpose(x[None], (0, 0))),
        ("equal parts", lambda x: mnp.split(x, 2)),
        ("no arrays", lambda x: mnp.concatenate([]) + x),
        ("order='X'", lambda x: mnp.reshape(x, 3, order="X")),
        ("received the shape", lambda x: mnp.zeros(x) + x),
        ("of type list", lambda x: mnp.sin([1.0, 2.0]) + x),
        ("shapes", lambda x: mnp.stack([x, mnp.ones(4)])),
        ("entries have shapes", lambda x: mnp.array([x, x[:2]])),
        ("cannot repeat", lambda x: mnp.broadcast_to(x, (3, 2))),
        ("pad_width=-1", lambda x: mnp.pad(x, -1)),
        ("out is not supported", lambda x: mnp.round(x, out=x)),
        ("vector or a matrix", lambda x: mnp.diag(x[None, None])),
    ],
)
def test_bad_arguments(message: str, call: Any) -> None:
    with pytest.raises(minijvp.ArgumentError, match=message):
        minijvp.jit(call)(np.ones(3))


def test_weak_complex_numbers_meet_python_floats() -> None:
    out, tangent = minijvp.jvp(lambda z: 2.0 * z * 3, (1 + 2j,), (1 + 0j,))
    assert (out, tangent) == (6 + 12j, 6)
    assert minijvp.grad(lambda z: (z * 2.0).real)(1 + 2j) == 2
    assert minijvp.vmap(lambda z: z - 1.0)(mnp.array([1j]))[0] == -1 + 1j


def test_what_is_no_array_is_left_to_the_other_operand() -> None:
    class Other:
        def __radd__(self, x: Any) -> str:
            return "mine"

    assert minijvp.grad(lambda x: (x + Other(), x)[1])(1.0) == 1.0
    with pytest.raises(TypeError, match="unsupported operand"):
        minijvp.grad(lambda x: x + "a")(1.0)
    with pytest.raises(minijvp.ForeignFunctionError, match=r"numpy\.sin"):
        minijvp.grad(np.sin)(1.0)


def test_the_correlation_of_a_constant_has_no_derivative_in_either_mode() -> None:
    """It is 0/0, and nan as in JAX: what is nan shows through the clipping to [-1, 1]."""
    x, y = jnp.full(3, 2.0), jnp.array([1.0, 2.0, 4.0])
    fun, theirs = lambda x: mnp.corrcoef(x, y)[0, 1], lambda x: jnp.corrcoef(x, y)[0, 1]
    assert np.isnan(jax.jvp(theirs, (x,), (y,))[1])
    assert np.isnan(minijvp.jvp(fun, (x,), (y,))[1])
    assert np.isnan(jax.grad(theirs)(x)).all()
    for gradient in (minijvp.grad(fun), minijvp.jit(minijvp.grad(fun))):
        assert np.isnan(gradient(x)).all()
    clipped = lambda x: mnp.clip(mnp.sqrt(x), 0.0, 1.0)
    assert np.isnan(minijvp.jvp(clipped, (-1.0,), (1.0,))[1])
    assert np.isnan(minijvp.grad(clipped)(-1.0))


class Parameter:
    """What is no array, and stands for one, as libraries on JAX have it."""

    def __init__(self, value: Any):
        self.value = value

    def __jax_array__(self) -> Any:
        return self.value


STANDING: dict[str, Any] = {
    "asarray": lambda np_, x, p: np_.asarray(p(x), np_.float32) * np_.array(p(x)),
    "nested": lambda np_, x, p: np_.array([p(x[0]), x[1] * 2]) + np_.asarray([[p(x[0, 0])], [p(x[1, 1])]]),
    "operators": lambda np_, x, p: (x + p(x)) * p(x[0]) - x / p(V),
    "right": lambda np_, x, p: (x < p(V)) * (x + p(x)) @ p(x.T),
    "joined": lambda np_, x, p: np_.concatenate([p(x), np_.stack([p(x[0]), x[1]])]),
    "reshape": lambda np_, x, p: np_.reshape(p(x), (2, 6)) * np_.zeros_like(p(x), shape=(6,)) + np_.ones(6) * x[0, 0],
    "at": lambda np_, x, p: x.at[0].set(p(x[1])),
    "einsum": lambda np_, x, p: np_.einsum("ij,ij->i", p(x), x),
    "bridged": lambda np_, x, p: np_.abs(np_.fft.fft(p(x))),
    "sizes": lambda np_, x, p: x * np_.shape(p(x))[0] * np_.ndim(p(x)) * np_.size(p(x)),
}


@pytest.mark.parametrize("name", STANDING)
def test_what_stands_for_an_array(name: str) -> None:
    case = STANDING[name]
    both(lambda api, np_: api.jit(lambda x: case(np_, x, Parameter))(X))
    both(lambda api, np_: api.vmap(lambda x: case(np_, x, Parameter))(X[None]))
    both(lambda api, np_: api.grad(lambda x: (case(np_, x, Parameter) ** 2).sum())(X))


@pytest.mark.parametrize("axis", [0, 1])
def test_axes_of_size_0(axis: int) -> None:
    for shape in ((0, 3), (3, 0)):
        x = np.zeros(shape)
        both(lambda api, np_: api.vmap(lambda x: np_.fft.ifft(np_.fft.fft(x, axis=axis), axis=axis))(x[None]))
        both(lambda api, np_: api.grad(lambda x: np_.fft.fft(x, axis=axis).real.sum())(x))
        both(lambda api, np_: api.jit(lambda x: np_.unstack(x, axis=axis))(x))
        both(lambda api, np_: api.vmap(lambda x: np_.unstack(x, axis=axis))(x[None]))


X_UNTRACED = jnp.arange(4.0)
FOREIGN: dict[str, Any] = {
    "and for an index: minijvp.numpy.asarray(x)[i]": lambda i: X_UNTRACED[i],
    "in minijvp.numpy, and for an index: minijvp.numpy.asarray(x)[i]": lambda i: X_UNTRACED[..., i],
    "minijvp.numpy.asarray(x).at[i].set(v)": lambda i: X_UNTRACED.at[i].set(1.0),
    "minijvp.numpy.asarray(x).at[i].add(v)": lambda i: X_UNTRACED.at[0].add(i[0]),
    "minijvp.numpy.asarray(x)[i]": lambda i: V[i],
    "write in its place: minijvp.numpy.sin(i)": lambda i: jnp.sin(i),
    "minijvp.numpy.sum(i)": lambda i: jnp.sum(i),
    "minijvp.numpy.concatenate([X_UNTRACED, i])": lambda i: jnp.concatenate([X_UNTRACED, i]),
    "minijvp.nn.one_hot(i, 3)": lambda i: jax.nn.one_hot(i, 3),
    "minijvp.numpy.take(X_UNTRACED, i)": lambda i: jnp.take(X_UNTRACED, i),
}


@pytest.mark.parametrize("advice", FOREIGN)
def test_functions_of_jax_say_what_to_write(advice: str) -> None:
    for transform in (minijvp.jit, minijvp.vmap):
        with pytest.raises(minijvp.ForeignFunctionError) as raised:
            transform(lambda i: FOREIGN[advice](i))(
                np.array([[0, 1]]) if transform is minijvp.vmap else np.array([0, 1])
            )
        assert advice in raised.value.do
        line = FOREIGN[advice].__code__.co_firstlineno
        assert f"{__file__}:{line} " in raised.value.what


def test_a_range_of_a_tracer_says_what_to_write() -> None:
    with pytest.raises(minijvp.ConcretizationError, match=r"range\(n\)") as raised:
        minijvp.jit(lambda n: sum(range(n)))(3)
    assert __file__ in raised.value.what and "range(n)" in raised.value.what and "fori_loop" in raised.value.do


CLOSING: dict[str, Any] = {
    "piecewise": lambda np_, x: np_.piecewise(x, [x < 0.5], [lambda v: v * x[0, 0], lambda v: x[1, 1]]),
    "piecewise-itself": lambda np_, x: (lambda y: np_.piecewise(V, [V < 0.5], [lambda v: y, lambda v: v]))(x[0, 0]),
    "apply_along_axis": lambda np_, x: np_.apply_along_axis(lambda v: np_.sum(v) * x, 0, np.ones((2, 2))),
    "apply_over_axes": lambda np_, x: np_.apply_over_axes(lambda a, axis: np_.sum(a, axis) * x[0, 0], x, [0]),
    "fromfunction": lambda np_, x: np_.fromfunction(lambda i, j: x[i, j] * (i + j), (2, 3), dtype=int),
    "vectorize": lambda np_, x: np_.vectorize(lambda a: a * x[0], signature="()->(n)")(np.ones(3)),
    "frompyfunc": lambda np_, x: np_.frompyfunc(lambda a, b: a + b * x[0, 0], 2, 1, identity=0).reduce(x, axis=0),
    "pad": lambda np_, x: np_.pad(
        x, 1, lambda v, width, axis, options: v.at[: width[0]].set(x[0, 0]).at[v.shape[0] - width[1] :].set(0.0)
    ),
}


@pytest.mark.parametrize("name", CLOSING)
def test_what_is_called_closes_over_traced_values(name: str) -> None:
    def case(api: Any, np_: Any) -> Any:
        fun = lambda x: CLOSING[name](np_, x)
        total = lambda x: np_.sum(np_.sin(fun(x)))
        batch = np.stack([X, 2 * X])
        return fun(jnp.array(X)), api.jit(fun)(X), api.vmap(fun)(batch), api.grad(total)(X), api.jit(api.grad(total))(X)

    both(case)


BY_VALUES: dict[str, tuple[str, Any]] = {
    "unique": ("size=", lambda np_, x: np_.unique(x)),
    "unique_counts": ("size=", lambda np_, x: np_.unique_counts(x)),
    "nonzero": ("size=", lambda np_, x: np_.nonzero(x)),
    "where": ("size=", lambda np_, x: np_.where(x > 1)),
    "argwhere": ("size=", lambda np_, x: np_.argwhere(x)),
    "flatnonzero": ("size=", lambda np_, x: np_.flatnonzero(x)),
    "extract": ("size=", lambda np_, x: np_.extract(x > 1, x)),
    "compress": ("size=", lambda np_, x: np_.compress(x > 1, x)),
    "union1d": ("size=", lambda np_, x: np_.union1d(x, x)),
    "intersect1d": ("size=", lambda np_, x: np_.intersect1d(x, x)),
    "setdiff1d": ("size=", lambda np_, x: np_.setdiff1d(x, x)),
    "setxor1d": ("size=", lambda np_, x: np_.setxor1d(x, x)),
    "bincount": ("needs a value", lambda np_, x: np_.bincount(x.astype(int))),
    "repeat": ("total_repeat_length", lambda np_, x: np_.repeat(x, x.astype(int))),
    "split": ("Python numbers", lambda np_, x: np_.split(x, x.astype(int))),
    "arange": ("static_argnums", lambda np_, x: np_.arange(x[0])),
    "polymul": ("size", lambda np_, x: np_.polymul(x, x, trim_leading_zeros=True)),
    "polydiv": ("leading zeros", lambda np_, x: np_.polydiv(x, x[:2], trim_leading_zeros=True)),
    "mask": (r"mnp\.where", lambda np_, x: x[x > 1]),
    "mask-of-an-update": (r"mnp\.where", lambda np_, x: x.at[x > 1].set(x)),
}


@pytest.mark.parametrize("name", BY_VALUES)
def test_shapes_by_values_that_are_not_known(name: str) -> None:
    """The error is one of JAX's kind, by JAX's name of it."""
    advice, fun = BY_VALUES[name]
    for ours, theirs in ((minijvp.jit, jax.jit), (minijvp.vmap, jax.vmap)):
        x = np.arange(3.0) if ours is minijvp.jit else np.ones((2, 3))
        with pytest.raises((TypeError, IndexError)) as wanted:
            theirs(lambda x: fun(jnp, x))(x)
        with pytest.raises(getattr(minijvp.errors, wanted.type.__name__), match=advice) as raised:
            ours(lambda x: fun(mnp, x))(x)
        kind = next(cls for cls in wanted.type.__mro__ if cls.__module__ == "builtins")
        assert issubclass(raised.type, kind)


def test_shapes_by_known_values() -> None:
    x = np.array([1.0, 2.0, 4.0, 5.0])

    def case(api: Any, np_: Any) -> Any:
        places = lambda x: [p.sum() * i for i, p in enumerate(np_.split(x * 2, x[:2].astype(int)))]
        counted = lambda x: np_.sum(np_.arange(x[1]) * x[:2])
        repeated = lambda x: np_.sum(np_.repeat(x, x.astype(int)) ** 2)
        product = lambda x: np_.sum(np_.polymul(x * np.array([0.0, 1, 1, 1]), x[1:], trim_leading_zeros=True) ** 2)
        cases = lambda x: sum(places(x)), counted, repeated, product
        return [(api.grad(f)(x), api.jvp(f, (x,), (x,))) for f in cases]

    both(case)


def test_evenly_spaced_numbers_have_derivatives() -> None:
    """In JAX they have none: what is left of a value that is looked at is a constant."""
    x = np.array([1.0, 2.0, 4.0, 5.0])
    ours = lambda x: mnp.sum(mnp.sin(mnp.arange(x[0], x[3], x[1])) * x[:2] + mnp.arange(x[1], 3.5)[0])
    plain = lambda x: jnp.sum(jnp.sin(x[0] + x[1] * jnp.arange(2)) * x[:2] + x[1])
    np.testing.assert_allclose(ours(x), plain(x), rtol=1e-12)
    np.testing.assert_allclose(minijvp.grad(ours)(x), jax.grad(plain)(x), rtol=1e-12)
    np.testing.assert_allclose(minijvp.hessian(ours)(x), jax.hessian(plain)(x), rtol=1e-12)
    out, tangent = minijvp.jvp(lambda s: mnp.arange(s, 4), (jnp.bfloat16(1),), (jnp.bfloat16(2),))
    assert (out.tolist(), tangent.tolist(), tangent.dtype) == ([1, 2, 3], [2, 2, 2], jnp.bfloat16)
    assert not minijvp.grad(lambda x: mnp.sum(mnp.arange(x, 4.0, dtype=int) * 1.0))(1.0)


def test_the_rest_of_a_division_has_a_derivative_without_its_zeros_too() -> None:
    """In JAX it has none then: what is left of a value that is looked at is a constant."""
    x, total = jnp.array([1.0, 2.0, 4.0, 5.0]), lambda parts: sum(jnp.sum(jnp.sin(part)) for part in parts)
    ours = lambda x: mnp.concatenate(mnp.polydiv(x, x[:2], trim_leading_zeros=True))
    assert [part.shape for part in mnp.polydiv(x, x[:2], trim_leading_zeros=True)] == [(3,), (1,)]
    assert minijvp.grad(lambda x: mnp.polydiv(x, x, trim_leading_zeros=True)[1].sum())(x).tolist() == [0.0] * 4
    wanted = jax.grad(lambda x: total(jnp.polydiv(x, x[:2])))(x)
    np.testing.assert_allclose(minijvp.grad(lambda x: mnp.sin(ours(x)).sum())(x), wanted, rtol=1e-12)


def test_there_is_no_memory_to_write_to() -> None:
    for fun in (lambda np_, x: np_.sum(x, out=x), lambda np_, x: np_.einsum("i", x, out=x)):
        for library, np_ in ((minijvp, mnp), (jax, jnp)):
            with pytest.raises(NotImplementedError, match="out"):
                library.jit(lambda x: fun(np_, x))(V)
