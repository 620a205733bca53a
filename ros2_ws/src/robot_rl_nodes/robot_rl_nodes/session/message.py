"""What is asked of a session and what it shows, as messages."""

from __future__ import annotations

import json
import math
from typing import Any

from robot_rl_msgs.msg import SessionState

from robot_rl.core.errors import ContractError, did_you_mean
from robot_rl.core.types import Outcome
from robot_rl.session.client.line import STALE_S, Status
from robot_rl.session.mode import Verb
from robot_rl.session.page.message import Arguments, decode_script
from robot_rl.session.view import View

_NAME, _ID, _WORDS = 64, 128, 300
_MOST_LEGAL = 32


def verb_from(request: Any) -> Verb:
    """Return what a `SessionCommand` asks for.

    Raises:
        ContractError: if there is no such verb; the words name the nearest, or all that there are.
    """
    name = str(request.verb)
    if name not in list(Verb):
        raise ContractError(f"no verb {name!r}{did_you_mean(name, [v.value for v in Verb])}")
    return Verb(name)


def arguments_from(request: Any) -> Arguments:
    """Return what comes with it, as the session's page takes it; who asks is `by`.

    Raises:
        ContractError: if it is no JSON object, or says what no verb takes.
    """
    text = str(request.arguments_json).strip() or "{}"
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"arguments_json: expected a JSON object: {error}"[:_WORDS]) from error
    if not isinstance(given, dict):
        raise ContractError(f"arguments_json: got {text[:40]}, expected a JSON object")
    by = {"by": str(request.by)} if request.by else {}
    asked = json.dumps({"verb": str(request.verb), "arguments": by | given})
    return decode_script(asked.encode()).arguments


def state_message(view: View | None, status: Status) -> SessionState:
    """Return what the newest view shows, and how the line stands; without a stamp."""
    message = SessionState(
        live=bool(status.is_live),
        silent_s=float(status.silent_s),
        line=_clip(_line_words(status), _WORDS),
        success_probability=math.nan,
        force_n=math.nan,
        force_limit_n=math.nan,
        weights_age_s=math.nan,
    )
    if view is not None:
        _set_course(message, view)
        _set_episode(message, view)
        _set_learning(message, view)
    return message


def _line_words(status: Status) -> str:
    if status.words or status.silent_s <= STALE_S:
        return status.words
    return "the session is there, and shows nothing"


def _set_course(message: SessionState, view: View) -> None:
    message.view = int(view.number)
    message.run = _clip(view.run, _ID)
    message.task = _clip(view.task, _NAME)
    message.mode = view.mode.value
    message.mode_s = float(view.mode_s)
    message.driver = _clip(view.driver, _NAME)
    message.holder = _clip(view.holder, _NAME)
    message.why = _clip(view.why, _WORDS)
    message.legal = [verb.value for verb in view.legal][:_MOST_LEGAL]
    if view.reward is not None:
        message.success_probability = _number(view.reward.probability)
    if view.force is not None:
        message.force_n = math.hypot(*view.force.force_n)
        message.force_limit_n = float(view.force.limit_n)


def _set_episode(message: SessionState, view: View) -> None:
    if (episode := view.episode) is None:
        return
    message.episode_id = _clip(episode.episode_id, _ID)
    message.seed = int(episode.seed)
    message.step = int(episode.step)
    message.horizon = int(episode.horizon)
    message.seconds = float(episode.seconds)
    message.reward = float(episode.reward)
    message.human_steps = int(episode.human_steps)
    message.judging = bool(episode.judging)
    message.outcome = int(Outcome[episode.outcome.upper()])


def _set_learning(message: SessionState, view: View) -> None:
    if (learner := view.learner) is not None:
        message.learner = learner.state
        message.updates = int(learner.updates)
        message.weights_version = int(learner.version)
        message.weights_age_s = _number(learner.weights_age_s)
    if (data := view.data) is not None:
        message.episodes = int(data.episodes)
        message.discarded = int(data.discarded)
        message.successes_autonomous = int(data.successes_autonomous)
        message.successes_assisted = int(data.successes_assisted)
        message.steps = int(data.steps)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _clip(words: str, most: int) -> str:
    """Return as much of it as a bounded string of so many bytes takes."""
    return words.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
