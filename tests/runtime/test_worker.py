from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import Source
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.learning.residual_td3 import ResidualTd3Config
from robot_rl.learning.rlpd import RlpdConfig
from robot_rl.runtime.checkpoint import flatten, latest_checkpoint, save_checkpoint, unflatten
from robot_rl.runtime.link import InlineLink
from robot_rl.runtime.worker import LearnerWorker, ScheduleConfig

SCHEDULE = {"prefill_steps": 5, "warmup_updates": 8, "utd": 0.5, "batch_size": 8, "n_step": 1}


def schedule(**changes) -> ScheduleConfig:
    return ScheduleConfig(**{**SCHEDULE, **changes})


@pytest.fixture
def counted(kit):
    """A worker around a learner that counts."""

    def counted(demonstrations=(), **changes):
        learner = kit.CountingLearner()
        worker = LearnerWorker(learner, kit.task, schedule(**changes), demonstrations, seed=0)
        return worker, learner

    return counted


@pytest.fixture
def record(kit):
    """An episode of `steps` steps; the person drives those named, with an action of 0.5."""

    def record(steps=5, seed=0, human=(), source=Source.HUMAN, action=(0.1, 0.1)):
        env, _ = kit.env(horizon=steps)
        agent = kit.agent(kit.PlanPolicy(), kit.Steady(action))
        rollout = kit.rollout(
            env, agent, operator=kit.Person(human, (0.05, 0.5)), human_source=source
        )
        return rollout.run(f"online-{seed}", seed, kit.metadata(seed))

    return record


def feed(worker, episodes) -> list[int]:
    """Feed as `InlineLink` does and return the updates made after each step."""
    link = InlineLink(worker)
    made = []
    for episode in episodes:
        for step in episode.transitions():
            link.add(step)
            made.append(worker.updates)
    return made


def test_prefill_warm_up_and_utd_owe_exactly_the_updates_worked_out_by_hand(counted, record):
    worker, learner = counted()
    made = feed(worker, [record(21)])
    # Nothing before step 5, then the 8 updates of the warm-up at once, then half an update a
    # step, paid in cycles of 4: 8 more steps are due at step 13, 8 more at step 21.
    assert made == [0] * 4 + [8] * 8 + [12] * 8 + [16]
    assert learner.cycles == [(4, False), (4, False), (4, True), (4, True)]


def test_updates_are_owed_until_they_are_made(counted, record):
    worker, _ = counted()
    steps = list(record(9).transitions())
    owed = []
    for step in steps:
        worker.add(step)
        owed.append((worker.updates_owed, worker.cycle_is_due))
    # (8 + 0.5 * steps after the fifth), whole updates only.
    nothing = [(0, False)] * 4
    assert owed == [*nothing, (8, True), (8, True), (9, True), (9, True), (10, True)]
    worker.train_cycle()
    assert worker.updates_owed == 6


def test_without_prefill_and_warm_up_the_first_steps_count(counted, record):
    worker, learner = counted(prefill_steps=0, warmup_updates=0, utd=2.0, batches_per_cycle=3)
    assert worker.updates_owed == 0
    assert feed(worker, [record(3)]) == [0, 3, 6]
    assert learner.cycles == [(3, True), (3, True)]


@pytest.mark.parametrize(
    ("utd", "batches_per_cycle", "prefill", "warmup"),
    [(0.3, 4, 5, 8), (1.0, 1, 2, 0), (2.5, 3, 0, 7), (1.0, 4, 3, 0)],
)
def test_the_true_utd_never_exceeds_that_of_the_schedule(
    kit, counted, record, utd, batches_per_cycle, prefill, warmup
):
    worker, _ = counted(
        utd=utd, batches_per_cycle=batches_per_cycle, prefill_steps=prefill, warmup_updates=warmup
    )
    told = []
    for step in record(40).transitions():
        worker.add(step)
        while worker.cycle_is_due:
            metrics = worker.train_cycle()
            counted_by_hand = max(worker.updates - warmup, 0)
            if worker.env_steps > prefill:
                told.append(metrics["true_utd"])
                assert told[-1] == counted_by_hand / (worker.env_steps - prefill)
            else:
                assert "true_utd" not in metrics
    assert max(told) <= utd
    # At most one cycle is still to come: 35 to 40 steps of `utd` each.
    assert told[-1] > utd - (batches_per_cycle + utd) / (40 - prefill) - 0.1


