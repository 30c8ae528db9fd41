"""Words of transformations: the same on both sides. A letter makes a function of the same arguments out of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

from minijvp.core.types import is_inexact
from tests.fuzz.sides import Side

Function = Callable[..., Any]
FLOAT0 = jax.dtypes.float0


@dataclass(frozen=True)
class Letter:
    """A transformation; `seed` chooses its options, 0 has the simplest."""

    name: str
    seed: int = 0

    def __str__(self) -> str:
        return self.name + (f"{self.seed}" if self.seed else "")


Word = tuple[Letter, ...]


def transformed(side: Side, fun: Function, word: Sequence[Letter]) -> Function:
    """The function under a word; its last letter comes first."""
    for letter in reversed(word):
        fun = LETTERS[letter.name](side, fun, Options(letter.seed))
    return fun


class Options:
    """Choices that are the same in every run."""

    def __init__(self, seed: int):
        self.simple = seed == 0
        self.rng = np.random.default_rng(seed)

    def choose(self, options: Sequence[Any]) -> Any:
        """One of the options, the first if it should be simple."""
        return options[0] if self.simple else options[int(self.rng.integers(len(options)))]


def dtype_of(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.result_type(x)


def is_real(x: Any) -> bool:
    return np.issubdtype(dtype_of(x), np.floating)


def is_scalar(x: Any) -> bool:
    """Whether this is a number of Python, or what jit makes of one."""
    return type(x) is float or bool(np.shape(x) == () and getattr(x, "weak_type", False))


def weights(side: Side, x: Any, k: int) -> Any:
    """Numbers near 1 of the shape and dtype of `x`, no two alike; float0 where it has no derivative."""
    shape, dtype = np.shape(x), dtype_of(x)
    if not is_inexact(dtype):
        return np.zeros(shape, FLOAT0)
    w = np.cos(1 + 0.7 * k + np.arange(np.prod(shape, dtype=int)).reshape(shape))
    if np.issubdtype(dtype, np.complexfloating):
        w = w + 1j * np.sin(2 + w)
    return float(w) if is_scalar(x) and w.dtype.kind == "f" else side.jnp.asarray(w, dtype)


def all_weights(side: Side, tree: Any, k: int) -> Any:
    leaves, structure = tree_flatten(tree)
    return tree_unflatten(structure, [weights(side, x, k + i) for i, x in enumerate(leaves)])


def without_float0(tree: Any) -> Any:
    """The tree with None for tangents that are no numbers."""
    return tree_map(lambda x: None if dtype_of(x) == FLOAT0 else x, tree)


def total(side: Side, tree: Any) -> Any:
    """One real number that depends on all numbers in a tree, on each in its own way."""
    parts = [(x * weights(side, x, i)).sum() for i, x in enumerate(tree_leaves(tree)) if is_inexact(dtype_of(x))]
    return sum([side.jnp.real(p) for p in parts], side.jnp.zeros(()))


def differentiable(args: Sequence[Any]) -> tuple[int, ...]:
    """The arguments of which all leaves have a derivative."""
    return tuple([i for i, x in enumerate(args) if all(is_inexact(dtype_of(leaf)) for leaf in tree_leaves(x))])


def realistic(side: Side, fun: Function) -> Function:
    """The function with the real and imaginary parts of its results, without integers."""

    def parts(*args: Any) -> list[Any]:
        found = [x for x in tree_leaves(fun(*args)) if is_inexact(dtype_of(x))]
        return [y for x in found for y in ([x] if is_real(x) else [side.jnp.real(x), side.jnp.imag(x)])]

    return parts


# Letters


def grad(side: Side, fun: Function, options: Options) -> Function:
    has_aux = options.choose([False, False, True])

    def gradient(*args: Any) -> Any:
        loss = lambda *xs: total(side, fun(*xs))
        if has_aux:
            loss = lambda *xs: (lambda out: (total(side, out), tree_leaves(out)[-1:]))(fun(*xs))
        return side.api.grad(loss, differentiable(args), has_aux=has_aux)(*args)

    return gradient


def value_and_grad(side: Side, fun: Function, options: Options) -> Function:
    one = options.choose([False, True])

    def both(*args: Any) -> Any:
        argnums = differentiable(args)
        return side.api.value_and_grad(lambda *xs: total(side, fun(*xs)), argnums[0] if one else argnums)(*args)

    return both


def jvp(side: Side, fun: Function, options: Options) -> Function:
    def pushed(*args: Any) -> Any:
        out, tangents = side.api.jvp(fun, args, all_weights(side, args, 0))
        return out, without_float0(tangents)

    return pushed


def linearize(side: Side, fun: Function, options: Options) -> Function:
    twice = options.choose([False, True])

    def pushed(*args: Any) -> Any:
        out, push = side.api.linearize(fun, *args)
        tangents = [without_float0(push(*all_weights(side, args, k))) for k in range(1 + twice)]
        return out, tangents

    return pushed


def vjp(side: Side, fun: Function, options: Options) -> Function:
    has_aux = options.choose([False, False, True])

    def pulled(*args: Any) -> Any:
        if has_aux:
            aux_fun = lambda *xs: (lambda out: (out, tree_leaves(out)[-1:]))(fun(*xs))
            out, pull, aux = side.api.vjp(aux_fun, *args, has_aux=True)
        else:
            (out, pull), aux = side.api.vjp(fun, *args), None
        return out, without_float0(pull(all_weights(side, out, 3))), aux

    return pulled


def vmap(side: Side, fun: Function, options: Options) -> Function:
    size = options.choose([2, 2, 2, 1, 3])
    out_axes = options.choose([0, 0, -1])
    chosen = [options.choose([0, 0, None, -1]) for _ in range(8)]

    def mapped(*args: Any) -> Any:
        axes = [None if is_scalar(x) else axis for x, axis in zip(args, chosen, strict=False)]
        if all(axis is None for axis in axes):
            axes[0] = 0
        batches = [x if axis is None else tree_map(lambda leaf: batch(side, leaf, axis, size), x)
                   for x, axis in zip(args, axes, strict=True)]  # fmt: skip
        return side.api.vmap(fun, in_axes=tuple(axes), out_axes=out_axes)(*batches)

    return mapped


def batch(side: Side, x: Any, axis: int, size: int) -> Any:
    """Variants of an array along a new axis."""
    if dtype_of(x).kind == "b":
        rows = [x, ~x, x]
    elif is_inexact(dtype_of(x)):
        rows = [x, x * 0.9, x * 1.1]
    else:
        rows = [x, x + 1, x]
    return side.jnp.stack(rows[:size], axis=axis)


def jit(side: Side, fun: Function, options: Options) -> Function:
    return side.api.jit(fun)


def checkpoint(side: Side, fun: Function, options: Options) -> Function:
    policy = options.choose([None, None, "nothing_saveable", "dots_saveable", "everything_saveable"])
    return side.api.checkpoint(fun, policy=policy and getattr(side.checkpoint_policies, policy))


def smallest(args: Sequence[Any], first: bool) -> int:
    """The real argument with the fewest numbers, or the second in size."""
    found = [i for i, x in enumerate(args) if all(map(is_real, tree_leaves(x)))]
    size = lambda i: (sum([np.size(leaf) for leaf in tree_leaves(args[i])]) or 99, i)
    return sorted(found, key=size)[:2][0 if first else -1]


def jacobian(name: str) -> Callable[[Side, Function, Options], Function]:
    def letter(side: Side, fun: Function, options: Options) -> Function:
        def rows(*args: Any) -> Any:
            return getattr(side.api, name)(realistic(side, fun), smallest(args, options.simple))(*args)

        return rows

    return letter


def hessian(side: Side, fun: Function, options: Options) -> Function:
    def curvature(*args: Any) -> Any:
        loss = lambda *xs: total(side, fun(*xs))
        return side.api.hessian(loss, smallest(args, options.simple))(*args)

    return curvature


LETTERS: dict[str, Callable[[Side, Function, Options], Function]] = {
    "grad": grad,
    "value_and_grad": value_and_grad,
    "jvp": jvp,
    "vjp": vjp,
    "linearize": linearize,
    "vmap": vmap,
    "jit": jit,
    "checkpoint": checkpoint,
    "jacfwd": jacobian("jacfwd"),
    "jacrev": jacobian("jacrev"),
    "hessian": hessian,
}
REVERSE = {"grad", "value_and_grad", "vjp", "jacrev"}
FORWARD = {"jvp", "linearize", "jacfwd"}
ORDERS = {name: 2 if name == "hessian" else int(name in REVERSE | FORWARD) for name in LETTERS}


def order(word: Sequence[Letter]) -> int:
    """How often a word differentiates."""
    return sum([ORDERS[letter.name] for letter in word])


def is_reverse(word: Sequence[Letter]) -> bool:
    """Whether a word has no forward mode in it."""
    return not any(letter.name in FORWARD or letter.name == "hessian" for letter in word)
