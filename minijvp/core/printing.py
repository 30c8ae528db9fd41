"""Jaxprs as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jax.sharding import NamedSharding

BRIEF = 8
"""Programs of more equations, in several equations, are written once: the others name the first result of the first."""


def letters(n: int) -> str:
    """The n-th name of a, b, ..., z, aa, ab, ..."""
    name = chr(ord("a") + n % 26)
    return name if n < 26 else letters(n // 26 - 1) + name


class Names:
    """Gives each variable the next free name when it is first met."""

    def __init__(self) -> None:
        self.names: dict[Any, str] = {}

    def use(self, atom: Any) -> str:
        if hasattr(atom, "value"):
            return repr(getattr(atom.value, "item", lambda: atom.value)())
        if atom not in self.names:
            self.names[atom] = letters(len(self.names))
        return self.names[atom]

    def bind(self, atoms: Iterable[Any]) -> str:
        return " ".join(f"{self.use(v)}:{v.type!r}" for v in atoms)


def format_jaxpr(jaxpr: Any, *, source_lines: bool = False, indent: str = "") -> str:
    """A `Jaxpr` as text, an equation a line; with `source_lines`, each with the user code that made it."""
    names = Names()
    constants = names.bind(v for v, _ in jaxpr.constants)
    head = f"{{ lambda {constants}{' ' if constants else ''}; {names.bind(jaxpr.inputs)} ."
    lines, written = list[str](), dict[int, str]()
    for e in jaxpr.equations:
        operands = " ".join(names.use(v) for v in e.inputs)
        outputs = names.bind(e.outputs)
        params = {k: f"(as for {written[id(v)]})" if id(v) in written else v for k, v in e.params.items()}
        for v in e.params.values():
            if e.outputs and len(getattr(v, "equations", ())) > BRIEF:
                written.setdefault(id(v), names.use(e.outputs[0]))
        line = f"{indent}    {outputs} = {e.primitive.name}{format_params(params, indent + '    ')} {operands}".rstrip()
        if source_lines and e.source is not None:
            line += f"  # {e.source.file.rsplit('/', 1)[-1]}:{e.source.line}"
        lines.append(line)
    result = f"({', '.join(names.use(v) for v in jaxpr.outputs)}{',' if len(jaxpr.outputs) == 1 else ''})"
    return "\n".join([f"{head} let", *lines, f"{indent}  in {result} }}"]) if lines else f"{head} {result} }}"


def format_params(params: dict[str, Any], indent: str) -> str:
    """The parameters of an equation, in brackets."""
    return "[" + " ".join(f"{k}={format_param(v, indent)}" for k, v in sorted(params.items())) + "]" if params else ""


def format_param(value: Any, indent: str) -> str:
    """A parameter; an inner program on lines of its own."""
    if hasattr(value, "equations"):
        return "\n" + indent + "  " + format_jaxpr(value, indent=indent + "  ") + "\n" + indent
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return "(" + ", ".join(format_param(v, indent) for v in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, type) or type(value).__name__.startswith("dtype"):
        return getattr(value, "name", getattr(value, "__name__", str(value)))
    return str(value.spec if isinstance(value, NamedSharding) else value)
