"""Things that are no store, or no longer, or that somebody forged. Each function makes one.

A forged store is one whose journal and checksums agree with what is in it: only what the bytes
mean is wrong, so that nothing but the checks of the decoder stands between them and memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import contents

from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.data.store.journal import encode_line

EPISODE = "episodes/episode-0.zarr.zip"
MANIFEST = "manifest.jsonl"
STATE = "observation.state/zarr.json"


def sound(path: Path) -> Path:
    with EpisodeStore(path, contents.SPEC) as store:
        store.append(contents.episode(0))
        store.append(contents.episode(1, 7))
        store.add_label("episode-0", contents.label(1.0))
    return path


def journal(path: Path, change: Callable[[dict], None]) -> None:
    """Change the records of a journal, and write it anew with lines that are sound."""
    lines = []
    for number, line in enumerate((path / MANIFEST).read_bytes().splitlines(), 1):
        record = json.loads(line)
        del record["crc32"], record["line"]
        change(record)
        lines.append(encode_line(number, record))
    (path / MANIFEST).write_bytes(b"".join(lines))


def of_kind(which: str, **changes: object) -> Callable[[dict], None]:
    def change(record: dict) -> None:
        if record["kind"] == which:
            record.update(changes)

    return change


def forged(path: Path, data: bytes) -> None:
    """Put other bytes in the place of the first episode, known to the journal."""
    (path / EPISODE).write_bytes(data)
    digest = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def change(record: dict) -> None:
        if record["kind"] == "saved" and record["id"] == "episode-0":
            record.update(digest)

    journal(path, change)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path / EPISODE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def edited(path: Path, member: str, change: Callable[[dict], object]) -> None:
    """Forge an episode of which one JSON member is changed."""
    files = members(path)
    document = json.loads(files[member])
    change(document)
    forged(path, zipped({**files, member: json.dumps(document).encode()}))


def shaped(shape: list, rows: object = None) -> Callable[[Path], None]:
    def change(document: dict) -> None:
        document["shape"] = shape
        if rows is not None:
            document["chunk_grid"]["configuration"]["chunk_shape"][0] = rows

    return lambda path: edited(path, STATE, change)


def typed(dtype: object) -> Callable[[Path], None]:
    return lambda path: edited(path, STATE, lambda d: d.update(data_type=dtype))


def lying_sizes(path: Path) -> None:
    """The directory says that each member has 3 GiB; the file has a few kilobytes."""
    data = bytearray((path / EPISODE).read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 20 : at + 28] = (3 << 30).to_bytes(4, "little") * 2
        at = data.find(b"PK\x01\x02", at + 4)
    forged(path, bytes(data))


def large_and_lying(path: Path) -> None:
    """Three gigabytes are promised by a shape and by the directory alike."""
    shaped([400_000_000, 2])(path)
    lying_sizes(path)


def bomb(path: Path) -> None:
    """A hundred megabytes of zeros in some hundred kilobytes."""
    forged(path, zipped({**members(path), "action/c.0.0": bytes(100 << 20)}, zipfile.ZIP_DEFLATED))


def deep(path: Path) -> None:
    forged(path, zipped({**members(path), STATE: b"[" * 100_000}))


def deep_line(path: Path) -> None:
    lines = (path / MANIFEST).read_bytes().splitlines(keepends=True)
    nested = b'{"line":2,"kind":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    crc = b',"crc32":"%08x"}\n' % zlib.crc32(nested)
    (path / MANIFEST).write_bytes(lines[0] + nested[:-1] + crc)


def escaping_members(path: Path) -> None:
    files = members(path)
    evil = {f"../../{name}": data for name, data in files.items()}
    forged(path, zipped({**evil, "/etc/evil": b"", "..\\evil": b""}))


def escaping_id(path: Path) -> None:
    """The first episode lies beside the store, and the journal says so."""
    shutil.copy(path / EPISODE, path.parent / "outside.zarr.zip")

    def change(record: dict) -> None:
        if record.get("id") == "episode-0":
            record["id"] = "../../outside"

    journal(path, change)


def escaping_label(path: Path) -> None:
    """The label lies beside the store, and the journal says so."""
    label = path / "labels/episode-0/reward-1.zarr.zip"
    shutil.copy(label, path.parent / "outside-1.zarr.zip")
    journal(path, of_kind("label", name="../../../outside"))


def another_manifest(path: Path) -> None:
    other = path.with_name("other")
    with EpisodeStore(other, contents.SPEC) as store:
        store.append(contents.episode(5))
    shutil.copy(other / MANIFEST, path / MANIFEST)


def swapped(path: Path) -> None:
    """Each of two episodes under the other's name, and the journal agrees."""
    one, two = (path / f"episodes/episode-{i}.zarr.zip" for i in (0, 1))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    known = {
        f"episode-{i}": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for i, data in ((0, second), (1, first))
    }
    journal(path, lambda r: r.update(known[r["id"]]) if r["kind"] == "saved" else None)


