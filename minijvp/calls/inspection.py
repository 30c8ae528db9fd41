"""Statistics of a value, of its tangents and of its cotangents, shown while the program runs.

inspect : a -> a
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.calls.callback import DebugCallback
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import traced_by_jax
from minijvp.core.types import Array, ArrayType, Params


class Statistics(NamedTuple):
    """What is known of an array that has elements: of those that are finite, and how many are not.

    Mean and norm are in units of `scale`. Of complex numbers `low` and `high` are those of the absolute value.
    """

    low: Any
    high: Any
    scale: Any
    mean: Any
    norm: Any
    nans: Any
    infinities: Any
    first: Any
    """The place, in row-major order, of the first number that is not finite."""

    @property
    def bad(self) -> int:
        """How many numbers are not finite."""
        return int(self.nans) + int(self.infinities)

    def sizes(self, type: ArrayType) -> str:
        """The numbers, in words."""
        scale = self.scale.item()
        mean, norm = self.mean.item() * scale, self.norm.item() * scale
        if type.size == 1 and not self.bad:
            return f"value {number(self.low if type.dtype.kind in 'iu' else mean)}"
        names = ("min |x|", "max |x|") if type.dtype.kind == "c" else ("min", "max")
        pairs = zip((*names, "mean", "norm"), (self.low, self.high, mean, norm), strict=True)
        return ", ".join([f"{name} {number(x)}" for name, x in pairs])

    def faults(self, type: ArrayType, n_lanes: int) -> str:
        """How many numbers are not finite, and where the first of them is, behind so many batch axes."""
        counts = ((self.nans, "nan"), (self.infinities, "inf"))
        text = f"{self.bad} of {type.size} not finite ({', '.join([f'{int(n)} {kind}' for n, kind in counts if n])})"
        place = list(map(int, np.unravel_index(int(self.first), type.shape))) if type.shape else []
        lane, index = place[:n_lanes], place[n_lanes:]
        at = ([f"lane {', '.join(map(str, lane))}"] if lane else []) + ([str(index)] if index else [])
        return f"{text}, the first at {', '.join(at)}" if at else text


@jax.jit
def statistics(x: Array) -> tuple[Array, ...]:
    """The `Statistics` of an array with elements."""
    is_float = jnp.issubdtype(x.dtype, jnp.inexact)
    if x.dtype.itemsize < 4:
        x = x.astype(jnp.float32 if is_float else jnp.int32)
    nan, finite = jnp.isnan(x), jnp.isfinite(x)
    exact = jnp.abs(x) if jnp.iscomplexobj(x) else x
    exact = jnp.where(finite, exact, exact.ravel()[jnp.argmax(finite.ravel())])
    y = jnp.where(finite, x, 0) if is_float else x.astype(float)
    scale = jnp.max(jnp.abs(y))
    scale = jnp.where(scale >= jnp.finfo(y.dtype).tiny, scale, 1)  # so that finite numbers do not overflow
    mean = jnp.sum(y / scale) / jnp.maximum(jnp.sum(finite), 1)
    norm = jnp.sqrt(jnp.sum(jnp.abs(y / scale) ** 2))
    counts = jnp.sum(nan), jnp.sum(~finite & ~nan), jnp.argmax(~finite.ravel())
    return jnp.min(exact), jnp.max(exact), scale, mean, norm, *counts


@dataclass(frozen=True)
class Report:
    """What shows the statistics of a value: of which name, whether of it or of a derivative, and of which lanes."""

    name: str
    what: str = "primal"
    order: int = 1
    """Which of nested derivatives it belongs to, counted from the innermost."""
    lanes: tuple[int, ...] = ()
    """The leading axes that are batch axes."""

    def __call__(self, type: ArrayType, *found: Any) -> None:
        level = "" if self.order == 1 else f" (derivative {self.order})"
        show(f"{self.name}: {self.what}{level} {self.text(type, found)}")

    def text(self, type: ArrayType, found: Sequence[Any]) -> str:
        """The type of one lane, the lanes, and the statistics, if there are elements."""
        n = len(self.lanes)
        text = repr(ArrayType(type.shape[n:], type.dtype))
        if n:
            text += f" in {' x '.join(map(str, self.lanes))} lane{'' if self.lanes == (1,) else 's'}"
        if not found:
            return f"{text}, empty"
        made = Statistics(*[np.asarray(x)[()] for x in found])
        parts = [made.sizes(type)] if made.bad < type.size else []
        return ", ".join([text, *parts, *([made.faults(type, n)] if made.bad else [])])


def show(line: str) -> None:
    """Print a line."""
    print(line)


def number(x: Any) -> str:
    """A number in four digits, an integer in all of its."""
    return str(x) if np.asarray(x).dtype.kind in "iu" else f"{x:.4g}"


class Watch(DebugCallback):
    """Nothing, but shows the statistics of its argument: under vmap of all lanes together."""

    def impl(self, x: Array, *, callback: Report, ordered: bool) -> tuple[()]:
        type = ArrayType(x.shape, x.dtype)
        found = statistics(x) if x.size else ()
        jax.debug.callback(partial(callback, type), *found, ordered=ordered)
        return ()

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        return self(*args, **in_lanes(axis, params)), ()


class Inspected(Primitive):
    """The argument, whose tangents and cotangents are shown: by `report`, which says what the argument is itself.

    A primal is passed on, and its tangent is inspected; a tangent is shown where it is computed, and its cotangent
    where the tangents are transposed. In either it is linear.
    """

    recomputable = "free"
    own_derivative = True
    has_steps = False

    def has_effects(self, params: Params) -> bool:
        return params["report"].what == "tangent"

    def impl(self, x: Array, *, report: Report, ordered: bool) -> Array:
        if report.what == "tangent":
            watch.impl(x, callback=report, ordered=ordered)
        return x

    def evaluate(self, args: tuple, params: Params) -> Any:
        return super().evaluate(args, params) if traced_by_jax() else self.impl(*args, **params)

    def type_rule(self, x: ArrayType, *, report: Report, ordered: bool) -> ArrayType:
        return x

    def jvp(self, primals: tuple, tangents: tuple, *, report: Report, ordered: bool) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        if report.what == "tangent":
            return self(x, report=report, ordered=ordered), t
        out = self(x, report=replace(report, order=report.order + 1), ordered=ordered)
        return out, None if t is None else self(t, report=replace(report, what="tangent"), ordered=ordered)

    def transpose(self, ct: Array, x: Any, *, report: Report, ordered: bool) -> Array:
        watch(ct, callback=replace(report, what="cotangent"), ordered=ordered)
        return ct

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        return self(*args, **in_lanes(axis, params)), True


watch = Watch("watch")
inspected = Inspected("inspected")


def in_lanes(axis: Axis, params: Params) -> dict[str, Any]:
    """The parameters for a batch."""
    return {k: replace(v, lanes=(axis.size, *v.lanes)) if isinstance(v, Report) else v for k, v in params.items()}


def inspect(x: Array, name: str, ordered: bool) -> Array:
    """An array whose statistics are shown now, and those of its derivatives when they come."""
    report = Report(name)
    watch(x, callback=report, ordered=ordered)
    return inspected(x, report=report, ordered=ordered)
