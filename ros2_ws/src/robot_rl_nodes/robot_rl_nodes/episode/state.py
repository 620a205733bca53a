"""Where an episode is, from the wish for one to its being on the disk. No rclpy.

```
IDLE -> RESETTING -> READY -> RUNNING -> SAVING -> IDLE
           |           |         |          |
           +-----------+---------+----------+--> FAULT -> RESETTING
```

A cancelled episode goes on to SAVING where it is recorded, else to IDLE. FAULT says why the last
one could not be run; the next one may be asked for all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import ContractError
from robot_rl.core.types import GateState, Outcome, Source

WORDS = 300
_BRIDGE_SAYS_S = 1.0
"""A policy bridge that runs ends the episode sooner than this, once the gate has latched STOP."""


class Phase(IntEnum):
    """As in `robot_rl_msgs/EpisodeState`."""

    IDLE = 0
    RESETTING = 1
    READY = 2
    RUNNING = 3
    SAVING = 4
    FAULT = 5


class Happening(IntEnum):
    """As in `robot_rl_msgs/EpisodeEvent`."""

    BEGUN = 0
    ENDED = 1
    CANCELLED = 2
    SAVED = 3
    LABELLED = 4


class Ending(IntEnum):
    """As in `robot_rl_msgs/action/RunEpisode`."""

    ENDED = 0
    CANCELLED = 1
    FAILED = 2


@dataclass(slots=True, kw_only=True)
class Run:
    """One episode, as far as it went.

    Args:
        episode_id, seed: its name and the seed of its start state.
        by: who is present.
        ending: how it ended; None before.
        kept: the recorder's word on it: whether it is on the disk; None before.
    """

    episode_id: str
    seed: int
    by: str = ""
    steps: int = 0
    intervention_steps: int = 0
    reward: float = 0.0
    source: Source = Source.HOLD
    outcome: Outcome = Outcome.UNKNOWN
    terminated: bool = False
    truncated: bool = False
    ending: Ending | None = None
    detail: str = ""
    kept: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one control period of an episode adds to it; see `robot_rl_msgs/PolicyStep`."""

    episode_id: str
    index: int
    reward: float
    source: Source
    outcome: Outcome
    terminated: bool
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodePatience:
    """How long is waited in each phase [s].

    Args:
        reset_s: for robot and task to be reset.
        ready_s: for a person to clear the gate.
        silence_s: for the next word of the policy bridge.
        save_s: for the recorder; None where nobody records.
    """

    reset_s: float
    ready_s: float
    silence_s: float
    save_s: float | None


