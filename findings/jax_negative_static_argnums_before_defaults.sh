#!/bin/sh
# A negative position in static_argnums of jax.jit is another argument in JAX 0.12 than before, for a function that has a
# parameter with a default: f(x, n, scale=1.0), called as jit(f, static_argnums=-1)(x, 3) (JAX 0.11.2 and 0.12.0.1,
# Python 3.12; 0.10.2 is as 0.11.2).
#
# Up to 0.11 positions are counted from the last argument that is given, so n is static. From 0.12 on they are counted
# from the last parameter, which is scale: n is traced, and range(n) raises. Where the parameter is given too, where there
# is none with a default, or where there are *args, nothing has changed. A program that only multiplies by n goes on
# silently, and the other way round: with scale given, n is traced in both.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PROGRAM'
import jax


def f(x, n, scale=1.0):
    for _ in range(n):
        x = x * scale
    return x


def g(x, *n):
    return f(x, *n)


def traced(fun, *args):
    try:
        jax.jit(fun, static_argnums=-1)(*args)
    except jax.errors.TracerIntegerConversionError:
        return True
    return False


found = [traced(f, 2.0, 3), traced(f, 2.0, 3, 1.5), traced(g, 2.0, 3)]
print("jax", jax.__version__, "traces n:", found)
assert found == [jax.__version_info__ >= (0, 12), True, False], "it has changed"
PROGRAM
for version in 0.11.2 0.12.0.1; do
    python3.12 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "jax==$version" "jaxlib==$version"
    JAX_PLATFORMS=cpu "$folder/$version/bin/python" "$folder/program.py"
done
