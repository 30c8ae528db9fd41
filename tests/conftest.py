"""Settings of every test: float64 is available, and programs, most of which run once, are not optimized.

With MINIJVP_TESTS=as-users, tests run in the state that users have: XLA optimizes, and gradients recur, from the first
call on. With MINIJVP_TESTS=plain, they run on the machine alone, with nothing of minijvp.optimize plugged in.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import pytest

from tests.xla import FLAGS

as_users = os.environ.get("MINIJVP_TESTS") == "as-users"

# Before the first import of jax: its backend reads them once.
if not as_users:
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS])

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)

from minijvp.core.primitive import registry  # noqa: E402
from minijvp.settings import config  # noqa: E402
from minijvp.transforms.staging import StagingTrace  # noqa: E402
from tests.contexts import share  # noqa: E402
from tests.plain import unplug  # noqa: E402
from tests.tables import restored  # noqa: E402

# Few gradients recur in tests; those of tests/optimize/test_recurring.py do.
config.update(compile_gradients_after=1 if as_users else None, traceback="full")

if os.environ.get("MINIJVP_TESTS") == "plain":
    unplug()

finish = StagingTrace.finish
StagingTrace.finish = lambda *args: finish(*args).check()  # every program that a test makes is well-typed

share()
gc.disable()  # nothing is garbage before the tests run


MANY_FILES = 20
TESTS_BETWEEN_CLEARINGS = 500
finished = count(1)


def pytest_runtest_logfinish() -> None:
    """Forget compiled programs now and then: each is mapped into memory, and Linux gives a process so many maps."""
    if next(finished) % TESTS_BETWEEN_CLEARINGS == 0:
        jax.clear_caches()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """After a run of many files: which of them took most of the time."""
    taken: Counter[str] = Counter()
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if hasattr(report, "duration"):
            taken[report.nodeid.partition("::")[0]] += report.duration
    if len(taken) > MANY_FILES:
        terminalreporter.section("seconds by file")
        for file, seconds in taken.most_common(MANY_FILES):
            terminalreporter.write_line(f"{seconds:7.0f} {file}")


@pytest.fixture
def registry_as_before() -> Iterator[None]:
    """Primitives that a test makes are gone afterwards."""
    with restored(registry):
        yield


def pytest_collection_finish() -> None:
    """What the tests are made of stays: the collector leaves it alone, and comes less often."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
