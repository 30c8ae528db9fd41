"""Solutions of linear equations, differentiated by the equation and not by the way it was solved.

From A x = b follows dA x + A dx = db, so dx = A^-1 (db - dA x) is found by the same solver. With v = A^-T ct_x the
cotangent of b is v, and that of A follows from -<v, dA x>.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from minijvp.calls.jit import jit_primitive
from minijvp.calls.linear_call import LinearCall, vmap_linear
from minijvp.calls.programs import groups
from minijvp.calls.taylor import at
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis
from minijvp.core.tracing import state
from minijvp.core.types import Params
from minijvp.custom_rules.custom_vjp import transposed_program
from minijvp.errors import MissingRuleError
from minijvp.operations.elementwise import neg
from minijvp.operations.families import add_tangents, instantiate, nonzero
from minijvp.transforms.taylor import taylor_flat

PROGRAMS = "matvec", "vecmat", "solve", "transpose_solve"


class CustomLinearSolve(LinearCall):
    """x with `matvec(x) = b`, which is what `solve(b)` gives, and then `n_aux` auxiliary outputs of the solver.

    The four programs take their constants and then a vector, which is one array or several; `vecmat` and
    `transpose_solve`, which may be None, are the same for the transposed equation. The arguments are the constants of
    each program, as many as `const_lengths` says, and then b. By those of the solvers nothing is differentiated.
    """

    body = ""
    helpers = ("solve",)
    rules = "matvec", "vecmat", "transpose_solve"
    recomputable = "expensive"

    def n_residuals(self, params: Params) -> int:
        return sum(params["const_lengths"])

    def forward(self, params: Params) -> Jaxpr:
        return params["solve"]

    def read(self, operands: Sequence[Any], params: Params) -> Sequence[Any]:
        _, _, constants, _, b = groups(operands, *params["const_lengths"])
        return (*constants, *b)

    def derivative(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        lengths = params["const_lengths"]
        outs = self(*primals, **params)
        n = len(primals) - sum(lengths)
        x = outs[:n]
        constants, ts = primals[: lengths[0]], tangents[: lengths[0]]
        rhs = tangents[sum(lengths) :]
        if any(nonzero(ts)):
            _, products = getattr(jit_primitive, mode)((*constants, *x), (*ts, *[None] * n), jaxpr=params["matvec"])
            rhs = [add_tangents(t, None if y is None else neg(y)) for t, y in zip(rhs, products, strict=True)]
        # Auxiliary outputs have no derivative.
        found = self.pushed(primals, (*[None] * sum(lengths), *rhs), params, len(outs))
        return outs, (*found[:n], *[None] * (len(outs) - n))

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> Any:
        lengths = params["const_lengths"]
        outs, n = self(*primals, **params), len(primals) - sum(lengths)
        constants, moving = primals[: lengths[0]], series[: lengths[0]]
        found: list[Any] = [outs[:n]]

        def find(k: int) -> tuple[Any, ...]:
            # Of coefficient k of A x = b all but A x_k, where A is that of number 0, is known.
            rhs = at(k, series[sum(lengths) :])
            if any(nonzero(moving)):
                below = [[*[xs[i] for xs in found[1:]], None] for i in range(n)]
                given = [s and [s[j] for j in range(1, k + 1)] for s in moving]
                run = partial(evaluate, params["matvec"])
                _, products = taylor_flat(run, (*constants, *outs[:n]), (*given, *below), k)
                known = [s and s[k - 1] for s in products]
                rhs = [add_tangents(t, None if y is None else neg(y)) for t, y in zip(rhs, known, strict=True)]
            xs = self.pushed(primals, (*[None] * sum(lengths), *rhs), params, len(outs))[:n]
            found.append(xs)
            return (*xs, *[None] * (len(outs) - n))

        return outs, find

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        matvec, vecmat, solve, transpose_solve, _ = groups(residuals, *params["const_lengths"])
        if params["transpose_solve"] is None:
            raise no_transpose_solve()
        if not any(nonzero(ct[: len(linear)])):
            return (None,) * len(linear)
        cts = [instantiate(c, y) for c, y in zip(ct, linear)]
        turned = dict(params, vecmat=params["matvec"], solve=params["transpose_solve"], transpose_solve=params["solve"])
        turned["matvec"], constants = params["vecmat"], vecmat
        if turned["matvec"] is None:
            turned["matvec"], constants = transposed_program(params["matvec"], len(matvec)), matvec
        turned["const_lengths"] = len(constants), len(matvec), len(transpose_solve), len(solve)
        return self(*constants, *matvec, *transpose_solve, *solve, *cts, **turned)[: len(linear)]

    def batched(self, axis: Axis, residuals: tuple[bool, ...], params: Params) -> dict[str, Any]:
        batch = dict(params)
        for name, flags in zip(PROGRAMS, groups(residuals, *params["const_lengths"])):
            if params[name] is not None:
                batch[name] = vmap_linear(params[name], axis, tuple(flags))
        return batch


def no_transpose_solve() -> MissingRuleError:
    """The error for an equation that reverse mode meets and of which it is only known how it is solved forward."""
    line = f", at {state.source}: {state.source.text}" if state.source else ""
    return MissingRuleError(
        f"a linear equation has no transpose_solve{line}.",
        "The cotangent of its right-hand side solves the transposed equation, and no function says how.",
        "Give custom_linear_solve a transpose_solve (or symmetric=True), or use forward mode (jvp, jacfwd).",
    )


custom_linear_solve = CustomLinearSolve("custom_linear_solve")
