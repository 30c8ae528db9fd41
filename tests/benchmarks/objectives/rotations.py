"""Rotations of vectors by the vector of axis and angle."""

from __future__ import annotations

from typing import Any


def rotate(xp: Any, r: Any, x: Any) -> Any:
    """The vectors x[..., 3] turned around the axes r[..., 3] by the angles |r|.

    Rodrigues' formula, x cos|r| + (r x x) sin|r| / |r| + r (r . x) (1 - cos|r|) / |r|^2, in which series of |r|^2 take
    the place of the quotients where |r| is small, so that r = 0 has the right value and derivatives, too.
    """
    square = xp.sum(r * r, axis=-1, keepdims=True)
    small = square < 1e-4
    angle = xp.sqrt(xp.where(small, 1.0, square))
    cosine = xp.where(small, 1 - square / 2 + square**2 / 24, xp.cos(angle))
    sine = xp.where(small, 1 - square / 6 + square**2 / 120, xp.sin(angle) / angle)
    versine = xp.where(small, 0.5 - square / 24 + square**2 / 720, 2 * (xp.sin(angle / 2) / angle) ** 2)
    along = xp.sum(r * x, axis=-1, keepdims=True)
    return x * cosine + xp.cross(r, x) * sine + r * along * versine
