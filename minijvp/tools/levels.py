"""A function at a point, with what is judged of its derivatives there: what check_grads and check_rule consist of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.batching import vmap
from minijvp.calls.jit import jit
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import instantiate
from minijvp.tools.differences import difference_quotients, remainder_slopes, size
from minijvp.tools.reports import Report, precision
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.staging import argument_type, stage
from minijvp.transforms.transpose import transpose_flat

Flat = Callable[..., list[Any]]
"""A function of flat floating arrays that returns such."""

LANES = 3


class Subject:
    """A function of trees as one of the floating leaves of its arguments, which gives those of its result."""

    def __init__(
        self, fun: Any, args: tuple, kwargs: dict[str, Any] | None = None, fixed: Any = frozenset(), name: str = ""
    ):
        self.fun, self.args, self.kwargs = fun, args, kwargs or {}
        self.name = name or trees.function_name(fun)
        self.positions = [i for i in range(len(args)) if i not in fixed]
        moved = [args[i] for i in self.positions]
        where = trees.call_namer(fun, moved, {}, self.positions)
        leaves, self.tree = tree_flatten(moved)
        self.all_leaves = trees.as_arrays(leaves, where)
        self.floating = [i for i, x in enumerate(self.all_leaves) if is_inexact(type_of(x).dtype)]
        self.leaves = [jnp.asarray(self.all_leaves[i]) for i in self.floating]
        self.in_names = [where(i) for i in self.floating]
        self.out_names: list[str] = []
        if not self.leaves:
            raise ArgumentError(
                f"the arguments of {self.name} that were to be checked have no floating leaf.",
                "Only floating numbers have derivatives.",
                "Pass floats (1.0 for 1).",
            )

    def call(self, *xs: Any) -> list[Any]:
        """The floating results for these values of the floating leaves."""
        leaves, args = list(self.all_leaves), list(self.args)
        for i, x in zip(self.floating, xs, strict=True):
            leaves[i] = x
        for i, x in zip(self.positions, tree_unflatten(self.tree, leaves), strict=True):
            args[i] = x
        result = self.fun(*args, **self.kwargs)
        where = trees.result_namer(result, self.name)
        outs = trees.as_arrays(tree_flatten(result)[0], where)
        floating = [i for i, x in enumerate(outs) if is_inexact(type_of(x).dtype)]
        self.out_names[:] = [where(i) for i in floating]
        return [outs[i] for i in floating]


def push(call: Flat) -> Callable[..., Any]:
    """Forward mode: results and tangents, for arguments and tangents."""

    def pushed(xs: Sequence[Any], ts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        outs, tangents = jvp_flat(call, xs, ts)
        return list(outs), [instantiate(t, argument_type(x).strong()) for t, x in zip(tangents, outs, strict=True)]

    return pushed


def pull(call: Flat) -> Callable[..., Any]:
    """Reverse mode: results and cotangents, for arguments and cotangents of results."""

    def pulled(xs: Sequence[Any], cts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        n = len(xs)
        outs, linear, nonzero = linearize_flat(call, xs, [True] * n)
        given = [ct for ct, flag in zip(cts, nonzero, strict=True) if flag]
        found = transpose_flat(linear, [True] * n, [None] * n, given)
        return list(outs), [instantiate(ct, argument_type(x).strong()) for ct, x in zip(found, xs, strict=True)]

    return pulled


DERIVATIVES = {"fwd": push, "rev": pull}
MODES = {"fwd": "forward mode", "rev": "reverse mode"}


class Level:
    """A function of flat arrays at a point, wide directions and cotangents, and what is judged of its derivatives."""

    def __init__(self, call: Flat, xs: Sequence[Any], in_names: Any, out_names: Any, report: Report, seed: int):
        self.call, self.narrow, self.report, self.seed = call, list(xs), report, seed
        self.in_names, self.out_names = list(in_names), list(out_names)
        self.xs, self.eps = widest(call, xs)
        self.generator = np.random.default_rng(seed)
        self.results = jit(call)(*self.xs)
        self.outs = arrays(self.results)
        self.scales = [size(np_array(x)) for x in self.xs]
        self.ts = [direction(self.generator, x) for x in self.narrow]
        self.cts = [direction(self.generator, y) for y in self.results]
        self.jitted = {mode: jit(make(call)) for mode, make in DERIVATIVES.items()}

    def floor(self, i: int, j: int) -> float:
        """The size of a derivative of result j by argument i that could be rounding in the result."""
        return 100 * self.eps * size(self.outs[j]) / max(self.scales[i], 1.0)

    def pair(self, i: int, j: int) -> str:
        return f"{self.out_names[j]} by {self.in_names[i]}"

    def tangents(self, derivative: Any) -> list[list[np.ndarray]]:
        """Tangents of the results along the direction of each argument alone."""
        return [arrays(derivative(self.xs, alone(self.ts, i, self.xs))[1]) for i in range(len(self.xs))]

    def cotangents(self, derivative: Any) -> list[list[np.ndarray]]:
        """Cotangents of the arguments for the cotangent of each result alone."""
        return [arrays(derivative(self.xs, alone(self.cts, j, self.results))[1]) for j in range(len(self.outs))]

    def line(self, call: Flat, i: int) -> Callable[[float], list[np.ndarray]]:
        """The results as functions of how far one goes along the direction of argument i."""
        ts = alone(self.ts, i, self.xs)
        compiled = jit(lambda h, xs, ts: call(*[x + (h * t).astype(x.dtype) for x, t in zip(xs, ts, strict=True)]))
        return lambda h: arrays(compiled(h, self.xs, ts))

    # Against differences

    def check_against_differences(self, order: int, modes: tuple[str, ...], what: str = "") -> None:
        wanted = [difference_quotients(self.line(self.call, i), s, self.eps) for i, s in enumerate(self.scales)]
        tangents = self.tangents(self.jitted["fwd"]) if "fwd" in modes else None
        cotangents = self.cotangents(self.jitted["rev"]) if "rev" in modes else None
        for i, j in self.pairs():
            quotient, uncertain = wanted[i][j]
            how = {"eps": self.eps, "floor": self.floor(i, j), "uncertain": uncertain, "by_differences": True}
            if tangents is not None:
                self.report.compare(f"{what}forward mode", self.pair(i, j), tangents[i][j], quotient, **how)
            if cotangents is not None:
                products = self.products(cotangents, quotient, i, j)
                self.report.compare(f"{what}reverse mode", self.pair(i, j), *products, **how)
        if tangents is not None and cotangents is not None:
            self.check_products(tangents, cotangents, what)
        for mode in modes:
            self.check_compiled(mode, what)
            self.check_narrow(mode, what)
        if order > 1:
            for mode in modes:
                self.derived(mode).check_against_differences(order - 1, modes, f"{what}{MODES[mode]}, then ")

    def pairs(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(len(self.xs)) for j in range(len(self.outs))]

    def products(self, cotangents: Any, tangent: np.ndarray, i: int, j: int) -> tuple[np.ndarray, np.ndarray, float]:
        """<J^T ct, t> and <ct, J t>, and the size of the terms."""
        terms = np_array(self.cts[j]) * tangent
        pulled = cotangents[j][i] * np_array(self.ts[i])
        scale = max(float(np.sum(np.abs(terms))), float(np.sum(np.abs(pulled))))
        return np.real(np.sum(pulled)), np.real(np.sum(terms)), scale

    def check_products(self, tangents: Any, cotangents: Any, what: str = "") -> None:
        for i, j in self.pairs():
            products = self.products(cotangents, tangents[i][j], i, j)
            name = f"{what}<J'ct, t> = <ct, J t>"
            self.report.compare(name, self.pair(i, j), *products, eps=self.eps, floor=self.floor(i, j))

    def check_compiled(self, mode: str, what: str = "") -> None:
        """Compiled derivatives against eager ones, and batched ones against those of each lane."""
        make, jitted = DERIVATIVES[mode](self.call), self.jitted[mode]
        seeds = self.ts if mode == "fwd" else self.cts
        likes = self.xs if mode == "fwd" else self.results
        names = self.out_names if mode == "fwd" else self.in_names
        outs, compiled = map(arrays, jitted(self.xs, cast(seeds, likes)))
        for name, x, y in zip(self.out_names, outs, self.outs, strict=True):
            self.report.compare(f"{what}{MODES[mode]}, value", name, x, y, eps=self.eps)
        eager = arrays(make(self.xs, cast(seeds, likes))[1])
        for name, x, y in zip(names, compiled, eager, strict=True):
            self.report.compare(f"{what}{MODES[mode]}, jitted", name, x, y, eps=self.eps)
        points = [[x * (1 - k / 64) for x in self.xs] for k in range(LANES)]
        lanes = [cast([direction(self.generator, jnp.asarray(s)) for s in seeds], likes) for _ in range(LANES)]
        stacked = [[jnp.stack(column) for column in zip(*rows, strict=True)] for rows in (points, lanes)]
        batched = arrays(jit(vmap(make))(*stacked)[1])
        rows = [arrays(jitted(*lane)[1]) for lane in zip(points, lanes, strict=True)]
        for name, x, ys in zip(names, batched, zip(*rows, strict=True), strict=True):
            self.report.compare(f"{what}{MODES[mode]}, batched", name, x, np.stack(ys), eps=self.eps)

    def check_narrow(self, mode: str, what: str = "") -> None:
        """Derivatives in the dtypes of the arguments against those in the widest."""
        dtypes = {x.dtype for x in self.narrow}
        if dtypes == {x.dtype for x in self.xs}:
            return
        # Squares of larger numbers overflow in float16, and what follows is no derivative but no error of the rule's.
        if np.dtype(np.float16) in dtypes and max(self.scales) > 250:
            return
        eps, derivative = max(map(precision, dtypes)), self.jitted[mode]
        seeds = self.ts if mode == "fwd" else self.cts
        with jax.enable_x64(self.report.x64):
            outs, found = map(arrays, derivative(self.narrow, self.seeds_for(mode, self.narrow)))
        wanted = arrays(derivative(self.xs, self.seeds_for(mode, self.xs))[1])
        noise = [0.0] * len(found)
        for _ in range(2):
            near = [x * (1 + eps * self.generator.choice([-1.0, 1.0], np.shape(x))).astype(x.dtype) for x in self.xs]
            moved = arrays(derivative(near, cast(seeds, self.xs if mode == "fwd" else self.results))[1])
            noise = [max(n, size(a - b)) for n, a, b in zip(noise, moved, wanted, strict=True)]
        lost = max(size(a - b) / (size(b) or 1.0) for a, b in zip(outs, self.outs, strict=True))
        names = self.out_names if mode == "fwd" else self.in_names
        for name, x, y, n in zip(names, found, wanted, noise, strict=True):
            what_dtypes = ", ".join(sorted(d.name for d in dtypes))
            check = f"{what}{MODES[mode]}, {what_dtypes}"
            floor = 10 * (n + lost * size(y)) + 100 * max(float(jnp.finfo(d).tiny) for d in dtypes)
            self.report.compare(check, name, x, y, eps=eps, floor=floor)

    def seeds_for(self, mode: str, xs: Sequence[Any]) -> list[Any]:
        """Tangents of arguments of the dtypes of `xs`, or cotangents of their results."""
        return cast(self.ts, xs) if mode == "fwd" else cast(self.cts, self.call(*xs))

    def derived(self, mode: str) -> Level:
        """The derivative along fixed directions as a function of the point."""
        if mode == "fwd":
            call = lambda *xs: push(self.call)(xs, cast(self.ts, xs))[1]
            names = [f"the tangent of {name}" for name in self.out_names]
        else:
            call = lambda *xs: pull(self.call)(xs, self.seeds_for("rev", xs))[1]
            names = [f"the cotangent of {name}" for name in self.in_names]
        return Level(call, self.narrow, self.in_names, names, self.report, self.seed + 1)

    # Against the function that has the rule

    def check_against_function(self, plain: Flat) -> None:
        for name, x, y in zip(self.out_names, self.outs, arrays(jit(plain)(*self.xs)), strict=True):
            self.report.compare("value", name, x, y, eps=self.eps)
        judges = {mode: jit(make(plain)) for mode, make in DERIVATIVES.items()}
        wanted = self.judged_tangents(plain, judges["fwd"])
        try:
            tangents = self.tangents(self.jitted["fwd"])
        except MissingRuleError as error:
            self.report.note(f"forward mode is refused: {error.what}")
            tangents = None
        if tangents is not None:
            self.check_tangents(tangents, wanted, plain)
            self.check_compiled("fwd")
            self.check_narrow("fwd")
        cotangents = self.cotangents(self.jitted["rev"])
        self.check_cotangents(cotangents, wanted, judges["rev"])
        if tangents is not None:
            self.check_products(tangents, cotangents)
        self.check_compiled("rev")
        self.check_narrow("rev")

    def judged_tangents(self, plain: Flat, judge: Any) -> list[list[tuple[np.ndarray, float]]]:
        """Tangents of the function, with an estimate of their error: by differences where it has no derivative."""
        try:
            return [[(t, 0.0) for t in row] for row in self.tangents(judge)]
        except MissingRuleError as error:
            self.report.note(f"the judge is differences, since {error.what}")
            return [difference_quotients(self.line(plain, i), s, self.eps) for i, s in enumerate(self.scales)]

    def check_tangents(self, tangents: Any, wanted: Any, plain: Flat) -> None:
        for i in range(len(self.xs)):
            slopes = remainder_slopes(self.line(plain, i), tangents[i], self.scales[i], self.eps)
            for j, slope in enumerate(slopes):
                t, uncertain = wanted[i][j]
                how = {"eps": self.eps, "floor": self.floor(i, j), "uncertain": uncertain, "lenient": True}
                self.report.compare("forward mode", self.pair(i, j), tangents[i][j], t, **how)
                self.report.slope("Taylor remainder", self.pair(i, j), slope, self.eps)

    def check_cotangents(self, cotangents: Any, wanted: Any, judge: Any) -> None:
        try:
            judged = self.cotangents(judge)
        except MissingRuleError:
            judged = None
        for i, j in self.pairs():
            how = {"eps": self.eps, "floor": self.floor(i, j), "lenient": True}
            if judged is not None:
                self.report.compare("reverse mode", self.pair(i, j), cotangents[j][i], judged[j][i], **how)
            t, uncertain = wanted[i][j]
            products = self.products(cotangents, t, i, j)
            how["uncertain"] = uncertain * float(np.sum(np.abs(np_array(self.cts[j]))))
            self.report.compare("<J'ct, t> = <ct, J_f t>", self.pair(i, j), *products, **how)


def widest_types(subject: Subject) -> Any:
    """A context manager: there are 64-bit types inside, if the function works with them."""
    try:
        with jax.enable_x64(True):
            stage(subject.call, list(map(argument_type, map(widened, subject.leaves))))
    except Exception:
        return nullcontext()
    return jax.enable_x64(True)


def widest(call: Flat, xs: Sequence[Any]) -> tuple[list[Any], float]:
    """The arguments in the widest dtype in which the function takes them, and the precision of its computation."""
    for candidates in (list(map(widened, xs)), list(xs)):
        try:
            jaxpr = stage(call, list(map(argument_type, candidates)))
        except Exception:
            if candidates[0] is xs[0]:
                raise
            continue
        return candidates, max([precision(x.dtype) for x in candidates] + list(map(precision, computed(jaxpr))))
    return list(xs), max(precision(x.dtype) for x in xs)


def widened(x: Any) -> Any:
    """A floating array in the widest dtype of its kind."""
    wide = jax.dtypes.canonicalize_dtype(np.complex128 if jnp.iscomplexobj(x) else np.float64)
    return x if x.dtype == wide else x.astype(wide)


def computed(jaxpr: Jaxpr) -> list[Any]:
    """The floating dtypes of what a program computes."""
    found = [v.type.dtype for e in jaxpr for v in e.outputs if is_inexact(v.type.dtype)]
    return found + [dtype for e in jaxpr for inner in e.programs for dtype in computed(inner)]


def direction(generator: np.random.Generator, x: Any) -> Any:
    """A random array of the shape and dtype of `x`."""
    t = generator.standard_normal(x.shape)
    return jnp.asarray(t + 1j * generator.standard_normal(x.shape) if jnp.iscomplexobj(x) else t, x.dtype)


def cast(values: Sequence[Any], likes: Sequence[Any]) -> list[Any]:
    """The values in the dtypes of others."""
    return [jnp.asarray(v, type_of(x).dtype) for v, x in zip(values, likes, strict=True)]


def alone(values: Sequence[Any], i: int, likes: Sequence[Any]) -> list[Any]:
    """One of the values, zeros for the others, in the dtypes of `likes`."""
    return cast([v if k == i else jnp.zeros_like(v) for k, v in enumerate(values)], likes)


def np_array(x: Any) -> np.ndarray:
    """An array of numbers in float64 or complex128."""
    x = np.asarray(x)
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def arrays(xs: Sequence[Any]) -> list[np.ndarray]:
    """Arrays of numbers in float64 or complex128."""
    return list(map(np_array, xs))
