"""The functional API in one screen: derivatives of every kind, batching and compilation, in any order."""

import minijvp
import minijvp.numpy as mnp


def energy(params: dict, x):
    """A small model: any pytree in, a number out."""
    hidden = mnp.tanh(x @ params["w"] + params["b"])
    return mnp.mean(hidden**2)


params = {"w": mnp.linspace(-1.0, 1.0, 6).reshape(3, 2), "b": mnp.zeros(2)}
x = mnp.array([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])

# Reverse mode: the gradient has the tree of the argument that it belongs to.
value, gradient = minijvp.value_and_grad(energy)(params, x)
print("energy", value, "\ngradient of b", gradient["b"])

# Forward mode: the derivative along a direction; and the linear map itself, kept for later.
_, tangent = minijvp.jvp(lambda x: energy(params, x), (x,), (mnp.ones_like(x),))
_, pushforward = minijvp.linearize(lambda x: energy(params, x), x)
print("along a direction", tangent, pushforward(mnp.ones_like(x)))

# Transformations compose: one gradient per example, compiled; a Hessian is forward over reverse.
per_example = minijvp.jit(minijvp.vmap(minijvp.grad(energy), in_axes=(None, 0)))
print("gradients per example", per_example(params, x)["w"].shape)
print("Hessian\n", minijvp.hessian(lambda b: energy({**params, "b": b}, x))(params["b"]))

# Python control flow is free to look at values, as long as nothing compiles or batches them.
newton = 2.0
while abs(newton**2 - 2.0) > 1e-6:
    newton = newton - (newton**2 - 2.0) / minijvp.grad(lambda r: r**2 - 2.0)(newton)
print("square root of 2:", newton)

# Every transformation runs through a small, typed program that can be read.
print(minijvp.make_jaxpr(minijvp.grad(lambda x: mnp.sin(x) * x))(1.0))
