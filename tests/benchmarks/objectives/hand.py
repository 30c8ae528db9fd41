"""Hand tracking: the pose of a hand from points measured on its surface, by linear blend skinning."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks.objectives.hand_mesh import BONES, FINGERS, hand
from tests.benchmarks.objectives.objective import Objective, Program
from tests.benchmarks.objectives.rotations import rotate

POSE = 6 + FINGERS * (1 + BONES)

# Generators of the rotations around x, by which fingers bend, and around z, by which they spread.
BENDING = np.zeros((4, 4))
BENDING[2, 1], BENDING[1, 2] = 1, -1
SPREADING = np.zeros((4, 4))
SPREADING[1, 0], SPREADING[0, 1] = 1, -1


def posed_vertices(xp: Any) -> Program:
    """The function (pose[26], model) -> vertices[v, 3].

    The pose is a rotation of the whole hand (axis times angle; 3), a translation (3) and for each finger one angle by
    which it spreads and three by which its bones bend. Along a finger, with the transforms J of the joints at rest,

        A_1 = J_1 R_z(spread) R_x(bend_1),   A_b = A_(b-1) J_b R_x(bend_b).

    A vertex x is moved to sum_b w_b A_b B_b^-1 x, where B_b is A_b at rest; one bone, the palm, has A = B = I.

    Source: J. Taylor, R. Stebbing, V. Ramakrishna et al., User-specific hand modeling from monocular depth sequences,
    CVPR 2014; as a benchmark F. Srajer, Z. Kukelova and A. Fitzgibbon, A benchmark of selected algorithmic
    differentiation tools on some problems in computer vision and machine learning, Optim. Methods Softw. 33(4-6), 2018.
    """

    def fun(pose: Any, model: Any) -> Any:
        angles = xp.reshape(pose[6:], (FINGERS, 1 + BONES))
        joints, bends = model["joints"], rotation(xp, angles[:, 1:], BENDING)
        after = joints[:, 0] @ rotation(xp, angles[:, 0], SPREADING) @ bends[:, 0]
        bones = [after]
        for b in range(1, BONES):
            after = after @ joints[:, b] @ bends[:, b]
            bones.append(after)
        moves = xp.reshape(xp.stack(bones, axis=1) @ model["inverses"], (FINGERS * BONES, 4, 4))
        x, palm, fingers = model["vertices"], model["weights"][:, :1], model["weights"][:, 1:]
        blended = xp.einsum("vb,bij->vij", fingers, moves[:, :3])
        skinned = palm * x + xp.sum(blended[:, :, :3] * x[:, None, :], axis=2) + blended[:, :, 3]
        return rotate(xp, pose[:3], skinned) + pose[3:6]

    return fun


def rotation(xp: Any, angle: Any, generator: Any) -> Any:
    """The transforms [..., 4, 4] by angles[...] around the axis of a generator G: I + sin G + (1 - cos) G^2."""
    angle, generator = angle[..., None, None], generator.astype(angle.dtype)
    return xp.eye(4, dtype=angle.dtype) + xp.sin(angle) * generator + (1 - xp.cos(angle)) * (generator @ generator)


def vertex_residuals(xp: Any) -> Program:
    """The function (pose[26], model, measured) -> residuals[n, 3]: measured points less their vertices."""
    pose_hand = posed_vertices(xp)

    def fun(pose: Any, model: Any, measured: Any) -> Any:
        return measured["points"] - pose_hand(pose, model)[measured["vertices"]]

    return fun


def surface_residuals(xp: Any) -> Program:
    """The function ({pose[26], u[n, 2]}, model, measured) -> residuals[n, 3]: less where they lie in their triangles.

    With a triangle's vertices v, that is at u_1 v_1 + u_2 v_2 + (1 - u_1 - u_2) v_3: u is found with the pose.
    """
    pose_hand = posed_vertices(xp)

    def fun(variables: Any, model: Any, measured: Any) -> Any:
        u = variables["u"]
        corners = pose_hand(variables["pose"], model)[measured["triangles"]]
        first, second, third = (corners[:, i] for i in range(3))
        on_surface = u[:, :1] * (first - third) + u[:, 1:] * (second - third) + third
        return measured["points"] - on_surface

    return fun


def make_simple(library: Any) -> Program:
    """The residuals at vertices, in this library."""
    return vertex_residuals(library.numpy)


def make_surface(library: Any) -> Program:
    """The residuals in triangles, in this library."""
    return surface_residuals(library.numpy)


def simple_jacobian(library: Any) -> Program:
    """The Jacobian [n, 3, 26] of the residuals at vertices."""
    return library.jacfwd(make_simple(library))


def surface_jacobian(library: Any) -> Program:
    """The Jacobian of the residuals in triangles: [n, 3, 26] by the pose, and blocks [n, 3, 2] by a point's own u.

    All other derivatives by u are zero, so that one u added to those of all points has the blocks for its Jacobian.
    """
    residuals = make_surface(library)

    def fun(variables: Any, model: Any, measured: Any) -> Any:
        def shifted(pose: Any, shift: Any) -> Any:
            return residuals({"pose": pose, "u": variables["u"] + shift}, model, measured)

        none = library.numpy.zeros_like(variables["u"][0])
        return library.jacfwd(shifted, argnums=(0, 1))(variables["pose"], none)

    return fun


def data(points: int, rings: int, spokes: int, on_surface: bool) -> tuple[Any, ...]:
    """A hand, points measured with noise on it in some pose, and a pose near that one."""
    rng = np.random.default_rng(0)
    model, triangles = hand(rings, spokes)
    scale = np.concatenate([np.full(6, 0.5), np.tile([0.1, 0.6, 0.5, 0.4], FINGERS)])
    true = scale * rng.uniform(0.2, 1, POSE)
    pose = true + 0.05 * rng.standard_normal(POSE)
    near = triangles[rng.integers(len(triangles), size=points)]
    u = rng.dirichlet(np.ones(3), points)[:, :2]
    noise = 0.02 * rng.standard_normal((points, 3))
    origin = np.zeros((points, 3))
    if on_surface:
        at = -surface_residuals(np)({"pose": true, "u": u}, model, {"triangles": near, "points": origin})
        start = {"pose": pose, "u": np.full_like(u, 1 / 3)}
        return start, model, {"triangles": near, "points": at + noise}
    vertices = near[:, 0]
    at = -vertex_residuals(np)(true, model, {"vertices": vertices, "points": origin})
    return pose, model, {"vertices": vertices, "points": at + noise}


SIZES = {
    "test": dict(points=8, rings=4, spokes=3),
    "quick": dict(points=100, rings=10, spokes=9),
    "full": dict(points=10_000, rings=40, spokes=24),
}

HAND = Objective(
    name="hand tracking",
    wanted="Jacobian, jacfwd",
    make=make_simple,
    derivative=simple_jacobian,
    generate=partial(data, on_surface=False),
    sizes=SIZES,
    needs=("jacfwd",),
)

HAND_SURFACE = Objective(
    name="hand tracking, surface",
    wanted="sparse Jacobian, compressed jacfwd",
    make=make_surface,
    derivative=surface_jacobian,
    generate=partial(data, on_surface=True),
    sizes=SIZES,
    needs=("jacfwd",),
)
