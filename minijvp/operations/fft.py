"""The discrete Fourier transform along the last axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import conj, div, mul
from minijvp.operations.families import LinearPrimitive, broadcast_in_dim

FftType = lax.FftType
COMPLEX = {"float32": np.dtype(np.complex64), "float64": np.dtype(np.complex128)}
REAL = {str(v): np.dtype(k) for k, v in COMPLEX.items()}


class Fft(LinearPrimitive):
    """The transform along the last axes, one for each of `fft_lengths` (one to three).

    `fft_type` is FFT, IFFT, RFFT (real operand: half of the last axis is enough) or IRFFT (back from there), as in
    `jax.lax.FftType`. `fft_lengths` are the sizes of the operand, for IRFFT those of the result.
    """

    recomputable = "moderate"

    def impl(self, x: Array, *, fft_type: Any, fft_lengths: tuple[int, ...]) -> Array:
        return lax.fft(x, fft_type, fft_lengths)

    def type_rule(self, x: ArrayType, *, fft_type: Any, fft_lengths: tuple[int, ...]) -> ArrayType:
        n = len(fft_lengths)
        half = (*fft_lengths[:-1], fft_lengths[-1] // 2 + 1) if n else ()
        before, after = (half, fft_lengths) if fft_type == FftType.IRFFT else (fft_lengths, half)
        after = fft_lengths if fft_type in (FftType.FFT, FftType.IFFT) else after
        dtypes = COMPLEX if fft_type == FftType.RFFT else REAL
        shortest = 0 if fft_type in (FftType.FFT, FftType.IFFT) else 1
        if not 1 <= n <= 3 or min(fft_lengths) < shortest or x.shape[-n:] != before or str(x.dtype) not in dtypes:
            raise ArgumentError(
                f"{FftType(fft_type).name} of {x!r} with fft_lengths {fft_lengths}.",
                f"Its last axes, one to three, must have the sizes {before}, and its dtype must be one of "
                f"{', '.join(dtypes)}.",
                "The functions of numpy.fft convert, pad and cut the operand.",
            )
        dtype = x.dtype if fft_type in (FftType.FFT, FftType.IFFT) else dtypes[str(x.dtype)]
        return ArrayType((*x.shape[:-n], *after), dtype)

    def transpose(self, ct: Array, x: ArrayType, *, fft_type: Any, fft_lengths: tuple[int, ...]) -> Array:
        # The matrix of the full transform is symmetric. The half that RFFT omits is the conjugate of the other.
        if fft_type == FftType.RFFT:
            halved = conj(div(ct, multiplicity(ct, fft_lengths)), input_dtype=ct.dtype)
            out = self(halved, fft_type=FftType.IRFFT, fft_lengths=fft_lengths)
            return mul(out, float(prod(fft_lengths)))
        if fft_type == FftType.IRFFT:
            out = self(ct, fft_type=FftType.RFFT, fft_lengths=fft_lengths)
            doubled = mul(mul(out, multiplicity(out, fft_lengths)), 1 / prod(fft_lengths))
            return conj(doubled, input_dtype=out.dtype)
        return self(ct, fft_type=fft_type, fft_lengths=fft_lengths)

    def batch(self, axis: Axis, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
        return self(*args, **params), True


def multiplicity(x: Array, fft_lengths: tuple[int, ...]) -> Array:
    """How many elements of the full transform each element of its half `x` stands for, 1 or 2, in the shape of x."""
    counts = np.full(x.shape[-1], 2, x.dtype)
    counts[0] = 1
    if fft_lengths[-1] % 2 == 0:
        counts[-1] = 1
    return broadcast_in_dim(counts, shape=x.shape, broadcast_dimensions=(len(x.shape) - 1,))


fft = Fft("fft")
