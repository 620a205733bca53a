from __future__ import annotations

import copy
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message
from robot_rl_msgs.msg import (
    EpisodeEvent,
    EpisodeState,
    ExecutedAction,
    NamedVector,
    PolicyStep,
    RobotState,
)
from sensor_msgs.msg import Image

from robot_rl.config.load import load
from robot_rl.core.types import Outcome
from robot_rl.data.exchange.log_source import open_mcap
from robot_rl.data.exchange.topics.topic_map import TopicMap
from robot_rl.data.labelling import SUCCESS
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl_nodes import topic
from robot_rl_nodes.conversion import ImageWriter, float32s, stamp_from_ns, write_vectors
from robot_rl_nodes.recorder_node import RecorderNode

pytestmark = pytest.mark.ros

CELL = Path(__file__).parents[2] / "configs/cells/sim_point.yaml"
TASK = """\
type: robot_rl.config.task:TaskSpecConfig
name: plug
horizon: 40
vectors:
  observation.state: {names: [a, b], unit: rad}
  observation.wrench: {names: [fx, fy, fz, tx, ty, tz], unit: "N, N m"}
images:
  front: {height: 24, width: 32}
  wrist: {height: 16, width: 16}
action: {kind: joint_delta, names: [a, b], scale: [0.1, 0.1], period_s: 0.05}
"""
MAP = """\
robot: test
task: plug
rate_hz: 20.0
max_age_s: 1.0
vectors:
  observation.state: {topic: /test/robot/state, field: vectors.0.data, unit: rad}
images:
  observation.images.front: {topic: /test/cameras/front/policy/image_raw}
action: {topic: /test/control/executed_action, field: data}
decided_by: policy
"""
TOPICS = [
    *(topic.POLICY_STEP, topic.EPISODE_STATE, topic.EPISODE_EVENT),
    *(topic.POLICY_IMAGE.of("front"), topic.POLICY_IMAGE.of("wrist")),
]
RAW = [topic.ROBOT_STATE, topic.EXECUTED_ACTION]
"""Of these alone the files know."""
SIZES = {"front": (24, 32), "wrist": (16, 16)}
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 50_000_000


@dataclass
class Seen:
    """What a policy saw and what came of it, as its own process knows."""

    stamps_ns: list[int] = field(default_factory=list)
    state: list[Any] = field(default_factory=list)
    wrench: list[Any] = field(default_factory=list)
    images: dict[str, list[Any]] = field(default_factory=lambda: {c: [] for c in SIZES})
    action: list[Any] = field(default_factory=list)
    base_action: list[Any] = field(default_factory=list)
    proposed_action: list[Any] = field(default_factory=list)
    latent: list[Any] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    source: list[int] = field(default_factory=list)


