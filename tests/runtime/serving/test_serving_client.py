"""Our own client, and that of openpi as it is, against a server of ours."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving_rig import SPEC, WRIST, Echo, seen

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import JOINT_POSITION, TaskSpec
from robot_rl.core.types import Observation
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.episode_policy import EpisodePolicy
from robot_rl.policies.remote.connection import PolicyConnection
from robot_rl.policies.remote.remote_policy import RemotePolicyConfig

TASK = TaskSpec(name="reach", horizon=10, observation=SPEC.observation, action=SPEC.action)
LEGACY = pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")
"""It opens its websocket as one did before there were context managers."""
APART = Path(__file__).parents[3] / ".venv" / "openpi-client"


def observation(first: float = 0.5, stamp_ns: int = 1) -> Observation:
    return Observation(
        stamp_ns=stamp_ns,
        vectors={JOINT_POSITION: np.float32([first, -1.0])},
        images={WRIST: np.full((4, 6, 3), 200, np.uint8)},
        instruction="reach",
    )


@pytest.fixture
def openpi(monkeypatch):
    """The module of the client from PyPI."""
    if not APART.is_dir():
        pytest.skip("openpi-client is not installed; scripts/setup.sh dev installs it")
    monkeypatch.setattr(sys, "path", [*sys.path, str(APART)])
    return pytest.importorskip("openpi_client.websocket_client_policy")


def test_a_remote_policy_plans_as_the_policy_that_is_served(serve):
    policy = Echo()
    remote = RemotePolicyConfig(url=serve({"echo": policy})).build(TASK)
    requests = [PlanRequest(window=(observation(first),)) for first in (0.5, 0.25)]
    assert remote.spec == policy.spec
    np.testing.assert_array_equal(remote.infer(requests), policy.infer(requests))
    remote.close()


def test_an_episode_is_played_from_afar(serve):
    remote = RemotePolicyConfig(url=serve({"echo": Echo()})).build(TASK)
    played = EpisodePolicy(remote)
    for tick in range(1, 6):
        chunk = played.act(observation(stamp_ns=tick))
        np.testing.assert_array_equal(chunk.values, np.float32([[0.5, -1.0]] * 3))
    remote.close()


def test_history_noise_and_context_reach_the_policy(serve):
    taken = []

    class Taking(Echo):
        def plan(self, request, gain):
            taken.append(request)
            return super().plan(request, gain)

    spec = replace(SPEC, history=2, noise=(3, 2), guided=True)
    remote = RemotePolicyConfig(url=serve({"taking": Taking(spec)})).build(TASK)
    played = EpisodePolicy(remote, max_guidance_weight=2.5)
    taken.clear()
    played.act(observation(0.25, 1))
    played.act(observation(0.5, 2))
    remote.close()
    first, second = (request.window for request in taken)
    assert [o.vectors[JOINT_POSITION][0] for o in first] == [0.25, 0.25]
    assert [o.vectors[JOINT_POSITION][0] for o in second] == [0.25, 0.5]
    assert second[1].images[WRIST].max() == 200
    assert second[1].instruction == "reach"
    assert not np.array_equal(taken[0].noise, taken[1].noise)


def test_our_client_is_told_what_was_wrong_and_may_ask_again(serve):
    with PolicyConnection(serve({"echo": Echo()})) as connection:
        with pytest.raises(ContractError, match="unknown policy 'ech'; did you mean 'echo'"):
            connection.ask(seen(robot_rl__policy="ech"))
        assert connection.ask(seen(0.5))["actions"][0, 0] == pytest.approx(0.05)


def test_our_client_comes_through_a_unix_socket_and_with_a_key(serve, key_file, tmp_path):
    path, key = key_file()
    address = serve({"echo": Echo()}, unix=tmp_path / "serve.sock", api_key_file=path)
    with PolicyConnection(address, api_key=key) as connection:
        assert connection.ask(seen())
    with pytest.raises(ConfigError, match="key"):
        PolicyConnection(address, api_key="wrong")


@LEGACY
def test_openpis_client_loops_as_it_is(serve, openpi):
    host, _, port = serve({"echo": Echo()}).rpartition(":")
    client = openpi.WebsocketClientPolicy(host, int(port))
    assert client.get_server_metadata()["robot_rl"]["default"] == "echo"
    for step in range(20):
        answer = client.infer(
            {
                "observation/state": np.array([step / 20, -1.0]),
                "observation/images/wrist": np.zeros((4, 6, 3), np.uint8),
                "prompt": "reach",
            }
        )
        np.testing.assert_allclose(answer["actions"], [[step / 200, -0.2]] * 3, atol=1e-7)
    assert answer["server_timing"].keys() == {"infer_ms", "prev_total_ms"}
    client._ws.close()


@LEGACY
def test_openpis_client_raises_what_was_wrong(serve, openpi, key_file):
    path, key = key_file()
    host, _, port = serve({"echo": Echo()}, api_key_file=path).rpartition(":")
    client = openpi.WebsocketClientPolicy(host, int(port), api_key=key)
    with pytest.raises(RuntimeError, match=r"missing 'observation.state'"):
        client.infer({"prompt": "reach"})
    client._ws.close()
