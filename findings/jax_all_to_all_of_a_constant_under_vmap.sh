#!/bin/sh
# jax.lax.all_to_all along the axis of a jax.vmap gives an array of a wrong shape if its operand is the same in all lanes.
#
# JAX 0.12.0.1 (and 0.10.2), Python 3.12 (3.11). Lane i of all_to_all(c, "i", 0, 0), for a constant c of 4 numbers,
# should be the i-th number of c from each of the 4 lanes: 4 numbers, as if every lane had been given a copy of c.
# Seen: each lane has 16 numbers, c four times, with no error. The tangents of jax.jacfwd are such constants, so the
# Jacobian of all_to_all in a lane, which is a matrix of (4, 4), comes out as (4, 4, 4, 4); jax.jacrev and jax.hessian
# raise (a cotangent of another type; a buffer of another size in XLA). all_gather and psum of constants are right.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env" 2>/dev/null || python3 -m venv "$folder/env"
version=$("$folder/env/bin/python" -c 'import sys; print("0.12.0.1" if sys.version_info >= (3, 12) else "0.10.2")')
"$folder/env/bin/pip" install --quiet "jax==$version" "jaxlib==$version"
"$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
from jax import lax

c, lanes = jnp.arange(4.0), jnp.zeros((4, 4))
turned = lambda x: lax.all_to_all(x, "i", 0, 0)
constant = jax.vmap(lambda x: turned(c), axis_name="i")(lanes)
copies = jax.vmap(lambda x: turned(c + x), axis_name="i")(lanes)  # the same numbers, one copy for each lane
jacobian = jax.vmap(jax.jacfwd(turned), axis_name="i")(lanes)
gathered = jax.vmap(lambda x: lax.all_gather(c, "i"), axis_name="i")(lanes)
print("jax", jax.__version__)
print("all_to_all of a constant:", constant.shape, "of a copy in each lane:", copies.shape)
print("jacfwd:", jacobian.shape, "should be (4, 4, 4); all_gather of a constant:", gathered.shape)
assert copies.shape == (4, 4) and copies.tolist() == [[i] * 4 for i in range(4)]
assert gathered.shape == (4, 4, 4)
assert constant.shape == (4, 4, 4) and jacobian.shape == (4, 4, 4, 4, 4), "it has changed"
EOF
