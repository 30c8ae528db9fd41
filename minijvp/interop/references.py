"""References of JAX (jax.new_ref): arrays that a program changes in place.

While a program is read, a reference is a `Reference`, a place that holds the array of the moment: what reads it gives
that array, and what writes it puts another one there. Nothing of it is left in the program, so that every
transformation works. A loop carries the arrays of the references that it uses, and a choice returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_context
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.tree_util import tree_unflatten

from minijvp.calls.programs import chosen, groups
from minijvp.control_flow.cond import cond as cond_primitive
from minijvp.control_flow.scan import scan as scan_primitive
from minijvp.control_flow.while_loop import while_loop as while_primitive
from minijvp.core.jaxpr import Jaxpr, Var, evaluate
from minijvp.core.tracing import state
from minijvp.core.types import type_in_jax, type_of
from minijvp.errors import MissingRuleError
from minijvp.interop.higher_order import as_closed, constants_and_carry
from minijvp.interop.reading import (
    EVERY_OTHER,
    WITH_REFERENCES,
    Reference,
    Translation,
    constant,
    in_type,
    interpret,
    translates,
    type_of_aval,
)
from minijvp.operations.families import zeros
from minijvp.transforms.staging import stage


def with_references(*names: str) -> Callable[[Translation], Translation]:
    """Decorator: enter a translation for these primitives where operands are references."""

    def enter(translation: Translation) -> Translation:
        WITH_REFERENCES.update(dict.fromkeys(names, translation))
        return translation

    return enter


@translates("new_ref", contextual=True)
def new_ref(equation: JaxprEqn, x: Any) -> Reference:
    """A reference to an array."""
    return Reference(in_type(x, type_of_aval(equation.invars[0].aval)))


@translates("empty_ref", contextual=True)
def empty_ref(equation: JaxprEqn) -> Reference:
    """A reference to an array whose numbers are not said: zeros."""
    t = type_of_aval(equation.outvars[0].aval)
    return Reference(zeros(shape=t.shape, dtype=t.dtype))


@with_references("freeze")
def freeze(equation: JaxprEqn, reference: Reference) -> Any:
    """The array of a reference, which is not used any more."""
    return reference.value


@with_references("free_ref")
def free_ref(equation: JaxprEqn, reference: Reference) -> tuple[()]:
    """Nothing: a reference is not used any more."""
    return ()


@with_references("get")
def get(equation: JaxprEqn, reference: Reference, *indices: Any) -> Any:
    """Elements of the array."""
    fun = lambda x, *flat: x[index_of(equation, flat)]
    return by_jax(fun, reference.value, *indices)


@with_references("swap")
def swap(equation: JaxprEqn, reference: Reference, value: Any, *indices: Any) -> Any:
    """Elements of the array, in whose place there are others now."""
    fun = lambda x, *flat: x[index_of(equation, flat)]
    old = by_jax(fun, reference.value, *indices)
    fun = lambda x, new, *flat: x.at[index_of(equation, flat)].set(new)
    reference.value = by_jax(fun, reference.value, value, *indices)
    return old


@with_references("addupdate")
def addupdate(equation: JaxprEqn, reference: Reference, value: Any, *indices: Any) -> tuple[()]:
    """Nothing: a value is added to elements of the array."""
    fun = lambda x, more, *flat: x.at[index_of(equation, flat)].add(more)
    reference.value = by_jax(fun, reference.value, value, *indices)
    return ()


def by_jax(fun: Callable[..., Any], *args: Any) -> Any:
    """The result of a function written with jax.numpy, by our primitives."""
    with eval_context():
        closed = jax.make_jaxpr(fun)(*[type_in_jax(type_of(x)) for x in args])
    (out,) = interpret(closed.jaxpr, closed.consts, args)
    return out


def index_of(equation: JaxprEqn, flat: Sequence[Any]) -> Any:
    """The index that an equation gives a reference, as one of jax.numpy."""
    indexers = tree_unflatten(equation.params["tree"], flat)
    if not indexers:
        return ...
    if len(indexers) > 1 or not hasattr(indexers[0], "indices"):
        raise refused(equation, "It looks at the array in another way than by one index.")
    indices = indexers[0].indices
    if not any(map(is_moving, indices)):
        return tuple([slice(i.start, i.start + i.size * i.stride, i.stride) if is_slice(i) else i for i in indices])
    if any([not is_slice(i) and jnp.ndim(i) for i in indices]):
        raise refused(equation, "Its index has an array, and a slice from a place that is not known.")
    n, found = sum(map(is_slice, indices)), []
    for i in indices:
        if is_slice(i):
            n -= 1
            i = (i.start + i.stride * jnp.arange(i.size)).reshape(-1, *[1] * n)
        found.append(i)
    return tuple(found)


def is_slice(index: Any) -> bool:
    """Whether an index is JAX's account of a slice."""
    return hasattr(index, "stride")


