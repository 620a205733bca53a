"""The latency of a plan beside lerobot's DiffusionPolicy with a network of the same sizes.

Called by `serving.py`. Both look at two cameras of 96 x 96 pixels through one ResNet18 with 32
keypoints, and at a state of 7; both denoise 16 actions of 7 in ten DDIM steps with a U-Net of the
same widths (the number of weights stands in the rows; ours keep the skip of each level, lerobot's
drop the finest). Weights are random: they cost the same. Images change with every plan, so that
nothing that is remembered of them helps. Ours are asked through `ChunkBase`, requests and checks
included.

Ratios are of pairs that were measured back to back. On one thread time is CPU time; on all of
them it is the wall's, and says something only of a machine that does nothing else.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import cast

import numpy as np
import torch
from report import Claim, Row, at_most, measured, skipped
from serving_inference_peer import HORIZON, KEYS, PIXELS, SIZE, STEPS, Peer, weights_of

from robot_rl.core.spec import JOINT_POSITION, ActionSpec, ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.int8 import quantise
from robot_rl.networks.lean_unet import LeanUnet
from robot_rl.networks.unet import ConditionalUnet1d, UnetConfig
from robot_rl.networks.vision.backbone import TorchvisionBackboneConfig
from robot_rl.networks.vision.encoder import VisionConfig
from robot_rl.networks.vision.head import KeypointsConfig
from robot_rl.policies.adapters.chunk import ChunkBase
from robot_rl.policies.adapters.inference import InferenceConfig
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.chunk_policy import ChunkPolicy, ChunkPolicyConfig
from robot_rl.policies.sampler.ddim import DdimConfig
from robot_rl.policies.sampler.one_step import OneStepConfig

DEFAULT, SMALLER, NARROW = (512, 1024, 2048), (128, 256, 512), (32, 64)
"""Widths: lerobot's own, a smaller network, and what `UnetConfig` has unless told otherwise."""
_COMPILED = "a step of the denoiser: ours, compiled"
Work = Callable[[], object]
Spent = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: widths of the U-Net, threads, and how often."""

    widths: tuple[int, ...]
    threads: int
    repeats: int

    @property
    def name(self) -> str:
        """For people."""
        widths = ", ".join(map(str, self.widths))
        return f"{widths}; {self.threads} thread{'s' * (self.threads > 1)}"


def measure(quick: bool) -> tuple[list[Row], list[Claim]]:
    """Return rows of milliseconds, and what must hold of the ratios.

    Args:
        quick: few repeats, on one thread alone, and nothing is compiled.
    """
    if find_spec("lerobot") is None:
        return [skipped("plan", "lerobot is not installed: pip install -e '.[lerobot]'")], []
    cores = len(os.sched_getaffinity(0))
    cases = [Case(SMALLER, 1, 7 if quick else 15), Case(DEFAULT, 1, 2 if quick else 7)]
    if cores > 1 and not quick:
        cases += [Case(SMALLER, cores, 15), Case(DEFAULT, cores, 7)]
    rows: list[Row] = []
    claims: list[Claim] = []
    for case in cases:
        with _threads(case.threads):
            more_rows, more_claims = _compare(case)
        rows += more_rows
        claims += more_claims
    with _threads(1):
        narrow = Case(NARROW, 1, 15)
        rows += _parts(Peer(NARROW), _policy(NARROW), narrow)
        rows += [skipped(_COMPILED, "left out of --quick")] if quick else [_compiled(narrow)]
    if not torch.cuda.is_available():
        return [*rows, skipped("plan on a GPU", "torch finds no CUDA device")], claims
    more_rows, more_claims = _on_gpu(Case(DEFAULT, cores, 15))
    return rows + more_rows, claims + more_claims


def _on_gpu(case: Case) -> tuple[list[Row], list[Claim]]:
    """A plan with both denoisers on a GPU, and with lerobot's encoder there too."""
    peer, policy = Peer(case.widths, "cuda"), _policy(case.widths)
    base, requests = ChunkBase(policy, InferenceConfig(device="cuda")), _requests()
    work: dict[str, Work] = {
        "lerobot": lambda: peer.plan(next(requests)).cpu(),
        "ours": partial(_ask, base, requests),
    }
    spent_s = _in_turn(work, case)
    rows = [_row("plan on a GPU", name, case, spent_s) for name in spent_s]
    ratio = _ratio(spent_s, "ours", "lerobot")
    return rows, [at_most("a plan on a GPU to lerobot's, float32, eager", ratio, "x", 0.7)]


def _compare(case: Case) -> tuple[list[Row], list[Claim]]:
    peer, policy = Peer(case.widths), _policy(case.widths)
    student = copy(policy)
    student.sampler = OneStepConfig(step=99.0).build()
    requests = _requests()
    bases = {
        "ours": ChunkBase(policy, InferenceConfig()),
        "ours, int8": ChunkBase(policy, InferenceConfig(int8=True)),
        "ours, one-step student": ChunkBase(student, InferenceConfig()),
    }
    work: dict[str, Work] = {"lerobot": lambda: peer.plan(next(requests))}
    work |= {name: partial(_ask, base, requests) for name, base in bases.items()}
    spent_s = _in_turn(work, case)
    weights = {name: weights_of(policy.model.network) for name in work} | {"lerobot": peer.size}
    rows = [_row("plan", name, case, spent_s, weights=weights[name]) for name in spent_s]
    del bases, work
    return rows + _parts(peer, policy, case), _claims(case, spent_s)


def _claims(case: Case, spent_s: Spent) -> list[Claim]:
    plan = _ratio(spent_s, "ours", "lerobot")
    student = _ratio(spent_s, "ours, one-step student", "lerobot")
    where = f"widths {case.name}"
    return [
        at_most(f"{where}: a plan to lerobot's, float32, eager", plan, "x", 0.7),
        at_most(f"{where}: a one-step student's plan to lerobot's", student, "x", 0.15),
    ]


