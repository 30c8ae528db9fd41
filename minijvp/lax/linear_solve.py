"""Solutions of equations, differentiated by what they solve and not by the way they were found.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 15.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from jax.tree_util import tree_unflatten

from minijvp.api.linear_maps import linearize
from minijvp.arguments.tangents import leaf_namer
from minijvp.calls.programs import are_inexact, groups, instantiate_inexact, tangent_types
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, Var, evaluate
from minijvp.core.types import Array, is_inexact, type_of
from minijvp.custom_rules.custom_jvp import custom_jvp_call
from minijvp.custom_rules.custom_vjp import first_error, transposed_program
from minijvp.custom_rules.deferred import Deferred
from minijvp.custom_rules.linear_solve import PROGRAMS
from minijvp.custom_rules.linear_solve import custom_linear_solve as linear_solve_primitive
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.lax.bodies import Signature, Tree, require_functions, require_same, staged
from minijvp.lax.control_flow import promoted_carry
from minijvp.lax.shapes import stop_gradient
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import neg
from minijvp.operations.families import spread, zeros_like
from minijvp.tracebacks import border
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.staging import stage
from minijvp.trees import place_of

__all__ = ["custom_linear_solve", "custom_root"]

LINEAR, ROOT = "custom_linear_solve", "custom_root"
OpenProgram = tuple[Jaxpr, tuple[Any, ...]]
"""An open jaxpr, and the constants that its first inputs stand for: what a function closes over."""


@border
def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution x of matvec(x) = b, which is `solve(matvec, b)`, differentiated by that equation.

    custom_linear_solve : (a -o a, a, ((a -o a), a) -> a) -> a

    Args:
        matvec: the product of a square matrix with a vector, a pytree of arrays like `b`. What it closes over is
            differentiated. It is linear: nothing is added to the product (not checked).
        b: the right-hand side.
        solve: gives x for `matvec` and `b`. It is not differentiated, and may do anything.
        transpose_solve: the same for the transposed matrix: `transpose_solve(vecmat, b)`. Reverse mode needs it.
        symmetric: the matrix is its own transpose, so that `solve` solves with that too.
        has_aux: the solvers return a pair of x and auxiliary data, which is returned and has no derivative.

    From A x = b follows dx = A^-1 (db - dA x): forward mode solves once more, and reverse mode once with A^T. Nothing
    is kept of the solver's steps.

    Raises ArgumentError if matvec or a solver returns another tree or other types than `b`'s, and MissingRuleError,
    with the line, if there is a solver for the transpose and matvec is not linear.

    >>> import minijvp, minijvp.numpy as mnp
    >>> def solution(a):
    ...     return minijvp.lax.custom_linear_solve(lambda x: a * x, 6.0, lambda f, b: b / f(1.0), symmetric=True)
    >>> float(solution(2.0)), float(minijvp.grad(solution)(2.0))
    (3.0, -1.5)
    """
    named = [("matvec", matvec), ("solve", solve)]
    named += [] if transpose_solve is None else [("transpose_solve", transpose_solve)]
    require_functions(LINEAR, named)
    turned = solve if transpose_solve is None and symmetric else transpose_solve
    vector, product = equations(matvec, "matvec", b, "b", LINEAR)
    found, result, aux = solved(solve, "solve", matvec, vector, has_aux)
    programs: list[OpenProgram | None] = [product, None, found, None]
    if turned is not None:
        programs[1], vecmat = transposed(matvec, product, vector, symmetric)
        programs[3], _, other = solved(turned, "transpose_solve", vecmat, vector, has_aux)
        require_same_aux(aux, other)
    constants = [() if program is None else program[1] for program in programs]
    outs = linear_solve_primitive(
        *[x for group in constants for x in group],
        *vector.leaves,
        **{name: program and program[0] for name, program in zip(PROGRAMS, programs, strict=True)},
        const_lengths=tuple(map(len, constants)),
        n_aux=len(aux.leaves) if aux else 0,
    )
    x = tree_unflatten(result.structure, outs[: len(vector.leaves)])
    return (x, tree_unflatten(aux.structure, outs[len(vector.leaves) :])) if aux else x


def equations(fun: Callable[[Any], Any], role: str, x: Any, name: str, function: str) -> tuple[Tree, OpenProgram]:
    """The unknowns, strongly typed, and the program of a function that returns as many equations.

    Like a first carry of a loop, a Python scalar takes the dtype that the function gives it.
    """
    unknowns = Tree(x, leaf_namer(x, f"{name} of {function}"))
    stage_once = lambda: staged(fun, f"{role} of {function}", [unknowns.signature])
    jaxpr, (result,) = stage_once()
    if any(t.weak_type for t in unknowns.types) and len(result.types) == len(unknowns.types):
        places = zip(unknowns.leaves, unknowns.types, result.types, strict=True)
        strong = [as_strong(promoted_carry(*place)) for place in places]
        value = tree_unflatten(unknowns.structure, strong)
        unknowns = Tree(value, leaf_namer(value, f"{name} of {function}"))
        jaxpr, (result,) = stage_once()
    require_same(
        f"{role} of {function}, {place_of(fun)}, does not return what it takes",
        (name, f"{role}({name})"),
        unknowns,
        result,
        "There are as many equations as unknowns: the matrix (of the derivative) is square.",
        f"Return the containers, shapes and dtypes of {name}.",
    )
    return unknowns, jaxpr.hoist_constants()


