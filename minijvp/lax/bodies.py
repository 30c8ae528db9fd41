"""The functions that users give to loops and choices: staged, and held against what they must return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.calls.programs import fits
from minijvp.core import placements
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.tracer import Tracer
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.transforms.staging import stage

Signature = tuple[Any, Sequence[ArrayType]]
"""What a function is staged for: the structure of an argument, and the types of its leaves."""


class Tree:
    """A pytree with its leaves as arrays, their types, and its structure; `where` names a leaf in messages."""

    def __init__(self, value: Any, where: Callable[[int], str]):
        leaves, self.structure = tree_flatten(value)
        self.leaves = trees.as_arrays(leaves, where)
        self.types = [type_of(x) for x in self.leaves]
        self.value = value

    @property
    def signature(self) -> Signature:
        return self.structure, self.types

    def cells(self) -> dict[str, tuple[str, str]]:
        """For each path the type of the leaf, and where it was made."""
        paths = [path or "(the whole)" for path in trees.leaf_paths(self.value)]
        lines = [x.made_at() if isinstance(x, Tracer) else None for x in self.leaves]
        return {p: (repr(t), f"  # {s}" if s else "") for p, t, s in zip(paths, self.types, lines, strict=True)}


def require_functions(function: str, named: Sequence[tuple[str, Any]]) -> None:
    """Raise ArgumentError for a value that is no function."""
    for name, fun in named:
        if not callable(fun):
            raise ArgumentError(
                f"{name} of {function} is {fun!r:.200}, which cannot be called.",
                f"{function} is given functions, and runs them when it knows which.",
                "Pass a function: lambda: x, or f and not f(x).",
            )


def run(fun: Callable[..., Any], role: str, args: Sequence[Any]) -> Any:
    """What the user's function returns; ArgumentError if it does not take so many arguments."""
    try:
        return fun(*args)
    except TypeError:
        try:
            inspect.signature(fun).bind(*args)
        except TypeError as error:
            raise ArgumentError(
                f"{role} is {trees.place_of(fun)}, which cannot be called as it is: {error}.",
                f"It receives {len(args)} argument{'s' * (len(args) != 1)}.",
                "Correct its parameters.",
            ) from None
        except ValueError:
            pass  # a function that does not tell its parameters
        raise


def pair(f: Callable[..., Any], result: Any) -> tuple[Any, Any]:
    """The carry and the row that the body of a scan returned; ArgumentError if it returned something else."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        found = f"{type(result).__name__}" + (f" of {len(result)}" if isinstance(result, (tuple, list)) else "")
        raise ArgumentError(
            f"f of scan, {trees.place_of(f)}, returned {found} where a pair is wanted.",
            "The body of a scan returns the next carry, and a row of the result.",
            "Return (carry, y); a loop without results returns (carry, None).",
        )
    return result[0], result[1]


def staged(
    fun: Callable[..., Any],
    role: str,
    args: Sequence[Signature],
    parts: Callable[[Any], Sequence[Any]] = lambda result: (result,),
) -> tuple[Jaxpr, list[Tree]]:
    """The closed program of a function of trees, and its result, of which `parts` may make several trees."""
    results: list[Tree] = []
    name = trees.function_name(fun)

    def flat_fun(*leaves: Array) -> list[Any]:
        rest = iter(leaves)
        result = run(fun, role, [tree_unflatten(tree, [next(rest) for _ in types]) for tree, types in args])
        where = trees.result_namer(result, name)
        results.extend(Tree(part, lambda i, part=part: where(i)) for part in parts(result))
        return [x for tree in results for x in tree.leaves]

    return stage(flat_fun, [t for _, types in args for t in types], name), results


def require_same(
    what: str, names: tuple[str, str], x: Tree, y: Tree, why: str, do: str, on_devices: bool = False
) -> None:
    """Raise ArgumentError, with both trees side by side, if structures or types differ. Weak types count as strong.

    If it matters `on_devices`, values must vary along the same axes of a mesh, where types tell that.
    """
    if x.structure == y.structure and all(map(fits, x.types, y.types)):
        along = [placements.varying(a.placement) ^ placements.varying(b.placement) for a, b in zip(x.types, y.types)]
        if not (on_devices and any(along)):
            return
        axis = min(next(filter(None, along)), key=str)
        why = f"Along {axis!r}, an axis of devices, one varies and the other is the same on all, by their types."
        do = f"Let that vary too, before it gets there: minijvp.lax.pcast(x, {axis!r}, to='varying')."
    left, right = x.cells(), y.cells()
    nothing = "-", ""
    rows = [("", *names, "")]
    for path in {**left, **right}:
        (a, _), (b, line) = left.get(path, nothing), right.get(path, nothing)
        rows.append((path, a, b, "" if a.rstrip("*") == b.rstrip("*") else f"<- differs{line}"))
    if x.structure != y.structure and left.keys() == right.keys():
        rows.append(("(containers)", str(x.structure), str(y.structure), "<- differs"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    table = ["  ".join([*(cell.ljust(n) for cell, n in zip(row, widths)), row[3]]) for row in rows]
    raise ArgumentError(f"{what}:\n" + "\n".join("    " + line.rstrip() for line in table), why, do)
