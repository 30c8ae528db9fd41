"""einsum: products of any number of arrays, by labels of their axes, in an order that takes few operations."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import Array
from minijvp.errors import ArgumentError
from minijvp.numpy.labels import Labels, contracted, diagonal_of, lone_summed, needed_labels, squeezed, unequal_sizes
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, as_dtype, promote, refuse
from minijvp.numpy.reducing import in_dtype
from minijvp.operations.shape import transpose

__all__ = ["einsum"]


@surface(jnp.einsum)
def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The sum of products that the subscripts name: 'ij,jk->ik', or einsum(x, [0, 1], y, [1, 2], [0, 2])."""
    refuse("einsum", "out", out)
    terms, result, xs = _parse(subscripts, operands)
    xs = [array(x, "einsum") for x in xs]
    labels, out_labels = _resolve(terms, result, tuple([len(x.shape) for x in xs]))
    if len({x.dtype for x in xs}) > 1:
        xs = promote("einsum", *xs)
    preferred = as_dtype(preferred_element_type)
    if preferred is not None and len(xs) == 1:
        xs = [in_dtype(xs[0], preferred)]
    xs, labels = _fit(xs, labels)
    params = {"precision": precision, "preferred_element_type": preferred}
    labels = list(labels)
    for step in _path(tuple(labels), tuple([tuple(x.shape) for x in xs]), out_labels, optimize):
        chosen = [(xs.pop(i), labels.pop(i)) for i in sorted(step, reverse=True)][::-1]
        x, x_labels = chosen[0]
        for count, (y, y_labels) in enumerate(chosen[1:], 2):
            later = [*labels, *[name for _, name in chosen[count:]]]
            wanted = out_labels if not later else needed_labels((x_labels, y_labels), (out_labels, *later))
            x, x_labels = contracted(x, x_labels, y, y_labels, wanted, params), wanted
        xs.append(x)
        labels.append(x_labels)
    (x,), (x_labels,) = xs, labels
    x, x_labels = lone_summed(x, x_labels, (out_labels,))
    if x_labels != out_labels:
        x = transpose(x, permutation=tuple(map(x_labels.index, out_labels)))
    return x if preferred is None else in_dtype(x, preferred)


def _parse(subscripts: Any, operands: tuple) -> tuple[tuple[Labels, ...], Labels | None, list[Any]]:
    """The labels of each operand, those of the result (None: not given), and the operands. Ellipses stay."""
    if isinstance(subscripts, str):
        left, arrow, right = subscripts.replace(" ", "").partition("->")
        terms = tuple([_parse_term(term, subscripts) for term in left.split(",")])
        result = _parse_term(right, subscripts) if arrow else None
        xs = list(operands)
    else:
        given = [subscripts, *operands]
        result = tuple(given.pop()) if len(given) % 2 else None
        terms, xs = tuple(map(tuple, given[1::2])), given[::2]
    if len(terms) != len(xs):
        raise ArgumentError(
            f"minijvp.numpy.einsum received {len(xs)} operands and subscripts for {len(terms)}: {subscripts!r:.200}.",
            "Commas separate the subscripts of the operands.",
            "Pass one operand for each.",
        )
    return terms, result, xs


def _parse_term(term: str, subscripts: str) -> Labels:
    before, dots, after = term.partition("...")
    for letter in before + after:
        if not letter.isalpha():
            raise ArgumentError(
                f"minijvp.numpy.einsum received the subscripts {subscripts!r}, with {letter!r}.",
                "Subscripts are letters, '...', ',' and one '->'.",
                "Correct them.",
            )
    return (*before, *([...] if dots else []), *after)


