"""Primitives: the operations that transformations understand, each with all its rules in one place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, ClassVar

import jax
from jax.errors import InconclusiveDimensionOperation
from jax.sharding import get_abstract_mesh

from minijvp.core import placements
from minijvp.core.placements import Placement
from minijvp.core.source import maker
from minijvp.core.tracing import state, traced_by_jax
from minijvp.core.types import ArrayType, Params, array_type_in_jax, type_in_jax
from minijvp.errors import ArgumentError, MissingRuleError, RedefinedPrimitiveWarning
from minijvp.missing_rules import missing_rule

registry: dict[str, Primitive] = {}
"""Every primitive by name. The generic tests run over it."""

on_definition_outside: list[Callable[[Primitive], None]] = []
"""What is called with each primitive that is made outside of minijvp."""

COMPILED_PER_PRIMITIVE = 4096
CHOSEN_BY_THE_COMPILER = frozenset({"accuracy", "out_dtype", "out_sharding", "sharding"})
MULTIPLICATIONS_PER_BYTE = 8
"""How many a processor does while it moves a byte to or from memory, in products of matrices: a rough guess."""


class Axis:
    """The batch axis of a vmap: its size, its name if collectives may ask for it, and where it lies on devices.

    `mesh_axes` are the names of the axes of a mesh over which shardings inside the vmap are to spread it; `split` is a
    placement whose first entry is the explicit axes of a mesh that split it, if any do.

    >>> from minijvp.extend import Axis
    >>> Axis(3).size, Axis(3, 'lanes').name
    (3, 'lanes')
    """

    __slots__ = ("mesh_axes", "name", "size", "split")

    def __init__(self, size: int, name: Any = None, mesh_axes: Any = None, split: Placement | None = None):
        self.size = size
        self.name = name
        self.mesh_axes = mesh_axes
        self.split = split

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> tuple:
        """All that it is."""
        return self.size, self.name, self.mesh_axes, self.split


class Primitive:
    """An operation with its rules. Calling it hands it to the current trace: the primitive is the function users call.

    Arrays are positional, static parameters are keywords and hashable. One result is a value, several are a tuple.
    Primitives are strict: shapes and dtypes must agree as the rule wants them; promotion and broadcasting are the
    business of `minijvp.numpy`. The rules:

    - `impl(*arrays, **params)`: the result, by jax.lax or jax.numpy. Evaluation and lowering both use it.
    - `type_rule(*types, **params)`: the type of the result; asks `impl` by default.
    - `jvp(primals, tangents, **params)`: result and tangent; a tangent that is None is zero.
    - `linearize`: like `jvp`, for primitives that carry functions: two binds, a primal and a linear one.
    - `taylor(primals, series, **params)`: the result and its Taylor coefficients; by default they follow from `jvp`.
    - `transpose(ct, *args, **params)`: the cotangents of the arguments that are an `ArrayType` (those are linear, their
      value is not known), None for the others. A bare cotangent belongs to the first argument.
    - `batch(axis, args, batched, **params)`: the result and whether it is batched; batch axes are leading.

    For a primitive that is made outside of minijvp, what its rules return is checked whenever they run: the number of
    results, tangents and cotangents, and their shapes and dtypes. Parameters that are equal select the same program.

    Raises ArgumentError for the name of one of minijvp's own primitives, and warns with RedefinedPrimitiveWarning for
    the name of another.

    >>> import jax.numpy as jnp, minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import Primitive
    >>> class Norm(Primitive):
    ...     def impl(self, x):
    ...         return jnp.sqrt(jnp.sum(x * x, -1))
    ...     def jvp(self, primals, tangents):
    ...         (x,), (t,) = primals, tangents
    ...         out = self(x)
    ...         return out, None if t is None else mnp.sum(x * t, -1) / out
    ...     def batch(self, axis, args, batched):
    ...         return self(*args), True
    >>> norm = Norm('norm')
    >>> print(minijvp.grad(norm)(mnp.array([3.0, 4.0])))
    [0.6 0.8]
    """

    recomputable = "cheap"
    """What repeating it costs a rematerialisation: "free" (a view), "cheap", "moderate", "expensive", or "never"."""

    has_steps = True
    """Whether an eager linearization may stage and compile the rule: not if it calls a user's function."""

    own_derivative = False
    """Whether its derivative is another one than JAX finds for `impl`. Programs inside are asked by themselves."""

    knows_placements = False
    """Whether its type rule gives results a placement, so that JAX need not be asked how it would place them."""

    is_call = False
    """Whether it is its body, on all operands: its results are, and its derivatives as well."""

    evaluate_in_jax: ClassVar[Callable[[Primitive, tuple, dict[str, Any]], Any]]
    """The result where JAX traces: with the derivative that the rules give. The transformations bring it along."""

    name: str

    made_outside: bool
    """Whether it is none of minijvp's own."""

    returns_tuple: bool | None
    """Whether the result is a tuple, and so the `ct` of the transpose rule: what the type rule has said, and None until
    that is asked for the first time."""

    def __init__(self, name: str, doc: str | None = None):
        self.name = name
        self.__name__ = name
        self.returns_tuple = None
        self._compiled: dict[tuple, Any] = {}
        if doc is not None:
            self.__doc__ = doc
        self.made_outside, depth = maker()
        if self.made_outside:
            self.own_derivative = True  # JAX, which finds others for `impl`, is to use the rules
            for check in on_definition_outside:
                check(self)
        known = registry.get(name)
        if known is not None:
            self.replace(known, depth)
        registry[name] = self

    def replace(self, known: Primitive, depth: int) -> None:
        """Warn whoever makes this primitive, so many calls up, that another had the name. ArgumentError for our own."""
        if not (self.made_outside and known.made_outside):
            raise ArgumentError(
                f"a primitive named {self.name!r} exists already.",
                "It is one of minijvp's own, and transformations find it by that name.",
                "Choose another name.",
            )
        warnings.warn(
            f"the primitive {self.name!r} was made before, and is replaced. Programs that were staged or compiled with "
            "the old one keep it and its rules. That is as it should be where a definition is run again; if both are "
            "meant, give one of them another name.",
            RedefinedPrimitiveWarning,
            stacklevel=depth + 1,
        )

    def reached(self, equation: Any, inputs: tuple[bool, ...], differentiable: bool) -> Sequence[bool]:
        """Which results of an equation depend on one of these inputs: all, where the primitive says no more."""
        return (True,) * len(equation.outputs)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return state.trace.process(self, args, params)

    def bind(self, *args: Any, **params: Any) -> Any:
        """A call, as it is written for primitives of JAX: what these call by None, the compiler's choice, is omitted.

        >>> import minijvp
        >>> float(minijvp.lax.mul_p.bind(2.0, 3.0, out_dtype=None))
        6.0
        """
        return self(*args, **{k: v for k, v in params.items() if v is not None or k not in CHOSEN_BY_THE_COMPILER})

    def __repr__(self) -> str:
        return self.name

    def evaluate(self, args: tuple, params: Params) -> Any:
        """The result for concrete arguments, through one compiled function for each set of parameters."""
        if self.own_derivative and traced_by_jax():
            return self.evaluate_in_jax(args, params)
        key = tuple(params.items()) if params else ()
        try:
            compiled = self._compiled.get(key)
        except TypeError:
            raise ArgumentError(
                f"{self.name} received a parameter that cannot be hashed: {params!r}.",
                "Parameters are static: they select a compiled program.",
                "Pass tuples for lists; pass arrays by position.",
            ) from None
        if compiled is None:
            essential = self.for_evaluation(params)
            if essential is not params:
                return self.evaluate(args, essential)
            if len(self._compiled) >= COMPILED_PER_PRIMITIVE:
                self._compiled.clear()
            compiled = self._compiled[key] = self.compile(params)
        return compiled(*args)

    def for_evaluation(self, params: Params) -> dict[str, Any]:
        """The parameters that the result depends on; `params` itself, if it depends on all.

        Programs that differ in the derivative rules of functions inside share one compilation.
        """
        return params

    def compile(self, params: Params) -> Any:
        """`impl` with its parameters, as one jax.jit function that has the name of the primitive."""
        impl = partial(self.impl, **params)
        impl.__name__ = self.name  # type: ignore[attr-defined]
        return jax.jit(impl)

    def impl(self, *args: Any, **params: Any) -> Any:
        raise self.missing("impl")

    def type_rule(self, *types: ArrayType, **params: Any) -> Any:
        return _shape_of_impl(self, types, tuple(params.items()), get_abstract_mesh())

    def type_for(self, types: Sequence[ArrayType], params: Params) -> Any:
        """The type of the result: by the type rule, where that can tell.

        It cannot say how a result is split, if an argument has a placement or a parameter asks for one, nor always
        whether symbolic sizes fit: then JAX is asked.
        """
        placed = "out_sharding" in params or (placements.met and any([t.placement is not None for t in types]))
        if placed and not self.knows_placements:
            return Primitive.type_rule(self, *types, **params)
        try:
            return self.type_rule(*types, **params)
        except InconclusiveDimensionOperation:
            return Primitive.type_rule(self, *types, **params)

    def result_types(self, types: Sequence[ArrayType], params: Params) -> tuple[ArrayType, ...]:
        """The types of the results, of one or several, for arguments of these types."""
        found = self.type_for(types, params)
        self.returns_tuple = type(found) is tuple
        return found if self.returns_tuple else (found,)

    def jvp(self, primals: tuple, tangents: tuple, /, **params: Any) -> tuple[Any, Any]:
        raise self.missing("jvp")

    def linearize(self, primals: tuple, tangents: tuple, /, **params: Any) -> tuple[Any, Any]:
        return self.jvp(primals, tangents, **params)

    def taylor(self, primals: tuple, series: tuple, /, **params: Any) -> Any:
        """The result, and a function of k that gives coefficient k of it; None where the rule for tangents says that.

        Of each argument there is a series, `series[i][k]`, or None, if it is constant; so are coefficients, if they are
        zero, and that function, if all are. It is asked for one coefficient after the other, from k = 1 on.
        """

    def restated(self, *args: Any, **params: Any) -> Any:
        """The result by other operations, if their Taylor rules take less than one that follows from `jvp`; or None."""

    def transpose(self, ct: Any, /, *args: Any, **params: Any) -> Any:
        raise self.missing("transpose")

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], /, **params: Any) -> tuple[Any, Any]:
        raise self.missing("batch")

    def without_outputs(self, equation: Any, used: tuple[bool, ...]) -> Any:
        """The equation of this primitive without results that are not `used`, as far as it can do without them."""
        return equation

    def has_effects(self, params: Params) -> bool:
        """Whether it does something besides giving its result, so that it runs even where that is not read."""
        return False

    def programs(self, params: Params) -> Sequence[Any]:
        """The jaxprs among the parameters: programs that run inside, and those of rules. See `ProgramPrimitive`."""
        return ()

    def bodies(self, params: Params) -> Sequence[Any]:
        """Those that take the last operands and give the results, one for one: the body of a call, all of a choice."""
        return ()

    def goes_forward(self, params: Params) -> bool:
        """Whether it can be computed, where it is linear: a user's rule for cotangents may be all that there is."""
        return all([e.primitive.goes_forward(e.params) for body in self.bodies(params) for e in body])

    def differs_in_jax(self, params: Params) -> bool:
        """Whether it has an `own_derivative`, for these parameters."""
        return self.own_derivative

    def trip_count(self, params: Params) -> int:
        """How often the programs inside of this operation run, if it has any."""
        return 1

    def work(self, inputs: Sequence[ArrayType], outputs: Sequence[ArrayType], params: Params) -> float:
        """How long it takes, without programs inside, in bytes that could be moved meanwhile: a rough guess."""
        written = sum([t.bytes for t in outputs])
        if self.recomputable == "free":
            return 0.0
        if self.recomputable == "cheap":
            return written / 4
        return max(4.0 * written, sum([t.bytes for t in inputs]))

    def uses_axis(self, name: Any, params: Params) -> bool:
        """Whether this operation communicates along the named batch axis (or a function inside does)."""
        return False

    def missing(self, rule: str) -> MissingRuleError:
        """The error for a transformation that needs a rule that is not written, or not for this case."""
        return missing_rule(self, rule)


