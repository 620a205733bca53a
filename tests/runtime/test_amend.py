"""A person changes an episode, and the learner learns from it as it is now."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, LearnerLostError
from robot_rl.core.types import Outcome
from robot_rl.learning.reward_view import RlifRewardConfig
from robot_rl.runtime import process_link
from robot_rl.runtime.link import InlineLink
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.process_worker import LearnerServer, import_factory
from robot_rl.runtime.wire import (
    Amend,
    Ask,
    Reply,
    Step,
    decode_message,
    encode_message,
    encode_transition,
)
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig

SCHEDULE = {"prefill_steps": 4, "warmup_updates": 0, "utd": 1.0, "batch_size": 256, "n_step": 1}


@pytest.fixture
def worker(kit):
    def worker(reward=None, **changes):
        learner = kit.CountingLearner()
        made = ScheduleConfig(**{**SCHEDULE, **changes})
        return LearnerWorker(learner, kit.task, made, [], 0, reward), learner

    return worker


@pytest.fixture
def record(kit):
    def record(seed=0, steps=6, human=()):
        env, _ = kit.env(horizon=steps, goal_rad=9.0)
        # Each episode has a speed of its own, by which its steps are known.
        agent = kit.agent(None, kit.Steady((0.0, 0.1 * (seed + 1))))
        rollout = kit.rollout(env, agent, operator=kit.Person(human, (0.01, 0.1 * (seed + 1))))
        return rollout.run(f"online-{seed}", seed, kit.metadata(seed))

    return record


def drawn(learner) -> set[tuple[int, bool]]:
    """The episodes in the last batch, by their speed, and whether they came from offline."""
    batch = learner.batches[-1]
    speed = (batch.action[:, 1] * 10).round().int() - 1
    return set(zip(speed.tolist(), batch.offline.tolist(), strict=True))


def paid(episode: Episode, value: float) -> Episode:
    reward = np.zeros(len(episode), np.float32)
    reward[-1] = value
    return dataclasses.replace(episode, reward=reward, outcome=Outcome.SUCCESS)


def test_a_deleted_episode_is_forgotten_in_both_buffers(worker, record):
    made, learner = worker()
    link = InlineLink(made)
    for episode in (record(0, human=(1, 2)), record(1, human=(1, 2))):
        for step in episode.transitions():
            link.add(step)
    made.train_cycle()
    assert drawn(learner) == {(0, False), (0, True), (1, False), (1, True)}

    link.amend("online-0", None)
    made.train_cycle()

    assert drawn(learner) == {(1, False), (1, True)}


def test_a_relabelled_episode_pays_what_it_pays_now_and_is_not_counted_again(worker, record):
    made, learner = worker()
    link = InlineLink(made)
    episode = record(0, human=(4, 5))
    for step in episode.transitions():
        link.add(step)
    before = made.env_steps, made.updates, made.updates_owed

    link.amend("online-0", paid(episode, 1.0))

    assert (made.env_steps, made.updates, made.updates_owed) == before
    made.train_cycle()
    batch = learner.batches[-1]
    assert batch.reward[batch.offline].max() == 1.0
    assert batch.reward[~batch.offline].max() == 1.0
    link.amend("online-0", episode)
    made.train_cycle()
    assert learner.batches[-1].reward.max() == 0.0


def test_amended_twice_it_is_there_once_under_whatever_id(worker, record):
    made, _ = worker()
    trimmed = dataclasses.replace(record(0, steps=3), episode_id="online-0-trim1")
    made.add_episode(record(0, steps=6))
    for _ in range(2):
        InlineLink(made).amend("online-0", trimmed)
    assert len(made._online) == 3
    InlineLink(made).amend("online-0-trim1", record(0, steps=6))
    assert len(made._online) == 6


def test_nothing_is_owed_while_all_was_forgotten_and_all_once_there_is_something(worker, record):
    made, _ = worker()
    link = InlineLink(made)
    made.add_episode(record(0))
    link.amend("online-0", None)
    assert made.updates_owed == 0
    assert link.sync().updates == 0
    link.amend("online-0", record(0))
    # Six steps, four of prefill, cycles of four.
    assert made.env_steps == 6
    made.add_episode(record(1))
    assert link.sync().updates == 8


def test_what_a_reward_view_still_holds_of_an_amended_episode_goes_too(worker, record):
    made, learner = worker(RlifRewardConfig(late_steps=2).build(), prefill_steps=0)
    for step in list(record(0).transitions())[:4]:
        made.add(step)
    # Two steps are held back: the next one may be a person's.
    assert len(made._online) == 2

    made.amend("online-0", [])
    made.add_episode(record(1, human=(3,)))
    made.train_cycle()

    assert drawn(learner) == {(1, False), (1, True)}
    assert len(made._online) == 6


def test_what_is_held_of_an_episode_that_broke_off_is_final_when_another_is_amended(
    worker, record
):
    made, learner = worker(RlifRewardConfig(late_steps=2).build(), prefill_steps=0)
    made.add_episode(record(1))
    for step in list(record(0).transitions())[:4]:
        made.add(step)

    made.amend("online-1", list(record(1, human=(3,)).transitions()))
    made.train_cycle()

    batch = learner.batches[-1]
    assert drawn(learner) == {(0, False), (1, False), (1, True)}
    assert len(made._online) == 10
    # The one who stepped in blames the two steps before, of the amended episode alone.
    blamed = (batch.action[batch.reward < 0, 1] * 10).round().int() - 1
    assert set(blamed.tolist()) == {1}


def test_a_checkpoint_knows_the_steps_that_a_refill_no_longer_has(worker, record):
    made, _ = worker()
    for seed in range(3):
        made.add_episode(record(seed))
    InlineLink(made).sync()
    state = made.state_dict()
    resumed, _ = worker()
    # Episode 1 was deleted, and another one was recorded after the checkpoint.
    for seed in (0, 2, 3):
        resumed.add_episode(record(seed))
    resumed.load_state_dict(state)
    assert resumed.env_steps == 18
    old, _ = worker()
    for seed in range(4):
        old.add_episode(record(seed))
    old.load_state_dict({k: v for k, v in state.items() if k != "env_steps"})
    assert old.env_steps == 24


# The learner in a process of its own.


@pytest.fixture(scope="module")
def tiny() -> Iterator[ModuleType]:
    """Importable here, and thereby in a process that is started from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import_factory("tiny_worker:build")
        yield sys.modules["tiny_worker"]


