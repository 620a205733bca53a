from __future__ import annotations

import json
import zlib

import pytest

from robot_rl.core.errors import StorageError
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore


@pytest.fixture
def manifest(open_store, make_episode, path):
    """Of a store with two episodes, a label, and one of them deleted."""
    with open_store() as store:
        for number in (0, 1):
            store.append(make_episode(2, episode=number))
        store.delete("episode-1")
    return path / "manifest.jsonl"


def test_every_flipped_byte_is_detected(open_store, manifest):
    whole = manifest.read_bytes()

    for i in range(len(whole)):
        manifest.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(StorageError, match=r"line \d is damaged.*robot-rl data doctor"):
            EpisodeReader(manifest.parent)
    with pytest.raises(StorageError, match="line 4 is damaged"):
        open_store()


@pytest.mark.parametrize("change", [lambda s: s[:1] + s[2:], lambda s: [*s[:2], *s[1:]]])
def test_a_lost_or_repeated_line_is_detected(manifest, change):
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(change(lines)))

    with pytest.raises(StorageError, match=r"line \d is damaged"):
        EpisodeReader(manifest.parent)


def test_lines_are_plain_json_with_numbers_and_checksums(manifest):
    lines = manifest.read_bytes().splitlines()

    kinds = [(json.loads(line)["line"], json.loads(line)["kind"]) for line in lines]
    assert kinds == [(1, "header"), (2, "saved"), (3, "saved"), (4, "deleted")]
    for line in lines:
        text = line[: -len(b',"crc32":"01234567"}')] + b"}"
        assert int(json.loads(line)["crc32"], 16) == zlib.crc32(text)


@pytest.mark.parametrize(
    "tail", [b'{"line":5,"ki', bytes(40), b'{"line":5,"kind":"del' + bytes(20) + b"\n"]
)
def test_a_torn_or_zeroed_last_line_is_ignored_and_cut_off_by_the_writer(
    open_store, manifest, make_episode, tail
):
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + tail)

    reader = EpisodeReader(manifest.parent)
    assert reader.ids() == ["episode-0"]
    assert manifest.read_bytes() == whole + tail
    with open_store() as store:
        assert manifest.read_bytes() == whole
        store.append(make_episode(2, episode=2))
    reader.refresh()
    assert reader.ids() == ["episode-0", "episode-2"]


def test_a_line_of_a_later_version_is_no_damage_but_not_understood(manifest):
    text = b'{"line":5,"kind":"moved","id":"episode-0"}'
    line = text[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(text)
    manifest.write_bytes(manifest.read_bytes() + line)

    with pytest.raises(StorageError, match=r"line 5: not understood: .*'moved'.* update"):
        EpisodeReader(manifest.parent)


def test_a_store_of_the_first_schema_is_refused_by_name_versions_and_remedy(open_store, manifest):
    text = json.dumps({"schema": 1, "contract": "0123456789abcdef"})
    line = json.dumps({**json.loads(text), "crc32": f"{zlib.crc32(text.encode()):08x}"})
    manifest.write_text(line + "\n")

    for opening in (open_store, lambda: EpisodeReader(manifest.parent)):
        with pytest.raises(StorageError, match=r"manifest.jsonl: schema 1, this version reads 2;"):
            opening()


def test_an_empty_manifest_is_refused_with_the_remedy(manifest):
    manifest.write_bytes(b"")

    with pytest.raises(StorageError, match=r"no header; rebuild it: robot-rl data doctor .*--rep"):
        EpisodeStore(manifest.parent)


def test_a_spec_with_every_character_is_read_back(open_store, recording_spec, path):
    spec = type(recording_spec)(robot="fr3 \r\n\u2028 \x00 é", task=recording_spec.task)
    open_store(spec).close()

    assert EpisodeReader(path).spec == spec
