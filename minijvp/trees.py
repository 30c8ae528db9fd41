"""Pytrees at the public border: arguments and results as flat lists, and messages that name a leaf by its path."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import (
    keystr,
    register_pytree_node_class,
    tree_flatten,
    tree_flatten_with_path,
    tree_structure,
    tree_unflatten,
)

from minijvp.core.source import located
from minijvp.core.tracer import Tracer, usable
from minijvp.core.tracing import as_constant
from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.no_arrays import advice
from minijvp.tracebacks import border as border
from minijvp.tracebacks import nameless_border

METHODS = frozenset({"_keeps", "clear_cache", "eval_shape", "lower", "making", "trace"})
"""What jit gives the functions that it returns, and what would be that of another program on one that wraps them."""


made: Callable[..., Any] = lambda wrapper: wrapper  # until `minijvp.calls.pickles` has another


def wraps(fun: Any, making: Any = None) -> Callable[[Any], Any]:
    """functools.wraps with all attributes of the function that a user has given it, and no methods of jit.

    What it decorates is a border: errors that leave it have short tracebacks. `making`, a function and its arguments by
    name, is what it is pickled by.
    """

    def decorate(wrapper: Any) -> Any:
        wrapper = nameless_border(wrapper)
        if making is not None:
            wrapper.__wrapped__ = fun
            wrapper = made(wrapper)
            wrapper.making = making
        given = dict(getattr(fun, "__dict__", {}))
        methods = METHODS if given.keys() >= METHODS else frozenset()
        vars(wrapper).update({name: value for name, value in given.items() if name not in methods})
        return functools.wraps(fun, updated=())(wrapper)

    return decorate


def function_name(fun: Any) -> str:
    """How messages call a function."""
    return getattr(fun, "__name__", None) or getattr(getattr(fun, "func", None), "__name__", None) or repr(fun)


def place_of(fun: Any) -> str:
    """A function by its name and the line where it is defined."""
    code = getattr(inspect.unwrap(getattr(fun, "func", fun)), "__code__", None)
    return function_name(fun) + (f" ({located(code.co_filename, code.co_firstlineno, whole=True)})" if code else "")


def leaf_paths(tree: Any) -> list[str]:
    """The path of each leaf, as in `[0]['w']`."""
    return [keystr(path) or "" for path, _ in tree_flatten_with_path(tree)[0]]


def argument_name(fun: Any, index: int) -> str:
    """The name of a positional parameter of `fun`, or its number."""
    try:
        parameters = inspect.signature(fun).parameters.values()
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        names = []
    return names[index] if index < len(names) else f"argument {index}"


def call_namer(
    fun: Any, args: Sequence[Any], kwargs: dict[str, Any], positions: Sequence[int] = ()
) -> Callable[[int], str]:
    """A function from the number of a leaf of `(args, kwargs)` to a name like `params[0]['w']`.

    `positions` are those of `args` in the call, where they are not all of its arguments.
    """

    def name(i: int) -> str:
        roots = [(argument_name(fun, k), x) for k, x in zip(positions or range(len(args)), args, strict=True)]
        roots += [(k, kwargs[k]) for k in sorted(kwargs)]
        return [root + path for root, x in roots for path in leaf_paths(x)][i]

    return name


def result_namer(result: Any, name: str) -> Callable[[int], str]:
    """A function from the number of a leaf of what the function `name` returned to a name like `result['a'] of f`."""
    return lambda i: f"result{leaf_paths(result)[i]} of {name}"


def require_callable(fun: Any, transformation: str) -> None:
    """Raise ArgumentError for what is not a function."""
    if not callable(fun):
        raise ArgumentError(
            f"{transformation} received {fun!r:.200}, which cannot be called.",
            "A transformation takes a function.",
            f"Write {transformation}(f) and not {transformation}(f(x)).",
        )


def as_arrays(leaves: Sequence[Any], where: Callable[[int], str]) -> list[Any]:
    """The leaves, with Python scalars and NumPy values made jax arrays; ArgumentError names one that is no array."""
    arrays = []
    for i, x in enumerate(leaves):
        if type(x) in ARRAY_CLASSES:
            if isinstance(x, Tracer) and x.owner.finished():
                x = usable(x, f"a transformation (as {where(i)})")
        elif type(x) in PYTHON_SCALARS:
            x = as_constant(x)
        else:
            require_array(x, lambda i=i: where(i))
            x = as_constant(x) if needs_conversion(x) else x
        arrays.append(x)
    return arrays


def with_arrays(tree: Any, where: Callable[[Any], Callable[[int], str]]) -> Any:
    """The tree with its leaves as arrays; `where` of the tree names a leaf in messages."""
    leaves, structure = tree_flatten(tree)
    return tree_unflatten(structure, as_arrays(leaves, where(tree)))


def require_array(x: Any, where: Callable[[], str]) -> ArrayType:
    """The type of a leaf; ArgumentError names the leaf if it is no array."""
    try:
        return type_of(x)
    except ArgumentError as error:
        name = where()
        what = f"{name} is {x!r:.200} of type {type(x).__name__}, which is not an array."
        raise ArgumentError(what, error.why, error.do + advice(x, name)) from None


def needs_conversion(x: Any) -> bool:
    """Whether a value with a type is neither a jax array nor a tracer."""
    return type(x) in PYTHON_SCALARS or type(x).__module__ == "numpy"


def as_index(x: Any) -> int | None:
    """An integer of Python, or of NumPy or JAX (as an array without axes too), as one of Python; None for others."""
    if type(x) is bool:
        return None
    try:
        return operator.index(x)
    except TypeError:
        return None


def entries_of(value: Any) -> tuple | None:
    """The entries of a collection; None for a single value: text, a number, an array without axes."""
    single = isinstance(value, (str, bytes)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0
    return None if single else tuple(value)


def normalize_indices(indices: Sequence[Any], n: int, what: str, fun: Any) -> tuple[int, ...]:
    """Non-negative positions among `n` arguments; ArgumentError if one is out of range or repeated."""
    positions = []
    for given in indices:
        i = as_index(given)
        if i is None:
            raise ArgumentError(
                f"{what} received {given!r} of type {type(given).__name__}.",
                f"{what} takes the positions of arguments, which are integers.",
                "Pass an integer, or a tuple of integers.",
            )
        if not -n <= i < n:
            raise ArgumentError(
                f"{what}={i} is out of range: {function_name(fun)} was called with {n} positional "
                f"argument{'s' * (n != 1)}.",
                f"{what} counts positional arguments from 0.",
                "Correct it, or pass the argument by position."
                + (" An argument passed by name is selected by its name." if what == "argnums" else ""),
            )
        positions.append(i % n)
    require_distinct(positions, tuple(indices), what, fun)
    return tuple(positions)


def require_distinct(keys: Sequence[Any], given: tuple, what: str, fun: Any) -> None:
    """Raise ArgumentError if an argument is named twice."""
    if len(set(keys)) != len(keys):
        raise ArgumentError(
            f"{what}={given!r} names an argument of {function_name(fun)} twice.",
            "An argument is selected or it is not.",
            "Name each argument once.",
        )


def flatten_prefix(prefix: Any, tree: Any, what: str) -> list[Any]:
    """One entry of `prefix` for each leaf of `tree`; a leaf of `prefix`, such as None, stands for a whole subtree."""
    entries: list[Any] = []
    add = lambda entry, subtree: entries.extend([entry] * tree_structure(subtree).num_leaves)
    try:
        jax.tree_util.tree_map(add, prefix, tree, is_leaf=lambda x: x is None)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"{what}={prefix!r} does not fit the value that it describes, of structure {tree_structure(tree)}.",
            f"It must be an entry for the whole, or a tree that is a prefix of it. ({error})",
            f"Give {what} the same containers as the value, down to where one entry serves all that is below.",
        ) from None
    return entries


def replaced(leaves: Sequence[Any], positions: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """The leaves with other values at some positions."""
    full = list(leaves)
    for i, x in zip(positions, values, strict=True):
        full[i] = x
    return full


def is_float0(x: Any) -> bool:
    """Whether this is an array of float0: the tangent of an integer, without numbers."""
    return isinstance(x, np.ndarray) and x.dtype == jax.dtypes.float0


def is_float0_for_jax(x: Any) -> bool:
    """Whether this is such an array, or what JAX traces in its place."""
    return getattr(x, "dtype", None) == jax.dtypes.float0


@register_pytree_node_class
class Float0:
    """An array of float0, which holds no numbers, as a part of a tree and not a leaf."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def tree_flatten(self) -> tuple[tuple, tuple[int, ...]]:
        return (), self.shape

    @classmethod
    def tree_unflatten(cls, shape: tuple[int, ...], children: Any) -> np.ndarray:
        return np.zeros(shape, jax.dtypes.float0)


