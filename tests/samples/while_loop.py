"""Samples of minijvp.control_flow.while_loop, judged by loops of a static number of steps."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import minijvp.numpy as mnp
from minijvp.control_flow import while_loop as ops
from minijvp.core.types import type_of
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def loop(label, condition, body, n_cond_constants, n_body_constants, *args, most=4, **options):
    """A loop whose condition and body, of a module such as numpy, give functions of constants and carries.

    It must end within `most` steps.
    """
    k, fixed = n_cond_constants, n_cond_constants + n_body_constants
    types = [type_of(jnp.asarray(x)) for x in args]
    params = dict(
        cond_jaxpr=stage(lambda *xs: [condition(mnp)(*xs)], types[:k] + types[fixed:], label),
        body_jaxpr=stage(body(mnp), types[k:], label),
        n_cond_constants=k,
        n_body_constants=n_body_constants,
    )

    def oracle(*xs):
        def step(carry, _):
            goes_on = condition(jnp)(*xs[:k], *carry)
            new = body(jnp)(*xs[k:fixed], *carry)
            return [jnp.where(goes_on, a, b) for a, b in zip(new, carry, strict=True)], None

        return tuple(lax.scan(step, list(xs[fixed:]), length=most)[0])

    return Sample(ops.while_loop, args, oracle, params, label=label, **options)


def counted(np):
    return lambda n, i, c, x: i < n


def body(np):
    return lambda w, i, c, x: [i + 1, x, np.sin(w * c) + x]


def after(n, fixed, fun):
    """The carries that a body makes in n steps, as a function of constants and first carries."""

    def unrolled(*inputs):
        constants, carry = inputs[:fixed], list(inputs[fixed:])
        for _ in range(n):
            carry = fun(*constants, *carry)
        return carry

    return unrolled


def derivative(label, kind, n, fixed, fun, inputs, wrt, others, **flags):
    """A derivative of a loop of n steps: `kind` of primitive, judged by JAX's derivative of the unrolled loop."""
    jaxpr = stage(fun(mnp), [type_of(jnp.asarray(x)) for x in inputs], label)
    params = dict(body=jaxpr, n_constants=fixed, wrt=wrt, **flags)

    def split(xs):
        """The unrolled loop as a function of what is differentiated, that, and the further arguments."""
        values, rest = list(xs[1 : 1 + len(inputs)]), list(xs[1 + len(inputs) :])
        places = [i for i, flag in enumerate(wrt) if flag]

        def some(*active):
            full = list(values)
            for i, x in zip(places, active, strict=True):
                full[i] = x
            return [y for y, flag in zip(after(n, fixed, fun(jnp))(*full), wrt[fixed:], strict=True) if flag]

        return some, [values[i] for i in places], rest

    def tangents(*xs):
        some, active, rest = split(xs)
        return tuple(jax.jvp(some, active, rest)[1])

    def cotangents(some, active, cts):
        return jax.vjp(some, *active)[1](cts)

    def pulled(*xs):
        some, active, rest = split(xs)
        return cotangents(some, active, rest)

    def curved(*xs):
        some, active, rest = split(xs)
        k = sum(flags["cts"])
        along, t_cts = rest[k : k + len(active)], rest[k + len(active) :]
        return jax.jvp(lambda *a: cotangents(some, a[:-1], a[-1]), [*active, rest[:k]], [*along, t_cts])[1]

    judge = {ops.while_tangents: tangents, ops.while_cotangents: pulled, ops.while_curvature: curved}[kind]
    return Sample(kind, (np.int32(n), *inputs, *others), judge, params, label=f"{kind.name}-{label}")


def two(np):
    return lambda w, x, y: [np.sin(w * x) + y, x * y]


def guided(np):
    """A counter, a constant and a carry that are not differentiated."""
    return lambda k, i, x, z: [i + 1, np.tanh(x * k) * z + i, z * 0.5]


x, y, w = random(2, dtype=float), random(2, dtype=float, seed=1), random(2, dtype=float, seed=2)
t, u, v, z = (random(2, dtype=float, seed=k) for k in range(3, 7))
one = (True, True, True)
SAMPLES = [
    loop("integers", lambda np: lambda n: n < 9, lambda np: lambda n: [n * 2 + 1], 0, 0, np.int32(0)),
    loop("counted", counted, body, 1, 1, np.int32(3), w, np.int32(0), x, y),
    loop("no-step", counted, body, 1, 1, np.int32(0), random(2), np.int32(0), random(2), random(2, seed=1)),
    loop(
        "grown", lambda np: lambda c: c < 9.0, lambda np: lambda w, c: [c * w], 0, 1, np.float64(2.1), np.float64(0.7)
    ),
    derivative("two", ops.while_tangents, 3, 1, two, (w, x, y), one, (t, u, v)),
    derivative("two", ops.while_cotangents, 3, 1, two, (w, x, y), one, (t, u), cts=(True, True)),
    derivative(
        "guided",
        ops.while_cotangents,
        3,
        1,
        guided,
        (w, np.int32(0), x, y),
        (False, False, True, False),
        (t,),
        cts=(False, True, False),
    ),
    derivative(
        "two",
        ops.while_curvature,
        2,
        1,
        two,
        (w, x, y),
        one,
        (t, u, v, z, x, y, w),
        cts=(True, True),
        along=one,
        t_cts=(True, True),
    ),
]
