"""An analysis: the floating-point operations of a program, with those of the programs inside of it.

Run it as `python examples/extend/flops.py`.
"""

from __future__ import annotations

import math
from typing import Any

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.extend import Elementwise, Equation, Jaxpr, ProgramPrimitive


def flops(jaxpr: Jaxpr) -> int:
    """How many operations on numbers one run of the program takes. Of a `cond` the most expensive branch counts.

    For a loop whose trip count is not known before, `trip_count` gives the library's guess.
    """
    return sum(flops_of(e) for e in jaxpr)


def flops_of(e: Equation) -> int:
    """The operations of one equation."""
    if isinstance(e.primitive, ProgramPrimitive):
        of_body = max(map(flops, e.primitive.bodies(e.params)), default=0)  # of several, one runs
        programs = e.primitive.by_parameter(e.params)
        helping = [flops(program) for name in e.primitive.helpers for program in programs.get(name, ())]
        return e.primitive.trip_count(e.params) * (of_body + sum(helping))
    if e.primitive is lax.dot_general_p:
        (contracted, _), _ = e.params["dimension_numbers"]
        x, out = e.inputs[0].type, e.outputs[0].type
        return 2 * out.size * math.prod(x.shape[d] for d in contracted)
    if isinstance(e.primitive, Elementwise):
        return e.outputs[0].type.size
    return e.inputs[0].type.size if e.primitive.name.startswith("reduce_") else 0


def main() -> None:
    params = mnp.ones((3, 64, 64)), mnp.ones((3, 64))

    @minijvp.jit
    def loss(params: Any, x: Any) -> Any:
        layer = lambda x, wb: (mnp.tanh(x @ wb[0] + wb[1]), None)
        return mnp.mean(lax.scan(layer, x, params)[0] ** 2)

    x = mnp.ones((32, 64))
    forward = flops(minijvp.make_jaxpr(loss)(params, x))
    both = flops(minijvp.make_jaxpr(minijvp.value_and_grad(loss))(params, x))
    print(f"the loss takes {forward} operations, of which {3 * 2 * 32 * 64 * 64} are in matrix products")
    print(f"its value and gradient take {both / forward:.2f} times as many")


if __name__ == "__main__":
    main()
