"""What programs, and the linear maps of `vjp` and `linearize`, show of themselves: as text, and in a browser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from jax.tree_util import Partial, tree_unflatten

from minijvp.api.linear_maps import PullBack
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import ArrayType, type_of
from minijvp.optimize.outline.cost import weight_of
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.views.folding import folded, repeated
from minijvp.views.names import holds_derivatives, names_of
from minijvp.views.printing import BRIEF, equation_text, format_jaxpr, format_params, names_in, shown_params
from minijvp.views.tables import byte_text, counted, html_of

MOST = 300
"""So many equations of a program are shown in a browser."""

WIDEST = 60
"""Letters of a tree of types; of a larger one, there is the number of its leaves."""


def text(x: Any, *, source_lines: bool = False, fold: bool = True) -> str:
    """A program, below its summary if something in it is folded; or the summary of a linear map."""
    if isinstance(x, Partial):
        return f"<{map_summary(x)}>"
    whole = format_jaxpr(x, source_lines=source_lines)
    if not fold or (short := format_jaxpr(x, source_lines=source_lines, fold=True)) == whole:
        return whole
    return f"{summary(x)}\n{short}"


def html(x: Any) -> str:
    """A program below its summary, with the user's lines, and programs inside that open; or that of a linear map."""
    if not isinstance(x, Partial):
        return html_of(details(summary(x), program_html(x), True))
    jaxpr = backward_of(x) if isinstance(x.func, PullBack) else x.func.jaxpr
    return html_of(details(map_summary(x), program_html(jaxpr, False), False))


def summary(jaxpr: Jaxpr) -> str:
    """How many equations, inputs and outputs a program has, and the bytes of these."""
    n, inside = len(jaxpr.equations), weight_of(jaxpr)
    more = f" ({inside:,} with those inside)" if inside > n else ""
    ends = ((jaxpr.in_types, "input"), (jaxpr.out_types, "output"))
    texts = [f"{counted(len(types), what)} ({bytes_of(types)})" for types, what in ends]
    return f"{jaxpr.name or 'program'}: {counted(n, 'equation')}{more}, {', '.join(texts)}"


def bytes_of(types: Iterable[ArrayType]) -> str:
    """The bytes of arrays of these types together."""
    return byte_text(sum([t.bytes for t in types]))


def map_summary(x: Partial) -> str:
    """What a linear map is of, from where to where it goes, and what it keeps."""
    f, (constants,) = x.func, x.args
    ends = tree_text(f.in_tree, f.in_types, True), tree_text(f.out_tree, f.out_types)
    source, target = ends[::-1] if isinstance(f, PullBack) else ends
    types = list(map(type_of, constants))
    kept = f"keeps {counted(len(types), 'array')}, {bytes_of(types)}" if types else "keeps nothing"
    return f"{f.__name__} of {f.name or 'a function'}: {source} -> {target}, {kept}"


def tree_text(tree: Any, types: Sequence[ArrayType], is_arguments: bool = False) -> str:
    """A tree of types; of a large one, how many there are."""
    if tree.num_leaves != len(types):  # some are frozen
        return f"{counted(tree.num_leaves, 'array')} of {len(types)}"
    found = tree_unflatten(tree, types)
    words = repr(found[0] if is_arguments and len(found) == 1 else found)
    return words if len(words) <= WIDEST else f"{counted(len(types), 'array')}, {bytes_of(types)}"


def backward_of(pullback: Partial) -> Jaxpr:
    """The program that a pullback runs."""
    linear, n = pullback.func.jaxpr, len(pullback.args[0])
    flags = (False,) * n + (True,) * (len(linear.inputs) - n)
    return transpose_jaxpr(linear, flags, (True,) * len(linear.outputs))[0]


def details(title: str, body: str, is_open: bool) -> str:
    """What opens below its title."""
    return f"<details{' open' * is_open}><summary>{escape(title)}</summary>{body}</details>"


def program_html(jaxpr: Jaxpr, named: bool = True) -> str:
    """The equations of a program in rows, with the user's lines beside them, which may have `named` values."""
    jaxpr = folded(jaxpr)
    names, inner_named = names_in(jaxpr, names_of(jaxpr) if named else {}), named and not holds_derivatives(jaxpr)
    written: dict[int, str] = {}
    rows = [("λ " + names.bind([*[v for v, _ in jaxpr.constants], *jaxpr.inputs]), "", "")]
    for e in jaxpr.equations[:MOST]:
        line = f"{e.source.place}: {e.source.text}" if e.source else ""
        programs = e.primitive.by_parameter(e.params) if isinstance(e.primitive, ProgramPrimitive) else {}
        params = {k: v for k, v in shown_params(e).items() if k not in programs}
        inner = []
        for key, value in [(key, value) for key, values in programs.items() for value in values]:
            title = f"{key}: {summary(value)}"
            if id(value) in written:
                inner.append(f"<div>{escape(f'{title}, as for {written[id(value)]}')}</div>")
                continue
            if e.outputs and len(value.equations) > BRIEF:
                written[id(value)] = names.use(e.outputs[0])
            inner.append(details(title, program_html(value, inner_named), e.primitive is repeated))
        rows.append((equation_text(e, names, format_params(params, "")), "".join(inner), line))
    if len(jaxpr.equations) > MOST:
        rows.append((f"… and {len(jaxpr.equations) - MOST:,} more: print() shows them", "", ""))
    rows.append(("→ " + ", ".join(map(names.use, jaxpr.outputs)), "", ""))
    texts = [(f"<code>{escape(code)}</code>{inner}", line) for code, inner, line in rows]
    cells = [f"<td>{x}</td><td>{escape(y)}</td>" if y else f'<td colspan="2">{x}</td>' for x, y in texts]
    return f"<table>{''.join([f'<tr>{row}</tr>' for row in cells])}</table>"
