"""Bundle adjustment: cameras, points and weights of observations from where the points are seen in pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.objectives.objective import Objective, Program
from tests.benchmarks.objectives.rotations import rotate

DISTANCE = 6.0


def reprojection(xp: Any) -> Program:
    """The function (camera[..., 11], point[..., 3], weight[...], feature[..., 2]) -> residual[..., 2].

    A camera is its rotation (axis times angle; 3), center (3), focal length, principal point (2) and radial distortion
    (2). With (a, b, c) the point less the center, rotated, and p = (a, b) / c, the residual is

        weight (focal p (1 + distortion_1 |p|^2 + distortion_2 |p|^4) + principal - feature).

    Source: B. Triggs, P. F. McLauchlan, R. I. Hartley and A. W. Fitzgibbon, Bundle adjustment: a modern synthesis,
    Vision Algorithms: Theory and Practice, LNCS 1883, Springer 2000; in these variables F. Srajer, Z. Kukelova and
    A. Fitzgibbon, A benchmark of selected algorithmic differentiation tools on some problems in computer vision and
    machine learning, Optim. Methods Softw. 33(4-6), 2018.
    """

    def fun(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        seen = rotate(xp, camera[..., :3], point - camera[..., 3:6])
        p = seen[..., :2] / seen[..., 2:]
        square = xp.sum(p * p, axis=-1, keepdims=True)
        distortion = 1 + camera[..., 9:10] * square + camera[..., 10:] * square**2
        projected = camera[..., 6:7] * distortion * p + camera[..., 7:9]
        return weight[..., None] * (projected - feature)

    return fun


def weight_residual(weight: Any) -> Any:
    """1 - weight^2, which keeps weights from going to zero."""
    return 1 - weight * weight


def gather(variables: Any, observed: Any) -> tuple[Any, ...]:
    """Camera, point, weight and feature of each observation."""
    cameras, points = variables["cameras"][observed["camera"]], variables["points"][observed["point"]]
    return cameras, points, variables["weights"], observed["features"]


def make(library: Any) -> Program:
    """The function (variables, observed) -> (residuals of reprojection[p, 2], residuals of weights[p])."""
    residuals = reprojection(library.numpy)
    return lambda variables, observed: (
        residuals(*gather(variables, observed)),
        weight_residual(variables["weights"]),
    )


def sparse_jacobian(library: Any) -> Program:
    """The blocks of the Jacobian of `make`, all others of which are zero.

    The residual of an observation depends on a camera, a point and a weight: its blocks are [p, 2, 11], [p, 2, 3] and
    [p, 2], by reverse mode, since two results have fifteen arguments; that of a weight on the weight: [p].
    """
    blocks = library.vmap(library.jacrev(reprojection(library.numpy), argnums=(0, 1, 2)))
    slopes = library.vmap(library.grad(weight_residual))
    return lambda variables, observed: (blocks(*gather(variables, observed)), slopes(variables["weights"]))


def data(cameras: int, points: int, observations: int) -> tuple[Any, ...]:
    """Cameras around a cloud of points, and what they see of it, in pixels and with noise."""
    rng = np.random.default_rng(0)
    turns = rng.standard_normal((cameras, 3))
    turns[0] = 0  # a camera that is not rotated
    # Rotated by minus the turn, so that turning brings the cloud to this distance before the camera.
    backwards = np.broadcast_to([0.0, 0.0, -DISTANCE], (cameras, 3))
    centers = rotate(np, -turns, backwards) + 0.1 * rng.standard_normal((cameras, 3))
    focal = 500 + 20 * rng.standard_normal((cameras, 1))
    principal = [320.0, 240.0] + 5 * rng.standard_normal((cameras, 2))
    distortion = 0.02 * rng.standard_normal((cameras, 2))
    variables = {
        "cameras": np.concatenate([turns, centers, focal, principal, distortion], axis=1),
        "points": rng.standard_normal((points, 3)).clip(-2, 2),
        "weights": rng.uniform(0.5, 1, observations),
    }
    observed = {
        "camera": rng.integers(cameras, size=observations),
        "point": rng.integers(points, size=observations),
        "features": np.zeros((observations, 2)),
    }
    camera, point, weights, none = gather(variables, observed)
    pixels = reprojection(np)(camera, point, np.ones_like(weights), none)
    return variables, {**observed, "features": pixels + rng.standard_normal(pixels.shape)}


BUNDLE = Objective(
    name="bundle adjustment",
    wanted="sparse Jacobian, vmap of jacrev",
    make=make,
    derivative=sparse_jacobian,
    generate=data,
    sizes={
        "test": dict(cameras=3, points=7, observations=15),
        "quick": dict(cameras=21, points=1000, observations=3000),
        "full": dict(cameras=49, points=7776, observations=31843),
    },
    needs=("vmap", "jacrev", "grad"),
)
