"""The lines in the middle: how episode, forces, gate, learner, data and checks stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from robot_rl.session.mode import Mode
from robot_rl.session.terminal.clock_text import age_text
from robot_rl.session.terminal.confirmation import ConfirmKeys
from robot_rl.session.view import (
    ActionView,
    CameraView,
    CheckView,
    DataView,
    EpisodeRow,
    EpisodeView,
    ForceView,
    LearnerView,
    Numbers,
    RatesPoint,
    RewardView,
    View,
)

Weight = Literal["", "good", "bad", "soft"]
Row = tuple[Weight, str]
"""How it is shown, and what it says; the words alone say all."""

WINDOW = 20
"""Episodes that a rate is taken over; fewer at the beginning."""
_BAR = 20
_NEAR = 0.8
"""A force beyond this share of its limit is shown as bad."""
_FEW_EPISODES = 20
_STATES = {"waiting": "wait", "good": "good", "bad": "BAD ", "ask": "ask "}
_LEARNER = {
    "starting": "is starting",
    "learning": "learning",
    "waiting": "waits for data",
    "lost": "LOST",
}


def report(view: View, most: int, confirm_keys: ConfirmKeys) -> list[Row]:
    """Return at most so many lines, those that matter most in this mode first."""
    rows: list[Row] = [("soft", f"{view.run} | {view.task}")]
    is_checking = view.mode in (Mode.PREFLIGHT, Mode.READY)
    if view.episode is not None:
        rows.append(_episode(view.episode))
    if view.force is not None:
        rows.append(_force(view.force))
    if view.action is not None:
        rows.append(_gate(view.action))
    if view.reward is not None:
        rows.append(_reward(view.reward))
    if view.learner is not None:
        rows.append(_learner(view.learner))
    if view.data is not None:
        rows.append(_data(view.data))
    if view.rates:
        rows.append(_rates(view.rates[-1]))
    if view.cameras:
        rows.append(_cameras(view.cameras))
    if is_checking:
        checks = _checks(view.checks, most - len(rows), confirm_keys)
        return _within([*rows[:1], *checks, *rows[1:]], most)
    rows += [_hint(hint) for hint in view.hints]
    if view.mode in (Mode.REVIEW, Mode.PAUSED):
        rows += [_row(row) for row in view.rows]
    return _within(rows, most)


def _within(rows: list[Row], most: int) -> list[Row]:
    return rows[: max(0, most)]


def _episode(episode: EpisodeView) -> Row:
    said = [f"step {episode.step} of {episode.horizon}", f"{episode.seconds:.1f} s"]
    if episode.human_steps > 0:
        said.append(f"{episode.human_steps} by hand")
    if episode.judging:
        said.append("only counts")
    if episode.outcome != "unknown":
        said.append(episode.outcome.upper())
    return "", f"episode   {episode.episode_id}: {', '.join(said)}"


def _force(force: ForceView) -> Row:
    force_n, torque_n_m = _norm(force.force_n), _norm(force.torque_n_m)
    torque = f"torque {torque_n_m:.2f}{_limit(force.limit_n_m, 1)} N m"
    words = f"force     {force_n:5.1f}{_limit(force.limit_n, 0)} N"
    if force.limit_n <= 0:
        return "", f"{words}  {torque}"
    share = force_n / force.limit_n
    filled = min(_BAR, round(_BAR * share))
    bar = "#" * filled + "." * (_BAR - filled)
    is_near = share > _NEAR or (force.limit_n_m > 0 and torque_n_m > _NEAR * force.limit_n_m)
    return "bad" if is_near else "", f"{words} [{bar}]  {torque}"


def _limit(limit: float, digits: int) -> str:
    return f" of {limit:.{digits}f}" if limit > 0 else ""


def _gate(action: ActionView) -> Row:
    reason = action.gate_reason.lower().replace("_", " ")
    return ("" if reason == "passed" else "bad"), f"gate      {reason}"


def _reward(reward: RewardView) -> Row:
    now = "no judgement yet" if reward.probability is None else f"{reward.probability:.2f}"
    needed = "" if reward.threshold is None else f" of {reward.threshold:.2f}"
    age = f", picture {age_text(reward.frame_age_s)} old" if reward.frame_age_s is not None else ""
    reached = (
        reward.probability is not None
        and reward.threshold is not None
        and reward.probability >= reward.threshold
    )
    return "good" if reached else "", f"reward    {now}{needed}{age} ({reward.model})"


def _learner(learner: LearnerView) -> Row:
    numbers = (
        f"{learner.updates} updates, {learner.updates_per_s:.1f}/s, weights {learner.version} "
        f"{age_text(learner.weights_age_s)} old"
    )
    words = f"; {learner.words}" if learner.words else ""
    weight: Weight = "bad" if learner.state == "lost" else ""
    return weight, f"learner   {_LEARNER[learner.state]}{words}: {numbers}"


def _data(data: DataView) -> Row:
    target = f" of {data.target}" if data.target > 0 else ""
    discarded = f" ({data.discarded} discarded)" if data.discarded > 0 else ""
    success = f"success {data.successes_autonomous} alone, {data.successes_assisted} helped"
    weight: Weight = "bad" if data.room_episodes < _FEW_EPISODES else ""
    room = f"room for {data.room_episodes}"
    return weight, f"data      {data.episodes}{target} episodes{discarded}, {success}, {room}"


def _rates(point: RatesPoint) -> Row:
    said = [
        f"alone {_rate(point.autonomous)}",
        f"with help {_rate(point.assisted)}",
        f"helped {_rate(point.intervention)}",
    ]
    return "", f"last {min(point.episode, WINDOW):<4} success {', '.join(said)}"


def _rate(rate: tuple[float, float, float]) -> str:
    share, low, high = (round(100 * x) for x in rate)
    return f"{share}% ({low}-{high})"


def _cameras(cameras: Sequence[CameraView]) -> Row:
    def said(camera: CameraView) -> str:
        wrong = camera.words or ("FROZEN" if camera.frozen else "")
        return f"{camera.name} {wrong or f'{camera.rate_hz:.0f} Hz'}"

    is_bad = any(camera.frozen or camera.words for camera in cameras)
    return "bad" if is_bad else "", f"cameras   {', '.join(said(camera) for camera in cameras)}"


def _checks(checks: Sequence[CheckView], most: int, confirm_keys: ConfirmKeys) -> list[Row]:
    """Return what is left to do first, with its remedy; the good ones as far as there is room."""
    left = [check for check in checks if check.state != "good"]
    rows: list[Row] = []
    for check in left:
        key = confirm_keys.of(check)
        weight: Weight = "soft" if check.state == "waiting" else "bad"
        words = f"{check.name}: {check.words}" if check.words else check.name
        rows.append((weight, f"{_STATES[check.state]}{f' [{key}]' if key else ''} {words}"))
        if check.remedy:
            rows.append(("", f"      {check.remedy}"))
    good = [check for check in checks if check.state == "good"]
    head = f"checks    {len(good)} of {len(checks)} are good"
    room = max(0, most - len(rows) - 1)
    fine: list[Row] = [("good", f"good  {check.name}: {check.words}") for check in good[:room]]
    return [("soft" if left else "good", head), *rows, *fine] if checks else []


def _hint(words: str) -> Row:
    return "good", f"hint      {words}"


def _row(row: EpisodeRow) -> Row:
    helped = ", helped" if row.assisted else ""
    note = f", {row.note}" if row.note else ""
    weight: Weight = "soft" if row.discarded else ""
    state = "discarded" if row.discarded else row.outcome
    return weight, f"{row.episode_id}  {state}{helped}, {row.seconds:.1f} s{note}"


def _norm(vector: Numbers) -> float:
    return math.hypot(*vector)
