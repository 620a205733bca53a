"""A journal with damaged lines: what of it is still sure, and a new one from that."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from robot_rl.core.episode import Episode
from robot_rl.core.errors import StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.disk.durable import Disk
from robot_rl.data.store.format.episode_attributes import decode_spec
from robot_rl.data.store.format.episode_zarr import decode_episode, member_names
from robot_rl.data.store.format.episode_zip import Archive, sound_members
from robot_rl.data.store.format.label_zarr import decode_label
from robot_rl.data.store.format.stored_file import digest_of_file
from robot_rl.data.store.journal import (
    encode_line,
    header_record,
    refuse_other_schema,
    sound_record,
    spec_of,
    whole_lines,
)
from robot_rl.data.store.layout import SUFFIX, Layout
from robot_rl.data.store.manifest import Entry, LabelEntry, Manifest, Record
from robot_rl.data.store.recovery import label_folders, label_key

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What of a journal is still sure.

    Args:
        spec: that of the header; None if the header is damaged.
        records: the sound lines but the header, as they were numbered.
        gap: the number of the first line that is damaged or missing.
        manifest: what the sound lines amount to.
        problems: one sentence for each line that is damaged, missing or follows from one such.
        torn_bytes: at the end, of a line that was never acknowledged; no problem.
    """

    spec: RecordingSpec | None
    records: list[Record]
    gap: int
    manifest: Manifest
    problems: list[str]
    torn_bytes: int


def survey(layout: Layout) -> Survey:
    """Read a journal as far as it can be relied on; of one that is not there, nothing.

    Raises:
        StorageError: if it is of another schema.
        OSError: if it cannot be read.
    """
    data = layout.manifest.read_bytes() if layout.manifest.is_file() else b""
    whole = whole_lines(data)
    if whole and sound_record(whole[0].rstrip(b"\n")) is None:
        refuse_other_schema(whole[0], layout.manifest)
    records, gap, problems = _sound(whole)
    spec = None
    if records and records[0]["kind"] == "header":
        spec = spec_of(records.pop(0), layout.manifest)
    else:
        problems.insert(0, "the header, line 1, is damaged or missing")
    manifest = Manifest(str(layout.path))
    _replay(records, manifest, problems)
    return Survey(
        spec=spec,
        records=records,
        gap=gap,
        manifest=manifest,
        problems=problems,
        torn_bytes=len(data) - sum(map(len, whole)),
    )


def rebuild(layout: Layout, found: Survey, disk: Disk) -> list[str]:
    """Write a new journal of the sound lines and of the episodes and labels whose files are whole.

    The damaged one stays, as `manifest.jsonl.damaged-N`. Returns what was done.

    Raises:
        StorageError: if neither the header nor an episode tells the spec.
        OSError: the disk is full or failed; the damaged journal is then still in its place.
    """
    spec = found.spec or _spec_of_episodes(layout)
    adopted = _unlisted_episodes(layout, spec, found.manifest)
    done = [*found.problems, *(f"listed again: episode {entry.id}" for entry in adopted)]
    # Where the first line is lost, so that what later lines say of these episodes holds.
    again: list[Record] = [{"line": found.gap, **entry.to_record()} for entry in adopted]
    records = sorted([*found.records, *again], key=lambda record: int(record["line"]))
    manifest = Manifest(str(layout.path))
    lines = [header_record(spec), *_replay(records, manifest, [])]
    for label in _unlisted_labels(layout, manifest):
        lines.append(label.to_record())
        done.append(f"listed again: label {label.name!r} version {label.version} of {label.id}")
    if layout.manifest.is_file():
        done.append(f"the damaged manifest is kept as {_keep(layout, disk).name}")
    disk.replace_file(
        layout.manifest, b"".join(encode_line(i, line) for i, line in enumerate(lines, start=1))
    )
    return [*done, "wrote a new manifest; what a damaged line deleted or undid is as before it"]


