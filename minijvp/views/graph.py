"""The graph of a program: what becomes a box of a picture, what an arrow, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from minijvp.calls.callback import Callback
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.source import Source, located
from minijvp.core.types import ArrayType
from minijvp.operations.collectives import Collective
from minijvp.operations.contraction import ScaledDot
from minijvp.operations.cumulative import Cumulative
from minijvp.operations.dynamic_slicing import DynamicUpdateSlice
from minijvp.operations.families import BilinearPrimitive, Elementwise, ReduceSum
from minijvp.operations.fft import Fft
from minijvp.operations.gather import Gather, Scatter
from minijvp.operations.linear_algebra import MatrixPrimitive
from minijvp.operations.ragged import RaggedDotGeneral
from minijvp.operations.random import OfKeys, RandomGamma, RngBitGenerator, RngUniform, Threefry2x32
from minijvp.operations.reduction import ArgExtremum, Reduction
from minijvp.operations.shape import Concatenate, Rev
from minijvp.operations.slicing import Pad
from minijvp.operations.sorting import ApproxTopK, Sort, TopK
from minijvp.operations.windows import WindowPrimitive
from minijvp.optimize.kept_call import equal_calls
from minijvp.views.folding import repeated
from minijvp.views.printing import Names, format_param, names_in, shown_params
from minijvp.views.printing import equation_text as printed
from minijvp.views.tables import byte_text

KINDS = {
    "input": "input",
    "constant": "constant",
    "elementwise": "elementwise",
    "contraction": "contraction, linear algebra",
    "reduction": "reduction, sorting",
    "movement": "shape, copy, annotation",
    "random": "random",
    "call": "call, control flow",
    "saved": "saved for the backward pass",
    "again": "computed again in it",
    "later": "computed in it only",
    "once": "computed in the forward pass only",
    "output": "output",
}
"""The kinds of nodes, as the legend names them; in the picture of a plan, the equations are of the last four."""

OF_TYPES: dict[str, tuple[type, ...]] = {
    "random": (OfKeys, RandomGamma, RngBitGenerator, RngUniform, Threefry2x32),
    "elementwise": (Elementwise,),
    "contraction": (BilinearPrimitive, Fft, MatrixPrimitive, RaggedDotGeneral, ScaledDot),
    "reduction": (ApproxTopK, ArgExtremum, Collective, Cumulative, ReduceSum, Reduction, Sort, TopK, WindowPrimitive),
    "movement": (Concatenate, DynamicUpdateSlice, Gather, Pad, Rev, Scatter),
}
"""The kinds of primitives by their families."""


@dataclass(eq=False)
class Node:
    """A box: an input, a constant, an equation, a group of equations, or an output."""

    label: str
    kind: str
    detail: str = ""
    title: str = ""
    kinds: tuple[str, ...] = ()
    """Of the equations in a group."""
    inner: tuple[Graph, ...] = ()
    """Programs that are drawn inside."""
    notes: tuple[tuple[str, str], ...] = ()
    """More lines: the kind that gives the colour, and the words."""


@dataclass(eq=False)
class Graph:
    """Nodes, each after those it depends on, and what goes from one to another, for each pair that is connected.

    `made` has the node that makes a variable, `used` those that use one that comes from elsewhere.
    """

    title: str
    nodes: list[Node] = field(default_factory=list)
    edges: dict[tuple[Node, Node], list[str]] = field(default_factory=dict)
    made: dict[Atom, Node] = field(default_factory=dict)
    used: dict[Atom, list[Node]] = field(default_factory=dict)

    def add(self, node: Node, makes: Iterable[Atom] = ()) -> Node:
        self.nodes.append(node)
        self.made.update((v, node) for v in makes)
        return node

    def connect(self, v: Atom, node: Node, title: str) -> None:
        """Draw that `node` uses `v`."""
        if v not in self.made:
            self.used.setdefault(v, []).append(node)
        elif self.made[v] is not node:
            self.edges.setdefault((self.made[v], node), []).append(title)


MOST = 20
"""So many results of an equation, or equations of a group, hover text has."""

FATES = "saved", "again", "later"


class Mark(NamedTuple):
    """What becomes of a variable by a plan, "saved", "again" or "later", and how tables call it."""

    kind: str
    name: str


@dataclass(frozen=True)
class Style:
    """How much of a program is drawn: which equations with their inner programs, and which as groups.

    With `marks` of a plan on variables, colours are those of what becomes of the results.
    """

    unfolds: Callable[[Equation, int], bool]
    group: str | None
    marks: Mapping[Atom, Mark] | None = None
    names: Mapping[Any, str] = field(default_factory=dict)
    """Those that the user's lines give to values."""

    def unfolded(self, equations: Iterable[Equation], depth: int) -> set[int]:
        """The ids of equations that show their inner programs; of equal calls, one does."""
        shown = lambda e: e.primitive is repeated or self.unfolds(e, depth)
        return {id(e) for e, *_ in equal_calls(equations).values() if shown(e)}

    def kind(self, e: Equation) -> str:
        """The kind of the box of an equation."""
        if self.marks is None:
            return kind_of(e)
        found = {self.marks[v].kind for v in e.outputs if v in self.marks}
        return next((kind for kind in FATES if kind in found), "once")

    def notes(self, equations: Iterable[Equation]) -> tuple[tuple[str, str], ...]:
        """What is saved of the results of some equations, and what computed again."""
        found: dict[str, dict[Atom, str]] = {kind: {} for kind in FATES}
        for v in [v for e in equations for v in e.outputs]:
            if self.marks is not None and v in self.marks:
                found[self.marks[v].kind][v] = self.marks[v].name
        return tuple([(kind, f"{kind} {sum_text(names)}") for kind, names in found.items() if names])


