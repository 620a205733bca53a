"""What a foreign policy looks at, made of what a cell observes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robot_rl.core.errors import ConfigError, did_you_mean
from robot_rl.core.spec import ObservationSpec, TaskSpec
from robot_rl.core.types import Image, Observation, Vector
from robot_rl.policies.adapters.mapping import ImageInput, MappingConfig, VectorInput, Wanted
from robot_rl.policies.adapters.resize import resize

Window = Sequence[Observation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A batch of b windows of t observations, by the policy's keys.

    Args:
        images: uint8[b, t, height, width, 3].
        vectors: float32[b, t, d].
        instructions: one of each window's newest observation.
    """

    images: Mapping[str, Image]
    vectors: Mapping[str, Vector]
    instructions: tuple[str, ...]


class CellInput:
    """Renames, picks and resizes; checked against the cell when it is built.

    Args:
        mapping: what differs in name or shape.
        task: what the cell gives.
        wanted: what the policy says that it looks at; None if it does not say, then it is given
            what the mapping names and nothing else.

    Raises:
        ConfigError: listing everything that does not fit, and what both sides have.
    """

    def __init__(self, mapping: MappingConfig, task: TaskSpec, wanted: Wanted | None) -> None:
        self._fixed = mapping.instruction.text
        self._default = task.instruction
        self._images, self._vectors = _resolve(mapping, wanted)
        cell = task.observation
        problems = [
            *_unknown(mapping, wanted),
            *(p for key, image in self._images.items() for p in _image(key, image, cell, wanted)),
            *(p for key, v in self._vectors.items() for p in _vector(key, v, cell, wanted)),
        ]
        if problems:
            raise ConfigError(_refusal(task, wanted, problems))
        self.observation = ObservationSpec(
            vectors={
                key: spec
                for key, spec in cell.vectors.items()
                if any(key in vector.sources for vector in self._vectors.values())
            },
            images={
                key: spec
                for key, spec in cell.images.items()
                if any(key == image.camera for image in self._images.values())
            },
        )

    def gather(self, windows: Sequence[Window]) -> Inputs:
        """Return what the policy is to see of the windows, all of one length."""
        return Inputs(
            images={
                key: np.stack([[self._see(image, o) for o in window] for window in windows])
                for key, image in self._images.items()
            },
            vectors={
                key: np.stack([[_pick(vector, o) for o in window] for window in windows])
                for key, vector in self._vectors.items()
            },
            instructions=tuple(self._instruction(window[-1]) for window in windows),
        )

    def _see(self, image: ImageInput, observation: Observation) -> Image:
        seen = observation.images[image.camera]
        height, width = image.height or seen.shape[0], image.width or seen.shape[1]
        return resize(seen, height, width, image.resize)

    def _instruction(self, observation: Observation) -> str:
        return self._fixed or observation.instruction or self._default


def _resolve(
    mapping: MappingConfig, wanted: Wanted | None
) -> tuple[dict[str, ImageInput], dict[str, VectorInput]]:
    """The mapping with everything in it that goes without saying."""
    images = {key: image for key, image in mapping.images.items() if image is not None}
    vectors = dict(mapping.vectors)
    if wanted is None:
        return images, vectors
    for key in wanted.images:
        if key not in mapping.images:
            images[key] = ImageInput(camera=key)
    for key in wanted.vectors:
        vectors.setdefault(key, VectorInput(sources=(key,)))
    sized = {
        key: image.model_copy(
            update={
                "height": image.height or wanted.images[key][0],
                "width": image.width or wanted.images[key][1],
            }
        )
        if key in wanted.images
        else image
        for key, image in images.items()
    }
    return sized, vectors


def _unknown(mapping: MappingConfig, wanted: Wanted | None) -> list[str]:
    """What the mapping names and the policy does not, and what the policy cannot do without."""
    if wanted is None:
        absent = [key for key, image in mapping.images.items() if image is None]
        return [f"image {key!r}: null says nothing to this policy; leave it out" for key in absent]
    blind = wanted.images and all(mapping.images.get(key, key) is None for key in wanted.images)
    return [
        *(["images: all are null, but the policy cannot do without any"] if blind else []),
        *(
            f"image {key!r}: the policy does not look at it{did_you_mean(key, wanted.images)}"
            for key in mapping.images
            if key not in wanted.images
        ),
        *(
            f"vector {key!r}: the policy does not look at it{did_you_mean(key, wanted.vectors)}"
            for key in mapping.vectors
            if key not in wanted.vectors
        ),
        *(
            f"image {key!r}: got null, but the policy cannot do without it; name a camera"
            for key, image in mapping.images.items()
            if image is None and key in wanted.images and key not in wanted.optional
        ),
    ]


def _image(key: str, image: ImageInput, cell: ObservationSpec, wanted: Wanted | None) -> list[str]:
    spec = cell.images.get(image.camera)
    if spec is None:
        near = did_you_mean(image.camera, cell.images) or "; it has no cameras"
        return [f"image {key!r}: the cell has no image {image.camera!r}{near}"]
    got = (image.height or spec.height, image.width or spec.width)
    if wanted is not None and got != wanted.images.get(key, got):
        return [f"image {key!r}: got {got}, expected {wanted.images[key]} (height, width)"]
    if image.resize == "exact" and got != (spec.height, spec.width):
        return [
            f"image {key!r}: {image.camera} is {spec.height} x {spec.width}, expected "
            f"{got[0]} x {got[1]} (height x width); set resize to pad or stretch, whichever the "
            "policy was trained with"
        ]
    return []


def _vector(
    key: str, vector: VectorInput, cell: ObservationSpec, wanted: Wanted | None
) -> list[str]:
    missing = [source for source in vector.sources if source not in cell.vectors]
    if missing:
        return [
            f"vector {key!r}: the cell has no vector {source!r}"
            + did_you_mean(source, cell.vectors)
            for source in missing
        ]
    size = sum(cell.vectors[source].size for source in vector.sources)
    outside = [column for column in vector.columns if not 0 <= column < size]
    if outside:
        return [f"vector {key!r}: columns {outside} are not among the {size} of its sources"]
    got = len(vector.columns) or size
    if wanted is not None and got != wanted.vectors.get(key, got):
        return [
            f"vector {key!r}: got {got} elements of {' + '.join(vector.sources)}, expected "
            f"{wanted.vectors[key]}; set its sources and columns"
        ]
    return []


def _pick(vector: VectorInput, observation: Observation) -> Vector:
    values = np.concatenate([observation.vectors[source] for source in vector.sources])
    return values[list(vector.columns)] if vector.columns else values


def _refusal(task: TaskSpec, wanted: Wanted | None, problems: Sequence[str]) -> str:
    cell = task.observation
    gives = _listing(
        {key: (spec.height, spec.width) for key, spec in cell.images.items()},
        {key: spec.size for key, spec in cell.vectors.items()},
    )
    wants = "does not say" if wanted is None else _listing(wanted.images, wanted.vectors)
    lines = "".join(f"\n- {problem}" for problem in problems)
    return (
        f"the policy and the task {task.name} do not fit together; change `mapping`:{lines}\n"
        f"The policy wants: {wants}.\nThe cell gives: {gives}."
    )


def _listing(images: Mapping[str, tuple[int, int]], vectors: Mapping[str, int]) -> str:
    parts = [f"{key} uint8[{h}, {w}, 3]" for key, (h, w) in images.items()]
    parts += [f"{key} float32[{size}]" for key, size in vectors.items()]
    return ", ".join(parts) or "nothing"
