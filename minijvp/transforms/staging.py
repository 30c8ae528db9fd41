"""Staging: running a function on tracers that record what it does.

make_jaxpr : (a -> b) -> a -> Jaxpr
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.arguments.known_inputs import KnownInputs
from minijvp.core import source
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.tracer import Tracer, escaped
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, ArrayType, Params, ScalarType, abstract_type, type_of
from minijvp.errors import ArgumentError, ConcretizationError


class StagingTracer(Tracer):
    """A value that will be known when the program runs; now it is a variable."""

    __slots__ = ("type", "variable")

    type: ArrayType

    def __init__(self, trace: StagingTrace, variable: Var):
        self.owner = trace
        self.variable = variable
        self.type = variable.type

    owner: StagingTrace

    def made_at(self) -> source.Source | None:
        for e in self.owner.equations:
            if self.variable in e.outputs:
                return e.source
        return None

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        trace, known = self.owner, self.owner.known
        if known is None or trace.finished():
            return super().known_value(wanted_by, as_number)
        return known.value_of(self, trace.equations, dict(trace.constants.values()), wanted_by, as_number)

    def concrete(self) -> Any:
        if self.owner.known is None or self.owner.finished():
            return self
        try:
            return self.known_value("a function of NumPy or JAX", as_number=True)
        except ConcretizationError:
            return self


class StagingTrace(Trace):
    """Records every operation as an equation; values that are not its tracers become constants.

    A program that is `lowered` is handed to XLA as it stands, and not transformed before. What its tracers stand for
    can be asked where the values of its inputs are `known`.
    """

    __slots__ = ("constants", "equations", "inputs", "known", "lowered", "name")

    def __init__(self, name: str = "", lowered: bool = False, known: KnownInputs | None = None):
        self.name = name
        self.lowered = lowered
        self.known = known
        self.inputs: list[Var] = []
        self.equations: list[Equation] = []
        self.constants: dict[int, tuple[Var, Any]] = {}

    @property
    def description(self) -> str:
        return f"the staging of {self.name}" if self.name else "a staging (jit, make_jaxpr)"

    def new_input(self, type: ArrayType) -> StagingTracer:
        """One more input of the program, behind those that it has."""
        variable = Var(type)
        self.inputs.append(variable)
        return StagingTracer(self, variable)

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        atoms = tuple([x.variable if type(x) is StagingTracer and x.owner is self else self.atom(x) for x in args])
        types = primitive.type_rule(*[v.type for v in atoms], **params)
        line = state.source or source.capture()
        if type(types) is tuple:
            outputs = tuple([Var(t) for t in types])
            self.equations.append(Equation(primitive, atoms, params, outputs, line))
            return tuple([StagingTracer(self, v) for v in outputs])
        out = Var(types)
        self.equations.append(Equation(primitive, atoms, params, (out,), line))
        return StagingTracer(self, out)

    def lift(self, value: Any) -> Any:
        atom = self.atom(value)
        return StagingTracer(self, atom) if isinstance(atom, Var) else value

    def atom(self, x: Any) -> Atom:
        """What stands for `x` in an equation: its variable, a literal, or a new constant."""
        if type(x) is StagingTracer and x.owner is self:
            return x.variable
        if type(x) in PYTHON_SCALARS or isinstance(x, np.generic):
            return Literal(x, type_of(x))
        known = self.constants.get(id(x))
        if known is None:
            if isinstance(x, Tracer) and x.owner.finished():
                value = x.resolved()
                if value is x:
                    raise escaped(x, self.description)
                x = value
            known = self.constants[id(x)] = (Var(type_of(x)), x)
        return known[0]

    def finish(self, outputs: Sequence[Any]) -> Jaxpr:
        """The program recorded so far, from its inputs to `outputs`."""
        atoms = tuple([self.atom(x) for x in outputs])
        return Jaxpr(tuple(self.constants.values()), tuple(self.inputs), tuple(self.equations), atoms, self.name)


def stage(
    fun: Callable[..., Sequence[Any]],
    types: Sequence[ArrayType],
    name: str = "",
    lowered: bool = False,
    known: KnownInputs | None = None,
) -> Jaxpr:
    """The program of a function of flat arguments that returns a flat list.

    Args:
        fun: takes arrays by position and returns a sequence of arrays.
        types: an ArrayType for each argument.
        name: what the program is called where it is printed.
        lowered, known: for programs that are compiled as they stand, and for inputs whose values can be asked for.

    Raises ArgumentError for types that are none, and for a function that returns an array and not a sequence of them.

    >>> import minijvp, numpy as np
    >>> from minijvp.extend import ArrayType, stage
    >>> stage(lambda x: [minijvp.numpy.sin(x)], [ArrayType((3,), np.dtype('float32'))])
    { lambda ; a:f32[3] . let
        b:f32[3] = sin a
      in (b,) }
    """
    if not all([isinstance(t, ArrayType) for t in types]):
        raise ArgumentError(
            f"stage received the types {types!r:.200}.",
            "The inputs of a program have types, and no values.",
            "Pass an ArrayType for each argument: type_of(x) is that of a value.",
        )
    trace = StagingTrace(name, lowered, known)
    inputs = [trace.new_input(t) for t in types]
    if known is not None:
        known.bind(trace.inputs)
    with current(trace):
        outputs = fun(*inputs)
        if type(outputs) in ARRAY_CLASSES:
            raise ArgumentError(
                f"the function that stage received returned one {type_of(outputs)!r}.",
                "A program has a sequence of outputs, and the elements of an array would be taken for these.",
                "Return a list: [x].",
            )
        return trace.finish(outputs).without_dead_code()


def argument_type(x: Any) -> ArrayType:
    """The type that an argument has inside the program: Python scalars become weakly typed arrays."""
    t = type_of(x)
    return ArrayType(t.shape, t.dtype, t.weak_type) if type(t) is ScalarType else t


def make_jaxpr(
    fun: Callable[..., Any], static_argnums: int | Sequence[int] = (), *, return_shape: bool = False
) -> Callable[..., Any]:
    """A function that returns the program of `fun` as a `Jaxpr`, for arguments of the types it is called with.

    make_jaxpr : (a -> b) -> a -> Jaxpr

    Args:
        fun: takes and returns pytrees of arrays.
        static_argnums: positional arguments that are not traced.
        return_shape: also return the result's pytree of `jax.ShapeDtypeStruct`.

    Raises ArgumentError for arguments or results that are not arrays.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.make_jaxpr(lambda x: mnp.sin(x) * 2)(mnp.float32(1))
    { lambda ; a:f32[] . let
        b:f32[] = sin a
        c:f32[] = mul b 2.0
      in (c,) }
    """

    trees.require_callable(fun, "make_jaxpr")

    @wraps(fun)
    def jaxpr_maker(*args: Any, **kwargs: Any) -> Any:
        several = trees.entries_of(static_argnums)
        indices = (static_argnums,) if several is None else several
        static = trees.normalize_indices(indices, len(args), "static_argnums", fun)
        positions = [i for i in range(len(args)) if i not in static]
        dynamic = tuple([args[i] for i in positions])
        leaves, tree = tree_flatten((dynamic, kwargs))
        types = abstract_types(leaves, trees.call_namer(fun, dynamic, kwargs, positions))
        jaxpr, out_tree = stage_tree(with_static(fun, args, static), tree, types)
        if return_shape:
            return jaxpr, tree_unflatten(out_tree, [shape_struct(t) for t in jaxpr.out_types])
        return jaxpr

    return jaxpr_maker


def with_static(fun: Callable[..., Any], args: tuple, static: Sequence[int]) -> Callable[..., Any]:
    """`fun` of the arguments that are not static."""
    if not static:
        return fun

    def partial_fun(*dynamic: Any, **kwargs: Any) -> Any:
        rest = iter(dynamic)
        return fun(*[x if i in static else next(rest) for i, x in enumerate(args)], **kwargs)

    return partial_fun


def shape_struct(t: ArrayType) -> Any:
    """A type as JAX writes it."""
    return jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type)


def stage_tree(
    fun: Callable[..., Any], tree: Any, types: tuple[ArrayType, ...], lowered: bool = False
) -> tuple[Jaxpr, Any]:
    """The program of `fun` for arguments `(args, kwargs)` of structure `tree`, and the structure of its result."""
    out_tree = None
    name = trees.function_name(fun)

    def flat_fun(*leaves: Any) -> list[Any]:
        nonlocal out_tree
        args, kwargs = tree_unflatten(tree, leaves)
        result = fun(*args, **kwargs)
        outputs, out_tree = trees.flatten_numbers(result)
        return trees.as_arrays(outputs, trees.result_namer(result, name))

    jaxpr = stage(flat_fun, types, name, lowered)
    return jaxpr, out_tree


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of `fun(*args, **kwargs)` as a pytree of `jax.ShapeDtypeStruct`; nothing is computed.

    The arguments are pytrees of arrays or of anything with `shape` and `dtype`. Raises ArgumentError for others.

    >>> import jax, minijvp, minijvp.numpy as mnp
    >>> minijvp.eval_shape(mnp.dot, jax.ShapeDtypeStruct((1000, 9), 'float32'), jax.ShapeDtypeStruct((9,), 'float32'))
    ShapeDtypeStruct(shape=(1000,), dtype=float32)
    """
    trees.require_callable(fun, "eval_shape")
    leaves, tree = tree_flatten((args, kwargs))
    types = abstract_types(leaves, trees.call_namer(fun, args, kwargs))
    jaxpr, out_tree = stage_tree(fun, tree, types)
    return tree_unflatten(out_tree, [shape_struct(t) for t in jaxpr.out_types])


def abstract_types(leaves: Sequence[Any], where: Callable[[int], str]) -> tuple[ArrayType, ...]:
    """The types of arrays, and of what has a shape and a dtype; ArgumentError names the leaf that is neither."""
    types = []
    for i, x in enumerate(leaves):
        try:
            t = abstract_type(x)
        except ArgumentError:
            t = trees.require_array(x, lambda i=i: where(i))  # which names it
        types.append(ArrayType(t.shape, t.dtype, t.weak_type) if type(t) is ScalarType else t)
    return tuple(types)
