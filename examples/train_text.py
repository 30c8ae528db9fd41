"""Train a small transformer on English, character by character, and let it write: minijvp's gradients, optax's steps.

Run it as `python examples/train_text.py`; stop it whenever you like, and run it again: it goes on to the same numbers.
Checkpoint and picture are in examples/output/train_text (`--out`). The text is in Python's standard library: what
help() says of the language, which differs a little from version to version.
"""

from __future__ import annotations

import pydoc_data.topics
import re
import sys
import textwrap

import numpy as np
import optax as optax_of_jax
from training import draw, parser, train

import minijvp
import minijvp.numpy as mnp
from minijvp import lax, nn, random

optax = minijvp.from_jax(optax_of_jax)  # what optax has, for every transformation of minijvp

LENGTH, HEADS, LAYERS = 64, 4, 2


def read_text(size: int) -> str:
    """The beginning of the documentation of Python, with single spaces."""
    return re.sub(r"[^A-Za-z.,;:'()]+", " ", " ".join(pydoc_data.topics.topics.values()))[:size]


def initialize(key, characters: int, width: int) -> dict:
    """Embeddings of characters and of positions, layers of attention and of a network, and what is read from them."""
    keys = iter(random.split(key, 4 + 4 * LAYERS))
    matrix = lambda n, m: random.normal(next(keys), (n, m)) / np.sqrt(n).astype(np.float32)
    embed = lambda n: 0.1 * random.normal(next(keys), (n, width))
    layer = lambda: {
        "attend": matrix(width, 3 * width),
        "mix": matrix(width, width),
        "widen": matrix(width, 4 * width),
        "narrow": matrix(4 * width, width),
    }
    layers = [layer() for _ in range(LAYERS)]
    return {
        "layers": layers,
        "characters": embed(characters),
        "before": embed(characters),
        "positions": embed(LENGTH),
        "out": matrix(width, characters),
    }


def network(params: dict, text):
    """The logits of the character after each, (rows, length, characters), of a text of (rows, length)."""
    before = mnp.pad(params["before"][text[:, :-1]], ((0, 0), (1, 0), (0, 0)))  # what stood one place to the left
    x = params["characters"][text] + before + params["positions"]
    for layer in params["layers"]:
        queries, keys, values = mnp.split((nn.standardize(x) @ layer["attend"]).reshape(*text.shape, HEADS, -1), 3, -1)
        attended = nn.dot_product_attention(queries, keys, values, is_causal=True)
        x = x + attended.reshape(x.shape) @ layer["mix"]
        x = x + nn.gelu(nn.standardize(x) @ layer["widen"]) @ layer["narrow"]
    return nn.standardize(x) @ params["out"]


def bits(params: dict, text):
    """The mean number of bits that a character costs, of rows with one more than the network reads."""
    logits = network(params, text[:, :-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, text[:, 1:]).mean() / np.log(2)


@minijvp.jit
def write(params: dict, text, key):
    """300 characters after a text of (LENGTH,), drawn with their probabilities, a little sharpened."""

    def next_character(text, key):
        drawn = random.categorical(key, 1.4 * network(params, text[None])[0, -1]).astype(text.dtype)
        return mnp.append(text[1:], drawn), drawn

    return lax.scan(next_character, text, random.split(key, 300))[1]


def main() -> None:
    """Train, report, draw and write."""
    options = parser(__file__, __doc__ or "", epochs=5, batch=16, rate=4e-3, width=64, size=150_000).parse_args()
    text = read_text(options.size)
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(c) for c in text], np.int32)
    rows = codes[: len(codes) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
    if len(rows) < 20:
        sys.exit("--size: a text of so few characters cannot be learned")
    seen, held_out = rows[: -len(rows) // 10], rows[-len(rows) // 10 :]

    steps = options.epochs * -(-len(seen) // options.batch)
    rates = optax.warmup_cosine_decay_schedule(0.0, options.rate, steps // 10, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rates))

    @minijvp.jit
    def step(state, text):
        params, moments, i = state
        value, gradient = minijvp.value_and_grad(bits)(params, text)
        updates, moments = optimizer.update(gradient, moments, params)
        measured = {"training": value, "gradient norm": optax.tree.norm(gradient), "learning rate": rates(i)}
        return (optax.apply_updates(params, updates), moments, i + 1), measured

    @minijvp.jit
    def evaluate(state):
        return {"held-out": bits(state[0], held_out)}

    params = initialize(random.key(options.seed), len(alphabet), options.width)
    state, history = train(options, (params, optimizer.init(params), np.int32(0)), step, (seen,), evaluate)
    panels = {
        "Bits a character": ("training", "held-out"),
        "Norm of the gradient": ("gradient norm",),
        "Learning rate": ("learning rate",),
    }
    draw(history, options.epochs, panels, options.out / "curves.png")
    print(f"{history['held-out'][-1]:.3f} bits a character of {held_out.size} held-out characters")
    written = "".join(alphabet[i] for i in write(state[0], held_out[0, :LENGTH], random.key(options.seed)))
    print(textwrap.fill(f"it writes: ...{written}", 100))


if __name__ == "__main__":
    main()
