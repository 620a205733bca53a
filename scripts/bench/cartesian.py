"""Cartesian control of the FR3: how long a call takes, how true paths are, how hard it presses.

    .venv/bin/python scripts/bench/cartesian.py [--quick] [--json FILE]

**calls**: one call of the inverse kinematics, in its thread's CPU time and by the wall clock.
**paths**: at 50 Hz straight ways with turns from the pose of one configuration through that of a
second to that of a third. `regular`: the second is near home, where the arm moves well;
`singular`: it is of the worst hundredth of all. A path is held if the tool is never off it by more
than 1 mm, and arrived if it is at its end 0.5 s later.
**servo arm**: paths at 500 Hz with MuJoCo's position-controlled arm; off the line is what counts,
for a servo is always behind along it.
**contact**: that arm under admittance presses with 10 N on plates on springs, and on a rigid
table. What is over 10 N is overshoot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import mujoco
import numpy as np
import tyro
from cartesian_rig import (
    HOME,
    LOWER,
    RADIAN_M,
    UPPER,
    Array,
    ServoArm,
    cell_limits,
    new_ik,
    servo_model,
)
from numpy.typing import ArrayLike
from report import Claim, Row, at_least, at_most, publish

from robot_rl.control.cartesian.admittance import AdmittanceConfig
from robot_rl.control.cartesian.differential_ik import DifferentialIk
from robot_rl.core.geometry import pose_minus_pose, pose_plus_delta
from robot_rl_sim import fr3, fr3_joint

PERIOD_S = 0.002
PATH_PERIOD_S = 0.02
HELD_M = 1e-3
PRESS_N = 10.0
FAST = 0.8
"""Paths ask for this share of the tool's greatest speeds."""
PLATES_N_M = (2e3, 1e4, 5e4, 2e5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen.

    Args:
        quick: 200 paths of each kind instead of 10000.
        file: where the result goes as JSON.
    """

    quick: bool = False
    file: Annotated[Path | None, tyro.conf.arg(name="json")] = None


def spread(name: str, unit: str, values: ArrayLike, **more: object) -> Row:
    """A row: median, 99th percentile and maximum."""
    p50, p99, most = np.quantile(np.asarray(values), [0.5, 0.99, 1.0]).tolist()
    return {"name": name, "p50": p50, "p99": p99, "max": most, "unit": unit, **more}


def measure_calls(count: int) -> list[Row]:
    """Calls at configurations all over, the tool at about half its speed."""
    ik, rng = new_ik(PERIOD_S), np.random.default_rng(0)
    delta = np.array([0.0002, 0.0001, -0.0001, 0.001, 0.0, 0.001])
    cpu_ms, wall_ms = [], []
    for _ in range(count):
        q = rng.uniform(LOWER, UPPER)
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        ik.step(q, delta)
        cpu_ms.append((time.thread_time() - cpu_s) * 1e3)
        wall_ms.append((time.perf_counter() - wall_s) * 1e3)
    return [spread("call, CPU time", "ms", cpu_ms), spread("call, wall clock", "ms", wall_ms)]


def singular_value(jacobian: Array) -> float:
    """The smallest, in metres per radian."""
    weights = np.repeat([1.0, RADIAN_M], 3)[:, None]
    return float(np.linalg.svd(weights * jacobian, compute_uv=False)[-1])


def draw_configurations(rng: np.random.Generator, *, singular: bool, count: int = 40) -> Array:
    """Joint positions float64[count, 7]: the worst hundredth, or the better half, near home."""
    arm = ServoArm(servo_model())
    drawn = rng.uniform(LOWER, UPPER, (100 * count, 7)) if singular else None
    if drawn is None:
        drawn = np.clip(HOME + rng.uniform(-0.4, 0.4, (2 * count, 7)), LOWER, UPPER)
    values = []
    for q in drawn:
        arm.data.qpos[:7] = q
        values.append(singular_value(arm.jacobian()))
    order = np.argsort(values)
    return drawn[order[:count] if singular else order[-count:]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What came of one path: errors [m], joint speeds by their limits, joint accelerations."""

    off_m: Array
    share_of_speed: float
    acceleration_rad_s2: float


def walk(ik: DifferentialIk, q: Array, corners: list[Array]) -> Walk:
    """From a configuration straight from corner to corner, then 0.5 s for what is missing."""
    limits = cell_limits()
    steps, off = [], []
    for target in line(ik.tcp_pose(q), corners):
        step = ik.step_towards(q, target)
        q = q + step.joint_delta
        steps.append(step.joint_delta)
        off.append(np.linalg.norm(pose_minus_pose(target, ik.tcp_pose(q))[:3]))
    speeds = np.array(steps) / PATH_PERIOD_S
    most = np.array(limits.max_joint_velocity_rad_s)
    return Walk(
        off_m=np.array(off),
        share_of_speed=float((np.abs(speeds) / most).max()),
        acceleration_rad_s2=float(np.abs(np.diff(speeds, axis=0)).max() / PATH_PERIOD_S),
    )


def line(pose: Array, corners: list[Array]) -> list[Array]:
    """Where the tool is to be after each period, at `FAST` of its greatest speeds."""
    limits, targets = cell_limits(), []
    fastest = FAST * np.array([limits.max_tcp_speed_m_s, limits.max_tcp_angular_speed_rad_s])
    for corner in corners:
        delta = pose_minus_pose(corner, pose)
        sizes = np.linalg.norm(delta.reshape(2, 3), axis=1)
        periods = max(1, int(np.ceil((sizes / fastest).max() / PATH_PERIOD_S)))
        targets += [pose_plus_delta(pose, delta * (k + 1) / periods) for k in range(periods)]
        pose = corner
    return targets + [pose] * 25


def measure_paths(name: str, count: int) -> list[Row]:
    """Random paths of one kind; singular ones have the pose of such a configuration on them."""
    singular = name == "singular"
    rng, ik = np.random.default_rng(1), new_ik(PATH_PERIOD_S)
    pool = draw_configurations(rng, singular=singular)
    walks = []
    for _ in range(count):
        middle = pool[rng.integers(len(pool))]
        # The ends are the poses of configurations about it: the arm can be there.
        away = rng.uniform(-0.3, 0.3, 7)
        first, last = (np.clip(middle + s * away, LOWER, UPPER) for s in (1.0, -1.0))
        walks.append(walk(ik, first, [ik.tcp_pose(middle), ik.tcp_pose(last)]))
    worst = np.array([w.off_m.max() for w in walks])
    shares = {
        "held": float((worst <= HELD_M).mean()),
        "arrived": float(np.mean([w.off_m[-1] <= HELD_M for w in walks])),
    }
    return [
        spread(f"{name}: off the path", "mm", worst * 1e3, **shares),
        spread(f"{name}: joint speed", "of limit", [w.share_of_speed for w in walks]),
        spread(f"{name}: joint acceleration", "rad/s2", [w.acceleration_rad_s2 for w in walks]),
    ]


def measure_servo_arm(count: int) -> list[Row]:
    """Paths at 500 Hz on the arm in MuJoCo."""
    rng, ik, model = np.random.default_rng(2), new_ik(PERIOD_S), servo_model()
    off, behind = [], []
    for _ in range(count):
        arm, q = ServoArm(model), HOME
        start, move = arm.tcp_pose(), rng.uniform(-0.12, 0.12, 3)
        direction = move / np.linalg.norm(move)
        # At 0.15 m/s, after a second's ramp so that the servos are asked for no jump.
        speeds = 0.15 * np.minimum(np.arange(1, 10_000) / 500, 1.0)
        for gone in np.cumsum(speeds) * PERIOD_S:
            if gone > np.linalg.norm(move):
                break
            target = start + np.concatenate([direction * gone, np.zeros(4)])
            q = q + ik.step_towards(q, target).joint_delta
            arm.step(q)
            left = target[:3] - arm.tcp_pose()[:3]
            behind.append(left @ direction)
            off.append(np.linalg.norm(left - behind[-1] * direction))
    off_mm, behind_mm = np.array(off) * 1e3, np.array(behind) * 1e3
    held = float((off_mm <= HELD_M * 1e3).mean())
    return [
        spread("servo arm: off the line", "mm", off_mm, held=held),
        spread("servo arm: behind on it", "mm", behind_mm),
    ]


def plate(stiffness_n_m: float | None):
    """A round tip on the hand, and below it a plate on a spring; None: a table that is rigid."""

    def dress(spec: mujoco.MjSpec, hand: mujoco.MjsBody) -> None:
        tip = hand.add_body(name="tip", pos=[0, 0, fr3.HAND_TCP_M - 0.01], gravcomp=1.0)
        tip.add_geom(size=[0.01, 0, 0], mass=0.05, contype=0, conaffinity=1)
        body = spec.worldbody.add_body(name="plate", pos=[0.307, 0, 0.46], gravcomp=1.0)
        if stiffness_n_m is not None:
            joint = body.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1])
            fr3.set_linear(joint, "stiffness", stiffness_n_m)
            fr3.set_linear(joint, "damping", 1.4 * np.sqrt(0.5 * stiffness_n_m))
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.2, 0.2, 0.01],
            mass=0.5,
            contype=1,
            conaffinity=0,
            solref=[0.004, 1.0],
        )

    return dress


