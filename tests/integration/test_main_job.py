"""The main job on the smallest task, end to end: run, stopped, crashed, resumed, run twice."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from robot_rl.app.collect import collect
from robot_rl.app.imitate import imitate
from robot_rl.app.improve import improve
from robot_rl.app.improved import new_policy, save_improved
from robot_rl.app.run_config import JUDGING_SEEDS
from robot_rl.app.run_context import Stopped
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.summary import (
    BaseSuccess,
    CycleTime,
    GateNumbers,
    ImprovedSuccess,
    InterventionRate,
    PhaseSeconds,
    RunSummary,
)
from robot_rl.core.types import GateReason, Source
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.checkpoint import latest_checkpoint
from robot_rl.runtime.evaluator import Deployed
from robot_rl.runtime.events import EpisodeEnded, Evaluated, PhaseEnded, PhaseStarted, read_events

pytestmark = pytest.mark.sim

COMMAND = [sys.executable, "-c", "import sys; from robot_rl.app.cli import main; sys.exit(main())"]
PHASES = ["collect", "imitate", "improve", "evaluate"]


def summary_of(folder: RunFolder) -> dict:
    return json.loads(folder.summary.read_text())


def online_episodes(events) -> list[EpisodeEnded]:
    return [e for e in events if isinstance(e, EpisodeEnded) and e.phase == "improve"]


def copy_of(folder: RunFolder, path) -> RunFolder:
    shutil.copytree(folder.path, path)
    return RunFolder.open(path)


def same_tensors(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def until(episodes: int):
    """A sink that counts online episodes, and a stop that is asked for after so many."""
    heard: list[EpisodeEnded] = []

    def listen(event) -> None:
        if isinstance(event, EpisodeEnded) and event.phase == "improve":
            heard.append(event)

    return listen, lambda: len(heard) >= episodes


class Crash(Exception):
    pass


def crashing_after(episodes: int):
    """A sink at which the process dies, as far as the run can tell."""
    listen, enough = until(episodes)

    def sink(event) -> None:
        listen(event)
        if enough():
            raise Crash

    return sink


def up_to_improve(kit, folder: RunFolder) -> RunFolder:
    run = kit.context(folder)
    collect(run)
    imitate(run)
    return folder


def test_the_main_job_does_not_make_the_base_worse(kit, tmp_path):
    assert kit.run("run", kit.yaml, "--runs", tmp_path) == 0
    folder = kit.only_folder(tmp_path)
    summary = summary_of(folder)
    assert summary["improved"]["success_autonomous"] >= summary["base"]["success"]
    # The learner was at work, and the judge looked at what came of it.
    assert summary["updates"] > 1000
    judged = [e for e in read_events(folder.events) if isinstance(e, Evaluated)]
    assert judged[-1].env_steps_total == summary["env_steps"] >= 1500
    if judged[-1].deployed == "base":
        assert summary["improved"]["success_autonomous"] == summary["base"]["success"]


def test_the_summary_has_every_promised_field(tiny_run):
    summary = summary_of(tiny_run)
    assert list(summary) == [f.name for f in fields(RunSummary)]
    parts = (
        ("base", BaseSuccess),
        ("improved", ImprovedSuccess),
        ("intervention_rate", InterventionRate),
        ("cycle_time_s", CycleTime),
        ("gate", GateNumbers),
        ("phases_s", PhaseSeconds),
    )
    for name, kind in parts:
        assert list(summary[name]) == [f.name for f in fields(kind)]
    assert summary["task"] == "point_reach"
    assert (summary["seed"], summary["demos"]) == (0, 3)
    assert summary["base"]["episodes"] == summary["improved"]["episodes"] == 3
    assert all(seconds > 0 for seconds in summary["phases_s"].values())
    assert summary["wall_s"] == pytest.approx(sum(summary["phases_s"].values()))
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]
    assert summary["config"]["improve"]["env_steps"] == 300
    assert summary["peak_rss_mb"] > 50
    # The planar arm feels no forces: not measured is null, never NaN.
    assert summary["contact_force_n"]["base"] == {"mean": None, "p99": None, "max": None}


def test_the_summarys_counts_are_those_of_the_stores(kit, tiny_run):
    summary = summary_of(tiny_run)
    online, demos = kit.episodes(tiny_run, "online"), kit.episodes(tiny_run, "demos")
    steps = sum(len(e) for e in online)
    assert summary["env_steps"] == steps
    # Warm-up of 40 updates after 60 steps, then one a step, in cycles of 4.
    assert summary["updates"] == (40 + steps - 60) // 4 * 4
    human = sum(int((e.source == Source.HUMAN).sum()) for e in online)
    shown = sum(int((e.source == Source.DEMO).sum()) for e in demos)
    # Periods of 0.1 s.
    assert summary["operator_s"] == pytest.approx(0.1 * (human + shown))
    refused = sum(GateReason(int(r)).refuses for e in online + demos for r in e.gate_reason)
    assert summary["gate"]["refused"] == refused


def test_the_report_needs_nothing_from_outside(tiny_run):
    report = (tiny_run.path / "report.html").read_text()
    assert "point_reach" in report
    assert not re.search(r"https?://|//cdn|@import|<link|<script[^>]+src", report)
    for source in re.findall(r"""(?:src|href)=["']([^"']*)""", report):
        assert source.startswith(("data:", "#"))


def test_the_phases_are_told_in_their_order(tiny_run):
    events = read_events(tiny_run.events)
    started = [e.phase for e in events if isinstance(e, PhaseStarted)]
    ended = [e.phase for e in events if isinstance(e, PhaseEnded)]
    assert started == ended == PHASES


def test_start_states_of_the_phases_never_meet(kit, tiny_run):
    seeds = {
        name: [e.metadata.seed for e in kit.episodes(tiny_run, name)]
        for name in ("demos", "online", "evaluation-base", "evaluation-improved")
    }
    assert seeds["evaluation-base"] == seeds["evaluation-improved"]
    seen = [*seeds["demos"], *seeds["online"], *seeds["evaluation-base"]]
    assert len(seen) == len(set(seen))


def test_everything_recorded_says_where_it_is_from(kit, tiny_run):
    base = ChunkPolicy.load(tiny_run.base)
    for episode in kit.episodes(tiny_run, "online"):
        assert episode.metadata.base_fingerprint == base.fingerprint
        assert episode.metadata.operator == "simulated supervisor"
        assert episode.metadata.run == tiny_run.path.name
        assert episode.metadata.contract == base.contract
    for episode in kit.episodes(tiny_run, "demos"):
        assert set(episode.source) == {Source.DEMO}
        assert episode.metadata.operator == "simulated demonstrator"


def test_nobody_helps_in_the_evaluation(kit, tiny_run):
    for name in ("evaluation-base", "evaluation-improved"):
        for episode in kit.episodes(tiny_run, name):
            assert set(episode.source) == {Source.POLICY}


def test_equal_seeds_give_equal_runs(kit, tiny_run, tmp_path):
    assert kit.run("run", kit.yaml, *kit.tiny, "--runs", tmp_path) == 0
    again = kit.only_folder(tmp_path)
    one, other = summary_of(tiny_run), summary_of(again)
    for key in ("base", "improved", "env_steps", "updates", "intervention_rate", "gate"):
        assert one[key] == other[key]
    for name in ("demos", "online", "evaluation-improved"):
        pairs = zip(kit.episodes(tiny_run, name), kit.episodes(again, name), strict=True)
        assert all(np.array_equal(a.action, b.action) for a, b in pairs)
    saved = [latest_checkpoint(folder.checkpoints) for folder in (tiny_run, again)]
    assert same_tensors(saved[0].tensors, saved[1].tensors)


def test_a_stopped_and_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    kit, tiny_run, tmp_path
):
    folder = up_to_improve(kit, kit.new_run(tmp_path))
    sink, stop = until(3)
    with pytest.raises(Stopped, match="--resume"):
        improve(kit.context(folder, sink, stop=stop))
    assert latest_checkpoint(folder.checkpoints).step == 3
    assert len(kit.episodes(folder, "online")) == 3
    assert folder.summary_of("improve") is None
    improve(kit.context(RunFolder.open(folder.path)))
    pairs = zip(kit.episodes(tiny_run, "online"), kit.episodes(folder, "online"), strict=True)
    assert all(np.array_equal(a.action, b.action) for a, b in pairs)
    whole, parts = (latest_checkpoint(f.checkpoints) for f in (tiny_run, folder))
    assert whole.meta["progress"] == parts.meta["progress"]
    assert same_tensors(whole.tensors, parts.tensors)


