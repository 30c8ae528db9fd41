"""Effects of JAX programs under minijvp: they happen when the program runs, as often as in JAX, and never else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

import minijvp
import minijvp.numpy as mnp
from tests.side_by_side import same


def in_scan(seen: list[float]) -> Callable[[Any], Any]:
    def step(c: Any, a: Any) -> Any:
        jax.debug.callback(lambda v: seen.append(float(v)), c)
        return c * a, None

    return lambda x: jax.lax.scan(step, x, jnp.arange(1.0, 4.0))[0]


def in_cond(seen: list[float]) -> Callable[[Any], Any]:
    def positive(x: Any) -> Any:
        jax.debug.callback(lambda v: seen.append(float(v)), x)
        return x * x

    return lambda x: jax.lax.cond(x > 0, positive, lambda x: x, x)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("program", "expected", "slope"), [(in_scan, [2.0, 2.0, 4.0], 6.0), (in_cond, [2.0], 4.0)])
def test_callbacks_are_seen_once(program: Any, expected: list[float], slope: float, compiled: bool) -> None:
    seen: list[float] = []
    gradient = minijvp.grad(minijvp.from_jax(program(seen)))
    np.testing.assert_allclose((minijvp.jit(gradient) if compiled else gradient)(2.0), slope)
    jax.effects_barrier()
    assert seen == expected


def test_a_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def fun(x: Any) -> Any:
        jax.debug.print("x = {} and {s}", x, s="text")
        return x * x

    assert float(minijvp.grad(minijvp.from_jax(fun))(3.0)) == 6.0
    jax.effects_barrier()
    assert capsys.readouterr().out == "x = 3.0 and text\n"


def test_python_functions_compute() -> None:
    def fun(x: Any) -> Any:
        scale = jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), jax.lax.stop_gradient(x))
        return scale * x

    np.testing.assert_allclose(minijvp.grad(minijvp.from_jax(fun))(2.0), np.sin(2.0), rtol=1e-6)
    with pytest.raises(minijvp.MissingRuleError, match="pure_callback"):
        minijvp.grad(minijvp.from_jax(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), x)))(2.0)


NUMBER = jax.ShapeDtypeStruct((), jnp.float64)


def io(numbers: Any) -> Any:
    return io_callback(lambda: np.float64(next(numbers)), NUMBER)


def ordered_io(numbers: Any) -> Any:
    return io_callback(lambda: np.float64(next(numbers)), NUMBER, ordered=True)


def in_branch(numbers: Any) -> Any:
    return jax.lax.cond(jnp.arange(3)[1] == 1, lambda: io(numbers), lambda: 100 * io(numbers))


def in_branch_not_taken(numbers: Any) -> Any:
    return jax.lax.cond(jnp.arange(3)[1] == 0, lambda: io(numbers), lambda: 2.0) + io(numbers)


def in_loop(numbers: Any) -> Any:
    return jax.lax.scan(lambda c, _: (c + io(numbers), None), 0.0, None, length=3)[0]


WORDS: dict[str, Callable[[Any, Any], Any]] = {
    "jit": lambda api, f: api.jit(f),
    "jit-grad": lambda api, f: api.jit(api.grad(f)),
    "jit-jvp": lambda api, f: api.jit(lambda x: api.jvp(f, (x,), (x,))),
    "grad-jit": lambda api, f: api.grad(api.jit(f)),
    "grad": lambda api, f: api.grad(f),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("source", [io, ordered_io, in_branch, in_branch_not_taken, in_loop])
def test_a_loader_without_arguments_is_asked_at_each_call(source: Callable[[Any], Any], word: str) -> None:
    answers = []
    for api, bridge in ((minijvp, minijvp.from_jax), (jax, lambda f: f)):
        numbers = count(1)
        fun = WORDS[word](api, bridge(lambda x, numbers=numbers: x * source(numbers)))
        answers.append([fun(2.0) for _ in range(3)])
    same(*answers)


def test_a_loader_of_jax_in_a_function_of_minijvp() -> None:
    numbers = count(1)
    fun = minijvp.jit(lambda x: mnp.sin(x) * 0 + io(numbers) + x)
    assert [float(fun(10.0)) for _ in range(3)] == [11.0, 12.0, 13.0]


def test_nothing_happens_while_a_program_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = count(1)

    def fun(x: Any, n: Any) -> Any:
        jax.debug.print("hello")
        unseen = jax.lax.cond(x > 100, lambda: (jax.debug.print("never"), 1.0)[1], lambda: 0.0)
        return jnp.repeat(x, n, total_repeat_length=3) * io(numbers) + unseen

    for word in (minijvp.jit, lambda f: minijvp.jit(minijvp.jacrev(f)), lambda f: minijvp.jit(minijvp.jacfwd(f))):
        compiled = word(minijvp.from_jax(fun)).lower(2.0, np.array(3)).compile()
        jax.effects_barrier()
        assert (capsys.readouterr().out, next(numbers)) == ("", 1)
        compiled(2.0, np.array(3))
        jax.effects_barrier()
        assert (capsys.readouterr().out, next(numbers)) == ("hello\n", 3)
        numbers = count(1)


def test_values_that_a_function_needs_do_not_make_its_effects_happen_once() -> None:
    """As in an eager derivative of JAX, all that depends on no traced value is computed in each call."""
    numbers = count(1)

    def fun(x: Any, n: Any) -> Any:
        return jnp.repeat(x, jnp.asarray(n) + 1, axis=0).sum() * io(numbers)

    gradient = minijvp.grad(minijvp.from_jax(fun))
    found = [gradient(jnp.ones(2), jnp.array([0, 1])) for _ in range(3)]
    same(found, [jnp.array([1.0, 2.0]) * k for k in (1, 2, 3)])


def test_checks_of_equinox_are_made_when_the_program_runs() -> None:
    def checked(x: Any, bad: Any) -> Any:
        return eqx.error_if(x * x, bad, "a bad one")

    fun = minijvp.jit(minijvp.from_jax(checked))
    assert float(fun(2.0, np.array(False))) == 4.0
    with pytest.raises(Exception, match="a bad one"):
        jax.block_until_ready(fun(2.0, np.array(True)))
    compiled = minijvp.jit(minijvp.from_jax(lambda x: jax.lax.cond(x > 0, lambda: x, lambda: checked(x, x > -9))))
    assert float(compiled(2.0)) == 2.0


def test_arrays_that_a_program_makes_are_no_constants_of_it() -> None:
    def fun(x: Any) -> Any:
        tables = [jnp.arange(2**18) * k for k in range(4)] + [jnp.zeros((512, 512)), jnp.eye(300)]
        return sum([t.astype(x.dtype).sum() for t in tables]) * x

    wanted = len(jax.jit(fun).lower(2.0).as_text())
    for word in (minijvp.from_jax, lambda f: minijvp.grad(minijvp.from_jax(f))):
        assert len(minijvp.jit(word(fun)).lower(2.0).as_text()) < 2 * wanted
    native = minijvp.jit(lambda x: (mnp.arange(2**18) * mnp.ones(2**18) + mnp.linspace(0, 1, 2**18)).sum() * x)
    assert len(native.lower(2.0).as_text()) < 2 * wanted
