"""Functions that bring their own derivative, as a rule for cotangents. It serves forward mode too.

`bwd`, the map from cotangents of the outputs to those of the arguments, is linear, so its transpose maps tangents of
the arguments to those of the outputs. `custom_vjp_linear` is that map, and its transpose is `bwd` as it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.arguments.known_inputs import KnownInputs
from minijvp.calls.call import ProgramCall
from minijvp.calls.linear_call import LinearCall
from minijvp.calls.programs import are_inexact, as_arrays, chosen, instantiate_inexact, present, tangent_types, vmap_all
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.jaxpr import Jaxpr, Var, evaluate
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, Params, type_of
from minijvp.custom_rules.custom_jvp import Rule, batched_rule, program
from minijvp.custom_rules.deferred import ByZeros, Deferred
from minijvp.custom_rules.linear_rules import transposition_error
from minijvp.errors import MissingRuleError
from minijvp.operations.families import instantiate, is_linear, nonzero, reduce_sum, spread
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr


class CustomVJPCall(ProgramCall):
    """The outputs of an open jaxpr, whose derivative is given by two others.

    `fwd` takes the arguments and gives the outputs and then residuals. `bwd` takes the residuals and then a cotangent
    for each output that is inexact, and gives one for each argument that is.
    """

    rules = "fwd", "bwd"
    recomputable = "never"
    own_derivative = True

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, fwd: Rule, bwd: Rule, name: str) -> tuple[Any, Any]:
        outs = evaluate(program(fwd), *primals)
        n = len(jaxpr.outputs)
        residuals = outs[n:]
        ts = instantiate_inexact(tangents, map(type_of, primals))
        found = custom_vjp_linear(*residuals, *ts, bwd=bwd, n_residuals=len(residuals), name=name)
        return as_arrays(outs[:n], jaxpr.out_types), spread(found, are_inexact(jaxpr.out_types))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, fwd: Rule, bwd: Rule, name: str
    ) -> tuple[Any, Any]:
        inexact = are_inexact(jaxpr.in_types)
        ts_batched = tuple([b for b, i in zip(batched, inexact, strict=True) if i])
        fwd, bwd = batched_rules(fwd, bwd, axis, batched, ts_batched, len(jaxpr.outputs))
        outs = self(*args, jaxpr=vmap_all(jaxpr, axis, batched), fwd=fwd, bwd=bwd, name=name)
        return outs, (True,) * len(outs)


class CustomVJPLinear(LinearCall):
    """The tangents of the inexact outputs, for residuals and the tangents of the inexact arguments: `bwd` transposed.

    It is linear in the tangents. Its transpose asks nothing of `bwd`; to be evaluated forward, it must be linear, or
    there is a program `push` for that.
    """

    body = ""
    helpers = "bwd", "push"
    rules = ()

    def n_residuals(self, params: Params) -> int:
        return params["n_residuals"]

    def forward(self, params: Params) -> Jaxpr:
        return forward(**params)

    def goes_forward(self, params: Params) -> bool:
        """Whether there is such a program: not where `bwd` is not linear."""
        try:
            self.forward(params)
        except MissingRuleError:
            return False
        return True

    def for_evaluation(self, params: Params) -> dict[str, Any]:
        return params  # what runs is transposed first, for which rules are needed

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        bwd = params["bwd"]
        return bwd.taken if isinstance(bwd, ByZeros) else tangent_types(program(bwd).in_types[params["n_residuals"] :])

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        bwd = params["bwd"]
        if isinstance(bwd, ByZeros):
            cts: Any = present(ct)
            made, ct_nonzero = bwd(nonzero(ct), KnownInputs((*residuals, *cts)))
        else:
            made, ct_nonzero = program(bwd), (True,) * len(linear)
            cts = [instantiate(c, t) for c, t in zip(ct, made.in_types[len(residuals) :], strict=True)]
        types = tangent_types([t if is_linear(t) else type_of(t) for t in chosen(linear, ct_nonzero)])
        return spread(as_arrays(evaluate(made, *residuals, *cts), types), ct_nonzero)

    def batched(self, axis: Axis, residuals: tuple[bool, ...], params: Params) -> dict[str, Any]:
        bwd, push = params["bwd"], params.get("push")
        n = len(bwd.given) if isinstance(bwd, ByZeros) else len(program(bwd).outputs)
        made = {**params, "bwd": batched_bwd(bwd, axis, residuals, (True,) * n)}
        if push is not None:
            flags = residuals + (True,) * n
            made["push"] = batched_rule(push, axis, flags, (False,) * len(flags))
        return made

    def uses_axis(self, name: Any, params: Params) -> bool:
        return any(e.primitive.uses_axis(name, e.params) for e in program(params["bwd"]))


custom_vjp_call = CustomVJPCall("custom_vjp_call")
custom_vjp_linear = CustomVJPLinear("custom_vjp_linear")


@cached_by_linearizer(maxsize=4096)
def forward(bwd: Rule | ByZeros, n_residuals: int, name: str, push: Rule | None = None) -> Jaxpr:
    """The program from residuals and tangents of the arguments to those of the outputs: `push`, or `bwd` transposed."""
    if push is not None:
        return program(push)
    made = program(bwd)
    try:
        transposed = transposed_program(made, n_residuals)
    except MissingRuleError as error:
        raise not_linear(made, n_residuals, name, error) from error
    if not isinstance(bwd, ByZeros):
        return transposed
    _, ct_nonzero = bwd((True,) * len(bwd.taken))
    takes_all = lambda *xs: evaluate(transposed, *xs[:n_residuals], *chosen(xs[n_residuals:], ct_nonzero))
    return stage(takes_all, [*made.in_types[:n_residuals], *bwd.given], transposed.name)


@cached_by_linearizer(maxsize=4096)
def transposed_program(jaxpr: Jaxpr, n: int) -> Jaxpr:
    """The transposed program in the inputs from number `n` on: it takes a cotangent for every output, gives all."""
    types = jaxpr.in_types[n:]
    linear = (False,) * n + (True,) * len(types)
    transposed, nonzero = transpose_jaxpr(jaxpr, linear, (True,) * len(jaxpr.outputs))

    def fun(*args: Array) -> list[Any]:
        found = spread(evaluate(transposed, *args), nonzero)
        return [instantiate(ct, kind) for ct, kind in zip(found, types, strict=True)]

    return stage(fun, transposed.in_types, transposed.name)


def not_linear(bwd: Jaxpr, n_residuals: int, name: str, error: MissingRuleError) -> MissingRuleError:
    """The error for a rule that forward mode cannot use, with the first equation that is not linear."""
    return MissingRuleError(
        f"the rule for cotangents (bwd) of {name} is not linear in them: "
        f"{(first_error(bwd, bwd.inputs[n_residuals:]) or error).what}",
        "Forward mode (jvp, jacfwd) needs the transpose of the rule, which only a linear one has. Reverse mode (grad, "
        "vjp, jacrev) runs the rule as it is.",
        f"Use reverse mode, or give a jvp rule as well, by which {name} is differentiated in forward mode.",
    )


def first_error(jaxpr: Jaxpr, linear: Sequence[Var]) -> MissingRuleError | None:
    """What is wrong with the first equation that is not linear in what depends on `linear`."""
    reached: set[Any] = set(linear)
    for e in jaxpr:
        if reached.isdisjoint(e.inputs):
            continue
        if (error := transposition_error(e, reached)) is not None:
            return error
        reached.update(e.outputs)
    return None


@cached_by_linearizer(maxsize=4096)
def batched_rules(
    fwd: Rule, bwd: Rule, axis: Axis, batched: tuple[bool, ...], ts_batched: tuple[bool, ...], n_outputs: int
) -> tuple[Deferred, Deferred]:
    """The batched rules; the outputs are all batched, the residuals where they have to be."""

    def batch() -> tuple[Jaxpr, tuple[bool, ...]]:
        made = program(fwd)
        wanted = tuple([i < n_outputs for i in range(len(made.outputs))])
        return vmap_jaxpr(made, axis, batched, wanted)

    def batch_bwd() -> Jaxpr:
        return program(batched_bwd(bwd, axis, batch()[1][n_outputs:], ts_batched))

    return Deferred(lambda: batch()[0]), Deferred(batch_bwd)


@cached_by_linearizer(maxsize=4096)
def batched_bwd(
    bwd: Rule | ByZeros, axis: Axis, residuals_batched: tuple[bool, ...], ts_batched: tuple[bool, ...]
) -> Deferred | ByZeros:
    """The batched rule for cotangents. An argument that is the same for all lanes gets the sum of their cotangents."""

    def batch(made: Jaxpr, wanted: Sequence[bool]) -> Jaxpr:
        cts_batched = (True,) * (len(made.inputs) - len(residuals_batched))
        batch = vmap_all(made, axis, residuals_batched + cts_batched)

        def fun(*args: Array) -> list[Any]:
            cts = evaluate(batch, *args)
            return [ct if b else reduce_sum(ct, axes=(0,)) for ct, b in zip(cts, wanted, strict=True)]

        return stage(fun, batch.in_types, batch.name)

    if not isinstance(bwd, ByZeros):
        return Deferred(lambda: batch(program(bwd), ts_batched))

    def make(nonzero: tuple[bool, ...], known: KnownInputs) -> tuple[Jaxpr, tuple[bool, ...]]:
        made, ct_nonzero = bwd(nonzero)
        return batch(made, chosen(ts_batched, ct_nonzero)), ct_nonzero

    lanes = lambda t: t.stacked(axis.size, axis.split)
    given = [lanes(t) if b else t for t, b in zip(bwd.given, ts_batched, strict=True)]
    return ByZeros(make, tuple(map(lanes, bwd.taken)), tuple(given))