def test_utd_one_with_one_batch_a_cycle_updates_once_a_step(counted, record):
    worker, _ = counted(prefill_steps=2, warmup_updates=0, utd=1.0, batches_per_cycle=1)
    assert feed(worker, [record(5)]) == [0, 0, 1, 2, 3]


def test_the_version_grows_with_actor_updates_only(counted, record):
    worker, _ = counted()
    feed(worker, [record(12)])
    assert (worker.updates, worker.version) == (8, 0)
    worker.add(next(record(1, seed=1).transitions()))
    worker.train_cycle()
    assert (worker.updates, worker.version) == (12, 1)


def test_weights_are_published_only_once_the_actor_has_learned(counted, record):
    worker, _ = counted()
    link = InlineLink(worker)
    for step in record(12).transitions():
        link.add(step)
    assert link.sync().weights is None
    for step in record(1, seed=1).transitions():
        link.add(step)
    news = link.sync()
    assert news.weights is not None
    assert (news.version, news.updates) == (1, 12)
    # 4 updates after the warm-up, 8 steps after the prefill.
    assert news.metrics == {"critic_loss": 3.0, "skipped_in_a_row": 0.0, "true_utd": 0.5}


def test_sync_pays_what_a_refilled_worker_owes(counted, record):
    worker, _ = counted()
    worker.add_episode(record(13))
    assert worker.updates_owed == 12
    # Between episodes, so that no control period has to wait for it.
    assert InlineLink(worker).sync().updates == 12
    assert worker.updates_owed == 0


def test_human_steps_go_to_both_buffers_and_others_to_the_online_one(counted, record):
    worker, learner = counted(batch_size=64)
    worker.add_episode(record(6, human=(1, 4)))
    worker.train_cycle()
    batch = learner.batches[0]
    # No demonstrations: the offline half holds the steps the person drove and nothing else.
    assert batch.offline.sum() == 32
    assert batch.human[batch.offline].all()
    driven = batch.action[batch.offline]
    assert torch.equal(driven, torch.tensor([0.05, 0.5]).expand(32, 2))
    # The online half holds all six steps; of 32 draws of six, both kinds come up.
    online = batch.human[~batch.offline]
    assert online.any()
    assert not online.all()


def test_a_human_step_keeps_its_own_next_observation(counted, record):
    worker, learner = counted(batch_size=64, gamma=0.5, n_step=3)
    episode = record(8, human=(1, 5))
    worker.add_episode(episode)
    worker.train_cycle()
    batch = learner.batches[0]
    q0 = torch.from_numpy(episode.vectors["observation.state"][:, 0])
    seen, following = (x[batch.offline][:, 0] for x in (batch.observation, batch.next_observation))
    for t in (1, 5):
        rows = seen == q0[t]
        assert rows.any()
        # The next step is not the person's, so the window ends after one step.
        assert (following[rows] == q0[t + 1]).all()
    assert torch.unique(seen).tolist() == sorted([q0[1].item(), q0[5].item()])
    assert (batch.discount[batch.offline] == 0.5).all()


def test_demonstrations_fill_the_offline_half_from_the_start(counted, record):
    demo = record(4, seed=9, human=range(4), source=Source.DEMO)
    worker, learner = counted([demo], batch_size=32)
    worker.add_episode(record(5))
    worker.train_cycle()
    batch = learner.batches[0]
    assert batch.offline.sum() == 16
    assert torch.equal(batch.action[batch.offline], torch.tensor([0.05, 0.5]).expand(16, 2))
    # A demonstration is no correction: nobody overruled the policy in it.
    assert not batch.human.any()
    assert worker.env_steps == 5


