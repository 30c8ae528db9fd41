"""The graph of an eager gradient, as it is built while the function runs: a node for each operation, to walk through.

backward_graph : (a -> b) -> a -> nodes, in the tree of b

A trace whose tangents are places in a graph: each operation on a value that has one is linearized there and then, and
becomes a node that keeps the residuals and knows where its cotangents go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import jax.numpy as jnp

from minijvp import trees
from minijvp.arguments.tangents import from_user
from minijvp.calls.programs import one_equation
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate
from minijvp.core.source import Source, capture
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, evaluating, state
from minijvp.core.types import PYTHON_SCALARS, ArrayType, Params, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.families import add_tangents, instantiate
from minijvp.optimize.rematerialize.budgets import within
from minijvp.tracebacks import border
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.transpose import transpose_flat
from minijvp.views.graph import Graph, Node, equation_label, equation_text, kind_of, short_value
from minijvp.views.names import given_names
from minijvp.views.printing import Names
from minijvp.views.svg import Picture, picture
from minijvp.views.tables import Table, byte_text, counted

Next = tuple["BackwardNode | None", int]


@dataclass(eq=False, repr=False)
class BackwardNode:
    """What one operation, or an argument, does in the backward pass. Calling it gives the cotangents of its inputs.

    `name` is that of the operation, or the path of the argument, whose cotangents accumulate there.
    `next_functions` has for each input of the operation the node that made it, and as which of its results; None for
    an input that has no gradient. `types` are those of the results, `residuals` the values that the node keeps.
    """

    name: str
    types: tuple[ArrayType, ...]
    number: int
    next_functions: tuple[Next, ...] = ()
    residuals: tuple[Any, ...] = ()
    equation: Equation | None = None
    linear: Jaxpr | None = None
    nonzero: tuple[bool, ...] = (True,)

    @property
    def source(self) -> Source | None:
        """The line of the operation."""
        return self.equation.source if self.equation else None

    @property
    def bytes(self) -> int:
        """What the residuals take, those that are arrays."""
        return sum(type_of(x).bytes for x in self.residuals if type(x) not in PYTHON_SCALARS)

    def __call__(self, *cotangents: Any) -> tuple[Any, ...]:
        """A cotangent for each of `next_functions`, for one of each result (None is zero); an argument has none."""
        cts = self.checked(cotangents)
        if self.linear is None:
            return ()
        n, m = len(self.residuals), len(self.linear.inputs) - len(self.residuals)
        wanted = [ct for ct, flag in zip(cts, self.nonzero, strict=True) if flag]
        flags = (False,) * n + (True,) * m
        found = iter(transpose_flat(self.linear, flags, [*self.residuals, *[None] * m], wanted))
        return tuple([None if node is None else next(found) for node, _ in self.next_functions])

    def checked(self, cotangents: Sequence[Any]) -> list[Any]:
        """The cotangents, if they are those of the results."""
        if len(cotangents) != len(self.types):
            raise ArgumentError(
                f"the node of {self.name} received {len(cotangents)} cotangents.",
                f"The operation has {len(self.types)} results, and each has one.",
                "Pass a cotangent for each result, None where it is zero.",
            )
        where = lambda i: f"result {i} of {self.name}"
        one = lambda i, ct: ct if ct is None else from_user([ct], [self.types[i]], "cotangent", lambda _: where(i))[0]
        return [one(i, ct) for i, ct in enumerate(cotangents)]

    def walk(self) -> list[BackwardNode]:
        """All nodes from here to the arguments, each before those that it hands cotangents to."""
        found: set[BackwardNode] = {self}
        pending: list[BackwardNode] = [self]
        while pending:
            for node, _ in pending.pop().next_functions:
                if node is not None and node not in found:
                    found.add(node)
                    pending.append(node)
        return sorted(found, key=lambda node: -node.number)

    def pull_back(self, *cotangents: Any) -> dict[str, Any]:
        """The cotangents of all arguments from here, by their paths, for those of the results (of a number: 1)."""
        if not cotangents and len(self.types) == 1 and not self.types[0].shape:
            cotangents = (jnp.ones((), self.types[0].dtype),)
        received: dict[BackwardNode, list[Any]] = {self: self.checked(cotangents)}
        for node in self.walk():
            cts = received.get(node, [])
            if all([ct is None for ct in cts]):
                continue
            for (target, i), ct in zip(node.next_functions, node(*cts), strict=False):
                if target is not None:
                    into = received.setdefault(target, [None] * len(target.types))
                    into[i] = add_tangents(into[i], ct)
        leaves = sorted((node for node in self.walk() if node.linear is None), key=lambda node: node.number)
        return {node.name: instantiate(received.get(node, [None])[0], node.types[0]) for node in leaves}

    @property
    def names(self) -> dict[BackwardNode, str]:
        """The names that the user's lines give to results, by the nodes from here."""
        nodes = self.walk()[::-1]
        steps = [
            (node.source, node.name, (node,), [n for n, _ in node.next_functions]) for node in nodes if node.equation
        ]
        return given_names(steps, (self,), [node.name for node in nodes if not node.equation])

    @property
    def table(self) -> Table:
        """A row for each node: where its cotangents go, what it keeps, and its line."""
        rows, names = [], self.names
        for node in self.walk():
            following = ", ".join("–" if n is None else f"{n.number} {n.name}" for n, _ in node.next_functions)
            line = f"{node.source.place}: {node.source.text}" if node.source else ""
            kept = ", ".join(map(residual_text, node.residuals))
            label = f"{node.number} {node.name}" + (f" ({names[node]})" if node in names else "")
            rows.append((label, following, kept, byte_text(node.bytes) if node.bytes else "", line))
        kept = byte_text(sum([node.bytes for node in self.walk()]))
        title = f"backward graph of {self.name}: {counted(len(rows), 'node')}, {kept} kept"
        return Table(title, ("node", "next", "residuals", "size", "line"), tuple(rows))

    def draw(self) -> Picture:
        """A picture of all nodes from here, the arguments at the bottom."""
        graph, drawn, names = Graph(f"backward graph of {self.name}"), {}, self.names
        for node in self.walk():
            e, types = node.equation, ", ".join(map(repr, node.types))
            if e is None:
                box = Node(
                    node.name, "output", f"gradient {types}", f"accumulates the cotangents of {node.name}: {types}"
                )
            else:
                kept = f"keeps {byte_text(node.bytes)}" if node.bytes else "keeps nothing"
                kept = f"{names[node]}, {kept}" if node in names else kept
                text = [equation_text(e, Names()), *[f"keeps {residual_text(x)}" for x in node.residuals]]
                box = Node(equation_label(e), kind_of(e), kept, "\n".join(text))
            drawn[node] = graph.add(box)
        for node in self.walk():
            for following, i in node.next_functions:
                if following is not None:
                    words = f"cotangent of result {i} of {following.name}: {following.types[i]!r}"
                    graph.edges.setdefault((drawn[node], drawn[following]), []).append(words)
        return picture(graph)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def residual_text(x: Any) -> str:
    """A residual with its value, if that is short."""
    if type(x) in PYTHON_SCALARS:
        return repr(x)
    value = "constant" if isinstance(x, Tracer) else short_value(x)
    return repr(type_of(x)) + ("" if value == "constant" else f" = {value}")


