"""The intermediate representation: a typed list of equations, each one the application of a primitive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import jax.numpy as jnp

from minijvp.core.hooks import hooks
from minijvp.core.primitive import Primitive
from minijvp.core.source import Source, at_lines
from minijvp.core.tracing import attributed_to, computes, state, traced_by_jax
from minijvp.core.types import PYTHON_SCALARS, ArrayType, Params, type_of
from minijvp.errors import ArgumentError, JaxprError

# Not frozen: a frozen dataclass takes three times as long to make, and these are made by the thousand.


@dataclass(slots=True, eq=False)
class Var:
    """A variable of a program, known by identity.

    >>> import minijvp
    >>> jaxpr = minijvp.make_jaxpr(minijvp.numpy.sin)(minijvp.numpy.float32(1))
    >>> jaxpr.inputs[0].type, jaxpr.inputs[0] is jaxpr.equations[0].inputs[0]
    (f32[], True)
    """

    type: ArrayType


@dataclass(slots=True, eq=False)
class Literal:
    """A Python scalar, or a NumPy scalar with its dtype, written into a program.

    >>> import minijvp
    >>> from minijvp.extend import Literal
    >>> (product,) = minijvp.make_jaxpr(lambda x: x * 2)(minijvp.numpy.ones(3))
    >>> [type(v).__name__ for v in product.inputs], product.inputs[1].value
    (['Var', 'Literal'], 2.0)
    """

    value: Any
    type: ArrayType


Atom = Var | Literal


@dataclass(slots=True, eq=False)
class Equation:
    """`outputs = primitive(*inputs, **params)`, and the line of user code that made it.

    >>> import minijvp
    >>> (total,) = minijvp.make_jaxpr(lambda x: x.sum())(minijvp.numpy.ones(3, 'float32'))
    >>> total.primitive, total.params, total.outputs[0].type
    (reduce_sum, {'axes': (0,)}, f32[])
    """

    primitive: Primitive
    inputs: tuple[Atom, ...]
    params: Params
    outputs: tuple[Var, ...]
    source: Source | None

    @property
    def programs(self) -> Sequence[Jaxpr]:
        """The programs inside: bodies of loops, branches, programs that are called, and those of rules."""
        return self.primitive.programs(self.params)

    @property
    def has_effects(self) -> bool:
        """Whether it, or a program inside that runs, does something besides giving outputs."""
        return self.primitive.has_effects(self.params)

    @property
    def returns_tuple(self) -> bool:
        """Whether its results are a tuple, and not one alone: so are their cotangents for the transpose rule."""
        found = self.primitive.returns_tuple
        if found is None:
            self.primitive.result_types([v.type for v in self.inputs], self.params)
            found = self.primitive.returns_tuple is True
        return found


@dataclass(slots=True, eq=False, weakref_slot=True)  # of what can be called, JAX takes weak references
class Jaxpr:
    """A program: equations from inputs to outputs, over constants that it carries (none, in an open jaxpr).

    Open jaxprs compare and hash by structure, so that a cache keyed by one serves every equal program. A call gives the
    outputs as a list, for arrays in place of the inputs: by `evaluate`. Iteration gives the equations.

    >>> import minijvp
    >>> jaxpr = minijvp.make_jaxpr(lambda x, y: (x * y, x + y))(2.0, 3.0)
    >>> [float(x) for x in jaxpr(5.0, 6.0)]
    [30.0, 11.0]
    >>> [e.primitive.name for e in jaxpr]
    ['mul', 'add']
    """

    constants: tuple[tuple[Var, Any], ...]
    inputs: tuple[Var, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Atom, ...]
    name: str = ""
    holds_derivatives: bool = False
    """Whether parts of it are the two passes of a derivative, which was planned as a whole."""
    _structure: tuple | None = field(default=None, repr=False)
    _hash: int | None = field(default=None, repr=False)

    @property
    def in_types(self) -> tuple[ArrayType, ...]:
        return tuple(v.type for v in self.inputs)

    @property
    def out_types(self) -> tuple[ArrayType, ...]:
        return tuple(v.type for v in self.outputs)

    @property
    def structure(self) -> tuple:
        """A hashable description in which variables are numbers: equal for programs that differ in names only."""
        if self._structure is None:
            self._structure = _structure(self)
        return self._structure

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Jaxpr) and hash(self) == hash(other) and self.structure == other.structure

    def __hash__(self) -> int:
        if state.substitutes is not None:
            return id(self)  # an equal program may have come from other lines
        if self._hash is None:
            self._hash = hash(self.structure)
        return self._hash

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def text(self, *, source_lines: bool = False, fold: bool = True) -> str:
        """The program as text; with `source_lines`, each equation with the line of user code that made it.

        What repeats itself at length, as the layers of a network do, is written once, below a line that counts what
        there is; without `fold`, all equations are.
        """
        return hooks.shown("text", self, source_lines=source_lines, fold=fold)

    def _repr_html_(self) -> str:
        return hooks.shown("html", self)

    def __call__(self, *args: Any) -> list[Any]:
        """The outputs. Raises ArgumentError for arguments of other types than those of the inputs."""
        self.require(args)
        return evaluate(self, *args)

    def require(self, args: Sequence[Any]) -> None:
        """Raise ArgumentError for arguments of other types than those of the inputs; a Python scalar has no width."""
        found = list(map(type_of, args))
        if len(found) != len(self.inputs) or not all(map(_fits, args, found, self.in_types)):
            listed, wanted = (", ".join(map(repr, ts)) or "nothing" for ts in (found, self.in_types))
            raise ArgumentError(
                f"the program {self.name or 'without a name'} received {listed}, and takes {wanted}.",
                "It was staged for arguments of these types, and computes something else for others.",
                "Pass such arguments, or stage the function for the types that it is called with.",
            )

    def __iter__(self) -> Iterator[Equation]:
        return iter(self.equations)

    def hoist_constants(self) -> tuple[Jaxpr, tuple[Any, ...]]:
        """The open jaxpr whose leading inputs are the constants, and the constants."""
        if not self.constants:
            return self, ()
        variables, values = zip(*self.constants)
        inputs = variables + self.inputs
        return Jaxpr((), inputs, self.equations, self.outputs, self.name, self.holds_derivatives), values

    def with_equations(self, equations: Iterable[Equation]) -> Jaxpr:
        """The same program with other equations, which give the same variables."""
        return Jaxpr(self.constants, self.inputs, tuple(equations), self.outputs, self.name, self.holds_derivatives)

    def without_dead_code(self, used: Sequence[bool] | None = None, effects: bool = True) -> Jaxpr:
        """The same program without the outputs that are not `used` and without what only they needed.

        Inputs stay, and with `effects` what has some stays too: not so in a part that runs besides the whole.
        """
        outputs = self.outputs if used is None else tuple(v for v, keep in zip(self.outputs, used, strict=True) if keep)
        needed: set[Atom] = set()
        needed.update(v for v in outputs if type(v) is Var)
        kept = []
        changed = False
        for equation in reversed(self.equations):
            if not needed.isdisjoint(equation.outputs) or (effects and equation.has_effects):
                if len(equation.outputs) > 1 and not needed.issuperset(equation.outputs):
                    whole = equation
                    equation = whole.primitive.without_outputs(whole, tuple([v in needed for v in whole.outputs]))
                    changed |= equation is not whole
                kept.append(equation)
                needed.update(v for v in equation.inputs if type(v) is Var)
        if len(kept) == len(self.equations) and len(outputs) == len(self.outputs) and not changed:
            return self
        constants = tuple((v, value) for v, value in self.constants if v in needed)
        return Jaxpr(constants, self.inputs, tuple(reversed(kept)), outputs, self.name, self.holds_derivatives)

    def check(self) -> Jaxpr:
        """The jaxpr itself, if it is well-typed; JaxprError if not."""
        known: set[Atom] = {*(v for v, _ in self.constants), *self.inputs}
        if len(known) != len(self.constants) + len(self.inputs):
            raise JaxprError(f"a variable is bound twice among the inputs of\n{self}")

        def require_known(atoms: Iterable[Atom], where: str) -> None:
            for v in atoms:
                if type(v) is Var and v not in known:
                    raise JaxprError(f"{where} reads a variable that is not defined, in\n{self}")

        for e in self.equations:
            require_known(e.inputs, f"the equation of {e.primitive.name}")
            expected = e.primitive.result_types([v.type for v in e.inputs], e.params)
            if expected != tuple(v.type for v in e.outputs):
                found = [v.type for v in e.outputs]
                raise JaxprError(f"{e.primitive.name} should give {list(expected)} but binds {found}, in\n{self}")
            if not known.isdisjoint(e.outputs):
                raise JaxprError(f"the equation of {e.primitive.name} binds a variable again, in\n{self}")
            known.update(e.outputs)
            for inner in e.programs:
                inner.check()
        require_known(self.outputs, "the result")
        return self


def has_own_derivatives(jaxpr: Jaxpr) -> bool:
    """Whether JAX would differentiate an operation of a program otherwise than its rule does."""
    return any(e.primitive.differs_in_jax(e.params) or any(map(has_own_derivatives, e.programs)) for e in jaxpr)


def jaxpr_without_rules(jaxpr: Jaxpr) -> Jaxpr:
    """The program without the rules for derivatives of functions inside; `jaxpr` itself, if there are none."""
    equations = []
    for e in jaxpr.equations:
        params = e.primitive.for_evaluation(e.params)
        equations.append(e if params is e.params else Equation(e.primitive, e.inputs, params, e.outputs, e.source))
    if all([x is y for x, y in zip(equations, jaxpr.equations, strict=True)]):
        return jaxpr
    return jaxpr.with_equations(equations)


def run(jaxpr: Jaxpr, args: Sequence[Any], apply: Callable[[Equation, list[Any]], Any]) -> list[Any]:
    """The outputs, where `apply(equation, values)` gives the result of each equation for the values of its inputs.

    Values are what one likes: the arguments, and what `apply` returns. Literals and constants are handed to it as they
    are. Where the equation has several outputs, the result is a tuple. Raises ArgumentError for another number of
    arguments than the program has inputs; what they are is not asked.

    >>> import minijvp
    >>> from minijvp.extend import run
    >>> jaxpr = minijvp.make_jaxpr(lambda x, y: x * y + 1)(2.0, 3.0)
    >>> run(jaxpr, ['x', 'y'], lambda e, values: f"{e.primitive}({', '.join(map(str, values))})")
    ['add(mul(x, y), 1.0)']
    """
    if len(args) != len(jaxpr.inputs):
        raise ArgumentError(
            f"the program {jaxpr.name or 'without a name'} received {len(args)} arguments, and takes "
            f"{len(jaxpr.inputs)}.",
            "Each of its inputs stands for one.",
            "Pass as many.",
        )
    values: dict[Atom, Any] = dict(jaxpr.constants)
    values.update(zip(jaxpr.inputs, args))
    for e in jaxpr.equations:
        out = apply(e, [v.value if type(v) is Literal else values[v] for v in e.inputs])
        if type(out) is tuple:
            values.update(zip(e.outputs, out, strict=True))
        else:
            values[e.outputs[0]] = out
    return [v.value if type(v) is Literal else values[v] for v in jaxpr.outputs]


def evaluate(jaxpr: Jaxpr, *args: Any) -> list[Any]:
    """The outputs, computed by the current trace; recorded equations keep their lines.

    So a program is transformed as a function is. The types of the arguments are not asked: `jaxpr(*args)` does that.

    >>> import minijvp
    >>> from minijvp.extend import evaluate
    >>> jaxpr = minijvp.make_jaxpr(minijvp.numpy.sin)(0.0)
    >>> float(minijvp.grad(lambda x: evaluate(jaxpr, x)[0])(0.0))
    1.0
    """

    def apply(e: Equation, inputs: list[Any]) -> Any:
        state.source = e.source or outer
        return call(e.source)(e.primitive, inputs, e.params) if call else e.primitive(*inputs, **e.params)

    outer = state.source
    with attributed_to(outer), at_lines() if traced_by_jax() and computes(state.trace) else nullcontext() as call:
        return run(jaxpr, args, apply)


def lower(jaxpr: Jaxpr, *args: Any) -> list[Any]:
    """The outputs, computed by raw jax.lax calls, each at its line: what jax.jit traces to compile the program.

    The types of the arguments are not asked: `jaxpr(*args)` does that.

    >>> import jax, minijvp
    >>> from minijvp.extend import lower
    >>> jaxpr = minijvp.make_jaxpr(minijvp.numpy.cos)(0.0)
    >>> float(jax.jit(lambda x: lower(jaxpr, x))(0.0)[0])
    1.0
    """

    with at_lines() as call:
        return run(jaxpr, args, lambda e, inputs: call(e.source)(e.primitive.impl, inputs, e.params))


def _fits(x: Any, t: ArrayType, wanted: ArrayType) -> bool:
    """Whether an argument of type `t` is one for an input of the type that is wanted."""
    same = t.dtype == wanted.dtype or (type(x) in PYTHON_SCALARS and jnp.result_type(x, wanted.dtype) == wanted.dtype)
    return t.shape == wanted.shape and same


def _structure(jaxpr: Jaxpr) -> tuple:
    numbers: dict[Atom, int] = {}

    def number(v: Var) -> int:
        return numbers.setdefault(v, len(numbers))

    def describe(v: Atom) -> Any:
        # 0.0 == -0.0 == 0 == False, and they are different programs.
        return (type(v.value), repr(v.value)) if type(v) is Literal else number(v)  # type: ignore[arg-type]

    # A constant is part of the structure by identity: two programs with different arrays are not the same.
    constants = tuple((number(v), _ByIdentity(value)) for v, value in jaxpr.constants)
    inputs = tuple((number(v), v.type) for v in jaxpr.inputs)
    equations = tuple(
        (
            e.primitive,
            tuple(map(describe, e.inputs)),
            tuple(sorted(e.params.items(), key=itemgetter(0))),
            tuple((number(v), v.type) for v in e.outputs),
        )
        for e in jaxpr.equations
    )
    return constants, inputs, equations, tuple(map(describe, jaxpr.outputs))


class _ByIdentity:
    """Makes a value hashable by identity and keeps it alive for as long as the key."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
