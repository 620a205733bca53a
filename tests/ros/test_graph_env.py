from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.core.clock import ManualClock
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ContractError, GateStopError, HardwareError
from robot_rl.core.protocol import Judgement
from robot_rl.core.spec import (
    GRIPPER,
    JOINT_POSITION,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import (
    GateReason,
    GateState,
    Observation,
    Outcome,
    Source,
    Transition,
    Vector,
)
from robot_rl.runtime.rollout import Agent, Rollout
from robot_rl.sensing.monitor import StreamMonitor, StreamMonitorConfig
from robot_rl_nodes.graph.contract import Judged, Patience, Sample
from robot_rl_nodes.graph.env import GraphEnv, GraphOperator
from robot_rl_nodes.graph.period import GateTick, period_of

pytestmark = pytest.mark.ros

TICK_NS = 10_000_000
WRIST = "observation.images.wrist"
ROS_NS = 5_000_000_000_000
"""ROS time is so far ahead of the monotonic clock."""


def make_task(**changed: Any) -> TaskSpec:
    task = TaskSpec(
        name="reach",
        horizon=5,
        instruction="reach it",
        observation=ObservationSpec(
            vectors={
                JOINT_POSITION: VectorSpec(names=("a", "b"), unit="rad"),
                GRIPPER: VectorSpec(names=("opening",), unit="m"),
            },
            images={WRIST: ImageSpec(height=2, width=3)},
        ),
        action=ActionSpec(
            kind="joint_delta", names=("a", "b", "gripper"), scale=(0.1, 0.1, 1.0), period_s=0.1
        ),
    )
    return replace(task, **changed)


class FakeGraph:
    """A gate that ticks at 100 Hz, a robot and a camera, as the clock has it (a `GraphPort`)."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000_000_000)
        self.seated = self.ended = False
        self.refusal = ""
        self.gives_seat = True
        self.offers: list[tuple[Vector | None, int]] = []
        self.left = 0
        self.person: Vector | None = None
        self.demo = False
        self.state, self.reason = GateState.RUN, GateReason.PASSED
        self.silent: set[str] = set()
        self.said: list[Judged] = []
        self.rests = False
        self.anew = False
        self._offered: Vector | None = None
        self._tick, self._next_ns = 100, 1_000_000_000
        self._travel = np.full(3, 7.0)
        self._intervening = False
        self._last: dict[str, Sample] = {}

    def ros_now_ns(self) -> int:
        return self.clock.now_ns() + ROS_NS

    def ask_seat(self) -> None:
        self.seated = self.gives_seat

    def leave_seat(self) -> None:
        self.left += self.seated
        self.seated, self._offered = False, None

    def offer(self, action: Vector | None, seen_ns: int = 0) -> None:
        if self.seated:
            self.offers.append((action, seen_ns))
            self._offered = action

    def samples(self) -> Mapping[str, Sample | None]:
        for name in ("robot", "camera:wrist"):
            if name not in self.silent:
                self._last[name] = self._sample(name)
        return {name: self._last.get(name) for name in ("robot", "camera:wrist")}

    def put(self, name: str, sample: Sample | None) -> None:
        assert sample is not None
        self._last[name] = sample

    def complaints(self) -> Mapping[str, str]:
        return {"robot": "", "camera:wrist": "cable?" if "camera:wrist" in self.silent else ""}

    def ticks(self) -> Sequence[GateTick]:
        made = []
        while self._next_ns <= self.clock.now_ns():
            if "gate" not in self.silent:
                made.append(self._make_tick())
            self._next_ns += TICK_NS
        return made

    def judged(self) -> Sequence[Judged]:
        said, self.said = self.said, []
        return said

    def judge(self, outcome: Outcome, reward: float, at_ns: int | None = None) -> None:
        stamp_ns = self.clock.now_ns() if at_ns is None else at_ns
        judgement = Judgement(reward=reward, outcome=outcome)
        self.said.append(Judged(judgement=judgement, stamp_ns=stamp_ns))

    def _make_tick(self) -> GateTick:
        action, source = self._driver()
        start = source in (Source.HUMAN, Source.DEMO) and not self._intervening
        self._intervening = source in (Source.HUMAN, Source.DEMO)
        data = np.zeros(3, np.float32) if action is None else action
        data = data if not self.reason.refuses else np.zeros(3, np.float32)
        self._travel = self._travel + data.astype(np.float64) * 0.1
        self._tick = 0 if self.anew else self._tick + 1
        return GateTick(
            tick=self._tick,
            heard_ns=self._next_ns,
            source=source,
            intervention_start=start,
            state=self.state,
            reason=self.reason,
            data=data,
            travel=self._travel,
        )

    def _driver(self) -> tuple[Vector | None, Source]:
        if self.person is not None:
            return self.person, Source.DEMO if self.demo else Source.HUMAN
        if self._offered is None or self.rests:
            return None, Source.HOLD
        return self._offered, Source.POLICY

    def _sample(self, name: str) -> Sample:
        # Pictures come every 30 ms, the robot's state every 10 ms, both a little late.
        every_ns = 30_000_000 if name == "camera:wrist" else TICK_NS
        stamp_ns = (self.clock.now_ns() - 2_000_000) // every_ns * every_ns
        value = np.float32(stamp_ns / 1e9)
        observation = Observation(
            stamp_ns=stamp_ns,
            vectors={}
            if name != "robot"
            else {JOINT_POSITION: np.array([value, 0], "f4"), GRIPPER: np.array([0.04], "f4")},
            images={WRIST: np.full((2, 3, 3), stamp_ns // every_ns % 256, np.uint8)}
            if name == "camera:wrist"
            else {},
        )
        return Sample(observation=observation, stamp_ns=stamp_ns + ROS_NS)


def vector(*values: float) -> Vector:
    return np.array(values, np.float32)


GO = vector(0.5, -0.25, 1.0)


def make_env(graph: FakeGraph, task: TaskSpec | None = None, **of: Any) -> GraphEnv:
    return GraphEnv(task or make_task(), graph, **of)


def begin(graph: FakeGraph, task: TaskSpec | None = None, **of: Any) -> GraphEnv:
    env = make_env(graph, task, **of)
    env.reset(0)
    return env


def test_reset_waits_for_fresh_samples_of_all_streams_and_takes_the_seat() -> None:
    graph = FakeGraph()
    graph.samples()
    graph.clock.advance_s(1.0)
    begun_ns = graph.clock.now_ns()
    env = make_env(graph)
    observation = env.reset(3)
    assert graph.seated
    moment = env.moment(observation)
    assert set(moment.streams) == {"robot", "camera:wrist"}
    assert all(stamp_ns >= begun_ns + ROS_NS for stamp_ns in moment.streams.values())
    assert moment.stamp_ns == observation.stamp_ns + ROS_NS
    assert observation.instruction == "reach it"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda g: g.silent.add("camera:wrist"), "stream 'camera:wrist'; cable"),
        (lambda g: g.silent.add("gate"), "within 1 s: the gate"),
        (lambda g: setattr(g, "gives_seat", False), "the actor's seat"),
        (lambda g: setattr(g, "ended", True), "called off"),
    ],
)
def test_what_is_not_there_for_an_episode_is_named(
    prepare: Callable[[FakeGraph], None], words: str
) -> None:
    graph = FakeGraph()
    prepare(graph)
    with pytest.raises(HardwareError, match=words):
        make_env(graph, patience=Patience(ready_s=1.0)).reset(0)
    assert not graph.seated


def test_nothing_begins_while_the_gate_has_latched_stop() -> None:
    graph = FakeGraph()
    graph.state = GateState.STOP
    with pytest.raises(GateStopError, match="STOP; look at the arm"):
        make_env(graph).reset(0)


def test_a_gate_of_another_task_is_refused() -> None:
    action = ActionSpec(kind="joint_delta", names=("a",), scale=(0.1,), period_s=0.1)
    with pytest.raises(ContractError, match=r"3 elements, the task's have 1"):
        make_env(FakeGraph(), make_task(action=action)).reset(0)


def test_a_policys_action_is_offered_with_the_stamp_of_what_it_was_decided_from() -> None:
    graph = FakeGraph()
    env = make_env(graph)
    seen = env.reset(0)
    result = env.step(GO)
    action, seen_ns = graph.offers[-1]
    assert action is GO
    assert seen_ns == env.moment(seen).stamp_ns
    np.testing.assert_allclose(result.executed_action, GO, atol=1e-6)
    assert (result.gate_reason, result.gate_state) == (GateReason.PASSED, GateState.RUN)
    assert result.observation.stamp_ns - seen.stamp_ns == 100_000_000


@pytest.mark.parametrize("source", [Source.HUMAN, Source.HOLD])
def test_actions_of_others_than_the_policy_are_not_offered(source: Source) -> None:
    graph = FakeGraph()
    env = begin(graph)
    result = env.step(GO, source)
    assert graph.offers[-1][0] is None
    np.testing.assert_array_equal(result.executed_action, np.zeros(3))


def test_what_a_person_did_is_what_was_executed() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.person = vector(-1.0, 1.0, -1.0)
    result = env.step(GO)
    np.testing.assert_allclose(result.executed_action, graph.person, atol=1e-6)
    assert env.person_drives
    assert env.period is not None
    assert (env.period.source, env.period.intervention_start) == (Source.HUMAN, True)
    env.step(GO, Source.HUMAN)
    assert not env.period.intervention_start


def test_a_gripper_is_where_it_was_sent_last_not_a_sum() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.clock.advance_s(0.05)
    assert env.step(vector(0, 0, -1)).executed_action[-1] == -1.0
    assert env.step(vector(0, 0, 1)).executed_action[-1] == 1.0


def test_what_is_executed_in_a_missed_period_too_is_cut_to_what_an_action_can_say() -> None:
    graph = FakeGraph()
    env = begin(graph)
    env.step(vector(1, -1, 1))
    graph.clock.advance_s(0.15)
    executed = env.step(vector(1, -1, 1)).executed_action
    np.testing.assert_array_equal(executed, [1, -1, 1])


def test_the_last_refusal_of_a_period_is_its_reason() -> None:
    ticks = [
        GateTick(
            tick=i,
            heard_ns=i,
            source=Source.POLICY,
            intervention_start=False,
            state=GateState.RUN,
            reason=reason,
            data=vector(0, 0, 0),
            travel=np.zeros(3),
        )
        for i, reason in enumerate(
            (GateReason.STALE_COMMAND, GateReason.RESUMING, GateReason.VELOCITY, GateReason.PASSED)
        )
    ]

    def reason_of(*chosen: GateTick) -> GateReason:
        return period_of(chosen, ticks[0], offered=True, gripper=False).reason

    assert reason_of(*ticks) == GateReason.RESUMING
    assert reason_of(ticks[2], ticks[3]) == GateReason.VELOCITY
    assert reason_of(ticks[3]) == GateReason.PASSED


def test_an_offer_that_nobody_drives_is_refused_so_that_the_policy_plans_anew() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.rests = True
    assert env.step(GO).gate_reason == GateReason.NOT_RUNNING
    assert env.period is not None
    assert env.period.source == Source.HOLD


def test_while_a_stream_is_old_nothing_is_offered_and_it_is_named() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.silent.add("camera:wrist")
    for _ in range(3):
        assert env.step(GO).gate_reason == GateReason.PASSED
    assert "camera:wrist" in env.trouble
    assert "cable?" in env.trouble
    result = env.step(GO)
    assert graph.offers[-1][0] is None
    assert result.gate_reason == GateReason.STALE_OBSERVATION
    assert result.observation.ages_s["camera:wrist"] > 0.25
    graph.silent.clear()
    env.step(GO)
    assert not env.trouble


def make_monitor(**watch: object) -> StreamMonitor:
    config = {
        "keys": {JOINT_POSITION: {"may_repeat": "never"} | watch},
        "fault_after_s": 0.05,
        "motion_m": 0.01,
        "motion_rad": 0.01,
    }
    return StreamMonitorConfig.model_validate(config).build(make_task().observation, 0.1)


def test_a_stream_that_cannot_be_true_counts_as_trouble() -> None:
    graph = FakeGraph()
    # The first joint turns by 1 rad/s.
    env = begin(graph, monitor=make_monitor(max_rate_per_s=(0.5, 0.5)))
    env.step(GO)
    env.step(GO)
    assert "jumped" in env.trouble
    env.step(GO)
    assert graph.offers[-1][0] is None


def test_the_stamp_of_a_stream_is_that_of_the_sample_in_the_observation() -> None:
    graph = FakeGraph()
    env = begin(graph, monitor=make_monitor())
    before = graph.samples()["robot"]
    newest = env.step(GO).observation
    used = env.moment(newest).streams["robot"]
    graph.silent.add("robot")
    graph.put("robot", before)
    observation = env.step(GO).observation
    assert env.moment(observation).streams["robot"] == used
    np.testing.assert_array_equal(
        observation.vectors[JOINT_POSITION], newest.vectors[JOINT_POSITION]
    )


def test_a_lost_seat_is_told_and_asked_for_again() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.seated, graph.refusal = False, "it took it away"
    assert "it took it away" in env.trouble
    env.step(GO)
    assert graph.seated
    assert not env.trouble


def test_a_lost_gate_ends_the_episode_with_an_error() -> None:
    graph = FakeGraph()
    env = begin(graph, make_task(horizon=100))
    graph.silent.add("gate")
    for _ in range(5):
        env.step(GO)
    with pytest.raises(HardwareError, match=r"said nothing for 0\.6"):
        env.step(GO)
    assert not graph.seated
    with pytest.raises(ContractError, match="call reset first"):
        env.step(GO)


def test_a_gate_that_was_started_anew_ends_the_episode() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.anew = True
    with pytest.raises(HardwareError, match="started anew"):
        env.step(GO)


def test_a_judgement_ends_the_episode_as_its_outcome_and_is_paid() -> None:
    graph = FakeGraph()
    env = begin(graph)
    graph.judge(Outcome.UNKNOWN, 0.25)
    first = env.step(GO)
    assert (first.reward, first.terminated, first.outcome) == (0.25, False, Outcome.UNKNOWN)
    graph.judge(Outcome.SUCCESS, 1.0)
    graph.judge(Outcome.UNKNOWN, 0.0)
    last = env.step(GO)
    assert (last.reward, last.terminated, last.truncated) == (1.0, True, False)
    assert last.outcome == Outcome.SUCCESS
    assert not graph.seated


def test_judgements_of_the_episode_before_do_not_count() -> None:
    graph = FakeGraph()
    graph.judge(Outcome.SUCCESS, 1.0)
    env = begin(graph)
    graph.judge(Outcome.SUCCESS, 1.0, at_ns=graph.clock.now_ns() - 2_000_000_000)
    assert env.step(GO).outcome == Outcome.UNKNOWN


def test_the_time_limit_truncates() -> None:
    graph = FakeGraph()
    env = begin(graph)
    results = [env.step(GO) for _ in range(5)]
    assert [r.truncated for r in results] == [False] * 4 + [True]
    assert not any(r.terminated for r in results)


@pytest.mark.parametrize("how", ["stop", "called off"])
def test_a_stop_and_being_called_off_truncate(how: str) -> None:
    graph = FakeGraph()
    env = begin(graph)
    if how == "stop":
        graph.state, graph.reason = GateState.STOP, GateReason.NOT_RUNNING
    else:
        graph.ended = True
    result = env.step(GO)
    assert (result.truncated, result.terminated) == (True, False)
    assert graph.left == 1


class Plan:
    """A `Player` that counts how often it was told to plan anew."""

    fingerprint = "f"

    def __init__(self) -> None:
        self.replans = 0

    def reset(self, seed: int) -> None:
        self.replans = 0

    def replan(self) -> None:
        self.replans += 1

    def next(self, observation: Observation) -> Vector | None:
        return GO


def test_a_rollout_on_the_graph_plans_anew_once_a_person_has_driven() -> None:
    graph, task = FakeGraph(), make_task()
    env, plan = make_env(graph, task), Plan()
    arbiter = Arbiter(task.action, graph.clock, HandOver(release_s=0.0))
    agent = Agent(base=plan, online=None, size=3)
    steps: list[Transition] = []

    def on_step(transition: Transition) -> None:
        steps.append(transition)
        graph.person = vector(1, 1, 1) if transition.step in (1, 2) else None

    rollout = Rollout(env, agent, arbiter, operator=GraphOperator(env))
    rollout.run("e1", 0, EpisodeMetadata(task="reach"), on_step)
    # In step 2 they take over in the midst of a period that the policy began, in 3 they drive.
    assert [s.source for s in steps] == [
        Source.POLICY,
        Source.POLICY,
        Source.POLICY,
        Source.HUMAN,
        Source.HUMAN,
    ]
    np.testing.assert_allclose(steps[2].action, [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(steps[3].action, [1, 1, 1], atol=1e-6)
    assert plan.replans == 2