def graph_of(
    jaxpr: Jaxpr,
    style: Style,
    title: str,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] | None = None,
    absent: Sequence[Var] = (),
    depth: int = 0,
    prefix: str = "",
) -> Graph:
    """The graph of a program, with all its outputs or those that have a name; `absent` inputs are not drawn.

    What the outputs are called is put before their types.
    """
    graph, names = Graph(title), names_in(jaxpr, style.names)
    for v, value in jaxpr.constants:
        node = Node(short_value(value), "constant", repr(v.type), describe(names.use(v), v.type))
        graph.add(node, [v])
    for i, v in enumerate(jaxpr.inputs):
        if v not in absent:
            name, mark = input_names[i] if input_names else names.use(v), (style.marks or {}).get(v)
            notes = ((mark.kind, f"{mark.kind} {sum_text({v: mark.name})}"),) if mark else ()
            kind = mark.kind if mark else "input"
            graph.add(Node(name, kind, repr(v.type), describe(names.use(v), v.type), notes=notes), [v])
    unfolded = style.unfolded(jaxpr, depth)
    for run in runs(jaxpr.equations, style, depth):
        first = run[0]
        if len(run) > 1:
            node = group_node(run, names, style)
        else:
            inner = inner_graphs(first, style, depth) if id(first) in unfolded else ()
            node = equation_node(first, names, inner, style)
        graph.add(node, [v for e in run for v in e.outputs])
        for v in dict.fromkeys(v for e in run for v in e.inputs if isinstance(v, Var)):
            graph.connect(v, node, describe(names.use(v), v.type))
    if output_names is None:
        output_names = ["out"] if len(jaxpr.outputs) == 1 else [f"out {i}" for i in range(len(jaxpr.outputs))]
    for name, v in zip(output_names, jaxpr.outputs, strict=False):
        label = f"{name} = {names.use(v)}" if isinstance(v, Literal) else name
        node = graph.add(Node(label, "output", f"{prefix}{v.type!r}", describe(names.use(v), v.type)))
        if isinstance(v, Var):
            graph.connect(v, node, describe(names.use(v), v.type))
    if style.group is not None or any([e.primitive is repeated for e in jaxpr]):
        merge_ends(graph, "input", 0)
        merge_ends(graph, "output", 1)
    return graph


