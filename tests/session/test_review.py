"""What a person does to recorded episodes, what is learned from them then, and taking it back."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import RobotRlError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.judged import as_judged
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.session.listing import Listing
from robot_rl.session.review import LONGEST_NOTE, Review

STATE, CAMERA = "observation.state", "observation.images.wrist"
SPEC = RecordingSpec(
    robot="arm",
    task=TaskSpec(
        name="plug",
        horizon=20,
        observation=ObservationSpec(
            vectors={STATE: VectorSpec(names=("episode", "instant"), unit="rad")},
            images={CAMERA: ImageSpec(height=2, width=3)},
        ),
        action=ActionSpec(kind="joint_delta", names=("a",), scale=(0.1,), period_s=0.1),
    ),
)
STEPS = 6


def build_episode(number: int, steps: int = STEPS, **changes) -> Episode:
    """A time-out of unknown outcome; vectors and pixels say episode and instant."""
    instants = np.arange(steps + 1)
    state = np.stack([np.full(steps + 1, number), instants], axis=1)
    column = (np.arange(steps)[:, None] / 10).astype(np.float32)
    made = Episode(
        episode_id=f"online-{number}",
        metadata=EpisodeMetadata(
            task="plug", robot="arm", seed=number, operator="ann", contract=SPEC.contract
        ),
        outcome=Outcome.UNKNOWN,
        terminated=False,
        truncated=True,
        stamps_ns=instants * 10**8,
        ages_s=np.zeros(steps + 1, np.float32),
        vectors={STATE: state.astype(np.float32)},
        images={CAMERA: np.tile(instants.astype(np.uint8)[:, None, None, None], (1, 2, 3, 3))},
        action=column,
        base_action=(np.arange(steps + 1)[:, None] / 20).astype(np.float32),
        proposed_action=column,
        reward=np.zeros(steps, np.float32),
        source=np.full(steps, Source.POLICY, np.uint8),
        intervention_start=np.zeros(steps, np.bool_),
        gate_reason=np.full(steps, GateReason.PASSED, np.uint8),
        inference_s=np.zeros(steps, np.float32),
        lateness_s=np.zeros(steps, np.float32),
        policy_version=np.arange(steps),
        latent=column.copy(),
    )
    return dataclasses.replace(made, **changes)


def build_success(number: int) -> Episode:
    reward = np.zeros(STEPS, np.float32)
    reward[-1] = 1.0
    ended = {"outcome": Outcome.SUCCESS, "terminated": True, "truncated": False}
    return build_episode(number, reward=reward, **ended)


class Learner:
    """Knows the episodes that it learns from, as a `LearnerLink` would."""

    def __init__(self, store: EpisodeReader) -> None:
        self.knows = {name: as_judged(store, name) for name in store.ids()}

    def amend(self, episode_id: str, episode: Episode | None) -> None:
        self.knows.pop(episode_id, None)
        if episode is not None:
            self.knows[episode.episode_id] = episode

    def told(self) -> dict[str, tuple]:
        return {name: (e.reward.tolist(), *ended(e)) for name, e in self.knows.items()}


def ended(episode: Episode) -> tuple[Outcome, bool, bool]:
    return episode.outcome, episode.terminated, episode.truncated


@dataclasses.dataclass
class Table:
    store: EpisodeStore
    learner: Learner
    review: Review

    def state(self) -> tuple:
        """All that counts: what is there, as whom, and what is learned from."""
        here = [(name, *ended(as_judged(self.store, name))) for name in sorted(self.store.ids())]
        return here, sorted(self.learner.told().items())


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where that can be had: a hundred stores are made here."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online"


@pytest.fixture
def lay(path: Path) -> Callable[..., Table]:
    """A store of a time-out, a success and a time-out in which a person drove; and its review."""

    def lay(disk: FailingDisk | None = None) -> Table:
        source = np.array([0, 0, Source.HUMAN, Source.HUMAN, 0, 0], np.uint8)
        is_new = not path.exists()
        store = EpisodeStore(path, SPEC, disk=disk or FailingDisk())
        made = build_episode(1), build_success(2), build_episode(3, source=source)
        for episode in made if is_new else ():
            store.append(episode)
        learner = Learner(store)
        return Table(store, learner, Review(store, learner, "ann"))

    return lay


def test_a_time_out_that_was_a_success_after_all_ends_and_pays(lay):
    table = lay()
    assert table.review.relabel("online-1", Outcome.SUCCESS) == "online-1: success"
    now = table.learner.knows["online-1"]
    assert now.reward.tolist() == [0, 0, 0, 0, 0, 1]
    assert ended(now) == (Outcome.SUCCESS, True, False)
    # The recording stays as it is, and who is filled from the store learns the same.
    assert ended(table.store.read("online-1")) == (Outcome.UNKNOWN, False, True)
    assert Learner(EpisodeReader(table.store.path)).told() == table.learner.told()


def test_a_success_that_was_none_pays_nothing_and_a_time_out_stays_one(lay):
    table = lay()
    table.review.relabel("online-2", Outcome.FAILURE)
    table.review.relabel("online-1", Outcome.FAILURE)
    assert ended(table.learner.knows["online-2"]) == (Outcome.FAILURE, True, False)
    assert not table.learner.knows["online-2"].reward.any()
    assert ended(table.learner.knows["online-1"]) == (Outcome.FAILURE, False, True)


def test_a_judgement_can_be_taken_back_by_another(lay):
    table = lay()
    before = table.state()
    table.review.relabel("online-2", Outcome.UNKNOWN)
    assert ended(table.learner.knows["online-2"])[0] == Outcome.UNKNOWN
    assert table.review.rows()[1].outcome == "unknown"
    table.review.relabel("online-2", Outcome.SUCCESS)
    assert table.state() == before


def test_a_trim_puts_some_steps_in_the_place_of_all(lay):
    table = lay()
    words = table.review.trim("online-2", 1, 4)
    assert words == "online-2-trim1: the steps from 1 to 4 of online-2"
    assert table.store.ids() == ["online-1", "online-3", "online-2-trim1"]
    assert table.store.deleted() == ["online-2"]
    kept = table.store.read("online-2-trim1")
    assert len(kept) == 3
    assert kept.vectors[STATE][:, 1].tolist() == [1, 2, 3, 4]
    assert kept.images[CAMERA][:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert kept.base_action[:, 0] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert kept.policy_version.tolist() == [1, 2, 3]
    assert kept.latent[:, 0] == pytest.approx([0.1, 0.2, 0.3])
    assert kept.metadata == build_episode(2).metadata
    # Its end is not there, so nobody knows how it ended.
    assert ended(kept) == (Outcome.UNKNOWN, False, True)
    assert set(table.learner.knows) == {"online-1", "online-3", "online-2-trim1"}


def test_a_trim_that_keeps_the_end_keeps_how_it_was_judged(lay):
    table = lay()
    table.review.relabel("online-1", Outcome.SUCCESS)
    table.review.note("online-1", "slipped first")
    table.review.trim("online-1", 4, 6)
    kept = table.learner.knows["online-1-trim1"]
    assert ended(kept) == (Outcome.SUCCESS, True, False)
    assert kept.reward.tolist() == [0, 1]
    row = table.review.rows()[0]
    assert (row.episode_id, row.outcome, row.note) == (
        "online-1-trim1",
        "success",
        "slipped first",
    )


def test_what_was_trimmed_is_trimmed_again_under_another_number(lay):
    table = lay()
    table.review.trim("online-1", 1, 6)
    table.review.trim("online-1-trim1", 1, 4)
    assert table.store.ids()[-1] == "online-1-trim2"
    table.review.undo()
    assert table.store.ids()[-1] == "online-1-trim1"
    table.review.undo()
    table.review.trim("online-1", 0, 2)
    # Ids are never used again.
    assert table.store.ids()[-1] == "online-1-trim3"


def test_everything_is_taken_back_newest_first(lay):
    table = lay()
    states = [table.state()]
    for change in (
        lambda review: review.relabel("online-1", Outcome.SUCCESS),
        lambda review: review.trim("online-1", 3, 6),
        lambda review: review.relabel("online-1-trim1", Outcome.FAILURE),
        lambda review: review.delete("online-3"),
        lambda review: review.trim("online-2", 0, 3),
        lambda review: review.delete("online-2-trim1"),
    ):
        change(table.review)
        states.append(table.state())
    assert table.review.undo() == "taken back: online-2-trim1: discarded"
    for before in (states[-2], *reversed(states[:-2])):
        assert table.state() == before
        if before is not states[0]:
            table.review.undo()
    with pytest.raises(StorageError, match="nothing to take back"):
        table.review.undo()


def test_what_another_session_did_is_not_taken_back(lay):
    first = lay()
    first.review.delete("online-1")
    first.store.close()
    second = lay()
    with pytest.raises(StorageError, match="nothing was changed since the start"):
        second.review.undo()


def test_notes_are_kept_and_taken_back(lay):
    table = lay()
    table.review.note("online-3", "  hand in the picture \ud800 ")
    table.review.note("online-3", "first\nsecond")
    assert table.review.rows()[0].note == "first\nsecond"
    table.review.undo()
    assert table.review.rows()[0].note == "hand in the picture ?"
    label = table.store.label("online-3", "note")
    assert (label.made_by, label.parameters) == ("ann", {"text": "hand in the picture ?"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.relabel("online-9", Outcome.SUCCESS), "no episode 'online-9'"),
        (lambda r: r.delete("../online-1"), "no episode"),
        (lambda r: r.trim("online-9", 0, 1), "no episode"),
        (lambda r: r.note("online-9", "a"), "no episode"),
        (lambda r: r.trim("online-1", 0, 7), "which has 6"),
        (lambda r: r.trim("online-1", -1, 3), "expected 0 <= begin < end <= 6"),
        (lambda r: r.trim("online-1", 3, 3), "expected 0 <= begin"),
        (lambda r: r.trim("online-1", 0, 6), "these are all 6 steps"),
        (lambda r: r.note("online-1", " \n"), "got 0 characters"),
        (lambda r: r.note("online-1", "x" * (LONGEST_NOTE + 1)), "expected 1 to 2000"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(lay, change, words):
    table = lay()
    before, listed = table.state(), table.review.rows()
    with pytest.raises(RobotRlError, match=words):
        change(table.review)
    assert (table.state(), table.review.rows()) == (before, listed)
    with pytest.raises(StorageError, match="nothing to take back"):
        table.review.undo()


def test_a_discarded_episode_cannot_be_changed(lay):
    table = lay()
    table.review.delete("online-1")
    before = table.state()
    for change in (
        lambda r: r.delete("online-1"),
        lambda r: r.trim("online-1", 0, 3),
        lambda r: r.relabel("online-1", Outcome.SUCCESS),
        lambda r: r.note("online-1", "late"),
    ):
        with pytest.raises(StorageError, match="is deleted"):
            change(table.review)
    assert table.state() == before


CHANGES = {
    "trim": lambda r: r.trim("online-2", 0, 3),
    "relabel": lambda r: r.relabel("online-2", Outcome.FAILURE),
    "delete": lambda r: r.delete("online-2"),
    "note": lambda r: r.note("online-2", "again"),
}


def prepare(table: Table, undone: str) -> None:
    table.review.note("online-2", "before")
    if undone:
        CHANGES[undone](table.review)


@pytest.mark.parametrize(
    ("error", "lasting"), [(errno.ENOSPC, False), (errno.EIO, True)], ids=["full", "broken"]
)
@pytest.mark.parametrize("takes_back", [False, True], ids=["do", "undo"])
@pytest.mark.parametrize("name", CHANGES)
def test_whatever_fails_it_is_done_or_not_done(lay, path, name, takes_back, error, lasting):
    """Every disk operation in turn: the state is that before or that after."""

    def change(table: Table) -> None:
        table.review.undo() if takes_back else CHANGES[name](table.review)

    fail_at, found = 0, ""
    while found != "clean":
        fail_at += 1
        shutil.rmtree(path, ignore_errors=True)
        disk = FailingDisk(lasting=lasting, error=error)
        table = lay(disk)
        prepare(table, name if takes_back else "")
        before = table.state()
        disk.fail_at = len(disk.operations) + fail_at
        try:
            change(table)
            found = "done" if disk.failed else "clean"
        except StorageError:
            found = "refused"
            # At once, unless the disk has not come back.
            assert lasting or table.state() == before
        # What was acknowledged or refused is so in the store that is opened again.
        learner = table.learner.told()
        table.store.close()
        again = lay()
        after_crash = again.state()
        again.store.close()
        assert learner == again.learner.told() or lasting
        if found == "refused":
            unfinished = {n for n, *_ in after_crash[0]}
            assert len({n.split("-trim")[0] for n in unfinished}) == len(unfinished)
            assert after_crash == before or (lasting and _is_after(name, takes_back, after_crash))
        else:
            assert _is_after(name, takes_back, after_crash)
        assert any(n.startswith("online-2") for n, *_ in after_crash[0]) or name == "delete"
    assert fail_at > 2


def _is_after(name: str, takes_back: bool, state: tuple) -> bool:
    """Whether a change is done; a line that could not be taken back may turn out to be there."""
    here = {n: outcome for n, outcome, *_ in state[0]}
    done = {
        "trim": "online-2-trim1" in here and "online-2" not in here,
        "relabel": here.get("online-2") == Outcome.FAILURE,
        "delete": not any(n.startswith("online-2") for n in here),
        "note": True,
    }[name]
    undone = here.get("online-2") == Outcome.SUCCESS and "online-2-trim1" not in here
    return undone if takes_back else done


def test_a_trim_that_a_kill_broke_off_is_settled_when_the_review_begins(lay, caplog):
    table = lay()
    part = dataclasses.replace(build_episode(1, steps=2), episode_id="online-1-trim1")
    table.store.append(part)
    table.store.close()
    again = lay()
    assert again.store.ids() == ["online-1", "online-2", "online-3"]
    assert set(again.learner.knows) == {"online-1", "online-2", "online-3"}
    assert "online-1-trim1 was never finished" in caplog.text


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("undo")),
            st.tuples(st.just("delete"), st.integers(0, 3)),
            st.tuples(st.just("relabel"), st.integers(0, 3), st.sampled_from(list(Outcome))),
            st.tuples(st.just("trim"), st.integers(0, 3), st.integers(-1, 6), st.integers(0, 7)),
        ),
        max_size=15,
    )
)
def test_the_learner_always_knows_what_the_store_holds(tmp_path_factory, changes):
    store = EpisodeStore(tmp_path_factory.mktemp("store") / "s", SPEC, disk=FailingDisk())
    with store:
        for number in (1, 2, 3):
            store.append(build_episode(number))
        learner = Learner(store)
        review, history = Review(store, learner, "ann"), []
        for kind, *arguments in changes:
            names = [*store.ids(), *store.deleted(), "online-9"]
            if arguments:
                arguments[0] = names[arguments[0] % len(names)]
            before = sorted(learner.told().items())
            try:
                getattr(review, kind)(*arguments)
            except RobotRlError:
                assert sorted(learner.told().items()) == before
            else:
                if kind == "undo":
                    assert sorted(learner.told().items()) == history.pop()
                else:
                    history.append(before)
            assert learner.told() == Learner(EpisodeReader(store.path)).told()


def test_rows_are_the_newest_first_and_say_what_was_discarded(lay):
    table = lay()
    table.review.delete("online-2")
    rows = table.review.rows()
    assert [row.episode_id for row in rows] == ["online-3", "online-2", "online-1"]
    assert [row.discarded for row in rows] == [False, True, False]
    assert [row.outcome for row in rows] == ["unknown", "success", "unknown"]
    assert [row.assisted for row in rows] == [True, False, False]
    assert (rows[0].steps, rows[0].seconds) == (6, pytest.approx(0.6))
    assert table.review.rows(1) == rows[:1]


def test_episodes_that_others_save_are_listed(lay):
    table = lay()
    table.review.rows()
    table.store.append(build_success(4))
    assert table.review.rows(1)[0].episode_id == "online-4"
    # A page process lists the same, beside the writer.
    assert Listing(EpisodeReader(table.store.path)).rows() == table.review.rows()


def test_the_data_add_up_as_judged_without_what_was_discarded(lay, path):
    table = lay()
    table.review.relabel("online-3", Outcome.SUCCESS)
    table.review.delete("online-1")
    data = table.review.data(path, target=7)
    assert (data.folder, data.target) == (str(path), 7)
    assert (data.episodes, data.discarded) == (2, 1)
    assert (data.successes_autonomous, data.successes_assisted) == (1, 1)
    assert (data.steps, data.human_steps) == (12, 2)
    assert data.free_bytes > 0
    assert data.room_episodes > 0


def test_where_no_episode_would_begin_there_is_room_for_none(lay, path, monkeypatch):
    table = lay()
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("robot_rl.session.listing.shutil.disk_usage", lambda _: usage)
    assert table.review.data(path, 0).room_episodes == 0


def test_a_damaged_label_is_listed_as_recorded(lay, path, caplog):
    table = lay()
    table.review.relabel("online-2", Outcome.FAILURE)
    file = next((path / "labels" / "online-2").iterdir())
    file.write_bytes(b"x" + file.read_bytes()[1:])
    assert table.review.rows()[1].outcome == "success"
    assert "damaged" in caplog.text
