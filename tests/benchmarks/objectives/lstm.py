"""A language model of diagonal LSTM layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.objectives.objective import Objective, Program, gradient_of, log_sum_exp

Scan = Callable[[Callable[[Any, Any], tuple[Any, Any]], Any, Any], tuple[Any, Any]]


def loop(xp: Any) -> Scan:
    """What lax.scan computes for an array of inputs and of results each step, by a loop of Python."""

    def scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> tuple[Any, Any]:
        ys = []
        for x in xs:
            carry, y = step(carry, x)
            ys.append(y)
        return carry, xp.stack(ys)

    return scan


def negative_log_likelihood(xp: Any, scan: Scan) -> Program:
    """The function (parameters, characters[length + 1, d]) -> mean of -log p(next character | characters before).

    Characters are rows with a one in them. All products of parameters are of elements: gates[layer] are the diagonals
    of matrices, so that no product of matrices hides what a step of the loop costs. A layer with the state (h, c) maps

        c' = sigmoid(x g_0 + b_0) c + sigmoid(h g_1 + b_1) tanh(h g_3 + b_3),   h' = sigmoid(x g_2 + b_2) tanh(c'),

    and its h' is the x of the next one. The first takes the character times `embedding`; of the last one's h',
    p = softmax(h' decoding + bias).

    Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Comput. 9(8), 1997; in this form the
    problem LSTM of ADBench (github.com/microsoft/ADBench), here with a softmax that is normalized to one.
    """

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + xp.exp(-x))

    def layer(gates: Any, biases: Any, h: Any, c: Any, x: Any) -> tuple[Any, Any]:
        forget = sigmoid(x * gates[0] + biases[0])
        enter = sigmoid(h * gates[1] + biases[1])
        leave = sigmoid(x * gates[2] + biases[2])
        c = forget * c + enter * xp.tanh(h * gates[3] + biases[3])
        return leave * xp.tanh(c), c

    def fun(parameters: Any, characters: Any) -> Any:
        layers = list(zip(parameters["gates"], parameters["biases"]))

        def step(states: Any, character: Any) -> tuple[Any, Any]:
            x, after = character * parameters["embedding"], []
            for (gates, biases), (h, c) in zip(layers, states):
                x, c = layer(gates, biases, h, c, x)
                after.append((x, c))
            return after, x

        zero = xp.zeros_like(parameters["embedding"])
        _, hs = scan(step, [(zero, zero)] * len(layers), characters[:-1])
        logits = hs * parameters["decoding"] + parameters["bias"]
        return -xp.mean(xp.sum(characters[1:] * (logits - log_sum_exp(xp, logits)), axis=1))

    return fun


def data(layers: int, length: int, alphabet: int) -> tuple[Any, ...]:
    """A text in which a character mostly follows its predecessor in the alphabet, and small parameters."""
    rng = np.random.default_rng(0)
    steps = rng.integers(alphabet, size=length + 1)
    text = np.cumsum(np.where(rng.uniform(size=length + 1) < 0.8, 1, steps)) % alphabet
    parameters = {
        "gates": rng.standard_normal((layers, 4, alphabet)),
        "biases": 0.3 * rng.standard_normal((layers, 4, alphabet)),
        "embedding": rng.standard_normal(alphabet),
        "decoding": rng.standard_normal(alphabet),
        "bias": 0.3 * rng.standard_normal(alphabet),
    }
    return parameters, np.eye(alphabet)[text]


def make(library: Any) -> Program:
    """The loss in this library, by its scan or, if it has none, by a loop of Python."""
    xp = library.numpy
    return negative_log_likelihood(xp, library.lax.scan if hasattr(library, "lax") else loop(xp))


LSTM = Objective(
    name="LSTM",
    wanted="gradient",
    make=make,
    derivative=gradient_of(make),
    generate=data,
    sizes={
        "test": dict(layers=2, length=6, alphabet=5),
        "quick": dict(layers=2, length=256, alphabet=14),
        "full": dict(layers=2, length=1024, alphabet=14),
    },
    needs=("grad",),
)