def merge_ends(graph: Graph, kind: str, side: int) -> None:
    """Make one box of the inputs that go to one same box only, or of the outputs that come from one."""
    others: dict[Node, list[Node]] = {}
    for pair in graph.edges:
        others.setdefault(pair[side], []).append(pair[1 - side])
    ends: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node.kind == kind and len(others.get(node, ())) == 1:
            ends.setdefault(others[node][0], []).append(node)
    into: dict[Node, Node] = {}
    for nodes in ends.values():
        if len(nodes) > 1:
            start = common_start([node.label for node in nodes]).rstrip("['\"")
            what = "gradients" if nodes[0].detail.startswith("gradient") else f"{kind}s"
            lines = [f"{node.label}: {node.detail}" for node in nodes]
            label = f"{start} …" if start else short(", ".join(node.label for node in nodes), 24)
            one = Node(label, kind, f"{len(nodes)} {what}", "\n".join(lines))
            into.update((node, one) for node in nodes)
    graph.nodes = list(dict.fromkeys(into.get(node, node) for node in graph.nodes))
    edges, graph.edges = graph.edges, {}
    for (u, v), titles in edges.items():
        graph.edges.setdefault((into.get(u, u), into.get(v, v)), []).extend(titles)
    graph.made = {v: into.get(node, node) for v, node in graph.made.items()}
    graph.used = {v: [into.get(node, node) for node in nodes] for v, nodes in graph.used.items()}


