"""Behaviour cloning of a `ChunkPolicy` from windows of demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from robot_rl.core.errors import ConfigError
from robot_rl.data.chunks import ChunkData, split_episodes
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.learning.chunk_batch import ChunkBatch, ChunkBatches, check_fit
from robot_rl.learning.descent import Descent, DescentConfig, Progress, masked_mean
from robot_rl.learning.frame_source import frame_source
from robot_rl.policies.chunk_policy import ChunkModel, ChunkPolicy
from robot_rl.policies.sampler.contract import Sampler

Judge = Callable[[ChunkPolicy], int]
"""Runs a policy, from the same starts each time, and returns how often it succeeded."""

MAX_DECAY = 0.9999
"""Upper bound of the decay of the average of weights."""
HELD_OUT_DRAWS = 4
"""Noise draws per held-out window: the loss at one random step is noisy."""
HELD_OUT_AT_ONCE = 1024
"""Held-out windows in one pass."""


class ImitationConfig(DescentConfig):
    """Settings of `train_policy`.

    Args:
        ema_power: how fast the decay of the average of weights grows, see `Ema`.
        held_out: share of the episodes, chosen by the seed, that is only evaluated on.
        checkpoints: how often, at equal distances and at last after the last step, the averaged
            weights are evaluated. One of them is chosen, see `train_policy`.
        augmentation: of camera images.
        image_variants: so many changed versions of each frame go through the frozen backbone
            before the training, and none while it goes on. 0 changes the frames of each batch
            anew and passes them all the way, which a backbone that is trained needs.
    """

    ema_power: float = Field(default=0.75, gt=0)
    held_out: float = Field(default=0.1, ge=0, lt=1)
    checkpoints: int = Field(default=1, ge=1)
    augmentation: AugmentationConfig = AugmentationConfig()
    image_variants: int = Field(default=8, ge=0)

    @model_validator(mode="after")
    def _check_checkpoints(self) -> Self:
        if self.checkpoints > self.steps:
            raise ConfigError(
                f"checkpoints: got {self.checkpoints}, expected at most steps ({self.steps})"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How the averaged weights did after some steps.

    Args:
        step: steps done.
        train_loss: a running mean.
        held_out_loss: None if nothing is held out.
        successes: as the judge counted them; None without a judge.
    """

    step: int
    train_loss: float
    held_out_loss: float | None
    successes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitation:
    """What came out of `train_policy`.

    Args:
        chosen: the checkpoint whose weights the policy ended up with.
        checkpoints: all of them, in order.
    """

    chosen: Checkpoint
    checkpoints: tuple[Checkpoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the chosen checkpoint's numbers, and all checkpoints, as JSON values."""
        return {**asdict(self.chosen), "checkpoints": [asdict(c) for c in self.checkpoints]}


def train_policy(
    policy: ChunkPolicy,
    data: ChunkData,
    config: ImitationConfig,
    seed: int,
    on_progress: Progress | None = None,
    judge: Judge | None = None,
) -> Imitation:
    """Fit the policy to the data; the averaged weights of the chosen checkpoint end up in it.

    With a judge, the checkpoint with most successes is chosen; of equal ones that with the lower
    held-out loss, then the later. Without one it is the last, whatever the held-out losses:
    imitation losses go on rising long after success has stopped to, so they can warn but not
    choose (Mandlekar et al. 2021, arXiv 2108.03298).

    Deterministic under a seed on one machine and thread count.

    Args:
        policy: trained in place, from the weights it has.
        data: windows of the policy's horizon, with images if it sees them.
        config: settings.
        seed: of what is held out, batches, noise, dropout and changes of images.
        on_progress: called every 100 steps and after the last, with `train_loss` and, once there
            is one, the newest checkpoint's `held_out_loss`.
        judge: called at each checkpoint.

    Raises:
        ContractError: if the data does not fit the policy, or a loss is not finite.
        ConfigError: if the policy's sampler cannot learn from demonstrations.
    """
    check_fit(policy, data)
    batches, held_out = _split(policy, data, config, seed)
    model = policy.trainable_model()
    descent = Descent("imitation", model, config, ema_power=config.ema_power, ema_decay=MAX_DECAY)
    stops = {config.steps * i // config.checkpoints for i in range(1, config.checkpoints + 1)}
    checkpoints: list[Checkpoint] = []
    weights: dict[str, Tensor] = {}
    # The seed of all that draws without a generator of its own, such as dropout.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        for step in range(1, config.steps + 1):
            batch = batches.draw(config.batch_size, generator)
            descent.step(imitation_loss(policy.sampler, model, batch, generator))
            if step in stops:
                policy.load_weights(descent.averaged())
                checkpoints.append(_evaluate(policy, descent, held_out, seed, judge))
                if best(checkpoints) == checkpoints[-1]:
                    weights = {n: t.clone() for n, t in policy.model.state_dict().items()}
            descent.report(on_progress)
    policy.load_weights(weights)
    return Imitation(chosen=best(checkpoints), checkpoints=tuple(checkpoints))


def imitation_loss(
    sampler: Sampler, model: ChunkModel, batch: ChunkBatch, generator: torch.Generator
) -> Tensor:
    """Return the sampler's mean error over valid actions."""
    features = model.encoder(batch.observation, batch.images)
    errors = sampler.errors(model.network, batch.action, features, generator)
    return masked_mean(errors, batch.valid)


def best(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Return the checkpoint to choose, see `train_policy`."""

    def rank(checkpoint: Checkpoint) -> tuple[int, float, int]:
        if checkpoint.successes is None:
            return (0, 0.0, checkpoint.step)
        return (checkpoint.successes, -(checkpoint.held_out_loss or 0.0), checkpoint.step)

    return max(checkpoints, key=rank)


def _split(
    policy: ChunkPolicy, data: ChunkData, config: ImitationConfig, seed: int
) -> tuple[ChunkBatches, ChunkBatches]:
    """Return what is trained on, with its images changed at random, and what is held out."""
    rows, held_out = split_episodes(data, config.held_out, seed)
    augmentation = config.augmentation.build(seed)
    frames = frame_source(
        policy, data, rows, augmentation=augmentation, variants=config.image_variants, seed=seed
    )
    unchanged = frame_source(policy, data, held_out, variants=min(config.image_variants, 1))
    return ChunkBatches(data, rows, frames), ChunkBatches(data, held_out, unchanged)


def _evaluate(
    policy: ChunkPolicy,
    descent: Descent,
    held_out: ChunkBatches,
    seed: int,
    judge: Judge | None,
) -> Checkpoint:
    if len(held_out):
        descent.metrics["held_out_loss"] = _held_out_loss(policy, held_out, seed)
    return Checkpoint(
        step=descent.step_count,
        train_loss=descent.metrics["train_loss"],
        held_out_loss=descent.metrics.get("held_out_loss"),
        successes=judge(policy) if judge else None,
    )


@torch.no_grad()
def _held_out_loss(policy: ChunkPolicy, held_out: ChunkBatches, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    counts: list[int] = []
    for batch in held_out.parts(HELD_OUT_AT_ONCE):
        for _ in range(HELD_OUT_DRAWS):
            losses.append(imitation_loss(policy.sampler, policy.model, batch, generator).item())
            counts.append(int(batch.valid.sum()))
    total = sum(loss * count for loss, count in zip(losses, counts, strict=True))
    return total / sum(counts)
