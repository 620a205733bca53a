from __future__ import annotations

from typing import Any

import pytest

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ContractError
from robot_rl.core.types import GateState, Outcome, Source
from robot_rl_nodes.episode.state import (
    Ending,
    EpisodeMachine,
    EpisodePatience,
    Happening,
    Phase,
    Step,
)

pytestmark = pytest.mark.ros


class Rig:
    """A machine, what it has told, and the phases that it went through."""

    def __init__(self, *, recorded: bool = True) -> None:
        self.clock = ManualClock()
        self.told: list[Happening] = []
        self.phases: list[Phase] = []
        patience = EpisodePatience(
            reset_s=5.0, ready_s=20.0, silence_s=2.0, save_s=3.0 if recorded else None
        )
        self.machine = EpisodeMachine(patience, self.clock, self.told.append, self.change)

    def change(self) -> None:
        self.phases.append(self.machine.phase)

    def begin(self) -> Any:
        return self.machine.begin("e1", 7, "Ada")

    def run(self) -> Any:
        """An episode that runs."""
        run = self.begin()
        self.machine.was_reset(run, True, "")
        self.machine.hear_gate(GateState.RUN, "")
        return run

    def step(self, index: int, **changed: Any) -> None:
        values = {
            "episode_id": "e1",
            "index": index,
            "reward": 0.5,
            "source": Source.POLICY,
            "outcome": Outcome.UNKNOWN,
            "terminated": False,
            "truncated": False,
        }
        self.machine.hear_step(Step(**(values | changed)))

    def wait(self, seconds: float) -> None:
        self.clock.advance_s(seconds)
        self.machine.tick()


def test_an_episode_goes_from_reset_to_the_disk() -> None:
    rig = Rig()
    run = rig.run()
    rig.step(0, reward=99.0)
    rig.step(1)
    rig.step(2, source=Source.HUMAN)
    rig.step(3, terminated=True, outcome=Outcome.SUCCESS)
    assert rig.machine.phase == Phase.SAVING
    rig.machine.hear_recorder("e1", True, "")
    assert rig.phases == [
        Phase.RESETTING,
        Phase.READY,
        Phase.RUNNING,
        Phase.SAVING,
        Phase.IDLE,
    ]
    assert rig.told == [Happening.BEGUN, Happening.ENDED]
    assert (run.ending, run.outcome, run.terminated) == (Ending.ENDED, Outcome.SUCCESS, True)
    assert (run.steps, run.intervention_steps, run.reward) == (3, 1, 1.5)


def test_where_nobody_records_an_episode_is_over_with_its_last_step() -> None:
    rig = Rig(recorded=False)
    run = rig.run()
    rig.step(1, truncated=True)
    assert rig.machine.phase == Phase.IDLE
    assert (run.ending, run.truncated, run.outcome) == (Ending.ENDED, True, Outcome.UNKNOWN)


def test_the_recorders_word_may_come_before_the_last_step() -> None:
    rig = Rig()
    rig.run()
    rig.machine.hear_recorder("e1", True, "")
    rig.step(1, terminated=True, outcome=Outcome.FAILURE)
    assert rig.machine.phase == Phase.IDLE


def test_an_episode_waits_for_the_gate_to_be_cleared_and_says_so() -> None:
    rig = Rig()
    run = rig.begin()
    rig.machine.was_reset(run, True, "")
    rig.machine.hear_gate(GateState.STOP, "just started")
    rig.machine.hear_gate(GateState.STOP, "just started")
    assert rig.machine.phase == Phase.READY
    assert rig.machine.detail == "waiting for a person to clear the gate: just started"
    assert len(rig.phases) == 3
    rig.machine.hear_gate(GateState.HOLD, "")
    assert rig.machine.phase == Phase.RUNNING


def test_one_episode_at_a_time() -> None:
    rig = Rig()
    rig.run()
    with pytest.raises(ContractError, match="e1 is RUNNING; one at a time"):
        rig.begin()


def test_a_reset_that_fails_is_a_fault_and_another_may_follow() -> None:
    rig = Rig()
    run = rig.begin()
    rig.machine.was_reset(run, False, "the peg is gone")
    assert (rig.machine.phase, run.ending) == (Phase.FAULT, Ending.FAILED)
    assert rig.machine.detail == "the reset has failed: the peg is gone"
    again = rig.begin()
    rig.machine.was_reset(run, True, "of the one before")
    assert rig.machine.phase == Phase.RESETTING
    assert again.ending is None


