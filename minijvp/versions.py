"""The supported range of Python and JAX, checked when minijvp is imported."""

from __future__ import annotations

import sys

import jax

from minijvp.errors import UnsupportedVersionError

VERSION = "0.1.0"
"""That of minijvp."""

PYTHON = ((3, 11), (3, 13))
JAX = ((0, 10), (0, 12))


def check(python: tuple[int, int], jax_version: str) -> None:
    """Raise UnsupportedVersionError if a version lies outside of the range, and say what to install."""
    if not PYTHON[0] <= python <= PYTHON[1]:
        raise UnsupportedVersionError(
            f"minijvp runs on Python {_range(PYTHON)}, and this is Python {python[0]}.{python[1]}.",
            "It is tested on those versions only.",
            f"Make an environment with Python {PYTHON[1][0]}.{PYTHON[1][1]}.",
        )
    major, minor = (int(part) for part in jax_version.split(".")[:2])
    if not JAX[0] <= (major, minor) <= JAX[1]:
        raise UnsupportedVersionError(
            f"minijvp needs JAX {_range(JAX)}, and found JAX {jax_version}.",
            "JAX changes its public functions between minor versions; these are the ones that minijvp is tested with.",
            'Run: pip install "jax>=0.10,<0.13" "jaxlib>=0.10,<0.13"',
        )


def _range(versions: tuple[tuple[int, int], tuple[int, int]]) -> str:
    (a, b), (c, d) = versions
    return f"{a}.{b} to {c}.{d}"


check(sys.version_info[:2], jax.__version__)
