"""Gradients that recur: the compiled ones are those of the plain way, whatever Python does in the function."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.optimize.eager import recurring as gradients
from minijvp.optimize.eager.recurring import history, tree
from tests.side_by_side import same

CALLS = 5


@pytest.fixture(autouse=True)
def recurring() -> Iterator[None]:
    tree.forget()
    with minijvp.config(compile_gradients_after=3):
        yield
    tree.forget()


def newton(a: Any) -> Any:
    x = a
    while abs(x * x - a) > 1e-9:
        x = (x + a / x) / 2
    return x


def buffer(x: Any) -> Any:
    weights = np.ones(4)
    total = mnp.sum(x * weights)
    weights[:] = 2.0  # the first product has been taken
    return total + mnp.sum(x**2 * weights)


def kept(x: Any) -> Any:
    mask = np.asarray(x > 1)
    return mnp.sum(x[mask] ** 2) * float(minijvp.stop_gradient(mnp.max(x)))


A = jnp.arange(4.0)
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple]] = {
    "elementwise": (lambda x: mnp.sum(mnp.sin(x) * x + 1), (A,)),
    "a loop until it converges": (newton, (2.0,)),
    "an array that changes": (buffer, (A,)),
    "values that select": (lambda x: mnp.sum(x[x > 1] ** 2) + mnp.sum(x[mnp.nonzero(x > 2)[0]]), (A,)),
    "literals": (lambda x: mnp.sum(x * 0.0 + x * -0.0 + x**2 * True + x * 1), (A,)),
    "jit": (lambda x: minijvp.jit(lambda y: mnp.sum(y * y))(x), (A,)),
    "scan": (lambda x: lax.scan(lambda c, y: (c * y + 1, c), mnp.sum(x), x)[0], (A,)),
    "cond": (lambda x: lax.cond(x[1] > 0, lambda y: mnp.sum(y), lambda y: mnp.sum(y**2), x), (A,)),
    "while": (lambda x: lax.while_loop(lambda c: c < 50, lambda c: c * 2, mnp.sum(x)), (A,)),
    "a gradient inside": (lambda x: mnp.sum(minijvp.grad(lambda y: mnp.sum(y**3) * x[0])(x)), (A,)),
    "vmap": (lambda x: mnp.sum(minijvp.vmap(lambda y: mnp.sin(y) * x[1])(x)), (A,)),
    "checkpoint": (lambda x: minijvp.checkpoint(lambda y: mnp.sum(mnp.sin(y) * y))(x), (A,)),
    "JAX": (lambda x: minijvp.from_jax(lambda y: jnp.sum(jnp.sin(y) * y))(x), (A,)),
    "random numbers": (lambda x: mnp.sum(minijvp.random.normal(minijvp.random.key(0), (4,)) * x), (A,)),
    "a tree": (lambda p: p["w"] * mnp.sin(p["b"]), ({"w": 2.0, "b": jnp.float32(3)},)),
    "a constant": (lambda x: 3.0, (A,)),
    "a branch": (lambda x: x**2 if x > 0 else -x, (-2.0,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_compiled_gradient_is_the_plain_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "COMPILED_ALREADY", np.inf)
    fun, args = FUNCTIONS[name]
    with minijvp.config(compile_gradients_after=None):
        value, gradient = minijvp.value_and_grad(fun)(*args)
    for _ in range(CALLS):
        found, slopes = minijvp.value_and_grad(fun)(*args)
        assert found == pytest.approx(value)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), slopes, gradient)
        assert jax.tree.map(lambda x: (x.dtype, x.weak_type), slopes) == jax.tree.map(
            lambda x: (x.dtype, x.weak_type), gradient
        )
    assert tree.programs == (name != "a constant")


ROUNDED = [
    lambda x: mnp.sin(x) * x + mnp.exp(-x * x),
    lambda x: 2 * x**3 - 6 * x**2 + x + 1,
    lambda x: mnp.log1p(mnp.exp(x)) * mnp.cos(x),
    lambda x: mnp.sum(mnp.sin(mnp.arange(5.0) * x) * x),
]


@pytest.mark.parametrize("number", range(len(ROUNDED)))
def test_calls_of_one_kind_agree_to_the_bit(number: int) -> None:
    f, x = ROUNDED[number], 1.7
    for after, of_one_kind in ((1, [0, 1, 2, 3, 4]), (None, [0, 1, 2, 3, 4]), (3, [2, 3, 4]), (3, [0, 1])):
        tree.forget()
        with minijvp.config(compile_gradients_after=after):
            values, gradients = zip(*[minijvp.value_and_grad(f)(x) for _ in range(5)], strict=True)
            tree.forget()
            alone = [minijvp.grad(f)(x) for _ in range(5)]
        for results in (values, gradients, alone):
            assert len({float(results[i]) for i in of_one_kind}) == 1
            same(list(results), [results[0]] * 5, 4e-16 * 8)
        assert [float(gradients[i]) for i in of_one_kind] == [float(alone[i]) for i in of_one_kind]


def test_what_is_compiled_already_is_not_compiled_again() -> None:
    @minijvp.jit
    def inner(x: Any) -> Any:
        for _ in range(3):
            x = mnp.sin(x) * x + 1
        return mnp.sum(x)

    for _ in range(CALLS):
        found = minijvp.grad(lambda x: inner(x) * 2)(A)
    np.testing.assert_allclose(found, 2 * minijvp.jit(minijvp.grad(inner))(A))
    assert tree.programs == 0


def test_values_that_python_uses() -> None:
    for k in range(2 * CALLS):
        x = jnp.asarray([0.5, 2.0, 3.0 + k])
        wanted = np.where(x > 1, 2 * x, 0) * (3.0 + k)
        np.testing.assert_allclose(minijvp.grad(kept)(x), wanted)


def test_asking_in_every_turn_is_no_more_work_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a value has a derivative is found once for each operation, however often Python asks."""
    judged: list[Any] = []
    original = gradients.with_tangent
    monkeypatch.setattr(gradients, "with_tangent", lambda e, active: judged.append(e) or original(e, active))

    def steps(x: Any) -> Any:
        for _ in range(40):
            x = mnp.sin(x) if x > 0 else -x
        return x

    for _ in range(CALLS):
        minijvp.grad(steps)(1.0)
    assert 0 < len(judged) <= 80
    assert len(set(map(id, judged))) == len(judged)


