"""Solutions of linear equations, differentiated by the equation and not by the way it was solved.

From A x = b follows dA x + A dx = db, so dx = A^-1 (db - dA x) is found by the same solver. With v = A^-T ct_x the
cotangent of b is v, and that of A follows from -<v, dA x>.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minijvp.calls.carrier import Carrier
from minijvp.calls.jit import jit_primitive
from minijvp.calls.programs import array_types, groups
from minijvp.core.jaxpr import lower
from minijvp.core.primitive import Axis
from minijvp.core.tracing import state
from minijvp.core.types import ArrayType
from minijvp.custom_rules.custom_jvp import vmap_all
from minijvp.custom_rules.custom_vjp import transposed_program
from minijvp.errors import MissingRuleError
from minijvp.operations.elementwise import neg
from minijvp.operations.families import add_tangents, all_batched, instantiate, is_linear

PROGRAMS = "matvec", "vecmat", "solve", "transpose_solve"


class CustomLinearSolve(Carrier):
    """x with `matvec(x) = b`, which is what `solve(b)` gives, and then `n_aux` auxiliary outputs of the solver.

    The four programs take their constants and then a vector, which is one array or several; `vecmat` and
    `transpose_solve`, which may be None, are the same for the transposed equation. The arguments are the constants of
    each program, as many as `const_lengths` says, and then b. By those of the solvers nothing is differentiated.
    """

    recomputable = "dear"
    own_derivative = True

    def impl(self, *args: Any, **params: Any) -> tuple[Any, ...]:
        _, _, constants, _, b = groups(args, *params["const_lengths"])
        return tuple(lower(params["solve"], *constants, *b))

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        return tuple(array_types(params["solve"].out_types))

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self.differentiated(jit_primitive.jvp, primals, tangents, params)

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self.differentiated(jit_primitive.linearize, primals, tangents, params)

    def differentiated(
        self, rule: Callable[..., Any], primals: tuple, tangents: tuple, params: dict[str, Any]
    ) -> tuple[Any, Any]:
        """Result and tangent; `rule` differentiates the product of the matrix with x."""
        lengths = params["const_lengths"]
        outs = self(*primals, **params)
        n = len(primals) - sum(lengths)
        x = outs[:n]
        constants, ts = primals[: lengths[0]], tangents[: lengths[0]]
        rhs = tangents[sum(lengths) :]
        if any(t is not None for t in ts):
            _, products = rule((*constants, *x), (*ts, *[None] * n), jaxpr=params["matvec"])
            rhs = [add_tangents(t, None if y is None else neg(y)) for t, y in zip(rhs, products, strict=True)]
        if all(t is None for t in rhs):
            return outs, (None,) * len(outs)
        rhs = [instantiate(t, y) for t, y in zip(rhs, x, strict=True)]
        found = self(*primals[: sum(lengths)], *rhs, **params)
        return outs, (*found[:n], *[None] * (len(outs) - n))

    def transpose(self, ct: tuple, *args: Any, **params: Any) -> tuple[Any, ...]:
        matvec, vecmat, solve, transpose_solve, b = groups(args, *params["const_lengths"])
        known = sum(params["const_lengths"])
        if any(map(is_linear, args[:known])):
            raise self.missing("transpose")
        if params["transpose_solve"] is None:
            raise no_transpose_solve()
        if all(c is None for c in ct[: len(b)]):
            return (None,) * len(args)
        cts = [instantiate(c, y) for c, y in zip(ct, b)]
        turned = dict(params, vecmat=params["matvec"], solve=params["transpose_solve"], transpose_solve=params["solve"])
        turned["matvec"], constants = params["vecmat"], vecmat
        if turned["matvec"] is None:
            turned["matvec"], constants = transposed_program(params["matvec"], len(matvec)), matvec
        turned["const_lengths"] = len(constants), len(matvec), len(transpose_solve), len(solve)
        found = self(*constants, *matvec, *transpose_solve, *solve, *cts, **turned)
        return (None,) * known + tuple([c if is_linear(y) else None for c, y in zip(found, b)])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        lengths = params["const_lengths"]
        n = len(args) - sum(lengths)
        batch = dict(params)
        for name, flags in zip(PROGRAMS, groups(batched, *lengths)):
            if params[name] is not None:
                batch[name] = vmap_all(params[name], axis, (*flags, *[True] * n))
        b = all_batched(axis, args[-n:], batched[-n:])
        outs = self(*args[:-n], *b, **batch)
        return outs, (True,) * len(outs)


def no_transpose_solve() -> MissingRuleError:
    """The error for an equation that reverse mode meets and of which it is only known how it is solved forward."""
    line = f", at {state.source}: {state.source.text}" if state.source else ""
    return MissingRuleError(
        f"a linear equation has no transpose_solve{line}.",
        "The cotangent of its right-hand side solves the transposed equation, and nobody has said how.",
        "Give custom_linear_solve a transpose_solve (or symmetric=True), or use forward mode (jvp, jacfwd).",
    )


custom_linear_solve = CustomLinearSolve("custom_linear_solve")
