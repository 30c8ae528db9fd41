"""Listening to taps: values of which reverse mode also gives the cotangents.

A tapped value gets a zero added, which is one more argument of the derivative: its cotangent is that of the value.
`TapTrace` adds these zeros. A program inside another gets them as further inputs, for a scan one for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jax.tree_util import tree_unflatten

from minijvp.arguments.tangents import for_user
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Primitive
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ArrayType, Params, is_inexact, type_of
from minijvp.errors import MissingRuleError
from minijvp.operations.families import zeros_like
from minijvp.transforms.jvp import JVPTracer
from minijvp.transforms.linearize import LinearizeTrace
from minijvp.transforms.staging import stage


@dataclass(frozen=True)
class Site:
    """A tap in a program: its name, the tree of its value, and the types of that one's leaves."""

    name: str
    tree: Any
    types: tuple[ArrayType, ...]

    @property
    def zeros(self) -> list[ArrayType]:
        """The types of the zeros that are added."""
        return [t for t in self.types if is_inexact(t.dtype)]


class Tapping(ProgramPrimitive):
    """The primitive of taps: where they are, and their values with zeros added."""

    def sites(self, types: Sequence[ArrayType], params: Params) -> Sequence[Site]:
        raise NotImplementedError

    def with_zeros(self, args: tuple, params: Params, zeros: Sequence[Any]) -> tuple[Any, ...]:
        raise NotImplementedError


class TapTrace(Trace):
    """Adds zeros to tapped values. It has no tracers: all values are its parent's."""

    __slots__ = ("supply",)

    def __init__(self, parent: Trace, supply: Callable[[Site], Sequence[Any]]):
        self.parent = parent
        self.supply = supply

    @property
    def description(self) -> str:
        return "a derivative with taps=True"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        found = sites_of(primitive, list(map(type_of, args)), params)
        if not found:
            return self.parent.process(primitive, args, params)
        previous = state.trace
        state.trace = self.parent
        try:
            zeros = [x for site in found for x in self.supply(site)]
            if isinstance(primitive, Tapping):
                return primitive.with_zeros(args, params, zeros)
            bodies = primitive.bodies(params)
            made = [with_zeros(body, numbered(bodies)) for body in bodies]
            return primitive(*args, *zeros, **primitive.with_bodies(params, made))
        finally:
            state.trace = previous

    def lift(self, value: Any) -> Any:
        return self.parent.lift(value)


def sites_of(primitive: Primitive, types: Sequence[ArrayType], params: Params) -> Sequence[Site]:
    """The taps in an operation on arguments of these types."""
    if isinstance(primitive, Tapping):
        return primitive.sites(types, params)
    if not isinstance(primitive, ProgramPrimitive):
        return ()
    if primitive.takes_more:
        found = [site for site, _ in numbered(primitive.bodies(params))]
        return [replace(site, types=tuple(primitive.types_of_more(site.types, params))) for site in found]
    for site in [site for jaxpr in primitive.programs(params) for site in sites(jaxpr)]:
        raise MissingRuleError(
            f"the tap {site.name!r} cannot be read inside {primitive.name}.",
            "What runs there has a derivative of its own, or takes a number of steps that is not known.",
            "Move the tap out of it, use scan for while_loop, or omit taps=True.",
        )
    return ()


@cached(maxsize=4096)
def sites(jaxpr: Jaxpr) -> tuple[Site, ...]:
    """The taps in a program, in its order."""
    return tuple([site for e in jaxpr for site in sites_of(e.primitive, [v.type for v in e.inputs], e.params)])


Key = tuple[Site, int]
"""A tap, with its number among those in its program that are equal to it: one of several branches is the same tap."""


def numbered(bodies: Sequence[Jaxpr]) -> tuple[Key, ...]:
    """The taps in programs of which one runs; those of one name and type in several are one."""
    found: dict[Key, None] = {}
    for body in bodies:
        own = sites(body)
        found.update([((site, own[:i].count(site)), None) for i, site in enumerate(own)])
    return tuple(found)


@cached(maxsize=4096)
def with_zeros(jaxpr: Jaxpr, keys: tuple[Key, ...]) -> Jaxpr:
    """The open program with further inputs, the zeros of the taps `keys`, which are added to the values of its own."""
    n = len(jaxpr.inputs)

    def fun(*args: Any) -> list[Any]:
        given, own = iter(args[n:]), iter(numbered([jaxpr]))
        zeros = {key: [next(given) for _ in key[0].zeros] for key in keys}
        with current(TapTrace(state.trace, lambda site: zeros[next(own)])):
            return evaluate(jaxpr, *args[:n])

    return stage(fun, [*jaxpr.in_types, *[t for site, _ in keys for t in site.zeros]], jaxpr.name)


class Taps:
    """The taps that one linearization meets."""

    def __init__(self) -> None:
        self.found: list[Site] = []

    def run(self, fun: Callable[..., Any], args: Sequence[Any]) -> Any:
        """The result of a function under the current linearization, whose inputs the zeros become."""
        trace = state.trace
        assert isinstance(trace, LinearizeTrace)

        def supply(site: Site) -> list[Any]:
            self.found.append(site)
            # Their tangents are further inputs of the linear program, behind those of the arguments.
            return [JVPTracer(trace, zeros_like(t), trace.recorder.new_input(t.strong())) for t in site.zeros]

        with current(TapTrace(trace, supply)):
            return fun(*args)

    def cotangents(self, cts: Sequence[Any]) -> dict[str, Any]:
        """The cotangents by name, from the flat ones of the zeros; a list where several taps have one name."""
        rest = iter(cts)
        by_name: dict[str, list[Any]] = {}
        for site in self.found:
            leaves = [for_user(next(rest) if is_inexact(t.dtype) else None, t.strong()) for t in site.types]
            by_name.setdefault(site.name, []).append(tree_unflatten(site.tree, leaves))
        return {name: found[0] if len(found) == 1 else found for name, found in by_name.items()}
