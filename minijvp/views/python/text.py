"""Statements of Python code in which variables have no names yet, and the text that they become.

A program is written with its variables as parts of the text. What is not read is dropped then, and names are given to
the rest in the order of the text, so that they are consecutive.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from minijvp.core.jaxpr import Var
from minijvp.core.source import Source
from minijvp.views.printing import letters

MODULES = {
    "jax": "import jax",
    "jnp": "import jax.numpy as jnp",
    "np": "import numpy as np",
    "lax": "from jax import lax",
}
WIDEST_CODE, WIDEST_COMMENT = 64, 72


@dataclass(eq=False)
class Label:
    """A name of Python, known by identity: `hint`, unless something else has that name."""

    hint: str


Part = str | Var | Label
Target = Part | tuple[Part, ...]
Code = tuple[Part, ...]
"""A piece of text, of which variables and labels are parts."""


def code(*parts: Any) -> Code:
    """Pieces of text joined: each a part, or some in a tuple."""
    joined: list[Part] = []
    for part in parts:
        joined.extend(part if isinstance(part, tuple) else (part,))
    return tuple(joined)


def listed(items: Iterable[Any], separator: str = ", ") -> Code:
    """Pieces of text with a separator between them."""
    joined: list[Any] = []
    for item in items:
        joined += [separator, item]
    return code(*joined[1:])


def tupled(items: Sequence[Any]) -> Code:
    """A tuple of Python."""
    return code("(", listed(items), ",)" if len(items) == 1 else ")")


def bracketed(items: Iterable[Any]) -> Code:
    """A list of Python."""
    return code("[", listed(items), "]")


@dataclass(eq=False)
class Assignment:
    """`targets = value`, or the value alone for the sake of its effect."""

    targets: tuple[Target, ...]
    value: Code
    source: Source | None = None
    has_effects: bool = False
    as_tuple: bool = False
    """Whether the value is a sequence, also of one target."""

    def bound(self) -> set[Part]:
        """The variables that get a value."""
        return {part for t in self.targets for part in (t if isinstance(t, tuple) else (t,))}


@dataclass(eq=False)
class Function:
    """A nested function: each parameter is one variable, or several in a sequence."""

    name: Label
    parameters: tuple[Target, ...]
    block: Block
    result: Code


@dataclass(eq=False)
class Block:
    """Statements, one after the other."""

    statements: list[Assignment | Function] = field(default_factory=list)
    known: dict[Any, Var] = field(default_factory=dict)
    """The variables that have the values of expressions, by text and type."""

    def keep_needed(self, needed: set[Part]) -> set[Part]:
        """Drop what is not needed, without an effect; `needed` grows by what the rest reads."""
        kept = []
        for s in reversed(self.statements):
            if isinstance(s, Function):
                if s.name not in needed:
                    continue
                needed.update(parts_of(s.result))
                s.block.keep_needed(needed)
            elif s.has_effects or not needed.isdisjoint(s.bound()):
                needed.update(parts_of(s.value))
            else:
                continue
            kept.append(s)
        self.statements = kept[::-1]
        return needed


def parts_of(text: Code) -> set[Part]:
    """The variables and labels in a piece of text."""
    return {part for part in text if not isinstance(part, str)}


class Namer:
    """Gives each variable the next free letters when it is first met, each label its hint or one like it."""

    def __init__(self, taken: Iterable[str]):
        self.taken = {*keyword.kwlist, *dir(builtins), *MODULES, *taken}
        self.reserved = frozenset(self.taken)
        self.names: dict[Part, str] = {}
        self.numbers = count()

    def name(self, part: Part) -> str:
        if isinstance(part, str):
            return part
        known = self.names.get(part)
        if known is None:
            known = self.names[part] = self.free(part.hint) if isinstance(part, Label) else self.next_letters()
        return known

    def next_letters(self) -> str:
        while (name := letters(next(self.numbers))) in self.taken:
            pass
        self.taken.add(name)
        return name

    def free(self, hint: str) -> str:
        hint = re.sub(r"\W+", "_", hint).strip("_") or "function"
        hint = f"f_{hint}" if hint[0].isdigit() else hint
        name = next(n for n in chain([hint], (f"{hint}_{i}" for i in count(2))) if n not in self.taken)
        self.taken.add(name)
        return name

    def local(self, hint: str) -> str:
        """A name for a parameter that is read once, in the first line: inner functions may have it too."""
        return hint if hint not in self.reserved else self.free(hint)

    def text(self, value: Code) -> str:
        return "".join(map(self.name, value))


class Renderer:
    """Writes blocks as text, line by line: each with the user's line that it came from."""

    def __init__(self, namer: Namer, needed: set[Part]):
        self.namer = namer
        self.needed = needed

    def block(self, block: Block, result: Code, indent: str) -> list[str]:
        """The lines of a block that ends in `return result`."""
        statements, last = block.statements, Assignment((), code("return ", result))
        if statements and isinstance(s := statements[-1], Assignment) and s.targets == result and not s.as_tuple:
            statements, last = statements[:-1], Assignment((), code("return ", s.value), s.source)
        lines: list[tuple[str, str]] = []
        for s in (*statements, last):
            if isinstance(s, Function):
                lines += [("", "")] * (lines[-1:] != [("", "")] and bool(lines))
                lines += [*((line, "") for line in self.function(s, indent)), ("", "")]
            else:
                lines.append((indent + self.assignment(s), comment(s.source)))
        width = max([len(text) for text, note in lines if note and len(text) <= WIDEST_CODE], default=0)
        return [f"{text.ljust(width)}  {note}" if note else text for text, note in lines]

    def assignment(self, s: Assignment) -> str:
        value = self.namer.text(s.value)
        if not s.targets:
            return value
        if s.as_tuple and len(s.targets) == 1:
            return f"({self.target(s.targets[0])},) = {value}"
        return f"{', '.join(map(self.target, s.targets))} = {value}"

    def target(self, target: Target) -> str:
        """A variable, or several; `_` where it is not read."""
        if isinstance(target, tuple):
            names = list(map(self.target, target))
            return f"({', '.join(names)}{',' * (len(names) == 1)})" if {*names} - {"_"} else "_"
        return self.namer.name(target) if target in self.needed else "_"

    def function(self, f: Function, indent: str) -> list[str]:
        """The lines of a function; parameters that are sequences are unpacked first."""
        heads: list[str] = []
        unpacking: list[Assignment] = []
        for parameter in f.parameters:
            if isinstance(parameter, tuple) and self.target(parameter) != "_":
                heads.append(self.namer.local("carry" if not heads else "xs"))
                unpacking.append(Assignment(parameter, (heads[-1],), as_tuple=True))
            else:
                name = "_" if isinstance(parameter, tuple) else self.target(parameter)
                heads.append(name + "_" * heads.count("_") if name == "_" else name)
        lines = [f"{indent}    {self.assignment(s)}" for s in unpacking]
        body = self.block(f.block, f.result, indent + "    ")
        return [f"{indent}def {self.namer.name(f.name)}({', '.join(heads)}):", *spaced(lines, body)]


def spaced(lines: list[str], body: list[str]) -> list[str]:
    """The first lines of a function and its body, which an empty line divides where it begins with a function."""
    return [*lines, *[""] * (bool(lines) and body[0].lstrip().startswith("def ")), *body]


def comment(source: Source | None) -> str:
    """A line of the user's as a comment."""
    if source is None:
        return ""
    text = source.text
    text = text if len(text) <= WIDEST_COMMENT else text[: WIDEST_COMMENT - 3] + "..."
    return f"# {source.place}" + (f": {text}" if text else "")


def header(text: str, further: Iterable[str]) -> list[str]:
    """The imports that a text needs, and further ones."""
    used = [line for name, line in MODULES.items() if re.search(rf"(?<![\w.]){name}\.", text)]
    return sorted({*used, *further}, key=lambda line: (line.startswith("from"), line))
