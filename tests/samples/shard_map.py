"""Samples of minijvp.calls.shard_map_programs, on one device."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

import minijvp.numpy as mnp
from minijvp.calls.shard_map_programs import shard_map_primitive
from minijvp.core.types import type_of
from minijvp.transforms.staging import stage
from tests.samples import Sample, random
from tests.samples.sharding import mesh

ROWS, WHOLE = PartitionSpec("rows"), PartitionSpec()
X, W = random(2, 3), random(3)
jaxpr = stage(lambda x, w: [mnp.sin(x) * w, mnp.cos(w)], [type_of(jax.device_put(v)) for v in (X, W)])

SAMPLES = [
    Sample(
        shard_map_primitive,
        (X, W),
        lambda x, w: (jnp.sin(x) * w, jnp.cos(w)),
        {
            "jaxpr": jaxpr,
            "mesh": mesh,
            "manual": frozenset(mesh.axis_names),
            "check_vma": check,
            "in_specs": (ROWS, WHOLE),
            "out_specs": (ROWS, WHOLE),
        },
        label=f"types-{check}",
    )
    for check in (False,)
]
