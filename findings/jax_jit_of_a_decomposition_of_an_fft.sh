#!/bin/sh
# On CPU, jax.jit refuses every LAPACK decomposition or solve of what an FFT has returned (JAX 0.10.2 and 0.12.0.1).
#
# LAPACK takes matrices by columns, and XLA gives that layout to the operation that makes the matrix. Its FFT on CPU
# works by rows only, and notices when the program is already being compiled: a failed check inside of XLA ("INTERNAL:
# RET_CHECK failure ... fft_thunk.cc ... IsMonotonicWithDim0Major") takes the place of a result, in lu, det, inv, solve,
# qr, eigh, eig, svd, cholesky, schur and triangular solves of fft, rfft2 and irfft, with elementwise operations or an
# optimization_barrier between them too. Operation by operation all work, so a program breaks when it is put under jit.
# The remedy is to decompose the transposed matrix: inv(fft(x).T).T for inv(fft(x)).
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for versions in "3.11 0.10.2" "3.12 0.12.0.1"; do
    python=python${versions% *} jax=${versions#* }
    "$python" -m venv "$folder/$jax"
    "$folder/$jax/bin/pip" install --quiet "jax==$jax" "jaxlib==$jax"
    JAX_PLATFORMS=cpu "$folder/$jax/bin/python" - 2> "$folder/log" <<'EOF'
import jax
import jax.numpy as jnp
import numpy as np

x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)), "float32")
cases = {
    "det": jnp.linalg.det,
    "inv": jnp.linalg.inv,
    "solve": lambda a: jnp.linalg.solve(a, a[:, 0]),
    "qr": jnp.linalg.qr,
    "eigvalsh": jnp.linalg.eigvalsh,
    "svd": jnp.linalg.svd,
    "inv of the double": lambda a: jnp.linalg.inv(2 * a),
}
print("jax", jax.__version__)
for name, case in cases.items():
    fun = lambda x: case(jnp.fft.fft(x))
    fun(x)  # operation by operation it works
    try:
        jax.jit(fun)(x)
    except jax.errors.JaxRuntimeError as error:
        print(f"{name} of fft under jit:", " ".join(str(error).split())[:60])
        assert "RET_CHECK" in str(error)
    else:
        raise SystemExit(f"{name}: it has changed")
wanted = jnp.linalg.inv(jnp.fft.fft(x))
assert jnp.allclose(jax.jit(lambda x: jnp.linalg.inv(jnp.fft.fft(x).T).T)(x), wanted, 1e-3, 1e-3)
EOF
done
