"""Learning that diverges: steps that are not finite are skipped, and too many of them end it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from robot_rl.core.errors import LearningError
from robot_rl.core.types import Transition
from robot_rl.learning.contract import SKIPPED
from robot_rl.runtime.checkpoint import flatten
from robot_rl.runtime.link import InlineLink, LearnerLink
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.process_worker import import_factory
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig

LIMIT = 6
ARGUMENTS = json.dumps({"max_skipped_in_a_row": LIMIT, "capacity": 40, "offline_share": 0.25})


@pytest.fixture(scope="module")
def tiny() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import_factory("tiny_worker:build")
        yield sys.modules["tiny_worker"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def turning(tiny: ModuleType, good: int, bad: int) -> list[Transition]:
    """Steps whose reward, after the first `good`, is finite but too large to be squared."""
    steps = tiny.build_steps(good + bad)
    return [replace(s, reward=1e38) if i >= good else s for i, s in enumerate(steps)]


def feed(link: LearnerLink, steps: list[Transition], seen: list[int]) -> None:
    """Hand over the steps; note after every tenth how many steps have been skipped in a row."""
    for number, step in enumerate(steps, start=1):
        link.add(step)
        if number % 10 == 0:
            link.sync()
            seen.append(link.state_dict()[SKIPPED])


def test_too_many_steps_that_are_not_finite_end_learning_with_the_last_good_state_intact(
    tiny: ModuleType,
):
    worker = tiny.build(ARGUMENTS)
    link = InlineLink(worker)
    for step in turning(tiny, 24, 0):
        link.add(step)
    good = flatten(link.state_dict())[0]
    assert link.state_dict()[SKIPPED] == 0
    seen: list[int] = []
    with pytest.raises(LearningError) as error:
        feed(link, turning(tiny, 24, 100)[24:], seen)
    text = str(error.value)
    skipped = link.state_dict()[SKIPPED]
    assert skipped >= LIMIT
    assert max(seen, default=0) < LIMIT
    assert f"{skipped} steps in a row" in text
    assert f"at most {LIMIT - 1}" in text
    assert f"After {worker.updates} updates" in text
    assert "skipped_updates" in text
    assert "last good checkpoint stays" in text
    # What was skipped has left nothing that is not finite behind.
    now = flatten(link.state_dict())[0]
    assert now.keys() == good.keys()
    assert all(tensor.isfinite().all() for name, tensor in now.items() if "ratios" not in name)


def test_skipped_steps_that_are_not_in_a_row_do_not_end_learning(kit):
    class Hiccuping(kit.CountingLearner):
        told = iter((LIMIT - 1.0, 0.0, LIMIT - 1.0, 0.0, float(LIMIT)))

        def update(self, batches, *, train_actor=True):
            return {SKIPPED: next(self.told)}

    schedule = ScheduleConfig(
        prefill_steps=1, warmup_updates=20, utd=1.0, batch_size=4, max_skipped_in_a_row=LIMIT
    )
    worker = LearnerWorker(Hiccuping(), kit.task, schedule, [], seed=0)
    env, _ = kit.env(horizon=2)
    worker.add_episode(
        kit.rollout(env, kit.agent(online=kit.Steady())).run("e", 0, kit.metadata())
    )
    left = []
    for _ in range(4):
        worker.train_cycle()
        left.append(worker.state_dict()[SKIPPED])
    assert left == [LIMIT - 1, 0, LIMIT - 1, 0]
    with pytest.raises(LearningError, match=f"{LIMIT} steps in a row"):
        worker.train_cycle()


def test_divergence_in_the_learners_process_reaches_the_actor_as_what_it_is(
    tiny: ModuleType, caplog: pytest.LogCaptureFixture
):
    link = ProcessLink("tiny_worker:build", ARGUMENTS, max_lag_updates=0, finish_s=0.0)
    try:
        with pytest.raises(LearningError, match=r"steps in a row had a loss") as error:
            feed(link, turning(tiny, 24, 400), [])
        assert "last good checkpoint stays" in str(error.value)
        with pytest.raises(LearningError, match="steps in a row"):
            link.state_dict()
    finally:
        link.close()
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "the learner has stopped: learning has diverged" in record.getMessage()
