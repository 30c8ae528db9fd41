"""Every primitive, by the samples of tests/samples: their arguments are moved a little by values of the program."""

from __future__ import annotations

from functools import cache

from minijvp.core.types import PYTHON_SCALARS, type_of
from tests.fuzz.deck.operation import Operation
from tests.fuzz.differences import LEFT_OUT, UNMOVED, WITHOUT_DERIVATIVE
from tests.fuzz.operands import Builder
from tests.fuzz.sides import SAMPLES, arguments, movable

LOW = {"float32", "complex64", "float16", "bfloat16"}


def dtypes(name: str) -> set[str]:
    return {type_of(x).dtype.name for x in arguments(name) if type(x) not in PYTHON_SCALARS}


@cache
def by_primitive() -> dict[str, dict[str, list[str]]]:
    """The samples to choose from, by primitive and precision."""
    found: dict[str, list[str]] = {}
    for name, s in SAMPLES.items():
        if name not in LEFT_OUT and not {"float16", "bfloat16"} & dtypes(name):
            found.setdefault(s.primitive.name, []).append(name)
    return {p: {"float64": fitting(names, False), "float32": fitting(names, True)} for p, names in found.items()}


def fitting(names: list[str], single: bool) -> list[str]:
    """Those of a precision, or all if there are none."""
    right = [n for n in names if bool(LOW & dtypes(n)) == single]
    whole = [n for n in names if not movable(n)]
    return right or whole or names


def has_derivative(name: str) -> bool:
    """Whether JAX knows the derivative of a sample."""
    s = SAMPLES[name]
    return s.jax_derivative and s.differentiable and name not in WITHOUT_DERIVATIVE


def make(b: Builder, primitive: str) -> str:
    choices = by_primitive()[primitive][b.state.plan.precision]
    known = [n for n in choices if has_derivative(n)] or choices
    full = [n for n in known if all(type_of(x).size for x in arguments(n))] or known
    name = b.choose(known if b.flag(0.04) else full)
    if b.flag(0.85):  # an argument of the program, whose derivative is not lost on the way
        b.near = {v.name for v in b.scope.values if v.given and v.active}
    fixed = UNMOVED.get(primitive, ())
    moves = ["None" if i in fixed else b.of_type(x) for i, x in enumerate(movable(name))]
    if not SAMPLES[name].finite_differences:
        b.state.smooth = False
    text = f"sample({', '.join([repr(name), *moves])})"
    if moves and not has_derivative(name):
        b.state.smooth = False
        b.used.clear()
        text = f"sample({', '.join([repr(name), *[m if m == 'None' else f'lax.stop_gradient({m})' for m in moves]])})"
    return text


def primitives() -> list[Operation]:
    return [
        Operation(f"primitive: {p}", lambda b, p=p: make(b, p), only_reverse=p.startswith("custom_vjp"), shown=True)
        for p in sorted(by_primitive())
    ]
