"""Programs written for JAX, as functions that minijvp differentiates, batches and compiles by its own rules.

from_jax : (a -> b) -> (a -> b), and the same of everything in a pytree, an object or a module
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from functools import partial, wraps
from inspect import getattr_static, isclass, ismodule
from typing import Any

import jax
import numpy as np
from jax.sharding import get_abstract_mesh
from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

from minijvp import trees
from minijvp.answers import Capturing, for_jax
from minijvp.calls.pickles import Making
from minijvp.calls.programs import are_inexact
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.tracer import Tracer, is_convertible, is_traced
from minijvp.core.tracing import EVALUATION, as_constant, axes_here, computes, evaluating, state
from minijvp.core.types import PYTHON_SCALARS, is_arraylike, is_key, type_in_jax, type_of, x64_enabled
from minijvp.custom_rules.captures import reaches_tracer
from minijvp.custom_rules.deferred import ByZeros, Deferred
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError, EscapedTracerError, ForeignFunctionError, MissingRuleError
from minijvp.interop.closures import standing_in
from minijvp.interop.rules import TRACING_ERRORS, LostValueError, NeedsValueError, needs_value
from minijvp.interop.traced import Traced, is_lowered, program_of_jax
from minijvp.transforms.staging import argument_type

READ_PER_FUNCTION = 512

FOR_LACK_OF_VALUES = (*TRACING_ERRORS, TypeError, ValueError, LostValueError, NeedsValueError)
"""What JAX or a function of it raises where it might not, if more were known."""

FLOATS_TRACED, SCALARS_STATIC, ONLY_TRACERS, COMPUTED = range(4)
"""What is unknown to `fun` while JAX traces it, from most to least: arrays and Python's floats; arrays; tracers.

In the last case tracers are unknown too, and JAX computes with all else at once, callbacks included: as it does in an
eager derivative of its own, in every call anew.
"""


def from_jax(fun: Any) -> Any:
    """`fun`, a function written for JAX, as a function of minijvp.

    from_jax : (a -> b) -> (a -> b)

    Args:
        fun: takes and returns pytrees of arrays, and calls jax.numpy, jax.lax, jax.nn or libraries built on them. Other
            leaves of its arguments (strings, functions, None ...) are static; so are those of its result. Or a pytree
            of functions, as an optimizer of optax is one: all become functions of minijvp. Or an object or a module:
            so do its methods or its functions, and of a module what these return, if it has functions in turn.

    With nothing traced, the result calls `fun`. Under a transformation of minijvp, JAX traces `fun` once for each set
    of argument types and static leaves, and minijvp's primitives evaluate what it traced. Rules that an author attached
    (jax.custom_jvp, jax.custom_vjp) are kept. Python floats are traced as weakly typed numbers, unless `fun` needs
    their values; for integers and booleans there is a program for each value. Where `fun` needs the values of arrays
    that are not traced, as jnp.repeat needs its counts, it gets them.

    Traced values that `fun` closes over are further arguments; JAX traces it in every call then, once more for each
    that it meets. Other values that it closes over are looked at when it is traced, as jax.jit does it: pass what
    changes as an argument.

    Raises ArgumentError if JAX cannot trace `fun` (`if` on a traced value) or there is no function in it,
    MissingRuleError for a primitive of JAX that minijvp does not have.

    >>> import jax, minijvp
    >>> loss = minijvp.from_jax(lambda w, x: jax.nn.softplus(x @ w).sum())
    >>> minijvp.grad(loss)(jax.numpy.zeros(2), jax.numpy.ones((3, 2))).tolist()
    [1.5, 1.5]
    >>> special = minijvp.from_jax(jax.scipy.special)
    >>> round(float(minijvp.grad(special.gammaln)(3.0)), 4)
    0.9228
    """
    if has_a_name(fun) or isclass(fun):
        return bridged(fun, making=(from_jax, {"fun": fun}))
    if callable(fun):
        return CallableMembers(fun)
    container = isinstance(fun, (tuple, list, dict))
    if container and fun:
        return tree_map(from_jax, fun, is_leaf=lambda x: x is not fun)
    named = [n for n in dir(fun) if n[0] != "_"] if hasattr(fun, "__dict__") and not is_arraylike(fun) else []
    if container or not any([callable(getattr_static(fun, n, None)) for n in named]):
        trees.require_callable(fun, "from_jax")
    return Members(fun)


class Members:
    """What an object or a module of JAX has, functions as functions of minijvp. Classes, constants, arrays are left."""

    def __init__(self, original: Any):
        self._original = original

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{name!r}: what begins with an underscore does not become a function of minijvp.")
        found = getattr(self._original, name)
        if not has_a_name(found) and not ismodule(found):
            return found
        made = Members(found) if ismodule(found) else maker(found) if ismodule(self._original) else bridged(found)
        vars(self)[name] = made
        return made

    def __reduce__(self) -> Any:
        return from_jax, (self._original,)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._original) if not name.startswith("_")]

    def __repr__(self) -> str:
        return f"from_jax({self._original!r})"


class CallableMembers(Members):
    """The same of an object that is a function besides, as the layers of networks are."""

    def __init__(self, original: Callable[..., Any]):
        super().__init__(original)
        self.__wrapped__ = original
        self._call = bridged(original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)


def has_a_name(x: Any) -> bool:
    """Whether what can be called is a function, and no object besides, as layers of networks are."""
    return callable(x) and not isclass(x) and (hasattr(x, "__name__") or isinstance(x, partial))


def maker(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function as one of minijvp, and so the functions in what it returns: optimizers, schedules."""
    bridge = bridged(fun)

    @wraps(fun)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = bridge(*args, **kwargs)
        some = any([has_a_name(x) for x in tree_leaves(made)])
        return tree_map(lambda x: maker(x) if has_a_name(x) else x, made) if some else made

    return make


