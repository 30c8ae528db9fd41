"""Outlining: equal stretches of a program become calls, which change no number, where that pays and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.optimize.kept_call import kept_call
from tests.several_devices import run_on_four_devices

Libraries = tuple[Any, Any, Any]

OURS: Libraries = mnp, minijvp.nn, minijvp.lax
JAX: Libraries = jnp, jax.nn, jax.lax


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def normalized(np_: Any, x: Any) -> Any:
    centred = x - np_.mean(x, -1, keepdims=True)
    return centred / np_.sqrt(np_.mean(centred**2, -1, keepdims=True) + 1e-5)


def residual_layers(libraries: Libraries, act: Any = None) -> Callable[[Any, Any], Any]:
    """Layers that read their input twice, as a LayerNorm does."""
    np_, nn, _ = libraries
    act = act or nn.gelu

    def loss(weights: Any, x: Any) -> Any:
        for w in weights:
            x = x + act(normalized(np_, x) @ w) * np_.sin(x)
        return np_.sum(x**2)

    return loss


def lstm(libraries: Libraries) -> Callable[[Any, Any], Any]:
    """Steps that share weights, and take a slice each."""
    np_, nn, _ = libraries

    def loss(p: Any, xs: Any) -> Any:
        h = c = np_.zeros((2, 4), np.float32)
        for t in range(len(xs)):
            i, f, g, o = np_.split(xs[t] @ p["x"] + h @ p["h"] + p["b"], 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * np_.tanh(g)
            h = nn.sigmoid(o) * np_.tanh(c)
        return np_.sum(h**2)

    return loss


def numbered_layers(libraries: Libraries) -> Callable[[Any, Any], Any]:
    """Layers in which numbers of Python differ, in products and in comparisons."""
    np_, nn, _ = libraries

    def loss(weights: Any, x: Any) -> Any:
        for i, w in enumerate(weights):
            y = normalized(np_, x) @ w
            x = x + 0.1 * i * nn.silu(y) * np_.where(y > 0.05 * i, y, 0.5 + i)
        return np_.sum(x**2)

    return loss


def in_a_scan(libraries: Libraries) -> Callable[[Any, Any], Any]:
    """Layers in the body of a loop."""
    np_, _, lax = libraries
    layers = residual_layers(libraries)

    def loss(weights: Any, x: Any) -> Any:
        def body(x: Any, t: Any) -> Any:
            y = layers(weights, x * t)
            return x + 0.01 * y, y

        x, ys = lax.scan(body, x, np_.linspace(0.1, 0.3, 3).astype(np.float32))
        return np_.sum(x**2) + np_.sum(ys)

    return loss


SCALES = np.array([1.0, 2.0], np.float32)
WEIGHTS = 0.5 * numbers(12, 4, 4)
GATES = {"x": numbers(3, 16), "h": numbers(4, 16, seed=1), "b": numbers(16, seed=2)}
PROGRAMS: dict[str, tuple[Callable[[Libraries], Any], Any, Any]] = {
    "layers": (residual_layers, list(WEIGHTS), numbers(2, 4)),
    "lstm": (lstm, GATES, numbers(12, 2, 3)),
    "numbered layers": (numbered_layers, list(WEIGHTS), numbers(2, 4)),
    "layers in a scan": (in_a_scan, list(WEIGHTS), numbers(2, 4)),
}

Word = Callable[[Any, Callable[..., Any]], Callable[..., Any]]


def squares_of_gradient(m: Any, f: Callable[..., Any]) -> Callable[..., Any]:
    return m.grad(lambda *args: sum([(g**2).sum() for g in jax.tree.leaves(m.grad(f)(*args))]))


WORDS: dict[str, Word] = {
    "value": lambda m, f: f,
    "grad": lambda m, f: m.grad(f, (0, 1)),
    "vjp": lambda m, f: lambda p, x: m.vjp(f, p, x)[1](np.float32(2.0)),
    "linearize": lambda m, f: lambda p, x: m.linearize(partial(f, p), x)[1](x),
    "jvp": lambda m, f: lambda p, x: m.jvp(f, (p, x), (p, x)),
    "vmap of grad": lambda m, f: lambda p, x: m.vmap(lambda s: m.grad(f)(p, s * x))(SCALES),
    "forward over reverse": lambda m, f: lambda p, x: m.jvp(m.grad(f), (p, x), (p, x)),
    "reverse over reverse": squares_of_gradient,
}


def kept_calls(jaxpr: Jaxpr) -> list[Equation]:
    """The calls in a program, without those in calls."""
    found: list[Equation] = []
    for e in jaxpr:
        if e.primitive is kept_call:
            found.append(e)
        else:
            found += [c for inner in e.programs for c in kept_calls(inner)]
    return found


def compiled_program(f: Callable[..., Any], *args: Any) -> Jaxpr:
    """The program of a function as it is handed to the compiler."""
    return hooks.linearizer.lowered(minijvp.make_jaxpr(f)(*args))


def close(found: Any, wanted: Any, tolerance: float = 2e-5) -> None:
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1e-30, float(np.abs(y).max())))
        assert np.asarray(x).dtype == np.asarray(y).dtype


# Of layers in a scan, these compile a loop for each of its passes: seconds each, for what "grad" shows.
SLOW = {"vjp", "linearize", "vmap of grad", "forward over reverse", "reverse over reverse"}


@pytest.mark.parametrize(
    ("name", "word"), [(n, w) for n in PROGRAMS for w in WORDS if n != "layers in a scan" or w not in SLOW]
)
def test_numbers_are_those_of_jax_and_of_the_program_as_written(name: str, word: str) -> None:
    make, p, x = PROGRAMS[name]
    f = WORDS[word](minijvp, make(OURS))
    found = minijvp.jit(f)(p, x)
    with minijvp.config(outline="off"):
        assert not kept_calls(compiled_program(f, p, x))
        close(found, minijvp.jit(f)(p, x))
    close(found, WORDS[word](jax, make(JAX))(p, x))
    assert len(kept_calls(compiled_program(f, p, x))) >= 11


def test_float64_is_equal_to_twelve_digits() -> None:
    with jax.enable_x64(True):
        p, x = [w.astype(np.float64) for w in WEIGHTS], numbers(2, 4).astype(np.float64)
        found = minijvp.jit(minijvp.grad(residual_layers(OURS)))(p, x)
        close(found, jax.grad(residual_layers(JAX))(p, x), 1e-12)


def with_slope(m: Any, factor: float) -> Any:
    """tanh whose slope is multiplied, by a rule of one of the two libraries."""
    np_ = mnp if m is minijvp else jnp

    @m.custom_jvp
    def tanh(x: Any) -> Any:
        return np_.tanh(x)

    tanh.defjvp(lambda p, t: (np_.tanh(p[0]), factor * t[0] * (1 - np_.tanh(p[0]) ** 2)))
    return tanh


@minijvp.custom_vjp
def halved_cotangent(x: Any) -> Any:
    return mnp.tanh(x)


halved_cotangent.defvjp(lambda x: (mnp.tanh(x), x), lambda x, ct: (0.5 * ct * (1 - mnp.tanh(x) ** 2),))

ACTS = {
    "custom_jvp": (with_slope(minijvp, 2.0), 2.0),
    "custom_vjp": (halved_cotangent, 0.5),
    "relu": (minijvp.nn.relu, None),
    "jit": (minijvp.jit(lambda x: mnp.tanh(x) * 1.0), 1.0),
    "checkpoint": (minijvp.checkpoint(lambda x: mnp.tanh(x) * 1.0), 1.0),
}


@pytest.mark.parametrize("act", ACTS)
def test_rules_are_compared_by_what_they_are(act: str) -> None:
    function, factor = ACTS[act]
    f = minijvp.grad(residual_layers(OURS, function))
    assert len(kept_calls(compiled_program(f, list(WEIGHTS), numbers(2, 4)))) == 24

    theirs = jax.nn.relu if factor is None else with_slope(jax, factor)
    close(
        minijvp.jit(f)(list(WEIGHTS), numbers(2, 4)),
        jax.grad(residual_layers(JAX, theirs))(list(WEIGHTS), numbers(2, 4)),
    )


def test_tangents_of_functions_with_rules_for_cotangents() -> None:
    """What maps their tangents has a rule, and no program of the function."""
    p, x = list(WEIGHTS), numbers(2, 4)
    f = minijvp.jit(lambda p, x: minijvp.jvp(residual_layers(OURS, halved_cotangent), (p, x), (p, x)))
    close(f(p, x), jax.jvp(residual_layers(JAX, with_slope(jax, 0.5)), (p, x), (p, x)))


@pytest.mark.parametrize("act", [jax.nn.relu, jax.nn.gelu, jax.nn.softplus, with_slope(jax, 2.0)])
def test_programs_of_jax(act: Any) -> None:
    theirs = residual_layers(JAX, act)
    f = minijvp.grad(minijvp.from_jax(theirs))
    assert len(kept_calls(compiled_program(f, list(WEIGHTS), numbers(2, 4)))) == 24
    close(minijvp.jit(f)(list(WEIGHTS), numbers(2, 4)), jax.grad(theirs)(list(WEIGHTS), numbers(2, 4)))


LITERALS = {
    "select": lambda np_, x, i: np_.where(x > 0.1 * i, x, 0.25 * i),
    "power": lambda np_, x, i: x ** (i % 3 + 1) + 0.1 * i,
    "integers": lambda np_, x, i: x + (np_.round(x).astype(int) * i % 5 + i),
    "booleans": lambda np_, x, i: x * (i > 5) + np_.logical_xor(x > 0, i % 2 == 0),
    "signs": lambda np_, x, i: np_.maximum(x, (-1.0) ** i * 0.0) + i,
    "clip": lambda np_, x, i: np_.clip(x, -i - 1, 0.5 * i),
}


ORDERED = [(n, d) for n in LITERALS for d in ("float32", "float16")]


@pytest.mark.parametrize(("name", "dtype"), [*ORDERED, ("power", "complex64")])
def test_numbers_of_python_that_differ(name: str, dtype: str) -> None:
    """They become inputs where an array in their place computes the same; elsewhere stretches differ."""

    def loss(np_: Any) -> Callable[[Any, Any], Any]:
        def f(weights: Any, x: Any) -> Any:
            for i, w in enumerate(weights):
                x = x + 0.1 * np_.sin(LITERALS[name](np_, normalized(np_, x) @ w, i) / 9)
            return np_.sum(np_.abs(x) ** 2)

        return f

    p, x = [w.astype(dtype) for w in WEIGHTS], numbers(2, 4).astype(dtype)
    for ours, theirs in ((loss(mnp), loss(jnp)), (minijvp.grad(loss(mnp)), jax.grad(loss(jnp)))):
        compiled_program(ours, p, x).check()
        found = minijvp.jit(ours)(p, x)
        with minijvp.config(outline="off"):
            close(found, minijvp.jit(ours)(p, x), 2e-3 if dtype == "float16" else 2e-6)
        close(found, theirs(p, x), 2e-2 if dtype == "float16" else 2e-5)


def test_arrays_without_numbers() -> None:
    p, x = list(WEIGHTS), numbers(0, 4)
    close(minijvp.jit(minijvp.grad(residual_layers(OURS)))(p, x), jax.grad(residual_layers(JAX))(p, x))


def steps_with_a_constant(x: Any) -> Any:
    """Its derivative is a chain of products with constants, the same in each step."""
    for _ in range(40):
        x = mnp.cos(x * np.float32(1.5)) + x * np.arange(1.0, 4.0, dtype=np.float32)
    return mnp.sum(x)


PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda f: f,
    "jit": minijvp.jit,
    "vmap": lambda f: lambda x: minijvp.vmap(f)(mnp.stack([x, x])),
    "scan": lambda f: lambda x: minijvp.lax.scan(lambda c, _: (f(c), None), x, None, 3)[0],
    "jvp": lambda f: lambda x: minijvp.jvp(f, (x,), (x,)),
    "while": lambda f: lambda x: minijvp.lax.while_loop(lambda c: mnp.sum(c) > 1e9, f, x),
}


@pytest.mark.parametrize("place", PLACES)
def test_programs_of_derivatives_are_left_as_they_are(place: str) -> None:
    """What was differentiated was outlined before; wherever the program that holds its passes stands."""
    program = compiled_program(PLACES[place](minijvp.grad(steps_with_a_constant)), numbers(3))
    assert not kept_calls(program)


def test_programs_that_were_compiled_with_outlining_are_not_taken_without_it() -> None:
    inner = minijvp.jit(residual_layers(OURS))
    f = minijvp.jit(lambda p, x: 2.0 * inner(p, x))
    p, x = list(WEIGHTS), numbers(2, 4)
    assert kept_calls(compiled_program(f, p, x))
    found = f(p, x)
    with minijvp.config(outline="off"):
        assert not kept_calls(compiled_program(f, p, x))
        assert "inlineable" not in f.lower(p, x).as_text()
        close(found, f(p, x))


def test_a_jitted_function_is_looked_into() -> None:
    f = minijvp.grad(minijvp.jit(residual_layers(OURS)))
    args = [0.1 * numbers(64, 64, seed=i) for i in range(12)], numbers(1024, 64)
    assert len(kept_calls(compiled_program(f, *args))) == 24


def test_functions_with_other_rules_are_not_the_same() -> None:
    """Though their programs and their names are."""

    def scaled(k: int) -> Any:
        @minijvp.custom_jvp
        def act(x: Any) -> Any:
            return mnp.tanh(x)

        act.defjvp(lambda p, t: (mnp.tanh(p[0]), k * t[0]))
        return act

    acts = [scaled(k) for k in range(12)]

    def loss(weights: Any, x: Any) -> Any:
        for act, w in zip(acts, weights):
            x = x + act(normalized(mnp, x) @ w) * mnp.sin(x)
        return mnp.sum(x**2)

    f = minijvp.grad(loss, 1)
    found = minijvp.jit(f)(list(WEIGHTS), numbers(2, 4))
    assert not kept_calls(compiled_program(f, list(WEIGHTS), numbers(2, 4)))
    with minijvp.config(outline="off"):
        close(found, minijvp.jit(f)(list(WEIGHTS), numbers(2, 4)))


def varied(kinds: str) -> Callable[[Any, Any], Any]:
    """Layers of several kinds, by letters."""
    acts = {"a": mnp.tanh, "b": mnp.sin, "c": mnp.exp}

    def layer(kind: str, w: Any, x: Any) -> Any:
        y = normalized(mnp, x)
        y = acts[kind](0.1 * y @ w)
        return x + normalized(mnp, y * x)

    def loss(weights: Any, x: Any) -> Any:
        for kind, w in zip(kinds, weights):
            x = layer(kind, w, x)
        return mnp.sum(x**2)

    return loss


@pytest.mark.parametrize(
    ("kinds", "calls", "programs"),
    [
        ("aaaaaaaaaaaa", 12, 1),
        ("baaaaaaaaaab", 10, 1),
        ("aaaaaabaaaaa", 11, 1),
        ("abababababab", 6, 1),
        ("aaaaaabcaaac", 9, 1),
    ],
)
def test_what_is_found(kinds: str, calls: int, programs: int) -> None:
    found = kept_calls(compiled_program(varied(kinds), list(WEIGHTS), numbers(2, 4)))
    assert len(found) == calls
    assert len({id(e.params["jaxpr"]) for e in found}) == programs
    f = minijvp.jit(minijvp.grad(varied(kinds)))
    with minijvp.config(outline="off"):
        wanted = f(list(WEIGHTS), numbers(2, 4))
    close(f(list(WEIGHTS), numbers(2, 4)), wanted)


def test_a_line_that_python_has_specialized_meanwhile() -> None:
    """The number of an instruction changes when Python specializes it, in the first calls of a function."""
    space: dict[str, Any] = {"mnp": mnp, "normalized": normalized, "sigmoid": minijvp.nn.sigmoid}
    layer = "x = x + sigmoid(normalized(mnp, x) @ w) * mnp.sin(x)"
    source = f"def fresh(ws, x):\n  for w in ws:\n    {layer}\n  return mnp.sum(x)"
    exec(source, space)
    assert len(kept_calls(compiled_program(space["fresh"], list(WEIGHTS), numbers(2, 4)))) == 12


def short(weights: Any, x: Any) -> Any:
    for w in weights:
        x = mnp.tanh(x @ w)
    return mnp.sum(x)


def chain(weights: Any, x: Any) -> Any:
    for w in weights:
        for _ in range(20):
            x = mnp.abs(x * w[0, 0] + 1.0)
    return mnp.sum(x)


def printing(weights: Any, x: Any) -> Any:
    for w in weights:
        x = x + mnp.sin(normalized(mnp, x) @ w)
        minijvp.debug.print("{}", x[0, 0])
    return mnp.sum(x)


@pytest.mark.parametrize("fun", [short, chain, printing])
def test_what_is_left_as_it_is(fun: Callable[[Any, Any], Any]) -> None:
    """Short stretches, chains that fuse well, and what has effects."""
    assert not kept_calls(compiled_program(minijvp.grad(fun), list(WEIGHTS), numbers(2, 4)))


def test_eager_gradients_are_not_outlined() -> None:
    program = minijvp.linearize(residual_layers(OURS), list(WEIGHTS), numbers(2, 4))[1]
    assert "kept_call" not in str(getattr(program, "jaxpr", program))


def optimized(f: Callable[..., Any], *args: Any) -> str:
    return minijvp.jit(f).lower(*args).compile().as_text()


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 1)


@pytest.mark.usefixtures("one_device")
def test_xla_keeps_the_calls_on_one_cpu() -> None:
    """If a new XLA does not, programs stay right, and this says so."""
    text = optimized(minijvp.grad(residual_layers(OURS)), list(WEIGHTS), numbers(2, 4))
    assert text.count(" call(") >= 24
    lowered = minijvp.jit(minijvp.grad(residual_layers(OURS))).lower(list(WEIGHTS), numbers(2, 4)).as_text()
    assert lowered.count("func.func") < 12


def test_on_several_devices_calls_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    f = minijvp.jit(minijvp.grad(residual_layers(OURS)))
    p, x = list(WEIGHTS), numbers(3, 4)  # of a shape that nothing else is compiled for
    assert "inlineable" not in f.lower(p, x).as_text()
    close(f(p, x), jax.grad(residual_layers(JAX))(p, x))


SHARDED = """
import jax, minijvp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from tests.operations.test_convolution import same, steps
from tests.optimize.test_outline import JAX, OURS, WEIGHTS, close, numbers, residual_layers
from tests.benchmarks.deep import deep_transformer_data, deep_transformer_loss

