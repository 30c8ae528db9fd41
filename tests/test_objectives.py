"""The objective functions of the benchmarks: values beside loops of NumPy, derivatives beside JAX and differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from scipy.special import expit, log_softmax, softmax
from scipy.stats import multivariate_normal, wishart

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.objectives import OBJECTIVES
from tests.benchmarks.objectives.hand_mesh import skeleton
from tests.benchmarks.objectives.rotations import rotate

NUMPY = SimpleNamespace(numpy=np)
NAMES = pytest.mark.parametrize("name", OBJECTIVES)


def assert_close(found: Any, wanted: Any, rtol: float) -> None:
    """Equal trees of arrays, up to `rtol` of the largest entry of each."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())


# Values, written as the formulas are: a loop for each index.


def mixture(parameters: Any, points: Any, prior: Any) -> Any:
    weights, precisions = softmax(parameters["alphas"]), []
    for logs, lower in zip(parameters["log_diagonals"], parameters["lower"]):
        q = np.diag(np.exp(logs))
        q[np.tril_indices(len(q), -1)] = lower
        precisions.append(q.T @ q)
    total, d = 0.0, points.shape[1]
    for x in points:
        parts = zip(weights, parameters["means"], precisions)
        total += np.log(sum(w * multivariate_normal.pdf(x, mean, np.linalg.inv(s)) for w, mean, s in parts))
    scale = np.eye(d) / prior["gamma"] ** 2
    for s in precisions:  # the density of S, of which m / 2 is the power of the determinant
        total += wishart.logpdf(s, df=d + prior["m"] + 1, scale=scale)
    return total


def bundle(variables: Any, observed: Any) -> Any:
    rows = []
    for camera, point, w, feature in zip(
        observed["camera"], observed["point"], variables["weights"], observed["features"]
    ):
        r, center, focal, principal, (k1, k2) = np.split(variables["cameras"][camera], [3, 6, 7, 9])
        a, b, c = Rotation.from_rotvec(r).apply(variables["points"][point] - center)
        assert c > 1  # it lies before the camera
        p = np.array([a, b]) / c
        rows.append(w * (focal * p * (1 + k1 * p @ p + k2 * (p @ p) ** 2) + principal - feature))
    return np.array(rows), 1 - variables["weights"] ** 2


def lstm(parameters: Any, text: Any) -> Any:
    layers, _, d = parameters["gates"].shape
    h, c = np.zeros((layers, d)), np.zeros((layers, d))
    losses = []
    for character, after in pairwise(text):
        x = character * parameters["embedding"]
        for layer in range(layers):
            (gf, gi, go, gc), (bf, bi, bo, bc) = parameters["gates"][layer], parameters["biases"][layer]
            for j in range(d):
                enter = expit(gi[j] * h[layer, j] + bi[j]) * np.tanh(gc[j] * h[layer, j] + bc[j])
                c[layer, j] = expit(gf[j] * x[j] + bf[j]) * c[layer, j] + enter
                h[layer, j] = expit(go[j] * x[j] + bo[j]) * np.tanh(c[layer, j])
            x = h[layer]
        losses.append(-log_softmax(x * parameters["decoding"] + parameters["bias"])[after.argmax()])
    return np.mean(losses)


def hand_vertices(pose: Any, model: Any) -> Any:
    joints, rest = skeleton()
    moves = [np.eye(4)]
    for finger, angles in enumerate(pose[6:].reshape(5, 4)):
        placed = np.eye(4)
        for bone, bend in enumerate(angles[1:]):
            turned = np.eye(4)
            turned[:3, :3] = Rotation.from_euler("ZX", [angles[0] if bone == 0 else 0, bend]).as_matrix()
            placed = placed @ joints[finger, bone] @ turned
            moves.append(placed @ np.linalg.inv(rest[finger, bone]))
    skinned = []
    for vertex, weights in zip(model["vertices"], model["weights"]):
        skinned.append(sum(w * (move @ [*vertex, 1])[:3] for w, move in zip(weights, moves)))
    return Rotation.from_rotvec(pose[:3]).apply(skinned) + pose[3:6]