class Bridge:
    """Publishes what robot, cameras, bridge and manager do, and remembers what was seen."""

    def __init__(self, graph: Any, *, raw: bool = True) -> None:
        self.graph = graph
        self._topics = TOPICS + RAW * raw
        self.node = graph.plain("bridge")
        self.rng = np.random.default_rng(0)
        self.sent: dict[str, list[Any]] = {}
        self.events: list[EpisodeEvent] = []
        self.makers: dict[str, Any] = {}
        quality = topic.EPISODE_EVENT.quality.recorded
        self.node.create_subscription(EpisodeEvent, "episode/events", self._hear, quality)
        quality = topic.DIAGNOSTICS.quality.subscribed
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, quality)
        self.unheard = {t.name for t in self._topics}
        self.makers = {
            t.name: self.node.create_publisher(t.type, t.name, t.quality.published)
            for t in self._topics
        }
        graph.until(self._heard, 60.0)

    def _heard(self) -> bool:
        """Speak until the recorder has heard each topic: what is said before it did is lost."""
        for t in self._topics:
            message = t.type()
            if t is topic.EPISODE_EVENT:
                message.kind = EpisodeEvent.ENDED
            if t is topic.EXECUTED_ACTION:
                message.data = float32s([0, 0])
            self.makers[t.name].publish(message)
        self.graph.spin(0.1)
        return not self.unheard

    def _diagnosed(self, message: Any) -> None:
        self.unheard -= {
            status.name.partition(": ")[2]
            for status in message.status
            if any(v.key == "messages" and v.value != "0" for v in status.values)
        }

    def _hear(self, event: EpisodeEvent) -> None:
        if event.episode_id:
            self.events.append(event)

    def say(self, found: topic.Topic, message: Any) -> None:
        if found in self._topics:
            self.sent.setdefault(found.name, []).append(copy.deepcopy(message))
            self.makers[found.name].publish(message)

    def phase(self, phase: int, episode: str) -> None:
        message = EpisodeState(phase=phase, episode_id=episode, task="plug", seed=11)
        self.say(topic.EPISODE_STATE, message)

    def observe(self, seen: Seen, index: int) -> PolicyStep:
        """Publish one observation's streams, and return the step that names them."""
        at_ns = START_NS + index * PERIOD_NS
        numbers = self.rng.normal(size=(3, 6)).astype(np.float32)
        vectors = {"observation.state": numbers[0, :2], "observation.wrench": numbers[1]}
        message = PolicyStep(index=index, vectors=write_vectors(NamedVector, vectors))
        stamp_from_ns(at_ns, message.header.stamp)
        state = RobotState(header=message.header, vectors=message.vectors)
        self.say(topic.ROBOT_STATE, state)
        stamps = []
        for number, (camera, (height, width)) in enumerate(SIZES.items()):
            image = self.rng.integers(0, 256, (height, width, 3), np.uint8)
            sent = ImageWriter(Image(), height, width).write(image)
            stamps.append(stamp_from_ns(at_ns - 1_000 - number, sent.header.stamp))
            self.say(topic.POLICY_IMAGE.of(camera), sent)
            seen.images[camera].append(image)
        message.streams = ["robot", *(f"camera:{camera}" for camera in SIZES)]
        message.stream_stamps = [message.header.stamp, *stamps]
        message.stream_ages_s = float32s([0.0, 0.001, 0.002])
        message.base_action = float32s(numbers[2, :2])
        seen.stamps_ns.append(at_ns)
        seen.state.append(vectors["observation.state"])
        seen.wrench.append(vectors["observation.wrench"])
        seen.base_action.append(numbers[2, :2])
        return message

    def act(self, seen: Seen, message: PolicyStep) -> None:
        """Fill in the period that ends with this observation."""
        executed, proposed, latent = self.rng.normal(size=(3, 2)).astype(np.float32)
        message.action, message.proposed_action = float32s(executed), float32s(proposed)
        message.latent = float32s(latent)
        message.reward, message.source = float(message.index) / 4, message.index % 2
        self.say(topic.EXECUTED_ACTION, ExecutedAction(header=message.header, data=message.action))
        seen.action.append(executed)
        seen.proposed_action.append(proposed)
        seen.latent.append(latent)
        seen.reward.append(message.reward)
        seen.source.append(message.source)

    def episode(self, name: str, steps: int, *, ends: bool = True) -> Seen:
        """Run an episode, a little faster than it says."""
        seen = Seen()
        self.phase(EpisodeState.RUNNING, name)
        for index in range(steps + 1):
            message = self.observe(seen, index)
            message.episode_id = name
            if index:
                self.act(seen, message)
            if index == steps and ends:
                message.terminated, message.outcome = True, int(Outcome.SUCCESS)
            self.say(topic.POLICY_STEP, message)
            self.graph.spin(0.01)
        return seen

    def told(self, kind: int) -> list[EpisodeEvent]:
        return [event for event in self.events if event.kind == kind]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    task = tmp_path / "task.yaml"
    task.write_text(TASK)
    # fmt: off
    return {"folder": str(tmp_path / "rec"), "task": str(task), "cell": str(CELL),
            "least_free_gb": 0.001}
    # fmt: on