@torch.inference_mode()
def _parts(peer: Peer, policy: ChunkPolicy, case: Case) -> list[Row]:
    """What the encoder costs once a plan, and the denoiser in each of its ten steps."""
    network, images = (
        cast(ConditionalUnet1d, policy.model.network),
        torch.rand(2, 3, PIXELS, PIXELS),
    )
    sample, step = torch.randn(1, HORIZON, SIZE), torch.tensor([50])
    features, seen = torch.randn(1, policy.model.encoder.size), torch.randn(1, peer.features)
    packed = torch.zeros(1, SIZE)
    pixels = {key: images[i : i + 1] for i, key in enumerate(KEYS)}
    rows = _compared(
        "encoder",
        case,
        {
            "lerobot": lambda: peer.look(images),
            "ours": lambda: policy.model.encoder(packed, pixels),
        },
    )
    lean, rounded, half = (LeanUnet(network) for _ in range(3))
    quantise(rounded)
    half.to(torch.bfloat16)
    film = torch.zeros(1, len(half.film_bias), dtype=torch.bfloat16)
    denoise, denoise_rounded = lean.given(features), rounded.given(features)
    return rows + _compared(
        "a step of the denoiser",
        case,
        {
            "lerobot": lambda: peer.denoise(sample, step, seen),
            "ours as trained": lambda: network(sample, step, features),
            "ours": lambda: denoise(sample, step, features),
            "ours, int8": lambda: denoise_rounded(sample, step, features),
            "ours, bfloat16": lambda: half(sample.to(torch.bfloat16), film),
        },
    )


def _compiled(case: Case) -> Row:
    """A step of the compiled denoiser, and what the first call took."""
    lean = LeanUnet(UnetConfig(widths=case.widths, embedding=128).build(HORIZON, SIZE, SIZE + 128))
    compiled = copy(lean)
    compiled.compile()
    sample, film = torch.randn(1, HORIZON, SIZE), torch.randn(1, len(lean.film_bias))
    with torch.inference_mode():
        start_s = time.perf_counter()
        compiled(sample, film)
        first_s = time.perf_counter() - start_s
        spent_s = _in_turn(
            {"lean": lambda: lean(sample, film), "compiled": lambda: compiled(sample, film)}, case
        )
    milliseconds, ratio = (
        np.multiply(spent_s["compiled"], 1e3),
        _ratio(spent_s, "compiled", "lean"),
    )
    name = f"{_COMPILED}; {case.name}"
    return measured(name, "ms", milliseconds, to_ours=ratio, first_call_s=first_s)


def _compared(what: str, case: Case, work: dict[str, Work]) -> list[Row]:
    spent_s = _in_turn(work, case)
    return [_row(what, name, case, spent_s) for name in spent_s]


def _row(what: str, name: str, case: Case, spent_s: Spent, **more: object) -> Row:
    ratio = _ratio(spent_s, name, "lerobot")
    milliseconds = np.multiply(spent_s[name], 1e3)
    return measured(f"{what}: {name}; {case.name}", "ms", milliseconds, to_lerobot=ratio, **more)


def _ratio(spent_s: Spent, name: str, other: str) -> float:
    return float(np.median(np.divide(spent_s[name], spent_s[other])))


def _in_turn(work: dict[str, Work], case: Case) -> Spent:
    """Durations [s], one of each in turn, after a round that does not count."""
    clock = time.process_time if case.threads == 1 else time.perf_counter
    spent_s: Spent = {name: [] for name in work}
    for one_round in range(case.repeats + 1):
        for name, each in work.items():
            start_s = clock()
            each()
            if one_round:
                spent_s[name].append(clock() - start_s)
    return spent_s


def _policy(widths: tuple[int, ...]) -> ChunkPolicy:
    names = tuple(f"j{i}" for i in range(SIZE))
    backbone = TorchvisionBackboneConfig(architecture="resnet18", stride=32, weights="random")
    config = ChunkPolicyConfig(
        horizon=HORIZON,
        execute=HORIZON // 2,
        vision=VisionConfig(backbone=backbone, head=KeypointsConfig(), state_size=0),
        network=UnetConfig(widths=widths, embedding=128),
        sampler=DdimConfig(inference_steps=STEPS, prediction="epsilon"),
    )
    observation = ObservationSpec(
        vectors={JOINT_POSITION: VectorSpec(names=names, unit="rad")},
        images=dict.fromkeys(KEYS, ImageSpec(height=PIXELS, width=PIXELS)),
    )
    action = ActionSpec(kind="joint_delta", names=names, scale=(0.1,) * SIZE, period_s=0.05)
    normaliser = Normaliser(offset=np.zeros(SIZE, np.float32), scale=np.ones(SIZE, np.float32))
    return config.build(observation, action, normaliser)


def _requests() -> Iterator[PlanRequest]:
    rng = np.random.default_rng(0)
    drawn = [_request(rng) for _ in range(32)]
    return itertools.cycle(drawn)


def _request(rng: np.random.Generator) -> PlanRequest:
    seen = Observation(
        stamp_ns=0,
        vectors={JOINT_POSITION: rng.standard_normal(SIZE, np.float32)},
        images={key: rng.integers(0, 256, (PIXELS, PIXELS, 3), np.uint8) for key in KEYS},
    )
    return PlanRequest(window=(seen,), noise=rng.standard_normal((HORIZON, SIZE), np.float32))


def _ask(base: ChunkBase, requests: Iterator[PlanRequest]) -> None:
    base.infer([next(requests)])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
