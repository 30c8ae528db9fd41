"""Modules of JAX as modules of minijvp: every public name, its functions bridged by `from_jax`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import partial, wraps
from types import ModuleType
from typing import Any, NewType, get_origin

import jax.numpy

from minijvp.calls.pickles import name_of
from minijvp.core.primitive import registry
from minijvp.interop.docstrings import BRIDGED, docstring
from minijvp.interop.from_jax import bridged, from_jax


def public_names(module: ModuleType) -> list[str]:
    """The names that a module of JAX shows. Its primitives, which end in _p, are for its own transformations."""
    return [n for n in sorted(dir(module)) if not n.startswith("_") and not n.endswith("_p")]


def add_primitives(namespace: dict[str, Any], original: ModuleType) -> None:
    """Fill the namespace of a module with our primitives, by the names that JAX has for its own of the same kind.

    Those have the parameters that ours take, which are those of JAX with few exceptions.
    """
    for name, value in vars(original).items():
        if name.endswith("_p") and getattr(value, "name", None) in registry:
            namespace[name] = registry[value.name]


def bridge_all(
    namespace: dict[str, Any], original: ModuleType, makers: Collection[str] = (), classes: Collection[str] = ()
) -> list[str]:
    """Fill the namespace of a module with what it lacks of `original`, and return all its public names.

    Functions are bridged when they are first used; `makers` return functions, and those are; so are the methods of
    `classes`. Other classes, dtypes and constants stay what they are. Modules are omitted. `dir` of the module gives
    its public names.
    """
    bridges: dict[str, Callable[[], Any]] = {}
    for name in public_names(original):
        value = getattr(original, name)
        if name in namespace:
            if value is not namespace[name]:
                place(namespace[name], namespace, name)
        elif name in classes:
            bridges[name] = partial(bridge_class, value, original)
        elif is_function(value):
            bridges[name] = partial(maker if name in makers else bridge, value, original, name)
        elif not inspect.ismodule(value):
            namespace[name] = value

    def bridged(name: str) -> Any:
        if name not in bridges:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        return place(namespace.setdefault(name, bridges[name]()), namespace, name)

    namespace["__dir__"] = lambda: sorted(namespace["__all__"])
    namespace["__getattr__"] = bridged
    return sorted([name for name in public_names(original) if name in namespace or name in bridges])


def place(value: Any, namespace: dict[str, Any], name: str) -> Any:
    """A value that is public in a module. If it is found nowhere else, it has the name by which pickle finds it."""
    if hasattr(value, "__qualname__") and name_of(value) is None:
        value.__module__, value.__qualname__ = namespace["__name__"], name
    return value


def is_function(value: Any) -> bool:
    """Whether a value is called with arrays: a function, one that is compiled, or a ufunc, and no class or type."""
    is_type = isinstance(value, (type, NewType)) or get_origin(value) is not None
    return callable(value) and not is_type and not hasattr(value, "dtype")


def bridge(original: Callable[..., Any], module: ModuleType, name: str) -> Callable[..., Any]:
    """A function of JAX as one of minijvp, under its own name."""
    return entitled(bridged(original, pure=True), original, module, name)


def maker(original: Callable[..., Any], module: ModuleType, name: str) -> Callable[..., Any]:
    """A function of JAX that returns functions of arrays, as one that returns functions of minijvp."""

    @wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        return like_ufunc(from_jax(made), made) if isinstance(made, jax.numpy.ufunc) else from_jax(made)

    return entitled(make, original, module, name)


def bridge_class(original: type, module: ModuleType) -> type:
    """A class of JAX as one of minijvp: its methods are bridged functions of what made the object."""

    class Bridged:
        def __init__(self, *args: Any, **kwargs: Any):
            self._made_of = args, kwargs

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return apply("__call__", self._made_of, args, kwargs)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            if inspect.isfunction(inspect.getattr_static(original, name, None)):
                return lambda *args, **kwargs: apply(name, self._made_of, args, kwargs)
            return attribute(name, self._made_of)

    @from_jax
    def apply(name: str, made_of: Any, args: Any, kwargs: Any) -> Any:
        return getattr(original(*made_of[0], **made_of[1]), name)(*args, **kwargs)

    @from_jax
    def attribute(name: str, made_of: Any) -> Any:
        return getattr(original(*made_of[0], **made_of[1]), name)

    Bridged.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return entitled(Bridged, original, module, original.__name__)  # type: ignore[return-value]


def entitled(
    function: Any, original: Callable[..., Any], module: ModuleType, name: str, note: str = BRIDGED, ours: str = ""
) -> Callable[..., Any]:
    """The function with a name and a docstring of its own; the signature is the original's."""
    function.__name__ = function.__qualname__ = name
    function.__module__ = module.__name__.replace("jax", "minijvp", 1)
    function.__doc__ = docstring(original, f"{module.__name__}.{name}", note, ours)
    return function


UFUNC_METHODS = ("accumulate", "at", "outer", "reduce", "reduceat")
UFUNC_ATTRIBUTES = ("identity", "nargs", "nin", "nout")


def like_ufunc(function: Any, original: Any) -> Any:
    """The function with the methods and the attributes of a ufunc of jax.numpy."""
    for method in UFUNC_METHODS:
        setattr(function, method, from_jax(getattr(original, method)))
    for name in UFUNC_ATTRIBUTES:
        setattr(function, name, getattr(original, name))
    return function


def add_ufunc_methods(namespace: dict[str, Any]) -> None:
    """Make those functions of a namespace like ufuncs that are ufuncs in jax.numpy."""
    for name in public_names(jax.numpy):
        original = getattr(jax.numpy, name)
        if isinstance(original, jax.numpy.ufunc):
            like_ufunc(namespace[name], original)
