"""Handwritten digits learned on several devices, in one process and in two.

On eight devices of one process:

    python examples/data_parallel.py

On two processes with four devices each, which the first one starts:

    python examples/data_parallel.py --processes 2

The devices are made of this computer's processor. Each has a part of every batch and all parameters, and the compiler
adds what they find; the step is minijvp's, on arrays that JAX divides. It prints, for one device and for all, the loss
on the way and the accuracy in the end, and what the compiled step sends, beside JAX's.
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sklearn.datasets import load_digits

import minijvp
import minijvp.numpy as mnp

DEVICES = 8
parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
parser.add_argument("--processes", type=int, default=1, choices=(1, 2, 4))
parser.add_argument("--member", type=int, default=None, help=argparse.SUPPRESS)
parser.add_argument("--port", type=int, default=None, help=argparse.SUPPRESS)
OPTIONS = parser.parse_args()

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", DEVICES // OPTIONS.processes)

STEPS, BATCH, RATE = 300, 256, 0.5


def loss(xp, log_softmax, params, x, y):
    """The mean cross entropy of images (examples, 64) and labels (examples, 10), by the functions of one library."""
    w1, b1, w2, b2 = params
    logits = xp.tanh(x @ w1 + b1) @ w2 + b2
    return -xp.mean(xp.sum(log_softmax(logits) * y, axis=-1))


def updated(params, gradient):
    """The parameters one step of gradient descent later."""
    return [p - RATE * g for p, g in zip(params, gradient)]


@minijvp.jit
def step(params, x, y):
    """The loss, and the parameters one step later."""
    loss_of = lambda params: loss(mnp, minijvp.nn.log_softmax, params, x, y)
    value, gradient = minijvp.value_and_grad(loss_of)(params)
    return value, updated(params, gradient)


@jax.jit
def step_of_jax(params, x, y):
    """The same in JAX, to compare what it sends."""
    value, gradient = jax.value_and_grad(lambda params: loss(jnp, jax.nn.log_softmax, params, x, y))(params)
    return value, updated(params, gradient)


def collectives(compiled):
    """How many of each kind of collective a compiled program has."""
    kinds = re.findall(r"= .*? (all-reduce|all-gather|reduce-scatter|all-to-all)(?:-start)?\(", compiled.as_text())
    return ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(kinds).items())) or "nothing"


def train(devices, x, y):
    """Losses on the way, the parameters in the end, and a step's arguments, on these devices."""
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    rows, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    # Each process has all numbers here, and gives each of its devices the part that is its own.
    put = lambda a, how: jax.make_array_from_callback(a.shape, how, lambda index: a[index])
    generator = np.random.default_rng(0)
    shapes = (64, 32), (32,), (32, 10), (10,)
    params = [put(0.2 * generator.normal(size=s).astype(np.float32), whole) for s in shapes]
    losses = []
    for i in range(STEPS):
        chosen = generator.permutation(len(x))[:BATCH]
        batch = put(x[chosen], rows), put(y[chosen], rows)
        # One at a time: of processes with several devices each, steps on the way could wait for each other.
        value, params = jax.block_until_ready(step(params, *batch))
        if (i + 1) % 100 == 0:
            losses.append(float(value))
    return losses, params, batch


def main():
    if OPTIONS.member is not None:
        jax.distributed.initialize(f"127.0.0.1:{OPTIONS.port}", OPTIONS.processes, OPTIONS.member)
    images, labels = load_digits(return_X_y=True)
    x = images.astype(np.float32) / 16
    y = np.eye(10, dtype=np.float32)[labels]
    several, params, batch = train(jax.devices(), x[:1536], y[:1536])
    single = None
    if OPTIONS.processes == 1:
        single, _, _ = train(jax.devices()[:1], x[:1536], y[:1536])
    ours, theirs = [collectives(s.lower(params, *batch).compile()) for s in (step, step_of_jax)]
    if jax.process_index():
        return
    found = [np.asarray(p.addressable_data(0)) for p in params]
    accuracy = np.mean(np.argmax(np.tanh(x[1536:] @ found[0] + found[1]) @ found[2] + found[3], -1) == labels[1536:])
    print(f"{jax.device_count()} devices, in {OPTIONS.processes} process{'es' if OPTIONS.processes > 1 else ''}")
    print(f"loss after 100, 200, 300 steps  {'  '.join(f'{v:.6f}' for v in several)}")
    if single is not None:
        print(f"the same on one device          {'  '.join(f'{v:.6f}' for v in single)}")
        print(f"largest relative difference     {max(abs(a - b) / b for a, b in zip(several, single)):.1e}")
    print(f"accuracy on unseen digits       {accuracy:.1%}")
    print(f"a step sends, by minijvp        {ours}")
    print(f"              by JAX            {theirs}")


def start():
    """Start the processes, which find each other at a free port, and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *[f"-W{w}" for w in sys.warnoptions], __file__]
    how = ["--processes", str(OPTIONS.processes), "--port", str(port)]
    members = [subprocess.Popen([*command, *how, "--member", str(i)]) for i in range(OPTIONS.processes)]
    sys.exit(max(m.wait() for m in members))


if __name__ == "__main__":
    start() if OPTIONS.processes > 1 and OPTIONS.member is None else main()