@pytest.mark.parametrize(
    ("until", "seconds", "words"),
    [
        ("reset", 5.1, "the reset has not ended within 5 s"),
        ("ready", 20.1, "not ready within 20 s: the gate says nothing"),
        ("run", 2.1, "the policy bridge has said nothing for 2 s"),
    ],
)
def test_what_does_not_come_in_time_fails_with_its_name(
    until: str, seconds: float, words: str
) -> None:
    rig = Rig(recorded=False)
    run = rig.begin() if until != "run" else rig.run()
    if until == "ready":
        rig.machine.was_reset(run, True, "")
    rig.wait(seconds - 0.2)
    assert rig.machine.busy
    rig.wait(0.2)
    assert (rig.machine.phase, run.ending) == (Phase.FAULT, Ending.FAILED)
    assert words in run.detail


def test_a_stop_of_the_gate_is_left_to_the_bridge_for_a_moment() -> None:
    rig = Rig(recorded=False)
    run = rig.run()
    rig.machine.hear_gate(GateState.STOP, "pressed")
    for _ in range(3):
        rig.wait(0.3)
        rig.machine.hear_gate(GateState.STOP, "pressed")
    assert rig.machine.busy
    rig.wait(0.2)
    assert (rig.machine.phase, run.ending) == (Phase.FAULT, Ending.FAILED)
    assert run.detail == "the gate has latched STOP: pressed"


def test_steps_are_signs_of_life() -> None:
    rig = Rig()
    rig.run()
    for index in range(4):
        rig.wait(1.5)
        rig.step(index)
    assert rig.machine.phase == Phase.RUNNING


def test_a_recorder_that_says_nothing_fails_the_episode() -> None:
    rig = Rig()
    run = rig.run()
    rig.step(1, terminated=True, outcome=Outcome.SUCCESS)
    rig.wait(3.1)
    assert (rig.machine.phase, run.ending, run.outcome) == (
        Phase.FAULT,
        Ending.FAILED,
        Outcome.SUCCESS,
    )
    assert "the recorder has not said within 3 s" in run.detail


def test_an_episode_that_could_not_be_kept_has_failed() -> None:
    rig = Rig()
    run = rig.run()
    rig.step(1, truncated=True)
    rig.machine.hear_recorder("e1", False, "not recorded: the disk is full")
    assert (rig.machine.phase, run.ending) == (Phase.FAULT, Ending.FAILED)
    assert run.detail == "not recorded: the disk is full"


def test_a_cancelled_episode_is_kept_as_far_as_it_went() -> None:
    rig = Rig()
    run = rig.run()
    rig.step(1)
    rig.machine.cancel("by Ada")
    assert rig.machine.phase == Phase.SAVING
    rig.step(2, truncated=True)
    rig.machine.hear_recorder("e1", True, "interrupted")
    assert (rig.machine.phase, run.ending, run.steps) == (Phase.IDLE, Ending.CANCELLED, 1)
    assert run.detail == "by Ada; interrupted"
    assert rig.told == [Happening.BEGUN, Happening.CANCELLED]


@pytest.mark.parametrize("ready", [False, True])
def test_what_is_cancelled_before_it_began_is_not_waited_for(ready: bool) -> None:
    rig = Rig()
    run = rig.begin()
    if ready:
        rig.machine.was_reset(run, True, "")
    rig.machine.cancel("by Ada")
    assert (rig.machine.phase, run.ending, rig.told) == (Phase.IDLE, Ending.CANCELLED, [])


def test_an_episode_that_is_abandoned_waits_for_nobody() -> None:
    rig = Rig()
    run = rig.run()
    rig.machine.abandon("deactivated")
    assert (rig.machine.phase, run.ending) == (Phase.IDLE, Ending.CANCELLED)
    assert rig.told == [Happening.BEGUN, Happening.CANCELLED]


def test_steps_and_words_of_other_episodes_do_not_count() -> None:
    rig = Rig()
    run = rig.run()
    rig.step(9, episode_id="e0", terminated=True)
    rig.machine.hear_recorder("e0", True, "")
    assert (rig.machine.phase, run.steps, run.kept) == (Phase.RUNNING, 0, None)
