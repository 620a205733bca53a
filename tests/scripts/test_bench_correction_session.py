from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="needs the session extra")
import correction_session
import session_figures
import session_visit
from session_figures import Played, blocks, change, claims, followed, gain, played
from session_person import FairPersonConfig
from session_visit import Glimpse, Visit, Visitor, next_click
from toy_trial import toy_config

from robot_rl.app.run_config import JUDGING_SEEDS, RunConfig
from robot_rl.app.station import Station
from robot_rl.config.load import load
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.core.types import Observation
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.runtime.events import EpisodeEnded, Evaluated, LearnerMetrics
from robot_rl.runtime.improve import PHASE, tell_episode
from robot_rl.runtime.record import record_episode
from robot_rl.session.command import Answer
from robot_rl.session.mode import LEGAL, Mode, Verb
from robot_rl.session.view import CheckView, EpisodeView, LearnerView, View
from robot_rl_sim.person import SupervisorConfig

WON = Played(
    success=True,
    assisted=False,
    steps=10,
    human_steps=0,
    version=1,
    missed=0,
    updates_per_s=20.0,
    seen=Glimpse(),
)
HELPED = dataclasses.replace(WON, assisted=True, human_steps=5)
FAILED = dataclasses.replace(WON, success=False)
VERDICT = Evaluated(
    env_steps_total=100,
    base_success=0.5,
    improved_success=0.7,
    episodes=10,
    lower_bound=-0.1,
    deployed="base",
    deployed_version=0,
)


def view(mode: Mode, **shown: Any) -> View:
    told: dict[str, Any] = {
        "number": 1,
        "run": "r",
        "task": "t",
        "mode": mode,
        "mode_s": 0.0,
        "driver": "nobody",
        "holder": "",
        "why": "because",
        "legal": tuple(LEGAL[mode]),
        "period_s": 0.1,
    }
    return View(**{**told, **shown})


def learner(state: Any, version: int = 3) -> LearnerView:
    return LearnerView(
        state=state,
        updates=1,
        updates_per_s=1.0,
        version=version,
        weights_age_s=0.5,
        env_steps=1,
    )


def running(episode_id: str, *, judging: bool = False) -> EpisodeView:
    return EpisodeView(
        episode_id=episode_id,
        seed=0,
        step=1,
        horizon=10,
        seconds=0.1,
        reward=0.0,
        human_steps=0,
        judging=judging,
        outcome="unknown",
    )


class RecordingLine:
    """Takes commands and sends them nowhere."""

    def __init__(self) -> None:
        self.asked: list[tuple[Verb, dict[str, Any]]] = []

    def command(self, verb: Verb, arguments: Mapping[str, Any] | None = None) -> int:
        self.asked.append((verb, dict(arguments or {})))
        return len(self.asked)


@pytest.fixture
def line() -> RecordingLine:
    return RecordingLine()


@pytest.fixture
def visitor(line: RecordingLine) -> Visitor:
    return Visitor(line)  # type: ignore[arg-type]


# what is clicked


@pytest.mark.parametrize(
    ("mode", "click"),
    [
        (Mode.READY, (Verb.START, {})),
        (Mode.HOLD, (Verb.GIVE_BACK, {})),
        (Mode.REVIEW, (Verb.NEXT, {})),
        (Mode.STOP, (Verb.CLEAR, {"by": "bench", "cause": "because"})),
        (Mode.AUTO, None),
        (Mode.HUMAN, None),
        (Mode.RESETTING, None),
    ],
)
def test_click_follows_from_the_mode(mode: Mode, click: session_visit.Click | None) -> None:
    assert next_click(view(mode)) == click


def test_what_is_not_legal_now_is_not_clicked() -> None:
    assert next_click(view(Mode.STOP, legal=(Verb.STOP,))) is None


def test_preflight_is_confirmed_then_checked_again_once_all_was_looked_at() -> None:
    bad = CheckView(name="disk", state="bad", words="full")
    waits = CheckView(name="clock", state="waiting", words="")
    asks = CheckView(name="stop tried", state="ask", words="")
    assert next_click(view(Mode.PREFLIGHT, checks=(bad, asks))) == (
        Verb.CONFIRM,
        {"name": "stop tried"},
    )
    assert next_click(view(Mode.PREFLIGHT, checks=(bad, waits))) is None
    assert next_click(view(Mode.PREFLIGHT, checks=(bad,))) == (Verb.CHECK, {})


