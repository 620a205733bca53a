"""What a replay buffer keeps of observations, checked: packed vectors and images by camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot_rl.core.episode import Episode
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import ObservationSpec
from robot_rl.core.types import Image, Observation, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """k observations: packed vectors float32[k, n], and uint8[k, h, w, 3] of each camera."""

    packed: Vector
    images: Mapping[str, Image]

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, part: slice) -> Frames:
        images = {key: image[part] for key, image in self.images.items()}
        return Frames(packed=self.packed[part], images=images)

    @classmethod
    def of(cls, observation: Observation, spec: ObservationSpec) -> Frames:
        """Return what `spec` names of one observation.

        Raises:
            ContractError: if shapes, keys or dtypes differ from the spec, or it is not finite.
        """
        given, seen = observation.vectors, observation.images
        vectors = {key: given[key][None] for key in spec.vectors if key in given}
        images = {key: seen[key][None] for key in spec.images if key in seen}
        return cls._checked(vectors, images, spec)

    @classmethod
    def of_episode(cls, episode: Episode, spec: ObservationSpec) -> Frames:
        """Return what `spec` names of the T + 1 observations of an episode.

        Raises:
            ContractError: as `of`.
        """
        given, seen = episode.vectors, episode.images
        vectors = {key: given[key] for key in spec.vectors if key in given}
        images = {key: seen[key] for key in spec.images if key in seen}
        return cls._checked(vectors, images, spec)

    @classmethod
    def _checked(
        cls, vectors: Mapping[str, Vector], images: Mapping[str, Image], spec: ObservationSpec
    ) -> Frames:
        spec.check({k: v[0] for k, v in vectors.items()}, {k: v[0] for k, v in images.items()})
        packed = spec.pack(vectors)
        if not np.isfinite(packed).all():
            bad = [key for key, vector in vectors.items() if not np.isfinite(vector).all()]
            raise ContractError(f"observation is not finite in {', '.join(bad)}")
        return cls(packed=packed, images=images)

    def then(self, later: Frames) -> Frames:
        """Return these frames and then others of the same cameras."""
        images = {k: np.concatenate([image, later.images[k]]) for k, image in self.images.items()}
        return Frames(packed=np.concatenate([self.packed, later.packed]), images=images)
