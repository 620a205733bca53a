from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from made_up_cell import TASK, Cell
from robot_rl_msgs.srv import ClearStop, SetControlSource

from robot_rl.core.errors import ContractError, DependencyError, GateStopError, HardwareError
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.core.types import GateReason, GateState, Outcome, Source
from robot_rl_nodes.graph import live_env
from robot_rl_nodes.graph.live_bench import LiveBench

pytestmark = [
    pytest.mark.ros,
    # The run leaves the seat and is gone before it is answered.
    pytest.mark.filterwarnings("ignore:failed to send response:RuntimeWarning"),
]

STEP = np.array([0.5, -0.25], np.float32)


@pytest.fixture
def cell(graph: Any) -> Cell:
    return Cell(graph)


@pytest.fixture
def bench(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveBench]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(cell.graph.domain))
    bench = LiveBench(TASK, namespace="/test", sources=["robot"], name="arm")
    yield bench
    cell.during(bench.close)


def test_a_run_brings_robot_and_task_to_the_seeds_start_and_acts_from_the_seat(
    cell: Cell, bench: LiveBench
) -> None:
    def episode() -> list[Any]:
        bench.env.reset(7)
        return [bench.env.step(STEP) for _ in range(4)]

    results = cell.during(episode)
    assert cell.seeds == [7]
    # The first period is that in which the gate hears of it.
    assert np.allclose(np.mean([r.executed_action for r in results[1:]], 0), STEP, atol=0.2)
    assert not any(r.terminated or r.truncated for r in results)


def test_who_judges_ends_the_episode_and_the_seat_is_left(cell: Cell, bench: LiveBench) -> None:
    cell.during(lambda: bench.env.reset(1))
    assert cell.name == "run"
    cell.judge(Outcome.SUCCESS)
    result = cell.during(lambda: bench.env.step(STEP))
    assert (result.terminated, result.outcome, result.reward) == (True, Outcome.SUCCESS, 1.0)
    cell.graph.until(lambda: not cell.name)


def test_what_is_ended_from_outside_offers_nothing_any_more(cell: Cell, bench: LiveBench) -> None:
    cell.during(lambda: bench.env.reset(1))
    cell.during(lambda: bench.env.step(STEP))
    assert cell.name == "run"
    cell.during(bench.env.end)
    cell.graph.until(lambda: not cell.name)
    with pytest.raises(ContractError, match="call reset first"):
        cell.during(lambda: bench.env.step(STEP))


def test_whoever_sits_at_the_gates_other_seat_is_the_supervisor(
    cell: Cell, bench: LiveBench
) -> None:
    seen = cell.during(lambda: bench.env.reset(1))
    person = bench.seats["supervisor"]
    assert not person.poll(seen).active
    cell.person = True
    results = [cell.during(lambda: bench.env.step(STEP, Source.HUMAN)) for _ in range(3)]
    assert person.poll(seen).active
    # A tick of the gate more or less falls into a period.
    assert np.allclose(results[-1].executed_action, 1.0, atol=0.25)


def test_a_gate_that_has_latched_is_waited_for(cell: Cell, bench: LiveBench) -> None:
    cell.state = GateState.STOP

    def clear() -> None:
        cell.state = GateState.RUN

    later = cell.node.create_timer(1.0, clear)
    cell.during(lambda: bench.env.reset(3))
    assert cell.state == GateState.RUN
    assert cell.seeds == [3]
    later.cancel()


def test_nobody_clears_it_and_the_run_ends(
    cell: Cell, bench: LiveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_env, "CLEAR_S", 0.5)
    cell.state = GateState.STOP
    with pytest.raises(GateStopError, match="clear the gate in your name"):
        cell.during(lambda: bench.env.reset(3))
    assert not cell.seeds


