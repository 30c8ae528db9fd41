"""The cases of a seed: programs from a shuffled deck, words and modes in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from tests.fuzz.deck import DECK
from tests.fuzz.deck.operation import Operation
from tests.fuzz.judging import Case
from tests.fuzz.modes import MODES
from tests.fuzz.plans import FORMS, Plan, StepPlan, numbered, random_inputs
from tests.fuzz.words import LETTERS, ORDERS, Letter, Word, is_reverse, order

BLOCK = 30
"""Programs that have every primitive and every structure among them."""
MODES_OF_WORDS = [m for m in MODES if m != "staged"]
NESTED = 0.15
"""How often a function inside has a function inside."""


@dataclass(frozen=True)
class Choice:
    """What is asked of the cases: all of this, if it is given."""

    precision: str = "float64"
    mode: str | None = None
    word: tuple[str, ...] | None = None


@cache
def groups() -> dict[str, list[str]]:
    """The names of the operations, by the kind that they begin with."""
    found: dict[str, list[str]] = {}
    for name in DECK:
        found.setdefault(name.partition(":")[0], []).append(name)
    return found


def dealt(names: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Cards from a deck that is shuffled again when it is used up."""
    while True:
        for i in rng.permutation(len(names)):
            yield names[int(i)]


def plans(seed: int, precision: str) -> Iterator[Plan]:
    """Programs without end; each `BLOCK` of them goes through all primitives and structures."""
    rng = np.random.default_rng([seed, len(precision), 1])
    kinds = groups()
    functions, surface = dealt(kinds["function"], rng), dealt(kinds["surface"], rng)
    while True:
        certain = [*rng.permutation(kinds["primitive"]), *rng.permutation(kinds["structure"])]
        for i in range(BLOCK):
            names = [str(n) for n in certain[i::BLOCK]] + [next(functions), next(functions), next(surface)]
            inner = iter(lambda: next(functions), None)
            steps = [step(names[int(k)], inner, rng, Around()) for k in rng.permutation(len(names))]
            yield Plan(random_inputs(rng, precision), numbered(steps), precision, None, str(rng.choice(FORMS)))


def step(name: str, functions: Iterator[str], rng: np.random.Generator, around: Around) -> StepPlan:
    """A step of an operation, with steps inside."""
    operation = DECK[name]
    inside = around.inside(operation)
    body = []
    for _ in range(int(rng.integers(operation.bodies[0], operation.bodies[1] + 1))):
        nested = inside.depth < 3 and rng.random() < NESTED
        cards = iter(lambda: str(rng.choice(groups()["structure"])), None) if nested else functions
        body.append(step(next(c for c in cards if inside.allows(DECK[c])), functions, rng, inside))
    return StepPlan(0, name, int(rng.integers(1 << 30)), tuple(body))


@dataclass(frozen=True)
class Around:
    """What happens to a step: how often it is differentiated, and whether in forward mode."""

    orders: int = 1
    forward: bool = False
    depth: int = 0

    def inside(self, operation: Operation) -> Around:
        """What happens to the steps inside of an operation."""
        return Around(self.orders + operation.differentiates, self.forward or operation.forward, self.depth + 1)

    def allows(self, operation: Operation) -> bool:
        """Whether JAX can differentiate the operation here."""
        return operation.orders >= self.orders and not (self.forward and operation.only_reverse)

    def allows_step(self, s: StepPlan) -> bool:
        """The same of a step with all that is inside."""
        operation = DECK[s.operation]
        return self.allows(operation) and all(map(self.inside(operation).allows_step, s.body))


def words(seed: int) -> Iterator[Word]:
    """Words of up to three letters: every letter and every pair in turn, triples by chance."""
    rng = np.random.default_rng([seed, 2])
    pairs = dealt(["-".join(w) for w in product(LETTERS, repeat=2)], rng)
    single = dealt(list(LETTERS), rng)
    letters = list(LETTERS)
    while True:
        for length in (1, 2, 1, 2, 3, 1, 2, 0):
            names = {0: [], 1: [next(single)], 2: next(pairs).split("-"), 3: list(rng.choice(letters, 3))}[length]
            if sum(ORDERS[n] for n in names) <= 3:
                yield tuple([Letter(str(n), int(rng.integers(1, 99)) if rng.random() < 0.6 else 0) for n in names])


def cases(seed: int, choice: Choice) -> Iterator[list[Case]]:
    """For each program the cases that it is tried in: its pullback as a whole, and a part of it under a word."""
    rng = np.random.default_rng([seed, 3])
    modes, chosen = dealt(MODES_OF_WORDS, rng), words(seed)
    for plan in plans(seed, choice.precision):
        word = tuple(map(Letter, choice.word)) if choice.word is not None else next(chosen)
        mode = choice.mode or next(modes)
        word = suited(word, mode)
        found = [] if choice.mode or choice.word is not None else [Case(plan, (Letter("vjp"),), "staged")]
        yield [*found, Case(part(plan, word, rng), word, mode)]


def suited(word: Word, mode: str) -> Word:
    """The word for a mode: what recurs is a gradient."""
    if mode == "recurring" and (not word or word[0].name not in ("grad", "value_and_grad")):
        head = Letter("grad")
        return (head, *word) if order(word) < 2 and len(word) < 3 else (head, *word[1:])
    return word


STEPS = {0: 10, 1: 7, 2: 5, 3: 4}
"""How many steps a program under a word has, by how often it differentiates."""


def part(plan: Plan, word: Word, rng: np.random.Generator) -> Plan:
    """Some steps of a program: structures and functions first, and only what the word can differentiate."""
    around = Around(order(word), not is_reverse(word))
    steps = [s for s in plan.steps if around.allows_step(s)]
    weight = lambda s: rng.random() - (0.5 if s.operation.startswith("primitive") else 0.0)
    chosen = sorted(steps, key=weight)[-STEPS[min(order(word), 3)] :]
    return plan.of([s for s in steps if s in chosen])