def test_views_that_do_not_know_of_a_click_yet_do_not_repeat_it(
    visitor: Visitor, line: RecordingLine
) -> None:
    for _ in range(3):
        visitor.hear(view(Mode.HOLD))
    visitor.hear(view(Mode.REVIEW))
    visitor.hear(Answer(client="bench-1", number=2, done=False, words="too early"))
    assert [verb for verb, _ in line.asked] == [Verb.GIVE_BACK, Verb.NEXT]
    assert visitor.visit.clicks == {Verb.GIVE_BACK: 1, Verb.NEXT: 1}
    assert visitor.visit.refused == ["too early"]


def test_visit_remembers_recorded_episodes_stops_and_a_lost_learner(visitor: Visitor) -> None:
    visitor.hear(view(Mode.AUTO, episode=running("judging-7", judging=True)))
    visitor.hear(view(Mode.AUTO, episode=running("online-0"), learner=learner("starting", 0)))
    visitor.hear(view(Mode.AUTO, episode=running("online-1"), learner=learner("learning")))
    for state in ("lost", "lost", "learning"):
        visitor.hear(view(Mode.STOP, learner=learner(state)))
    visit = visitor.visit
    assert [*visit.episodes] == ["online-0", "online-1"]
    assert visit.episodes["online-0"].weights_age_s == []
    assert visit.episodes["online-1"].weights_age_s == [0.5]
    assert (visit.stops, visit.lost, visit.period_s) == (1, 1, 0.1)


def test_session_that_stops_again_and_again_is_given_up(visitor: Visitor) -> None:
    for _ in range(session_visit._MOST_STOPS):
        visitor.hear(view(Mode.STOP))
        visitor.hear(view(Mode.READY))
    with pytest.raises(RobotRlError, match="stops again and again: because"):
        visitor.hear(view(Mode.STOP))


def test_session_whose_checks_stay_bad_is_given_up(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_visit, "_AGAIN_S", 0.0)
    bad = view(Mode.PREFLIGHT, checks=(CheckView(name="disk", state="bad", words="full"),))
    for _ in range(3):
        visitor.hear(bad)
    with pytest.raises(RobotRlError, match="cannot begin: because"):
        visitor.hear(bad)


def test_process_that_ends_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "robot-rl"
    command.write_text("#!/bin/sh\necho no page today\nexit 3\n")
    command.chmod(0o755)
    monkeypatch.setattr(session_visit, "COMMAND", command)
    with pytest.raises(RobotRlError, match=r"(?s)says of no page.*no page today"):
        session_visit.Sitting(tmp_path)


# the person


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station.of_run(toy_config(()))
    with made.bench.robot:
        yield made
    made.bench.close()


def metadata(station: Station, seed: int) -> EpisodeMetadata:
    task = station.bench.task
    return EpisodeMetadata(task=task.name, contract=task.contract, seed=seed)


def test_person_keeps_hands_off_only_while_the_policy_is_judged(station: Station) -> None:
    eager = SupervisorConfig(patience_steps=1, attention=1.0, correction_steps=3)
    person = FairPersonConfig(person=eager).build(station.bench)  # type: ignore[arg-type]
    nothing = Observation(stamp_ns=0, vectors={})
    station.bench.scene.reset(0)
    for seed, drives in ((0, True), (JUDGING_SEEDS + 1, False), (5, True)):
        person.reset(seed)
        said = [person.poll(nothing) for _ in range(4)]
        assert any(one.active for one in said) is drives
        assert any(one.action.any() for one in said) is drives
    assert person.name == "simulated supervisor"


# figures


def test_blocks_are_equal_and_leave_nobody_out() -> None:
    assert [len(part) for part in blocks([WON] * 47, 20)] == [23, 24]
    assert [len(part) for part in blocks([WON] * 60, 20)] == [20, 20, 20]
    assert [len(part) for part in blocks([WON] * 5, 20)] == [2, 3]


def test_interval_of_a_gain_is_that_of_newcombes_example() -> None:
    # Statistics in Medicine 17, table II (a): 56 of 70 against 48 of 80, method 10.
    before = [WON] * 48 + [HELPED] * 32
    after = [WON] * 56 + [FAILED] * 14
    assert gain(before, after) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_share_of_human_steps_that_falls_for_sure_has_an_interval_below_zero() -> None:
    low, high = change([HELPED] * 20, [WON] * 20)
    assert (low, high) == (-0.5, -0.5)
    low, high = change([WON, HELPED] * 10, [HELPED, WON] * 10)
    assert low < 0 < high


def test_correction_counts_as_followed_once_newer_weights_have_acted() -> None:
    early = dataclasses.replace(HELPED, version=0)
    late = dataclasses.replace(HELPED, version=9)
    assert followed([early, WON, late, FAILED]) == 0.5
    assert math.isnan(followed([WON, late]))


