"""A student that plans with one call of its network what its teacher plans with many."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from robot_rl.data.chunks import ChunkData
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.learning.chunk_batch import ChunkBatch, ChunkBatches, check_fit
from robot_rl.learning.descent import Descent, DescentConfig, Progress
from robot_rl.learning.frame_source import frame_source
from robot_rl.policies.chunk_policy import ChunkModel, ChunkPolicy

EMA_POWER = 0.75


class DistillationConfig(DescentConfig):
    """Settings of `distil`.

    Args:
        steps, lr: as of `DescentConfig`.
        ema_decay: of the average of weights that the student ends up with.
        spread: standard deviation of what is added to observations, of which the normaliser's
            scale is 1: plans are asked for around the data too, where policies come to be.
        augmentation: of camera images.
        image_variants: as of `ImitationConfig`.
    """

    steps: int = Field(default=3000, ge=1)
    lr: float = Field(default=3e-3, gt=0)
    ema_decay: float = Field(default=0.95, ge=0, lt=1)
    spread: float = Field(default=0.05, ge=0)
    augmentation: AugmentationConfig = AugmentationConfig()
    image_variants: int = Field(default=8, ge=0)


def distil(
    teacher: ChunkPolicy,
    data: ChunkData,
    config: DistillationConfig,
    seed: int,
    on_progress: Progress | None = None,
) -> tuple[ChunkPolicy, dict[str, float]]:
    """Train a student to plan in one step what the teacher plans from the same noise.

    The distillation of RL-100 (Lei et al. 2025, arXiv 2510.14830): the student's one-step output
    is regressed on the teacher's plan. It begins with the teacher's weights, and its sampler's
    config names the teacher's fingerprint, which so is part of its own.

    Deterministic under a seed on one machine and thread count.

    Args:
        teacher: plans with several network calls; it stays as it is.
        data: where plans are asked for: demonstrations, and whatever else there is of the states
            that a policy comes to. Its actions do not matter.
        config: settings.
        seed: of batches, noise, dropout and changes of observations.
        on_progress: called every 100 steps and after the last, with `train_loss`.

    Returns:
        the student; and `train_loss`, a running mean of the squared difference of an action's
        element from the teacher's.

    Raises:
        ConfigError: if a plan of the teacher takes one call already.
        ContractError: if the data does not fit the teacher, or a loss is not finite.
    """
    check_fit(teacher, data)
    student = _student(teacher)
    batches = _batches(teacher, data, config, seed)
    model = student.trainable_model()
    descent = Descent(
        "distillation", model, config, ema_power=EMA_POWER, ema_decay=config.ema_decay
    )
    scale = torch.from_numpy(teacher.normaliser.scale)
    # The seed of all that draws without a generator of its own, such as dropout.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(config.steps):
            batch = batches.draw(config.batch_size, generator)
            moved = torch.empty_like(batch.observation).normal_(generator=generator)
            observation = batch.observation + config.spread * scale * moved
            noise = torch.empty_like(batch.action).normal_(generator=generator)
            descent.step(_loss(teacher, student, model, observation, batch, noise))
            descent.report(on_progress)
    student.load_weights(descent.averaged())
    return student, dict(descent.metrics)


def _student(teacher: ChunkPolicy) -> ChunkPolicy:
    """Return a policy that differs from the teacher in its sampler alone."""
    sampler = teacher.sampler.one_step().model_copy(update={"teacher": teacher.fingerprint})
    student = teacher.config.model_copy(update={"sampler": sampler}).build(
        teacher.observation, teacher.action, teacher.normaliser, contract=teacher.contract
    )
    student.load_weights(teacher.model.state_dict())
    return student


def _batches(
    teacher: ChunkPolicy, data: ChunkData, config: DistillationConfig, seed: int
) -> ChunkBatches:
    rows = torch.arange(len(data)).numpy()
    frames = frame_source(
        teacher,
        data,
        rows,
        augmentation=config.augmentation.build(seed),
        variants=config.image_variants,
        seed=seed,
    )
    return ChunkBatches(data, rows, frames)


def _loss(
    teacher: ChunkPolicy,
    student: ChunkPolicy,
    model: ChunkModel,
    observation: Tensor,
    batch: ChunkBatch,
    noise: Tensor,
) -> Tensor:
    """Return the mean squared difference of the student's plans from the teacher's.

    Neither is clipped to [-1, 1]: a student that overshoots where the teacher does is right.
    """

    def sample(policy: ChunkPolicy, model: ChunkModel) -> Tensor:
        features = model.encoder(observation, batch.images)
        return policy.sampler.sample(model.network, features, noise)

    with torch.no_grad():
        target = sample(teacher, teacher.model)
    return (sample(student, model) - target).square().mean()