def flatten_numbers(value: Any, is_float0: Callable[[Any], bool] = is_float0) -> tuple[list[Any], Any]:
    """The leaves that a program can take or compute, and the tree that gives the value back, with arrays of float0."""
    leaves, tree = tree_flatten(value)
    if any(map(is_float0, leaves)):
        kept = [Float0(x.shape) if is_float0(x) else x for x in leaves]
        return tree_flatten(tree_unflatten(tree, kept))
    return leaves, tree


class FlatFunction:
    """`fun` as a function of flat arguments that returns a flat list; remembers the tree of the last result.

    With `has_aux` the list ends in the leaves of the auxiliary data, from number `n` on.
    """

    out_tree: Any = None
    aux_tree: Any = None
    derivative_tree: Any = None
    n: int = 0

    def __init__(self, fun: Callable[..., Any], in_tree: Any, has_aux: bool = False):
        self.fun = fun
        self.in_tree = in_tree
        self.has_aux = has_aux

    @property
    def name(self) -> str:
        return function_name(self.fun)

    def positional(self, *leaves: Any) -> list[Any]:
        return self.flatten(self.fun(*tree_unflatten(self.in_tree, leaves)))

    def flatten(self, result: Any) -> list[Any]:
        aux_leaves: list[Any] = []
        if self.has_aux:
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise ArgumentError(
                    f"{self.name} returned {type(result).__name__} where has_aux=True wants a pair.",
                    "With has_aux=True the function returns (result, auxiliary data).",
                    "Return such a pair, or omit has_aux.",
                )
            result, aux = result
            aux_leaves, self.aux_tree = tree_flatten(aux)
        leaves, self.out_tree = tree_flatten(result)
        self.n = len(leaves)
        return as_arrays(leaves, lambda i: result_namer(result, self.name)(i)) + aux_leaves

    def result(self, outs: Sequence[Any], derivative: Sequence[Any]) -> tuple[Any, ...]:
        """(result, derivative) or (result, derivative, auxiliary data), from flat outputs."""
        out = tree_unflatten(self.out_tree, outs[: self.n])
        pair = out, tree_unflatten(self.out_tree, derivative)
        return (*pair, self.aux(outs)) if self.has_aux else pair

    def aux(self, outs: Sequence[Any]) -> Any:
        return tree_unflatten(self.aux_tree, outs[self.n :])


