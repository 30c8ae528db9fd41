#!/bin/sh
# Gradients through jax.scipy.sparse.linalg.gmres are exactly 0 where cotangents are small beside b (JAX 0.12.0.1).
#
# gmres turns its relative tolerance into an absolute one with the right-hand side b that it is called with. The linear
# solve of its derivative, whose right-hand side is a tangent or a cotangent, stops by the same absolute number: what is
# smaller than tol times the norm of b counts as solved by 0. So a loss multiplied by 1e-6, or a mean over many solves,
# has no gradient, and jvp is not linear in its tangent. cg and bicgstab measure each solve by its own right-hand side.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import bicgstab, cg, gmres

a = jnp.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])
b = jnp.array([1.0, 2.0, 3.0])
right = jnp.linalg.solve(a.T, jnp.ones(3))
print("jax", jax.__version__, "the gradient of sum(solve(a, b)) is", right)
for solver in (cg, bicgstab, gmres):
    for scale in (1.0, 1e-6):
        found = jax.grad(lambda b: scale * solver(a, b)[0].sum())(b) / scale
        print(solver.__name__, "times", scale, "has, divided by that,", found)
        if solver is gmres and scale < 1:
            assert (found == 0).all(), "it has changed"
        else:
            assert jnp.allclose(found, right)
EOF
