from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import ablation
import learning
import numpy as np
import pytest
import throughput
import torch
from learner_parts import LearnerBench
from outcome import outcome, spreads
from peers import RowReplay
from report import at_least, at_most, measured, publish, skipped
from timing import Stopwatch, in_turn
from workload import CONFIGS, MAIN_TASK, Effort, open_workload, task_overrides, tasks

from robot_rl.app.run_config import RunConfig
from robot_rl.app.run_folder import RunFolder
from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.learning.contract import SKIPPED, SamplingNeeds
from robot_rl.runtime.worker import LearnerWorker

TINY = Effort(
    repeats=2,
    calls=1,
    demonstrations=2,
    imitation_steps=2,
    buffer_steps=200,
    vector_sizes=(1, 2),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def work():
    with open_workload("point_reach", TINY) as work:
        yield work


def spin(rounds: int) -> float:
    return sum(math.sqrt(i) for i in range(rounds))


# report


def test_claim_that_falls_short_is_published_as_not_holding(tmp_path):
    file = tmp_path / "deep" / "claims.json"
    claims = [at_least("speed", 0.9, "x", 1.0), at_most("memory", 10.0, "MB", 10.0)]
    publish("a bench", [measured("speed", "x", [0.8, 0.9, 1.0])], claims, file)
    written = json.loads(file.read_text())
    assert written["claims"] == [
        {"name": "speed", "value": 0.9, "unit": "x", "target": ">= 1", "holds": False},
        {"name": "memory", "value": 10.0, "unit": "MB", "target": "<= 10", "holds": True},
    ]
    # Percentiles by hand: between 0.8 and 0.9 at 0.2 of the way, and likewise from above.
    (row,) = written["rows"]
    assert row["name"] == "speed"
    assert [row[k] for k in ("p10", "median", "p90")] == pytest.approx([0.82, 0.9, 0.98])
    assert row["repeats"] == 3
    assert written["about"]["torch_threads"] == 1


def test_number_that_is_missing_holds_no_claim_and_is_null_in_json(tmp_path):
    claims = [at_least("a", math.nan, "", 0.0), at_most("b", math.nan, "", 0.0)]
    publish("a bench", [skipped("c", "no OpenGL")], claims, tmp_path / "x.json")
    written = json.loads((tmp_path / "x.json").read_text())
    assert [(c["value"], c["holds"]) for c in written["claims"]] == [(None, False)] * 2
    assert written["rows"] == [{"name": "c", "skipped": "no OpenGL"}]


# timing


def test_peer_that_does_four_times_the_work_has_a_ratio_well_above_one():
    ours, peers, ratios = in_turn(lambda: spin(5000), lambda: spin(20_000), repeats=5)
    assert len(ours) == len(peers) == len(ratios) == 5
    assert 2.0 < np.median(ratios) < 8.0


def test_stopwatch_counts_watched_methods_under_their_names_and_keeps_their_results():
    class Device:
        def read(self, rounds):
            return spin(rounds)

        def write(self):
            raise OSError("unplugged")

    device, watch = Device(), Stopwatch()
    watch.watch(device, "read", "observe")
    watch.watch(device, "write", "command")
    assert device.read(20_000) == spin(20_000)
    with pytest.raises(OSError, match="unplugged"):
        device.write()
    assert set(watch.spent_s) == {"observe", "command"}
    assert watch.spent_s["observe"] > 10 * watch.spent_s["command"] > 0


# throughput


@pytest.mark.sim
def test_loop_of_the_toy_yields_every_promised_row_and_a_floor_below_the_tick():
    rows, claims = throughput.measure_loop("point_reach", TINY)
    found = {row["name"].removeprefix("point_reach: "): row for row in rows}
    parts = ("reset", "observe", "plan", "propose", "gate", "physics", "rest")
    assert {f"tick, {part}" for part in parts} <= set(found)
    assert {"1 simulations batched", "2 simulations batched", "control loop"} <= set(found)
    assert found["control loop with cameras"]["skipped"] == "the task has no cameras"
    tick, floor = found["tick of gate and environment"], found["bare mj_step of the same tick"]
    assert tick["median"] > floor["median"] > 0
    assert [claim.name for claim in claims] == ["point_reach: gate in one tick"]


@pytest.mark.sim
def test_every_learner_as_shipped_is_timed_against_its_peers():
    rows, claims = throughput.measure_learners(TINY)
    for learner in ("residual_td3", "rlpd"):
        names = [row["name"] for row in rows if row["name"].startswith(f"{learner}:")]
        assert f"{learner}: critic updates" in names
        parts = ("sampling", "target", "polyak", "critic", "actor", "rest")
        assert {f"{learner}: update, {part}" for part in parts} <= set(names)
        peers = [c.name for c in claims if c.name.startswith(f"{learner}:")]
        assert peers == [
            f"{learner}: replay row by row against ours",
            f"{learner}: critics head by head against ours",
        ]


@pytest.mark.sim
def test_replay_row_by_row_draws_the_very_windows_of_the_replay_buffer(work):
    task = work.station.bench.task
    buffer = ReplayBuffer(200, task.observation, task.action.size, offline=True)
    for demo in work.demos:
        buffer.add_episode(demo)
    transitions = [t for demo in work.demos for t in demo.transitions()]
    rows = RowReplay(transitions, task.observation.pack, n_step=3, gamma=0.9)
    positions = np.arange(len(transitions))
    expected = buffer.windows(positions, 3, 0.9)
    for position in positions:
        window = rows.window(int(position))
        for name, value in window.items():
            if name != "human":
                np.testing.assert_allclose(value, getattr(expected, name)[position], rtol=1e-6)
    assert set(rows.sample(4)) == set(rows.window(0))


@pytest.mark.sim
def test_learner_bench_samples_half_from_demonstrations(work):
    bench = LearnerBench(work, work.config.learner, TINY.buffer_steps)
    batch = bench.sampler.sample()
    assert int(batch.offline.sum()) == len(batch) // 2


def test_every_task_with_a_file_makes_a_run():
    assert MAIN_TASK in tasks()
    for task in tasks():
        run = load(CONFIGS / "runs" / "peg_insert.yaml", RunConfig, task_overrides(task))
        assert run.task == load(CONFIGS / "tasks" / f"{task}.yaml", Config)


# learning


@pytest.mark.sim
@pytest.mark.parametrize(("use", "offline_rows"), [(True, 32), (False, 0)])
def test_learner_without_demonstrations_sees_its_own_steps_alone(work, use, offline_rows):
    class Learner:
        needs = SamplingNeeds()
        frame_encoder = None

        def update(self, batches, *, train_actor=True):
            self.offline = int(batches[0].offline.sum())
            return {SKIPPED: 0.0}

    schedule = work.config.schedule.model_copy(
        update={"use_demonstrations": use, "prefill_steps": 1, "batch_size": 64}
    )
    learner: Any = Learner()
    worker = LearnerWorker(learner, work.station.bench.task, schedule, work.demos, seed=0)
    worker.add_episode(work.demos[0])
    worker.train_cycle()
    assert learner.offline == offline_rows


def test_variants_differ_in_what_they_are_named_after_and_share_the_rest(tmp_path):
    plan = learning.plan(tuple(learning.VARIANTS), [3], tmp_path)
    configs = {trial.variant: trial.config for trial in plan}
    person, residual, rlpd, scratch = (
        configs[name] for name in ("person", "residual", "rlpd", "scratch")
    )
    assert not configs["steered"].use_base
    assert configs["steered"].imitate.student
    assert (configs["pick"].name, configs["images"].name) == ("pick_cube", "peg_insert_images")
    assert person.supervisor is not None
    assert residual.model_copy(update={"supervisor": person.supervisor}) == person
    assert not rlpd.use_base
    assert rlpd.schedule.use_demonstrations
    assert not scratch.schedule.use_demonstrations
    for config in (residual, rlpd, scratch):
        for name in ablation.SHARED:
            assert getattr(config, name) == getattr(person, name)


def test_unknown_variant_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no variant 'rldp'.*'rlpd'"):
        learning.plan(["rldp"], [0], tmp_path)


def finished(trial, *, base=0.5, deployed=0.9, wins=8, wall_s=100.0):
    """Write what a run leaves behind into the trial's folder."""
    folder = RunFolder.create(trial.path.parent, trial.config).path.rename(trial.path)
    summary = {
        "base": {"success": base},
        "improved": {"success_autonomous": deployed, "ci95": [0.5, 0.95]},
        "intervention_rate": {"first": 0.1, "last": None},
        "env_steps": 300,
        "updates": 200,
        "operator_s": 12.0,
        "wall_s": wall_s,
        "peak_rss_mb": 700.0,
        "versions": {"robot_rl": "abc"},
    }
    phases = ("collect", "imitate", "improve", "evaluate")
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "learned.json").write_text(json.dumps({"wins": wins}))
    (folder / "phases.json").write_text(
        json.dumps({name: {"wall_s": 1.0, "summary": {}} for name in phases})
    )
    lines = [json.dumps({"type": "PhaseStarted", "phase": name}) + "\n" for name in phases]
    (folder / "events.jsonl").write_text("".join(lines))
    for name in ("demos", "base"):
        (folder / name).mkdir()
        (folder / name / "content").write_text(name)
    return trial