def test_every_path_through_the_function_is_a_program() -> None:
    def steps(x: Any, n: int) -> Any:
        for _ in range(n):
            x = mnp.sin(x)
        return x if x > 0 else -2 * x

    for k in range(24):
        n, x = 1 + k % 3, (-1.0) ** (k // 3)
        found = minijvp.grad(steps)(x, n)
        wanted = jax.grad(lambda x, n=n: jnp.sign(x) ** 2 * steps_of_jax(x, n))(x)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert tree.programs == 6


def steps_of_jax(x: Any, n: int) -> Any:
    for _ in range(n):
        x = jnp.sin(x)
    return jnp.where(x > 0, x, -2 * x)


def test_what_the_function_closes_over_may_change() -> None:
    scale = jnp.asarray(2.0)
    for k in range(2 * CALLS):
        scale = jnp.asarray(float(k))
        factor = k % 2 + 1.0  # part of the program

        def loss(x: Any, scale: Any = scale, factor: float = factor) -> Any:
            return mnp.sum(x * scale * factor)

        np.testing.assert_allclose(minijvp.grad(loss)(A), np.full(4, k * factor))
    assert tree.programs == 2


def test_one_array_twice_is_another_program_than_two_arrays() -> None:
    x, low, high = jnp.arange(5.0), jnp.full(5, 1.0), jnp.full(5, 3.0)
    found = []
    for a, b in 4 * [(low, low)] + 4 * [(low, high)]:
        found.append(minijvp.grad(lambda x: mnp.sum(lax.clamp(a, x, b) * x))(x))
    np.testing.assert_array_equal(found, 4 * [[1, 1, 1, 1, 1]] + 4 * [[1, 1, 4, 3, 3]])


def test_types_and_argnums() -> None:
    def loss(x: Any, y: Any) -> Any:
        return (mnp.sum(x) * y) ** 2

    for dtype, n in [(jnp.float32, 3), (jnp.float64, 3), (jnp.float32, 4)]:
        for _ in range(CALLS):
            x = jnp.ones(n, dtype)
            gx, gy = minijvp.grad(loss, argnums=(0, "y"))(x, y=jnp.asarray(2.0, dtype))
            assert (gx.dtype, gx.shape, gy.dtype) == (dtype, (n,), dtype)
            np.testing.assert_allclose(gx, 8 * n * np.ones(n))
            np.testing.assert_allclose(gy, 4 * n * n)
    for _ in range(CALLS):
        gradient = minijvp.grad(lambda n, x: n * x, argnums=(0, 1), allow_int=True)(3, 2.0)
        assert gradient[0].dtype == jax.dtypes.float0
        assert float(gradient[1]) == 3.0
        assert minijvp.grad(lambda z: z**2, holomorphic=True)(1 + 2j) == pytest.approx(2 + 4j)


def test_auxiliary_data() -> None:
    def loss(x: Any) -> Any:
        y = x * 2
        return mnp.sum(y), {"y": y, "n": 3, "positive": y > 2, "name": "loss", "key": jnp.ones(2)}

    for _ in range(CALLS):
        (value, aux), gradient = minijvp.value_and_grad(loss, has_aux=True)(A)
        assert float(value) == 12
        assert (aux["n"], aux["name"]) == (3, "loss")
        np.testing.assert_array_equal(aux["y"], 2 * A)
        np.testing.assert_array_equal(aux["positive"], A > 1)
        np.testing.assert_array_equal(gradient, np.full(4, 2.0))


def test_values_without_a_derivative_outlive_the_function() -> None:
    seen: list[Any] = []

    def loss(x: Any) -> Any:
        seen.append(minijvp.stop_gradient(mnp.sum(x)) * 2)
        return mnp.sum(x**2)

    gradient = minijvp.grad(loss)
    for k in range(CALLS):
        gradient(A + k)
    for k, y in enumerate(seen):
        wanted = float(2 * jnp.sum(A + k))
        assert float(y) == wanted
        assert float(mnp.sqrt(y) ** 2) == pytest.approx(wanted)
        assert float(jnp.asarray(y)) == wanted
        assert float(np.asarray(y)) == wanted
        assert repr(y) == repr(jnp.asarray(wanted, A.dtype))
        assert float(minijvp.jit(lambda z: z + 1)(y)) == wanted + 1
        assert float(minijvp.grad(lambda z, y=y: z * y)(1.0)) == wanted
        assert float(minijvp.jvp(lambda z, y=y: z * y, (1.0,), (1.0,))[1]) == wanted
        assert float(minijvp.grad(lambda z: z * z)(y)) == 2 * wanted
        assert float(minijvp.jit(lambda z, y=y: z * y)(1.0)) == wanted
        np.testing.assert_array_equal(minijvp.vmap(lambda z, y=y: z * y)(jnp.ones(2)), [wanted, wanted])
        np.testing.assert_array_equal(loss_with(y)(A), np.full(4, wanted))


def loss_with(y: Any) -> Callable[[Any], Any]:
    gradient = minijvp.grad(lambda x: mnp.sum(x * y))

    def last(x: Any) -> Any:
        return [gradient(x) for _ in range(CALLS)][-1]

    return last


def test_values_with_a_derivative_do_not() -> None:
    seen: list[Any] = []
    gradient = minijvp.grad(lambda x: (seen.append(x), x * x)[1])
    for _ in range(CALLS):
        gradient(3.0)
    for x in seen:
        with pytest.raises(minijvp.EscapedTracerError):
            mnp.sin(x)
        with pytest.raises(minijvp.MinijvpError):
            float(x)


def test_a_number_without_its_derivative_is_refused_in_every_call() -> None:
    gradient = minijvp.grad(lambda x: x * float(x))
    for _ in range(CALLS):
        with pytest.raises(minijvp.ConcretizationError, match="stop_gradient"):
            gradient(2.0)


def test_what_only_the_plain_way_can_do() -> None:
    def loss(x: Any) -> Any:
        positive = x > 1
        assert isinstance(positive, jax.Array) or len(calls) < CALLS
        calls.append(jnp.unique(positive).shape)  # a function of JAX that wants values
        return mnp.sum(x)

    calls: list[Any] = []
    for _ in range(CALLS):
        np.testing.assert_array_equal(minijvp.grad(loss)(A), np.ones(4))
    assert set(calls) == {(2,)}


def test_errors_of_the_function_are_its_own() -> None:
    def loss(x: Any) -> Any:
        if x > 3:
            raise KeyError("too large")
        return x * x

    for k in range(CALLS):
        assert float(minijvp.grad(loss)(1.0 + 0.1 * k)) == pytest.approx(2.0 + 0.2 * k)
    with pytest.raises(KeyError, match="too large"):
        minijvp.grad(loss)(4.0)
    assert float(minijvp.grad(loss)(1.0)) == 2.0
    for _ in range(CALLS):
        with pytest.raises(minijvp.ArgumentError, match="one number"):
            minijvp.grad(lambda x: x * 2)(A)


def test_effects_happen_once_in_each_call() -> None:
    seen: list[float] = []

    def loss(x: Any) -> Any:
        jax_debug(lambda y: seen.append(float(y)), x)
        return x * x

    jax_debug = minijvp.from_jax(debug)
    for k in range(CALLS):
        assert float(minijvp.grad(loss)(1.0 + k)) == 2.0 + 2 * k
        jax.effects_barrier()
        assert seen == [1.0 + i for i in range(k + 1)]


def debug(callback: Callable[[Any], None], x: Any) -> None:
    jax.debug.callback(callback, x)


def test_a_function_that_is_always_new_is_left_alone() -> None:
    counter = iter(range(10_000))
    gradient = minijvp.grad(lambda x: x * float(next(counter)))
    for k in range(2 * gradients.MISSES):
        assert float(gradient(1.0)) == k
    past = history(gradient.__wrapped__)  # type: ignore[attr-defined]
    assert past is not None
    assert past.misses == gradients.MISSES
    assert tree.operations == gradients.MISSES
    assert tree.programs == 0


def test_the_tree_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "PROGRAMS", 3)
    for n in range(1, 8):
        for _ in range(3):
            minijvp.grad(lambda x: mnp.sum(x**2))(jnp.ones(n))
        assert tree.programs <= 4
    assert len(tree.roots) <= 4


