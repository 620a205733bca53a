from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.core.errors import ConfigError, ContractError, HardwareError
from robot_rl.core.spec import ActionKind, ActionSpec
from robot_rl_nodes.lockstep.command import CommandCode, CommandIntake
from robot_rl_nodes.lockstep.config import LockstepConfig, LockstepOffer, source_of
from robot_rl_nodes.lockstep.inbox import Heard, Inbox
from robot_rl_sim.bench import SimBenchConfig
from robot_rl_sim.person import DemonstratorConfig
from robot_rl_sim.tasks.point_reach import PointReachConfig
from robot_rl_sim_nodes.lockstep_host import LockstepHost

pytestmark = pytest.mark.ros

ARM = ("dx", "dy", "dz", "rx", "ry", "rz")


def action(
    period_s: float = 0.1, *, gripper: bool = False, kind: ActionKind = "tcp_delta"
) -> ActionSpec:
    names = (*ARM, "gripper") if gripper else ARM
    return ActionSpec(kind=kind, names=names, scale=(0.01,) * len(names), period_s=period_s)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=7, max_size=7),
    st.floats(min_value=1e-3, max_value=1.0),
)
def test_a_command_comes_back_to_the_last_bit(numbers: list[float], period_s: float) -> None:
    code = CommandCode(action(period_s, gripper=True))
    values = np.array(numbers, np.float32)
    back = code.values(code.velocity(values), code.opening(values))
    assert back.dtype == np.float32
    assert back.tobytes() == values.tobytes()


def test_a_velocity_is_the_delta_of_a_period_by_its_length() -> None:
    velocity = CommandCode(action(0.1)).velocity(np.full(6, 0.01, np.float32))
    np.testing.assert_allclose(velocity, 0.1, rtol=1e-6)


def test_parts_of_commands_are_joined_in_order_whichever_comes_first() -> None:
    intake = CommandIntake(CommandCode(action(1.0, gripper=True)))
    one, two = np.full(6, 1.0), np.full(6, 2.0)
    assert intake.put_opening(np.array([1.0])) is None
    first = intake.put_velocity(one)
    assert intake.put_velocity(two) is None
    assert intake.heard == 1
    second = intake.put_opening(np.array([-1.0]))
    assert first is not None
    assert second is not None
    assert first.tolist() == [1.0] * 7
    assert second.tolist() == [2.0] * 6 + [-1.0]
    assert intake.heard == 2


def test_a_part_of_another_length_is_refused() -> None:
    intake = CommandIntake(CommandCode(action()))
    with pytest.raises(ContractError, match=r"shape \(\(5,\), \(0,\)\), expected \(\(6,\), \(0"):
        intake.put_velocity(np.zeros(5))


def test_a_robot_that_obeys_no_deltas_is_refused() -> None:
    with pytest.raises(ContractError, match="kind 'opaque' do not travel"):
        CommandCode(action(kind="opaque"))


def inbox(*heard: Heard, fate: Any = lambda: "") -> Inbox:
    waiting = list(heard)
    box = Inbox(fate)
    box.listen(lambda: waiting.pop(0) if waiting else None)
    return box


def test_an_instant_is_there_once_every_stream_has_said_it() -> None:
    box = inbox(Heard("a", 1, "old"), Heard("a", 2, "x"), Heard("b", 2, "y"))
    assert box.wait(("a", "b"), 2, 5.0) == {"a": "x", "b": "y"}


def test_a_stream_that_stays_silent_is_named_and_nothing_is_waited_for_after_it() -> None:
    box = inbox(Heard("a", 2, "x"), Heard("b", 1, "y"))
    with pytest.raises(HardwareError, match=r"nothing heard of b for the instant 0\.000 s"):
        box.wait(("a", "b"), 2, 0.05)
    with pytest.raises(HardwareError, match="nothing heard of b"):
        box.check()


def test_a_greeting_is_no_sample() -> None:
    box = inbox(Heard("a", 0, None))
    assert box.greeted() == {"a"}
    with pytest.raises(HardwareError, match="nothing heard of a"):
        box.wait(("a",), 0, 0.05)


def test_what_was_said_before_a_new_beginning_does_not_count() -> None:
    box = inbox(Heard("a", 2, "of the episode before"))
    box.forget()
    with pytest.raises(HardwareError, match="nothing heard of a"):
        box.wait(("a",), 2, 0.05)


def test_who_waits_for_an_ended_simulator_hears_how_it_ended() -> None:
    box = inbox(fate=lambda: "process 7 ended with code -9")
    with pytest.raises(HardwareError, match="process 7 ended with code -9"):
        box.wait(("a",), 1, 60.0)


def test_a_sensor_travels_as_what_it_is() -> None:
    images: Any = {"observation.images.front": None}
    assert source_of("front", images) == "camera:front"
    assert source_of("perception", images) == "perception"
    assert source_of("left_finger", images) == "tactile:left_finger"


def test_a_simulator_of_another_task_is_refused_by_name() -> None:
    offer = LockstepOffer(task="pick_cube", contract="0", robot="fr3", sensors={}, people={})
    with pytest.raises(
        ContractError, match=r"set up for 'pick_cube'.*this run is of 'point_reach'"
    ):
        offer.check(PointReachConfig().build().spec)


@pytest.mark.sim
def test_a_bench_whose_time_passes_by_itself_is_refused() -> None:
    config = LockstepConfig(bench=SimBenchConfig(real_time=True), task=PointReachConfig())
    with pytest.raises(ConfigError, match="leave out `real_time`"):
        LockstepHost(config)


@pytest.mark.sim
def test_time_does_not_pass_before_an_episode_has_begun() -> None:
    config = LockstepConfig(bench=SimBenchConfig(), task=PointReachConfig())
    with pytest.raises(ContractError, match="reset the scene first"):
        LockstepHost(config).advance(100_000_000)


@pytest.mark.sim
def test_people_begin_with_the_scene_and_are_asked_in_every_instant() -> None:
    hand = DemonstratorConfig()
    config = LockstepConfig(bench=SimBenchConfig(), task=PointReachConfig(), demonstrator=hand)
    host, bench = LockstepHost(config), SimBenchConfig().build(PointReachConfig())
    alone = hand.build(bench)
    first = host.reset(3)
    bench.scene.reset(3)
    alone.reset(3)
    np.testing.assert_array_equal(
        first.people["demonstrator"].action, alone.poll(bench.robot.read()).action
    )
    assert first.judgement is None
    assert host.advance(100_000_000).judgement is not None
