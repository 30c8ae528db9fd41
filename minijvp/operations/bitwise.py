"""Elementwise operations on integers and booleans. None has a tangent."""

from __future__ import annotations

from jax import lax

from minijvp.operations.families import Elementwise

bitwise_and = Elementwise("and", lax.bitwise_and)
bitwise_or = Elementwise("or", lax.bitwise_or)
bitwise_xor = Elementwise("xor", lax.bitwise_xor)
bitwise_not = Elementwise("not", lax.bitwise_not)
shift_left = Elementwise("shift_left", lax.shift_left)
shift_right_arithmetic = Elementwise("shift_right_arithmetic", lax.shift_right_arithmetic)
shift_right_logical = Elementwise("shift_right_logical", lax.shift_right_logical)
population_count = Elementwise("population_count", lax.population_count)
clz = Elementwise("clz", lax.clz)
mulhi = Elementwise("mulhi", lax.mulhi)
