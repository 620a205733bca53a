"""The online phase with a supervisor who has to be opened, as whoever holds a device."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Self

import pytest

from robot_rl.app.collect import collect
from robot_rl.app.imitate import imitate
from robot_rl.app.improve import improve
from robot_rl.app.run_folder import DIRECT, RunFolder
from robot_rl.core.types import Observation
from robot_rl.runtime.events import EpisodeEnded
from robot_rl_sim.bench import SimBench
from robot_rl_sim.person import Supervisor, SupervisorConfig

SHORT = ("improve.env_steps=80", "improve.judge_every_steps=80")


class Holder(Supervisor):
    """Says when it is opened, asked and closed, each once in a row."""

    def __init__(self, config: SupervisorConfig, bench: SimBench) -> None:
        super().__init__(config, bench)
        self.calls: list[str] = []

    def __enter__(self) -> Self:
        self._say("opened")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._say("closed")

    def poll(self, observation: Observation):
        self._say("asked")
        return super().poll(observation)

    def _say(self, word: str) -> None:
        if self.calls[-1:] != [word]:
            self.calls.append(word)


class HolderConfig(SupervisorConfig):
    built: ClassVar[list[Holder]] = []

    def build(self, bench: SimBench) -> Holder:
        self.built.append(Holder(self, bench))
        return self.built[-1]


@pytest.fixture
def folder(kit, tmp_path) -> RunFolder:
    """Ready for the online phase."""
    HolderConfig.built.clear()
    folder = kit.new_run(tmp_path, *SHORT)
    run = kit.context(folder)
    collect(run)
    imitate(run)
    config = folder.config.model_copy(update={"supervisor": HolderConfig()})
    return RunFolder(folder.path, config, DIRECT)


def test_the_supervisor_is_opened_before_the_first_step_and_closed_after_the_last(kit, folder):
    improve(kit.context(folder))
    (holder,) = HolderConfig.built
    assert holder.calls == ["opened", "asked", "closed"]


def test_the_supervisor_is_closed_where_the_phase_fails(kit, folder):
    def fail(event):
        if isinstance(event, EpisodeEnded) and event.phase == "improve":
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        improve(kit.context(folder, fail))
    (holder,) = HolderConfig.built
    assert holder.calls == ["opened", "asked", "closed"]
