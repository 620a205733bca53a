"""Who is planned together, and who waits for whom."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from serving_rig import Echo, Moody, client_of, seen

LONG_S = 1.0


@pytest.fixture
def together(serve):
    """Clients that all ask while the policy is busy with somebody else, and what became of it."""

    def ask(policy: Echo, joints: list[float], **settings) -> list[object]:
        address = serve({"policy": policy}, **settings)
        policy.sizes.clear()
        policy.begun.clear()
        policy.hold.clear()
        with ExitStack() as stack:
            first, *others = (stack.enter_context(client_of(address)) for _ in [0.0, *joints])
            first.send(seen(0.1))
            assert policy.begun.wait(10)
            for client, joint in zip(others, joints, strict=True):
                client.send(seen(joint))
            time.sleep(0.2)
            policy.hold.set()
            first.receive()
            return [client.connection.recv(10) for client in others]

    return ask


def test_requests_that_come_while_a_plan_is_made_are_planned_together(together):
    policy = Echo()
    answers = together(policy, [0.2, 0.3, 0.4, 0.6])
    assert policy.sizes == [1, 4]
    assert all(isinstance(answer, bytes) for answer in answers)


def test_a_batch_has_no_more_than_max_batch(together):
    policy = Echo()
    together(policy, [0.2] * 5, max_batch=2)
    assert policy.sizes == [1, 2, 2, 1]


def test_each_gets_its_own_plan_of_a_batch(serve):
    policy = Echo(infer_s=0.005)
    address = serve({"policy": policy})

    def ask(joint: float) -> set[float]:
        with client_of(address) as client:
            return {
                float(client.ask(seen(joint, robot_rl__schema=1))["robot_rl/plan"][0, 0])
                for _ in range(20)
            }

    joints = [i / 16 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, joints)) == [{joint} for joint in joints]
    assert max(policy.sizes) > 1


def test_a_request_that_the_policy_fails_at_fails_alone(together):
    policy = Moody()
    fine, raised, nan, also_fine = together(policy, [0.2, 0.5, 0.25, 0.3])
    assert isinstance(fine, bytes)
    assert isinstance(also_fine, bytes)
    assert "no plan for this" in raised
    assert "not finite" in nan


def test_a_lone_client_does_not_wait_for_company(serve):
    address = serve({"policy": Echo()}, batch_wait_s=LONG_S)
    with client_of(address) as client:
        begun_s = time.monotonic()
        client.ask(seen())
        client.ask(seen())
        assert time.monotonic() - begun_s < LONG_S


def test_two_clients_wait_for_each_other_and_no_longer_than_stated(serve):
    policy = Echo()
    address = serve({"policy": policy, "other": Echo()}, batch_wait_s=LONG_S)
    with client_of(address) as one, client_of(address) as two:
        for client in (one, two):
            client.ask(seen())
        policy.sizes.clear()
        begun_s = time.monotonic()
        one.send(seen())
        time.sleep(0.1)
        two.send(seen())
        one.receive()
        two.receive()
        assert time.monotonic() - begun_s < LONG_S
        assert policy.sizes == [2]
        begun_s = time.monotonic()
        one.ask(seen())
        assert time.monotonic() - begun_s >= LONG_S * 0.99


def test_clients_of_another_policy_are_nobody_to_wait_for(serve):
    address = serve({"policy": Echo(), "other": Echo()}, batch_wait_s=LONG_S)
    with client_of(address) as one, client_of(address) as two:
        one.ask(seen())
        two.ask(seen(robot_rl__policy="other"))
        begun_s = time.monotonic()
        one.ask(seen())
        assert time.monotonic() - begun_s < LONG_S


def test_a_slow_policy_does_not_hold_up_another(serve):
    slow = Echo()
    address = serve({"slow": slow, "fast": Echo()})
    slow.hold.clear()
    with client_of(address) as one, client_of(address) as two:
        one.send(seen())
        for _ in range(5):
            assert two.ask(seen(robot_rl__policy="fast"))
        slow.hold.set()
        assert one.receive()
