from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.core.types import ActionChunk, Observation

OBSERVATION = Observation(stamp_ns=0, vectors={})


class CountingPolicy:
    """Plans 4 actions: plan number and place in the plan, [10, 11, 12, 13], [20, 21, ..."""

    fingerprint = "counting"

    def __init__(self) -> None:
        self.plans = 0
        self.seeds: list[int] = []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def act(self, observation: Observation) -> ActionChunk:
        self.plans += 1
        values = 10 * self.plans + np.arange(4, dtype=np.float32)[:, None]
        return ActionChunk(values=values, start_ns=observation.stamp_ns, dt_s=0.1)


def play(player: ChunkPlayer, steps: int) -> list[int]:
    return [int(player.next(OBSERVATION)[0]) for _ in range(steps)]


def test_executes_exactly_as_many_actions_as_asked_for():
    player = ChunkPlayer(CountingPolicy(), execute=3)
    assert play(player, 7) == [10, 11, 12, 20, 21, 22, 30]
    assert player.plans == 3


def test_the_whole_chunk_may_be_executed():
    assert play(ChunkPlayer(CountingPolicy(), execute=4), 5) == [10, 11, 12, 13, 20]


def test_queue_does_not_survive_a_reset():
    policy = CountingPolicy()
    player = ChunkPlayer(policy, execute=3)
    player.reset(1)
    play(player, 1)
    player.reset(2)
    assert play(player, 1) == [20]
    assert policy.seeds == [1, 2]


def test_replan_drops_the_rest_without_a_reset():
    policy = CountingPolicy()
    player = ChunkPlayer(policy, execute=3)
    play(player, 2)
    player.replan()
    assert play(player, 1) == [20]
    assert policy.seeds == []


def test_actions_are_apart_from_the_policys_own_memory():
    player = ChunkPlayer(CountingPolicy(), execute=3)
    player.next(OBSERVATION)[:] = -1
    assert play(player, 1) == [11]


def test_chunk_shorter_than_what_is_to_be_executed_is_refused():
    with pytest.raises(ContractError, match="planned 4 actions, 5 are to be"):
        ChunkPlayer(CountingPolicy(), execute=5).next(OBSERVATION)


def test_executing_nothing_is_refused():
    with pytest.raises(ConfigError, match="execute: got 0"):
        ChunkPlayer(CountingPolicy(), execute=0)


def test_fingerprint_is_the_policys():
    assert ChunkPlayer(CountingPolicy(), execute=1).fingerprint == "counting"
