from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from robot_rl.control.operator_lease import LeaseChange, OperatorLease
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import DependencyError, HardwareError
from robot_rl.core.protocol import OperatorEvent
from robot_rl.core.spec import GRIPPER
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.hand import HandConfig, HandOperator
from robot_rl_hardware.operators.listener import Held

NOTHING = Observation(stamp_ns=0, vectors={})
ALL = ("x", "y", "z", "rx", "ry", "rz", "gripper")
BUTTONS = {
    "d": "dead_man",
    "g": "gripper",
    "t": "take_over",
    "b": "give_back",
    "s": "success",
    "f": "failure",
    "p": "pause",
    "e": "stop",
}


class Script:
    """A reader that says what it is fed."""

    name = "thing"

    def __init__(self, *, repeats: bool = False) -> None:
        self.repeats = repeats
        self.open_errors: list[Exception] = []
        self.opened = self.closed = self.reads = 0
        self._queue: queue.Queue[Held | Exception] = queue.Queue()
        self._fed = self._given = self._heard = 0
        self._changed = threading.Condition()

    def feed(self, *said: Held | Exception, until_heard: bool = True) -> None:
        """Returns once all of it was heard; after a failure, once it is opened again."""
        for one in said:
            self._queue.put(one)
        self._fed += len(said)
        if until_heard:
            self.until(lambda: self._heard >= self._fed)

    def idle(self) -> None:
        """Returns once nothing came twice."""
        reads = self.reads
        self.until(lambda: self.reads >= reads + 2)

    def until(self, true: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(true, 20)

    def open(self) -> None:
        with self._changed:
            self.opened += 1
            self._heard = self._given
            self._changed.notify_all()
        if self.open_errors:
            raise self.open_errors.pop(0)

    def read(self) -> Sequence[Held]:
        with self._changed:
            self._heard = self._given
            self.reads += 1
            self._changed.notify_all()
        try:
            said = self._queue.get(timeout=0.002)
        except queue.Empty:
            return ()
        self._given += 1
        if isinstance(said, Exception):
            raise said
        return (said,)

    def close(self) -> None:
        with self._changed:
            self.closed += 1
            self._changed.notify_all()


def pushed(x: float, *down: str) -> Held:
    return Held((x, 0.0, 0.0, 0.0, 0.0, 0.0), frozenset(down))


REST = pushed(0.0)


@contextmanager
def hand(*, repeats: bool = False, **changes: Any) -> Iterator[tuple[Any, Script, ManualClock]]:
    fields: dict[str, Any] = {"action": ALL, "buttons": BUTTONS, "retry_s": 0.001} | changes
    clock, script = ManualClock(5_000_000_000), Script(repeats=repeats)
    with HandOperator(HandConfig(**fields), script, clock) as operator:
        yield operator, script, clock


def gripper(opening_m: float) -> Observation:
    return Observation(stamp_ns=0, vectors={GRIPPER: np.array([opening_m], np.float32)})


def test_who_holds_the_dead_man_drives() -> None:
    with hand() as (operator, script, _):
        script.feed(pushed(0.55))
        said = operator.poll(NOTHING)
        assert not said.active
        assert not said.action.any()
        script.feed(pushed(0.55, "d"))
        said = operator.poll(NOTHING)
        assert said.active
        assert said.action.dtype == np.float32
        assert said.action.tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0, 1])


def test_who_touches_the_device_drives_if_that_is_wanted() -> None:
    with hand(dead_man="motion") as (operator, script, _):
        script.feed(pushed(0.09))
        assert not operator.poll(NOTHING).active
        script.feed(pushed(0.2))
        assert operator.poll(NOTHING).active
        script.feed(REST)
        assert not operator.poll(NOTHING).active


def test_what_the_task_does_not_have_takes_nothing_over() -> None:
    with hand(dead_man="motion", action=("y", "x")) as (operator, script, _):
        script.feed(Held((0.0, 0.0, 1.0, 0.0, 0.0, 0.0)))
        assert not operator.poll(NOTHING).active
        script.feed(Held((1.0, -1.0, 1.0, 0.0, 0.0, 0.0)))
        assert operator.poll(NOTHING).action.tolist() == [-1.0, 1.0]