def is_moving(index: Any) -> bool:
    """Whether an index is a slice from a place that is not known."""
    return is_slice(index) and not isinstance(index.start, int)


# Programs inside


@with_references("jit", "pjit", "closed_call", "core_call", "core_closed_call", "call", "eval_jaxpr")
@with_references("remat2", "remat", "checkpoint")
def call(equation: JaxprEqn, *inputs: Any) -> Any:
    """The equations of a program that is called."""
    params = equation.params
    program = as_closed(params.get("jaxpr") or params.get("call_jaxpr"))
    return interpret(program.jaxpr, program.consts, inputs)


class Opened:
    """Programs of JAX over the same inputs, as ones of ours that take arrays for references, and return them last.

    They have the constants of all of them, `shared`, as leading inputs.
    """

    def __init__(self, programs: Sequence[ClosedJaxpr], used: Sequence[bool]):
        made = [opened(closed, used) for closed in programs]
        self.shared = [x for _, constants in made for x in constants]
        self.jaxprs: list[Jaxpr] = []
        start = 0
        for jaxpr, constants in made:
            leading, n = [Var(type_of(x)) for x in self.shared], len(constants)
            leading[start : start + n] = jaxpr.inputs[:n]
            start += n
            self.jaxprs.append(Jaxpr((), (*leading, *jaxpr.inputs[n:]), jaxpr.equations, jaxpr.outputs, jaxpr.name))


def opened(closed: ClosedJaxpr, used: Sequence[bool]) -> tuple[Jaxpr, tuple[Any, ...]]:
    """A program of JAX as an open one of ours with its constants as leading inputs, and those constants."""
    constants = tuple(map(constant, closed.consts))
    n = len(constants)
    types = [*map(type_of, constants), *[type_of_aval(v.aval) for v in closed.jaxpr.invars]]

    def fun(*args: Any) -> list[Any]:
        held = [Reference(x) if flag else x for x, flag in zip(args[n:], used, strict=True)]
        outs = interpret(closed.jaxpr, args[:n], held)
        return [*outs, *[x.value for x in held if isinstance(x, Reference)]]

    with eval_context():
        program, made = stage(fun, types).hoist_constants()
    return program, (*made, *constants)


def is_reference(x: Any) -> bool:
    """Whether an operand is a reference."""
    return isinstance(x, Reference)


def values(equation: JaxprEqn, inputs: Sequence[Any]) -> list[Any]:
    """The operands, with arrays in place of references. Raises MissingRuleError if two of these are one."""
    found = [x for x in inputs if is_reference(x)]
    if len(set(map(id, found))) < len(found):
        raise refused(equation, "The same one is passed twice.")
    exact = [in_type(x, type_of_aval(v.aval)) for x, v in zip(inputs, equation.invars, strict=True)]
    return [x.value if is_reference(x) else x for x in exact]


def store(inputs: Sequence[Any], arrays: Sequence[Any]) -> None:
    """Put arrays in the references among the operands."""
    for reference, x in zip(filter(is_reference, inputs), arrays, strict=True):
        reference.value = x


@with_references("cond")
def cond(equation: JaxprEqn, index: Any, *inputs: Any) -> Any:
    """A choice, which returns the arrays of the references that it is given."""
    _, *operands = values(equation, (index, *inputs))
    if isinstance(index, np.generic):
        branches = equation.params["branches"]
        taken = branches[int(np.clip(index, 0, len(branches) - 1))]
        return interpret(taken.jaxpr, taken.consts, inputs)
    opened = Opened(equation.params["branches"], list(map(is_reference, inputs)))
    outs = cond_primitive(index, *opened.shared, *operands, branches=tuple(opened.jaxprs))
    outs, arrays = groups(outs, len(equation.outvars))
    store(inputs, arrays)
    return outs


