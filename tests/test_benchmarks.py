"""The benchmarks compare the same deep.numbers, and report what was measured; how fast anything is, is not tested."""

from __future__ import annotations

import json
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

import minijvp
from tests.benchmarks import deep
from tests.benchmarks.__main__ import BENCHMARKS, main, measure, selected
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.chart import draw
from tests.benchmarks.contenders import BOTH, INSTALLED, calls, plain
from tests.benchmarks.defaults import BODIES, by_default, recurrent_data
from tests.benchmarks.depth import residual_blocks_loss
from tests.benchmarks.devices import on_devices
from tests.benchmarks.eager import CASES, Case, check
from tests.benchmarks.models import (
    DERIVATIVES_OF_LOOPS,
    PROGRAMS,
    lstm_data,
    lstm_loss,
    mlp_data,
    mlp_loss,
    resnet_data,
    transformer_data,
)
from tests.benchmarks.objectives import OBJECTIVES
from tests.benchmarks.published import case_of
from tests.benchmarks.rematerialisation import CASES as CASES_OF_PLANS
from tests.benchmarks.rematerialisation import Case as CaseOfPlan
from tests.benchmarks.rematerialisation import measure as measure_plan
from tests.benchmarks.rematerialisation import planning
from tests.benchmarks.report import (
    CALL,
    DEFAULTS_COMPILE,
    DEFAULTS_MEMORY,
    DEFAULTS_RUN,
    DEFAULTS_STAGE,
    DEPTH,
    DEVICES_MEMORY,
    DEVICES_RUN,
    DEVICES_SENT,
    EAGER,
    GROUPS,
    LIBRARIES_RUN,
    LIBRARIES_STAGING,
    LOOPS,
    Ratio,
    Row,
    row,
    summarize,
    summary,
    table,
)
from tests.benchmarks.start import starting
from tests.benchmarks.timing import Call, Settings, check_same, interleave
from tests.libraries.programs import are_installed

ONCE = Settings(0.0, 1)
SMALLER = {
    "50-layer MLP": partial(mlp_data, 3, 8, 4),
    "6-block transformer": partial(transformer_data, 1),
    "LSTM by scan": partial(lstm_data, 10),
    "hessian of an MLP": partial(mlp_data, 2, 4, 4),
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@pytest.mark.parametrize("case", [c for c in CASES if not c.slow], ids=lambda c: c.name)
def test_all_contenders_compute_the_same_derivatives(case: Case) -> None:
    found = check(case)
    assert [c for c in found if c in INSTALLED] == [c for c in case.contenders if c in INSTALLED]
    assert (case.hot in found) == bool(case.hot)


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES.values() if o.needs == ("grad",)], ids=lambda o: o.name)
def test_all_contenders_compute_the_same_objectives(objective) -> None:
    case = case_of(objective, "test")
    assert "autograd" in case.contenders or "autograd" not in INSTALLED
    make = lambda api: api.jit(case.make(api)) if hasattr(api, "jit") else case.make(api)
    found = {name: plain(call()) for name, call in calls(make, case.data(), case.contenders).items()}
    for gradient in found.values():
        check_same(gradient, found["JAX"])


@pytest.mark.parametrize("name", [*PROGRAMS, *DERIVATIVES_OF_LOOPS])
def test_compiled_programs_are_the_same(name: str) -> None:
    program = {**PROGRAMS, **DERIVATIVES_OF_LOOPS}[name]
    args = SMALLER.get(name, program.data)()
    ours, theirs = (plain(api.jit(program.make(api))(*args)) for api in BOTH.values())
    check_same(ours, theirs)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(ours))


REMATERIALISED = {
    deep.quaternion_loss: partial(deep.quaternion_data, 4, 16, 2),
    deep.deep_transformer_loss: partial(deep.deep_transformer_data, 1, 8, 4, 2),
    deep.scanned_transformer_loss: partial(deep.stacked_transformer_data, 2, 8, 4, 2),
    deep.mixed_chain_loss: partial(deep.numbers, 10),
    deep.dear_chain_loss: partial(deep.numbers, 10),
    deep.deep_conv_loss: partial(deep.deep_conv_data, 2, 4, 3, 2),
    lstm_loss: partial(lstm_data, 5, 2, 3, 4),
    mlp_loss: partial(mlp_data, 2, 4, 4),
}


