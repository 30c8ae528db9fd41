"""The implementation of a primitive as text: its own source, with the parameters of an equation put in.

What computes an operation is written once, in its `impl`. A body that is one expression becomes the text of the
operation; a longer one becomes a function, and with it come the functions and the values that it reads.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

from minijvp.core.primitive import Primitive
from minijvp.core.types import Params
from minijvp.errors import MissingRuleError
from minijvp.views.python.literals import Keep, literal, public_name
from minijvp.views.python.text import MODULES, Code, Part, code

OWN = "minijvp"
DEFAULTS = {
    "allow_negative_indices": True,
    "fill_value": None,
    "indices_are_sorted": False,
    "precision": None,
    "unique_indices": False,
}
"""What the functions of jax.lax take for parameters that they are not given."""


class Inliner:
    """Texts of operations, and the `helpers` and `imports` that they need."""

    def __init__(self, keep: Keep):
        self.keep = keep
        self.helpers: dict[str, str] = {}
        self.imports: set[str] = set()
        self.known: dict[Any, str] = {}

    def call(self, primitive: Primitive, operands: Sequence[Part | Code], params: Params) -> Code:
        """The result of a primitive as an expression."""
        function, owner = implementation(primitive)
        if not isinstance(function, Callable) or not _is_own(function):  # type: ignore[arg-type]
            name = self.value(function, owner)
            return self.fill(ast.parse(f"{name}(*args, **params)", mode="eval").body, operands, params)
        tree = definition(function)
        body = tree.body
        if isinstance(tree, ast.Lambda) or (len(body) == 1 and isinstance(body[0], ast.Return)):
            return self.expression(function, owner, tree, operands, params)
        name = self.function(function, owner)
        return self.fill(ast.parse(f"{name}(*args, **params)", mode="eval").body, operands, params)

    def expression(self, function: Any, owner: Any, tree: Any, operands: Sequence[Any], params: Params) -> Code:
        """The one expression of a body, with operands and parameters in the places of its arguments."""
        body = tree.body if isinstance(tree, ast.Lambda) else tree.body[0].value
        signature = inspect.signature(function.__get__(owner) if owner is not None else function)
        bound = signature.bind(*operands, **params)
        bound.apply_defaults()
        names, further = dict(bound.arguments), {}
        for p in signature.parameters.values():
            if p.kind is p.VAR_KEYWORD:
                further = names.pop(p.name)
        values = {}
        for name, value in names.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                values[name] = list(value)
            else:
                values[name] = value if kind is not inspect.Parameter.KEYWORD_ONLY else literal(value, self.keep)
        return Filled(self, function, owner, values, further).text(strip_tuple(body))

    def fill(self, body: ast.expr, operands: Sequence[Any], params: Params) -> Code:
        return Filled(self, None, None, {"args": list(operands)}, params).text(body)

    def function(self, function: Any, owner: Any) -> str:
        """The name of a helper with the source of a function, or of a method and of the object that it is of."""
        key = (function, owner)
        if key not in self.known:
            tree = definition(function)
            name = owner.name.replace("-", "_") if isinstance(owner, Primitive) else function.__name__.strip("_")
            name = f"_{name}"  # no argument of the user's is called that
            name = self.known[key] = name if name not in self.helpers else f"{name}_{len(self.helpers)}"
            tree = Resolved(self, function, owner, argument_names(tree)).visit(_plain(tree))
            if isinstance(tree, ast.Lambda):
                text = f"{name} = {ast.unparse(tree)}"
            else:
                tree.name = name
                text = ast.unparse(ast.fix_missing_locations(tree))
            self.helpers[name] = text
        return self.known[key]

    def cls(self, cls: type) -> str:
        """The name of a helper with the source of a class."""
        if cls not in self.known:
            tree = definition(cls)
            self.known[cls] = cls.__name__
            self.helpers[cls.__name__] = ast.unparse(Resolved(self, cls, None, set()).visit(_plain(tree)))
        return self.known[cls]

    def value(self, value: Any, where: Any) -> str:
        """The name, or the literal, of a value that source code reads."""
        if (name := public_name(value)) is not None:
            return name
        if isinstance(value, type) and value.__module__.startswith(OWN):
            return self.cls(value)
        if inspect.isfunction(value) and _is_own(value):
            return self.function(value, None)
        if getattr(value, "__name__", None) == "bind" and isinstance(getattr(value, "__self__", None), object):
            self.imports.add("from jax.extend.core import primitives")
            return f"primitives.{value.__self__.name}_p.bind"
        if inspect.ismethod(value) and isinstance(value.__self__, Primitive):
            function, owner = implementation(value.__self__)
            return self.value(function, None) if owner is None else self.function(function, owner)
        return "".join(map(str, literal(value, refuse)))

    def global_name(self, name: str, function: Any) -> str:
        """What a global name of the module of a function is called in the text."""
        module = sys.modules[function.__module__]
        value = getattr(module, name)
        if isinstance(value, ModuleType) and name in MODULES:
            return name
        if (line := import_lines(module).get(name)) is not None and f" {OWN}" not in line:
            self.imports.add(line)
            return name
        if isinstance(value, dict) and name.startswith("_"):
            return "{}"  # a cache, which what was done before has filled
        return self.value(value, module)


class Resolved(ast.NodeTransformer):
    """Source code in which names from elsewhere, and what belongs to a primitive, are replaced by what they are."""

    def __init__(self, inliner: Inliner, function: Any, owner: Any, local: set[str]):
        self.inliner, self.what, self.owner = inliner, function, owner
        self.local = local

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.local = self.local | argument_names(node) | {node.name}
        return self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.local = self.local | argument_names(node)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        base = node.value
        if isinstance(base, ast.Name) and base.id == "self" and self.owner is not None:
            return _parsed(self.inliner.value(getattr(self.owner, node.attr), self.owner))
        if isinstance(base, ast.Name) and node.attr == "impl" and base.id not in self.local:
            primitive = getattr(sys.modules[self.what.__module__], base.id)
            return _parsed(self.inliner.function(*implementation(primitive)))
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        module = sys.modules[self.what.__module__]
        if isinstance(node.ctx, ast.Store) or node.id in self.local or not hasattr(module, node.id):
            return node
        return _parsed(self.inliner.global_name(node.id, self.what))


class Filled:
    """An expression with pieces of text in the places of names, and keywords in that of `**params`."""

    def __init__(self, inliner: Inliner, function: Any, owner: Any, values: dict[str, Any], params: Params):
        self.inliner, self.what, self.owner = inliner, function, owner
        self.values, self.params = values, params
        self.pieces: dict[str, Part | Code] = {}

    def text(self, node: ast.expr) -> Code:
        """The expression as text: it is unparsed with marks in the places of pieces."""
        if self.what is not None:
            node = Resolved(self.inliner, self.what, self.owner, set(self.values)).visit(node)
        filled = ast.unparse(ast.fix_missing_locations(self.replaced(node)))
        found: list[Part | Code] = []
        for i, text in enumerate(filled.split("__piece_")):
            mark, _, rest = text.partition("__") if i else ("", "", text)
            found += [self.pieces[mark], rest] if i else [rest]
        return code(*found)

    def piece(self, value: Part | Code) -> ast.expr:
        mark = str(len(self.pieces))
        self.pieces[mark] = value
        return ast.Name(f"__piece_{mark}__", ast.Load())

    def replaced(self, node: ast.expr) -> ast.expr:
        return Filling(self).visit(node)


class Filling(ast.NodeTransformer):
    """The walk of `Filled`."""

    def __init__(self, filled: Filled):
        self.filled = filled

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.filled.values.get(node.id)
        if value is None:
            return node
        if isinstance(value, list):
            return ast.Tuple([self.filled.piece(v) for v in value], ast.Load())
        return self.filled.piece(value)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        args: list[ast.expr] = []
        for arg in node.args:
            filled = self.visit(arg.value if isinstance(arg, ast.Starred) else arg)
            if isinstance(arg, ast.Starred):
                args += filled.elts if isinstance(filled, ast.Tuple) else [ast.Starred(filled, ast.Load())]
            else:
                args.append(filled)
        keywords: list[ast.keyword] = []
        for k in node.keywords:
            given: dict[str, Any] = {k.arg: k.value} if k.arg is not None else without_defaults(self.filled.params)
            for name, value in given.items():
                expression = self.visit(value) if k.arg is not None else self.piece_of(value)
                keywords.append(ast.keyword(name, expression))
        return ast.Call(self.visit(node.func), args, keywords)

    def piece_of(self, value: Any) -> ast.expr:
        return self.filled.piece(literal(value, self.filled.inliner.keep))


def refuse(value: Any, hint: str) -> str:
    """Raise MissingRuleError for a value that source code reads and that has no text."""
    raise MissingRuleError(
        f"to_python cannot write {value!r:.200}, which the implementation of an operation reads.",
        "Code that stands alone has text for all that it uses.",
        "Use the compiled function (minijvp.jit), or to_jax, which makes a function of JAX without text.",
    )


def without_defaults(params: Params) -> dict[str, Any]:
    """The parameters that a call of jax.lax must be given."""
    return {k: v for k, v in params.items() if k not in DEFAULTS or v is not DEFAULTS[k]}


def implementation(primitive: Primitive) -> tuple[Any, Any]:
    """The function that computes a primitive, and the primitive if that is a method with more than a hand-over."""
    function = getattr(primitive, "function", None)
    if function is not None and type(primitive).impl.__qualname__ == "Elementwise.impl":
        return function, None
    return getattr(type(primitive), "plain_impl", type(primitive).impl), primitive


def _is_own(function: Any) -> bool:
    return getattr(function, "__module__", "").startswith(OWN)


@lru_cache(maxsize=1024)
def parse_definition(function: Any) -> ast.AST:
    """The syntax tree of a function, a lambda or a class."""
    text = textwrap.dedent(inspect.getsource(function))
    if function.__name__ != "<lambda>":
        return ast.parse(text).body[0]
    line = function.__code__.co_firstlineno
    module = ast.parse(inspect.getsource(sys.modules[function.__module__]))
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    return next(
        n for n in ast.walk(module) if isinstance(n, ast.Lambda) and n.lineno == line and _argument_order(n) == wanted
    )


def definition(function: Any) -> Any:
    """A syntax tree of a function, of the caller's own."""
    return ast.parse(ast.unparse(parse_definition(function))).body[0] if not _is_lambda(function) else _copied(function)