def test_row_of_a_run_tells_deployed_from_learned(tmp_path):
    (trial,) = learning.plan(["rlpd"], [1], tmp_path, learning.TOY)
    row = outcome(finished(trial, deployed=0.5, wins=2))
    assert (row["variant"], row["seed"]) == ("rlpd", 1)
    assert (row["base"], row["deployed"], row["learned"]) == (0.5, 0.5, 0.2)
    # Wilson's interval of 2 of 10.
    assert row["learned_ci95"] == pytest.approx((0.0567, 0.5098), abs=1e-4)


def test_claims_of_the_main_job_fall_with_one_seed_that_is_out_of_bounds(tmp_path):
    trials = learning.plan(["person"], [0, 1, 2], tmp_path)
    good = [
        outcome(finished(t, deployed=d)) for t, d in zip(trials, (0.9, 0.96, 1.0), strict=True)
    ]
    assert all(claim.holds for claim in learning.claims(good, quick=False))
    bad = [*good[:2], {**good[2], "base": 0.2, "deployed": 0.9, "wall_s": 901.0}]
    assert [claim.holds for claim in learning.claims(bad, quick=False)] == [
        False,  # longest run
        True,  # memory
        False,  # lowest base
        True,  # highest base
        False,  # median success: 0.9
        True,  # environment steps
    ]
    middle, ranges = spreads(good)
    assert middle["deployed"] == 0.96
    assert ranges["deployed"] == pytest.approx([0.912, 0.992])
    assert math.isnan(middle["human_last"])


