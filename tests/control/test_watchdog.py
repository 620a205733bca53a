from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rl.control.watchdog import WATCHDOGS, Peer, Watchdog, watched
from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import ConfigError

ARM = Peer(name="arm", watcher="gate", limit_s=0.1, reaction="HOLD")
SLOW = Peer(name="slow", watcher="gate", limit_s=0.1, reaction="wait", grace_s=2.0)


def lost(watchdog: Watchdog) -> list[str]:
    return [loss.peer.name for loss in watchdog.lost()]


def test_a_peer_is_lost_once_its_silence_exceeds_the_limit():
    clock = ManualClock(start_ns=7)
    watchdog = Watchdog([ARM], clock)
    clock.advance_s(5.0)
    watchdog.beat("arm")
    clock.advance_s(0.1)
    assert watchdog.lost() == []
    clock.advance_s(0.001)
    [loss] = watchdog.lost()
    assert loss.peer == ARM
    assert loss.age_s == pytest.approx(0.101)
    assert str(loss) == "arm silent for 0.101 s, at most 0.1 s are borne: HOLD"


def test_a_peer_that_never_spoke_is_lost_after_the_limit_or_its_grace_if_that_is_longer():
    clock = ManualClock()
    watchdog = Watchdog([ARM, SLOW], clock)
    clock.advance_s(0.11)
    assert lost(watchdog) == ["arm"]
    clock.advance_s(1.89)
    assert lost(watchdog) == ["arm"]
    clock.advance_s(0.01)
    assert lost(watchdog) == ["arm", "slow"]


def test_grace_is_over_with_the_first_beat():
    clock = ManualClock()
    watchdog = Watchdog([SLOW], clock)
    watchdog.beat("slow")
    clock.advance_s(0.2)
    assert lost(watchdog) == ["slow"]


def test_a_peer_that_is_heard_again_is_lost_no_more():
    clock = ManualClock()
    watchdog = Watchdog([ARM], clock)
    clock.advance_s(1.0)
    assert lost(watchdog) == ["arm"]
    watchdog.beat("arm")
    assert watchdog.lost() == []


def test_a_beat_of_nobody_is_refused_by_name():
    with pytest.raises(ConfigError, match="'amr'; did you mean 'arm'"):
        Watchdog([ARM], ManualClock()).beat("amr")


@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), min_size=1, max_size=60)
)
def test_each_peer_is_judged_by_its_own_beats_alone(ticks: list[tuple[int, bool, bool]]):
    peers = [
        Peer(name=name, watcher="gate", limit_s=limit_s, reaction="HOLD")
        for name, limit_s in (("a", 0.05), ("b", 0.1))
    ]
    clock = ManualClock()
    watchdog = Watchdog(peers, clock)
    heard_ms = {"a": 0, "b": 0}
    now_ms = 0
    for wait_ms, *beats in ticks:
        now_ms += wait_ms
        clock.advance_s(wait_ms / 1000)
        for name, beat in zip(heard_ms, beats, strict=True):
            if beat:
                watchdog.beat(name)
                heard_ms[name] = now_ms
        limits_ms = {"a": 50, "b": 100}
        expected = [n for n in heard_ms if now_ms - heard_ms[n] > limits_ms[n]]
        assert lost(watchdog) == expected


def test_the_table_names_each_pair_once_with_a_limit_and_a_reaction():
    pairs = [(peer.name, peer.watcher) for peer in WATCHDOGS]
    assert len({*pairs}) == len(pairs)
    for peer in WATCHDOGS:
        assert watched(peer.name, peer.watcher) is peer
        assert peer.limit_s > 0
        assert peer.reaction


def test_everybody_between_learner_and_arm_is_watched_by_whom_it_could_harm():
    pairs = {(peer.name, peer.watcher) for peer in WATCHDOGS}
    assert {
        ("actor", "gate"),
        ("gate", "actor"),
        ("gate", "driver"),
        ("learner", "actor"),
        ("page", "gate"),
        ("gate", "page"),
        ("device", "gate"),
    } == pairs


def test_a_tick_of_10_ms_sees_a_dead_man_within_100_ms_at_a_device_and_300_ms_in_a_browser():
    assert watched("device", "gate").limit_s + 0.01 <= 0.1
    assert watched("page", "gate").limit_s + 0.01 <= 0.3


def test_an_unknown_pair_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="learner by page; there are: actor by gate"):
        watched("learner", "page")


def test_the_readme_has_every_row():
    readme = (Path(__file__).parents[2] / "robot_rl" / "control" / "README.md").read_text()
    for peer in WATCHDOGS:
        row = f"| {peer.name} | {peer.watcher} | {peer.limit_s:g} | {peer.reaction} |"
        assert row in readme