class Nondifferentiable(Primitive):
    """A primitive whose derivative is zero wherever it exists: comparisons, rounding, indices.

    >>> import jax.numpy as jnp, minijvp
    >>> from minijvp.extend import Nondifferentiable
    >>> class Thirds(Nondifferentiable):
    ...     def impl(self, x):
    ...         return jnp.round(x * 3) / 3
    >>> float(minijvp.grad(Thirds('thirds'))(0.5))
    0.0
    """

    def jvp(self, primals: tuple, tangents: tuple, /, **params: Any) -> tuple[Any, Any]:
        out = self(*primals, **params)
        return out, (None,) * len(out) if type(out) is tuple else None

    def taylor(self, primals: tuple, series: tuple, /, **params: Any) -> Any:
        return self(*primals, **params), None


@lru_cache(maxsize=8192)
def _shape_of_impl(primitive: Primitive, types: tuple[ArrayType, ...], params: tuple, mesh: Any) -> Any:
    """The type that `impl` gives its result on a mesh, found by tracing it once with abstract arguments."""
    found: Any = None

    def impl(*args: Any) -> Any:
        nonlocal found
        out = primitive.impl(*args, **dict(params))
        # What eval_shape returns says nothing of a mesh only some of whose axes are explicit.
        found = tuple(map(jax.typeof, out)) if isinstance(out, (tuple, list)) else jax.typeof(out)
        return out

    run = partial(jax.eval_shape, impl, *map(type_in_jax, types))
    manual = next((m for t in types if t.placement and (m := t.placement.sharding.mesh).manual_axes), mesh)
    try:
        placements.where_manual(manual, run) if manual != mesh else run()
    except Exception as error:
        placements.refuse_conflict(error, primitive.name, types)
        raise
    return tuple(map(array_type_in_jax, found)) if type(found) is tuple else array_type_in_jax(found)
