"""Samples of minijvp.operations.fft."""

from typing import Any

import numpy as np
from jax import lax

from minijvp.operations import fft as ops
from tests.samples import Sample, random

C64, C128 = np.complex64, np.complex128


def fft(kind: str, x: Any, *lengths: int, **more: Any) -> Sample:
    params = {"fft_type": lax.FftType[kind], "fft_lengths": lengths}
    label = f"{kind}-{x.dtype}{list(x.shape)}-{lengths}".replace(" ", "")
    return Sample(ops.fft, (x,), lambda x: lax.fft(x, kind, lengths), params, label=label, **more)


SAMPLES = [
    fft("FFT", random(5, dtype=C128), 5),
    fft("FFT", random(2, 3, 4, dtype=C64), 3, 4),
    fft("IFFT", random(2, 4, dtype=C64), 4),
    fft("IFFT", random(2, 3, 2, dtype=C128), 2, 3, 2),
    fft("RFFT", random(2, 6, dtype=np.float64), 6),
    fft("RFFT", random(5, dtype=np.float32), 5),
    fft("RFFT", random(2, 3, 4, dtype=np.float64), 3, 4),
    fft("RFFT", random(2, 1, dtype=np.float64), 1),
    fft("IRFFT", random(2, 4, dtype=C128), 6),
    fft("IRFFT", random(3, dtype=C64), 5),
    fft("IRFFT", random(2, 2, 3, 2, dtype=C128), 2, 3, 3),
    fft("IRFFT", random(2, 2, dtype=C128), 2),
]
