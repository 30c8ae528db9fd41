"""Operators and methods of tracers: those of arrays. `minijvp.numpy` installs them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.tracing import Tracer, usable
from minijvp.core.types import PYTHON_SCALARS, is_arraylike
from minijvp.interop.from_jax import from_jax
from minijvp.numpy import contractions, creation, indexing, manipulation, reductions, selection, ufuncs
from minijvp.numpy.promotion import refuse


def operator(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A binary operator; what is no array is left to the other operand."""

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, Tracer) or type(other) in PYTHON_SCALARS or is_arraylike(other):
            return function(self, other)
        return NotImplemented

    return method


def reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operator of the right operand."""
    return operator(lambda x, y: function(y, x))


BINARY = {
    "add": ufuncs.add,
    "sub": ufuncs.subtract,
    "mul": ufuncs.multiply,
    "truediv": ufuncs.divide,
    "floordiv": ufuncs.floor_divide,
    "mod": ufuncs.remainder,
    "divmod": ufuncs.divmod,
    "pow": ufuncs.power,
    "matmul": contractions.matmul,
    "and": ufuncs.bitwise_and,
    "or": ufuncs.bitwise_or,
    "xor": ufuncs.bitwise_xor,
    "lshift": ufuncs.left_shift,
    "rshift": ufuncs.right_shift,
}
COMPARISONS = {
    "eq": ufuncs.equal,
    "ne": ufuncs.not_equal,
    "lt": ufuncs.less,
    "le": ufuncs.less_equal,
    "gt": ufuncs.greater,
    "ge": ufuncs.greater_equal,
}
UNARY = {"neg": ufuncs.negative, "pos": ufuncs.positive, "abs": ufuncs.absolute, "invert": ufuncs.invert}
METHODS = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": from_jax(jnp.argpartition),
    "argsort": manipulation.argsort,
    "choose": from_jax(jnp.choose),
    "clip": ufuncs.clip,
    "conj": ufuncs.conj,
    "conjugate": ufuncs.conj,
    "copy": creation.copy,
    "cumprod": reductions.cumprod,
    "cumsum": reductions.cumsum,
    "diagonal": manipulation.diagonal,
    "dot": contractions.dot,
    "max": reductions.max,
    "mean": reductions.mean,
    "min": reductions.min,
    "nonzero": selection.nonzero,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": manipulation.ravel,
    "repeat": manipulation.repeat,
    "round": ufuncs.round,
    "searchsorted": from_jax(jnp.searchsorted),
    "sort": manipulation.sort,
    "squeeze": manipulation.squeeze,
    "std": reductions.std,
    "sum": reductions.sum,
    "swapaxes": manipulation.swapaxes,
    "take": indexing.take,
    "trace": contractions.trace,
    "var": reductions.var,
}


bridged_view = from_jax(lambda x, dtype, type: x.view(dtype, type))


def reshape_method(self: Any, *args: Any, order: str = "C", out_sharding: Any = None) -> Any:
    """The elements in another shape, given as a tuple or as arguments."""
    refuse("ndarray.reshape", "out_sharding", out_sharding)
    x = usable(self, "ndarray.reshape")  # that of jax.numpy calls this method
    return manipulation.reshape(x, args[0] if len(args) == 1 else args, order)


def view_method(self: Any, dtype: Any = None, type: None = None) -> Any:
    """The bits of the elements as elements of another dtype."""
    return bridged_view(usable(self, "ndarray.view"), dtype, type)


def transpose_method(self: Any, *args: Any) -> Any:
    """The axes in another order, given as a tuple or as arguments."""
    if not args or args == (None,):
        return manipulation.transpose(self)
    return manipulation.transpose(self, args[0] if isinstance(args[0], (tuple, list)) else args)


def compress_method(
    self: Any, condition: Any, axis: int | None = None, *, out: None = None, size: Any = None, fill_value: Any = 0
) -> Any:
    """The slices along an axis for which the condition holds."""
    return selection.compress(condition, self, axis, out=out, size=size, fill_value=fill_value)


def flatten_method(self: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements along one axis."""
    refuse("ndarray.flatten", "out_sharding", out_sharding)
    return manipulation.ravel(self, order)


def astype_method(self: Any, dtype: Any, copy: bool = False, device: Any = None) -> Any:
    """The elements in another dtype."""
    return creation.astype(self, dtype, copy=copy, device=device)


def itself(self: Any, *args: Any) -> Any:
    """The tracer: it cannot change, so it is its own copy, and nothing has to be waited for."""
    return self


def array_namespace(self: Any, *, api_version: str | None = None) -> Any:
    """The module of functions for this array: minijvp.numpy."""
    return import_module(__name__.rpartition(".")[0])


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's operators on a NumPy array and a tracer are ours; its functions are refused."""
    function = OPERATOR_UFUNCS.get(ufunc)
    # `array * tracer` asks here, and so does np.multiply: only the operator comes without keywords, and both are safe.
    if function is None or method != "__call__" or kwargs:
        raise self.foreign(f"numpy.{ufunc.__name__}")
    return function(*inputs)


OPERATOR_UFUNCS = {
    np.add: ufuncs.add,
    np.subtract: ufuncs.subtract,
    np.multiply: ufuncs.multiply,
    np.true_divide: ufuncs.divide,
    np.floor_divide: ufuncs.floor_divide,
    np.remainder: ufuncs.remainder,
    np.divmod: ufuncs.divmod,
    np.power: ufuncs.power,
    np.matmul: contractions.matmul,
    np.bitwise_and: ufuncs.bitwise_and,
    np.bitwise_or: ufuncs.bitwise_or,
    np.bitwise_xor: ufuncs.bitwise_xor,
    np.left_shift: ufuncs.left_shift,
    np.right_shift: ufuncs.right_shift,
    np.equal: ufuncs.equal,
    np.not_equal: ufuncs.not_equal,
    np.less: ufuncs.less,
    np.less_equal: ufuncs.less_equal,
    np.greater: ufuncs.greater,
    np.greater_equal: ufuncs.greater_equal,
}


def install() -> None:
    """Give tracers the operators, methods and attributes of arrays."""
    for name, function in BINARY.items():
        setattr(Tracer, f"__{name}__", operator(function))
        setattr(Tracer, f"__r{name}__", reflected(function))
    for name, function in COMPARISONS.items():
        setattr(Tracer, f"__{name}__", operator(function))
    for name, function in UNARY.items():
        setattr(Tracer, f"__{name}__", lambda self, function=function: function(self))
    for name, function in METHODS.items():
        setattr(Tracer, name, function)
    attributes: dict[str, Any] = {
        "__getitem__": indexing.getitem,
        "__array_namespace__": array_namespace,
        "__array_ufunc__": array_ufunc,
        "__copy__": itself,
        "__deepcopy__": itself,
        "block_until_ready": itself,
        "__round__": lambda self, decimals=0: ufuncs.round(self, decimals),
        "astype": astype_method,
        "reshape": reshape_method,
        "view": view_method,
        "compress": compress_method,
        "transpose": transpose_method,
        "flatten": flatten_method,
        "at": property(indexing.at),
        "itemsize": property(lambda self: self.dtype.itemsize),
        "nbytes": property(lambda self: self.size * self.dtype.itemsize),
        "T": property(manipulation.transpose),
        "mT": property(manipulation.matrix_transpose),
        "real": property(ufuncs.real),
        "imag": property(ufuncs.imag),
    }
    for name, attribute in attributes.items():
        setattr(Tracer, name, attribute)
