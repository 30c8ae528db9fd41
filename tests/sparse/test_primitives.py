"""Patterns of every primitive: they contain whatever is not zero in its derivative."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import minijvp
from minijvp.core.types import PYTHON_SCALARS, is_inexact, is_key, type_of
from minijvp.errors import MissingRuleError
from minijvp.sparse.interpreter import follow
from minijvp.sparse.sets import identity, stacked
from minijvp.sparse.values import Value, constant
from minijvp.tools.samples import Sample, arrays
from minijvp.transforms.staging import argument_type, stage
from tests.samples import all_samples

SAMPLES = {
    (s.primitive, str(s.params), tuple(map(np.shape, s.args)), s.label): s
    for s in all_samples()
    if any(is_inexact(type_of(x).dtype) for x in s.args)
}
"""One for several dtypes."""


def patterns(sample: Sample, args: list[Any], moving: list[int]) -> list[Any]:
    """The pattern of all results by the arguments `moving`, where no value is known, where the others are, or all."""
    staged = [i for i, x in enumerate(args) if type(x) not in PYTHON_SCALARS]
    types = [argument_type(args[i]) for i in staged]
    jaxpr = stage(lambda *xs: entries(sample, with_all(args, staged, xs)), types)
    found = []
    for known in (lambda i: False, lambda i: i not in moving, lambda i: True):
        sizes = [type_of(args[i]).size for i in moving]
        units, inputs, start = identity(sum(sizes)), [], 0
        for i, t in zip(staged, jaxpr.in_types, strict=True):
            value = constant(args[i], t) if known(i) else Value(t)
            if i in moving:
                value = value._replace(sets=units[start : start + t.size] if t.size else None)
                start += t.size
            inputs.append(value)
        outs = [v for v in follow(jaxpr, inputs) if is_inexact(v.type.dtype)]
        whole = stacked([v.sets for v in outs], [v.type.size for v in outs])
        found.append(np.zeros((sum(v.type.size for v in outs), sum(sizes)), bool) if whole is None else whole.toarray())
    return found


def with_all(args: list[Any], places: list[int], values: Any) -> list[Any]:
    given = dict(zip(places, values, strict=True))
    return [given.get(i, x) for i, x in enumerate(args)]


def entries(sample: Sample, args: Any) -> list[Any]:
    out = sample.primitive(*args, **sample.params)
    return list(out) if type(out) is tuple else [out]


def block(sample: Sample, args: list[Any], i: int) -> np.ndarray:
    """The derivative by one argument: the size of each entry."""
    shape, dtype = np.shape(args[i]), type_of(args[i]).dtype
    columns = []
    for unit in np.eye(type_of(args[i]).size):
        column: Any = 0
        for factor in (1, 1j) if dtype.kind == "c" else (1,):
            fun = lambda x: entries(sample, [*args[:i], x, *args[i + 1 :]])
            outs = minijvp.jvp(fun, (args[i],), ((unit * factor).astype(dtype).reshape(shape),))[1]
            parts = [np.ravel(x) for x in outs if is_inexact(x.dtype)]
            column = column + np.abs(np.concatenate([*parts, np.zeros(0)]).astype(complex))
        columns.append(column)
    return np.stack(columns, 1)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_patterns_contain_what_is_not_zero(sample: Sample) -> None:
    args, moving, blocks = arrays(sample), [], []
    for i, x in enumerate(args):
        t = type_of(x)
        if type(x) not in PYTHON_SCALARS and not is_key(t.dtype) and is_inexact(t.dtype) and t.size:
            with suppress(MissingRuleError):  # by this argument there is no derivative
                blocks.append(block(sample, args, i))
                moving.append(i)
    if not moving:
        return
    derivative = np.concatenate(blocks, 1)
    everywhere, half, here = patterns(sample, args, moving)
    assert not (derivative[~everywhere] != 0).any()
    assert not (derivative[~half] != 0).any()
    assert not (derivative[~here] != 0).any()
    assert not (here & ~everywhere).any()
