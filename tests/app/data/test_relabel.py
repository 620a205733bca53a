from __future__ import annotations

import pytest

from robot_rl.core.types import Outcome
from robot_rl.data.store.episode_reader import EpisodeReader


def test_a_judgement_is_read_as_the_outcome_and_changes_no_recording(data, store):
    said = data("relabel", store, "online-0", "--label", "failure", "--by", "ann")
    assert said.status == 0
    assert "online-0: success version 1" in said.out
    reader = EpisodeReader(store)
    assert reader.read("online-0").outcome == Outcome.SUCCESS
    assert reader.read("online-0", outcome="success").outcome == Outcome.FAILURE
    assert reader.label("online-0", "success").made_by == "ann"


def test_rlif_of_all_episodes_is_read_as_their_reward(data, store):
    said = data("relabel", store, "--reward", "rlif", "--late-steps", "2", "--scale", "10")
    assert said.status == 0
    assert "labelled 3 episodes" in said.out
    reader = EpisodeReader(store)
    # A person stepped in at 5 and at 15: two policy steps before each share the blame.
    expected = [0.0] * 20
    expected[3] = expected[4] = expected[13] = expected[14] = -0.5
    expected[19] = 10.0
    assert reader.read("online-1", reward="rlif").reward.tolist() == expected
    assert reader.read("online-1").reward.tolist() == [0.0] * 19 + [1.0]


def test_computed_rewards_go_by_the_judgement(data, store):
    data("relabel", store, "online-0", "--label", "failure", "--by", "ann")
    data("relabel", store, "online-2", "--label", "success", "--by", "ann")
    data("relabel", store, "--reward", "sparse")
    reader = EpisodeReader(store)
    sums = [reader.label(i, "sparse").values.sum() for i in reader.ids()]
    assert sums == [0.0, 1.0, 1.0]


def test_progress_is_of_successes_alone(data, store):
    said = data("relabel", store, "--progress")
    assert "labelled 2 episodes" in said.out
    assert "left out 1 episode: only successes have progress" in said.out
    reader = EpisodeReader(store)
    assert reader.label("online-0", "progress").values[5] == pytest.approx(0.5)
    assert reader.labels("online-2") == {}


def test_it_says_what_takes_all_of_it_back(data, store):
    said = data("relabel", store, "--reward", "sparse")
    command = f"robot-rl data undo {store} --times 3"
    assert f"take it back: {command}" in said.out
    assert data(*command.split()[2:]).status == 0
    assert all(EpisodeReader(store).labels(i) == {} for i in EpisodeReader(store).ids())


def test_labels_lists_every_version(data, store):
    data("relabel", store, "online-1", "--label", "failure", "--by", "ann")
    data("relabel", store, "online-1", "--label", "success", "--by", "bob")
    data("relabel", store, "online-1", "--reward", "rlif")
    said = data("labels", store, "online-1")
    found = [" ".join(line.split()) for line in said.out.splitlines()[1:]]
    assert found == [
        "rlif 1 20 from -1 to 0, sum -2 robot_rl.data.labelling:rlif_reward "
        "late_steps=1, task_scale=0.0",
        "success 1 false ann",
        "success 2 true bob",
    ]
    assert "online-0 has no labels" in data("labels", store, "online-0").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say one of --label, --reward and --progress; got 0 of them"),
        (["--reward", "sparse", "--progress"], "got 2 of them"),
        (["--label", "success", "--by", "ann"], "name the episodes that you judge, or say --all"),
        (["online-0", "--label", "success"], "say who judges: --by NAME"),
        (["online-0", "--label", "success", "--by", "ann", "--all"], "not both"),
        (["--reward", "sparse", "--late-steps", "2"], "belong to --reward rlif"),
        (["--reward", "rlif", "--late-steps", "0"], "got late_steps 0, expected >= 1"),
        (["--reward", "rlif", "--by", "ann"], "--by and --all belong to --label"),
    ],
)
def test_words_that_do_not_fit_together_change_nothing(refused, store, words, message):
    assert message in refused("relabel", store, *words)
    assert all(EpisodeReader(store).labels(i) == {} for i in EpisodeReader(store).ids())


def test_all_episodes_are_judged_alike_only_when_asked_for(data, store):
    assert data("relabel", store, "--label", "success", "--by", "ann", "--all").status == 0
    reader = EpisodeReader(store)
    assert {reader.read(i, outcome="success").outcome for i in reader.ids()} == {Outcome.SUCCESS}
