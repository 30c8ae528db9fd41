"""Taps: places in a program where the cotangent can be read, or edited on its way back.

tap : a -> a
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.taps import Site, Tapping
from minijvp.arguments.tangents import for_user, leaf_namer
from minijvp.calls.linear_call import LinearCall, vmap_linear
from minijvp.calls.programs import are_inexact, as_arrays, instantiate_inexact, tangent_types
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import nothing_is_traced
from minijvp.core.types import Array, ArrayType, Params, is_inexact, type_of
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import add_tangents, all_batched, is_linear, spread
from minijvp.transforms.staging import argument_type, stage


class Tap(Tapping):
    """The first arguments, the leaves of a value of structure `tree`, whose cotangents are known by `name`.

    With `bwd` they are edited: it takes constants, the other arguments, and then a cotangent for each leaf that is
    inexact, and gives one for each. A derivative takes the tap out: only reverse mode edits anything.
    """

    body = ""
    rules = ("bwd",)
    recomputable = "free"
    own_derivative = True

    def sites(self, types: Sequence[ArrayType], params: Params) -> Sequence[Site]:
        if params["name"] is None:
            return ()
        leaves = [ArrayType(t.shape, t.dtype) for t in types[: params["tree"].num_leaves]]
        return (Site(params["name"], params["tree"], tuple(leaves)),)

    def with_zeros(self, args: tuple, params: Params, zeros: Sequence[Any]) -> tuple[Any, ...]:
        # Behind the edit, which is before them on the way back: what is read is what arrives.
        outs, rest = self(*args, **{**params, "name": None}) if params["bwd"] is not None else args, iter(zeros)
        return tuple([add_zero(x, next(rest)) if is_inexact(type_of(x).dtype) else x for x in outs])

    def impl(self, *args: Array, name: str | None, tree: Any, bwd: Jaxpr | None) -> tuple[Any, ...]:
        return tuple(args[: tree.num_leaves])

    def type_rule(self, *types: ArrayType, tree: Any, **params: Any) -> tuple[ArrayType, ...]:
        return tuple(types[: tree.num_leaves])

    def jvp(self, primals: tuple, tangents: tuple, *, tree: Any, bwd: Jaxpr | None, **params: Any) -> tuple[Any, Any]:
        if bwd is not None:
            raise only_reverse_mode(bwd)
        return primals, tangents

    def linearize(
        self, primals: tuple, tangents: tuple, *, tree: Any, bwd: Jaxpr | None, **params: Any
    ) -> tuple[Any, Any]:
        if bwd is None:
            return primals, tangents
        n = tree.num_leaves
        xs, constants = primals[:n], primals[n:]
        types = list(map(type_of, xs))
        ts = instantiate_inexact(tangents[:n], types)
        return xs, spread(tap_tangents(*constants, *ts, bwd=bwd), are_inexact(types))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, tree: Any, bwd: Jaxpr | None, **params: Any
    ) -> tuple[Any, Any]:
        n = tree.num_leaves
        if bwd is None:
            return self(*args, tree=tree, bwd=None, **params), batched
        xs = all_batched(axis, args[:n], batched[:n])
        outs = self(*xs, *args[n:], tree=tree, bwd=vmap_linear(bwd, axis, batched[n:]), **params)
        return outs, (True,) * n


class TapTangents(LinearCall):
    """The tangents of edited values, whose transpose is the edit `bwd` of the cotangents. It is not evaluated.

    Its arguments are the constants of `bwd`, and then the tangents of the inexact leaves.
    """

    body = ""
    helpers = ("bwd",)
    rules = ()

    def n_residuals(self, params: Params) -> int:
        return len(params["bwd"].inputs) - len(params["bwd"].outputs)

    def forward(self, params: Params) -> Jaxpr:
        raise only_reverse_mode(params["bwd"])

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        return tangent_types(types[self.n_residuals(params) :])

    def derivative(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        raise only_reverse_mode(params["bwd"])

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        types = params["bwd"].in_types[len(residuals) :]
        return as_arrays(evaluate(params["bwd"], *residuals, *instantiate_inexact(ct, types)), types)

    def batched(self, axis: Axis, residuals: tuple[bool, ...], params: Params) -> dict[str, Any]:
        return {"bwd": vmap_linear(params["bwd"], axis, residuals)}


class AddZero(Primitive):
    """The first argument; the second is a zero, which is added in the derivative only."""

    own_derivative = True
    recomputable = "free"

    def impl(self, x: Array, zero: Array) -> Array:
        return x

    def type_rule(self, x: ArrayType, zero: ArrayType) -> ArrayType:
        return x

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return self(*primals), add_tangents(*tangents)

    def transpose(self, ct: Array, x: Any, zero: Any) -> tuple[Any, Any]:
        return ct if is_linear(x) else None, ct if is_linear(zero) else None

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*all_batched(axis, args, batched)), True


tap_primitive = Tap("tap")
tap_tangents = TapTangents("tap_tangents")
add_zero = AddZero("add_zero")


def only_reverse_mode(bwd: Jaxpr) -> MissingRuleError:
    """The error for a derivative of an edited tap that does not run backwards."""
    return MissingRuleError(
        f"forward mode met a tap whose cotangent is edited by {bwd.name}.",
        "An edit changes what reverse mode hands back, which then is the derivative of no function that forward mode "
        "could differentiate.",
        "Use reverse mode (grad, vjp, jacrev), or leave the edit out.",
    )


def tap(x: Any, name: str | None = None, bwd: Callable[[Any], Any] | None = None) -> Any:
    """`x`, as a place where reverse mode shows its cotangent, or edits it.

    tap : a -> a

    Args:
        x: a pytree of arrays.
        name: under it `grad` and `value_and_grad` with taps=True return the cotangent of `x`, in the tree, shapes and
            dtypes of `x`: the derivative of the value by `x`.
        bwd: a function that edits the cotangent, from a pytree like `x` to such a one. What is read under the name is
            what arrived, before the edit. It may close over traced values; it is differentiated in second derivatives.

    The innermost derivative around a tap reads and edits it. In the body of a scan, cotangents have the steps along a
    leading axis; under vmap inside the derivative, the batch (a value that is the same in all lanes has none, and
    gets the sum). In a branch of cond that is not taken they are zeros. Several taps of one name give a list. A tap
    that no transformation listens to costs nothing.

    Raises ArgumentError for an edit that changes the tree or a type, MissingRuleError for an edited tap in forward mode
    and for a tap that is read inside a while_loop or a function with a rule of its own.

    >>> import minijvp, minijvp.numpy as mnp
    >>> f = lambda x: mnp.sin(minijvp.tap(x * x, "square"))
    >>> gradient, taps = minijvp.grad(f, taps=True)(2.0)
    >>> float(taps["square"]) == float(mnp.cos(4.0))
    True
    >>> float(minijvp.grad(lambda x: minijvp.tap(x, bwd=lambda g: mnp.clip(g, -1, 1)) ** 2)(3.0))
    1.0
    """
    require_tap(name, bwd)
    leaves, tree = tree_flatten(x)
    leaves = trees.as_arrays(leaves, leaf_namer(x, "x of tap"))
    if nothing_is_traced():
        return tree_unflatten(tree, leaves)
    constants: tuple[Any, ...] = ()
    edit: Jaxpr | None = None
    if bwd is not None and any(is_inexact(type_of(v).dtype) for v in leaves):
        edit, constants = staged_edit(bwd, x, tree, leaves).hoist_constants()
    return tree_unflatten(tree, tap_primitive(*leaves, *constants, name=name, tree=tree, bwd=edit))


def require_tap(name: Any, bwd: Any) -> None:
    """Raise ArgumentError for a name and an edit that are none."""
    if name is None and bwd is None:
        raise ArgumentError(
            "tap received neither a name nor an edit.",
            "Nothing could be done with it.",
            'Write tap(x, "name") to read the cotangent of x, tap(x, bwd=f) to edit it.',
        )
    if name is not None and not isinstance(name, str):
        raise ArgumentError(
            f"tap received name={name!r} of type {type(name).__name__}.",
            "Cotangents are returned in a dict by names.",
            "Pass a string.",
        )
    if bwd is not None:
        trees.require_callable(bwd, "tap(x, bwd=...)")


def staged_edit(bwd: Callable[[Any], Any], x: Any, tree: Any, leaves: Sequence[Any]) -> Jaxpr:
    """The program of an edit; ArgumentError names a leaf of which it changes the type."""
    types = [argument_type(v).strong() for v in leaves]
    name = trees.function_name(bwd)

    def flat_bwd(*cts: Array) -> list[Any]:
        rest = iter(cts)
        given = [next(rest) if is_inexact(t.dtype) else for_user(None, t) for t in types]
        result = bwd(tree_unflatten(tree, given))
        found, found_tree = tree_flatten(result)
        if found_tree != tree:
            raise wrong_edit(f"{name} made a cotangent of structure {found_tree} from one of {tree}")
        found = [v for v, t in zip(found, types, strict=True) if is_inexact(t.dtype)]
        found = trees.as_arrays(found, trees.result_namer(result, name))
        paths = [p for p, t in zip(trees.leaf_paths(x), types, strict=True) if is_inexact(t.dtype)]
        for v, ct, path in zip(found, cts, paths, strict=True):
            if v.shape != ct.shape or v.dtype != ct.dtype:
                raise wrong_edit(f"{name} made {type_of(v)!r} from the cotangent {ct.type!r} of x{path}")
        return found

    return stage(flat_bwd, [t for t in types if is_inexact(t.dtype)], name)


def wrong_edit(what: str) -> ArgumentError:
    """The error for an edit whose result cannot go on."""
    return ArgumentError(
        f"the edit of a tap changes the type: {what}.",
        "What it returns goes on as the cotangent of the tapped value.",
        "Return the same tree, shapes and dtypes (x.astype(...), sums over axes that were broadcast).",
    )
