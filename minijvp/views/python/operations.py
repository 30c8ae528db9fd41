"""First-order operations that are not elementwise as a person writes them: jax.numpy, methods of arrays.

A writer of the table takes an equation and gives its text, or None where the short form would mean something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Literal, Var
from minijvp.operations.windows import start_of
from minijvp.views.python.elementwise import ELEMENTWISE, LAX_NAMES, Operands, Write, is_array, is_plain
from minijvp.views.python.literals import dtype_name, number
from minijvp.views.python.text import Code, code, listed, tupled

REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "prod"}
FULL_PRECISION = ("float32", "float64", "complex64", "complex128")


def _cast(e: Equation, operands: Operands) -> Code | None:
    (x,), dtype = e.inputs, e.params["new_dtype"]
    if e.params.get("weak_type") and x.type.dtype != dtype:
        return _weak_cast(x, dtype, operands)
    name = dtype_name(dtype)
    if type(x) is Literal:
        return code("jnp.array(", operands.strict(x), f", {name})")
    if x.type.dtype.kind == "c" and not jnp.issubdtype(dtype, jnp.complexfloating):
        return code("lax.convert_element_type(", x, f".real, {name})")
    return code(x, f".astype({name})")


def _weak_cast(x: Atom, dtype: Any, operands: Operands) -> Code | None:
    """A cast to a dtype that yields to others: to the class of a Python scalar, if it is of the default width."""
    cls = {"f": float, "i": int, "c": complex}.get(dtype.kind)
    if cls is None or jnp.asarray(cls(0)).dtype != dtype or (x.type.dtype.kind == "c" and dtype.kind != "c"):
        return None
    return code("lax.convert_element_type(", operands.strict(x), f", {cls.__name__})")


def _zeros(e: Equation, operands: Operands) -> Code:
    return (f"jnp.zeros({_shape_text(e.params['shape'])}, {dtype_name(e.params['dtype'])})",)


def _shape_text(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _broadcast(e: Equation, operands: Operands) -> Code | None:
    (x,), t = e.inputs, e.outputs[0].type
    if isinstance(x, Literal):
        value: Any = t.dtype.type(x.value)
        if value == 1:
            return (f"jnp.ones({_shape_text(t.shape)}, {dtype_name(t.dtype)})",)
        return code(f"jnp.full({_shape_text(t.shape)}, ", number(value.item()), f", {dtype_name(t.dtype)})")
    if not is_array(x):
        return None
    form = broadcastable(e)
    return form if expanded_shape(e) == t.shape else code("jnp.broadcast_to(", form, f", {t.shape})")


def expanded_shape(e: Equation) -> tuple[int, ...]:
    """The shape of the operand of a broadcast after `broadcastable`."""
    shape, places = e.params["shape"], e.params["broadcast_dimensions"]
    sizes = dict(zip(places, e.inputs[0].type.shape, strict=True))
    first = min(places, default=len(shape))
    return tuple([sizes.get(d, 1) for d in range(first, len(shape))])


def broadcastable(e: Equation) -> Code:
    """The operand of a broadcast with axes of size 1 where it needs some, so that it fits by itself."""
    (x,), places, n = e.inputs, e.params["broadcast_dimensions"], len(e.params["shape"])
    axes = [":" if d in places else "None" for d in range(min(places, default=n), n)]
    if "None" not in axes:
        return code(x)
    while axes[-1] == ":":
        axes.pop()
    text = ", ".join(axes)
    return code(x, f"[{text}]")


def _reshape(e: Equation, operands: Operands) -> Code | None:
    (x,), sizes = e.inputs, e.params["new_sizes"]
    if not is_array(x):
        return None
    return code(x, ".ravel()" if len(sizes) == 1 else f".reshape({', '.join(map(str, sizes)) or '()'})")


def _squeeze(e: Equation, operands: Operands) -> Code | None:
    (x,), axes = e.inputs, e.params["dimensions"]
    return code("jnp.squeeze(", x, f", axis={_axis_text(axes)})") if is_array(x) else None


def _axis_text(axes: Sequence[int]) -> str:
    return str(axes[0]) if len(axes) == 1 else str(tuple(axes))


def _transpose(e: Equation, operands: Operands) -> Code | None:
    (x,), order = e.inputs, tuple(e.params["permutation"])
    if not is_array(x):
        return None
    return code(x, ".T" if order == (1, 0) else f".transpose{order}" if len(order) != 1 else ".transpose(0)")


def _slices(e: Equation, operands: Operands) -> Code | None:
    (x,), p = e.inputs, e.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    parts = []
    for start, stop, step, n in zip(p["start_indices"], p["limit_indices"], strides, x.type.shape, strict=True):
        text = f"{start or ''}:{stop if stop < n else ''}"
        parts.append(text + (f":{step}" if step != 1 else ""))
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return code(x, f"[{', '.join(parts)}]") if is_array(x) and parts else None


def _reverse(e: Equation, operands: Operands) -> Code | None:
    axes = e.params["dimensions"]
    return code("jnp.flip(", e.inputs[0], f", axis={_axis_text(axes)})") if axes and is_array(e.inputs[0]) else None


def _concatenate(e: Equation, operands: Operands) -> Code | None:
    axis = e.params["dimension"]
    if not all(map(is_array, e.inputs)):
        return None
    return code("jnp.concatenate([", listed(e.inputs), "]", f", axis={axis})" if axis else ")")


def _iota(e: Equation, operands: Operands) -> Code | None:
    shape, dtype = e.params["shape"], e.params["dtype"]
    if len(shape) != 1 or np.dtype(dtype).kind not in "iuf":
        return None
    return (f"jnp.arange({shape[0]}, dtype={dtype_name(dtype)})",)


def _reduction(e: Equation, operands: Operands) -> Code | None:
    (x,), axes, name = e.inputs, tuple(e.params["axes"]), e.primitive.name
    if not is_array(x) or not axes:
        return None
    dtype = x.type.dtype
    if name in ("reduce_sum", "reduce_prod") and str(dtype) not in FULL_PRECISION:
        return None
    if name in ("reduce_max", "reduce_min") and (dtype.kind not in "fiu" or not x.type.size):
        return None
    return _reduced(REDUCTIONS[name], x, axes)


def _reduced(function: str, x: Atom, axes: tuple[int, ...]) -> Code:
    everything = len(axes) == len(x.type.shape)
    return code(f"jnp.{function}(", x, ")" if everything else f", axis={_axis_text(axes)})")


def _logical(e: Equation, operands: Operands) -> Code | None:
    (x,), axes = e.inputs, tuple(e.params["axes"])
    if not is_array(x) or x.type.dtype != bool or not axes:
        return None
    return _reduced("all" if e.primitive.name == "reduce_and" else "any", x, axes)


def _dot(e: Equation, operands: Operands) -> Code | None:
    """x @ y where that is what it computes; else jnp.einsum."""
    x, y = e.inputs
    (cx, cy), (bx, by) = e.params["dimension_numbers"]
    dtype, wanted = x.type.dtype, e.params.get("preferred_element_type")
    if dtype != y.type.dtype or not is_plain(dtype) or not all(map(is_array, e.inputs)):
        return None
    if wanted is not None and wanted != dtype:
        return None
    n, m, b = len(x.type.shape), len(y.type.shape), len(bx)
    precision = e.params.get("precision")
    axes = (cx, cy), (bx, by)
    batch = tuple(range(b))
    if precision is None and n and m:
        rows = (max(m - 2, 0),)
        matrices = (bx, by) == (batch, batch) and (n == m == b + 2 or (b == 0 and n <= 2 and m <= 2))
        if matrices and (cx, cy) == ((n - 1,), rows):
            return code(x, " @ ", y)
        if matrices and b == 0 and n == 2 and (cx, cy) == ((0,), rows):
            return code(x, ".T @ ", y)
        if matrices and b == 0 and m == 2 and (cx, cy) == ((n - 1,), (1,)):
            return code(x, " @ ", y, ".T")
    return _einsum(x, y, axes, precision, operands)


def _einsum(x: Atom, y: Atom, axes: Any, precision: Any, operands: Operands) -> Code | None:
    (cx, cy), (bx, by) = axes
    if not (cx or bx) and len(x.type.shape) == len(y.type.shape) == 1 and precision is None:
        return code("jnp.outer(", x, ", ", y, ")")
    alphabet = iter("abcdefghijklmnopqrstuvwxyz")
    if len(x.type.shape) + len(y.type.shape) > 26:
        return None
    in_x = [next(alphabet) for _ in x.type.shape]
    shared = {d: in_x[c] for c, d in (*zip(cx, cy, strict=True), *zip(bx, by, strict=True))}
    in_y = [shared.get(d) or next(alphabet) for d in range(len(y.type.shape))]
    out = [in_x[d] for d in bx] + [s for d, s in enumerate(in_x) if d not in (*bx, *cx)]
    out += [s for d, s in enumerate(in_y) if d not in (*by, *cy)]
    formula = f'"{"".join(in_x)},{"".join(in_y)}->{"".join(out)}"'
    further = code(", precision=", operands.literal(precision)) if precision is not None else ()
    return code(f"jnp.einsum({formula}, ", x, ", ", y, further, ")")


def _dynamic(e: Equation, operands: Operands) -> Code | None:
    """lax.dynamic_slice and lax.dynamic_update_slice, whose starts are of one dtype; along one axis, if the rest is."""
    name = e.primitive.name
    updating = name == "dynamic_update_slice"
    given, starts = e.inputs[: 1 + updating], e.inputs[1 + updating :]
    dtypes = [v.type.dtype for v in starts if type(v) is Var]
    if len({*dtypes}) > 1 or any([d.itemsize < 4 for d in dtypes]) or not all(map(is_array, given)) or not starts:
        return None
    shape = given[0].type.shape
    sizes = given[1].type.shape if updating else e.params["slice_sizes"]
    moving = [d for d in range(len(shape)) if sizes[d] != shape[d] or not is_zero(starts[d])]
    clamped = e.params.get("allow_negative_indices") is False and any([d.kind == "i" for d in dtypes])
    further = ", allow_negative_indices=False" if clamped else ""
    if len(moving) == 1:
        (axis,) = moving
        start = operands.strict(starts[axis])
        what = () if updating else f", {sizes[axis]}"
        return code(f"lax.{name}_in_dim(", listed(given), ", ", start, what, f", axis={axis}{further})")
    where = tupled([operands.exact(v, dtypes[0]) if dtypes else operands.strict(v) for v in starts])
    return code(f"lax.{name}(", listed(given), ", ", where, "" if updating else f", {sizes}", further, ")")


def is_zero(atom: Atom) -> bool:
    """Whether an operand is the number 0."""
    return type(atom) is Literal and atom.value == 0


def _keys(e: Equation, operands: Operands) -> Code | None:
    name = getattr(e.params["impl"], "name", None)
    return code("jax.random.wrap_key_data(", e.inputs[0], f', impl="{name}")') if isinstance(name, str) else None


def _padded(e: Equation, operands: Operands) -> Code | None:
    x, value = e.inputs
    config = e.params["padding_config"]
    if type(value) is not Literal or not is_array(x) or any([lo < 0 or hi < 0 or inner for lo, hi, inner in config]):
        return _operands_padded(e, operands)
    widths = tuple((lo, hi) for lo, hi, _ in config)
    filled = "" if value.value == 0 else f", constant_values={number(np.asarray(value.value).item())}"
    return code("jnp.pad(", x, f", {widths}{filled})")


def _operands_padded(e: Equation, operands: Operands) -> Code | None:
    x, value = e.inputs
    if not is_array(x) or (type(value) is Var and value.type.dtype != x.type.dtype):
        return None
    return code("lax.pad(", x, ", ", operands.exact(value, x.type.dtype), f", {tuple(e.params['padding_config'])})")


def without_negative(padding: Sequence[tuple[int, int]], base_dilation: Sequence[int]) -> tuple[list, tuple]:
    """What lax.pad does with an operand beforehand, so that windows need no negative padding; and what they need."""
    config = [(min(lo, 0), min(hi, 0), d - 1) for (lo, hi), d in zip(padding, base_dilation, strict=True)]
    return config, tuple([(max(lo, 0), max(hi, 0)) for lo, hi in padding])


def _reduce_window(e: Equation, operands: Operands) -> Code | None:
    """A reduction of windows by a function of two numbers; XLA wants no negative padding."""
    x, start = e.inputs
    p = dict(e.params)
    if not is_array(x):
        return None
    function = LAX_NAMES.get(name := p.pop("computation"), name)
    whole = code(x)
    if any([n < 0 for pair in p["padding"] for n in pair]):
        fill = operands.literal(start_of(name, x.type.dtype))
        config, p["padding"] = without_negative(p["padding"], p["base_dilation"])
        whole = code("lax.pad(", x, ", ", fill, f", {config})")
        p["base_dilation"] = (1,) * len(config)
    how = listed(code(f"{k}=", operands.literal(v)) for k, v in p.items())
    begin = operands.exact(start, x.type.dtype)
    if type(start) is Var:
        begin = code(begin, f".astype({dtype_name(x.type.dtype)})")
    return code("lax.reduce_window(", whole, ", ", begin, f", lambda x, y: lax.{function}(x, y), ", how, ")")


TABLE: dict[str, Write] = {
    **ELEMENTWISE,
    **dict.fromkeys(REDUCTIONS, _reduction),
    "reduce_and": _logical,
    "reduce_or": _logical,
    "convert_element_type": _cast,
    "zeros": _zeros,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "slice": _slices,
    "rev": _reverse,
    "concatenate": _concatenate,
    "iota": _iota,
    "dot_general": _dot,
    "dynamic_slice": _dynamic,
    "dynamic_update_slice": _dynamic,
    "pad": _padded,
    "random_wrap": _keys,
    "reduce_window": _reduce_window,
}
"""How an operation is written, by the name of its primitive."""
