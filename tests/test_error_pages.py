"""The text about each error: a note leads to it, once, and pickling keeps both. Doctests of `errors` compare it."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import error_pages, errors, lax
from minijvp.extend import Primitive
from minijvp.interop.rules import LostValueError, NeedsValueError
from minijvp.optimize.rematerialize.linearization import TooSmallError

PAGES = [
    getattr(errors, name)
    for name in errors.__all__
    if getattr(errors, name).__module__ == errors.__name__ and getattr(errors, name).__name__ == name
]
"""The classes that are ours, without other names of them."""
RAISED = [page for page in PAGES if issubclass(page, errors.MinijvpError)]
OTHERS = [errors.UnknownValueError, NeedsValueError, LostValueError, TooSmallError]


def note(name: str) -> str:
    return f"More: help(minijvp.errors.{name})"


def test_none_is_left_out() -> None:
    assert sorted(page.__name__ for page in error_pages.PAGES) == sorted(page.__name__ for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_each_shows_an_example_and_its_message(page: Any) -> None:
    text = inspect.getdoc(page) or ""
    messages = ["print(error.why"] if page is errors.MinijvpError else [f"\nminijvp.errors.{page.__name__}: "]
    messages = ["print(found[0].message)"] if issubclass(page, Warning) else messages
    assert ">>> " in text and all(message in text for message in messages)


@pytest.mark.parametrize("kind", [*RAISED, *OTHERS], ids=lambda kind: kind.__name__)
def test_notes_and_pickling(kind: Any) -> None:
    error = kind("what", "why", "do")
    assert str(error) == "what\nwhy\ndo" and len(error.__notes__) == 1
    assert kind in RAISED or error.__notes__ == [note("ArgumentError")]
    error.add_note("of the user")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        found = pickle.loads(pickle.dumps(error, protocol))
        assert type(found) is kind and str(found) == str(error)
        assert (found.what, found.why, found.do, found.__notes__) == ("what", "why", "do", error.__notes__)


def test_subclasses_of_users_lead_to_the_text_of_their_base() -> None:
    class Mine(minijvp.ConcretizationError):
        pass

    assert Mine("x").__notes__ == [note("ConcretizationError")]


class Third(Primitive):
    def impl(self, x: Any) -> Any:
        return x / 3


third = cache(lambda: Third("third_for_error_pages"))  # for a registry of the tests that run
X = mnp.ones(3)
RAISES = {
    "ArgumentError": lambda: minijvp.grad(lambda x: x)(X),
    "ConcretizationError": lambda: minijvp.jit(minijvp.vmap(minijvp.grad(lambda x: x if x > 0 else -x)))(X),
    "NonConcreteBooleanIndexError": lambda: minijvp.jit(lambda x: x[x > 0])(X),
    "ForeignFunctionError": lambda: minijvp.jit(minijvp.grad(lambda x: np.sum(np.sin(x))))(X),
    "MissingRuleError": lambda: minijvp.jit(minijvp.grad(third()))(1.0),
    "UnboundAxisError": lambda: minijvp.jit(lambda x: lax.psum(x, "batch"))(X),
}


def raised_again(call: Callable[[], Any]) -> None:
    try:
        call()
    except errors.MinijvpError as error:
        raise error from None  # as tools do


@pytest.mark.parametrize("frames", ["short", "full"])
@pytest.mark.parametrize("name", RAISES)
def test_a_traceback_ends_with_one_note(name: str, frames: str) -> None:
    with minijvp.config(traceback=frames), pytest.raises(getattr(errors, name)) as raised:
        raised_again(RAISES[name])
    printed = "".join(traceback.format_exception(raised.value))
    assert printed.splitlines()[-1] == note(name)
    assert printed.count("More: ") == 1 and "JAX_TRACEBACK" not in printed
    assert "More" not in str(raised.value)
    copied = pickle.loads(pickle.dumps(raised.value))
    assert (str(copied), copied.__notes__) == (str(raised.value), [note(name)])


def test_errors_of_other_processes_are_whole() -> None:
    """As they come back from a pool of processes."""
    program = """if True:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        import minijvp
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                error = pool.submit(minijvp.grad, "f").exception()
            print(type(error).__name__, error.do, *error.__notes__)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ArgumentError ") and done.stdout.endswith(note("ArgumentError") + "\n")