def _is_lambda(function: Any) -> bool:
    return function.__name__ == "<lambda>"


def _copied(function: Any) -> ast.expr:
    return ast.parse(ast.unparse(parse_definition(function)), mode="eval").body


def _argument_order(node: ast.Lambda) -> tuple[str, ...]:
    return tuple(a.arg for a in (*node.args.args, *node.args.kwonlyargs))


def argument_names(node: Any) -> set[str]:
    """The names that a function gives its arguments and its variables."""
    names = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
    names |= {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node}
    return names | {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


class Plain(ast.NodeTransformer):
    """Source code without types, and methods without `self`."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        return node


def _plain(tree: Any) -> Any:
    tree = Plain().visit(tree)
    if isinstance(tree, ast.FunctionDef) and tree.args.args and tree.args.args[0].arg == "self":
        tree.args.args = tree.args.args[1:]
    return tree


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def strip_tuple(node: ast.expr) -> ast.expr:
    """The operand of `tuple(...)`: results are unpacked anyhow."""
    is_tuple = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tuple"
    return node.args[0] if is_tuple else node  # type: ignore[attr-defined]


@lru_cache(maxsize=256)
def import_lines(module: ModuleType) -> dict[str, str]:
    """The import of each name that a module imports, as it would be written alone."""
    lines = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                origin = f"from {node.module} import" if isinstance(node, ast.ImportFrom) else "import"
                renamed = f" as {alias.asname}" if alias.asname else ""
                lines[alias.asname or alias.name] = f"{origin} {alias.name}{renamed}"
    return lines
