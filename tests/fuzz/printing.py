"""A case as a file of Python that runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.building import build
from tests.fuzz.judging import Case, Verdict

HEAD = '''"""{title}"""

from tests.fuzz.replay import Letter, array, run

SOURCE = """
{source}"""
ARGUMENTS = {arguments}
WORD = {word}

run(SOURCE, ARGUMENTS, WORD, "{mode}")
'''


def script(case: Case, verdict: Verdict) -> str:
    """What can be saved anywhere and run in the root of the repository: it prints our result and JAX's."""
    program = build(case.plan)
    title = f"{verdict.kind} ({case}): {verdict.detail}".replace("\\", "/").replace('"""', "'''")
    word = f"[{', '.join([f'Letter({letter.name!r}, {letter.seed})' for letter in case.word])}]"
    return HEAD.format(
        title=title[:400], source=program.source, arguments=written(program.arguments), word=word, mode=case.mode
    )


def written(x: Any) -> str:
    """An argument as Python."""
    if isinstance(x, dict):
        return "{" + ", ".join([f"{k!r}: {written(v)}" for k, v in x.items()]) + "}"
    if isinstance(x, tuple):
        return "(" + "".join([f"{written(v)}, " for v in x]) + ")"
    if isinstance(x, (np.ndarray, np.generic)):
        if x.size == 0:
            return f"array([], '{x.dtype}', {x.shape})"
        return f"array({x.tolist()}, '{x.dtype}')"
    return repr(x)
