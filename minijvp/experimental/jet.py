"""Taylor mode, by the name that it has in JAX."""

from minijvp.api.taylor import jet

__all__ = ["jet"]