def common_start(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    return "".join([c[0] for c in takewhile(lambda c: len(set(c)) == 1, zip(*texts, strict=False))])


def runs(equations: Sequence[Equation], style: Style, depth: int) -> list[list[Equation]]:
    """The equations in groups: consecutive ones of one line, or of one function.

    A new call, or a new round of a loop, starts where an instruction comes back or instructions turn: they go up in
    forward programs, and down in backward ones. Being consecutive, groups cannot depend on each other in a circle.
    """
    found: list[list[Equation]] = []
    key: Any = None
    last, turn = 0, 0
    seen: set[int] = set()
    unfolded = style.unfolded(equations, depth)
    for e in equations:
        at = e.source
        place = (at and at.code, at.line if at and style.group == "line" else None)
        if style.group is None or id(e) in unfolded:
            place = e
        now = at.instruction if at else 0
        step = (now > last) - (now < last)
        if place != key or step * turn < 0 or (step and now in seen):
            found.append([])
            seen, step, turn = set(), 0, 0
        key, last, turn = place, now, step or turn
        seen.add(now)
        found[-1].append(e)
    return found


def equation_node(e: Equation, names: Names, inner: tuple[Graph, ...], style: Style) -> Node:
    """The box of one equation."""
    types = short(", ".join(repr(v.type) for v in e.outputs), 30)
    params = "" if kind_of(e) == "call" else " ".join(f"{k}={short_param(x)}" for k, x in sorted(e.params.items()))
    detail = ", ".join([style.names[v] for v in e.outputs if v in style.names] + [types])
    detail = f"{detail} {params}" if 0 < len(params) <= 14 else detail
    return Node(equation_label(e), style.kind(e), detail, equation_text(e, names), inner=inner, notes=style.notes([e]))


def equation_label(e: Equation) -> str:
    """The primitive with literals among its operands, or the name of the function it calls."""
    name = e.primitive.name
    called = [j.name for j in e.programs]
    if called:
        times = f" × {e.params['length']}" if isinstance(e.params.get("length"), int) else ""
        return short(f"{name} {e.params.get('name') or readable(called[0])}".strip(), 30) + times
    if any(isinstance(v, Literal) for v in e.inputs):
        name += f"({', '.join(literal_text(v) if isinstance(v, Literal) else '·' for v in e.inputs)})"
    return short(name, 34)


def equation_text(e: Equation, names: Names) -> str:
    """The equation with its parameters, the size of each result, and its line, as hover text."""
    params = [f"  {k} = {short(short_param(x), 90)}" for k, x in sorted(shown_params(e).items())]
    sizes = [describe(names.use(v), v.type) for v in e.outputs[:MOST]]
    lines = [short(printed(e, names, ""), 300), *params, *sizes, *source_text(e.source)]
    return "\n".join(lines)


def group_node(run: Sequence[Equation], names: Names, style: Style) -> Node:
    """The box of several equations."""
    kinds = tuple(sorted(map(style.kind, run), key=list(KINDS).index))
    texts = [f"{names.bind(e.outputs)} = {e.primitive.name}" for e in run]
    more = [f"... and {len(texts) - MOST} more"] if len(texts) > MOST else []
    at, place = run[0].source, span([e.source for e in run]) or "no line"
    label = place if at is None else at.text if place == at.place and at.text else at.function
    title = "\n".join([*source_text(at), *texts[:MOST], *more])
    detail = f"{len(run)} equations, {place}"
    return Node(short(label, 34), "group", detail, title, kinds, notes=style.notes(run))


def inner_graphs(e: Equation, style: Style, depth: int) -> tuple[Graph, ...]:
    """The graphs of the programs inside an equation."""
    found = []
    by_parameter = e.primitive.by_parameter(e.params) if isinstance(e.primitive, ProgramPrimitive) else {}
    for key, programs in by_parameter.items():
        for i, jaxpr in enumerate(programs):
            part = key.removesuffix("jaxpr").strip("_").removesuffix("es")
            part += f" {i}" * (len(programs) > 1)
            times = f" × {e.params['length']}" if isinstance(e.params.get("length"), int) else ""
            name = readable(e.params.get("name") or jaxpr.name)
            title = " ".join(filter(None, (e.primitive.name, part, name))) + times
            found.append(graph_of(jaxpr, style, title, depth=depth + 1))
    return tuple(found)


def kind_of(e: Equation) -> str:
    """The kind of an equation, from the family of its primitive."""
    if e.programs:
        return "call"
    found = next((kind for kind, types in OF_TYPES.items() if isinstance(e.primitive, types)), None)
    if found is not None:
        return found
    if e.primitive.recomputable == "free":
        return "movement"
    # Of functions of the user no jaxpr tells.
    return "call" if isinstance(e.primitive, (Callback, ProgramPrimitive)) else "elementwise"


def describe(name: str, t: ArrayType) -> str:
    """A variable with its type and size."""
    return f"{name}: {t!r}, {byte_text(t.bytes)}"


def sum_text(names: Mapping[Atom, str]) -> str:
    """Variables by name, and their bytes together."""
    return f"{short(', '.join(names.values()), 24)}: {byte_text(sum([v.type.bytes for v in names]))}"


def source_text(at: Source | None) -> list[str]:
    """The line of an equation with its text, in a list; none if there is no line."""
    return [] if at is None else [f"{at}: {at.text}".rstrip(": ")]


def short_value(x: Any) -> str:
    """A constant that has few elements, or what sort of constant it is."""
    if getattr(x, "size", 9) > 3 or not isinstance(getattr(x, "dtype", None), np.dtype):
        return "constant"
    try:
        return short(np.array2string(np.asarray(x), precision=4, separator=", "), 34)
    except TypeError:  # a tracer
        return "constant"


def literal_text(v: Literal) -> str:
    """A literal in few digits."""
    return repr(float(f"{v.value:.6g}")) if isinstance(v.value, (float, np.floating)) else str(v.value)


def short_param(value: Any) -> str:
    """A parameter as text, an inner program by its name and size."""
    if isinstance(value, Jaxpr):
        return f"{value.name or 'program'} ({len(value.equations)} equations)"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return "(" + ", ".join(map(short_param, value)) + ("," if len(value) == 1 else "") + ")"
    return " ".join(format_param(value, "").split())


def readable(name: str) -> str:
    """The name of a function or of what was derived from it, without what an unnamed one is called."""
    return name.replace("(<lambda>)", "").replace("<lambda>", "")


def short(text: str, n: int) -> str:
    """The text, cut where it is longer than n."""
    return text if len(text) <= n else text[: n - 1] + "…"


def span(sources: Iterable[Source | None]) -> str:
    """The lines from the first to the last of some, in short; empty if there are none."""
    found = sorted({(at.file, at.line) for at in sources if at is not None})
    return located(*found[0]) + f"\N{EN DASH}{found[-1][1]}" * (len(found) > 1) if found else ""
