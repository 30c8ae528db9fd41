"""shard_map: a function of the parts of arrays that each device has, which devices run together.

shard_map : (parts a -> parts b) -> a -> b
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
from jax.sharding import PartitionSpec, get_abstract_mesh
from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.api.programs import stage_tree
from minijvp.calls.jit import Staged
from minijvp.calls.programs import chosen
from minijvp.calls.shard_map_programs import (
    WHOLE,
    Specs,
    in_jax,
    inside,
    names_in,
    shard_map_primitive,
    unstacked,
)
from minijvp.core import placements
from minijvp.core.hooks import hooks
from minijvp.core.tracer import is_traced, is_tracer_of_jax
from minijvp.core.tracing import axes_here
from minijvp.core.types import ArrayType, Params, type_in_jax, type_of, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.operations.sharding import spread_over
from minijvp.transforms.staging import argument_type

INFER = inspect.signature(jax.shard_map).parameters["in_specs"].default
"""What stands for specs that are those of the arguments."""

STAGED_PER_FUNCTION = 64


def shard_map(
    f: Callable[..., Any] | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = INFER,
    mesh: Any = None,
    axis_names: Iterable[Any] = frozenset(),
    check_vma: bool = True,
) -> Any:
    """A function of arrays that runs `f` on each device of a mesh, with the parts of the arrays that it has.

    shard_map : (parts a -> parts b) -> a -> b

    Args:
        f: takes and returns pytrees of arrays, the parts of one device; collectives (minijvp.lax.psum, all_gather,
            ppermute ...) inside speak along the axes of the mesh. Without it, the result is a decorator.
        in_specs: a `jax.sharding.PartitionSpec`, or a pytree of them that is a prefix of the tuple of arguments: the
            axes of the mesh along which each axis of an array is split. By default, as explicit axes split it.
        out_specs: the same for the result: how its parts are put together. What it does not name must be equal there.
        mesh: a `jax.sharding.Mesh`, by default that of `jax.set_mesh`.
        axis_names: the axes that f sees, by default all; along others the compiler divides, as under jit.
        check_vma: whether types follow along which axes values vary, so that specs are checked, and derivatives sum
            where they must and nowhere else. Without it, an output is believed to be what its spec says.

    All transformations work on both sides of it, as in JAX, and it gives the same types and collectives. The function
    is traced once for each set of types, and what it computes is compiled.

    Raises ArgumentError for specs that do not fit the arguments, the result or the mesh.

    >>> import jax, minijvp, minijvp.numpy as mnp
    >>> from jax.sharding import PartitionSpec as P
    >>> mesh = jax.make_mesh((1,), ('i',), axis_types=(jax.sharding.AxisType.Auto,))
    >>> total = minijvp.shard_map(
    ...     lambda x: minijvp.lax.psum(mnp.sum(x * x), 'i'), mesh=mesh, in_specs=P('i'), out_specs=P())
    >>> minijvp.grad(total)(mnp.arange(3.0)).tolist()
    [0.0, 2.0, 4.0]
    """
    if f is None:
        options = {"mesh": mesh, "axis_names": axis_names, "check_vma": check_vma}
        return partial(shard_map, in_specs=in_specs, out_specs=out_specs, **options)
    trees.require_callable(f, "shard_map")
    return _Mapped(f, in_specs, out_specs, mesh, frozenset(axis_names), bool(check_vma)).wrapper()


class _Mapped:
    """A function under shard_map, and its programs."""

    def __init__(self, fun: Callable[..., Any], in_specs: Any, out_specs: Any, mesh: Any, axes: Any, check_vma: bool):
        self.fun = fun
        self.name = trees.function_name(fun)
        self.in_specs, self.out_specs = in_specs, out_specs
        self.mesh, self.axes, self.check_vma = mesh, axes, check_vma
        self.staged: dict[tuple, tuple[Staged, Specs, Specs]] = {}

    def wrapper(self) -> Callable[..., Any]:
        """The public function."""

        @trees.wraps(self.fun)
        def mapped(*args: Any) -> Any:
            leaves, tree = trees.flatten_numbers((args, {}))
            leaves = trees.as_arrays(leaves, trees.call_namer(self.fun, args, {}))
            types = tuple(map(argument_type, leaves))
            how = self.how()
            key = tree, types, tuple(how.values()), x64_enabled(), axes_here(), hooks.linearizer.key()
            found = self.staged.get(key)
            if found is None:
                found = self.stage(tree, types, self.specs_of(args, types, how), how)
                if not any(map(is_traced, found[0].constants)):
                    if len(self.staged) >= STAGED_PER_FUNCTION:
                        self.staged.clear()
                    self.staged[key] = found
            staged, in_specs, out_specs = found
            specs = {"in_specs": in_specs, "out_specs": out_specs}
            outs = shard_map_primitive(*staged.constants, *leaves, jaxpr=staged.jaxpr, **specs, **how)
            return tree_unflatten(staged.out_tree, outs)

        return mapped

    def how(self) -> Params:
        """The mesh in force, and the axes that are manual."""
        mesh = get_abstract_mesh() if self.mesh is None else self.mesh
        if not mesh.axis_names:
            raise ArgumentError(
                f"shard_map of {self.name} has no mesh.",
                "None was passed, and none is in force here.",
                "Pass mesh=jax.make_mesh(...), or call it inside of jax.set_mesh(mesh).",
            )
        unknown = sorted(map(str, self.axes - set(mesh.axis_names)))
        if unknown:
            raise ArgumentError(
                f"shard_map of {self.name} received axis_names={set(self.axes)!r}.",
                f"The mesh has the axes {mesh.axis_names}, and not {', '.join(unknown)}.",
                "Name axes of the mesh.",
            )
        manual = self.axes or frozenset(mesh.axis_names)
        return {"mesh": mesh, "manual": manual, "check_vma": self.check_vma}

    def specs_of(self, args: tuple, types: Sequence[ArrayType], how: Params) -> Specs:
        """The spec of each leaf of the arguments."""
        if self.in_specs is INFER:
            return tuple([PartitionSpec(*t.placement.spec) if t.placement else WHOLE for t in types])
        specs = trees.flatten_prefix(self.in_specs, args, "in_specs")
        name = trees.call_namer(self.fun, args, {})
        for i, (spec, t) in enumerate(zip(specs, types, strict=True)):
            self.require_spec(spec, t, lambda i=i: f"{name(i)}", how)
        return tuple(specs)

    def require_spec(self, spec: Any, t: ArrayType, where: Callable[[], str], how: Params, whole: bool = True) -> None:
        """Raise ArgumentError unless a spec fits a type: of a whole array, or of the part of one device."""
        who = f"shard_map of {self.name}: the spec of {where()}, {t!r}, is {spec!r}"
        if not isinstance(spec, PartitionSpec) or spec.unreduced or spec.reduced:
            raise ArgumentError(
                f"{who}.",
                "It is no PartitionSpec, or has axes that are reduced or unreduced.",
                "Pass one with entries for axes alone: P() for what each device has whole.",
            )
        sizes, names = dict(how["mesh"].shape), names_in(spec)
        wrong = [name for name in names if name not in how["manual"]]
        if wrong:
            raise ArgumentError(
                f"{who}.",
                f"{wrong[0]!r} is none of the axes that the function sees: {sorted(map(str, how['manual']))}.",
                "Name those of the mesh, and all of them in axis_names, if that is given.",
            )
        if len(spec) > t.ndim or len(set(names)) < len(names):
            raise ArgumentError(
                f"{who}.",
                f"The array has {t.ndim} axes, and each axis of the mesh splits one at most.",
                "Give an entry for each axis of the array, or for the first of them; a number x of each device has an "
                "axis as x[None].",
            )
        for d, entry in enumerate(spec if whole else ()):
            parts = math.prod([sizes[name] for name in names_in((entry,))])
            if t.shape[d] % parts:
                raise ArgumentError(
                    f"{who}.",
                    f"Its axis {d} of size {t.shape[d]} is not divided evenly by {parts} devices.",
                    "Pad the array, or split another axis.",
                )

    def stage(self, tree: Any, types: Sequence[ArrayType], in_specs: Specs, how: Params) -> tuple[Staged, Specs, Specs]:
        """The program of parts, and the spec of each of its inputs, constants first, and outputs."""
        found: list[Any] = []
        entered = False

        def body(*parts: Any) -> tuple[()]:
            nonlocal entered
            entered = True
            part_types = tuple(map(type_of, parts))
            with spread_over(1):
                found.extend((*stage_tree(self.fun, tree, part_types), part_types))
            return ()

        try:
            jax.eval_shape(in_jax(body, in_specs=in_specs, out_specs=(), **how), *map(type_in_jax, types))
        except ValueError as error:
            if entered:
                raise  # the function did it
            raise ArgumentError(f"shard_map of {self.name}: {error}") from None
        closed, out_tree, part_types = found
        staged = Staged(closed, out_tree)
        known = [x for x in staged.constants if not is_tracer_of_jax(x)]
        split = next((x for x in known if (p := type_of(x).placement) and p.is_split), None)
        if split is not None:
            raise ArgumentError(
                f"the function {self.name} under shard_map closes over {type_of(split)!r}.",
                "Each device is to have what it closes over, and this array is split.",
                "Pass it as an argument, with a spec.",
            )
        # A result of leaves that are their numbers, so that errors can tell where an output is.
        result = tree_unflatten(out_tree, range(len(closed.outputs)))
        out_specs = tuple(trees.flatten_prefix(self.out_specs, result, "out_specs"))
        where = trees.result_namer(result, self.name)
        for i, (spec, t) in enumerate(zip(out_specs, closed.out_types, strict=True)):
            self.require_spec(spec, t, lambda i=i: where(i), how, whole=False)
            unnamed = (placements.varying(t.placement) & how["manual"]) - set(names_in(spec))
            if unnamed:
                raise ArgumentError(
                    f"shard_map of {self.name}: the spec of {where(i)}, {t!r}, is {spec!r}.",
                    f"It varies along {sorted(map(str, unnamed))}, which the spec does not name: devices would differ.",
                    "Name the axis in out_specs, or reduce over it (psum, pmean, all_gather). check_vma=False believes "
                    "the spec.",
                )
        if len(known) < len(staged.constants):
            staged, specs = with_constants(lambda: Staged(*stage_tree(self.fun, tree, part_types)), staged, how)
            return staged, (*specs, *in_specs), out_specs
        return staged, (*[WHOLE] * len(staged.constants), *in_specs), out_specs


def with_constants(make: Callable[[], Staged], first: Staged, how: Params) -> tuple[Staged, Specs]:
    """A program whose constants JAX has computed on the devices, from no arguments, and the spec of each.

    They were tracers of JAX in the program that was staged `first`, so it is staged again where they have values.
    """
    made = [is_tracer_of_jax(x) for x in first.constants]
    types = first.jaxpr.in_types[: len(made)]
    rows = [shard_map_primitive.rows_of(t, how) if m else None for t, m in zip(types, made, strict=True)]
    specs = tuple([WHOLE if names is None else PartitionSpec(names) for names in rows])
    found: list[Staged] = []

    def body() -> tuple[Any, ...]:
        with spread_over(1):
            found.append(make())
        values = zip(found[-1].constants, made, rows, strict=True)
        return tuple([x if names is None else x[None] for x, m, names in values if m])

    values = iter(jax.jit(in_jax(body, in_specs=(), out_specs=tuple(chosen(specs, made)), **how))())
    staged = found[-1]
    staged.constants = tuple([next(values) if m else x for x, m in zip(staged.constants, made, strict=True)])
    places = [*rows, *[None] * (len(staged.jaxpr.in_types) - len(rows))]
    staged.jaxpr = inside(lambda: unstacked(staged.jaxpr, places), how)
    return staged, specs
