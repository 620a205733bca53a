"""People take the arm and are lost, at any moment: no jump, no delay, no policy by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from handed_over import Loop, Phone, Swinging, joint_action, tcp_action

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.control.clutch import ClutchConfig
from robot_rl.control.operator_lease import LeaseChange
from robot_rl.control.watchdog import watched
from robot_rl.core.clock import ManualClock
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Source

TOLERANCE = 1e-3
"""Of a limit: commands are float32, and a jerk is a difference of three of them."""
OWN = 1e-6
"""What counts as motion in one period [m or rad]."""
WATCHES = {n: OperatorInput(active=False, action=np.zeros(n, np.float32)) for n in (3, 6)}
Repeats = Callable[[int, int], int]
Report = Callable[..., None]


@pytest.mark.parametrize("period_s", [0.1, 0.01])
@pytest.mark.parametrize("kind", [tcp_action, joint_action])
def test_a_take_over_is_no_jump_and_is_felt_at_once(
    repeats: Repeats, report: Report, kind, period_s: float
) -> None:
    rng = np.random.default_rng(11)
    loop = Loop(action=kind(period_s), rule=HandOver(release_s=2 * period_s))
    size = loop.action.size
    latencies: list[int] = []
    for _ in range(repeats(150, 1_500)):
        policy = Swinging(rng, size, slice(1, size))
        # The policy does nothing along the first element: what is there is the person's.
        for _ in range(int(rng.integers(25, 40))):
            loop.tick(policy.action(loop.now_s), WATCHES[size])
        while abs(loop.sent[-1].values[0]) >= OWN:
            loop.tick(policy.action(loop.now_s), WATCHES[size])
        assert loop.decisions[-1].source == Source.POLICY
        person = np.zeros(size, np.float32)
        person[0] = rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0)
        begin = len(loop.sent)
        for _ in range(int(rng.integers(5, 20))):
            loop.tick(policy.action(loop.now_s), OperatorInput(active=True, action=person))
        assert loop.decisions[begin].source == Source.HUMAN
        own = [abs(safe.values[0]) >= OWN for safe in loop.sent[begin:]]
        # The hand moved since the tick before: that of the first motion counts as one.
        latencies.append(own.index(True) + 1 if any(own) else len(own) + 1)
    late, worst = float(np.quantile(latencies, 0.99)), loop.excess()
    report(
        f"take-over and back, {loop.action.kind}, T {period_s} s",
        both_ways=len(latencies),
        latency_p99_ticks=late,
        worst_of_acceleration_and_jerk=f"{worst:.4f} of its limit",
    )
    assert late <= 2
    assert worst <= 1 + TOLERANCE


@pytest.mark.parametrize("period_s", [0.1, 0.01])
def test_a_hand_that_is_anywhere_takes_over_from_where_the_tool_is(
    repeats: Repeats, report: Report, period_s: float
) -> None:
    rng = np.random.default_rng(12)
    worst, firsts = 0.0, 0
    for _ in range(repeats(5, 50)):
        loop = Loop(action=tcp_action(period_s))
        config = ClutchConfig(scale=rng.uniform(0.3, 2), rotation_scale=rng.uniform(0.3, 2))
        phone = Phone(rng, config.build(), loop.action)
        policy = Swinging(rng, 6, slice(0, 6))
        active, left = False, 0
        for _ in range(400):
            if left == 0:
                active, left = not active, int(rng.integers(2, 20))
            left -= 1
            said = phone.poll(loop.tcp, active=active)
            before = loop.tcp
            loop.tick(policy.action(loop.now_s), said)
            moved = loop.tcp[:3] - before[:3]
            assert np.linalg.norm(moved) <= 0.25 * period_s * (1 + TOLERANCE)
        assert np.abs(phone.first).max() < 1e-9
        firsts += len(phone.first)
        worst = max(worst, loop.excess())
    report(
        f"take-over by a pose, T {period_s} s",
        take_overs=firsts,
        first_target="the measured pose",
        worst_of_acceleration_and_jerk=f"{worst:.4f} of its limit",
    )
    assert firsts > 50
    assert worst <= 1 + TOLERANCE


@pytest.mark.parametrize(("who", "promised_s"), [("device", 0.1), ("page", 0.3)])
@pytest.mark.parametrize("driving", [True, False])
def test_a_person_who_cannot_be_heard_leaves_the_arm_held(
    repeats: Repeats, report: Report, who: str, promised_s: float, driving: bool
) -> None:
    rng = np.random.default_rng(13)
    period_s = 0.01
    slowest_s = worst = 0.0
    losses = repeats(50, 500)
    for _ in range(losses):
        rule = HandOver(release_s=0.0, dead_man_s=watched(who, "gate").limit_s)
        loop = Loop(action=tcp_action(period_s), rule=rule)
        policy = Swinging(rng, 6, slice(0, 6))
        action = rng.uniform(-1, 1, 6).astype(np.float32)
        heard_ns, lost_at = 0, rng.uniform(0.05, 0.25)
        beat_s = rng.uniform(0.005, 0.05)
        for tick in range(80):
            now_s = tick * period_s
            if now_s < lost_at:
                # The last beat before now, by the clock of whoever heard it.
                heard_ns = 10**9 + round(now_s // beat_s * beat_s * 1e9)
            said = OperatorInput(active=driving, action=action, heard_ns=heard_ns)
            loop.tick(policy.action(now_s), said)
        held = [d.source == Source.HOLD for d in loop.decisions]
        first = held.index(True)
        assert all(held[first:])
        assert not any(held[: int(lost_at / period_s)])
        slowest_s = max(slowest_s, first * period_s - (heard_ns - 10**9) / 1e9)
        assert not loop.sent[-1].values.any()
        assert loop.arbiter.events[-1].change == LeaseChange.DEAD_MAN
        worst = max(worst, loop.excess())
    report(
        f"{who} silent, {'person' if driving else 'policy'} driving",
        losses=losses,
        held_after_s_at_most=f"{slowest_s:.3f}",
        went_on_by_itself=0,
    )
    assert slowest_s <= promised_s + 1e-9
    assert worst <= 1 + TOLERANCE


def test_a_person_wins_in_the_same_tick_whatever_the_policy_says(
    repeats: Repeats, report: Report
) -> None:
    rng = np.random.default_rng(14)
    clock = ManualClock(10**9)
    arbiter = Arbiter(tcp_action(0.1), clock, HandOver(release_s=0.2, after_release="auto"))
    limit_ns = round(watched("device", "gate").limit_s * 1e9)
    wishes = (
        lambda: rng.uniform(-1, 1, 6).astype(np.float32),
        lambda: np.full(6, np.nan, np.float32),
        lambda: np.zeros((2, 3), np.float32),
        lambda: np.zeros(0, np.float32),
        lambda: None,
    )
    seen_at_rest, won = True, 0
    ticks = repeats(10_000, 100_000)
    for tick in range(ticks):
        clock.advance_s(0.1)
        age_ns = int(rng.choice((0, limit_ns, limit_ns + 1, -1), p=(0.9, 0.05, 0.03, 0.02)))
        active = bool(rng.random() < 0.5)
        action = rng.uniform(-1, 1, 6).astype(np.float32)
        said = OperatorInput(
            active=active,
            action=action,
            heard_ns=clock.now_ns() - age_ns,
            give_back=bool(rng.random() < 0.05),
        )
        if rng.random() < 0.01:
            arbiter.reset()
        if rng.random() < 0.01:
            arbiter.lose("unplugged")
            seen_at_rest = False
        decision = arbiter.decide(wishes[tick % len(wishes)](), said)
        alive = 0 <= age_ns <= limit_ns
        seen_at_rest = alive and (seen_at_rest or not active)
        drives = active and alive and seen_at_rest
        assert (decision.source == Source.HUMAN) == drives
        if drives:
            assert decision.action is action
            won += 1
        else:
            assert decision.action is not action
    report("policy against person", ticks=ticks, person_drove=won, overruled=0)
    assert won > ticks // 10
