"""A synthetic hand: tubes of vertices around a palm and five fingers, with joints and blended weights of the bones."""

from __future__ import annotations

from typing import Any

import numpy as np

FINGERS, BONES = 5, 3
BASES = np.array(
    [[-0.9, 0.4], [-0.6, 2.0], [-0.2, 2.1], [0.2, 2.0], [0.6, 1.8]]
)  # x and y, from thumb to little finger
LENGTHS = np.array([0.6, 1.0, 1.1, 1.0, 0.8])[:, None] * [0.5, 0.3, 0.2]
TURNS = np.array([0.7, 0.15, 0.0, -0.1, -0.25])  # of the fingers at rest, around z
RADIUS, BLENDING = 0.17, 0.25


def translation(x: float, y: float) -> np.ndarray:
    """The transform [4, 4] that moves by (x, y, 0)."""
    moved = np.eye(4)
    moved[:2, 3] = x, y
    return moved


def turn(angle: float) -> np.ndarray:
    """The transform [4, 4] that turns around z."""
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turned


def skeleton() -> tuple[np.ndarray, np.ndarray]:
    """Transforms of the joints, each relative to the one before it, and absolute ones, [fingers, bones, 4, 4]."""
    relative = np.zeros((FINGERS, BONES, 4, 4))
    for finger in range(FINGERS):
        relative[finger, 0] = translation(*BASES[finger]) @ turn(TURNS[finger])
        for bone in range(1, BONES):
            relative[finger, bone] = translation(0, LENGTHS[finger, bone - 1])
    absolute = relative.copy()
    for bone in range(1, BONES):
        absolute[:, bone] = absolute[:, bone - 1] @ relative[:, bone]
    return relative, absolute


def tube(length: float, radii: tuple[float, float], rings: int, spokes: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [rings * spokes, 3] around the y axis from 0 to `length`, and triangles [2 (rings - 1) spokes, 3]."""
    along, around = np.meshgrid(np.linspace(0, length, rings), 2 * np.pi * np.arange(spokes) / spokes, indexing="ij")
    vertices = np.stack([radii[0] * np.cos(around), along, radii[1] * np.sin(around)], axis=-1)
    at = np.arange(rings * spokes).reshape(rings, spokes)
    beside = np.roll(at, -1, axis=1)
    low, high, low_beside, high_beside = at[:-1], at[1:], beside[:-1], beside[1:]
    triangles = [np.stack([low, high, low_beside], axis=-1), np.stack([high, high_beside, low_beside], axis=-1)]
    return vertices.reshape(-1, 3), np.concatenate(triangles).reshape(-1, 3)


def finger_weights(along: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The weights [v, 1 + bones] of the palm and a finger's bones, for vertices that far along the finger."""
    ends = np.concatenate([[-lengths[0], 0], np.cumsum(lengths)])
    middles = (ends[:-1] + ends[1:]) / 2
    nearness = np.exp(-(((along[:, None] - middles) / BLENDING) ** 2))
    return nearness / nearness.sum(axis=1, keepdims=True)


def hand(rings: int, spokes: int) -> tuple[dict[str, Any], np.ndarray]:
    """The model that `posed_vertices` takes, and the triangles of its surface, with so many rings for each tube."""
    joints, absolute = skeleton()
    palm, triangles = tube(2.0, (0.8, 0.3), rings, spokes)
    parts, weights, faces = [palm], [np.eye(1, 1 + FINGERS * BONES).repeat(len(palm), axis=0)], [triangles]
    for finger in range(FINGERS):
        vertices, triangles = tube(LENGTHS[finger].sum(), (RADIUS, RADIUS), rings, spokes)
        blend = finger_weights(vertices[:, 1], LENGTHS[finger])
        of_all = np.zeros((len(vertices), 1 + FINGERS * BONES))
        of_all[:, 0] = blend[:, 0]
        of_all[:, 1 + finger * BONES :][:, :BONES] = blend[:, 1:]
        first = absolute[finger, 0]
        faces.append(triangles + sum(map(len, parts)))
        parts.append(vertices @ first[:3, :3].T + first[:3, 3])
        weights.append(of_all)
    model = {
        "joints": joints,
        "inverses": np.linalg.inv(absolute),
        "vertices": np.concatenate(parts),
        "weights": np.concatenate(weights),
    }
    return model, np.concatenate(faces)
