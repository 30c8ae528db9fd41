"""Least squares, with derivatives where singular values are equal too."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from minijvp.api.linear_maps import jvp
from minijvp.core.types import Array
from minijvp.custom_rules.decorators import custom_jvp
from minijvp.errors import ArgumentError
from minijvp.interop.from_jax import from_jax
from minijvp.numpy.contractions import matmul
from minijvp.numpy.promotion import promote
from minijvp.numpy.reductions import sum as sum_of
from minijvp.numpy.restated import restated
from minijvp.numpy.ufuncs import conj, imag, real, square
from minijvp.operations.matrices import adjoint

product = partial(matmul, precision="highest")
decompose = from_jax(partial(jnp.linalg.svd, full_matrices=False))
lstsq_of_jax = from_jax(jnp.linalg.lstsq)


# The least-squares solution is differentiated by the pseudoinverse: by way of the singular vectors its derivative would
# be lost where singular values are equal, as those of orthogonal columns of one length are.


@custom_jvp
@from_jax
def decomposed(a: Array, rcond: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The pseudoinverse, the singular value decomposition, and the rank."""
    u, s, vh = jnp.linalg.svd(a, full_matrices=False)
    kept = (s > 0) & (s >= jnp.asarray(rcond, s.dtype) * s[0])
    inverses = jnp.where(kept, 1 / jnp.where(kept, s, 1), 0).astype(a.dtype)
    return jnp.matmul(vh.conj().T * inverses, u.conj().T, precision="highest"), u, s, vh, kept.sum()


@decomposed.defjvp
def _(primals: Any, tangents: Any) -> Any:
    """Golub and Pereyra, The differentiation of pseudo-inverses, SIAM J. Numer. Anal. 10 (1973), equation 4.12."""
    (a, rcond), (t, _) = primals, tangents
    p, u, s, vh, rank = decomposed(a, rcond)
    ph, th = adjoint(p), adjoint(t)
    rows = product(product(p, ph), th - product(th, product(a, p)))
    columns = product(th - product(p, product(a, th)), product(ph, p))
    turned = jvp(decompose, (a,), (t,))[1]
    return (p, u, s, vh, rank), (rows + columns - product(p, product(t, p)), *turned, None)


@custom_jvp
@from_jax
def solved(a: Array, b: Array, rcond: Any) -> tuple[Any, Any, Any]:
    """The least-squares solution, the rank and the singular values."""
    x, _, rank, s = jnp.linalg.lstsq(a, b, rcond)
    return x, rank, s


def pushed(primals: Any, tangents: Any) -> Any:
    """The rule of `solved`: x is the product of the pseudoinverse with b."""
    (a, b, rcond), (t, t_b, _) = primals, tangents
    p, u, s, vh, rank = decomposed(a, rcond)
    x, terms, t_s = product(p, b), [], None
    if not isinstance(t_b, SymbolicZero):
        terms.append(product(p, t_b))
    if not isinstance(t, SymbolicZero):
        ph, th = adjoint(p), adjoint(t)
        turned = product(th, product(ph, x))
        terms.append(product(p, product(ph, product(th, b - product(a, x))) - product(t, x)))
        terms.append(turned - product(p, product(a, turned)))
        t_s = real(sum_of(conj(u) * product(t, adjoint(vh)), 0))
    return (x, rank, s), (sum(terms[1:], terms[0]), None, t_s)


solved.defjvp(pushed, symbolic_zeros=True)


def least_squares(a: Array, b: Array, rcond: float) -> tuple[Any, Any, Any, Any]:
    """Solution, squared residuals, rank and singular values, of which those that are cut off count as 0."""
    columns = b if b.ndim == 2 else b[:, None]
    # A matrix without elements has no singular values for the rule, and JAX's zeros are their own derivatives.
    x, rank, s = (solved if a.size else solved.fun)(a, columns, rcond)
    rest = columns - product(a, x)
    return x.reshape(a.shape[1], *b.shape[1:]), sum_of(square(real(rest)) + square(imag(rest)), 0), rank, s


@restated(jax.numpy.linalg, "lstsq")
def lstsq(a: Array, b: Array, rcond: Any = None, *, numpy_resid: bool = False) -> tuple[Any, Any, Any, Any]:
    """The x for which a @ x is nearest to b, the squared residuals, the rank and the singular values."""
    a, b = promote("linalg.lstsq", a, b, inexact=True)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ArgumentError(
            f"minijvp.numpy.linalg.lstsq received arrays of shapes {a.shape} and {b.shape}.",
            "It solves a @ x = b for a matrix, (M, N), and a right-hand side, (M,) or (M, K).",
            "Give both the same first axis; for more matrices, use vmap.",
        )
    if rcond is not None:  # what a limit of the user's cuts off is more than rounding, and has a derivative
        return lstsq_of_jax(a, b, rcond, numpy_resid=numpy_resid)
    m, n = a.shape
    x, rest, rank, s = least_squares(a, b, max(m, n) * float(jnp.finfo(a.dtype).eps))
    if numpy_resid and (m <= n or rank < n):
        rest = jnp.zeros(0, rest.dtype)
    return x, rest, rank, s
