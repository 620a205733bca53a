from __future__ import annotations

import numpy as np
import pytest
import torch

from robot_rl.app.improved import check_base, load_improved, new_policy, save_improved
from robot_rl.core.errors import ConfigError, FingerprintError
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.runtime.evaluator import Deployed


@pytest.fixture(scope="module")
def config(make_config):
    return make_config("base.network.hidden=[8]", "learner.hidden=[8]", "learner.heads=2")


@pytest.fixture(scope="module")
def task(config):
    return config.task.build().spec


@pytest.fixture(scope="module")
def make_base(config, task):
    size = task.observation.packed_size
    normaliser = Normaliser(offset=np.zeros(size, "f4"), scale=np.ones(size, "f4"))

    def make_base(seed):
        return config.base.build(
            task.observation, task.action, normaliser, contract=task.contract, seed=seed
        )

    return make_base


@pytest.fixture(scope="module")
def base(make_base):
    return make_base(0)


def deployed(config, task, base, value, version=3) -> Deployed:
    learner = config.learner.build(base, 1)
    weights = {
        name: torch.full_like(tensor, value) if name.startswith("mlp.") else tensor
        for name, tensor in learner.weights().items()
    }
    return Deployed(version=version, success=0.9, weights=weights)


def act(policy, task):
    rng = np.random.default_rng(0)
    observation = Observation(
        stamp_ns=0,
        vectors={
            key: rng.normal(size=spec.size).astype(np.float32)
            for key, spec in task.observation.vectors.items()
        },
    )
    return policy.propose(observation, np.array([0.1, -0.2], np.float32), explore=False)


def test_a_fresh_policy_is_version_0_and_leaves_the_base_action_alone(config, task, base):
    policy = new_policy(config, base)
    assert policy.version == 0
    assert act(policy, task) == pytest.approx([0.1, -0.2], abs=1e-6)


def test_a_deployed_policy_acts_again_as_it_did(config, task, base, tmp_path):
    chosen = deployed(config, task, base, 0.1)
    save_improved(tmp_path / "improved", chosen, base)
    loaded = load_improved(tmp_path / "improved", config, base)
    alive = new_policy(config, base)
    alive.load_weights(chosen.weights, 3)
    assert loaded.version == 3
    assert np.array_equal(act(loaded, task), act(alive, task))
    assert act(loaded, task) != pytest.approx([0.1, -0.2], abs=1e-3)


def test_where_the_base_is_deployed_there_is_no_online_policy(config, task, base, tmp_path):
    save_improved(tmp_path, Deployed(version=0, success=0.5, weights=None), base)
    assert load_improved(tmp_path, config, base) is None


def test_the_policy_that_was_deployed_last_is_loaded(config, task, base, tmp_path):
    save_improved(tmp_path, Deployed(version=0, success=0.5, weights=None), base)
    save_improved(tmp_path, deployed(config, task, base, 0.1, version=8), base)
    save_improved(tmp_path, deployed(config, task, base, 0.2, version=9), base)
    assert load_improved(tmp_path, config, base).version == 9


def test_a_policy_learned_on_another_base_is_refused(config, task, base, make_base, tmp_path):
    save_improved(tmp_path, deployed(config, task, base, 0.1), base)
    other = make_base(1)
    with pytest.raises(FingerprintError, match="improve it anew") as caught:
        load_improved(tmp_path, config, other)
    assert base.fingerprint[:12] in str(caught.value)
    assert other.fingerprint[:12] in str(caught.value)


def test_even_the_bare_base_is_refused_under_another_base(config, task, base, make_base, tmp_path):
    save_improved(tmp_path, Deployed(version=0, success=0.5, weights=None), base)
    with pytest.raises(FingerprintError):
        load_improved(tmp_path, config, make_base(1))


def test_equal_bases_pass(base, make_base, tmp_path):
    check_base(base.fingerprint, make_base(0), tmp_path)


def test_without_a_deployed_policy_the_remedy_is_named(config, task, base, tmp_path):
    with pytest.raises(ConfigError, match="has no improved policy: run `robot-rl improve`"):
        load_improved(tmp_path / "improved", config, base)
