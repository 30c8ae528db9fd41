"""Learn to write a licence: an LSTM over 500 characters by `minijvp.lax.scan`, whose gradient keeps little memory.

With checkpoint="auto" reverse mode keeps about every twentieth state and computes the others again. Run it as
`python examples/text_lstm.py`. It compares memory and gradient with and without, and with those of jax.grad; prints
its progress; and saves a picture to examples/output/text_lstm.png.
"""

from __future__ import annotations

import re
import sys
import textwrap
import time
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

import minijvp
import minijvp.numpy as mnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LENGTH, BATCH, HIDDEN = 500, 16, 96
STEPS, RATE = 300, 0.01
OURS, THEIRS = (mnp, minijvp.lax), (jnp, jax.lax)


def read_text() -> str:
    """The licence that comes with JAX, with single spaces."""
    file = next(f for f in metadata.files("jax") or [] if f.name.startswith("LICENSE"))
    return re.sub(r"\s+", " ", file.read_text())


def initialize(generator: np.random.Generator, n: int) -> dict:
    """The parameters of an LSTM over `n` characters; at first it remembers."""
    scale = 1 / np.sqrt(HIDDEN)
    shapes = {"characters": (n, 4 * HIDDEN), "recurrent": (HIDDEN, 4 * HIDDEN), "out": (HIDDEN, n)}
    params = {k: mnp.asarray(generator.normal(0, scale, shape), mnp.float32) for k, shape in shapes.items()}
    bias = np.repeat([0.0, 1.0, 0.0, 0.0], HIDDEN)
    return {**params, "bias": mnp.asarray(bias, mnp.float32), "out_bias": mnp.zeros(n)}


def advance(params: dict, state, characters, xp=mnp):
    """The next state of the LSTM (Hochreiter and Schmidhuber, 1997), and log probabilities of the next characters."""
    h, c = state
    gates = params["characters"][characters] + h @ params["recurrent"] + params["bias"]
    inward, forget, candidate, outward = xp.split(gates, 4, axis=-1)
    inward, forget, outward = (0.5 * xp.tanh(0.5 * x) + 0.5 for x in (inward, forget, outward))
    c = forget * c + inward * xp.tanh(candidate)
    h = outward * xp.tanh(c)
    logits = h @ params["out"] + params["out_bias"]
    logits = logits - logits.max(axis=-1, keepdims=True)
    return (h, c), logits - xp.log(xp.exp(logits).sum(axis=-1, keepdims=True))


def surprise(params: dict, text, library=OURS, **options):
    """For rows of characters, (rows, length + 1), minus the log probabilities of all but the first: (length, rows)."""
    xp, lax = library

    def step(state, characters):
        read, expected = characters
        state, logs = advance(params, state, read, xp)
        return state, -xp.take_along_axis(logs, expected[:, None], axis=1)[:, 0]

    start = xp.zeros((len(text), HIDDEN))
    return lax.scan(step, (start, start), (text[:, :-1].T, text[:, 1:].T), **options)[1]


def loss(params: dict, text, library=OURS, **options):
    """The mean surprise of a character, in nats; `options` are those of scan."""
    return surprise(params, text, library, **options).mean()


@minijvp.jit
def step(params, moments, text, i):
    """The `i`-th step of Adam (Kingma and Ba, 2015): parameters, moments, and the loss before the step."""
    value, gradient = minijvp.value_and_grad(lambda p: loss(p, text, checkpoint="auto"))(params)
    # A long loop sometimes has a gradient that is much too long.
    gradient_norm = mnp.sqrt(sum(mnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda g: g / mnp.maximum(gradient_norm, 1.0), gradient)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g**2, moments[1], gradient)
    a, b = 1 - 0.9**i, 1 - 0.99**i
    params = jax.tree.map(lambda p, m, s: p - RATE * (m / a) / (mnp.sqrt(s / b) + 1e-8), params, mean, square)
    return params, (mean, square), value


