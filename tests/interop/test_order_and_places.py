"""What from_jax keeps of a program besides its values: the order of effects, and where its arrays lie."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

import minijvp
from minijvp.calls.jit import FORMS_PER_FUNCTION, _Jitted
from tests.several_devices import run_on_four_devices

SEEN: list[tuple[str, float]] = []


def note(name: str, x: Any) -> Any:
    """A callback that remembers what it is called with."""
    SEEN.append((name, round(float(x), 3)))
    return np.float32(0)


def ordered(name: str, x: Any) -> None:
    """An effect that keeps its order, and has no derivative."""
    io_callback(partial(note, name), jax.ShapeDtypeStruct((), "float32"), jax.lax.stop_gradient(x), ordered=True)


def straight(x: Any) -> Any:
    ordered("a", x)
    y = jnp.sin(x)
    ordered("b", y)
    ordered("c", 2 * x)
    return y * 2


def debugging(x: Any) -> Any:
    jax.debug.callback(partial(note, "d"), x, ordered=True)
    y = jnp.sin(x)
    jax.debug.callback(partial(note, "e"), y, ordered=True)
    return y


def looping(x: Any) -> Any:
    def body(c: Any, y: Any) -> Any:
        ordered("s", c)
        ordered("t", y)
        return c + y, c

    c, _ = jax.lax.scan(body, x, jnp.arange(3.0, dtype="float32"))
    ordered("e", c)
    return jax.lax.while_loop(lambda c: c < 30.0, lambda c: (ordered("w", c), c * 2)[1], c)


def nested(x: Any) -> Any:
    return jax.lax.cond(x > 0, jax.jit(straight), jnp.cos, jax.jit(straight)(x))


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "jit": lambda m, f: m.jit(f),
    "jvp": lambda m, f: lambda x: m.jvp(f, (x,), (x,)),
    "scan": lambda m, f: lambda x: m.lax.scan(lambda c, _: (f(c), None), x, None, length=2),
    "grad": lambda m, f: m.grad(f),
    "jit of grad": lambda m, f: m.jit(m.grad(f)),
    "grad of jit": lambda m, f: m.grad(m.jit(f)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fun", [straight, debugging, looping, nested])
def test_ordered_effects_stay_in_order(fun: Callable[..., Any], way: str) -> None:
    if fun in (looping, nested) and "grad" in way:
        fun = straight  # JAX has no reverse mode of while_loop, and drops effects of branches there
    found = []
    for m, f in ((jax, fun), (minijvp, minijvp.from_jax(fun))):
        SEEN.clear()
        jax.block_until_ready(WAYS[way](m, f)(jnp.float32(1.5)))
        jax.effects_barrier()
        found.append(list(SEEN))
    assert found[0]
    assert found[0] == found[1]


PLACES = """
import jax, jax.numpy as jnp, minijvp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
divided, x = NamedSharding(mesh, P("d")), jnp.arange(16.0).reshape(8, 2)

def many(x):
    for _ in range(15):
        x = jnp.sin(x) * 1.5 + x
    return x

small = jax.jit(lambda x: jnp.sin(x) * 2, in_shardings=divided, out_shardings=divided)
large = jax.jit(many, in_shardings=divided, out_shardings=divided)
constrained = lambda x: jax.lax.with_sharding_constraint(jnp.sin(x), divided) ** 2
ways = lambda m, f: [m.jit(f), m.jit(m.grad(lambda x: f(x).sum())), m.jit(m.vmap(lambda x: f(x) ** 2))]
for fun in (lambda x: small(x) ** 2, lambda x: large(x) ** 2, constrained):
    for theirs, ours, arg in zip(ways(jax, fun), ways(minijvp, minijvp.from_jax(fun)), (x, x, jnp.stack([x, x]))):
        texts = [f.lower(arg).as_text() for f in (theirs, ours)]
        counts = [t.count("sharding_constraint") + t.count("@Sharding") for t in texts]
        assert counts[0] == counts[1] > 0, counts
        wanted, found = theirs(arg), ours(arg)
        np.testing.assert_allclose(wanted, found, rtol=1e-5)
        assert wanted.sharding == found.sharding
"""


def test_shardings_inside_are_those_of_jax() -> None:
    run_on_four_devices(PLACES)


AFTERWARDS = """
import jax, jax.numpy as jnp, minijvp, minijvp.numpy as mnp, numpy as np
from jax.sharding import PartitionSpec as P
mesh, x = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,)), jnp.arange(16.0).reshape(8, 2)
gradient = minijvp.grad(lambda x: (mnp.sin(x) * x).sum())
for check in (True, False):
    mapped = jax.shard_map(lambda x: gradient(x), mesh=mesh, in_specs=P("d"), out_specs=P("d"), check_vma=check)
    wanted = np.sin(x) + x * np.cos(x)
    for f in (mapped, jax.jit(mapped), *[gradient] * 5, minijvp.jit(gradient), jax.jit(gradient), mapped, gradient):
        np.testing.assert_allclose(f(x), wanted, rtol=1e-5)
"""


def test_a_gradient_in_shard_map_and_then_plain_ones() -> None:
    run_on_four_devices(AFTERWARDS)


def test_forms_for_plans_are_bounded() -> None:
    double = lambda x: x * 2
    jitted = _Jitted(double, dict.fromkeys(("static_argnums", "static_argnames"), None) | OPTIONS)
    f = jitted.wrapper(double, double)
    for i in range(FORMS_PER_FUNCTION + 10):
        with minijvp.config(memory_budget=1000 + i):
            assert float(f(1.0)) == 2.0
    assert len(jitted.forms) <= FORMS_PER_FUNCTION + 1


OPTIONS: dict[str, Any] = {"donate_argnums": None, "donate_argnames": None, "keep_unused": False, "inline": False}
