"""Programs as pictures.

draw : (a -> b) -> a -> Picture
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from minijvp import trees
from minijvp.core.jaxpr import Atom, Equation, Jaxpr
from minijvp.core.primitive import registry
from minijvp.errors import ArgumentError
from minijvp.tracebacks import border
from minijvp.views.folding import folded
from minijvp.views.graph import Node, Style, describe, graph_of, runs, source_text
from minijvp.views.names import names_in_forward, names_within
from minijvp.views.programs import gradient_programs, program_of
from minijvp.views.svg import Picture, picture, side_by_side
from minijvp.views.tables import counted

FEW = 40
"""So many boxes are drawn one by one; of more, groups are made."""

Unfold = bool | int | str | Collection[str]


@border
def draw(
    fun: Callable[..., Any] | Jaxpr,
    *args: Any,
    backward: bool = False,
    unfold: Unfold = False,
    group: str | None = "auto",
    **kwargs: Any,
) -> Picture:
    """A picture of the program of `fun`: what depends on what, coloured by kind, with details where the pointer rests.

    Args:
        fun: takes and returns pytrees of arrays; or a `Jaxpr`, which is drawn without arguments.
        args, kwargs: the arguments, of which shapes and dtypes matter.
        backward: also draw the program of the cotangents, from the bottom to the top at the right side, and across, in
            red, the residuals that the forward program saves for it.
        unfold: which equations show their inner programs (of jit, cond, scan, rules ...): all (True), those up to a
            depth, or those of the primitives that are named. Of calls of one program that equal parts share, one does.
        group: one box for consecutive equations of a "line", of a call of a "function", or for each equation (None);
            "auto" draws equal stretches that follow each other once, with their number, and takes the first of None,
            "line", "function" that leaves few boxes then.

    Raises ArgumentError for what is not a function or jaxpr, for other settings, and for `backward` of a program
    without floating results that depend on floating arguments.

    >>> import minijvp.numpy as mnp
    >>> draw(lambda x: mnp.sin(3.0 * x), 1.0, backward=True)
    <picture of <lambda>, forward and backward>
    """
    style, auto = Style(unfolding(unfold), None if group == "auto" else group), group == "auto"
    require_group(group, "draw")
    jaxpr = program_of(fun, args, kwargs, "draw")
    namer = None if isinstance(fun, Jaxpr) else trees.call_namer(fun, args, kwargs)
    names = [namer(i) for i in range(len(jaxpr.inputs))] if namer else []
    title = jaxpr.name or "program"
    if not backward:
        title += f", {counted(len(jaxpr.equations), 'equation')}"
        if auto:
            jaxpr = folded(jaxpr)
            style = fewer_boxes(style, [jaxpr])
        return picture(graph_of(jaxpr, replace(style, names=names_within(jaxpr, names)), title, names))
    return gradient_picture(jaxpr, style, auto, title, names)


def require_group(group: str | None, user: str) -> None:
    """Raise ArgumentError for a grouping that does not exist."""
    if group not in (None, "line", "function", "auto"):
        raise ArgumentError(
            f"{user} received group={group!r}.",
            "Equations are grouped by their source lines or functions.",
            'Pass "line", "function", None or "auto".',
        )


def gradient_picture(jaxpr: Jaxpr, style: Style, auto: bool, title: str, names: list[str]) -> Picture:
    """The picture of both programs of a gradient."""
    programs = gradient_programs(jaxpr)
    if not programs.cotangents:
        raise ArgumentError(
            f"draw with backward=True received {title}: no floating result of it depends on a floating argument.",
            "Only such a result has a cotangent that can be pulled back.",
            "Pass floating arguments, or draw the program itself (backward=False).",
        )
    backward = programs.backward
    used = {v for e in backward for v in e.inputs} | set(backward.outputs)
    residuals = [(atom, v) for atom, v in programs.residuals if v in used]
    forward = pruned_forward(programs.forward, programs.n_outputs, jaxpr, {atom for atom, _ in residuals})
    count = lambda jaxpr: counted(len(jaxpr.equations), "equation")
    down, up = f"forward ↓ {count(forward)}", f"backward ↑ {count(backward)}"
    lines = {atom: residual_text(atom, forward) for atom, _ in residuals}
    style = replace(style, names=names_in_forward(forward, jaxpr, names))
    if auto:
        forward, backward = folded(forward), folded(backward)
        style = fewer_boxes(style, [forward, backward])
    inputs = names or [f"input {i}" for i in range(len(jaxpr.inputs))]
    saved = [v for _, v in programs.residuals]
    above = graph_of(forward, style, down, inputs, numbered("out", programs.n_outputs))
    taken = [""] * len(saved) + numbered("cotangent", len(programs.cotangents))
    given = [inputs[i] for i in programs.differentiated]
    beside = graph_of(backward, style, up, taken, given, saved, prefix="gradient ")
    across: dict[tuple[Node, Node], list[str]] = {}
    for atom, variable in residuals:
        for node in dict.fromkeys(beside.used.get(variable, ())):
            across.setdefault((above.made[atom], node), []).append(lines[atom])
    return side_by_side(f"{title}, forward and backward", above, beside, across)


def pruned_forward(forward: Jaxpr, n_outputs: int, jaxpr: Jaxpr, needed: Collection[Atom]) -> Jaxpr:
    """The forward program without residuals that are not needed, and with the constants of the jaxpr in place."""
    forward = forward.without_dead_code([i < n_outputs or v in needed for i, v in enumerate(forward.outputs)])
    k = len(jaxpr.constants)
    constants = tuple((v, value) for v, (_, value) in zip(forward.inputs, jaxpr.constants, strict=False))
    return Jaxpr(constants, forward.inputs[k:], forward.equations, forward.outputs, forward.name)


def numbered(name: str, n: int) -> list[str]:
    """Names for n values; a single one has no number."""
    return [name] if n == 1 else [f"{name} {i}" for i in range(n)]


def residual_text(atom: Atom, forward: Jaxpr) -> str:
    """The type, size and line of a residual."""
    made = [source_text(e.source) for e in forward if atom in e.outputs]
    return "\n".join([describe("residual", atom.type), *(made[0] if made else ["an argument"])])


def fewer_boxes(style: Style, programs: list[Jaxpr]) -> Style:
    """The style with the first grouping that leaves few boxes, or the fewest."""
    counts = {}
    for group in (None, "line", "function"):
        chosen = replace(style, group=group)
        counts[group] = sum(n_boxes(program, chosen, 0) for program in programs)
        if counts[group] <= FEW:
            return chosen
    return replace(style, group=min(counts, key=counts.__getitem__))


def n_boxes(jaxpr: Jaxpr, style: Style, depth: int) -> int:
    """How many boxes the equations of a program become, with those of the programs that are drawn inside."""
    unfolded = style.unfolded(jaxpr, depth)
    inner = sum(n_boxes(program, style, depth + 1) for e in jaxpr if id(e) in unfolded for program in e.programs)
    return len(runs(jaxpr.equations, style, depth)) + inner


def unfolding(unfold: Unfold) -> Callable[[Equation, int], bool]:
    """Whether an equation at some depth is drawn with its inner programs."""
    if isinstance(unfold, int) and unfold >= 0:
        limit = float("inf") if unfold is True else int(unfold)
        return lambda e, depth: depth < limit and bool(e.programs)
    names = {unfold} if isinstance(unfold, str) else unfold
    if not isinstance(names, Collection) or not all(isinstance(name, str) and name in registry for name in names):
        raise ArgumentError(
            f"draw received unfold={unfold!r}.",
            "It says which equations show the programs inside them, and every name is that of a primitive.",
            'Pass True, False, a depth, or names of primitives such as {"scan", "cond"}.',
        )
    return lambda e, depth: e.primitive.name in names and bool(e.programs)
