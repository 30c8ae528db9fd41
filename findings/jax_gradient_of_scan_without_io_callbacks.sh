#!/bin/sh
# Reverse mode drops io_callback from the body of a scan, ordered or not, if nobody reads its result (JAX 0.10.2 and
# 0.12.0.1).
#
# io_callback is for functions with side effects, and stays where its result is not read. By itself, under jit, and in
# forward mode, a scan of three turns calls it three times. Under grad, vjp and linearize, with jit or without, it is not
# called at all, not even while the value is computed, and nothing is said: a log, a counter or a checkpoint written
# from the loop ends when the loop is differentiated. The same body, unrolled by Python, calls it three times. The remedy
# is to make the carry depend on what the callback returns.
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
from jax.experimental import io_callback

seen = []


def body(c, _, ordered, read=False):
    def note(v):
        seen.append(float(v))
        return np.float32(0)

    zero = io_callback(note, jax.ShapeDtypeStruct((), jnp.float32), jax.lax.stop_gradient(c), ordered=ordered)
    return jnp.sin(c) + (zero if read else 0), None


def calls(transform, fun):
    seen.clear()
    jax.block_until_ready(transform(fun)(jnp.float32(0.5)))
    jax.effects_barrier()
    return len(seen)


print("jax", jax.__version__)
for ordered in (False, True):
    scanned = lambda x: jax.lax.scan(lambda c, _: body(c, _, ordered), x, None, length=3)[0]
    read = lambda x: jax.lax.scan(lambda c, _: body(c, _, ordered, read=True), x, None, length=3)[0]

    def unrolled(x):
        for _ in range(3):
            x, _ = body(x, None, ordered)
        return x

    ways = {
        "value": lambda f: f,
        "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
        "grad": jax.grad,
        "grad under jit": lambda f: jax.jit(jax.grad(f)),
        "value of vjp": lambda f: lambda x: jax.vjp(f, x)[0],
        "value of linearize": lambda f: lambda x: jax.linearize(f, x)[0],
    }
    for name, way in ways.items():
        found = calls(way, scanned), calls(way, unrolled), calls(way, read)
        print(f"ordered={ordered}, {name}: calls in a scan, unrolled, in a scan that reads the result: {found}")
        assert found == ((3 if name in ("value", "jvp") else 0), 3, 3), "it has changed"
EOF
done
