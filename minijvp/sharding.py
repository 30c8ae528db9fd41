"""The names of jax.sharding: how arrays lie on several devices."""

import jax.sharding
from jax.sharding import *  # noqa: F403

from minijvp.interop.surface import bridge

reshard = bridge(jax.sharding.reshard, jax.sharding, "reshard")