def equal(episode: Any, seen: Seen) -> None:
    """The episode is what was seen, to the last bit."""
    for found, expected in (
        (episode.stamps_ns, np.array(seen.stamps_ns)),
        (episode.vectors["observation.state"], np.array(seen.state)),
        (episode.vectors["observation.wrench"], np.array(seen.wrench)),
        (episode.images["observation.images.front"], np.array(seen.images["front"])),
        (episode.images["observation.images.wrist"], np.array(seen.images["wrist"])),
        (episode.action, np.array(seen.action)),
        (episode.base_action, np.array(seen.base_action)),
        (episode.proposed_action, np.array(seen.proposed_action)),
        (episode.latent, np.array(seen.latent)),
        (episode.reward, np.float32(seen.reward)),
        (episode.source, np.uint8(seen.source)),
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_store_holds_what_the_policy_saw_to_the_last_bit(
    graph: Any, settings: dict[str, Any]
) -> None:
    node = graph.start(RecorderNode, **settings)
    bridge = Bridge(graph)
    begun = EpisodeEvent(kind=EpisodeEvent.BEGUN, episode_id="a", task="plug", seed=11, by="ann")
    bridge.say(topic.EPISODE_EVENT, begun)
    seen = bridge.episode("a", 12)
    graph.until(lambda: bridge.told(EpisodeEvent.SAVED))
    (saved,) = bridge.told(EpisodeEvent.SAVED)
    assert (saved.episode_id, saved.seed, saved.steps, saved.detail) == ("a", 11, 12, "")
    assert (saved.terminated, saved.outcome, saved.intervention_steps) == (True, 1, 6)
    label = EpisodeEvent(kind=EpisodeEvent.LABELLED, episode_id="a", outcome=2, by="ann")
    bridge.say(topic.EPISODE_EVENT, label)
    store = Path(settings["folder"]) / "store"
    graph.until(lambda: SUCCESS in EpisodeReader(store).labels("a"))
    node.trigger_deactivate()
    reader = EpisodeReader(store)
    episode = reader.read("a")
    equal(episode, seen)
    known = episode.metadata
    assert (known.robot, known.cell) == ("test", "sim_point")
    assert (known.operator, known.seed) == ("ann", 11)
    assert known.limits["max_force_n"] == 30.0
    assert known.run == "rec"
    assert reader.label("a", SUCCESS).made_by == "ann"


def test_mcap_holds_every_byte_and_is_imported(
    graph: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    node = graph.start(RecorderNode, **settings)
    bridge = Bridge(graph)
    # A session is a file; in this one everything is of the episode.
    node.trigger_deactivate()
    node.trigger_activate()
    seen = bridge.episode("a", 12)
    graph.until(lambda: bridge.told(EpisodeEvent.SAVED))
    node.trigger_deactivate()
    _, path = sorted((Path(settings["folder"]) / "raw").glob("*.mcap"))
    found: dict[str, list[Any]] = {}
    with path.open("rb") as file:
        for _, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            found.setdefault(channel.topic, []).append(message)
    for name, sent in bridge.sent.items():
        got = [deserialize_message(m.data, type(sent[0])) for m in found[f"/test/{name}"]]
        assert got == sent
    assert [m.publish_time for m in found["/test/policy/step"]] == seen.stamps_ns
    (tmp_path / "map.yaml").write_text(MAP)
    source = open_mcap(path, load(tmp_path / "map.yaml", TopicMap))
    (imported,) = source.episodes()
    # From the first action to the last image, which is a little older than the last state.
    for found, sent in (
        (imported.vectors["observation.state"], seen.state),
        (imported.images["observation.images.front"], seen.images["front"]),
    ):
        np.testing.assert_array_equal(found, np.array(sent)[1:12])


def test_deactivated_recorder_keeps_the_episode_that_runs(
    graph: Any, settings: dict[str, Any]
) -> None:
    node = graph.start(RecorderNode, raw=False, **settings)
    bridge = Bridge(graph, raw=False)
    bridge.episode("a", 5, ends=False)
    graph.until(lambda: node._keeper.situation == ("a", 5, 0))
    node.trigger_deactivate()
    graph.until(lambda: bridge.told(EpisodeEvent.SAVED))
    (saved,) = bridge.told(EpisodeEvent.SAVED)
    assert (saved.steps, saved.detail) == (5, "the recorder was deactivated")
    episode = EpisodeReader(Path(settings["folder"]) / "store").read("a")
    assert episode.metadata.interrupted
    assert not (Path(settings["folder"]) / "raw").exists()


def test_episode_that_cannot_be_kept_is_told_as_cancelled(
    graph: Any, settings: dict[str, Any]
) -> None:
    graph.start(RecorderNode, raw=False, **settings)
    bridge = Bridge(graph, raw=False)
    bridge.phase(EpisodeState.RUNNING, "a")
    message = bridge.observe(Seen(), 4)
    message.episode_id = "a"
    bridge.say(topic.POLICY_STEP, message)
    graph.until(lambda: bridge.told(EpisodeEvent.CANCELLED))
    (told,) = bridge.told(EpisodeEvent.CANCELLED)
    assert told.detail == "not recorded: got observation 4, expected 0"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"topics": ["robot/stat"]}, "did you mean 'robot/state'"),
        ({"task": ""}, "parameter 'task' is missing"),
        ({"least_free_gb": 1e6}, "MB are free"),
    ],
)
def test_recorder_that_cannot_record_says_why_and_does_not_start(
    graph: Any, settings: dict[str, Any], wrong: dict[str, Any], words: str
) -> None:
    node = graph.make(RecorderNode, **settings | wrong)
    node.trigger_configure()
    if node.state_id == State.PRIMARY_STATE_INACTIVE:
        node.trigger_activate()
    assert not node.active
    message = node.diagnostics.message("", node.get_clock().now().to_msg())
    assert any(words in status.message for status in message.status)


def test_killed_recorder_has_the_steps_in_its_log(
    graph: Any, settings: dict[str, Any], python: str
) -> None:
    values = {**settings, "autostart": "true"}
    arguments = [x for k, v in values.items() for x in ("-p", f"{k}:={v}")]
    command = [python, "-m", "robot_rl_nodes.recorder_node", "--ros-args", "-r", "__ns:=/test"]
    process = subprocess.Popen([*command, *arguments], env=graph.environment)
    folder = Path(settings["folder"])
    try:
        bridge = Bridge(graph)
        graph.until(lambda: list(folder.glob("raw/*.part")), 60.0)
        seen = bridge.episode("a", 10, ends=False)
        log, (part,) = folder / "store/open/a.mcap", folder.glob("raw/*.part")
        graph.until(log.exists)
        # Steps are on the disk within half a second and one write of it.
        sizes = [-1]

        def settled() -> bool:
            graph.spin(1.0)
            sizes.append(log.stat().st_size)
            return sizes[-1] == sizes[-2]

        graph.until(settled, 60.0)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with EpisodeStore(folder / "store") as store:
        episode = store.read("a")
    assert episode.metadata.interrupted
    assert episode.truncated
    equal(episode, seen)
    graph.start(RecorderNode, **settings)
    graph.until(lambda: part.with_suffix("").exists())
    assert not part.exists()
