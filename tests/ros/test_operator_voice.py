from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.protocol import OperatorInput
from robot_rl_nodes.operator.voice import Voice

pytestmark = pytest.mark.ros

MS = 1_000_000
EPOCH = 5
ONE = EPOCH << 32


def said(action: list[float] | None = None, heard_ns: int | None = None) -> OperatorInput:
    return OperatorInput(
        active=action is not None,
        action=np.array(action or [0.0, 0.0], np.float32),
        heard_ns=heard_ns,
    )


def voice() -> Voice:
    voice = Voice(silent_after_s=0.09)
    voice.given(EPOCH, 2)
    return voice


def test_each_held_reading_is_a_new_action_and_rest_is_one_word() -> None:
    v = voice()
    words = [v.say(said(a), 0) for a in (None, None, [0.5, 0], [0.5, 0], None, None, [1, 1])]
    assert [w.seq - ONE for w in words] == [1, 1, 2, 3, 4, 4, 5]
    assert [w.active for w in words] == [False, False, True, True, False, False, True]
    assert words[2].action.tolist() == [0.5, 0]
    assert words[0].action.size == 0


def test_a_dead_man_that_is_held_when_the_seat_is_given_moves_nothing() -> None:
    v = voice()
    assert [v.say(said([1, 1]), 0).active for _ in range(3)] == [False] * 3
    assert not v.say(said(), 0).active
    assert v.say(said([1, 1]), 0).active
    v.given(EPOCH + 1, 2)
    word = v.say(said([1, 1]), 0)
    assert not word.active
    assert word.seq >> 32 == EPOCH + 1


def test_a_device_that_is_not_heard_any_more_is_lost() -> None:
    v = voice()
    v.say(said(heard_ns=0), 90 * MS)
    with pytest.raises(HardwareError, match=r"silent for 0\.09 s, at most 0\.09 s"):
        v.say(said(heard_ns=0), 91 * MS)


@pytest.mark.parametrize("action", [[1.0], [1.0, float("nan")], [1.0, 2.0, 3.0]])
def test_what_is_no_action_is_refused(action: list[float]) -> None:
    v = voice()
    v.say(said(), 0)
    with pytest.raises(ContractError, match="the gate plays 2 finite numbers"):
        v.say(said(action), 0)
