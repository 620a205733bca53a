from __future__ import annotations

import logging

import numpy as np
import pytest
from pydantic import ValidationError

from robot_rl.core.errors import ConfigError
from robot_rl.core.spec import (
    JOINT_POSITION,
    TCP_POSE,
    WRENCH,
    ImageSpec,
    ObservationSpec,
    VectorSpec,
)
from robot_rl.core.types import GateReason, Observation
from robot_rl.sensing.monitor import StreamMonitor, StreamMonitorConfig

MS = 1_000_000
CAMERA = "observation.images.wrist"
SPEC = ObservationSpec(
    vectors={
        JOINT_POSITION: VectorSpec(names=("a", "b"), unit="rad"),
        TCP_POSE: VectorSpec(names=("x", "y", "z", "qx", "qy", "qz", "qw"), unit="m"),
        WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N"),
    },
    images={CAMERA: ImageSpec(height=16, width=16)},
)


def build_monitor(**keys: dict) -> StreamMonitor:
    config = {"keys": keys, "fault_after_s": 0.5, "motion_m": 0.01, "motion_rad": 0.1}
    return StreamMonitorConfig.model_validate(config).build(SPEC, period_s=0.1)


class Bench:
    """An arm that moves by 3 cm a period, noisy sensors, and a monitor that looks at them."""

    def __init__(self, monitor: StreamMonitor) -> None:
        self.monitor = monitor
        self.rng = np.random.default_rng(0)
        self.tick = 0

    def samples(self) -> dict[str, Observation]:
        stamp_ns = self.tick * 100 * MS
        arm = {
            JOINT_POSITION: np.full(2, 0.05 * self.tick, np.float32),
            TCP_POSE: np.array([0.03 * self.tick, 0, 0, 0, 0, 0, 1], np.float32),
            WRENCH: self.rng.normal(size=6).astype(np.float32),
        }
        image = self.rng.integers(0, 256, (16, 16, 3), np.uint8)
        return {
            "arm": Observation(stamp_ns=stamp_ns, vectors=arm),
            "wrist": Observation(stamp_ns=stamp_ns, vectors={}, images={CAMERA: image}),
        }

    def watch(self, stream: str = "", **changes: object):
        """One period later; `changes` are to what the named stream delivers."""
        self.tick += 1
        samples = self.samples()
        if stream:
            sample = samples[stream]
            fields = {f: getattr(sample, f) for f in ("stamp_ns", "vectors", "images")}
            for name, change in changes.items():
                fields[name] = {**fields[name], **change} if isinstance(change, dict) else change
            samples[stream] = Observation(**fields)
        return self.monitor.watch(samples, self.tick * 100 * MS)


def counts(monitor: StreamMonitor) -> dict[str, int]:
    return {f"{stream} {what}": n for (stream, what), n in monitor.counts.items()}


def test_healthy_samples_pass_untouched():
    bench = Bench(build_monitor(**{JOINT_POSITION: {"may_repeat": "at_rest"}}))
    samples = bench.samples()
    watched = bench.monitor.watch(samples, 0)
    assert watched.refusal is None
    assert watched.samples["wrist"].images is samples["wrist"].images
    for key, vector in samples["arm"].vectors.items():
        assert watched.samples["arm"].vectors[key] is vector


def test_frozen_picture_is_refused_by_name_and_told_of_once(caplog):
    bench = Bench(build_monitor(**{CAMERA: {"may_repeat": "never"}}))
    image = {CAMERA: np.arange(768, dtype=np.uint8).reshape(16, 16, 3)}
    with caplog.at_level(logging.INFO):
        refusals = [bench.watch("wrist", images=image).refusal for _ in range(8)]
        assert bench.watch().refusal is None
    # Equal for more than 0.5 s from the seventh picture on.
    assert refusals[:6] == [None] * 6
    assert refusals[6:] == [
        (GateReason.FROZEN, "stream 'wrist': the same picture for 0.60 s"),
        (GateReason.FROZEN, "stream 'wrist': the same picture for 0.70 s"),
    ]
    assert counts(bench.monitor) == {"wrist frozen": 1}
    assert [r.getMessage() for r in caplog.records] == [
        "stream 'wrist': the same picture for 0.60 s",
        "stream 'wrist' is well again: no longer frozen",
    ]


def test_black_picture_is_refused_however_noisy_its_black():
    bench = Bench(build_monitor(**{CAMERA: {"may_repeat": "never"}}))
    for _ in range(7):
        noise = bench.rng.integers(0, 4, (16, 16, 3), np.uint8)
        watched = bench.watch("wrist", images={CAMERA: noise})
    assert watched.refusal == (
        GateReason.FROZEN,
        "stream 'wrist': nothing but black for 0.60 s",
    )


def test_repeated_wrench_is_refused_and_several_faults_are_all_named():
    watch = {"may_repeat": "never"}
    bench = Bench(build_monitor(**{CAMERA: watch, WRENCH: watch}))
    still = bench.samples()
    monitor = bench.monitor
    for k in range(7):
        samples = {
            name: Observation(stamp_ns=k * 100 * MS, vectors=s.vectors, images=s.images)
            for name, s in still.items()
        }
        watched = monitor.watch(samples, k * 100 * MS)
    reason, words = watched.refusal
    assert reason == GateReason.FROZEN
    assert words == (
        f"stream 'arm': the same {WRENCH} for 0.60 s; stream 'wrist': the same picture for 0.60 s"
    )


