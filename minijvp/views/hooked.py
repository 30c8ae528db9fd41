"""How programs and linear maps show themselves, which is imported when one does."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minijvp.core.hooks import hooks


def shown(form: str, x: Any, **options: Any) -> str:
    """The "text" or the "html" of a program or a linear map."""
    return getattr(import_module("minijvp.views.displays"), form)(x, **options)


def plug_in() -> None:
    """Have programs and linear maps show themselves."""
    hooks.shown = shown
