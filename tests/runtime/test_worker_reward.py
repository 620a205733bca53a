"""What the worker learns from under another reward, and what was recorded meanwhile."""

from __future__ import annotations

import pytest
import torch

from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Source
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.learning.reward_view import RlifRewardConfig, TaskRewardConfig
from robot_rl.runtime.link import InlineLink
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig

SCHEDULE = {"prefill_steps": 0, "warmup_updates": 0, "utd": 1.0, "batch_size": 256, "n_step": 1}


@pytest.fixture
def worker(kit):
    """A worker around a learner that keeps its batches."""

    def worker(reward, demonstrations=(), **changes):
        made = ScheduleConfig(**{**SCHEDULE, **changes})
        learner = kit.CountingLearner()
        return LearnerWorker(learner, kit.task, made, demonstrations, 0, reward.build()), learner

    return worker


@pytest.fixture
def record(kit):
    """An episode in which the person drives the steps named and reaches the goal with the last.

    Each of the person's steps goes 0.05 of the way of 0.3 to the goal, the policy's none.
    """

    def record(steps, human, seed=0, source=Source.HUMAN, stride=0.5):
        env, _ = kit.env(horizon=steps, goal_rad=0.1 * stride * len(human))
        rollout = kit.rollout(
            env,
            kit.agent(None, kit.Steady((0.0, 0.1))),
            operator=kit.Person(human, (stride, 0.0)),
            human_source=source,
        )
        return rollout.run(f"online-{seed}", seed, kit.metadata(seed))

    return record


def rewards(learner) -> dict[tuple[float, float], float]:
    """Reward of each step drawn, by what is seen before it: both joints in units of 0.01 rad."""
    batch = learner.batches[-1]
    seen = (batch.observation[:, :2] * 100).round().int().tolist()
    return {tuple(row): float(r) for row, r in zip(seen, batch.reward, strict=True)}


def test_interventions_pay_and_the_task_does_not(worker, record):
    # Policy, policy, person, person: the second step is to blame; the last one succeeds.
    episode = record(9, human=(2, 3))
    assert episode.reward.tolist() == [0, 0, 0, 1]
    made, learner = worker(RlifRewardConfig())
    made.add_episode(episode)
    made.train_cycle()
    assert rewards(learner) == {(0, 0): 0.0, (0, 1): -1.0, (0, 2): 0.0, (5, 2): 0.0}
    assert episode.reward.tolist() == [0, 0, 0, 1]


def test_a_persons_steps_are_kept_in_both_buffers_and_pay_nothing(worker, record):
    made, learner = worker(RlifRewardConfig())
    made.add_episode(record(9, human=(2, 3)))
    made.train_cycle()
    batch = learner.batches[-1]
    assert batch.human[batch.offline].all()
    assert batch.reward[batch.offline].eq(0).all()
    assert batch.human[~batch.offline].any()


def test_a_demonstration_pays_nothing_under_interventions_and_one_under_the_task(worker, record):
    demo = record(4, human=range(4), source=Source.DEMO)
    found = []
    for reward in (RlifRewardConfig(), TaskRewardConfig()):
        made, learner = worker(reward, [demo])
        made.add_episode(record(3, human=(), stride=9))
        made.train_cycle()
        batch = learner.batches[-1]
        found.append(float(batch.reward[batch.offline].max()))
    assert found == [0.0, 1.0]
    assert demo.reward.tolist() == [0, 0, 0, 1]


def test_another_reward_needs_no_new_recording(kit, worker, record, tmp_path):
    spec = RecordingSpec(robot="line", task=kit.task)
    with EpisodeStore(tmp_path / "online", spec, disk=FailingDisk()) as store:
        for seed in range(2):
            store.append(record(9, human=(2, 3), seed=seed))

    def files() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (tmp_path / "online").rglob("*") if p.is_file()}

    before, drawn = files(), []
    for reward in (TaskRewardConfig(), RlifRewardConfig(), TaskRewardConfig()):
        made, learner = worker(reward)
        with EpisodeStore(tmp_path / "online", spec, disk=FailingDisk()) as store:
            for episode in store:
                made.add_episode(episode)
        made.train_cycle()
        drawn.append(learner.batches[-1])
    task, rlif, again = drawn
    assert files() == before
    assert torch.equal(task.reward, again.reward)
    assert not torch.equal(task.reward, rlif.reward)
    # Nothing else differs: the same steps, drawn alike.
    for column in ("observation", "next_observation", "action", "discount", "human", "offline"):
        assert torch.equal(getattr(task, column), getattr(rlif, column))


def test_live_steps_and_a_refill_fill_the_buffers_alike(worker, record):
    episodes = [record(9, human=(2, 3), seed=0), record(9, human=(1, 4), seed=1)]
    live, one = worker(RlifRewardConfig(late_steps=2), utd=0.01)
    for episode in episodes:
        for step in episode.transitions():
            live.add(step)
    refilled, other = worker(RlifRewardConfig(late_steps=2), utd=0.01)
    for episode in episodes:
        refilled.add_episode(episode)
    for made in (live, refilled):
        made.train_cycle()
    assert live.env_steps == refilled.env_steps == 9
    assert torch.equal(one.batches[-1].reward, other.batches[-1].reward)
    assert torch.equal(one.batches[-1].observation, other.batches[-1].observation)


def test_nothing_is_owed_while_the_only_step_is_held_back(worker, record):
    made, learner = worker(RlifRewardConfig(), batches_per_cycle=1)
    link = InlineLink(made)
    updates = []
    for step in record(9, human=(2, 3)).transitions():
        link.add(step)
        updates.append(made.updates)
    # With the second step the first one is final, and what two steps call for is made.
    assert updates == [0, 2, 3, 4]
    assert learner.batches[0].reward.isfinite().all()


def test_critics_above_what_can_be_had_show_in_the_metrics(kit, record):
    class Optimist(kit.CountingLearner):
        def update(self, batches, *, train_actor=True):
            return {**super().update(batches, train_actor=train_actor), "q_max": 0.4}

    made = ScheduleConfig(**SCHEDULE)
    found = []
    for reward in (RlifRewardConfig(), TaskRewardConfig()):
        worker = LearnerWorker(Optimist(), kit.task, made, [], 0, reward.build())
        worker.add_episode(record(9, human=(2, 3)))
        found.append(worker.train_cycle().get("q_above_bound"))
    assert found == [0.4, None]
