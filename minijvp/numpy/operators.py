"""Operators and methods of tracers: those of arrays. `minijvp.numpy` installs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.tracer import Tracer, is_convertible, usable
from minijvp.core.types import PYTHON_SCALARS, Array, is_arraylike
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.interop.from_jax import from_jax
from minijvp.numpy import (
    arithmetic,
    contractions,
    creation,
    indexing,
    logic,
    manipulation,
    rearranging,
    reductions,
    selection,
    statistics,
    tracer_text,
    ufuncs,
    updates,
)
from minijvp.numpy.promotion import refuse, sequence
from minijvp.numpy.split_results import flattened, split_result


def operator(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A binary operator; what is no array is left to the other operand."""

    def method(self: Array, other: Any) -> Any:
        if isinstance(other, Tracer) or type(other) in PYTHON_SCALARS or is_arraylike(other) or is_convertible(other):
            return function(self, other)
        return NotImplemented

    return method


def reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operator of the right operand."""
    return operator(lambda x, y: function(y, x))


BINARY = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "truediv": arithmetic.divide,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "divmod": arithmetic.divmod,
    "pow": arithmetic.power,
    "matmul": contractions.matmul,
    "and": logic.bitwise_and,
    "or": logic.bitwise_or,
    "xor": logic.bitwise_xor,
    "lshift": logic.left_shift,
    "rshift": logic.right_shift,
}
COMPARISONS = {
    "eq": logic.equal,
    "ne": logic.not_equal,
    "lt": logic.less,
    "le": logic.less_equal,
    "gt": logic.greater,
    "ge": logic.greater_equal,
}
UNARY = {"neg": ufuncs.negative, "pos": ufuncs.positive, "abs": ufuncs.absolute, "invert": logic.invert}
METHODS = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": from_jax(jnp.argpartition),
    "argsort": rearranging.argsort,
    "choose": from_jax(jnp.choose),
    "clip": logic.clip,
    "conj": ufuncs.conj,
    "conjugate": ufuncs.conj,
    "copy": creation.copy,
    "cumprod": reductions.cumprod,
    "cumsum": reductions.cumsum,
    "diagonal": rearranging.diagonal,
    "dot": contractions.dot,
    "max": reductions.max,
    "mean": statistics.mean,
    "min": reductions.min,
    "nonzero": selection.nonzero,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": manipulation.ravel,
    "repeat": rearranging.repeat,
    "round": ufuncs.round,
    "searchsorted": from_jax(jnp.searchsorted),
    "sort": rearranging.sort,
    "squeeze": manipulation.squeeze,
    "std": statistics.std,
    "sum": reductions.sum,
    "swapaxes": manipulation.swapaxes,
    "take": indexing.take,
    "trace": contractions.trace,
    "var": statistics.var,
}


bridged_view = from_jax(lambda x, dtype, type: x.view(dtype, type))
bridged_byteswap = from_jax(lambda x: x.byteswap())
bridged_device_put = from_jax(jax.device_put)


def reshape_method(self: Array, *args: Any, order: str = "C", out_sharding: Any = None) -> Array:
    """The elements in another shape, given as a tuple or as arguments."""
    x = usable(self, "ndarray.reshape")  # that of jax.numpy calls this method
    if out_sharding is not None:
        shape = args[0] if len(args) == 1 else args
        return split_result(jnp.reshape, "ndarray.reshape", x, shape, order, out_sharding=out_sharding)
    return manipulation.reshape(x, args[0] if len(args) == 1 else args, order)


def view_method(self: Array, dtype: Any = None, type: None = None) -> Array:
    """The bits of the elements as elements of another dtype."""
    return bridged_view(usable(self, "ndarray.view"), dtype, type)


def byteswap_method(self: Array) -> Array:
    """The elements with their bytes in the opposite order."""
    return bridged_byteswap(usable(self, "ndarray.byteswap"))


def to_device_method(self: Array, device: Any, *, stream: Any = None) -> Array:
    """The elements, held to a sharding. A program runs on one device, whichever is named."""
    refuse("ndarray.to_device", "stream", stream)
    return bridged_device_put(usable(self, "ndarray.to_device"), device)


def tobytes_method(self: Array, order: Any = "C") -> bytes:
    """The bytes of the elements, where their values are known."""
    return np.asarray(self.known_value("tobytes()", as_number=True)).tobytes(order)


def contains_method(self: Array, other: Any) -> Array:
    """Whether any element of a vector equals the number `other`: `in`, which NumPy gives other meanings beside."""
    if self.ndim != 1 or creation.ndim(other):
        raise ArgumentError(
            f"`in` received a traced {self.type!r} and {other!r:.100}.",
            "It looks for a number in a vector, as in JAX.",
            "Write mnp.any(x == y), or mnp.isin(y, x).",
        )
    return reductions.any(logic.equal(self, other))


def of_memory(name: str) -> Callable[..., Any]:
    """A method of arrays that asks for their memory, which tracers have none of."""

    def method(self: Array, *args: Any, **kwargs: Any) -> Any:
        raise ConcretizationError(
            f"{name}() was asked of a traced {self.type!r}{self.origin()}.",
            NO_MEMORY,
            "Ask it of an argument before, or of a result after the transformation.",
        )

    of_jax = getattr(jax.Array, name, None)  # whose signature it has
    return method if of_jax is None else wraps(of_jax, assigned=())(method)


def attribute_of_memory(name: str) -> property:
    """The same for an attribute: code that asks whether there is one is told no."""

    def read(self: Array) -> Any:
        raise AttributeError(
            f"{name} was asked of a traced {self.type!r}{self.origin()}.\n{NO_MEMORY}\n"
            "Ask it of an argument before, or of a result after the transformation.",
            name=name,
            obj=self,
        )

    return property(read)


NO_MEMORY = (
    "A tracer stands for values that are or will be computed elsewhere: it lies on no device, and has no memory."
)
METHODS_OF_MEMORY = (
    "addressable_data",
    "copy_to_host_async",
    "delete",
    "devices",
    "is_deleted",
    "is_ready",
    "on_device_size_in_bytes",
    "unsafe_buffer_pointer",
)
ATTRIBUTES_OF_MEMORY = (
    "addressable_shards",
    "committed",
    "device",
    "flat",
    "format",
    "global_shards",
    "is_fully_addressable",
    "is_fully_replicated",
    "sharding",
)


def transpose_method(self: Array, *args: Any) -> Array:
    """The axes in another order, given as a tuple or as arguments."""
    axes = args[0] if len(args) == 1 else args or None
    return manipulation.transpose(self, None if axes is None else sequence(axes))


def compress_method(
    self: Array, condition: Array, axis: int | None = None, *, out: None = None, size: Any = None, fill_value: Array = 0
) -> Array:
    """The slices along an axis for which the condition holds."""
    return selection.compress(condition, self, axis, out=out, size=size, fill_value=fill_value)


def flatten_method(self: Array, order: str = "C", *, out_sharding: Any = None) -> Array:
    """The elements along one axis."""
    if out_sharding is not None:
        return split_result(flattened, "ndarray.flatten", self, order=order, out_sharding=out_sharding)
    return manipulation.ravel(self, order)


def astype_method(self: Array, dtype: Any, copy: bool = False, device: Any = None) -> Array:
    """The elements in another dtype."""
    return creation.astype(self, dtype, copy=copy, device=device)


def itself(self: Array, *args: Any) -> Array:
    """The tracer: it cannot change, so it is its own copy, and nothing has to be waited for."""
    return self


def array_namespace(self: Array, *, api_version: str | None = None) -> Any:
    """The module of functions for this array: minijvp.numpy."""
    return import_module(__name__.rpartition(".")[0])


def array_ufunc(self: Array, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's operators on a NumPy array and a tracer are ours; its functions are refused."""
    function = OPERATOR_UFUNCS.get(ufunc)
    # `array * tracer` asks here, and so does np.multiply: only the operator comes without keywords, and both are safe.
    if function is None or method != "__call__" or kwargs:
        raise self.foreign(f"numpy.{ufunc.__name__}")
    return function(*inputs)


