"""Chapter 6: the graph of autograd.

What a framework keeps of a forward pass for the backward one, walked, drawn, counted, and printed as Python.
"""

from __future__ import annotations

from math import pi

import numpy as np
from notes import Notes, run

import minijvp
import minijvp.numpy as mnp
from minijvp.views.backward_graph import backward_graph
from minijvp.views.draw import draw
from minijvp.views.python_code import to_python

# What the slides print of sin(3w + b) and of the gradient by w: one period of each, with five digits.
PRINTED_OUT = (0.0, 0.86603, 0.86603, 0.0, -0.86603, -0.86603)
PRINTED_GRADIENT = (3.0, 1.5, -1.5, -3.0, -1.5, 1.5)


def layer(w, b):
    pre_act = w * 3 + b
    return mnp.sin(pre_act)


def loss(w, b):
    return mnp.sum(layer(w, b))


def printed(values) -> str:
    """Five numbers a line, as the slides have them."""
    numbers = [f"{float(v):11.4e}" for v in values]
    return "\n".join("  ".join(numbers[i : i + 5]) for i in range(0, len(numbers), 5))


def difference(values, period) -> float:
    """The largest difference of 25 values from those that repeat."""
    return float(abs(np.asarray(values) - np.tile(period, 5)[:25]).max())


def the_values(show: Notes, w, b) -> None:
    show.heading("A small layer")
    show.text(
        "The layer is out = sin(3w + b), for 25 values of w and b from 0 to 2π in single precision, as on the slides."
    )
    out = layer(w, b)
    show.code(f"out\n{printed(out)}")
    show.text(
        f"The slides print {', '.join(f'{v:g}' for v in PRINTED_OUT)} and so on. The largest difference is "
        f"{difference(out, PRINTED_OUT):.0e}: where the sine is zero its argument is rounded, on the slides as here."
    )


def the_walk(show: Notes, w, b) -> None:
    show.heading("The graph, walked from the result")
    show.text(
        "`backward_graph` gives the node that made the result, as `grad_fn` does in PyTorch, and "
        "`next_functions` leads from each node to those that its cotangents go to, down to the inputs."
    )
    node = backward_graph(layer, w, b)
    steps = "node", "node.next_functions", "node.next_functions[0][0].next_functions"
    steps += ("node.next_functions[0][0].next_functions[0][0].next_functions",)
    show.code("\n".join(f">>> {step}\n{eval(step, {'node': node})!r}" for step in steps))
    show.show_table(node.table())
    show.text(
        "So sin → add → mul → w, and add → b. The sine keeps its cosine for the way back, the product its constant 3, "
        "which has no gradient; the sum keeps nothing."
    )
    show.picture("backward_graph", node.draw(), "The backward graph of sin(3w + b), as it is built while the layer runs.")


def the_gradient(show: Notes, w, b) -> None:
    show.heading("The gradient")
    by_w, by_b = minijvp.grad(loss, (0, 1))(w, b)
    show.code(f"gradient of the sum of out by w\n{printed(by_w)}")
    walked = backward_graph(layer, w, b).pull_back(mnp.ones_like(w))["w"]
    cosine = 3 * np.cos(np.float64(w) * 3 + np.float64(b))
    show.text(
        f"The slides print {', '.join(f'{v:g}' for v in PRINTED_GRADIENT)} and so on; the largest difference is "
        f"{difference(by_w, PRINTED_GRADIENT):.0e}. The formula is 3·cos(3w + b), from which it differs by "
        f"{abs(np.asarray(by_w) - cosine).max():.0e}; by b the gradient is a third of that. Cotangents sent through the "
        f"nodes of the graph give the same, to {abs(np.asarray(walked - by_w)).max():.0e}."
    )
    show.picture(
        "forward_and_backward",
        draw(loss, w, b, backward=True),
        "The program and its transpose; the pointer on a box shows types, bytes and the line that made it.",
    )
    show.text("As code, for reading or for another program, each line beside the one that it came from:")
    show.code(to_python(minijvp.grad(loss, (0, 1)))(w, b))


def rebuilt(show: Notes) -> None:
    show.heading("A new graph at each call")
    runs = 0

    def counted(w):
        nonlocal runs
        runs += 1
        return mnp.sin(3 * w)

    rows = []
    for name, gradient in (
        ("minijvp.grad(f)", minijvp.grad(counted)),
        ("minijvp.jit(minijvp.grad(f))", minijvp.jit(minijvp.grad(counted))),
    ):
        runs = 0
        for i in range(10):
            gradient(0.1 * i)
        rows.append((name, 10, runs))
    show.table("How often Python runs the function", ("gradient", "calls", "runs of f"), rows)
    show.text(
        f"Outside of `jit` the function runs at each call, {rows[0][2]} times in 10, and so makes a new graph each time: "
        "it may take another branch, or another number of turns. `jit` keeps the program of the first call."
    )
    show.table(
        "The graph of `x·x·x if x > 0 else -x` follows the value",
        ("x", "graph", "gradient"),
        [(x, " → ".join(n.name for n in backward_graph(branches, x).walk()), minijvp.grad(branches)(x)) for x in (2.0, -2.0)],
    )


def branches(x):
    return x * x * x if x > 0 else -x


def chapter(show: Notes) -> None:
    w = b = mnp.linspace(0.0, 2 * pi, 25, dtype=mnp.float32)
    the_values(show, w, b)
    the_walk(show, w, b)
    the_gradient(show, w, b)
    rebuilt(show)


if __name__ == "__main__":
    run(chapter)
