"""How batches are drawn from replay buffers: shares, n-step windows, and the one RNG for both."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.data.replay.array_pool import ArrayPool
from robot_rl.data.replay.augmentation import Augmentation
from robot_rl.data.replay.batch import Batch
from robot_rl.data.replay.feature_cache import FeatureCache
from robot_rl.data.replay.gathering import FIELDS, FeatureGather, ImageGather, PlainGather
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.window import Starts, Window, WindowRule


class Sampler:
    """Draws batches with exact shares, uniformly and with replacement within each buffer.

    Deterministic: equal seeds (or states) over buffers of equal `state` give the same batches,
    bit by bit. Half from demonstrations, half from the run's own data is the symmetric sampling
    of RLPD (Ball et al. 2023, arXiv 2302.02948, section 4.1).

    Args:
        buffers: where from; rows of a batch are in their order.
        shares: of the batch, positive, one per buffer, sum 1. An empty buffer's share goes to
            the others in proportion to theirs.
        batch_size, n_step: at least 1.
        gamma: discount per step, in (0, 1].
        seed: of the random numbers.
        augmentation: changes the images of each batch and makes floats of them; None leaves them
            as they were recorded. Its random numbers are its own and part of `state_dict`. Not
            for buffers with features: of these each row draws a variant, and each next observation
            another, with random numbers of their own.
        device: where batches go.
        starts: `plans` moves a drawn step back to the one of the same buffer at which its plan
            began, and ends windows with their plan, see `plans`. Steps of a plan whose beginning
            has left the buffer are not drawn.
        actions: whether batches have the actions of all steps of their windows.

    Raises:
        ConfigError: if a number is out of its range, features are to be augmented, or plans are
            asked of a buffer without latents.
        ContractError: if the buffers hold different observations, actions, latents or features.
    """

    def __init__(
        self,
        buffers: Sequence[ReplayBuffer],
        shares: Sequence[float],
        batch_size: int,
        n_step: int,
        gamma: float,
        seed: int,
        *,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
        starts: Starts = "steps",
        actions: bool = False,
    ) -> None:
        self._rule = WindowRule(n_step=n_step, gamma=gamma, starts=starts, actions=actions)
        _check(buffers, shares, batch_size, self._rule)
        self._buffers = tuple(buffers)
        self._shares = np.asarray(shares, np.float64)
        self._batch_size = batch_size
        self._counts: dict[tuple[bool, ...], list[int]] = {}
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._cameras = buffers[0].observation.images
        self._augmentation = augmentation
        self._device = torch.device(device)
        self._features = buffers[0].features
        self._variant_rng = np.random.Generator(np.random.PCG64([seed, 1]))
        self._pool = ArrayPool()
        if augmentation is not None:
            _check_pixels(self._features)
            augmentation.check(self._cameras)

    def sample(self) -> Batch:
        """Return `batch_size` windows.

        Raises:
            ContractError: if all buffers are empty.
        """
        counts, on_cpu = self.counts(), self._device.type == "cpu"
        augmentation = self._augmentation
        if self._features is not None:
            images = self._feature_gather(self._features)
        elif augmentation is not None and on_cpu:
            images = augmentation.gather(self._batch_size, self._cameras, torch.get_num_threads())
        else:
            images = PlainGather(self._batch_size, self._cameras, self._pool)
        ends = np.cumsum(counts).tolist()
        parts = [
            self._draw(buffer, images, end - count, end)
            for buffer, count, end in zip(self._buffers, counts, ends, strict=True)
            if count
        ]
        batch = Batch.from_window(Window.concatenate(parts, images)).to(self._device)
        # Bytes travel to a device four times as fast as floats, so it makes its floats itself.
        return batch if augmentation is None or on_cpu else batch.augmented(augmentation)

    def counts(self) -> list[int]:
        """Return how many rows of the next batch come from each buffer.

        Largest remainder; a tie goes to the buffer that is named first.

        Raises:
            ContractError: if all buffers are empty.
        """
        # Not their lengths: a buffer that is being added to may be between two steps.
        filled = tuple(buffer.has_been_filled for buffer in self._buffers)
        if filled not in self._counts:
            self._counts[filled] = self._counts_where(filled)
        return self._counts[filled]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all random numbers, JSON values."""
        state: dict[str, Any] = {"rng": dict(self._rng.bit_generator.state)}
        if self._augmentation is not None:
            state["augmentation"] = self._augmentation.state_dict()
        if self._features is not None:
            state["variants"] = dict(self._variant_rng.bit_generator.state)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ConfigError: if one of the two has an augmentation or features, and the other has not.
        """
        for key, what, now in (
            ("augmentation", "an augmentation", self._augmentation is not None),
            ("variants", "features", self._features is not None),
        ):
            if (key in state) != now:
                words = ("without", "with") if now else ("with", "without")
                raise ConfigError(
                    f"sampler: the state is of a run {words[0]} {what}, this one is {words[1]}; "
                    "resume with the settings that the run began with"
                )
        self._rng.bit_generator.state = dict(state["rng"])
        if self._augmentation is not None:
            self._augmentation.load_state_dict(state["augmentation"])
        if self._features is not None:
            self._variant_rng.bit_generator.state = dict(state["variants"])

    def _feature_gather(self, features: FeatureCache) -> FeatureGather:
        drawn = self._variant_rng.integers(0, features.variants, (len(FIELDS), self._batch_size))
        variants = dict(zip(FIELDS, drawn, strict=True))
        return FeatureGather(variants, features.encoder.shapes, self._pool)

    def _counts_where(self, filled: tuple[bool, ...]) -> list[int]:
        if not any(filled):
            raise ContractError("nothing to sample: every buffer is empty; add episodes first")
        shares = np.where(filled, self._shares, 0.0)
        # Rounded so that 0.1 + 0.2 arithmetic cannot turn a whole quota into floor(n - 1e-16).
        quotas = (self._batch_size * shares / shares.sum()).round(9)
        counts = np.floor(quotas).astype(np.int64)
        by_remainder = np.argsort(counts - quotas, kind="stable")
        counts[by_remainder[: self._batch_size - counts.sum()]] += 1
        return counts.tolist()

    def _draw(self, buffer: ReplayBuffer, images: ImageGather, row: int, end: int) -> Window:
        """Draw the rows from `row` to `end` of a batch.

        Steps that another thread retired or forgot while they were read are drawn anew, one by
        one: the rows then are what is left of them, uniform over what is in the buffer then.
        """
        steps = self._starts(buffer, end - row)
        window = buffer.read(steps, self._rule, images, slice(row, end))
        while len(torn := np.flatnonzero(~buffer.alive(steps))):
            steps[torn] = self._starts(buffer, len(torn))
            again = buffer.read(steps[torn], self._rule, images, row + torn)
            window.put(torn, again)
        return window

    def _starts(self, buffer: ReplayBuffer, count: int) -> NDArray[np.int64]:
        steps = self._steps(buffer, count)
        if self._rule.starts == "steps":
            return steps
        steps = buffer.plan_starts(steps)
        while len(gone := np.flatnonzero(~buffer.alive(steps))):
            steps[gone] = buffer.plan_starts(self._steps(buffer, len(gone)))
        return steps

    def _steps(self, buffer: ReplayBuffer, count: int) -> NDArray[np.int64]:
        while True:
            (first, end), kept = buffer.span, buffer.drawable()
            number = end - first if kept is None else len(kept)
            if number:
                break
            # A buffer of very few steps retires all of them to make room for one.
            time.sleep(0)
        drawn = self._rng.integers(0, number, count)
        return first + drawn if kept is None else kept[drawn]


def _check(
    buffers: Sequence[ReplayBuffer],
    shares: Sequence[float],
    batch_size: int,
    rule: WindowRule,
) -> None:
    if len(shares) != len(buffers) or not buffers:
        raise ConfigError(f"sampler: got {len(shares)} shares for {len(buffers)} buffers")
    if not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"sampler: shares are {list(shares)}, expected positive with sum 1")
    if batch_size < 1 or rule.n_step < 1 or not 0 < rule.gamma <= 1:
        raise ConfigError(
            f"sampler: got batch_size {batch_size}, n_step {rule.n_step}, gamma {rule.gamma}; "
            "expected >= 1, >= 1 and in (0, 1]"
        )
    if rule.starts == "plans" and not all(b.latent_size for b in buffers):
        raise ConfigError(
            "sampler: got starts 'plans', but plans are told apart by their latents and a buffer "
            "keeps none; give the buffers a latent_size"
        )
    layouts = {
        (tuple(b.observation.vectors.items()), b.action_dim, b.latent_size) for b in buffers
    }
    images = {tuple(b.observation.images.items()) for b in buffers}
    features = {b.features.layout if b.features else None for b in buffers}
    if len(layouts) > 1 or len(images) > 1 or len(features) > 1:
        raise ContractError(
            "sampler: the buffers hold different observations, actions, latents or features"
        )


def _check_pixels(features: FeatureCache | None) -> None:
    if features is not None:
        raise ConfigError(
            "sampler: got an augmentation, which changes pixels, and buffers that give features; "
            "these were shifted before they were encoded, see `FeatureCache.pad`: leave out the "
            "augmentation, or the features"
        )