def as_strong(x: Array) -> Array:
    """`x` without the weakness of its type."""
    t = type_of(x)
    return convert_element_type(x, new_dtype=t.dtype, weak_type=False) if t.weak_type else x


def solved(
    solve: Callable[..., Any],
    role: str,
    matvec: Callable[[Any], Any],
    vector: Tree,
    has_aux: bool,
    function: str = LINEAR,
) -> tuple[OpenProgram, Tree, Tree | None]:
    """The program of a solver, its solution, and its auxiliary data, if it has some."""
    parts = partial(solution_and_aux, solve, f"{role} of {function}") if has_aux else lambda result: (result,)
    args: list[Signature] = [vector.signature]
    jaxpr, results = staged(partial(solve, matvec), f"{role} of {function}", args, parts)
    require_solution(role, solve, vector, results[0], function)
    return jaxpr.hoist_constants(), results[0], results[1] if has_aux else None


def require_solution(role: str, solve: Callable[..., Any], vector: Tree, result: Tree, function: str) -> None:
    """Raise ArgumentError if a solver returns something else than a vector."""
    require_same(
        f"{role} of {function}, {place_of(solve)}, returns no solution",
        ("unknowns", "solution"),
        vector,
        result,
        "A solution has the containers, shapes and dtypes of the unknowns.",
        "Return such a tree; with auxiliary data, the pair (solution, data) and has_aux=True.",
    )


