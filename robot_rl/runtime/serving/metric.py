"""What a server counts, and how Prometheus reads it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

_RECENT = 1024
"""Batches that the quantiles are of."""
_QUANTILES = (0.5, 0.99)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_PREFIX = "robot_rl_serving"


@dataclass(slots=True)
class PolicyMetric:
    """Counts of one policy; only the server's loop writes to them.

    Attributes:
        requests: that were planned or refused.
        errors: requests that were refused, by kind.
        weights: messages with weights, by `adopted` or the reason of the refusal.
        batches: how often so many requests were planned together.
        infer_s: how long all batches took together [s].
        recent_s: how long each of the newest batches took [s].
    """

    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    batches: Counter[int] = field(default_factory=Counter)
    infer_s: float = 0.0
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def planned(self, requests: int, infer_s: float) -> None:
        """Count a batch."""
        self.batches[requests] += 1
        self.infer_s += infer_s
        self.recent_s.append(infer_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """What a policy is doing: its counts, requests that wait, its version, its fingerprint."""

    metric: PolicyMetric
    waiting: int
    version: int
    fingerprint: str


def exposition(
    policies: Mapping[str, PolicyState], refused: Mapping[str, int], clients: int, ready: bool
) -> str:
    """Return all numbers in Prometheus' text format.

    Args:
        policies: by name.
        refused: messages that named no policy, by kind.
        clients: how many are connected.
        ready: whether the server is.
    """
    text = _Text()
    text.add("ready", "gauge", "Whether requests are answered.", [({}, int(ready))])
    text.add("clients", "gauge", "Clients that are connected.", [({}, clients)])
    errors = [({"policy": "", "kind": kind}, count) for kind, count in refused.items()]
    for name, state in policies.items():
        errors += [({"policy": name, "kind": k}, n) for k, n in state.metric.errors.items()]
    text.add("errors_total", "counter", "Requests that were refused.", errors)
    for line, kind, what, values in (
        ("requests_total", "counter", "Requests.", lambda s: s.metric.requests),
        ("waiting", "gauge", "Requests that wait for the policy.", lambda s: s.waiting),
        ("version", "gauge", "Version of the weights.", lambda s: s.version),
    ):
        text.add(line, kind, what, [({"policy": n}, values(s)) for n, s in policies.items()])
    text.add("weights_total", "counter", "Weights that were sent.", list(_weights(policies)))
    text.add("batch_size", "histogram", "Requests planned together.", list(_sizes(policies)))
    text.add("infer_seconds", "summary", "Time of a batch.", list(_seconds(policies)))
    return text.whole


def _weights(policies: Mapping[str, PolicyState]) -> Iterable[_Sample]:
    for name, state in policies.items():
        for result, count in state.metric.weights.items():
            yield {"policy": name, "result": result}, count


def _sizes(policies: Mapping[str, PolicyState]) -> Iterable[_Sample]:
    for name, state in policies.items():
        batches = state.metric.batches
        for size in _SIZES:
            within = sum(count for n, count in batches.items() if n <= size)
            yield {"policy": name, "le": str(size), _SUFFIX: "_bucket"}, within
        yield {"policy": name, "le": "+Inf", _SUFFIX: "_bucket"}, batches.total()
        together = sum(n * count for n, count in batches.items())
        yield {"policy": name, _SUFFIX: "_sum"}, together
        yield {"policy": name, _SUFFIX: "_count"}, batches.total()


def _seconds(policies: Mapping[str, PolicyState]) -> Iterable[_Sample]:
    for name, state in policies.items():
        metric = state.metric
        if metric.recent_s:
            for quantile in _QUANTILES:
                value = float(np.quantile(metric.recent_s, quantile))
                yield {"policy": name, "quantile": str(quantile)}, value
        yield {"policy": name, _SUFFIX: "_sum"}, metric.infer_s
        yield {"policy": name, _SUFFIX: "_count"}, metric.batches.total()


_Sample = tuple[dict[str, str], float]
_SUFFIX = "\0suffix"
"""Key, among the labels, of what is appended to the metric's name."""


class _Text:
    def __init__(self) -> None:
        self.whole = ""

    def add(self, name: str, kind: str, what: str, samples: Iterable[_Sample]) -> None:
        name = f"{_PREFIX}_{name}"
        self.whole += f"# HELP {name} {what}\n# TYPE {name} {kind}\n"
        for labels, value in samples:
            suffix = labels.pop(_SUFFIX, "")
            inner = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
            self.whole += f"{name}{suffix}{{{inner}}} {value:.10g}\n"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
