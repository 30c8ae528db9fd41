"""Derivatives against mpmath: how far, in units in the last place, those of elementwise functions are from the truth.

`REFERENCES` has the primitives, `COMPOSED` functions of minijvp.numpy, nn and scipy.special: for each argument the
derivative as a function of mpmath, and the points at which both are evaluated, over the whole domain.
`python -m tests.operations.accuracy` measures them, and writes the table of docs/accuracy.md anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

import minijvp
import minijvp.numpy as mnp
from minijvp import nn
from minijvp.core.primitive import registry
from minijvp.operations import elementwise
from minijvp.scipy import special

DOCUMENT = Path(__file__).parents[2] / "docs" / "accuracy.md"
DTYPES = (np.float32, np.float64)
DIGITS = 60
BOUND = 16
"""In units in the last place of the derivative, in both precisions, where `Reference.worse` says nothing else."""

Slope = Callable[..., Any]
REFUSED = "refused"
"""In place of a derivative that the primitive says it does not have."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A function, its derivatives by mpmath, one for each argument (None: it is flat), and where to compare them."""

    name: str
    slopes: Sequence[Slope | str | None]
    points: Callable[[Any], list[tuple[float, ...]]]
    function: Callable[..., Any] | None = None
    """By default, the primitive of that name."""
    value: Slope | None = None
    """The function by mpmath: how good XLA's own is."""
    params: dict[str, Any] = field(default_factory=dict)
    flushed: Slope | None = None
    """By how many of the smallest normal numbers it may be off, for the arguments: a factor is flushed to zero."""
    worse: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Bounds in float32 and float64 of what is worse than BOUND, with the reasons."""
    label: str = ""
    dear: bool = False
    """Whether it takes so long to compile that the tests do it in one precision only."""

    def __str__(self) -> str:
        return self.label or self.name

    def __call__(self, *xs: Any) -> Any:
        return (self.function or registry[self.name])(*xs, **self.params)

    def bound(self, dtype: Any) -> float:
        return max([BOUND, *[pair[DTYPES.index(dtype)] for pair in self.worse.values()]])

    def arguments(self, dtype: Any) -> list[np.ndarray]:
        """The points, an array for each argument."""
        return [np.array(column, dtype) for column in zip(*self.points(dtype), strict=True)]

    def truth(self, function: Slope, dtype: Any) -> list[Any]:
        with mp.workdps(DIGITS):
            return [function(*map(mp.mpf, map(float, point))) for point in zip(*self.arguments(dtype), strict=True)]


# Errors


class Error(NamedTuple):
    """The largest one, in units in the last place, and where it is."""

    ulps: float
    at: tuple[float, ...]


def units(found: float, truth: Any, limits: Any, flushed: float = 0.0) -> float:
    """How many units in the last place of the truth a number is off.

    What is smaller than the smallest normal number may be zero, as XLA has it on CPUs, and so may be, with `flushed`,
    what is not that much larger. What is larger than the largest number has to be infinite.
    """
    tiny, largest = mp.mpf(float(limits.tiny)), mp.mpf(float(limits.max))
    if math.isnan(found):
        return math.inf
    if mp.isinf(truth) or abs(truth) > largest:
        return 0.0 if math.isinf(found) and (found > 0) == (truth > 0) else math.inf if mp.isinf(truth) else 1.0
    if math.isinf(found):
        return 0.0 if abs(truth) > largest * (1 - 4 * float(limits.eps)) else math.inf
    error = abs(mp.mpf(found) - truth)
    if error <= tiny * max(flushed, 1 if abs(truth) <= tiny else 0):
        return 0.0
    exponent = max(mp.frexp(truth)[1] - 1 if truth else limits.minexp, int(limits.minexp))
    return float(error / mp.mpf(2) ** (exponent - limits.nmant))


def largest_error(reference: Reference, found: np.ndarray, truth: Sequence[Any], dtype: Any) -> Error:
    points = list(zip(*reference.arguments(dtype), strict=True))
    limits = np.finfo(dtype)
    with mp.workdps(DIGITS):
        errors = [
            units(float(f), t, limits, float(reference.flushed(*map(float, p))) if reference.flushed else 0.0)
            for f, t, p in zip(found, truth, points, strict=True)
        ]
    worst = int(np.argmax(errors))
    return Error(errors[worst], points[worst])


def error_of_function(reference: Reference, dtype: Any) -> Error | None:
    """How far off the function itself is."""
    if reference.value is None:
        return None
    found = np.asarray(jax.jit(lambda *xs: reference(*xs))(*reference.arguments(dtype)))
    return largest_error(reference, found, reference.truth(reference.value, dtype), dtype)


def derivatives(reference: Reference, position: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The derivative in one argument: by forward mode, eagerly, and by reverse mode, compiled."""
    xs = list(map(jnp.asarray, reference.arguments(dtype)))

    def fun(x: Any) -> Any:
        return reference(*xs[:position], x, *xs[position + 1 :])

    x, ones = xs[position], jnp.ones_like(xs[position])
    ahead = minijvp.jvp(fun, (x,), (ones,))[1]
    back = minijvp.jit(lambda x: minijvp.vjp(fun, x)[1](ones)[0])(x)
    return np.asarray(ahead), np.asarray(back)


