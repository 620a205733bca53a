import numpy as np
import pytest
import torch

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.data.chunks import ChunkData
from robot_rl.learning.distillation import DistillationConfig, distil
from robot_rl.learning.imitation import ImitationConfig, train_policy
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.flow import FlowConfig
from robot_rl.policies.sampler.regression import RegressionConfig

TEACHERS = {
    "epsilon": DdimConfig(prediction="epsilon", inference_steps=8),
    "sample": DdimConfig(prediction="sample", inference_steps=8),
    "flow": FlowConfig(inference_steps=5),
}
QUICK = DistillationConfig(steps=3, batch_size=4)


@pytest.fixture
def make_teacher(observation_spec, action_spec, normaliser):
    def make_teacher(sampler) -> ChunkPolicy:
        return ChunkPolicyConfig(
            horizon=4, execute=2, network=MlpDenoiserConfig(hidden=(32, 32)), sampler=sampler
        ).build(observation_spec, action_spec, normaliser, seed=3)

    return make_teacher


@pytest.fixture
def data() -> ChunkData:
    """An action is 0.6 times the first elements of the observation, give or take 0.3."""
    rng = np.random.default_rng(0)
    observation = rng.uniform(-1, 1, (256, 3)).astype(np.float32)
    action = 0.6 * observation[:, None, :2] + rng.uniform(-0.3, 0.3, (256, 1, 2))
    return ChunkData(
        observation=observation,
        action=np.repeat(action, 4, axis=1).astype(np.float32),
        valid=np.ones((256, 4), np.bool_),
        episode=np.zeros(256, np.int64),
    )


def plan_and_count(policy: ChunkPolicy, observation, noise) -> tuple[torch.Tensor, int]:
    calls = []
    handle = policy.model.network.register_forward_hook(lambda *_: calls.append(1))
    plan = policy.plan(observation, NO_IMAGES, noise)
    handle.remove()
    return plan, len(calls)


@pytest.mark.parametrize("name", TEACHERS)
def test_the_student_plans_with_one_call_what_the_teacher_plans_with_many(
    make_teacher, data, name
):
    teacher = make_teacher(TEACHERS[name])
    settings = {"steps": 300, "batch_size": 64, "lr": 1e-2, "warmup_steps": 20}
    train_policy(teacher, data, ImitationConfig(**settings), seed=0)
    student, metrics = distil(teacher, data, DistillationConfig(**settings), seed=0)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(200, 4, 2, generator=generator)
    observation = torch.rand(200, 3, generator=generator) * 2 - 1
    taught, calls = plan_and_count(teacher, observation, noise)
    learned, calls_of_student = plan_and_count(student, observation, noise)
    assert calls_of_student == 1 <= calls / 5
    difference = (learned - taught).abs().mean()
    assert difference < 0.12
    # It follows the noise: another one moves the teacher's plans much further than that.
    otherwise = teacher.plan(observation, NO_IMAGES, noise.flip(0))
    assert difference < 0.4 * (otherwise - taught).abs().mean()
    assert metrics["train_loss"] < 0.05


def test_the_student_names_its_teacher_and_differs_in_nothing_but_the_sampler(
    make_teacher, data, tmp_path
):
    teacher = make_teacher(TEACHERS["flow"])
    fingerprint = teacher.fingerprint
    student, _ = distil(teacher, data, QUICK, seed=0)
    assert student.config.sampler.teacher == teacher.fingerprint == fingerprint
    assert student.config.network == teacher.config.network
    assert student.steerable
    # Equal weights of another teacher's student are another policy.
    other = student.config.sampler.model_copy(update={"teacher": "another"})
    twin = student.config.model_copy(update={"sampler": other}).build(
        student.observation, student.action, student.normaliser
    )
    twin.load_weights(student.model.state_dict())
    assert twin.fingerprint != student.fingerprint
    student.save(tmp_path)
    assert ChunkPolicy.load(tmp_path).fingerprint == student.fingerprint


def test_a_step_of_zero_leaves_the_teachers_weights(make_teacher, data):
    teacher = make_teacher(TEACHERS["sample"])
    # The step size is 0 after the last step, so a single one with a warm-up of none changes none.
    config = DistillationConfig(steps=1, batch_size=4, warmup_steps=0, weight_decay=0.0)
    student, _ = distil(teacher, data, config, seed=0)
    weights = student.model.state_dict()
    assert all(torch.equal(t, weights[n]) for n, t in teacher.model.state_dict().items())


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_the_spread_asks_for_plans_around_the_data(make_teacher, data, spread):
    teacher = make_teacher(TEACHERS["flow"])
    seen = []
    teacher.model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    distil(teacher, data, QUICK.model_copy(update={"spread": spread}), seed=0)
    known = torch.from_numpy(data.observation)
    nearest = (torch.cat(seen)[:, None] - known).norm(dim=-1).amin(1)
    assert len(nearest) == 12
    assert nearest.any() == (spread > 0)
    assert nearest.max() <= 6 * spread


def test_distillation_is_deterministic_under_a_seed(make_teacher, data):
    teacher = make_teacher(TEACHERS["flow"])
    one, again, other = (distil(teacher, data, QUICK, seed)[0] for seed in (0, 0, 1))
    assert one.fingerprint == again.fingerprint != other.fingerprint


def test_what_plans_with_one_call_is_no_teacher(make_teacher, data):
    with pytest.raises(ConfigError, match="regression: it plans with one call already"):
        distil(make_teacher(RegressionConfig()), data, QUICK, seed=0)
    student, _ = distil(make_teacher(TEACHERS["flow"]), data, QUICK, seed=0)
    with pytest.raises(ConfigError, match="one_step: it plans with one call already"):
        distil(student, data, QUICK, seed=0)


def test_observations_of_another_task_are_refused(make_teacher, data):
    wide = ChunkData(
        observation=np.zeros((2, 5), np.float32),
        action=data.action[:2],
        valid=data.valid[:2],
        episode=data.episode[:2],
    )
    with pytest.raises(ContractError, match=r"\(5, 4, 2\), expected at least 1 of \(3, 4, 2\)"):
        distil(make_teacher(TEACHERS["flow"]), wide, QUICK, seed=0)