def test_joints_that_stay_while_the_tcp_moves_are_refused():
    bench = Bench(build_monitor(**{JOINT_POSITION: {"may_repeat": "at_rest"}}))
    still = {JOINT_POSITION: np.zeros(2, np.float32)}
    refusals = [bench.watch("arm", vectors=still).refusal for _ in range(7)]
    assert refusals[:6] == [None] * 6
    assert refusals[6] == (
        GateReason.FROZEN,
        f"stream 'arm': the same {JOINT_POSITION} for 0.60 s",
    )


def test_fault_of_a_stream_that_does_not_hold_is_counted_and_not_refused():
    bench = Bench(build_monitor(**{CAMERA: {"may_repeat": "never", "holds": False}}))
    black = {CAMERA: np.zeros((16, 16, 3), np.uint8)}
    assert all(bench.watch("wrist", images=black).refusal is None for _ in range(9))
    assert counts(bench.monitor) == {"wrist frozen": 1, "wrist blank": 1}


def test_spike_is_replaced_by_the_last_good_sample_with_its_age():
    bench = Bench(
        build_monitor(**{JOINT_POSITION: {"may_repeat": "always", "max_rate_per_s": [1.0]}})
    )
    bench.watch()
    spiked = bench.watch("arm", vectors={JOINT_POSITION: np.array([0.1, 3.0], np.float32)})
    arm = spiked.samples["arm"]
    np.testing.assert_array_equal(arm.vectors[JOINT_POSITION], np.full(2, 0.05, np.float32))
    assert arm.ages_s == {JOINT_POSITION: 0.1}
    assert arm.vectors[TCP_POSE][0] == np.float32(0.06)
    assert spiked.refusal is None
    after = bench.watch()
    assert after.samples["arm"].vectors[JOINT_POSITION][0] == np.float32(0.15)
    assert after.samples["arm"].ages_s == {}
    assert counts(bench.monitor) == {"arm spike": 1}


def test_jump_that_stays_is_refused_until_it_is_believed():
    bench = Bench(
        build_monitor(**{JOINT_POSITION: {"may_repeat": "always", "max_rate_per_s": [1.0]}})
    )
    bench.watch()
    away = {JOINT_POSITION: np.full(2, 2.0, np.float32)}
    refusals = [bench.watch("arm", vectors=away).refusal for _ in range(3)]
    assert refusals == [
        None,
        (
            GateReason.STALE_OBSERVATION,
            f"stream 'arm': {JOINT_POSITION} has jumped, 2 samples in a row",
        ),
        None,
    ]
    assert counts(bench.monitor) == {"arm spike": 2, "arm jump": 1}


def test_sample_that_is_read_again_is_looked_at_once():
    watch = {"may_repeat": "never", "max_rate_per_s": [1.0]}
    bench = Bench(build_monitor(**{JOINT_POSITION: watch}))
    bench.watch()
    away = {JOINT_POSITION: np.full(2, 2.0, np.float32)}
    for _ in range(20):
        watched = bench.watch("arm", stamp_ns=200 * MS, vectors=away)
    assert watched.refusal is None
    assert watched.samples["arm"].vectors[JOINT_POSITION][0] == np.float32(0.05)
    assert counts(bench.monitor) == {"arm spike": 1}


def test_older_sample_gives_way_to_the_newest_and_is_counted():
    bench = Bench(build_monitor())
    bench.watch()
    newest = bench.watch().samples["arm"]
    assert bench.watch("arm", stamp_ns=100 * MS).samples["arm"] is newest
    assert bench.watch("arm", stamp_ns=100 * MS).samples["arm"] is newest
    assert counts(bench.monitor) == {"arm out_of_order": 1}


def test_stamp_from_the_future_is_refused_and_forgotten():
    bench = Bench(build_monitor())
    newest = bench.watch().samples["arm"]
    watched = bench.watch("arm", stamp_ns=3_600_200 * MS)
    assert watched.samples["arm"] is newest
    assert watched.refusal == (
        GateReason.STALE_OBSERVATION,
        "stream 'arm': stamped 3600.000 s in the future: by whose clock?",
    )
    assert bench.watch().refusal is None
    assert counts(bench.monitor) == {"arm future": 1}


def test_silent_stream_is_left_to_the_synchroniser():
    monitor = build_monitor()
    assert monitor.watch({"arm": None}, 0).samples == {"arm": None}


def test_new_episode_knows_nothing_of_the_one_before_but_counts_on():
    watch = {"may_repeat": "never", "max_rate_per_s": [1.0]}
    bench = Bench(build_monitor(**{CAMERA: {"may_repeat": "never"}, JOINT_POSITION: watch}))
    black = {CAMERA: np.zeros((16, 16, 3), np.uint8)}
    for _ in range(8):
        bench.watch("wrist", images=black)
    before = bench.monitor.counts
    bench.monitor.reset()
    bench.tick += 100
    watched = bench.watch("wrist", images=black)
    assert watched.refusal is None
    assert watched.samples["arm"].ages_s == {}
    assert bench.monitor.counts == before


def test_number_of_rates_that_does_not_fit_the_bench_is_refused():
    rates = {"may_repeat": "never", "max_rate_per_s": [1.0] * 3}
    with pytest.raises(ConfigError, match="expected 2 or 1"):
        build_monitor(**{JOINT_POSITION: rates})


def test_rates_of_a_picture_are_refused():
    with pytest.raises(ValidationError, match="is for vectors"):
        build_monitor(**{CAMERA: {"may_repeat": "never", "max_rate_per_s": [1.0]}})


def test_camera_that_the_task_does_not_use_is_left_out_and_one_that_nobody_names_warned_of(caplog):
    other = "observation.images.other"
    bench = Bench(build_monitor(**{other: {"may_repeat": "never"}}))
    assert [r.getMessage() for r in caplog.records] == [
        f"nobody watches {CAMERA}: name it among the cell's streams"
    ]
    assert bench.watch().refusal is None
