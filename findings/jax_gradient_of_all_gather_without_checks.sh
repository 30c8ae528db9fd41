#!/bin/sh
# The gradient of all_gather(..., to="invarying") in a shard_map with check_vma=False is too small by the number of
# devices (JAX 0.10.2; right in 0.12.0.1).
#
# Four devices gather eight numbers, and the sum of their squares is the same on all. Its gradient is twice the numbers.
# With check_vma=True, or with to="varying" and a mean over the devices, JAX 0.10.2 says so too; with check_vma=False,
# which is asked for where a kernel has no rules for types, it says a quarter of that. The value is right, and nothing is
# raised. The remedy is to="varying", the default, with a mean of what all devices have in common.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for versions in "3.11 0.10.2" "3.12 0.12.0.1"; do
    python=python${versions% *} jax=${versions#* }
    "$python" -m venv "$folder/$jax"
    "$folder/$jax/bin/pip" install --quiet "jax==$jax" "jaxlib==$jax"
    JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 "$folder/$jax/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

mesh = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Auto,))
x = jnp.arange(1.0, 9.0)


def loss(to, check):
    def local(part):
        total = jnp.sum(jax.lax.all_gather(part, "d", tiled=True, to=to) ** 2)
        return total if to == "invarying" else jax.lax.pmean(total, "d")

    return jax.shard_map(local, mesh=mesh, in_specs=P("d"), out_specs=P(), check_vma=check)


print("jax", jax.__version__)
for to in ("varying", "invarying"):
    for check in (True, False):
        for transform in (jax.grad, lambda f: jax.jit(jax.grad(f))):
            assert float(loss(to, check)(x)) == 204.0
            factor = np.unique(np.asarray(transform(loss(to, check))(x)) / (2 * np.asarray(x)))
            print(f"to={to!r}, check_vma={check}: the gradient is {factor} of what it should be")
            wrong = jax.__version__ == "0.10.2" and to == "invarying" and not check
            assert factor == (0.25 if wrong else 1.0), "it has changed"
EOF
done
