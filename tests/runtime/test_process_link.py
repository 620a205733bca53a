"""The learner in a process of its own, with a real learner; `tiny_worker` makes it."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from robot_rl.core.errors import ConfigError, ContractError, LearnerLostError
from robot_rl.core.types import Transition
from robot_rl.runtime import process_link
from robot_rl.runtime.link import InlineLink, Published
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.process_worker import LearnerServer, import_factory
from robot_rl.runtime.wire import (
    Ask,
    Reply,
    Step,
    decode_message,
    decode_published,
    decode_state,
    encode_message,
    encode_transition,
)

OpenLink = Callable[..., ProcessLink]


@pytest.fixture(scope="module")
def tiny() -> Iterator[ModuleType]:
    """Importable here, and thereby in a process that is started from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield import_module_named("tiny_worker")


def import_module_named(name: str) -> ModuleType:
    import_factory(f"{name}:build")
    return sys.modules[name]


@pytest.fixture
def open_link(tiny: ModuleType) -> Iterator[OpenLink]:
    links: list[ProcessLink] = []

    def open_link(
        function: str = "build",
        *,
        max_lag_updates: int | None = 0,
        utd: float = 1.0,
        **more: Any,
    ) -> ProcessLink:
        factory, arguments = f"tiny_worker:{function}", json.dumps({"utd": utd})
        links.append(ProcessLink(factory, arguments, max_lag_updates=max_lag_updates, **more))
        return links[-1]

    yield open_link
    for link in links:
        link.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The same 60 steps through both links, `sync` after every ten, and what each said."""

    apart: list[Published]
    inline: list[Published]
    state_apart: dict[str, Any]
    state_inline: dict[str, Any]
    losses: tuple[str, str]
    pid: int
    leftovers: tuple[int, ...]


@pytest.fixture(scope="module")
def session(tiny: ModuleType) -> Session:
    """One process for several claims: starting one takes seconds."""
    resource_tracker.ensure_running()
    before = torch.get_num_threads()
    # As in the process: sums over several threads round otherwise.
    torch.set_num_threads(1)
    resources = held_resources()
    apart = ProcessLink("tiny_worker:build", "{}", max_lag_updates=0)
    inline = InlineLink(tiny.build("{}"))
    os.kill(apart.pid, signal.SIGINT)
    news: dict[Any, list[Published]] = {apart: [], inline: []}
    for number, step in enumerate(tiny.build_steps(60), start=1):
        for link in (apart, inline):
            link.add(step)
            if number % 10 == 0:
                news[link].append(link.sync())
    states = apart.state_dict(), inline.state_dict()
    apart.close()
    torch.set_num_threads(before)
    return Session(
        apart=news[apart],
        inline=news[inline],
        state_apart=states[0],
        state_inline=states[1],
        losses=(apart.loss, inline.loss),
        pid=apart.pid,
        leftovers=tuple(now - then for now, then in zip(held_resources(), resources, strict=True)),
    )


def held_resources() -> tuple[int, int, int]:
    """Children, threads and descriptors of this process."""
    children = len(multiprocessing.active_children())
    return children, threading.active_count(), len(os.listdir("/proc/self/fd"))


def exists(pid: int) -> bool:
    """Whether there is such a process, be it a zombie."""
    return Path(f"/proc/{pid}").exists()


def add_all(link: ProcessLink, steps: list[Transition]) -> None:
    for step in steps:
        link.add(step)


def test_without_time_pressure_it_learns_bit_by_bit_what_the_inline_link_learns(session: Session):
    # Cycles of 4: 8 updates are due at step 12, one more with every step from there on.
    assert [news.updates for news in session.apart] == [0, 16, 24, 36, 44, 56]
    for apart, inline in zip(session.apart, session.inline, strict=True):
        assert (apart.version, apart.updates) == (inline.version, inline.updates)
        assert apart.metrics == inline.metrics
        assert_same_tensors(apart.weights or {}, inline.weights or {})
    assert session.state_apart["sampler"] == session.state_inline["sampler"]
    assert_same_tensors(session.state_apart["learner"], session.state_inline["learner"])


def assert_same_tensors(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_weights_arrive_and_their_version_grows(session: Session):
    # The first 8 updates leave the actor alone; from then on every cycle of 4 is a version.
    assert [news.version for news in session.apart] == [0, 2, 4, 7, 9, 12]
    assert [news.weights is None for news in session.apart] == [True, *[False] * 5]


def test_an_interrupt_does_not_reach_the_process(session: Session):
    assert session.state_apart["updates"] == 56


def test_close_leaves_no_process_no_thread_and_no_descriptor(session: Session):
    assert not exists(session.pid)
    assert session.leftovers == (0, 0, 0)


def test_a_learner_that_was_ended_is_not_lost(session: Session):
    assert session.losses == ("", "")


def test_a_killed_learner_is_said_at_once_and_the_policy_is_not_to_drive_for_ever(
    tiny: ModuleType, open_link: OpenLink, caplog: pytest.LogCaptureFixture
):
    link = open_link(finish_s=2.0)
    steps = tiny.build_steps(20)
    link.add(steps[0])
    assert link.loss == ""
    os.kill(link.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    # Nobody hands over a step or asks for news meanwhile.
    wait_until(lambda: link.loss != "")
    assert time.monotonic() - killed_s < 1.0
    assert link.loss == "it has ended; the policy acts with the weights of now until 2 s are over"
    with pytest.raises(LearnerLostError, match="killed by SIGKILL"):
        link.sync()
    assert time.monotonic() - killed_s < 1.0
    assert "the learner has ended; the policy acts with the weights of now until 2 s" in (
        caplog.text
    )
    add_all(link, steps)
    with pytest.raises(LearnerLostError, match="resume"):
        link.state_dict()
    assert time_until_up(link) - killed_s == pytest.approx(2.0, abs=0.7)
    link.add(steps[0])
    link.close()
    with pytest.raises(LearnerLostError, match="closed"):
        link.sync()
    with pytest.raises(LearnerLostError, match="closed"):
        link.add(steps[0])


def time_until_up(link: ProcessLink) -> float:
    wait_until(lambda: link.time_is_up)
    return time.monotonic()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_without_a_time_the_policy_drives_to_the_end_of_the_episode(
    open_link: OpenLink, caplog: pytest.LogCaptureFixture
):
    link = open_link()
    assert not link.time_is_up
    os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(LearnerLostError, match="resume"):
        link.sync()
    assert "until the episode ends" in caplog.text
    assert not link.time_is_up


def test_without_a_limit_sync_does_not_wait_yet_news_comes_until_it_falls_silent(
    tiny: ModuleType, open_link: OpenLink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("robot_rl.runtime.child_process._GRACE_S", 0.2)
    link = open_link(max_lag_updates=None, utd=50.0, silence_s=2.5)
    add_all(link, tiny.build_steps(40))
    start_s = time.monotonic()
    first = link.sync()
    # 8 + 28 * 50 updates are owed, seconds of work.
    assert time.monotonic() - start_s < 1.0
    assert first.updates < 1408
    while (news := link.sync()).version <= first.version:
        assert time.monotonic() - start_s < 20.0
        time.sleep(0.05)
    assert news.weights is not None
    assert news.updates > first.updates
    os.kill(link.pid, signal.SIGSTOP)
    with pytest.raises(LearnerLostError, match=r"said nothing for 2.5 s(.|\n)*still there"):
        sync_until_lost(link)
    assert link.loss.startswith("it has said nothing for 2.5 s; the policy acts")
    link.close()
    assert not exists(link.pid)


def sync_until_lost(link: ProcessLink) -> None:
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        link.sync()
        time.sleep(0.05)


def test_what_waits_for_a_learner_is_bounded(
    tiny: ModuleType, open_link: OpenLink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process_link, "MAX_WAITING_STEPS", 400)
    monkeypatch.setattr("robot_rl.runtime.child_process._GRACE_S", 0.5)
    link = open_link("build_hanging", finish_s=0.0)
    # 64 KiB fit into the pipe, some 300 steps, and then it stays full.
    add_all(link, tiny.build_steps(2_000))
    assert link.time_is_up
    assert link.loss.startswith("it is 401 steps")
    with pytest.raises(LearnerLostError, match="is 401 steps"):
        link.sync()
    link.close()
    assert not exists(link.pid)


def test_what_went_wrong_in_the_factory_is_told(open_link: OpenLink):
    with pytest.raises(LearnerLostError, match="no demonstrations in") as error:
        open_link("build_broken")
    assert "exit code 1" in str(error.value)


class Line:
    """The actor's ends of a server's pipes, in one process."""

    def __init__(self, worker: Any, max_lag_updates: int | None = 0) -> None:
        inbox, self.outbox = multiprocessing.Pipe(duplex=False)
        self.inbox, outbox = multiprocessing.Pipe(duplex=False)
        self.ends: tuple[Connection, ...] = (inbox, outbox, self.inbox, self.outbox)
        self.server = LearnerServer(worker, inbox, outbox, max_lag_updates)
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self.server.serve()
        except ContractError as error:
            self.error = error

    def ask(self, number: int, about: Any) -> bytes:
        self.outbox.send_bytes(encode_message(Ask(number=number, about=about)))
        while True:
            reply = decode_message(self.inbox.recv_bytes())
            assert isinstance(reply, Reply)
            if reply.answers == number:
                return reply.body

    def close(self) -> None:
        self.outbox.close()
        self._thread.join()
        for end in self.ends:
            end.close()


def test_a_step_that_comes_again_is_applied_once(tiny: ModuleType):
    worker = tiny.build("{}")
    line = Line(worker)
    bodies = [encode_transition(step) for step in tiny.build_steps(20)]
    for number in (1, 2, 2, 1, *range(1, 21), 20):
        line.outbox.send_bytes(encode_message(Step(number=number, body=bodies[number - 1])))
    news = decode_published(line.ask(1, "news"))
    line.close()
    assert line.error is None
    assert worker.env_steps == 20
    assert news.updates == 16


def test_a_missing_step_is_an_error(tiny: ModuleType):
    worker = tiny.build("{}")
    line = Line(worker)
    body = encode_transition(tiny.build_steps(1)[0])
    for number in (1, 3):
        line.outbox.send_bytes(encode_message(Step(number=number, body=body)))
    line._thread.join()
    line.close()
    assert "got step 3 after 1" in str(line.error)
    assert worker.env_steps == 1


def test_a_state_holds_every_step_before_the_question(tiny: ModuleType):
    line = Line(tiny.build("{}"))
    for number, step in enumerate(tiny.build_steps(30), start=1):
        line.outbox.send_bytes(encode_message(Step(number=number, body=encode_transition(step))))
    state = decode_state(line.ask(1, "state"))
    line.close()
    # 8 + (30 - 12) = 26 are due, 24 in whole cycles.
    assert state["updates"] == 24


def test_it_ends_when_the_actor_is_gone_whatever_is_owed(tiny: ModuleType):
    line = Line(tiny.build(json.dumps({"utd": 1e6})))
    for number, step in enumerate(tiny.build_steps(20), start=1):
        line.outbox.send_bytes(encode_message(Step(number=number, body=encode_transition(step))))
    start_s = time.monotonic()
    line.close()
    assert time.monotonic() - start_s < 5.0


@pytest.mark.parametrize("named", ["tiny_worker", "tiny_worker:buidl", "no_such_module:build", ""])
def test_a_factory_that_is_none_is_named(tiny: ModuleType, named: str):
    with pytest.raises(ConfigError, match=f"factory '{named}'"):
        import_factory(named)