def press_config(contact_n_m: float) -> AdmittanceConfig:
    """A tool that is led by force along its z, with the least damping that is let through."""
    # A servo follows two over its rate behind; one period more is the simulation's own.
    lag_s = 2.0 / fr3_joint.SERVO_RAD_S + PERIOD_S
    mass, off = 2.0, 1e6
    damping = max(2.0 * np.sqrt(mass * contact_n_m), 2.0 * contact_n_m * (PERIOD_S / 2 + lag_s))
    return AdmittanceConfig(
        frame="tcp",
        mass=(mass,) * 3 + (0.1,) * 3,
        damping=(100.0, 100.0, 1.001 * damping, 5.0, 5.0, 5.0),
        stiffness=(0.0,) * 6,
        # Beyond every force: these axes are led by nothing.
        dead_band=(off, off, 0.2, off, off, off),
        contact_stiffness=(0.0, 0.0, contact_n_m, 0.0, 0.0, 0.0),
        lag_s=lag_s,
        period_s=PERIOD_S,
    )


def measure_contact(name: str, stiffness_n_m: float | None, seconds: float = 4.0) -> Row:
    """Down onto the plate until the force is there; the force is the wrist sensor's."""
    arm, ik = ServoArm(servo_model(plate(stiffness_n_m))), new_ik(PERIOD_S)
    yielding = arm.compliance()[2, 2] + (1.0 / stiffness_n_m if stiffness_n_m else 0.0)
    law = press_config(1.0 / yielding).build(cell_limits())
    q, target, force = HOME, arm.tcp_pose(), []
    desired = np.array([0, 0, -PRESS_N, 0, 0, 0])
    for _ in range(round(seconds / PERIOD_S)):
        wrench = arm.wrench()
        force.append(-wrench[2])
        target = pose_plus_delta(target, law.step(wrench, target, desired).tcp_delta)
        q = q + ik.step_towards(q, target).joint_delta
        arm.step(q)
    felt, last = np.array(force), np.array(force[-250:])
    outside = np.flatnonzero(np.abs(felt - PRESS_N) > 0.1 * PRESS_N)
    touched = int(np.argmax(felt > 0.1 * PRESS_N))
    return spread(
        f"contact, {name}: force",
        "N",
        felt[touched:],
        over=max(0.0, float(felt.max()) / PRESS_N - 1.0),
        error_n=float(np.abs(last - PRESS_N).max()),
        settled_s=float(outside[-1] + 1 - touched) * PERIOD_S,
    )


