"""What differentiation does at one point, as a table with a row for each node: forward with tangents, or with adjoints.

forward_trace : (a -> b) -> (a, T a) -> Trace
reverse_trace : (a -> b) -> a -> Trace
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.programs import abstract_types, stage_tree
from minijvp.arguments.tangents import for_user, from_user, leaf_namer, require_same_tree
from minijvp.core.source import Source
from minijvp.core.tracer import Tracer
from minijvp.core.types import is_key, type_of
from minijvp.errors import ArgumentError
from minijvp.tracebacks import border
from minijvp.views.python.text import comment
from minijvp.views.tables import Table, Tabular
from minijvp.views.trace_walk import Row, Scope, Walk

LARGEST_IN_FULL = 8
INDENT = "\N{NO-BREAK SPACE}" * 2  # also in a browser
DIGITS = {2: 4, 4: 6}


@dataclass(frozen=True, eq=False)
class Node:
    """One row of a trace. `derivative` is its tangent or adjoint; None where there is none.

    `depth` counts the unfolded operations around it.
    """

    name: str
    operation: str
    source: Source | None
    value: Any
    derivative: Any
    depth: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Tabular):
    """The nodes of a function at a point, in the order of their computation.

    `result` is what the function gives, and `derivative` the tangent of that, or the gradient: a tuple with a part for
    each argument. `str`, `markdown()` and `html()` give the table; Jupyter shows it.
    """

    title: str
    kind: str
    nodes: tuple[Node, ...]
    result: Any
    derivative: Any

    def __getitem__(self, name: str) -> Node:
        """The node of this name."""
        found = next((node for node in self.nodes if node.name == name), None)
        if found is None:
            raise KeyError(f"no node is named {name!r}; there are {', '.join([n.name for n in self.nodes])}")
        return found

    @property
    def table(self) -> Table:
        """The nodes as text in rows."""
        rows = tuple([self._row(node) for node in self.nodes])
        return Table(self.title, ("node", "operation", "value", self.kind, "line"), rows)

    def _row(self, node: Node) -> tuple[str, ...]:
        value = "" if node.value is None else value_text(node.value)
        derivative = "" if node.derivative is None else value_text(node.derivative)
        return INDENT * node.depth + node.name, node.operation, value, derivative, source_text(node.source)


@border
def forward_trace(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, unfold: bool = False
) -> Trace:
    """The trace of forward mode: each node of `f` at the primals, with its value and its tangent.

    forward_trace : (a -> b) -> (a, T a) -> Trace

    Args:
        f: takes pytrees of arrays by position and returns one.
        primals: tuple of arguments. They may be infinite or nan: a trace shows where such values begin.
        tangents: tuple of the same trees, shapes and dtypes; integers and booleans have dtype float0.
        unfold: show also the nodes inside of jit, checkpoint, cond (the branch taken), scan and while (a loop of more
            than 64 turns stays folded), and the values inside of functions with a rule of their own.

    Names are the letters of the printed jaxpr, and those of arguments. Raises ArgumentError as `jvp` does.

    >>> import minijvp
    >>> from minijvp.views.traces import forward_trace
    >>> trace = forward_trace(lambda x, y: x * y + x, (2.0, 3.0), (1.0, 0.0))
    >>> [(node.name, node.operation, float(node.value), float(node.derivative)) for node in trace.nodes[2:]]
    [('c', 'x * y', 6.0, 3.0), ('d', 'c + x', 8.0, 4.0)]
    """
    trees.require_callable(f, "forward_trace")
    for value, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(value, (tuple, list)):
            raise ArgumentError(
                f"{name} of forward_trace is of type {type(value).__name__}.",
                "It takes the positional arguments of the function in a tuple, and their tangents in another.",
                "Write forward_trace(f, (x, y), (t_x, t_y)): it needs a direction, as reverse_trace(f, x, y) does not.",
            )
    program = TracedFunction(f, tuple(primals), "forward_trace")
    given, tree = tree_flatten(tuple(tangents))
    require_same_tree(tree, program.in_tree, "tangents", "primals")
    directions = from_user(given, program.types, "tangent", leaf_namer(tuple(tangents), "tangents"))
    scope = program.run(Walk(True, unfold), directions)
    out_tangents = [for_user(t, x) for t, x in zip(scope.out_derivatives(), scope.outputs(), strict=True)]
    return program.trace(f"forward trace of {program.name}", "tangent", tree_unflatten(program.out_tree, out_tangents))


@border
def reverse_trace(f: Callable[..., Any], *primals: Any, cotangent: Any = None, unfold: bool = False) -> Trace:
    """The trace of reverse mode: each node of `f` at the primals, with its value and its adjoint.

    reverse_trace : (a -> b) -> a -> Trace

    An adjoint is the derivative of the result in the node (or of <cotangent, result>): the way back goes through the
    equations from the last one to the first, and adds what each hands to its operands by its own rule.

    Args:
        f: takes pytrees of arrays by position and returns one; one real number, unless there is a cotangent.
        primals: the arguments. They may be infinite or nan.
        cotangent: of the tree, shapes and dtypes of the result; 1 by default.
        unfold: as in `forward_trace`.

    Raises ArgumentError for a result that is not one real number, without a cotangent, and for a cotangent that does
    not fit.

    >>> import minijvp
    >>> from minijvp.views.traces import reverse_trace
    >>> trace = reverse_trace(lambda x, y: x * y + x, 2.0, 3.0)
    >>> [(node.name, float(node.value), float(node.derivative)) for node in trace.nodes]
    [('x', 2.0, 4.0), ('y', 3.0, 2.0), ('c', 6.0, 1.0), ('d', 8.0, 1.0)]
    """
    trees.require_callable(f, "reverse_trace")
    program = TracedFunction(f, primals, "reverse_trace")
    cts = program.cotangents(cotangent)
    scope = program.run(Walk(False, unfold), [None] * len(program.types))
    found = scope.backward(cts)
    gradient = [for_user(ct, t) for ct, t in zip(found, program.types, strict=True)]
    return program.trace(f"reverse trace of {program.name}", "adjoint", tree_unflatten(program.in_tree, gradient))


class TracedFunction:
    """A function at a point: its program, and the rows of a run."""

    def __init__(self, f: Callable[..., Any], primals: tuple, user: str):
        self.name, self.primals = trees.function_name(f), primals
        leaves, self.in_tree = tree_flatten(primals)
        where = trees.call_namer(f, primals, {})
        self.types = abstract_types(leaves, where)
        self.leaves = trees.as_arrays(leaves, where)
        if any(isinstance(x, Tracer) for x in self.leaves):
            raise ArgumentError(
                f"{user} of {self.name} was called inside of another transformation.",
                "A trace shows values, and there are none yet.",
                f"Call {user} outside, with arrays.",
            )
        self.names = [where(i) for i in range(len(leaves))]
        self.jaxpr, self.out_tree = stage_tree(f, tree_flatten((primals, {}))[1], self.types)

    def cotangents(self, cotangent: Any) -> list[Any]:
        """The cotangents of the results: those that were given, or the number 1."""
        types = self.jaxpr.out_types
        if cotangent is not None:
            given, tree = tree_flatten(cotangent)
            require_same_tree(tree, self.out_tree, "the cotangent", "the result of the function")
            return from_user(given, types, "cotangent", leaf_namer(cotangent, "cotangent"))
        if len(types) == 1 and not types[0].shape and types[0].dtype.kind == "f":
            return [jnp.ones((), types[0].dtype)]
        raise ArgumentError(
            f"reverse_trace needs one real number as the result, but {self.name} returned "
            f"{', '.join(map(repr, types)) or 'nothing'}.",
            "Adjoints are derivatives of a single number.",
            "Reduce the result (.sum(), .mean()), or pass a cotangent= of the tree and the types of the result.",
        )

    def run(self, walk: Walk, tangents: Sequence[Any]) -> Scope:
        """The run of the program, with rows for its constants and inputs first."""
        scope = self.scope = Scope(self.jaxpr)
        scope.names.update(zip(self.jaxpr.inputs, self.names, strict=True))
        for v, x in self.jaxpr.constants:
            walk.row("", "constant", None, 0, value=x, scope=scope, variable=v)
        for v, x in zip(self.jaxpr.inputs, self.leaves, strict=True):
            walk.row(scope.names[v], "input", None, 0, value=x, scope=scope, variable=v)
        self.rows = walk.rows
        walk.run(scope, self.leaves, tangents)
        for row in self.rows[: len(self.jaxpr.constants)]:
            row.name = scope.names[row.variable]  # type: ignore[index]
        return scope

    def trace(self, title: str, kind: str, derivative: Any) -> Trace:
        result = tree_unflatten(self.out_tree, [jnp.asarray(x) for x in self.scope.outputs()])
        return Trace(title, kind, tuple(map(node_of, self.rows)), result, derivative)


def node_of(row: Row) -> Node:
    """A row with its derivative: zero is an array, and what has none gets None."""
    derivative = row.derivative
    if derivative is None and row.has_derivative:
        derivative = jnp.zeros(row.variable.type.shape, row.variable.type.dtype)  # type: ignore[union-attr]
    return Node(row.name, row.operation, row.source, row.value, derivative, row.depth)


def value_text(x: Any) -> str:
    """A number or a small array in full; of a large one the type, the smallest, the largest and the norm."""
    t = type_of(x)
    if is_key(t.dtype):
        return repr(t)
    host = np.asarray(x)
    if t.size <= LARGEST_IN_FULL:
        return number_text(host.tolist(), DIGITS.get(t.dtype.itemsize, 10))
    if t.dtype.kind == "b":
        return f"{t!r} {host.sum()} of {t.size} true"
    norm = f"norm {np.linalg.norm(host.astype(complex if t.dtype.kind == 'c' else float).ravel()):.4g}"
    return f"{t!r} {norm}" if t.dtype.kind == "c" else f"{t!r} min {host.min():.4g} max {host.max():.4g} {norm}"


def number_text(x: Any, digits: int) -> str:
    """A number, or a nested list of numbers, with so many digits."""
    if isinstance(x, list):
        return f"[{', '.join([number_text(item, digits) for item in x])}]"
    return f"{x:.{digits}g}" if isinstance(x, (float, complex)) else str(x)


def source_text(source: Source | None) -> str:
    """A line of the user's: its file, its number and itself."""
    return comment(source).removeprefix("# ")
