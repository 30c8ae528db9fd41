"""Matrices of derivatives as linear operators: what solvers need of a matrix, by products, without its entries."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial, register_pytree_node_class

import minijvp.numpy as mnp
from minijvp import trees
from minijvp.api.batching import vmap
from minijvp.api.gradients import grad
from minijvp.api.linear_maps import PullBack, PushForward, linear_map_at
from minijvp.calls.jit import jit
from minijvp.errors import ArgumentError
from minijvp.lax.vectors import Vectors
from minijvp.products.checks import require_real_arguments, require_real_results
from minijvp.tracebacks import border
from minijvp.trees import Selection

Tree = Any


@register_pytree_node_class
class DerivativeOperator:
    """A real linear operator: a matrix of derivatives at a point, of which there are products and no entries.

    `operator(t)` maps a pytree, so that `minijvp.scipy.sparse.linalg.cg` and `gmres` take it for A. As a matrix of
    shape `(m, n)` it maps vectors, which have the entries of all leaves in order: `matvec(v)`, `matmat(V)` and
    `operator @ v`; `rmatvec(u)`, `rmatmat(U)` and `.T` (or `.H`, `adjoint()`) have the transpose. The solvers of
    `scipy.sparse.linalg` take it for a LinearOperator: of arrays of NumPy it gives such. It is a pytree of the numbers
    that the products need, so that jit can take and return it.

    >>> import minijvp, minijvp.numpy as mnp
    >>> J = minijvp.jacobian_operator(lambda x: x[:2] ** 2, mnp.array([1.0, 2.0, 3.0]))
    >>> J.shape, (J @ mnp.ones(3)).tolist(), (J.T @ mnp.ones(2)).tolist()
    ((2, 3), [2.0, 4.0], [2.0, 4.0, 0.0])
    """

    def __init__(self, forward: Partial, backward: Partial, source: Vectors, target: Vectors):
        self.forward, self.backward = forward, backward
        self.source, self.target = source, target

    def tree_flatten(self) -> tuple[tuple, tuple]:
        return (self.forward, self.backward), (self.source, self.target)

    @classmethod
    def tree_unflatten(cls, spaces: tuple, maps: Any) -> DerivativeOperator:
        return cls(*maps, *spaces)

    @property
    def shape(self) -> tuple[int, int]:
        return self.target.size, self.source.size

    @cached_property
    def dtype(self) -> np.dtype:
        return np.dtype(mnp.result_type(*[t.dtype for t in (*self.source.types, *self.target.types)]))

    @property
    def T(self) -> DerivativeOperator:
        return DerivativeOperator(self.backward, self.forward, self.target, self.source)

    @property
    def H(self) -> DerivativeOperator:
        return self.T

    def transpose(self) -> DerivativeOperator:
        return self.T

    adjoint = transpose

    def __call__(self, tree: Tree) -> Tree:
        return applied(self.forward, tree)

    def matvec(self, v: Any) -> Any:
        """The product with a vector of shape (n,) or (n, 1)."""
        return self.product(v, (1, 2), "matvec")

    def rmatvec(self, u: Any) -> Any:
        """The product of the transpose with a vector of shape (m,) or (m, 1)."""
        return self.T.product(u, (1, 2), "rmatvec")

    def matmat(self, V: Any) -> Any:
        """The product with a matrix of shape (n, k)."""
        return self.product(V, (2,), "matmat")

    def rmatmat(self, U: Any) -> Any:
        """The product of the transpose with a matrix of shape (m, k)."""
        return self.T.product(U, (2,), "rmatmat")

    def __matmul__(self, other: Any) -> Any:
        return self.product(other, (1, 2), "@")

    dot = __matmul__

    def product(self, other: Any, dimensions: tuple[int, ...], what: str) -> Any:
        """The product with a vector, or with each column of a matrix."""
        kind = trees.require_array(other, lambda: f"what {what} received")
        if len(kind.shape) not in dimensions or kind.shape[0] != self.source.size or kind.dtype.kind == "c":
            raise ArgumentError(
                f"{what} of an operator of shape {self.shape} received {kind!r}.",
                f"It maps real vectors with {self.source.size} entries.",
                "Pass an array of that shape; a pytree is mapped by calling the operator.",
            )
        columns = (lambda x: vmap(self.vector, 1, 1)(x)) if len(kind.shape) == 2 else self.vector
        found = columns(mnp.asarray(other))
        return np.array(found) if isinstance(other, np.ndarray) and isinstance(found, jax.Array) else found

    def vector(self, v: Any) -> Any:
        return self.target.ravel(applied(self.forward, self.source.unravel(v)))

    def __repr__(self) -> str:
        return f"<{self.shape[0]}x{self.shape[1]} {type(self).__name__} of {self.dtype}>"


@jit
def applied(linear_map: Partial, tree: Tree) -> Tree:
    """What a linear map makes of a tree, by one compiled program for all maps that differ in their numbers only."""
    return linear_map(tree)


@border
def jacobian_operator(fun: Callable[[Any], Any], x: Any) -> DerivativeOperator:
    """The Jacobian of `fun` at `x` as a linear operator, for one run of `fun`.

    Args:
        fun: takes a pytree of real arrays and returns one.
        x: the point.

    Returns a `DerivativeOperator`: a product costs what is linear in a jvp, one of its transpose a pullback.

    Raises ArgumentError if the argument or a result is not real and floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.jacobian_operator(lambda x: x ** 2, mnp.array([1.0, 3.0])).rmatvec(mnp.array([1.0, 1.0])).tolist()
    [2.0, 6.0]
    """
    push, pull, out = maps_at(fun, x, "jacobian_operator")
    return DerivativeOperator(push, pull, Vectors(x), Vectors(out))


@border
def hessian_operator(fun: Callable[[Any], Any], x: Any) -> DerivativeOperator:
    """The Hessian of `fun` at `x` as a linear operator, for one run of its gradient.

    Args:
        fun: takes a pytree of real arrays and returns a real number.
        x: the point.

    Returns a `DerivativeOperator` that is its own transpose; a product costs what is linear in a jvp of the gradient.

    Raises ArgumentError as `grad` does.

    >>> import minijvp, minijvp.numpy as mnp
    >>> H = minijvp.hessian_operator(lambda x: x[0] ** 2 * x[1], mnp.array([1.0, 3.0]))
    >>> (H @ mnp.array([1.0, 0.0])).tolist()
    [6.0, 2.0]
    """
    trees.require_callable(fun, "hessian_operator")
    push, _, _ = maps_at(grad(fun), x, "hessian_operator")
    return DerivativeOperator(push, push, Vectors(x), Vectors(x))


@border
def ggn_operator(loss: Callable[[Any], Any], model: Callable[[Any], Any], x: Any) -> DerivativeOperator:
    """The generalized Gauss-Newton matrix of loss(model(x)) as a linear operator: see `ggnvp`.

    Args:
        loss: takes the result of the model and returns a real number.
        model: takes a pytree of real arrays and returns one.
        x: the point.

    Returns a `DerivativeOperator` that is its own transpose.

    Raises ArgumentError as `jacobian_operator` and `grad` do.

    >>> import minijvp, minijvp.numpy as mnp
    >>> G = minijvp.ggn_operator(lambda y: (y ** 2).sum(), lambda x: x ** 2, mnp.array([1.0, 3.0]))
    >>> (G @ mnp.array([1.0, 0.0])).tolist()
    [8.0, 0.0]
    """
    trees.require_callable(loss, "ggn_operator")
    push, pull, out = maps_at(model, x, "ggn_operator")
    curvature, _, _ = maps_at(grad(loss), out, "ggn_operator")
    both = Partial(sandwiched, push, curvature, pull)
    return DerivativeOperator(both, both, Vectors(x), Vectors(x))


def sandwiched(push: Partial, curvature: Partial, pull: Partial, tree: Tree) -> Tree:
    """A tree pushed forward, and pulled back with a symmetric map in between."""
    return pull(curvature(push(tree)))


def maps_at(fun: Callable[[Any], Any], x: Any, who: str) -> tuple[Partial, Partial, Any]:
    """The derivative of `fun` at `x`, its transpose, each of one tree, and the result."""
    trees.require_callable(fun, who)
    selection = Selection(fun, 0, (x,), {})
    require_real_arguments(selection, who)
    outs, pullback, constants = linear_map_at(PullBack, selection, selection.leaves, "off")
    require_real_results(selection, outs, who)
    pushforward = PushForward(*pullback.key())
    out = trees.tree_unflatten(selection.out_tree, outs)
    return Partial(pushforward, constants), Partial(pulled, Partial(pullback, constants)), out


def pulled(pull: Partial, ct: Tree) -> Tree:
    """The cotangent of the one argument."""
    return pull(ct)[0]
