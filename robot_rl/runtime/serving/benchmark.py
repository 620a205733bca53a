"""How fast a policy plans here, and how much the way through a server adds."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_rl.policies.base import BasePolicy
from robot_rl.policies.remote.connection import PolicyConnection
from robot_rl.policies.remote.protocol import request_of
from robot_rl.runtime.serving import probe
from robot_rl.runtime.serving.background import in_background
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer

_REPEATS = 200
_FEWEST = 5
_LONGEST_S = 5.0
"""Each figure is of so many calls, fewer if they take long."""
_MIB = 1 << 20
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 99th percentile of a time [s]."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one policy.

    Args:
        load_s: to build it [s].
        warm_up_s: for its first plans [s].
        one, full: a plan alone, and a full batch.
        round_trip: from a client of this machine through a server and back, alone.
        memory_mib: what this process has grown by until it was warm.
        device_mib: what it holds on a GPU; None without one.
    """

    load_s: float
    warm_up_s: float
    one: Spread
    full: Spread
    round_trip: Spread
    memory_mib: float
    device_mib: float | None


def measure(build: Callable[[], BasePolicy], config: ServerConfig) -> Figures:
    """Build a policy, plan with it from fixed observations, and serve it on the loopback.

    Raises:
        ContractError: if it cannot plan.
    """
    memory_mib, device_mib = _resident_mib(), _device_mib()
    begun_s = time.perf_counter()
    policy = build()
    load_s = time.perf_counter() - begun_s
    probe.warm_up(policy, config.warm_ups, config.max_batch)
    warm_up_s = time.perf_counter() - begun_s - load_s
    memory_mib, held_mib = _resident_mib() - memory_mib, _device_mib()
    request = probe.probes(policy.spec, 2)[1]
    return Figures(
        load_s=load_s,
        warm_up_s=warm_up_s,
        one=_timed(lambda: policy.infer([request])),
        full=_timed(lambda: policy.infer([request] * config.max_batch)),
        round_trip=_round_trip(policy, config),
        memory_mib=memory_mib,
        device_mib=None if held_mib is None else held_mib - (device_mib or 0.0),
    )


def _round_trip(policy: BasePolicy, config: ServerConfig) -> Spread:
    request = probe.probes(policy.spec, 2)[1]
    message = request_of("policy", request, policy.spec, None)
    here = ServerConfig(port=0, warm_ups=1, max_batch=config.max_batch)
    with (
        in_background(PolicyServer({"policy": policy}, here)) as address,
        PolicyConnection(address, timeout_s=_PATIENCE_S) as connection,
    ):
        return _timed(lambda: connection.ask(message))


def _timed(call: Callable[[], object]) -> Spread:
    times_s: list[float] = []
    until_s = time.perf_counter() + _LONGEST_S
    while len(times_s) < _FEWEST or (len(times_s) < _REPEATS and time.perf_counter() < until_s):
        begun_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - begun_s)
    p50_s, p99_s = np.quantile(times_s, (0.5, 0.99))
    return Spread(float(p50_s), float(p99_s))


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / _MIB


def _device_mib() -> float | None:
    """What torch holds on the GPU, if this process uses one."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.memory_allocated() / _MIB
