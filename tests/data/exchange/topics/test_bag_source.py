"""What a recording becomes, on a recording in memory (the files have their own tests).

The recording of `Ros.recording` at 10 Hz: all three topics speak from 20 to 300 ms, so the ticks
are 20, 120 and 220 ms; the newest joints are then those of 0, 100 and 200 ms, the images those of
20, 120 and 220 ms, the commands those of 10 and 110 ms.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.types import Outcome, Source
from robot_rl.data.exchange.topics.bag import BagMessage, TopicInfo
from robot_rl.data.exchange.topics.bag_source import BagSource

WRIST = "observation.images.wrist"
STATE = "observation.state"


class FakeBag:
    """A recording in memory that counts what was asked of it."""

    path = Path("recordings/plug 1")

    def __init__(self, ros, messages):
        counts = Counter(topic for topic, _, _ in messages)
        types = {topic: content.__msgtype__ for topic, _, content in messages}
        self.topics = {t: TopicInfo(type=types[t], count=n) for t, n in counts.items()}
        self.reads = []
        self._messages = [(t, ros.at(ms), content) for t, ms, content in messages]

    def messages(self, topics, start_ns=None, stop_ns=None):
        self.reads.append(sorted(topics))
        for topic, log_ns, content in self._messages:
            if topic in topics and (start_ns or 0) <= log_ns <= (stop_ns or 2**63):
                yield BagMessage(topic=topic, log_ns=log_ns, content=content)


@pytest.fixture
def source(ros, make_map):
    def build(messages=None, **overrides):
        return BagSource(FakeBag(ros, messages or ros.recording()), make_map(**overrides))

    return build


def only(source):
    (episode,) = source.episodes()
    return episode


def milliseconds(ros, stamps):
    return ((stamps - ros.start_ns) / 1e6).tolist()


def test_streams_of_three_rates_meet_at_the_ticks(ros, source):
    episode = only(source())
    assert milliseconds(ros, episode.stamps_ns) == [20, 120, 220]
    assert episode.vectors[STATE] == pytest.approx(np.array([[0, 0], [0.1, -0.1], [0.2, -0.2]]))
    assert episode.images[WRIST][:, 0, 0, 0].tolist() == [10, 60, 110]
    # 0.1 and 1.1 of a scale of 4; -1 of a scale of 1.
    assert episode.action == pytest.approx(np.array([[0.025, -1], [0.275, -1]]))
    assert episode.ages_s == pytest.approx(np.array([0.02, 0.02, 0.02]))


def test_by_the_log_clock_late_images_count_late(ros, source):
    episode = only(source(clock="log"))
    assert milliseconds(ros, episode.stamps_ns) == [50, 150, 250]
    assert episode.images[WRIST][:, 0, 0, 0].tolist() == [10, 60, 110]
    assert episode.vectors[STATE][:, 0] == pytest.approx([0.05, 0.15, 0.25])


def test_specs_say_what_the_map_and_the_messages_say(source):
    spec = source(instruction="plug it in").spec
    assert (spec.robot, spec.task.name, spec.task.instruction) == ("arm", "plug", "plug it in")
    assert spec.task.observation.vectors[STATE].names == ("a", "b")
    assert spec.task.observation.vectors[STATE].unit == "rad"
    image = spec.task.observation.images[WRIST]
    assert (image.height, image.width) == (2, 3)
    assert spec.task.action.scale == (4.0, 1.0)
    assert spec.task.action.period_s == 0.1
    assert spec.task.horizon == 2


def test_episodes_fit_their_spec_and_say_who_drove(source):
    made = source(decided_by="policy")
    episode = only(made)
    made.spec.task.observation.check(episode.observation(0).vectors, episode.observation(0).images)
    assert episode.metadata.contract == made.spec.contract
    assert episode.metadata.config_hash
    assert set(episode.source) == {Source.POLICY}
    assert set(only(source()).source) == {Source.DEMO}
    assert episode.episode_id == "plug-1-0000"


def test_a_second_reading_gives_the_same_again(source):
    made = source()
    first, second = only(made), only(made)
    assert np.array_equal(first.images[WRIST], second.images[WRIST])


def test_images_are_read_apart_from_numbers_and_only_for_their_episode(ros, make_map):
    bag = FakeBag(ros, ros.recording())
    made = BagSource(bag, make_map())
    assert bag.reads == [["/camera", "/command", "/joints"]]
    only(made)
    assert bag.reads[1:] == [["/camera"]]


def test_scale_of_an_opaque_action_is_its_greatest_magnitude(source):
    made = source(action={"topic": "/command"})
    # Commands are 0.1, 1.1, 2.1, 3.1 and -1.
    assert made.spec.task.action.scale == pytest.approx((3.1, 1.0))
    assert only(made).action[1] == pytest.approx([1.1 / 3.1, -1])


def test_action_beyond_its_scale_is_refused_with_the_value(source):
    made = source(action={"topic": "/command", "scale": 1.0})
    with pytest.raises(ContractError, match=r"element '0' is 1\.1 times its scale 1.*1 places"):
        only(made)


def test_factor_comes_before_scale(source):
    action = {"topic": "/command", "factor": 0.5, "scale": [2.0, 1.0]}
    assert only(source(action=action)).action == pytest.approx(
        np.array([[0.025, -0.5], [0.275, -0.5]])
    )


def test_gripper_is_appended_open_as_plus_one(ros, source):
    widths = [("/gripper", ms, ros.floats(w)) for ms, w in ((0, 0.08), (100, 0.0), (300, 0.02))]
    gripper = {"topic": "/gripper", "open": 0.08, "closed": 0.0}
    made = source(
        [*ros.recording(), *widths],
        action={"topic": "/command", "scale": [4.0, 1.0], "gripper": gripper},
        max_age_s=0.2,
    )
    assert made.spec.task.action.names == ("0", "1", "gripper")
    assert only(made).action[:, 2] == pytest.approx([1, -1])


def test_missing_topic_lists_those_there_are(source):
    with pytest.raises(StorageError) as caught:
        source(images={WRIST: {"topic": "/camra"}})
    text = str(caught.value)
    assert "images.observation.images.wrist: no topic '/camra'; did you mean '/camera'?" in text
    assert "/joints (sensor_msgs/msg/JointState, 7 messages)" in text
    assert "/camera (sensor_msgs/msg/Image, 4 messages)" in text


def test_sample_that_is_too_old_is_named_with_topic_and_instant(ros, source):
    messages = [m for m in ros.recording() if m[:2] != ("/camera", 150)]
    made = source(messages)
    # Without the image of 120 ms, that of 20 ms is 100 ms old at the tick of 120: allowed.
    assert only(made).images[WRIST][:, 0, 0, 0].tolist() == [10, 10, 110]
    with pytest.raises(ContractError, match=rf"\(/camera\): at {ros.at(120)} ns .* 0\.100 s old"):
        only(source(messages, max_age_s=0.099))


def test_topic_that_falls_silent_early_is_refused_unless_a_part_is_allowed(ros, source):
    messages = [m for m in ros.recording() if m[0] != "/joints" or m[1] <= 150]
    with pytest.raises(ContractError, match=r"\(/joints\) falls silent 0\.170 s before"):
        source(messages)
    episode = only(source(messages, allow_partial=True))
    assert milliseconds(ros, episode.stamps_ns) == [20, 120]


def test_topics_on_clocks_that_disagree_are_refused_with_the_remedy(ros, source):
    messages = [
        (t, ms, ros.joints(ms - 900_000, [0.0, 0.0], ("a", "b")) if t == "/joints" else m)
        for t, ms, m in ros.recording()
    ]
    with pytest.raises(ContractError, match="clock: log"):
        source(messages)
    assert len(only(source(messages, clock="log"))) == 2


def test_number_that_is_not_finite_is_named(ros, source):
    messages = [*ros.recording(), ("/joints", 310, ros.joints(310, [0.0, np.nan], ("a", "b")))]
    with pytest.raises(ContractError, match=rf"\(/joints\) at {ros.at(310)} ns: element 'b'"):
        source(messages)


def test_joints_that_change_need_names(ros, source):
    messages = [*ros.recording(), ("/joints", 305, ros.joints(305, [9.0], ("finger",)))]
    with pytest.raises(ContractError, match=r"\['finger'\], before there were \['a', 'b'\]"):
        source(messages)
    vectors = {STATE: {"topic": "/joints", "unit": "rad", "names": ["b"]}}
    assert only(source(messages, vectors=vectors)).vectors[STATE].shape == (3, 1)
    vectors = {STATE: {"topic": "/joints", "unit": "rad", "names": ["c"]}}
    with pytest.raises(StorageError, match=r"no message has the elements \['c'\]"):
        source(messages, vectors=vectors)


def test_empty_field_is_refused(source):
    vectors = {STATE: {"topic": "/joints", "unit": "N m", "field": "effort"}}
    with pytest.raises(StorageError, match=r"topic /joints .*'effort' is empty"):
        source(vectors=vectors)


def test_image_of_another_size_is_refused_unless_resized(ros, source):
    big = ros.image(220, np.full((4, 6, 3), 110, np.uint8))
    messages = [(t, ms, big if (t, ms) == ("/camera", 250) else m) for t, ms, m in ros.recording()]
    with pytest.raises(ContractError, match=r"got 4 x 6, the first had 2 x 3"):
        only(source(messages))
    images = {WRIST: {"topic": "/camera", "height": 2, "width": 3}}
    assert only(source(messages, images=images)).images[WRIST][2, 0, 0, 0] == 110


def test_one_camera_may_serve_twice(source):
    images = {
        WRIST: {"topic": "/camera"},
        "observation.images.small": {"topic": "/camera", "height": 1, "width": 1},
    }
    episode = only(source(images=images))
    assert episode.images["observation.images.small"].shape == (3, 1, 1, 3)
    assert episode.images["observation.images.small"][:, 0, 0, 0].tolist() == [10, 60, 110]


def flags(ros, topic, *changes):
    return [(topic, ms, ros.flag(up)) for ms, up in changes]


def test_flag_cuts_episodes_and_success_judges_each(ros, source):
    messages = [
        *ros.recording(),
        *flags(ros, "/active", (0, False), (30, True), (140, False), (190, True), (300, False)),
        *flags(ros, "/success", (150, True), (290, False)),
    ]
    made = source(
        messages,
        max_age_s=0.2,
        episode={"by": "flag", "flag": {"topic": "/active"}},
        success={"topic": "/success"},
    )
    first, second = made.episodes()
    assert len(made) == 2
    assert milliseconds(ros, first.stamps_ns) == [30, 130]
    assert milliseconds(ros, second.stamps_ns) == [190, 290]
    assert (first.outcome, second.outcome) == (Outcome.SUCCESS, Outcome.FAILURE)
    assert (first.terminated, first.truncated) == (True, False)
    assert (second.terminated, second.truncated) == (False, True)
    assert (first.reward.tolist(), second.reward.tolist()) == ([1.0], [0.0])
    assert second.images[WRIST][:, 0, 0, 0].tolist() == [60, 110]


def test_gaps_cut_episodes(ros, source):
    later = [
        (t, ms + 5000, _later(ros, t, ms + 5000, content)) for t, ms, content in ros.recording()
    ]
    made = source([*ros.recording(), *later], episode={"by": "gap", "gap_s": 1.0})
    first, second = made.episodes()
    assert milliseconds(ros, first.stamps_ns) == [20, 120, 220]
    assert milliseconds(ros, second.stamps_ns) == [5020, 5120, 5220]
    assert [e.episode_id for e in (first, second)] == ["plug-1-0000", "plug-1-0001"]
    assert {e.outcome for e in (first, second)} == {Outcome.UNKNOWN}


def _later(ros, topic, ms, content):
    if topic == "/command":
        return content
    header = ros.header(ms - (30 if topic == "/camera" else 0))
    return type(content)(**{**vars(content), "header": header})


def test_recording_without_a_whole_step_is_refused(source):
    with pytest.raises(StorageError, match="no episode"):
        source(rate_hz=1.0)
