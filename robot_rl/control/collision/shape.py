"""Shapes of an arm's links and of the scene around it, as a config; `model` measures them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.control.kinematics import Pose, SerialChain
from robot_rl.control.limits import Plane, Position
from robot_rl.core.errors import did_you_mean

if TYPE_CHECKING:
    from robot_rl.control.collision.model import CollisionModel

Length = Annotated[float, Field(gt=0)]


class Capsule(Config):
    """All points within `radius_m` of the line from `start_m` to `end_m`."""

    start_m: Position
    end_m: Position
    radius_m: Length


class Sphere(Config):
    """A ball."""

    centre_m: Position
    radius_m: Length


class Box(Config):
    """A box.

    Args:
        pose: of its middle, position [m] and quaternion xyzw.
        size_m: its whole lengths along its own axes.
    """

    pose: Pose
    size_m: tuple[Length, Length, Length]

    @model_validator(mode="after")
    def _check_pose(self) -> Self:
        norm = math.hypot(*self.pose[3:])
        if abs(norm - 1.0) > 1e-3:
            raise ValueError(f"pose: quaternion xyzw has norm {norm:.4g}, expected 1")
        return self


class HalfSpace(Plane):
    """Everything behind a plane: solid where `normal . p <= offset_m`, such as a table."""


Shape = Capsule | Sphere | Box | HalfSpace


class _Body(Config):
    name: str
    capsule: Capsule | None = None
    sphere: Sphere | None = None
    box: Box | None = None

    @property
    def shape(self) -> Shape:
        """The one that is given."""
        (shape,) = self._given()
        return shape

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        if len(self._given()) != 1:
            raise ValueError(
                f"{self.name!r} has {len(self._given())} shapes, expected exactly one of "
                f"{', '.join(self._shapes)}"
            )
        return self

    @property
    def _shapes(self) -> dict[str, Shape | None]:
        return {"capsule": self.capsule, "sphere": self.sphere, "box": self.box}

    def _given(self) -> list[Shape]:
        return [shape for shape in self._shapes.values() if shape is not None]


class LinkBody(_Body):
    """A shape that moves with the arm, by its name for people.

    Args:
        link: the joint frame of `SerialChainConfig` in which the shape stands: 0 is the base, i
            moves with joint i. `tool` is the tcp frame.
        capsule, sphere, box: one of them.
    """

    link: Annotated[int, Field(ge=0)] | Literal["tool"]


class SceneBody(_Body):
    """A shape that stands still in the robot base frame, by its name for people.

    Args:
        capsule, sphere, box, half_space: one of them.
    """

    half_space: HalfSpace | None = None

    @property
    def _shapes(self) -> dict[str, Shape | None]:
        return {**super()._shapes, "half_space": self.half_space}


class CollisionConfig(Config):
    """What must not touch what.

    Every body of the arm is kept from the scene and from the arm's other bodies, save those of
    neighbouring links. What stands on the base is not kept from the scene: neither moves.

    Args:
        links: the arm's bodies.
        scene: what stands around it.
        neighbours: links so many joints apart are not kept from each other, the tool being one
            beyond the last link: 1, or 2 for an arm whose joints end before those could meet.
        ignore: pairs of names that may touch.
    """

    links: Annotated[tuple[LinkBody, ...], Field(min_length=1)]
    scene: tuple[SceneBody, ...] = ()
    neighbours: int = Field(default=1, ge=1)
    ignore: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = Counter(body.name for body in (*self.links, *self.scene))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"more than one body is called {twice}; give each its own name")
        for pair in self.ignore:
            for name in pair:
                if name not in names:
                    raise ValueError(
                        f"ignore {list(pair)}: no body is called {name!r}"
                        f"{did_you_mean(name, names)}"
                    )
        return self

    def build(self, chain: SerialChain) -> CollisionModel:
        """Return what measures the distances on this arm.

        Raises:
            ConfigError: if a body stands on a link that the arm does not have.
        """
        # Its geometry library takes a quarter of a second, which a cell without shapes is spared.
        from robot_rl.control.collision.model import CollisionModel

        return CollisionModel(self, chain)
