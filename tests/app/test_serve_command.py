"""`robot-rl serve` from its words to its end."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from robot_rl.app.main import main
from robot_rl.app.serve import ServingConfig
from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.spec import TaskSpec
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.remote.connection import PolicyConnection
from robot_rl.policies.remote.remote_policy import RemotePolicy
from robot_rl.policies.sampler.regression import RegressionConfig
from robot_rl.runtime.serving.probe import probes

ROOT = Path(__file__).parents[2]
TASK = ROOT / "configs" / "tasks" / "point_reach.yaml"
START = "import sys; from robot_rl.app.main import main; sys.exit(main(sys.argv[1:]))"
START_S = 100.0
"""Importing torch alone takes seconds where others are at work too."""


@pytest.fixture(autouse=True)
def _as_before():
    """The command sets these for the whole process."""
    level, threads = logging.getLogger("robot_rl").level, torch.get_num_threads()
    yield
    logging.getLogger("robot_rl").setLevel(level)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def task() -> TaskSpec:
    return load(TASK, Config).build().spec


@pytest.fixture(scope="module")
def run_folder(task, tmp_path_factory) -> Path:
    """A run that has got as far as its base policy."""
    size = task.observation.packed_size
    normaliser = Normaliser(offset=np.zeros(size, "f4"), scale=np.ones(size, "f4"))
    network = MlpDenoiserConfig(hidden=(8,))
    config = ChunkPolicyConfig(horizon=4, execute=2, network=network, sampler=RegressionConfig())
    policy = config.build(task.observation, task.action, normaliser, contract=task.contract)
    folder = tmp_path_factory.mktemp("run")
    policy.save(folder / "base")
    return folder


@pytest.fixture
def serving_yaml(run_folder, tmp_path) -> Path:
    kind = "robot_rl.policies.adapters.chunk:ChunkBaseConfig"
    path = tmp_path / "serving.yaml"
    path.write_text(
        f"task: {TASK}\n"
        f"policies:\n"
        f"  one: {{type: '{kind}', path: {run_folder}/base}}\n"
        f"  other: {{type: '{kind}', path: {run_folder}/base}}\n"
        f"server: {{max_batch: 2}}\n"
    )
    return path


@pytest.mark.sim
def test_a_run_is_served_until_sigterm(run_folder):
    words = [sys.executable, "-c", START, "serve", str(run_folder), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            ready = process.stdout.readline().split()
            fingerprint = ChunkPolicy.load(run_folder / "base").fingerprint
            assert ready[0] == "READY"
            assert ready[2:] == ["base", "(chunk", f"{fingerprint[:12]})"]
            with PolicyConnection(ready[1]) as connection:
                remote = RemotePolicy(connection)
                assert remote.spec.fingerprint == fingerprint
                assert remote.infer(probes(remote.spec, 2)).shape[:2] == (2, 4)
                asked_s = time.monotonic()
                process.send_signal(signal.SIGTERM)
                rest, _ = process.communicate(timeout=START_S)
            assert time.monotonic() - asked_s < 20
        finally:
            process.kill()
    assert (process.returncode, rest) == (0, "")


def test_the_benchmark_compares_all_policies_of_a_yaml_and_serves_nobody(serving_yaml, capsys):
    assert main(["serve", "--benchmark", str(serving_yaml)]) == 0
    said = capsys.readouterr().out
    assert "READY" not in said
    for name in ("one", "other", "load", "warm-up", "one plan", "batch of 2", "round trip", "MiB"):
        assert name in said


def test_overrides_reach_the_policies_of_a_yaml(serving_yaml, capsys):
    assert main(["serve", str(serving_yaml), "policies.one.path=/nowhere"]) == 1
    assert "/nowhere" in capsys.readouterr().err


def test_the_words_go_before_the_yaml(serving_yaml, capsys):
    words = ["serve", str(serving_yaml), "--host", "0.0.0.0"]
    assert main(words) == 1
    assert "needs api_key_file, tls_cert, tls_key as well" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name what to serve"),
        (["/nowhere"], "neither a policy's folder"),
        (["/nowhere.yaml"], "no such file"),
        (["{run}", "seed=1"], "only a YAML file takes overrides"),
        (["{run}", "--port", "70000"], "port"),
        (["{run}", "--api-key-file", "/nowhere"], "cannot be read"),
        (["{run}", "--tls-cert", "/nowhere"], "go together"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_status_1(run_folder, words, told, capsys):
    assert main(["serve", *(word.format(run=run_folder) for word in words)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("robot-rl: ConfigError: ")
    assert told in said
    assert "Traceback" not in said


def test_a_policy_of_another_kind_is_refused(tmp_path, run_folder, capsys):
    for file in (run_folder / "base").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (tmp_path / "policy.json").read_text().replace('"config"', '"settings"')
    (tmp_path / "policy.json").write_text(text)
    assert main(["serve", str(tmp_path)]) == 1
    assert "describes no chunk policy" in capsys.readouterr().err


@pytest.mark.sim
@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "serving").glob("*.yaml")))
def test_every_serving_yaml_loads(path):
    config = load(path, ServingConfig)
    assert config.task.build().spec.horizon > 0
    assert all(callable(policy.build) for policy in config.policies.values())
