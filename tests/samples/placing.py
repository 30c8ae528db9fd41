"""Samples of minijvp.operations.placing, on one device: nothing splits an array there."""

import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from minijvp.core.placements import NOT_VARYING, Placement
from minijvp.operations import placing as ops
from tests.samples import Sample, random
from tests.samples.sharding import device

mesh = Mesh(np.array([device]), ("rows",)).abstract_mesh
whole = Placement(NamedSharding(mesh, PartitionSpec(None, None)), NOT_VARYING)

SAMPLES = [
    Sample(ops.place, (random(2, 3),), lambda x: x, {"placement": whole}, label="whole"),
    Sample(ops.place, (random(2, 3, dtype=float),), lambda x: x, {"placement": whole, "origin": mesh}, label="origin"),
]
