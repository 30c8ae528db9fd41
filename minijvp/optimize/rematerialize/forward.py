"""The forward program of a linearization, as plans of rematerialisation see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from minijvp.calls.call import work_of
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.dimensions import countable
from minijvp.operations.annotations import name, stop_gradient
from minijvp.operations.casting import convert_element_type
from minijvp.operations.contraction import dot_general
from minijvp.operations.elementwise import Slope
from minijvp.operations.families import Elementwise, broadcast_in_dim, reshape, zeros
from minijvp.operations.shape import iota, squeeze, transpose
from minijvp.operations.sharding import number_of_devices
from minijvp.optimize.rematerialize.cut import Numbered
from minijvp.transforms.linearize import Loop

SLIGHT = 1 << 10
"""So many bytes of one value are kept without a thought."""

SPREAD = 8
"""So many times as large as an operand is a result that it is spread over, at least."""


IN_PLACE = frozenset(
    {broadcast_in_dim, convert_element_type, iota, name, reshape, squeeze, stop_gradient, transpose, zeros}
)
"""Besides elementwise operations, those whose result each device makes of its own part of the operand. A reshape is
none in general, but to save its operand too would keep it twice."""


class Forward:
    """The forward program of a linearization: its equations, and which values are there for the reverse pass anyway.

    Values of `carried` are made by no equation, and not there. What the `results` do not need is not computed before
    the reverse pass, if it is not saved.
    """

    def __init__(
        self, equations: Sequence[Equation], results: Iterable[Var], kept: Iterable[Var], carried: Iterable[Var] = ()
    ):
        self.results = tuple(results)
        self.equations = equations
        self.producer = {v: e for e in equations for v in e.outputs}
        self.kept = set(kept)
        self.carried = set(carried) - self.kept

    @staticmethod
    def of_program(known: Jaxpr, n: int) -> Forward:
        """That of a program with `n` outputs, which are there."""
        results = [v for v in known.outputs[:n] if type(v) is Var]
        return Forward(known.equations, results, results)

    @staticmethod
    def of_loop(loop: Loop, known: Jaxpr, n: int) -> Forward:
        """That of one turn of a loop, whose inputs from turn to turn are not kept; `known` has `n` outputs."""
        varies = {v for v, fixed in zip(known.inputs, loop.fixed_inputs, strict=True) if not fixed}
        fixed: list[Var] = []
        for e in known.equations:
            if varies.isdisjoint(e.inputs):
                fixed += e.outputs
            else:
                varies.update(e.outputs)
        results = [v for v in known.outputs[:n] if type(v) is Var]
        kept = [v for v, flag in zip(known.outputs[:n], loop.kept_outputs, strict=True) if flag and type(v) is Var]
        carried = [v for v, flag in zip(known.inputs, loop.kept_inputs, strict=True) if not flag]
        return Forward(known.equations, results, (*fixed, *kept), carried)

    @cached_property
    def works(self) -> dict[int, float]:
        """How long each equation takes, by its id."""
        return {id(e): work_of((e,)) for e in self.equations}

    @cached_property
    def further(self) -> dict[int, float]:
        """How much longer it takes to compute each equation in the reverse pass too, by its id."""
        first, works = self.needed_for_results, self.works
        return {i: works[i] if i in first else 0.0 for i in works}

    @cached_property
    def needed_for_results(self) -> set[int]:
        """The ids of the equations that the results need."""
        needed: set[Atom] = set(self.results)
        found = set()
        for e in reversed(self.equations):
            if not needed.isdisjoint(e.outputs):
                found.add(id(e))
                needed.update(e.inputs)
        return found

    def work(self, equations: Iterable[Equation]) -> float:
        """How much longer it takes to compute some equations in the reverse pass too."""
        further = self.further
        return sum([further[id(e)] for e in equations])

    def prices(self, exchange: float, expensive: bool, sums: bool = False) -> dict[int, float | None]:
        """What computing each equation again costs, in bytes that would be worth the same; None if it is never done.

        `exchange` bytes are worth the time in which one could be moved to or from memory. `expensive` allows what is
        slow; with `sums`, what makes little of much costs nothing besides that.
        """
        never = ("never",) if expensive else ("never", "expensive")
        free = {id(e) for e in self.equations if sums and reduces(e)}
        return {
            i: None if self.levels[i] in never else 0.0 if i in free else exchange * time
            for i, time in self.further.items()
        }

    @cached_property
    def levels(self) -> dict[int, str]:
        """What `Primitive.recomputable` says of each equation, by its id; "never" of one that has effects.

        In a program for several devices, what may have them communicate takes long.
        """
        several = number_of_devices() > 1
        return {
            id(e): "never" if e.has_effects else "expensive" if several and moves(e) else e.primitive.recomputable
            for e in self.equations
        }

    @cached_property
    def readers(self) -> dict[Atom, list[Equation]]:
        """The equations that read each value."""
        found: dict[Atom, list[Equation]] = {}
        for e in self.equations:
            for v in e.inputs:
                found.setdefault(v, []).append(e)
        return found

    def reads_elsewhere(self, made: set[Var], again: Sequence[Equation]) -> bool:
        """Whether equations other than those that are computed again read what they make."""
        ids = set(map(id, again))
        return any(id(e) not in ids for v in made for e in self.readers.get(v, ()))

    def at_hand(self, v: Var) -> bool:
        """Whether reading a value in the reverse pass costs nothing."""
        return v in self.kept or (v not in self.producer and v not in self.carried)

    @cached_property
    def numbered(self) -> Numbered:
        """The program, as cuts take it."""
        return Numbered(self.equations)

    @cached_property
    def ways(self) -> dict[Var, tuple[int, list[Var]]]:
        """For each value that is not there, the number of its equation, and the operands that are not there either."""
        absent = self.producer.keys() - self.kept
        return {
            v: (i, [u for u in dict.fromkeys(e.inputs) if u in absent])  # type: ignore[misc]
            for i, e in enumerate(self.equations)
            for v in e.outputs
            if v in absent
        }

    def again(self, wanted: Iterable[Var], saved: set[Var]) -> tuple[list[Equation], set[Var]]:
        """The equations that give the values that are wanted, from what is saved or at hand, and all that they make."""
        made: set[Var] = set()
        numbers: set[int] = set()
        ways = self.ways
        pending = [v for v in wanted if v in ways]
        while pending:
            v = pending.pop()
            if v not in made and v not in saved:
                made.add(v)
                i, operands = ways[v]
                numbers.add(i)
                pending += operands
        return [self.equations[i] for i in sorted(numbers)], made

    def takes_longer(self, wanted: Var, saved: set[Var], time: float) -> bool:
        """Whether the equations that give a value again take longer than some time; no more are looked at than tell."""
        producer, kept, works = self.producer, self.kept, self.works
        seen: set[Var] = set()
        counted: set[int] = set()
        pending, total = [wanted], 0.0
        while pending and total <= time:
            v = pending.pop()
            if v in seen or v in saved or v in kept or v not in producer:
                continue
            seen.add(v)
            e = producer[v]
            if id(e) not in counted:
                counted.add(id(e))
                total += works[id(e)]
                pending += [u for u in e.inputs if type(u) is Var]
        return total > time


def by_results(forward: Forward, residuals: Iterable[Atom]) -> Forward:
    """The program, with derivatives taken from results alone where only they would have their arguments kept.

    They are less exact so: where a result says little of the argument, it says little of the derivative. An argument
    is there anyway if it is a residual, or small, or elementwise operations make it from inputs.
    """
    wanted = set(residuals)
    slopes = {e.outputs[0] for e in forward.equations if isinstance(e.primitive, Slope)} & wanted
    if not slopes:
        return forward
    wanted -= slopes
    near: set[Atom] = set()  # to the inputs: cheaply made from them

    def is_near(v: Atom) -> bool:
        return not isinstance(v, Var) or v in near or (v not in forward.producer and forward.at_hand(v))

    def is_there(v: Atom) -> bool:
        if not isinstance(v, Var) or is_near(v) or v in wanted or v.type.bytes <= SLIGHT or forward.at_hand(v):
            return True
        e = forward.producer.get(v)
        return e is not None and fuses(e) and all(map(is_near, e.inputs))

    def by_result(e: Equation) -> Equation:
        if not isinstance(e.primitive, Slope) or e.outputs[0] not in slopes or is_there(e.inputs[0]):
            return e
        return Equation(e.primitive.by_result, e.inputs[1:], {}, e.outputs, e.source)

    for e in forward.equations:
        if is_cheap(e) and all(map(is_near, e.inputs)):
            near.update(e.outputs)
    return Forward(list(map(by_result, forward.equations)), forward.results, forward.kept, forward.carried)


def fuses(e: Equation) -> bool:
    """Whether a compiler need not write the operands and the result of an operation to memory."""
    return isinstance(e.primitive, Elementwise) or e.primitive.recomputable == "free"


def moves(e: Equation) -> bool:
    """Whether devices may have to communicate for an operation, however its operand is spread over them."""
    in_place = isinstance(e.primitive, Elementwise) or e.primitive in IN_PLACE
    return not in_place and e.primitive.recomputable != "never"


def is_cheap(e: Equation) -> bool:
    """Whether a compiler rather computes an operation again than writes its result to memory."""
    return e.primitive.recomputable in ("free", "cheap") and fuses(e)


def reduces(e: Equation) -> bool:
    """Whether an operation, which is none that takes long, makes a small array from a large one."""
    read = max([v.type.bytes for v in e.inputs if type(v) is Var], default=0)
    return e.primitive.recomputable != "expensive" and 8 * sum([v.type.bytes for v in e.outputs]) <= read


def spreads(e: Equation) -> bool:
    """Whether an operation makes a large array from little at no cost: zeros, or one number in many places."""
    if e.primitive.recomputable != "free":
        return False
    read = sum([v.type.bytes for v in e.inputs if type(v) is Var])
    return 8 * read <= sum([v.type.bytes for v in e.outputs])


def gathers(e: Equation, linear: set[Atom]) -> bool:
    """Whether it is a product that brings a linear operand to a small result, and whose transpose has no sums.

    With rows of its own in the other operand, the transpose is a product that sums over these.
    """
    if e.primitive is not dot_general:
        return False
    contracted, batch = e.params["dimension_numbers"]
    axes = [{*c, *b} for c, b in zip(contracted, batch)]
    alone = [
        all([n == 1 for d, n in enumerate(v.type.shape) if d not in known])
        for v, known in zip(e.inputs, axes, strict=True)
        if v not in linear
    ]
    size = SPREAD * countable(e.outputs[0].type.size)
    return any(alone) and size <= max([countable(v.type.size) for v in linear])


def crossings(forward: Forward, reads: Sequence[Sequence[Var]], saved: set[Var], part: float) -> set[Var]:
    """The values that one region reads and another has computed again already, if that costs more than to save them.

    It does where all but the first time take longer than it would to move `part` of their bytes.
    """
    first: dict[Var, int] = {}
    times: dict[Var, int] = {}
    shared: set[Var] = set()
    for k, wanted in enumerate(reads):
        again, made = forward.again(wanted, saved)
        for v in made:
            first.setdefault(v, k)
            times[v] = times.get(v, 0) + 1
        operands = [u for e in again if first.get(e.outputs[0], k) == k for u in e.inputs if type(u) is Var]
        shared.update([u for u in (*operands, *wanted) if first.get(u, k) < k])
    return {v for v in shared if times[v] > 1 and forward.takes_longer(v, saved, part * v.type.bytes / (times[v] - 1))}


def without_results(e: Equation, variables: set[Var]) -> Equation:
    """The equation with other variables for those of its results that are known otherwise."""
    if variables.isdisjoint(e.outputs):
        return e
    outputs = tuple([Var(v.type) if v in variables else v for v in e.outputs])
    return Equation(e.primitive, e.inputs, e.params, outputs, e.source)
