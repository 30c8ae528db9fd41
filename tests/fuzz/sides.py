"""What the source of a program means on each side: minijvp's functions, JAX's, and JAX's as a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import tree_leaves

from minijvp.core.types import PYTHON_SCALARS, is_inexact, is_key, type_of
from minijvp.trees import replaced
from tests.fuzz.differences import SCALED
from tests.samples import Sample, all_samples

LOOPS = 4
"""Loops of unknown length in a program end after so many turns."""


class Keywords(dict):
    """The keyword arguments of a call, written as its last argument."""


def call(fun: Callable[..., Any], *args: Any) -> Any:
    """`fun(*args)`, where the last argument may hold keyword arguments."""
    return fun(*args[:-1], **args[-1]) if args and isinstance(args[-1], Keywords) else fun(*args)


def spread(dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers between 0.25 and 0.85 in random order, evenly spaced."""
    n = int(np.prod(shape))
    return (0.25 + 0.6 * (np.random.default_rng(n).permutation(n) + 0.5) / max(n, 1)).reshape(shape).astype(dtype)


def leaves(tree: Any) -> list[Any]:
    """The arrays of a result, keys as the numbers that they are."""
    return [x for x in tree_leaves(tree) if hasattr(x, "dtype")]


class Overlay:
    """A module with some functions replaced."""

    def __init__(self, module: Any, **functions: Any):
        self.module = module
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


# JAX cannot reverse a loop of unknown length; one of the longest length that can be left early gives the same.


def bounded_while(condition: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any:
    turn = lambda carry, _: (lax.cond(condition(carry), body, lambda c: c, carry), None)
    return lax.scan(turn, init, None, length=LOOPS)[0]


def bounded_fori(lower: Any, upper: Any, body: Callable[..., Any], init: Any, **options: Any) -> Any:
    if isinstance(lower, int) and isinstance(upper, int):
        return lax.fori_loop(lower, upper, body, init, **options)
    start = (jnp.asarray(lower, jnp.result_type(lower, upper)), init)
    return bounded_while(lambda c: c[0] < upper, lambda c: (c[0] + 1, body(c[0], c[1])), start)[1]


class Side:
    """One of them. `apply` runs a sample of a primitive."""

    def __init__(self, name: str, package: str, apply: Callable[[Sample], Callable[..., Any]], **of_lax: Any):
        self.name = name
        self.api = import_module(package)
        find = lambda module: import_module(f"{package}.{module}")
        self.jnp, self.nn, self.random, self.scipy = map(find, ("numpy", "nn", "random", "scipy"))
        self.lax = Overlay(find("lax"), **of_lax) if of_lax else find("lax")
        for module in ("special", "linalg", "signal", "stats", "ndimage", "fft", "integrate", "cluster.vq"):
            find(f"scipy.{module}")
        find("scipy.sparse.linalg")
        self.checkpoint_policies = self.api.checkpoint_policies
        self.apply = apply

    def __repr__(self) -> str:
        return self.name

    def names(self, widened: bool = False) -> dict[str, Any]:
        """What names in the source of a program mean; `widened` has double for single precision."""
        found = {n: getattr(self, n) for n in ("api", "jnp", "lax", "nn", "random", "scipy", "checkpoint_policies")}
        found |= {"np": np, "call": call, "kw": Keywords, "leaves": leaves, "spread": spread}
        found["sample"] = self.sampler(widened)
        single = {"f32": "float64", "c64": "complex128"} if widened else {"f32": "float32", "c64": "complex64"}
        dtypes = {**single, "f64": "float64", "c128": "complex128"}
        return found | {name: np.dtype(dtype) for name, dtype in dtypes.items()}

    def sampler(self, widened: bool) -> Callable[..., list[Any]]:
        """The function of a program that runs a sample, with its arguments moved a little."""

        def sample(name: str, *moves: Any) -> list[Any]:
            s = SAMPLES[name]
            outs = self.apply(s)(*moved(s, moves, widened and widens(name)))
            outs = leaves(outs if isinstance(outs, (tuple, list)) else [outs])
            return [self.random.key_data(x) if is_key(x.dtype) else x for x in outs]

        return sample

    def function(self, source: str, widened: bool = False) -> Callable[..., Any]:
        """The function f that a source defines."""
        scope = self.names(widened)
        exec(compile(source, "<program>", "exec"), scope)
        return scope["f"]


SAMPLES: dict[str, Sample] = {str(s): s for s in all_samples()}
"""The samples of all primitives, by name."""


@cache
def arguments(name: str) -> list[Any]:
    """The arguments of a sample as arrays; Python scalars stay what they are."""
    return [x if type(x) in PYTHON_SCALARS else jax.device_put(x) for x in SAMPLES[name].args]


def movable(name: str) -> list[Any]:
    """Those that are numbers with a derivative."""
    return [x for x in arguments(name) if type(x) not in PYTHON_SCALARS and is_inexact(type_of(x).dtype)]


STEP = 2.0**-7
"""How far an argument is moved: a little, so that it stays where the function is defined.

The product with a power of two is exact, so it does not matter whether the sum is a fused multiply-add. Without XLA's
optimization one is, and another one of the same numbers is not; and reduce_max and scatter_max, as in JAX, tell by a
comparison with their results which operands these were.
"""


def moved(s: Sample, moves: Sequence[Any], widened: bool) -> list[Any]:
    rest, found = iter(moves), []
    for x in arguments(str(s)):
        if moves and type(x) not in PYTHON_SCALARS and is_inexact(type_of(x).dtype):
            x, move = wide(x) if widened else x, next(rest)
            if move is not None:
                near = x * (1 + STEP * move) if s.primitive.name in SCALED else x + STEP * move
                x = near if near.dtype == x.dtype else near.astype(x.dtype)
        elif widened and type(x) not in PYTHON_SCALARS:
            x = wide(x)
        found.append(x)
    return found


WIDER = {"float32": "float64", "complex64": "complex128"}


def wide(x: Any) -> Any:
    return x.astype(WIDER[x.dtype.name]) if x.dtype.name in WIDER else x


@cache
def widens(name: str) -> bool:
    """Whether the oracle of a sample takes double for single precision, and gives the same in double precision then."""
    args = arguments(name)
    places = [i for i, x in enumerate(args) if type(x) not in PYTHON_SCALARS]
    oracle = lambda *xs: SAMPLES[name].oracle(*replaced(args, places, xs))
    types = lambda change: [
        (x.shape, x.dtype) for x in tree_leaves(jax.eval_shape(oracle, *[change(args[i]) for i in places]))
    ]
    try:
        widened = types(wide)
    except Exception:
        return False
    return widened == [(shape, WIDER.get(dtype.name, dtype)) for shape, dtype in types(lambda x: x)]


OURS = Side("minijvp", "minijvp", lambda s: lambda *xs: s.primitive(*xs, **s.params))
JAX = Side("jax", "jax", lambda s: s.oracle)
JUDGE = Side("judge", "jax", lambda s: s.oracle, while_loop=bounded_while, fori_loop=bounded_fori)
