from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from robot_rl.core.recording import RecordingSpec
from robot_rl.core.types import GateReason, Source
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.learning.contract import SKIPPED
from robot_rl.runtime.checkpoint import latest_checkpoint, save_checkpoint
from robot_rl.runtime.evaluator import NeverWorse
from robot_rl.runtime.events import EpisodeEnded, Evaluated, GateEvent, LearnerMetrics
from robot_rl.runtime.improve import ImproveConfig, Improvement, Progress, tell_episode
from robot_rl.runtime.link import Published

HORIZON = 4
JUDGING = range(1000, 1010)


class Publisher:
    """A link whose learner has a new version at every sync; at version v it proposes `plan(v)`."""

    def __init__(self, plan: Callable[[int], tuple[float, float]], first: int = 1) -> None:
        self.plan = plan
        self.skipping: Callable[[int], int] = lambda version: 0
        self.version = first - 1
        self.steps = 0
        self.time_is_up = False

    def add(self, transition) -> None:
        self.steps += 1

    def sync(self) -> Published:
        self.version += 1
        weights = {"action": torch.tensor(self.plan(self.version))} if self.version > 0 else None
        return Published(
            weights=weights,
            version=max(self.version, 0),
            updates=10 * self.steps,
            metrics={"critic_loss": 0.5},
        )

    def state_dict(self):
        return {SKIPPED: self.skipping(self.version)}

    def close(self) -> None:
        pass


class Site:
    """Everything an `Improvement` needs, and what came of it."""

    def __init__(self, kit, path, plan, *, first=1, base_wins=(), person=None, **config) -> None:
        self.kit, self.path = kit, path
        self.env, self.bench = kit.env(horizon=HORIZON)
        self.judge_env, self.judge_bench = kit.env(horizon=HORIZON)
        self.policy = kit.Steady()
        self.link = Publisher(plan, first)
        self.events: list = []
        self.person = person
        self.config = ImproveConfig(
            **{"env_steps": 1000, "judge_every_steps": 10**6, "judge_episodes": 10, **config}
        )
        self.base_success = np.isin(JUDGING, base_wins)
        self.saved: list[int] = []

    def run(self, stop=lambda: False, progress=None, between=None) -> Progress:
        agent = self.kit.agent(online=self.policy)
        with self.open_store() as self.store:
            improvement = Improvement(
                self.config,
                rollout=self.kit.rollout(self.env, agent, operator=self.person, explore=True),
                policy=self.policy,
                link=self.link,
                store=self.store,
                judge=NeverWorse(
                    self.kit.rollout(self.judge_env, agent),
                    JUDGING,
                    self.kit.metadata(),
                    base_success=self.base_success,
                    confidence=0.95,
                ),
                metadata=self.kit.metadata,
                first_seed=50,
                save=self.save,
                sinks=[self.events.append],
                progress=progress or Progress(),
                between=between,
            )
            improvement.run(stop)
        return improvement.progress

    def save(self, progress: Progress, state: Mapping[str, Any]) -> None:
        """As the pipeline does: the step of a checkpoint is the number of episodes."""
        meta = {"env_steps": progress.env_steps}
        root = self.path / "checkpoints"
        save_checkpoint(root, progress.episodes, {}, meta, disk=FailingDisk())
        self.saved.append(progress.episodes)

    def of(self, kind) -> list:
        return [e for e in self.events if isinstance(e, kind)]

    def episodes(self) -> list:
        with self.open_store() as store:
            return list(store)

    def open_store(self) -> EpisodeStore:
        """On a disk that never fails, as it is not told when, and that does not wait."""
        spec = RecordingSpec(robot="line", task=self.kit.task)
        return EpisodeStore(self.path / "online", spec, disk=FailingDisk())


@pytest.fixture
def site(kit, tmp_path):
    def site(plan=lambda version: (0.0, 0.0), **options) -> Site:
        return Site(kit, tmp_path, plan, **options)

    return site


