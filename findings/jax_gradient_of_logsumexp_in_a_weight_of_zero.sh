#!/bin/sh
# jax.grad of logsumexp(a, b=b) in a weight that is 0 is 0, whatever its term is (JAX 0.12.0.1, Python 3.12; 0.10.2 too).
#
# The function is log(sum(b * exp(a))), whose derivative in b[i] is exp(a[i]) / sum(b * exp(a)), also where b[i] is 0:
# mixtures that begin with an empty component never give it weight. The implementation sets a to -inf where b is 0, so
# that the term drops out, and its derivative with it. Other entries, and the same function written out, are right.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu "$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

a, b = jnp.arange(4.0), jnp.array([1.0, 2.0, -0.5, 0.0])
found = jax.grad(lambda b: logsumexp(a, b=b))(b)
right = jnp.exp(a) / jnp.sum(b * jnp.exp(a))
print("jax", jax.__version__, "has", found, "where", right, "is right")
assert jnp.allclose(found[:3], right[:3], rtol=1e-5)
assert found[3] == 0 and right[3] > 7, "it has changed"
written_out = jax.grad(lambda b: jnp.log(jnp.sum(b * jnp.exp(a))))(b)
assert jnp.allclose(written_out, right, rtol=1e-5)
EOF