@pytest.fixture
def attended(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveBench]:
    """A bench at which somebody sits."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(cell.graph.domain))
    bench = LiveBench(TASK, namespace="/test", sources=["robot"], name="arm", person="anna")
    # The first word comes once the seat is known to be given.
    cell.graph.until(lambda: cell.person_name == "anna" and cell.word is not None)
    cell.graph.until(lambda: bench.gate.state == GateState.RUN)
    yield bench
    cell.during(bench.close)
    cell.graph.until(lambda: not cell.person_name)


def steps(cell: Cell, bench: LiveBench, count: int, source: Source) -> Any:
    """The last of some steps, all alike."""
    return cell.during(lambda: [bench.env.step(STEP, source) for _ in range(count)][-1])


def test_whoever_sits_at_the_run_drives_from_the_persons_seat(
    cell: Cell, attended: LiveBench
) -> None:
    cell.during(lambda: attended.env.reset(1))
    result = steps(cell, attended, 4, Source.HUMAN)
    assert np.allclose(result.executed_action, STEP, atol=0.15)
    assert cell.word
    assert cell.word.active
    assert cell.word.policy_id == "anna"
    assert cell.command
    assert not cell.command.active
    steps(cell, attended, 1, Source.HOLD)
    assert not cell.word.active
    assert attended.seats == {}
    assert cell.means == SetControlSource.Request.PAGE


def test_once_the_run_lets_the_policy_drive_again_the_gate_is_told_in_the_persons_name(
    cell: Cell, attended: LiveBench
) -> None:
    cell.during(lambda: attended.env.reset(1))
    steps(cell, attended, 3, Source.HUMAN)
    held = steps(cell, attended, 3, Source.HOLD)
    assert cell.rests
    assert not held.executed_action.any()
    assert not cell.cleared
    result = steps(cell, attended, 6, Source.POLICY)
    assert cell.cleared[0] == (ClearStop.Request.RESUME, "anna", "")
    assert np.allclose(result.executed_action, STEP, atol=0.15)
    assert result.gate_reason == GateReason.PASSED


def test_no_episode_goes_on_while_the_person_cannot_reach_the_gate(
    cell: Cell, attended: LiveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.during(lambda: attended.env.reset(1))
    assert not steps(cell, attended, 1, Source.POLICY).truncated
    cell.person_name, cell.refuses_person = "", "'bob' commands; one at a time"

    def until_it_ends() -> Any:
        results = [attended.env.step(STEP)]
        while not results[-1].truncated:
            results.append(attended.env.step(STEP))
        return results

    assert len(cell.during(until_it_ends)) < TASK.horizon
    cell.refuses_person = ""
    # Asked for again once a second; the next episode waits for it.
    cell.during(lambda: attended.env.reset(2))
    assert cell.person_name == "anna"


def test_a_stop_is_latched_here_at_once_and_at_the_gate_soon(
    cell: Cell, attended: LiveBench
) -> None:
    cell.during(lambda: attended.env.reset(1))
    attended.gate.estop("anna pressed stop")
    assert (attended.gate.state, attended.gate.cause) == (GateState.ESTOP, "anna pressed stop")
    cell.graph.until(lambda: cell.state == GateState.STOP)
    result = steps(cell, attended, 1, Source.POLICY)
    assert (result.truncated, result.gate_state) == (True, GateState.STOP)
    assert attended.gate.cause == "somebody called gate/stop"


def test_a_stop_that_the_gate_does_not_take_is_said_until_it_does(
    cell: Cell, attended: LiveBench
) -> None:
    cell.deaf = True
    attended.gate.estop("anna pressed stop")
    cell.graph.until(lambda: cell.stops >= 3)
    assert attended.gate.state == GateState.ESTOP
    cell.deaf = False
    cell.graph.until(lambda: attended.gate.state == GateState.STOP)


def test_clearing_names_the_cause_that_the_gate_has(cell: Cell, attended: LiveBench) -> None:
    cell.state, cell.cause = GateState.STOP, "the gate has just been started"
    cell.graph.until(lambda: attended.gate.cause == cell.cause)
    with pytest.raises(GateStopError, match="latched STOP"):
        cell.during(lambda: attended.env.reset(1))
    assert not cell.seeds
    cell.during(lambda: attended.gate.clear("anna"))
    assert attended.gate.state == GateState.RUN
    said = (ClearStop.Request.CLEAR, "anna", "the gate has just been started")
    assert cell.cleared == [said]


def test_a_gate_that_does_not_clear_says_why(cell: Cell, attended: LiveBench) -> None:
    cell.state, cell.cause = GateState.STOP, "force"
    cell.graph.until(lambda: attended.gate.cause == "force")

    def clear() -> None:
        cell.cause = "another force"
        attended.gate.clear("anna")

    with pytest.raises(GateStopError, match="read the cause: another force"):
        cell.during(clear)


def test_a_gate_that_is_not_heard_counts_as_stopped(cell: Cell, attended: LiveBench) -> None:
    attended.gate  # noqa: B018
    cell.silent = True
    cell.graph.until(lambda: attended.gate.state == GateState.STOP)
    assert "not heard" in attended.gate.cause
    cell.silent = False
    cell.graph.until(lambda: attended.gate.state == GateState.RUN)


def test_a_stop_on_the_way_to_the_start_calls_the_reset_off(
    cell: Cell, attended: LiveBench
) -> None:
    cell.reset_s = 30.0

    def reset_and_stop() -> None:
        stopping = threading.Timer(0.5, lambda: attended.gate.estop("anna pressed stop"))
        stopping.start()
        attended.env.reset(4)

    with pytest.raises(GateStopError, match="on the way to the start"):
        cell.during(reset_and_stop)
    assert (cell.seeds, cell.cancelled) == ([4], 1)


def test_what_the_robot_says_can_be_read_between_episodes(cell: Cell, attended: LiveBench) -> None:
    cell.graph.until(lambda: _readable(attended))
    assert set(attended.robot.read().vectors) == {JOINT_POSITION}
    with pytest.raises(DependencyError, match="its cameras see it"):
        attended.render(64, 48)


def _readable(bench: LiveBench) -> bool:
    try:
        return bool(bench.robot.read().vectors)
    except HardwareError:
        return False


def test_an_action_of_the_wrong_size_is_no_persons(cell: Cell, attended: LiveBench) -> None:
    cell.during(lambda: attended.env.reset(1))
    steps(cell, attended, 1, Source.HOLD)
    with pytest.raises(ContractError, match="plays 2 finite"):
        cell.during(lambda: attended.env.step(np.ones(3, np.float32), Source.HUMAN))