def file_in_place_of(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        shutil.rmtree(path / name)
        (path / name).write_bytes(b"a file")

    return make


def nothing(path: Path) -> None:
    shutil.rmtree(path)


def only(path: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(path)
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)


def instead(path: Path, data: bytes) -> None:
    shutil.rmtree(path)
    path.write_bytes(data)


def manifest_as(data: bytes) -> Callable[[Path], object]:
    return lambda path: (path / MANIFEST).write_bytes(data)


def folder_as_manifest(path: Path) -> None:
    (path / MANIFEST).unlink()
    (path / MANIFEST).mkdir()


def cut(name: str, to: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        data = (path / name).read_bytes()
        (path / name).write_bytes(data[: int(len(data) * to)])

    return make


BAD: dict[str, Callable[[Path], object]] = {
    "nothing there": nothing,
    "an empty folder": lambda path: only(path, {}),
    "a folder of other things": lambda path: only(path, {"notes.txt": b"x", "a.csv": b"1,2"}),
    "a text file": lambda path: instead(path, b"hello"),
    "a foreign zip": lambda path: instead(path, zipped({"a.txt": b"x"})),
    "an mcap file": lambda path: instead(path, b"\x89MCAP0\r\n"),
    "no manifest": lambda path: (path / MANIFEST).unlink(),
    "no episode file": lambda path: (path / EPISODE).unlink(),
    "no episodes folder": lambda path: shutil.rmtree(path / "episodes"),
    "no labels folder": lambda path: shutil.rmtree(path / "labels"),
    "a file for episodes": file_in_place_of("episodes"),
    "a file for labels": file_in_place_of("labels"),
    "a folder for the manifest": folder_as_manifest,
    "a truncated zip": cut(EPISODE, 0.5),
    "an empty zip": cut(EPISODE, 0),
    "half a manifest": cut(MANIFEST, 0.3),
    "an empty manifest": manifest_as(b""),
    "a manifest of nothing": manifest_as(b"\n"),
    "a manifest of zeros": manifest_as(bytes(4096)),
    "a binary manifest": manifest_as(bytes(range(256)) * 100),
    "a manifest of JSON": manifest_as(b'{"a": 1}\n[]\nnull\n3\n'),
    "a manifest without an end": manifest_as(b"x" * (8 << 20)),
    "another store's manifest": another_manifest,
    "an older schema": lambda path: journal(path, of_kind("header", schema=1)),
    "a newer schema": lambda path: journal(path, of_kind("header", schema=99)),
    "a schema in words": lambda path: journal(path, of_kind("header", schema="two")),
    "no spec": lambda path: journal(path, of_kind("header", spec=None)),
    "a spec of another kind": lambda path: journal(path, of_kind("header", spec={"robot": 3})),
    "a list for a spec": lambda path: journal(path, of_kind("header", spec=[1, 2])),
    "an unknown kind of line": lambda path: journal(path, of_kind("label", kind="evil")),
    "a kind that is a list": lambda path: journal(path, of_kind("label", kind=["label"])),
    "steps in words": lambda path: journal(path, of_kind("saved", steps="many")),
    "other steps": lambda path: journal(path, of_kind("saved", steps=5)),
    "negative bytes": lambda path: journal(path, of_kind("saved", bytes=-1)),
    "an id that is a list": lambda path: journal(path, of_kind("saved", id=["x"])),
    "a version in words": lambda path: journal(path, of_kind("label", version="../1")),
    "an unknown outcome": lambda path: journal(path, of_kind("saved", outcome="MAYBE")),
    "an outcome that is a list": lambda path: journal(path, of_kind("saved", outcome=[])),
    "a deep line": deep_line,
    "an id that leaves the folder": escaping_id,
    "a label that leaves the folder": escaping_label,
    "forged: members that leave the folder": escaping_members,
    "forged: a foreign zip": lambda path: forged(path, zipped({"a.txt": b"x"})),
    "forged: no zip": lambda path: forged(path, b"PK\x03\x04 and no more"),
    "forged: an empty zip": lambda path: forged(path, zipped({})),
    "forged: sizes that lie": lying_sizes,
    "forged: shapes and sizes that lie": large_and_lying,
    "forged: a bomb": bomb,
    "forged: two episodes swapped": swapped,
    "forged: deep JSON": deep,
    "forged: JSON of another kind": lambda p: forged(p, zipped({**members(p), STATE: b"[]"})),
    "forged: attributes of another kind": lambda p: edited(
        p, "zarr.json", lambda d: d.update(attributes=[])
    ),
    "forged: a group of another kind": lambda p: forged(
        p, zipped({**members(p), "zarr.json": b"3"})
    ),
    "forged: metadata of another kind": lambda p: edited(
        p, "zarr.json", lambda d: d["attributes"].update(metadata=[1])
    ),
    "forged: an outcome that is a list": lambda p: edited(
        p, "zarr.json", lambda d: d["attributes"].update(outcome=[1])
    ),
    "forged: another spec": lambda p: edited(
        p, "zarr.json", lambda d: d["attributes"]["spec"].update(robot="ur5")
    ),
    "forged: a spec of another kind": lambda p: edited(
        p, "zarr.json", lambda d: d["attributes"].update(spec=7)
    ),
    "forged: a trillion rows": shaped([10**12, 2], 1),
    "forged: a trillion rows in one chunk": shaped([10**12, 2], 10**12),
    "forged: a trillion columns": shaped([5, 10**12]),
    "forged: 10^30 rows": shaped([10**30, 2]),
    "forged: a hundred dimensions": shaped([5] + [1] * 100),
    "forged: no dimension": shaped([]),
    "forged: no rows": shaped([0, 2]),
    "forged: negative rows": shaped([-5, 2]),
    "forged: negative chunks": shaped([5, 2], -1),
    "forged: endless rows": shaped([float("inf"), 2]),
    "forged: rows that are no number": shaped([float("nan"), 2]),
    "forged: rows in words": shaped(["many", 2]),
    "forged: nested rows": shaped([[5], 2]),
    "forged: objects": typed("object"),
    "forged: numpy objects": typed("|O"),
    "forged: raw bytes": typed("r800000000"),
    "forged: complex numbers": typed("complex128"),
    "forged: strings": typed("string"),
    "forged: a dtype that is a list": typed(["float32"]),
    "forged: a dtype that is a dict": typed({"name": "float32"}),
}