def test_nothing_keeps_the_arguments() -> None:
    class Holder:
        pass

    holder = Holder()
    array = jnp.ones(3)
    gone = weakref.ref(holder)
    gradient = minijvp.grad(lambda x, holder: mnp.sum(x * array))
    for _ in range(CALLS):
        gradient(jnp.ones(3), holder)
    del gradient, holder
    gc.collect()
    assert gone() is None


def test_it_can_be_switched_off_and_postponed() -> None:
    gradient = minijvp.grad(lambda x: x**3)
    with minijvp.config(compile_gradients_after=None):
        for _ in range(CALLS):
            gradient(2.0)
    assert tree.programs == 0
    with minijvp.config(compile_gradients_after=5):
        for k in range(6):
            assert float(gradient(2.0)) == 12.0
            assert tree.programs == (k >= 4)
    tree.forget()
    with minijvp.config(compile_gradients_after=1):
        gradient(2.0)
    assert tree.programs == 1


def test_settings_that_cannot_be() -> None:
    with pytest.raises(minijvp.ArgumentError, match="no setting 'compile'"):
        minijvp.config.update(compile=3)
    for wrong in (0, -1, 2.5, True, "3"):
        with (
            pytest.raises(minijvp.ArgumentError, match="a positive integer, or None"),
            minijvp.config(compile_gradients_after=wrong),
        ):
            pass
    assert (
        repr(minijvp.config)
        == "config(compile_gradients_after=3, memory_budget='auto', outline='auto', nan_safe=False, "
        "optimize=True, check_nans=False, explain_compiles=False, traceback='full')"
    )
    with pytest.raises(AttributeError):
        minijvp.config.compile  # noqa: B018


