#!/bin/sh
# The gradient of a convolution is several times slower in a scan than beside it, on CPU (JAX 0.12.0.1).
#
# XLA:CPU has a fast library for convolutions of the form (batch, spatial, feature) with (spatial, in, out). The pass that
# brings others to that form visits the entry computation alone. Those of a loop's body stay as they are, and run as
# plain loops; the ones of a gradient always are in another form. Transposing operands and result by hand helps.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu "$folder/env/bin/python" - <<'EOF'
import time
from statistics import median

import jax
import jax.numpy as jnp
from jax import lax

STEPS = 4
x = jax.random.normal(jax.random.key(0), (8, 16, 16, 16))
filters = 0.1 * jax.random.normal(jax.random.key(1), (STEPS, 3, 3, 16, 16))


def layer(x, w):
    return jnp.tanh(lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))), None


def scanned(filters, x):
    return lax.scan(layer, x, filters)[0].sum()


def unrolled(filters, x):
    for w in filters:
        x, _ = layer(x, w)
    return x.sum()


def seconds(f):
    start = time.process_time()
    jax.block_until_ready(f(filters, x))
    return time.process_time() - start


slow, fast = (jax.jit(jax.grad(f, (0, 1))) for f in (scanned, unrolled))
for a, b in zip(slow(filters, x), fast(filters, x)):
    assert jnp.allclose(a, b, rtol=1e-3, atol=1e-4 * jnp.abs(b).max())
rounds = [(seconds(slow), seconds(fast)) for _ in range(15)]
ratio = median(a / b for a, b in rounds)
a, b = (1e3 * median(times) for times in zip(*rounds))
print(f"jax {jax.__version__}: {a:.1f} ms by scan, {b:.1f} ms unrolled, {ratio:.1f} times as slow")
assert ratio > 5, "it has changed"
EOF
