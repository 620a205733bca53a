from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.labelling import SUCCESS
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl_nodes.recording.episodes import EpisodeKeeper, Kept, Start
from robot_rl_nodes.recording.metadata import robot_name
from robot_rl_nodes.recording.steps import ImageShelf, StepReader

pytestmark = pytest.mark.ros

FRONT = "observation.images.front"
STREAM = "camera:front"
TASK = TaskSpec(
    name="plug",
    horizon=20,
    observation=ObservationSpec(
        vectors={"observation.state": VectorSpec(names=("a", "b"), unit="rad")},
        images={FRONT: ImageSpec(height=2, width=3)},
    ),
    action=ActionSpec(kind="joint_delta", names=("a", "b"), scale=(0.1, 0.1), period_s=0.1),
)
RUNNING, SAVING = 3, 4


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = NS_PER_S

    def now_ns(self) -> int:
        return self.ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.ns = max(self.ns, deadline_ns)


def time(ns: int) -> Any:
    return SimpleNamespace(sec=ns // NS_PER_S, nanosec=ns % NS_PER_S)


def step(index: int, episode: str = "e1", **changes: Any) -> Any:
    fields = {
        "header": SimpleNamespace(stamp=time(NS_PER_S + index)),
        "episode_id": episode,
        "index": index,
        "vectors": [SimpleNamespace(key="observation.state", data=[index, 0.1])],
        "streams": ["robot", STREAM],
        "stream_stamps": [time(7), time(100 + index)],
        "stream_ages_s": [0.001, 0.025],
        "base_action": [index / 10, 0.0],
        "action": [0.5, index / 10],
        "proposed_action": [0.6, 0.0],
        "latent": [],
        "reward": float(index),
        "outcome": 0,
        "terminated": False,
        "truncated": False,
        "source": 0,
        "intervention_start": False,
        "gate_reason": 0,
        "inference_s": 0.25,
        "lateness_s": 0.125,
        "policy_version": 4,
    }
    return SimpleNamespace(**fields | changes)


def last(index: int, **changes: Any) -> Any:
    return step(index, terminated=True, outcome=int(Outcome.SUCCESS), **changes)


def picture(index: int) -> np.ndarray:
    return np.full((2, 3, 3), index, np.uint8)


class Scene:
    """A keeper with its store, and what it tells."""

    def __init__(self, path: Path) -> None:
        spec = RecordingSpec(robot="fr3", task=TASK)
        self.clock = Hand()
        self.store = EpisodeStore(path, spec)
        self.told: list[Kept] = []

        def describe(start: Start) -> EpisodeMetadata:
            return EpisodeMetadata(
                task="plug", seed=start.seed, operator=start.by, contract=spec.contract
            )

        streams = {FRONT: STREAM}
        self.keeper = EpisodeKeeper(self.store, streams, describe, self.told.append, self.clock)

    def state(self, phase: int = RUNNING, episode: str = "e1", task: str = "plug") -> None:
        said = SimpleNamespace(episode_id=episode, task=task, seed=5, phase=phase)
        self.keeper.hear_state(said)

    def image(self, index: int) -> None:
        self.keeper.hear_image(STREAM, 100 + index, picture(index))

    def both(self, message: Any) -> None:
        self.image(message.index)
        self.keeper.hear_step(message)

    def wait(self, seconds: float) -> None:
        self.clock.ns += int(seconds * NS_PER_S)
        self.keeper.tick()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "store")
    yield made
    made.store.close()


def test_transition_lies_between_two_messages() -> None:
    shelf = ImageShelf()
    reader = StepReader(TASK, {FRONT: STREAM}, shelf)
    for index in (0, 1):
        shelf.put(STREAM, 100 + index, picture(index))
    assert reader.read(step(0)) is None
    found = reader.read(step(1, source=1, gate_reason=7, intervention_start=True))
    assert found.step == 0
    assert found.observation.stamp_ns == NS_PER_S
    assert found.next_observation.stamp_ns == NS_PER_S + 1
    assert found.next_observation.ages_s == {"robot": 0.001, STREAM: 0.025}
    np.testing.assert_array_equal(found.observation.images[FRONT], picture(0))
    np.testing.assert_array_equal(found.next_observation.images[FRONT], picture(1))
    np.testing.assert_array_equal(found.base_action, np.float32([0, 0]))
    np.testing.assert_array_equal(found.next_base_action, np.float32([0.1, 0]))
    np.testing.assert_array_equal(found.action, np.float32([0.5, 0.1]))
    assert (found.source, found.gate_reason) == (Source.HUMAN, GateReason.VELOCITY)
    assert found.intervention_start
    assert found.policy_version == 4