def _sound(whole: list[bytes]) -> tuple[list[Record], int, list[str]]:
    """Return the sound records, the number of the first lost one, and what is wrong."""
    records: list[Record] = []
    problems: list[str] = []
    expected, gap = 1, 0
    for line in whole:
        record = sound_record(line.rstrip(b"\n"))
        number = expected if record is None else int(record["line"])
        if record is None:
            problems.append(f"line {number} is damaged: {line[:60]!r}")
        elif number < expected:
            problems.append(f"line {number} is there twice")
        else:
            missing = range(expected, number)
            problems += [f"line {n} is missing" for n in missing]
            records.append(record)
        if problems and not gap:
            gap = expected
        expected = max(expected, number + 1)
    return records, gap or expected, problems


def _replay(records: list[Record], manifest: Manifest, problems: list[str]) -> list[Record]:
    """Take in what follows from the lines that are left, numbered anew."""
    lines: list[Record] = []
    new_numbers: dict[int, int] = {}
    for record in records:
        old, number = int(record["line"]), len(lines) + 2
        line = {key: value for key, value in record.items() if key != "line"}
        if line["kind"] == "undone":
            line["undoes"] = new_numbers.get(int(line["undoes"]), 0)
        try:
            manifest.apply(number, line)
        except StorageError:
            problems.append(f"line {old} ({line['kind']}) is about what a damaged line said")
            continue
        new_numbers[old] = number
        lines.append(line)
    return lines


def _keep(layout: Layout, disk: Disk) -> Path:
    number = 1
    while (kept := layout.path / f"{layout.manifest.name}.damaged-{number}").exists():
        number += 1
    disk.write_file(kept, layout.manifest.read_bytes())
    disk.sync_dir(layout.path)
    return kept


def _spec_of_episodes(layout: Layout) -> RecordingSpec:
    for path in _episode_files(layout):
        try:
            with path.open("rb") as file:
                return decode_spec(Archive(file, sound_members(file, str(path)), str(path)))
        except (OSError, StorageError) as error:
            _LOG.info("no spec from %s: %s", path, error)
    raise StorageError(
        f"{layout.path} cannot be rebuilt: its manifest has no sound header, and no episode tells "
        "the spec. Restore manifest.jsonl from a copy"
    )


def _unlisted_episodes(layout: Layout, spec: RecordingSpec, manifest: Manifest) -> list[Entry]:
    entries: list[Entry] = []
    for path in _episode_files(layout):
        if not manifest.is_known(path.name.removesuffix(SUFFIX)):
            episode = _whole_episode(path, spec)
            if episode is not None:
                entries.append(Entry.of(episode, *digest_of_file(path)))
    return entries


def _whole_episode(path: Path, spec: RecordingSpec) -> Episode | None:
    """Return the episode in a file that no list vouches for, if all of it verifies."""
    try:
        with path.open("rb") as file:
            archive = Archive(file, sound_members(file, str(path)), str(path))
            episode = decode_episode(archive, spec)
    except (OSError, StorageError) as error:
        _LOG.info("%s is not whole: %s", path, error)
        return None
    names = member_names(spec, len(episode), episode.latent.shape[1])
    whole = set(archive.members) == set(names)
    return episode if whole and path.name == f"{episode.episode_id}{SUFFIX}" else None


def _unlisted_labels(layout: Layout, manifest: Manifest) -> list[LabelEntry]:
    labels: list[LabelEntry] = []
    for folder in label_folders(layout):
        for path in sorted(folder.iterdir(), key=label_key):
            key = label_key(path)
            if key[0] in manifest.entries and key[2] and not manifest.is_known_label(*key):
                labels += _whole_label(path, key)
    return labels


def _whole_label(path: Path, key: tuple[str, str, int]) -> list[LabelEntry]:
    try:
        with path.open("rb") as file:
            archive = Archive(file, sound_members(file, str(path)), str(path))
            episode_id, version, label = decode_label(archive)
    except (OSError, StorageError) as error:
        _LOG.info("%s is not whole: %s", path, error)
        return []
    if (episode_id, label.name, version) != key:
        return []
    size, sha256 = digest_of_file(path)
    return [LabelEntry(id=episode_id, name=label.name, version=version, bytes=size, sha256=sha256)]


def _episode_files(layout: Layout) -> list[Path]:
    paths = sorted(layout.episodes.iterdir()) if layout.episodes.is_dir() else []
    return [path for path in paths if path.name.endswith(SUFFIX)]
