from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.clock import ManualClock, MonotonicClock, require_machine_clock
from robot_rl.core.errors import ConfigError, HardwareError
from robot_rl.core.protocol import OperatorEvent
from robot_rl.core.types import Outcome, Source
from robot_rl.session.mode import Mode, Verb

P, H, REST = Source.POLICY, Source.HUMAN, Source.HOLD


@pytest.fixture
def driven(world):
    """A world in whose running episode nobody has touched anything yet."""
    world.begin()
    world.tick()
    return world


def test_the_first_touch_takes_the_arm_in_the_same_tick(driven):
    driven.move(-1.0, 0.5)
    result = driven.tick()
    assert driven.sources == [P, H]
    assert result.executed_action == pytest.approx([-1.0, 0.5])
    assert driven.view.holder == "page-1"
    assert driven.view.driver == "Ada"
    assert driven.view.mode == Mode.HUMAN


def test_after_a_release_the_arm_rests_until_it_is_given_back(driven):
    driven.move(-1.0, 0.0)
    driven.tick()
    driven.move(active=False)
    driven.tick()
    driven.move(active=False)
    driven.tick()
    assert driven.view.mode == Mode.HOLD
    driven.say(Verb.GIVE_BACK)
    driven.tick()
    assert driven.sources == [P, H, REST, REST, P]
    assert driven.view.holder == ""
    assert driven.view.driver == "policy"


def test_take_over_holds_the_arm_for_whoever_said_it(driven):
    driven.say(Verb.TAKE_OVER, "page-2")
    driven.tick()
    driven.move(1.0, 0.0, client="page-1")
    driven.tick()
    assert driven.sources == [P, REST, REST]
    assert driven.view.holder == "page-2"
    driven.move(1.0, 0.0, client="page-2")
    driven.tick()
    assert driven.sources[-1] == H


def test_who_is_not_the_holder_cannot_move_the_arm(driven):
    driven.move(-1.0, 0.0, client="page-1")
    driven.tick()
    for _ in range(3):
        driven.move(-1.0, 0.0, client="page-1")
        driven.move(1.0, 1.0, client="page-2")
        assert driven.tick().executed_action == pytest.approx([-1.0, 0.0])
    driven.move(active=False, client="page-1")
    driven.move(1.0, 1.0, client="page-2")
    driven.tick()
    assert driven.sources[-1] == REST


def test_another_client_may_take_over_from_one_that_drives(driven):
    driven.move(-1.0, 0.0, client="page-1")
    driven.tick()
    driven.say(Verb.TAKE_OVER, "page-2")
    driven.move(-1.0, 0.0, client="page-1")
    driven.tick()
    assert driven.sources[-1] == REST
    assert driven.view.holder == "page-2"


def test_only_who_drives_gives_back(driven):
    driven.move(-1.0, 0.0, client="page-1")
    driven.tick()
    driven.move(-1.0, 0.0, client="page-1")
    driven.say(Verb.GIVE_BACK, "page-2")
    driven.tick()
    assert not driven.answer.done
    assert "page-1 drives" in driven.answer.words
    assert driven.sources[-1] == H


def test_who_gives_back_with_a_key_held_drives_again_only_after_letting_go(driven):
    driven.move(-1.0, 0.0)
    driven.tick()
    driven.say(Verb.GIVE_BACK)
    for active in (True, True, False, True):
        driven.move(-1.0, 0.0, active=active)
        driven.tick()
    assert driven.sources == [P, H, P, P, P, H]


def test_a_pause_holds_the_arm_also_under_a_held_key(driven):
    driven.move(-1.0, 0.0)
    driven.tick()
    driven.say(Verb.PAUSE)
    for active in (True, False, True):
        driven.move(-1.0, 0.0, active=active)
        driven.tick()
    assert driven.sources == [P, H, REST, REST, H]


def test_resume_in_a_hold_gives_back_and_ends_the_pause(driven):
    driven.say(Verb.PAUSE)
    driven.tick()
    assert driven.view.mode == Mode.HOLD
    assert "paused by page-1" in driven.view.why
    driven.say(Verb.RESUME)
    driven.tick()
    assert driven.sources == [P, REST, P]
    driven.say(Verb.SUCCESS)
    driven.tick()
    driven.end()
    assert driven.between()


def test_a_page_that_goes_while_it_drives_leaves_the_arm_held(driven):
    driven.move(-1.0, 0.0)
    driven.tick()
    driven.gone()
    with pytest.raises(HardwareError, match="page-1 is gone: closed"):
        driven.session.operator.poll(driven.observation)
    driven.arbiter.lose("page-1 is gone")
    driven.tick(2)
    assert driven.sources == [P, H, REST, REST]
    assert driven.view.mode == Mode.HOLD
    assert "page-1 is gone" in driven.view.why
    assert driven.view.holder == ""
    driven.say(Verb.GIVE_BACK, "page-2")
    driven.tick()
    assert driven.sources[-1] == P


def test_a_page_that_falls_silent_while_it_has_the_arm_is_lost_once(driven):
    driven.move(-1.0, 0.0)
    driven.tick(3)
    assert driven.sources == [P, H, H, H]
    with pytest.raises(HardwareError, match="silent"):
        driven.session.operator.poll(driven.observation)
    driven.tick()
    # The very key that was held is no new touch, until it was seen at rest.
    driven.move(-1.0, 0.0)
    assert not driven.session.operator.poll(driven.observation).active
    driven.move(active=False)
    assert not driven.session.operator.poll(driven.observation).active
    driven.move(-1.0, 0.0)
    assert driven.session.operator.poll(driven.observation).active


