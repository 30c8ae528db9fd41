"""What is known of a value while dependences are found: its sets, and, where it depends on no unknown, what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import dtypes

from minijvp.calls.callback import Callback
from minijvp.core.jaxpr import Equation
from minijvp.core.tracing import detached
from minijvp.core.types import ArrayType
from minijvp.operations.collectives import Collective
from minijvp.sparse.sets import Sets


class Known:
    """A value that is known, computed when it is asked for: most of them never are."""

    __slots__ = ("_make", "_operands", "_value")

    def __init__(self, make: Callable[..., Any] | None, operands: Sequence[Known] = (), value: Any = None):
        self._make, self._operands, self._value = make, operands, value

    @property
    def value(self) -> Any:
        """The value: an array, or a number."""
        pending = [self]
        while pending:  # not by recursion: programs are long
            node = pending[-1]
            missing = [x for x in node._operands if x._make is not None] if node._make is not None else []
            if missing:
                pending += missing
                continue
            pending.pop()
            if node._make is not None:
                node._value = node._make(*[x._value for x in node._operands])
                node._make, node._operands = None, ()
        return self._value

    @property
    def array(self) -> np.ndarray:
        """The value, as an array of NumPy."""
        return np.asarray(self.value)


class Value(NamedTuple):
    """What is known of a value: its type, its sets, and itself or None."""

    type: ArrayType
    sets: Sets = None
    known: Known | None = None

    def row(self, i: int, n: int) -> Value:
        """Row i of n, along the leading axis."""
        shape = self.type.shape[1:]
        size = self.type.size // n
        sets = None if self.sets is None else self.sets[i * size : (i + 1) * size]
        known = self.known and Known(lambda x: x[i], (self.known,))
        return Value(self.type.with_shape(shape), sets if sets is not None and sets.nnz else None, known)

    @property
    def nonzero(self) -> np.ndarray | None:
        """Which elements are not known to be zero, in a flat array; None if none is."""
        if self.known is None:
            return None
        found = self.known.array.reshape(-1) != 0
        return None if found.all() else found


def constant(x: Any, t: ArrayType) -> Value:
    """A value that is there."""
    return Value(t, None, Known(None, value=x))


def results_of(e: Equation, values: Sequence[Value]) -> list[Known | None]:
    """The results of an equation as known values, if its operands are; not what a host or other lanes say."""
    operands = [v.known for v in values if v.known is not None]
    if len(operands) < len(values) or e.has_effects or isinstance(e.primitive, (Callback, Collective)):
        return [None] * len(e.outputs)
    whole = Known(lambda *xs: computed(e, xs), operands)
    if not e.returns_tuple:
        return [whole]
    return [Known(lambda xs, i=i: xs[i], (whole,)) for i in range(len(e.outputs))]


def computed(e: Equation, operands: Sequence[Any]) -> Any:
    """What an equation gives, by NumPy where that is as good: there is nothing to compile."""
    by_numpy = BY_NUMPY.get(e.primitive.name)
    if by_numpy is not None:
        with np.errstate(all="ignore"):
            return by_numpy(e, *map(np.asarray, operands)).astype(e.outputs[0].type.dtype, copy=False)
    with detached():
        return e.primitive(*operands, **e.params)


def broadcast(e: Equation, x: np.ndarray) -> np.ndarray:
    """broadcast_in_dim, without a copy."""
    return broadcast_to(x, e.params["shape"], e.params["broadcast_dimensions"])


def broadcast_to(x: np.ndarray, shape: Sequence[int], dimensions: Sequence[int]) -> np.ndarray:
    """The array repeated to a shape; its axis i becomes axis `dimensions[i]`."""
    aligned = [1] * len(shape)
    for n, d in zip(x.shape, dimensions, strict=True):
        aligned[d] = n
    return np.broadcast_to(x.reshape(aligned), shape)


def iota(e: Equation) -> np.ndarray:
    """iota, without a copy."""
    shape, d = e.params["shape"], e.params["dimension"]
    return broadcast_to(np.arange(shape[d]), shape, (d,))


BY_NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "add": lambda e, x, y: x + y,
    "broadcast_in_dim": broadcast,
    "convert_element_type": lambda e, x: x.astype(dtypes.canonicalize_dtype(e.params["new_dtype"])),
    "eq": lambda e, x, y: x == y,
    "ge": lambda e, x, y: x >= y,
    "gt": lambda e, x, y: x > y,
    "iota": iota,
    "le": lambda e, x, y: x <= y,
    "lt": lambda e, x, y: x < y,
    "mul": lambda e, x, y: x * y,
    "ne": lambda e, x, y: x != y,
    "neg": lambda e, x: -x,
    "reshape": lambda e, x: x.reshape(e.params["new_sizes"]),
    "select_n": lambda e, which, *cases: np.choose(which.astype(int), cases),
    "squeeze": lambda e, x: x.reshape(e.outputs[0].type.shape),
    "sub": lambda e, x, y: x - y,
    "transpose": lambda e, x: x.transpose(e.params["permutation"]),
    "zeros": lambda e: np.zeros(e.params["shape"], e.params["dtype"]),
}
"""What indices and zeros are mostly made with."""
