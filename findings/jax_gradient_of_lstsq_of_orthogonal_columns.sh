#!/bin/sh
# Gradients of jax.numpy.linalg.lstsq by its matrix are wrong where the columns are orthogonal (JAX 0.12.0.1).
#
# lstsq is differentiated by way of the singular vectors, whose derivatives divide by differences of squared singular
# values. Those of orthogonal columns of one length are equal, and the solution is a smooth function of such a matrix,
# the best conditioned of all; but if rounding leaves the singular values exactly equal, the gradient is nan, and if
# it makes them differ in their last bits, as here, it is a finite wrong number: it misses the differences by more
# than two fifths. pinv, whose derivative is stated by itself, is right. polyfit calls lstsq: its gradient by x is nan
# for points on both sides of 0.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp

a, b = jnp.array([[1.0, 1.0], [1.0, -1.0]]), jnp.array([1.0, 2.0])


def loss(a):
    return jnp.sin(jnp.linalg.lstsq(a, b)[0]).sum()


def by_pinv(a):
    return jnp.sin(jnp.linalg.pinv(a) @ b).sum()


step = 1e-6
moves = [(i, j) for i in range(2) for j in range(2)]
differences = jnp.array([(loss(a.at[m].add(step)) - loss(a.at[m].add(-step))) / (2 * step) for m in moves])
print("jax", jax.__version__)
print("differences  ", differences)
print("grad by pinv ", jax.grad(by_pinv)(a).ravel())
found = jax.grad(loss)(a).ravel()
print("grad by lstsq", found)
assert jnp.allclose(jax.grad(by_pinv)(a).ravel(), differences, 1e-6)
assert not jnp.isclose(found, differences, 0.05).any(), "it has changed"
identity = jax.grad(lambda a: jnp.linalg.lstsq(a, jnp.arange(3.0))[0].sum())(2 * jnp.eye(3))
points = jax.grad(lambda x: jnp.polyfit(x, jnp.array([1.0, 2.0, 0.0, 3.0, 5.0]), 1).sum())(jnp.linspace(-1.0, 1.0, 5))
print("of twice the identity:", identity.ravel())
print("polyfit by its points:", points)
assert jnp.isnan(identity).all() and jnp.isnan(points).all(), "it has changed"
EOF
