"""Samples of minijvp.calls.inspection."""

import numpy as np

from minijvp.calls.inspection import Report, inspected, watch
from tests.samples import Sample, random

X = random(2, 3, dtype=np.float64)

SAMPLES = [
    *[
        Sample(inspected, (X,), lambda x: x, dict(report=Report("x", what), ordered=False), label=what)
        for what in ("primal", "tangent")
    ],
    Sample(watch, (X,), lambda x: (), dict(callback=Report("x"), ordered=False)),
]
