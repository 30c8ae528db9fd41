"""NumPy for every transformation of minijvp: the functions of jax.numpy, over our primitives.

With nothing traced they are the functions of jax.numpy themselves. Under a transformation they promote dtypes and
broadcast shapes exactly as those do, and call primitives, which each have their rules. Importing this package gives
tracers their operators and methods.

>>> import minijvp, minijvp.numpy as mnp
>>> minijvp.grad(lambda x: mnp.sum(mnp.where(x > 2, x ** 2, 0.0)))(mnp.array([3.0, 1.0])).tolist()
[6.0, 0.0]
"""

from typing import TYPE_CHECKING, Any

import jax.numpy
from jax.numpy import complexfloating as complexfloating
from jax.numpy import dtype as dtype
from jax.numpy import e as e
from jax.numpy import euler_gamma as euler_gamma
from jax.numpy import finfo as finfo
from jax.numpy import floating as floating
from jax.numpy import generic as generic
from jax.numpy import iinfo as iinfo
from jax.numpy import inexact as inexact
from jax.numpy import inf as inf
from jax.numpy import integer as integer
from jax.numpy import issubdtype as issubdtype
from jax.numpy import nan as nan
from jax.numpy import ndarray as ndarray
from jax.numpy import newaxis as newaxis
from jax.numpy import number as number
from jax.numpy import pi as pi
from jax.numpy import promote_types as promote_types
from jax.numpy import signedinteger as signedinteger
from jax.numpy import unsignedinteger as unsignedinteger

from minijvp.interop.surface import add_ufunc_methods, bridge_all
from minijvp.numpy import fft as fft
from minijvp.numpy import linalg as linalg
from minijvp.numpy.arithmetic import *
from minijvp.numpy.contractions import *
from minijvp.numpy.creation import *
from minijvp.numpy.einstein import *
from minijvp.numpy.indexing import *
from minijvp.numpy.logic import *
from minijvp.numpy.manipulation import *
from minijvp.numpy.nan_reductions import *
from minijvp.numpy.operators import install
from minijvp.numpy.polynomials import *
from minijvp.numpy.rearranging import *
from minijvp.numpy.reductions import *
from minijvp.numpy.scalar_types import *
from minijvp.numpy.scalar_types import replace_scalar_types
from minijvp.numpy.selection import *
from minijvp.numpy.statistics import *
from minijvp.numpy.ufuncs import *

install()

FUNCTION_MAKERS = {"vectorize", "frompyfunc"}
__all__ = [*bridge_all(globals(), jax.numpy, makers=FUNCTION_MAKERS), "fft", "linalg"]
add_ufunc_methods(globals())
replace_scalar_types(globals())

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
