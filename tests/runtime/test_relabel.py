from __future__ import annotations

import numpy as np

from robot_rl.control.chunk_player import ChunkPlayer
from robot_rl.core.types import Source
from robot_rl.runtime.relabel import relabel_base

F = np.float32


def demonstration(kit, seed=5):
    env, _ = kit.env()
    person = kit.Person(range(10), (1.0, 0.0))
    rollout = kit.rollout(env, kit.agent(), operator=person, human_source=Source.DEMO)
    return rollout.run("demo", seed, kit.metadata(seed))


def test_base_acts_at_every_recorded_instant_with_the_queue_it_has_online(kit):
    # Three steps of 0.1 rad; plans of two actions begin at q0 = 0.0 and 0.2.
    base = kit.PlanPolicy()
    relabelled = relabel_base(demonstration(kit), ChunkPlayer(base, 2))
    expected = np.array([[0.010, 0.0], [0.011, 0.0], [0.020, 0.2], [0.021, 0.2]], F)
    assert np.allclose(relabelled.base_action, expected, atol=1e-6)
    assert base.plans == 2
    last = list(relabelled.transitions())[-1]
    assert np.allclose(last.base_action, [0.020, 0.2])
    assert np.allclose(last.next_base_action, [0.021, 0.2])


def test_the_recording_stays_as_it_is(kit):
    demo = demonstration(kit)
    relabelled = relabel_base(demo, ChunkPlayer(kit.PlanPolicy(), 2))
    assert not demo.base_action.any()
    assert np.array_equal(relabelled.action, demo.action)
    assert np.array_equal(relabelled.reward, demo.reward)
    assert relabelled.episode_id == demo.episode_id
    assert relabelled.metadata == demo.metadata


def test_no_queue_of_one_episode_reaches_the_next(kit):
    base = kit.PlanPolicy()
    player = ChunkPlayer(base, 3)
    relabel_base(demonstration(kit, 5), player)
    again = relabel_base(demonstration(kit, 6), player)
    # Four instants took plans 1 and 2; the two actions left of plan 2 are dropped.
    assert again.base_action[0, 0] == F(0.030)
    assert base.seeds == [5, 6]
