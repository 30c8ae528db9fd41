"""Jaxprs as text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jax.sharding import NamedSharding

from minijvp.core.jaxpr import Atom, Equation, Jaxpr
from minijvp.views.folding import Slots, folded, repeated

BRIEF = 8
"""Programs of more equations, in several equations, are written once: the others name the first result of the first."""


def letters(n: int) -> str:
    """The n-th name of a, b, ..., z, aa, ab, ..."""
    name = chr(ord("a") + n % 26)
    return name if n < 26 else letters(n // 26 - 1) + name


class Names:
    """Gives each variable the next letters when it is first met, or the name that it is given; no two are the same."""

    def __init__(self, given: Mapping[Any, str] = {}, taken: Collection[str] = ()) -> None:
        self.names: dict[Any, str] = {}
        self.given, self.taken = given, {*given.values(), *taken}

    def use(self, atom: Any) -> str:
        if hasattr(atom, "value"):
            return repr(getattr(atom.value, "item", lambda: atom.value)())
        if atom not in self.names:
            name = self.given.get(atom, letters(len(self.names)))
            while atom not in self.given and name in self.taken:
                name += "_"
            self.names[atom] = name
        return self.names[atom]

    def bind(self, atoms: Iterable[Any]) -> str:
        return " ".join(f"{self.use(v)}:{v.type!r}" for v in atoms)


def names_in(jaxpr: Jaxpr, given: Mapping[Any, str] = {}, taken: Collection[str] = ()) -> Names:
    """The names of all values of a program: those that are given, and letters, but those that are taken."""
    variables = [*[v for v, _ in jaxpr.constants], *jaxpr.inputs, *[v for e in jaxpr for v in e.outputs]]
    names = Names({v: given[v] for v in variables if v in given}, taken)
    names.bind(variables)
    return names


def format_jaxpr(jaxpr: Jaxpr, *, source_lines: bool = False, indent: str = "", fold: bool = False) -> str:
    """A program as text, an equation a line; with `source_lines`, each with the user code that made it."""
    how, jaxpr = {"source_lines": source_lines, "fold": fold}, folded(jaxpr) if fold else jaxpr
    names = names_in(jaxpr)
    constants = names.bind(v for v, _ in jaxpr.constants)
    head = f"{{ lambda {constants}{' ' if constants else ''}; {names.bind(jaxpr.inputs)} ."
    lines, written = list[str](), dict[int, str]()
    for e in jaxpr.equations:
        params = {k: f"(as for {written[id(v)]})" if id(v) in written else v for k, v in shown_params(e).items()}
        for v in e.params.values():
            if e.outputs and len(getattr(v, "equations", ())) > BRIEF:
                written.setdefault(id(v), names.use(e.outputs[0]))
        line = f"{indent}    {equation_text(e, names, format_params(params, indent + '    ', **how))}"
        if source_lines and e.source is not None:
            line += f"  # {e.source.place}"
        lines.append(line)
    result = f"({', '.join(names.use(v) for v in jaxpr.outputs)}{',' if len(jaxpr.outputs) == 1 else ''})"
    return "\n".join([f"{head} let", *lines, f"{indent}  in {result} }}"]) if lines else f"{head} {result} }}"


def equation_text(e: Equation, names: Names, params: str) -> str:
    """An equation, with its parameters as they were written."""
    if e.primitive is not repeated:
        return f"{names.bind(e.outputs)} = {e.primitive.name}{params} {' '.join(map(names.use, e.inputs))}".rstrip()
    slots, inner = e.params["slots"], names_in(e.params["jaxpr"])
    handed = [None if k is None else inner.use(e.params["jaxpr"].outputs[k]) for k in slots.carried]
    operands = [several(vs, names.use) for vs in parts(e.inputs, slots.operands)]
    operands = [x if then is None else f"({x}, then {then})" for x, then in zip(operands, handed, strict=True)]
    outputs = [several(vs, names.use) + f":{vs[0].type!r}" for vs in parts(e.outputs, slots.results) if vs]
    return f"{' '.join(outputs)} = {e.primitive.name}{params} {' '.join(operands)}"


def shown_params(e: Equation) -> dict[str, Any]:
    """The parameters that are written."""
    return {k: v for k, v in e.params.items() if not isinstance(v, Slots)}


def parts(atoms: Sequence[Any], sizes: Iterable[int]) -> Iterator[Sequence[Any]]:
    """The atoms in groups of these sizes."""
    rest = iter(atoms)
    for n in sizes:
        yield [next(rest) for _ in range(n)]


def several(atoms: Sequence[Atom], use: Callable[[Any], str]) -> str:
    """The names of values of which each call has one: the first and the last, if there are more than two."""
    names = list(map(use, atoms))
    return names[0] if len(names) == 1 else f"({' … '.join([names[0], names[-1]])})"


def format_params(params: dict[str, Any], indent: str, **how: bool) -> str:
    """The parameters of an equation, in brackets."""
    texts = [f"{k}={format_param(v, indent, **how)}" for k, v in sorted(params.items())]
    return "[" + " ".join(texts) + "]" if params else ""


def format_param(value: Any, indent: str, **how: bool) -> str:
    """A parameter; an inner program on lines of its own."""
    if hasattr(value, "equations"):
        return "\n" + indent + "  " + format_jaxpr(value, indent=indent + "  ", **how) + "\n" + indent
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return "(" + ", ".join(format_param(v, indent, **how) for v in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, type) or type(value).__name__.startswith("dtype"):
        return getattr(value, "name", getattr(value, "__name__", str(value)))
    return str(value.spec if isinstance(value, NamedSharding) else value)
