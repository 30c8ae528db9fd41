"""Operations with functions inside: loops, branches, calls with rules of their own, derivatives and batches inside.

The functions inside see the values around them, so that what they close over is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from tests.fuzz.deck.operation import Operation
from tests.fuzz.operands import Builder, Operand, Value

STRUCTURES: list[Operation] = []


def operation(least: int = 1, most: int = 2, **properties: Any) -> Callable[[Callable[[Builder], str]], Any]:
    """Put a function into the deck, whose functions inside do so many steps."""

    def register(make: Callable[[Builder], str]) -> Callable[[Builder], str]:
        STRUCTURES.append(Operation(f"structure: {make.__name__}", make, (least, most), **properties))
        return make

    return register


def param(b: Builder, letter: str, x: Operand, cut: int = 0) -> Value:
    """A parameter of a function inside that is of the type of `x`, without some of its leading axes."""
    t = x.type
    name = f"{letter}{b.step.number}"
    bounds = (-3, 3) if t.dtype.kind == "f" else None
    return Value(name, jax.ShapeDtypeStruct(t.shape[cut:], t.dtype), True, bounds=bounds)


def name(b: Builder, suffix: str = "") -> str:
    return f"g{b.step.number}{suffix}"


def strong(b: Builder, x: Operand) -> Operand:
    """`x` without a weak type."""
    return b.typed(x, x.type.dtype)


def numbers(b: Builder, **wish: Any) -> Operand:
    """An operand of real numbers, seldom of complex ones, that is not weak."""
    return strong(b, b.complex(**wish) if b.flag(0.15) else b.real("R", **wish))


def two_functions(b: Builder, x: Any, results: Sequence[Any]) -> tuple[str, str]:
    """The names of two functions of a value like `x`, each with half of the steps."""
    p, half = param(b, "a", x), len(b.bodies) // 2
    names = name(b, "t"), name(b, "e")
    for function, steps in zip(names, (b.bodies[:half], b.bodies[half:]), strict=True):
        b.block(function, [p], results, steps=steps)
    return names


# Loops


@operation(1, 3)
def scan(b: Builder) -> str:
    c = numbers(b, rank=(0, 2))
    x = strong(b, b.real("R", shape=(b.choose([0, 1, 2, 3, 3]), *b.choose([(), (2,)]))))
    carry, row = param(b, "c", c), param(b, "r", x, 1)
    b.block(name(b), [carry, row], [c.type, row.type], returns=lambda r: f"{r[0]}, {r[1]}")
    options = b.choose(["", ", reverse=True", ", unroll=2", f", length={x.shape[0]}"])
    return f"lax.scan({name(b)}, {c}, {x}{options})"


@operation(1, 3)
def scan_of_trees(b: Builder) -> str:
    """A carry of a counter and two arrays, rows of a dict, nothing or the carry itself as rows of the result."""
    c, d = numbers(b, rank=(0, 1)), numbers(b, rank=(0, 2))
    x = strong(b, b.real("R", shape=(3,)))
    cs, ds, row = param(b, "c", c), param(b, "d", d), param(b, "r", x, 1)
    n = Value(f"n{b.step.number}", jax.ShapeDtypeStruct((), np.int64), False)
    ys = b.choose(["None", f"({cs.name}, {n.name})", f"{{'y': {ds.name} * 2}}"])
    inner = name(b)
    carried = b.choose(["{0}, {1}", f"{cs.name}, {{1}}"])
    b.block(inner, [n, cs, ds, row], [c.type, d.type], returns=lambda r: f"({n.name} + 1, {carried.format(*r)}), {ys}")
    rows = f"{{'x': {x}}}"
    return (
        f"lax.scan(lambda c, r: {inner}(*c, r['x']), (jnp.asarray(0, 'int64'), {c}, {d}), {rows}, "
        f"reverse={b.flag(0.3)})"
    )


@operation(1, 2)
def while_loop(b: Builder) -> str:
    c = numbers(b, rank=(0, 2))
    carry = param(b, "c", c)
    b.block(name(b), [carry], [c.type])
    turns = b.choose([0, 1, 2, 3])
    size = f"jnp.sum(jnp.abs({carry.name}))"
    stop = b.choose([f"n < {turns}", f"(n < 3) & ({size} < {b.choose([1.0, 4.0, 20.0])})"])
    k = b.step.number
    return (
        f"lax.while_loop(lambda s{k}: (lambda n, {carry.name}: {stop})(*s{k}), "
        f"lambda s{k}: (s{k}[0] + 1, {name(b)}(s{k}[1])), (0, {c}))[1]"
    )


@operation(1, 2)
def fori_loop(b: Builder) -> str:
    c = numbers(b, rank=(0, 2))
    i = Value(f"i{b.step.number}", jax.ShapeDtypeStruct((), np.int64), False)
    carry = param(b, "c", c)
    bounds = b.choose(["0, 3", "1, 1", "2, 4", f"0, {b.integer(4, ())}"])
    b.block(name(b), [i, carry], [c.type])
    return f"lax.fori_loop({bounds}, {name(b)}, {c})"


@operation(1, 2)
def map_(b: Builder) -> str:
    x = strong(b, b.real("R", shape=(b.choose([1, 2, 3]), *b.choose([(), (2,), (1, 2)]))))
    b.block(name(b), [param(b, "r", x, 1)], b.choose([1, 2]))
    return f"lax.map({name(b)}, {x}{b.choose(['', '', ', batch_size=2'])})"


@operation(0, 0)
def associative_scan(b: Builder) -> str:
    x = b.real("E", rank=(1, 3))
    fun = b.choose(["jnp.multiply", "jnp.add", "jnp.maximum", "jnp.logaddexp", "(lambda a, b: a + b + a * b)"])
    return f"lax.associative_scan({fun}, {x}, axis={b.axis(x) % x.ndim}, reverse={b.flag()})"


@operation(0, 0)
def linear_recurrence(b: Builder) -> str:
    a = strong(b, b.real("U", shape=(b.choose([1, 3, 4]), 2)))
    x = b.of_type(a.type)
    combine = "lambda p, q: (p[0] * q[0], p[1] * q[0] + q[1])"
    return f"lax.associative_scan({combine}, ({a}, {x}))"


# Branches


@operation(0, 4)
def cond(b: Builder) -> str:
    x = numbers(b)
    first, second = two_functions(b, x, [x.type, x.type])
    return f"lax.cond({b.boolean(())}, {first}, {second}, {x})"


@operation(0, 2)
def switch(b: Builder) -> str:
    x = numbers(b)
    first, second = two_functions(b, x, [x.type])
    branches = f"[{first}, lambda a: a, {second}]"
    return f"lax.switch({b.integer(b.choose([3, 4, 5]), (), low=b.choose([0, -1]))}, {branches}, {x})"


@operation(1, 2)
def cond_without_operands(b: Builder) -> str:
    x = strong(b, b.real("R"))
    b.block(name(b), [], [x.type])
    return f"lax.cond({b.boolean(())}, {name(b)}, lambda: {x})"


# Calls


@operation(1, 3)
def jit(b: Builder) -> str:
    x, y = b.real("R"), b.real("R")
    b.block(name(b), [param(b, "a", x), param(b, "b", y)], b.choose([1, 2]))
    return f"api.jit({name(b)}{b.choose(['', ', inline=True'])})({x}, {y})"


@operation(1, 2)
def jit_twice(b: Builder) -> str:
    """Of one jitted function two calls, the second with a static argument."""
    x = strong(b, b.real("E"))
    b.block(name(b), [param(b, "a", x)], [x.type])
    b.lines.append(f"h{b.step.number} = api.jit(lambda a, k: {name(b)}(a) * k, static_argnums=1)")
    return f"h{b.step.number}(h{b.step.number}({x}, 2), 3)"


POLICIES = ("nothing_saveable", "everything_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable")


@operation(1, 3)
def checkpoint(b: Builder) -> str:
    x = b.real("R")
    b.block(name(b), [param(b, "a", x)], b.choose([1, 2]))
    policy = b.choose(["", "", *[f", policy=checkpoint_policies.{p}" for p in POLICIES], ", prevent_cse=False"])
    return f"api.checkpoint({name(b)}{policy})({x})"


@operation(1, 2)
def vmap(b: Builder) -> str:
    n = b.choose([1, 2, 3])
    x = strong(b, b.real("R", shape=(n, *b.choose([(), (2,), (2, 1)]))))
    y = strong(b, b.real("R", rank=(0, 1)))
    axis = b.choose(range(x.ndim))
    first = Operand(x if axis == 0 else f"jnp.moveaxis({x}, 0, {axis})", x.type)
    b.block(name(b), [param(b, "a", x, 1), param(b, "b", y)], b.choose([1, 2]))
    axes = f"in_axes=({axis - (x.ndim if b.flag() else 0)}, None), out_axes={b.choose([0, -1])}"
    return f"api.vmap({name(b)}, {axes})({first}, {y})"


COLLECTIVES = (
    "lax.psum({x}, '{i}')",
    "lax.pmean({x}, '{i}')",
    "lax.pmax(lax.stop_gradient({x}), '{i}')",
    "lax.pmin(lax.stop_gradient({x}), '{i}') * {x}",
    "lax.all_gather({x}, '{i}')",
    "lax.all_gather(jnp.stack([{x}, {x}]), '{i}', axis=-1, tiled=True)",
    "lax.ppermute({x}, '{i}', [(0, 1), (1, 0)])",
    "lax.pshuffle({x}, '{i}', [1, 0])",
    "lax.psum_scatter(lax.all_gather({x}, '{i}') * 2, '{i}')",
    "lax.all_to_all(jnp.stack([{x}, {x} * 2]), '{i}', 0, 0)",
    "{x} * lax.axis_index('{i}')",
    "{x} / lax.psum(1, '{i}')",
    "lax.psum(lax.psum({x}, '{i}') * {x}, '{i}')",
    "lax.pbroadcast({x}, '{i}', 1)",
)


def collective(b: Builder, text: str) -> str:
    """A batch of two, whose rows communicate. What they say depends on the row: JAX has other shapes if it does not."""
    x = strong(b, b.real("R", shape=(2, *b.choose([(), (2,), (2, 1)]))))
    axis, p = f"i{b.step.number}", param(b, "a", x, 1)
    said = lambda r: text.replace("{x}", f"({r[0]} * {p.name})").replace("{i}", axis)
    b.block(name(b), [p], [p.type], axes=((axis, 2),), returns=said)
    return f"api.vmap({name(b)}, axis_name='{axis}')({x})"


STRUCTURES += [
    Operation(f"structure: {c}", lambda b, c=c: collective(b, c), (0, 2), honest="stop" not in c) for c in COLLECTIVES
]


# Derivatives inside


def scalar_function(b: Builder, *operands: Operand) -> str:
    """A function inside that gives one number."""
    params = [param(b, letter, x) for letter, x in zip("ab", operands)]
    b.block(name(b), params, 1, returns=lambda r: f"jnp.sum(jnp.real({r[0]})) * jnp.sum({params[0].name})")
    return name(b)


@operation(1, 2, differentiates=1)
def grad(b: Builder) -> str:
    x, y = strong(b, b.real("R")), strong(b, b.real("R", rank=(0, 1)))
    return f"api.grad({scalar_function(b, x, y)}, {b.choose([0, 1, (0, 1)])})({x}, {y})"


@operation(1, 2, differentiates=1)
def value_and_grad(b: Builder) -> str:
    x = strong(b, b.real("R"))
    f = scalar_function(b, x)
    if b.flag():
        return f"api.value_and_grad({f})({x})"
    return f"api.value_and_grad(lambda a: ({f}(a), jnp.sin(a)), has_aux=True)({x})"


@operation(1, 2, differentiates=1, forward=True)
def jvp(b: Builder) -> str:
    x = strong(b, b.real("R"))
    t = b.of_type(x.type)
    b.block(name(b), [param(b, "a", x)], 1)
    return f"api.jvp({name(b)}, ({x},), ({t},))"


@operation(1, 2, differentiates=1, forward=True)
def linearize(b: Builder) -> str:
    x = strong(b, b.real("R"))
    b.block(name(b), [param(b, "a", x)], 1)
    return f"(lambda out, push: (out, push({b.of_type(x.type)})))(*api.linearize({name(b)}, {x}))"


@operation(1, 2, differentiates=1)
def vjp(b: Builder) -> str:
    x = strong(b, b.real("R"))
    b.block(name(b), [param(b, "a", x)], [x.type])
    return f"(lambda out, pull: (out, *pull({b.of_type(x.type)})))(*api.vjp({name(b)}, {x}))"


@operation(0, 1, differentiates=2, forward=True)
def hessian(b: Builder) -> str:
    x = strong(b, b.real("E", shape=b.choose([(), (1,), (2,)])))
    return f"api.hessian({scalar_function(b, x)})({x})"


@operation(1, 2, differentiates=1, forward=True)
def jacobian(b: Builder) -> str:
    x = strong(b, b.real("E", shape=b.choose([(), (2,)])))
    b.block(name(b), [param(b, "a", x)], [jax.ShapeDtypeStruct((2,), x.type.dtype)])
    return f"api.{b.choose(['jacfwd', 'jacrev'])}({name(b)})({x})"


@operation(0, 1)
def linear_transpose(b: Builder) -> str:
    x = strong(b, b.real("E", shape=(3,)))
    fun = f"lambda a: jnp.cumsum(a) * {b.real('E', shape=())}"
    return f"api.linear_transpose({fun}, {x})({b.of_type(x.type)})"


# Rules of one's own


def rule_sides(b: Builder, x: Operand) -> tuple[str, str]:
    """A function of one argument in the source, and its name."""
    b.block(name(b), [param(b, "a", x)], [x.type], visible=[])
    return name(b), f"h{b.step.number}"


def of_own_rule(b: Builder, kind: str, rule: str, x: Operand) -> str:
    """A call of a function with a rule, and where it is."""
    f, h = rule_sides(b, x)
    b.lines += [f"{h} = api.{kind}({f})", rule.format(f=f, h=h)]
    return f"{h}({x})"


@operation(1, 2, forward=True)
def custom_jvp(b: Builder) -> str:
    """With the right rule."""
    return of_own_rule(b, "custom_jvp", "{h}.defjvp(lambda p, t: api.jvp({f}, p, t))", strong(b, b.real("R")))


@operation(1, 2, honest=False)
def custom_jvp_of_its_own(b: Builder) -> str:
    """With a rule that is not the derivative."""
    rule = b.choose([
        "{h}.defjvp(lambda p, t: ({h}(*p), 3 * p[0] * t[0]))",
        "{h}.defjvps(lambda t, out, x: t * out + t * x)",
        "{h}.defjvp(lambda p, t: ({f}(*p), jnp.cos({f}(*p)) * t[0]))",
    ])  # fmt: skip
    return of_own_rule(b, "custom_jvp", rule, strong(b, b.real("R")))


@operation(1, 2, only_reverse=True)
def custom_vjp(b: Builder) -> str:
    """With the right rule."""
    rule = "{h}.defvjp(lambda a: api.vjp({f}, a), lambda pull, ct: pull(ct))"
    return of_own_rule(b, "custom_vjp", rule, strong(b, b.real("R")))


@operation(1, 2, honest=False, only_reverse=True)
def custom_vjp_of_its_own(b: Builder) -> str:
    """With a rule that is not the derivative."""
    rule = b.choose([
        "{h}.defvjp(lambda a: ({f}(a), a), lambda a, ct: (ct * a ** 3,))",
        "{h}.defvjp(lambda a: ({f}(a), None), lambda _, ct: (jnp.clip(ct, -0.2, 0.2),))",
        "{h}.defvjp(lambda a: ({h}(a), (a, 2)), lambda r, ct: (jnp.sin(r[0]) * ct * r[1],))",
    ])  # fmt: skip
    return of_own_rule(b, "custom_vjp", rule, strong(b, b.real("R")))


@operation(0, 0, honest=False, only_reverse=True)
def custom_vjp_of_trees(b: Builder) -> str:
    """A rule for two arguments, one of which is not differentiated, and two results."""
    x, y = strong(b, b.real("R")), strong(b, b.real("R"))
    f = name(b)
    b.lines += [
        f"{f} = api.custom_vjp(lambda k, p: {{'s': jnp.sin(p['x']) * k, 't': jnp.sum(p['y'])}}, nondiff_argnums=(0,))",
        f"{f}.defvjp(lambda k, p: ({f}(k, p), p), lambda k, p, ct: ({{'x': ct['s'] * k, 'y': p['y'] * ct['t']}},))",
    ]
    return f"{f}(2, {{'x': {x}, 'y': {y}}})"


@operation(0, 0, honest=False)
def stop_gradient_inside(b: Builder) -> str:
    x = strong(b, b.real("R"))
    return f"(lambda a: a * lax.stop_gradient(a) + jnp.sin(a))({x})"


# Implicit functions


@operation(0, 0)
def linear_solve(b: Builder) -> str:
    x, y = strong(b, b.real("P", shape=(2,))), strong(b, b.real("R", shape=(2,)))
    matvec = f"lambda u: u * ({x} + 1)"
    solve = f"lambda _, c: c / ({x} + 1)"
    return f"lax.custom_linear_solve({matvec}, {y}, {solve}, {solve}, symmetric={b.flag()})"


@operation(0, 0)
def root(b: Builder) -> str:
    x = strong(b, b.real("P", shape=()))
    start = f"jnp.ones_like({x})"
    newton = "lambda g, y: lax.fori_loop(0, 12, lambda _, z: z - g(z) / (3 * z * z + 1), y)"
    return f"lax.custom_root(lambda y: y ** 3 + y - {x}, {start}, {newton}, lambda g, y: y / g(jnp.ones_like(y)))"


@operation(0, 0)
def iterative_solve(b: Builder) -> str:
    x, y = strong(b, b.real("P", shape=(2,))), strong(b, b.real("R", shape=(2,)))
    solver = b.choose(["cg", "bicgstab", "gmres"])
    return f"scipy.sparse.linalg.{solver}(lambda u: u * ({x} + 1), {y}.astype(f64), tol=1e-13)[0]"
