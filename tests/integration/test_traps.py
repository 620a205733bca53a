"""Mistakes that published code has made, tried on a whole bench with physics in it."""

from __future__ import annotations

import json
import sys
import textwrap

import numpy as np
import pytest

from robot_rl.app.run_config import RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.core.types import NO_LATENT, GateReason, Outcome, Source
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.runtime.events import EpisodeEnded, Evaluated, GateEvent, read_events

pytestmark = pytest.mark.sim

METADATA = EpisodeMetadata(task="point_reach")


@pytest.fixture
def open_station(kit):
    def open_station(*overrides: str) -> Station:
        return Station.of_run(load(kit.yaml, RunConfig, [*kit.tiny, *overrides]))

    return open_station


class Push:
    """An online policy that asks for the same all the time."""

    version = 0
    latent = NO_LATENT

    def __init__(self, *action: float) -> None:
        self.action = np.array(action, np.float32)

    def reset(self, seed: int) -> None:
        pass

    def replan(self) -> None:
        pass

    def propose(self, observation, base_action, *, explore):
        return self.action.copy()


def untrained_base(station: Station, config: RunConfig):
    task = station.bench.task
    size = task.observation.packed_size
    normaliser = Normaliser(offset=np.zeros(size, "f4"), scale=np.ones(size, "f4"))
    return config.base.build(
        task.observation, task.action, normaliser, contract=task.contract, seed=3
    )


def same(one, other) -> bool:
    columns = ("action", "base_action", "reward", "source", "gate_reason")
    return all(np.array_equal(getattr(one, c), getattr(other, c)) for c in columns) and all(
        np.array_equal(one.vectors[k], other.vectors[k]) for k in one.vectors
    )


def test_a_time_out_bootstraps_from_its_own_last_observation(open_station):
    station = open_station("task.horizon=5")
    rollout = station.rollout(station.agent())
    first, second = (rollout.run(f"e{seed}", seed, METADATA) for seed in (0, 1))
    assert (first.terminated, first.truncated) == (False, True)
    assert (first.outcome, len(first)) == (Outcome.UNKNOWN, 5)
    spec = station.bench.task.observation
    buffer = ReplayBuffer(100, spec, 2)
    buffer.add_episode(first)
    buffer.add_episode(second)
    window = buffer.windows(np.array([4]), 3, 0.5)
    # One step is left of a window of three: gamma, not gamma cubed, and not 0.
    assert window.discount.tolist() == [0.5]
    assert np.array_equal(window.next_observation[0], spec.pack(first.observation(5).vectors))
    assert not np.array_equal(window.next_observation[0], spec.pack(second.observation(0).vectors))


def test_success_terminates_and_does_not_bootstrap(kit, tiny_run):
    (episode, *_) = [e for e in kit.episodes(tiny_run, "demos") if e.outcome == Outcome.SUCCESS]
    assert (episode.terminated, episode.truncated) == (True, False)
    assert episode.reward.tolist() == [0.0] * (len(episode) - 1) + [1.0]
    buffer = ReplayBuffer(100, tiny_run.config.task.build().spec.observation, 2)
    buffer.add_episode(episode)
    assert buffer.windows(np.array([len(episode) - 1]), 3, 0.5).discount.tolist() == [0.0]


def test_nothing_of_an_episode_survives_its_time_out(kit, open_station):
    config = load(kit.yaml, RunConfig, kit.tiny)
    # Chunks of which two actions are played, and an odd horizon: one is left in the queue.
    alone, after = open_station("task.horizon=7"), open_station("task.horizon=7")
    rollouts = [s.rollout(s.agent(untrained_base(s, config))) for s in (alone, after)]
    before = rollouts[1].run("before", 4, METADATA)
    assert before.truncated
    assert same(*(rollout.run("e", 5, METADATA) for rollout in rollouts))


def test_evaluating_the_same_weights_on_another_bench_gives_identical_episodes(kit, open_station):
    config = load(kit.yaml, RunConfig, kit.tiny)
    stations = [open_station(), open_station()]
    rollouts = [s.rollout(s.agent(untrained_base(s, config))) for s in stations]
    for seed in (1, 2):
        assert same(*(rollout.run("e", seed, METADATA) for rollout in rollouts))


