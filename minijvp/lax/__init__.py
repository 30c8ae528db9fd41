"""The functions of jax.lax, over our primitives, and the collectives of a named vmap."""

from typing import TYPE_CHECKING, Any

import jax.lax
from jax.lax import ConvDimensionNumbers as ConvDimensionNumbers
from jax.lax import GatherDimensionNumbers as GatherDimensionNumbers
from jax.lax import GatherScatterMode as GatherScatterMode
from jax.lax import Precision as Precision
from jax.lax import RoundingMethod as RoundingMethod
from jax.lax import ScatterDimensionNumbers as ScatterDimensionNumbers
from jax.lax import conv_dimension_numbers as conv_dimension_numbers
from jax.lax import padtype_to_pads as padtype_to_pads

from minijvp.interop.surface import add_primitives, bridge_all
from minijvp.lax import linalg as linalg
from minijvp.lax.associative import *
from minijvp.lax.collectives import *
from minijvp.lax.control_flow import *
from minijvp.lax.elementwise import *
from minijvp.lax.linear_solve import *
from minijvp.lax.products import *
from minijvp.lax.reductions import *
from minijvp.lax.shapes import *
from minijvp.lax.slices import *
from minijvp.lax.while_loops import *

add_primitives(globals(), jax.lax)
__all__ = [*bridge_all(globals(), jax.lax), "linalg"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
