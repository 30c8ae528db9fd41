"""What a gradient keeps in memory, and what becomes of that under a memory budget.

A transformer of a few blocks, on random numbers. Run it as `python examples/memory.py`. It prints which lines keep what
in a block, the memory of the compiled gradient and how long it takes under several budgets, JAX's beside it, and saves
the plan for a block to examples/output/memory.svg.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import minijvp

SEQUENCES, LENGTH, WIDTH, HEADS = 8, 256, 256, 4
BUDGETS = "off", "auto", 0.2, 0.12


def normed(x: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)


def attention(p: Any, x: Any) -> Any:
    q, k, v = (jnp.einsum("bsd,dhe->bhse", x, p[name]) for name in "qkv")
    scores = jnp.einsum("bhse,bhte->bhst", q, k) / math.sqrt(q.shape[-1])
    mixed = jnp.einsum("bhst,bhte->bshe", jax.nn.softmax(scores, axis=-1), v)
    return jnp.einsum("bshe,hed->bsd", mixed, p["o"])


def block(p: Any, x: Any) -> Any:
    x = x + attention(p, normed(x))
    return x + jax.nn.gelu(normed(x) @ p["up"]) @ p["down"]


def loss(params: Any, x: Any) -> Any:
    """The mean square of what the blocks make of x: a program of JAX, as a user of JAX writes it."""
    for p in params:
        x = block(p, x)
    return jnp.mean(x**2)


def data(blocks: int) -> tuple[Any, Any]:
    """Parameters of each block, and an input (sequences, length, width)."""
    generator = np.random.default_rng(0)
    shapes = dict.fromkeys("qkv", (WIDTH, HEADS, WIDTH // HEADS))
    shapes |= {"o": (HEADS, WIDTH // HEADS, WIDTH), "up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH)}
    draw = lambda *shape: jnp.asarray(generator.normal(size=shape), jnp.float32)
    params = [{name: draw(*shape) / 16 for name, shape in shapes.items()} for _ in range(blocks)]
    return params, draw(SEQUENCES, LENGTH, WIDTH)


def measured(gradient: Any, args: tuple) -> tuple[float, float, Any]:
    """MiB that the compiled gradient allocates, milliseconds that it takes, and what it gives."""
    program = gradient.lower(*args).compile()
    result = jax.block_until_ready(program(*args))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(program(*args))
        times.append(time.perf_counter() - start)
    return program.memory_analysis().temp_size_in_bytes / 2**20, 1000 * median(times), result


def main() -> None:
    args = data(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
    ours = minijvp.from_jax(loss)
    one = (args[0][:1], args[1])
    print(minijvp.residual_report(ours, *one).lines)
    plan = minijvp.remat_plan(ours, *one, memory_budget=0.5)
    picture = Path(__file__).parent / "output" / "memory.svg"
    picture.parent.mkdir(exist_ok=True)
    plan.picture.save(picture)

    mib, ms, wanted = measured(jax.jit(jax.value_and_grad(loss)), args)
    print(f"\n{len(args[0])} blocks: temporary memory and time of value and gradient")
    print(f"JAX             {mib:7.1f} MiB {ms:7.1f} ms")
    for budget in BUDGETS:
        gradient = minijvp.jit(minijvp.value_and_grad(ours, memory_budget=budget))
        mib, ms, found = measured(gradient, args)
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
        error = max([float(jnp.max(jnp.abs(x - y)) / jnp.max(jnp.abs(y))) for x, y in pairs])
        print(f"minijvp, {budget!r:<7}{mib:7.1f} MiB {ms:7.1f} ms   largest relative difference {error:.0e}")
    print(f"the plan for a block: {picture}")


if __name__ == "__main__":
    main()