def test_what_the_arm_was_made_to_do_is_recorded_and_seen_after_its_period(open_station):
    # 1 rad/s over 0.1 s is 0.1 rad, half of the action's 0.2 rad.
    station = open_station("cell.limits.max_joint_velocity_rad_s=[1.0,1.0]", "task.horizon=4")
    steps = []
    rollout = station.rollout(station.agent(online=Push(1.0, 0.0)))
    # A start whose first joint has room for 0.4 rad.
    seed = next(s for s in range(100) if station.env.reset(s).vectors[JOINT_POSITION][0] < 0.0)
    episode = rollout.run("e", seed, METADATA, steps.append)
    assert np.allclose(episode.action, [[0.5, 0.0]] * 4, atol=1e-6)
    assert np.array_equal(episode.proposed_action, np.array([[1.0, 0.0]] * 4, np.float32))
    assert set(episode.gate_reason) == {GateReason.VELOCITY}
    q0 = episode.vectors[JOINT_POSITION][:, 0]
    # The servo is well on its way within each period, and never ahead of what was let through.
    moved = np.diff(q0)
    assert (moved > 0.03).all()
    assert q0[-1] - q0[0] < 0.4 + 1e-3
    for t, step in enumerate(steps):
        assert step.next_observation.vectors[JOINT_POSITION][0] == q0[t + 1]


def test_an_assisted_success_counts_for_nobody(kit, tiny_run):
    told = {e.episode_id: e for e in read_events(tiny_run.events) if isinstance(e, EpisodeEnded)}
    for episode in kit.episodes(tiny_run, "online"):
        driven = int((episode.source == Source.HUMAN).sum())
        assert told[episode.episode_id].human_steps == driven
        assert told[episode.episode_id].assisted == (driven > 0)
    for episode in kit.episodes(tiny_run, "demos"):
        assert not told[episode.episode_id].success_autonomous


def test_judging_and_held_out_starts_are_apart_from_training(kit, tiny_run):
    shown = {e.metadata.seed for e in kit.episodes(tiny_run, "demos")}
    trained = {e.metadata.seed for e in kit.episodes(tiny_run, "online")}
    held_out = {e.metadata.seed for e in kit.episodes(tiny_run, "evaluation-base")}
    assert not held_out & (shown | trained)
    assert max(shown | trained) < 200_000_000 <= min(held_out)


def test_a_policy_that_asks_for_nan_is_refused_counted_and_never_deployed(
    kit, tmp_path, monkeypatch
):
    """The whole job with a learner whose policy asks for NaN, and nobody to help."""
    (tmp_path / "nan_learner.py").write_text(
        textwrap.dedent(
            """
            import numpy as np
            from robot_rl.learning.residual_td3 import ResidualTd3Config

            class NanConfig(ResidualTd3Config):
                def build(self, *arguments):
                    learner = super().build(*arguments)
                    make = learner.policy
                    learner.policy = lambda: asking_for_nan(make())
                    return learner

            def asking_for_nan(policy):
                policy.propose = lambda observation, base_action, *, explore: np.full(
                    2, np.nan, np.float32
                )
                return policy
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nan_learner", raising=False)
    runs = tmp_path / "runs"
    words = [*kit.tiny, "learner.type=nan_learner:NanConfig", "supervisor=null"]
    assert kit.run("run", kit.yaml, *words, "--runs", runs) == 0
    folder = kit.only_folder(runs)
    online = kit.episodes(folder, "online")
    steps = sum(len(e) for e in online)
    for episode in online:
        assert set(episode.gate_reason) == {GateReason.NON_FINITE}
        assert not episode.action.any()
        # The servo settles by less than a hundredth of a radian; the arm goes nowhere.
        q = episode.vectors[JOINT_POSITION]
        assert np.abs(q - q[0]).max() < 0.01
    summary = json.loads(folder.summary.read_text())
    assert summary["gate"] == {"refused": steps, "holds": len(online)}
    events = read_events(folder.events)
    refusals = [e for e in events if e == GateEvent(reason="NON_FINITE")]
    assert len(refusals) == steps
    verdicts = [e for e in events if isinstance(e, Evaluated)]
    assert verdicts
    assert {v.deployed for v in verdicts} == {"base"}
    assert summary["improved"]["success_autonomous"] == summary["base"]["success"]
