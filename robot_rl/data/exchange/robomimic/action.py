"""What the actions of a robomimic file mean, as far as its `env_args` say.

robosuite's OSC_POSE in delta mode is a displacement of the measured pose, translation and
rotation vector (robosuite documentation, "Controllers"), which is our `tcp_delta`. Everything
else stays opaque.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Vector

_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper")
_GRIPPER = 6


def action_spec(env_kwargs: Mapping[str, Any], largest: Vector, period_s: float) -> ActionSpec:
    """Return the spec of a file's actions.

    Args:
        env_kwargs: of the file's `env_args`.
        largest: float32[d], the greatest magnitude of each element in the file.
        period_s: the control period.
    """
    scale = _osc_pose_scale(env_kwargs)
    if scale is not None and len(largest) == len(_NAMES) and (largest <= 1).all():
        return ActionSpec(kind="tcp_delta", names=_NAMES, scale=(*scale, 1.0), period_s=period_s)
    return ActionSpec(
        kind="opaque",
        names=tuple(f"action_{i}" for i in range(len(largest))),
        scale=tuple(float(x) for x in np.where(largest > 0, largest, 1)),
        period_s=period_s,
    )


def normalise(actions: Vector, spec: ActionSpec) -> Vector:
    """Convert recorded actions float32[T, d] to the spec's.

    robosuite closes its grippers at +1 and opens them at -1; here +1 is open.
    """
    if spec.kind == "opaque":
        return actions / np.asarray(spec.scale, np.float32)
    normalised = actions.copy()
    normalised[:, _GRIPPER] *= -1
    return normalised


def _osc_pose_scale(env_kwargs: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Metres and radians of a 1, six of them; None unless a delta OSC_POSE drives the one arm."""
    controller = _controller(env_kwargs)
    delta = controller.get("control_delta", True) is True
    delta = delta and controller.get("input_type", "delta") == "delta"
    base = controller.get("input_ref_frame", "base") in ("base", "world")
    if controller.get("type") != "OSC_POSE" or not delta or not base:
        return None
    try:
        upper, lower, into, out_of = (
            np.broadcast_to(np.asarray(controller.get(key, default), np.float64), 6)
            for key, default in (
                ("output_max", None),
                ("output_min", None),
                ("input_max", 1),
                ("input_min", -1),
            )
        )
    except (TypeError, ValueError):
        return None
    plain = np.array_equal(lower, -upper) and (into == 1).all() and (out_of == -1).all()
    if not plain or not np.isfinite(upper).all() or (upper <= 0).any():
        return None
    return tuple(float(x) for x in upper)


def _controller(env_kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arm's controller, where robosuite up to 1.4 and since 1.5 puts it."""
    config = _mapping(env_kwargs.get("controller_configs"))
    arms = _mapping(config.get("body_parts"))
    return _mapping(arms.get("right")) if arms else config


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, list):
        items = cast(list[object], value)
        value = items[0] if len(items) == 1 else None
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
