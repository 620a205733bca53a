import subprocess
import sys
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
import pytest
from wire_toys import WRIST, make_observation, make_spec, make_task, planning, serving

from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.spec import JOINT_POSITION, ImageSpec, ObservationSpec, VectorSpec
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.remote.remote_policy import RemotePolicyConfig


def summed(asked):
    """A plan that shows what it was made from."""
    seen = asked.request.window[-1]
    value = np.tanh(seen.vectors[JOINT_POSITION].sum()) + seen.images[WRIST].mean() / 1e4
    plan = np.full((4, 3), value / 2, np.float32)
    return plan if asked.request.noise is None else plan + asked.request.noise / 10


class Server:
    """What is served can be changed while it runs."""

    def __init__(self, spec):
        self.spec, self.version = spec, 0

    def handler(self):
        return planning(summed, lambda: self.spec, lambda: self.version)


@pytest.fixture
def build():
    """Connect to a server; what was built is closed with the test."""
    with ExitStack() as stack:

        def connect(port, task, **options):
            config = RemotePolicyConfig(url=f"ws://127.0.0.1:{port}", **options)
            return stack.enter_context(closing(config.build(task)))

        yield connect


def test_plans_are_those_of_the_policy_behind(start, build):
    spec = make_spec(noise=(4, 3))
    policy = build(start(Server(spec).handler()), make_task(spec))
    noise = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    requests = [PlanRequest(window=(make_observation(i),), noise=noise) for i in range(3)]

    plans = policy.infer(requests)

    assert policy.spec == spec
    assert plans.dtype == np.float32
    for plan, request in zip(plans, requests, strict=True):
        seen = request.window[0]
        value = np.tanh(seen.vectors[JOINT_POSITION].sum()) + seen.images[WRIST].mean() / 1e4
        np.testing.assert_allclose(plan, value / 2 + noise / 10, rtol=1e-5)
    assert policy.infer([]).shape == (0, 4, 3)


def test_what_does_not_fit_is_told_all_at_once(start, build):
    spec = make_spec()
    port = start(Server(spec).handler())
    observation = ObservationSpec(
        vectors={
            JOINT_POSITION: VectorSpec(names=("q0", "q1"), unit="deg"),
        },
        images={"observation.images.wrst": ImageSpec(height=6, width=8)},
    )
    action = replace(spec.action, scale=(0.1, 0.2, 0.3), period_s=0.1)

    with pytest.raises(ContractError) as caught:
        build(port, make_task(spec, observation=observation, action=action))

    for words in (
        "rad, the task has [q0, q1] deg",
        "needs 6x8, the task has none; did you mean 'observation.images.wrst'?",
        "action scale: the policy has (0.1, 0.2, 4.0), the task (0.1, 0.2, 0.3)",
        "action period_s: the policy has 0.05, the task 0.1",
    ):
        assert words in str(caught.value)


def test_a_task_may_offer_more_than_the_policy_looks_at(start, build):
    spec = make_spec()
    more = ObservationSpec(
        vectors={**spec.observation.vectors, "more": VectorSpec(names=("a",), unit="m")},
        images={**spec.observation.images, "another": ImageSpec(height=1, width=1)},
    )
    policy = build(start(Server(spec).handler()), make_task(spec, observation=more))

    assert policy.spec == spec


def test_exchanged_weights_are_refused_by_who_learns_on_top_of_the_old_ones(start, build):
    spec = make_spec()
    server = Server(spec)
    policy = build(start(server.handler()), make_task(spec))
    request = PlanRequest(window=(make_observation(),))
    policy.infer([request])
    server.version, server.spec = 5, replace(spec, fingerprint="new")
    with pytest.raises(ContractError, match="exchanged, version 5"):
        policy.infer([request])
    server.version, server.spec = 6, spec
    policy.infer([request])


def test_exchanged_weights_count_and_are_told_where_that_is_wanted(start, build):
    spec = make_spec()
    server = Server(spec)
    policy = build(start(server.handler()), make_task(spec), frozen=False)
    request = PlanRequest(window=(make_observation(),))
    before = policy.version
    server.version, server.spec = 5, replace(spec, fingerprint="new")

    policy.infer([request])

    assert (before, policy.version) == (0, 5)


@pytest.mark.parametrize("change", [{"execute": 1}, {"name": "other"}])
def test_another_policy_after_a_restart_is_refused(change, build):
    spec = make_spec()
    request = PlanRequest(window=(make_observation(),))
    with serving(Server(spec).handler()) as port:
        policy = build(port, make_task(spec), frozen=False)
        policy.infer([request])
    with pytest.raises(HardwareError):
        policy.infer([request])
    with serving(Server(replace(spec, fingerprint="x")).handler(), port=port):
        policy.infer([request])
    another = Server(replace(spec, **change)).handler()
    with serving(another, port=port), pytest.raises(ContractError, match="started anew"):
        policy.infer([request])


def test_requests_that_do_not_fit_stay_here(start, build):
    spec = make_spec(noise=(4, 3))
    policy = build(start(Server(spec).handler()), make_task(spec))

    with pytest.raises(ContractError, match="noise"):
        policy.infer([PlanRequest(window=(make_observation(),))])


def test_a_policy_that_is_not_served_is_named(start, build):
    spec = make_spec()
    port = start(Server(spec).handler())

    with pytest.raises(ContractError, match="did you mean 'toy'"):
        build(port, make_task(spec), policy="tox")
    with pytest.raises(ConfigError, match="api_key_file"):
        build(port, make_task(spec), api_key_file="/nonexistent")


def test_a_client_needs_no_torch():
    code = (
        "import sys, robot_rl.policies.remote.remote_policy, robot_rl.policies.remote.bulk\n"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
