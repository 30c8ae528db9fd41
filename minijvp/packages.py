"""Packages that only some functions need, and that are imported when one of those is used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from minijvp.errors import MissingPackageError


def package(name: str, extra: str, user: str) -> ModuleType:
    """The module `name`, which comes with an extra of minijvp; MissingPackageError where it is not installed."""
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # the latter where a library that it is written for is missing
        raise MissingPackageError(
            f"{user} needs the package {name.partition('.')[0]!r}, which is not installed.",
            f"It comes with the extra {extra!r} of minijvp, because nothing else needs it.",
            f'Install it: pip install "minijvp[{extra}]".',
        ) from error
