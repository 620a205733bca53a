"""Distances between an arm's own bodies and to the scene, and how the joints change them.

Geometry by coal, a library of exact distances between convex shapes. Which shapes there are is in
`shape`; what follows from a distance is the gate's.
"""

# coal ships without type stubs, through a .pth file that pyright does not follow.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product

import coal
import numpy as np
from numpy.typing import NDArray

from robot_rl.control.clearance import Clearance
from robot_rl.control.collision.shape import CollisionConfig
from robot_rl.control.collision.solid import Solid, solid_of, solid_on_link
from robot_rl.control.kinematics import Frame, SerialChain
from robot_rl.core.errors import ContractError

Array = NDArray[np.float64]

_BASE: Frame = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


class CollisionModel:
    """Implements `clearance.Clearances` for one arm in one scene; not for two threads at once.

    **Distance** is signed: for overlapping bodies it is minus what they must be moved by to come
    apart, and at the least, where the middle lines of two capsules cross, minus the sum of their
    radii.

    **Gradient**: with the unit normal n from body a to body b at the points nearest to each other,
    and J_a, J_b the linear Jacobians of these points on their links,

        d distance / d q_k = n . (J_b - J_a)_k = n . (z_k x (p - o_k))

    for the joints k between the two links, and 0 for all others, which move both or neither. It
    makes no difference which of the two points p is: they differ by a multiple of n. Where the
    distance has a kink, as between parallel bodies, it is that of one pair of nearest points;
    where middle lines cross it tells nothing.

    Args:
        config: which bodies there are, and which pairs may touch.
        chain: the arm's kinematics.

    Raises:
        ConfigError: if a body stands on a link that the arm does not have.
    """

    def __init__(self, config: CollisionConfig, chain: SerialChain) -> None:
        self._chain = chain
        solids = [solid_on_link(body, chain) for body in config.links]
        solids += [solid_of(0, body.shape) for body in config.scene]
        self._solids = tuple(solids)
        self._names = [body.name for body in (*config.links, *config.scene)]
        self._links = np.array([solid.link for solid in solids], np.intp)
        self._positions = np.array([solid.position for solid in solids])
        self._rotations = np.array([solid.rotation for solid in solids])
        self._poses = [coal.Transform3s() for _ in solids]
        self._broad = _BroadPhase(solids, _pairs(config, chain))
        self._request = coal.DistanceRequest(True)
        self._result = coal.DistanceResult()

    @property
    def pairs(self) -> tuple[str, ...]:
        """Names of all pairs that are kept apart."""
        return tuple(self._name(a, b) for a, b in self._broad.pairs)

    def near(self, q: Sequence[float], within_m: float) -> list[Clearance]:
        """Return every pair that is closer than `within_m`.

        Args:
            q: joint positions [rad].
            within_m: pairs farther apart are left out.

        Raises:
            ContractError: if q has the wrong length or is not finite.
        """
        if len(q) != self._chain.joints or not all(map(math.isfinite, q)):
            raise ContractError(
                f"distances are asked for at joint positions {list(q)}, expected "
                f"{self._chain.joints} finite numbers"
            )
        frames = [_BASE, *self._chain.frames(q)]
        numbers = np.array(frames)[self._links]
        # A frame's axes are the columns of its rotation.
        rotations = numbers[:, :9].reshape(-1, 3, 3).transpose(0, 2, 1)
        places = numbers[:, 9:] + (rotations @ self._positions[..., None])[..., 0]
        candidates = self._broad.closer(places, within_m)
        rotations = rotations @ self._rotations
        for body in {body for pair in candidates for body in pair}:
            self._poses[body].setRotation(rotations[body])
            self._poses[body].setTranslation(places[body])
        return [
            Clearance(
                pair=self._name(a, b),
                distance_m=distance_m,
                gradient=self._gradient(a, b, frames),
            )
            for a, b in candidates
            if (distance_m := self._distance(a, b)) < within_m
        ]

    def _distance(self, a: int, b: int) -> float:
        self._result.clear()
        return coal.distance(
            self._solids[a].geometry,
            self._poses[a],
            self._solids[b].geometry,
            self._poses[b],
            self._request,
            self._result,
        )

    def _gradient(self, a: int, b: int, frames: list[Frame]) -> tuple[float, ...]:
        """Of the distance that was just measured."""
        normal: list[float] = self._result.normal.tolist()
        point: list[float] = self._result.getNearestPoint1().tolist()
        near, far = self._solids[a].link, self._solids[b].link
        if near > far:
            near, far = far, near
            normal = [-x for x in normal]
        gradient = [0.0] * self._chain.joints
        gradient[near:far] = [_along(normal, point, frame) for frame in frames[near + 1 : far + 1]]
        return tuple(gradient)

    def _name(self, a: int, b: int) -> str:
        return f"{self._names[a]} and {self._names[b]}"


class _BroadPhase:
    """Tells which pairs can be close, by the balls around them.

    Args:
        solids: all bodies.
        pairs: of indices into them; a half-space stands second.
    """

    def __init__(self, solids: Sequence[Solid], pairs: Sequence[tuple[int, int]]) -> None:
        balls = [(a, b) for a, b in pairs if math.isfinite(solids[b].reach_m)]
        planes = [(a, b) for a, b in pairs if not math.isfinite(solids[b].reach_m)]
        self.pairs = (*balls, *planes)
        self._first, self._second = np.array(balls, np.intp).reshape(-1, 2).T
        self._above = np.array([a for a, _ in planes], np.intp)
        self._normals = np.array([solids[b].geometry.n for _, b in planes]).reshape(-1, 3)
        self._reach = np.array(
            [solids[a].reach_m + solids[b].reach_m for a, b in balls]
            + [solids[a].reach_m + solids[b].geometry.d for a, b in planes]
        )

    def closer(self, places: Array, within_m: float) -> list[tuple[int, int]]:
        """Return the pairs that may be closer than that; `places` float64[bodies, 3] [m]."""
        between = places[self._first] - places[self._second]
        gaps = np.concatenate(
            [
                np.sqrt(np.vecdot(between, between)),
                np.vecdot(self._normals, places[self._above]),
            ]
        )
        return [self.pairs[i] for i in np.flatnonzero(gaps - self._reach < within_m)]


def _pairs(config: CollisionConfig, chain: SerialChain) -> list[tuple[int, int]]:
    """Indices of the bodies that are kept apart, those of the arm first."""
    names = [body.name for body in (*config.links, *config.scene)]
    links = [chain.joints + 1 if body.link == "tool" else body.link for body in config.links]
    own, scene = range(len(links)), range(len(links), len(names))
    pairs = [
        (a, b) for a, b in combinations(own, 2) if abs(links[a] - links[b]) > config.neighbours
    ]
    pairs += [(a, b) for a, b in product(own, scene) if links[a] > 0]
    ignored = {frozenset(pair) for pair in config.ignore}
    return [(a, b) for a, b in pairs if frozenset((names[a], names[b])) not in ignored]


def _along(normal: list[float], point: list[float], frame: Frame) -> float:
    """Speed along a direction of a point [m/s per rad/s] that a joint's frame carries."""
    *_, zx, zy, zz, ox, oy, oz = frame
    (nx, ny, nz), (px, py, pz) = normal, point
    rx, ry, rz = px - ox, py - oy, pz - oz
    return nx * (zy * rz - zz * ry) + ny * (zz * rx - zx * rz) + nz * (zx * ry - zy * rx)
