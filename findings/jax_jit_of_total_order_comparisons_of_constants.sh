#!/bin/sh
# jax.jit forgets that a comparison is a total order where both operands are constants (JAX 0.10.2 and 0.12.0.1).
#
# lax.lt_to, le_to and eq_to, with which jax.lax.sort orders numbers, put -nan below numbers, -0.0 below 0.0, and have a
# nan equal to itself. With operands that are arguments, and without jit, they do. With constants XLA folds the
# comparison while it compiles, at every optimization level, into one of IEEE: a nan compares false, and the two zeros
# are equal.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for versions in "3.11 0.10.2" "3.12 0.12.0.1"; do
    python=python${versions% *} jax=${versions#* }
    "$python" -m venv "$folder/$jax"
    "$folder/$jax/bin/pip" install --quiet "jax==$jax" "jaxlib==$jax"
    JAX_PLATFORMS=cpu "$folder/$jax/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

x = jnp.array([-np.nan, -0.0, 0.0, np.nan, 1.0])
y = jnp.array([-1.0, 0.0, -0.0, np.nan, 2.0])
print("jax", jax.__version__)
for name, right, folded in (
    ("lt_to", [True, True, False, False, True], [False, False, False, False, True]),
    ("le_to", [True, True, False, True, True], [False, True, True, False, True]),
    ("eq_to", [False, False, False, True, False], [False, True, True, False, False]),
):
    compare = getattr(lax, f"{name}_p").bind
    assert compare(x, y).tolist() == right
    assert jax.jit(compare)(x, y).tolist() == right
    found = jax.jit(lambda: compare(x, y))()
    print(f"{name} of constants under jit: {found.tolist()}, and right is {right}")
    assert found.tolist() == folded
EOF
done
