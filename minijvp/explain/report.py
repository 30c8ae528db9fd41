"""What explain_nan found, to be read, shown and asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minijvp.core.jaxpr import Equation
from minijvp.core.source import Source
from minijvp.core.types import ArrayType, type_of
from minijvp.explain.advice import remedy_for
from minijvp.explain.marks import COTANGENT, OPERATION, Mark
from minijvp.explain.runs import Origin, Run
from minijvp.operations.families import Elementwise
from minijvp.views.tables import Table, Tabular

NAMES = {
    "forward": "in the forward pass",
    "backward": "in the backward pass",
    "tangent": "in a forward-mode derivative",
}


@dataclass(frozen=True)
class Operand:
    """An operand of the operation: its value where that counts, or the range of its values.

    `value` is None where no single element is meant, as in a product of matrices.
    """

    type: ArrayType
    value: Any
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Step:
    """An operation at a line of the user: where a value that is not finite is made, or made into another kind.

    `direction` is "forward", "backward" (reverse mode) or "tangent" (forward mode). In the latter two,
    `derivative_of` is the operation that is differentiated at the line.
    """

    primitive: str
    direction: str
    derivative_of: str | None
    source: Source | None

    @property
    def text(self) -> str:
        """The operation in words."""
        return self.primitive if self.derivative_of is None else f"{self.primitive}, derivative of {self.derivative_of}"

    @property
    def place(self) -> str:
        """The line in words."""
        return "no line of yours" if self.source is None else f"{self.source}: {self.source.text}"


@dataclass(frozen=True, repr=False)
class NanReport(Tabular):
    """Where what is not finite comes from in a call; false if all is finite.

    kind: "nan" or "inf", what is made first. place: "operation", if it is made of finite operands; or "argument" or
    "constant", which were so from the start: `name` is the argument. step: the operation; of an argument or a constant,
    the first that takes it. index: of the first element that is not finite; count: how many are, of size.
    operands: those of the operation. path: the calls and loops that it is in, with their turns. turn: that of the
    innermost loop. becomes: where an inf becomes nan. result: what is not finite in the end. remedy: what usually mends
    it.
    """

    function: str
    kind: str = ""
    place: str = ""
    name: str = ""
    step: Step | None = None
    index: tuple[int, ...] = ()
    count: int = 0
    size: int = 0
    operands: tuple[Operand, ...] = ()
    path: tuple[str, ...] = ()
    turn: int | None = None
    becomes: Step | None = None
    result: str = ""
    remedy: str = ""

    def __bool__(self) -> bool:
        return bool(self.kind)

    @property
    def is_meant(self) -> bool:
        """Whether results are inf, as a number that the program has, and nothing made them so."""
        return not self and bool(self.result)

    @property
    def primitive(self) -> str | None:
        return None if self.step is None else self.step.primitive

    @property
    def direction(self) -> str | None:
        return None if self.step is None else self.step.direction

    @property
    def derivative_of(self) -> str | None:
        return None if self.step is None else self.step.derivative_of

    @property
    def source(self) -> Source | None:
        """The user's line: `file`, `line`, `text`, `function`."""
        return None if self.step is None else self.step.source

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What there is to say, each with its name."""
        rows = []
        if self.step is not None:
            rows.append(("line", self.step.place))
            made = f"makes {self.kind} of" if self.place == "operation" else "is the first to take it:"
            operands = ", ".join(map(repr, self.operands))
            rows.append(("operation", f"{self.step.text}, {NAMES[self.step.direction]}, {made} {operands}"))
        if self.size > 1:
            rows.append(
                ("element", f"{list(self.index)}, the first of {self.count} that are {self.kind}, of {self.size}")
            )
        if self.path:
            rows.append(("inside of", " > ".join(self.path)))
        if self.becomes is not None:
            rows.append(("becomes nan", f"by {self.becomes.text}, {NAMES[self.becomes.direction]}"))
            rows.append(("", self.becomes.place))
        rows.append(("result", self.result))
        if self.remedy:
            rows.append(("remedy", self.remedy))
        return rows

    @property
    def title(self) -> str:
        """The finding in one line."""
        if self.is_meant:
            return f"{self.function}: {self.result}, a number that the program has; nothing else makes it so."
        if not self:
            return f"{self.function}: all results are finite."
        if self.place == "operation":
            assert self.step is not None
            return f"{self.function}: {self.kind} arises {NAMES[self.step.direction]}."
        what = f"the argument {self.name}" if self.place == "argument" else "a constant of the program"
        return f"{self.function}: {what} is {self.kind}."

    def __str__(self) -> str:
        rows = self.rows if self else []
        width = max([len(name) for name, _ in rows], default=0)
        return "\n".join([self.title, *[f"  {name.ljust(width)}  {text}" for name, text in rows]])

    @property
    def table(self) -> Table:
        """What there is to say, as a table."""
        return Table(self.title, ("", "what was found"), tuple(self.rows if self else ()))


def report_on(function: str, origin: Origin, becomes: Origin | None, name: str, result: str) -> NanReport:
    """The report on an origin, and on where it becomes nan, if it does."""
    run, e = origin.run, origin.equation
    value = np.asarray(origin.value)
    count = int(np.count_nonzero(np.isnan(value) if origin.kind == "nan" else np.isinf(value)))
    step = None if e is None else step_of(run, e)
    operands = () if e is None else tuple([operand(run, e, i, origin) for i in range(len(e.inputs))])
    found = None if becomes is None or becomes.equation is None else step_of(becomes.run, becomes.equation)
    values = [x.value for x in operands]
    return NanReport(
        function,
        origin.kind,
        origin.place,
        name,
        step,
        origin.index,
        count,
        value.size,
        operands,
        run.path,
        run.turns[-1] if run.turns else None,
        found,
        result,
        remedy_for(origin.place, step and step.primitive, step and step.derivative_of, values, origin.kind),
    )


def step_of(run: Run, e: Equation) -> Step:
    """An equation for the user: what it is, and what it is the derivative of."""
    line, name = e.source, e.primitive.name
    within: Run | None = run
    while line is None and within is not None and within.within is not None:
        line, within = within.within.source, within.around
    if type(line) is not Mark:
        return Step(name, "backward" if run.is_backward(e) else "forward", None, line)
    if line.part == OPERATION:
        return Step(name, "backward" if run.backward else "forward", None, line)
    direction = "backward" if line.part == COTANGENT or line.reverse else "tangent"
    return Step(name, direction, line.operation or None, line)


def operand(run: Run, e: Equation, i: int, origin: Origin) -> Operand:
    """An operand, with its value at the element that the origin is about, if the operation is element by element."""
    atom = e.inputs[i]
    x = np.asarray(run.value(atom))
    if x.size == 1:
        return Operand(atom.type, x.reshape(()).item(), number(x.reshape(())))
    if isinstance(e.primitive, Elementwise) and x.ndim == len(origin.index) and origin.place == "operation":
        return Operand(atom.type, x[origin.index].item(), number(x[origin.index]))
    return Operand(atom.type, None, summary(x))


def number(x: Any) -> str:
    """A number in short."""
    return f"{x:.6g}" if x.dtype.kind in "fc" or x.dtype.kind == "V" else str(x)


def summary(x: np.ndarray) -> str:
    """An array in short: its type, its range, and how much of it is not finite."""
    text = repr(type_of(x))
    if x.dtype.kind in "OV" or not x.size or x.dtype.kind in "biuc":
        return text
    bad = int(np.count_nonzero(~np.isfinite(x)))
    finite = x[np.isfinite(x)].astype(np.float64)
    span = f" in [{finite.min():.6g}, {finite.max():.6g}]" if finite.size else ""
    return text + span + (f", {bad} not finite" if bad else "")


def result_text(names: Sequence[str], values: Sequence[Any], kind: str) -> str:
    """Which results are not finite."""
    texts = []
    for name, x in zip(names, values, strict=True):
        n = int(np.count_nonzero(np.isnan(x) if kind == "nan" else np.isinf(x)))
        if n:
            texts.append(f"{name} is {kind}" if x.size == 1 else f"{n} of {x.size} elements of {name} are {kind}")
    return "; ".join(texts[:3]) + (f"; {len(texts) - 3} more" if len(texts) > 3 else "")
