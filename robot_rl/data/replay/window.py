"""What a sampler draws from one buffer: n-step windows in numpy. Torch begins at `batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.types import Image, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """b windows of up to n steps. The fields are those of `Batch`, in numpy."""

    observation: Vector
    next_observation: Vector
    images: dict[str, Image]
    next_images: dict[str, Image]
    action: Vector
    base_action: Vector
    next_base_action: Vector
    proposed_action: Vector
    reward: Vector
    discount: Vector
    human: NDArray[np.bool_]
    offline: NDArray[np.bool_]

    @classmethod
    def concatenate(cls, parts: Sequence[Window]) -> Window:
        """Put windows of several buffers one after the other."""
        if len(parts) == 1:
            return parts[0]
        joined: dict[str, Any] = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name not in IMAGE_FIELDS
        }
        for name in IMAGE_FIELDS:
            images: list[dict[str, Image]] = [getattr(part, name) for part in parts]
            joined[name] = {key: np.concatenate([i[key] for i in images]) for key in images[0]}
        return cls(**joined)


IMAGE_FIELDS = ("images", "next_images")
"""Fields that are one array per camera."""
