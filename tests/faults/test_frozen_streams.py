"""Streams that are wrong though they keep coming: promises S1, S2, S5 and C2 of the sensors."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from point_cell import FRONT, STREAM_OF, WRIST, PointCell, Wanderer, build_env

from robot_rl.core.clock import ManualClock
from robot_rl.core.spec import JOINT_POSITION, TCP_POSE, WRENCH
from robot_rl.core.types import GateState
from robot_rl.sensing.intake import Arrival, Intake

KEYS = (WRIST, FRONT, JOINT_POSITION, TCP_POSE, WRENCH)
NOISY = {key: {"may_repeat": "never"} for key in KEYS}
# A wrench without noise may repeat itself for ever: of that nothing can be told.
NOISELESS = {key: {"may_repeat": "at_rest"} for key in KEYS if key != WRENCH}


class Drive:
    """An episode that goes on for ever, and what the gate makes of it."""

    def __init__(self, cell: PointCell, watch, seed: int = 0) -> None:
        self.cell = cell
        self.env, self.monitor = build_env(cell, watch)
        self.wanderer = Wanderer(seed)
        self.observation = self.env.reset(seed)

    def step(self, action: np.ndarray | None = None):
        wish = self.wanderer.act(self.observation) if action is None else action
        result = self.env.step(wish)
        self.observation = result.observation
        return result

    def steps_until(self, condition, most: int) -> int:
        for n in range(1, most + 1):
            if condition(self.step()):
                return n
        raise AssertionError(f"not within {most} periods; the gate says {self.env.gate.cause!r}")

    def run_freely(self, steps: int) -> None:
        for _ in range(steps):
            assert self.step().gate_state == GateState.RUN, self.env.gate.cause


def held(result) -> bool:
    return result.gate_state == GateState.HOLD


def runs(result) -> bool:
    return result.gate_state == GateState.RUN


def inject(key: str, repeats: int, noise: bool, begin, end) -> float:
    """Inject the fault again and again; return the longest time until the gate held [s]."""
    watch = NOISY if noise else NOISELESS
    drive = Drive(PointCell(noise=noise), watch)
    rng = np.random.default_rng(1)
    longest_s = 0.0
    for _ in range(repeats):
        drive.run_freely(int(rng.integers(5, 25)))
        begin(drive.cell)
        start_ns = drive.cell.clock.now_ns()
        drive.steps_until(held, 21)
        longest_s = max(longest_s, (drive.cell.clock.now_ns() - start_ns) / 1e9)
        cause = drive.env.gate.cause
        assert cause.startswith(f"FROZEN: stream {STREAM_OF[key]!r}: "), cause
        assert ("picture" if "images" in key else key) in cause or "nothing but" in cause
        end(drive.cell)
        drive.steps_until(runs, 10)
    assert set(drive.monitor.counts.values()) == {repeats}
    return longest_s


@pytest.mark.parametrize(
    ("key", "noise"), [(key, True) for key in NOISY] + [(key, False) for key in NOISELESS]
)
def test_stream_that_freezes_holds_the_arm_within_a_second(key, noise, repeats, report):
    times = repeats(100, 1000)

    def freeze(cell: PointCell) -> None:
        cell.frozen[key] = None

    def thaw(cell: PointCell) -> None:
        del cell.frozen[key]

    longest_s = inject(key, times, noise, freeze, thaw)
    report(
        f"{key} frozen{'' if noise else ', no noise'}",
        injected=times,
        found=times,
        longest_s=round(longest_s, 3),
    )
    assert longest_s <= 1.0


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("key", [WRIST, FRONT])
def test_camera_that_goes_black_or_white_holds_the_arm_within_a_second(
    key, level, repeats, report
):
    times = repeats(100, 1000)

    def cover(cell: PointCell) -> None:
        cell.blank[key] = level

    def uncover(cell: PointCell) -> None:
        del cell.blank[key]

    longest_s = inject(key, times, True, cover, uncover)
    what = "black" if level == 0 else "white"
    report(f"{key} {what}", injected=times, found=times, longest_s=round(longest_s, 3))
    assert longest_s <= 1.0


@pytest.mark.parametrize("noise", [True, False], ids=["noise", "no noise"])
def test_healthy_streams_raise_no_alarm_whether_the_arm_moves_or_rests(noise, repeats, report):
    frames = repeats(10_000, 100_000)
    cell = PointCell(noise=noise)
    _, monitor = build_env(cell, NOISY if noise else NOISELESS)
    for n in range(frames):
        if n % 1000 >= 300:
            cell.position = 0.3 * np.sin(np.array([0.031, 0.023, 0.017]) * n)
        cell.clock.advance_s(0.05)
        samples = {"arm": cell.read()} | {s.name: s.latest() for s in cell.sensors}
        assert monitor.watch(samples, cell.clock.now_ns()).refusal is None
    report(f"healthy frames, {'with' if noise else 'without'} noise", frames=frames, alarms=0)
    assert monitor.counts == {}


@pytest.mark.parametrize("key", [JOINT_POSITION, TCP_POSE])
def test_encoder_spike_of_one_sample_never_becomes_a_command(key, repeats, report):
    times = repeats(1000, 10_000)
    rates = {JOINT_POSITION: [1.0], TCP_POSE: [0.5, 1.0]}
    watch = {k: {"may_repeat": "always", "max_rate_per_s": r} for k, r in rates.items()}
    drive = Drive(PointCell(), watch)
    cell = drive.cell
    period_s = cell.task.action.period_s
    rng = np.random.default_rng(2)
    changes_m, spiked_at = [], []
    before = np.zeros(3)
    for n in range(4 * times):
        if n % 4 == 3:
            # From just beyond what is believed to a full turn, either way.
            jump = rng.choice([-1, 1], 3) * rng.uniform(0.06, 6.0, 3)
            true = drive.observation.vectors[key]
            cell.spiked[key] = np.concatenate([true[:3] + jump, true[3:]]).astype(np.float32)
            spiked_at.append(n)
        result = drive.step()
        cell.spiked.clear()
        seen = result.observation.vectors[TCP_POSE][:3]
        # At most one period old, at the speed limit.
        assert np.abs(seen - cell.position).max() <= 0.25 * period_s + 1e-4
        assert not result.gate_reason.refuses
        command = cell.commands[-1][1].values[:3]
        changes_m.append(float(np.abs(command - before).max()))
        before = command
    after_spike = {n + 1 for n in spiked_at}
    calm = max(c for n, c in enumerate(changes_m) if n not in after_spike)
    shaken = max(c for n, c in enumerate(changes_m) if n in after_spike)
    report(
        f"{key} spiked",
        injected=times,
        holds=0,
        change_mm=f"{shaken * 1e3:.2f} of {calm * 1e3:.2f}",
    )
    assert shaken <= calm + 1e-9
    assert drive.monitor.counts == {("arm", "spike"): times}
    assert drive.env.gate.counts.holds == 0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_lost_repeated_overtaken_and_late_frames_are_counted_exactly(share, repeats, report):
    frames = repeats(100_000, 1_000_000)
    rng = np.random.default_rng(3)
    clock = ManualClock(start_ns=10**12)
    intake = Intake("camera", clock, late_after_s=0.02)
    expected = Counter[str]()
    held_back: int | None = None
    content = np.zeros(1, np.float32)

    def put(sequence: int, delay_ms: float = 0.0) -> Arrival:
        clock.advance_s(0.001)
        return intake.put(
            sequence, clock.now_ns() - round(delay_ms * 1e6), vectors={"x": content + sequence}
        )

    faults = rng.random(frames) < share
    kinds = rng.integers(0, 4, frames)
    newest = -1
    for sequence in range(frames):
        clock.advance_s(0.03)
        last = sequence == frames - 1 or sequence == 0
        kind = ("drop", "repeat", "overtaken", "late")[kinds[sequence]]
        if not faults[sequence] or last:
            kind = "good"
        if kind == "drop":
            expected["lost"] += 1
            continue
        if kind == "overtaken" and held_back is None:
            held_back = sequence
            continue
        arrival = put(sequence, 25.0 if kind == "late" else 0.0)
        newest = sequence
        expected["late" if kind == "late" else "fresh"] += 1
        assert arrival == (Arrival.LATE if kind == "late" else Arrival.FRESH)
        if kind == "repeat":
            stamp_ns = intake.latest().stamp_ns
            assert put(sequence) == Arrival.DUPLICATE
            # A repeated frame is never labelled fresh.
            assert intake.latest().stamp_ns == stamp_ns
            expected["duplicates"] += 1
        if held_back is not None:
            assert put(held_back) == Arrival.OUT_OF_ORDER
            expected["out_of_order"] += 1
            held_back = None
        assert intake.latest().vectors["x"][0] == np.float32(newest)
    found = intake.counts
    report(f"{share:.0%} of frames faulty", frames=frames, **expected)
    assert {name: getattr(found, name) for name in found.__slots__} == dict(expected)


def test_clock_of_a_device_that_is_wrong_by_up_to_an_hour_changes_no_stamp(repeats, report):
    times = repeats(1000, 10_000)
    rng = np.random.default_rng(4)
    delays_ms = rng.exponential(5.0, 50)

    def stamps(offset_ns: int) -> list[int]:
        clock = ManualClock(start_ns=10**15)
        intake = Intake("camera", clock, late_after_s=0.02)
        found = []
        for sequence, delay_ms in enumerate(delays_ms):
            clock.advance_s(0.033)
            intake.put(sequence, clock.now_ns() - round(delay_ms * 1e6) + offset_ns)
            found.append(intake.latest().stamp_ns)
        return found

    right = stamps(0)
    for hours in rng.uniform(-1, 1, times):
        assert stamps(round(hours * 3600e9)) == right
    report("clock of a device off by up to 1 h", injected=times, stamps_changed=0)
