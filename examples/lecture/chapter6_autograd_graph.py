"""Chapter 6: the graph of autograd.

What a framework keeps of a forward pass for the backward one, walked, drawn, counted, and printed as Python.
"""

from __future__ import annotations

from math import pi

import numpy as np
from notes import Notes, magnitude, run

import minijvp
import minijvp.numpy as mnp

# What the slides print of sin(3w + b) in PyTorch, and of its gradient by w the first values, which repeat.
PRINTED_OUT = """\
 0.0000e+00   8.6603e-01   8.6603e-01  -8.7423e-08  -8.6603e-01
-8.6603e-01   1.7485e-07   8.6603e-01   8.6603e-01  -2.3850e-08
-8.6603e-01  -8.6603e-01   3.4969e-07   8.6603e-01   8.6602e-01
-6.7553e-07  -8.6603e-01  -8.6603e-01   4.7700e-08   8.6603e-01
 8.6603e-01  -1.3272e-06  -8.6603e-01  -8.6602e-01   6.9938e-07"""
PRINTED_GRADIENT = (3.0, 1.5, -1.5, -3.0, -1.5, 1.5)


def layer(w, b):
    pre_act = w * 3 + b
    return mnp.sin(pre_act)


def loss(w, b):
    return mnp.sum(layer(w, b))


def printed(values) -> str:
    """Five numbers a line, with as many digits as the slides have."""
    numbers = [f"{float(v):11.4e}" for v in values]
    return "\n".join("  ".join(numbers[i : i + 5]) for i in range(0, len(numbers), 5))


def the_values(show: Notes, w, b) -> None:
    show.heading("A small layer")
    show.text(
        "The layer is out = sin(3w + b), for 25 values of w and b from 0 to 2π in single precision, as on the slides."
    )
    out = layer(w, b)
    show.code(f"out\n{printed(out)}")
    wanted = PRINTED_OUT.split()
    same = sum(x == y for x, y in zip(printed(out).split(), wanted, strict=True))
    show.text(
        f"Of these 25 numbers {same} are those that the slides print, in every digit. Those of about 1e-7 are zeros of "
        "the sine, whose argument is rounded to single precision, there as here."
    )


def the_walk(show: Notes, w, b) -> None:
    show.heading("The graph, walked from the result")
    show.text(
        "`backward_graph` gives the node that made the result, as `grad_fn` does in PyTorch, and "
        "`next_functions` leads from each node to those that its cotangents go to, down to the inputs."
    )
    node = minijvp.backward_graph(layer, w, b)
    steps = "node", "node.next_functions", "node.next_functions[0][0].next_functions"
    steps += ("node.next_functions[0][0].next_functions[0][0].next_functions",)
    show.code("\n".join(f">>> {step}\n{eval(step, {'node': node})!r}" for step in steps))
    show.show_table(node.table)
    show.text(
        "So sin → add → mul → w, and add → b. The sine keeps its cosine for the way back, the product its constant 3, "
        "which has no gradient; the sum keeps nothing."
    )
    show.picture(
        "backward_graph", node.draw(), "The backward graph of sin(3w + b), as it is built while the layer runs."
    )


def the_gradient(show: Notes, w, b) -> None:
    show.heading("The gradient")
    by_w = np.asarray(minijvp.grad(loss)(w, b))
    show.code(f"gradient of the sum of out by w\n{printed(by_w)}")
    walked = minijvp.backward_graph(layer, w, b).pull_back(mnp.ones_like(w))["w"]
    formula = 3 * np.cos(3 * np.float64(w) + np.float64(b))
    from_slide, from_formula, from_walk = (
        magnitude(abs(by_w - values).max()) for values in (np.tile(PRINTED_GRADIENT, 5)[:25], formula, walked)
    )
    show.text(
        f"The slides print {', '.join(f'{v:g}' for v in PRINTED_GRADIENT)} and so on, with five digits; the largest "
        f"difference is {from_slide}. From the formula, 3·cos(3w + b), it is {from_formula}, and from cotangents that "
        f"were sent through the nodes of the graph, {from_walk}."
    )
    show.picture(
        "forward_and_backward",
        minijvp.draw(loss, w, b, backward=True),
        "The program and its transpose; the pointer on a box shows types, bytes and the line that made it.",
    )
    show.text("As code, for reading or for another program, each line beside the one that it came from:")
    show.code(minijvp.to_python(minijvp.grad(loss, (0, 1)))(w, b))


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
        f"Outside of `jit` the function runs at each call, {rows[0][2]} times in 10, and makes a new graph each time: "
        "it may take another branch, or another number of turns. `jit` keeps the program of the first call."
    )
    show.table(
        "x·x·x if x > 0 else −x: the graph follows the value",
        ("x", "graph", "gradient"),
        [
            (x, " → ".join(n.name for n in minijvp.backward_graph(branches, x).walk()), minijvp.grad(branches)(x))
            for x in (2.0, -2.0)
        ],
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
