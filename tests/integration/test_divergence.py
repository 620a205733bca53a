"""A run whose learner diverges ends with the reason, and with its last good checkpoint."""

from __future__ import annotations

import pytest

from robot_rl.runtime.checkpoint import latest_checkpoint
from robot_rl.runtime.events import EpisodeEnded, PhaseEnded, read_events

pytestmark = pytest.mark.sim

DIVERGES = (
    # The first step is finite and leaves weights with which no second one is.
    "learner.critic_lr=1e30",
    "schedule.max_skipped_in_a_row=10",
    "improve.checkpoint_every_episodes=1",
)


def test_a_diverged_run_says_why_and_keeps_its_last_good_checkpoint(kit, tmp_path, capsys):
    words = (*kit.tiny, *DIVERGES)
    assert kit.run("run", kit.yaml, *words, "--runs", tmp_path) == 1
    said = capsys.readouterr().err
    assert "LearningError: learning has diverged: " in said
    assert "The last good checkpoint stays" in said

    folder = kit.only_folder(tmp_path)
    saved = latest_checkpoint(folder.checkpoints)
    assert saved is not None
    assert all(tensor.isfinite().all() for tensor in saved.tensors.values())
    assert folder.summary_of("improve") is None
    events = read_events(folder.events)
    assert [e.phase for e in events if isinstance(e, PhaseEnded)] == ["collect", "imitate"]
    assert any(isinstance(e, EpisodeEnded) and e.phase == "improve" for e in events)
    # It diverges again from there, and again says so: nothing bad was saved.
    assert kit.run("improve", "--resume", folder.path) == 1
    assert latest_checkpoint(folder.checkpoints).step == saved.step
