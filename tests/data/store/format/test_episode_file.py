"""One file of an episode: what plain zarr and zip make of it, and of what is left of it."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.storage import ZipStore

from robot_rl.core.episode import OBSERVATION_COLUMNS, STEP_COLUMNS, Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, ObservationSpec, TaskSpec, VectorSpec
from robot_rl.core.types import Outcome
from robot_rl.data.store.format.episode_attributes import decode_spec
from robot_rl.data.store.format.episode_zarr import (
    COLUMN_DTYPES,
    check_episode,
    decode_episode,
    decode_prefix,
    episode_members,
    member_names,
)
from robot_rl.data.store.format.episode_zip import (
    Archive,
    in_blocks,
    listed_members,
    sound_members,
    zip_stream,
)

CAMERA = "observation.images.wrist"
STATE = "observation.state"


def file_of(members) -> io.BytesIO:
    return io.BytesIO(b"".join(zip_stream(members)))


@pytest.fixture
def group(open_store, make_episode, path):
    with open_store() as store:
        store.append(make_episode(40))
    with ZipStore(path / "episodes/episode-0.zarr.zip", mode="r") as opened:
        yield zarr.open_group(opened, mode="r")


def test_plain_zarr_opens_every_column(group, make_episode):
    episode = make_episode(40)
    columns = {name: array[...] for name, array in group.arrays()}

    assert len(columns) == 9 + 3 + 2 + 1
    for name, column in columns.items():
        want = {**episode.vectors, **episode.images}.get(name, getattr(episode, name, None))
        np.testing.assert_array_equal(column, want, strict=True)
    assert group[CAMERA].chunks == (32, 2, 3, 3)
    assert group["action"].chunks == (40, 3)


def test_units_frames_names_and_spec_travel_with_the_columns(group, recording_spec):
    assert dict(group["observation.wrench"].attrs) == {
        "unit": "N",
        "frame": "tcp",
        "names": ["fx"],
    }
    assert dict(group["action"].attrs) == {"unit": "normalised", "names": ["a", "b", "c"]}
    assert group["stamps_ns"].attrs["unit"] == "ns"
    assert group["source"].attrs["values"]["HUMAN"] == 1
    assert group.attrs["schema"] == 2
    assert group.attrs["outcome"] == "SUCCESS"
    assert (group.attrs["terminated"], group.attrs["truncated"]) == (True, False)
    assert group.attrs["metadata"]["operator"] == "ann"
    assert RecordingSpec.from_json(group.attrs["spec"]) == recording_spec


def test_any_zip_reader_finds_it_whole_uncompressed_and_undated(make_episode, recording_spec):
    file = file_of(episode_members(make_episode(40), recording_spec))

    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        names = archive.namelist()
    assert names == member_names(recording_spec, 40)
    assert names[0] == "zarr.json"
    assert names[-3:] == [f"{CAMERA}/{n}" for n in ("zarr.json", "c.0.0.0.0", "c.1.0.0.0")]


def test_a_latent_is_one_more_array(make_episode, recording_spec, tmp_path):
    episode = make_episode(5, latent_size=4)
    path = tmp_path / "e.zarr.zip"
    path.write_bytes(file_of(episode_members(episode, recording_spec)).getvalue())

    with ZipStore(path, mode="r") as opened:
        group = zarr.open_group(opened, mode="r")
        np.testing.assert_array_equal(group["latent"][...], episode.latent, strict=True)
        assert group.attrs["latent_size"] == 4


def test_an_episode_that_nothing_steered_has_no_word_of_latents(make_episode, recording_spec):
    file = file_of(episode_members(make_episode(3), recording_spec))

    assert b"latent" not in file.getvalue()
    archive = Archive(file, listed_members(file, "x"), "x")
    assert decode_episode(archive, recording_spec).latent.shape == (3, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"latent_size": 2', b'"latent_size": 0', ""),
        (b'"latent_size": 2', b'"latent_size": -2', "latents of size -2, expected .* at least 0"),
        (b'"latent_size": 2', b'"latent_size": "2"', "attributes are not whole"),
        (b'"latent_size": 2', b'"latent_size": 2000000000000', "latent"),
        (b'"latent/zarr.json"', b"", "'latent/zarr.json' is missing"),
        (b'"latent/c.0.0"', b"", "'latent/c.0.0' is missing"),
    ],
)
def test_a_latent_that_is_not_what_its_file_tells_is_refused(
    make_episode, recording_spec, old, new, said
):
    members = dict(episode_members(make_episode(3, latent_size=2), recording_spec))
    assert members.pop(old.decode().strip('"'), None) or old in members["zarr.json"]
    members["zarr.json"] = members["zarr.json"].replace(old, new)
    file = file_of(members.items())
    archive = Archive(file, listed_members(file, "x"), "x")
    if not said:
        assert decode_episode(archive, recording_spec).latent.shape == (3, 0)
        return
    with pytest.raises(StorageError, match=said):
        decode_episode(archive, recording_spec)


def test_a_stored_latent_that_is_not_finite_is_refused(make_episode, recording_spec):
    members = dict(episode_members(make_episode(3, latent_size=1), recording_spec))
    members["latent/c.0.0"] = np.array([0, np.nan, 0], "<f4").tobytes()
    file = file_of(members.items())
    archive = Archive(file, listed_members(file, "x"), "x")

    with pytest.raises(StorageError, match=r"holds no episode: .*latent of step 1 is not finite"):
        decode_episode(archive, recording_spec)
    assert decode_prefix(archive, recording_spec) is None


def test_latent_is_no_name_of_an_observation(make_episode, recording_spec):
    vector = recording_spec.task.observation.vectors[STATE]
    observation = dataclasses.replace(
        recording_spec.task.observation, vectors={"latent": vector}, images={}
    )
    spec = dataclasses.replace(
        recording_spec, task=dataclasses.replace(recording_spec.task, observation=observation)
    )

    with pytest.raises(ContractError, match="'latent' cannot name a column"):
        check_episode(make_episode(3), spec)


def test_the_same_episode_gives_the_same_bytes(make_episode, recording_spec):
    files = [file_of(episode_members(make_episode(3), recording_spec)) for _ in range(2)]

    assert files[0].getvalue() == files[1].getvalue()


def test_images_are_encoded_a_chunk_at_a_time(make_episode, recording_spec):
    parts = in_blocks(zip_stream(episode_members(make_episode(320), recording_spec)), 600)

    # 11 chunks of 32 frames of 18 bytes: no part holds more than one of them and what is small.
    assert max(map(len, parts)) < 3 * 320 * 4 + 1_000


def test_small_parts_are_joined_and_large_ones_pass():
    assert list(in_blocks([b"ab", b"c", b"defghij", b"k", b"l"], 3)) == [b"abc", b"defghij", b"kl"]
    assert list(in_blocks([], 3)) == []


def test_another_schema_is_refused_by_name_versions_and_remedy(make_episode, recording_spec):
    for schema, remedy in ((1, "version of robot_rl that wrote it"), (3, "update robot_rl")):
        members = dict(episode_members(make_episode(2), recording_spec))
        members["zarr.json"] = members["zarr.json"].replace(
            b'"schema": 2', f'"schema": {schema}'.encode()
        )
        file = file_of(members.items())
        archive = Archive(file, listed_members(file, "x.zarr.zip"), "x.zarr.zip")
        with pytest.raises(StorageError, match=f"x.zarr.zip: schema {schema}, .* 2; .*{remedy}"):
            decode_episode(archive, recording_spec)


def test_a_shape_larger_than_its_members_is_refused_before_memory_is_taken(
    make_episode, recording_spec
):
    members = dict(episode_members(make_episode(2), recording_spec))
    document = members["reward/zarr.json"]
    members["reward/zarr.json"] = document.replace(b"2\n", b"2000000000000\n")
    assert members["reward/zarr.json"] != document
    file = file_of(members.items())

    with pytest.raises(StorageError, match="reward"):
        decode_episode(Archive(file, listed_members(file, "x"), "x"), recording_spec)


MEMBERS = [("first", b"1" * 50), ("second", b"2" * 60), ("third", b"3" * 70), ("none", b"")]


@pytest.fixture
def whole() -> bytes:
    return file_of(MEMBERS).getvalue()


def sound(data: bytes) -> list[str]:
    return list(sound_members(io.BytesIO(data), "x"))


def test_members_are_found_without_the_directory_at_the_end(whole):
    assert sound(whole) == ["first", "second", "third", "none"]
    assert sound(whole[: whole.index(b"PK\x01\x02")]) == ["first", "second", "third", "none"]
    assert sound(whole[: whole.index(b"333") + 69]) == ["first", "second"]
    assert sound(b"") == []
    with pytest.raises(StorageError, match="directory is lost"):
        listed_members(io.BytesIO(whole[:-30]), "x")


def test_damaged_bytes_cost_their_member_alone(whole):
    at = whole.index(b"222")

    assert sound(whole[:at] + b"x" + whole[at + 1 :]) == ["first", "third", "none"]


def test_a_member_with_a_damaged_header_is_found_by_the_directory(whole):
    at = whole.index(b"PK\x03\x04", 10)

    assert sorted(sound(whole[:at] + b"x" + whole[at + 1 :])) == [
        *("first", "none", "second", "third"),
    ]


def test_what_looks_like_a_header_inside_of_a_member_misleads_nobody():
    inner = file_of([("inner", b"data")]).getvalue()
    data = file_of([("outer", inner), ("last", b"x")]).getvalue()

    assert sound(data) == ["outer", "last"]


@pytest.mark.slow
def test_files_beyond_4_gib_are_read_by_zip_readers(tmp_path):
    path, block = tmp_path / "large.zip", bytes(1 << 30)
    with path.open("wb") as file:
        for part in zip_stream([*((f"m{i}", block) for i in range(5)), ("last", b"end")]):
            if len(part) == len(block):
                file.seek(len(part), io.SEEK_CUR)
            else:
                file.write(part)

    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        assert archive.read("last") == b"end"
        assert len(archive.namelist()) == 6
        assert Archive(file, listed_members(file, "x"), "x").read("last") == b"end"
    path.unlink()


names = st.text("abcXYZ019._-é", min_size=1, max_size=8).filter(lambda n: n[0] != ".")
floats = st.floats(width=32)


@st.composite
def recordings(draw) -> tuple[Episode, RecordingSpec]:
    keys = draw(st.lists(names, max_size=4, unique=True))
    cut = draw(st.integers(0, len(keys)))
    sizes = {key: draw(st.integers(0, 3)) for key in keys[:cut]}
    frames = {key: draw(st.tuples(*[st.integers(1, 3)] * 2)) for key in keys[cut:]}
    steps, action = draw(st.integers(1, 70)), draw(st.integers(0, 3))
    task = TaskSpec(
        name=draw(st.text(max_size=5)),
        horizon=draw(st.integers(1, 9)),
        instruction=draw(st.text(max_size=9)),
        observation=ObservationSpec(
            vectors={k: VectorSpec(names=("n",) * n, unit="m") for k, n in sizes.items()},
            images={k: ImageSpec(height=h, width=w) for k, (h, w) in frames.items()},
        ),
        action=ActionSpec(
            kind="opaque", names=("a",) * action, scale=(1.0,) * action, period_s=0.1
        ),
    )
    columns = {}
    for name in (*STEP_COLUMNS, *OBSERVATION_COLUMNS):
        shape = [steps + (name in OBSERVATION_COLUMNS)] + [action] * ("action" in name)
        columns[name] = draw(hnp.arrays(COLUMN_DTYPES.get(name, np.float32), shape))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    shape = (steps, draw(st.integers(0, 3)))
    columns["latent"] = draw(hnp.arrays(np.float32, shape, elements=finite))
    episode = Episode(
        episode_id="e",
        metadata=EpisodeMetadata(
            task=draw(st.text(max_size=3)),
            seed=draw(st.integers()),
            created_unix_s=draw(st.floats(allow_nan=False)),
            limits=draw(st.dictionaries(st.text(max_size=3), st.lists(st.integers(), max_size=2))),
        ),
        outcome=draw(st.sampled_from(Outcome)),
        terminated=draw(st.booleans()),
        truncated=draw(st.booleans()),
        vectors={k: draw(hnp.arrays(np.float32, (steps + 1, n))) for k, n in sizes.items()},
        images={k: draw(hnp.arrays(np.uint8, (steps + 1, *s, 3))) for k, s in frames.items()},
        **columns,
    )
    return episode, RecordingSpec(robot=draw(st.text(max_size=3)), task=task)


def bits(column: np.ndarray) -> tuple:
    return column.dtype.name, column.shape, column.tobytes()


@settings(max_examples=60, deadline=None)
@given(recordings())
def test_every_episode_of_every_spec_comes_back_bit_by_bit(recording):
    episode, spec = recording
    check_episode(episode, spec)
    file = file_of(episode_members(episode, spec))
    archive = Archive(file, listed_members(file, "x"), "x")
    read = decode_episode(archive, spec)

    assert decode_spec(archive) == spec
    assert list(archive.members) == member_names(spec, len(episode), episode.latent.shape[1])
    assert archive.members == sound_members(file, "x")
    for field in dataclasses.fields(Episode):
        want, got = getattr(episode, field.name), getattr(read, field.name)
        if isinstance(want, np.ndarray):
            want, got = {"": want}, {"": got}
        if isinstance(want, dict):
            want, got = ({k: bits(v) for k, v in d.items()} for d in (want, got))
        assert want == got