def solution_and_aux(solve: Callable[..., Any], role: str, result: Any) -> tuple[Any, Any]:
    """The solution and the auxiliary data that a solver returned; ArgumentError if it is no pair."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result[0], result[1]
    raise ArgumentError(
        f"{role}, {place_of(solve)}, returned {type(result).__name__} where has_aux=True wants a pair.",
        "With has_aux=True a solver returns (solution, auxiliary data).",
        "Return such a pair, or omit has_aux.",
    )


def require_same_aux(x: Tree | None, y: Tree | None) -> None:
    """Raise ArgumentError if the two solvers have different auxiliary data."""
    if x and y:
        require_same(
            f"the solvers of {LINEAR} return different auxiliary data",
            ("solve", "transpose_solve"),
            x,
            y,
            "The transpose of the transpose is solved by solve again, so both must fit in one place.",
            "Return the same containers, shapes and dtypes from both.",
        )


def transposed(
    matvec: Callable[[Any], Any], product: OpenProgram, vector: Tree, symmetric: bool
) -> tuple[OpenProgram | None, Callable[[Any], Any]]:
    """The transposed product as a program, and as a function of trees; MissingRuleError if there is none."""
    jaxpr, constants = product
    n = len(constants)
    try:
        turned = transposed_program(jaxpr, n)
    except MissingRuleError as error:
        first = first_error(jaxpr, jaxpr.inputs[n:])
        # A product that is said to be symmetric need not have a transpose: it may be a loop, or a call of Python.
        if symmetric and (first is None or any(e.programs for e in jaxpr)):
            return product, matvec
        raise MissingRuleError(
            f"matvec of {LINEAR}, {place_of(matvec)}, is not linear: {(first or error).what}",
            "The equation is matvec(x) = b with a matrix, and its transpose is what reverse mode solves.",
            "Compute the product of a matrix with x. For another equation use custom_root or minijvp.root.",
        ) from error
    if symmetric:
        return product, matvec

    def vecmat(x: Any) -> Any:
        leaves = Tree(x, leaf_namer(x, "the argument of vecmat")).leaves
        return tree_unflatten(vector.structure, evaluate(turned, *constants, *leaves))

    return (turned, constants), vecmat


@border
def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """A root x of f(x) = 0, which is `solve(f, initial_guess)`, differentiated by that equation.

    custom_root : (a -> a, a, ((a -> a), a) -> a, ((a -o a), a) -> a) -> a

    Args:
        f: takes a pytree of floating arrays and returns one of the same types. What it closes over is differentiated.
        initial_guess: where `solve` begins. The root does not depend on it.
        solve: gives x for `f` and `initial_guess`. It is not differentiated, and may do anything.
        tangent_solve: gives the x with g(x) = y for the linear function g, which is the derivative of `f` at the root,
            and y. For one unknown: `lambda g, y: y / g(1.0)`. It is differentiated, and transposed in reverse mode.
        has_aux: `solve` returns a pair of x and auxiliary data, which is returned and has no derivative.

    By the implicit function theorem, f(x, p) = 0 gives dx = -(df/dx)^-1 (df/dp) dp. Nothing is kept of the solver's
    steps. See minijvp.root for solvers that come with it.

    Raises ArgumentError if `f` or `solve` returns another tree or other types than those of `initial_guess`.

    >>> import minijvp, minijvp.numpy as mnp
    >>> def cube_root(p):
    ...     solve = lambda f, x: mnp.cbrt(minijvp.stop_gradient(p))
    ...     return minijvp.lax.custom_root(lambda x: x**3 - p, 1.0, solve, lambda g, y: y / g(1.0))
    >>> round(float(minijvp.grad(cube_root)(8.0)), 4)
    0.0833
    """
    return implicit_root(ROOT, f, ("initial_guess", initial_guess), solve, tangent_solve, has_aux)


def implicit_root(
    function: str,
    f: Callable[[Any], Any],
    guess: tuple[str, Any],
    solve: Callable[..., Any],
    tangent_solve: Callable[..., Any],
    has_aux: bool,
    residual: Callable[[Any], Any] | None = None,
) -> Any:
    """What custom_root returns, for a `function` of which messages speak, and a guess with its name there.

    The equation is f(x) = 0, or residual(x) = 0 where that is given: `solve` receives `f` all the same.
    """
    require_functions(function, [("f", f), ("solve", solve), ("tangent_solve", tangent_solve)])
    unknowns, (equation, constants) = equations(f, "f", guess[1], guess[0], function)
    require_floats(unknowns, guess[0], function)
    if residual is not None:
        equation, constants = equations(residual, "f", unknowns.value, guess[0], function)[1]
    (solver, solver_constants), result, aux = solved(solve, "solve", f, unknowns, has_aux, function)
    tangent, tangent_constants = tangent_program(residual or f, tangent_solve, unknowns, function)
    lengths = len(constants), len(solver_constants), len(tangent_constants)
    # All operands go to all three programs, which take what is theirs.
    first, last = groups([Var(type_of(x)) for x in (*constants, *tangent_constants)], lengths[0])
    own, start = groups(solver.inputs, lengths[1])
    program = Jaxpr((), (*first, *own, *last, *start), solver.equations, solver.outputs, solver.name)
    free, start = groups([stop_gradient(x) for x in (*solver_constants, *unknowns.leaves)], lengths[1])
    rule = root_rule(program, equation, tangent, lengths, function)
    outs = custom_jvp_call(*constants, *free, *tangent_constants, *start, jaxpr=program, rule=rule, name=function)
    x = tree_unflatten(result.structure, outs[: len(unknowns.leaves)])
    return (x, tree_unflatten(aux.structure, outs[len(unknowns.leaves) :])) if aux else x


def require_floats(unknowns: Tree, name: str, function: str) -> None:
    """Raise ArgumentError for unknowns that have no derivative."""
    for i, t in enumerate(unknowns.types):
        if not is_inexact(t.dtype):
            raise ArgumentError(
                f"{leaf_namer(unknowns.value, name)(i)} of {function} is {t!r}.",
                "A root is found and differentiated among floating-point numbers.",
                "Begin with floats: 1.0, or x.astype(float).",
            )


def tangent_program(
    f: Callable[[Any], Any], tangent_solve: Callable[..., Any], unknowns: Tree, function: str
) -> OpenProgram:
    """The program from a root and a right-hand side to the solution of the equation that is linearized there."""

    def linearize_and_solve(x: Any, y: Any) -> Any:
        return tangent_solve(linearize(f, x)[1], y)

    role = f"tangent_solve of {function}"
    jaxpr, (result,) = staged(linearize_and_solve, role, [unknowns.signature, unknowns.signature])
    require_solution("tangent_solve", tangent_solve, unknowns, result, function)
    return jaxpr.hoist_constants()


@cached(maxsize=4096)
def root_rule(solver: Jaxpr, equation: Jaxpr, tangent: Jaxpr, lengths: tuple[int, ...], name: str) -> Deferred:
    """The rule for tangents of a root. It contains the root, so that its own derivative follows from the rule again."""
    types = solver.in_types
    n = len(types) - sum(lengths)

    def rule(*args: Any) -> list[Any]:
        operands, ts = args[: len(types)], spread(args[len(types) :], are_inexact(types))
        outs = custom_jvp_call(*operands, jaxpr=solver, rule=deferred, name=name)
        x = outs[:n]
        constants, _, tangent_constants, _ = groups(operands, *lengths)
        _, moved = jvp_flat(lambda *xs: evaluate(equation, *xs, *x), constants, ts[: len(constants)])
        y = instantiate_inexact(moved, solver.out_types[:n])
        found = evaluate(tangent, *tangent_constants, *x, *y)
        return [*outs, *map(neg, found), *map(zeros_like, tangent_types(solver.out_types[n:]))]

    deferred = Deferred(lambda: stage(rule, [*types, *tangent_types(types)], name), absorbs=True)
    return deferred
