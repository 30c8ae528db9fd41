"""Chapter 7: rules of one's own.

Manual differentiation where it is worth it: one derivative by hand, a point where the automatic one has no answer, a
rule that is wrong, and a layer whose rule saves memory.
"""

from __future__ import annotations

import time
from importlib import import_module

import numpy as np
from notes import BLUE, PALE, RUST, Notes, panels, run

import minijvp
import minijvp.numpy as mnp

quaternion = import_module("quaternion")  # examples/quaternion.py
HIDDEN, LAYERS, BATCH = 256, 6, 16


@minijvp.custom_vjp
def f(x):
    return mnp.cos(x**2)


f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * -2 * x * mnp.sin(x**2),))


@minijvp.custom_jvp
def norm(x):
    return mnp.sqrt(mnp.sum(x**2))


norm.defjvps(lambda t, out, x: mnp.vdot(x, t) / mnp.where(out > 0, out, 1.0))


@minijvp.custom_jvp
def wrong(x):
    return mnp.cos(x**2)


wrong.defjvps(lambda t, out, x: t * 2 * x * mnp.sin(x**2))  # the sign


def by_hand(show: Notes) -> None:
    show.heading("A derivative by hand")
    show.text(
        "Manual differentiation is the first of the four kinds. `custom_jvp` takes a rule for tangents, `custom_vjp` "
        "one for cotangents; whoever calls the function need not know. For cos(x²) the rule is −2x·sin(x²), and both "
        "modes use it, although it was written for one."
    )
    rows = []
    for x in (-1.0, 0.5, 2.0):
        rows.append((x, -2 * x * np.sin(x**2), minijvp.grad(f)(x), minijvp.jacfwd(f)(x), minijvp.grad(f.fun)(x)))
    show.table("The derivative of cos(x²)", ("x", "formula", "rule, reverse", "rule, forward", "automatic"), rows)
    show.text(
        "A rule also helps where the chain rule has no answer. The length of a vector is the square root of a sum of "
        "squares: at zero their derivatives are ∞ and 0, whose product is not a number. The rule says 0 there."
    )
    zero = mnp.zeros(3)
    show.table(
        "The gradient of the length of x",
        ("x", "automatic", "by the rule"),
        [
            [str(x.tolist()), *(str(minijvp.grad(g)(x).tolist()) for g in (norm.fun, norm))]
            for x in (3 * mnp.eye(3)[0], zero)
        ],
    )


def a_wrong_rule(show: Notes) -> None:
    show.heading("A rule that is wrong")
    show.text(
        "Nobody notices a wrong sign in a rule until training fails. `check_rule` holds a rule against the function:"
    )
    try:
        minijvp.check_rule(wrong, 0.5)
    except minijvp.DerivativeError as error:
        show.error(error)
    report = minijvp.check_rule(f, 0.5)
    show.text(f"The rule of cos(x²) above passes the same checks, {len(report.rows)} of them.")


def a_quaternion_layer(show: Notes) -> None:
    show.heading("A layer that keeps less for its backward pass")
    show.text(
        "A quaternion layer multiplies by a matrix of 4 × 4 blocks, made of four small ones. Differentiated as it "
        "stands, it keeps the large matrix until the backward pass comes; the rule keeps the four blocks, which are "
        "parameters and there anyway, and builds the large matrix again. `checkpoint` does so without a rule."
    )
    params, x = quaternion.data(HIDDEN, LAYERS, BATCH)
    ways = [quaternion.measure(way, "minijvp", params, x) for way in quaternion.WAYS]
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(25):
        for way, found in zip(ways, times, strict=True):
            start = time.perf_counter()
            way.step()
            found.append(time.perf_counter() - start)
    plain, ruled, _ = ways
    kilobytes = lambda size: f"{size / 1024:.0f} kB"
    rows = [
        (w.way, kilobytes(w.kept), kilobytes(w.added), kilobytes(w.temporary), f"{1e3 * min(t):.2f} ms")
        for w, t in zip(ways, times, strict=True)
    ]
    columns = ("way", "kept for backward", "of it not parameters", "a compiled step allocates", "and takes")
    show.table(f"{LAYERS} layers of width {HIDDEN}, batch {BATCH}, float32", columns, rows)
    differences = [
        abs(a - b).max() / abs(b).max() for w in ways[1:] for a, b in zip(w.gradient, plain.gradient, strict=True)
    ]
    slower = min(times[1]) / min(times[0])
    show.text(
        f"The gradients are equal (largest relative difference {max(differences):.0e}). The rule keeps "
        f"{plain.kept / ruled.kept:.1f} times less; a compiled step allocates "
        f"{plain.temporary / ruled.temporary:.1f} times less and takes {slower:.2f} times as long. "
        "`python examples/quaternion.py` measures larger layers, and JAX and PyTorch beside minijvp."
    )
    show.correction(
        "The slides call the saving 4×, from 24 GB to 6–8 GB (which is 3–4×), and two to three, for 20 % more time. "
        f"It depends on how much larger matrices are than activations; measured here: {plain.kept / ruled.kept:.1f}×, "
        f"and {100 * (slower - 1):+.0f} % time at this small size."
    )
    show.correction(
        "The backward pass of the slides also concatenates the batch, four times as large, for one matrix product. "
        "That is not needed: xᵀ·ct is the cotangent of the matrix, and signed sums of its blocks are those of the "
        "weights."
    )
    figure, (memory, duration) = panels("memory (kB)", "time of a compiled step (ms)", height=2.9)
    names = [w.way for w in ways]
    for shift, values, color, label in (
        (-0.2, [w.kept / 1024 for w in ways], BLUE, "kept for the backward pass"),
        (0.2, [w.temporary / 1024 for w in ways], PALE, "allocated by a compiled step"),
    ):
        bars = memory.bar(np.arange(3) + shift, values, 0.38, color=color, label=label)
        memory.bar_label(bars, fmt="%.0f", fontsize=8.5, padding=2)
    memory.legend(frameon=False, fontsize=8.5)
    duration.bar_label(
        duration.bar(names, [1e3 * min(t) for t in times], 0.5, color=RUST), fmt="%.2f", fontsize=8.5, padding=2
    )
    memory.set_xticks(range(3), names)
    for axes in (memory, duration):
        axes.margins(y=0.15)
    show.picture("quaternion_layer", figure, "Three ways to differentiate the same layers.")


def chapter(show: Notes) -> None:
    by_hand(show)
    a_wrong_rule(show)
    a_quaternion_layer(show)


if __name__ == "__main__":
    run(chapter)
