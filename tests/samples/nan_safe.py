"""Samples of minijvp.nan_safe.absorbing: those of the plain operations, with each operand that can be the tangent."""

from dataclasses import replace
from itertools import islice

import numpy as np

from minijvp.nan_safe.absorbing import SAFE
from minijvp.operations.contraction import dot_general
from minijvp.operations.convolution import conv_general_dilated
from minijvp.operations.elementwise import div, mul
from minijvp.operations.linear_algebra import triangular_solve, tridiagonal_solve
from minijvp.operations.ragged import ragged_dot_general
from minijvp.operations.scatter_mul import scatter_mul
from minijvp.operations.softmax import center
from tests.samples import contraction, convolution, elementwise, linear_algebra, ragged, softmax
from tests.samples import scatter_mul as scatters

TANGENTS = {
    mul: ((0,), (1,), (0, 1)),
    div: ((0,),),
    dot_general: ((0,), (1,), (0, 1)),
    ragged_dot_general: ((0,), (1,), (0, 1)),
    conv_general_dilated: ((0,), (1,), (0, 1)),
    center: ((0,),),
    scatter_mul: ((0,),),
    triangular_solve: ((1,),),
    tridiagonal_solve: ((3,),),
}
OF_PLAIN = [
    s for m in (contraction, convolution, elementwise, linear_algebra, ragged, scatters, softmax) for s in m.SAMPLES
]
MOST = 2


def is_inexact(sample):
    return getattr(sample.args[0], "dtype", np.dtype(int)).kind in "fc"


def safe(sample, absorbing):
    places = "".join(map(str, absorbing))
    params = {**sample.params, "absorbing": absorbing, "exact": True}
    return replace(sample, primitive=SAFE[sample.primitive], params=params, label=f"{sample.label or sample}-{places}")


SAMPLES = [
    safe(s, absorbing)
    for plain, positions in TANGENTS.items()
    for s in islice((s for s in OF_PLAIN if s.primitive is plain and is_inexact(s)), MOST)
    for absorbing in positions
]
