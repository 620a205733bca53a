from __future__ import annotations

import math
import threading

import pytest

from robot_rl.core.errors import HardwareError
from robot_rl.core.types import GateState
from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.desk import FrontDesk
from robot_rl.session.emergency import EmergencyStop
from robot_rl.session.mode import Verb
from robot_rl.session.motions import Motions


class Front:
    """A desk for actions of two numbers, and what came of it."""

    def __init__(self) -> None:
        self.motions = Motions(2)
        self.stopped_in: list[threading.Thread] = []
        self.told: list[str] = []
        self.answers: list[Answer] = []
        self.desk = FrontDesk(self.motions, self._stop, self.told.append)

    def _stop(self, command: Command) -> str:
        self.stopped_in.append(threading.current_thread())
        return f"{command.client} stopped"

    def say(self, verb: Verb, number: int, client: str = "page-1") -> None:
        self.desk.submit(Command(client=client, number=number, verb=verb), self.answers.append)

    def move(self, *action: float, number: int = 1, client: str = "page-1") -> None:
        motion = Motion(client=client, number=number, heard_ns=0, active=True, action=action)
        self.desk.move(motion)

    def serve(self, *, done: bool = True) -> list[Verb]:
        taken = self.desk.take()
        for command in taken:
            self.desk.answer(command, done=done, words=f"did {command.verb}")
        return [command.verb for command in taken]


@pytest.fixture
def front() -> Front:
    return Front()


def test_commands_wait_in_their_order_and_are_answered_once(front):
    front.say(Verb.START, 1)
    front.say(Verb.PAUSE, 2)
    assert front.answers == []
    assert front.serve() == [Verb.START, Verb.PAUSE]
    assert front.serve() == []
    assert [(a.number, a.done, a.words) for a in front.answers] == [
        (1, True, "did start"),
        (2, True, "did pause"),
    ]


def test_what_comes_twice_is_done_once_and_answered_alike(front):
    front.say(Verb.START, 1)
    front.say(Verb.START, 1)
    assert front.serve() == [Verb.START]
    front.say(Verb.START, 1)
    assert front.serve() == []
    assert len(front.answers) == 3
    assert len(set(front.answers)) == 1


def test_the_same_number_of_another_client_is_another_command(front):
    front.say(Verb.START, 1)
    front.say(Verb.START, 1, client="page-2")
    assert front.serve() == [Verb.START, Verb.START]


def test_a_stop_acts_in_the_thread_that_hands_it_in_and_waits_for_nobody(front):
    front.say(Verb.START, 1)
    thread = threading.Thread(target=front.say, args=(Verb.STOP, 2))
    thread.start()
    thread.join()
    assert front.stopped_in == [thread]
    assert [(a.number, a.done) for a in front.answers] == [(2, True)]
    assert front.serve() == [Verb.START]


def test_a_stop_that_comes_twice_is_pressed_once(front):
    front.say(Verb.STOP, 1)
    front.say(Verb.STOP, 1)
    assert len(front.stopped_in) == 1
    assert [a.words for a in front.answers] == ["page-1 stopped"] * 2


