"""Programs in the style of JAX's documentation, with only their imports replaced: both sides give the same."""

from __future__ import annotations

import pytest

import minijvp
from tests.side_by_side import same

IMPORTS = """
import {package} as jax
import {package}.numpy as jnp
from {package} import grad, jit, vmap, random, lax
from {package}.tree_util import tree_map, register_pytree_node_class
from {package}.flatten_util import ravel_pytree
from {package}.experimental.ode import odeint
"""

NETWORK = """
jax.config.update("jax_enable_x64", True)

def init_layer(key, m, n):
    w_key, b_key = random.split(key)
    return {"w": random.normal(w_key, (n, m)) / jnp.sqrt(m), "b": random.normal(b_key, (n,))}

params = [init_layer(k, m, n) for k, m, n in zip(random.split(random.PRNGKey(0), 2), (3, 4), (4, 2))]

def predict(params, x):
    for layer in params[:-1]:
        with jax.named_scope("layer"):
            x = jax.nn.relu(jnp.dot(layer["w"], x) + layer["b"])
    return jax.nn.log_softmax(params[-1]["w"] @ x + params[-1]["b"])

def loss(params, xs, targets):
    return -jnp.mean(jax.vmap(predict, in_axes=(None, 0))(params, xs) * targets)

@jit
def update(params, xs: jax.Array, targets: jax.Array):
    value, grads = jax.value_and_grad(loss)(params, xs, targets)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

xs = random.normal(random.PRNGKey(1), (5, 3))
targets = jax.nn.one_hot(jnp.arange(5) % 2, 2)
for _ in range(2):
    params, value = update(params, xs, targets)
flat, unravel = ravel_pytree(params)
result = params, value, flat.shape, jax.tree_util.tree_structure(unravel(flat)) == jax.tree.structure(params)
"""

RULES = """
@jax.custom_vjp
def clip_gradient(lo, hi, x):
    return x

clip_gradient.defvjp(lambda lo, hi, x: (x, (lo, hi)), lambda res, g: (None, None, jnp.clip(g, res[0], res[1])))

@jax.custom_gradient
def log1pexp(x):
    e = jnp.exp(x)
    return jnp.log(1 + e), lambda g: g * (1 - 1 / (1 + e))

@register_pytree_node_class
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def tree_flatten(self):
        return (self.x, self.y), None
    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)

def newton(f, x0):
    def body(x):
        return x - f(x) / grad(f)(x)
    return lax.fori_loop(0, 8, lambda _, x: body(x), x0)

point = grad(lambda p: jnp.sin(p.x) * p.y)(Point(0.3, 2.0))
printed = jax.jit(lambda x: (jax.debug.print("x = {}", x), x)[1])(2.0)
result = (
    grad(lambda x: clip_gradient(-0.75, 0.75, jnp.sin(x * 3)))(0.1),
    vmap(grad(log1pexp))(jnp.array([0.0, 100.0])),
    (point.x, point.y),
    newton(lambda x: x**2 - 2.0, 1.0),
    jax.ops.segment_sum(jnp.arange(4.0), jnp.array([0, 0, 1, 1]), num_segments=2),
    jax.block_until_ready(jax.device_put(jnp.ones(2))),
    isinstance(printed, jax.Array),
)
"""

EQUATIONS = """
def pend(y, t, b, c):
    return jnp.array([y[1], -b * y[1] - c * jnp.sin(y[0])])

times = jnp.linspace(0.0, 1.0, 3)
ys = jit(odeint, static_argnums=0)(pend, jnp.array([jnp.pi - 0.1, 0.0]), times, 0.25, 5.0)

def step(carry, key):
    return carry + random.uniform(key), carry

walk = lax.scan(step, 0.0, random.split(random.key(3), 4))
host = jax.pure_callback(lambda x: x * 2, jax.ShapeDtypeStruct((), times.dtype), times[1])
with jax.disable_jit():
    looked = [float(x) for x in [jit(lambda x: x + 1.0)(1.0)]]
result = ys, walk, host, jnp.array(looked), jax.eval_shape(jnp.sin, times).shape
"""


def run(program: str, package: str) -> object:
    space: dict = {}
    exec(IMPORTS.format(package=package) + program, space)
    return space["result"]


@pytest.mark.parametrize("program", [NETWORK, RULES, EQUATIONS], ids=["network", "rules", "equations"])
def test_script(program: str) -> None:
    same(run(program, minijvp.__name__), run(program, "jax"), 1e-7)