mesh = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Auto,))
put = lambda tree, *spec: jax.device_put(tree, NamedSharding(mesh, P(*spec)))

p, x = list(WEIGHTS), numbers(8, 4)  # outlined
wanted = jax.jit(jax.grad(residual_layers(JAX), (0, 1)))(p, x)
for args in ((put(p), put(x, "d")), (put(p, None, "d"), put(x)), (put(p, "d"), put(x, None, "d"))):
    found = minijvp.jit(minijvp.grad(residual_layers(OURS), (0, 1)))(*args)
    close(found, wanted)

p, x = deep_transformer_data(2, 64, 64, 16)  # with regions that compute again
wanted = jax.jit(jax.grad(deep_transformer_loss(jax), (0, 1)))(p, x)
f = minijvp.jit(minijvp.grad(deep_transformer_loss(minijvp), (0, 1), memory_budget=0.5))
for args in ((put(p), put(x, "d")), (put(p), put(x, None, None, "d"))):
    assert " call(" in f.lower(*args).compile().as_text()
    close(f(*args), wanted, 1e-4)

x, y = numbers(8, 3, 6, 5), numbers(8, 3, 3, 2)  # convolutions in the form that is fast
ours, theirs = (api.value_and_grad(steps(api, {}, 2), (0, 1)) for api in (minijvp, jax))
for args in ((put(x, "d"), put(y)), (put(x), put(y, "d"))):
    same(minijvp.jit(ours)(*args), jax.jit(theirs)(x, y))