Argnums = int | str | Sequence[int | str]


class Selection(FlatFunction):
    """The arguments of one call that are differentiated, and `fun` as a function of their leaves.

    They are named by `argnums`, as positions, as names, or as both. `freeze`, if given, takes leaves out of them, and
    says which tree their derivative has.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        argnums: Argnums,
        args: tuple,
        kwargs: dict[str, Any],
        has_aux: bool = False,
        freeze: Callable[[Any], tuple[Any, Any]] | None = None,
    ):
        self.fun, self.args, self.kwargs, self.has_aux = fun, args, kwargs, has_aux
        if type(argnums) is int and 0 <= argnums < len(args):
            self.single, self.keys = True, [argnums]
        else:
            several = entries_of(argnums)
            self.single = several is None
            self.keys = resolve_all(fun, (argnums,) if several is None else several, args, kwargs)
        self.values = tuple([args[k] if isinstance(k, int) else kwargs[k] for k in self.keys])
        if freeze is not None:
            value, self.derivative_tree = freeze(self.values[0] if self.single else self.values)
            self.values = (value,) if self.single else value
        leaves, self.in_tree = tree_flatten(self.values)
        self.leaves = as_arrays(leaves, self.leaf_name)

    def positional(self, *leaves: Any) -> list[Any]:
        args, kwargs = list(self.args), self.kwargs
        for key, value in zip(self.keys, tree_unflatten(self.in_tree, leaves)):
            if type(key) is int:
                args[key] = value
            else:
                kwargs = {**kwargs, key: value}
        return self.flatten(self.fun(*args, **kwargs))

    def leaf_name(self, i: int) -> str:
        """The argument and the path of a differentiated leaf."""
        for key, value in zip(self.keys, self.values, strict=True):
            paths = leaf_paths(value)
            if i < len(paths):
                return (argument_name(self.fun, key) if isinstance(key, int) else key) + paths[i]
            i -= len(paths)
        raise IndexError(i)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """A tree with an entry for each selected argument; no tuple around a single one."""
        if self.derivative_tree is not None:
            return tree_unflatten(self.derivative_tree, leaves)
        values = tree_unflatten(self.in_tree, leaves)
        return values[0] if self.single else values


def resolve_all(fun: Callable[..., Any], wanted: tuple, args: tuple, kwargs: dict[str, Any]) -> list[int | str]:
    """Where the arguments that argnums names stand in this call."""
    keys = [resolve(fun, key, args, kwargs) for key in wanted]
    require_distinct(keys, wanted, "argnums", fun)
    return keys


def resolve(fun: Callable[..., Any], key: Any, args: tuple, kwargs: dict[str, Any]) -> int | str:
    """Where the argument that `key` names stands in this call."""
    position = None if isinstance(key, str) else as_index(key)
    if not isinstance(key, str) and (position is None or position < len(args) or not kwargs):
        return normalize_indices((key,), len(args), "argnums", fun)[0]
    if key in kwargs:
        return key
    try:
        names = list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        names = []
    if position is not None:
        if position < len(names) and names[position] in kwargs:
            return names[position]
        return normalize_indices((key,), len(args), "argnums", fun)[0]
    if key in names and names.index(key) < len(args):
        return names.index(key)
    raise ArgumentError(
        f"argnums={key!r}: this call of {function_name(fun)} has no argument of that name.",
        f"Its parameters are {names}, and it was called with {len(args)} positional arguments and {sorted(kwargs)}.",
        "Pass the argument in the call (a default value cannot be differentiated), or correct the name.",
    )
