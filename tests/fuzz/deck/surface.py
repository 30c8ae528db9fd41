"""Every function of JAX that has a gradient, by the calls of tests/interop/calls.py."""

from __future__ import annotations

import re

from tests.fuzz.building import Builder
from tests.fuzz.deck.operation import Operation
from tests.fuzz.differences import NOT_CALLED
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
    wanted = names_in(text)
    needed = {n for name in wanted if name in DERIVED for n in DERIVED[name][0]} | {n for n in wanted if n in SHAPES}
    lines = []
    for name in sorted(needed):
        lines.append((name, b.distinct(SHAPES[name])))
    inner = [f"{n} = {DERIVED[n][1]}" for n in wanted if n in DERIVED] + [
        f"{n} = {FIXED[n]}" for n in wanted if n in FIXED
    ]
    if not lines:
        return f"call({function}, {text})"
    name = f"g{b.step.number}"
    params, operands = ", ".join(n for n, _ in lines), ", ".join(x for _, x in lines)
    b.lines += [f"def {name}({params}):", *[f"    {line}" for line in inner], f"    return call({function}, {text})"]
    return f"{name}({operands})"


def surface() -> list[Operation]:
    found = []
    for text, modules in CALLS.items():
        for module, listed in modules.items():
            for name in listed.split():
                full = f"{module}.{name}"
                if full in EAGER or full in NOT_CALLED:
                    continue
                local = full.removeprefix("jax.").replace("numpy.", "jnp.", 1) if ".numpy." in full else full[4:]
                single = name == "dot_product_attention"
                honest = ".random." not in full and "stop_gradient" not in full
                found.append(Operation(f"surface: {full}", lambda b, f=local, t=text: make(b, f, t), honest=honest, single=single))
    return found