def test_a_page_that_only_looks_on_may_go(driven):
    driven.move(-1.0, 0.0, client="page-1")
    driven.tick()
    driven.move(-1.0, 0.0, client="page-1")
    driven.gone("page-2")
    driven.tick()
    assert driven.sources[-1] == H


def test_an_old_motion_takes_nothing(driven):
    driven.move(-1.0, 0.0)
    driven.clock.advance_s(0.3)
    said = driven.session.operator.poll(driven.observation)
    assert not said.active


def test_each_episode_begins_with_the_policy(driven):
    driven.say(Verb.TAKE_OVER)
    driven.say(Verb.SUCCESS)
    driven.tick()
    driven.end()
    driven.begin()
    driven.tick()
    assert driven.sources == [P]
    assert driven.view.holder == ""


@pytest.fixture
def bench(make_world):
    """A world with two devices of one name, whose episode runs."""
    world = make_world(sticks=2)
    world.open()
    world.begin()
    world.tick()
    return world


def test_a_device_drives_as_a_page_does(bench):
    bench.sticks[0].press(active=True)
    bench.tick()
    assert bench.sources == [P, H]
    assert bench.view.holder == "stick"


def test_a_device_takes_the_arm_from_a_page_that_rests_not_from_one_that_drives(bench):
    bench.move(1.0, 0.0)
    bench.sticks[1].press(active=True)
    # In the tick in which both begin, the one at the bench is first.
    bench.tick()
    assert bench.view.holder == "stick-2"
    bench.sticks[1].press()
    bench.say(Verb.TAKE_OVER)
    bench.tick()
    bench.move(1.0, 0.0)
    bench.tick()
    bench.sticks[0].press(active=True)
    bench.move(1.0, 0.0)
    assert bench.tick().executed_action == pytest.approx([1.0, 0.0])
    bench.move(active=False)
    assert bench.tick().executed_action == pytest.approx([-1.0, 0.0])
    assert bench.view.holder == "stick"


def test_a_devices_buttons_are_commands(bench):
    bench.sticks[0].press(OperatorEvent.SUCCESS)
    assert bench.tick().outcome == Outcome.SUCCESS


def test_a_devices_stop_is_done_in_the_same_poll(bench):
    bench.sticks[1].press(OperatorEvent.STOP)
    bench.session.operator.poll(bench.observation)
    assert bench.gate.cause == "stick-2 pressed stop"
    assert bench.bench.stops == 1


def test_a_device_holds_and_gives_back_once_a_press(bench):
    bench.sticks[0].press(hold=True)
    bench.tick()
    assert bench.view.holder == "stick"
    bench.tick()
    bench.sticks[0].press(give_back=True)
    bench.tick()
    assert bench.sources == [P, REST, REST, P]


def test_what_a_device_asks_for_in_vain_is_told(bench):
    bench.sticks[0].press(give_back=True)
    bench.tick()
    bench.clock.advance_s(0.1)
    bench.tick()
    assert "no give back in AUTO" in bench.view.notices[-1].words


def test_buttons_pressed_between_episodes_count_there_and_not_in_the_next_one(make_world):
    world = make_world(sticks=1, review_s=None)
    world.open()
    world.run(None)
    world.script.append(lambda: world.sticks[0].press(OperatorEvent.FAILURE))
    world.idle(0.1)
    world.then(Verb.NEXT)
    world.bench.on_reset = lambda: world.sticks[0].press(OperatorEvent.SUCCESS)
    world.begin()
    assert world.store.log == ["failure online-0"]
    assert not world.tick().terminated


def test_a_device_that_is_lost_while_nobody_has_the_arm_holds_it_once(bench):
    bench.sticks[0].gone = "unplugged"
    bench.tick()
    bench.tick()
    assert bench.sources == [P, REST, REST]
    assert "stick is gone: unplugged" in bench.view.why
    bench.say(Verb.GIVE_BACK)
    bench.tick()
    assert bench.sources[-1] == P


def test_a_device_that_is_lost_does_not_disturb_whoever_drives_with_another(bench):
    bench.move(1.0, 0.0)
    bench.tick()
    bench.sticks[0].gone = "unplugged"
    bench.move(1.0, 0.0)
    bench.tick()
    assert bench.sources == [P, H, H]


def test_a_device_that_comes_back_jammed_moves_nothing_until_it_rests(bench):
    bench.sticks[0].gone = "unplugged"
    bench.tick()
    bench.sticks[0].gone = ""
    bench.sticks[0].press(active=True)
    bench.tick(2)
    bench.sticks[0].press()
    bench.tick()
    bench.sticks[0].press(active=True)
    bench.tick()
    assert bench.sources == [P, REST, REST, REST, REST, H]


def test_a_device_whose_signs_of_life_stop_is_lost(bench):
    heard_ns = bench.clock.now_ns()
    bench.sticks[0].press(heard_ns=heard_ns)
    bench.tick(2)
    assert bench.sources[-1] == REST
    assert "stick is gone: heard" in bench.session.operator.lost


def test_what_a_person_asks_for_is_float32_of_the_tasks_size(driven):
    driven.move(1.0, -1.0)
    said = driven.session.operator.poll(driven.observation)
    assert said.action.dtype == np.float32
    assert said.action.tolist() == [1.0, -1.0]
    assert said.heard_ns == driven.clock.now_ns()


def test_a_bench_with_a_time_of_its_own_is_refused():
    require_machine_clock(MonotonicClock())
    with pytest.raises(ConfigError, match="real time"):
        require_machine_clock(ManualClock())