@pytest.mark.parametrize("case", [c for c in CASES_OF_PLANS if c.budget == "auto"], ids=lambda c: c.name)
def test_programs_to_plan_are_the_same_in_both_libraries(case: CaseOfPlan) -> None:
    args = REMATERIALISED[case.loss]()
    ours = plain(minijvp.value_and_grad(case.loss(BOTH["minijvp"]))(*args))
    theirs = plain(jax.value_and_grad(case.theirs() if case.theirs else case.loss(BOTH["JAX"]))(*args))
    check_same(ours, theirs)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(ours))


@pytest.mark.parametrize("name", [*BODIES, "residual blocks"])
def test_programs_of_defaults_are_the_same_in_both_libraries(name: str) -> None:
    loss, args = BODIES.get(name, residual_blocks_loss), recurrent_data(4, 3, 2)
    args = args if name in BODIES else resnet_data(2, 4, 3, 2)
    ours, theirs = (plain(api.value_and_grad(loss(api))(*args)) for api in BOTH.values())
    check_same(ours, theirs)


def test_rows_of_defaults() -> None:
    rows = by_default("MLP in cache", "MLP", ONCE)
    assert [r.group for r in rows] == [DEFAULTS_STAGE, DEFAULTS_COMPILE, DEFAULTS_RUN, DEFAULTS_MEMORY]
    assert all(set(r.medians) == {"minijvp"} and r.ratios["minijvp"].median > 0 for r in rows)
    assert rows[-1].reached  # the memory is the compiler's answer, the same on each machine


def test_rows_of_devices() -> None:
    rows = on_devices("DP", (1, 16, 8, 8), "devices: DP", ONCE)
    assert [r.group for r in rows] == [DEVICES_RUN, DEVICES_MEMORY, DEVICES_SENT]
    assert all(set(r.medians) == {"minijvp", "JAX"} and r.ratios["minijvp"].median > 0 for r in rows)
    assert rows[-1].reached


def test_rows_of_starts() -> None:
    (found,) = starting("first gradient, elementwise", "start: elementwise", ONCE)
    assert set(found.medians) == {"minijvp", "JAX"} and found.ratios["minijvp"].median > 0


def test_rows_of_plans() -> None:
    case = CaseOfPlan("chain", deep.mixed_chain_loss, partial(deep.numbers, 200_000), 0.9, 1e3, 1e3, 0.3)
    memory, seconds, compiling, difference = measure_plan(case, "chain", ONCE)
    assert memory.reached
    assert seconds.medians["minijvp"] > 0
    assert compiling.rounds == 1
    assert (difference.goal, difference.reached) == (1e-6, True)
    assert difference.cells(["minijvp"])[4] == "<= 1e-06"
    [tracing] = planning(mlp_loss, partial(mlp_data, 2, 8, 4), "MLP", "MLP", ONCE)
    assert set(tracing.medians) == {"minijvp"}
    assert tracing.ratios["minijvp"].median > 0