def test_without_demonstrations_and_corrections_every_row_is_online(counted, record):
    worker, learner = counted(batch_size=8)
    worker.add_episode(record(5))
    worker.train_cycle()
    assert not learner.batches[0].offline.any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_leaves_a_buffer_unused_stops_at_the_border(share):
    with pytest.raises(ValidationError, match="offline_share"):
        schedule(offline_share=share)


def real_worker(kit, config, capacity, seed=0):
    size = kit.observation.packed_size
    normaliser = Normaliser(offset=np.zeros(size, "f4"), scale=np.ones(size, "f4"))
    learner = config.build(
        SimpleNamespace(observation=kit.observation, action=kit.action, normaliser=normaliser),
        seed,
    )
    made = schedule(prefill_steps=6, utd=4.0, n_step=3, capacity=capacity)
    return LearnerWorker(learner, kit.task, made, [], seed)


def flat(worker) -> dict[str, torch.Tensor]:
    return flatten(worker.state_dict())[0]


@pytest.mark.parametrize(
    ("config", "capacity"),
    [
        (ResidualTd3Config(hidden=(8, 8), heads=3), 20),
        (RlpdConfig(hidden=(8, 8), heads=3), 1000),
    ],
    ids=["residual_td3", "rlpd"],
)
def test_a_resumed_worker_makes_the_next_100_updates_bit_for_bit(
    kit, record, tmp_path, config, capacity
):
    # Ids from 8 to 10: in the order of a directory, 10 would come before 8. With room for 20
    # steps, the ring has lost its oldest steps on both sides of the checkpoint.
    rng = np.random.default_rng(0)
    episodes = [
        record(7, seed=s, human=(2, 3) if s % 2 else (), action=rng.uniform(-0.2, 0.2, 2))
        for s in range(8, 15)
    ]
    before, after = episodes[:3], episodes[3:]
    uninterrupted = real_worker(kit, config, capacity)
    feed(uninterrupted, before)
    spec = RecordingSpec(robot="line", task=kit.task)
    with EpisodeStore(tmp_path / "online", spec, disk=FailingDisk()) as store:
        for episode in before:
            store.append(episode)
    tensors, tree = flatten(uninterrupted.state_dict())
    save_checkpoint(tmp_path / "checkpoints", 3, tensors, {"worker": tree})

    # Another seed: nothing of the fresh worker may shine through.
    resumed = real_worker(kit, config, capacity, seed=99)
    with EpisodeStore(tmp_path / "online", spec, disk=FailingDisk()) as store:
        for episode in store:
            resumed.add_episode(episode)
    saved = latest_checkpoint(tmp_path / "checkpoints")
    resumed.load_state_dict(unflatten(saved.tensors, saved.meta["worker"]))

    start = resumed.updates
    assert start == uninterrupted.updates > 0
    assert resumed.env_steps == uninterrupted.env_steps == 21
    weights = {k: v.clone() for k, v in uninterrupted.weights().items()}
    made = [feed(worker, after) for worker in (uninterrupted, resumed)]
    assert made[0] == made[1]
    assert made[0][-1] - start >= 100
    one, other = flat(uninterrupted), flat(resumed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert uninterrupted.version == resumed.version
    assert not all(torch.equal(weights[k], v) for k, v in resumed.weights().items())


def test_steps_that_were_recorded_after_the_checkpoint_are_owed(counted, record):
    worker, _ = counted()
    feed(worker, [record(5)])
    state = worker.state_dict()
    resumed, learner = counted()
    resumed.add_episode(record(5))
    resumed.add_episode(record(8, seed=1))
    resumed.load_state_dict(state)
    assert resumed.env_steps == 13
    # 8 made, 8 + 8 * 0.5 due.
    assert resumed.updates_owed == 4
    assert learner.cycles == [(0, False), (0, False)]
