from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.operator_lease import LeaseChange
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Source

F = np.float32
POLICY = np.array([0.5, -0.5], F)
HUMAN = np.array([-1.0, 1.0], F)
DRIVES = OperatorInput(active=True, action=HUMAN)
WATCHES = OperatorInput(active=False, action=HUMAN)
GIVES_BACK = OperatorInput(active=False, action=HUMAN, give_back=True)
LETTERS = {Source.POLICY: "P", Source.HUMAN: "H", Source.HOLD: "-"}
PERIOD_S = 0.1
START_NS = 50_000_000_000


class Desk:
    """An arbiter and its clock: one letter of a person's script is one tick.

    `h` drives, `.` watches, `b` gives back; capitals `H`, `W`, `B` likewise, with a device that
    was heard just now; `s`, `S`: such a device, at rest or pushed, last heard 0.15 s ago; `x`: the
    device is gone; `0`: nobody is there.
    """

    def __init__(self, *, gripper: bool = False, **rule: object) -> None:
        names = ("x", "gripper" if gripper else "y")
        action = ActionSpec(kind="joint_delta", names=names, scale=(0.1, 0.1), period_s=PERIOD_S)
        self.clock = ManualClock(START_NS)
        self.arbiter = Arbiter(action, self.clock, HandOver(**rule), operator="Ada")
        self.starts: list[int] = []

    def said(self, letter: str) -> OperatorInput | None:
        if letter in "0x":
            return None
        fields = {"active": letter in "hHS", "give_back": letter in "bB", "action": HUMAN}
        if letter in "HWBsS":
            heard_ns = self.clock.now_ns() - (150_000_000 if letter in "sS" else 0)
            return OperatorInput(**fields, heard_ns=heard_ns)
        return OperatorInput(**fields)

    def play(self, person: str, proposed: np.ndarray | None = POLICY) -> str:
        letters = ""
        self.starts = []
        for tick, letter in enumerate(person):
            if letter == "x":
                self.arbiter.lose("unplugged")
            decision = self.arbiter.decide(proposed, self.said(letter))
            letters += LETTERS[decision.source]
            if decision.intervention_start:
                self.starts.append(tick)
            self.clock.advance_s(PERIOD_S)
        return letters

    def changes(self) -> list[tuple[float, LeaseChange]]:
        events = self.arbiter.events
        assert all(e.operator == "Ada" for e in events)
        return [(round((e.stamp_ns - START_NS) / 1e9, 3), e.change) for e in events]


def test_policy_drives_without_a_person():
    decision = Desk().arbiter.decide(POLICY, None)
    np.testing.assert_array_equal(decision.action, POLICY)
    assert decision.source == Source.POLICY
    assert not decision.intervention_start


def test_person_wins_in_the_same_tick():
    arbiter = Desk().arbiter
    arbiter.decide(POLICY, WATCHES)
    decision = arbiter.decide(POLICY, DRIVES)
    np.testing.assert_array_equal(decision.action, HUMAN)
    assert decision.source == Source.HUMAN


def test_arm_is_held_for_the_release_time_then_the_policy_goes_on():
    # 0.3 s at 0.1 s a tick: three held ticks, from the tick that sees the release.
    assert Desk(release_s=0.3).play(".hh....") == "PHH---P"


def test_release_time_is_rounded_up_to_whole_ticks():
    assert Desk(release_s=0.31).play("h.....") == "H----P"


def test_no_release_time_hands_back_at_once():
    assert Desk(release_s=0.0).play("h..") == "HPP"


def test_policy_does_not_go_on_by_itself_where_that_is_asked_for():
    desk = Desk(release_s=0.2, after_release="hold")
    assert desk.play("h" + "." * 30) == "H" + "-" * 30
    desk.arbiter.resume()
    assert desk.play(".") == "P"