def after(calls: int) -> Callable[[], bool]:
    """A stop that is asked for from the n-th question on."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= calls


def test_the_phase_ends_once_its_steps_are_spent(site):
    here = site(env_steps=10)
    progress = here.run()
    # Episodes time out after 4 steps: 4, 8, 12.
    assert (progress.episodes, progress.env_steps) == (3, 12)
    assert here.bench.seeds == [50, 51, 52]
    assert here.saved == [3]
    assert here.link.steps == 12


def test_every_episode_is_in_the_store_before_the_next_starts(site):
    here = site(env_steps=12)
    stored: list[int] = []
    here.bench.on_reset = lambda: stored.append(len(here.store))
    here.run()
    assert stored == [0, 1, 2]
    assert [e.episode_id for e in here.episodes()] == ["online-50", "online-51", "online-52"]
    assert [e.metadata.seed for e in here.episodes()] == [50, 51, 52]


def test_stop_ends_after_the_episode_with_a_checkpoint(site):
    here = site()
    asked_in_mid_episode: list[int] = []

    def stop() -> bool:
        asked_in_mid_episode.append(len(here.bench.commands) % HORIZON)
        return here.link.steps >= 5

    progress = here.run(stop)
    # Asked for in the second episode, which is finished and saved first.
    assert (progress.episodes, progress.env_steps) == (2, 8)
    assert not any(asked_in_mid_episode)
    assert latest_checkpoint(here.path / "checkpoints").meta == {"env_steps": 8}


def test_weights_swap_only_between_episodes(site):
    here = site(env_steps=12)
    here.run()
    # One sync before the first episode and one after each: versions 1, 2, 3 acted.
    assert [e.policy_version.tolist() for e in here.episodes()] == [[1] * 4, [2] * 4, [3] * 4]
    # Two more after the last episode: the news of it, and the newest for the last judgement.
    assert here.policy.loaded == [1, 2, 3, 4, 5]


def test_without_weights_the_policy_stays_as_it_is(site):
    here = site(env_steps=12, first=-1)
    here.run()
    # The syncs publish nothing, nothing, version 1, version 2; the last judgement's version 3.
    assert [int(e.policy_version[0]) for e in here.episodes()] == [0, 0, 1]
    assert here.policy.loaded == [1, 2, 3]


def test_weights_that_are_not_newer_are_not_loaded_again(site):
    here = site(env_steps=8)
    here.link.sync = lambda: Published(
        weights={"action": torch.zeros(2)}, version=1, updates=0, metrics={}
    )
    here.run()
    assert here.policy.loaded == [1]


def test_judged_when_due_with_the_weights_that_were_judged(site):
    # Version v moves 0.02 v rad a step: the goal, 0.3 rad in 4 steps, is reached from v = 4 on.
    here = site(lambda v: (0.2 * v, 0.0), env_steps=20, judge_every_steps=8)
    here.run()
    verdicts = here.of(Evaluated)
    # Due after 8 and 16 steps, when versions 3 and 5 have just been adopted, and at the end,
    # 3 + 3 steps later, for the version that is the newest then.
    assert [v.env_steps_total for v in verdicts] == [8, 16, 22]
    assert [v.improved_success for v in verdicts] == [0.0, 1.0, 1.0]
    assert [v.deployed_version for v in verdicts] == [0, 5, 8]
    assert here.judge_bench.seeds == [*JUDGING] * 3


def test_a_stopped_phase_is_not_judged_at_its_end(site):
    here = site(env_steps=20)
    here.run(after(2))
    assert not here.of(Evaluated)


def test_the_judgement_does_not_count_as_experience(site):
    here = site(lambda v: (0.0, 0.0), env_steps=8, judge_every_steps=4)
    progress = here.run()
    assert len(here.of(Evaluated)) == 2
    assert progress.env_steps == here.link.steps == 8
    assert len(here.episodes()) == 2


def test_nothing_is_judged_before_there_are_weights(site):
    here = site(env_steps=12, first=-1, judge_every_steps=4)
    here.run()
    assert [v.env_steps_total for v in here.of(Evaluated)] == [8, 12]


def test_good_enough_twice_in_a_row_ends_the_phase(site):
    # Judged after each episode of 4 steps; versions 2, 4 and 5 are good, 3 is not.
    good = {2, 4, 5}
    here = site(
        lambda v: (0.75 if v in good else 0.0, 0.0),
        judge_every_steps=1,
        good_enough=(1.0, 2),
    )
    progress = here.run()
    assert [v.improved_success for v in here.of(Evaluated)] == [1.0, 0.0, 1.0, 1.0]
    assert (progress.episodes, progress.good_in_a_row) == (4, 2)
    assert here.saved == [4]


def test_checkpoints_come_at_their_interval_and_never_twice(site):
    # The last episode is due for a checkpoint of its own, which must not be written again.
    here = site(env_steps=16, checkpoint_every_episodes=2)
    here.run()
    assert here.saved == [2, 4]


def test_a_run_that_is_stopped_again_at_once_goes_on_from_the_same_checkpoint(site):
    here = site(env_steps=40)
    progress = here.run(after(2))
    assert here.run(lambda: True, progress).episodes == 2
    assert here.saved == [2]
    assert here.run(after(1), progress).episodes == 3
    assert here.saved == [2, 3]


def test_a_finished_run_is_not_saved_again(site):
    here = site(env_steps=8)
    progress = here.run()
    assert here.run(progress=progress).episodes == 2
    assert here.saved == [2]


def test_episodes_that_were_stored_after_the_last_checkpoint_count_on_resume(site):
    here = site(env_steps=24, checkpoint_every_episodes=2)
    here.bench.breaks_at = 14
    with pytest.raises(Exception, match="the line is silent"):
        here.run()
    # Three episodes are saved, the checkpoint knows of two; of the fourth there is the log of the
    # one step that it had, which the next opening makes an episode of.
    assert here.saved == [2]
    assert [len(e) for e in here.episodes()] == [4, 4, 4, 1]
    assert [e.metadata.interrupted for e in here.episodes()] == [False, False, False, True]
    here.bench.breaks_at = None
    at_checkpoint = Progress(episodes=2, env_steps=8)
    progress = here.run(progress=at_checkpoint)
    assert (progress.episodes, progress.env_steps) == (7, 25)
    assert here.bench.seeds == list(range(50, 57))
    assert [e.metadata.seed for e in here.episodes()] == list(range(50, 57))


def test_between_is_asked_before_every_recorded_episode_and_after_the_last(site):
    here = site(env_steps=12)
    asked: list[tuple[int, int]] = []

    def between(store, link) -> bool:
        assert link is here.link
        asked.append((len(store), here.link.steps))
        return True

    here.run(between=between)
    assert asked == [(0, 0), (1, 4), (2, 8), (3, 12)]


def test_between_ends_the_phase_as_a_stop_does(site):
    here = site(env_steps=40)
    progress = here.run(between=lambda store, link: len(store) < 2)
    assert (progress.episodes, progress.env_steps) == (2, 8)
    assert here.saved == [2]
    assert not here.of(Evaluated)


def test_what_was_learned_during_a_review_acts_in_the_next_episode(site):
    here = site(env_steps=8)
    here.run(between=lambda store, link: True)
    # A sync at the start, one before and one after each episode: what acts is the one before it.
    assert [int(e.policy_version[0]) for e in here.episodes()] == [2, 4]


def test_a_deleted_episode_counts_and_its_seed_is_not_used_again(site):
    here = site(env_steps=16)

    def between(store, link) -> bool:
        for episode_id in store.ids()[-1:]:
            store.delete(episode_id)
        return True

    progress = here.run(between=between)
    assert (progress.episodes, progress.env_steps) == (4, 16)
    assert here.bench.seeds == [50, 51, 52, 53]
    assert here.episodes() == []


@pytest.mark.parametrize("purged", [False, True], ids=["deleted", "purged"])
def test_after_a_crash_nothing_is_counted_twice_and_no_id_is_used_again(site, purged):
    here = site(env_steps=40, checkpoint_every_episodes=2)

    def between(store, link) -> bool:
        saved = len(store) + len(store.deleted())
        if saved == 5:
            # Deleted before and after the checkpoint of four; one of them in favour of its part.
            part = dataclasses.replace(store.read("online-54"), episode_id="online-54-trim1")
            store.append(part)
            for episode_id in ("online-50", "online-54"):
                store.delete(episode_id)
            raise RuntimeError("a crash")
        return True

    with pytest.raises(RuntimeError, match="a crash"):
        here.run(between=between)
    assert here.saved == [2, 4]
    if purged:
        with here.open_store() as store:
            store.purge()

    progress = here.run(
        after(2), Progress(episodes=4, env_steps=16), between=lambda store, link: True
    )

    # Of a purged episode nothing is known but that its id is taken.
    assert (progress.episodes, progress.env_steps) == (7, 24 if purged else 28)
    assert here.bench.seeds == list(range(50, 57))
    ids = [e.episode_id for e in here.episodes()]
    assert ids == [*(f"online-{n}" for n in (51, 52, 53)), "online-54-trim1", *ids[4:]]
    assert ids[4:] == ["online-55", "online-56"]


def test_human_steps_of_a_deleted_episode_count_after_a_crash(kit, site):
    here = site(env_steps=40, person=kit.Person((1, 2)))
    here.bench.breaks_at = 10
    with pytest.raises(Exception, match="the line is silent"):
        here.run()
    with here.open_store() as store:
        assert store.ids() == ["online-50", "online-51", "online-52"]
        store.delete("online-51")
    here.bench.breaks_at = None
    progress = here.run(lambda: True)
    # Of the third episode there is the log of one step.
    assert (progress.episodes, progress.env_steps, progress.human_steps) == (3, 9, 4)


def test_human_steps_are_counted(kit, site):
    here = site(env_steps=8, person=kit.Person((1, 2)))
    assert here.run().human_steps == 4
    assert [e.human_steps for e in here.of(EpisodeEnded)] == [2, 2]
    assert [e.assisted for e in here.of(EpisodeEnded)] == [True, True]


def test_a_learner_whose_last_step_was_not_finite_is_not_saved(site, caplog):
    here = site(env_steps=24, checkpoint_every_episodes=2)
    # One sync before the first episode and one after each: versions 4, 5 and 6 are of the episodes
    # from the third on; the last one, at the end of the steps, is 7, as nothing was judged.
    here.link.skipping = lambda version: 3 if version in (5, 6) else 0
    here.run()
    assert here.saved == [2, 6]
    assert "no checkpoint after episode 4: the last 3 steps" in caplog.text


def test_once_the_time_without_a_learner_is_up_the_arm_is_held_and_the_episode_stored(site):
    here = site(lambda v: (0.1, 0.0), env_steps=8)
    taken: list[int] = []

    def add(transition) -> None:
        taken.append(transition.step)
        here.link.time_is_up = transition.step >= 1

    here.link.add = add
    here.run()
    (first, second) = here.episodes()
    assert first.source.tolist() == [Source.POLICY] * 2 + [Source.HOLD] * 2
    assert not first.action[2:].any()
    # What the policy would have done is told all the same.
    assert first.proposed_action[2:, 0] == pytest.approx(0.1)
    # A new episode has a learner again, or does not begin.
    assert second.source.tolist()[:2] == [Source.POLICY] * 2
    assert taken == [0, 1, 2, 3] * 2


def test_metrics_are_told_after_every_episode_with_updates(site):
    here = site(env_steps=12)
    here.run()
    told = here.of(LearnerMetrics)
    assert [(m.env_steps_total, m.updates_total) for m in told] == [(4, 40), (8, 80), (12, 120)]


def test_updates_are_told_even_if_nothing_was_judged(site):
    here = site(env_steps=8)
    here.run()
    last = here.of(LearnerMetrics)[-1]
    assert (last.env_steps_total, last.updates_total) == (8, 80)
    assert last.values == {"critic_loss": 0.5}


def test_an_episode_is_told_with_its_gate_and_force_in_numbers(kit):
    env, bench = kit.env(horizon=3)
    bench.force_n = 4.0
    policy = kit.Steady((np.nan, 0.0))
    episode = kit.rollout(env, kit.agent(online=policy)).run("e", 9, kit.metadata(9))
    heard: list = []
    tell_episode("improve", episode, 77, 0.25, [heard.append])
    assert heard[:3] == [GateEvent(reason="NON_FINITE")] * 3
    half, most = (np.quantile(episode.inference_s, share) for share in (0.5, 0.99))
    assert heard[3:] == [
        EpisodeEnded(
            phase="improve",
            episode_id="e",
            seed=9,
            success=False,
            assisted=False,
            steps=3,
            human_steps=0,
            env_steps_total=77,
            max_force_n=4.0,
            mean_force_n=4.0,
            gate_refused=3,
            gate_holds=1,
            wall_s=0.25,
            lateness_p50_s=0.0,
            lateness_p99_s=0.0,
            inference_p50_s=float(half),
            inference_p99_s=float(most),
            age_p50_s=0.0,
            age_p99_s=0.0,
        )
    ]


def test_an_action_that_was_bent_is_told_but_neither_refused_nor_held(kit):
    env, _ = kit.env(horizon=1, max_joint_velocity_rad_s=(0.5, 0.5))
    episode = kit.rollout(env, kit.agent(online=kit.Steady((1.0, 0.0)))).run(
        "e", 0, kit.metadata()
    )
    heard: list = []
    tell_episode("improve", episode, 1, 0.0, [heard.append])
    assert heard[0] == GateEvent(reason=GateReason.VELOCITY.name)
    assert (heard[1].gate_refused, heard[1].gate_holds) == (0, 0)


def test_a_demonstrated_episode_is_told_as_assisted(kit):
    env, _ = kit.env()
    person = kit.Person(range(10), (1.0, 0.0))
    rollout = kit.rollout(env, kit.agent(), operator=person, human_source=Source.DEMO)
    heard: list = []
    tell_episode("collect", rollout.run("e", 0, kit.metadata()), 0, 0.0, [heard.append])
    ended = heard[-1]
    assert (ended.success, ended.assisted, ended.success_autonomous) == (True, True, False)
    assert ended.human_steps == 3
