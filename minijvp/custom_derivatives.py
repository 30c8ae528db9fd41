"""Derivatives by rules of their users: the names of jax.custom_derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero, custom_vjp_primal_tree_values
from jax.tree_util import Partial, tree_flatten, tree_map, tree_unflatten

from minijvp import trees
from minijvp.api.programs import stage_tree
from minijvp.arguments.tangents import leaf_namer
from minijvp.calls.linear_call import call_linear
from minijvp.calls.programs import fits, groups
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.tracer import is_traced
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.custom_rules.decorators import custom_jvp, custom_vjp
from minijvp.custom_rules.rule_results import pair
from minijvp.custom_rules.staged_rules import array_of_zeros, symbolic_zero
from minijvp.errors import ArgumentError
from minijvp.transforms.staging import argument_type, stage

__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "custom_vjp_primal_tree_values",
    "linear_call",
    "zero_from_primal",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class ConvertedClosure:
    """A function of pytrees as its program: called with the constants of that, and the arguments. Hashable."""

    def __init__(self, jaxpr: Jaxpr, in_tree: Any, out_tree: Any, name: str):
        self.jaxpr, self.in_tree, self.out_tree, self.name = jaxpr, in_tree, out_tree, name

    def __eq__(self, other: object) -> bool:
        return type(other) is ConvertedClosure and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> tuple:
        return self.jaxpr, self.in_tree, self.out_tree, self.name

    def __call__(self, constants: Sequence[Any], *args: Any) -> Any:
        leaves, tree = tree_flatten((args, {}))
        if tree != self.in_tree:
            raise ArgumentError(
                f"{self.name} received arguments of structure {tree}, and is a program for {self.in_tree}.",
                "It was made for arguments of one structure.",
                "Pass the same containers.",
            )
        leaves = trees.as_arrays(leaves, leaf_namer(args, f"the arguments of {self.name}"))
        wanted = self.jaxpr.in_types[len(constants) :]
        require_types(leaves, wanted, leaf_namer(args, f"the arguments of {self.name}"))
        return tree_unflatten(self.out_tree, evaluate(self.jaxpr, *constants, *leaves))


def program(fun: Callable[..., Any], examples: tuple, name: str) -> tuple[ConvertedClosure, tuple[Any, ...]]:
    """A function as a program for arguments like these, and the values that it closes over."""
    leaves, in_tree = tree_flatten((examples, {}))
    types = tuple([argument_type(x) for x in trees.as_arrays(leaves, trees.call_namer(fun, examples, {}))])
    closed, out_tree = stage_tree(fun, in_tree, types)
    opened, constants = closed.hoist_constants()
    return ConvertedClosure(opened, in_tree, out_tree, name), constants


def custom_gradient(fun: Callable[..., Any]) -> custom_vjp:
    """A function whose derivative is by the function of cotangents that it returns beside its result.

    custom_gradient : (a -> (b, CT b -> CT a)) -> (a -> b)

    `fun` takes pytrees of arrays and returns a pair: the result, and a function that takes a cotangent of the result
    and returns one for each argument, in a tuple; for a single argument it may come without one. Forward mode
    transposes that function, which must be linear for it.

    Raises ArgumentError for other results.

    >>> import minijvp, minijvp.numpy as mnp
    >>> sine = minijvp.custom_gradient(lambda x: (mnp.sin(x), lambda ct: ct * mnp.cos(x)))
    >>> float(minijvp.grad(sine)(0.0))
    1.0
    """
    trees.require_callable(fun, "custom_gradient")
    role = trees.place_of(fun)

    @custom_vjp
    @trees.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return pair(fun(*args, **kwargs), role, "the result, and a function of its cotangent")[0]

    def fwd(*args: Any) -> tuple[Any, Any]:
        out, rule = pair(fun(*args), role, "the result, and a function of its cotangent")
        trees.require_callable(rule, f"the gradient of {trees.function_name(fun)}")
        zeros = tree_map(array_of_zeros, out)
        pull, constants = program(rule, (zeros,), f"the gradient of {trees.function_name(fun)}")
        return out, Partial(pull, constants)

    def bwd(pull: Any, ct: Any) -> tuple[Any, ...]:
        found = pull(ct)
        return tuple(found) if isinstance(found, (tuple, list)) else (found,)

    wrapped.defvjp(fwd, bwd)
    return wrapped


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A function that takes the traced floats that `fun` closes over as arguments after its own, and those values.

    closure_convert : (a -> b) -> ((a, c) -> b, c)

    `fun` is staged for arguments of the types of `example_args`, and the result takes such arguments only. It is for
    functions with rules that take functions: what is differentiated becomes an argument.

    Raises ArgumentError for other arguments.

    >>> import minijvp
    >>> def slope(a):
    ...     converted, closed_over = minijvp.closure_convert(lambda x: a * x, 2.0)
    ...     return converted(5.0, *closed_over)
    >>> float(minijvp.grad(slope)(3.0))
    5.0
    """
    trees.require_callable(fun, "closure_convert")
    made, constants = program(fun, example_args, trees.function_name(fun))
    hoisted = [is_traced(x) and is_inexact(type_of(x).dtype) for x in constants]
    kept = [None if flag else x for x, flag in zip(constants, hoisted, strict=True)]

    @trees.wraps(fun)
    def converted(*args: Any) -> Any:
        own, given = groups(args, len(args) - sum(hoisted))
        values = iter(given)
        return made([next(values) if flag else x for x, flag in zip(kept, hoisted, strict=True)], *own)

    return converted, [x for x, flag in zip(constants, hoisted, strict=True) if flag]


