"""Checks of what a bench delivers: observation, wrench and pictures.

They wait by the machine's clock and never by the bench's, which would move a simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl.core.protocol import Robot, Sensor
from robot_rl.core.spec import IMAGE_PREFIX, WRENCH, ObservationSpec, TaskSpec
from robot_rl.core.types import Observation, Vector
from robot_rl.sensing.synchroniser import Synchroniser
from robot_rl.session.needs import Eyes
from robot_rl.session.preflight import Finding
from robot_rl.session.view import CameraView

_ENOUGH = 0.8
"""Share of the rate that is expected of a stream."""
_WITHIN_S = 2.0
"""For so long a stream is waited for."""
_LOOK_S = 0.005
_LISTEN_S = 0.002
_MOST_TOLD_HZ = 200.0
"""Sensors are asked again and again; that they are faster than this need not be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Where the observation of a bench comes from.

    Args:
        task: whose observation it is.
        robot, sensors: of the bench.
        clock: of the bench.
    """

    task: TaskSpec
    robot: Robot
    sensors: tuple[Sensor, ...]
    clock: Clock

    def observation(self) -> Observation:
        """The newest of all, joined.

        Raises:
            RobotRlError: if a device fails, is silent or says something else than expected.
        """
        samples = {self.robot.spec.name: self.robot.read()}
        joined = samples | {sensor.name: sensor.latest() for sensor in self.sensors}
        synchroniser = Synchroniser(self.task.observation, self.task.instruction)
        return synchroniser.align(joined, self.clock.now_ns())

    def source_of(self, key: str) -> Callable[[], Observation | None]:
        """What reads the device that delivers a vector.

        Raises:
            RobotRlError: if nobody delivers it by now, or a device fails.
        """
        for read in (self.robot.read, *(sensor.latest for sensor in self.sensors)):
            sample = read()
            if sample is not None and key in sample.vectors:
                return read
        raise HardwareError(f"nobody delivers {key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamsCheck:
    """Everything that the task observes comes, whole and fresh.

    Args:
        streams: of the bench.
        machine: the machine's monotonic clock.
        max_age_s: of the oldest stream.
    """

    streams: Streams
    machine: Clock
    max_age_s: float
    name: str = "observation"

    def run(self) -> Finding:
        """See `Check`."""
        deadline_ns = self.machine.now_ns() + round(_WITHIN_S * NS_PER_S)
        while True:
            finding = self._look()
            if finding.good or self.machine.now_ns() >= deadline_ns:
                return finding
            _wait(self.machine)

    def _look(self) -> Finding:
        remedy = "see that the device is connected and its driver runs"
        try:
            observation = self.streams.observation()
        except RobotRlError as error:
            return Finding(good=False, words=str(error), remedy=remedy)
        oldest = max(observation.ages_s, key=lambda stream: observation.ages_s[stream])
        age_s = observation.ages_s[oldest]
        what = f"{_count(observation.vectors, 'vector')}, {_count(observation.images, 'image')}"
        if age_s > self.max_age_s:
            words = f"{oldest} is {age_s:.3f} s old, at most {self.max_age_s:g} s are borne"
            return Finding(good=False, words=words, remedy=remedy)
        absurd = [k for k, vector in observation.vectors.items() if not np.isfinite(vector).all()]
        if absurd:
            words = f"{', '.join(absurd)} has elements that are not finite"
            return Finding(good=False, words=words, remedy=remedy)
        return Finding(good=True, words=f"{what}; the oldest, {oldest}, {1e3 * age_s:.0f} ms old")


class ForceCheck:
    """The wrench sensor tells fast enough, and that nothing is touched.

    Once it has been near zero it need not be so again: between episodes the tool may touch
    something, and the next reset tares.

    Args:
        streams: of the bench.
        machine: the machine's monotonic clock.
        rest_n, rest_n_m: of force and torque near zero.
        rate_hz: of its samples.
    """

    name = "force-torque"

    def __init__(
        self, streams: Streams, machine: Clock, rest_n: float, rest_n_m: float, rate_hz: float
    ) -> None:
        self._streams = streams
        self._machine = machine
        self._rest = (rest_n, rest_n_m)
        self._rate_hz = min(rate_hz, _MOST_TOLD_HZ)
        self._was_free = False

    def run(self) -> Finding:
        """See `Check`."""
        remedy = "see that the sensor is connected and its driver runs"
        try:
            samples = self._listen()
        except RobotRlError as error:
            return Finding(good=False, words=str(error), remedy=remedy)
        wrenches = np.array([wrench for _, wrench in samples])
        span_s = (samples[-1][0] - samples[0][0]) / NS_PER_S if samples else 0.0
        rate_hz = (len(samples) - 1) / span_s if span_s else 0.0
        if rate_hz < _ENOUGH * self._rate_hz:
            words = f"{rate_hz:.0f} samples a second, expected {self._rate_hz:g}"
            return Finding(good=False, words=words, remedy=remedy)
        if not np.isfinite(wrenches).all():
            return Finding(good=False, words="its samples are not finite", remedy=remedy)
        mean = wrenches.mean(0)
        force_n, torque_n_m = (float(np.linalg.norm(part)) for part in (mean[:3], mean[3:]))
        told = f"{force_n:.2f} N, {torque_n_m:.3f} N m at {rate_hz:.0f} Hz"
        rest_n, rest_n_m = self._rest
        free = force_n <= rest_n and torque_n_m <= rest_n_m
        self._was_free |= free
        if free:
            return Finding(good=True, words=told)
        if self._was_free:
            return Finding(good=True, words=f"{told}: the tool touches something now")
        return Finding(
            good=False,
            words=f"{told}; near zero is up to {rest_n:g} N and {rest_n_m:g} N m",
            remedy="see that the tool touches nothing and nobody holds it, then tare the sensor",
        )

    def _listen(self) -> list[tuple[int, Vector]]:
        """The samples of as long as ten of them take, half a second at least."""
        read = self._streams.source_of(WRENCH)
        lasts_s = min(_WITHIN_S, max(0.5, 10 / self._rate_hz))
        deadline_ns = self._machine.now_ns() + round(lasts_s * NS_PER_S)
        samples: list[tuple[int, Vector]] = []
        while self._machine.now_ns() < deadline_ns:
            sample = read()
            if sample is not None and (not samples or sample.stamp_ns > samples[-1][0]):
                samples.append((sample.stamp_ns, sample.vectors[WRENCH]))
            _wait(self._machine, _LISTEN_S)
        return samples


@dataclass(frozen=True, slots=True, kw_only=True)
class CamerasCheck:
    """Every camera gives pictures, fast enough, that are not frozen.

    Args:
        eyes: where pictures are seen; they are started.
        sensors: whose pictures are shown to them meanwhile.
        machine: the machine's monotonic clock.
        rates_hz: of each camera, by name; of others `rate_hz`.
    """

    eyes: Eyes
    sensors: Sequence[Sensor]
    machine: Clock
    rates_hz: Mapping[str, float]
    rate_hz: float
    name: str = "cameras"

    def run(self) -> Finding:
        """See `Check`."""
        deadline_ns = self.machine.now_ns() + round(_WITHIN_S * NS_PER_S)
        remedy = "see that the camera is connected, to a port that is fast enough"
        cameras, failure = list(self.sensors), ""
        while True:
            try:
                cameras = [sensor for sensor in cameras if self._look(sensor)]
            except RobotRlError as error:
                failure = str(error)
            views = self.eyes.views()
            slow = [words for view in views if (words := self._complaint(view))]
            if not failure and not slow:
                break
            if self.machine.now_ns() >= deadline_ns:
                return Finding(good=False, words=failure or "; ".join(slow), remedy=remedy)
            failure = ""
            _wait(self.machine)
        seen = ", ".join(f"{view.name} {view.rate_hz:.0f} Hz" for view in views)
        serials = [f"{s.name} is {serial}" for s in self.sensors if (serial := _serial(s))]
        words = "; ".join([seen, *serials]) if seen else "this bench has no cameras"
        return Finding(good=True, words=words)

    def _look(self, sensor: Sensor) -> bool:
        """Show what a sensor sees; whether it may be a camera."""
        sample = sensor.latest()
        if sample is not None and sample.images:
            self.eyes.observed(sample)
        return sample is None or any(key.startswith(IMAGE_PREFIX) for key in sample.images)

    def _complaint(self, view: CameraView) -> str:
        expected_hz = self.rates_hz.get(view.name, self.rate_hz)
        if view.frozen:
            return f"{view.name}: {view.words}"
        if view.age_s is None:
            return f"{view.name}: no picture within {_WITHIN_S:g} s"
        if view.rate_hz < _ENOUGH * expected_hz:
            return f"{view.name}: {view.rate_hz:.1f} pictures a second, expected {expected_hz:g}"
        return ""


def observes_wrench(observation: ObservationSpec) -> bool:
    """Whether a task looks at forces."""
    return WRENCH in observation.vectors


def _wait(clock: Clock, seconds: float = _LOOK_S) -> None:
    clock.sleep_until_ns(clock.now_ns() + math.ceil(seconds * NS_PER_S))


def _count(things: Mapping[str, Any], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _serial(sensor: Sensor) -> str:
    return str(getattr(sensor, "serial", "") or "")
