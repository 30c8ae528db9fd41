"""Samples of primitives: arguments at which rules are checked, directions to move them in, and what is close."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.primitive import Primitive
from minijvp.core.types import PYTHON_SCALARS, Params, is_inexact, is_key, type_of
from minijvp.errors import ArgumentError, RuleError
from minijvp.tools.differences import size
from minijvp.tools.levels import np_array

TOLERANCES = {"bfloat16": 5e-2, "float16": 5e-3, "float32": 2e-5, "complex64": 2e-5}
"""By the dtype of an argument; of the others 1e-10."""


Flat = Callable[..., list[Any]]


@dataclass(frozen=True, eq=False)
class Sample:
    """Arguments at which a primitive is checked, `primitive(*args, **params)`, and what is asked of it there.

    Whatever is not asked needs a reason, `why`: ArgumentError without one.

    >>> import minijvp, numpy as np
    >>> from minijvp.extend import Sample
    >>> str(Sample(minijvp.lax.reduce_sum_p, (np.ones((2, 3), 'float32'),), params={'axes': (0,)}))
    'reduce_sum-float32[2,3]'
    """

    primitive: Primitive
    args: tuple[Any, ...]
    oracle: Callable[..., Any] | None = None
    """A function of JAX or NumPy that should give the same for the arguments; without one, `impl` has the last word."""
    params: Params = field(default_factory=dict)
    label: str = ""
    tolerance: float | None = None
    """Relative and absolute; by default it follows from the dtypes."""
    finite_differences: bool = True
    """False where the function has a kink or a jump close to the sample. Needs `why`."""
    batch: bool = True
    """False for samples whose batches would only repeat another sample's. Needs `why`."""
    differentiable: bool = True
    """False where the primitive refuses to be differentiated. Needs `why`."""
    why: str = ""

    def __post_init__(self) -> None:
        if not self.why and not all(self.claims):
            raise ArgumentError(
                f"the sample {self} omits something, and does not say why.",
                "Whoever reads it should know what the primitive cannot do.",
                "Pass why='...'.",
            )

    @property
    def claims(self) -> tuple[bool, ...]:
        """What is asked of the primitive."""
        return self.finite_differences, self.batch, self.differentiable

    def __str__(self) -> str:
        label = self.label or "-".join(f"{np.asarray(x).dtype}{list(np.shape(x))}" for x in self.args)
        return f"{self.primitive.name}-{label}".replace(" ", "")


def tolerance(sample: Sample) -> float:
    """How much two computations of the sample may differ, relative and absolute."""
    if sample.tolerance is not None:
        return sample.tolerance
    return max((TOLERANCES.get(str(type_of(x).dtype), 1e-10) for x in sample.args), default=1e-10)


def arrays(sample: Sample) -> list[Any]:
    """The arguments as arrays of JAX; Python scalars stay literals."""
    return [x if type(x) in PYTHON_SCALARS else jax.device_put(x) for x in sample.args]


def as_list(out: Any) -> list[Any]:
    """One result or several as a list."""
    return list(out) if isinstance(out, (tuple, list)) else [out]


def call(sample: Sample) -> Flat:
    """The primitive as a function of its arguments that returns a list."""
    return lambda *xs: as_list(sample.primitive(*xs, **sample.params))


def evaluated(sample: Sample) -> Flat:
    """The function that the primitive computes, by JAX."""
    return lambda *xs: as_list(sample.primitive.impl(*xs, **sample.params))


def oracle(sample: Sample) -> Flat:
    """The function that the primitive should compute."""
    function = sample.oracle
    return evaluated(sample) if function is None else lambda *xs: as_list(function(*xs))


def differentiable(sample: Sample) -> list[int]:
    """The positions of the arguments that have derivatives."""
    if not sample.differentiable:
        return []
    return [i for i, x in enumerate(arrays(sample)) if type(x) not in PYTHON_SCALARS and is_inexact(x.dtype)]


def subsets(positions: Sequence[int]) -> Iterator[list[int]]:
    """Each argument alone, and then all together."""
    yield from ([i] for i in positions)
    if len(positions) > 1:
        yield list(positions)


def direction(x: Any, seed: int) -> Any:
    """Normal numbers of the shape and dtype of x."""
    generator = np.random.default_rng([seed, *x.shape])
    v = generator.standard_normal(x.shape)
    v = v + 1j * generator.standard_normal(x.shape) if jnp.iscomplexobj(x) else v
    return jax.device_put(np.asarray(v, x.dtype))


def restricted(fun: Any, xs: Sequence[Any], positions: Sequence[int]) -> tuple[Any, list[Any], list[Any]]:
    """`fun` of the arguments at `positions`, those arguments, and a direction to move them in."""
    primals = [xs[i] for i in positions]
    return fix(fun, xs, positions), primals, [direction(x, i) for i, x in enumerate(primals)]


def fix(fun: Any, xs: Sequence[Any], positions: Sequence[int]) -> Any:
    """`fun` of the arguments at `positions`, the others fixed."""

    def fixed(*some: Any) -> Any:
        full = list(xs)
        for i, x in zip(positions, some, strict=True):
            full[i] = x
        return fun(*full)

    return fixed


def cotangents(outs: Sequence[Any]) -> list[Any]:
    """A cotangent for each result that has one, None for the others."""
    return [direction(x, 9 + i) if is_inexact(x.dtype) else None for i, x in enumerate(outs)]


def inexact(tangents: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
    """The tangents of the results that have one, of their dtypes."""
    return [
        t if t.dtype == x.dtype else t.astype(x.dtype)
        for t, x in zip(tangents, outs, strict=True)
        if is_inexact(x.dtype)
    ]


def require_close(found: Sequence[Any], expected: Sequence[Any], tolerance: float, what: str) -> None:
    """Raise RuleError for values of other types than expected, or that differ by more than the tolerance.

    It is relative to an element, and to the largest one of an array where that is more than 1.
    """
    if len(found) != len(expected):
        raise RuleError(f"{what}: {len(found)} values, expected {len(expected)}.")
    for i, (a, e) in enumerate(zip(found, expected, strict=True)):
        place = f"{what}, result {i}" if len(found) > 1 else what
        types = [f"{jnp.result_type(x)}[{','.join(map(str, jnp.shape(x)))}]" for x in (a, e)]
        if types[0] != types[1]:
            raise RuleError(f"{place}: {types[0]}, expected {types[1]}.")
        if is_key(jnp.result_type(e)):
            a, e = jax.random.key_data(a), jax.random.key_data(e)
        a, e = (np_array(x) if is_inexact(jnp.result_type(x)) else np.asarray(x) for x in (a, e))
        scale = max(1.0, size(e)) if e.dtype.kind in "fc" else 1.0
        same = np.isclose(a, e, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
        if not np.all(same):
            with np.errstate(all="ignore"):
                errors = np.where(
                    same, -1.0, np.nan_to_num(np.abs(np.subtract(a, e, dtype=np.result_type(a, 1.0))), nan=np.inf)
                )
            worst = np.unravel_index(int(np.argmax(errors)), errors.shape)
            index = f"[{', '.join(map(str, worst))}]" if worst else ""
            raise RuleError(
                f"{place}: {a[worst]:.8g}{index}, expected {e[worst]:.8g} (within {tolerance:.1g}; "
                f"{np.sum(~same)} of {same.size} differ)."
            )