"""


def test_what_is_shared_among_devices() -> None:
    run_on_four_devices(SHARDED)


def deep(n: int) -> tuple[Any, Any]:
    return [0.1 * numbers(64, 64, seed=i) for i in range(n)], numbers(4096, 64)


def test_memory_does_not_grow_with_the_layers() -> None:
    """A call keeps its input, which is the result of the one before, and computes the rest again."""
    f = minijvp.grad(residual_layers(OURS))
    auto, off = ({}, {})
    for n in (8, 12):
        for budget, sizes in (("auto", auto), ("off", off)):
            with minijvp.config(memory_budget=budget):
                sizes[n] = minijvp.jit(f).lower(*deep(n)).compile().memory_analysis().temp_size_in_bytes
    layer = 4096 * 64 * 4
    assert (auto[12] - auto[8]) / 4 < 1.1 * layer
    assert (off[12] - off[8]) / 4 > 3 * layer


def test_terms_of_a_sum_over_calls_are_added_one_by_one() -> None:
    """The gradient of weights that all layers share: what is there does not grow with terms of their size."""

    def shared(m: Any) -> Callable[[Any, Any], Any]:
        f = residual_layers(OURS if m is minijvp else JAX)
        return lambda w, x: f([w] * 12, x)

    w, x = 0.1 * numbers(128, 128), numbers(2, 128)
    f, compiled = minijvp.grad(shared(minijvp)), {}
    for outline in ("auto", "off"):
        with minijvp.config(outline=outline):
            compiled[outline] = minijvp.jit(f).lower(w, x).compile()
    wanted = jax.grad(shared(jax))(w, x)
    close(compiled["auto"](w, x), wanted, 1e-4)
    close(compiled["auto"](w, x), compiled["off"](w, x))
    auto, off = (c.memory_analysis().temp_size_in_bytes for c in compiled.values())
    assert auto < 4 * w.nbytes < 10 * w.nbytes < off

    def in_steps(w: Any, xs: Any) -> Any:
        return minijvp.lax.scan(lambda c, x: (c + f(w, x), None), mnp.zeros_like(w), xs)[0]

    for program in (f, in_steps):
        calls = kept_calls(compiled_program(program, w, np.stack([x, x]) if program is in_steps else x).check())
        assert sum(e.params["jaxpr"].equations[-1].primitive.name == "add" for e in calls) >= 10
    close(minijvp.jit(in_steps)(w, np.stack([x, x])), 2 * wanted, 1e-4)


def test_the_setting() -> None:
    assert minijvp.config.outline == "auto"
    for wrong in ("on", None, True, 3):
        with pytest.raises(minijvp.ArgumentError, match="'auto'"), minijvp.config(outline=wrong):
            pass
    f = minijvp.jit(minijvp.grad(residual_layers(OURS)))
    with minijvp.config(outline="off"):
        plain = f.lower(list(WEIGHTS), numbers(2, 4)).as_text()
    assert len(f.lower(list(WEIGHTS), numbers(2, 4)).as_text()) < 0.5 * len(plain)


def test_a_shared_program_is_printed_once() -> None:
    program = compiled_program(residual_layers(OURS), list(WEIGHTS), numbers(2, 4))
    text = program.text(fold=False)
    assert text.count("jaxpr=(as for ") == 11
    assert text.count("tanh") < 3
    assert str(program).count("repeat[") == 1 and len(str(program)) < 0.9 * len(text)


def test_taps_see_the_function_run() -> None:
    p, x = list(WEIGHTS), numbers(2, 4)
    f = residual_layers(OURS)
    tapped = minijvp.jit(minijvp.grad(lambda p, x: f(p, minijvp.tap(x, "in")), taps=True))(p, x)
    close(tapped[1]["in"], jax.grad(residual_layers(JAX), 1)(p, x))


def test_what_reads_programs_reads_calls() -> None:
    p, x = list(WEIGHTS), numbers(2, 4)
    f, wanted = minijvp.grad(residual_layers(OURS)), jax.grad(residual_layers(JAX))(p, x)
    close(minijvp.to_jax(f)(p, x), wanted)
    close(jax.grad(minijvp.jit(residual_layers(OURS)))(p, x), wanted)
    close(minijvp.to_python(f)(p, x).compile()(p, x), wanted)
    assert "kept_call" in str(minijvp.make_jaxpr(f)(p, x).check())
    assert minijvp.draw(f, p, x)