@lru_cache(maxsize=1024)
def _resolve(
    terms: tuple[Labels, ...], result: Labels | None, ndims: tuple[int, ...]
) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of the operands and of the result, with labels for what ellipses hide."""
    labels, broadcast = [], 0
    for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        hidden = ndim - len(term) + 1 if ... in term else 0
        if term.count(...) > 1 or hidden < 0 or len(term) - (... in term) + hidden != ndim:
            raise ArgumentError(
                f"minijvp.numpy.einsum received {_text(term)!r} for operand {i}, which has {ndim} axes.",
                "Every axis has one label; '...' (once) stands for any number of them.",
                "Correct the subscripts.",
            )
        broadcast = max(broadcast, hidden)
        labels.append(_without_dots(term, hidden))
    if result is None:
        every = [name for term in terms for name in term if name is not ...]
        lone = sorted([name for name in every if every.count(name) == 1])  # type: ignore[type-var]
        return tuple(labels), (*_dots(broadcast), *lone)
    out_labels = _without_dots(result, broadcast)
    known = {name for term in labels for name in term}
    for name in out_labels:
        if name not in known or out_labels.count(name) > 1:
            raise ArgumentError(
                f"minijvp.numpy.einsum received {_text(result)!r} for the result of {','.join(map(_text, terms))!r}.",
                f"The label {name!r} must be that of an operand, and appear once in the result.",
                "Correct the subscripts.",
            )
    return tuple(labels), out_labels


def _dots(n: int) -> Labels:
    """Labels for n axes that an ellipsis hides, counted from its end."""
    return tuple([("...", place) for place in range(n, 0, -1)])


def _without_dots(term: Labels, hidden: int) -> Labels:
    if ... not in term:
        return term
    place = term.index(...)
    return (*term[:place], *_dots(hidden), *term[place + 1 :])


def _text(term: Labels) -> str:
    return "".join("..." if name is ... else str(name) for name in term)


def _fit(xs: Sequence[Any], labels: Sequence[Labels]) -> tuple[list[Any], list[Labels]]:
    """The operands with repeated labels replaced by diagonals, and without axes of size 1 that meet a larger one."""
    xs, labels = list(xs), list(labels)
    for i, names in enumerate(labels):
        x, seen = xs[i], list(names)
        for name in set(names):
            while seen.count(name) > 1:
                first = seen.index(name)
                second = seen.index(name, first + 1)
                if x.shape[first] != x.shape[second]:
                    raise unequal_sizes("einsum", name, x.shape[first], x.shape[second])
                x = diagonal_of(x, first, second)
                seen = [*seen[:first], *seen[first + 1 : second], *seen[second + 1 :], name]
        xs[i], labels[i] = x, tuple(seen)
    sizes: dict[Hashable, int] = {}
    for x, names in zip(xs, labels, strict=True):
        for name, n in zip(names, x.shape, strict=True):
            if sizes.setdefault(name, n) == 1:
                sizes[name] = n
            elif n not in (1, sizes[name]):
                raise unequal_sizes("einsum", name, sizes[name], n)
    for i, (x, names) in enumerate(zip(xs, labels, strict=True)):
        xs[i], labels[i] = squeezed(x, names, sizes)
    return xs, labels


def _path(labels: tuple[Labels, ...], shapes: tuple, out_labels: Labels, optimize: Any) -> Sequence[tuple[int, ...]]:
    """Which operands to contract, step by step: the last ones of the list are results of earlier steps."""
    if len(labels) == 1:
        return ()
    if len(labels) == 2:
        return ((0, 1),)
    if isinstance(optimize, (list, tuple)):
        return optimize
    return _found_path(labels, shapes, out_labels, "optimal" if optimize in ("auto", True) else optimize)


@lru_cache(maxsize=1024)
def _found_path(
    labels: tuple[Labels, ...], shapes: tuple, out_labels: Labels, optimize: Any
) -> Sequence[tuple[int, ...]]:
    symbols: dict[Hashable, str] = {}

    def text(term: Labels) -> str:
        return "".join([symbols.setdefault(name, chr(0x3B1 + len(symbols))) for name in term])

    subscripts = f"{','.join(map(text, labels))}->{text(out_labels)}"
    operands = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    return jnp.einsum_path(subscripts, *operands, optimize=optimize)[0]  # type: ignore[arg-type]
