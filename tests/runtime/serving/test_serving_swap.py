"""New weights while plans go on: who may send them, what is adopted, what is not."""

from __future__ import annotations

import threading

import pytest
import torch
from serving_rig import SPEC, Echo, client_of, seen
from websockets.exceptions import ConnectionClosed

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.data.normaliser import Normaliser
from robot_rl.networks.denoiser import MlpDenoiserConfig
from robot_rl.policies.adapters.chunk import ChunkBase
from robot_rl.policies.chunk_policy import ChunkPolicyConfig
from robot_rl.runtime.serving.push import push_weights
from robot_rl.runtime.serving.swap import TakesWeights

HALF = {"gain": torch.tensor([0.5])}


@pytest.fixture
def admin(key_file):
    """Settings of a server that takes weights, and the key."""
    path, key = key_file("admin")
    return {"admin_key_file": path}, key


def plan(address: str, **named) -> tuple[float, int, str]:
    """What a joint at 1 becomes, by which version and fingerprint."""
    with client_of(address) as client:
        answer = client.ask(seen(1.0, 1.0, robot_rl__schema=1, **named))
    first = float(answer["robot_rl/plan"][0, 0])
    return first, answer["robot_rl/version"], answer["robot_rl/fingerprint"]


def test_new_weights_plan_from_the_next_batch_on(serve, admin):
    settings, key = admin
    address = serve({"echo": Echo(), "other": Echo()}, **settings)
    assert plan(address) == (1.0, 0, "f0")
    reply = push_weights(address, "echo", 3, HALF, key)
    assert (reply.adopted, reply.version, reply.fingerprint) == (True, 3, "f0.5")
    assert plan(address) == (0.5, 3, "f0.5")
    assert plan(address, robot_rl__policy="other") == (1.0, 0, "f0")
    with client_of(address) as client:
        policies = client.metadata["robot_rl"]["policies"]
    assert (policies["echo"]["version"], policies["echo"]["fingerprint"]) == (3, "f0.5")


def test_a_version_that_is_not_newer_is_refused(serve, admin):
    settings, key = admin
    address = serve({"echo": Echo()}, **settings)
    push_weights(address, "echo", 2, HALF, key)
    for version in (1, 2):
        with pytest.raises(ContractError, match=f"version: got version {version}, expected more"):
            push_weights(address, "echo", version, {"gain": torch.tensor([0.25])}, key)
    assert plan(address) == (0.5, 2, "f0.5")


def test_weights_that_change_the_plans_too_much_are_refused_if_so_asked(serve, admin):
    settings, key = admin
    address = serve({"echo": Echo()}, canary_max_change=0.2, **settings)
    with pytest.raises(ContractError, match=r"canary: plans change by 0.[0-9]+, expected at most"):
        push_weights(address, "echo", 1, HALF, key)
    push_weights(address, "echo", 1, {"gain": torch.tensor([0.9])}, key)
    push_weights(address, "echo", 2, {"gain": torch.tensor([0.8])}, key)
    assert plan(address)[0] == pytest.approx(0.8)


@pytest.mark.parametrize("given", ["api", "wrong"])
def test_who_may_ask_may_not_send_weights(serve, admin, key_file, given):
    settings, _ = admin
    path, key = key_file("api")
    address = serve({"echo": Echo()}, api_key_file=path, **settings)
    with pytest.raises(ContractError, match="403"):
        push_weights(address, "echo", 1, HALF, key if given == "api" else "wrong")


def test_without_an_admin_key_nobody_may_send_weights(serve):
    address = serve({"echo": Echo()})
    with pytest.raises(ContractError, match="403 weights need the admin key"):
        push_weights(address, "echo", 1, HALF, "")


def test_an_unknown_policy_is_named_before_anything_is_sent(serve, admin):
    settings, key = admin
    address = serve({"echo": Echo()}, **settings)
    with pytest.raises(ContractError, match=r"404 .*did you mean 'echo'"):
        push_weights(address, "ecko", 1, HALF, key)


def test_a_plain_client_stays_below_its_own_limit_of_bytes(serve, admin):
    settings, key = admin
    address = serve({"echo": Echo()}, max_bytes=20_000, **settings)
    big = {"gain": torch.zeros(9000)}
    with pytest.raises(ContractError, match=r"fit: weights 'gain': got .*\[9000\], expected"):
        push_weights(address, "echo", 1, big, key)
    with client_of(address) as client:
        client.connection.send(b"x" * 30_000)
        with pytest.raises(ConnectionClosed, match="1009"):
            client.receive()


def test_a_policy_that_takes_no_weights_says_so(serve, admin):
    class Fixed:
        spec = SPEC

        def infer(self, requests):
            return Echo().infer(requests)

    settings, key = admin
    address = serve({"fixed": Fixed()}, **settings)
    with pytest.raises(ContractError, match="policy: echo: its weights cannot be exchanged"):
        push_weights(address, "fixed", 1, HALF, key)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(HardwareError, match=r"ws://127.0.0.1:9: the weights may not have arrived"):
        push_weights("ws://127.0.0.1:9", "echo", 1, HALF, "", timeout_s=5)


def test_no_plan_is_made_of_two_weights_and_none_is_lost_while_they_change(serve, admin):
    settings, key = admin
    address = serve({"echo": Echo()}, **settings)
    seen_plans, ended = [], threading.Event()

    def ask() -> None:
        with client_of(address) as client:
            while not ended.is_set():
                seen_plans.append(client.ask(seen(1.0, 1.0, robot_rl__schema=1)))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    gains = {0: 1.0} | {version: version / 32 for version in range(1, 17)}
    for version in range(1, 17):
        push_weights(address, "echo", version, {"gain": torch.tensor([gains[version]])}, key)
    ended.set()
    for client in clients:
        client.join(20)
        assert not client.is_alive()
    for answer in seen_plans:
        assert (answer["robot_rl/plan"] == gains[answer["robot_rl/version"]]).all()
    assert len({answer["robot_rl/version"] for answer in seen_plans}) > 1


def test_a_chunk_policys_weights_can_be_exchanged(serve, admin):
    normaliser = Normaliser(offset=torch.zeros(2).numpy(), scale=torch.ones(2).numpy())
    observation = type(SPEC.observation)(vectors=SPEC.observation.vectors)
    config = ChunkPolicyConfig(horizon=4, execute=2, network=MlpDenoiserConfig(hidden=(8,)))
    old, new = (config.build(observation, SPEC.action, normaliser, seed=s) for s in (0, 1))
    base = ChunkBase(old)
    if not isinstance(base, TakesWeights):
        pytest.skip("ChunkBase offers no weights")
    settings, key = admin
    address = serve({"chunk": base}, **settings)
    reply = push_weights(address, "chunk", 1, new.model.state_dict(), key)
    assert reply.fingerprint == new.fingerprint != old.fingerprint
