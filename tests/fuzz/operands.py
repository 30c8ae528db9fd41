"""Operands: the text of what an operation is given, made of the values at hand.

What a step wishes for (a rank, a domain, a dtype) is made smoothly, so that derivatives flow. Each step has its own
random numbers, and chooses among values by a rank that these give each of them: a plan with a step less makes almost
the same program.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tests.fuzz.plans import StepPlan

if TYPE_CHECKING:
    from tests.fuzz.building import Building, Scope

DTYPES = {"float32": "f32", "float64": "f64", "complex64": "c64", "complex128": "c128"}
COMPLEX = {"float32": "complex64", "float64": "complex128"}
REAL = {"complex64": "float32", "complex128": "float64"}
DOMAINS = {
    "R": (-3, 3),
    "E": (-1.5, 1.5),
    "U": (-0.9, 0.9),
    "P": (0.3, 3),
    "H": (0.1, 0.9),
    "G": (1.2, 3),
    "N": None,  # any number
}
"""Where the arguments of operations live, by the letter that their patterns write."""


@dataclass(eq=False)
class Value:
    """A value of the program: its name, its type, and whether it depends differentiably on the arguments."""

    name: str
    type: Any
    active: bool = True
    scalar: bool = False
    """Whether it is a scalar of Python."""
    bounds: tuple[float, float] | None = None
    loose: bool = True
    """Whether no step has made something of it that has its derivative."""
    shown: bool = False
    """Whether it is a result in any case."""
    given: bool = False
    """Whether it is an argument."""

    @property
    def kind(self) -> str:
        """real, complex, int or bool."""
        return kind_of(self.type.dtype)


def kind_of(dtype: Any) -> str:
    return {"f": "real", "c": "complex", "b": "bool"}.get(np.dtype(dtype).kind, "int")


class Operand(str):
    """The text of an operand, with its type."""

    __slots__ = ("type",)

    type: Any

    def __new__(cls, text: str, type: Any) -> Operand:
        self = super().__new__(cls, text)
        self.type = type
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def dtype(self) -> str:
        """The name that the source has for the dtype."""
        name = self.type.dtype.name
        return DTYPES.get(name, f"'{name}'")


class FuzzerError(Exception):
    """A fault of the deck."""


class Builder:
    """Makes the text of one step: its random choices, and its operands out of the values at hand."""

    def __init__(self, state: Building, scope: Scope, step: StepPlan):
        self.state = state
        self.scope = scope
        self.step = step
        self.rng = np.random.default_rng(step.seed)
        self.lines: list[str] = []
        self.used: list[Value] = []
        self.first: Operand | None = None
        self.bodies = list(step.body)
        self.draws = 0
        self.near: set[str] = set()
        """Values that are preferred."""

    @property
    def active(self) -> bool:
        return any(v.active for v in self.used)

    # Choices

    def choose(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def flag(self, chance: float = 0.5) -> bool:
        return bool(self.rng.random() < chance)

    def axis(self, of: Operand | None = None) -> int:
        """An axis of an operand, by default of the first; counted from the end in one case of three."""
        rank = (of or self.needed()).ndim
        return int(self.rng.integers(rank)) - (rank if self.flag(0.33) else 0)

    def axes(self) -> str:
        """No axes, an axis, or several."""
        rank = self.needed().ndim
        if rank == 0 or self.flag(0.25):
            return "None"
        if self.flag(0.6):
            return str(self.axis())
        return str(tuple(sorted(map(int, self.rng.permutation(rank)[: 1 + int(self.rng.integers(rank))]))))

    def needed(self) -> Operand:
        if self.first is None:
            raise FuzzerError(f"{self.step.operation} asks for its first operand before there is one")
        return self.first

    # Values

    def pick(self, kinds: Sequence[str], accept: Callable[[Value], bool] = lambda v: True) -> Value | None:
        """One of the values of these kinds: new and active ones are preferred."""
        self.draws += 1
        found = [v for v in self.scope.values if v.kind in kinds and accept(v)]
        if not found:
            return None
        weight = lambda i, v: (4.0 if v.active else 1.0) * (9.0 if v.name in self.near else 1.0) * (1 + i) ** 0.7
        chance = [zlib.crc32(f"{self.step.seed} {self.draws} {v.name}".encode()) / 2**32 for v in found]
        best = max(range(len(found)), key=lambda i: np.log(chance[i] + 1e-12) / weight(i, found[i]))
        self.used.append(found[best])
        return found[best]

    def array(self, v: Value) -> Operand:
        """A value as an array."""
        return Operand(f"jnp.asarray({v.name})" if v.scalar else v.name, v.type)

    def note(self, x: Operand) -> Operand:
        if self.first is None:
            self.first = x
        return x

    def real(
        self,
        domain: str | tuple[float, float] | None = "R",
        shape: tuple[int, ...] | None = None,
        rank: tuple[int, int] = (0, 3),
        dtype: Any = None,
        scalars: bool = False,
    ) -> Operand:
        """An operand of real numbers in a domain; of a shape and a dtype, if these are given."""
        v = self.pick(["real"]) or self.pick(["complex", "int", "bool"])
        if v is None:
            raise FuzzerError("there are no values")
        bounds = v.bounds
        if v.scalar and scalars and shape is None:
            return self.note(self.squashed(Operand(v.name, v.type), domain, bounds))
        x = self.array(v)
        if v.kind == "complex":
            x, bounds = Operand(f"jnp.real({x})", struct(x.type, REAL[x.type.dtype.name])), None
        elif v.kind != "real":
            main = "float32" if self.state.plan.precision == "float32" else "float64"
            x, bounds = Operand(f"{x}.astype({DTYPES[main]})", struct(x.type, main)), None
        x = self.shaped(x, shape if shape is not None else self.allowed(x.shape, rank))
        x = self.squashed(x, domain, bounds)
        return self.note(self.typed(x, dtype))

    def complex(
        self,
        shape: tuple[int, ...] | None = None,
        rank: tuple[int, int] = (0, 3),
        near: str = "0",
        dtype: Any = None,
    ) -> Operand:
        """An operand of complex numbers of modulus below 1, or so far from a point."""
        v = self.pick(["complex"]) if self.flag(0.7) else None
        v = v or self.pick(["real"]) or self.pick(["complex"])
        if v is None:
            raise FuzzerError("there are no values")
        x = self.array(v)
        if v.kind == "real":
            x = Operand(f"({x} * (0.6 + 0.8j))", struct(x.type, COMPLEX[x.type.dtype.name]))
        x = self.shaped(x, shape if shape is not None else self.allowed(x.shape, rank))
        text = f"({x} / (1 + jnp.abs({x}) ** 2))"
        if self.flag():
            text = f"(jnp.sin(jnp.real({x})) + 0.5j * jnp.tanh(jnp.imag({x})))"
        text = text if near == "0" else f"({near} + 0.5 * {text})"
        return self.note(self.typed(Operand(text, struct(x.type)), dtype))

    def integer(
        self, n: int, shape: tuple[int, ...] | None = None, rank: tuple[int, int] = (0, 2), low: int = 0
    ) -> Operand:
        """An operand of the integers from `low` to below `low + n`: a part of the program, or of its data."""
        constant = shape is not None and self.flag(0.4)
        v = self.pick(["int"]) if not constant and self.flag(0.7) else None
        v = v or (None if constant else self.pick(["real", "bool"]))
        if v is None:
            known = self.rng.integers(low, low + n, shape or ())
            return Operand(literal(known), jax.ShapeDtypeStruct(np.shape(known), np.int64))
        x = self.array(v)
        if v.kind != "int":
            scaled = f"jnp.floor(3 * jnp.abs({x}))" if v.kind == "real" else str(x)
            dtype = self.choose(["int32", "int64"])
            x = Operand(f"{scaled}.astype('{dtype}')", struct(x.type, dtype))
        x = self.shaped(x, shape if shape is not None else self.allowed(x.shape, rank))
        text = f"({x} % {n}" + (f" + {low})" if low else ")")
        return self.note(Operand(text, x.type))

    def boolean(self, shape: tuple[int, ...] | None = None, rank: tuple[int, int] = (0, 3)) -> Operand:
        v = self.pick(["bool"]) if self.flag(0.4) else None
        v = v or self.pick(["real", "int"])
        if v is None:
            return Operand("np.array(True)", jax.ShapeDtypeStruct((), bool))
        x = self.array(v)
        if v.kind != "bool":
            x = Operand(f"({x} {self.choose(['>', '<', '>='])} {self.choose([0.15, 0.45, 1])})", struct(x.type, bool))
        return self.note(self.shaped(x, shape if shape is not None else self.allowed(x.shape, rank)))

    def distinct(self, shape: tuple[int, ...] | None = None, rank: tuple[int, int] = (1, 2)) -> Operand:
        """An operand of numbers from 0.2 to 0.9 no two of which are equal, whatever the values at hand are."""
        x = self.real("U", shape, rank)
        return self.note(Operand(f"(spread({x.dtype}, {x.shape}) + 0.05 * {x})", struct(x.type, x.type.dtype)))

    def of_type(self, x: Any) -> Operand:
        """An operand of the shape and dtype of a value, small numbers."""
        if kind_of(x.dtype) == "complex":
            return self.complex(x.shape, dtype=x.dtype)
        return self.real((-1, 1), x.shape, dtype=x.dtype)

    def like(self, x: Operand, domain: str = "R", broadcast: bool = False) -> Operand:
        """An operand of the kind, the shape and the dtype of another; or of any that goes with it in broadcasting."""
        if not broadcast:
            if kind_of(x.type.dtype) == "complex":
                return self.complex(x.shape, dtype=x.type.dtype)
            return self.real(domain, x.shape, dtype=x.type.dtype)
        way = self.rng.random()
        if way < 0.15:
            low, high = DOMAINS[domain] or (-2, 2)
            return Operand(f"{low + (high - low) * 0.7:.3g}", jax.ShapeDtypeStruct((), np.float64, weak_type=True))
        shape = x.shape
        if way < 0.5:
            shape = tuple([1 if self.flag(0.3) else n for n in shape[int(self.rng.integers(len(shape) + 1)) :]])
        return self.real(domain, shape, scalars=self.flag(0.3))

    # Adaptations

    def allowed(self, shape: tuple[int, ...], rank: tuple[int, int]) -> tuple[int, ...]:
        """The nearest shape with a rank between two."""
        low, high = rank
        if len(shape) > high:
            shape = shape[len(shape) - high :] if high else ()
        while len(shape) < low:
            shape = (*shape, self.choose([1, 2, 3])) if shape == () else (1, *shape)
        return shape

    def shaped(self, x: Operand, shape: tuple[int, ...]) -> Operand:
        """`x` with another shape: repeated, cut or summed up."""
        have, size = x.shape, int(np.prod(shape))
        if have == shape:
            return x
        out = jax.ShapeDtypeStruct(shape, x.type.dtype, weak_type=x.type.weak_type)
        if have == () or fits(have, shape):
            return Operand(f"jnp.broadcast_to({x}, {shape})", out)
        if x.type.size == 1:
            return Operand(f"jnp.broadcast_to(jnp.reshape({x}, ()), {shape})", out)
        if x.type.size == 0:
            total = f"jnp.sum({x}, dtype={x.dtype})" if kind_of(x.type.dtype) != "bool" else f"jnp.any({x})"
            return Operand(total if shape == () else f"jnp.broadcast_to({total}, {shape})", out)
        if shape == ():
            index = ", ".join([str(int(self.rng.integers(n))) for n in have])
            return Operand(f"{x}[{index}]", out)
        flat, times = f"jnp.ravel({x})", max(1, -(-size // x.type.size))
        flat = f"jnp.tile({flat}, {times})" if times > 1 else flat
        cut = flat if size == times * x.type.size else f"{flat}[:{size}]"
        return Operand(cut if len(shape) == 1 else f"jnp.reshape({cut}, {shape})", out)

    def squashed(self, x: Operand, domain: Any, bounds: tuple[float, float] | None) -> Operand:
        """`x` in a domain."""
        wanted = DOMAINS[domain] if isinstance(domain, str) else domain
        if wanted is None or (domain == "R" and bounds is None and self.flag(0.4)):
            return x
        low, high = wanted
        if bounds is not None and low <= bounds[0] and bounds[1] <= high:
            return x
        if bounds is None:
            text = f"{self.choose(['jnp.sin', 'jnp.cos', 'jnp.tanh', 'jnp.sin', 'lax.erf', 'jnp.sin'])}({x})"
            bounds = (-1, 1)
        else:
            text = str(x)
        slope = (high - low) / (bounds[1] - bounds[0])
        shift = low - bounds[0] * slope
        text = text if slope == 1 else f"{slope:.3g} * {text}"
        text = text if abs(shift) < 1e-9 else f"{shift:.3g} + {text}"
        return Operand(f"({text})" if " " in text else text, x.type)

    def typed(self, x: Operand, dtype: Any) -> Operand:
        """`x` with a dtype that is not weak, if one is asked for."""
        if dtype is None or (np.dtype(dtype) == x.type.dtype and not x.type.weak_type):
            return x
        out = jax.ShapeDtypeStruct(x.shape, np.dtype(dtype))
        return Operand(f"lax.convert_element_type({x}, {Operand('', out).dtype})", out)

    # Functions inside

    def block(
        self,
        name: str,
        params: Sequence[Value],
        results: Sequence[Any] | int,
        axes: tuple[tuple[str, int], ...] = (),
        steps: Sequence[StepPlan] | None = None,
        visible: Sequence[Value] | None = None,
        returns: Callable[[list[str]], str] = lambda found: found[0] if len(found) == 1 else f"({', '.join(found)})",
    ) -> None:
        """Write a function: its parameters, the types (or the number) of its results, and what it does."""
        outer = self.scope.values if visible is None else visible
        scope = self.scope.inside([*outer, *params], axes)
        head = f"def {name}({', '.join(v.name for v in params)}):"
        lines = [line for step in (self.bodies if steps is None else steps) for line in self.state.run(scope, step)]
        inner = Builder(self.state, scope, self.step)
        inner.rng = self.rng
        inner.near = {v.name for v in scope.values} - {v.name for v in outer}
        found = []
        for i in range(results) if isinstance(results, int) else results:
            inner.draws = 100 + len(found)
            found.append(inner.result(i, params))
        block = [head, *[f"    {line}" for line in [*lines, f"return {returns(found)}"]]]
        self.lines += block
        text = "\n".join(block)
        self.used += [v for v in outer if re.search(rf"\b{v.name}\b", text)]

    def result(self, wanted: Any, params: Sequence[Value]) -> Operand:
        """What a function inside gives: a new value of a type, or of any if a number is given."""
        if isinstance(wanted, int):
            v = self.pick(["real"], lambda v: not v.scalar) or self.pick(["real", "complex", "int"])
            if v is None:
                raise FuzzerError("there are no values")
            return Operand(self.array(v), v.type)
        if kind_of(wanted.dtype) == "complex":
            return self.complex(wanted.shape, dtype=wanted.dtype)
        if kind_of(wanted.dtype) == "real":
            return self.real((-1.5, 1.5), wanted.shape, dtype=wanted.dtype)
        raise FuzzerError(f"no results of type {wanted}")


def struct(t: Any, dtype: Any = None) -> Any:
    """A type like another, with another dtype."""
    if dtype is None:
        return jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type)
    return jax.ShapeDtypeStruct(t.shape, np.dtype(dtype))


def fits(have: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape broadcasts to another."""
    return len(have) <= len(shape) and all(n in (1, m) for n, m in zip(reversed(have), reversed(shape)))


def literal(x: Any) -> str:
    """An array of integers as text."""
    if np.ndim(x) == 0:
        return str(int(x))
    return f"np.array({np.asarray(x).tolist()})" if np.size(x) else f"np.zeros({np.shape(x)}, int)"
