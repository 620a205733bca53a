"""What the replay benchmark stores: steps of a robot with two cameras, made of noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import GateReason, Image, Observation, Source, Transition, Vector

STATE = "observation.state"
CAMERAS = ("observation.images.front", "observation.images.wrist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of what is stored and drawn."""

    side: int = 128
    state: int = 20
    action: int = 7
    batch: int = 256
    steps: int = 3000
    episode: int = 100

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame of all cameras."""
        return len(CAMERAS) * self.image_bytes

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.side * self.side * 3

    @property
    def observation(self) -> ObservationSpec:
        """The observation's spec."""
        names = tuple(f"q{i}" for i in range(self.state))
        camera = ImageSpec(height=self.side, width=self.side)
        return ObservationSpec(
            vectors={STATE: VectorSpec(names=names, unit="rad")},
            images=dict.fromkeys(CAMERAS, camera),
        )


def transitions(shape: Shape) -> Iterator[Transition]:
    """Yield steps without end; observations repeat after one episode, so they cost no memory."""
    rng = np.random.default_rng(0)
    seen = [_observation(rng, shape) for _ in range(shape.episode + 1)]
    actions: Vector = rng.uniform(-1, 1, (shape.episode + 1, shape.action)).astype(np.float32)
    episode = 0
    while True:
        for step in range(shape.episode):
            yield Transition(
                observation=seen[step],
                next_observation=seen[step + 1],
                action=actions[step],
                base_action=actions[step],
                next_base_action=actions[step + 1],
                proposed_action=actions[step],
                reward=float(step),
                terminated=step == shape.episode - 1,
                truncated=False,
                source=Source.POLICY,
                intervention_start=False,
                gate_reason=GateReason.PASSED,
                inference_s=0.0,
                lateness_s=0.0,
                episode_id=f"episode-{episode}",
                step=step,
                policy_version=0,
            )
        episode += 1


def _observation(rng: np.random.Generator, shape: Shape) -> Observation:
    images: dict[str, Image] = {
        key: rng.integers(0, 256, (shape.side, shape.side, 3), np.uint8) for key in CAMERAS
    }
    state = rng.uniform(-1, 1, shape.state).astype(np.float32)
    return Observation(stamp_ns=0, vectors={STATE: state}, images=images)
