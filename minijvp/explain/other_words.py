"""What Python says of a tracer, of which it knows the class alone, in words of the user's program, with advice."""

from __future__ import annotations

import re

import jax.nn
import jax.numpy

from minijvp.tracebacks import user_lines

CONSTANT = "minijvp.stop_gradient(x) is x as a constant; arguments that argnums does not name are constant anyway"
OUTSIDE = "np.asarray(x) is for arguments and results; inside of a transformation, minijvp.numpy computes"
GRADIENT = "gradients are results of functions: minijvp.grad(loss)(params)"

IN_PLACE_OF = {
    "backward": GRADIENT,
    "clone": "x itself: arrays do not change",
    "contiguous": "x itself: the compiler lays arrays out",
    "cpu": OUTSIDE,
    "cuda": "minijvp.device_put(x, device)",
    "data": CONSTANT,
    "detach": CONSTANT,
    "double": "x.astype(mnp.float64), with minijvp.enable_x64",
    "expand": "mnp.broadcast_to(x, shape)",
    "float": "x.astype(mnp.float32)",
    "gather": "mnp.take_along_axis(x, indices, axis)",
    "grad": GRADIENT,
    "index_select": "mnp.take(x, indices, axis)",
    "long": "x.astype(int)",
    "masked_fill": "mnp.where(mask, value, x)",
    "mm": "x @ y",
    "norm": "mnp.linalg.norm(x)",
    "numpy": OUTSIDE,
    "permute": "x.transpose(axes)",
    "requires_grad": CONSTANT,
    "setflags": "x.at[index].set(value), which makes a new array",
    "to": "x.astype(dtype), or minijvp.device_put(x, device)",
    "unsqueeze": "mnp.expand_dims(x, axis)",
}
"""What to write for methods and attributes that arrays of other libraries have."""

OF_TRACERS = re.compile(r"'[A-Z]\w*Tracer'(?: object)?")


def in_other_words(error: BaseException) -> str:
    """What to say in place of an error of Python about a tracer, with the user's line that it came from."""
    text, lines = str(error), [line for _, line in user_lines(error)]
    said = OF_TRACERS.sub("a traced array", text) + (f", at {lines[-1]}: {lines[-1].text}." if lines else ".")
    if text.startswith("unhashable"):
        why = "Keys of dicts and elements of sets are told apart by their values, which a traced array has not yet."
        return f"{said}\n{why}\nUse names or numbers as keys, and a list in the place of a set."
    advice = in_place_of(getattr(error, "name", None) or "")
    if "operand" in text and text.endswith(("'list'", "'tuple'")):
        advice = "mnp.asarray([...]): lists are no operands, as in JAX"
    return f"{said}\nInstead: {advice}." if advice else said


def in_place_of(name: str) -> str:
    """What to write in place of an attribute that tracers do not have, or nothing."""
    known = IN_PLACE_OF.get(name.rstrip("_"))
    if known:
        return known
    for module, ours in ((jax.numpy, "mnp"), (jax.nn, "minijvp.nn")):
        if callable(getattr(module, name, None)):
            return f"{ours}.{name}(x)"
    return f"x = x.{name[:-1]}(...) or the like: arrays do not change" if name.endswith("_") else ""
