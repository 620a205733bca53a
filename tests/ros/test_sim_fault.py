from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError
from robot_rl_sim_nodes.sim_fault import FAULTS, Faults, FaultSettings, Outgoing

pytestmark = pytest.mark.ros

TOPICS = ("joint_states", "external_wrench", "cameras/wrist/policy/image_raw")
MS = 1_000_000


def sample(topic: str = "external_wrench", stamp_ms: int = 0, value: float = 1.0) -> Outgoing:
    return Outgoing(topic=topic, stamp_ns=stamp_ms * MS, frame="tcp", content=np.full(6, value))


def passed(faults: Faults, out: Outgoing, now_ms: int = 0) -> list[Outgoing]:
    return faults.passed_on(out, now_ms * MS)


def test_without_faults_a_sample_passes_as_it_is() -> None:
    out = sample()
    assert passed(Faults(), out) == [out]


def test_a_dropped_topic_is_silent_and_another_is_not() -> None:
    faults = Faults(FaultSettings(drop=("external_wrench",)))
    assert passed(faults, sample()) == []
    assert len(passed(faults, sample("joint_states"))) == 1


def test_a_frozen_topic_keeps_its_content_but_not_its_stamps_until_it_thaws() -> None:
    faults = Faults(FaultSettings(freeze=("external_wrench",)))
    outs = [passed(faults, sample(stamp_ms=k, value=k))[0] for k in range(3)]
    assert [out.content[0] for out in outs] == [0.0, 0.0, 0.0]
    assert [out.stamp_ns for out in outs] == [0, MS, 2 * MS]
    faults.settings = FaultSettings()
    assert passed(faults, sample(value=3.0))[0].content[0] == 3.0


def test_nan_frame_ahead_and_encoding_change_what_they_say() -> None:
    topics = ("external_wrench",)
    faults = Faults(FaultSettings(nan=topics, frame=topics, ahead=topics, ahead_s=2.0))
    (out,) = passed(faults, sample(stamp_ms=10))
    assert np.isnan(out.content).all()
    assert (out.frame, out.stamp_ns) == ("somewhere", 2010 * MS)
    image = replace(sample(TOPICS[2]), content=np.zeros((2, 2, 3), np.uint8))
    (seen,) = passed(Faults(FaultSettings(encoding=(TOPICS[2],))), image)
    assert (image.encoding, seen.encoding) == ("rgb8", "yuv422")


def test_a_force_is_added_along_z_of_the_wrench_alone() -> None:
    faults = Faults(FaultSettings(force_n=40.0))
    assert passed(faults, sample())[0].content.tolist() == [1, 1, 41, 1, 1, 1]
    assert passed(faults, sample("joint_states"))[0].content.tolist() == [1] * 6


def test_a_delayed_sample_goes_out_with_the_first_that_comes_after_its_time() -> None:
    faults = Faults(FaultSettings(delay=("external_wrench",), delay_s=0.02))
    sent = {k: passed(faults, sample(stamp_ms=k), k) for k in (0, 10, 20, 30)}
    assert [[o.stamp_ns // MS for o in outs] for outs in sent.values()] == [[], [], [0], [10]]
    faults.settings = FaultSettings()
    late = passed(faults, sample(stamp_ms=40), 40)
    assert [out.stamp_ns // MS for out in late] == [20, 30, 40]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (FaultSettings(drop=("joint_state",)), "fault.drop: no topic 'joint_state'; did you mean"),
        (FaultSettings(nan=(TOPICS[2],)), "image_raw cannot have this fault"),
        (FaultSettings(encoding=("joint_states",)), "joint_states cannot have this fault"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(settings: FaultSettings, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings.check(TOPICS)


def test_every_fault_is_a_live_parameter_with_a_description() -> None:
    assert all(fault.live and len(fault.description) > 10 for fault in FAULTS)
    defaults = {fault.name: fault.default for fault in FAULTS}
    assert FaultSettings.of(defaults) == FaultSettings()
