"""A primitive that carries a program: a call with a label, which all that becomes of it has as well.

Run it as `python examples/extend/program.py`. `Call` has the rules: each transforms the program, and calls what that
gives with the same label. So the reverse pass of a layer is charged to the layer, here and in XLA's profiles.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.extend import Call, Jaxpr, Sample, stage, type_of


class Labelled(Call):
    """The outputs of a program, whose operations have a label in the profiles of XLA."""

    def impl(self, *args: Any, jaxpr: Jaxpr, label: str) -> tuple[Any, ...]:
        with jax.named_scope(label):
            return super().impl(*args, jaxpr=jaxpr)


labelled = Labelled("labelled")


def label(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for functions of arrays that return an array. What they close over is differentiated too."""

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        def function(*args: Any) -> Any:
            jaxpr = stage(lambda *xs: [f(*xs)], [type_of(x) for x in args], name)
            return labelled.call(jaxpr, *args, label=name)[0]

        return function

    return decorate


def products(jaxpr: Jaxpr, name: str = "elsewhere") -> Counter[str]:
    """How many numbers are multiplied in matrix products, by label."""
    found: Counter[str] = Counter()
    for e in jaxpr:
        if e.primitive is lax.dot_general_p:
            (contracted, _), _ = e.params["dimension_numbers"]
            found[name] += e.outputs[0].type.size * math.prod(e.inputs[0].type.shape[d] for d in contracted)
        for program in e.programs:
            inside = products(program, e.params["label"] if e.primitive is labelled else name)
            found += Counter({k: n * e.primitive.trip_count(e.params) for k, n in inside.items()})
    return found


@label("encoder")
def encode(w: Any, x: Any) -> Any:
    return mnp.tanh(x @ w)


@label("decoder")
def decode(w: Any, x: Any) -> Any:
    return mnp.tanh(x @ w @ w.T @ w)


def loss(params: Any, x: Any) -> Any:
    return mnp.mean(decode(params[1], encode(params[0], x)) ** 2)


def main() -> None:
    params, x = (mnp.ones((64, 8)), mnp.ones((8, 16))), mnp.ones((32, 64))
    forward = products(minijvp.make_jaxpr(loss)(params, x))
    both = products(minijvp.make_jaxpr(minijvp.value_and_grad(loss))(params, x))
    for name in ("encoder", "decoder"):
        print(f"{name}: {forward[name]} products forward, {both[name]} with the gradient")
    text = minijvp.jit(minijvp.grad(loss)).lower(params, x).compile().as_text()
    print(f"the compiled gradient has {'both labels' if 'encoder' in text and 'decoder' in text else 'lost a label'}")

    x = mnp.array([0.5, -1.0])
    program = stage(lambda x, y: [mnp.sin(x) * y, mnp.sum(y)], [type_of(x)] * 2)
    minijvp.check_primitive(labelled, [Sample(labelled, (x, x), params={"jaxpr": program, "label": "checked"})])


if __name__ == "__main__":
    main()
