"""What the training scripts share: options, batches in a new order each epoch, and a loop that can be interrupted.

A checkpoint is one file of NumPy: parameters, state of the optimizer, what was measured so far, the state of the
generator that shuffles, and the options. A run that was stopped, also by a crash, goes on to the numbers, bit by bit,
that it would have had.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from tqdm import tqdm

from minijvp import tree_util

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def positive(kind: type) -> Callable[[str], Any]:
    """What reads a number of some kind from the command line."""

    def read(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    read.__name__ = f"positive {kind.__name__}"  # as argparse says what is wrong
    return read


def parser(script: str, description: str, **defaults: float) -> argparse.ArgumentParser:
    """The options of a script: numbers with their `defaults`, such as epochs=20, and those that all scripts have."""
    found = argparse.ArgumentParser(description=description.partition("\n")[0])
    for name, value in defaults.items():
        found.add_argument(f"--{name}", type=positive(type(value)), default=value, help=f"{value}, if it is not given")
    found.add_argument("--seed", type=int, default=0, help="of parameters and of the order of examples")
    found.add_argument("--out", type=Path, default=Path(script).parent / "output" / Path(script).stem, help="folder")
    found.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from the checkpoint in the folder"
    )
    return found


def batches(data: Sequence[np.ndarray], size: int, generator: np.random.Generator) -> Iterator[tuple]:
    """The rows of all arrays, shuffled together, by `size`; the last batch has what remains.

    It is not padded: a step is compiled for a second shape, once, and no loss, mean or norm has to leave rows out.
    """
    order = generator.permutation(len(data[0]))
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        yield tuple(x[rows] for x in data)


def named_leaves(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by their places: 'params/0/w'."""
    leaves, _ = tree_util.tree_flatten_with_path(tree)
    return {tree_util.keystr(path, simple=True, separator="/"): np.asarray(x) for path, x in leaves}


def save(path: Path, tree: Any, notes: dict[str, Any]) -> None:
    """Write a tree of arrays, and notes that JSON knows. At any moment the file is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        np.savez(file, **named_leaves(tree), notes=json.dumps(notes))  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def load(path: Path, like: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The tree of a file, which is `like` another in names, shapes and dtypes, and its notes, with these options."""
    with np.load(path) as file:
        found = {name: file[name] for name in file.files}
    notes = json.loads(str(found.pop("notes", "{}")))
    if notes.get("options") != options:
        sys.exit(f"{path} is of {notes.get('options')}, not of {options}: --no-resume begins anew.")
    wanted = named_leaves(like)
    odd = [k for k in {**found, **wanted} if k not in found or k not in wanted or not same_type(found[k], wanted[k])]
    if odd:
        sys.exit(f"{path} is of another program, {', '.join(odd[:5])} differ: --no-resume begins anew.")
    return tree_util.tree_unflatten(tree_util.tree_structure(like), [found[name] for name in wanted]), notes


def same_type(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays have the same shape and dtype."""
    return (x.shape, x.dtype) == (y.shape, y.dtype)


def train(
    options: argparse.Namespace, state: Any, step: Callable[..., Any], data: Any, evaluate: Callable[[Any], dict]
) -> tuple[Any, dict[str, list[float]]]:
    """The trained state and what was measured, a number for each step or for each epoch.

    Args:
        options: of `parser`.
        state: a tree of arrays, with which training begins.
        step: from a state and a batch to the next state and what it measures, a dictionary of numbers.
        data: arrays of one length, of whose rows batches are made.
        evaluate: from a state to what is measured after an epoch, a dictionary of numbers.
    """
    generator = np.random.default_rng(options.seed)
    numbers = {k: v for k, v in vars(options).items() if k not in ("out", "resume")}
    notes: dict[str, Any] = {"options": numbers, "epoch": 0, "history": {}}
    path = options.out / "checkpoint.npz"
    if options.resume and path.exists():
        state, notes = load(path, state, notes["options"])
        generator.bit_generator.state = notes["generator"]
        print(f"goes on after epoch {notes['epoch']}, from {path}", flush=True)
    steps = -(-len(data[0]) // options.batch)
    try:
        for epoch in range(notes["epoch"] + 1, options.epochs + 1):
            measured: list[dict] = []
            order = batches(data, options.batch, generator)
            for batch in tqdm(order, f"epoch {epoch}", steps, leave=False, disable=None):
                state, found = step(state, *batch)
                measured.append(found)  # not looked at yet, so that nothing waits for a step
            for found in [*measured, evaluate(state)]:
                for name, value in found.items():
                    notes["history"].setdefault(name, []).append(float(value))
            notes |= {"epoch": epoch, "generator": generator.bit_generator.state}
            save(path, state, notes)
            print(f"epoch {epoch:3}/{options.epochs}", *last_epoch(notes["history"], epoch), sep="  ", flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on after the last epoch that was completed", flush=True)
        sys.exit(130)
    return state, notes["history"]


def last_epoch(history: dict[str, list[float]], epochs: int) -> list[str]:
    """What was measured in the last of so many epochs: means over its steps."""
    return [f"{name} {np.mean(values[-(len(values) // epochs) :]):.4f}" for name, values in history.items()]


def draw(history: dict[str, list[float]], epochs: int, panels: dict[str, Sequence[str]], path: Path) -> None:
    """A panel for each title with what is named, over the epochs: a line of steps, or a point for each epoch."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.4), layout="constrained", squeeze=False)
    for axis, (title, names) in zip(axes[0], panels.items(), strict=True):
        for name, color in zip(names, ("#9db4c8", "#1d4e79") if len(names) > 1 else ("#1d4e79",), strict=True):
            values = history[name]
            style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(values) == epochs else {"linewidth": 0.8}
            axis.plot(np.arange(1, len(values) + 1) * epochs / len(values), values, color=color, **style)
        axis.set(xlabel="epoch", title=title)
        axis.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            axis.legend(names, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    print(f"picture: {path}")