def claims(rows: list[Row]) -> list[Claim]:
    """What is held of it."""
    named = {str(row["name"]): row for row in rows}
    call, contacts = named["call, CPU time"], [row for row in rows if "over" in row]
    speeds = [row["max"] for row in rows if "joint speed" in row["name"]]
    return [
        at_most("call of the inverse kinematics, CPU time p50", call["p50"], "ms", 0.5),
        at_most("the same, p99", call["p99"], "ms", 0.5),
        at_least("regular paths within 1 mm", named["regular: off the path"]["held"], "", 0.99),
        at_most("joint speed on any path", max(speeds), "of limit", 1.0 + 1e-9),
        at_most("servo arm off the line, p99", named["servo arm: off the line"]["p99"], "mm", 1.0),
        at_most("overshoot, worst contact", max(row["over"] for row in contacts), "", 0.2),
        at_most("force error, worst contact", max(row["error_n"] for row in contacts), "N", 0.5),
    ]


def main(options: Options) -> None:
    """Measure one after the other."""
    count = 200 if options.quick else 10_000
    rows = measure_calls(2_000 if options.quick else 20_000)
    rows += [row for name in ("regular", "singular") for row in measure_paths(name, count)]
    rows += measure_servo_arm(4 if options.quick else 40)
    rows += [measure_contact(f"{k:g} N/m", k) for k in PLATES_N_M]
    rows.append(measure_contact("rigid", None))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    publish("Cartesian control", rows, claims(rows), options.file, columns=columns)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