def test_a_person_gives_the_arm_back_from_the_device():
    assert Desk(release_s=0.2, after_release="hold").play("h....b.") == "H----PP"
    assert Desk(release_s=0.5).play("h.b.") == "H-PP"


def test_giving_back_while_driving_does_nothing():
    both = OperatorInput(active=True, action=HUMAN, give_back=True)
    desk = Desk(after_release="hold")
    assert desk.arbiter.decide(POLICY, both).source == Source.HUMAN
    assert desk.play("..") == "--"


def test_held_action_is_zero():
    arbiter = Desk().arbiter
    arbiter.decide(POLICY, DRIVES)
    np.testing.assert_array_equal(arbiter.decide(POLICY, WATCHES).action, [0, 0])


def test_held_gripper_keeps_the_last_value_of_whoever_drove():
    desk = Desk(gripper=True)
    desk.arbiter.decide(POLICY, DRIVES)
    np.testing.assert_array_equal(desk.arbiter.decide(POLICY, WATCHES).action, [0, 1])
    desk = Desk(gripper=True)
    desk.arbiter.decide(POLICY, WATCHES)
    desk.arbiter.hold()
    np.testing.assert_array_equal(desk.arbiter.decide(HUMAN, WATCHES).action, [0, -0.5])


@pytest.mark.parametrize("bad", [np.zeros(0, F), np.zeros((2, 2), F), np.array([0, np.nan], F)])
def test_what_is_no_action_is_left_to_the_gate_and_does_not_spoil_the_hold(bad):
    desk = Desk(gripper=True)
    desk.play(".")
    assert desk.arbiter.decide(bad, WATCHES).action is bad
    assert desk.arbiter.decide(POLICY, OperatorInput(active=True, action=bad)).action is bad
    np.testing.assert_array_equal(desk.arbiter.decide(POLICY, WATCHES).action, [0, -0.5])


def test_intervention_starts_only_on_the_first_human_step():
    # Back within the release time (step 4) is the same intervention; step 9 comes after policy.
    desk = Desk(release_s=0.2)
    desk.play("..h.hh...hh")
    assert desk.starts == [2, 9]


def test_reset_ends_an_intervention():
    desk = Desk(after_release="hold")
    desk.play("h.")
    desk.arbiter.reset()
    assert desk.play(".") == "P"
    desk.play("h")
    assert desk.starts == [0]


def test_nobody_drives_while_the_policy_has_nothing_to_say():
    desk = Desk()
    assert desk.play(".h", None) == "-H"
    np.testing.assert_array_equal(desk.arbiter.decide(None, WATCHES).action, [0, 0])


def test_silence_of_the_dead_man_ends_the_lease_and_the_policy_does_not_go_on():
    desk = Desk(release_s=0.1, dead_man_s=0.1)
    assert desk.play("WHH" + "S" * 30) == "PHH" + "-" * 30
    assert desk.arbiter.lost
    assert desk.changes() == [(0.1, LeaseChange.TAKEN), (0.3, LeaseChange.DEAD_MAN)]
    assert "nothing heard for 0.150 s, at most 0.1 s" in desk.arbiter.events[-1].detail


def test_silence_up_to_the_limit_is_borne():
    desk = Desk(dead_man_s=0.15)
    assert desk.play("HSS") == "HHH"


def test_a_frozen_reader_of_the_device_counts_as_silence():
    # The same input again and again, as from a thread that has died: its stamp grows old.
    desk = Desk(dead_man_s=0.3)
    frozen = desk.said("H")
    sources = []
    for _ in range(6):
        sources.append(LETTERS[desk.arbiter.decide(POLICY, frozen).source])
        desk.clock.advance_s(PERIOD_S)
    assert "".join(sources) == "HHHH--"


def test_a_lost_device_ends_the_lease_and_the_policy_does_not_go_on():
    desk = Desk(release_s=0.1)
    assert desk.play("HH" + "x" * 3 + "0" * 20) == "HH" + "-" * 23
    assert desk.changes() == [(0.0, LeaseChange.TAKEN), (0.2, LeaseChange.DEVICE_LOST)]
    assert desk.arbiter.events[-1].detail == "unplugged"


