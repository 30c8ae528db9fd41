"""Transposition: a linear program read backwards.

Equations without a linear input are evaluated forward (this is how recomputation happens too); the others are
transposed in reverse order, and the cotangents of a variable that is used several times add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minijvp.core import placements
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.source import Source, run_at
from minijvp.core.tracing import computes, state, traced_by_jax
from minijvp.errors import MissingRuleError, UnknownValueError
from minijvp.missing_rules import how_to_write
from minijvp.operations.families import zeros, zeros_of
from minijvp.operations.placing import arrived, brought, sum_of
from minijvp.transforms.staging import stage_as


def transpose_flat(jaxpr: Jaxpr, linear: Sequence[bool], args: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """The cotangents of the inputs that are `linear`; `args` are the values of the others (ignored for linear ones).

    Cotangents are per output; None is zero, on either side.
    """
    if state.substitutes is not None:
        jaxpr = state.substitutes[transpose_flat](jaxpr)
    # A variable is linear if it has no value here.
    values: dict[Atom, Any] = dict(jaxpr.constants)
    values.update([(v, x) for v, x, flag in zip(jaxpr.inputs, args, linear, strict=True) if not flag])
    received: dict[Atom, Any] = {}
    outer = state.source
    call = at_line if traced_by_jax() and computes(state.trace) else None
    plus = sum_of if call is None else partial(call, sum_of)
    e: Equation | None = None
    try:
        pending = _evaluate_known(jaxpr, values)
        for v, ct in zip(jaxpr.outputs, cotangents, strict=True):
            if ct is not None and type(v) is Var and v not in values:
                received[v] = plus(received[v], ct, v.type) if v in received else ct
        for e in reversed(pending):
            if len(e.outputs) == 1:
                ct = received.pop(e.outputs[0], None)
                if ct is None:
                    continue
                cts = (ct,)
            else:
                cts = tuple([received.pop(v, None) for v in e.outputs])
                if all([ct is None for ct in cts]):
                    continue
            state.source = e.source or outer
            operands = [v.value if type(v) is Literal else values.get(v, v.type) for v in e.inputs]
            several = e.primitive.returns_tuple
            if several is None:
                several = e.returns_tuple
            if placements.met:
                cts = tuple([arrived(ct, v, e) for ct, v in zip(cts, e.outputs, strict=True)])
            transpose, ct = e.primitive.transpose, cts if several else cts[0]
            found = call(transpose, ct, *operands, **e.params) if call else transpose(ct, *operands, **e.params)
            for v, ct in zip(e.inputs, found if type(found) is tuple else (found,)):
                if ct is not None and type(v) is Var and v not in values:
                    received[v] = plus(received[v], ct, v.type) if v in received else ct
    except (TypeError, ValueError) as error:
        fails = isinstance(error, (MissingRuleError, UnknownValueError))
        if fails and (apart := known_apart(jaxpr, linear)) is not None:
            return transpose_flat(apart, linear, args, cotangents)
        if e is not None and is_about_linearity(error):
            # A step names the equation inside, and the line is that of the step.
            inside = error.equation if isinstance(error, MissingRuleError) else None
            raise not_linear(inside or e, e.source) from error
        raise
    finally:
        state.source = outer
    found = [(v, received.get(v)) for v, flag in zip(jaxpr.inputs, linear, strict=True) if flag]
    return [ct if ct is None or not placements.met else brought(ct, v.type) for v, ct in found]


def at_line(fun: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """The result of a call, for JAX from the line that operations are charged to."""
    return run_at(state.source, fun, args, params)


def known_apart(jaxpr: Jaxpr, linear: Sequence[bool]) -> Jaxpr | None:
    """The program, with equations of their own for results that others need and no linear input reaches.

    A loop, say, whose operation computes values and their tangents. None if there are no such results.
    """
    active: set[Atom] = {v for v, flag in zip(jaxpr.inputs, linear, strict=True) if flag}
    needed: set[Atom] = {v for e in jaxpr.equations for v in e.inputs} | set(jaxpr.outputs)
    equations: list[Equation] = []
    found = False
    for e in jaxpr.equations:
        flags: Sequence[bool] = (False,) * len(e.outputs)
        if not active.isdisjoint(e.inputs):
            flags = e.primitive.reached(e, tuple([v in active for v in e.inputs]), False)
            active.update([v for v, flag in zip(e.outputs, flags, strict=True) if flag])
            known = tuple([Var(v.type) if flag else v for v, flag in zip(e.outputs, flags, strict=True)])
            if not needed.isdisjoint(known) and not e.has_effects:
                found = True
                # No known result depends on what stands for linear inputs.
                nothing = {v: Var(v.type.strong()) for v in e.inputs if v in active}
                equations += [zeros_equation(v) for v in nothing.values()]
                equations.append(
                    Equation(e.primitive, tuple([nothing.get(v, v) for v in e.inputs]), e.params, known, e.source)
                )
                outputs = tuple([v if flag else Var(v.type) for v, flag in zip(e.outputs, flags, strict=True)])
                e = Equation(e.primitive, e.inputs, e.params, outputs, e.source)
        equations.append(e)
    return jaxpr.with_equations(equations) if found else None


def zeros_equation(v: Var) -> Equation:
    """The equation by which a variable is zero."""
    return Equation(zeros, (), zeros_of(v.type), (v,), None)


def is_about_linearity(error: Exception) -> bool:
    """Whether a transpose rule failed for want of a value: there is no rule, or it used an argument that is linear."""
    return isinstance(error, UnknownValueError) or (isinstance(error, MissingRuleError) and error.rule != "")


def not_linear(e: Equation, line: Source | None) -> MissingRuleError:
    """The error for an equation, made at `line`, that cannot be transposed."""
    made = f", at {line}: {line.text}" if line else ""
    sketch = how_to_write(e.primitive, "transpose") if e.primitive.made_outside else ""
    error = MissingRuleError(
        f"the primitive {e.primitive.name!r} has no transpose rule for "
        f"{', '.join([repr(v.type) for v in e.inputs])}{made}.",
        "It is not linear in all of these that are not known, or no rule says how it is transposed.",
        "Transpose linear functions only (x * c with a known c, and not x * x): for another function, vjp transposes "
        "its derivative." + (sketch and f" Of a primitive that is linear:\n{sketch}"),
    )
    error.equation, error.rule = e, "" if line else "transpose"
    return error


def _evaluate_known(jaxpr: Jaxpr, values: dict[Atom, Any]) -> list[Equation]:
    """Evaluate what no linear input reaches into `values`; the linear equations are returned."""
    pending = []
    outer = state.source
    for e in jaxpr.equations:
        for v in e.inputs:
            if type(v) is Var and v not in values:
                pending.append(e)
                break
        else:
            state.source = e.source or outer
            out = e.primitive(*[v.value if type(v) is Literal else values[v] for v in e.inputs], **e.params)
            values.update(zip(e.outputs, out if type(out) is tuple else (out,), strict=True))
    return pending


@cached_by_linearizer(maxsize=4096)
def transpose_jaxpr(
    jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...]
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The transposed program of an open jaxpr, and which linear inputs get a cotangent.

    It takes the inputs that are not `linear`, then a cotangent for each output that is `nonzero`.
    """
    return new_transpose(jaxpr, linear, nonzero)


def new_transpose(
    jaxpr: Jaxpr, linear: Sequence[bool], nonzero: Sequence[bool], transpose: Callable[..., list[Any]] = transpose_flat
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """What `transpose_jaxpr` returns, made anew (for programs that will not be seen again), by `transpose`."""
    types = [t for t, flag in zip(jaxpr.in_types, linear, strict=True) if not flag]
    ct_types = [t.strong() for t, n in zip(jaxpr.out_types, nonzero, strict=True) if n]
    out_nonzero: tuple[bool, ...] = ()

    def fun(*inputs: Any) -> list[Any]:
        nonlocal out_nonzero
        known, incoming = iter(inputs[: len(types)]), iter(inputs[len(types) :])
        args = [None if flag else next(known) for flag in linear]
        cts = transpose(jaxpr, linear, args, [next(incoming) if n else None for n in nonzero])
        out_nonzero = tuple(ct is not None for ct in cts)
        return [ct for ct in cts if ct is not None]

    return stage_as("transpose", jaxpr, fun, types + ct_types), out_nonzero
