"""What a learner must be able to do to take part. Structural: nothing inherits from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from torch import Tensor

from robot_rl.config.model import Buildable
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.batch import Batch
from robot_rl.data.replay.feature_cache import FrameEncoder
from robot_rl.data.replay.window import Starts


class Foundation(Protocol):
    """What a learner's config builds upon: a base policy, of which most need no more than this."""

    observation: ObservationSpec
    action: ActionSpec
    normaliser: Normaliser


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingNeeds:
    """What a learner must be given to learn from, beyond what the schedule says.

    Args:
        starts: where windows begin: at any step, or at the first step of a plan, see `Sampler`.
        n_step: steps of a window at most; None leaves it to the schedule.
        latent_size: length of the noise that plans are steered with; 0 for none.
        actions: whether it looks at `Batch.actions`, which take time to gather.
        images: whether it looks at `Batch.images`; if not, none are kept.
        demonstrations: whether it learns from what people did apart from the rest; if not, the
            offline buffer stays empty: no demonstrations, and corrections only as online steps.
        device: where it computes; batches are made there.
    """

    starts: Starts = "steps"
    n_step: int | None = None
    latent_size: int = 0
    actions: bool = False
    images: bool = False
    demonstrations: bool = True
    device: str = "cpu"


SKIPPED = "skipped_in_a_row"
"""The metric by which a learner tells that it diverges, see `Learner.update`."""


class Vision(Protocol):
    """A component that adds the cameras to an encoder, see `robot_rl.networks.encoder`."""

    def frame_encoder(self, images: Mapping[str, ImageSpec]) -> FrameEncoder:
        """Return its frozen part.

        Raises:
            ConfigError: if it trains its backbone.
        """
        ...


def frozen_part(vision: Buildable | None, images: Mapping[str, ImageSpec]) -> FrameEncoder | None:
    """Return `Learner.frame_encoder` of a learner with this vision component."""
    return cast(Vision, vision).frame_encoder(images) if vision else None


class Learner(Protocol):
    """Improves the weights of an `OnlinePolicy` from batches."""

    needs: SamplingNeeds
    """What its batches must hold."""

    @property
    def frame_encoder(self) -> FrameEncoder | None:
        """The frozen part of its vision; None without vision.

        A replay buffer may keep its features in the place of images.

        Raises:
            ConfigError: if it has vision, but nothing of it is frozen.
        """
        ...

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        """Do one cycle: a critic step per batch, then one actor step on the last batch.

        A step whose loss or gradient is not finite is skipped and counted.

        Args:
            batches: at least one; their number is the update-to-data ratio.
            train_actor: False for critic-only warm-up.

        Returns:
            metrics of the last steps, plain numbers; a metric that is undefined in this cycle
            (such as the TD error on offline rows without such rows) is absent. Always there are
            `skipped_updates`, the steps skipped since the start, and `skipped_in_a_row`, those
            that one of its optimisers has skipped since the last step it made.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """Return a copy, on the CPU, of what the online policy's `load_weights` takes."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy, on the CPU, of networks, targets, optimisers, randomness, counters.

        Flat and tensors only, so that it can be stored without a code-bearing format.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        ...
