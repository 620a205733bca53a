import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from robot_rl.app.report import ComparedStart, PolicyTrials, ReportEvaluation, write_report
from robot_rl.app.report.chart import Chart, Line, tick_text
from robot_rl.app.report.figures import (
    deployments,
    force_profile,
    from_first_contact,
    intervention_chart,
    success_chart,
)
from robot_rl.app.report.page import UNKNOWN, percent
from robot_rl.app.report.pictures import animation
from robot_rl.core.errors import ContractError
from robot_rl.runtime.events import EpisodeEnded, Evaluated, Event, GateEvent, LearnerMetrics


def summary(**changes: Any) -> dict[str, Any]:
    force = {"mean": 5.0, "p99": 9.0, "max": 12.0}
    return {
        "task": "peg <insertion>",
        "seed": 3,
        "wall_s": 2473.0,
        "base": {"success": 0.7, "episodes": 20, "ci95": [0.48, 0.86]},
        "improved": {"success_autonomous": 1.0, "episodes": 20, "ci95": [0.84, 1.0]},
        "intervention_rate": {"first": 0.14, "last": 0.0},
        "env_steps": 28280,
        "updates": 113120,
        "operator_s": 312.0,
        "demos": 30,
        "peak_rss_mb": 900.0,
        "cycle_time_s": {"base": None, "improved": 4.0},
        "contact_force_n": {"base": force, "improved": force},
        "gate": {"refused": 12, "holds": 88},
        "phases_s": {"collect": 190.0, "imitate": 420.0, "improve": 1500.0, "evaluate": 363.0},
        "versions": {"torch": "2.11.0"},
        "config": {"control": {"period_s": 0.05}},
        **changes,
    }


def trials(solved: int, *, episodes: int = 20, steps: int = 100) -> PolicyTrials:
    curve = np.asarray([0.0, 0.2, 2.0, 4.0, 6.0], np.float32)
    return PolicyTrials(
        success=np.arange(episodes) < solved,
        steps=np.full(episodes, steps),
        period_s=0.05,
        force_n=[curve] * episodes,
    )


def episode(k: int, *, success: bool = True, human_steps: int = 0) -> EpisodeEnded:
    return EpisodeEnded(
        phase="improve",
        episode_id=f"e{k}",
        seed=k,
        success=success,
        assisted=human_steps > 0,
        steps=50,
        human_steps=human_steps,
        env_steps_total=50 * (k + 1),
        max_force_n=1.0,
        mean_force_n=1.0,
        gate_refused=0,
        gate_holds=0,
        wall_s=1.0,
    )


def evaluated(at: int, deployed: str, version: int) -> Evaluated:
    return Evaluated(
        env_steps_total=at,
        base_success=0.7,
        improved_success=0.9,
        episodes=20,
        lower_bound=0.05,
        deployed=deployed,
        deployed_version=version,
    )


def compared_start() -> ComparedStart:
    frames = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(8)]
    return ComparedStart(
        seed=7, frame_period_s=0.1, base_frames=frames, improved_frames=frames[:5]
    )


EVALUATION = ReportEvaluation(base=trials(14), improved=trials(20, steps=80))
EVENTS: list[Event] = [
    *[episode(k, success=k > 4, human_steps=25 if k < 10 else 0) for k in range(30)],
    evaluated(500, "base", 0),
    evaluated(1500, "improved", 4),
    LearnerMetrics(
        env_steps_total=500,
        updates_total=2000,
        updates_per_s=90.0,
        values={"q_mean": 0.4, "td_error_online": 0.1, "residual_norm": 0.05},
    ),
    GateEvent(reason="WORKSPACE"),
    GateEvent(reason="WORKSPACE"),
    GateEvent(reason="FORCE"),
]


class Page(HTMLParser):
    """Text, tags and addresses of a page; knows whether every tag was closed in order."""

    VOID = ("meta", "img", "source")

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(content)
        self.text = " ".join(self.text.replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "srcset", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def written(tmp_path: Path, *args: Any) -> tuple[str, Page]:
    content = write_report(tmp_path, *args).read_text(encoding="utf-8")
    return content, Page(content)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    path = tmp_path_factory.mktemp("run")
    return written(path, summary(), EVENTS, EVALUATION, [compared_start()])


def test_the_report_needs_nothing_but_itself(full: tuple[str, Page]):
    content, page = full
    assert page.open == []
    assert all(address.startswith("data:") for address in page.addresses)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"https?://|@import|url\(", content)


def test_the_headline_says_from_where_to_where_in_how_long(full: tuple[str, Page]):
    _, page = full
    assert "Base 70 % → improved 100 % in 41 min" in page.text
    # 14 -> 20 of 20: bound 0.272727 - 1.644854 * 0.114665 = 0.084 (see the statistics tests)
    assert "+30 points of success over 20 matched starts" in page.text
    assert "at least 8 points" in page.text
    assert "Deployed at the end: improved v4." in page.text


def test_the_table_compares_success_time_and_force(full: tuple[str, Page]):
    _, page = full
    assert "14 of 20 20 of 20" in page.text
    assert "Cycle time, median of successes 5.0 s 4.0 s" in page.text
    assert "Contact force, mean 4.0 N 4.0 N" in page.text
    assert "14 were solved by both, 6 only by the improved policy, 0 only by the base" in page.text


def test_gate_reasons_are_counted(full: tuple[str, Page]):
    _, page = full
    assert "refused in the whole run: 12" in page.text
    assert "workspace 2 67 %" in page.text
    assert "force 1 33 %" in page.text


def test_words_from_outside_are_escaped(full: tuple[str, Page]):
    content, _ = full
    assert "peg &lt;insertion&gt;" in content
    assert "<insertion>" not in content


