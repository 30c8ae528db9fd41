"""Patterns of every primitive: they contain whatever is not zero in its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minijvp
from minijvp.core.types import is_inexact, is_key, type_of
from minijvp.errors import MissingRuleError
from minijvp.sparse.interpreter import follow
from minijvp.sparse.sets import identity, stacked
from minijvp.sparse.values import Value, constant
from minijvp.tools.samples import Sample, arrays
from minijvp.transforms.staging import argument_type, stage
from tests.samples import all_samples

SAMPLES = [s for s in all_samples() if any(is_inexact(type_of(x).dtype) for x in s.args)]


def patterns(sample: Sample, args: list[Any], moving: list[int]) -> list[Any]:
    """The pattern of all results by the arguments `moving`, where no value is known, where the others are, or all."""
    jaxpr = stage(lambda *xs: entries(sample, xs), list(map(argument_type, args)))
    found = []
    for known in (lambda i: False, lambda i: i not in moving, lambda i: True):
        sizes = [type_of(args[i]).size for i in moving]
        units, inputs, start = identity(sum(sizes)), [], 0
        for i, (x, t) in enumerate(zip(args, jaxpr.in_types, strict=True)):
            value = constant(x, t) if known(i) else Value(t)
            if i in moving:
                value = value._replace(sets=units[start : start + t.size] if t.size else None)
                start += t.size
            inputs.append(value)
        outs = [v for v in follow(jaxpr, inputs) if is_inexact(v.type.dtype)]
        whole = stacked([v.sets for v in outs], [v.type.size for v in outs])
        found.append(np.zeros((sum(v.type.size for v in outs), sum(sizes)), bool) if whole is None else whole.toarray())
    return found


def entries(sample: Sample, args: Any) -> list[Any]:
    out = sample.primitive(*args, **sample.params)
    return list(out) if type(out) is tuple else [out]


def dense(sample: Sample, args: list[Any], moving: list[int]) -> np.ndarray:
    """The derivative, a column for each element of the arguments: along all of them, one at a time."""
    columns = []
    for i in moving:
        shape, dtype = np.shape(args[i]), type_of(args[i]).dtype
        for unit in np.eye(type_of(args[i]).size):
            column = 0
            for factor in (1, 1j) if dtype.kind == "c" else (1,):
                fun = lambda x, i=i: entries(sample, [*args[:i], x, *args[i + 1 :]])
                outs = minijvp.jvp(fun, (args[i],), ((unit * factor).astype(dtype).reshape(shape),))[1]
                parts = [np.ravel(x) for x in outs if is_inexact(x.dtype)]
                column = column + np.abs(np.concatenate([*parts, np.zeros(0)]).astype(complex))
            columns.append(column)
    return np.stack(columns, 1)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_patterns_contain_what_is_not_zero(sample: Sample) -> None:
    args = arrays(sample)
    moving = [i for i, x in enumerate(args) if not is_key(type_of(x).dtype) and is_inexact(type_of(x).dtype)]
    if not sum(type_of(args[i]).size for i in moving):
        return
    try:
        derivative = dense(sample, args, moving)
    except MissingRuleError:
        pytest.skip("it has no forward derivative")
    if derivative.size == 0:
        return
    everywhere, half, here = patterns(sample, args, moving)
    assert not (derivative[~everywhere] != 0).any()
    assert not (derivative[~half] != 0).any()
    assert not (derivative[~here] != 0).any()
    assert not (here & ~everywhere).any()