class GraphTrace(JVPTrace):
    """Runs a function and keeps a node for every operation on a value that has a gradient. Its tangents are `Next`s."""

    __slots__ = ("numbers",)

    def __init__(self, parent: Trace):
        super().__init__(parent)
        self.numbers = count()

    @property
    def description(self) -> str:
        return "a backward graph"

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        with current(self.parent):
            return self.record(primitive, primals, tangents, **params)

    def placed(self, out: Any, tangent: Any) -> Any:
        """As they are: a place in the graph has no placement on devices."""
        return tangent

    def record(self, primitive: Any, primals: tuple, following: tuple, **params: Any) -> tuple[Any, Any]:
        """The result of an operation, and its place in the graph."""
        jaxpr = one_equation(primitive, primals, params)
        flags = tuple([node is not None for node in following])
        with evaluating(), within("off"):
            known, linear, origins, nonzero = linearize_jaxpr(jaxpr, flags)
        results = evaluate(known, *primals)
        n = len(nonzero)
        outs = results[:n]
        (e,) = jaxpr.equations
        node = BackwardNode(
            primitive.name,
            jaxpr.out_types,
            next(self.numbers),
            tuple([place or (None, 0) for place in following]),
            tuple(residuals_of(origins, primals, results, n)),
            Equation(primitive, e.inputs, params, e.outputs, state.source or capture()),
            linear,
            nonzero,
        )
        tangents = tuple([(node, i) if flag else None for i, flag in enumerate(nonzero)])
        return (tuple(outs), tangents) if e.returns_tuple else (outs[0], tangents[0])


@border
def backward_graph(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The node that made the result of `fun(*args, **kwargs)`, from where its backward graph can be walked.

    Args:
        fun: takes and returns pytrees of arrays. It runs once, on the values of the arguments.
        args, kwargs: its arguments; all that are floating have gradients.

    The result is a tree of `BackwardNode`s like that of `fun`, with None for a result without gradient. A node has
    `name`, `next_functions`, `residuals`, `source`; `node(ct)` gives the cotangents of its inputs, `node.pull_back(ct)`
    those of the arguments; it prints as a table of all nodes, and `node.draw()` is a picture.

    Raises ArgumentError for what is not a function, for arguments or results that are not arrays, and where no result
    has a gradient.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, section 4.2, for the tape.

    >>> import minijvp.numpy as mnp
    >>> node = backward_graph(lambda w, b: mnp.sin(3.0 * w + b), 2.0, 1.0)
    >>> node.next_functions, node.next_functions[0][0].next_functions
    (((<add>, 0),), ((<mul>, 0), (<b>, 0)))
    >>> {name: round(float(ct), 4) for name, ct in node.pull_back().items()}
    {'w': 2.2617, 'b': 0.7539}
    """
    trees.require_callable(fun, "backward_graph")
    leaves, tree = trees.tree_flatten((args, kwargs))
    namer = trees.call_namer(fun, args, kwargs)
    leaves = trees.as_arrays(leaves, namer)
    trace = GraphTrace(state.trace)
    with current(trace):
        for i, x in enumerate(leaves):
            t = type_of(x)
            if is_inexact(t.dtype):
                leaves[i] = trace.pack(x, (BackwardNode(namer(i), (t,), next(trace.numbers)), 0))
        args, kwargs = trees.tree_unflatten(tree, leaves)
        result = fun(*args, **kwargs)
        outs, out_tree = trees.flatten_numbers(result)
        places = trace.unpack(trees.as_arrays(outs, trees.result_namer(result, trees.function_name(fun))))[1]
    if not any(places):
        raise ArgumentError(
            f"backward_graph of {trees.function_name(fun)}: no result has a gradient.",
            "There is a graph for floating results that depend on floating arguments.",
            "Pass the values to differentiate by as floating arguments.",
        )
    return trees.tree_unflatten(out_tree, [place and place[0] for place in places])
