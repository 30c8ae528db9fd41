"""Loops that show how far they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from minijvp.control_flow.progress import require_name
from minijvp.errors import ArgumentError
from minijvp.lax.control_flow import map, scan
from minijvp.lax.while_loops import fori_loop, while_loop

__all__: list[str] = []


def progress(loop: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The loop `loop` that shows while it runs how far it is, by one bar on stderr with a name.

    progress : loop -> str -> loop

    Args:
        loop: minijvp.lax.scan, map, fori_loop or while_loop.
        name: what the bar is called. Those of derivatives are called "name, backward" and "name, tangents".

    Returns a function of the same arguments, with the same results and derivatives: `loop(..., progress=name)`.

    A while_loop, and a fori_loop whose bounds are traced, show a count and no end, but on the way back. With
    `checkpoint` a scan counts its segments, in steps; `max_steps` counts as the number of steps. What is computed again
    shows a bar of its own. Under vmap, and on several devices, there is one bar. Of a loop inside of another that shows
    a bar, it goes away at its end. A run costs about 1 ms, and what is drawn ten times a second.

    tqdm draws the bars, in a notebook as widgets. Where there is no terminal, lines are written: at the end, and after
    10, 15, 22 ... seconds. A program with a bar cannot be exported.

    Raises ArgumentError for another loop and for a name that is no string; MissingPackageError without tqdm.

    >>> import minijvp, minijvp.numpy as mnp
    >>> scan = minijvp.progress(minijvp.lax.scan, "training")
    >>> float(minijvp.grad(lambda x: scan(lambda c, _: (c * x, None), 1.0, length=3)[0])(2.0))
    12.0
    """
    if loop not in LOOPS:
        theirs = getattr(loop, "__module__", "").startswith("jax.")
        raise ArgumentError(
            f"progress received {loop!r:.200}.",
            "It is told how far they are by the loops of minijvp.lax: scan, map, fori_loop and while_loop.",
            f"Pass minijvp.lax.{loop.__name__}." if theirs else 'Write progress(minijvp.lax.scan, "training").',
        )
    require_name(name, "progress")
    return wraps(loop)(partial(loop, progress=name))


LOOPS = (scan, map, fori_loop, while_loop)