def hand(pose: Any, model: Any, measured: Any) -> Any:
    vertices = hand_vertices(pose, model)
    return np.array([point - vertices[i] for point, i in zip(measured["points"], measured["vertices"])])


def hand_surface(variables: Any, model: Any, measured: Any) -> Any:
    vertices = hand_vertices(variables["pose"], model)
    rows = zip(measured["points"], measured["triangles"], variables["u"])
    return np.array(
        [x - (u * vertices[i] + v * vertices[j] + (1 - u - v) * vertices[k]) for x, (i, j, k), (u, v) in rows]
    )


def kmeans(centers: Any, points: Any) -> Any:
    return cdist(points, centers, "sqeuclidean").min(axis=1).sum()


VALUES: dict[str, Callable[..., Any]] = {
    "Gaussian mixture": mixture,
    "bundle adjustment": bundle,
    "LSTM": lstm,
    "hand tracking": hand,
    "hand tracking, surface": hand_surface,
    "k-means": kmeans,
}


@NAMES
def test_value(name):
    objective = OBJECTIVES[name]
    args = objective.data("test")
    wanted = jax.tree.map(np.float64, VALUES[name](*args))
    for library in (NUMPY, minijvp):
        assert_close(objective.make(library)(*args), wanted, 1e-12)


@NAMES
def test_derivative(name):
    objective = OBJECTIVES[name]
    args = jax.tree.map(jnp.asarray, objective.data("test"))
    derivative = objective.derivative(minijvp)
    found = derivative(*args)
    assert all(np.abs(x).max() > 1e-5 for x in jax.tree.leaves(found))
    assert_close(found, jax.jit(objective.derivative(jax))(*args), 1e-10)
    assert_close(minijvp.jit(derivative)(*args), found, 1e-10)


# The derivative along a direction, from what `derivative` returns.


def inner(gradient: Any, direction: Any, *_: Any) -> Any:
    return sum(np.vdot(g, t) for g, t in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))


def along_bundle(jacobian: Any, direction: Any, variables: Any, observed: Any) -> Any:
    (by_camera, by_point, by_weight), slopes = jacobian
    camera, point = direction["cameras"][observed["camera"]], direction["points"][observed["point"]]
    moved = np.einsum("prc,pc->pr", by_camera, camera) + np.einsum("prc,pc->pr", by_point, point)
    return moved + by_weight * direction["weights"][:, None], slopes * direction["weights"]


def along_surface(jacobian: Any, direction: Any, *_: Any) -> Any:
    return jacobian[0] @ direction["pose"] + np.einsum("nxu,nu->nx", jacobian[1], direction["u"])


ALONG: dict[str, Callable[..., Any]] = {
    "Gaussian mixture": inner,
    "bundle adjustment": along_bundle,
    "LSTM": inner,
    "hand tracking": lambda jacobian, direction, *_: np.asarray(jacobian) @ direction,
    "hand tracking, surface": along_surface,
    "k-means": lambda found, direction, *_: (inner(found[0], direction), found[1] * direction),
}


@NAMES
def test_differences(name):
    objective = OBJECTIVES[name]
    x, *others = objective.data("test")
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), x)
    fun = objective.make(minijvp)
    if name == "k-means":  # its second derivative, too
        fun = lambda *args: (objective.make(minijvp)(*args), objective.derivative(minijvp)(*args)[0])

    def difference(h: float) -> Any:
        high, low = (fun(jax.tree.map(lambda a, t: a + s * t, x, direction), *others) for s in (h, -h))
        return jax.tree.map(lambda a, b: (a - b) / (2 * h), high, low)

    coarse, fine = difference(2e-4), difference(1e-4)
    extrapolated = jax.tree.map(lambda c, f: np.asarray((4 * f - c) / 3), coarse, fine)
    found = ALONG[name](objective.derivative(minijvp)(x, *others), direction, x, *others)
    assert_close(jax.tree.map(np.asarray, found), extrapolated, 1e-8)


