"""The base policy's phase: a checkpoint chosen by running it, and a student in its place."""

from __future__ import annotations

import pytest

from robot_rl.app.collect import collect
from robot_rl.app.imitate import imitate
from robot_rl.app.run_config import SELECTION_SEEDS, TEACHER_SEEDS, RunConfig
from robot_rl.config.load import load
from robot_rl.core.errors import ConfigError
from robot_rl.core.types import Outcome
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.events import PhaseEnded, PhaseProgress, PhaseStarted
from robot_rl.runtime.rollout import Rollout

STUDENT = ("imitate.student.steps=20", "imitate.student.warmup_steps=0")


@pytest.fixture
def imitated(kit, tmp_path):
    """Runs the phase with these overrides; returns its folder and what was told."""

    def imitated(*overrides: str):
        folder = kit.new_run(tmp_path, *overrides)
        heard = []
        run = kit.context(folder, heard.append)
        collect(run)
        imitate(run)
        return folder, [e for e in heard if getattr(e, "phase", "") == "imitate"]

    return imitated


def test_the_checkpoint_that_succeeds_most_becomes_the_base(imitated, monkeypatch):
    starts = []
    ran = Rollout.run

    def watched(self, episode_id, seed, metadata, *rest):
        episode = ran(self, episode_id, seed, metadata, *rest)
        if seed >= SELECTION_SEEDS:
            starts.append((seed - SELECTION_SEEDS, episode.outcome == Outcome.SUCCESS))
        return episode

    monkeypatch.setattr(Rollout, "run", watched)
    folder, events = imitated("imitate.checkpoints=3", "imitate.rollouts=4", "imitate.steps=150")
    # Each from the same starts, of a range that nothing else draws from.
    assert [seed for seed, _ in starts] == [0, 1, 2, 3] * 3
    summary = events[-1].summary
    successes = [sum(won for _, won in starts[i : i + 4]) for i in (0, 4, 8)]
    assert [c["successes"] for c in summary["checkpoints"]] == successes
    assert [c["step"] for c in summary["checkpoints"]] == [50, 100, 150]
    assert summary["successes"] == max(successes)
    assert summary["rollout_steps"] > 0
    assert folder.summary_of("imitate") == summary
    assert summary["fingerprint"] == ChunkPolicy.load(folder.base).fingerprint


def test_the_student_becomes_the_base_and_the_teacher_is_kept(kit, imitated):
    folder, events = imitated(*STUDENT, "imitate.student.rollouts=2", "collect.episodes=10")
    teacher, base = ChunkPolicy.load(folder.teacher), ChunkPolicy.load(folder.base)
    assert base.config.sampler.teacher == teacher.fingerprint
    assert type(teacher.config.sampler).__name__ == "DdimConfig"
    started, *told, ended = events
    assert isinstance(started, PhaseStarted)
    assert isinstance(ended, PhaseEnded)
    # 60 updates of the teacher and 20 of the student.
    assert started.total == 80
    assert [e.done for e in told if isinstance(e, PhaseProgress)] == [60, 80]
    assert ended.summary["student"]["teacher"] == teacher.fingerprint
    assert ended.summary["rollout_steps"] > 0
    # One of ten episodes is held out of the teacher's training.
    assert ended.summary["held_out_loss"] > 0
    # The whole rest of a run stands on it.
    assert kit.run("run", "--resume", folder.path) == 0
    (episode, *_) = kit.episodes(folder, "evaluation-base")
    assert episode.metadata.base_fingerprint == base.fingerprint


def test_a_student_of_what_plans_with_one_call_is_refused_before_anything_runs(kit):
    regression = "base.sampler={type: robot_rl.policies.sampler.regression:RegressionConfig}"
    with pytest.raises(ConfigError, match="nothing to distil"):
        load(kit.yaml, RunConfig, [regression, *STUDENT])


def test_starts_that_choose_or_teach_are_apart_from_all_others():
    # Each range is 100 million wide, as are those of demonstrations, judging and evaluation.
    assert (SELECTION_SEEDS, TEACHER_SEEDS) == (400_000_000, 500_000_000)
