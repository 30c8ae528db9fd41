"""Programs from practice whose gradients are nan: what they are, what they should be, and how they are mended by hand.

In each, one line makes what is not finite first, forward or backward: it ends in `# here`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minijvp.numpy as mnp
from minijvp import lax, nn, scipy


class NanProgram(NamedTuple):
    """A function of one array to a number, where its gradient is nan, and the gradient that it should have there."""

    fun: Callable[[Any], Any]
    x: np.ndarray
    gradient: np.ndarray
    mended: Callable[[Any], Any]
    """The same function by a double `where`, or by what else mends it by hand."""

    @property
    def line(self) -> int:
        """The number of the line, in this file, that makes what is not finite."""
        lines, first = inspect.getsourcelines(self.fun)
        return first + next(i for i, line in enumerate(lines) if line.rstrip().endswith("# here"))


def masked_sqrt(x: Any) -> Any:
    return mnp.sum(
        mnp.where(x > 0, mnp.sqrt(x), 0.0),  # here
    )


def masked_sqrt_mended(x: Any) -> Any:
    return mnp.sum(mnp.where(x > 0, mnp.sqrt(mnp.where(x > 0, x, 1.0)), 0.0))


def masked_log(x: Any) -> Any:
    entropy = mnp.log(x) * x  # here
    return -mnp.sum(mnp.where(x > 0, entropy, 0.0))


def masked_log_mended(x: Any) -> Any:
    safe = mnp.where(x > 0, x, 1.0)
    return -mnp.sum(mnp.where(x > 0, mnp.log(safe) * safe, 0.0))


def masked_reciprocal(x: Any) -> Any:
    inverse = 1 / x  # here
    return mnp.sum(mnp.where(x != 0, inverse, 0.0))


def masked_reciprocal_mended(x: Any) -> Any:
    return mnp.sum(mnp.where(x != 0, 1 / mnp.where(x != 0, x, 1.0), 0.0))


def angle_at_the_border(x: Any) -> Any:
    angle = mnp.arccos(x)  # here
    return mnp.sum(mnp.where(mnp.abs(x) < 1, angle, 0.0))


def angle_at_the_border_mended(x: Any) -> Any:
    inside = mnp.abs(x) < 1
    return mnp.sum(mnp.where(inside, mnp.arccos(mnp.where(inside, x, 0.0)), 0.0))


def norm_of_zeros(x: Any) -> Any:
    return mnp.sqrt(mnp.sum(x * x))  # here


def norm_of_zeros_mended(x: Any) -> Any:
    square = mnp.sum(x * x)
    return mnp.where(square > 0, mnp.sqrt(mnp.where(square > 0, square, 1.0)), 0.0)


def squared_norm(x: Any) -> Any:
    return mnp.linalg.norm(x) ** 2  # here


def squared_norm_mended(x: Any) -> Any:
    return mnp.sum(x * x)


def masked_norm(x: Any) -> Any:
    sizes = mnp.linalg.norm(x, axis=1)  # here
    return mnp.sum(mnp.where(sizes > 0, 2 * sizes, 0.0))


def masked_norm_mended(x: Any) -> Any:
    square = mnp.sum(x * x, axis=1)
    return mnp.sum(mnp.where(square > 0, 2 * mnp.sqrt(mnp.where(square > 0, square, 1.0)), 0.0))


def rows_without_entries(x: Any) -> Any:
    mask = mnp.array([[True, True, False], [False, False, False]])
    scores = x + mnp.where(mask, 0.0, -mnp.inf)
    shifted = scores - mnp.max(scores, axis=1, keepdims=True)  # here
    exps = mnp.exp(shifted)
    attention = exps / mnp.sum(exps, axis=1, keepdims=True)
    return mnp.sum(mnp.where(mask, attention, 0.0) * mnp.arange(3.0))


def rows_without_entries_mended(x: Any) -> Any:
    mask = mnp.array([[True, True, False], [False, False, False]])
    scores = mnp.where(mask, x, -1e9)
    exps = mnp.exp(scores - mnp.max(scores, axis=1, keepdims=True))
    attention = exps / mnp.sum(exps, axis=1, keepdims=True)
    return mnp.sum(mnp.where(mask, attention, 0.0) * mnp.arange(3.0))


def logsumexp_of_nothing(x: Any) -> Any:
    scores = x + mnp.where(x > 5, 0.0, -mnp.inf)
    total = mnp.log(mnp.sum(mnp.exp(scores), axis=1))  # here
    return mnp.sum(mnp.where(mnp.isfinite(total), total, 0.0))


def logsumexp_of_nothing_mended(x: Any) -> Any:
    total = mnp.sum(mnp.where(x > 5, mnp.exp(x), 0.0), axis=1)
    return mnp.sum(mnp.where(total > 0, mnp.log(mnp.where(total > 0, total, 1.0)), 0.0))


def spread_of_a_constant(x: Any) -> Any:
    spread = mnp.std(x, axis=0)  # here
    return mnp.sum(spread)


def spread_of_a_constant_mended(x: Any) -> Any:
    variance = mnp.var(x, axis=0)
    return mnp.sum(mnp.where(variance > 0, mnp.sqrt(mnp.where(variance > 0, variance, 1.0)), 0.0))


def cosine_with_zeros(x: Any) -> Any:
    y = mnp.array([[1.0, 2.0], [3.0, 4.0]])
    sizes = mnp.sqrt(mnp.sum(x * x, axis=1) * mnp.sum(y * y, axis=1))
    cosines = mnp.sum(x * y, axis=1) / sizes  # here
    return mnp.sum(mnp.where(sizes > 0, cosines, 0.0))


def cosine_with_zeros_mended(x: Any) -> Any:
    y = mnp.array([[1.0, 2.0], [3.0, 4.0]])
    square = mnp.sum(x * x, axis=1) * mnp.sum(y * y, axis=1)
    sizes = mnp.sqrt(mnp.where(square > 0, square, 1.0))
    return mnp.sum(mnp.where(square > 0, mnp.sum(x * y, axis=1) / sizes, 0.0))


def entropy_of_a_certainty(x: Any) -> Any:
    p = nn.softmax(mnp.stack([x, x - mnp.inf, -x]), axis=0)
    parts = p * mnp.log(p)  # here
    return -mnp.sum(mnp.where(p > 0, parts, 0.0))


def entropy_of_a_certainty_mended(x: Any) -> Any:
    p = nn.softmax(mnp.stack([x, -x]), axis=0)
    return -mnp.sum(p * mnp.log(p))


def root_by_a_power(x: Any) -> Any:
    luminance = x ** (1 / 2.4)  # here
    return mnp.sum(mnp.where(x > 0.0031308, 1.055 * luminance - 0.055, 12.92 * x))


def root_by_a_power_mended(x: Any) -> Any:
    is_bright = x > 0.0031308
    luminance = mnp.where(is_bright, x, 1.0) ** (1 / 2.4)
    return mnp.sum(mnp.where(is_bright, 1.055 * luminance - 0.055, 12.92 * x))


def distances(x: Any) -> Any:
    difference = x[:, None] - x[None]
    matrix = mnp.sqrt(mnp.sum(difference**2, axis=-1))  # here
    return mnp.sum(matrix)


def distances_mended(x: Any) -> Any:
    square = mnp.sum((x[:, None] - x[None]) ** 2, axis=-1)
    return mnp.sum(mnp.where(square > 0, mnp.sqrt(mnp.where(square > 0, square, 1.0)), 0.0))


def singular_factor(x: Any) -> Any:
    factor = mnp.linalg.cholesky(x)  # here
    half = mnp.sum(mnp.log(mnp.diagonal(factor)))
    return mnp.where(mnp.isfinite(half), 2 * half, mnp.trace(x))


def singular_factor_mended(x: Any) -> Any:
    is_regular = mnp.linalg.det(x) > 0
    factor = mnp.linalg.cholesky(mnp.where(is_regular, x, mnp.eye(len(x))))
    return mnp.where(is_regular, 2 * mnp.sum(mnp.log(mnp.diagonal(factor))), mnp.trace(x))


def mean_of_nothing(x: Any) -> Any:
    mask = mnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    count = mnp.sum(mask, axis=1)
    means = mnp.sum(x * mask, axis=1) / count  # here
    return mnp.sum(mnp.where(count > 0, means**2, 0.0))


def mean_of_nothing_mended(x: Any) -> Any:
    mask = mnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    count = mnp.sum(mask, axis=1)
    return mnp.sum(mnp.where(count > 0, (mnp.sum(x * mask, axis=1) / mnp.maximum(count, 1.0)) ** 2, 0.0))


def gates_in_a_loop(x: Any) -> Any:
    def step(h: Any, t: Any) -> tuple[Any, None]:
        z = x + 6.0 * t
        growing = mnp.exp(z)  # here
        up = mnp.where(z > 0, 1 / (1 + mnp.exp(-z)), growing / (1 + growing))
        return 0.5 * h + up * mnp.tanh(x), None

    return mnp.sum(lax.scan(step, mnp.zeros_like(x), mnp.arange(20.0, dtype=x.dtype))[0])


def gates_in_a_loop_mended(x: Any) -> Any:
    step = lambda h, t: (0.5 * h + nn.sigmoid(x + 6.0 * t) * mnp.tanh(x), None)
    return mnp.sum(lax.scan(step, mnp.zeros_like(x), mnp.arange(20.0, dtype=x.dtype))[0])


def gates_gradient(x: np.ndarray) -> np.ndarray:
    """By hand, in double precision."""
    found = np.zeros(len(x))
    for t in range(20):
        up = 1 / (1 + np.exp(-(x.astype(np.float64) + 6.0 * t)))
        found = 0.5 * found + up * (1 - up) * np.tanh(x) + up * (1 - np.tanh(x.astype(np.float64)) ** 2)
    return found


def missing_data(w: Any) -> Any:
    data = mnp.array([[1.0, 2.0], [mnp.nan, 3.0], [mnp.nan, mnp.nan]])
    target = data @ w  # here
    return mnp.sum(mnp.where(mnp.array([True, False, False]), (target - 1) ** 2, 0.0))


def missing_data_mended(w: Any) -> Any:
    return (mnp.array([1.0, 2.0]) @ w - 1) ** 2


def softplus(x: Any) -> Any:
    small = mnp.log(1 + mnp.exp(x))  # here
    return mnp.sum(mnp.where(x > 30, x, small))


def softplus_mended(x: Any) -> Any:
    return mnp.sum(nn.softplus(x))


def sinc(x: Any) -> Any:
    ratio = mnp.sin(x) / x  # here
    return mnp.sum(mnp.where(x == 0, 1.0, ratio))


def sinc_mended(x: Any) -> Any:
    safe = mnp.where(x == 0, 1.0, x)
    return mnp.sum(mnp.where(x == 0, 1.0, mnp.sin(safe) / safe))


def absolute_by_a_root(x: Any) -> Any:
    return mnp.sum(mnp.sqrt(x**2))  # here


def absolute_by_a_root_mended(x: Any) -> Any:
    return mnp.sum(mnp.where(x == 0, 0.0, mnp.abs(x)))


def missing_pixels(kernel: Any) -> Any:
    image = mnp.array([1.0, 2.0, 3.0, 4.0, mnp.nan, mnp.nan], kernel.dtype)
    found = lax.conv(image[None, None], kernel[None, None], (1,), "VALID")[0, 0]  # here
    return mnp.sum(mnp.where(mnp.isfinite(found), found, 0.0) ** 2)


def missing_pixels_mended(kernel: Any) -> Any:
    image = mnp.array([1.0, 2.0, 3.0, 4.0], kernel.dtype)
    return mnp.sum(lax.conv(image[None, None], kernel[None, None], (1,), "VALID") ** 2)


def likelihood_far_out(x: Any) -> Any:
    density = mnp.exp(-(x**2) / 2)
    score = mnp.log(density)  # here
    return mnp.sum(mnp.where(density > 0, score, -100.0))


def likelihood_far_out_mended(x: Any) -> Any:
    density = mnp.exp(-(x**2) / 2)
    return mnp.sum(mnp.where(density > 0, mnp.log(mnp.where(density > 0, density, 1.0)), -100.0))


def entropy_by_a_rule(x: Any) -> Any:
    parts = scipy.special.entr(x)  # here
    return mnp.sum(mnp.where(x > 0, parts, 0.0))


def log_odds(x: Any) -> Any:
    odds = scipy.special.logit(x)  # here
    return mnp.sum(mnp.where((x > 0) & (x < 1), odds, 0.0))


def log_odds_mended(x: Any) -> Any:
    inside = (x > 0) & (x < 1)
    return mnp.sum(mnp.where(inside, scipy.special.logit(mnp.where(inside, x, 0.5)), 0.0))


def singular_systems(x: Any) -> Any:
    determinants = x[:, 0, 0] * x[:, 1, 1] - x[:, 0, 1] * x[:, 1, 0]
    solutions = mnp.linalg.solve(x, mnp.ones((len(x), 2, 1), x.dtype))  # here
    return mnp.sum(mnp.where((determinants != 0)[:, None, None], solutions, 0.0))


def singular_systems_mended(x: Any) -> Any:
    determinants = x[:, 0, 0] * x[:, 1, 1] - x[:, 0, 1] * x[:, 1, 0]
    regular = mnp.where((determinants != 0)[:, None, None], x, mnp.eye(2, dtype=x.dtype))
    solutions = mnp.linalg.solve(regular, mnp.ones((len(x), 2, 1), x.dtype))
    return mnp.sum(mnp.where((determinants != 0)[:, None, None], solutions, 0.0))


def step_of_a_filter(x: Any) -> Any:
    gain = mnp.linalg.inv(x @ x.T)  # here
    return mnp.where(mnp.trace(x) > 5, mnp.sum(gain), mnp.sum(x))


def step_of_a_filter_mended(x: Any) -> Any:
    return mnp.sum(x)


def array(*numbers: Any) -> np.ndarray:
    return np.array(numbers, np.float32)


POINTS = array([0.0, 0.0], [3.0, 4.0])
GATES = array(-1.0, 0.5)

PROGRAMS = {
    "sqrt behind a mask": NanProgram(masked_sqrt, array(0.0, 4.0), array(0.0, 0.25), masked_sqrt_mended),
    "log behind a mask": NanProgram(masked_log, array(0.0, 1.0), array(0.0, -1.0), masked_log_mended),
    "1/x behind a mask": NanProgram(masked_reciprocal, array(0.0, 2.0), array(0.0, -0.25), masked_reciprocal_mended),
    "arccos at 1": NanProgram(angle_at_the_border, array(1.0, 0.0), array(0.0, -1.0), angle_at_the_border_mended),
    "norm of zeros": NanProgram(norm_of_zeros, array(0.0, 0.0), array(0.0, 0.0), norm_of_zeros_mended),
    "norm squared": NanProgram(squared_norm, array(0.0, 0.0), array(0.0, 0.0), squared_norm_mended),
    "norm behind a mask": NanProgram(masked_norm, POINTS, array([0.0, 0.0], [1.2, 1.6]), masked_norm_mended),
    "softmax of no entries": NanProgram(
        rows_without_entries,
        array([0.0, 0.0, 1.0], [1.0, 2.0, 3.0]),
        array([-0.25, 0.25, 0.0], [0.0, 0.0, 0.0]),
        rows_without_entries_mended,
    ),
    "logsumexp of nothing": NanProgram(
        logsumexp_of_nothing,
        array([6.0, 6.0], [1.0, 2.0]),
        array([0.5, 0.5], [0.0, 0.0]),
        logsumexp_of_nothing_mended,
    ),
    "std of a constant column": NanProgram(
        spread_of_a_constant,
        array([1.0, 2.0], [1.0, 4.0]),
        array([0.0, -0.5], [0.0, 0.5]),
        spread_of_a_constant_mended,
    ),
    "cosine of a zero vector": NanProgram(
        cosine_with_zeros, array([0.0, 0.0], [4.0, -3.0]), array([0.0, 0.0], [0.12, 0.16]), cosine_with_zeros_mended
    ),
    "entropy of a certainty": NanProgram(
        entropy_of_a_certainty, array(0.5), array(-0.39322387), entropy_of_a_certainty_mended
    ),
    "x**y at 0": NanProgram(root_by_a_power, array(0.0, 1.0), array(12.92, 1.055 / 2.4), root_by_a_power_mended),
    "distances to oneself": NanProgram(distances, POINTS, array([-1.2, -1.6], [1.2, 1.6]), distances_mended),
    "Cholesky of a singular matrix": NanProgram(
        singular_factor, array([1.0, 2.0], [2.0, 1.0]), array([1.0, 0.0], [0.0, 1.0]), singular_factor_mended
    ),
    "mean of nothing": NanProgram(
        mean_of_nothing,
        array([1.0, 3.0, 5.0], [1.0, 2.0, 3.0]),
        array([2.0, 2.0, 0.0], [0.0, 0.0, 0.0]),
        mean_of_nothing_mended,
    ),
    "gates that overflow in step 15 of a loop": NanProgram(
        gates_in_a_loop, GATES, gates_gradient(GATES).astype(np.float32), gates_in_a_loop_mended
    ),
    "missing data": NanProgram(missing_data, array(1.0, 1.0), array(4.0, 8.0), missing_data_mended),
    "softplus by hand": NanProgram(softplus, array(0.0, 1000.0), array(0.5, 1.0), softplus_mended),
    "sinc at 0": NanProgram(sinc, array(0.0, np.pi), array(0.0, -1 / np.pi), sinc_mended),
    "sqrt of a square": NanProgram(absolute_by_a_root, array(0.0, -2.0), array(0.0, -1.0), absolute_by_a_root_mended),
    "missing pixels": NanProgram(missing_pixels, array(1.0, 1.0), array(68.0, 98.0), missing_pixels_mended),
    "entropy by a function with a rule": NanProgram(
        entropy_by_a_rule, array(0.0, 1.0), array(0.0, -1.0), masked_log_mended
    ),
    "log odds of a certainty": NanProgram(log_odds, array(1.0, 0.5, 0.0), array(0.0, 4.0, 0.0), log_odds_mended),
    "solution of a singular system": NanProgram(
        singular_systems,
        array([[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 4.0]]),
        array([[0.0, 0.0], [0.0, 0.0]], [[-0.25, -0.125], [-0.125, -0.0625]]),
        singular_systems_mended,
    ),
    "inverse of a singular matrix": NanProgram(
        step_of_a_filter, array([1.0, 1.0], [1.0, 1.0]), array([1.0, 1.0], [1.0, 1.0]), step_of_a_filter_mended
    ),
    "likelihood far out": NanProgram(likelihood_far_out, array(1.0, 20.0), array(-1.0, 0.0), likelihood_far_out_mended),
}
