"""An interrupt, wherever it comes, leaves nothing behind: no trace is current or live, and the next call is right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.source_info_util import current_name_stack

import minijvp
import minijvp.numpy as mnp
from minijvp.core.source import PACKAGE
from minijvp.core.tracing import EVALUATION, live_traces, state
from minijvp.operations.sharding import number_of_devices
from minijvp.settings import config

X = jnp.arange(3.0)


class Interrupt:
    """A trace function that interrupts the library before its line, or its instruction, of some number."""

    def __init__(self, at: int, instructions: bool):
        self.remaining = at
        self.instructions = instructions

    def __call__(self, frame: Any, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE) or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = self.instructions
        if event == ("opcode" if self.instructions else "line"):
            self.remaining -= 1
            if not self.remaining:
                raise KeyboardInterrupt
        return self


def is_interrupted(call: Callable[[], Any], at: int, instructions: bool) -> bool:
    """Whether a call is so long that it has a line, or an instruction, of this number."""
    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = instructions  # Python 3.12 asks that before
    interrupt = Interrupt(at, instructions)
    sys.settrace(interrupt)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return interrupt.remaining <= 0  # the interrupt of a callback of the collector is lost


CALLS: dict[str, Callable[[], Any]] = {
    "grad": lambda: minijvp.grad(lambda x: mnp.sin(x).sum())(X),
    "vmap": lambda: minijvp.vmap(lambda x: mnp.sin(x) * x)(X),
    "jvp": lambda: minijvp.jvp(mnp.sin, (X,), (X,)),
    "grad of jit": lambda: minijvp.grad(minijvp.jit(lambda x: mnp.sin(x).sum()))(X),
    "jit of grad": lambda: minijvp.jit(minijvp.grad(lambda x: (mnp.sin(x) * x).sum()))(X),
    "scan": lambda: minijvp.grad(lambda x: minijvp.lax.scan(lambda c, y: (mnp.sin(c * y), c), x[0], x)[0])(X),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::minijvp.settings.UnusedScopeWarning")
@pytest.mark.parametrize(
    ("name", "instructions", "step"), [*[(n, False, 7) for n in CALLS], ("grad", True, 5), ("vmap", True, 3)]
)
def test_an_interrupt_leaves_nothing_behind(name: str, instructions: bool, step: int) -> None:
    call = CALLS[name]
    wanted, settings, at = call(), repr(config), 1
    while is_interrupted(call, at, instructions):
        assert state.trace is EVALUATION, at
        assert not live_traces, at
        state.source = None  # a line of an error message is not worth more
        assert not state.axis_sizes, at
        assert not str(current_name_stack()), at
        assert (repr(config), number_of_devices()) == (settings, 1), at
        at += step
    assert at > 100
    for x, y in zip(jax.tree.leaves(call()), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)
