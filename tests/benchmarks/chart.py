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
WIDTH, LINE, HEAD = 12.0, 0.2, 1.0
"""Inches: 1200 pixels at 100 an inch, the height of a line, and that of the head."""
LONG = 50
"""Lines of a chart that is set in two columns."""

Groups = dict[str, list[Row]]


def draw(rows: Sequence[Row], path: Path) -> None:
    """Save the chart of all rows that have a ratio to JAX."""
    found = {g: [r for r in members if drawn(r)] for g, members in grouped(rows).items()}
    columns = split({g: members for g, members in found.items() if members})
    height = max(map(length, columns)) * LINE + HEAD + 0.5
    figure = import_module("matplotlib.figure").Figure(figsize=(WIDTH, height), dpi=100)
    share = 1 / len(columns)
    names = 0.255 if len(columns) > 1 else 0.36
    limits = limits_of(rows)
    for i, groups in enumerate(columns):
        bottom = length(groups)
        box = i * share + names, 1 - (HEAD + bottom * LINE) / height, share - names - 0.015, bottom * LINE / height
        axes = figure.add_axes(box)
        y = 0.0
        for group, members in groups.items():
            y = draw_group(axes, group, members, y, (0.008 - names) / box[2])
        dress(axes, bottom, limits)
    head(figure, [c for c in STYLES if any(c in r.ratios for r in rows)])
    figure.savefig(path, facecolor="white")


def length(groups: Groups) -> float:
    """How many lines the groups take; those without rows take one, for the axis."""
    return sum((len(members) + 1.7 for members in groups.values()), 0.0) or 1.0


def split(groups: Groups) -> list[Groups]:
    """The groups in one column, or in two that are about as long."""
    if length(groups) <= LONG:
        return [groups]
    left: Groups = {}
    for group, members in groups.items():
        if length(left) + (len(members) + 1.7) / 2 > length(groups) / 2:
            break
        left[group] = members
    return [left, {g: members for g, members in groups.items() if g not in left}]


def limits_of(rows: Sequence[Row]) -> tuple[float, float]:
    """The axis that has every median."""
    medians = [r.median for row in rows if drawn(row) for r in row.ratios.values()]
    return min(medians, default=0.1) / 1.25, max(1.6, 1.25 * max(medians, default=1.0))


def drawn(row: Row) -> bool:
    """Whether a row is a ratio to JAX: quotients of our own figures are not."""
    return OURS in row.ratios and REFERENCE in row.medians


def draw_group(axes: Any, group: str, rows: Sequence[Row], y: float, left: float) -> float:
    """A heading at `left`, and a line for each row below y; the next free y."""
    found = summarize(group, rows)
    judged = found is not None and not found.worst.of_value
    mean = f": {found.mean:.3f}" if judged and group not in MIXED else ""
    axes.text(
        left, y + 0.2, group + mean, transform=axes.get_yaxis_transform(), weight="bold", va="center", fontsize=10
    )
    top, bottom = y + 0.6, y + len(rows) + 0.6
    goal = GROUPS[group] if judged else None
    if goal is not None:
        axes.plot([goal.mean] * 2, [top, bottom], color=GOAL, lw=1.6, zorder=1)
        axes.plot([goal.worst] * 2, [top, bottom], color=GOAL, lw=1.1, ls=(0, (2, 2)), zorder=1)
    for i, row in enumerate(rows):
        draw_row(axes, row, y + 1.1 + i)
    axes.axhline(bottom + 0.3, color="#e5e7eb", lw=0.8, zorder=0)
    return y + len(rows) + 1.7


def draw_row(axes: Any, row: Row, y: float) -> None:
    missed = row.reached is False and not row.of_value
    axes.text(
        -0.015, y, row.name, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8.5,
        color=MISSED if missed else "#111827",
    )  # fmt: skip
    for contender in reversed(CONTENDERS):
        if contender not in row.ratios:
            continue
        ratio = row.ratios[contender]
        color, marker, size = STYLES[contender]
        if contender == OURS and ratio.quartiles is not None:
            axes.plot(ratio.quartiles, [y, y], color=color, lw=2.2, alpha=0.45, solid_capstyle="butt", zorder=2)
        axes.scatter([ratio.median], [y], s=size, color=color, marker=marker, lw=0, zorder=3 + (contender == OURS))


def dress(axes: Any, bottom: float, limits: tuple[float, float]) -> None:
    """Axes, scale and grid."""
    low, high = limits
    axes.set(xscale="log", xlim=limits, ylim=(bottom - 0.6, -0.4), yticks=[])
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [t for e in powers for t in (10.0**e, 3 * 10.0**e) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.tick_params(top=True, labeltop=True, labelsize=8.5, colors=GREY, length=3)
    axes.grid(axis="x", color="#eef0f3", lw=0.8, zorder=0)
    axes.axvline(1.0, color="#111827", lw=1.2, zorder=1)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def head(figure: Any, contenders: Sequence[str]) -> None:
    """The title, and what the marks are."""
    line = import_module("matplotlib.lines").Line2D
    styles = [(c, *STYLES[c]) for c in contenders]
    marks = [line([], [], color=k, marker=m, ls="", ms=size**0.5, mew=0, label=c) for c, k, m, size in styles]
    marks.append(line([], [], color="#111827", lw=1.2, label="JAX"))
    marks.append(line([], [], color=GOAL, lw=1.6, label="goal of the mean"))
    marks.append(line([], [], color=GOAL, lw=1.1, ls=(0, (2, 2)), label="goal of the worst"))
    height = figure.get_figheight()
    notes = "Less is better. Bars: quartiles. Beside a group: its geometric mean. Red: misses its goal."
    figure.text(0.008, 1 - 0.25 / height, "Time and memory beside JAX", weight="bold", fontsize=14, va="center")
    figure.text(0.008, 1 - 0.52 / height, notes, fontsize=9, color=GREY, va="center")
    place = {"loc": "center right", "bbox_to_anchor": (0.99, 1 - 0.3 / height), "ncols": len(marks), "frameon": False}
    figure.legend(handles=marks, fontsize=9, handletextpad=0.3, columnspacing=1.0, **place)
