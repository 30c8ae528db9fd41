"""Products with matrices of second derivatives, each for a few evaluations of the function.

hvp : (a -> R) -> (a, T a) -> CT a
ggnvp : (b -> R) -> (a -> b) -> (a, T a) -> CT a
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_leaves, tree_map, tree_unflatten

import minijvp.numpy as mnp
from minijvp import trees
from minijvp.api.gradients import grad
from minijvp.api.linear_maps import PullBack, PushForward, jvp, linear_map_at, point_and_direction
from minijvp.api.names import JVP, transforming
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError
from minijvp.operations.families import instantiate
from minijvp.products.checks import require_real_arguments, require_real_results
from minijvp.tracebacks import border
from minijvp.transforms.jvp import jvp_flat
from minijvp.trees import FlatFunction, Selection


@border
def hvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of `fun` at `primals` with `tangents`, by forward mode over reverse mode.

    hvp : (a -> R) -> (a, T a) -> CT a

    Args:
        fun: takes pytrees of arrays by position and returns a real number.
        primals: tuple or list of arguments, all of which are differentiated.
        tangents: tuple or list of the same trees, shapes and dtypes.

    Returns the tree of the argument, if there is one, or a tuple of those of all. The cost is that of a few gradients.

    Raises ArgumentError if the trees, shapes or dtypes of primals and tangents differ, if an argument is not floating,
    and if the result is not a real number.

    Source: B. A. Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6(1), 1994.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.hvp(lambda x: x[0] ** 2 * x[1], (mnp.array([1.0, 3.0]),), (mnp.array([1.0, 0.0]),)).tolist()
    [6.0, 2.0]
    """
    trees.require_callable(fun, "hvp")
    point_and_direction(primals, tangents, "hvp")
    found = jvp(grad(fun, tuple(range(len(primals)))), primals, tangents)[1]
    return found[0] if len(primals) == 1 else found


@border
def ggnvp(
    loss: Callable[[Any], Any], model: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> Any:
    """The product of the generalized Gauss-Newton matrix of `loss(model(*primals))` with `tangents`.

    ggnvp : (b -> R) -> (a -> b) -> (a, T a) -> CT a

    With J the Jacobian of the model and H the Hessian of the loss at its result, the matrix is J^T H J: positive
    semidefinite, if the loss is convex. Where the loss is a negative log-likelihood by natural parameters (squares,
    logistic, softmax), it is the Fisher information of the model.

    Args:
        loss: takes the result of the model and returns a real number.
        model: takes pytrees of arrays by position and returns one.
        primals, tangents: as for `hvp`.

    Returns the tree of the argument of the model, if there is one, or a tuple of those of all.

    Raises ArgumentError as `hvp` does.

    Source: N. N. Schraudolph, Fast curvature matrix-vector products for second-order gradient descent, Neural
    Computation 14(7), 2002.

    >>> import minijvp, minijvp.numpy as mnp
    >>> x, t = mnp.array([1.0, 3.0]), mnp.array([1.0, 0.0])
    >>> minijvp.ggnvp(lambda y: (y ** 2).sum(), lambda x: x ** 2, (x,), (t,)).tolist()
    [8.0, 0.0]
    """
    trees.require_callable(loss, "ggnvp")

    def curvature(outs: Any, tangents: Any) -> Any:
        return jvp(grad(loss), (outs,), (tangents,))[1]

    return there_and_back(curvature, model, primals, tangents, "ggnvp")


@border
def fishervp(log_likelihoods: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the empirical Fisher matrix, the mean of g g^T over examples, with `tangents`.

    fishervp : (a -> [R]) -> (a, T a) -> CT a

    Args:
        log_likelihoods: takes pytrees of arrays by position, and returns the log-likelihoods of all examples (or other
            numbers), an array or a pytree of them; g is the gradient of one.
        primals, tangents: as for `hvp`.

    Returns the tree of the argument, if there is one, or a tuple of those of all. No gradient of a single example is
    formed. For the Fisher information itself see `ggnvp`; the two differ (F. Kunstner et al., Limitations of the
    empirical Fisher approximation for natural gradient descent, NeurIPS 2019).

    Raises ArgumentError if primals and tangents do not fit, and if an argument or a result is not floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> x, t = mnp.array([1.0, 3.0]), mnp.array([1.0, 0.0])
    >>> minijvp.fishervp(lambda x: x ** 2, (x,), (t,)).tolist()
    [2.0, 0.0]
    """

    def mean(outs: Any, tangents: Any) -> Any:
        n = sum([x.size for x in tree_leaves(outs)])
        return tree_map(lambda t: t / n, tangents)

    return there_and_back(mean, log_likelihoods, primals, tangents, "fishervp", real=True)


def there_and_back(
    curvature: Callable[[Any, Any], Any],
    model: Callable[..., Any],
    primals: Any,
    tangents: Any,
    who: str,
    real: bool = False,
) -> Any:
    """The tangents pushed through a model, made cotangents of its results by `curvature`, and pulled back."""
    trees.require_callable(model, who)
    leaves, tree, _ = point_and_direction(primals, tangents, who)
    flat = FlatFunction(model, tree)
    outs, pullback, constants = linear_map_at(PullBack, flat, leaves)
    if real:
        require_real_results(flat, outs, who)
    pushed = PushForward(*pullback.key())(constants, *tangents)
    found = pullback(constants, curvature(tree_unflatten(flat.out_tree, outs), pushed))
    return found[0] if len(primals) == 1 else found


def elementwise_grad(fun: Callable[..., Any], argnums: int | str = 0) -> Callable[..., Any]:
    """A function that returns the derivative of each element of `fun` by the same element of an argument.

    elementwise_grad : ([R] -> [R]) -> [R] -> [R]

    It is right for a function that works element by element, as those of NumPy do: the diagonal of the Jacobian, for
    one jvp along ones. Where a result depends on other elements, it has their derivatives too, in a sum.

    Args:
        fun: takes an array, and maybe other arguments, and returns an array of the same shape.
        argnums: the argument to differentiate: a position or a name.

    Raises ArgumentError if that argument is not one floating array, or the result is none of its shape.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.elementwise_grad(lambda x: x ** 3)(mnp.array([1.0, 2.0])).tolist()
    [3.0, 12.0]
    """
    making = elementwise_grad, {**locals()}
    trees.require_callable(fun, "elementwise_grad")

    @trees.wraps(fun, making)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs)
        require_real_arguments(selection, "elementwise_grad")
        with transforming(JVP):
            ones = list(map(mnp.ones_like, selection.leaves))
            outs, tangents = jvp_flat(selection.positional, selection.leaves, ones)
        require_real_results(selection, outs, "elementwise_grad")
        taken, given = ([type_of(x) for x in xs] for xs in (selection.leaves, outs))
        if len(taken) != 1 or [t.shape for t in given] != [t.shape for t in taken]:
            raise ArgumentError(
                f"elementwise_grad of {selection.name} received {', '.join(map(repr, taken)) or 'nothing'} and "
                f"returned {', '.join(map(repr, given)) or 'nothing'}.",
                "A function that works element by element takes one real array and returns one of its shape.",
                "Take grad of a number, and jacobian of other arrays.",
            )
        result = tree_unflatten(selection.out_tree, [instantiate(tangents[0], outs[0])])
        if other_plans:
            hooks.check(result, derivative, args, kwargs)
        return result

    return derivative
