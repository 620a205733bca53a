from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.arbiter import Arbiter
from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Source

POLICY = np.array([0.5, -0.5], np.float32)
HUMAN = np.array([-1.0, 1.0], np.float32)
DRIVES = OperatorInput(active=True, action=HUMAN)
WATCHES = OperatorInput(active=False, action=HUMAN)


def play(arbiter: Arbiter, person: str) -> str:
    """Letters of who drives: person's script `h` (drives) and `.` (watches) in, P H - out."""
    letters = {Source.POLICY: "P", Source.HUMAN: "H", Source.HOLD: "-"}
    decisions = [arbiter.decide(POLICY, DRIVES if c == "h" else WATCHES) for c in person]
    return "".join(letters[d.source] for d in decisions)


def test_policy_drives_without_a_person():
    decision = Arbiter(0.1).decide(POLICY, None)
    np.testing.assert_array_equal(decision.action, POLICY)
    assert decision.source == Source.POLICY
    assert not decision.intervention_start


def test_person_wins_in_the_same_tick():
    arbiter = Arbiter(0.1)
    arbiter.decide(POLICY, WATCHES)
    decision = arbiter.decide(POLICY, DRIVES)
    np.testing.assert_array_equal(decision.action, HUMAN)
    assert decision.source == Source.HUMAN


def test_arm_is_held_for_the_release_time_then_the_policy_goes_on():
    # 0.3 s at 0.1 s a tick: three held ticks, from the tick that sees the release.
    assert play(Arbiter(0.1, release_s=0.3), ".hh....") == "PHH---P"


def test_release_time_is_rounded_up_to_whole_ticks():
    assert play(Arbiter(0.1, release_s=0.31), "h.....") == "H----P"


def test_no_release_time_hands_back_at_once():
    assert play(Arbiter(0.1, release_s=0.0), "h..") == "HPP"


def test_policy_does_not_go_on_by_itself_where_that_is_asked_for():
    arbiter = Arbiter(0.1, release_s=0.2, after_release="hold")
    assert play(arbiter, "h" + "." * 30) == "H" + "-" * 30
    arbiter.resume()
    assert play(arbiter, ".") == "P"


def test_held_action_is_zero():
    arbiter = Arbiter(0.1)
    arbiter.decide(POLICY, DRIVES)
    np.testing.assert_array_equal(arbiter.decide(POLICY, WATCHES).action, [0, 0])


def test_held_gripper_keeps_the_persons_last_value():
    arbiter = Arbiter(0.1, gripper=True)
    arbiter.decide(POLICY, DRIVES)
    np.testing.assert_array_equal(arbiter.decide(POLICY, WATCHES).action, [0, 1])


def starts(arbiter: Arbiter, person: str) -> list[int]:
    decisions = [arbiter.decide(POLICY, DRIVES if c == "h" else WATCHES) for c in person]
    return [i for i, d in enumerate(decisions) if d.intervention_start]


def test_intervention_starts_only_on_the_first_human_step():
    # Back within the release time (step 4) is the same intervention; step 9 comes after policy.
    assert starts(Arbiter(0.1, release_s=0.2), "..h.hh...hh") == [2, 9]


def test_reset_ends_an_intervention():
    arbiter = Arbiter(0.1, after_release="hold")
    play(arbiter, "h.")
    arbiter.reset()
    assert play(arbiter, ".") == "P"
    assert starts(arbiter, "h") == [0]


def test_unknown_rule_after_release_is_refused():
    with pytest.raises(ConfigError, match="'never'"):
        Arbiter(0.1, after_release="never")