def test_variant_takes_over_demonstrations_base_and_what_they_took_but_nothing_later(tmp_path):
    donor, trial = learning.plan(["person", "rlpd"], [0], tmp_path)
    finished(donor)
    ablation.create(trial, donor)
    assert (trial.path / "demos" / "content").read_text() == "demos"
    assert (trial.path / "base" / "content").read_text() == "base"
    opened = RunFolder.open(trial.path)
    assert opened.config == trial.config
    assert set(opened.phases) == {"collect", "imitate"}
    events = (trial.path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in events] == ["collect", "imitate"]
    assert not trial.finished


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Stands in for `robot-rl`: notes how it is called, then finishes the run or fails."""

    finish = """cd "$3"
mkdir -p demos base
echo '{"collect": {}, "imitate": {}}' > phases.json
touch events.jsonl summary.json"""

    def install(status: int) -> None:
        script = tmp_path / "robot-rl"
        then = "echo broken" if status else finish
        script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{then}\nexit {status}\n')
        script.chmod(0o755)
        monkeypatch.setattr(ablation, "COMMAND", script)

    return install


def calls(tmp_path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_finished_run_is_not_run_again(tmp_path, command):
    command(0)
    trials = learning.plan(["person", "residual"], [0, 1], tmp_path / "runs")
    learning.run_all(trials[:3], jobs=1)
    learning.run_all(trials, jobs=1)
    names = [call.split("/")[-1] for call in calls(tmp_path)]
    assert names == ["person-seed0", "person-seed1", "residual-seed0", "residual-seed1"]
    assert calls(tmp_path)[0].startswith("run --resume ")


def test_run_that_fails_is_named_and_goes_on_next_time(tmp_path, command):
    (trial,) = learning.plan(["person"], [0], tmp_path / "runs")
    command(1)
    with pytest.raises(RobotRlError, match="person-seed0 ended with status 1"):
        ablation.run(trial, [])
    assert "broken" in (trial.path / "bench.log").read_text()
    command(0)
    ablation.run(trial, [])
    assert trial.finished


def test_folder_with_a_run_of_other_settings_is_refused(tmp_path, command):
    command(0)
    (trial,) = learning.plan(["person"], [0], tmp_path / "runs")
    ablation.run(trial, [])
    changed = dataclasses.replace(trial, config=trial.config.model_copy(update={"release_s": 1.0}))
    with pytest.raises(ConfigError, match="other settings"):
        ablation.run(changed, [])


@pytest.mark.slow
@pytest.mark.sim
def test_quick_form_of_the_ablation_runs_through(tmp_path):
    file = tmp_path / "learning.json"
    arguments = learning.Arguments(
        quick=True, seeds=(0,), variants=("person", "scratch"), json=file
    )
    learning.compare(arguments, tmp_path / "runs")
    person, scratch = json.loads(file.read_text())["rows"][:2]
    assert person["base"] == scratch["base"]
    assert person["operator_s"] > scratch["operator_s"] > 0
    assert scratch["human_first"] == 0.0
