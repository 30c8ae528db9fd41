"""Rematerialisation: reverse mode computes again what it would have stored."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import jax

from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import ArrayType
from minijvp.higher_order.jit import jit_primitive, nonzero, spread
from minijvp.higher_order.programs import array_types, present
from minijvp.operations.annotations import optimization_barrier
from minijvp.operations.families import is_linear
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import linearize_jaxpr
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr

EVERYTHING = jax.checkpoint_policies.everything_saveable


class Checkpoint(Primitive):
    """The outputs of an open jaxpr. Of its linearization only the inputs are residuals: all else is computed again.

    With `prevent_cse` the compiler may not merge that with the first time. The `policy` everything_saveable is obeyed;
    no other one is used yet.
    """

    returns_tuple = True
    recomputable = "never"
    has_steps = False

    def impl(self, *args: Any, jaxpr: Jaxpr, prevent_cse: bool, policy: Hashable) -> tuple[Any, ...]:
        return tuple(lower(jaxpr, *args))

    def type_rule(self, *types: ArrayType, jaxpr: Jaxpr, prevent_cse: bool, policy: Hashable) -> tuple[ArrayType, ...]:
        return tuple(array_types(jaxpr.out_types))

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, **options: Any) -> tuple[Any, Any]:
        jvp, out_nonzero = jvp_jaxpr(jaxpr, nonzero(tangents))
        outs = self(*primals, *present(tangents), jaxpr=jvp, **options)
        n = len(jaxpr.outputs)
        return outs[:n], spread(outs[n:], out_nonzero)

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, **options: Any) -> tuple[Any, Any]:
        if options["policy"] is EVERYTHING:
            return jit_primitive.linearize(primals, tangents, jaxpr=jaxpr)
        pushed, out_nonzero = pushforward(jaxpr, nonzero(tangents))
        outs = self(*primals, jaxpr=jaxpr, **options)
        return outs, spread(self(*primals, *present(tangents), jaxpr=pushed, **options), out_nonzero)

    def transpose(self, ct: tuple, *args: Any, jaxpr: Jaxpr, **options: Any) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, args))
        pulled, ct_nonzero = pullback(jaxpr, linear, nonzero(ct), options["prevent_cse"])
        known = [x for x, flag in zip(args, linear, strict=True) if not flag]
        cts = iter(spread(self(*known, *present(ct), jaxpr=pulled, **options), ct_nonzero))
        return tuple([next(cts) if flag else None for flag in linear])

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, **options: Any
    ) -> tuple[Any, Any]:
        batch, out_batched = vmap_jaxpr(jaxpr, axis, batched)
        return self(*args, jaxpr=batch, **options), out_batched

    def uses_axis(self, name: Any, params: dict[str, Any]) -> bool:
        return any(e.primitive.uses_axis(name, e.params) for e in params["jaxpr"])


@lru_cache(maxsize=4096)
def pushforward(jaxpr: Jaxpr, nonzero: tuple[bool, ...]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program from the inputs and their nonzero tangents to those of the outputs, and which outputs have one."""
    known, linear, origins, out_nonzero = linearize_jaxpr(jaxpr, nonzero)
    n = len(jaxpr.inputs)

    def fun(*args: Any) -> list[Any]:
        primals, ts = args[:n], args[n:]
        outs = evaluate(known, *primals)
        found, new = [*primals, *outs], iter(outs[len(jaxpr.outputs) :])
        return evaluate(linear, *[next(new) if i is None else found[i] for i in origins], *ts)

    tangents = [t.strong() for t, flag in zip(jaxpr.in_types, nonzero, strict=True) if flag]
    return stage(fun, [*jaxpr.in_types, *tangents], jaxpr.name), out_nonzero


@lru_cache(maxsize=4096)
def pullback(
    jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...], prevent_cse: bool
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The transposed program, as `transpose_jaxpr` gives it, which begins when the cotangents are there."""
    transposed, ct_nonzero = transpose_jaxpr(jaxpr, linear, nonzero)
    if not prevent_cse:
        return transposed, ct_nonzero

    def fun(*args: Any) -> list[Any]:
        return evaluate(transposed, *optimization_barrier(*args))

    return stage(fun, transposed.in_types, transposed.name), ct_nonzero


checkpoint = Checkpoint("checkpoint")
