"""A finger whose skin is watched from behind by a camera, of any kind that `cameras` has."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import Field

from robot_rl.config.model import ComponentField, Config
from robot_rl.core.types import Image, Observation, Vector
from robot_rl_hardware.cameras.camera import CameraConfig, picture_key
from robot_rl_hardware.package import needed
from robot_rl_hardware.sampler import Inlet, Sampler
from robot_rl_hardware.tactile.skin import Skin


class CameraFingerConfig(Config):
    """A finger with a camera behind its skin.

    Args:
        camera: behind the skin.
        width, height: of the pictures that are looked at and handed on [px].
        frames: pictures that the skin at rest is averaged over.
        still: mean change of a pixel between these, 0 to 1, above which it is not at rest.
    """

    camera: Annotated[CameraConfig, ComponentField()]
    width: int = Field(ge=8, le=256)
    height: int = Field(ge=8, le=256)
    frames: int = Field(default=10, ge=1, le=100)
    still: float = Field(default=0.02, gt=0, le=1)

    def build(self, inlet: Inlet) -> Finger:
        """Return the finger, not yet open.

        Raises:
            DependencyError: naming a package that is missing.
        """
        cv2 = needed("cv2", "opencv-python-headless")
        watched = _Watched(self, inlet, cv2)
        return Finger(self.camera.build(watched), watched)


class Finger:
    """Feels by its camera (implements `core.protocol.Sensor`).

    Its samples have the picture as `observation.images.NAME` and, once the skin has been seen at
    rest, the change since then as `observation.images.NAME_difference`, and `skin.FEELINGS` as
    `observation.tactile.NAME`.

    Args:
        sampler: of the camera; it feeds `watched`.
        watched: what it sees.
    """

    def __init__(self, sampler: Sampler, watched: _Watched) -> None:
        self.sampler = sampler
        self.name = sampler.name
        self._watched = watched

    def __enter__(self) -> Self:
        self.sampler.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sampler.__exit__(kind, error, traceback)

    def latest(self) -> Observation | None:
        """Return the newest sample, or None before the first.

        Raises:
            HardwareError: if the camera is gone.
        """
        return self.sampler.latest()

    def wait_until_ready(self, timeout_s: float) -> Observation:
        """Wait for the first sample and return it.

        Raises:
            HardwareError: if the camera fails, or says nothing in time.
        """
        return self.sampler.wait_until_ready(timeout_s)

    @property
    def rested(self) -> bool:
        """Whether the skin has been seen at rest, so that it feels."""
        return self._watched.rested

    def rest(self) -> None:
        """Take the newest pictures for the skin at rest; nothing may touch it.

        Raises:
            ContractError: if there are too few of them, or the skin moves.
        """
        self._watched.rest()


class _Watched:
    """Implements `Inlet`: turns a camera's pictures into what the finger feels."""

    def __init__(self, config: CameraFingerConfig, inlet: Inlet, cv2: Any) -> None:
        self.name = inlet.name
        self._size = config.width, config.height
        self._inlet = inlet
        self._cv2 = cv2
        self._skin = Skin(cv2, config.frames, config.still)
        self._lock = threading.Lock()

    def latest(self) -> Observation | None:
        return self._inlet.latest()

    def put(
        self,
        sequence: int,
        device_ns: int,
        *,
        vectors: Mapping[str, Vector] | None = None,
        images: Mapping[str, Image] | None = None,
    ) -> object:
        whole = (images or {})[picture_key(self.name)]
        picture = self._cv2.resize(whole, self._size, interpolation=self._cv2.INTER_AREA)
        shown, felt = {picture_key(self.name): picture}, dict(vectors or {})
        with self._lock:
            self._skin.see(picture)
            difference, feelings = self._skin.difference(picture), self._skin.feel(picture)
        if difference is not None and feelings is not None:
            shown[picture_key(f"{self.name}_difference")] = difference
            felt[f"observation.tactile.{self.name}"] = feelings
        return self._inlet.put(sequence, device_ns, vectors=felt, images=shown)

    @property
    def rested(self) -> bool:
        return self._skin.at_rest is not None

    def rest(self) -> None:
        with self._lock:
            self._skin.rest()
