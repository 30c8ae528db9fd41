"""Regions: programs that run on the same mesh with other types of axes, as jax.sharding.auto_axes makes them."""

from __future__ import annotations

from typing import Any

from jax.sharding import use_abstract_mesh

from minijvp.calls.call import Call
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Axis
from minijvp.core.types import Array


class Region(Call):
    """The program it carries, on the abstract mesh `mesh`; around it that is `outer`.

    The program itself takes its operands to the mesh and its results back, so types outside are those of `outer`.
    What it is transformed to is staged on the mesh as well, where JAX is asked for the types of results.
    """

    is_call = False

    def impl(self, *args: Array, jaxpr: Jaxpr, mesh: Any, outer: Any) -> tuple[Any, ...]:
        with use_abstract_mesh(mesh):
            return super().impl(*args, jaxpr=jaxpr)

    def call(self, jaxpr: Jaxpr, *args: Array, mesh: Any, outer: Any) -> tuple[Any, ...]:
        with use_abstract_mesh(outer):
            return super().call(jaxpr, *args, mesh=mesh, outer=outer)

    def jvp(self, primals: tuple, tangents: tuple, **options: Any) -> tuple[Any, Any]:
        with use_abstract_mesh(options["mesh"]):
            return super().jvp(primals, tangents, **options)

    def taylor_to(self, order: int, primals: tuple, series: tuple, **options: Any) -> tuple[Any, Any]:
        with use_abstract_mesh(options["mesh"]):
            return super().taylor_to(order, primals, series, **options)

    def linearize(self, primals: tuple, tangents: tuple, **options: Any) -> tuple[Any, Any]:
        with use_abstract_mesh(options["mesh"]):
            return super().linearize(primals, tangents, **options)

    def transpose(self, ct: tuple, *args: Any, **options: Any) -> tuple[Any, ...]:
        with use_abstract_mesh(options["mesh"]):
            return super().transpose(ct, *args, **options)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **options: Any) -> tuple[Any, Any]:
        with use_abstract_mesh(options["mesh"]):
            return super().batch(axis, args, batched, **options)


region = Region("region")
