#!/bin/sh
# jax.grad through jnp.unique, union1d, setdiff1d, intersect1d, setxor1d, and through the rest of polydiv with
# trim_leading_zeros=True, is zero without an error (JAX 0.12.0.1, Python 3.12; 0.10.2 is the same).
#
# Outside of jit these functions look at their values to find the shape of the result. For that they take the concrete
# array out of the value that is differentiated, and go on with the array: the result is right, and depends on nothing.
# With size= (or trim_leading_zeros=False) nothing is looked at, and the gradient is right. Neighbours that look too,
# extract, compress, trim_zeros, roots with strip_zeros, go on with the value itself and are right.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "jax==0.12.0.1" "jaxlib==0.12.0.1"
JAX_PLATFORMS=cpu "$folder/env/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp

x, y = jnp.array([1.0, 2.0, 4.0, 5.0]), jnp.array([2.0, 5.0, 7.0])
pairs = {
    "unique": (lambda x: jnp.unique(x), lambda x: jnp.unique(x, size=4)),
    "union1d": (lambda x: jnp.union1d(x, y), lambda x: jnp.union1d(x, y, size=5)),
    "setdiff1d": (lambda x: jnp.setdiff1d(x, y), lambda x: jnp.setdiff1d(x, y, size=2)),
    "intersect1d": (lambda x: jnp.intersect1d(x, y), lambda x: jnp.intersect1d(x, y, size=2)),
    "setxor1d": (lambda x: jnp.setxor1d(x, y), lambda x: jnp.setxor1d(x, y, size=3)),
    "rest of polydiv": (lambda x: jnp.polydiv(x, x[:2], trim_leading_zeros=True)[1], lambda x: jnp.polydiv(x, x[:2])[1]),
}
print("jax", jax.__version__)
for name, (looking, sized) in pairs.items():
    assert looking(x).sum() == sized(x).sum(), name
    found, right = (jax.grad(lambda x, f=f: f(x).sum())(x) for f in (looking, sized))
    print(name, "has gradient", found, "and with a size", right)
    assert (found == 0).all() and (right != 0).any(), "it has changed"
assert (jax.grad(lambda x: jnp.extract(x > 1.5, x).sum())(x) == jnp.array([0.0, 1.0, 1.0, 1.0])).all()
EOF
