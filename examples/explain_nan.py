"""Three gradients that are nan, as they are met in practice: found by explain_nan, and mended.

python examples/explain_nan.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minijvp
import minijvp.numpy as mnp
from minijvp import lax, nn

rng = np.random.default_rng(0)


def attention(params: dict[str, Any], tokens: Any, mask: Any) -> Any:
    """A masked self-attention: for padding, a row of the mask is empty, and its softmax is 0/0."""
    q, k, v = (tokens @ params[name] for name in "qkv")
    scores = mnp.where(mask, q @ k.mT / mnp.sqrt(q.shape[-1]), -mnp.inf)
    shifted = scores - mnp.max(scores, axis=-1, keepdims=True)
    weights = mnp.exp(shifted) / mnp.sum(mnp.exp(shifted), axis=-1, keepdims=True)
    return mnp.mean(mnp.where(mask.any(-1, keepdims=True), weights @ v, 0.0) ** 2)


def attention_mended(params: dict[str, Any], tokens: Any, mask: Any) -> Any:
    """A large finite number masks as well, and leaves an empty row finite."""
    q, k, v = (tokens @ params[name] for name in "qkv")
    weights = nn.softmax(mnp.where(mask, q @ k.mT / mnp.sqrt(q.shape[-1]), -1e9), axis=-1)
    return mnp.mean(mnp.where(mask.any(-1, keepdims=True), weights @ v, 0.0) ** 2)


def diffusion(w: Any, images: Any, noise: Any, steps: Any) -> Any:
    """The loss of a denoiser that is weighted by the noise level, the root of which has no derivative at step 0."""
    kept = mnp.cos(nn.sigmoid(w["schedule"]) * steps / 100 * np.pi / 2) ** 2
    sigma = mnp.sqrt(1 - kept)
    noisy = mnp.sqrt(kept)[:, None] * images + sigma[:, None] * noise
    return mnp.mean((noisy @ w["denoiser"] - noise) ** 2)


def diffusion_mended(w: Any, images: Any, noise: Any, steps: Any) -> Any:
    """The double where: the root is taken of a number that is safe where it is not wanted."""
    kept = mnp.cos(nn.sigmoid(w["schedule"]) * steps / 100 * np.pi / 2) ** 2
    is_noisy = steps > 0
    sigma = mnp.where(is_noisy, mnp.sqrt(mnp.where(is_noisy, 1 - kept, 1.0)), 0.0)
    noisy = mnp.sqrt(kept)[:, None] * images + sigma[:, None] * noise
    return mnp.mean((noisy @ w["denoiser"] - noise) ** 2)


def tank(outflow: Any, levels: Any) -> Any:
    """How far a tank that drains, h' = -c sqrt(h), is from what was measured: an Euler step ends below the bottom."""

    def step(h: Any, measured: Any) -> Any:
        h = h - 0.1 * outflow * mnp.sqrt(h)
        return h, (h - measured) ** 2

    return mnp.mean(lax.scan(step, 1.0, levels)[1])


def tank_mended(outflow: Any, levels: Any) -> Any:
    """Below the bottom nothing flows."""

    def step(h: Any, measured: Any) -> Any:
        is_filled = h > 0
        h = h - 0.1 * outflow * mnp.where(is_filled, mnp.sqrt(mnp.where(is_filled, h, 1.0)), 0.0)
        return h, (h - measured) ** 2

    return mnp.mean(lax.scan(step, 1.0, levels)[1])


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


mask = np.tril(np.ones((6, 6), bool))
mask[4:] = False  # two tokens of padding
LEVELS = np.maximum(1 - 0.5 * np.arange(0.1, 4.1, 0.1, dtype=np.float32), 0) ** 2

FAILURES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple]] = {
    "a masked attention": (attention, attention_mended, ({k: normal(8, 8) for k in "qkv"}, normal(6, 8), mask)),
    "a diffusion loss": (
        diffusion,
        diffusion_mended,
        ({"schedule": np.float32(0.0), "denoiser": normal(16, 16)}, normal(4, 16), normal(4, 16), np.arange(4.0) * 20),
    ),
    "an ODE step": (tank, tank_mended, (np.float32(1.3), LEVELS)),
}


def main() -> None:
    for name, (fun, mended, args) in FAILURES.items():
        gradient = minijvp.jit(minijvp.grad(fun))
        print(f"{name}\n")
        print(minijvp.explain_nan(gradient)(*args), "\n")
        print("mended:", minijvp.explain_nan(minijvp.jit(minijvp.grad(mended)))(*args), "\n")


if __name__ == "__main__":
    main()
