"""Samples of minijvp.operations.convolution."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import convolution as ops
from tests.samples import Sample, random

LAYOUTS = {
    1: ("NCH", "OIH", "NCH"),
    2: ("NCHW", "OIHW", "NCHW"),
    3: ("NCDHW", "OIDHW", "NCDHW"),
}


def conv(
    label: str, x: Any, y: Any, layout: Any = None, *, strides: Any = 1, padding: Any = (0, 0), **params: Any
) -> Sample:
    rank = np.ndim(x) - 2
    options = {field: params.pop(field) for field in ("why", "jax_derivative") if field in params}
    ones = (1,) * rank
    params = {"lhs_dilation": ones, "rhs_dilation": ones, "feature_group_count": 1, "batch_group_count": 1} | params
    params["window_strides"] = (strides,) * rank
    params["padding"] = (padding,) * rank if np.ndim(padding) == 1 else padding
    layout = LAYOUTS.get(rank) if layout is None else layout
    params["dimension_numbers"] = (
        lax.conv_dimension_numbers(np.shape(x), np.shape(y), layout)
        if layout
        else lax.ConvDimensionNumbers(*[(0, 1)] * 3)
    )
    return Sample(
        ops.conv_general_dilated,
        (x, y),
        lambda x, y: lax.conv_general_dilated(x, y, **params),
        params,
        label=label,
        **options,
    )


def pair(x_shape: Any, y_shape: Any, dtype: Any = np.float64) -> tuple[Any, Any]:
    return random(*x_shape, dtype=dtype), random(*y_shape, dtype=dtype, seed=1)


SAMPLES = [
    conv("nchw-float32", *pair((2, 2, 4, 3), (3, 2, 2, 2), np.float32), padding=((0, 1), (1, 0))),
    conv("nhwc", *pair((2, 5, 4, 2), (3, 2, 2, 3)), ("NHWC", "HWIO", "NHWC"), strides=2, padding=((1, 1), (0, 2))),
    conv(
        "chwn-dilated",
        *pair((2, 3, 4, 2), (2, 2, 2, 3)),
        ("CHWN", "IHWO", "WCNH"),
        lhs_dilation=(2, 1),
        rhs_dilation=(2, 3),
        padding=((1, 2), (2, 1)),
    ),
    conv("negative-padding", *pair((1, 2, 7), (2, 2, 2)), strides=2, padding=((-1, -2),)),
    conv("wide-padding", *pair((1, 1, 3), (1, 1, 2)), strides=3, padding=((4, 5),), lhs_dilation=(2,)),
    conv("feature-groups", *pair((2, 5, 4), (6, 2, 2)), ("NHC", "OIH", "NHC"), feature_group_count=2),
    conv("depthwise", *pair((2, 3, 4), (3, 1, 2)), feature_group_count=3),
    conv("batch-groups", *pair((4, 2, 4), (6, 2, 2)), batch_group_count=2, strides=2),
    conv("batch-groups-of-one", *pair((2, 4, 3), (4, 2, 3)), ("NHC", "OHI", "HNC"), batch_group_count=2),
    conv("3d", *pair((1, 2, 2, 3, 2), (1, 2, 1, 2, 2)), strides=1),
    conv("0d", *pair((2, 3), (4, 3)), padding=()),
    conv("no-windows", *pair((1, 1, 2), (1, 1, 3))),
    conv("complex64", *pair((1, 2, 4), (2, 2, 2), np.complex64)),
    conv("int32", *pair((1, 2, 4), (2, 2, 2), np.int32)),
    conv(
        "bfloat16-to-float32",
        *(jnp.asarray(a, jnp.bfloat16) for a in pair((1, 2, 4), (2, 2, 2))),
        preferred_element_type=np.dtype(np.float32),
        precision=(lax.Precision.HIGHEST, lax.Precision.DEFAULT),
        jax_derivative=False,
        why="JAX refuses: its transpose convolves float32 with bfloat16",
    ),
]
