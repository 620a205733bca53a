"""From packed observations to features. Fitting the normaliser belongs to `robot_rl.data`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robot_rl.data.normaliser import Normaliser

FEATURE_LIMIT = 5.0
"""Normalised features are clipped to this, so that one outlier cannot blow up a network."""


class StateEncoder(nn.Module):
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

    def forward(self, packed: Tensor) -> Tensor:
        """Map a packed observation float32[b, n] to features float32[b, m] in [-5, 5]."""
        features = (packed.index_select(-1, self.columns) - self.offset) / self.scale
        return features.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)


class NumpyEncoder:
    """The forward pass of a `StateEncoder` without torch's overhead per call."""

    def __init__(self, encoder: StateEncoder) -> None:
        self._columns = encoder.columns.numpy().copy()
        self._offset = encoder.offset.numpy().copy()
        self._scale = encoder.scale.numpy().copy()

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map a packed observation float32[n] to features float32[m] in [-5, 5]."""
        features = (packed[self._columns] - self._offset) / self._scale
        return np.minimum(np.maximum(features, -FEATURE_LIMIT), FEATURE_LIMIT)
