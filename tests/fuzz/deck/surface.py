"""Every function of JAX that has a gradient, by the calls of tests/interop/calls.py."""

from __future__ import annotations

import re

from tests.fuzz.deck.operation import Operation
from tests.fuzz.differences import NOT_CALLED
from tests.fuzz.operands import Builder
from tests.interop.calls import CALLS, EAGER

SHAPES = {"x": (4, 4), "y": (4, 4), "v": (4,), "w": (4,), "u": (4,), "m": (2, 3, 4), "s": (), "t": ()}
FIXED = {"i": "np.array([1, 2, 3, 2])", "key": "random.key(0)"}
DERIVED = {"A": ("x", "x @ x.T + 2 * jnp.eye(4)"), "c": ("vw", "v + 1j * w"), "b": ("v", "v > 0.5")}
"""The names in the calls: arrays with numbers between 0.2 and 0.9, and what is made of them."""


def names_in(text: str) -> list[str]:
    bare = re.sub(r"'[^']*'|lambda [^:]*:", "", text)
    words = set(re.findall(r"(?<![.\w])[A-Za-z]\w*(?!\w*=[^=])", bare))
    return sorted(words & {*SHAPES, *FIXED, *DERIVED})


def make(b: Builder, function: str, text: str) -> str:
    """A function whose parameters are the arrays that the call is about."""
    wanted = names_in(text)
    params = sorted({n for name in wanted for n in DERIVED.get(name, (name,))[0] if n in SHAPES})
    inner = [f"{n} = {DERIVED[n][1]}" for n in wanted if n in DERIVED]
    inner += [f"{n} = {FIXED[n]}" for n in wanted if n in FIXED]
    name, operands = f"g{b.step.number}", ", ".join([b.distinct(SHAPES[n]) for n in params])
    body = [*inner, f"return call({function}, {text})"]
    b.lines += [f"def {name}({', '.join(params)}):", *[f"    {line}" for line in body]]
    return f"{name}({operands})"


def operation(full: str, text: str) -> Operation:
    """The call of a function of JAX, by its name and its arguments."""
    local = full.removeprefix("jax.").replace("numpy.", "jnp.", 1)
    return Operation(
        f"surface: {full}",
        lambda b: make(b, local, text),
        honest=".random." not in full and "stop_gradient" not in full,
        single=full.endswith(".dot_product_attention"),
    )


def surface() -> list[Operation]:
    """The calls of all functions that the deck does not leave out."""
    calls = [
        (f"{module}.{name}", text)
        for text, modules in CALLS.items()
        for module, listed in modules.items()
        for name in listed.split()
    ]
    return [operation(full, text) for full, text in calls if full not in EAGER and full not in NOT_CALLED]
