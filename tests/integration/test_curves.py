"""A run draws its curves where its config asks for them."""

from __future__ import annotations

import pytest

from robot_rl.runtime.events import LearnerMetrics, read_events

pytestmark = pytest.mark.sim


def test_a_run_draws_the_curves_that_it_is_asked_for(kit, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = (*kit.tiny, "metrics=[tensorboard]")
    assert kit.run("run", kit.yaml, *words, "--runs", tmp_path) == 0
    folder = kit.only_folder(tmp_path)
    read = EventAccumulator(str(folder.path / "tensorboard"))
    read.Reload()
    names = set(read.Tags()["scalars"])
    assert names >= {
        "learner/critic_loss",
        "learner/td_error_online",
        "learner/td_error_offline",
        "learner/q_policy",
        "learner/grad_norm_actor",
        "learner/dormant_ratio_critic",
        "learner/true_utd",
        "learner/updates_per_s",
        "improve/success_autonomous",
        "improve/success_assisted",
        "improve/intervention_rate",
        "judged/lower_bound",
        "evaluate/success_autonomous",
    }
    rates = [point.value for point in read.Scalars("learner/true_utd")]
    assert max(rates) <= folder.config.schedule.utd
    told = read_events(folder.events)
    steps = [e.env_steps_total for e in told if isinstance(e, LearnerMetrics)]
    assert [point.step for point in read.Scalars("learner/critic_loss")] == steps