def bridged(fun: Callable[..., Any], pure: bool = False, making: Making | None = None) -> Callable[..., Any]:
    """What from_jax returns. A function that is `pure` has no effects, whatever it is called with."""
    bridge = Bridge(fun, pure)

    @trees.wraps(fun, making)
    def bridged(*args: Any, **kwargs: Any) -> Any:
        if state.trace is EVALUATION:
            return fun(*args, **kwargs)
        return bridge(args, kwargs)

    return bridged


class BridgedProgram:
    """What JAX traced, which leaves it takes and which tracers besides, and how its results make up the result."""

    __slots__ = ("captured", "leaves", "out_tree", "static_outputs", "traced")

    def __init__(
        self, traced: Traced, leaves: list[int], captured: Sequence[Tracer], out_tree: Any, static_outputs: dict
    ):
        self.traced, self.leaves, self.captured = traced, leaves, captured
        self.out_tree, self.static_outputs = out_tree, static_outputs

    def __call__(self, leaves: Sequence[Any]) -> Any:
        operands = [*[as_operand(leaves[i]) for i in self.leaves], *self.captured]
        outs = list(program_of_jax(*operands, traced=self.traced))
        for i in sorted(self.static_outputs):
            outs.insert(i, self.static_outputs[i])
        return tree_unflatten(self.out_tree, outs)


class BridgedPrograms:
    """The programs for one set of types, and how much had to be known to trace the first of them."""

    __slots__ = ("by_values", "known")

    def __init__(self, known: int):
        self.known = known
        self.by_values: dict[Hashable, BridgedProgram] = {}


