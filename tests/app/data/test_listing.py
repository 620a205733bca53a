from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robot_rl.core.types import Outcome, Source
from robot_rl.data.store.episode_store import EpisodeStore


def lines(said):
    return [" ".join(line.split()) for line in said.out.splitlines()]


def test_a_line_says_what_an_episode_is(data, store):
    found = lines(data("ls", store))
    assert found[0] == f"{store}: plug_in with fr3"
    # 3 of 20 steps in 2 takes: 15 %; 20 steps of 0.1 s.
    assert any(line.startswith("online-1 success 2x, 15 % 20 2.0 ") for line in found)
    assert any(line.startswith("online-2 failure 30 3.0 ") for line in found)


def test_the_totals_are_those_of_the_store(data, store):
    # 10 + 20 + 30 steps of 0.1 s are 6 s, 0.1 min.
    last = lines(data("ls", store))[-1]
    assert last.startswith("3 episodes (2 success, 1 failure), 60 steps, 0.1 min, ")


def test_it_is_read_from_the_manifest_alone(data, store):
    for episode in (store / "episodes").iterdir():
        episode.unlink()
    assert data("ls", store).status == 0


def test_marks_tell_labels_interruptions_and_demonstrations(data, make_episode, make_store):
    plain = make_episode("a", images=False)
    broken = dataclasses.replace(
        plain,
        episode_id="b",
        outcome=Outcome.UNKNOWN,
        metadata=dataclasses.replace(plain.metadata, interrupted=True),
    )
    shown = dataclasses.replace(plain, episode_id="c", source=np.full(10, Source.DEMO, np.uint8))
    store = make_store(plain, broken, shown, images=False)
    data("relabel", store, "a", "--label", "failure", "--by", "ann")
    first, second, third = (line for line in lines(data("ls", store)) if " 10 1.0 " in line)
    assert first.endswith(" success:1")
    assert second.startswith("b unknown ")
    assert second.endswith(" interrupted")
    assert " demonstrated " in third


def test_deleted_episodes_are_counted_and_shown_when_asked_for(data, store):
    data("delete", store, "online-1")
    said = data("ls", store)
    assert "online-1" not in said.out
    assert "1 deleted episode: --deleted shows it" in said.out
    assert lines(said)[-2].startswith("2 episodes (1 success, 1 failure), 40 steps")
    assert any(
        line.startswith("online-1 ") and line.endswith(" deleted")
        for line in lines(data("ls", store, "--deleted"))
    )


def test_a_runs_folder_lists_every_store_in_it(data, make_store, make_episode, tmp_path):
    make_store(make_episode("demo-0", images=False), name="demos", images=False)
    make_store(make_episode("online-0", images=False), name="online", images=False)
    (tmp_path / "checkpoints").mkdir()
    said = data("ls", tmp_path)
    assert said.status == 0
    assert "demo-0" in said.out
    assert "online-0" in said.out


def test_an_empty_store_has_no_table(data, make_store):
    assert lines(data("ls", make_store()))[1:] == ["0 episodes, 0 steps, 0.0 min, 0 B"]


def test_it_lists_beside_a_writer(data, store, make_spec):
    with EpisodeStore(store, make_spec(images=False)):
        assert data("ls", store).status == 0


@pytest.mark.parametrize("width", [40, 80])
def test_ids_are_whole_in_narrow_terminals(data, make_store, make_episode, width):
    name = "online-" + "7" * 30
    store = make_store(make_episode(name, images=False), images=False)
    said = data("ls", store, width=width)
    assert "".join(said.out.split()).count("7") >= 30
