"""Keeping parts of the arm apart from each other and from what stands around it."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import mink

from robot_rl.control.cartesian.arm_model import ArmModel

Group = Sequence[str | int]

_SEEN_M = 0.05
"""From how far beyond the least distance a geom is looked at."""
_SHARE = 0.5
"""How much of what is left of the distance one period may take."""


def keep_apart(
    arm: ArmModel, groups: Sequence[tuple[Group, Group]], distance_m: float, period_s: float
) -> mink.Limit:
    """A limit for `DifferentialIk`: geoms of its model come no closer than a distance.

    Args:
        arm: the same that the inverse kinematics has.
        groups: pairs of groups of geoms, by name or number: each of the first group is kept from
            each of the second. MuJoCo's contype and conaffinity must let them collide.
        distance_m: the least distance.
        period_s: the same that the inverse kinematics has.
    """
    return mink.CollisionAvoidanceLimit(
        arm.model,
        groups,
        # mink bounds the step [m] by gain * distance / period: a hundred times the distance at
        # 100 Hz, if the gain were the share.
        gain=_SHARE * period_s,
        minimum_distance_from_collisions=distance_m,
        collision_detection_distance=distance_m + _SEEN_M,
    )
