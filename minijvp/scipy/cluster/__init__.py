"""The modules of jax.scipy.cluster, for every transformation of minijvp."""

from minijvp.scipy.cluster import vq

__all__ = ["vq"]
