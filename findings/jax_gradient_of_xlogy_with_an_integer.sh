#!/bin/sh
# jax.grad of y -> xlogy(2, y) raises TypeError about float0, where the 2 is an integer (JAX 0.12.0.1, Python 3.12).
#
# The value is right, and xlogy(2.0, y) has its gradient. The function promotes its arguments inside of the part that
# its own rule replaces, so that the rule gets the integer, whose tangent is no number, and multiplies it. Neighbours
# promote outside: rel_entr(2, y), zeta(2, y) and betainc(2, 3, y) have gradients. xlog1py is as xlogy.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu "$folder/env/bin/python" - <<'EOF'
import jax
from jax.scipy import special

print("jax", jax.__version__, "xlogy(2, 0.5) is", special.xlogy(2, 0.5))
for name, slope in (("xlogy", 4.0), ("xlog1py", 2.0 / 1.5)):
    function = getattr(special, name)
    assert abs(jax.grad(lambda y: function(2.0, y))(0.5) - slope) < 1e-6
    try:
        jax.grad(lambda y: function(2, y))(0.5)
    except TypeError as error:
        print(name, "of an integer: TypeError:", str(error).split(".")[0])
        assert "float0" in str(error)
    else:
        raise SystemExit("it has changed")
print("rel_entr(2, y) has the slope", jax.grad(lambda y: special.rel_entr(2, y))(0.5))
EOF
