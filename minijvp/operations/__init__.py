"""First-order primitives, each with all its rules, named as in jax.lax. Importing the package registers all."""

from minijvp.operations import accurate as accurate
from minijvp.operations import annotations as annotations
from minijvp.operations import bitwise as bitwise
from minijvp.operations import casting as casting
from minijvp.operations import collectives as collectives
from minijvp.operations import contraction as contraction
from minijvp.operations import convolution as convolution
from minijvp.operations import cumulative as cumulative
from minijvp.operations import decompositions as decompositions
from minijvp.operations import dynamic_slicing as dynamic_slicing
from minijvp.operations import elementwise as elementwise
from minijvp.operations import families as families
from minijvp.operations import fft as fft
from minijvp.operations import floating as floating
from minijvp.operations import gather as gather
from minijvp.operations import linear_algebra as linear_algebra
from minijvp.operations import ragged as ragged
from minijvp.operations import random as random
from minijvp.operations import reduction as reduction
from minijvp.operations import reflections as reflections
from minijvp.operations import shape as shape
from minijvp.operations import sharding as sharding
from minijvp.operations import slicing as slicing
from minijvp.operations import sorting as sorting
from minijvp.operations import special as special
from minijvp.operations import windows as windows