OPERATOR_UFUNCS = {
    np.add: arithmetic.add,
    np.subtract: arithmetic.subtract,
    np.multiply: arithmetic.multiply,
    np.true_divide: arithmetic.divide,
    np.floor_divide: arithmetic.floor_divide,
    np.remainder: arithmetic.remainder,
    np.divmod: arithmetic.divmod,
    np.power: arithmetic.power,
    np.matmul: contractions.matmul,
    np.bitwise_and: logic.bitwise_and,
    np.bitwise_or: logic.bitwise_or,
    np.bitwise_xor: logic.bitwise_xor,
    np.left_shift: logic.left_shift,
    np.right_shift: logic.right_shift,
    np.equal: logic.equal,
    np.not_equal: logic.not_equal,
    np.less: logic.less,
    np.less_equal: logic.less_equal,
    np.greater: logic.greater,
    np.greater_equal: logic.greater_equal,
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
        "__repr__": tracer_text.representation,
        "__str__": tracer_text.text,
        "__format__": tracer_text.formatted,
        "__array_namespace__": array_namespace,
        "__array_ufunc__": array_ufunc,
        "__copy__": itself,
        "__deepcopy__": itself,
        "block_until_ready": itself,
        "__round__": lambda self, decimals=0: ufuncs.round(self, decimals),
        "astype": astype_method,
        "reshape": reshape_method,
        "view": view_method,
        "byteswap": byteswap_method,
        "to_device": to_device_method,
        "tobytes": tobytes_method,
        "__contains__": contains_method,
        "compress": compress_method,
        "transpose": transpose_method,
        "flatten": flatten_method,
        "at": property(updates.at),
        "itemsize": property(lambda self: self.dtype.itemsize),
        "nbytes": property(lambda self: self.size * self.dtype.itemsize),
        "T": property(manipulation.transpose),
        "mT": property(manipulation.matrix_transpose),
        "real": property(ufuncs.real),
        "imag": property(ufuncs.imag),
    }
    attributes |= {name: of_memory(name) for name in METHODS_OF_MEMORY}
    attributes |= {name: attribute_of_memory(name) for name in ATTRIBUTES_OF_MEMORY}
    for name, attribute in attributes.items():
        setattr(Tracer, name, attribute)
