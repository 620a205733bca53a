"""How many full updates a learner makes in a second, beside the learners that people use today.

Usage: .venv/bin/python scripts/bench/learner.py [--quick] [--json FILE]

A full update is sampling, augmentation, one step of the critics, of the actor and of the
temperature, and of the targets; batches of 256, networks of equal sizes, CPU time of one thread.
On images: two cameras of 128 x 128 through a frozen ResNet-10 (random weights: they cost the same)
and HIL-SERL's spatial embedding. Contenders take turns, so that what else runs slows all alike.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import tyro
from hand_fused import HandFused
from replay_data import CAMERAS, STATE, Shape, transitions
from report import Claim, Row, at_least, at_most, measured, publish, skipped
from sac_peers import INSTALL, LerobotSac, SacPeer, Sb3Sac, Seen, Sizes, peer_step
from timing import seconds

from robot_rl.core.spec import ActionSpec, ObservationSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.data.replay.augmentation import AugmentationConfig
from robot_rl.data.replay.feature_cache import FeatureCacheConfig
from robot_rl.data.replay.replay_buffer import ReplayBuffer
from robot_rl.data.replay.sampling import Sampler
from robot_rl.learning.rlpd import Rlpd, RlpdConfig
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig
from robot_rl.networks.vision.head import SpatialEmbeddingConfig

OURS = "robot_rl RLPD"
CACHED, PIXELS = f"{OURS}, features kept", f"{OURS}, pixels"
LEROBOT, SB3, FUSED = "lerobot SAC", "stable-baselines3 SAC", "hand-fused loop"

Update = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure.

    Args:
        rounds: of all contenders in turn.
        slow_rounds: of those that take seconds for an update.
        calls: updates of one contender in a round.
        steps: in each buffer.
    """

    rounds: int
    slow_rounds: int
    calls: int
    steps: int


