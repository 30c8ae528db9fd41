"""Samples of minijvp.operations.scatter_mul where indices repeat; the others are with the other scatters."""

import numpy as np

from minijvp.operations.scatter_mul import scatter_mul
from tests.samples import distinct, random
from tests.samples.gather import ALONG, BLOCK, CLIP, COLUMN, ELEMENT, PROMISE, ROW, WINDOW, index, write

refused = {"jax_derivative": False, "why": "JAX refuses where indices may repeat"}
f64, c128 = {"dtype": np.float64}, {"dtype": np.complex128}
x = distinct(4, 3, **f64)
u = 0.9 * distinct(5, 3, seed=1, **f64)
zeros = np.array([0.0, 1.5, 0.0, 0.0, -2.0, 0.7])
along = np.array([[[2], [0], [2]], [[1], [1], [1]]], np.int32)

SAMPLES = [
    write(scatter_mul, "elements", x[:, 0], index(2, 0, 2, 2, 1), u[:, 0], ELEMENT, **refused),
    write(scatter_mul, "zeros", x[:, 0], index(2, 0, 0, 2, 2, 1), zeros, ELEMENT, **refused),
    write(scatter_mul, "dropped-rows", x, index(1, 7, 1, -1, 7), u, ROW, **refused),
    write(scatter_mul, "clipped-rows", x, index(1, 7, 3, -1, 0), u, ROW, CLIP, **refused),
    write(scatter_mul, "columns", random(4, 5, **f64), index(2, 0, 2), random(4, 3, **f64), COLUMN, PROMISE, **refused),
    write(scatter_mul, "windows", distinct(5, **f64), index(0, 3, 1), u[:3, :2], WINDOW, **refused),
    write(scatter_mul, "blocks", random(4, 5, **f64), index((0, 1), (1, 2)), random(2, 2, 2, **f64), BLOCK, **refused),
    write(scatter_mul, "along", x[:2], along, u[:2], ALONG, PROMISE, **refused),
    write(scatter_mul, "complex", random(4, **c128), index(2, 0, 2), random(3, **c128), ELEMENT, **refused),
    write(scatter_mul, "nothing", x, np.zeros((0, 1), np.int32), np.zeros((0, 3)), ROW, **refused),
]