class EpisodeMachine:
    """Runs one episode after the other.

    Args:
        patience: how long is waited.
        clock: by which.
        told: called with a happening whenever one is to be told.
        changed: called whenever phase or detail have changed.

    Attributes:
        phase: where it is.
        detail: why, in words.
        run: the episode that runs, or ran last.
    """

    def __init__(
        self,
        patience: EpisodePatience,
        clock: Clock,
        told: Callable[[Happening], None],
        changed: Callable[[], None],
    ) -> None:
        self.phase = Phase.IDLE
        self.detail = "nothing has run yet"
        self.run: Run | None = None
        self._patience = patience
        self._clock = clock
        self._told = told
        self._changed = changed
        self._since_ns = clock.now_ns()
        self._gate: tuple[GateState, str] | None = None
        self._gate_ns = 0

    @property
    def busy(self) -> bool:
        """Whether an episode is on its way."""
        return self.phase not in (Phase.IDLE, Phase.FAULT)

    def begin(self, episode_id: str, seed: int, by: str) -> Run:
        """Let an episode begin with the reset, which the caller sees to.

        Raises:
            ContractError: if another one is on its way.
        """
        if self.busy and self.run:
            raise ContractError(f"{self.run.episode_id} is {self.phase.name}; one at a time")
        self.run = Run(episode_id=episode_id, seed=seed, by=by)
        self._gate = None
        self._go(Phase.RESETTING, "robot and task are being reset")
        return self.run

    def was_reset(self, run: Run, success: bool, message: str) -> None:
        """The reset of an episode has ended."""
        if run is not self.run or self.phase != Phase.RESETTING:
            return
        if success:
            self._go(Phase.READY, "waiting for the gate's word")
        else:
            self._fail(f"the reset has failed: {message}")

    def hear_gate(self, state: GateState, cause: str) -> None:
        """The gate says how it is."""
        stopped = state >= GateState.STOP
        if not (stopped and self._gate and self._gate[0] >= GateState.STOP):
            self._gate_ns = self._clock.now_ns()
        self._gate = (state, cause)
        if self.phase != Phase.READY:
            return
        if not stopped:
            self._go(Phase.RUNNING, "")
            self._told(Happening.BEGUN)
            return
        words = f"waiting for a person to clear the gate: {cause}"[:WORDS]
        if words != self.detail:
            self.detail = words
            self._changed()

    def hear_step(self, step: Step) -> None:
        """The policy bridge says what happened in a control period."""
        run = self.run
        if self.phase != Phase.RUNNING or run is None or step.episode_id != run.episode_id:
            return
        self._since_ns = self._clock.now_ns()
        run.steps = step.index
        if step.index == 0:
            return
        run.source = step.source
        run.reward += step.reward
        run.intervention_steps += step.source in (Source.HUMAN, Source.DEMO)
        if step.terminated or step.truncated:
            run.outcome = step.outcome
            run.terminated, run.truncated = step.terminated, step.truncated
            self._end(Ending.ENDED, "")

    def hear_recorder(self, episode_id: str, kept: bool, detail: str) -> None:
        """The recorder says whether an episode is on the disk."""
        run = self.run
        if run is None or episode_id != run.episode_id or not self.busy:
            return
        run.kept = kept
        run.detail = _joined(run.detail, detail)
        if self.phase == Phase.SAVING:
            self._finish()

    def cancel(self, why: str) -> None:
        """End the episode without a judgement; whatever is there of it is kept."""
        if self.phase == Phase.RUNNING:
            self._end(Ending.CANCELLED, why)
        elif self.phase in (Phase.RESETTING, Phase.READY):
            self._stop(Ending.CANCELLED, why)

    def abandon(self, why: str) -> None:
        """End the episode now, whatever is missing."""
        if self.phase == Phase.RUNNING:
            self._told(Happening.CANCELLED)
        if self.busy:
            self._stop(Ending.CANCELLED, why)

    def tick(self) -> None:
        """Time has passed; to be called a few times a second."""
        waited_s = (self._clock.now_ns() - self._since_ns) / NS_PER_S
        patience = self._patience
        if self.phase == Phase.RESETTING and waited_s > patience.reset_s:
            self._fail(
                f"the reset has not ended within {patience.reset_s:g} s: is the robot's node "
                "active?"
            )
        elif self.phase == Phase.READY and waited_s > patience.ready_s:
            waits = "the gate says nothing" if self._gate is None else self.detail
            self._fail(f"not ready within {patience.ready_s:g} s: {waits}")
        elif self.phase == Phase.RUNNING and self._gate_stopped_s > _BRIDGE_SAYS_S:
            assert self._gate is not None
            self._end(Ending.FAILED, f"the gate has latched {self._gate[0].name}: {self._gate[1]}")
        elif self.phase == Phase.RUNNING and waited_s > patience.silence_s:
            self._end(
                Ending.FAILED,
                f"the policy bridge has said nothing for {patience.silence_s:g} s: is it active? "
                "See its diagnostics for a stream, gate or seat that is lacking",
            )
        elif self.phase == Phase.SAVING and waited_s > (patience.save_s or 0.0):
            assert self.run is not None
            words = f"the recorder has not said within {patience.save_s:g} s that it is saved"
            self._stop(Ending.FAILED, _joined(self.run.detail, f"{words}: is it active?"))

    @property
    def _gate_stopped_s(self) -> float:
        """For how long the gate has stood in STOP; 0 while it does not."""
        if self._gate is None or self._gate[0] < GateState.STOP:
            return 0.0
        return (self._clock.now_ns() - self._gate_ns) / NS_PER_S

    def _end(self, ending: Ending, why: str) -> None:
        """The episode has run; what is left is to keep it."""
        assert self.run is not None
        self.run.ending = ending
        self.run.detail = _joined(why, self.run.detail)
        if ending != Ending.ENDED:
            self.run.truncated = True
        self._told(Happening.ENDED if ending == Ending.ENDED else Happening.CANCELLED)
        if self._patience.save_s is not None and self.run.kept is None:
            self._go(Phase.SAVING, self.run.detail)
        else:
            self._finish()

    def _finish(self) -> None:
        run = self.run
        assert run is not None
        assert run.ending is not None
        lost = run.ending == Ending.ENDED and run.kept is False
        self._stop(Ending.FAILED if lost else run.ending, run.detail)

    def _fail(self, why: str) -> None:
        self._stop(Ending.FAILED, why)

    def _stop(self, ending: Ending, why: str) -> None:
        assert self.run is not None
        self.run.ending, self.run.detail = ending, why[:WORDS]
        self._go(Phase.FAULT if ending == Ending.FAILED else Phase.IDLE, self.run.detail)

    def _go(self, phase: Phase, detail: str) -> None:
        self.phase, self.detail = phase, detail
        self._since_ns = self._clock.now_ns()
        self._changed()


def _joined(*words: str) -> str:
    return "; ".join(filter(None, words))[:WORDS]