def errors(reference: Reference, position: int, dtype: Any) -> tuple[Error, Error]:
    """The largest errors of a derivative, by forward and by reverse mode."""
    slope = reference.slopes[position]
    assert callable(slope)
    truth = reference.truth(slope, dtype)
    ahead, back = (largest_error(reference, f, truth, dtype) for f in derivatives(reference, position, dtype))
    return ahead, back


# Second derivatives: a rule that is right at a point may not be differentiable there


def second_derivatives(reference: Reference, i: int, j: int, points: Sequence[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """The derivative in arguments i and then j: by forward mode twice, and by reverse mode twice."""
    xs = [jnp.array(column) for column in zip(*points, strict=True)]
    ones = jnp.ones_like(xs[0])

    def ahead(fun: Any, n: int) -> Any:
        return lambda *xs: minijvp.jvp(lambda x: fun(*xs[:n], x, *xs[n + 1 :]), (xs[n],), (ones,))[1]

    def back(fun: Any, n: int) -> Any:
        return lambda *xs: minijvp.vjp(lambda x: fun(*xs[:n], x, *xs[n + 1 :]), xs[n])[1](ones)[0]

    return np.asarray(ahead(ahead(reference, i), j)(*xs)), np.asarray(back(back(reference, i), j)(*xs))


def slope_of_slope(slope: Slope, j: int, point: tuple[float, ...]) -> float | None:
    """The derivative of a derivative by mpmath; None at a pole or a kink."""
    with mp.workdps(DIGITS):
        xs, h = [mp.mpf(x) for x in point], mp.mpf(10) ** -18
        try:
            low, mid, high = [slope(*xs[:j], xs[j] + d, *xs[j + 1 :]) for d in (-h, 0, h)]
        except (ZeroDivisionError, ValueError):
            return None
        before, after = (mid - low) / h, (high - mid) / h
        smooth = isinstance(after, mp.mpf) and abs(before - after) < 1e-6 * (1 + abs(before))
        return float((before + after) / 2) if smooth else None


# Points

PLAIN = {0.0, 0.5, 1.0, 2.0, 8.0, -0.5, -1.0, -2.0, -8.0}
"""Where rules change from one formula to another, and where programs begin."""

Region = Callable[[Any], list[float]]


def spread(low: float, high: float, n: int) -> list[float]:
    """Numbers of all sizes between two, at equal distances on a logarithmic scale."""
    return [math.exp(x) for x in np.linspace(math.log(low), math.log(high), n) if x < math.log(high)] + [high]


def line(dtype: Any) -> list[float]:
    """Numbers from all over the line: of every size, dense around 1, and where functions over- and underflow."""
    limits = np.finfo(dtype)
    low, high = float(limits.tiny), float(limits.max)
    sizes = [*spread(low, high, 24), *spread(1e-3, 1e3, 48), *np.linspace(0.5, 20, 40).tolist()]
    sizes += [math.pi / 2, math.pi, 1.5 * math.pi, 1.0, 0.5, high, low]
    sizes += [x for x in (43.9, 44.2, 87, 88.5, 89, 100, 354.2, 708, 709.5, 745, 1e4) if x < high]
    numbers = np.array(sizes, dtype)
    numbers = numbers[(np.abs(numbers) >= limits.tiny) & np.isfinite(numbers)]
    return sorted({0.0, *map(float, numbers), *map(float, -numbers)})


def where(condition: Callable[[float], bool], *more: Callable[[Any], Iterable[float]]) -> Callable[[Any], list]:
    """The points of the line, and more, that satisfy a condition; of a function of one argument."""

    def points(dtype: Any) -> list[tuple[float]]:
        numbers = {float(dtype(x)) for region in (line, *more) for x in region(dtype)}
        return [(x,) for x in sorted(numbers) if condition(x)]

    return points


def towards(*ends: float) -> Callable[[Any], list[float]]:
    """Numbers ever closer to some that are not zero, up to the next floats."""
    return lambda dtype: [
        x for end in ends for n in range(0, 22, 3) for e in [np.finfo(dtype).eps * 2**n] for x in (end - e, end + e)
    ]


def pairs(condition: Callable[[float, float], bool], *chosen: Sequence[float]) -> Callable[[Any], list]:
    """Pairs, each of two from a coarser line, or of what is given for each argument, that satisfy a condition."""

    def points(dtype: Any) -> list[tuple[float, ...]]:
        limits = np.finfo(dtype)
        sizes = [*spread(float(limits.tiny) * 1.01, float(limits.max) / 1.01, 7), 0.01, 0.3, 1, 1.5, 2.5, 7, 33.3, 79.9]
        coarse = [0.0, *sizes, *[-x for x in sizes]]
        columns = chosen or (coarse, coarse)
        found = {tuple([float(dtype(x)) for x in pair]) for pair in product(*columns)}
        return [p for p in sorted(found) if condition(*p)]

    return points


def everywhere(*xs: float) -> bool:
    return True


EVERYWHERE = where(everywhere)
POSITIVE = where(lambda x: x > 0, towards(1))
NONZERO = where(lambda x: x != 0)
INSIDE = where(lambda x: abs(x) < 1, towards(1, -1))
FRACTIONS = where(lambda x: 0 < x < 1, towards(1))


def is_no_pole(x: float) -> bool:
    return abs(x) < 1e5 and not (x <= 0 and x == int(x))


# Functions of mpmath, for arguments of every size


def exp(x: Any) -> Any:
    return mp.mpf(0) if x < -1e5 else mp.exp(x) if x < 1e5 else mp.inf


def logistic(x: Any) -> Any:
    return 1 / (1 + exp(-x))


def bell(x: Any) -> Any:
    """1 / cosh(x)**2."""
    return 4 * exp(-2 * abs(x)) / (1 + exp(-2 * abs(x))) ** 2


def gaussian(x: Any) -> Any:
    return exp(-x * x)


def cbrt(x: Any) -> Any:
    return mp.sign(x) * mp.cbrt(abs(x))


def sinh(x: Any) -> Any:
    return mp.sign(x) * mp.inf if abs(x) > 1e5 else mp.sinh(x)


def cosh(x: Any) -> Any:
    return mp.inf if abs(x) > 1e5 else mp.cosh(x)


def erf_inv(x: Any) -> Any:
    rest = 1 - abs(x)
    if rest > 0.1:
        return mp.erfinv(x)
    log_rest = mp.log(rest)
    return mp.sign(x) * mp.findroot(lambda y: mp.log(mp.erfc(y)) - log_rest, mp.sqrt(-log_rest), tol=1e-50)


@cache
def bessel(n: int, x: Any) -> Any:
    """The modified Bessel function of the first kind, of order 0 or 1, times exp(-|x|)."""
    x = abs(x)
    return mp.besseli(n, x) * mp.exp(-x) if x < 100 else _hankel(x, lambda k: _coefficient(n, k))


@cache
def bessel_difference(x: Any) -> Any:
    x = abs(x)
    if x < 100:
        return (mp.besseli(0, x) - mp.besseli(1, x)) * mp.exp(-x)
    return _hankel(x, lambda k: _coefficient(0, k) - _coefficient(1, k))


def _coefficient(n: int, k: int) -> Any:
    """Of Hankel's series, A&S 9.7.1."""
    return mp.fprod([-(4 * n * n - (2 * j - 1) ** 2) / (8 * mp.mpf(j)) for j in range(1, k + 1)])


def _hankel(x: Any, coefficient: Callable[[int], Any]) -> Any:
    return mp.fsum([coefficient(k) / x**k for k in range(40)]) / mp.sqrt(2 * mp.pi * x)


def i1e_slope(x: Any) -> Any:
    return bessel_difference(x) - (bessel(1, x) / abs(x) if x else mp.mpf(0.5))


def normal_density(x: Any) -> Any:
    return exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def normal_distribution(x: Any) -> Any:
    return mp.mpf(x > 0) if abs(x) > 1e3 else mp.erfc(-x / mp.sqrt(2)) / 2


def ndtri(p: Any) -> Any:
    return mp.sqrt(2) * erf_inv(2 * p - 1) if p > 0.05 else -_upper_quantile(p)


def _upper_quantile(p: Any) -> Any:
    log_p = mp.log(p)
    return mp.findroot(lambda y: mp.log(mp.erfc(y / mp.sqrt(2)) / 2) - log_p, mp.sqrt(-2 * log_p), tol=1e-50)


def gamma_density(a: Any, x: Any) -> Any:
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


def lower_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


@cache
def lower_gamma_in_a(a: Any, x: Any, order: int = 1) -> Any:
    """The derivative in `a` of an order, by differences."""
    with mp.workdps(3 * DIGITS):
        h = mp.mpf(10) ** -40
        part = (lambda b: -upper_gamma(b, x)) if x > a else (lambda b: lower_gamma(b, x))
        terms = [(-1) ** k * mp.binomial(order, k) * part(a + (order - 2 * k) * h) for k in range(order + 1)]
        return sum(terms) / (2 * h) ** order


def upper_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, x, mp.inf, regularized=True)


def log_excess(a: Any, x: Any) -> Any:
    return mp.log(x) - mp.digamma(a)


def gamma_ratio(a: Any, x: Any, order: int) -> Any:
    return lower_gamma_in_a(a, x, order) / gamma_density(a, x)


def sample_slope(a: Any, x: Any) -> Any:
    """Of a number with the gamma distribution, by its parameter."""
    return -gamma_ratio(a, x, 1)


def beta_density(a: Any, b: Any, x: Any) -> Any:
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    return mp.exp((a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - log_beta)


def tanh_of_gelu(x: Any) -> tuple[Any, Any]:
    """What the approximate gelu takes the tanh of, and the derivative of that."""
    c, scale = mp.mpf("0.044715"), mp.sqrt(2 / mp.pi)
    return scale * (x + c * x**3), scale * (1 + 3 * c * x * x)


def gelu_slope(x: Any) -> Any:
    u, du = tanh_of_gelu(x)
    return logistic(2 * u) + x * du * bell(u) / 2


def softplus(x: Any) -> Any:
    return x if x > 1e4 else mp.log1p(exp(x))


def sinc_slope(x: Any) -> Any:
    if abs(x) < 1e-12:
        return -(mp.pi**2) * x / 3
    return (mp.pi * x * mp.cos(mp.pi * x) - mp.sin(mp.pi * x)) / (mp.pi * x * x)


# Second derivatives: a sample, at the points where they are most easily lost

SECOND = {
    "tanh": lambda x: -2 * mp.tanh(x) * bell(x),
    "logistic": lambda x: -mp.tanh(x / 2) * bell(x / 2) / 4,
    "expm1": exp,
    "asinh": lambda x: -x / mp.sqrt(1 + x * x) ** 3,
    "erf": lambda x: -4 * x / mp.sqrt(mp.pi) * gaussian(x),
    "nn.softplus": lambda x: bell(x / 2) / 4,
    "nn.log_sigmoid": lambda x: -bell(x / 2) / 4,
}


GAMMA_A, GAMMA_X = (0.1, 0.5, 1, 3.5, 20, 100), (1e-3, 0.1, 1, 3.3, 10, 20, 50, 90)

# Reasons why a derivative is worse than BOUND

XLA = "as XLA's own {}"
CROSSING = "where it crosses 0, as a difference of two terms"

PRIMITIVES = [
    Reference("mul", [lambda x, y: y, lambda x, y: x], pairs(everywhere)),
    Reference("absorbing_mul", [lambda x, y: y, lambda x, y: x], pairs(everywhere)),
    Reference("div", [lambda x, y: 1 / y, lambda x, y: -x / y**2], pairs(lambda x, y: y != 0)),
    Reference("max", [lambda x, y: x > y, lambda x, y: y > x], pairs(lambda x, y: x != y)),
    Reference("min", [lambda x, y: x < y, lambda x, y: y < x], pairs(lambda x, y: x != y)),
    Reference(
        "rem",
        [lambda x, y: mp.mpf(1), lambda x, y: -(mp.floor if x / y > 0 else mp.ceil)(x / y)],
        pairs(lambda x, y: y != 0 and abs(x) < 1e4 * abs(y)),
    ),
    Reference("nextafter", [lambda x, y: mp.mpf(1), None], pairs(everywhere)),
    Reference("abs", [mp.sign], NONZERO),
    Reference("sign", [lambda x: mp.mpf(0)], NONZERO),
    Reference("square", [lambda x: 2 * x], EVERYWHERE),
    Reference("one_minus_square", [lambda x: -2 * x], EVERYWHERE),
    Reference("times_one_minus", [lambda x: 1 - 2 * x], EVERYWHERE),
    Reference("sqrt", [lambda x: 1 / (2 * mp.sqrt(x))], POSITIVE),
    Reference("rsqrt", [lambda x: -1 / (2 * x * mp.sqrt(x))], POSITIVE),
    Reference(
        "cbrt",
        [lambda x: 1 / (3 * cbrt(x) ** 2)],
        NONZERO,
        value=cbrt,
        worse={XLA.format("cbrt") + ", in JAX 0.10 without fusions": (32, 512)},
    ),
    *(
        Reference(
            "integer_pow",
            [lambda x, y=y: y * x ** (y - 1)],
            NONZERO,
            params={"y": y},
            flushed=lambda x, y=y: abs(y),
            label=f"integer_pow, y={y}",
        )
        for y in (2, 3, 7, -1, -2)
    ),
    Reference(
        "pow",
        [lambda x, y: y * mp.power(x, y - 1), lambda x, y: mp.power(x, y) * mp.log(x)],
        pairs(lambda x, y: x > 0 and abs(y) < 1e4 and abs(y * math.log(x)) < 2e3),
        flushed=lambda x, y: max(abs(y) * max(1, 1 / x), abs(math.log(x))),
    ),
    Reference("exp", [exp], EVERYWHERE, value=exp),
    Reference(
        "exp2",
        [lambda x: exp(x * mp.log(2)) * mp.log(2)],
        EVERYWHERE,
        value=lambda x: exp(x * mp.log(2)),
        worse={XLA.format("exp2"): (64, 512)},
    ),
    Reference("expm1", [exp], EVERYWHERE),
    Reference("log", [lambda x: 1 / x], POSITIVE),
    Reference("log1p", [lambda x: 1 / (1 + x)], where(lambda x: x > -1, towards(-1))),
    Reference("share", [lambda x, y: bell((x - y) / 2) / 4, lambda x, y: -bell((x - y) / 2) / 4], pairs(everywhere)),
    Reference("logaddexp", [lambda x, y: logistic(x - y), lambda x, y: logistic(y - x)], pairs(everywhere)),
    Reference("logistic", [lambda x: bell(x / 2) / 4], EVERYWHERE, value=logistic),
    Reference("sin", [mp.cos], EVERYWHERE),
    Reference("cos", [lambda x: -mp.sin(x)], EVERYWHERE),
    Reference("tan", [lambda x: mp.sec(x) ** 2], EVERYWHERE),
    Reference("asin", [lambda x: 1 / mp.sqrt(1 - x * x)], INSIDE),
    Reference("acos", [lambda x: -1 / mp.sqrt(1 - x * x)], INSIDE),
    Reference("atan", [lambda x: 1 / (1 + x * x)], EVERYWHERE),
    Reference("sinh", [cosh], EVERYWHERE, value=sinh, worse={XLA.format("cosh"): (32, 512)}),
    Reference("cosh", [sinh], EVERYWHERE, value=cosh, worse={XLA.format("sinh"): (32, 512)}),
    Reference("tanh", [bell], EVERYWHERE, value=mp.tanh),
    Reference("asinh", [lambda x: 1 / mp.sqrt(1 + x * x)], EVERYWHERE),
    Reference("asinh_slope", [lambda x: -x / mp.sqrt(1 + x * x) ** 3], EVERYWHERE),
    Reference("acosh", [lambda x: 1 / mp.sqrt(x * x - 1)], where(lambda x: x > 1, towards(1))),
    Reference("atanh", [lambda x: 1 / (1 - x * x)], INSIDE),
    Reference(
        "atan2",
        [lambda x, y: y / (x * x + y * y), lambda x, y: -x / (x * x + y * y)],
        pairs(lambda x, y: x != 0 or y != 0),
    ),
    Reference(
        "atan2_slope",
        [lambda x, y: (y * y - x * x) / (x * x + y * y) ** 2, lambda x, y: -2 * x * y / (x * x + y * y) ** 2],
        pairs(lambda x, y: 1e-9 < max(abs(x), abs(y)) < 1e9),
    ),
    Reference(
        "hypot",
        [lambda x, y: x / mp.sqrt(x * x + y * y), lambda x, y: y / mp.sqrt(x * x + y * y)],
        pairs(lambda x, y: x != 0 or y != 0),
    ),
    Reference(
        "hypot_slope",
        [lambda x, y: y * y / mp.sqrt(x * x + y * y) ** 3, lambda x, y: -x * y / mp.sqrt(x * x + y * y) ** 3],
        pairs(lambda x, y: 1e-9 < max(abs(x), abs(y)) < 1e9 and abs(x * y) > 1e-9),
    ),
    Reference("gaussian", [lambda x: -2 * x * gaussian(x)], EVERYWHERE, flushed=lambda x: 2 * abs(x)),
    Reference("erf", [lambda x: 2 / mp.sqrt(mp.pi) * gaussian(x)], EVERYWHERE, flushed=lambda x: 2),
    Reference("erfc", [lambda x: -2 / mp.sqrt(mp.pi) * gaussian(x)], EVERYWHERE, flushed=lambda x: 2),
    Reference(
        "erf_inv",
        [lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(erf_inv(x) ** 2)],
        INSIDE,
        value=erf_inv,
        worse={"XLA's own erf_inv, whose error in y counts 2 y**2 times": (1024, 2e6)},
    ),
    Reference(
        "lgamma", [mp.digamma], where(is_no_pole), worse={XLA.format("digamma") + ", around its zeros": (256, 1024)}
    ),
    Reference("digamma", [lambda x: mp.polygamma(1, x)], where(is_no_pole)),
    Reference(
        "polygamma",
        [REFUSED, lambda m, x: mp.polygamma(int(m) + 1, x)],
        pairs(everywhere, (0, 1, 2, 3, 5, 10), (1e-3, 0.01, 0.1, 0.5, 1, 1.5, 2, 3.7, 10, 33, 100)),
        worse={XLA.format("polygamma"): (64, 64)},
    ),
    Reference(
        "zeta",
        [REFUSED, lambda s, q: -s * mp.zeta(s + 1, q)],
        pairs(everywhere, (1.1, 1.5, 2, 3, 5.5, 10), (1e-3, 0.01, 0.1, 0.5, 1, 1.5, 2, 3.7, 10, 33, 100)),
    ),
    *(
        Reference(
            name,
            [lambda a, x, s=s: s * lower_gamma_in_a(a, x), lambda a, x, s=s: s * gamma_density(a, x)],
            pairs(everywhere, GAMMA_A, GAMMA_X),
            value=lambda a, x, s=s: lower_gamma(a, x) if s > 0 else upper_gamma(a, x),
            flushed=lambda a, x: 1e4,
            worse={f"XLA's own {name}, an exponential of large terms that cancel": (1024, 2048)},
        )
        for name, s in (("igamma", 1), ("igammac", -1))
    ),
    Reference(
        "igamma_grad_a",
        [lambda a, x: lower_gamma_in_a(a, x, 2), lambda a, x: gamma_density(a, x) * log_excess(a, x)],
        pairs(everywhere, GAMMA_A, GAMMA_X),
        value=lower_gamma_in_a,
        flushed=lambda a, x: 1e4,
        worse={"as igamma; " + CROSSING: (1 << 14, 1 << 15)},
    ),
    Reference(
        "random_gamma_grad",
        [
            lambda a, x: -gamma_ratio(a, x, 2) - sample_slope(a, x) * log_excess(a, x),
            lambda a, x: -log_excess(a, x) - sample_slope(a, x) * ((a - 1) / x - 1),
        ],
        pairs(lambda a, x: 0.3 * a < x < 2 * a + 1, (0.5, 1, 1.5, 3, 7.3, 20), (0.2, 0.5, 1, 2, 3.3, 7, 10, 20, 30)),
        value=sample_slope,
        worse={XLA.format("random_gamma_grad") + "; " + CROSSING: (4096, 4096)},
    ),
    Reference(
        "igamma_ratio",
        [
            lambda a, x: gamma_ratio(a, x, 3) - gamma_ratio(a, x, 2) * log_excess(a, x),
            lambda a, x: log_excess(a, x) ** 2 - mp.polygamma(1, a) - gamma_ratio(a, x, 2) * ((a - 1) / x - 1),
        ],
        pairs(lambda a, x: 0.3 * a < x < 2 * a + 1, (0.5, 1, 1.5, 3, 7.3, 20), (0.2, 0.5, 1, 2, 3.3, 7, 10, 20, 30)),
        value=lambda a, x: gamma_ratio(a, x, 2),
        params={"order": 2},
        worse={CROSSING: (4096, 4096)},
    ),
    Reference(
        "regularized_incomplete_beta",
        [REFUSED, REFUSED, beta_density],
        pairs(
            everywhere,
            (0.1, 0.5, 1, 2.5, 10, 100),
            (0.1, 0.5, 1, 2.5, 10, 100),
            (1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.999),
        ),
        value=lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True),
        flushed=lambda a, b, x: 1e4,
        worse={"XLA's own betainc, an exponential of large terms that cancel": (1024, 4096)},
    ),
    Reference("bessel_i0e", [lambda x: -mp.sign(x) * bessel_difference(x)], NONZERO),
    Reference("bessel_i1e", [i1e_slope], EVERYWHERE, worse={CROSSING: (1024, 1024)}),
    Reference(
        "bessel_difference",
        [lambda x: -mp.sign(x) * (2 * bessel_difference(x) - bessel(1, x) / abs(x))],
        where(lambda x: 1e-2 < abs(x) < 8),
        worse={"two terms that cancel for large x": (256, 256)},
    ),
]
PRIMITIVES += [  # functions of x and of a result, in x
    Reference("tanh_slope", [SECOND["tanh"]], EVERYWHERE, lambda x: elementwise.tanh_slope(x, elementwise.tanh(x))),
    Reference(
        "logistic_slope",
        [SECOND["logistic"]],
        EVERYWHERE,
        lambda x: elementwise.logistic_slope(x, elementwise.logistic(x)),
    ),
]

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805
"""Of selu, as jax.nn has them."""

COMPOSED = [
    Reference("numpy.log2", [lambda x: 1 / (x * mp.log(2))], POSITIVE, mnp.log2),
    Reference("numpy.log10", [lambda x: 1 / (x * mp.log(10))], POSITIVE, mnp.log10),
    Reference("numpy.deg2rad", [lambda x: mp.pi / 180], EVERYWHERE, mnp.deg2rad),
    Reference("numpy.rad2deg", [lambda x: 180 / mp.pi], EVERYWHERE, mnp.rad2deg),
    Reference("numpy.reciprocal", [lambda x: -1 / x**2], NONZERO, mnp.reciprocal),
    Reference(
        "numpy.logaddexp2",
        [lambda x, y: logistic((x - y) * mp.log(2)), lambda x, y: logistic((y - x) * mp.log(2))],
        pairs(lambda x, y: abs(x) < 1e4 and abs(y) < 1e4),
        mnp.logaddexp2,
        worse={"x log(2) is rounded": (64, 1024)},
    ),
    Reference("numpy.sinc", [sinc_slope], where(lambda x: abs(x) < 1.4), mnp.sinc),
    Reference("nn.elu", [lambda x: exp(min(x, mp.mpf(0)))], EVERYWHERE, nn.elu),
    Reference("nn.celu", [lambda x: exp(min(x, mp.mpf(0)))], EVERYWHERE, nn.celu),
    Reference(
        "nn.selu",
        [lambda x: mp.mpf(SCALE) if x > 0 else mp.mpf(SCALE) * mp.mpf(ALPHA) * exp(x)],
        EVERYWHERE,
        nn.selu,
        flushed=lambda x: 2,
    ),
    Reference("nn.sigmoid", [lambda x: bell(x / 2) / 4], EVERYWHERE, nn.sigmoid),
    Reference("nn.softplus", [logistic], EVERYWHERE, nn.softplus),
    Reference("nn.log_sigmoid", [lambda x: logistic(-x)], EVERYWHERE, nn.log_sigmoid),
    Reference(
        "nn.silu",
        [lambda x: logistic(x) * (1 + x * logistic(-x))],
        EVERYWHERE,
        nn.silu,
        flushed=abs,
        worse={CROSSING: (64, 64)},
    ),
    Reference(
        "nn.mish",
        [lambda x: mp.tanh(softplus(x)) + x * bell(softplus(x)) * logistic(x)],
        where(lambda x: abs(x) < 1e18),
        nn.mish,
        flushed=abs,
        worse={CROSSING: (256, 256)},
    ),
    Reference(
        "nn.gelu, exact",
        [lambda x: normal_distribution(x) + x * normal_density(x)],
        EVERYWHERE,
        lambda x: nn.gelu(x, approximate=False),
        flushed=abs,
        worse={CROSSING: (64, 64)},
    ),
    Reference(
        "nn.gelu, by tanh",
        [gelu_slope],
        where(lambda x: -2 < x < 1e12),
        nn.gelu,
        worse={CROSSING + "; as the function, it is 0 in the left tail and nan where x**3 overflows": (256, 256)},
    ),
    Reference("nn.soft_sign", [lambda x: 1 / (1 + abs(x)) ** 2], EVERYWHERE, nn.soft_sign),
    Reference(
        "scipy.special.xlogy",
        [lambda x, y: mp.log(y), lambda x, y: x / y],
        pairs(lambda x, y: y > 0),
        special.xlogy,
    ),
    Reference(
        "scipy.special.xlog1py",
        [lambda x, y: mp.log1p(y), lambda x, y: x / (1 + y)],
        pairs(lambda x, y: y > -1),
        special.xlog1py,
        value=lambda x, y: x * mp.log1p(y),
    ),
    Reference("scipy.special.entr", [lambda x: -mp.log(x) - 1], POSITIVE, special.entr, worse={CROSSING: (64, 64)}),
    Reference(
        "scipy.special.rel_entr",
        [lambda x, y: mp.log(x / y) + 1, lambda x, y: -x / y],
        pairs(lambda x, y: 0.01 <= x < 200 and 0.01 <= y < 200),
        special.rel_entr,
        worse={CROSSING: (256, 256)},
    ),
    Reference(
        "scipy.special.kl_div",
        [lambda x, y: mp.log(x / y), lambda x, y: 1 - x / y],
        pairs(lambda x, y: 0.01 <= x < 200 and 0.01 <= y < 200 and abs(x / y - 1) > 0.1),
        special.kl_div,
        worse={CROSSING: (256, 256)},
    ),
    Reference("scipy.special.logit", [lambda x: 1 / (x * (1 - x))], FRACTIONS, special.logit),
    Reference("scipy.special.expit", [lambda x: bell(x / 2) / 4], EVERYWHERE, special.expit),
    Reference("scipy.special.ndtr", [normal_density], EVERYWHERE, special.ndtr),
    Reference(
        "scipy.special.log_ndtr",
        [lambda x: normal_density(x) / normal_distribution(x) if x > -500 else -x * (1 + 1 / x**2 - 2 / x**4)],
        where(lambda x: -1e30 < x),
        special.log_ndtr,
    ),
    Reference(
        "scipy.special.ndtri",
        [lambda p: 1 / normal_density(ndtri(p))],
        where(lambda x: 1e-30 < x < 1, towards(1)),
        special.ndtri,
        worse={"of a rational approximation, by JAX": (64, 256)},
    ),
    Reference(
        "scipy.special.i0",
        [lambda x: mp.besseli(1, x)],
        where(lambda x: abs(x) < 88),
        special.i0,
    ),
    Reference(
        "scipy.special.i1",
        [lambda x: (mp.besseli(0, x) + mp.besseli(2, x)) / 2],
        where(lambda x: abs(x) < 88),
        special.i1,
    ),
    Reference("scipy.special.i0e", [lambda x: -mp.sign(x) * bessel_difference(x)], NONZERO, special.i0e),
    Reference("scipy.special.i1e", [i1e_slope], EVERYWHERE, special.i1e, worse={CROSSING: (1024, 1024)}),
    Reference("scipy.special.spence", [lambda x: mp.log(x) / (1 - x)], where(lambda x: 0 < x != 1), special.spence),
    Reference(
        "scipy.special.expi", [lambda x: mp.exp(x) / x], where(lambda x: 1e-3 < abs(x) < 80), special.expi, dear=True
    ),
    Reference(
        "scipy.special.exp1", [lambda x: -mp.exp(-x) / x], where(lambda x: 1e-3 < x < 80), special.exp1, dear=True
    ),
    Reference(
        "scipy.special.gammaln",
        [mp.digamma],
        where(is_no_pole),
        special.gammaln,
        worse={XLA.format("digamma") + ", around its zeros": (256, 1024)},
    ),
    Reference("scipy.special.digamma", [lambda x: mp.polygamma(1, x)], where(is_no_pole), special.digamma),
]

REFERENCES = PRIMITIVES + COMPOSED


def second_derivative(name: str) -> Reference:
    """The derivative of the derivative of one of `REFERENCES`, as a function to be differentiated."""
    (reference,) = [r for r in REFERENCES if str(r) == name]
    slope = minijvp.grad(lambda x: reference(x).sum())
    return Reference(
        name, [SECOND[name]], reference.points, slope, flushed=lambda x: 4 * max(1, abs(x)), label=f"{name}''"
    )


# Where there is no point on both sides, or no number: what the derivative is taken for


class Edge(NamedTuple):
    """A point, and the derivatives there, by each argument."""

    name: str
    at: tuple[float, ...]
    expected: tuple[float, ...]
    why: str = ""
    """Of a value that is no limit, or not JAX's."""


INF, NAN = math.inf, math.nan
NONE = "no limit"
EDGES = [
    *(Edge(name, (-INF,), (0.0,)) for name in ("exp", "exp2", "expm1", "logistic", "tanh", "atan", "asinh")),
    *(Edge(name, (INF,), (0.0,)) for name in ("logistic", "tanh", "atan", "asinh", "acosh", "log", "log1p", "sqrt")),
    *(Edge(name, (INF,), (0.0,)) for name in ("rsqrt", "cbrt", "erf", "erfc", "bessel_i0e", "bessel_i1e")),
    *(Edge(name, (0.0,), (INF,)) for name in ("sqrt", "cbrt", "log")),
    Edge("rsqrt", (0.0,), (-INF,)),
    Edge("log1p", (-1.0,), (INF,)),
    Edge("acosh", (1.0,), (INF,)),
    *(Edge(name, (x,), (INF,)) for name in ("asin", "atanh", "erf_inv") for x in (1.0, -1.0)),
    Edge("acos", (1.0,), (-INF,)),
    Edge("abs", (0.0,), (1.0,), "a kink: from the right, as in JAX"),
    Edge("sign", (0.0,), (0.0,), "a jump: as in JAX"),
    Edge("max", (1.0, 1.0), (0.5, 0.5), "a kink: the mean, as in JAX"),
    Edge("min", (1.0, 1.0), (0.5, 0.5), "a kink: the mean, as in JAX"),
    Edge("bessel_i0e", (0.0,), (-1.0,), "a kink: from the right, as abs, so that i0 = exp(|x|) i0e has 0; JAX has 0"),
    Edge("bessel_i1e", (0.0,), (0.5,)),
    Edge("digamma", (-16.5,), (9.81079826,)),
    Edge("digamma", (0.0,), (INF,)),
    Edge("digamma", (-3.0,), (INF,)),
    Edge("pow", (0.0, 0.0), (0.0, 0.0), f"{NONE}; JAX has nan and 0"),
    Edge("pow", (0.0, 1.0), (1.0, 0.0)),
    Edge("pow", (0.0, 2.0), (0.0, 0.0)),
    Edge("pow", (0.0, 0.25), (INF, 0.0)),
    Edge("pow", (0.0, -1.0), (-INF, -INF), "the limit from the right; JAX has -inf and nan"),
    Edge("pow", (INF, -1.0), (0.0, 0.0)),
    Edge("pow", (0.5, INF), (0.0, 0.0), "the limit; JAX has nan and 0"),
    Edge("pow", (2.0, -INF), (0.0, 0.0), "the limit; JAX has nan and 0"),
    Edge("logaddexp", (INF, INF), (0.5, 0.5), f"{NONE}: as for equal numbers; JAX has 1 and 1"),
    Edge("logaddexp", (-INF, -INF), (0.5, 0.5), f"{NONE}: as for equal numbers; JAX has nan"),
    Edge("logaddexp", (INF, 0.0), (1.0, 0.0), "the limit; JAX has 1 and 1"),
    Edge("logaddexp", (-INF, 0.0), (0.0, 1.0)),
    Edge("atan2", (INF, 0.0), (0.0, -0.0)),
    Edge("atan2", (0.0, INF), (0.0, -0.0)),
    Edge("atan2", (INF, INF), (0.0, -0.0), "the limit; JAX has nan"),
    Edge("atan2", (0.0, 0.0), (NAN, NAN), f"{NONE}; nan, as in JAX"),
    Edge("div", (0.0, 0.0), (INF, NAN), f"{NONE}; nan, as in JAX"),
    Edge("hypot", (0.0, 0.0), (0.0, 0.0), "a kink: as abs of 0j; JAX has 0.5 in version 0.10, and nan"),
    Edge("hypot", (INF, 1.0), (1.0, 0.0)),
    Edge("hypot", (INF, -INF), (0.5**0.5, -(0.5**0.5)), f"{NONE}: as for equal numbers; JAX has nan"),
    Edge("numpy.sinc", (0.0,), (0.0,)),
    Edge("scipy.special.xlogy", (0.0, 0.0), (-INF, 0.0), "in y, the limit along x = 0; JAX has nan"),
    Edge("scipy.special.xlog1py", (0.0, -1.0), (-INF, 0.0), "in y, the limit along x = 0; JAX has nan"),
    Edge("scipy.special.spence", (1.0,), (-1.0,)),
    Edge("scipy.special.i0", (0.0,), (0.0,)),
    Edge("scipy.special.i1", (0.0,), (0.5,)),
    *(Edge("scipy.special.logit", (x,), (INF,)) for x in (0.0, 1.0)),
    Edge("nn.elu", (-INF,), (0.0,)),
    Edge("nn.softplus", (INF,), (1.0,)),
    Edge("nn.softplus", (-INF,), (0.0,)),
]


# The table


def rows() -> list[tuple[str, ...]]:
    """A row for each argument of each reference."""
    found = []
    for reference in REFERENCES:
        own = [error_of_function(reference, dtype) for dtype in DTYPES]
        for i, slope in enumerate(reference.slopes):
            if not callable(slope):
                note = "its derivative is not known" if slope == REFUSED else "0"
                found.append((str(reference), str(i), "–", "", "–", "", "", note))
                continue
            cells = [str(reference), str(i)]
            for dtype in DTYPES:
                worst = max(errors(reference, i, dtype))
                cells += [number(worst.ulps), ", ".join(f"{x:.6g}" for x in worst.at)]
            cells.append("" if own[0] is None else " / ".join(number(e.ulps) for e in own if e is not None))
            is_worse = [float(c) > BOUND for c in (cells[2], cells[4])]
            found.append((*cells, "; ".join(reference.worse) if any(is_worse) else ""))
    return found


def number(ulps: float) -> str:
    return f"{ulps:.2g}" if ulps < 100 else f"{ulps:.0f}"


def table(titles: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def edge_rows() -> list[tuple[str, ...]]:
    def shown(xs: tuple[float, ...]) -> str:
        return ", ".join(f"{x:g}" for x in xs)

    return [(e.name, shown(e.at), shown(e.expected), e.why) for e in EDGES]


def second_rows() -> list[tuple[str, ...]]:
    found = []
    for name in SECOND:
        worst = [max(errors(second_derivative(name), 0, dtype)) for dtype in DTYPES]
        cells = [text for error in worst for text in (number(error.ulps), f"{error.at[0]:.6g}")]
        found.append((name, *cells))
    return found


def written() -> str:
    """The document with the tables measured anew."""
    places = ["float32", "at", "float64", "at"]
    tables = {
        "first": table(["function", "argument", *places, "the function itself", "note"], rows()),
        "second": table(["function", *places], second_rows()),
        "edges": table(["function", "at", "derivatives", "note"], edge_rows()),
    }
    text = DOCUMENT.read_text()
    for name, made in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = before + start + "\n" + made + "\n\n" + end + rest.split(end)[1]
    return text


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    DOCUMENT.write_text(written())
