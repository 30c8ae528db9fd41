"""Samples of minijvp.interop.rules: what functions with a rule close over has no derivative, so they are integers."""

import numpy as np

from minijvp.interop.rules import captured
from tests.samples import Sample, random

SAMPLES = [Sample(captured, (random(2, 3, dtype=np.int32),), lambda x: x, {"function": "f"})]