def test_commands_from_many_threads_are_each_answered_once(front):
    def ask(client: str) -> None:
        for number in range(20):
            front.say(Verb.NOTE, number, client)

    threads = [threading.Thread(target=ask, args=(f"page-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        front.desk.wait(0.01)
        front.serve()
    front.serve()
    got = [(a.client, a.number) for a in front.answers]
    assert len(got) == len(set(got)) == 160


def test_a_flood_is_refused_in_words_but_no_stop(front):
    for number in range(300):
        front.say(Verb.NOTE, number)
    assert len(front.answers) == 300 - 256
    assert not any(a.done for a in front.answers)
    front.say(Verb.STOP, 301)
    assert front.answers[-1].done


def test_the_oldest_answers_are_forgotten_not_the_newest(front):
    for number in range(5000):
        front.say(Verb.NOTE, number)
        front.serve()
    front.say(Verb.NOTE, 4999)
    assert front.serve() == []
    front.say(Verb.NOTE, 0)
    assert front.serve() == [Verb.NOTE]


def test_who_is_gone_begins_to_count_anew(front):
    front.say(Verb.START, 1)
    front.serve()
    front.desk.gone(Gone(client="page-1", why="closed"))
    front.say(Verb.START, 1)
    assert front.serve() == [Verb.START]


def test_an_answer_that_reaches_nobody_harms_nobody(front):
    def broken(answer: Answer) -> None:
        raise BrokenPipeError

    front.desk.submit(Command(client="page-1", number=1, verb=Verb.START), broken)
    front.say(Verb.PAUSE, 2)
    assert front.serve() == [Verb.START, Verb.PAUSE]
    assert front.answers[-1].done


def test_after_the_end_everything_is_refused_but_a_stop(front):
    front.say(Verb.START, 1)
    front.desk.close()
    front.say(Verb.START, 2)
    front.say(Verb.STOP, 3)
    assert [(a.number, a.done) for a in front.answers] == [(1, False), (2, False), (3, True)]
    assert front.stopped_in


@pytest.mark.parametrize(
    "action",
    [(), (0.1,), (0.1, 0.2, 0.3), (math.nan, 0.0), (0.0, math.inf), (1e300, 0.0), (1.1, 0.0)],
)
def test_what_is_no_motion_is_counted_told_once_and_moves_nothing(front, action):
    front.move(*action)
    front.move(*action, number=2)
    assert front.desk.refused == 2
    assert len(front.told) == 1
    assert "page-1" in front.told[0]
    assert "expected" in front.told[0]
    assert front.motions.all() == ()


def test_the_newest_motion_of_each_client_counts(front):
    front.move(0.1, 0.0, number=1)
    front.move(0.3, 0.0, number=3)
    front.move(0.2, 0.0, number=2)
    front.move(1.0, -1.0, number=1, client="page-2")
    assert [m.action for m in front.motions.all()] == [(0.3, 0.0), (1.0, -1.0)]


def test_who_is_gone_moves_nothing_and_is_told_once(front):
    front.move(0.1, 0.0)
    front.desk.gone(Gone(client="page-1", why="hidden"))
    assert front.motions.all() == ()
    assert front.motions.take_gone() == {"page-1": "hidden"}
    assert front.motions.take_gone() == {}


def test_clients_without_end_do_not_fill_the_memory(front):
    for i in range(1000):
        front.move(0.1, 0.0, client=f"page-{i}")
        front.desk.gone(Gone(client=f"gone-{i}", why="closed"))
    assert len(front.motions.all()) <= 64
    assert len(front.motions.take_gone()) <= 64


def test_waiting_ends_when_something_comes_in(front):
    threading.Timer(0.05, front.say, args=(Verb.START, 1)).start()
    front.desk.wait(60.0)
    assert front.serve() == [Verb.START]


class Gate:
    """Latches; `during_clear` happens in the middle of a clear."""

    def __init__(self) -> None:
        self.state = GateState.RUN
        self.cause = ""
        self.during_clear = lambda: None

    def estop(self, cause: str) -> None:
        if self.state < GateState.ESTOP:
            self.state, self.cause = GateState.ESTOP, cause

    def clear(self, by: str) -> None:
        self.during_clear()
        self.state, self.cause = GateState.HOLD, f"cleared by {by}"

    def resume(self, by: str) -> None:
        self.state = GateState.RUN


def test_a_stop_that_is_pressed_while_another_one_is_cleared_is_not_lost():
    gate = Gate()
    emergency = EmergencyStop(gate, lambda: None)
    emergency.press("one")
    # As a signal handler would, in this very thread.
    gate.during_clear = lambda: emergency.press("two")
    with pytest.raises(Exception, match="pressed again"):
        emergency.clear("Ada", "one")
    assert emergency.latched


def test_a_stop_latches_the_gate_also_where_the_robot_does_not_answer():
    def stop() -> None:
        raise HardwareError("the line is silent")

    emergency = EmergencyStop(Gate(), stop)
    assert "the line is silent" in emergency.press("one")
    assert emergency.latched
