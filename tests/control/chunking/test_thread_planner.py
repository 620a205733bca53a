"""Planning in a thread. The policy waits for the test, so nothing here depends on speed."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import PlanContext, PlannerError, Unguided
from robot_rl.control.chunking.thread_planner import ThreadPlanner
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ContractError
from robot_rl.core.types import ActionChunk, Observation, Vector

CONTEXT = PlanContext(ahead=np.zeros((0, 0), np.float32), frozen=0)
LONG_S = 60.0


class GatedPolicy:
    """Plans [stamp, seed, ...] when the test opens its gate, once for each opening."""

    fingerprint = "gated"

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.threads: set[int] = set()
        self.seed = -1
        self.error: BaseException | None = None

    def reset(self, seed: int) -> None:
        self.threads.add(threading.get_ident())
        self.seed = seed

    def act(self, observation: Observation) -> ActionChunk:
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.acquire(timeout=LONG_S)
        if self.error is not None:
            raise self.error
        row = [observation.stamp_ns, self.seed]
        return ActionChunk(values=np.float32([row] * 3), start_ns=observation.stamp_ns, dt_s=0.1)


def at(stamp_ns: int) -> Observation:
    return Observation(stamp_ns=stamp_ns, vectors={})


def wait_for(planner: ThreadPlanner) -> ActionChunk:
    deadline_s = time.monotonic() + LONG_S
    while (chunk := planner.poll()) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    return chunk


def wait_until_free(planner: ThreadPlanner) -> None:
    deadline_s = time.monotonic() + LONG_S
    while planner.busy:
        assert planner.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def play(player: AsyncChunkPlayer) -> Vector:
    """The next action, however long it takes."""
    deadline_s = time.monotonic() + LONG_S
    while (action := player.next(at(10))) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    return action


@pytest.fixture
def policy():
    made = GatedPolicy()
    yield made
    made.gate.release(99)


def test_start_and_poll_do_not_wait_for_the_policy(policy):
    planner = ThreadPlanner(Unguided(policy))
    assert not planner.busy
    planner.start(at(5), CONTEXT)
    assert planner.busy
    assert [planner.poll() for _ in range(3)] == [None] * 3
    policy.gate.release()
    assert wait_for(planner).values[0, 0] == 5
    assert not planner.busy
    assert planner.poll() is None
    assert planner.fingerprint == "gated"


def test_the_policy_is_touched_by_one_thread_only_and_not_by_the_callers(policy):
    planner = ThreadPlanner(Unguided(policy))
    for stamp_ns in (1, 2):
        planner.reset(stamp_ns)
        policy.gate.release()
        planner.start(at(stamp_ns), CONTEXT)
        assert wait_for(planner).values[0].tolist() == [stamp_ns, stamp_ns]
    assert len(policy.threads) == 1
    assert threading.get_ident() not in policy.threads


def test_reset_waits_for_nothing_and_seeds_what_is_planned_next(policy):
    planner = ThreadPlanner(Unguided(policy))
    planner.reset(1)
    planner.start(at(10), CONTEXT)
    assert policy.entered.acquire(timeout=LONG_S)
    planner.reset(2)
    # Still at the plan of the episode before, and so not seeded yet.
    assert planner.busy
    assert policy.seed == 1
    policy.gate.release()
    wait_until_free(planner)
    planner.start(at(20), CONTEXT)
    policy.gate.release()
    assert wait_for(planner).values[0].tolist() == [20, 2]


def test_a_discarded_plan_is_never_handed_out(policy):
    planner = ThreadPlanner(Unguided(policy))
    planner.start(at(10), CONTEXT)
    planner.discard()
    policy.gate.release()
    wait_until_free(planner)
    planner.start(at(20), CONTEXT)
    policy.gate.release()
    assert wait_for(planner).start_ns == 20


def test_starting_while_busy_is_refused(policy):
    planner = ThreadPlanner(Unguided(policy))
    planner.start(at(10), CONTEXT)
    with pytest.raises(ContractError, match="busy"):
        planner.start(at(20), CONTEXT)


@pytest.mark.parametrize("error", [ValueError("no such key"), SystemExit(3)])
@pytest.mark.parametrize("discarded", [False, True])
def test_a_policy_that_fails_or_ends_its_thread_is_reported_once(policy, error, discarded):
    policy.error = error
    planner = ThreadPlanner(Unguided(policy))
    planner.start(at(10), CONTEXT)
    if discarded:
        planner.discard()
    policy.gate.release()
    with pytest.raises(PlannerError, match=f"failed to plan: {type(error).__name__}") as raised:
        wait_for(planner)
    assert raised.value.__cause__ is error
    assert planner.poll() is None
    # It can be asked again.
    policy.error = None
    policy.gate.release()
    planner.start(at(20), CONTEXT)
    assert wait_for(planner).start_ns == 20


def test_the_thread_ends_with_the_planner(policy):
    planner = ThreadPlanner(Unguided(policy))
    policy.gate.release()
    planner.start(at(10), CONTEXT)
    wait_for(planner)
    (thread,) = [t for t in threading.enumerate() if t.ident in policy.threads]
    gone = weakref.ref(planner)
    del planner
    gc.collect()
    assert gone() is None
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_the_player_rests_while_the_thread_plans_and_reports_its_failure(policy):
    clock = ManualClock(start_ns=10)
    config = ChunkingConfig(max_action_age_s=1.0)
    player = AsyncChunkPlayer(ThreadPlanner(Unguided(policy)), clock, config, execute=1)
    player.reset(4)
    assert [player.next(at(10)) for _ in range(3)] == [None] * 3
    policy.gate.release()
    assert play(player).tolist() == [10, 4]
    policy.error = ValueError("no such key")
    policy.gate.release()
    for _ in range(2):
        play(player)
    with pytest.raises(PlannerError, match="no such key"):
        play(player)
