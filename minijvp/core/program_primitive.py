"""Primitives with programs among their parameters, which say themselves where those are and what runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from minijvp.core.jaxpr import Jaxpr, has_own_derivatives, jaxpr_without_rules
from minijvp.core.primitive import Primitive
from minijvp.core.tracing import traced_by_jax
from minijvp.core.types import ArrayType, Params


class ProgramPrimitive(Primitive):
    """A primitive with programs among its parameters: jaxprs, or tuples of them.

    Which parameters these are is declared here, and nowhere else: evaluation, liveness, taps, plans and pictures ask.
    Called where JAX traces, it hands JAX the derivatives of the rules inside too.

    >>> import minijvp
    >>> from minijvp.extend import ProgramPrimitive
    >>> (loop,) = minijvp.make_jaxpr(lambda x: minijvp.lax.fori_loop(0, 3, lambda i, x: x * x, x))(2.0)
    >>> isinstance(loop.primitive, ProgramPrimitive), loop.primitive.trip_count(loop.params)
    (True, 3)
    >>> [str(e.primitive) for body in loop.primitive.bodies(loop.params) for e in body]
    ['mul']
    """

    returns_tuple = True
    has_steps = False
    knows_placements = True

    body: ClassVar[str] = "jaxpr"
    """The parameter with the program that takes the last operands and gives the results, one for one; "" if none does.

    A tuple is of programs of which one runs.
    """

    helpers: ClassVar[tuple[str, ...]] = ()
    """The parameters with other programs that run."""

    rules: ClassVar[tuple[str, ...]] = ()
    """The parameters with programs, or what makes them, by which it is transformed. Results do not depend on these."""

    taylor_to: ClassVar[Any] = None
    """A rule `taylor_to(order, primals, series, **params)`, which finds all coefficients up to an order together.

    It gives the results and their series: here a list of coefficients from number 1 on, or None, as what is given is.
    """

    takes_more = False
    """Whether the body may be another one that takes more, from as many more operands behind the others."""

    def by_parameter(self, params: Params) -> dict[str, list[Jaxpr]]:
        """The programs, those that run and those of rules, by the parameters that have some."""
        found = {name: jaxprs(params, (name,)) for name in (self.body, *self.helpers, *self.rules)}
        return {name: programs for name, programs in found.items() if programs}

    def bodies(self, params: Params) -> Sequence[Jaxpr]:
        return jaxprs(params, (self.body,))

    def programs(self, params: Params) -> Sequence[Jaxpr]:
        return jaxprs(params, (self.body, *self.helpers, *self.rules))

    def with_bodies(self, params: Params, bodies: Sequence[Jaxpr]) -> dict[str, Any]:
        """The parameters with other programs in place of `bodies(params)`."""
        several = type(params[self.body]) is tuple
        return {**params, self.body: tuple(bodies) if several else bodies[0]}

    def types_of_more(self, types: Sequence[ArrayType], params: Params) -> Sequence[ArrayType]:
        """The types of more operands for a body that takes more of these types."""
        return types

    def for_evaluation(self, params: Params) -> dict[str, Any]:
        essential = {**params, **dict.fromkeys(self.rules)}
        for name in (self.body, *self.helpers):
            value = params.get(name)
            if isinstance(value, Jaxpr):
                essential[name] = jaxpr_without_rules(value)
            elif type(value) is tuple:
                stripped = tuple(map(jaxpr_without_rules, value))
                essential[name] = value if all([x is y for x, y in zip(value, stripped, strict=True)]) else stripped
        return params if all([x is params.get(name) for name, x in essential.items()]) else essential

    def evaluate(self, args: tuple, params: Params) -> Any:
        if traced_by_jax() and any(map(has_own_derivatives, self.programs(params))):
            return self.evaluate_in_jax(args, params)
        return super().evaluate(args, params)

    def has_effects(self, params: Params) -> bool:
        return any(e.has_effects for jaxpr in jaxprs(params, (self.body, *self.helpers)) for e in jaxpr)

    def uses_axis(self, name: Any, params: Params) -> bool:
        return any(e.primitive.uses_axis(name, e.params) for jaxpr in self.programs(params) for e in jaxpr)


def jaxprs(params: Params, names: Iterable[str]) -> list[Jaxpr]:
    """The jaxprs in the parameters of these names."""
    found: list[Jaxpr] = []
    for name in names:
        value = params.get(name)
        if isinstance(value, Jaxpr):
            found.append(value)
        elif type(value) is tuple:
            found += value
    return found
