"""What the page's review is told of a store that somebody else writes."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import GateReason, Outcome, Source
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.session.film import Film
from robot_rl.session.page.archive import Archive
from robot_rl.session.page.picture import Picture

STATE, CAMERA = "observation.state", "observation.images.wrist"
SPEC = RecordingSpec(
    robot="arm",
    task=TaskSpec(
        name="plug",
        horizon=20,
        observation=ObservationSpec(
            vectors={STATE: VectorSpec(names=("q",), unit="rad")},
            images={CAMERA: ImageSpec(height=16, width=16)},
        ),
        action=ActionSpec(kind="joint_delta", names=("a",), scale=(0.1,), period_s=0.1),
    ),
)


def build_episode(name: str, steps: int = 3) -> Episode:
    """Pixels of instant i are 50 i."""
    column = np.zeros((steps, 1), np.float32)
    grey = (50 * np.arange(steps + 1)).astype(np.uint8)
    return Episode(
        episode_id=name,
        metadata=EpisodeMetadata(task="plug", robot="arm", contract=SPEC.contract),
        outcome=Outcome.SUCCESS,
        terminated=True,
        truncated=False,
        stamps_ns=np.arange(steps + 1) * 10**8,
        ages_s=np.zeros(steps + 1, np.float32),
        vectors={STATE: np.zeros((steps + 1, 1), np.float32)},
        images={CAMERA: np.tile(grey[:, None, None, None], (1, 16, 16, 3))},
        action=column,
        base_action=np.zeros((steps + 1, 1), np.float32),
        proposed_action=column,
        reward=np.array([0] * (steps - 1) + [1], np.float32),
        source=np.full(steps, Source.HUMAN, np.uint8),
        intervention_start=np.zeros(steps, np.bool_),
        gate_reason=np.full(steps, GateReason.PASSED, np.uint8),
        inference_s=np.zeros(steps, np.float32),
        lateness_s=np.zeros(steps, np.float32),
        policy_version=np.zeros(steps, np.int64),
    )


@pytest.fixture
def archive(tmp_path):
    opened = Archive([tmp_path / "none", tmp_path / "store"], Film(tmp_path / "film"), 90)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path):
    with EpisodeStore(tmp_path / "store", SPEC) as opened:
        yield opened


def grey_of(jpeg: bytes) -> float:
    return float(np.mean(simplejpeg.decode_jpeg(jpeg)))


def test_before_anything_is_recorded_there_is_nothing(archive):
    assert archive.rows() == ()
    with pytest.raises(StorageError, match="there is no episode"):
        archive.columns("e1")


def test_what_is_saved_and_discarded_meanwhile_is_seen(archive, store):
    store.append(build_episode("e1"))
    store.append(build_episode("e2"))
    newest, oldest = archive.rows()
    assert (newest.episode_id, oldest.episode_id) == ("e2", "e1")
    assert (oldest.outcome, oldest.assisted, oldest.steps) == ("success", True, 3)
    assert oldest.seconds == pytest.approx(0.3)
    assert archive.columns("e2")["steps"] == 3
    store.delete("e2")
    assert [row.discarded for row in archive.rows()] == [True, False]
    with pytest.raises(StorageError, match="there is no episode"):
        archive.columns("e2")


@pytest.mark.parametrize("camera", ["wrist", CAMERA])
def test_without_film_a_picture_is_what_the_policy_saw(archive, store, camera):
    store.append(build_episode("e1"))
    for step in (0, 3):
        assert abs(grey_of(archive.picture("e1", camera, step)) - 50 * step) < 3
    for name, step in (("wrist", 4), ("front", 0)):
        with pytest.raises(StorageError, match="no picture of"):
            archive.picture("e1", name, step)


def test_what_was_shown_is_kept_and_comes_first(archive, store):
    store.append(build_episode("e1"))
    archive.keep(Picture(0, "wrist", 1, 0.0, ("e1", 2), b"jpeg"))
    archive.keep(Picture(0, "wrist", 1, 0.0, None, b"no episode ran"))
    archive.close()
    assert archive.picture("e1", "wrist", 2) == b"jpeg"


@pytest.mark.parametrize("name", ["../e1", "..", "a/b", "", "e" * 300, "\x00"])
def test_a_name_that_is_none_is_refused(archive, name):
    for episode, camera in ((name, "wrist"), ("e1", name)):
        with pytest.raises(StorageError):
            archive.picture(episode, camera, 0)
