"""Samples of minijvp.operations.sharding, on one device."""

from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from minijvp.operations import sharding as ops
from tests.samples import Sample, random

device = jax.devices()[0]
mesh = Mesh(np.array([device]), ("rows",))


def constraint(label: str, x: Any, sharding: Any) -> Sample:
    return Sample(
        ops.sharding_constraint,
        (x,),
        lambda x: lax.with_sharding_constraint(x, sharding),
        {"sharding": sharding},
        label=label,
    )


SAMPLES = [
    constraint("single-device", random(2, 3), SingleDeviceSharding(device)),
    constraint("named", random(2, 3, dtype=float), NamedSharding(mesh, PartitionSpec("rows", None))),
    constraint("named-short", random(2, 3, dtype=np.complex64), NamedSharding(mesh, PartitionSpec("rows"))),
    constraint("named-int32", random(3, dtype=np.int32), NamedSharding(mesh, PartitionSpec())),
]
