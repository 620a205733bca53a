from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.spec import ActionSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.policies.base import PlanRequest, PolicySpec, check_request
from robot_rl.policies.episode_policy import EpisodePolicy, RememberingPlayer

KEY = "observation.state"
SEEN = ObservationSpec(vectors={KEY: VectorSpec(names=("x",), unit="m")})
ACTION = ActionSpec(kind="tcp_delta", names=("x",), scale=(0.1,), period_s=0.1)


def spec(**changes) -> PolicySpec:
    fields = {"name": "echo", "fingerprint": "f", "observation": SEEN, "action": ACTION}
    return PolicySpec(**(fields | {"horizon": 4, "execute": 2} | changes))


def at(stamp_ns: int) -> Observation:
    return Observation(stamp_ns=stamp_ns, vectors={KEY: np.array([stamp_ns / 100], np.float32)})


class Echo:
    """Plans what it was asked with: the window, then noise; remembers the requests."""

    def __init__(self, **changes) -> None:
        self.spec = spec(**changes)
        self.requests: list[PlanRequest] = []

    def infer(self, requests):
        self.requests += requests
        for request in requests:
            check_request(self.spec, request)
        plans = np.zeros((len(requests), self.spec.horizon, 1), np.float32)
        for plan, request in zip(plans, requests, strict=True):
            for row, seen in enumerate(request.window):
                plan[row] = seen.vectors[KEY]
            if request.noise is not None:
                plan += request.noise
        return plans


def stamps(request: PlanRequest) -> list[int]:
    return [seen.stamp_ns for seen in request.window]


def test_the_same_seed_draws_the_same_noise_and_another_another():
    policy = EpisodePolicy(Echo(noise=(4, 1)))
    plans = []
    for seed in (1, 1, 2):
        policy.reset(seed)
        plans.append(policy.act(at(5)).values)
    np.testing.assert_array_equal(plans[0], plans[1])
    assert (plans[0] != plans[2]).any()


def test_a_policy_that_nothing_steers_gets_no_noise():
    base = Echo()
    EpisodePolicy(base).act(at(5))
    assert base.requests[0].noise is None


def test_a_chunk_begins_at_the_observation_it_was_planned_from():
    chunk = EpisodePolicy(Echo()).act(at(500))
    assert (chunk.start_ns, chunk.dt_s, chunk.values.shape) == (500, 0.1, (4, 1))


def test_the_window_holds_every_control_period_also_those_in_which_nothing_is_planned():
    base = Echo(history=3)
    policy = EpisodePolicy(base, observed=True)
    player = RememberingPlayer(ChunkPlayer(policy, 2), policy)
    player.reset(0)
    for stamp in (10, 20, 30, 40, 50):
        player.next(at(stamp))
    assert [stamps(r) for r in base.requests] == [[10, 10, 10], [10, 20, 30], [30, 40, 50]]


def test_nothing_of_an_episode_before_is_in_the_window_whatever_its_stamps():
    base = Echo(history=2)
    policy = EpisodePolicy(base, observed=True)
    player = RememberingPlayer(ChunkPlayer(policy, 1), policy)
    for _ in range(2):
        player.reset(0)
        player.next(at(100))
        player.next(at(110))
    assert [stamps(r) for r in base.requests] == [[100, 100], [100, 110]] * 2


def test_a_plan_from_an_earlier_instant_does_not_see_what_came_after():
    base = Echo(history=2)
    policy = EpisodePolicy(base, observed=True)
    for stamp in (10, 20, 30):
        policy.observe(at(stamp))
    policy.act(at(20))
    assert stamps(base.requests[0]) == [10, 20]


def test_a_seed_given_late_by_a_planners_thread_forgets_nothing_that_was_observed():
    base = Echo(history=2)
    policy = EpisodePolicy(base, observed=True)
    policy.observe(at(10))
    policy.reset(3)
    policy.act(at(20))
    assert stamps(base.requests[0]) == [10, 20]


def test_a_plan_that_is_not_finite_is_refused():
    class Broken(Echo):
        def infer(self, requests):
            return super().infer(requests) * np.float32("nan")

    with pytest.raises(ContractError, match="not finite"):
        EpisodePolicy(Broken()).act(at(1))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (PlanRequest(window=()), "got 0 observations, expected 1"),
        (PlanRequest(window=(Observation(stamp_ns=0, vectors={}),)), "missing vector"),
        (
            PlanRequest(window=(Observation(stamp_ns=0, vectors={KEY: np.zeros(2, "f4")}),)),
            r"float32\[2\]|\(2,\)|\[2\]",
        ),
        (PlanRequest(window=(at(0),), noise=np.zeros((4, 1), "f4")), "noise of shape"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_what_was_expected(request_, words):
    with pytest.raises(ContractError, match=words):
        check_request(spec(), request_)


@pytest.mark.parametrize("changes", [{"execute": 0}, {"execute": 5}, {"history": 0}])
def test_a_spec_that_cannot_be_played_is_refused(changes):
    with pytest.raises(ConfigError):
        spec(**changes)