def test_session_that_got_better_holds_every_claim_and_one_that_did_not_holds_none() -> None:
    worse = [dataclasses.replace(HELPED, version=1)] * 20
    better = [dataclasses.replace(WON, version=2)] * 20
    assert all(claim.holds for claim in claims([worse, better], [], VERDICT))
    late = [dataclasses.replace(e, version=2, missed=1) for e in worse]
    held = {c.name: c.holds for c in claims([better, late], ["online-3"], None)}
    assert not any(held.values())


def test_table_tells_of_each_block_what_a_person_wants_to_know() -> None:
    seen = Glimpse(weights_age_s=[1.0, 3.0, 2.0], load=4.0)
    part = [dataclasses.replace(e, seen=seen, missed=1) for e in (HELPED, WON)]
    first, _, difference = session_figures.block_rows([part, [WON, WON]])
    assert first["name"] == "episodes 1 to 2"
    assert (first["alone"], first["helped"], first["human"]) == (0.5, 0.5, 0.25)
    assert (first["age_s"], first["missed"], first["load"]) == ((2.0, 3.0), 2, 4.0)
    assert (difference["alone"], difference["human"]) == (0.5, -0.25)
    rows = session_figures.other_rows(part, VERDICT, Visit(stops=2))
    shown = {row["name"]: row.get("alone", row.get("median")) for row in rows}
    assert shown["10 matched starts: base"] == 0.5
    assert shown["10 matched starts: improved"] == 0.7
    assert (shown["stops"], shown["steps"], shown["steps by the person"]) == (2, 20, 5)


def test_episodes_are_those_of_the_store_and_what_it_lacks_is_lost(
    station: Station, tmp_path: Path
) -> None:
    rollout = station.rollout(station.agent())
    events: list[Any] = []
    with EpisodeStore(tmp_path, station.recording) as store:
        for seed in (0, 1):
            name = f"online-{seed}"
            about = metadata(station, seed)
            episode = record_episode(rollout, store, name, seed, about)
            tell_episode(PHASE, episode, 0, 1.0, [events.append])
            events.append(
                LearnerMetrics(env_steps_total=0, updates_total=1, updates_per_s=7.0, values={})
            )
        told = next(event for event in events if isinstance(event, EpisodeEnded))
        events += [
            dataclasses.replace(told, episode_id="online-2"),
            dataclasses.replace(told, episode_id="demo-1", phase="collect"),
            dataclasses.replace(told, episode_id="online-1", steps=told.steps + 1),
        ]
        visit = Visit(episodes={"online-0": Glimpse(load=1.0), "online-3": Glimpse()})
        visit.period_s = station.bench.task.action.period_s
        kept, lost = played(store, events, visit)
    assert lost == ["online-3", "online-1", "online-2"]
    (only,) = kept
    assert (only.steps, only.updates_per_s, only.seen.load) == (told.steps, 7.0, 1.0)
    assert (only.missed, only.human_steps, only.version) == (0, 0, 0)


def test_tick_that_came_later_than_its_period_counts_as_missed(
    station: Station, tmp_path: Path
) -> None:
    with EpisodeStore(tmp_path, station.recording) as store:
        episode = station.rollout(station.agent()).run("online-0", 0, metadata(station, 0))
        late = np.zeros_like(episode.lateness_s)
        late[:3] = 0.09, 0.101, 0.35
        events: list[Any] = []
        tell_episode(PHASE, episode, 0, 1.0, [events.append])
        store.append(dataclasses.replace(episode, lateness_s=late))
        kept, _ = played(store, events, Visit(period_s=0.1))
    assert kept[0].missed == 4


# the runs


@pytest.mark.parametrize(
    "form", [correction_session.QUICK, correction_session.FULL], ids=lambda form: form.name
)
def test_both_forms_are_runs_with_a_person_at_the_device(form: correction_session.Form) -> None:
    config = load(form.run, RunConfig, form.changes)
    assert config.session is not None
    (device,) = config.session.devices
    assert isinstance(device, FairPersonConfig)
    assert config.improve.judge_every_steps == config.improve.env_steps


def test_base_policy_of_other_settings_is_not_taken(tmp_path: Path) -> None:
    one = load(correction_session.QUICK.run, RunConfig, correction_session.QUICK.changes)
    other = one.model_copy(update={"imitate": one.imitate.model_copy(update={"steps": 7})})  # type: ignore[union-attr]
    donor = correction_session.Trial(
        variant="point", config=other, path=tmp_path / "point-base-seed0"
    )
    correction_session.create(donor, None)
    with pytest.raises(ConfigError, match="made with other settings"):
        correction_session.prepared("point", one, tmp_path)
