"""What a session is in, and which command is legal then: one table for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from robot_rl.core.types import GateState, Source


class Mode(StrEnum):
    """What the person is told in the largest letters."""

    PREFLIGHT = "preflight"
    """What the session needs is being checked; nothing moves."""
    READY = "ready"
    """All is well; the person starts."""
    RESETTING = "resetting"
    """Robot and task go to a start state."""
    AUTO = "auto"
    """The policy drives."""
    HUMAN = "human"
    """The person drives."""
    HOLD = "hold"
    """Nobody drives; the arm is held until it is given back."""
    STOP = "stop"
    """Latched, until a person clears it."""
    REVIEW = "review"
    """An episode has ended; the person judges it."""
    PAUSED = "paused"
    """No next episode begins."""
    LEARNING = "learning"
    """The base policy is trained on what was demonstrated; nothing moves."""


class Verb(StrEnum):
    """What a person may ask for. Motion is no verb: it is heard many times a second."""

    CHECK = "check"
    """Check again what the session needs."""
    CONFIRM = "confirm"
    """Say that something was tried: `name`."""
    START = "start"
    TAKE_OVER = "take_over"
    """The arm is to rest, and is the person's until it is given back."""
    GIVE_BACK = "give_back"
    PAUSE = "pause"
    """Hold the arm; after this episode no other begins."""
    RESUME = "resume"
    SUCCESS = "success"
    """The episode ends, or has ended, in success."""
    FAILURE = "failure"
    RE_RECORD = "re_record"
    """Discard the episode and run another one; what it was stays until a purge."""
    NEXT = "next"
    """The review is over."""
    UNDO = "undo"
    """Take back the newest label, trim or deletion; with none since, discard the last episode."""
    NOTE = "note"
    """Write something down about an episode: `text`, `episode_id` or the newest."""
    RELABEL = "relabel"
    """Judge an episode anew: `episode_id`, `outcome`: success, failure or unknown."""
    TRIM = "trim"
    """Keep the steps from `begin` up to and without `end` of `episode_id`."""
    DELETE = "delete"
    """Discard the episode `episode_id`."""
    STOP = "stop"
    """The emergency stop of the software; legal at any time, and done before anything else."""
    CLEAR = "clear"
    """End the stop: `by`, a name, and `cause`, the words of the stop, as they are shown."""
    END = "end"
    """End the session; what it has is saved."""


_REVIEWING = frozenset({Verb.UNDO, Verb.NOTE, Verb.RELABEL, Verb.TRIM, Verb.DELETE})
_JUDGING = frozenset({Verb.SUCCESS, Verb.FAILURE, Verb.RE_RECORD, Verb.NOTE})
_ALWAYS = frozenset({Verb.STOP})

LEGAL: Mapping[Mode, frozenset[Verb]] = {
    Mode.PREFLIGHT: _ALWAYS | {Verb.CHECK, Verb.CONFIRM, Verb.END},
    Mode.READY: _ALWAYS | _REVIEWING | {Verb.CHECK, Verb.START, Verb.END},
    Mode.RESETTING: _ALWAYS | {Verb.PAUSE},
    Mode.AUTO: _ALWAYS | _JUDGING | {Verb.TAKE_OVER, Verb.PAUSE},
    Mode.HUMAN: _ALWAYS | _JUDGING | {Verb.GIVE_BACK, Verb.TAKE_OVER, Verb.PAUSE},
    Mode.HOLD: _ALWAYS | _JUDGING | {Verb.GIVE_BACK, Verb.TAKE_OVER, Verb.PAUSE, Verb.RESUME},
    Mode.STOP: _ALWAYS | {Verb.CLEAR, Verb.NOTE, Verb.END},
    Mode.REVIEW: _ALWAYS
    | _REVIEWING
    | {Verb.SUCCESS, Verb.FAILURE, Verb.RE_RECORD, Verb.NEXT, Verb.PAUSE, Verb.END},
    Mode.PAUSED: _ALWAYS | _REVIEWING | {Verb.RESUME, Verb.END},
    Mode.LEARNING: _ALWAYS | {Verb.END},
}
"""Whoever asks for anything else is told what is legal; nothing happens."""


class Stage(StrEnum):
    """How far the session is, whoever drives and whatever the gate says."""

    PREFLIGHT = "preflight"
    READY = "ready"
    RESETTING = "resetting"
    RUNNING = "running"
    REVIEW = "review"
    PAUSED = "paused"
    LEARNING = "learning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides the mode.

    Args:
        stage: how far the session is.
        gate: state of the safety gate.
        source: who decided the newest step; counts while an episode runs.
    """

    stage: Stage = Stage.PREFLIGHT
    gate: GateState = GateState.RUN
    source: Source = Source.POLICY

    @property
    def mode(self) -> Mode:
        """A latched gate hides everything else; a held arm, whoever would drive."""
        if self.gate >= GateState.STOP:
            return Mode.STOP
        if self.stage != Stage.RUNNING:
            return Mode(self.stage.value)
        if self.source in (Source.HUMAN, Source.DEMO):
            return Mode.HUMAN
        held = self.gate == GateState.HOLD or self.source == Source.HOLD
        return Mode.HOLD if held else Mode.AUTO
