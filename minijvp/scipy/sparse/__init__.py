"""The modules of jax.scipy.sparse, for every transformation of minijvp."""

from minijvp.scipy.sparse import linalg

__all__ = ["linalg"]