def test_all_presses_between_two_polls_are_told_once_and_in_their_order() -> None:
    with hand() as (operator, script, _):
        script.feed(pushed(0, "s"), REST, pushed(0, "p"), pushed(0, "p", "s"), REST)
        said = operator.poll(NOTHING)
        assert said.events == (
            OperatorEvent.SUCCESS,
            OperatorEvent.PAUSE,
            OperatorEvent.SUCCESS,
        )
        assert operator.poll(NOTHING).events == ()


def test_the_last_word_on_who_drives_counts_and_is_told_once() -> None:
    with hand() as (operator, script, _):
        script.feed(pushed(0, "t"))
        said = operator.poll(NOTHING)
        assert (said.hold, said.give_back) == (True, False)
        said = operator.poll(NOTHING)
        assert (said.hold, said.give_back) == (False, False)
        script.feed(REST, pushed(0, "t"), REST, pushed(0, "b"))
        said = operator.poll(NOTHING)
        assert (said.hold, said.give_back) == (False, True)


def test_a_new_episode_is_not_judged_by_presses_of_the_one_before() -> None:
    with hand() as (operator, script, _):
        script.feed(pushed(0, "s"), pushed(0, "f"), pushed(0, "e"))
        operator.reset(1)
        assert operator.poll(NOTHING).events == (OperatorEvent.STOP,)


def test_each_press_toggles_the_gripper() -> None:
    with hand() as (operator, script, _):
        script.feed(pushed(0, "d"))
        assert operator.poll(NOTHING).action[-1] == 1
        script.feed(pushed(0, "d", "g"))
        assert operator.poll(NOTHING).action[-1] == -1
        assert operator.poll(NOTHING).action[-1] == -1
        script.feed(pushed(0, "d"), pushed(0, "d", "g"))
        assert operator.poll(NOTHING).action[-1] == 1
        script.feed(REST, pushed(0, "g"), REST)
        assert not operator.poll(NOTHING).active
        script.feed(pushed(0, "d"))
        assert operator.poll(NOTHING).action[-1] == 1


def test_who_takes_over_drops_nothing() -> None:
    with hand(open_above_m=0.07) as (operator, script, _):
        script.feed(pushed(0, "d"))
        assert operator.poll(gripper(0.04)).action[-1] == -1
        assert operator.poll(gripper(0.08)).action[-1] == -1
        script.feed(REST)
        operator.poll(gripper(0.08))
        script.feed(pushed(0, "d"))
        assert operator.poll(gripper(0.08)).action[-1] == 1


def test_a_gripper_may_be_closed_while_its_button_is_held() -> None:
    with hand(gripper="hold") as (operator, script, _):
        script.feed(pushed(0, "d", "g"))
        assert operator.poll(NOTHING).action[-1] == -1
        script.feed(pushed(0, "d"))
        assert operator.poll(NOTHING).action[-1] == 1


def test_a_press_of_the_gripper_takes_a_device_without_dead_man_over_for_a_moment() -> None:
    with hand(dead_man="motion") as (operator, script, clock):
        script.feed(pushed(0, "g"), REST)
        said = operator.poll(NOTHING)
        assert said.active
        assert said.action.tolist() == [0, 0, 0, 0, 0, 0, -1]
        clock.advance_s(0.29)
        assert operator.poll(NOTHING).active
        clock.advance_s(0.02)
        assert not operator.poll(NOTHING).active


def test_a_device_that_tells_changes_alone_lives_as_long_as_its_driver_says_so() -> None:
    with hand() as (operator, script, clock):
        script.feed(pushed(0.5, "d"))
        clock.advance_s(10.0)
        script.idle()
        assert operator.poll(NOTHING).heard_ns == clock.now_ns()


def test_a_device_that_repeats_itself_is_not_heard_if_it_is_pushed_and_silent() -> None:
    with hand(repeats=True) as (operator, script, clock):
        script.feed(pushed(0.5, "d"))
        heard_ns = clock.now_ns()
        clock.advance_s(0.1)
        script.idle()
        assert operator.poll(NOTHING).heard_ns == heard_ns
        script.feed(REST)
        clock.advance_s(10.0)
        script.idle()
        assert operator.poll(NOTHING).heard_ns == clock.now_ns()


