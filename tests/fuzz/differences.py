"""Where minijvp and JAX are known to differ, with the reasons: the deck leaves these out."""

from __future__ import annotations

import jax

LEFT_OUT: dict[str, str] = {
    "random_bits-rbg": "in JAX a batch of such keys draws from the first of them",
    "rng_uniform-int32[]-int32[]": "no call repeats another",
    "bitcast_convert_type-float64-to-float32": "half of the bits of a number are any number, nan among them",
    **dict.fromkeys(
        ("eq_to-total-order", "le_to-total-order", "lt_to-total-order"),
        "sums do not keep the signs of zeros and nans, so the operands are constants, which XLA compares as IEEE",
    ),
    "clz-int32[3,2]": "XLA without optimization gives -32 for negative numbers",
}
"""Samples that are not part of programs."""

GAMMA = "JAX has second derivatives in the first argument in forward mode only: they go through its loops"
ONLY_ONCE: dict[str, str] = dict.fromkeys(
    """
    igamma_ratio random_gamma random_gamma_grad random.gamma random.beta random.chisquare random.dirichlet random.f
    random.loggamma random.t random.generalized_normal random.binomial random.multinomial random.double_sided_maxwell
    """.split(),
    GAMMA,
)
"""What is differentiated no more than once."""

STAIRS = {"lax.reduce_precision"}
"""What differences do not see: its derivative is that of its argument, and its values are steps."""

UNMOVED: dict[str, tuple[int, ...]] = {
    "add_zero": (1,),  # the zero
    **dict.fromkeys(("center", "safe_center"), (1,)),  # numbers that add up to 1
    "symmetric_product": (1,),  # a symmetric matrix
    "custom_linear_solve": (0,),  # the matrix, which the functions of the sample have too
    "logistic_slope": (0, 1),  # the second is a function of the first
    "tanh_slope": (0, 1),
    "schur": (0,),  # the last bit decides the phases of its vectors
}
"""Arguments of the samples of a primitive that are not free, or repeat what the sample says elsewhere."""

SCALED = {"cholesky_update"}
"""Primitives whose arguments have zeros that stay: they are moved by factors."""

WITHOUT_DERIVATIVE: dict[str, str] = {"sign-complex-zero": "JAX takes z / |z| for flat; the sample is at 0"}
"""Samples whose arguments are constants in programs."""

SELECTS = "JAX's gradient is zero; ours is that of the elements that are selected"
SETS = "union1d unique unique_all unique_counts unique_inverse unique_values intersect1d setdiff1d setxor1d"
FROM_THE_RIGHT = "at 0, a kink, JAX takes the mean of both slopes; ours is that from the right, so that i0 is flat"
NOT_CALLED: dict[str, str] = {
    **{f"jax.numpy.{name}": SELECTS for name in SETS.split()},
    **dict.fromkeys(["jax.scipy.special.i0e", "jax.scipy.special.i1e", "jax.lax.bessel_i1e"], FROM_THE_RIGHT),
    "jax.scipy.sparse.linalg.gmres": "in JAX its tangents are 0 where they are small beside the right-hand side",
}
"""Functions of the surface that are not called."""

if jax.__version__.startswith("0.10."):
    TRIANGLE = "in JAX 0.10 the derivative looks at both triangles, and the value at one"
    LEFT_OUT["iota-complex64-0"] = "XLA of JAX 0.10 does not compile all that can be done with it"
    NOT_CALLED |= {"jax.scipy.linalg.cho_factor": TRIANGLE, "jax.scipy.linalg.cholesky": TRIANGLE}
    BENT = "in JAX 0.10 the function bends at 0, where its derivatives are other ones"
    NOT_CALLED |= dict.fromkeys(["jax.scipy.special.i0", "jax.scipy.special.i1", "jax.numpy.i0"], BENT)