FULL = Effort(rounds=15, slow_rounds=3, calls=10, steps=1000)
QUICK = Effort(rounds=4, slow_rounds=1, calls=4, steps=300)
SIZES = Sizes(state=20, action=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Measure learners side by side."""

    quick: bool = False
    """Fewer rounds: less than two minutes on two cores."""

    json: Path | None = None
    """Where rows and claims go."""


def main() -> None:
    """Measure, print, write."""
    arguments = tyro.cli(Arguments, description=__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    effort = QUICK if arguments.quick else FULL
    rows: list[Row] = []
    claims: list[Claim] = []
    for findings in (on_state(effort), on_images(effort)):
        rows += findings[0]
        claims += findings[1]
    publish(
        "full updates per second, batch 256, CPU time of one thread", rows, claims, arguments.json
    )


def on_state(effort: Effort) -> tuple[list[Row], list[Claim]]:
    """Ten critics beside lerobot and the loop by hand, two beside SB3."""
    rows: list[Row] = []
    two = replace(SIZES, heads=2)
    contenders: dict[str, Update] = {
        f"state, 10 critics: {OURS}": ours(SIZES, effort.steps),
        f"state, 10 critics: {FUSED}": fused(SIZES, effort.steps),
        f"state, 2 critics: {OURS}": ours(two, effort.steps),
    }
    peers = ((f"state, 10 critics: {LEROBOT}", "lerobot", LerobotSac, SIZES),)
    peers += ((f"state, 2 critics: {SB3}", "stable_baselines3", Sb3Sac, two),)
    for name, package, make, sizes in peers:
        if importlib.util.find_spec(package):
            contenders[name] = filled(make(sizes), sizes, effort.steps)
        else:
            rows.append(skipped(name, INSTALL))
    spent = in_rounds(contenders, effort.rounds, effort.calls)
    rows = [*(_rate(name, taken) for name, taken in spent.items()), *rows]
    ten = f"state, 10 critics: {OURS}"
    claims = [_cost(f"{ten}, time to that of the {FUSED}", spent, ten, FUSED, 1.3)]
    for mine, peer, target in ((ten, LEROBOT, 2.5), (f"state, 2 critics: {OURS}", SB3, 1.0)):
        if any(peer in name for name in spent):
            claims.append(_gain(f"{mine} against {peer}", spent, mine, peer, target))
    return rows, claims


def on_images(effort: Effort) -> tuple[list[Row], list[Claim]]:
    """Through kept features and through pixels, beside lerobot."""
    sizes = replace(SIZES, heads=2, cameras=CAMERAS, capacity=effort.steps)
    missing = [m for m in ("torchvision", "transformers") if not importlib.util.find_spec(m)]
    if missing:
        return [skipped("images", INSTALL)], []
    steps = min(effort.steps, 300)
    quick = {f"images: {CACHED}": ours(sizes, steps, kept=True)}
    slow = {f"images: {PIXELS}": ours(sizes, steps)}
    rows: list[Row] = []
    if importlib.util.find_spec("lerobot"):
        slow[f"images: {LEROBOT}"] = filled(LerobotSac(sizes), sizes, steps)
    else:
        rows.append(skipped(f"images: {LEROBOT}", INSTALL))
    spent = in_rounds(quick, effort.rounds, effort.calls)
    spent |= in_rounds(slow, effort.slow_rounds, 1)
    rows = [*(_rate(name, taken) for name, taken in spent.items()), *rows]
    claims: list[Claim] = []
    for mine, target in ((CACHED, 100.0), (PIXELS, 3.0)):
        if any(LEROBOT in name for name in spent):
            name = f"images: {mine}"
            claims.append(_gain(f"{name} against {LEROBOT}", spent, name, LEROBOT, target))
    return rows, claims


def in_rounds(contenders: Mapping[str, Update], rounds: int, calls: int) -> dict[str, list[float]]:
    """Return the durations of one update [s] by name; a first update does not count."""
    for update in contenders.values():
        update()
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, update in contenders.items():
            spent[name].append(seconds(update, calls))
    return spent


def ours(sizes: Sizes, steps: int, *, kept: bool = False) -> Update:
    """Our learner with full buffers; images through kept features, or shifted at each sampling."""
    learner = _learner(sizes)
    sampler = _sampler(sizes, learner, steps, kept=kept)
    return lambda: learner.update([sampler.sample()])


def fused(sizes: Sizes, steps: int) -> Update:
    """The loop by hand on our batches."""
    sampler = _sampler(sizes, _learner(sizes), steps, kept=False)
    loop = HandFused(sizes)
    return lambda: loop.update(sampler.sample())


def filled(peer: SacPeer, sizes: Sizes, steps: int) -> Update:
    """A peer's learner with full buffers."""
    for i, step in enumerate(islice(transitions(_shape(sizes)), steps)):
        peer.add(peer_step(step, seen, demonstration=i % 2 == 0))
    return peer.update


def seen(observation: Observation) -> Seen:
    """An observation as peers take it."""
    return Seen(state=observation.vectors[STATE], images=observation.images)


def _learner(sizes: Sizes) -> Rlpd:
    observation = _observation(sizes)
    n = observation.packed_size
    base = SimpleNamespace(
        observation=observation,
        action=ActionSpec(
            kind="joint_delta",
            names=tuple(f"a{i}" for i in range(sizes.action)),
            scale=(0.1,) * sizes.action,
            period_s=0.1,
        ),
        normaliser=Normaliser(offset=np.zeros(n, "f4"), scale=np.ones(n, "f4")),
    )
    vision = VisionConfig(
        backbone=TorchvisionBackboneConfig(architecture="resnet10", stride=32, weights="random"),
        head=SpatialEmbeddingConfig(embeddings=8, size=256),
        state_size=256,
    )
    config = RlpdConfig(
        vision=vision if sizes.cameras else None, hidden=sizes.hidden, heads=sizes.heads
    )
    return config.build(base, 0)


def _sampler(sizes: Sizes, learner: Rlpd, steps: int, *, kept: bool) -> Sampler:
    shape = _shape(sizes)
    spec = _observation(sizes)
    encoder = learner.frame_encoder if kept else None
    cache = FeatureCacheConfig().build(encoder, 0) if encoder else None
    buffers = [
        ReplayBuffer(steps, spec, sizes.action, offline=offline, features=cache)
        for offline in (False, True)
    ]
    for buffer in buffers:
        for step in islice(transitions(shape), steps // 2):
            buffer.add(step)
    return Sampler(
        buffers,
        [0.5, 0.5],
        batch_size=sizes.batch,
        n_step=1,
        gamma=sizes.gamma,
        seed=0,
        augmentation=AugmentationConfig().build(0) if sizes.cameras and not kept else None,
    )


def _shape(sizes: Sizes) -> Shape:
    return Shape(state=sizes.state, action=sizes.action, batch=sizes.batch, side=sizes.pixels)


def _observation(sizes: Sizes) -> ObservationSpec:
    observation = _shape(sizes).observation
    return observation if sizes.cameras else replace(observation, images={})


def _rate(name: str, spent_s: list[float]) -> Row:
    return measured(name, "updates/s", 1.0 / np.asarray(spent_s))


def _gain(
    name: str, spent: Mapping[str, list[float]], mine: str, peer: str, target: float
) -> Claim:
    """How many times as fast ours is."""
    return at_least(name, _median(spent, peer, mine) / _median(spent, mine, mine), "x", target)


def _cost(
    name: str, spent: Mapping[str, list[float]], mine: str, peer: str, target: float
) -> Claim:
    """How many times as long ours takes."""
    return at_most(name, _median(spent, mine, mine) / _median(spent, peer, mine), "x", target)


def _median(spent: Mapping[str, list[float]], contender: str, mine: str) -> float:
    """Median duration of a contender in the group that `mine` is in."""
    group = mine.split(":")[0]
    (name,) = [n for n in spent if n.startswith(group) and n.endswith(contender.split(": ")[-1])]
    return float(np.median(spent[name]))


if __name__ == "__main__":
    main()