def test_every_chart_is_well_formed_and_keeps_its_marks_inside(full: tuple[str, Page]):
    content, _ = full
    drawings = re.findall(r"<svg.*?</svg>", content, re.S)
    assert len(drawings) == 6
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for path in root.iter("path"):
            points = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.attrib["d"])
            assert all(0 <= float(x) <= width for x, _ in points)
            assert all(0 <= float(y) <= height for _, y in points)
        assert "nan" not in drawing.lower()


def test_a_policy_that_is_not_shown_to_be_better_is_not_called_better(tmp_path: Path):
    evaluation = ReportEvaluation(base=trials(18), improved=trials(19))
    _, page = written(tmp_path, summary(), [evaluated(500, "base", 0)], evaluation)
    assert "not enough to say" in page.text
    assert "Deployed at the end: the base." in page.text


def test_a_run_without_events_pictures_or_sensor_still_gets_its_report(tmp_path: Path):
    blind = [replace(trials(n), force_n=()) for n in (0, 20)]
    unknown = summary(intervention_rate={"first": None, "last": None})
    _, page = written(tmp_path, unknown, [], ReportEvaluation(base=blind[0], improved=blind[1]))
    assert "svg" not in page.tags
    assert f"Contact force, mean {UNKNOWN} {UNKNOWN}" in page.text
    assert "Base 0 % → improved 100 %" in page.text


def test_the_animation_is_small_and_lasts_as_long_as_the_longer_episode():
    uri = animation(compared_start())
    content = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    with Pillow.open(io.BytesIO(content)) as picture:
        assert getattr(picture, "n_frames", 1) >= 5
        assert picture.size == (64 + 8 + 64, 48)
    assert len(content) < 100_000


def test_a_heavy_animation_gives_way_until_it_fits():
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3)).astype(np.uint8)
    start = replace(compared_start(), base_frames=list(noise), improved_frames=list(noise))
    free = len(animation(start))
    assert len(animation(start, max_bytes=free // 3)) <= free // 3 * 4 / 3 + 40


def test_deployed_versions_are_marked_only_where_they_change():
    found = deployments(
        [
            evaluated(100, "base", 0),
            evaluated(200, "base", 0),
            evaluated(300, "improved", 1),
            evaluated(400, "improved", 1),
            evaluated(500, "base", 0),
        ]
    )
    assert found == [(100.0, "base"), (300.0, "v1"), (500.0, "base")]


def test_assisted_success_never_counts_as_the_policys_own():
    chart = success_chart([episode(k, human_steps=k % 2) for k in range(20)], [])
    assert chart is not None
    alone, helped = chart.marks
    assert isinstance(alone, Line)
    assert isinstance(helped, Line)
    assert np.asarray(alone.y)[-1] == pytest.approx(0.5)
    assert np.asarray(helped.y)[-1] == pytest.approx(0.5)
    assert np.isnan(np.asarray(alone.y)[:4]).all()


def test_intervention_rate_is_human_steps_over_steps():
    chart = intervention_chart([episode(k, human_steps=10) for k in range(6)])
    assert chart is not None
    (line,) = chart.marks
    assert isinstance(line, Line)
    assert np.asarray(line.y)[-1] == pytest.approx(10 / 50)


def test_force_is_aligned_at_the_first_contact():
    curves = from_first_contact(trials(1, episodes=1))
    np.testing.assert_array_equal(curves[0], np.asarray([2.0, 4.0, 6.0], np.float32))
    never = replace(trials(1, episodes=1), force_n=[np.zeros(5, np.float32)])
    assert from_first_contact(never) == []


def test_the_force_profile_ends_when_half_of_the_episodes_have():
    curves = [np.full(n, n, np.float32) for n in (2, 3, 5, 9)]
    low, median, high = force_profile(curves)
    assert len(median) == 5
    assert median[0] == 4.0  # of 2, 3, 5, 9
    assert (median[4], low[4], high[4]) == pytest.approx((7.0, 5.4, 8.6))  # of 5, 9


def test_contact_numbers_ignore_free_motion():
    force = trials(1, episodes=1).contact_force_n
    assert (force.mean, force.max) == (4.0, 6.0)  # of 2, 4, 6
    assert force.p99 == pytest.approx(5.96)


def test_unmatched_or_ragged_evaluations_are_refused():
    with pytest.raises(ContractError, match="matched starts"):
        ReportEvaluation(base=trials(1, episodes=3), improved=trials(1, episodes=2))
    with pytest.raises(ContractError, match="force curves"):
        replace(trials(1), force_n=[np.zeros(3, np.float32)])
    with pytest.raises(ContractError, match="compared start 7"):
        replace(compared_start(), base_frames=[])


def test_a_chart_of_constant_zeros_and_nan_is_drawn():
    chart = Chart(
        title="t",
        note="",
        x_label="x",
        y_label="y",
        marks=[Line(label="", role="base", x=[0, 1, 2], y=[0.0, np.nan, 0.0])],
    )
    drawn = ElementTree.fromstring(chart.svg)
    line = next(path for path in drawn.iter("path") if "line" in path.attrib["class"])
    assert line.attrib["d"].count("M") == 2


@pytest.mark.parametrize(
    ("value", "text"), [(0.1 + 0.2, "0.3"), (1500, "1.5k"), (2e6, "2M"), (0, "0")]
)
def test_ticks_are_short(value: float, text: str):
    assert tick_text(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.7, "70 %"), (0.996, "99.6 %"), (1.0, "100 %"), (0.004, "0.4 %")]
)
def test_rounding_never_turns_a_failure_into_none(share: float, text: str):
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == text