class Bridge:
    """A function of JAX and the programs that JAX has traced of it."""

    def __init__(self, fun: Callable[..., Any], pure: bool = False):
        self.fun = fun
        self.pure = pure
        self.programs: dict[Hashable, BridgedPrograms] = {}

    def __call__(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        leaves, tree = tree_flatten((args, kwargs))
        if self.pure:
            leaves = [x.__jax_array__() if is_convertible(x) and not is_symbolic(x) else x for x in leaves]
        if not state.axis_sizes and computes(state.trace) and not any([isinstance(x, Tracer) for x in leaves]):
            try:
                return self.fun(*args, **kwargs)
            except (TypeError, ValueError, ForeignFunctionError):
                if not reaches_tracer((self.fun, leaves)):
                    raise
        key = tree, tuple([describe(x) for x in leaves]), axes_here(), x64_enabled(), is_lowered(state.trace)
        key = (*key, get_abstract_mesh())
        try:
            programs = self.programs.get(key)
        except TypeError:
            self.refuse_unhashable(args, kwargs, leaves)
            raise
        program = None if programs is None else programs.by_values.get(values_of(leaves, programs.known))
        if program is None:
            program = self.trace(key, programs, leaves, tree)
        try:
            return program(leaves)
        except jax.errors.UnexpectedTracerError as error:
            raise self.leaked(error) from error

    def trace(self, key: Hashable, programs: BridgedPrograms | None, leaves: list[Any], tree: Any) -> BridgedProgram:
        """A new program, traced with as little known as `fun` and the rules that it calls allow.

        If a rule cannot be made whatever is known, the program is of use as long as nothing wants its derivative.
        """
        known = FLOATS_TRACED if programs is None else programs.known
        missing = found = None
        while True:
            try:
                program = self.trace_with(known, leaves, tree)
                if program.traced.jitted is None:
                    with evaluating():
                        jaxpr = program.traced.jaxpr  # what has no counterpart is refused here
                        found = found or (known, program)
                        if known < COMPUTED:
                            make_rules(jaxpr)
                found = known, program
                break
            except Exception as error:
                if isinstance(error, MissingRuleError):
                    missing = error
                more = next_known(known, leaves, error)
                if more is None or (more == COMPUTED and not (self.pure or computes(state.trace))):
                    if found is not None:
                        break
                    if missing is not None and missing is not error:
                        raise missing from None  # the cause, and not how the next attempt failed
                    if isinstance(error, TRACING_ERRORS):
                        raise needs_value(trees.function_name(self.fun), error) from error
                    raise
                known = more
        known, program = found
        if programs is None or programs.known != known:
            programs = BridgedPrograms(known)
        lasts = not program.captured and not program.traced.closes_over_tracers
        if (known < COMPUTED or self.pure) and lasts:
            if sum([len(p.by_values) for p in self.programs.values()]) >= READ_PER_FUNCTION:
                self.programs.clear()
            self.programs[key] = programs
            programs.by_values[values_of(leaves, known)] = program
        return program

    def trace_with(self, known: int, leaves: list[Any], tree: Any) -> BridgedProgram:
        """The program for which the leaves that `known` does not leave unknown are constants."""
        unknown = [i for i, x in enumerate(leaves) if is_unknown(x, known)]
        out_tree = None
        static_outputs: dict[int, Any] = {}
        capturing = Capturing(state.trace)
        captured: tuple[Tracer, ...] = ()

        def flat(*args: Any) -> list[Any]:
            nonlocal out_tree
            capturing.stand_ins = args[len(unknown) :]
            inner_args, inner_kwargs = tree_unflatten(tree, trees.replaced(leaves, unknown, args[: len(unknown)]))
            with capturing, standing_in((self.fun, leaves), captured, capturing.stand_ins):
                outs, out_tree = tree_flatten(self.fun(*inner_args, **inner_kwargs))
                outs = [for_jax(x) if isinstance(x, Tracer) else x for x in outs]
            static_outputs.clear()
            static_outputs.update(
                {i: x for i, x in enumerate(outs) if type(x) in PYTHON_SCALARS or not is_arraylike(x)}
            )
            return [x for i, x in enumerate(outs) if i not in static_outputs]

        while True:
            captured = tuple(capturing.tracers)
            try:
                traced = self.traced(flat, [*[leaves[i] for i in unknown], *captured], known)
            except Exception:  # of any kind, where it met tracers for which nothing stood yet
                if len(capturing.tracers) == len(captured):
                    raise
            if len(capturing.tracers) == len(captured):
                return BridgedProgram(traced, unknown, captured, out_tree, static_outputs)

    def traced(self, flat: Callable[..., list[Any]], args: Sequence[Any], known: int) -> Traced:
        """What JAX traces of a function of arguments like these."""
        types = [type_in_jax(argument_type(x)) for x in args]
        name, lowered = trees.function_name(self.fun), is_lowered(state.trace)
        with evaluating(), jax.ensure_compile_time_eval() if known == COMPUTED else nullcontext():
            if lowered:
                # What jax.jit traced is kept by the function: here each is traced with other tracers to stand for.
                return Traced.by_jit(lambda *xs: flat(*xs), types, name)
            return Traced(jax.make_jaxpr(flat, axis_env=list(state.axis_sizes.items()))(*types), name)

    def leaked(self, error: Exception) -> EscapedTracerError:
        """The error for a function that uses a tracer of JAX which an earlier call left somewhere."""
        return EscapedTracerError(
            f"from_jax of {trees.function_name(self.fun)}: it uses a value that an earlier run left behind.",
            "While JAX traces a function its values stand for no numbers; one that is stored in a global, a list or an "
            f"attribute cannot be used later. ({str(error).strip().splitlines()[0]})",
            "Return the value from the function, and pass it to where it is needed.",
        )

    def refuse_unhashable(self, args: tuple, kwargs: dict[str, Any], leaves: list[Any]) -> None:
        """Raise ArgumentError for a static leaf that cannot be looked up."""
        where = trees.call_namer(self.fun, args, kwargs)
        for i, x in enumerate(leaves):
            try:
                hash(describe(x))
            except TypeError:
                raise ArgumentError(
                    f"from_jax of {trees.function_name(self.fun)}: {where(i)} is {x!r:.99} of type {type(x).__name__}.",
                    "It is no array, so it is static: its program is looked up by its hash, and it has none.",
                    "Pass an array or something hashable, or close over it.",
                ) from None


def make_rules(jaxpr: Jaxpr) -> None:
    """Make the rules of the functions that a program calls. Raises the error of one that cannot be made.

    Rules of functions that only rules call are left for later: there may be no end to them.
    """
    for e in jaxpr.equations:
        for value in e.params.values():
            if isinstance(value, Deferred):
                value()
            elif isinstance(value, ByZeros):
                value(are_inexact([v.type for v in e.inputs]))
        for inner in e.programs:
            make_rules(inner)


def describe(x: Any) -> Hashable:
    """What a program depends on: the type of an array or a float, the value of anything else."""
    cls = type(x)
    if cls is float or cls is complex:
        return cls
    if isinstance(x, (Tracer, np.ndarray, np.generic)) and is_arraylike(x):
        return type_of(x)
    if isinstance(x, jax.Array):
        return x.aval
    if isinstance(x, slice):  # which has a hash from Python 3.12 on
        return cls, x.start, x.stop, x.step
    return cls, x


def is_unknown(x: Any, known: int) -> bool:
    """Whether a leaf is an unknown of the program. Tracers always are, those of a program of JAX around it too."""
    if is_traced(x):
        return True
    if type(x) in PYTHON_SCALARS:
        return known == FLOATS_TRACED and type(x) in (float, complex)
    return known < ONLY_TRACERS and is_arraylike(x)


def values_of(leaves: Sequence[Any], known: int) -> Hashable:
    """The values, as far as a program depends on them."""
    if known == FLOATS_TRACED:
        return ()
    # repr, since -0.0 == 0.0 and nan != nan.
    floats = tuple([repr(x) for x in leaves if type(x) in (float, complex)])
    if known == SCALARS_STATIC:
        return floats
    arrays = [x for x in leaves if is_unknown(x, SCALARS_STATIC) and not is_unknown(x, ONLY_TRACERS)]
    return floats, tuple([np.asarray(jax.random.key_data(x) if is_key(x.dtype) else x).tobytes() for x in arrays])


def next_known(known: int, leaves: Sequence[Any], error: Exception) -> int | None:
    """What to make known after a failure, or None if that would change nothing."""
    if known == FLOATS_TRACED and any([type(x) in (float, complex) for x in leaves]):
        return SCALARS_STATIC
    if known < COMPUTED and isinstance(error, FOR_LACK_OF_VALUES):
        return max(known, SCALARS_STATIC) + 1
    return None


def as_operand(x: Any) -> Any:
    """A leaf as a jax array or a tracer."""
    return x if isinstance(x, (Tracer, jax.Array)) else as_constant(x)