def test_without_a_base_policy_its_actions_are_zeros() -> None:
    shelf = ImageShelf()
    reader = StepReader(TASK, {FRONT: STREAM}, shelf)
    for index in (0, 1):
        shelf.put(STREAM, 100 + index, picture(index))
    reader.read(step(0, base_action=[]))
    found = reader.read(step(1, base_action=[]))
    np.testing.assert_array_equal(found.base_action, np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"index": 2}, "got observation 2, expected 1"),
        ({"vectors": []}, "missing vector 'observation.state'"),
        ({"source": 77}, r"Source: got 77, expected one of .* another version"),
        ({"stream_ages_s": [0.1]}, "2 streams, 2 stamps and 1 ages"),
    ],
)
def test_step_that_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    shelf = ImageShelf()
    reader = StepReader(TASK, {FRONT: STREAM}, shelf)
    for index in (0, 1, 2):
        shelf.put(STREAM, 100 + index, picture(index))
    reader.read(step(0))
    with pytest.raises(ContractError, match=words):
        reader.read(step(**{"index": 1} | changes))


def test_step_that_does_not_name_its_image_is_refused() -> None:
    reader = StepReader(TASK, {FRONT: STREAM}, ImageShelf())
    message = step(0, streams=["robot"], stream_stamps=[time(7)], stream_ages_s=[0.0])
    with pytest.raises(ContractError, match="names no 'camera:front'"):
        reader.missing(message)


def test_shelf_keeps_the_newest_images_of_each_stream() -> None:
    shelf = ImageShelf(kept=2)
    for index in range(3):
        shelf.put("a", index, picture(index))
    shelf.put("b", 0, picture(9))
    assert shelf.find("a", 0) is None
    np.testing.assert_array_equal(shelf.find("a", 1), picture(1))
    np.testing.assert_array_equal(shelf.find("b", 0), picture(9))


def test_robot_is_named_or_has_the_name_of_its_namespace() -> None:
    assert robot_name("ur5", "/lab/fr3") == "ur5"
    assert robot_name("", "/lab/fr3") == "fr3"
    with pytest.raises(ConfigError, match="robot is empty and the node has no namespace"):
        robot_name("", "/")


def test_episode_is_saved_when_it_terminates(scene: Scene) -> None:
    scene.keeper.hear_begun(SimpleNamespace(episode_id="e1", task="plug", seed=5, by="ann"))
    scene.state()
    for message in (step(0), step(1, source=1), last(2)):
        assert not scene.told
        scene.both(message)
    (kept,) = scene.told
    assert kept.detail == ""
    assert kept.intervention_steps == 1
    episode = scene.store.read("e1")
    assert (len(episode), episode.terminated, episode.outcome) == (2, True, Outcome.SUCCESS)
    assert (episode.metadata.seed, episode.metadata.operator) == (5, "ann")
    assert not episode.metadata.interrupted


def test_image_that_comes_after_its_step_is_waited_for(scene: Scene) -> None:
    scene.state()
    for message in (step(0), step(1), last(2)):
        scene.keeper.hear_step(message)
    for index in (2, 0):
        scene.image(index)
        assert not scene.told
    scene.image(1)
    assert scene.told[0].detail == ""
    np.testing.assert_array_equal(scene.store.read("e1").images[FRONT][1], picture(1))


