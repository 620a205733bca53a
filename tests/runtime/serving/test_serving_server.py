"""What a client gets: metadata, plans, and one line about what was wrong."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from serving_rig import SPEC, WRIST, Client, Echo, Moody, client_of, seen
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ImageSpec, ObservationSpec
from robot_rl.policies.remote.codec import encode
from robot_rl.runtime.serving.background import in_background
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer

STEERED = replace(SPEC, noise=(3, 2), guided=True)


class Noisy(Echo):
    """Plans the noise it is given, cut off at 1."""

    def plan(self, request, gain):
        return np.clip(request.noise, -1, 1)


def get(address: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def refused(client: Client, message) -> str:
    """The one line that a client is told before the connection ends."""
    if isinstance(message, dict):
        client.send(message)
    else:
        client.connection.send(message)
    told = client.connection.recv(10)
    with pytest.raises(ConnectionClosed) as ended:
        client.connection.recv(10)
    assert ended.value.rcvd.code == 1011
    assert isinstance(told, str)
    assert "\n" not in told
    assert "Traceback" not in told
    return told


def test_a_foreign_client_gets_actions_in_si_units_and_timing(serve):
    with client_of(serve({"echo": Echo()})) as client:
        first, second = client.ask(seen(0.5, -1.0)), client.ask(seen(0.5, -1.0))
    np.testing.assert_allclose(first["actions"], np.tile([0.05, -0.2], (3, 1)), rtol=1e-6)
    assert first["actions"].dtype == np.float32
    assert first["server_timing"].keys() == {"infer_ms"}
    assert second["server_timing"]["prev_total_ms"] >= first["server_timing"]["infer_ms"] > 0


def test_our_client_gets_the_plan_its_version_and_its_fingerprint(serve):
    with client_of(serve({"echo": Echo()})) as client:
        answer = client.ask(seen(0.5, -1.0, robot_rl__schema=1))
    np.testing.assert_array_equal(answer["robot_rl/plan"], np.float32([[0.5, -1.0]] * 3))
    assert (answer["robot_rl/version"], answer["robot_rl/fingerprint"]) == (0, "f0")
    assert "actions" not in answer


def test_metadata_name_every_policy_and_the_first_is_the_default(serve):
    with client_of(serve({"slow": Echo(gain=0.5), "fast": Echo()})) as client:
        own = client.metadata["robot_rl"]
        assert own["default"] == "slow"
        assert own["policies"].keys() == {"slow", "fast"}
        assert own["policies"]["fast"]["horizon"] == 3
        plans = [
            client.ask(seen(1.0, 1.0, robot_rl__schema=1, **named))["robot_rl/plan"][0, 0]
            for named in ({}, {"robot_rl__policy": "fast"}, {"robot_rl__policy": "slow"})
        ]
    assert plans == [0.5, 1.0, 0.5]


def test_keys_may_be_written_with_slashes(serve):
    with client_of(serve({"echo": Echo()})) as client:
        message = {key.replace(".", "/"): value for key, value in seen(0.5).items()}
        assert client.ask(message)["actions"][0, 0] == pytest.approx(0.05)


def test_noise_that_is_not_sent_is_drawn_anew_each_time(serve):
    noise = np.full((3, 2), 0.25, np.float32)
    with client_of(serve({"noisy": Noisy(STEERED)})) as client:
        sent = client.ask(seen(robot_rl__schema=1, robot_rl__noise=noise))["robot_rl/plan"]
        drawn = [client.ask(seen(robot_rl__schema=1))["robot_rl/plan"] for _ in range(2)]
    np.testing.assert_array_equal(sent, noise)
    assert not np.array_equal(*drawn)


BAD = {
    "text": ("hello", "expected a binary frame"),
    "no msgpack": (b"\xc1\xc1", "message"),
    "a list": (b"\x91\x01", "expected a map"),
    "a key is missing": ({"prompt": ""}, "missing"),
    "not finite": (seen(np.nan), "not finite"),
    "an image of another size": (
        seen() | {"observation.images.wrist": np.zeros((5, 6, 3), np.uint8)},
        "nothing is resized",
    ),
    "an unknown policy": (seen(robot_rl__policy="ech"), "did you mean 'echo'"),
    "an unknown key of ours": (seen(robot_rl__nois=1), "robot_rl/noise"),
    "another schema": (seen(robot_rl__schema=9), "expected 1"),
    "noise that nothing takes": (seen(robot_rl__noise=np.zeros((3, 2), "f4")), "takes none"),
    "a context that cannot be used": (
        seen(robot_rl__ahead=np.zeros((1, 2), "f4")),
        "drawn towards",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_request_is_told_in_one_line_and_the_server_lives_on(serve, kind):
    address = serve({"echo": Echo()})
    message, words = BAD[kind]
    with client_of(address) as other:
        with client_of(address) as client:
            assert words in refused(client, message)
        assert other.ask(seen(0.5))["actions"][0, 0] == pytest.approx(0.05)
    status, text = get(address, "/metrics")
    assert status == 200
    assert 'robot_rl_serving_errors_total{policy="",kind="bad"} 1\n' in text


def test_large_images_arrive_as_they_were_sent(serve):
    class Looking(Echo):
        def plan(self, request, gain):
            image = request.window[-1].images[WRIST]
            return np.full((3, 2), image.astype(np.int64).sum() % 1009 / 1009, np.float32)

    large = replace(SPEC.observation, images={WRIST: ImageSpec(height=480, width=640)})
    address = serve({"looking": Looking(replace(SPEC, observation=large))})
    rng = np.random.default_rng(0)
    with client_of(address) as client:
        for _ in range(5):
            image = rng.integers(0, 256, (480, 640, 3), np.uint8)
            answer = client.ask(seen(robot_rl__schema=1) | {WRIST: image})
            expected = image.astype(np.int64).sum() % 1009 / 1009
            assert answer["robot_rl/plan"][0, 0] == pytest.approx(expected)


def test_what_a_client_may_send_never_becomes_a_defect_of_the_server(serve):
    """Bits of a good request are flipped, parts of it lost, doubled, or noise."""
    address, rng = serve({"steered": Noisy(STEERED)}), random.Random(0)
    own = seen(robot_rl__schema=1, robot_rl__ahead=np.zeros((2, 2), "f4"), robot_rl__frozen=1)
    answers = Counter[type]()
    for _ in range(300):
        frame = bytearray(encode(own))
        for _ in range(rng.randrange(1, 4)):
            begin = rng.randrange(len(frame) + 1)
            piece = frame[begin : begin + rng.randrange(1, 20)]
            match rng.randrange(4):
                case 0:
                    frame[begin : begin + len(piece)] = b""
                case 1:
                    frame[begin:begin] = piece
                case 2:
                    frame[begin : begin + len(piece)] = rng.randbytes(len(piece))
                case _ if piece:
                    frame[begin] ^= 1 << rng.randrange(8)
        with client_of(address) as client:
            client.connection.send(bytes(frame))
            answers[type(client.connection.recv(10))] += 1
    assert answers.keys() == {str, bytes}
    with client_of(address) as client:
        assert client.ask(own)["robot_rl/plan"].shape == (3, 2)


@pytest.mark.parametrize(
    ("joint", "kind", "words"),
    [(0.5, "failed", "RuntimeError: no plan for this"), (0.25, "plan", "not finite")],
)
def test_a_policy_that_fails_is_counted_and_others_go_on(serve, joint, kind, words):
    address = serve({"moody": Moody(), "echo": Echo()})
    with client_of(address) as client:
        assert words in refused(client, seen(joint))
    for name in ("moody", "echo"):
        with client_of(address) as client:
            assert client.ask(seen(0.1, robot_rl__policy=name))["actions"][0, 0] > 0
    assert f'errors_total{{policy="moody",kind="{kind}"}} 1\n' in get(address, "/metrics")[1]


def test_a_plan_that_leaves_the_normalised_range_is_not_handed_out(serve):
    class Wide(Echo):
        def plan(self, request, gain):
            return 1.5 * super().plan(request, gain)

    with client_of(serve({"wide": Wide()})) as client:
        assert "leaves [-1, 1]: 1.5" in refused(client, seen(1.0))


def test_a_message_that_is_too_long_ends_its_connection_alone(serve):
    address = serve({"echo": Echo()}, max_bytes=20_000)
    with client_of(address) as client, client_of(address) as other:
        client.connection.send(b"x" * 30_000)
        with pytest.raises(ConnectionClosed) as ended:
            client.receive()
        assert ended.value.rcvd.code == 1009
        assert other.ask(seen())
    assert 'kind="size"} 1\n' in get(address, "/metrics")[1]


def test_a_request_whose_deadline_has_passed_is_not_planned(serve):
    policy = Echo()
    address = serve({"echo": policy})
    policy.sizes.clear()
    policy.begun.clear()
    policy.hold.clear()
    with client_of(address) as first, client_of(address) as late:
        first.send(seen())
        assert policy.begun.wait(10)
        late.send(seen(robot_rl__deadline_ms=1.0))
        threading.Timer(0.2, policy.hold.set).start()
        assert "deadline" in str(late.connection.recv(10))
        assert first.receive()
    assert policy.sizes == [1]
    assert 'kind="late"} 1\n' in get(address, "/metrics")[1]


def test_a_deadline_that_is_kept_changes_nothing(serve):
    with client_of(serve({"echo": Echo()})) as client:
        assert client.ask(seen(robot_rl__deadline_ms=30_000.0))


def test_who_is_one_too_many_is_told_to_try_again(serve):
    address = serve({"echo": Echo()}, max_clients=2)
    with (
        client_of(address),
        client_of(address),
        connect(address, compression=None) as third,
        pytest.raises(ConnectionClosed) as ended,
    ):
        third.recv(10)
    assert ended.value.rcvd.code == 1013
    assert "2 clients" in ended.value.rcvd.reason


def test_a_client_that_does_not_read_its_answers_holds_up_nobody(serve):
    wide = replace(SPEC, horizon=50_000)
    address = serve({"wide": Echo(wide)})
    with ExitStack() as stack:
        # Read by nobody, half a megabyte an answer soon fills every buffer on the way.
        slow = stack.enter_context(connect(address, compression=None, max_queue=1))
        stack.callback(slow.socket.close)
        for _ in range(20):
            slow.send(encode(seen()))
        with client_of(address, max_size=None) as client:
            for _ in range(10):
                assert client.ask(seen())["actions"].shape == (50_000, 2)


def test_health_readiness_and_metrics_over_http(serve):
    address = serve({"echo": Echo()})
    with client_of(address) as client:
        client.ask(seen())
        client.ask(seen())
        assert get(address, "/healthz") == (200, "OK\n")
        assert get(address, "/readyz") == (200, "READY\n")
        status, text = get(address, "/metrics")
    assert status == 200
    lines = text.splitlines()
    assert "robot_rl_serving_ready{} 1" in lines
    assert "robot_rl_serving_clients{} 1" in lines
    assert 'robot_rl_serving_requests_total{policy="echo"} 2' in lines
    assert 'robot_rl_serving_batch_size_bucket{policy="echo",le="1"} 2' in lines
    assert 'robot_rl_serving_infer_seconds_count{policy="echo"} 2' in lines
    assert any(line.startswith("robot_rl_serving_infer_seconds{") for line in lines)
    assert get(address, "/elsewhere")[0] == 404


def test_a_policy_that_cannot_plan_never_becomes_ready(serve):
    class Broken(Echo):
        def infer(self, requests):
            raise ValueError("no weights")

    with pytest.raises(ContractError, match="'broken' cannot be warmed up: ValueError: no weigh"):
        serve({"echo": Echo(), "broken": Broken()})


def test_images_that_no_message_has_room_for_are_named_at_the_start():
    huge = ObservationSpec(vectors={}, images={WRIST: ImageSpec(height=4000, width=3000)})
    with pytest.raises(ConfigError, match="request of policy 'echo' takes up to 36016384"):
        PolicyServer({"echo": Echo(replace(SPEC, observation=huge))}, ServerConfig())


def test_no_thread_is_left_behind(serve):
    before = set(threading.enumerate())
    server = PolicyServer({"echo": Echo()}, ServerConfig(port=0))
    with in_background(server) as address, client_of(address) as client:
        client.ask(seen())
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
