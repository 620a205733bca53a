"""What a scrubber shows of one episode."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.spec import WRENCH
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.session.columns import columns_of

STEPS = 6


@pytest.fixture
def episode() -> Episode:
    """Policy, person, person, nobody, policy that the gate refuses, policy that it bends."""
    wrench = np.zeros((STEPS + 1, 6), np.float32)
    wrench[2, :2] = (3, 4)
    wrench[3, 0] = np.nan
    column = np.arange(STEPS, dtype=np.float32)[:, None]
    source = [Source.POLICY, Source.HUMAN, Source.HUMAN, Source.HOLD] + [Source.POLICY] * 2
    reason = [GateReason.PASSED] * 4 + [GateReason.STALE_COMMAND, GateReason.VELOCITY]
    return Episode(
        episode_id="online-7",
        metadata=EpisodeMetadata(task="plug", operator="ann", seed=7),
        outcome=Outcome.FAILURE,
        terminated=True,
        truncated=False,
        stamps_ns=5 * 10**9 + np.arange(STEPS + 1) * 10**8,
        ages_s=np.zeros(STEPS + 1, np.float32),
        vectors={WRENCH: wrench},
        images={},
        action=column,
        base_action=np.append(column + 10, [[np.inf]], axis=0).astype(np.float32),
        proposed_action=column + 20,
        reward=np.array([0, 0, 0, 0, 0, -1], np.float32),
        source=np.array(source, np.uint8),
        intervention_start=np.array([0, 1, 0, 0, 0, 0], np.bool_),
        gate_reason=np.array(reason, np.uint8),
        inference_s=np.zeros(STEPS, np.float32),
        lateness_s=np.zeros(STEPS, np.float32),
        policy_version=np.zeros(STEPS, np.int64),
    )


def test_columns_say_what_happened_in_each_step(episode):
    columns = columns_of(episode)
    assert columns["t_s"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert columns["source"] == ["policy", "human", "human", "hold", "policy", "policy"]
    assert columns["gate_reason"] == [*["passed"] * 4, "stale_command", "velocity"]
    assert columns["reward"] == [0, 0, 0, 0, 0, -1]
    # At the end of each step; what is not finite is nothing.
    assert columns["force_n"] == [0, 5, None, 0, 0, 0]
    assert columns["actions"] == {
        "base": [[10 + i] for i in range(STEPS)],
        "proposed": [[20 + i] for i in range(STEPS)],
        "executed": [[i] for i in range(STEPS)],
    }
    assert (columns["episode_id"], columns["steps"], columns["seed"]) == ("online-7", STEPS, 7)
    assert (columns["outcome"], columns["terminated"]) == ("failure", True)
    assert (columns["assisted"], columns["operator"]) == (True, "ann")


def test_interventions_and_holds_are_bands(episode):
    columns = columns_of(episode)
    assert columns["bands"] == [
        {"kind": "human", "begin": 1, "end": 3},
        {"kind": "hold", "begin": 3, "end": 5},
    ]
    assert columns["take_overs"] == [1]


def test_a_demonstration_is_a_persons_band_from_end_to_end(episode):
    demo = dataclasses.replace(
        episode,
        source=np.full(STEPS, Source.DEMO, np.uint8),
        gate_reason=np.zeros(STEPS, np.uint8),
    )
    assert columns_of(demo)["bands"] == [{"kind": "human", "begin": 0, "end": STEPS}]


def test_it_is_strict_json_also_without_a_wrench(episode):
    blind = dataclasses.replace(episode, vectors={})
    for made in (episode, blind):
        assert json.loads(json.dumps(columns_of(made), allow_nan=False)) == columns_of(made)
    assert columns_of(blind)["force_n"] == [None] * STEPS
