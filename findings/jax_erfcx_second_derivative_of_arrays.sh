#!/bin/sh
# jax.scipy.special.erfcx has second derivatives for numbers, and raises for arrays (JAX 0.12.0.1, Python 3.12).
#
# Its first derivative is a function with a rule of its own, which puts a threshold without axes beside the argument in
# lax.select. So jax.grad(jax.grad(erfcx))(1.0) is 0.3087..., and jax.hessian of a sum of erfcx over an array raises
# TypeError: select cases must have the same shapes. jax.numpy.vectorize(erfcx), number by number, works.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
"$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
from jax.scipy.special import erfcx

x = jnp.array([0.5, 1.0])
number = jax.grad(jax.grad(erfcx))(1.0)
each = jax.hessian(lambda x: jnp.vectorize(erfcx)(x).sum())(x)
print("jax", jax.__version__, "second derivative at 1:", number, "number by number:", each.diagonal())
assert abs(each[1, 1] - number) < 1e-6
try:
    jax.hessian(lambda x: erfcx(x).sum())(x)
except TypeError as error:
    print("of an array: TypeError:", str(error).splitlines()[0])
    assert "select cases must have the same shapes" in str(error)
else:
    raise SystemExit("it has changed")
EOF
