"""What a learner must be able to do to take part. Structural: nothing inherits from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from robot_rl.core.spec import ActionSpec, ObservationSpec
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.batch import Batch


class Foundation(Protocol):
    """What a learner's config builds upon: a base policy, of which most need no more than this."""

    observation: ObservationSpec
    action: ActionSpec
    normaliser: Normaliser


class Learner(Protocol):
    """Improves the weights of an `OnlinePolicy` from batches."""

    def update(self, batches: Sequence[Batch], *, train_actor: bool = True) -> dict[str, float]:
        """Do one cycle: a critic step per batch, then one actor step on the last batch.

        A step whose loss or gradient is not finite is skipped and counted.

        Args:
            batches: at least one; their number is the update-to-data ratio.
            train_actor: False for critic-only warm-up.

        Returns:
            metrics of the last steps, plain numbers; a metric that is undefined in this cycle
            (such as the TD error on offline rows without such rows) is absent.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of what the online policy's `load_weights` takes."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of everything: networks, targets, optimisers, randomness, counters.

        Flat and tensors only, so that it can be stored without a code-bearing format.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up where `state` was taken: the next updates are bit-identical."""
        ...
