from __future__ import annotations

import dataclasses
import os
import random
import shutil
import zipfile

import numpy as np
import pytest

from robot_rl.core.errors import StorageError
from robot_rl.core.types import Outcome
from robot_rl.data.disk.failing_disk import FailingDisk
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.label import Label
from robot_rl.data.store.repair.doctor import examine, repair

CAMERA = "observation.images.wrist"
STEPS = 70
"""Images of 71 instants in chunks of 32: 32, 32 and 7."""


def label(values, name="score") -> Label:
    return Label(name=name, values=np.asarray(values, np.float32), made_by="ann")


@pytest.fixture
def manifest(open_store, make_episode, path):
    """Of a store with four episodes, labels on two, one undone, one episode deleted."""
    with open_store() as store:
        for number in range(4):
            store.append(make_episode(STEPS, episode=number))
        store.add_label("episode-0", label(np.arange(STEPS)))
        store.add_label("episode-0", label(np.zeros(STEPS)))
        store.undo()
        store.delete("episode-1")
        store.delete("episode-3")
        store.undo()
    return path / "manifest.jsonl"


def file_of(path, number: int):
    return path / f"episodes/episode-{number}.zarr.zip"


def damage(file, member: str) -> None:
    """Change one byte in the middle of a member."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(member)
    at = info.header_offset + 30 + len(member) + info.file_size // 2
    whole = file.read_bytes()
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])


def contents(path) -> dict[str, bytes]:
    """Everything but the lock, by content alone: a repair may move, never lose."""
    return {str(p): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"}


def test_a_sound_store_has_no_findings_and_nothing_to_repair(manifest, path):
    before = contents(path)

    assert examine(path) == []
    assert repair(path) == []
    assert contents(path) == before


def test_a_store_that_is_being_written_is_examined_without_the_lock(manifest, path, open_store):
    with open_store():
        assert examine(path) == []
        with pytest.raises(StorageError, match=f"open in process {os.getpid()}"):
            repair(path)


def test_a_damaged_member_is_named_with_file_and_episode(manifest, path):
    damage(file_of(path, 2), f"{CAMERA}/c.1.0.0.0")
    damage(file_of(path, 1), "reward/c.0")

    one, other = examine(path)
    assert (one.episode, one.path) == ("episode-1", file_of(path, 1))
    assert one.problem == "damaged: 1 of 33 members are not sound: reward/c.0"
    assert other.problem == f"damaged: 1 of 33 members are not sound: {CAMERA}/c.1.0.0.0"
    assert other.remedy.endswith(f"robot-rl data doctor {path} --repair")


def test_a_damaged_latent_is_named(open_store, make_episode, path):
    with open_store() as store:
        store.append(make_episode(STEPS, latent_size=3))
    damage(file_of(path, 0), "latent/c.0.0")

    (finding,) = examine(path)
    assert finding.problem == "damaged: 1 of 35 members are not sound: latent/c.0.0"


def test_the_latents_of_the_steps_that_are_whole_are_kept(open_store, make_episode, path):
    episode = make_episode(STEPS, latent_size=3)
    with open_store() as store:
        store.append(episode)
    damage(file_of(path, 0), f"{CAMERA}/c.1.0.0.0")

    repair(path)

    kept = EpisodeReader(path).read("episode-0-repaired")
    np.testing.assert_array_equal(kept.latent, episode.latent[:31], strict=True)


def test_an_episode_with_a_latent_is_listed_again_when_the_manifest_is_lost(
    open_store, make_episode, path
):
    episode = make_episode(4, latent_size=3)
    with open_store() as store:
        store.append(episode)
    (path / "manifest.jsonl").unlink()

    repair(path)

    np.testing.assert_array_equal(EpisodeReader(path).read("episode-0").latent, episode.latent)


def test_every_kind_of_leftover_is_found_and_named(manifest, path):
    (path / "open").mkdir()
    (path / "orphans").mkdir()
    left = {
        path / "episodes/.tmp-episode-9.zarr.zip-1": "unfinished",
        path / "episodes/episode-9.zarr.zip": "does not list it",
        path / "labels/episode-0/score-3.zarr.zip": "does not list it",
        path / "orphans/episode-8.zarr.zip": "never reported as saved",
        path / "orphans/episode-8.mcap": "never reported as saved",
        path / "open/episode-7.mcap": "being recorded",
    }
    for file in left:
        file.touch()
    file_of(path, 0).unlink()
    label_file = path / "labels/episode-0/score-1.zarr.zip"
    label_file.write_bytes(b"nothing")
    manifest.write_bytes(manifest.read_bytes() + b'{"line"')
    left |= {
        file_of(path, 0): "the file is missing",
        label_file: "damaged: it has 7 bytes",
        manifest: "7 bytes are a line that was never acknowledged",
    }

    found = {finding.path: finding for finding in examine(path)}
    assert found.keys() == left.keys()
    for file, problem in left.items():
        assert problem in found[file].problem
        assert found[file].remedy


def test_a_purged_file_that_is_still_there_is_found(manifest, path, open_store):
    kept = file_of(path, 1).read_bytes()
    with open_store() as store:
        store.purge()
    file_of(path, 1).write_bytes(kept)

    (finding,) = examine(path)
    assert "was purged" in finding.problem
    assert repair(path) == []
    assert examine(path) == []


def test_every_flip_and_cut_anywhere_is_found_and_the_rest_stays_readable(manifest, path):
    rng = random.Random(0)
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "lock")
    hidden = path / "labels/episode-0/score-2.zarr.zip"
    for _ in range(150):
        file = rng.choice([file for file in files if file != hidden])
        whole = file.read_bytes()
        at = rng.randrange(len(whole))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        file.write_bytes(rng.choice([flipped, whole[:at]]))

        findings = examine(path)
        assert file in {finding.path for finding in findings} or (
            # Whole lines that were cut off leave no trace but the files that they listed.
            file == manifest and findings
        ), (file, at)
        if file != manifest:
            reader = EpisodeReader(path)
            others = [i for i in reader.ids() if file != path / f"episodes/{i}.zarr.zip"]
            assert all(len(reader.read(episode_id)) == STEPS for episode_id in others)
        file.write_bytes(whole)
    assert examine(path) == []


def test_a_damaged_image_costs_the_steps_from_its_chunk_on(manifest, path, make_episode):
    damage(file_of(path, 0), f"{CAMERA}/c.1.0.0.0")
    damaged = file_of(path, 0).read_bytes()

    (said,) = repair(path)

    # Whole are the first 32 images: 31 steps.
    assert said == (
        "episode-0 is damaged: 31 of 70 steps are whole, saved as episode-0-repaired; the "
        "damaged file is kept as damaged/episode-0.zarr.zip"
    )
    assert (path / "damaged/episode-0.zarr.zip").read_bytes() == damaged
    reader = EpisodeReader(path)
    assert reader.ids() == ["episode-2", "episode-3", "episode-0-repaired"]
    assert reader.deleted() == ["episode-1", "episode-0"]
    left, whole = reader.read("episode-0-repaired"), make_episode(STEPS)
    assert (len(left), left.outcome) == (31, Outcome.UNKNOWN)
    assert (left.terminated, left.truncated) == (False, True)
    assert left.metadata == dataclasses.replace(whole.metadata, interrupted=True)
    np.testing.assert_array_equal(left.reward, whole.reward[:31])
    np.testing.assert_array_equal(left.base_action, whole.base_action[:32])
    np.testing.assert_array_equal(left.images[CAMERA], whole.images[CAMERA][:32])
    assert reader.label("episode-0-repaired", "score").values.tolist() == list(range(31))
    assert examine(path) == []
    assert repair(path) == []


def test_a_file_without_its_end_keeps_the_images_before_it(manifest, path):
    whole = file_of(path, 0).read_bytes()
    with zipfile.ZipFile(file_of(path, 0)) as archive:
        last = archive.getinfo(f"{CAMERA}/c.2.0.0.0").header_offset
    file_of(path, 0).write_bytes(whole[: last + 50])

    (finding,) = examine(path)
    assert f"it has {last + 50} bytes, saved were {len(whole)}" in finding.problem
    repair(path)
    assert len(EpisodeReader(path).read("episode-0-repaired")) == 63


def test_damage_outside_of_the_members_costs_nothing(manifest, path, make_episode, equal):
    whole = file_of(path, 0).read_bytes()
    file_of(path, 0).write_bytes(whole[:-4] + b"\xff\xff\xff\xff")

    (finding,) = examine(path)
    assert finding.problem == "damaged: its members are whole, what is around them is not"
    repair(path)
    repaired = EpisodeReader(path).read("episode-0-repaired")
    assert equal(
        repaired, dataclasses.replace(make_episode(STEPS), episode_id="episode-0-repaired")
    )


@pytest.mark.parametrize("member", ["reward/c.0", "zarr.json", "action/zarr.json"])
def test_what_no_step_is_whole_without_saves_nothing_and_loses_nothing(manifest, path, member):
    damage(file_of(path, 0), member)
    damaged = file_of(path, 0).read_bytes()

    (said,) = repair(path)

    assert said.startswith("episode-0 is damaged: not one step is whole; the damaged file is kept")
    assert EpisodeReader(path).ids() == ["episode-2", "episode-3"]
    assert (path / "damaged/episode-0.zarr.zip").read_bytes() == damaged
    with pytest.raises(StorageError, match=r"cannot be undone: .*damaged"):
        EpisodeStore(path).undo()


def test_another_episode_in_the_place_of_one_is_not_taken_for_it(manifest, path):
    shutil.copy(file_of(path, 2), file_of(path, 0))

    (said,) = repair(path)
    assert "not one step is whole" in said


def test_a_missing_file_can_be_restored_and_its_deletion_undone(manifest, path, open_store):
    kept = file_of(path, 0).read_bytes()
    file_of(path, 0).unlink()

    (said,) = repair(path)
    assert f"robot-rl data undo {path} episode-0" in said
    file_of(path, 0).write_bytes(kept)
    with open_store() as store:
        store.undo("episode-0")
        assert len(store.read("episode-0")) == STEPS


def test_damaged_labels_and_deleted_episodes_are_put_aside(manifest, path):
    damage(path / "labels/episode-0/score-1.zarr.zip", "values/c.0")
    damage(file_of(path, 1), "reward/c.0")

    assert repair(path) == [
        "label 'score' version 1 of episode-0 is damaged: no longer listed, kept as "
        "damaged/episode-0.score-1.zarr.zip",
        "episode-1, which is deleted, is damaged: kept as damaged/episode-1.zarr.zip",
    ]
    reader = EpisodeReader(path)
    assert reader.labels("episode-0") == {}
    assert reader.deleted() == ["episode-1"]
    assert examine(path) == []


def state(path) -> tuple:
    reader = EpisodeReader(path)
    labels = {episode_id: reader.labels(episode_id) for episode_id in reader.ids()}
    return reader.ids(), reader.deleted(), labels.get("episode-0")


def test_whichever_line_is_damaged_what_the_others_say_holds(manifest, path):
    ids = [f"episode-{number}" for number in range(4)]
    as_before = ([ids[0], *ids[2:]], [ids[1]], {"score": [1]})
    after_loss = {
        # The label that a lost line hid, or whose hiding has lost its object, shows again.
        7: (*as_before[:2], {"score": [1, 2]}),
        8: (*as_before[:2], {"score": [1, 2]}),
        9: (ids, [], {"score": [1]}),
        11: (ids[:1] + ids[2:3], [ids[1], ids[3]], {"score": [1]}),
    }
    lines = manifest.read_bytes().splitlines(keepends=True)
    assert len(lines) == 11
    for number in range(1, 12):
        damaged = [*lines]
        damaged[number - 1] = lines[number - 1].replace(b'"kind"', b'"Kind"')
        manifest.write_bytes(b"".join(damaged))
        assert examine(path)[0].problem.startswith(f"line {number} is damaged") or number == 1

        repair(path)

        assert state(path) == after_loss.get(number, as_before), number
        assert examine(path) == []
        kept = path / f"manifest.jsonl.damaged-{number}"
        assert kept.read_bytes() == b"".join(damaged)


def test_a_lost_manifest_is_rebuilt_from_the_episodes_alone(manifest, path, recording_spec):
    manifest.unlink()
    damage(file_of(path, 2), "reward/c.0")

    said = repair(path)

    assert "the header, line 1, is damaged or missing" in said
    assert any("orphans/episode-2.zarr.zip" in sentence for sentence in said)
    reader = EpisodeReader(path, recording_spec)
    assert reader.ids() == ["episode-0", "episode-1", "episode-3"]
    assert reader.labels("episode-0") == {"score": [1, 2]}


def test_a_manifest_of_which_nothing_is_left_is_not_made_up(open_store, path):
    open_store().close()
    (path / "manifest.jsonl").write_bytes(b"x" * 100 + b"\n")

    with pytest.raises(StorageError, match=r"cannot be rebuilt: .* Restore manifest.jsonl from a"):
        repair(path)
    assert (path / "manifest.jsonl").read_bytes() == b"x" * 100 + b"\n"


def test_a_repair_that_fails_anywhere_loses_nothing_and_can_be_repeated(manifest, path, tmp_path):
    damage(file_of(path, 0), f"{CAMERA}/c.1.0.0.0")
    damage(file_of(path, 1), "reward/c.0")
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join([*lines[:3], b"?" + lines[3][1:], *lines[4:]]))
    damaged = tmp_path / "damaged"
    path.rename(damaged)
    for fail_at in range(1, 200):
        shutil.copytree(damaged, path)
        disk = FailingDisk(fail_at, lasting=fail_at % 2 == 0)
        try:
            repair(path, disk=disk)
        except StorageError as error:
            assert "No space left" in str(error)  # noqa: PT017
        repair(path, disk=FailingDisk())
        assert {*contents(damaged).values()} - {*contents(path).values()} <= {
            (damaged / "manifest.jsonl").read_bytes()
        }
        reader = EpisodeReader(path)
        assert "episode-0" not in reader.ids()
        assert len(reader.read("episode-0-repaired")) == 31
        assert "episode-0-repaired-2" not in reader.ids()
        assert [i for i in reader.ids() if "repaired" not in i] == ["episode-2", "episode-3"]
        assert reader.labels("episode-0-repaired") == {"score": [1]}
        # Written, never listed: that is all that the failure may have left behind.
        assert {finding.path.parent.name for finding in examine(path)} <= {"orphans"}
        shutil.rmtree(path)
        if not disk.failed:
            break
    assert fail_at > 30