def test_a_stop_does_not_wait_for_all_of_the_bases_judgement(kit, tmp_path):
    folder = up_to_improve(kit, kit.new_run(tmp_path))
    run = kit.context(folder, stop=lambda: True)
    with pytest.raises(Stopped):
        improve(run)
    assert run.station.bench.scene.seed == JUDGING_SEEDS
    assert folder.summary_of("improve") is None


def test_a_crash_loses_nothing_that_was_stored_and_the_run_finishes(kit, tmp_path):
    # No checkpoint is due in so short a run, so after the crash there is none.
    folder = up_to_improve(kit, kit.new_run(tmp_path))
    for crashes in (1, 2):
        with pytest.raises(Crash):
            improve(kit.context(folder, crashing_after(2)))
        assert latest_checkpoint(folder.checkpoints) is None
        assert len(kit.episodes(folder, "online")) == 2 * crashes
    assert kit.run("run", "--resume", folder.path) == 0
    online = kit.episodes(folder, "online")
    assert [e.metadata.seed for e in online] == list(range(len(online)))
    steps = sum(len(e) for e in online)
    assert summary_of(folder)["env_steps"] == steps >= 300
    assert sum(len(e) for e in online[:-1]) < 300


def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on(kit, tmp_path, capsys):
    bigger = ("learner.hidden=[64,64]", "improve.checkpoint_every_episodes=2")
    folder = up_to_improve(kit, kit.new_run(tmp_path, *bigger))
    sink, stop = until(2)
    with pytest.raises(Stopped):
        improve(kit.context(folder, sink, stop=stop))
    before = latest_checkpoint(folder.checkpoints)
    # A learner's state takes 400 kB; nothing else that the phase writes comes near 100 kB.
    with files_of_at_most(100_000):
        assert kit.run("improve", "--resume", folder.path) == 1
    said = capsys.readouterr().err
    assert "StorageError" in said
    assert "step-000004 was not saved" in said
    assert "intact: step-000002" in said
    after = latest_checkpoint(folder.checkpoints)
    assert after.step == before.step == 2
    assert same_tensors(after.tensors, before.tensors)
    assert len(kit.episodes(folder, "online")) == 4
    assert kit.run("run", "--resume", folder.path) == 0
    assert summary_of(folder)["env_steps"] >= 300


