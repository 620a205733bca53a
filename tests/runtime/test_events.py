import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_rl.core.clock import ManualClock
from robot_rl.core.errors import StorageError
from robot_rl.runtime.events import (
    EpisodeEnded,
    Evaluated,
    Event,
    EventLog,
    GateEvent,
    LearnerMetrics,
    PhaseEnded,
    PhaseProgress,
    PhaseStarted,
    read_events,
    send,
)

EPISODE = EpisodeEnded(
    phase="improve",
    episode_id="e1",
    seed=3,
    success=True,
    assisted=False,
    steps=80,
    human_steps=0,
    env_steps_total=80,
    max_force_n=12.5,
    mean_force_n=3.0,
    gate_refused=1,
    gate_holds=2,
    wall_s=4.0,
)
ONE_OF_EACH: list[Event] = [
    PhaseStarted(phase="improve", total=100, unit="episodes"),
    PhaseProgress(phase="improve", done=1),
    EPISODE,
    LearnerMetrics(
        env_steps_total=80, updates_total=320, updates_per_s=90.0, values={"q_mean": 0.5}
    ),
    Evaluated(
        env_steps_total=80,
        base_success=0.7,
        improved_success=0.9,
        episodes=20,
        lower_bound=0.05,
        deployed="improved",
        deployed_version=2,
    ),
    GateEvent(reason="WORKSPACE"),
    PhaseEnded(phase="improve", summary={"episodes": 1, "names": ["a", "b"]}),
]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_is_read_back_as_it_was(tmp_path: Path):
    with EventLog(tmp_path / "events.jsonl") as log:
        for event in ONE_OF_EACH:
            log(event)
    assert read_events(tmp_path / "events.jsonl") == ONE_OF_EACH


def test_an_event_is_on_the_file_before_the_next_one(tmp_path: Path):
    log = EventLog(tmp_path / "events.jsonl")
    log(ONE_OF_EACH[0])
    assert read_events(tmp_path / "events.jsonl") == ONE_OF_EACH[:1]
    log.close()


def test_nan_is_written_as_null_and_read_as_nan(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log(replace(EPISODE, max_force_n=math.nan))
        log(
            LearnerMetrics(
                env_steps_total=1,
                updates_total=1,
                updates_per_s=math.inf,
                values={"td_error_offline": math.nan},
            )
        )
        log(PhaseEnded(phase="improve", summary={"loss": math.nan}))
    episode, metrics, ended = lines(path)
    assert episode["max_force_n"] is None
    assert metrics["values"] == {"td_error_offline": None}
    assert ended["summary"] == {"loss": None}
    back, learner, _ = read_events(path)
    assert isinstance(back, EpisodeEnded)
    assert math.isnan(back.max_force_n)
    assert isinstance(learner, LearnerMetrics)
    assert math.isnan(learner.values["td_error_offline"])


def test_numpy_numbers_become_plain_json(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log(replace(EPISODE, success=np.bool_(True), max_force_n=np.float32(1.5)))
    assert lines(path)[0]["success"] is True
    assert lines(path)[0]["max_force_n"] == 1.5


def test_a_torn_last_line_is_dropped_and_cut_off_before_appending(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log(ONE_OF_EACH[0])
    with path.open("a") as file:
        file.write('{"type": "PhaseProg')
    assert read_events(path) == ONE_OF_EACH[:1]
    with EventLog(path) as log:
        log(ONE_OF_EACH[1])
    assert read_events(path) == ONE_OF_EACH[:2]


def test_time_goes_on_where_a_resumed_log_stopped(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    clock = ManualClock(start_ns=5)
    with EventLog(path, clock) as log:
        clock.advance_s(2.0)
        log(ONE_OF_EACH[0])
    later = ManualClock(start_ns=900)
    with EventLog(path, later) as log:
        later.advance_s(1.5)
        log(ONE_OF_EACH[1])
    assert [line["t_s"] for line in lines(path)] == [2.0, 3.5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"type": "EpisodeEnd"}', "did you mean 'EpisodeEnded'"),
        ('{"type": "GateEvent"}', "malformed GateEvent"),
        ('{"type": "GateEvent", "reason": 3}', "malformed GateEvent"),
        ("nonsense", "not a JSON object"),
    ],
)
def test_a_wrong_line_inside_the_log_names_file_and_line(tmp_path: Path, line: str, message: str):
    path = tmp_path / "events.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(StorageError, match=message) as caught:
        read_events(path)
    assert f"{path}:1" in str(caught.value)


def test_an_absent_log_is_a_storage_error(tmp_path: Path):
    with pytest.raises(StorageError, match="cannot read"):
        read_events(tmp_path / "absent.jsonl")


def test_every_sink_hears_every_event_in_order():
    first: list[Event] = []
    second: list[Event] = []
    for event in ONE_OF_EACH:
        send(event, [first.append, second.append])
    assert first == second == ONE_OF_EACH


def test_a_log_that_is_being_written_is_not_opened_again(tmp_path):
    path = tmp_path / "run" / "events.jsonl"
    with EventLog(path) as log:
        log(PhaseProgress(phase="improve", done=1))
        with pytest.raises(StorageError, match="in use"):
            EventLog(path)
        log(PhaseProgress(phase="improve", done=2))
    with EventLog(path):
        assert len(read_events(path)) == 2
