"""A policy behind openpi's protocol; the server packs with openpi's own, unmodified code."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.policies.adapters.openpi_policy import OpenpiPolicyConfig
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.episode_policy import EpisodePolicy

CODEC = Path(__file__).parents[3] / ".venv/openpi-client/openpi_client/msgpack_numpy.py"
MAPPING = {
    "images": {
        "observation/image": {
            "camera": "observation.images.side", "height": 24, "width": 24, "resize": "pad",
        },
        "observation/wrist_image": {"camera": "observation.images.wrist"},
    },
    "vectors": {"observation/state": {"sources": [JOINT_POSITION, "observation.gripper"]}},
    "action": {"meaning": "joint_position", "columns": [0, 1, 2]},
}  # fmt: skip


@pytest.fixture(scope="module")
def msgpack_numpy():
    pytest.importorskip("msgpack", reason="needs msgpack, which openpi packs with")
    if not CODEC.is_file():
        pytest.skip("needs the unmodified openpi-client in .venv/openpi-client")
    spec = importlib.util.spec_from_file_location("openpi_msgpack_numpy", CODEC)
    module = importlib.util.module_from_spec(spec)
    sys.modules["openpi_msgpack_numpy"] = module
    spec.loader.exec_module(module)
    return module


class Server:
    """As openpi's own; `answer` says what it plans, `seen` is what it was asked."""

    def __init__(self, codec, answer, key=None):
        from websockets.sync.server import serve

        self.seen, self._codec, self._answer, self._key = [], codec, answer, key
        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            compression=None,
            max_size=None,
            process_request=self._let,
        )
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()

    def _let(self, connection, request):
        if self._key and request.headers.get("Authorization") != f"Api-Key {self._key}":
            return connection.respond(401, "no")
        return None

    def _handle(self, socket):
        socket.send(self._codec.packb({"policy": "a fake pi0"}))
        for message in socket:
            self.seen.append(self._codec.unpackb(message))
            try:
                plan = self._answer(self.seen[-1])
            except RuntimeError as error:
                socket.send(str(error))
                socket.close(1011)
                return
            socket.send(self._codec.packb({"actions": plan, "server_timing": {"infer_ms": 1.0}}))


def follow(message):
    """Ten targets, each 0.05 rad beyond the one before, in openpi's float64 and 7 columns."""
    targets = np.zeros((10, 7))
    targets[:, :3] = message["observation/state"][:3] + 0.05 * np.arange(1, 11)[:, None]
    return targets


@pytest.fixture
def server(msgpack_numpy):
    started = []

    def start(answer=follow, key=None):
        started.append(Server(msgpack_numpy, answer, key))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def connect(cell):
    opened = []

    def build(server, **fields):
        settings = {"url": server.url, "mapping": MAPPING, "execute": 5, **fields}
        opened.append(OpenpiPolicyConfig.model_validate(settings).build(cell))
        return opened[-1]

    yield build
    for policy in opened:
        policy.close()


def test_its_horizon_is_learnt_from_an_answer(server, connect):
    spec = connect(server()).spec

    assert (spec.name, spec.horizon, spec.execute) == ("openpi", 10, 5)
    assert (spec.history, spec.noise, spec.guided) == (1, None, False)


def test_joint_targets_of_a_server_become_a_plan_in_our_numbers(server, connect, requests_of):
    policy = connect(server())

    plans = policy.infer(requests_of(policy, 2))

    step = np.float32([0.05 / 0.1, 0.05 / 0.2, 0.05 / 0.4])
    np.testing.assert_allclose(plans, np.broadcast_to(step, (2, 10, 3)), atol=1e-5)


def test_the_server_is_asked_in_its_own_words(server, connect, seen):
    there = server()
    policy = connect(there)
    observation = seen(1, "lift it")

    EpisodePolicy(policy).act(observation)

    asked = there.seen[-1]
    assert set(asked) == {*MAPPING["images"], *MAPPING["vectors"], "prompt"}
    assert asked["prompt"] == "lift it"
    assert asked["observation/image"].shape == (24, 24, 3)
    np.testing.assert_array_equal(
        asked["observation/wrist_image"], observation.images["observation.images.wrist"]
    )
    np.testing.assert_array_equal(
        asked["observation/state"],
        np.concatenate(list(observation.vectors.values())),
    )


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (np.full((10, 7), np.nan), "expected finite numbers"),
        (np.zeros((4, 7)), "got a plan of 4 actions, before they were 10"),
        (np.zeros(7), r"got actions float64\[7\], expected float"),
        (np.zeros((10, 7), np.int64), r"got actions int64\[10, 7\]"),
        (None, "got actions None"),
    ],
)
def test_an_answer_that_is_no_plan_is_refused(server, connect, requests_of, plan, words):
    there = server()
    policy = connect(there)
    there._answer = lambda message: plan

    with pytest.raises(ContractError, match=words):
        policy.infer(requests_of(policy, 1))


def test_a_server_that_fails_says_so_and_may_be_asked_again(server, connect, requests_of):
    there = server()
    policy = connect(there)

    def fail(message):
        raise RuntimeError("CUDA out of memory")

    there._answer = fail
    with pytest.raises(ContractError, match="CUDA out of memory"):
        policy.infer(requests_of(policy, 1))
    there._answer = follow

    assert policy.infer(requests_of(policy, 1)).shape == (1, 10, 3)


def test_actions_that_do_not_fit_are_refused_at_the_start(server, connect):
    mapping = {**MAPPING, "action": {"meaning": "joint_position"}}

    with pytest.raises(ConfigError, match="columns: got 7, expected 3"):
        connect(server(), mapping=mapping)


def test_a_key_is_read_from_its_file(server, connect, tmp_path):
    there = server(key="secret")
    (tmp_path / "key").write_text("secret\n")

    assert connect(there, api_key_file=tmp_path / "key").spec.horizon == 10
    with pytest.raises(ConfigError, match="api_key_file: "):
        connect(there, api_key_file=tmp_path / "absent")


def test_no_server_is_a_clear_error(server, connect):
    there = server()
    there.stop()

    with pytest.raises(HardwareError, match="is it running"):
        connect(there, timeout_s=2.0)


def test_an_equal_server_has_an_equal_fingerprint(server, connect):
    there = server()

    assert connect(there).spec.fingerprint == connect(there).spec.fingerprint
    assert connect(there).spec.fingerprint != connect(there, execute=6).spec.fingerprint


def test_a_request_must_fit(server, connect, seen):
    policy = connect(server())

    with pytest.raises(ContractError, match="got 2 observations, expected 1"):
        policy.infer([PlanRequest(window=(seen(1), seen(2)))])
