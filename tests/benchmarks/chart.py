"""The picture of a run: every row's ratio to JAX on a logarithmic axis, beside the goals of its group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.report import CONTENDERS, GROUPS, MIXED, OURS, REFERENCE, Row, grouped, summarize

STYLES = {"minijvp": ("#1d4e79", "o", 46), "autograd": ("#c2703d", "^", 30), "PyTorch": ("#7a9a3a", "D", 24)}
GOAL, WORST, MISSED, GREY = "#2e7d32", "#a5b8a6", "#b3261e", "#6b7280"
WIDTH, LINE = 12.0, 0.21
"""Inches: 1200 pixels at 100 a inch, and the height of a line."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Save the chart of all rows that have a ratio to JAX."""
    groups = {g: [r for r in members if drawn(r)] for g, members in grouped(rows).items()}
    groups = {g: members for g, members in groups.items() if members}
    lines = sum(len(members) + 1.6 for members in groups.values())
    figure = import_module("matplotlib.figure").Figure(figsize=(WIDTH, lines * LINE + 1.6), dpi=100)
    axes = figure.add_axes((0.37, 0.5 / figure.get_figheight(), 0.6, 1 - 1.5 / figure.get_figheight()))
    y = 0.0
    for group, members in groups.items():
        y = draw_group(axes, group, members, y)
    dress(axes, y, groups)
    legend(figure, groups)
    figure.savefig(path, facecolor="white")


def drawn(row: Row) -> bool:
    """Whether a row is a ratio to JAX: quotients of our own figures are not."""
    return OURS in row.ratios and REFERENCE in row.medians


def draw_group(axes: Any, group: str, rows: Sequence[Row], y: float) -> float:
    """A heading, and a line for each row below y; the next free y."""
    found = summarize(group, rows)
    goal = GROUPS[group] if found and not found.worst.of_value else None
    title = group if found is None or group in MIXED or found.worst.of_value else f"{group}: {found.mean:.2g}"
    axes.text(-0.61, y + 0.1, title, transform=axes.get_yaxis_transform(), weight="bold", va="center", fontsize=10.5)
    top, bottom = y + 0.55, y + len(rows) + 0.55
    if goal is not None:
        axes.plot([goal.mean] * 2, [top, bottom], color=GOAL, lw=1.6, zorder=1)
        axes.plot([goal.worst] * 2, [top, bottom], color=GOAL, lw=1.1, ls=(0, (2, 2)), zorder=1)
    for i, row in enumerate(rows):
        draw_row(axes, row, y + 1 + i)
    axes.axhline(bottom + 0.2, color="#e5e7eb", lw=0.8, zorder=0)
    return y + len(rows) + 1.6


def draw_row(axes: Any, row: Row, y: float) -> None:
    missed = row.reached is False and not row.of_value
    axes.text(
        -0.015, y, row.name, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=9,
        color=MISSED if missed else "#111827",
    )  # fmt: skip
    for contender in reversed(CONTENDERS):
        if contender not in row.ratios:
            continue
        ratio = row.ratios[contender]
        color, marker, size = STYLES[contender]
        if contender == OURS and ratio.quartiles is not None:
            axes.plot(ratio.quartiles, [y, y], color=color, lw=2.2, alpha=0.45, solid_capstyle="butt", zorder=2)
        if ratio.median > 0:
            axes.scatter([ratio.median], [y], s=size, color=color, marker=marker, lw=0, zorder=3 + (contender == OURS))


def dress(axes: Any, bottom: float, groups: dict[str, list[Row]]) -> None:
    """Axes, scale and grid."""
    medians = [r.median for rows in groups.values() for row in rows for r in row.ratios.values() if r.median > 0]
    low, high = min(medians, default=0.1) / 1.25, max(1.25, 1.25 * max(medians, default=1.0))
    axes.set(xscale="log", xlim=(low, high), ylim=(bottom - 0.6, -0.4), yticks=[])
    ticks = [
        t for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for t in (10.0**e, 3 * 10.0**e)
    ]
    ticks = [t for t in ticks if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.tick_params(top=True, labeltop=True, labelsize=9, colors=GREY, length=3)
    axes.grid(axis="x", color="#eef0f3", lw=0.8, zorder=0)
    axes.axvline(1.0, color="#111827", lw=1.2, zorder=1)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def legend(figure: Any, groups: dict[str, list[Row]]) -> None:
    """The title, and what the marks are."""
    line = import_module("matplotlib.lines").Line2D
    shown = [c for c in STYLES if any(c in r.ratios for rows in groups.values() for r in rows)]
    marks = [
        line([], [], color=STYLES[c][0], marker=STYLES[c][1], ls="", ms=STYLES[c][2] ** 0.5, mew=0, label=c)
        for c in shown
    ]
    marks.append(line([], [], color="#111827", lw=1.2, label="JAX"))
    marks.append(line([], [], color=GOAL, lw=1.6, label="goal of the mean"))
    marks.append(line([], [], color=GOAL, lw=1.1, ls=(0, (2, 2)), label="goal of the worst"))
    height = figure.get_figheight()
    figure.text(0.01, 1 - 0.3 / height, "Time or memory beside JAX", weight="bold", fontsize=14, va="center")
    figure.text(
        0.01, 1 - 0.58 / height, "less is better; beside a group, its geometric mean; red: misses its goal",
        fontsize=9, color=GREY, va="center",
    )  # fmt: skip
    figure.legend(
        handles=marks, loc="center right", bbox_to_anchor=(0.985, 1 - 0.4 / height), ncols=len(marks), frameon=False,
        fontsize=9.5, handletextpad=0.3, columnspacing=1.1,
    )  # fmt: skip
