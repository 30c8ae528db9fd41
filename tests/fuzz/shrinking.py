"""From a failing case to a minimal one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.fuzz.building import build
from tests.fuzz.judging import Case, Verdict, judge
from tests.fuzz.plans import InputPlan, Plan, StepPlan
from tests.fuzz.words import Letter

Judge = Callable[[Case], Verdict]


def shrunk(case: Case, verdict: Verdict, seconds: float = 60.0, judge: Judge = judge) -> tuple[Case, Verdict]:
    """A smaller case with a failure of the same kind, such that nothing smaller has it, and its verdict."""
    end = time.monotonic() + seconds
    seen: set[Case] = {case}
    going = True
    while going:
        going = False
        for smaller in candidates(case):
            if time.monotonic() > end:
                return case, verdict
            if smaller in seen:
                continue
            seen.add(smaller)
            found = judge(smaller)
            if found.kind == verdict.kind:
                case, verdict, going = smaller, found, True
                break
    return case, verdict


def candidates(case: Case) -> Iterator[Case]:
    """Smaller cases, those that leave most out first."""
    plan = case.plan
    for smaller in (*fewer_steps(plan), *fewer_results(plan), *simpler_bodies(plan), *simpler_steps(plan)):
        yield replace(case, plan=smaller)
    for word in simpler_words(case.word):
        yield replace(case, word=word)
    for mode in SIMPLER.get(case.mode, ()):
        yield replace(case, mode=mode)
    for smaller in (*fewer_inputs(plan), *smaller_inputs(plan), *simpler_forms(plan)):
        yield replace(case, plan=smaller)


SIMPLER = {"recurring": ("eager",), "budgets": ("jit",), "jit": ("eager",), "staged": ("jit", "eager")}
"""Modes that would do as well."""


def fewer_steps(plan: Plan) -> Iterator[Plan]:
    """Without the first half, without the second, without any one."""
    n = len(plan.steps)
    for size in dict.fromkeys((n // 2, n // 4, 1)):
        if size:
            for start in range(0, n, size):
                yield plan.of(plan.steps[:start] + plan.steps[start + size :])


def simpler_bodies(plan: Plan) -> Iterator[Plan]:
    """With a step less inside of a function, or with a step of a function instead of the call."""
    for i, step in enumerate(plan.steps):
        for smaller in simpler(step):
            yield plan.of([*plan.steps[:i], smaller, *plan.steps[i + 1 :]])
        if step.body:
            yield plan.of([*plan.steps[:i], *step.body, *plan.steps[i + 1 :]])


def simpler(step: StepPlan) -> Iterator[StepPlan]:
    for j, inner in enumerate(step.body):
        yield replace(step, body=step.body[:j] + step.body[j + 1 :])
        for smaller in simpler(inner):
            yield replace(step, body=(*step.body[:j], smaller, *step.body[j + 1 :]))


SIMPLE = "function: jnp.cos({R})"


def simpler_steps(plan: Plan) -> Iterator[Plan]:
    """With a plain function of a number instead of one step."""
    for i, step in enumerate(plan.steps):
        if step.operation != SIMPLE:
            yield plan.of([*plan.steps[:i], replace(step, operation=SIMPLE, body=()), *plan.steps[i + 1 :]])


def fewer_results(plan: Plan) -> Iterator[Plan]:
    """With one result, or with one less."""
    names = plan.keep
    if names is None:
        names = result_names(plan)
        if len(names) < 2:
            return
    if len(names) > 1:
        for name in names:
            yield replace(plan, keep=(name,))
        for name in names:
            yield replace(plan, keep=tuple(n for n in names if n != name))


def result_names(plan: Plan) -> tuple[str, ...]:
    return build(plan).results


def simpler_words(word: Sequence[Letter]) -> Iterator[tuple[Letter, ...]]:
    for i, letter in enumerate(word):
        rest = lambda *new, i=i: (*word[:i], *new, *word[i + 1 :])
        yield rest()
        if letter.seed:
            yield rest(Letter(letter.name))
        for name in SIMPLER_LETTERS.get(letter.name, ()):
            yield rest(Letter(name))


SIMPLER_LETTERS = {"value_and_grad": ("grad",), "vjp": ("grad",), "jacrev": ("vjp",), "jacfwd": ("jvp",),
                   "linearize": ("jvp",), "hessian": ("grad",)}  # fmt: skip


def fewer_inputs(plan: Plan) -> Iterator[Plan]:
    for i in range(len(plan.inputs)):
        if len(plan.inputs) > 1:
            yield replace(plan, inputs=plan.inputs[:i] + plan.inputs[i + 1 :])


def smaller_inputs(plan: Plan) -> Iterator[Plan]:
    for i, x in enumerate(plan.inputs):
        for smaller in smaller_input(x):
            yield replace(plan, inputs=(*plan.inputs[:i], smaller, *plan.inputs[i + 1 :]))


def smaller_input(x: InputPlan) -> Iterator[InputPlan]:
    if x.shape:
        yield replace(x, shape=())
        yield replace(x, shape=x.shape[1:])
    for axis, n in enumerate(x.shape):
        for fewer in {1, 2} if n > 2 else {1} if n == 2 else ():
            yield replace(x, shape=(*x.shape[:axis], fewer, *x.shape[axis + 1 :]))
    if x.pattern != "plain":
        yield replace(x, pattern="plain")
    if x.wide:
        yield replace(x, wide=False)
    if x.kind != "real":
        yield replace(x, kind="real")


def simpler_forms(plan: Plan) -> Iterator[Plan]:
    if plan.form != "tuple":
        yield replace(plan, form="tuple")
    if plan.precision != "float64":
        yield replace(plan, precision="float64")
