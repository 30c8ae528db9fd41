#!/bin/sh
# lax.associative_scan with reverse=True and a negative axis raises TypeError about rev (JAX 0.12.0.1, Python 3.12;
# 0.10.2 is the same). Forward along axis -1 it works, and so does reversed along the same axis counted from the front.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu "$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
from jax import lax

x = jnp.ones((2, 5))
print("jax", jax.__version__)
for axis, reverse in ((1, False), (1, True), (-1, False)):
    assert lax.associative_scan(jnp.add, x, axis=axis, reverse=reverse).shape == (2, 5)
try:
    lax.associative_scan(jnp.add, x, axis=-1, reverse=True)
except TypeError as error:
    print("axis=-1, reverse=True: TypeError:", str(error).splitlines()[0])
    assert "rev dimensions" in str(error)
else:
    raise SystemExit("it has changed")
EOF