def compare(params: dict, text) -> None:
    """Print what memory the gradient takes, and how far it is from the one without checkpoints and from JAX's."""
    kept, less = (
        minijvp.jit(minijvp.grad(lambda p, t, k=k: loss(p, t, checkpoint=k))).lower(params, text).compile()
        for k in (None, "auto")
    )
    sizes = [g.memory_analysis().temp_size_in_bytes / 2**20 for g in (kept, less)]
    share = sizes[1] / sizes[0]
    print(
        'temporary memory of the gradient: {:.1f} MiB, with checkpoint="auto" {:.1f} MiB,'.format(*sizes),
        f"{share:.3f} x",
    )
    theirs = jax.jit(jax.grad(lambda p, t: loss(p, t, THEIRS)))
    for name, other in {"all kept": kept, "jax.grad": theirs}.items():
        difference = jax.tree.map(lambda a, b: abs(a - b).max() / abs(b).max(), less(params, text), other(params, text))
        largest = float(max(jax.tree.leaves(difference)))
        print(f"gradient against that of {name}: largest relative difference {largest:.1e}")


def train(params: dict, codes, generator: np.random.Generator, steps: int) -> tuple[dict, list[float]]:
    """The trained parameters, and the loss of every step, in bits; prints a progress line."""
    moments = (jax.tree.map(mnp.zeros_like, params),) * 2
    losses: list[float] = []
    start = time.perf_counter()
    for i in range(1, steps + 1):
        begins = generator.integers(0, len(codes) - LENGTH, BATCH)
        text = codes[begins[:, None] + np.arange(LENGTH + 1)]
        params, moments, value = step(params, moments, text, float(i))
        losses.append(float(value) / np.log(2))
        line = f"step {i:4}/{steps}  {losses[-1]:.3f} bits a character  {time.perf_counter() - start:5.1f} s"
        # One line that rewrites itself on a terminal; every twentieth one in a log.
        if sys.stdout.isatty():
            print(f"\r{line}", end="\n" if i == steps else "", flush=True)
        elif i % 20 == 0 or i == steps:
            print(line, flush=True)
    return params, losses


@minijvp.jit
def write(params: dict, first, key):
    """300 characters after the `first`, drawn with their probabilities, a little sharpened."""

    def next_character(carry, key):
        state, character = carry
        state, logs = advance(params, state, character)
        character = minijvp.random.categorical(key, 1.5 * logs).astype(first.dtype)
        return (state, character), character

    start = mnp.zeros((1, HIDDEN))
    return minijvp.lax.scan(next_character, ((start, start), first), minijvp.random.split(key, 300))[1][:, 0]


def draw(losses: list[float], text: str, bits, path: Path) -> None:
    """The loss curve, and a piece of the text on the colours of its surprise."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained", width_ratios=(1, 1.9))
    left.plot(losses, color="#1d4e79")
    left.set(xlabel="step", ylabel="bits a character", title="Training loss", ylim=(0, None))
    left.spines[["top", "right"]].set_visible(False)
    width = 50
    rows = len(text) // width
    shown = right.imshow(
        np.reshape(bits[: rows * width], (rows, width)), cmap="YlOrRd", vmin=0, vmax=6, aspect="auto", alpha=0.8
    )
    for i, character in enumerate(text[: rows * width]):
        color = "white" if bits[i] > 4.5 else "black"
        right.text(i % width, i // width, character, color=color, ha="center", va="center", family="monospace")
    right.axis("off")
    right.set_title("What the network did not expect, character by character")
    figure.colorbar(shown, ax=right, label="bits", shrink=0.8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(steps: int = STEPS) -> None:
    """Compare gradients, train, report and draw."""
    generator = np.random.default_rng(0)
    text = read_text()
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(c) for c in text], np.int32)
    params = initialize(generator, len(alphabet))
    compare(params, mnp.asarray(np.stack([codes[i : i + LENGTH + 1] for i in range(BATCH)])))
    params, losses = train(params, codes, generator, steps)
    print(f"loss from {losses[0]:.2f} to {losses[-1]:.2f} bits a character")
    written = write(params, mnp.asarray(codes[:1]), minijvp.random.key(0))
    print(textwrap.fill("it writes: " + "".join(alphabet[int(i)] for i in written), 100))
    begin = text.index("Grant of Copyright")
    bits = np.asarray(minijvp.jit(surprise)(params, codes[None, begin : begin + LENGTH + 1]))[:, 0] / np.log(2)
    path = Path(__file__).parent / "output" / "text_lstm.png"
    draw(losses, text[begin + 1 : begin + LENGTH + 1], bits, path)
    print(f"picture: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