def test_missing_image_interrupts_the_episode_before_it(scene: Scene) -> None:
    scene.state()
    for index in range(3):
        scene.both(step(index))
    scene.keeper.hear_step(step(3))
    scene.both(step(4))
    scene.wait(0.9)
    assert not scene.told
    scene.wait(0.2)
    (kept,) = scene.told
    assert "step 3 lacks camera:front of 103 ns" in kept.detail
    episode = scene.store.read("e1")
    assert len(episode) == 2
    assert episode.metadata.interrupted
    assert (episode.outcome, episode.truncated) == (Outcome.UNKNOWN, True)
    scene.both(last(5))
    assert len(scene.told) == 1


def test_gap_in_the_steps_interrupts_the_episode_before_it(scene: Scene) -> None:
    scene.state()
    for index in (0, 1, 3):
        scene.both(step(index))
    assert scene.told[0].detail == "got observation 3, expected 2"
    assert len(scene.store.read("e1")) == 1


def test_episode_that_was_begun_without_us_is_not_recorded(scene: Scene) -> None:
    scene.state()
    scene.both(step(4))
    (kept,) = scene.told
    assert kept.episode is None
    assert kept.detail == "got observation 4, expected 0"
    assert len(scene.store) == 0


def test_episode_of_which_the_manager_says_nothing_is_not_recorded(scene: Scene) -> None:
    scene.both(step(0))
    scene.wait(1.1)
    (kept,) = scene.told
    assert kept.episode is None
    assert "the episode manager's word on its task and seed" in kept.detail


def test_episode_of_another_task_is_not_recorded(scene: Scene) -> None:
    scene.state(task="peg")
    scene.both(step(0))
    assert "of task 'peg', recorded is 'plug'" in scene.told[0].detail


def test_episode_that_is_ended_early_is_kept_as_interrupted(scene: Scene) -> None:
    scene.state()
    scene.both(step(0))
    scene.state(SAVING)
    scene.wait(0.5)
    scene.both(step(1))
    assert not scene.told
    scene.wait(0.6)
    (kept,) = scene.told
    assert "ended before a step had terminated" in kept.detail
    assert scene.store.read("e1").metadata.interrupted


def test_next_episode_interrupts_one_that_has_not_ended(scene: Scene) -> None:
    scene.state()
    for index in (0, 1):
        scene.both(step(index))
    scene.state(episode="e2")
    for message in (step(0, "e2"), last(1, episode="e2")):
        scene.both(message)
    assert [k.detail for k in scene.told] == ["e2 began before it had ended", ""]
    assert sorted(scene.store.ids()) == ["e1", "e2"]


def test_id_that_was_taken_is_told_and_the_next_episode_is_recorded(scene: Scene) -> None:
    for _ in range(2):
        scene.state()
        for message in (step(0), last(1)):
            scene.both(message)
        scene.state(episode="e0")
        for message in (step(0, "e0"), last(1, episode="e0")):
            scene.both(message)
    details = [k.detail for k in scene.told]
    assert details[:2] == ["", ""]
    assert all("already saved" in d for d in details[2:])


def test_label_stands_beside_the_episode_also_if_it_came_before_the_end(scene: Scene) -> None:
    scene.state()
    scene.both(step(0))
    label = SimpleNamespace(episode_id="e1", outcome=int(Outcome.FAILURE), by="ann", detail="")
    scene.keeper.hear_label(label)
    scene.both(last(1))
    scene.keeper.hear_label(SimpleNamespace(episode_id="e1", outcome=1, by="bob", detail=""))
    versions = [scene.store.label("e1", SUCCESS, version) for version in (1, 2)]
    assert [(bool(v.values[0]), v.made_by) for v in versions] == [(False, "ann"), (True, "bob")]


@pytest.mark.parametrize(
    ("episode", "outcome", "words"), [("e9", 1, "e9"), ("e1", 0, "got unknown")]
)
def test_label_that_cannot_be_is_logged(
    scene: Scene, caplog: Any, episode: str, outcome: int, words: str
) -> None:
    scene.state()
    for message in (step(0), last(1)):
        scene.both(message)
    label = SimpleNamespace(episode_id=episode, outcome=outcome, by="ann", detail="")
    scene.keeper.hear_label(label)
    assert words in caplog.text
