"""Transformed functions as Python over jax.numpy, to be read and to be run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from keyword import iskeyword
from typing import Any

import numpy as np
from jax.tree_util import (
    DictKey,
    GetAttrKey,
    SequenceKey,
    tree_flatten,
    tree_flatten_with_path,
    tree_leaves,
    tree_structure,
    tree_unflatten,
)

from minijvp import trees
from minijvp.api.programs import abstract_types, stage_tree
from minijvp.core.jaxpr import Atom, Jaxpr, Var
from minijvp.core.source import PACKAGE
from minijvp.tracebacks import nameless_border
from minijvp.views.names import given_names
from minijvp.views.python.higher_order import rule_of
from minijvp.views.python.text import (
    MODULES,
    Assignment,
    Block,
    Code,
    Namer,
    Part,
    Renderer,
    bracketed,
    code,
    header,
    listed,
    parts_of,
    spaced,
    tupled,
)
from minijvp.views.python.writer import Writer


@dataclass(frozen=True, eq=False)
class PythonCode:
    """The text of a function, and the constants that it takes as keyword arguments, because they are too large for it.

    `str` is the text, which needs nothing but JAX and NumPy; `compile()` gives the function.
    """

    name: str
    source: str
    constants: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.source

    __repr__ = __str__

    def compile(self) -> Callable[..., Any]:
        """The function, with its constants."""
        namespace: dict[str, Any] = {}
        exec(compile(self.source, f"<{self.name}>", "exec"), namespace)
        function = namespace[self.name]
        return partial(function, **self.constants) if self.constants else function

    def _repr_html_(self) -> str:
        return f"<pre><code>{escape(self.source)}</code></pre>"


def to_python(fun: Callable[..., Any]) -> Callable[..., PythonCode]:
    """A function that returns the program of `fun`, for the arguments it is called with, as Python over jax.numpy.

    to_python : (a -> b) -> a -> PythonCode

    Args:
        fun: takes and returns pytrees of arrays; what grad, jvp, vmap, jit ... made of such a function, too.

    The text defines a function with the parameters of `fun`, which takes the same trees and returns the same tree.
    Each line ends in the line of the user's that it came from. Loops and choices stay loops and choices; inner calls
    of jit, and functions with rules, are written out. Control flow of Python is fixed, as the arguments took it, and
    so are shapes and dtypes. Arrays that `fun` closes over stand in the text if they are small; larger ones are
    keyword parameters, and `constants` of the result has their values, as it has callbacks.

    Raises ArgumentError for arguments or results that are not arrays.

    >>> import minijvp, minijvp.numpy as mnp
    >>> from minijvp.views.python.code import to_python
    >>> code = to_python(minijvp.grad(mnp.sin))(1.0)
    >>> print(code.source.split('#')[0].strip())
    import jax.numpy as jnp
    <BLANKLINE>
    <BLANKLINE>
    def grad_sin(x):
        x = jnp.asarray(x)
        return jnp.cos(x)
    >>> float(code.compile()(0.0))
    1.0
    """
    trees.require_callable(fun, "to_python")

    def writer(*args: Any, **kwargs: Any) -> PythonCode:
        leaves, tree = tree_flatten((args, kwargs))
        types = abstract_types(leaves, trees.call_namer(fun, args, kwargs))
        jaxpr, out_tree = stage_tree(fun, tree, types)
        return written(jaxpr, out_tree, Signature(fun, args, kwargs), identifier(fun))

    return writer


def written(jaxpr: Jaxpr, out_tree: Any, signature: Signature, name: str) -> PythonCode:
    """The code of a program whose results make a tree."""
    writer, body = Writer(rule_of), Block()
    inputs = tuple([Var(t) for t in jaxpr.in_types])
    outputs = writer.program(jaxpr, inputs, body, None)
    tree = tree_unflatten(out_tree, list(map(Leaf, outputs)))
    result = returned(tree, writer, signature)
    body.statements = writer.opening.statements + body.statements
    needed = body.keep_needed(parts_of(result))
    namer = Namer([*signature.parameters, *signature.leaf_names])
    name = namer.free(name)
    namer.names.update({v: namer.free("constant") for v, _ in writer.constants.values() if isinstance(v, Var)})
    bare = code(*result[1:-1]) if is_pair(tree) else result
    unpacking = signature.unpacked(inputs, needed, namer)
    texts = lambda value: tuple([part for part in value if isinstance(part, str)])
    assigned = [s for s in body.statements if isinstance(s, Assignment)]
    steps = [(s.source, texts(s.value), s.bound(), parts_of(s.value)) for s in assigned]
    named = given_names(steps, parts_of(result), namer.taken)
    namer.taken.update(named.values())
    namer.reserved |= {*named.values()}
    namer.names.update({v: name for v, name in named.items() if isinstance(v, Var)})
    lines = spaced(unpacking, Renderer(namer, needed).block(body, bare, "    "))
    constants = {namer.name(part): value for part, value in writer.constants.values() if part in needed}
    text = "\n".join([f"def {name}({signature.head(constants)}):", *lines])
    whole = "\n\n\n".join([*writer.inliner.helpers.values(), text])
    imports = header(whole, writer.inliner.imports)
    return PythonCode(name, "\n".join(imports) + "\n\n\n" + whole + "\n", constants)


def is_pair(tree: Any) -> bool:
    """Whether this is a tuple that needs no parentheses."""
    return type(tree) is tuple and len(tree) > 1


@dataclass(frozen=True, eq=False)
class Leaf:
    """A result of a program, in the place that it has in a tree."""

    atom: Atom


def returned(tree: Any, writer: Writer, signature: Signature) -> Code:
    """The expression of a result: its containers, and its leaves."""
    again = lambda x: returned(x, writer, signature)
    if isinstance(tree, Leaf):
        return writer.typed(tree.atom, tree.atom.type)
    if tree is None:
        return ("None",)
    if type(tree) is tuple:
        return tupled(list(map(again, tree)))
    if type(tree) is list:
        return bracketed(map(again, tree))
    if type(tree) is dict and all(map(is_simple, tree)):
        return code("{", listed(code(f"{_key_text(k)}: ", again(v)) for k, v in tree.items()), "}")
    if trees.is_float0(tree):  # an array: it is no leaf of a program
        return (f"np.zeros({np.asarray(tree).shape}, jax.dtypes.float0)",)
    structure = tree_structure(tree)
    argument = signature.argument_like(structure)
    known = (f"jax.tree.structure({argument})",) if argument else code(writer.keep(structure, "tree"))
    leaves = bracketed(map(again, tree_leaves(tree)))
    return code("jax.tree.unflatten(", known, ", ", leaves, ")")


def is_simple(key: Any) -> bool:
    """Whether a key of a dict is its own text."""
    return type(key) in (str, int, bool) or (type(key) is tuple and all(map(is_simple, key)))


def _key_text(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) and repr(key) == f"'{key}'" and '"' not in key else repr(key)


class Signature:
    """The parameters of a function, and the leaves of the arguments that it was called with."""

    def __init__(self, fun: Any, args: tuple, kwargs: dict[str, Any]):
        names = [trees.argument_name(fun, i) for i in range(len(args))]
        names = [n if n.isidentifier() else "x" if len(args) == 1 else f"x{i}" for i, n in enumerate(names)]
        names = [f"{n}_" if n in MODULES else n for n in names]
        self.positional = [n if n not in names[:i] and n not in kwargs else f"{n}_{i}" for i, n in enumerate(names)]
        self.keywords = sorted(kwargs)
        self.parameters = self.positional + self.keywords
        self.values = [*args, *(kwargs[k] for k in self.keywords)]
        self.paths = [(name, path) for name, x in zip(self.parameters, self.values) for path in _leaf_paths(x)]
        self.leaf_names = leaf_names(self.paths, self.parameters)

    def head(self, constants: Sequence[str] | dict[str, Any]) -> str:
        """The parameters as they stand in a definition."""
        keywords = [*self.keywords, *constants]
        return ", ".join(self.positional + (["*", *keywords] if keywords else []))

    def argument_like(self, structure: Any) -> str | None:
        """An argument that is a tree of this structure."""
        pairs = zip(self.parameters, self.values, strict=True)
        return next((name for name, x in pairs if tree_structure(x) == structure), None)

    def unpacked(self, inputs: Sequence[Var], needed: set[Part], namer: Namer) -> list[str]:
        """The lines that make arrays of the leaves that are needed."""
        whole, parts = [], []
        for v, (name, path), leaf in zip(inputs, self.paths, self.leaf_names, strict=True):
            namer.names[v] = leaf
            if v not in needed:
                continue
            if path:
                parts.append(f"    {leaf} = jnp.asarray({self.access(name, path)})")
            else:
                whole.append(leaf)
        if len(whole) > 1:
            parts.append(f"    {', '.join(whole)} = {', '.join(f'jnp.asarray({n})' for n in whole)}")
        elif whole:
            parts.append(f"    {whole[0]} = jnp.asarray({whole[0]})")
        return parts

    def access(self, name: str, path: tuple) -> str:
        """How a leaf is taken out of an argument."""
        steps = [step_text(key) for key in path]
        if None not in steps:
            return name + "".join(map(str, steps))
        paths = [p for n, p in self.paths if n == name]
        return f"jax.tree.leaves({name})[{paths.index(path)}]"


def _leaf_paths(tree: Any) -> list[tuple]:
    return [path for path, _ in tree_flatten_with_path(tree)[0]]


def step_text(key: Any) -> str | None:
    """One step on the way to a leaf; None where it has no text."""
    if isinstance(key, SequenceKey):
        return f"[{key.idx}]"
    if isinstance(key, DictKey) and is_simple(key.key):
        return f"[{_key_text(key.key)}]"
    return f".{key.name}" if isinstance(key, GetAttrKey) else None


def leaf_names(paths: Sequence[tuple[str, tuple]], parameters: Sequence[str]) -> list[str]:
    """Names for leaves: the last words of the ways to them, as many as tell them apart."""
    words = [[re.sub(r"\W+", "_", w).strip("_") for w in (name, *map(_word, path))] for name, path in paths]
    names: list[str] = []
    for i, (way, (_, path)) in enumerate(zip(words, paths, strict=True)):
        others = {*names, *(p for p in parameters if path)}
        for k in range(1, len(way) + 1):
            name = "_".join(way[-k:])
            ends = [j for j, other in enumerate(words) if j != i and other[-k:] == way[-k:]]
            if name.isidentifier() and not iskeyword(name) and not ends and name not in others:
                break
        else:
            name = f"{'_'.join(way)}_{i}"
        names.append(name if path else paths[i][0])
    return names


def _word(key: Any) -> str:
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))


MAKERS = tuple([f"{PACKAGE}/{room}" for room in ("api", "derivatives", "products", "transforms")])
"""Where the functions are made that transformations return."""


BORDER: Any = nameless_border(lambda: None)


def within_border(fun: Any) -> Any:
    """The function that a border was put around; another one as it is."""
    return fun.__closure__[0].cell_contents if getattr(fun, "__code__", None) is BORDER.__code__ else fun


def identifier(fun: Any) -> str:
    """A name for a function that says which transformations made it: grad_loss."""
    words, name = [], trees.function_name(fun)
    while fun is not None:
        code = getattr(within_border(fun), "__code__", None)
        made_by = getattr(code, "co_qualname", "")
        if "<locals>" in made_by and code.co_filename.startswith(MAKERS):  # type: ignore[union-attr]
            words.append(made_by.partition(".")[0])
        fun = getattr(fun, "__wrapped__", None)
    text = "_".join([*words, "function" if not name.isidentifier() else name])
    return text.replace("jacfwd_jacrev", "hessian")
