"""A run's own limits: at most as wide as the cell's, unless it says aloud that they are wider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.errors import ConfigError, did_you_mean

Direction = Literal["lower", "higher", "more"]

TIGHTER: Mapping[str, Direction] = {
    "workspace_min_m": "higher",
    "workspace_max_m": "lower",
    "joint_lower_rad": "higher",
    "joint_upper_rad": "lower",
    "workspace_planes": "more",
    "max_joint_velocity_rad_s": "lower",
    "max_joint_acceleration_rad_s2": "lower",
    "max_joint_jerk_rad_s3": "lower",
    "max_tcp_speed_m_s": "lower",
    "max_tcp_angular_speed_rad_s": "lower",
    "max_tcp_acceleration_m_s2": "lower",
    "max_tcp_angular_acceleration_rad_s2": "lower",
    "max_tcp_jerk_m_s3": "lower",
    "max_tcp_angular_jerk_rad_s3": "lower",
    "slow_at_condition": "lower",
    "hold_at_condition": "lower",
    "min_distance_m": "higher",
    "max_force_n": "lower",
    "max_torque_n_m": "lower",
    "max_observation_age_s": "lower",
    "max_command_age_s": "lower",
    "max_late_ticks": "lower",
    "fresh_samples_to_resume": "higher",
}
"""What makes each field of `SafetyLimits` tighter; planes are added to those of the cell."""

_MOTIONS = (
    ("max_tcp_speed_m_s", "max_tcp_acceleration_m_s2", "max_tcp_jerk_m_s3"),
    (
        "max_tcp_angular_speed_rad_s",
        "max_tcp_angular_acceleration_rad_s2",
        "max_tcp_angular_jerk_rad_s3",
    ),
    ("max_joint_velocity_rad_s", "max_joint_acceleration_rad_s2", "max_joint_jerk_rad_s3"),
)
"""Speed, acceleration and jerk, which together say within what way a motion can be stopped."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsInForce:
    """The limits of a run, and how they came about.

    Args:
        limits: what the gate enforces.
        cell: the cell's own.
        looser: fields in which a run that may do so has widened the cell's.
    """

    limits: SafetyLimits
    cell: SafetyLimits
    looser: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what is recorded with every episode: the limits in force, by name.

        Where they are not the cell's, `cell` names what the cell's are in those fields, and
        `looser_than_cell` those of them that are wider.
        """
        in_force = self.limits.model_dump(mode="json")
        own = self.cell.model_dump(mode="json")
        changed = {name: value for name, value in own.items() if in_force[name] != value}
        if changed:
            in_force["cell"] = changed
        if self.looser:
            in_force["looser_than_cell"] = list(self.looser)
        return in_force


def tightened(
    cell: SafetyLimits, run: Mapping[str, Any], *, allow_looser: bool = False
) -> LimitsInForce:
    """Return the cell's limits with those of the run in their place.

    A value is looser if any element of it allows more than the cell's. Less acceleration or jerk
    allows less, but also brakes later: if the way to a stop from full speed becomes longer than
    the cell's, that counts as looser too, so the speed has to come down with them.

    Args:
        cell: the cell's own.
        run: values by the names of `SafetyLimits`; planes are added to the cell's.
        allow_looser: accept and report what is looser instead of refusing it.

    Raises:
        ConfigError: if a field is unknown or its value no limit, and, unless `allow_looser`, if
            one is looser; the message names field, both values and the flag.
    """
    limits = _merged(cell, run)
    looser = {name: _words(name, cell, limits) for name in run if _is_looser(name, cell, limits)}
    looser |= {name: why for name, why in _brakes_later(cell, limits) if name in run}
    if looser and not allow_looser:
        raise ConfigError(
            f"limits: a run may only tighten those of its cell; looser are: "
            f"{'; '.join(looser.values())}. If that is meant, set allow_looser_limits: true, "
            "which is recorded with every episode"
        )
    return LimitsInForce(limits=limits, cell=cell, looser=tuple(looser))


def stopping_way(speed: float, acceleration: float, jerk: float) -> float:
    """Return the way from full speed to rest [m or rad] of a brake bounded in both.

    It is symmetric in time, so its way is half of what full speed makes in the same time.
    """
    if speed * jerk >= acceleration**2:
        duration_s = speed / acceleration + acceleration / jerk
    else:
        duration_s = 2.0 * (speed / jerk) ** 0.5
    return 0.5 * speed * duration_s


def _merged(cell: SafetyLimits, run: Mapping[str, Any]) -> SafetyLimits:
    for name in run:
        if name not in TIGHTER:
            raise ConfigError(f"limits: unknown key {name!r}{did_you_mean(name, TIGHTER)}")
    values = cell.model_dump() | dict(run)
    try:
        limits = SafetyLimits.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"limits of the run: {'; '.join(lines)}") from error
    if len(limits.joint_lower_rad) != len(cell.joint_lower_rad):
        raise ConfigError(
            f"limits of the run: got {len(limits.joint_lower_rad)} joints, the cell has "
            f"{len(cell.joint_lower_rad)}"
        )
    # Those of the cell stay; what is named twice is the same face.
    planes = dict.fromkeys((*cell.workspace_planes, *limits.workspace_planes))
    return limits.model_copy(update={"workspace_planes": tuple(planes)})


def _is_looser(name: str, cell: SafetyLimits, limits: SafetyLimits) -> bool:
    own, asked = getattr(cell, name), getattr(limits, name)
    if TIGHTER[name] == "more":
        return not set(own) <= set(asked)
    sign = 1.0 if TIGHTER[name] == "lower" else -1.0
    pairs = zip(_numbers(own), _numbers(asked), strict=True)
    return any(sign * there > sign * here for here, there in pairs)


def _brakes_later(cell: SafetyLimits, limits: SafetyLimits) -> Iterator[tuple[str, str]]:
    for motion in _MOTIONS:
        ways = zip(_stopping_ways(cell, motion), _stopping_ways(limits, motion), strict=True)
        longer = [(here, there) for here, there in ways if there > here * (1 + _ROUNDING)]
        if longer:
            here, there = longer[0]
            for name in motion[1:]:
                yield (
                    name,
                    (
                        f"{_words(name, cell, limits)}, which takes {there:.4g} instead of "
                        f"{here:.4g} to stop from full speed: lower {motion[0]} as well"
                    ),
                )


def _stopping_ways(limits: SafetyLimits, motion: tuple[str, str, str]) -> list[float]:
    columns = (_numbers(getattr(limits, name)) for name in motion)
    return [stopping_way(*each) for each in zip(*columns, strict=True)]


def _numbers(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _words(name: str, cell: SafetyLimits, limits: SafetyLimits) -> str:
    return f"{name}: the cell has {getattr(cell, name)}, the run {getattr(limits, name)}"
