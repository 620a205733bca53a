"""A policy on an openpi server, or on any server that speaks its protocol, as a base policy.

On a server of our own, `policies.remote` can more: steer, carry on, and tell one set of weights
from the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from robot_rl.config.model import Config
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Observation, Vector
from robot_rl.policies.adapters.cell_input import CellInput
from robot_rl.policies.adapters.mapping import MappingConfig
from robot_rl.policies.adapters.plan_output import PlanOutput
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request
from robot_rl.policies.remote.connection import PolicyConnection
from robot_rl.policies.remote.handshake import read_api_key


class OpenpiPolicyConfig(Config):
    """A policy that an openpi server serves.

    Args:
        url: `ws://host:port` or `wss://host:port`.
        mapping: every key that the policy looks at: the server does not say which. openpi's
            examples use `observation/image`, `observation/wrist_image`, `observation/state` and
            `prompt`.
        execute: how many actions to play before the next plan; the server does not say either.
        api_key_file: holds the key that the server asks for.
        ca_file: PEM of the authorities to trust for `wss`; the system's without it.
        timeout_s: for connecting, and for each answer [s].
    """

    url: str
    mapping: MappingConfig
    execute: int = Field(ge=1)
    api_key_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(default=10.0, gt=0.0)

    def build(self, task: TaskSpec) -> OpenpiPolicy:
        """Connect, and have one plan made: how long plans are shows in no other way.

        Raises:
            ConfigError: if policy and task do not fit, or the key cannot be read.
            ContractError: if the server answers with an error, or with what is no plan.
            HardwareError: if the server is not there, or silent.
        """
        inputs = CellInput(self.mapping, task, None)
        connection = PolicyConnection(
            self.url,
            api_key=read_api_key(self.api_key_file),
            ca_file=self.ca_file,
            timeout_s=self.timeout_s,
        )
        return OpenpiPolicy(connection, self, inputs, task)


class OpenpiPolicy:
    """A `BasePolicy` that asks for one plan after the other. A black box: its noise is its own.

    The fingerprint is over address, what the server says of itself, and settings. An openpi server
    does not tell its weights, so it does not change with them.

    Args:
        connection: to the server; this object closes it.
        config: see there.
        inputs: makes what is sent.
        task: what the cell has.

    Raises:
        ConfigError: if the policy's actions do not fit to the task.
        ContractError: if the answer is no plan.
    """

    def __init__(
        self,
        connection: PolicyConnection,
        config: OpenpiPolicyConfig,
        inputs: CellInput,
        task: TaskSpec,
    ) -> None:
        self._connection = connection
        self._input = inputs
        self._prompt = config.mapping.instruction.key or "prompt"
        try:
            probe = self._ask(_blank(task))
            self._output = PlanOutput(config.mapping.action, task, probe.shape[1])
            self._horizon = len(probe)
            self._spec = PolicySpec(
                name="openpi",
                fingerprint=_fingerprint(config, connection.metadata),
                observation=inputs.observation,
                action=task.action,
                horizon=self._horizon,
                execute=config.execute,
            )
        except BaseException:
            connection.close()
            raise

    @property
    def spec(self) -> PolicySpec:
        """See `BasePolicy.spec`."""
        return self._spec

    def infer(self, requests: Sequence[PlanRequest]) -> Vector:
        """See `BasePolicy.infer`.

        Raises:
            HardwareError: if the server is lost, or silent.
        """
        for request in requests:
            check_request(self._spec, request)
        plans = np.empty((len(requests), self._horizon, self._spec.action.size), np.float32)
        for i, request in enumerate(requests):
            values = self._ask(request.window[-1])
            if len(values) != self._horizon:
                raise ContractError(
                    f"openpi: got a plan of {len(values)} actions, before they were "
                    f"{self._horizon}; was the server started anew with another policy?"
                )
            plans[i] = self._output.plan(values, request.window[-1])
        return plans

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, observation: Observation) -> Vector:
        """Return what the policy plans, float32[h, k], its own numbers."""
        inputs = self._input.gather([[observation]])
        message: dict[str, object] = {key: image[0, 0] for key, image in inputs.images.items()}
        message |= {key: vector[0, 0] for key, vector in inputs.vectors.items()}
        message[self._prompt] = inputs.instructions[0]
        answer = self._connection.ask(message)
        actions: Any = answer.get("actions")
        is_plan = isinstance(actions, np.ndarray) and actions.ndim == 2 and actions.size > 0
        if not is_plan or actions.dtype.kind != "f":
            got = f"{actions.dtype}{list(actions.shape)}" if hasattr(actions, "dtype") else actions
            raise ContractError(f"openpi: got actions {got}, expected float[h, k]")
        return actions.astype(np.float32)


def _blank(task: TaskSpec) -> Observation:
    """An observation of nothing."""
    cell = task.observation
    return Observation(
        stamp_ns=0,
        vectors={key: np.zeros(spec.size, np.float32) for key, spec in cell.vectors.items()},
        images={
            key: np.zeros((spec.height, spec.width, 3), np.uint8)
            for key, spec in cell.images.items()
        },
    )


def _fingerprint(config: OpenpiPolicyConfig, metadata: Mapping[str, Any]) -> str:
    said = json.dumps(metadata, sort_keys=True, default=str)
    settings = config.model_dump_json(include={"url", "mapping", "execute"})
    return hashlib.sha256(f"{settings} {said}".encode()).hexdigest()
