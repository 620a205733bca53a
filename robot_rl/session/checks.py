"""What a session checks before it starts, put together for a station."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from robot_rl.control.limits import SafetyLimits
from robot_rl.core.clock import Clock, MonotonicClock
from robot_rl.core.protocol import Bench, Operator
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.rewards.model import RewardModel
from robot_rl.session.checks_of_cell import (
    ClockCheck,
    GateCheck,
    LimitedGate,
    wall_clock_is_synchronised,
)
from robot_rl.session.checks_of_run import (
    DeviceCheck,
    DiskCheck,
    LearnerCheck,
    RewardCheck,
)
from robot_rl.session.checks_of_streams import (
    CamerasCheck,
    ForceCheck,
    Streams,
    StreamsCheck,
    observes_wrench,
)
from robot_rl.session.config import SessionConfig
from robot_rl.session.eyes import Eyes
from robot_rl.session.preflight import Check


def checks_of(
    bench: Bench,
    config: SessionConfig,
    *,
    eyes: Eyes,
    gate: LimitedGate,
    limits: SafetyLimits,
    store: Path,
    recording: RecordingSpec,
    reward: RewardModel | None = None,
    learner: Callable[[], str] | None = None,
    devices: Sequence[Operator] = (),
    camera_rates_hz: Mapping[str, float] | None = None,
    wrench_rate_hz: float | None = None,
    machine: Clock | None = None,
) -> tuple[Check, ...]:
    """Return the checks of a station, in the order in which they are told.

    Args:
        bench: connected and ready.
        config: of the session.
        eyes: started before the checks are run.
        gate: the cell's.
        limits: that are in force.
        store: folder of the episodes; it need not be there yet.
        recording: what is recorded.
        reward: the model that judges success, if one does.
        learner: returns why the learner is lost, in words; empty while it lives.
        devices: that the person has at the bench; they are open.
        camera_rates_hz: of the policy's cameras, by name; the control rate of those not named.
        wrench_rate_hz: of the wrench sensor; the control rate if not said.
        machine: the machine's monotonic clock.
    """
    machine = machine or MonotonicClock()
    task, period_s = bench.task, bench.task.action.period_s
    streams = Streams(task=task, robot=bench.robot, sensors=bench.sensors, clock=bench.clock)
    force = ForceCheck(
        streams,
        machine,
        config.rest_force_n,
        config.rest_torque_n_m,
        wrench_rate_hz or 1.0 / period_s,
    )
    checks: list[Check] = [
        ClockCheck(bench=bench.clock, machine=machine, is_synchronised=wall_clock_is_synchronised),
        GateCheck(gate=gate, limits=limits),
        StreamsCheck(streams=streams, machine=machine, max_age_s=limits.max_observation_age_s),
        *([force] if observes_wrench(task.observation) else []),
        CamerasCheck(
            eyes=eyes,
            sensors=bench.sensors,
            machine=machine,
            rates_hz={eyes.drawn_name: config.camera_rate_hz, **(camera_rates_hz or {})},
            rate_hz=1.0 / period_s,
        ),
        DiskCheck(store=store, recording=recording, disk=Disk()),
        *(
            DeviceCheck(
                device=device,
                name=_name(index, devices),
                action=task.action,
                clock=bench.clock,
                machine=machine,
                observe=streams.observation,
                stop=gate.estop,
            )
            for index, device in enumerate(devices)
        ),
    ]
    if reward is not None:
        checks.append(RewardCheck(model=reward, observe=streams.observation, machine=machine))
    if learner is not None:
        checks.append(LearnerCheck(loss=learner))
    return tuple(checks)


def _name(index: int, devices: Sequence[Operator]) -> str:
    """The device's name, with a number if another one has it too."""
    name = devices[index].name
    before = sum(device.name == name for device in devices[:index])
    return f"device {name}-{before + 1}" if before else f"device {name}"