def test_results_that_differ_are_found() -> None:
    a = np.array([1, 2], np.float32)
    check_same({"x": a}, {"x": a + np.float32(1e-5)})
    for wrong, message in (
        ({"y": a}, "structures"),
        ({"x": a + np.float32(1e-3)}, r"\['x'\] differs by 0.001"),
        ({"x": a.astype(np.float64)}, r"float64'\)\), should be"),
        ({"x": a[:1]}, r"\(1,\)"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_same(wrong, {"x": a})
    with pytest.raises(AssertionError, match="not finite"):
        check_same(a * np.float32("nan"), a * np.float32("nan"))


def test_contenders_take_turns() -> None:
    order: list[str] = []

    def take(name: str) -> None:
        order.append(name)
        end = jax.block_until_ready(jnp.ones(())) + 0
        for _ in range(200):
            end = end + 1

    series = interleave({name: Call(take, (name,)) for name in "ab"}, Settings(0.0, 3))
    assert {name: len(found) for name, found in series.items()} == {"a": 3, "b": 3}
    turns = [x for i, x in enumerate(order) if i == 0 or x != order[i - 1]]
    assert "".join(turns) == "ab" * 4  # once to find out how often, and then three rounds


ROWS = [
    row("loop", LOOPS, {"minijvp": [2.0**20], "JAX": [2.0**21]}, 0.4, "B"),
    row("tiny", EAGER, {"minijvp": [1e-5, 2e-5, 3e-5], "JAX": [1e-3, 1e-3, 1e-3], "autograd": [4e-5, 4e-5, 4e-5]}),
    row("large", EAGER, {"minijvp": [0.16, 0.32], "JAX": [1.0, 1.0], "PyTorch": [2.0, 2.0]}),
    row("list", CALL, {"minijvp": [0.9], "JAX": [1.0]}),
    Row("dict", CALL, error="ValueError: no"),
    row("MLP", DEPTH, {"minijvp": [20.0], "JAX": [25.0]}, unit="x", of_value=True),
]


def test_table() -> None:
    expected = """
         minijvp      JAX  autograd  PyTorch   ratio  fastest        goal  reached
eager gradients, first calls
  tiny     20 us     1 ms     40 us            0.020    0.010     <= 0.25      yes
  large   240 ms      1 s                2 s   0.240    0.160     <= 0.25      yes
call of a compiled function
  list    900 ms      1 s                      0.900    0.900      <= 1.1      yes
  dict                                        failed                    -        -
tracing 1000 / 50 layers
  MLP    x 20.00  x 25.00                      0.800           <= x 22.00      yes
loops beyond JAX
  loop     1 MiB    2 MiB                      0.500               <= 0.4       no
"""
    assert table(ROWS) == expected.strip("\n")


def test_summary() -> None:
    expected = """
group                         rows   mean     goal  worst     goal  reached  autograd  PyTorch  the worst is
eager gradients, first calls     2  0.069  <= 0.12  0.240  <= 0.25      yes     0.040    2.000  large
call of a compiled function      2  0.900     <= 1  0.900   <= 1.1       no                     list
tracing 1000 / 50 layers         1   x 20    <= 22   x 20    <= 22      yes                     MLP
loops beyond JAX                 1      -        -      -        -   0 of 1
"""
    assert summary(ROWS) == expected.strip("\n")


def test_rows() -> None:
    tiny = ROWS[1]
    assert tiny.ratios["minijvp"] == Ratio(2e-5 / 1e-3, (1.5e-5 / 1e-3, 2.5e-5 / 1e-3), 1e-5 / 1e-3)
    assert tiny.rounds == 3
    assert tiny.goal == GROUPS[EAGER].worst
    found = summarize(EAGER, ROWS[1:3])
    assert found.mean == pytest.approx(math.sqrt(0.02 * 0.24))
    assert found.worst is ROWS[2]
    assert summarize(CALL, [ROWS[4]]) is None
    report = json.loads(json.dumps([r.as_dict() for r in ROWS], allow_nan=False))
    assert report[1]["ratios"]["autograd"]["median"] == pytest.approx(0.04)
    assert [r["reached"] for r in report] == [False, True, True, True, None, True]


def test_chart(tmp_path) -> None:
    draw(ROWS, tmp_path / "chart.png")
    image = imread(tmp_path / "chart.png")
    assert image.shape[1] == 1200
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 20
    draw(ROWS[4:5], tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").exists()


def test_names_select_benchmarks(capsys) -> None:
    main(["--only", "nobody", "--quick"])
    first, *names = capsys.readouterr().out.splitlines()
    assert first == "No benchmark and no group has 'nobody' in its name. They are:"
    assert [name.strip() for name in names] == [
        *[b.name for b in BENCHMARKS],
        *dict.fromkeys(group for b in BENCHMARKS for group in b.groups),
    ]
    assert len({b.name for b in BENCHMARKS}) == len(BENCHMARKS)
    of_libraries = set() if are_installed() else {LIBRARIES_STAGING, LIBRARIES_RUN}
    assert {group for b in BENCHMARKS for group in b.groups} == set(GROUPS) - of_libraries
    assert selected(BENCHMARKS, "Call: 1 arg", False) == [b for b in BENCHMARKS if b.name == "call: 1 argument"]
    assert [b.groups for b in selected(BENCHMARKS, CALL, True)] == [(CALL,)] * 6
    quick, full = selected(BENCHMARKS, "", True), selected(BENCHMARKS, "", False)
    assert full == BENCHMARKS
    assert quick == [b for b in full if not b.slow]


def test_a_benchmark_that_fails_costs_no_other_rows(capsys) -> None:
    def fail(name: str, settings: Settings) -> list[Row]:
        raise ValueError("no")

    rows = measure([Benchmark("one", (CALL,), fail), *selected(BENCHMARKS, "call: 1 argument", False)], ONCE)
    assert [(r.name, r.group, r.error) for r in rows] == [("one", CALL, "ValueError: no"), ("1 argument", CALL, "")]
    assert set(rows[1].medians) == {"minijvp", "JAX"}
    assert rows[1].medians["JAX"] > 0
    assert "[2/2]" in capsys.readouterr().err
