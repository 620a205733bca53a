"""A session's commands and its state in the graph, through a page that is served for real."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from page_rig import Page, view
from robot_rl_msgs.msg import RewardStamped, SessionState
from robot_rl_msgs.srv import SessionCommand

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.session.client.address import URL_VARIABLE
from robot_rl.session.client.line import Status
from robot_rl.session.command import Command
from robot_rl.session.mode import LEGAL, Mode, Verb
from robot_rl.session.view import DataView, ForceView, LearnerView, RewardView
from robot_rl_nodes import topic
from robot_rl_nodes.diagnostic import Level
from robot_rl_nodes.session.address import session_address
from robot_rl_nodes.session.message import arguments_from, state_message, verb_from
from robot_rl_nodes.session_node import SessionNode

pytestmark = pytest.mark.ros

SHOW_S = 0.1
NUMBERS = count(1)
LIVE = Status(is_live=True, silent_s=0.1, words="")
LOST = Status(is_live=False, silent_s=3.0, words="trying to reach it again, attempt 2")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    shared = Page(tmp_path_factory.mktemp("page"), most_clients=16)
    yield shared
    shared.process.close()


class Session:
    """A session that goes on showing a view while the graph is spun, and who asks things of it."""

    def __init__(self, graph: Any, page: Page) -> None:
        self.graph = graph
        self.page = page
        self.shown = view()
        self.number = next(NUMBERS)
        self.desk = page.desk
        self.desk.answers, self.desk.refuses = True, False
        self._before = len(self._commands())
        self.states: list[SessionState] = []
        probe = graph.plain()
        probe.create_subscription(
            SessionState,
            topic.SESSION_STATE.name,
            self.states.append,
            topic.SESSION_STATE.quality.recorded,
        )
        self.showing = probe.create_timer(SHOW_S, self._show)
        self.client = probe.create_client(SessionCommand, topic.SESSION_COMMAND)

    @property
    def newest(self) -> SessionState:
        return self.states[-1]

    @property
    def asked(self) -> list[Command]:
        """What came to the desk in this test, oldest first."""
        return self._commands()[self._before :]

    def start(self, **parameters: Any) -> Any:
        return self.graph.start(SessionNode, **parameters)

    def heard(self) -> Any:
        """A node that hears this session; the page first shows the view of another test."""
        first = self.number
        node = self.start()
        self.graph.until(lambda: self.states and self.newest.live and self.newest.view > first)
        return node

    def call(self, verb: str, arguments: str = "", by: str = "anna", seen: int = 0) -> Any:
        request = SessionCommand.Request(verb=verb, arguments_json=arguments, by=by, view=seen)
        self.graph.until(self.client.service_is_ready)
        return self.client.call_async(request)

    def answer(
        self, verb: str, arguments: str = "", by: str = "anna", seen: int = 0
    ) -> tuple[bool, str]:
        future = self.call(verb, arguments, by, seen)
        self.graph.until(future.done)
        return future.result().success, future.result().message

    def _show(self) -> None:
        self.number = next(NUMBERS)
        self.page.process.show(replace(self.shown, number=self.number))

    def _commands(self) -> list[Command]:
        with self.desk._news:
            return [note for _, note in self.desk._notes if isinstance(note, Command)]


@pytest.fixture
def session(graph: Any, page: Page, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv(URL_VARIABLE, page.process.url)
    return Session(graph, page)


def told(node: Any) -> tuple[int, str]:
    """Level and words of what the node says of the session."""
    said = node.diagnostics.message("", node.get_clock().now().to_msg()).status
    return next((s.level[0], s.message) for s in said if s.name.endswith(": session"))


def test_the_state_follows_the_views(session: Session) -> None:
    node = session.heard()
    state = session.newest
    assert (state.mode, state.driver, state.episode_id) == ("auto", "policy", "e1")
    assert (state.step, state.horizon, state.run, state.task) == (3, 100, "r", "t")
    assert set(state.legal) == set(LEGAL[Mode.AUTO])
    assert (state.line, state.header.stamp.sec > 0) == ("", True)
    session.shown = view(mode=Mode.HUMAN, step=4)
    session.graph.until(lambda: session.newest.mode == "human")
    assert (session.newest.step, told(node)) == (4, (Level.OK, "human"))
    numbers = [state.view for state in session.states if state.view]
    assert numbers == sorted(numbers)


def test_a_command_reaches_the_desk_and_its_answer_comes_back(session: Session) -> None:
    session.heard()
    arguments = {"episode_id": "e1", "outcome": "failure"}
    assert session.answer("relabel", json.dumps(arguments)) == (True, "relabel")
    assert session.answer("start", by="") == (True, "start")
    relabel, start = session.asked
    assert relabel.verb == Verb.RELABEL
    assert relabel.arguments == arguments | {"by": "anna"}
    assert (start.verb, start.arguments) == (Verb.START, {})
    assert relabel.client.startswith("ros-")


def test_what_was_asked_of_a_view_of_long_ago_is_refused_but_a_stop(session: Session) -> None:
    session.heard()
    seen = session.newest.view
    assert session.answer("take_over", seen=seen) == (True, "take_over")
    session.graph.spin(2.0)
    done, words = session.answer("take_over", seen=seen)
    assert not done
    assert words.endswith("s ago; look, then ask again")
    assert session.answer("stop", seen=seen)[0]
    assert [command.verb for command in session.asked] == [Verb.TAKE_OVER, Verb.STOP]


def test_what_the_session_refuses_is_refused_in_its_words(session: Session) -> None:
    session.heard()
    session.desk.refuses = True
    assert session.answer("start") == (False, "start")
    assert [command.verb for command in session.asked] == [Verb.START]


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        ("strat", "", "did you mean 'start'"),
        ("note", '{"text": "x"', "expected a JSON object"),
        ("note", "[1]", "got [1], expected a JSON object"),
        ("note", '{"text": {"a": 1}}', "$.arguments"),
        ("note", '{"text": NaN}', "not understood"),
        ("note", "[" * 16000, "expected a JSON object"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_asked(
    verb: str, arguments: str, words: str
) -> None:
    request = SessionCommand.Request(verb=verb, arguments_json=arguments)
    with pytest.raises(ContractError) as refused:
        (verb_from(request), arguments_from(request))
    assert words in str(refused.value)


def test_bad_json_is_answered_and_does_not_keep_a_stop_back(session: Session) -> None:
    node = session.heard()
    success, words = session.answer("note", "{'text': 1}")
    assert not success
    assert "expected a JSON object" in words
    assert session.answer("stop", "{'text': 1}") == (True, "stop")
    assert [command.verb for command in session.asked] == [Verb.STOP]
    assert node.active


def test_a_stop_does_not_wait_for_another_command(session: Session) -> None:
    node = session.heard()
    session.desk.answers = False
    waits = session.call("success")
    session.graph.until(lambda: session.asked)
    session.desk.answers = True
    assert session.answer("stop") == (True, "stop")
    assert not waits.done()
    node.trigger_deactivate()
    session.graph.until(waits.done)
    assert "is not known" in waits.result().message


def test_without_views_only_a_stop_goes_out_and_it_is_told(session: Session) -> None:
    node = session.heard()
    session.showing.cancel()
    session.graph.until(lambda: not session.newest.live)
    assert session.newest.silent_s > 1.0
    assert session.newest.mode == "auto"
    level, words = told(node)
    assert (level, "nothing was heard of the session for" in words) == (Level.ERROR, True)
    success, words = session.answer("success")
    assert not success
    assert "nothing was asked for" in words
    assert session.answer("stop") == (True, "stopped")
    assert {command.verb for command in session.asked} == {Verb.STOP}
    assert any(command.client.startswith("script-") for command in session.asked)


def test_a_lost_line_is_told_and_comes_back(session: Session) -> None:
    node = session.heard()
    os.kill(session.page.process.pid, signal.SIGKILL)
    session.graph.until(lambda: not session.newest.live and session.newest.line)
    # An error once it has lasted for a second, as a page that comes again need not.
    session.graph.until(lambda: told(node)[0] in (Level.WARN, Level.ERROR))
    session.graph.until(lambda: session.newest.live, 60.0)
    assert (session.newest.line, told(node)) == ("", (Level.OK, "auto"))
    assert session.answer("success") == (True, "success")


def test_a_wrong_token_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "the token in this address is not the session's"
    monkeypatch.setenv(URL_VARIABLE, session.page.process.url + "x")
    node = session.start()
    session.graph.until(lambda: session.states and words in session.newest.line)
    session.graph.until(lambda: told(node)[0] == Level.ERROR)
    assert words in told(node)[1]
    for verb in ("success", "stop"):
        success, answer = session.answer(verb)
        assert not success
        assert words in answer
    node.trigger_deactivate()
    monkeypatch.setenv(URL_VARIABLE, session.page.process.url)
    node.trigger_activate()
    session.graph.until(lambda: session.newest.live)


def test_an_inactive_node_says_that_nothing_is_heard(session: Session) -> None:
    node = session.heard()
    node.trigger_deactivate()
    session.graph.until(lambda: session.newest.line == "the node is at rest")
    assert not session.newest.live
    assert session.answer("start") == (False, "session is not active")


def test_an_address_in_a_private_file_is_taken(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE)
    file = tmp_path / "address"
    file.touch(0o600)
    file.write_text(session.page.process.url + "\n")
    session.start(address_file=str(file))
    session.graph.until(lambda: session.states and session.newest.live)


def test_an_address_that_others_could_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"set {URL_VARIABLE} .* or the parameter address_file"):
        session_address("")
    file = tmp_path / "address"
    file.write_text("http://127.0.0.1:8400/#token=secret")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        session_address(str(file))
    with pytest.raises(ConfigError, match="everybody in the graph") as refused:
        session_address(file.read_text())
    assert "secret" not in str(refused.value)


def test_a_state_has_what_the_view_has() -> None:
    whole = view(
        7,
        mode=Mode.STOP,
        force=ForceView(
            force_n=(3.0, 0.0, 4.0), torque_n_m=(0.0, 0.0, 0.0), limit_n=40.0, limit_n_m=3.0
        ),
        reward=RewardView(model="m", probability=0.25, threshold=0.9, frame_age_s=0.1),
        learner=LearnerView(
            state="learning",
            updates=1204,
            updates_per_s=21.5,
            version=41,
            weights_age_s=None,
            env_steps=4810,
        ),
        data=DataView(
            folder="/data",
            episodes=23,
            discarded=2,
            target=50,
            successes_autonomous=12,
            successes_assisted=6,
            steps=4810,
            human_steps=620,
            free_bytes=1,
            room_episodes=9,
        ),
    )
    state = state_message(whole, LIVE)
    assert (state.force_n, state.force_limit_n, state.success_probability) == (5.0, 40.0, 0.25)
    assert (state.learner, state.updates, state.weights_version) == ("learning", 1204, 41)
    assert math.isnan(state.weights_age_s)
    assert (state.episodes, state.discarded, state.steps) == (23, 2, 4810)
    assert (state.successes_autonomous, state.successes_assisted) == (12, 6)
    assert state.outcome == RewardStamped.OUTCOME_UNKNOWN
    assert (state.mode, state.view, state.live) == ("stop", 7, True)


def test_a_state_without_a_view_says_how_the_line_stands() -> None:
    state = state_message(None, LOST)
    assert (state.live, state.silent_s, state.line) == (False, 3.0, LOST.words)
    assert (state.mode, state.view, math.isnan(state.force_n)) == ("", 0, True)


def test_long_words_are_cut_between_letters() -> None:
    long = replace(view(1), why="x" + "é" * 300, driver="\ud800" * 100)
    state = state_message(long, LIVE)
    assert state.why == "x" + "é" * 149
    assert state.driver == "?" * 64
