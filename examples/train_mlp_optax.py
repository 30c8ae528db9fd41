"""Train a network on handwritten digits: minijvp's gradients, an optimizer of optax, checkpoints, curves.

Run it as `python examples/train_mlp_optax.py`; stop it whenever you like, and run it again: it goes on to the same
numbers. Checkpoint and picture are in examples/output/train_mlp_optax (`--out`).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import optax as optax_of_jax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from training import draw, parser, train

import minijvp
import minijvp.numpy as mnp
from minijvp import nn, random

optax = minijvp.from_jax(optax_of_jax)  # what optax has, for every transformation of minijvp


def initialize(key, sizes: tuple[int, ...]) -> list[dict]:
    """Layers of weights and zeros."""
    keys = random.split(key, len(sizes) - 1)
    weights = nn.initializers.he_normal()
    return [{"w": weights(k, shape), "b": mnp.zeros(shape[1])} for k, shape in zip(keys, pairwise(sizes), strict=True)]


def network(params: list[dict], images):
    """The logits of the ten digits, (images, 10)."""
    *hidden, last = params
    for layer in hidden:
        images = nn.relu(images @ layer["w"] + layer["b"])
    return images @ last["w"] + last["b"]


def loss(params: list[dict], images, labels):
    """The mean cross entropy of labels."""
    return optax.softmax_cross_entropy_with_integer_labels(network(params, images), labels).mean()


def main() -> None:
    """Train, report and draw."""
    options = parser(__file__, __doc__ or "", epochs=30, batch=64, rate=2e-3, width=128).parse_args()
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images.astype(np.float32) / 16, labels.astype(np.int32), test_size=0.2, random_state=0)
    train_images, test_images, train_labels, test_labels = split

    steps = options.epochs * -(-len(train_images) // options.batch)
    optimizer = optax.adamw(optax.cosine_decay_schedule(options.rate, steps), weight_decay=1e-3)

    @minijvp.jit
    def step(state, images, labels):
        params, moments = state
        value, gradient = minijvp.value_and_grad(loss)(params, images, labels)
        updates, moments = optimizer.update(gradient, moments, params)
        measured = {"training loss": value, "gradient norm": optax.tree.norm(gradient)}
        return (optax.apply_updates(params, updates), moments), measured

    @minijvp.jit
    def evaluate(state):
        right = mnp.argmax(network(state[0], test_images), axis=1) == test_labels
        return {"held-out loss": loss(state[0], test_images, test_labels), "accuracy": right.mean()}

    params = initialize(random.key(options.seed), (64, options.width, options.width, 10))
    _, history = train(options, (params, optimizer.init(params)), step, (train_images, train_labels), evaluate)
    panels = {
        "Cross entropy": ("training loss", "held-out loss"),
        "Accuracy on held-out digits": ("accuracy",),
        "Norm of the gradient": ("gradient norm",),
    }
    draw(history, options.epochs, panels, options.out / "curves.png")
    print(f"accuracy {history['accuracy'][-1]:.1%} of {len(test_labels)} held-out digits")


if __name__ == "__main__":
    main()
