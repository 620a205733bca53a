"""Records what happens: every topic byte by byte as MCAP, and episodes as the policy saw them.

An episode is in the store once `episode/events` says SAVED; its `detail` says why it is cut short,
if it is. One that could not be kept is told as CANCELLED, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from robot_rl.core.recording import RecordingSpec
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.process import main
from robot_rl_nodes.recording.episodes import EpisodeKeeper, Kept
from robot_rl_nodes.recording.mcap import Channel, TopicLog, mend, unfinished
from robot_rl_nodes.recording.metadata import Description, robot_name
from robot_rl_nodes.recording.schema import schema
from robot_rl_nodes.recording.taking import Taker, event
from robot_rl_nodes.recording.topics import cameras, chosen, pictures
from robot_rl_nodes.recording.work import Work
from robot_rl_nodes.task import task_spec
from robot_rl_nodes.topic import EPISODE_EVENT


def _texts(name: str, description: str) -> Parameter:
    return Parameter(name=name, default=[""], description=description)


class RecorderNode(ManagedNode):
    """Hears what is published, and publishes what became of episodes."""

    PARAMETERS = (
        Parameter(name="folder", default="", required=True, description="gets store/ and raw/"),
        Parameter(name="task", default="", required=True, description="YAML in configs/tasks"),
        Parameter(name="cell", default="", required=True, description="YAML in configs/cells"),
        Parameter(name="robot", default="", description="its name; empty for the namespace's"),
        Parameter(name="run", default="", description="its name; empty for the folder's"),
        Parameter(name="base_fingerprint", default="", description="of the base policy, if any"),
        Parameter(name="raw", default=True, description="record topics as MCAP, too"),
        _texts("topics", "recorded as MCAP, by their names without the robot's; empty for all"),
        _texts("cameras", "names; empty for those of the task"),
        _texts("fingers", "names of tactile sensors"),
        Parameter(
            name="log_images",
            default="raw",
            description="coding of images in the log of an episode that runs",
            choices=("raw", "png", "jpeg"),
        ),
        Parameter(
            name="least_free_gb",
            default=1.0,
            description="[GB] that MCAP files leave free",
            minimum=0.001,
            maximum=1e6,
        ),
    )

    def __init__(self, **of: Any) -> None:
        super().__init__("recorder", **of)
        self._bag: TopicLog | None = None
        self._work: Work | None = None

    def setup(self, values: Mapping[str, Any]) -> None:
        """Open the store, which recovers what a recorder that died has left, and listen."""
        self._folder = Path(values["folder"])
        self._least_free_bytes = int(values["least_free_gb"] * 1e9)
        task, fingers = task_spec(values["task"]), values["fingers"]
        images = pictures(task.observation, fingers)
        views = cameras(values["cameras"], images)
        recorded = chosen(values["topics"], views, fingers) if values["raw"] else []
        spec = RecordingSpec(robot=robot_name(values["robot"], self.get_namespace()), task=task)
        description = Description.of(spec, values)
        store = EpisodeStore(self._folder / "store", spec, log_images=values["log_images"])
        self.when_unmade(store.close)
        streams = {key: source.name for key, source in images.items()}
        tell = partial(self._told_of, task.name)
        self._keeper = EpisodeKeeper(store, streams, description, tell, self.monotonic)
        self._taker = Taker(self._keeper, description, images, self.get_logger().error)
        self._events = self.publish_on(EPISODE_EVENT)
        self._numbers = {t.name: number for number, t in enumerate(recorded)}
        self._channels = [
            Channel(topic=self.resolve_topic_name(t.name), schema=schema(t.type)) for t in recorded
        ]
        for name, topic in (self._taker.topics | {t.name: t for t in recorded}).items():
            self.listen_to(topic, partial(self._hear, name), recorded=True, raw=True)
        self.every(0.5, self._check)

    def begin(self) -> None:
        """A new file; those that were left unfinished are finished beside it."""
        raw = self._folder / "raw"
        left = unfinished(raw)
        if self._channels:
            name, free = datetime.now(UTC).strftime("%Y%m%dT%H%M%S_%fZ"), self._least_free_bytes
            self._bag = TopicLog(raw, name, self._channels, least_free_bytes=free)
        self._work = Work("episodes", self._keeper.tick)
        Thread(target=lambda: [mend(part) for part in left], name="mend", daemon=True).start()

    def rest(self) -> None:
        """An episode that runs is kept up to here, and the file finished."""
        (work, bag), self._work, self._bag = (self._work, self._bag), None, None
        try:
            if work:
                work.do(lambda: self._keeper.end("the recorder was deactivated"))
                work.close()
        finally:
            if bag:
                self.get_logger().info(f"{bag.close()} holds {bag.messages} messages")

    def _hear(self, name: str, data: bytes) -> None:
        if self._bag and name in self._numbers:
            self._bag.put(self._numbers[name], self.now_ns, data)
        if self._work and name in self._taker.topics:
            self._work.do(partial(self._taker, name, data))

    def _told_of(self, task: str, kept: Kept) -> None:
        self._events.publish(event(kept, task, self.get_clock().now().to_msg()))
        level = Level.OK if not kept.detail else Level.WARN if kept.episode else Level.ERROR
        self.diagnostics.set(
            "last episode", level, kept.detail or f"{kept.start.episode_id} saved"
        )

    def _check(self) -> None:
        if self._work:
            self._work.check()
            name, steps, waiting = self._keeper.situation
            words = f"{name}: {steps} steps" if name else "no episode runs"
            behind = self._work.behind
            self.diagnostics.set("steps", Level.OK, words, waiting=waiting, behind=behind)
        if bag := self._bag:
            lost = f"{bag.refused} messages were not recorded: {bag.failure or 'the disk is slow'}"
            failed = bool(bag.failure or bag.refused)
            words = lost if failed else f"{bag.bytes / 1e6:.1f} MB in {bag.path}"
            self.diagnostics.set("raw", Level(2 * failed), words, messages=bag.messages)


if __name__ == "__main__":
    raise SystemExit(main(lambda context: RecorderNode(context=context)))
