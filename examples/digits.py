"""Learn handwritten digits: an MLP trained by momentum SGD with minijvp's own gradients, compiled by XLA.

Run it as `python examples/digits.py`. It prints its progress, compares its gradient with that of jax.grad, and
saves a picture to examples/output/digits.png.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

import jax
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import minijvp
import minijvp.numpy as mnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LAYERS = (64, 256, 128, 10)
EPOCHS, BATCH, RATE, MOMENTUM, DECAY = 60, 64, 0.1, 0.9, 1e-4


def initialize(generator: np.random.Generator) -> list[dict]:
    """Layers of weights, scaled so that signals keep their size (He et al., 2015), and of zeros."""
    return [
        {"w": mnp.asarray(generator.normal(0, np.sqrt(2 / n), (n, m)), mnp.float32), "b": mnp.zeros(m)}
        for n, m in pairwise(LAYERS)
    ]


def predict(params: list[dict], images):
    """The logarithms of the probabilities of the ten digits, (images, 10)."""
    x = images
    for layer in params[:-1]:
        x = mnp.maximum(x @ layer["w"] + layer["b"], 0.0)
    logits = x @ params[-1]["w"] + params[-1]["b"]
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - mnp.log(mnp.exp(logits).sum(axis=1, keepdims=True))


def loss(params: list[dict], images, labels):
    """The mean cross entropy of labels, with weight decay."""
    chosen = mnp.take_along_axis(predict(params, images), labels[:, None], axis=1)
    return -chosen.mean() + DECAY * sum(mnp.sum(layer["w"] ** 2) for layer in params)


@minijvp.jit
def step(params, velocity, images, labels):
    """One step of momentum SGD (Polyak, 1964): parameters, velocity, and the loss before the step."""
    value, gradient = minijvp.value_and_grad(loss)(params, images, labels)
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v - RATE * g, velocity, gradient)
    return jax.tree.map(lambda p, v: p + v, params, velocity), velocity, value


@minijvp.jit
def accuracy(params, images, labels):
    """The share of images whose most probable digit is right."""
    return mnp.mean(mnp.argmax(predict(params, images), axis=1) == labels)


def compare_with_jax(params, images, labels) -> float:
    """The largest difference between a gradient of minijvp and the same of jax.grad, relative to the largest entry."""
    ours = minijvp.grad(loss)(params, images, labels)
    theirs = jax.grad(loss)(params, images, labels)
    difference = jax.tree.map(lambda a, b: abs(a - b).max() / abs(b).max(), ours, theirs)
    return float(max(jax.tree.leaves(difference)))


def train(params, images, labels, generator: np.random.Generator) -> tuple[list[dict], list[float]]:
    """The trained parameters, and the loss of every step; prints a progress line."""
    velocity = jax.tree.map(mnp.zeros_like, params)
    losses: list[float] = []
    start = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        # Batches of one size: one compilation.
        steps = len(labels) // BATCH
        for rows in generator.permutation(len(labels))[: steps * BATCH].reshape(steps, BATCH):
            params, velocity, value = step(params, velocity, images[rows], labels[rows])
            losses.append(float(value))
        line = f"epoch {epoch:3}/{EPOCHS}  loss {np.mean(losses[-steps:]):.4f}  {time.perf_counter() - start:5.1f} s"
        # One line that rewrites itself on a terminal; every tenth one in a log.
        if sys.stdout.isatty():
            print(f"\r{line}", end="\n" if epoch == EPOCHS else "", flush=True)
        elif epoch % 10 == 0:
            print(line, flush=True)
    return params, losses


def draw(losses: list[float], images, labels, guesses, path: Path) -> None:
    """The loss curve, and test digits with what was read in them: mistakes first."""
    figure = plt.figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))  # type: ignore[misc]
    axes = left.subplots()
    axes.semilogy(losses, color="#9db4c8", linewidth=0.7, label="each step")
    smooth = np.convolve(losses, np.ones(25) / 25, mode="valid")
    axes.semilogy(np.arange(len(smooth)) + 12, smooth, color="#1d4e79", linewidth=1.8, label="mean of 25 steps")
    axes.set(xlabel="step", ylabel="cross entropy", title="Training loss")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    order = np.argsort(guesses == labels, kind="stable")[:24]
    for panel, i in zip(right.subplots(4, 6).ravel(), order, strict=True):
        panel.imshow(images[i].reshape(8, 8), cmap="gray_r")
        right_guess = guesses[i] == labels[i]
        panel.set_title(
            f"{guesses[i]}" if right_guess else f"{guesses[i]} (is {labels[i]})",
            fontsize=10,
            color="black" if right_guess else "#b3261e",
        )
        panel.axis("off")
    right.suptitle("Test digits and what was read; mistakes in red")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> float:
    """Train, report and draw; returns the accuracy on the test set."""
    generator = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images.astype(np.float32) / 16, labels, test_size=0.2, random_state=0)
    train_images, test_images, train_labels, test_labels = split
    params = initialize(generator)
    params, losses = train(params, train_images, train_labels, generator)
    difference = compare_with_jax(params, mnp.asarray(train_images[:200]), mnp.asarray(train_labels[:200]))
    print(f"gradient against jax.grad: largest relative difference {difference:.1e}")
    guesses = np.asarray(mnp.argmax(predict(params, test_images), axis=1))
    path = Path(__file__).parent / "output" / "digits.png"
    draw(losses, test_images, test_labels, guesses, path)
    print(f"picture: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    share = float(accuracy(params, test_images, test_labels))
    print(f"test accuracy {share:.1%} of {len(test_labels)} digits")
    return share


if __name__ == "__main__":
    main()
