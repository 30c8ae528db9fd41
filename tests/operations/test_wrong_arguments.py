"""Arguments that the type rules refuse when a program is recorded."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import minijvp
from minijvp import ArgumentError, MissingRuleError
from minijvp.control_flow.reduce import reduce
from minijvp.core.types import ArrayType
from minijvp.operations.contraction import scaled_dot
from minijvp.operations.elementwise import mul
from minijvp.operations.fft import fft
from minijvp.operations.floating import frexp, ldexp
from minijvp.operations.ragged import ragged_dot_general
from minijvp.operations.sorting import approx_top_k
from minijvp.transforms.staging import stage

X = jnp.ones((4, 2))
SIZES = np.array([1, 3], np.int32)
RAGGED = lax.RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))
PRODUCT = stage(lambda x, y: [mul(x, y)], [ArrayType((), np.dtype(float))] * 2)
TOP = {"recall_target": 0.9, "is_max_k": True, "reduction_input_size_override": -1, "aggregate_to_topk": True}
SCALED = {"dimension_numbers": (((1,), (0,)), ((), ())), "preferred_element_type": np.dtype(np.float32)}


def transform(x: Any, kind: str, *lengths: int) -> Any:
    return fft(x, fft_type=lax.FftType[kind], fft_lengths=lengths)


CALLS = {
    "fft of reals": (lambda x: transform(x, "FFT", 2), "FFT of f64"),
    "fft of another size": (lambda x: transform(x, "RFFT", 3), r"must have the sizes \(3,\)"),
    "fft of no axes": (lambda x: transform(x, "RFFT"), "one to three"),
    "irfft of another half": (lambda x: transform(x + 0j, "IRFFT", 4), r"must have the sizes \(3,\)"),
    "ragged": (lambda x: ragged_dot_general(x, x, SIZES, ragged_dot_dimension_numbers=RAGGED), "ragged_dot takes x"),
    "scaled": (lambda x: scaled_dot(x, x, x, x, **SCALED), "one element for each block"),
    "approximately none": (lambda x: approx_top_k(x, k=0, reduction_dimension=0, **TOP), "k is not 0"),
    "approximate axis": (lambda x: approx_top_k(x, k=1, reduction_dimension=2, **TOP), "counted from 0"),
    "approximate integers": (lambda x: approx_top_k(SIZES, k=1, reduction_dimension=0, **TOP), "real floats"),
    "frexp": (lambda x: frexp(SIZES), "works on float16"),
    "ldexp by floats": (lambda x: ldexp(x, x), "The exponent is an integer"),
    "ldexp by fewer": (lambda x: ldexp(x, SIZES), "of the shape of the number"),
    "reduce without start": (lambda x: reduce(x, jaxpr=PRODUCT, dimensions=(0,)), "initial value"),
    "reduce from a vector": (lambda x: reduce(x, x[0], jaxpr=PRODUCT, dimensions=(0,)), "without axes"),
    "reduce of a missing axis": (lambda x: reduce(x, 1.0, jaxpr=PRODUCT, dimensions=(2,)), "over axes"),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ArgumentError, match=message):
        minijvp.jit(call)(X)


def test_a_scaled_product_has_no_derivative() -> None:
    scale = jnp.ones((4, 1))
    with pytest.raises(MissingRuleError, match="scaled_dot"):
        minijvp.grad(lambda x: scaled_dot(x, X.T, scale, scale.T, **SCALED).sum())(X)