def test_the_arm_is_held_if_the_device_is_lost_while_the_policy_drives():
    # Nobody could take over.
    desk = Desk()
    assert desk.play("WWssss") == "PP----"


def test_a_device_that_comes_back_at_rest_moves_nothing_by_itself():
    desk = Desk(release_s=0.1)
    assert desk.play("Hx" + "W" * 20) == "H-" + "-" * 20
    assert not desk.arbiter.lost
    assert desk.changes()[-1] == (0.2, LeaseChange.BACK)


def test_a_device_that_comes_back_pushed_moves_nothing_before_it_was_at_rest():
    assert Desk().play("HxHHHWHH") == "H-----HH"


def test_after_a_loss_a_take_over_and_its_release_give_the_arm_to_the_policy():
    assert Desk(release_s=0.2).play("HxWWHWWWW") == "H---H--PP"


def test_after_a_loss_the_person_can_give_the_arm_back():
    assert Desk().play("HxWWBW") == "H---PP"


def test_a_lost_device_cannot_give_the_arm_back():
    desk = Desk()
    desk.play("Hx")
    silent = OperatorInput(active=False, action=HUMAN, heard_ns=0, give_back=True)
    assert desk.arbiter.decide(POLICY, silent).source == Source.HOLD


def test_the_next_episode_does_not_forget_a_loss():
    desk = Desk()
    desk.play("Hx")
    desk.arbiter.reset()
    assert desk.play("xW.") == "---"
    desk.arbiter.reset()
    assert desk.play("WHW") == "-H-"


def test_a_first_take_over_after_a_loss_under_the_policy_starts_an_intervention():
    desk = Desk()
    assert desk.play("WsWHH") == "P--HH"
    assert desk.starts == [3]


@pytest.mark.parametrize("ahead_s", [0.001, 3600.0])
def test_a_stamp_of_another_clock_that_runs_ahead_drives_nothing(ahead_s):
    desk = Desk()
    heard_ns = desk.clock.now_ns() + round(ahead_s * 1e9)
    ahead = OperatorInput(active=True, action=HUMAN, heard_ns=heard_ns)
    assert desk.arbiter.decide(POLICY, ahead).source == Source.HOLD
    assert "by the clock of the bench" in desk.arbiter.events[-1].detail


def test_a_hold_from_outside_ends_with_the_episode_and_not_with_a_take_over():
    desk = Desk(release_s=0.1)
    desk.arbiter.hold()
    assert desk.play("..hh....") == "--HH----"
    desk.arbiter.reset()
    assert desk.play(".") == "P"


def test_every_take_over_is_told_with_its_end():
    desk = Desk(release_s=0.1, dead_man_s=0.1)
    desk.play("WHHWWHSWHBW")
    desk.arbiter.reset()
    desk.play("H")
    desk.arbiter.reset()
    assert desk.changes() == [
        (0.1, LeaseChange.TAKEN),
        (0.3, LeaseChange.RELEASED),
        (0.5, LeaseChange.TAKEN),
        (0.6, LeaseChange.DEAD_MAN),
        (0.7, LeaseChange.BACK),
        (0.8, LeaseChange.TAKEN),
        (0.9, LeaseChange.RELEASED),
        (0.9, LeaseChange.GIVEN_BACK),
        (1.1, LeaseChange.TAKEN),
        (1.2, LeaseChange.EPISODE_ENDED),
    ]


def test_a_loss_is_said_once(caplog):
    desk = Desk()
    desk.play("H" + "s" * 5)
    assert caplog.text.count("the arm is held") == 1


def test_unknown_rule_after_release_is_refused():
    with pytest.raises(ConfigError, match="'never'"):
        HandOver(after_release="never")