def linear_call(
    fun: Callable[[Any, Any], Any], fun_transpose: Callable[[Any, Any], Any], residual_args: Any, linear_args: Any
) -> Any:
    """`fun(residual_args, linear_args)`, a function that is linear in the latter, and whose transpose is by a rule.

    Args:
        fun: takes two pytrees of arrays and returns one, of floats; it is linear in the second.
        fun_transpose: takes `residual_args` and a cotangent of the result, returns a cotangent of `linear_args`.
        residual_args: in these it is not linear. By them `fun` is differentiated as it stands.
        linear_args: of floats.

    Transposed twice it is `fun` again.

    Raises ArgumentError for other trees and types.

    >>> import minijvp
    >>> divide = lambda x, y: minijvp.custom_derivatives.linear_call(lambda y, x: x / y, lambda y, ct: ct / y, y, x)
    >>> float(minijvp.grad(divide)(3.0, 4.0))
    0.25
    """
    residuals, tree = tree_flatten(residual_args)
    linear, linear_tree = tree_flatten(linear_args)
    residuals = trees.as_arrays(residuals, leaf_namer(residual_args, "residual_args"))
    linear = trees.as_arrays(linear, leaf_namer(linear_args, "linear_args"))
    n, types = len(residuals), [argument_type(x) for x in (*residuals, *linear)]
    name = trees.function_name(fun)
    require_floats(types[n:], leaf_namer(linear_args, "linear_args"))
    out_tree: Any = None

    def forward(*xs: Any) -> list[Any]:
        nonlocal out_tree
        result = fun(tree_unflatten(tree, xs[:n]), tree_unflatten(linear_tree, xs[n:]))
        outs, out_tree = tree_flatten(result)
        outs = trees.as_arrays(outs, trees.result_namer(result, name))
        require_floats(list(map(type_of, outs)), trees.result_namer(result, name))
        return outs

    def backward(*xs: Any) -> list[Any]:
        result = fun_transpose(tree_unflatten(tree, xs[:n]), tree_unflatten(out_tree, xs[n:]))
        cts, found = tree_flatten(result)
        role = f"the transpose of {name}, {trees.place_of(fun_transpose)},"
        if found != linear_tree:
            raise ArgumentError(
                f"{role} returned a cotangent of structure {found}, but linear_args is {linear_tree}.",
                "It returns a cotangent for each linear argument.",
                "Return the same containers.",
            )
        cts = trees.as_arrays(cts, trees.result_namer(result, role))
        require_types(cts, types[n:], trees.result_namer(result, role))
        return cts

    forward_program = stage(forward, types, name)
    ct_types = [t.strong() for t in forward_program.out_types]
    backward_program = stage(backward, [*types[:n], *ct_types], name)
    return tree_unflatten(out_tree, call_linear(forward_program, backward_program, residuals, linear))


def require_floats(types: Sequence[ArrayType], where: Callable[[int], str]) -> None:
    """Raise ArgumentError for a type of which nothing is linear."""
    for i, t in enumerate(types):
        if not is_inexact(t.dtype):
            raise ArgumentError(
                f"linear_call: {where(i)} is {t!r}.",
                "A linear function takes and returns floating or complex numbers.",
                "Convert it (1.0 for 1), or pass it in residual_args.",
            )


def require_types(values: Sequence[Any], types: Sequence[ArrayType], where: Callable[[int], str]) -> None:
    """Raise ArgumentError for a value that has not its type, up to weakness."""
    for i, (x, t) in enumerate(zip(values, types, strict=True)):
        if not fits(argument_type(x), t):
            raise ArgumentError(
                f"{where(i)} is {type_of(x)!r}, where {t!r} is wanted.",
                "A program is made for one shape and one dtype.",
                "Pass or return a value of that type.",
            )


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """The tangent that is zero for each leaf of a value: an array, float0 for integers, or a SymbolicZero."""
    return tree_map(symbolic_zero if symbolic_zeros else array_of_zeros, val)
