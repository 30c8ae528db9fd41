"""Which line of user code made an equation.

Capturing costs a walk over a few frames and keeps only `(code, instruction)`; the line is looked up when
it is asked for. For JAX, which looks at the frames that call it, an equation is lowered inside of a function that has
the user's file, line and name.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

from jax.extend.source_info_util import NameStack, current_name_stack, register_exclusion, set_name_stack

PACKAGE = str(Path(__file__).resolve().parent.parent)
register_exclusion(PACKAGE + os.sep)  # our frames are none of a user's, for what JAX tells of an operation
_is_internal: dict[str, bool] = {}
INSTALLED = sysconfig.get_path("purelib") + os.sep
"""Where packages are installed, which are not the user's code."""

Position = tuple[int | None, int | None, int | None, int | None]


class Source(NamedTuple):
    """An instruction of user code."""

    code: CodeType
    instruction: int

    @property
    def file(self) -> str:
        return self.code.co_filename

    @property
    def function(self) -> str:
        return self.code.co_name

    @property
    def line(self) -> int:
        return self.position[0] or self.code.co_firstlineno

    @property
    def text(self) -> str:
        return linecache.getline(self.file, self.line).strip()

    @property
    def call(self) -> tuple[str, str]:
        """The function that the instruction calls and its arguments, as written there; empty for what is no call."""
        line, end, column, end_column = self.position
        lines = [linecache.getline(self.file, i).encode() for i in range(line or 0, (end or 0) + 1)]
        if not lines or column is None or end_column is None:
            return "", ""
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        try:
            found: Any = ast.parse(b"".join(lines).strip(), mode="eval").body
            return ast.unparse(found.func), ast.unparse(found).removeprefix(ast.unparse(found.func))
        except (SyntaxError, AttributeError):
            return "", ""

    @property
    def position(self) -> Position:
        """Where the instruction stands: first and last line, first and last column."""
        return positions(self.code)[self.instruction // 2]

    @property
    def place(self) -> str:
        """The line in short: `train.py:7`, or `Cell In[4], line 7` in a notebook."""
        return located(self.file, self.line)

    def __str__(self) -> str:
        return f"{located(self.file, self.line, whole=True)} ({self.function})"


def located(file: str, line: int, whole: bool = False) -> str:
    """A line for messages, with the `whole` path of its file, or in short; in a notebook, by the number of its cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cell = getattr(getattr(shell, "compile", None), "format_code_name", lambda name: None)(file)
    if cell:
        return f"{' '.join(cell)}, line {line}"
    return f"{file if whole else file.rpartition('/')[2]}:{line}"


class ScopedSource(Source):
    """An instruction of user code inside of named scopes and transformations, as JAX has them: `jvp(outer)/inner`."""

    scope: NameStack


def within(source: Source | None, scope: NameStack) -> Source | None:
    """The instruction inside of these scopes, and of no others."""
    if source is None:
        return None
    found = tuple.__new__(ScopedSource, source)
    found.scope = scope
    return found


CALLERS = 8192
"""How many are kept; all are forgotten when there would be more."""

_callers: dict[tuple[int, int], tuple[CodeType, Callable[..., Any]]] = {}

CODES = 256
"""Of so many, the positions of instructions are kept."""

_positions: dict[int, tuple[CodeType, list[Position]]] = {}


class at_lines:
    """Context manager: what is called through it is, for JAX, called by an instruction of the user, inside its scopes.

    The scopes are those of JAX too: they are left when a call is in others, and at the end.
    """

    __slots__ = ("before", "entered", "scope")

    def __enter__(self) -> at_lines:
        self.before, self.scope, self.entered = current_name_stack(), None, None
        return self

    def __call__(self, source: Source | None) -> Callable[..., Any]:
        """A function `call(fun, args, params)`, which is `fun(*args, **params)`, of that instruction."""
        scope = source.scope if type(source) is ScopedSource else None
        if scope is not self.scope:
            self.__exit__()
            self.scope = scope
            if scope is not None:
                self.entered = set_name_stack(self.before + scope)
                self.entered.__enter__()
        if source is None:
            return applied
        code, instruction = source
        known = _callers.get((id(code), instruction))
        if known is None:
            if len(_callers) >= CALLERS:
                _callers.clear()
            known = _callers[id(code), instruction] = code, caller(source)
        return known[1]

    def __exit__(self, *exception: object) -> None:
        leave(self.entered)
        self.entered = None

    def __del__(self) -> None:
        leave(getattr(self, "entered", None))


def leave(entered: Any) -> None:
    """Leave names of JAX, if they were entered: an interrupt may have come before that."""
    if hasattr(entered, "prev"):
        entered.__exit__(None, None, None)


def run_at(source: Source | None, fun: Callable[..., Any], args: Iterable[Any], params: Any) -> Any:
    """`fun(*args, **params)`, which JAX takes to be called by that instruction, inside of its scopes."""
    with at_lines() as call:
        return call(source)(fun, args, params)


def applied(fun: Callable[..., Any], args: Iterable[Any], params: Any) -> Any:
    """`fun(*args, **params)`."""
    return fun(*args, **params)


def caller(source: Source) -> Callable[..., Any]:
    """A function `call(fun, args, params)` whose frame says that it is that instruction, to columns."""
    code = source.code
    line, end, column, end_column = source.position
    call = ast.parse("lambda fun, args, params: fun(*args, **params)", mode="eval")
    for node in ast.walk(call):
        if isinstance(node, (ast.expr, ast.arg)):
            node.lineno, node.end_lineno = line or source.line, end or source.line
            node.col_offset, node.end_col_offset = column or 0, end_column or 0
    made = compile(call, code.co_filename, "eval").co_consts[0]
    return FunctionType(made.replace(co_name=code.co_name, co_qualname=code.co_qualname), {})


def positions(code: CodeType) -> list[Position]:
    """Where each instruction of code is: first and last line, first and last column."""
    known = _positions.get(id(code))  # by what it is, and not by its value, of which to ask takes long
    if known is None:
        if len(_positions) >= CODES:
            _positions.clear()
        known = _positions[id(code)] = code, list(code.co_positions())
    return known[1]


def capture(depth: int = 2) -> Source | None:
    """The innermost frame outside of minijvp and JAX, or None when there is none."""
    frame: FrameType | None = sys._getframe(depth)
    known = _is_internal.get
    while frame is not None:
        code = frame.f_code
        internal = known(code.co_filename)
        if internal is None:
            internal = is_internal(code)
        if not internal:
            return Source(code, frame.f_lasti)
        frame = frame.f_back
    return None


def called(depth: int = 2) -> tuple[FrameType | None, Source | None, Source | None]:
    """The frame of the function of JAX that was called, if it has one, the line of the call, and that of the user's.

    The two lines differ where the user has called a function of an installed package, which calls JAX.
    """
    frame: FrameType | None = sys._getframe(depth)
    entered = line = None
    while frame is not None:
        if line is None and is_internal(frame.f_code):
            entered = frame
        elif not is_internal(frame.f_code):
            found = Source(frame.f_code, frame.f_lasti)
            line = line or found
            if not frame.f_code.co_filename.startswith(INSTALLED):
                return entered, line, found
        frame = frame.f_back
    return entered, line, None


def innermost(codes: Iterable[CodeType], instructions: Iterable[int]) -> Source | None:
    """The first of these frames, innermost first, that lies outside of minijvp and JAX."""
    for code, instruction in zip(codes, instructions, strict=True):
        if not is_internal(code):
            return Source(code, instruction)
    return None


def is_internal(code: CodeType) -> bool:
    """Whether code belongs to minijvp, to JAX, or to what Python does for them."""
    internal = _is_internal.get(code.co_filename)
    if internal is None:
        internal = _is_internal[code.co_filename] = _belongs_to_a_library(code.co_filename)
    return internal


def _belongs_to_a_library(filename: str) -> bool:
    return (
        filename.startswith((PACKAGE, "<frozen "))
        or "/jax/" in filename.replace("\\", "/")
        or filename.endswith(("contextlib.py", "functools.py"))
    )


def maker() -> tuple[bool, int]:
    """Whether the code that makes an object, whose constructors are running, is not minijvp's; how many calls up it is.

    A call up is the caller of this function. Who calls a constructor is known by its frame alone: classes of minijvp
    are instantiated outside of it too.
    """
    frame, depth = sys._getframe(1), 1
    while frame.f_code.co_name == "__init__" and frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return frame.f_globals.get("__name__", "").partition(".")[0] != "minijvp", depth
