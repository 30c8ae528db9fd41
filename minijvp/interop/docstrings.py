"""Docstrings of functions that JAX has too: its own text, read where the function is made, and what differs here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy

BRIDGED = "This is {}, for every transformation of minijvp, which differentiates and batches it by its own rules."
RESTATED = "This is {}; under a transformation, minijvp computes it by definitions and rules of its own."
EXAMPLES = "In the examples, `jnp` is minijvp.numpy and `jax` is minijvp."
ALIAS = "Alias of :func:`jax.numpy."

UNSAID = {
    "jax.lax.conv_general_shape_tuple": "The shape of a convolution, by the shapes of its two operands.",
    "jax.lax.conv_transpose_shape_tuple": "The shape of a transposed convolution, by the shapes of its two operands.",
    "jax.lax.dce_sink": "None. The program in which this is called keeps what computes `val`, though nothing uses it.",
    "jax.lax.fft": "The Fourier transform over the last axes, of these lengths: 'fft', 'ifft', 'rfft' or 'irfft'.",
    "jax.lax.index_take": "The slices of `src` at the places that `idxs` names, one array of them for each of `axes`.",
    "jax.lax.pcast": "`x`, typed as varying over axes of a mesh, or otherwise as `to` says: no value changes.",
    "jax.lax.psum_scatter_start": "A psum_scatter that begins here: what it returns is to be handed to its end.",
    "jax.lax.reduce_window_shape_tuple": "The shape of a reduction over windows, by that of its operand.",
    "jax.lax.random_gamma_grad": "The derivative of samples of a gamma distribution by its shape `a`, at the samples.",
    "jax.random.key_impl": "The name of the generator that keys are for, or the object that describes it.",
    "jax.sharding.auto_axes": "`f`, inside of which axes of the mesh are of type Auto: all, or `axes`.",
    "jax.sharding.explicit_axes": "`f`, inside of which axes of the mesh are of type Explicit: all, or `axes`.",
    "jax.sharding.reshard": "The arrays of a tree, split over the mesh as `out_shardings` says.",
}
"""First lines for functions that have no text in JAX."""

NOT_OURS = ("experimental.", "pmap`")
"""What JAX's texts name and minijvp has not."""


def docstring(original: Callable[..., Any], where: str, note: str, ours: str = "") -> str:
    """The docstring of a function which is `where` in JAX: a first line, which is `ours` if there is one; the note.

    Below stands the rest of JAX's text, in which references are to minijvp. That text is indented as it was written.
    """
    text = original.__doc__ or UNSAID.get(where) or f"What {where} returns."
    if text.startswith(ALIAS):
        text = getattr(jax.numpy, text[len(ALIAS) : text.index("`", len(ALIAS))]).__doc__
    first, _, rest = text.lstrip("\n").partition("\n\n")
    margin, end = rest[: len(rest) - len(rest.lstrip(" "))], text.rpartition("\n")[2]
    if end.isspace():  # of what stands before the closing quotes and the text, the smaller margin is taken away
        margin = min(margin, end, key=len)
    note = note.format(where) + f"\n{margin}{EXAMPLES}" * (">>>" in rest)
    if ours and "JAX implementation" not in ours:  # the definition may be another function of JAX
        first = inspect.cleandoc(ours).replace("\n", f"\n{margin}")
    text = f"{first}\n\n{margin}{note}" + f"\n\n{rest}" * bool(rest)
    text = text.replace("`jax.", "`minijvp.").replace("`~jax.", "`~minijvp.")
    for name in NOT_OURS:
        text = text.replace(f"minijvp.{name}", f"jax.{name}")
    return text