@pytest.fixture
def open_link(tiny: ModuleType) -> Iterator[Callable[..., ProcessLink]]:
    links: list[ProcessLink] = []

    def open_link() -> ProcessLink:
        links.append(ProcessLink("tiny_worker:build", "{}", max_lag_updates=0))
        return links[-1]

    yield open_link
    for link in links:
        link.close()


def episode_of(steps) -> Episode:
    return Episode.from_transitions(steps, Outcome.SUCCESS, EpisodeMetadata(task="tiny"))


def test_apart_it_learns_bit_by_bit_what_it_learns_inline(tiny: ModuleType, open_link):
    apart, inline = open_link(), InlineLink(tiny.build("{}"))
    steps = tiny.build_steps(40)
    # Waiting for room must change nothing either.
    for number, step in enumerate(steps, start=1):
        for link in (apart, inline):
            link.add(step)
            if number == 20:
                link.amend("episode-0", episode_of(steps[:4]))
                link.amend("episode-1", None)
            if number == 30:
                link.amend("episode-0", None)
                link.amend("episode-2", None)
                link.amend("episode-2", episode_of(steps[20:30]))
        if number in (20, 30):
            assert apart.sync().updates == inline.sync().updates
    states = apart.state_dict(), inline.state_dict()
    assert states[0]["updates"] == states[1]["updates"] == 36
    assert states[0]["env_steps"] == states[1]["env_steps"] == 40
    assert states[0]["sampler"] == states[1]["sampler"]
    flat = [dict(_tensors(state["learner"])) for state in states]
    assert flat[0].keys() == flat[1].keys()
    assert all(torch.equal(flat[0][name], flat[1][name]) for name in flat[0])


def _tensors(tree, name=""):
    if isinstance(tree, torch.Tensor):
        yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _tensors(value, f"{name}.{key}")


def test_a_long_episode_is_not_falling_behind_and_a_lost_learner_is_amended_no_more(
    tiny: ModuleType, open_link, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process_link, "MAX_WAITING_STEPS", 20)
    link, long = open_link(), episode_of(tiny.build_steps(1000, length=1000))
    link.amend("episode-0", long)
    link.add(tiny.build_steps(1)[0])
    assert link.state_dict()["env_steps"] == 1
    os.kill(link.pid, signal.SIGKILL)
    # In the middle of it, or before: neither waits for ever.
    link.amend("episode-0", long)
    with pytest.raises(LearnerLostError, match="resume"):
        link.sync()
    link.amend("episode-0", None)
    link.close()
    with pytest.raises(LearnerLostError, match="closed"):
        link.amend("episode-0", None)


class Line:
    """The actor's ends of a server's pipes, in one process."""

    def __init__(self, worker) -> None:
        inbox, self.outbox = multiprocessing.Pipe(duplex=False)
        self.inbox, outbox = multiprocessing.Pipe(duplex=False)
        self._ends = (inbox, outbox, self.inbox, self.outbox)
        self._server = LearnerServer(worker, inbox, outbox, 0)
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._server.serve()
        except ContractError as error:
            self.error = error

    def send(self, *messages) -> None:
        for message in messages:
            self.outbox.send_bytes(encode_message(message))

    def caught_up(self, question: int) -> None:
        self.send(Ask(number=question, about="news"))
        answered = 0
        while answered != question:
            reply = decode_message(self.inbox.recv_bytes())
            assert isinstance(reply, Reply)
            answered = reply.answers

    def close(self) -> None:
        self.outbox.close()
        self._thread.join()
        for end in self._ends:
            end.close()


def test_an_amendment_that_comes_again_is_applied_once(tiny: ModuleType):
    worker = tiny.build(json.dumps({"prefill_steps": 10**6}))
    line = Line(worker)
    first, again = (
        [encode_transition(step) for step in tiny.build_steps(3, seed=seed)] for seed in (0, 1)
    )
    steps = [Step(number=n, body=body) for n, body in enumerate(first, start=1)]
    amend = Amend(number=4, episode_id="episode-0", steps=3)
    anew = [Step(number=n, body=body) for n, body in enumerate(again, start=5)]
    line.send(*steps, amend, amend, anew[0], steps[0], amend, *anew, amend)
    line.caught_up(1)
    line.close()
    assert line.error is None
    assert worker.env_steps == 3
    assert len(worker._online) == 3
    assert worker._online.span == (0, 6)


def test_a_missing_amendment_is_an_error(tiny: ModuleType):
    line = Line(tiny.build("{}"))
    line.send(Amend(number=2, episode_id="episode-0", steps=0))
    line._thread.join()
    line.close()
    assert "got step 2 after 0" in str(line.error)


def test_an_amendment_in_another_one_is_an_error(tiny: ModuleType):
    line = Line(tiny.build("{}"))
    line.send(*(Amend(number=n, episode_id="episode-0", steps=1) for n in (1, 2)))
    line._thread.join()
    line.close()
    assert "before the last one is whole" in str(line.error)
