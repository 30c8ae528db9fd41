"""What profiles see: in compiled programs, operations have the user's lines, transformations and scopes, as in JAX."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.source import Source

SIZE = 5
FORWARD, BACKWARD = "jvp(", "transpose("


class Row(NamedTuple):
    """An operation of a compiled program: what it is called, and the innermost frame that made it."""

    name: str
    file: str
    function: str
    line: int


def table(text: str, title: str) -> dict[str, str]:
    """The rows of one of the tables that a compiled program begins with, by their numbers."""
    rows = re.search(rf"^{title}\n((?:\d+ .*\n)*)", text, re.MULTILINE)
    return dict(re.findall(r"^(\d+) (.*)$", rows[1], re.MULTILINE)) if rows else {}


def rows_of(lowered: Any) -> list[Row]:
    """The operations of a compiled program that have a name and a line."""
    text = lowered.compile().as_text()
    files, functions = table(text, "FileNames"), table(text, "FunctionNames")
    locations, frames = table(text, "FileLocations"), table(text, "StackFrames")
    found = []
    for name, frame in re.findall(r'op_name="([^"]*)" stack_frame_id=(\d+)', text):
        where = locations[re.findall(r"\d+", frames[frame])[0]]
        file, function, line = re.findall(r"=(\d+)", where)[:3]
        found.append(Row(name, files[file].strip('"'), functions[function].strip('"'), int(line)))
    return found


def lines(rows: list[Row], part: str) -> set[str]:
    """The text of the lines in this file that operations of a part of the derivative come from."""
    mine = [r for r in rows if r.file == __file__ and is_of(r, part)]
    return {linecache.getline(r.file, r.line).strip() for r in mine}


def is_of(row: Row, part: str) -> bool:
    """Whether an operation is of the forward or of the backward part."""
    return (BACKWARD in row.name) == (part == BACKWARD) and "jvp(" in row.name


def layer(np_: Any, lib: Any, w: Any, x: Any) -> Any:
    """A layer in a scope."""
    with lib.named_scope("layer"):
        return np_.tanh(x @ w)


def plain(np_: Any, lib: Any, w: Any) -> Any:
    y = layer(np_, lib, w, np_.ones((3, SIZE)))
    return np_.sum(np_.exp(y) * y)


def scanned(np_: Any, lib: Any, w: Any) -> Any:
    def turn(c: Any, _: Any) -> Any:
        return layer(np_, lib, w, c), None

    return np_.sum(lib.lax.scan(turn, np_.ones((3, SIZE)), None, length=3)[0])


def chosen(np_: Any, lib: Any, w: Any) -> Any:
    y = lib.lax.cond(
        w[0, 0] > 0,
        lambda v: layer(np_, lib, v, v),
        lambda v: np_.cos(v @ v),
        w,
    )
    return np_.sum(y)


def counted(np_: Any, lib: Any, w: Any) -> Any:
    return np_.sum(lib.lax.fori_loop(0, 4, lambda i, c: layer(np_, lib, w, c), w))


def mapped(np_: Any, lib: Any, w: Any) -> Any:
    return np_.sum(lib.vmap(lambda row: layer(np_, lib, w, row[None]))(w))


def jitted(np_: Any, lib: Any, w: Any) -> Any:
    return np_.sum(lib.jit(lambda v: layer(np_, lib, v, v))(w))


def recomputed(np_: Any, lib: Any, w: Any) -> Any:
    return np_.sum(lib.checkpoint(lambda v: layer(np_, lib, v, np_.sin(v)))(w))


def ruled(np_: Any, lib: Any, w: Any) -> Any:
    @lib.custom_vjp
    def fun(v: Any) -> Any:
        return np_.sin(v)

    def forward(v: Any) -> Any:
        return layer(np_, lib, v, v), v

    def backward(v: Any, ct: Any) -> Any:
        return (ct * np_.cos(v @ v),)

    fun.defvjp(forward, backward)
    return np_.sum(fun(w))


def repeated(np_: Any, lib: Any, w: Any) -> Any:
    x = np_.ones((3, SIZE))
    for _ in range(12):
        x = layer(np_, lib, w, x)
    return np_.sum(x**2)


def of_another(np_: Any, lib: Any, w: Any) -> Any:
    @lib.named_call
    def inner(v: Any) -> Any:
        return np_.log(np_.cosh(v)) * v

    return np_.sum(inner(w) * inner(2 * w))


PROGRAMS = [plain, scanned, chosen, counted, mapped, jitted, recomputed, ruled, repeated, of_another]
W = jnp.linspace(-1, 1, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)


def scopes(rows: list[Row], part: str) -> set[str]:
    """The scopes of this file that the operations of a part are in."""
    names = " ".join(r.name for r in rows if is_of(r, part))
    return {s for s in ("layer", "inner") if re.search(rf"\b{s}\b", names)}


@pytest.mark.parametrize("program", PROGRAMS)
def test_lines_and_scopes_are_those_of_jax(program: Callable[..., Any]) -> None:
    def ours(w: Any) -> Any:
        return program(mnp, minijvp, w)

    def of_jax(w: Any) -> Any:
        return program(jnp, jax, w)

    found = rows_of(minijvp.jit(minijvp.value_and_grad(ours)).lower(W))
    wanted = rows_of(jax.jit(jax.value_and_grad(of_jax)).lower(W))
    assert all("minijvp/" not in r.file for r in found)
    assert all(r.name.startswith("jit(ours)/") for r in found if "/" in r.name)
    for part in (FORWARD, BACKWARD):
        assert scopes(found, part) >= scopes(wanted, part)
        assert lines(found, part)
        if program is not ruled:  # what the rule computes has its own lines, and in JAX that of the call
            assert lines(found, part) >= lines(wanted, part)


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_of_jax_read_by_minijvp_keep_lines_and_scopes(program: Callable[..., Any]) -> None:
    fun = minijvp.from_jax(lambda w: program(jnp, jax, w))
    rows = rows_of(minijvp.jit(minijvp.value_and_grad(fun)).lower(W))
    for part in (FORWARD, BACKWARD):
        assert lines(rows, part), part
    assert scopes(rows, FORWARD) | scopes(rows, BACKWARD)


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_that_jax_compiles(program: Callable[..., Any]) -> None:
    rows = rows_of(jax.jit(minijvp.value_and_grad(lambda w: program(mnp, minijvp, w))).lower(W))
    for part in (FORWARD, BACKWARD):
        assert lines(rows, part), part
    assert scopes(rows, FORWARD) | scopes(rows, BACKWARD)


def test_derivatives_of_any_order_say_so() -> None:
    fun = lambda x: mnp.sin(x) * x
    texts = {
        "jvp": minijvp.jit(lambda x: minijvp.jvp(fun, (x,), (x,))),
        "vmap(jvp(transpose(jvp": minijvp.jit(minijvp.jacfwd(minijvp.grad(fun))),
        "transpose(jvp(transpose(jvp": minijvp.jit(minijvp.grad(minijvp.grad(fun))),
        "vmap(transpose(jvp": minijvp.jit(lambda x: minijvp.vmap(minijvp.grad(fun))(x[None])),
        "transpose(jvp": minijvp.jit(lambda x: minijvp.vjp(fun, x)[1](x)),
    }
    for names, compiled in texts.items():
        assert f"/{names}(" in compiled.lower(1.0).as_text(debug_info=True)


def test_columns_and_errors() -> None:
    text = minijvp.jit(lambda x: mnp.sin(x) + mnp.cos(x)).lower(1.0).as_text(debug_info=True)
    line = "minijvp.jit(lambda x: mnp.sin(x) + mnp.cos(x)).lower(1.0)"
    columns = re.findall(r'test_profiles.py":\d+:(\d+) to :(\d+)', text)
    source = next(text for text in linecache.getlines(__file__) if line in text)
    calls = {source[int(a) - 1 : int(b) - 1] for a, b in columns} | {source[int(a) : int(b)] for a, b in columns}
    assert {"mnp.sin(x)", "mnp.cos(x)"} <= calls


def test_lines_of_instructions_are_those_of_python() -> None:
    for code in (table.__code__, linecache.getline.__code__, minijvp.grad.__code__):
        wanted = {i: line or code.co_firstlineno for start, end, line in code.co_lines() for i in range(start, end, 2)}
        assert {i: Source(code, i).line for i in wanted} == wanted


def test_the_lower_of_a_gradient_of_a_compiled_function_is_that_of_the_gradient() -> None:
    lowered = minijvp.jit(minijvp.grad(minijvp.jit(lambda x: mnp.sin(x)))).lower(1.0)
    assert "cosine" in lowered.as_text()
