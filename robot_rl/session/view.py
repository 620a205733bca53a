"""All that a person is shown, as data: page, terminal and script read this and nothing else.

Times are ages and durations [s]: whoever shows them has another clock. A number that there is not
is None, never NaN. Made some 10 times a second, and at once when the mode changes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from robot_rl.session.mode import Mode, Verb

Numbers = tuple[float, ...]


class EpisodeView(msgspec.Struct, frozen=True, kw_only=True):
    """The episode that runs, or ran last; `judging`: it only counts, nobody learns from it."""

    episode_id: str
    seed: int
    step: int
    horizon: int
    seconds: float
    reward: float
    human_steps: int
    judging: bool
    outcome: Literal["unknown", "success", "failure"]


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """One live camera.

    Args:
        frozen: its picture has not changed for long, though it is told anew, or none comes.
        words: what is wrong with it; empty if nothing is.
    """

    name: str
    width: int
    height: int
    rate_hz: float
    age_s: float | None
    frozen: bool
    words: str = ""


class ForceView(msgspec.Struct, frozen=True, kw_only=True):
    """The wrench in the tcp frame, of the environment on the tool, and where the gate holds."""

    force_n: Numbers
    torque_n_m: Numbers
    limit_n: float
    limit_n_m: float
    tactile: dict[str, Numbers] = {}


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest step's actions, normalised; `gate_reason` other than PASSED: it was changed."""

    names: tuple[str, ...]
    base: Numbers
    proposed: Numbers
    executed: Numbers
    gate_reason: str


class RewardView(msgspec.Struct, frozen=True, kw_only=True):
    """What judges success: its newest probability, the threshold, and the frame it looked at."""

    model: str
    probability: float | None
    threshold: float | None
    frame_age_s: float | None


class LearnerView(msgspec.Struct, frozen=True, kw_only=True):
    """How learning stands; `lost`: the policy acts with the weights of then."""

    state: Literal["starting", "learning", "waiting", "lost"]
    updates: int
    updates_per_s: float
    version: int
    weights_age_s: float | None
    env_steps: int
    words: str = ""


class DataView(msgspec.Struct, frozen=True, kw_only=True):
    """What is on the disk, and how much more fits; `target`: episodes wanted, 0 for no target."""

    folder: str
    episodes: int
    discarded: int
    target: int
    successes_autonomous: int
    successes_assisted: int
    steps: int
    human_steps: int
    free_bytes: int
    room_episodes: int


class RatesPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Rates over the last 20 episodes up to one, each with its 95 % interval (rate, low, high)."""

    episode: int
    autonomous: tuple[float, float, float]
    assisted: tuple[float, float, float]
    intervention: tuple[float, float, float]


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One item of what is checked before the start; `ask`: a person has to say that it is so."""

    name: str
    state: Literal["waiting", "good", "bad", "ask"]
    words: str
    remedy: str = ""


class EpisodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of recorded episodes, newest first."""

    episode_id: str
    outcome: Literal["unknown", "success", "failure"]
    assisted: bool
    steps: int
    seconds: float
    note: str = ""
    discarded: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be seen and heard once; `number` grows.

    `sound`: which tone, distinct for each; `say`: words for a voice, empty for none.
    """

    number: int
    level: Literal["good", "info", "bad"]
    words: str
    sound: Literal["", "take_over", "give_back", "saved", "hold", "stop", "error"] = ""
    say: str = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The whole session at one instant.

    Args:
        number: grows with each view.
        mode, mode_s: what the session is in, and for how long.
        driver: who drives: `policy`, a person's name, or `nobody`.
        holder: client that may drive by keys now; empty for none.
        why: the mode's reason in words: cause of a stop, what is waited for.
        legal: what may be asked for now.
        hints: how to correct better, at most three.
        notices: the newest, oldest first.
        key_speed: what a held key asks for, normalised.
    """

    number: int
    run: str
    task: str
    mode: Mode
    mode_s: float
    driver: str
    holder: str
    why: str
    legal: tuple[Verb, ...]
    period_s: float
    episode: EpisodeView | None = None
    cameras: tuple[CameraView, ...] = ()
    force: ForceView | None = None
    action: ActionView | None = None
    reward: RewardView | None = None
    learner: LearnerView | None = None
    data: DataView | None = None
    rates: tuple[RatesPoint, ...] = ()
    checks: tuple[CheckView, ...] = ()
    hints: tuple[str, ...] = ()
    rows: tuple[EpisodeRow, ...] = ()
    notices: tuple[Notice, ...] = ()
    key_speed: float = 0.5


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag="frame"):
    """A picture of one camera: uint8[height, width, 3] RGB as bytes, when it was taken [ns]."""

    camera: str
    number: int
    stamp_ns: int
    width: int
    height: int
    rgb: bytes
    reference: bool = False
    """The picture that the camera's pose is compared with."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, tag="view"):
    """A view, on its way to whoever shows it."""

    view: View