def test_the_rate_of_reports_is_that_of_the_last_second() -> None:
    with hand() as (operator, script, clock):
        script.feed(REST, REST)
        clock.advance_s(0.9)
        script.feed(REST)
        assert operator.rate_hz == 3
        clock.advance_s(0.2)
        assert operator.rate_hz == 1


def test_a_device_that_is_lost_is_told_once_and_looked_for() -> None:
    with hand() as (operator, script, clock):
        script.feed(pushed(0.5, "d"))
        assert operator.poll(NOTHING).active
        heard_ns = clock.now_ns()
        script.open_errors = [HardwareError("not there")] * 3
        clock.advance_s(1.0)
        script.feed(pushed(0.5, "d", "e"), HardwareError("pulled out"))
        with pytest.raises(HardwareError, match="pulled out"):
            operator.poll(NOTHING)
        script.until(lambda: script.opened == 5)
        script.idle()
        said = operator.poll(NOTHING)
        assert not said.active
        assert said.events == (OperatorEvent.STOP,)
        assert said.heard_ns == clock.now_ns() > heard_ns
        script.feed(pushed(0.5, "d"))
        assert operator.poll(NOTHING).active


def test_while_it_is_gone_a_device_is_at_rest_and_not_heard() -> None:
    with hand(retry_s=1000.0) as (operator, script, clock):
        script.feed(pushed(0.5, "d"))
        heard_ns = clock.now_ns()
        script.feed(HardwareError("pulled out"), until_heard=False)
        script.until(lambda: script.closed == 1)
        clock.advance_s(1.0)
        with pytest.raises(HardwareError, match="pulled out"):
            operator.poll(NOTHING)
        said = operator.poll(NOTHING)
        assert (said.active, said.heard_ns) == (False, heard_ns)


def test_who_comes_back_with_a_jammed_stick_moves_nothing() -> None:
    with hand(dead_man="motion") as (operator, script, clock):
        lease = OperatorLease("thing", 0.09)
        script.feed(HardwareError("pulled out"))
        with pytest.raises(HardwareError):
            operator.poll(NOTHING)
        lease.hear(None, clock.now_ns())
        lease.lose(LeaseChange.DEVICE_LOST, "pulled out", clock.now_ns())
        script.feed(pushed(1.0))
        lease.hear(operator.poll(NOTHING), clock.now_ns())
        assert lease.lost
        script.feed(REST)
        lease.hear(operator.poll(NOTHING), clock.now_ns())
        script.feed(pushed(1.0))
        lease.hear(operator.poll(NOTHING), clock.now_ns())
        assert lease.held


def test_a_fault_of_a_driver_is_told() -> None:
    with hand() as (operator, script, _):
        script.feed(ZeroDivisionError("a mistake"))
        words = "thing: its driver has failed: ZeroDivisionError: a mistake"
        with pytest.raises(HardwareError, match=words):
            operator.poll(NOTHING)


@pytest.mark.parametrize("error", [HardwareError("not there"), DependencyError("pip install it")])
def test_a_device_that_does_not_open_is_not_entered(error: Exception) -> None:
    script = Script()
    script.open_errors = [error]
    config = HandConfig(action=("x",), buttons={}, dead_man="motion")
    operator = HandOperator(config, script, ManualClock())
    with pytest.raises(type(error), match=str(error)), operator:
        pass
    assert (script.opened, script.closed) == (1, 1)


def test_leaving_closes_the_device_which_can_be_entered_anew() -> None:
    with hand() as (operator, script, _):
        pass
    assert script.closed == 1
    with pytest.raises(HardwareError, match="is not open: enter it first"):
        operator.poll(NOTHING)
    with operator:
        script.feed(pushed(0.5, "d"))
        assert operator.poll(NOTHING).active


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"buttons": {"a": "success"}}, "no button is the dead_man"),
        ({"action": ("gripper", "x")}, "each element once, the gripper last"),
        ({"action": ("x", "x")}, "each element once"),
        ({"buttons": {"a": "jump"}}, "dead_man"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        HandConfig(**({"action": ALL, "buttons": BUTTONS} | changes))