def test_threads_share_the_programs() -> None:
    wrong: list[Any] = []

    def work(k: int) -> None:
        with minijvp.config(compile_gradients_after=3):
            for i in range(20):
                x = 2.0 + k + i
                if float(minijvp.grad(newton)(x * x)) != pytest.approx(1 / (2 * x)):
                    wrong.append(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_effects_happen_once_where_values_are_asked_for() -> None:
    seen: list[float] = []

    def loss(x: Any) -> Any:
        minijvp.debug.callback(lambda y: seen.append(float(y)), x)
        y = minijvp.jit(lambda x: (minijvp.debug.callback(lambda y: seen.append(-float(y)), x), x * x)[1])(x)
        return 2 * y if y > 2 else y

    for k in range(CALLS):
        assert float(minijvp.grad(loss)(1.0 + k)) == (2.0 + 2 * k) * (2 if k > 0 else 1)
        jax.effects_barrier()
        assert seen == [1.0 + k, -1.0 - k]
        seen.clear()


def test_effects_happen_where_the_gradient_is_zero() -> None:
    seen: list[float] = []

    def loss(x: Any) -> Any:
        minijvp.debug.callback(lambda y: seen.append(float(y)), 2 * x)
        return 3 * x

    for k in range(CALLS):
        assert float(minijvp.grad(minijvp.grad(loss))(1.0 + k)) == 0
        assert float(minijvp.grad(lambda x: (loss(x), 1.0)[1])(1.0 + k)) == 0
        jax.effects_barrier()
        assert seen == [2.0 + 2 * k] * 2
        seen.clear()
