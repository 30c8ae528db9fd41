"""The picture of an error curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minijvp.numerical.curve import Curve
from minijvp.packages import package

COLORS = {"forward": "#d55e00", "central": "#0072b2", "complex-step": "#009e73", "richardson": "#8e5aa8"}
"""Told apart with any kind of colour vision."""

INK, FAINT = "#333333", "#8a8a8a"


def draw(curves: Mapping[str, Curve], title: str, kind: str) -> Any:
    """A figure of the curves in log-log axes, with the best and the automatic steps, and the two regimes named."""
    figure_module = package("matplotlib.figure", "pictures", "the picture of an error curve")
    figure = figure_module.Figure(figsize=(9.6, 6.0), dpi=125, layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log")
    low = 0.3 * min([1e-2, *(positive(c.typical).min(initial=1.0) for c in curves.values())])
    for c in curves.values():
        draw_curve(axes, c, low)
    steps = np.concatenate([[1e-8, 1.0], *(c.steps for c in curves.values())])[2 * bool(curves) :]
    axes.set_xlim(steps.min(), steps.max() * 1.2)
    axes.set_ylim(low, 300)
    draw_regimes(axes, curves)
    axes.set_title(title, color=INK, loc="left")
    axes.set_xlabel("step ε", color=INK)
    axes.set_ylabel(kind, color=INK)
    axes.grid(which="major", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*legend(axes), loc="outside lower center", ncols=6, frameon=False, fontsize=11, labelcolor=INK)
    return figure


def positive(x: np.ndarray) -> np.ndarray:
    """The numbers that have a place on a logarithmic axis."""
    return x[x > 0]


def draw_curve(axes: Any, c: Curve, low: float) -> None:
    """The errors of a method as dots, what is typical as a line, the best step filled, the automatic one hollow."""
    color = COLORS[c.method]
    # Where the steps are long, this one and central differences have the same errors.
    width, layer = (5, 2) if c.method == "complex-step" else (2, 3)
    alpha = 0.6 if c.method == "complex-step" else 1.0
    axes.plot(c.steps, np.maximum(c.errors, low), ".", color=color, alpha=0.35, markersize=4, zorder=2)
    axes.plot(
        c.steps, np.maximum(c.typical, low), color=color, linewidth=width, alpha=alpha, zorder=layer, label=c.method
    )
    axes.plot(c.best, max(c.best_error, low), "o", color=color, markersize=9, zorder=5)
    # The step of "complex-step" lies far to the left of the others.
    at = max(c.automatic, c.steps[0])
    style = {"color": color, "markerfacecolor": "white", "markeredgewidth": 2, "markersize": 9, "clip_on": False}
    axes.plot(at, max(c.automatic_error, low), "D" if at == c.automatic else "<", zorder=6, **style)


def draw_regimes(axes: Any, curves: Mapping[str, Curve]) -> None:
    """The border between the regimes, at the best step of the method that shows them best."""
    shown = [curves[m] for m in ("central", "forward") if m in curves]
    if not shown:
        return
    border = shown[0].best
    left, right = axes.get_xlim()
    axes.axvspan(left, border, color="#f2f5fa", zorder=0)
    axes.axvspan(border, right, color="#fdf6ee", zorder=0)
    laws = {"central": "ε²", "forward": "ε"}
    powers = " or ".join(laws[c.method] for c in reversed(shown))
    texts = [("rounding decides", "the error grows as 1 / ε", left, border)]
    texts += [("truncation decides", f"the error grows as {powers}", border, right)]
    for name, law, start, end in texts:
        middle = float(np.sqrt(start * end))
        style = {"ha": "center", "transform": axes.get_xaxis_transform()}
        axes.text(middle, 0.955, name, color=INK, fontsize=12, fontweight="bold", **style)
        axes.text(middle, 0.915, law, color=FAINT, fontsize=10, **style)


def legend(axes: Any) -> tuple[list[Any], list[str]]:
    """The methods, and what the two marks mean."""
    handles, labels = axes.get_legend_handles_labels()
    marks = [axes.plot([], [], "o", color=INK, markersize=8)[0]]
    marks += axes.plot([], [], "D", color=INK, markerfacecolor="white", markeredgewidth=2, markersize=8)
    return [*handles, *marks], [*labels, "best ε", "automatic ε"]
