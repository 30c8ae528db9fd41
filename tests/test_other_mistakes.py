"""Mistakes of those who come from PyTorch and NumPy: a short traceback that ends with their line, and advice."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import json
import math
import random
import traceback
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import (
    ArgumentError,
    ConcretizationError,
    ForeignFunctionError,
    MissingRuleError,
    grad,
    jit,
    jvp,
    lax,
    vmap,
)
from minijvp.explain.other_words import in_other_words
from tests.test_tracebacks import frames_of

X, W, INTEGERS = jnp.arange(3.0), jnp.ones((3, 4)), jnp.arange(3)
Case = tuple[Callable[[], Any], type[Exception], str]


@pytest.fixture(autouse=True)
def short() -> Iterator[None]:
    with minijvp.config(traceback="short"):
        yield


def assigned(x: Any) -> Any:
    x[0] = 1.0
    return x.sum()


@jit
def counted(n: Any) -> Any:
    for _ in range(n):
        n = n + 1
    return n


@jit
def asserted(x: Any) -> Any:
    assert x > 0
    return x


OF_PYTORCH: dict[str, Case] = {
    "numpy()": (lambda: grad(lambda x: x.numpy().sum())(X), AttributeError, "np.asarray(x) is for arguments"),
    "cpu()": (lambda: grad(lambda x: x.cpu().sum())(X), AttributeError, "np.asarray(x) is for arguments"),
    "detach()": (lambda: grad(lambda x: x.detach().sum())(X), AttributeError, "minijvp.stop_gradient(x)"),
    "data": (lambda: grad(lambda x: x.data.sum())(X), AttributeError, "minijvp.stop_gradient(x)"),
    "backward()": (lambda: grad(lambda x: x.backward())(1.0), AttributeError, "minijvp.grad(loss)(params)"),
    "grad": (lambda: grad(lambda x: x.grad)(1.0), AttributeError, "minijvp.grad(loss)(params)"),
    "requires_grad": (lambda: grad(lambda x: x.requires_grad)(1.0), AttributeError, "argnums does not name"),
    "requires_grad_()": (lambda: grad(lambda x: x.requires_grad_())(1.0), AttributeError, "argnums does not name"),
    "permute": (lambda: jit(lambda x: x.permute(1, 0))(W), AttributeError, "x.transpose(axes)"),
    "unsqueeze": (lambda: jit(lambda x: x.unsqueeze(0))(X), AttributeError, "mnp.expand_dims(x, axis)"),
    "to": (lambda: jit(lambda x: x.to("cuda"))(X), AttributeError, "minijvp.device_put(x, device)"),
    "float()": (lambda: jit(lambda x: x.float())(X), AttributeError, "x.astype(mnp.float32)"),
    "clone()": (lambda: vmap(lambda x: x.clone())(X), AttributeError, "arrays do not change"),
    "exp()": (lambda: vmap(lambda x: x.exp())(X), AttributeError, "mnp.exp(x)"),
    "relu()": (lambda: jvp(lambda x: x.relu(), (X,), (X,)), AttributeError, "minijvp.nn.relu(x)"),
    "add_()": (lambda: jit(lambda x: x.add_(1))(X), AttributeError, "x = x.add(...)"),
    "norm()": (lambda: grad(lambda x: x.norm())(X), AttributeError, "mnp.linalg.norm(x)"),
    "dim": (lambda: grad(lambda x: mnp.sum(x, dim=0))(X), TypeError, "'dim'"),
    "x[0] = 1": (lambda: grad(assigned)(X), ArgumentError, "x.at[index].set(value)"),
    "item()": (lambda: grad(lambda x: x.item())(1.0), ConcretizationError, "stop_gradient"),
    "no method": (lambda: jit(lambda x: x.no_such_method())(X), AttributeError, "a traced array has no attribute"),
}
OF_PYTHON: dict[str, Case] = {
    "a key": (lambda: jit(lambda x: {x: 1})(X), TypeError, "Use names or numbers as keys"),
    "a set": (lambda: jit(lambda x: {x, x})(X), TypeError, "a list in the place of a set"),
    "a cache": (lambda: jit(functools.cache(lambda x: x))(X), TypeError, "unhashable"),
    "a list": (lambda: grad(lambda x: x - [1, 2, 3])(X), TypeError, "mnp.asarray([...])"),
    "text": (lambda: grad(lambda x: x + "a")(X), TypeError, "a traced array and 'str'"),
    "a call": (lambda: grad(lambda x: x(3))(X), TypeError, "a traced array is not callable"),
    "float": (lambda: jit(lambda x: float(x))(1.0), ConcretizationError, "static_argnums"),
    "int": (lambda: jit(lambda x: int(x))(1.0), ConcretizationError, "static_argnums"),
    "complex": (lambda: jit(lambda x: complex(x))(1.0), ConcretizationError, "static_argnums"),
    "math.sin": (lambda: jit(lambda x: math.sin(x))(1.0), ConcretizationError, "float()"),
    "math.floor": (lambda: jit(lambda x: math.floor(x))(1.0), ConcretizationError, "float()"),
    "a format": (lambda: jit(lambda x: f"{x:.3f}")(1.0), ConcretizationError, "minijvp.debug.print"),
    "percent": (lambda: jit(lambda x: "%f" % x)(1.0), ConcretizationError, "float()"),  # noqa: UP031
    "sorted": (lambda: jit(lambda x: sorted([x, 2 * x]))(1.0), ConcretizationError, "mnp.where"),
    "in": (lambda: jit(lambda x: 1 in x)(X), ConcretizationError, "mnp.where"),
    "max": (lambda: jit(lambda x: builtins.max(x, 0.0))(1.0), ConcretizationError, "mnp.where"),
    "between": (lambda: jit(lambda x: 0 < x < 1)(1.0), ConcretizationError, "mnp.where"),
    "a list's": (lambda: jit(lambda i: [1, 2][i])(1), ConcretizationError, "mnp.asarray(items)[i]"),
    "choice": (lambda: jit(lambda n: random.choice([1, 2][:n]))(1), ConcretizationError, "range(n)"),
    "range": (lambda: counted(3), ConcretizationError, "lax.fori_loop"),
    "assert": (lambda: asserted(3.0), ConcretizationError, "`assert`"),
    "tolist": (lambda: jit(lambda x: x.tolist())(X), ConcretizationError, "tolist()"),
}
OF_NUMPY: dict[str, Case] = {
    "np.sin": (lambda: grad(lambda x: np.sin(x).sum())(X), ForeignFunctionError, "minijvp.numpy.sin"),
    "np.asarray": (lambda: jit(lambda x: np.asarray(x))(X), ForeignFunctionError, "minijvp.numpy.asarray"),
    "np.random": (lambda: jit(lambda x: np.random.normal(x))(1.5), ForeignFunctionError, "minijvp.random.normal"),
    "out": (lambda: grad(lambda x: mnp.sum(x, out=np.zeros(())))(X), ArgumentError, "Omit out"),
    "too many indices": (lambda: grad(lambda x: x[0, 0])(X), IndexError, "x[None] adds an axis"),
    "two ellipses": (lambda: grad(lambda x: x[..., ...])(W), IndexError, "Correct the index"),
    "a mask": (lambda: grad(lambda x: x[np.ones(4, bool)])(X), IndexError, "boolean index of shape (4,)"),
    "no elements": (lambda: grad(lambda x: x[:0][0])(X), IndexError, "out of bounds for axis 0 with size 0"),
    "one alternative": (lambda: grad(lambda x: mnp.where(x > 0, x))(X), ArgumentError, "mnp.where(condition, x, y)"),
    "one operand": (lambda: grad(lambda x: mnp.add(x))(1.0), TypeError, "add() missing 1 required"),
    "shapes": (lambda: grad(lambda x: (x + np.ones(4)).sum())(X), ArgumentError, "do not broadcast"),
    "text": (lambda: jit(lambda s: s)(np.array(["a", "b"])), ArgumentError, "static_argnums"),
    "objects": (lambda: jit(lambda s: s)(np.array([object()])), ArgumentError, "not an array"),
    "integers": (lambda: grad(lambda x: x.sum())(INTEGERS), ArgumentError, "x.astype(float)"),
}
OF_OURS: dict[str, Case] = {
    "jit(f(x))": (lambda: jit(1.0), ArgumentError, "jit(f) and not"),
    "vmap(f(x))": (lambda: vmap(X), ArgumentError, "vmap(f) and not"),
    "hessian(f(x))": (lambda: minijvp.hessian(X), ArgumentError, "hessian(f) and not"),
    "jacfwd(f(x))": (lambda: minijvp.jacfwd(X), ArgumentError, "jacfwd(f) and not"),
    "static_argnums": (lambda: jit(lambda x: x, static_argnums=5)(X), ArgumentError, "Correct the option"),
    "static_argnames": (lambda: jit(lambda x: x, static_argnames="m")(X), ArgumentError, "['x']"),
    "a setting": (lambda: minijvp.config(memory_bugdet=1), ArgumentError, "Correct the name"),
    "its value": (lambda: minijvp.config.update(traceback="none"), ArgumentError, "'short'"),
    "an axis": (lambda: lax.psum(X, "i"), ArgumentError, "axis_name='i'"),
    "an index of an axis": (lambda: lax.axis_index("i"), ArgumentError, "axis_name='i'"),
    "switch": (lambda: lax.switch(0, lambda x: x, X), ArgumentError, "[f, g]"),
    "not linear": (lambda: minijvp.linear_transpose(lambda x: x * x, X)(X), MissingRuleError, "linear functions only"),
}
ALL = {
    f"{kind}: {name}": case for kind, cases in globals().items() if kind[:3] == "OF_" for name, case in cases.items()
}


@pytest.mark.parametrize("name", ALL)
def test_a_mistake(name: str) -> None:
    call, kind, words = ALL[name]
    error, frames = frames_of(call)
    assert isinstance(error, kind)
    said = str(error).replace((frames[-1].line or "").strip(), "")  # the line that it quotes
    assert words in said, said
    assert len(frames) <= 3 and {frame.filename for frame in frames} == {__file__}, frames
    assert "Tracer" not in said and "FILTERING" not in "".join(traceback.format_exception(error))


def test_there_are_few_frames() -> None:
    assert median([len(frames_of(call)[1]) for call, _, _ in ALL.values()]) <= 2


def test_errors_keep_what_python_knows_of_them() -> None:
    error, _ = frames_of(lambda: jit(lambda x: x.detach())(X))
    assert isinstance(error, AttributeError) and error.name == "detach"
    assert jit(lambda x: x if hasattr(x, "detach") else x + 1)(X).tolist() == [1.0, 2.0, 3.0]
    for own in (AttributeError("no 'x'"), TypeError("a MyTracer of the user")):

        def fails(x: Any, own: Exception = own) -> Any:
            raise own

        text = str(own)
        assert str(frames_of(lambda: grad(fails)(1.0))[0]) == text
    assert in_other_words(TypeError("'JVPTracer' object is not callable")) == "a traced array is not callable."


def test_what_is_no_array_in_a_dataclass() -> None:
    @dataclasses.dataclass
    class Parameters:
        w: Any

    error, frames = frames_of(lambda: grad(lambda p: p.w)(Parameters(X)))
    assert "register_dataclass(Parameters)" in str(error) and len(frames) == 1


def test_errors_of_other_libraries_keep_their_frames() -> None:
    error, frames = frames_of(lambda: jit(lambda x: json.dumps(x))(X))
    assert isinstance(error, TypeError) and frames[-1].filename.endswith("encoder.py")
    assert not [frame for frame in frames if "/minijvp/" in frame.filename.replace(__file__, "")]