@contextmanager
def files_of_at_most(size: int):
    """A disk on which no file can grow beyond `size` bytes, as this user is concerned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_evaluating_again_changes_no_number(kit, tiny_run, tmp_path):
    folder = copy_of(tiny_run, tmp_path / "copy")
    before = summary_of(folder)
    recorded = [e.episode_id for e in kit.episodes(folder, "evaluation-base")]
    told = [e for e in read_events(folder.events) if isinstance(e, EpisodeEnded)]
    assert kit.run("evaluate", "--resume", folder.path) == 0
    after = summary_of(folder)
    # What the gate did is counted from these, so none may be told twice.
    assert [e for e in read_events(folder.events) if isinstance(e, EpisodeEnded)] == told
    for key in ("base", "improved", "env_steps", "updates", "gate", "operator_s", "cycle_time_s"):
        assert after[key] == before[key]
    assert [e.episode_id for e in kit.episodes(folder, "evaluation-base")] == recorded


def test_a_look_at_an_unfinished_run_does_not_decide_its_final_evaluation(kit, tmp_path):
    """Evaluated while the base is deployed, and again once something else is."""
    folder = up_to_improve(kit, kit.new_run(tmp_path))
    sink, stop = until(2)
    with pytest.raises(Stopped):
        improve(kit.context(folder, sink, stop=stop))
    assert kit.run("evaluate", "--resume", folder.path) == 0
    base = ChunkPolicy.load(folder.base)
    policy = new_policy(folder.config, base)
    learner = folder.config.learner.build(base, folder.config.seed)
    weights = {
        name: torch.ones_like(tensor) if name.startswith("mlp.") else tensor
        for name, tensor in learner.weights().items()
    }
    policy.load_weights(weights, 5)
    save_improved(folder.improved, Deployed(version=5, success=1.0, weights=weights), base)
    assert kit.run("evaluate", "--resume", folder.path) == 0
    versions = [int(e.policy_version[0]) for e in kit.episodes(folder, "evaluation-improved")]
    assert versions == [0] * 3 + [5] * 3
    # The numbers are those of version 5 alone.
    assert summary_of(folder)["improved"]["episodes"] == 3


def test_a_base_that_was_trained_again_is_refused_under_the_improved_policy(
    kit, tiny_run, tmp_path, capsys
):
    folder = copy_of(tiny_run, tmp_path / "copy")
    old = ChunkPolicy.load(folder.base)
    shutil.rmtree(folder.base)
    task = folder.config.task.build().spec
    again = folder.config.base.build(
        task.observation, task.action, old.normaliser, contract=task.contract, seed=9
    )
    again.save(folder.base)
    assert kit.run("evaluate", "--resume", folder.path) == 1
    said = capsys.readouterr().err
    assert "FingerprintError" in said
    assert old.fingerprint[:12] in said
    assert again.fingerprint[:12] in said
    # The learner's checkpoint and its episodes belong to the old base as well.
    (folder.path / "phases.json").unlink()
    assert kit.run("improve", "--resume", folder.path) == 1
    assert "FingerprintError" in capsys.readouterr().err


def test_a_learner_in_a_process_of_its_own_finishes_the_run(kit, tmp_path):
    shorter = ("learner_process=true", "improve.env_steps=150", "improve.judge_episodes=1")
    folder = up_to_improve(kit, kit.new_run(tmp_path, *shorter))
    assert kit.run("improve", "--resume", folder.path) == 0
    finished = folder.summary_of("improve")
    assert finished["env_steps"] >= 150
    # At the end the learner may owe one cycle and what does not fill one.
    due = 40 + finished["env_steps"] - 60
    assert due - 8 < finished["updates"] <= due
    assert latest_checkpoint(folder.checkpoints).meta["progress"]["episodes"] == len(
        kit.episodes(folder, "online")
    )


def test_interrupted_it_saves_everything_and_resume_finishes_the_run(kit, tmp_path, capsys):
    folder = kit.new_run(tmp_path, "improve.env_steps=500", "supervisor=null")
    log = tmp_path / "said"
    # Its own session: what the terminal of the tests hears is not for it, nor the reverse.
    with log.open("w") as out:
        child = subprocess.Popen(
            [*COMMAND, "run", "--resume", str(folder.path)],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_online_episode(folder, child, log)
        assert kit.run("run", "--resume", folder.path) == 1
        assert "is in use" in capsys.readouterr().err
        os.kill(child.pid, signal.SIGINT)
        child.wait(60)
    finally:
        child.kill()
        child.wait()
    said = log.read_text()
    assert child.returncode == 130
    assert f"robot-rl run --resume {folder.path}" in said
    assert "Traceback" not in said
    assert folder.summary_of("improve") is None
    online = kit.episodes(folder, "online")
    told = online_episodes(read_events(folder.events))
    assert [e.episode_id for e in online] == [e.episode_id for e in told]
    saved = latest_checkpoint(folder.checkpoints)
    assert saved.meta["progress"]["episodes"] == saved.step == len(online)
    assert saved.meta["progress"]["env_steps"] == sum(len(e) for e in online) < 500

    assert kit.run("run", "--resume", folder.path) == 0
    assert summary_of(folder)["env_steps"] >= 500
    again = kit.episodes(folder, "online")
    assert [e.metadata.seed for e in again] == list(range(len(again)))
    # Collected and imitated once.
    started = [e.phase for e in read_events(folder.events) if isinstance(e, PhaseStarted)]
    assert started == ["collect", "imitate", "improve", "improve", "evaluate"]


def wait_for_online_episode(
    folder: RunFolder, child: subprocess.Popen, log: Path, after: int = 0
) -> None:
    deadline_s = time.monotonic() + 90
    while len(told_of(folder)) <= after:
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, "no online episode within 90 s"
        time.sleep(0.02)


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_outright_it_has_lost_no_episode_that_it_told_of(kit, tmp_path, kills):
    folder = kit.new_run(tmp_path, "improve.env_steps=400", "supervisor=null")
    log = tmp_path / "said"
    moments = random.Random(kills)
    for _ in range(kills):
        told = len(told_of(folder))
        with log.open("w") as out:
            child = subprocess.Popen(
                [*COMMAND, "run", "--resume", str(folder.path)],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for_online_episode(folder, child, log, after=told)
        time.sleep(moments.uniform(0, 0.2))
        child.kill()
        child.wait()
        assert set(told_of(folder)) <= {e.episode_id for e in kit.episodes(folder, "online")}

    assert kit.run("run", "--resume", folder.path) == 0
    online = kit.episodes(folder, "online")
    assert [e.metadata.seed for e in online] == list(range(len(online)))
    assert summary_of(folder)["env_steps"] == sum(len(e) for e in online) >= 400
    assert set(told_of(folder)) <= {e.episode_id for e in online}


def told_of(folder: RunFolder) -> list[str]:
    events = read_events(folder.events) if folder.events.exists() else []
    return [e.episode_id for e in online_episodes(events)]
