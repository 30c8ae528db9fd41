"""Why a gradient is zero: the operations that cut the paths from an argument to the result, by the user's lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp import trees
from minijvp.api.gradients import require_scalar
from minijvp.core.source import Source
from minijvp.core.tracing import current, nothing_is_traced, state
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.explain.cuts import End, Ends
from minijvp.explain.reasons import ALWAYS, name_of, reason
from minijvp.explain.tape import Node, Step, Tape
from minijvp.explain.titles import innermost_name
from minijvp.trees import Argnums, Selection
from minijvp.views.tables import Table, Tabular
from minijvp.views.traces import source_text

KINDS = {
    "structure": "zero by structure, whatever the values are",
    "value": "zero by value: all elements are 0.0 here",
    "part": "zero in a part",
}


@dataclass(frozen=True, eq=False)
class Cut:
    """Where a path from an argument to the result ends.

    `name` is that of the primitive, or of a function with a rule, or `float()`, `bool()`, `NumPy` ... for a value that
    Python looked at; `primitive` is "" then. `source` has the user's `file`, `line`, `text` and `function`. `path` are
    the calls, branches and loops around it, and `turns` those of the innermost loop. So many `elements` of the `size`
    of its operand are cut off in the first turn. `distance` counts the operations from the argument to this one.
    """

    name: str
    primitive: str
    reason: str
    do: str
    source: Source | None
    path: tuple[str, ...]
    turns: tuple[int, ...]
    elements: int
    size: int
    distance: int

    @property
    def where(self) -> str:
        """The path as text: `scan (turn 3) in jit f`."""
        names = [*self.path]
        if self.turns and names:
            few = ", ".join(map(str, self.turns[:3])) + f" and {len(self.turns) - 3} more" * (len(self.turns) > 3)
            place = next((i for i in reversed(range(len(names))) if names[i] in ("scan", "while")), -1)
            names[place] += f" (turn{'s' * (len(self.turns) > 1)} {few})"
        return " in ".join(reversed(names))

    @property
    def counted(self) -> str:
        """How many elements are cut off, if those are not all."""
        return "" if self.elements == self.size else f"{self.elements} of {self.size} elements: "

    def __str__(self) -> str:
        inside = f" in {self.where}" if self.path else ""
        line = f" at {source_text(self.source)}" if self.source else ""
        return f"{self.name}{inside}{line}\n{self.counted}{self.reason}\nto do: {self.do}"


@dataclass(frozen=True, eq=False)
class ZeroLeaf:
    """A leaf of an argument whose derivative is zero, and what cuts the paths from it, the closest first.

    `kind` is "structure" where there is no derivative, whatever the values are; "value" where all its elements are 0.0
    at these; "part" where some are, `zeros` of them. Without cuts, the function does not use the leaf.
    """

    name: str
    type: ArrayType
    kind: str
    zeros: int
    cuts: tuple[Cut, ...]

    @property
    def summary(self) -> str:
        """What is zero, in a line."""
        if self.kind == "structure" and not self.cuts:
            return (
                "its value is not used: not read, or written over as a whole (x.at[:].set), or replaced by a value "
                "that the function closes over"
            )
        cancelled = "" if self.cuts else "; what comes by several paths adds up to zero"
        return KINDS[self.kind] + f": {self.zeros} of {self.type.size} elements" * (self.kind == "part") + cancelled

    def __str__(self) -> str:
        lines = [f"{self.name} {self.type!r}: {self.summary}"]
        for i, cut in enumerate(self.cuts, 1):
            first, *more = str(cut).splitlines()
            lines += [f"  {i}. {first}", *["     " + line for line in more]]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class ZeroReport(Tabular):
    """The leaves whose derivative is zero, of how many; true if the whole derivative of one is.

    `leaves` are those, and `partly` those of which some elements are zero; `report[name]` is the one of that name.
    `not_finite` has the names of leaves whose derivative is not finite, which is all that is said of these. `str`,
    `markdown()` and `html()` show the report; Jupyter shows a table.
    """

    function: str
    n_leaves: int
    leaves: tuple[ZeroLeaf, ...]
    partly: tuple[ZeroLeaf, ...]
    not_finite: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.leaves)

    def __getitem__(self, name: str) -> ZeroLeaf:
        """The leaf of this name."""
        found = next((leaf for leaf in (*self.leaves, *self.partly) if leaf.name == name), None)
        if found is None:
            listed = ", ".join([leaf.name for leaf in (*self.leaves, *self.partly)]) or "none is"
            raise KeyError(f"no leaf named {name!r} has a derivative of zero; these have: {listed}")
        return found

    @property
    def title(self) -> str:
        count = f"{len(self.leaves) or 'none'} of {self.n_leaves} {'leaf' if self.n_leaves == 1 else 'leaves'}"
        part = f", and in a part of {len(self.partly)}" * bool(self.partly)
        wrong = f"; it is not finite in {', '.join(self.not_finite)}" * bool(self.not_finite)
        return f"the derivative of {self.function} is zero in {count}{part}{wrong}"

    @property
    def table(self) -> Table:
        """A row for each cut."""
        rows = []
        for leaf in (*self.leaves, *self.partly):
            label = f"{leaf.name} {leaf.type!r}", leaf.kind
            for cut in leaf.cuts:
                text = cut.counted + cut.reason, source_text(cut.source)
                rows.append((*label, f"{cut.name}{' in ' * bool(cut.path)}{cut.where}", *text, cut.do))
            if not leaf.cuts:
                rows.append((*label, "", leaf.summary, "", ""))
        return Table(self.title, ("leaf", "zero by", "cut by", "since", "line", "to do"), tuple(rows))

    def __str__(self) -> str:
        return "\n".join([self.title, *map(str, (*self.leaves, *self.partly))])


def why_zero(fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., ZeroReport]:
    """A function of the arguments of `fun` that says why its gradient is zero, where it is: a `ZeroReport`.

    Args:
        fun: takes pytrees of arrays and returns a real number, as for `grad`.
        argnums: the arguments to ask about: a position, a name, or a sequence of these.
        has_aux: `fun` returns a pair (number, auxiliary data).

    `fun` runs once, as it does under an eager `grad`, so that Python may look at values; also `float(x)`, which `grad`
    refuses, is answered and reported. What runs in jit, checkpoint, branches and loops is looked at operation by
    operation. A function with a rule of its own is one operation, and so is what is left of a loop after 64 turns.

    The report is true if the derivative of some leaf is zero, by structure or by value. It names for each the
    operations at which the paths from it to the result end, the closest first, with your line, the reason, and what to
    do; and beside these the leaves whose derivative is zero in a part.

    Raises ArgumentError for a result that is not a real number, for arguments that are not arrays, and inside of
    another transformation.

    >>> import minijvp, minijvp.numpy as mnp
    >>> report = minijvp.why_zero(lambda p: mnp.round(p['a']) * p['b'])({'a': 2.0, 'b': 3.0})
    >>> bool(report), [(leaf.name, leaf.kind, leaf.cuts[0].primitive) for leaf in report.leaves]
    (True, [("p['a']", 'structure', 'round')])
    >>> minijvp.why_zero(mnp.sin)(1.0)
    the derivative of sin is zero in none of 1 leaf
    """
    trees.require_callable(fun, "why_zero")

    @trees.wraps(fun)
    def explain(*args: Any, **kwargs: Any) -> ZeroReport:
        name = innermost_name(fun)
        if not nothing_is_traced():
            raise ArgumentError(
                f"why_zero of {name} was called inside of another transformation.",
                "It looks at values, and there are none yet.",
                "Call it outside, with arrays.",
            )
        selection = Selection(fun, argnums, args, kwargs, has_aux)
        tape = Tape(state.trace)
        arguments = [tape.argument(x) for x in selection.leaves]
        with current(tape):
            outs = selection.positional(*arguments)
            require_scalar(selection, outs, holomorphic=False)
        nodes, result = [x.node for x in arguments], tape.node(outs[0])
        cotangents = tape.cotangents(result)
        found = list(zero_leaves(selection, tape, nodes, result, cotangents))
        whole, part = [tuple([x for x in found if (x.kind == "part") == flag]) for flag in (False, True)]
        wrong = [i for i, x in enumerate(nodes) if x in cotangents and not jnp.isfinite(cotangents[x]).all()]
        return ZeroReport(name, len(nodes), whole, part, tuple(map(selection.leaf_name, wrong)))

    return explain


def zero_leaves(
    selection: Selection, tape: Tape, nodes: list[Node], result: Node | None, cotangents: dict[Node, Any]
) -> Iterator[ZeroLeaf]:
    """The leaves whose derivative is zero, at least in a part, with their cuts."""
    ends = Ends(tape, tape.leading(result), cotangents)
    for i, node in enumerate(nodes):
        t, ct = type_of(node.value), cotangents.get(node)
        mask = np.ones(t.shape, bool) if ct is None else np.asarray(ct) == 0
        if not mask.any():
            continue
        kind = "structure" if ct is None else "value" if mask.all() else "part"
        cuts = cuts_of(ends.of(node, mask)) if is_inexact(t.dtype) else [of_integer(t)]
        yield ZeroLeaf(selection.leaf_name(i), t, kind, int(mask.sum()), tuple(cuts))


def of_integer(t: ArrayType) -> Cut:
    """What is said of an argument that is not floating."""
    why, do = ALWAYS["convert_element_type"][0], "pass floats, if the derivative is wanted"
    return Cut("argument", "", why, do, None, (), (), t.size, t.size, 0)


def cuts_of(ends: list[End]) -> list[Cut]:
    """Ends as cuts: those of several turns of a loop, or of several operands, in one."""
    found: dict[Any, Cut] = {}
    for end in ends:
        what = end.what
        why, do = reason(end)
        key = name_of(end), str(what.source), what.place, why if isinstance(what, Step) else ""
        turn = () if what.turn is None else (what.turn,)
        if key in found:
            known = found[key]
            found[key] = replace(known, turns=(*known.turns, *[k for k in turn if k not in known.turns]))
        else:
            n, size = int(np.sum(end.elements)), type_of(end.node.value).size
            primitive = what.primitive.name if isinstance(what, Step) else ""
            found[key] = Cut(key[0], primitive, why, do, what.source, what.place, turn, n, size, end.distance)
    return list(found.values())