@with_references("scan")
def scan(equation: JaxprEqn, *inputs: Any) -> Any:
    """A loop, which carries the arrays of the references among its constants."""
    params = equation.params
    n_constants, n_carry = constants_and_carry(params)
    used = list(map(is_reference, inputs))
    if any(used[n_constants:]):
        raise refused(equation, "A loop carries it, or goes along it.")
    opened = Opened([params["jaxpr"]], used)
    plain, carried = order(used[:n_constants])
    n = len(opened.shared)
    places = [*range(n), *[n + i for i in plain], *[n + i for i in carried]]
    rest = list(range(n + n_constants, n + len(inputs)))
    (body,) = opened.jaxprs
    outs, arrays = groups(body.outputs, len(body.outputs) - len(carried))
    moved = Jaxpr((), tuple([body.inputs[i] for i in places + rest]), body.equations, (*arrays, *outs), body.name)
    operands = [*opened.shared, *values(equation, inputs)]
    found = scan_primitive(
        *[operands[i] for i in places + rest],
        jaxpr=moved,
        n_constants=n + len(plain),
        n_carry=len(carried) + n_carry,
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    store(inputs, found[: len(carried)])
    return found[len(carried) :]


@with_references("while")
def while_loop(equation: JaxprEqn, *inputs: Any) -> Any:
    """A loop, which carries the arrays of the references among the constants of its body."""
    params = equation.params
    n, m = params["cond_nconsts"], params["body_nconsts"]
    used = list(map(is_reference, inputs))
    if any(used[:n]) or any(used[n + m :]):
        raise refused(equation, "The condition of a loop reads it, or the loop carries it.")
    test, body = Opened([params["cond_jaxpr"]], used[:n] + used[n + m :]), Opened([params["body_jaxpr"]], used[n:])
    if test.jaxprs[0].out_types[0].shape:
        raise refused(equation, "The condition of a loop is an array.")
    plain, carried = order(used[n : n + m])
    exact = values(equation, inputs)
    arrays = [exact[n + i] for i in carried]

    shared, old = len(body.shared), body.jaxprs[0]
    constants, rest = old.inputs[: shared + m], old.inputs[shared + m :]
    of_references = [constants[shared + i] for i in carried]
    kept = [*constants[:shared], *[constants[shared + i] for i in plain]]
    outs, new = groups(old.outputs, len(rest))
    moved = Jaxpr((), (*kept, *of_references, *rest), old.equations, (*new, *outs), old.name)

    n_test = len(test.shared) + n
    types = test.jaxprs[0].in_types
    (holds,) = test.jaxprs
    longer = stage(
        lambda *xs: evaluate(holds, *xs[:n_test], *xs[n_test + len(carried) :]),
        [*types[:n_test], *[v.type for v in of_references], *types[n_test:]],
    )
    found = while_primitive(
        *test.shared,
        *exact[:n],
        *body.shared,
        *[exact[n + i] for i in plain],
        *arrays,
        *exact[n + m :],
        cond_jaxpr=longer,
        body_jaxpr=moved,
        n_cond_constants=n_test,
        n_body_constants=shared + len(plain),
    )
    store(inputs, found[: len(carried)])
    return found[len(carried) :]


def order(used: Sequence[bool]) -> tuple[list[int], list[int]]:
    """The places of operands that are arrays, and of those that are references."""
    return chosen(range(len(used)), [not flag for flag in used]), chosen(range(len(used)), used)


@with_references(EVERY_OTHER)
def every_other(equation: JaxprEqn, *inputs: Any) -> Any:
    """An operation for which there is no rule on references."""
    raise refused(equation, "minijvp does not know what this operation does to it.")


def refused(equation: JaxprEqn, reason: str) -> MissingRuleError:
    """The error for what cannot be said without references."""
    line = f", at {state.source}: {state.source.text}" if state.source else ""
    return MissingRuleError(
        f"from_jax met the operation {equation.primitive.name!r} of JAX on a reference (jax.new_ref){line}.",
        f"minijvp reads references as arrays that are handed on. {reason}",
        "Pass arrays, and return the new ones.",
    )
