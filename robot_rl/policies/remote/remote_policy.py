"""A base policy that plans elsewhere, on a policy server of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError, did_you_mean
from robot_rl.core.spec import TaskSpec, VectorSpec
from robot_rl.core.types import Vector
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request
from robot_rl.policies.remote.connection import PolicyConnection
from robot_rl.policies.remote.handshake import read_api_key
from robot_rl.policies.remote.protocol import read_answer, read_metadata, request_of


class RemotePolicyConfig(Config):
    """A policy of a server.

    Args:
        url: `ws://host:port`, `wss://host:port`, or `unix:///path` for a server of this machine.
        policy: its name there; the server's default without it.
        api_key_file: holds the key that the server asks for.
        ca_file: PEM of the authorities to trust for `wss`; the system's without it.
        timeout_s: for connecting, and for each plan [s].
        frozen: plans of other weights than those at connecting are refused, as what is learned on
            top of a policy needs it; else they count, and `RemotePolicy.version` says so.
    """

    url: str
    policy: str | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(default=5.0, gt=0.0)
    frozen: bool = True

    def build(self, task: TaskSpec) -> RemotePolicy:
        """Connect and return the policy.

        Raises:
            ConfigError: if the address or key is wrong.
            ContractError: if the server has no such policy, or the task lacks what it needs.
            HardwareError: if the server is not there.
        """
        connection = PolicyConnection(
            self.url,
            api_key=read_api_key(self.api_key_file),
            ca_file=self.ca_file,
            timeout_s=self.timeout_s,
        )
        try:
            policy = RemotePolicy(connection, self.policy, frozen=self.frozen)
            check_fit(policy.spec, task)
        except BaseException:
            connection.close()
            raise
        return policy


class RemotePolicy:
    """A `BasePolicy` whose plans come from a server; one request after the other.

    Its spec is what the server said when it was connected to first.

    Args:
        connection: to the server; owned from now on.
        policy: its name there; the server's default without it.
        frozen: see `RemotePolicyConfig`.

    Attributes:
        name: its name there.
        version: of the weights that made the last plan.

    Raises:
        ContractError: if the server has no such policy.
    """

    def __init__(
        self, connection: PolicyConnection, policy: str | None = None, *, frozen: bool = True
    ) -> None:
        self._connection = connection
        self._frozen = frozen
        self._metadata = connection.metadata
        served = read_metadata(self._metadata)
        self.name = served.default if policy is None else policy
        if self.name not in served.policies:
            raise ContractError(
                f"policy: the server has no {self.name!r}"
                + did_you_mean(self.name, served.policies)
            )
        self.version = served.versions[self.name]
        self._spec = served.policies[self.name]

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        return self._spec

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`.

        Raises:
            ContractError: if a request does not fit, the server refuses it, or what it answers is
                no plan of this policy.
            HardwareError: if the server is lost; the next call looks for it again.
        """
        shape = (len(requests), self._spec.horizon, self._spec.action.size)
        plans = np.empty(shape, np.float32)
        for plan, request in zip(plans, requests, strict=True):
            plan[:] = self._plan(request)
        return plans

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _plan(self, request: PlanRequest) -> Vector:
        check_request(self._spec, request)
        asked = request_of(self.name, request, self._spec, self._connection.timeout_s)
        answer = self._connection.ask(asked)
        if self._connection.metadata is not self._metadata:
            self._check_still_served()
        answered = read_answer(answer, self._spec)
        if self._frozen and answered.fingerprint != self._spec.fingerprint:
            raise ContractError(
                f"policy {self.name!r}: its weights were exchanged, version {answered.version}; "
                "what was learned on top of it no longer fits. Serve the old ones again, or "
                "connect with `frozen: false`"
            )
        self.version = answered.version
        return answered.plan

    def _check_still_served(self) -> None:
        """A server that was lost and found again may be another one."""
        found = read_metadata(self._connection.metadata).policies.get(self.name)
        if found is None or replace(found, fingerprint=self._spec.fingerprint) != self._spec:
            raise ContractError(
                f"policy {self.name!r}: the server was started anew and serves another one by "
                "this name, or none; connect again with a task that it fits"
            )
        self._metadata = self._connection.metadata


def check_fit(spec: PolicySpec, task: TaskSpec) -> None:
    """Refuse a policy that looks at what the task does not offer, or acts otherwise.

    Raises:
        ContractError: naming everything that does not fit.
    """
    wrong = [*_vectors(spec, task), *_images(spec, task)]
    for field in ("kind", "names", "scale", "period_s"):
        wanted, offered = getattr(spec.action, field), getattr(task.action, field)
        if wanted != offered:
            wrong.append(f"action {field}: the policy has {wanted}, the task {offered}")
    if wrong:
        raise ContractError(
            f"the policy {spec.name!r} does not fit the task {task.name!r}: " + "; ".join(wrong)
        )


def _vectors(spec: PolicySpec, task: TaskSpec) -> list[str]:
    offered = task.observation.vectors
    return [
        f"{key!r}: the policy needs {_words(wanted)}, the task has "
        + (_words(offered[key]) if key in offered else f"none{did_you_mean(key, offered)}")
        for key, wanted in spec.observation.vectors.items()
        if offered.get(key) != wanted
    ]


def _images(spec: PolicySpec, task: TaskSpec) -> list[str]:
    offered = task.observation.images
    sizes = {key: f"{image.height}x{image.width}" for key, image in offered.items()}
    return [
        f"{key!r}: the policy needs {wanted.height}x{wanted.width}, the task has "
        + sizes.get(key, f"none{did_you_mean(key, offered)}")
        for key, wanted in spec.observation.images.items()
        if offered.get(key) != wanted
    ]


def _words(vector: VectorSpec) -> str:
    frame = f" in {vector.frame}" if vector.frame else ""
    return f"[{', '.join(vector.names)}] {vector.unit}{frame}"