def test_sparse_jacobian_of_bundle_adjustment_has_all_entries():
    objective = OBJECTIVES["bundle adjustment"]
    variables, observed = objective.data("test")
    dense = {key: np.zeros((15, 2, *x.shape)) for key, x in variables.items()}
    blocks, slopes = minijvp.jit(objective.derivative(minijvp))(variables, observed)
    for i, (camera, point) in enumerate(zip(observed["camera"], observed["point"])):
        dense["cameras"][i, :, camera], dense["points"][i, :, point], dense["weights"][i, :, i] = (b[i] for b in blocks)
    reprojection, weight = minijvp.jit(minijvp.jacrev(objective.make(minijvp)))(variables, observed)
    assert_close(reprojection, dense, 1e-12)
    assert_close(weight["weights"], np.diag(slopes), 1e-12)
    assert not weight["cameras"].any() and not weight["points"].any()


def test_sparse_jacobian_of_a_hand_has_all_entries():
    objective = OBJECTIVES["hand tracking, surface"]
    args = objective.data("test")
    pose, u = minijvp.jit(objective.derivative(minijvp))(*args)
    wanted = {"pose": pose, "u": np.einsum("nxu,nm->nxmu", u, np.eye(len(u)))}
    assert_close(minijvp.jit(minijvp.jacrev(objective.make(minijvp)))(*args), wanted, 1e-12)


def test_newton_step_of_kmeans_goes_to_the_means():
    centers, points = OBJECTIVES["k-means"].data("quick")
    gradient, diagonal = minijvp.jit(OBJECTIVES["k-means"].derivative(minijvp))(centers, points)
    nearest = cdist(points, centers).argmin(axis=1)
    means = np.stack([points[nearest == j].mean(axis=0) for j in range(len(centers))])
    np.testing.assert_allclose(centers - gradient / diagonal, means, rtol=0, atol=1e-12)


def test_rotations_of_all_sizes():
    rng = np.random.default_rng(0)
    r, x = rng.standard_normal((2, 8, 3))
    r *= np.array([0, 1e-12, 1e-6, 1e-3, 9e-3, 1.1e-2, 1, 5])[:, None] / np.linalg.norm(r, axis=1, keepdims=True)
    np.testing.assert_allclose(rotate(np, r, x), Rotation.from_rotvec(r).apply(x), rtol=0, atol=4e-15)
    jacobians = minijvp.jit(minijvp.vmap(minijvp.jacrev(lambda r, x: rotate(mnp, r, x))))(r, x)
    for i, h in enumerate(1e-3 * np.eye(3)):
        turned = [Rotation.from_rotvec(r + s * h).apply(x) for s in (-2, -1, 1, 2)]
        slope = (turned[0] - 8 * turned[1] + 8 * turned[2] - turned[3]) / 12e-3
        np.testing.assert_allclose(jacobians[:, :, i], slope, rtol=0, atol=1e-11)


@NAMES
def test_data(name):
    """The same in each call, in single precision as well, in which results stay; larger sizes have finite values."""
    objective = OBJECTIVES[name]
    assert_close(objective.data("test"), objective.data(dict(objective.sizes["test"])), 0)
    single = objective.data("test", np.float32)
    floats = [x for x in jax.tree.leaves(single) if x.dtype != np.int32]
    results = jax.tree.leaves(jax.eval_shape(objective.derivative(jax), *single))
    results += jax.tree.leaves(minijvp.eval_shape(objective.derivative(minijvp), *single))
    assert {x.dtype for x in [*floats, *results]} == {np.dtype("float32")}
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(objective.make(NUMPY)(*objective.data("quick"))))
    assert objective.runs_on(minijvp) and objective.runs_on(jax) and not objective.runs_on(NUMPY)
