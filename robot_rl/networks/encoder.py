"""From packed observations to features. Fitting the normaliser belongs to `robot_rl.data`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robot_rl.config.model import Buildable
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser

NO_IMAGES: Mapping[str, Tensor] = MappingProxyType({})
FEATURE_LIMIT = 5.0
"""Normalised features are clipped to this, so that one outlier cannot blow up a network."""


Look = Callable[[Observation], NDArray[np.float32]]
"""The forward pass for one observation: features float32[m], without gradient."""


class Encoder(nn.Module):
    """What turns observations into features: `(packed, images) -> float32[b, size]`."""

    @property
    def size(self) -> int:
        """Length of the features."""
        raise NotImplementedError

    def look(self, observation: ObservationSpec) -> Look:
        """Return the forward pass with the weights of now, for acting at batch size one."""
        raise NotImplementedError


class StateEncoder(Encoder):
    """Selects columns, normalises and clips them. Has buffers and no parameters.

    Args:
        columns: int64[m], elements of the packed observation, see `ObservationSpec.columns`.
        normaliser: of the whole packed observation.
    """

    columns: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(self, columns: NDArray[np.int64], normaliser: Normaliser) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64))
        for name, column in (("offset", normaliser.offset), ("scale", normaliser.scale)):
            self.register_buffer(name, torch.tensor(column[columns], dtype=torch.float32))

    @property
    def size(self) -> int:
        """Length of the features."""
        return len(self.columns)

    def forward(self, packed: Tensor, images: Mapping[str, Tensor] = NO_IMAGES) -> Tensor:
        """Map a packed observation float32[b, n] to features float32[b, m] in [-5, 5].

        It sees no images; an encoder that does takes its place.
        """
        features = (packed.index_select(-1, self.columns) - self.offset) / self.scale
        return features.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    def look(self, observation: ObservationSpec) -> Look:
        """See `Encoder.look`."""
        return _NumpyLook(self, observation)


def build_encoder(
    observation: ObservationSpec,
    normaliser: Normaliser,
    keys: Sequence[str],
    vision: Buildable | None,
) -> Encoder:
    """Return what turns observations into features.

    Args:
        observation: what is packed, and which cameras there are.
        normaliser: of the packed observation.
        keys: vectors to look at; none for all.
        vision: a component whose `build(state, images)` adds the cameras to a `StateEncoder`;
            None looks at none.
    """
    state = StateEncoder(observation.columns(keys or tuple(observation.vectors)), normaliser)
    return vision.build(state, observation.images) if vision else state


class _NumpyLook:
    """The forward pass of a `StateEncoder` without torch's overhead per call."""

    def __init__(self, encoder: StateEncoder, observation: ObservationSpec) -> None:
        self._observation = observation
        self._columns = encoder.columns.numpy().copy()
        self._offset = encoder.offset.numpy().copy()
        self._scale = encoder.scale.numpy().copy()

    def __call__(self, observation: Observation) -> NDArray[np.float32]:
        packed = self._observation.pack(observation.vectors)
        features = (packed[self._columns] - self._offset) / self._scale
        return np.minimum(np.maximum(features, -FEATURE_LIMIT), FEATURE_LIMIT)
