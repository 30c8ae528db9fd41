"""What tests and benchmarks of several devices share: layouts of a transformer, and what a compiled program sends."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tests.benchmarks.deep import deep_transformer_data

LAYOUTS = ("DP", "FSDP", "TP", "2-D")
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
SENDING = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(")
HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
CALLED = re.compile(r"(?:to_apply|calls|body|branch_computations|condition)=\{?([%\w.\-, ]+)")


def mesh_for(layout: str) -> Mesh:
    """Eight devices: in a row for data parallelism, else two by four."""
    one = layout in ("DP", "FSDP")
    shape, names = ((8,), ("d",)) if one else ((2, 4), ("d", "m"))
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(names))


def spec_of(layout: str, path: str, x: Any) -> PartitionSpec:
    """How a parameter of the transformer lies on the devices."""
    axes: list[str | None] = [None] * x.ndim
    if layout == "FSDP":
        axes[int(np.argmax(x.shape))] = "d"
    if layout in ("TP", "2-D"):
        if "qkv" in path or "up" in path:
            axes[-1] = "m"
        elif "out" in path or ("down" in path and x.ndim == 2):
            axes[0] = "m"
        if layout == "2-D" and x.ndim == 2:
            axes[axes.index(None)] = "d"
    return PartitionSpec(*axes)


def transformer_on(layout: str, *sizes: int) -> tuple[Any, Any]:
    """Parameters and an input of a transformer, on eight devices."""
    params, x = deep_transformer_data(*sizes)
    mesh = mesh_for(layout)

    def put(path: Any, x: Any) -> Any:
        return jax.device_put(x, NamedSharding(mesh, spec_of(layout, jax.tree_util.keystr(path), x)))

    batch = PartitionSpec() if layout == "TP" else PartitionSpec("d")
    return jax.tree_util.tree_map_with_path(put, params), jax.device_put(x, NamedSharding(mesh, batch))


def bytes_in(types: str) -> int:
    """The bytes of the arrays whose types HLO writes so."""
    found = re.findall(r"([a-z]+)(\d*)\[([\d,]*)\]", types)
    sizes = [math.prod(map(int, filter(None, shape.split(",")))) for _, _, shape in found]
    return sum(n * (int(bits) // 8 if bits else 1) for n, (_, bits, _) in zip(sizes, found, strict=True))


def sent(text: str) -> dict[str, tuple[int, int]]:
    """By kind: how many collectives run in a compiled program, and the bytes of what they give.

    One in a computation counts as often as that is called.
    """
    inside: dict[str, list[tuple[str, int]]] = {}
    called: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        header = HEADER.match(line)
        if header:
            name = header[2]
            inside[name], called[name] = [], []
            entry = name if header[1] else entry
            continue
        if found := SENDING.search(line):
            inside[name].append((found[2], bytes_in(found[1])))
        for names in CALLED.findall(line):
            called[name] += [n.strip().lstrip("%") for n in names.split(",")]
    times: Counter[str] = Counter()
    sizes: Counter[str] = Counter()

    def visit(name: str) -> None:
        for kind, n in inside.get(name, ()):
            times[kind] += 1
            sizes[kind] += n
        for other in called.get(name, ()):
            visit(other)

    visit(entry)
    return {kind: (times[kind], sizes[kind]) for kind in KINDS if times[kind]}


def sends_no_more(ours: dict[str, tuple[int, int]], theirs: dict[str, tuple[int, int]]) -> bool:
    """Whether there are no more collectives of any kind, nor bytes of them."""
    return all(n <= theirs.get(kind, (0, 0))[0] and b <= theirs[kind][1] for kind, (n, b) in ours.items())
