"""A disk for tests that knows what a loss of power would leave behind.

It works like `Disk`, waits for nothing, and writes down every operation. From the list, the files
after a crash at any point are computed and laid out in another folder. The model (that of ALICE,
Pillai et al., OSDI 2014): what was written is on the medium once its file was synced; a name
(made, renamed, removed) is there once its directory was synced, a rename once the target's was,
and it is atomic; of everything else any part may be lost, in any order between files. Not here:
what the files mean.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from robot_rl.data.disk.durable import Disk

ROOT = 0
"""Number of the directory under which everything is."""

Tree = dict[str, bytes | None]
"""Files and directories (None) by path relative to the root."""

Kind = Literal["make", "rename", "remove", "sync_dir", "write", "truncate", "sync"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation on a node: a file or directory, numbered in order of appearance.

    Args:
        parent, name: the directory and name that a `make`, `rename` or `remove` sets or clears.
        old_parent, old_name: where a renamed node was before.
        directory: whether the node made is a directory.
        offset, data: of a `write`; of a `truncate` the offset is the new size.
    """

    kind: Kind
    node: int
    parent: int = ROOT
    name: str = ""
    old_parent: int = ROOT
    old_name: str = ""
    directory: bool = False
    offset: int = 0
    data: bytes = b""


class CrashDisk(Disk):
    """Records what is done under `root`; what is there already counts as durable.

    Threads may share it: the order of `operations` is one in which they may have happened.
    A file that was made past the disk is taken as made when it is first written.
    """

    def __init__(self, root: Path) -> None:
        self.operations: list[Operation] = []
        self._lock = threading.RLock()
        self._numbers = {root.stat().st_ino: ROOT}
        for path in sorted(root.rglob("*")):
            self._make(path, directory=path.is_dir())
            if path.is_file():
                data = path.read_bytes()
                self._record("write", self._node(path), data=data)
                self._record("sync", self._node(path))
        for path in [root, *root.rglob("*")]:
            if path.is_dir():
                self._record("sync_dir", self._node(path))
        self.start = len(self.operations)
        """How many of the operations only describe what was there at first."""

    def make_dir(self, path: Path) -> None:
        """Make a directory."""
        with self._lock:
            super().make_dir(path)
            self._make(path, directory=True)

    def open_new(self, path: Path) -> int:
        """Create a file."""
        with self._lock:
            descriptor = super().open_new(path)
            self._make(path, directory=False)
            return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`."""
        with self._lock:
            node = self._node_of(descriptor)
            super().write(descriptor, data)
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            self._record("write", node, offset=end - len(data), data=bytes(data))

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        with self._lock:
            node = self._node_of(descriptor)
            super().truncate(descriptor, size)
            self._record("truncate", node, offset=size)

    def sync(self, descriptor: int) -> None:
        """Write down that the medium was waited for, of a file or a directory."""
        with self._lock:
            kind = "sync_dir" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync"
            self._record(kind, self._node_of(descriptor))

    def sync_dir(self, path: Path) -> None:
        """Write down that the names of a directory were waited for."""
        with self._lock:
            self._record("sync_dir", self._node(path))

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file or directory."""
        with self._lock:
            node, old_parent = self._node(source), self._node(source.parent)
            super().rename(source, target)
            self.operations.append(
                Operation(
                    kind="rename",
                    node=node,
                    parent=self._node(target.parent),
                    name=target.name,
                    old_parent=old_parent,
                    old_name=source.name,
                )
            )

    def unlink(self, path: Path) -> None:
        """Delete a file."""
        with self._lock:
            node = self._node(path)
            super().unlink(path)
            self._remove(path, node)

    def remove_tree(self, path: Path) -> None:
        """Delete a directory; of its files nothing comes back one by one."""
        with self._lock:
            node, before = self._node(path), len(self.operations)
            super().remove_tree(path)
            hidden = [operation.name for operation in self.operations[before:]]
            self._remove(path.with_name(hidden[0]) if hidden else path, node)

    def state_after(
        self, operations: int, unsynced: Literal["kept", "lost"] | Random = "lost"
    ) -> Tree:
        """Return what is on the medium if the power fails after so many operations.

        Args:
            operations: how many of `self.operations` were done.
            unsynced: what becomes of the writes and names that nobody waited for: all kept, all
                lost, or each one kept, lost, (a write) torn or zeroed at the generator's whim.
        """
        medium = _Medium()
        for operation in self.operations[:operations]:
            medium.do(operation)
        medium.lose(unsynced)
        return medium.tree()

    def _make(self, path: Path, *, directory: bool) -> None:
        # The parent first: it may be unknown too, and then takes a number of its own.
        parent = self._node(path.parent)
        self._numbers[path.stat().st_ino] = node = len(self.operations) + 1
        self.operations.append(
            Operation(kind="make", node=node, parent=parent, name=path.name, directory=directory)
        )

    def _remove(self, path: Path, node: int) -> None:
        parent = self._node(path.parent)
        self.operations.append(Operation(kind="remove", node=node, parent=parent, name=path.name))

    def _record(self, kind: Kind, node: int, *, offset: int = 0, data: bytes = b"") -> None:
        self.operations.append(Operation(kind=kind, node=node, offset=offset, data=data))

    def _node(self, path: Path) -> int:
        number = path.stat().st_ino
        if number not in self._numbers:
            self._make(path, directory=path.is_dir())
        return self._numbers[number]

    def _node_of(self, descriptor: int) -> int:
        known = self._numbers.get(os.fstat(descriptor).st_ino)
        return (
            self._node(Path(f"/proc/self/fd/{descriptor}").readlink()) if known is None else known
        )


@dataclass(slots=True)
class _Medium:
    """Replays operations, keeping what is durable apart from what is not yet."""

    files: dict[int, bytearray] = field(default_factory=dict[int, bytearray])
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: dict[str, int]()})
    unsynced: list[Operation] = field(default_factory=list[Operation])

    def do(self, operation: Operation) -> None:
        """Do what makes earlier operations durable; remember the others."""
        if operation.kind == "sync":
            self._settle([o for o in self.unsynced if _of_content(o) and o.node == operation.node])
        elif operation.kind == "sync_dir":
            names = [o for o in self.unsynced if not _of_content(o)]
            self._settle([o for o in names if o.parent == operation.node])
        else:
            if operation.kind == "make":
                self._appear(operation)
            self.unsynced.append(operation)

    def lose(self, unsynced: Literal["kept", "lost"] | Random) -> None:
        """Decide what becomes of each operation that is not durable."""
        for operation in self.unsynced:
            if unsynced == "kept":
                self._apply(operation)
            elif isinstance(unsynced, Random):
                survivor = _chance(operation, unsynced)
                if survivor is not None:
                    self._apply(survivor)
        self.unsynced.clear()

    def tree(self) -> Tree:
        """Return what can be reached from the root."""
        return dict(self._walk(ROOT, ""))

    def _walk(self, folder: int, prefix: str) -> list[tuple[str, bytes | None]]:
        found: list[tuple[str, bytes | None]] = []
        for name, node in sorted(self.folders[folder].items()):
            if node in self.folders:
                found += [(prefix + name, None), *self._walk(node, f"{prefix}{name}/")]
            else:
                found.append((prefix + name, bytes(self.files[node])))
        return found

    def _appear(self, operation: Operation) -> None:
        if operation.directory:
            self.folders[operation.node] = {}
        else:
            self.files[operation.node] = bytearray()

    def _settle(self, durable: Sequence[Operation]) -> None:
        for operation in durable:
            self._apply(operation)
            self.unsynced.remove(operation)

    def _apply(self, operation: Operation) -> None:
        match operation.kind:
            case "make" | "rename":
                self._clear(operation.old_parent, operation.old_name, operation.node)
                self.folders[operation.parent][operation.name] = operation.node
            case "remove":
                self._clear(operation.parent, operation.name, operation.node)
            case "write":
                self._write(self.files[operation.node], operation)
            case _:
                self._truncate(self.files[operation.node], operation.offset)

    def _clear(self, parent: int, name: str, node: int) -> None:
        """Clear a name, unless it has come to mean something else in the meantime."""
        if self.folders[parent].get(name) == node:
            del self.folders[parent][name]

    def _write(self, content: bytearray, operation: Operation) -> None:
        end = operation.offset + len(operation.data)
        if operation.data and len(content) < operation.offset:
            self._truncate(content, operation.offset)
        content[operation.offset : end] = operation.data

    def _truncate(self, content: bytearray, size: int) -> None:
        del content[size:]
        content.extend(bytes(size - len(content)))


def lay_out(tree: Tree, folder: Path) -> None:
    """Write the files of a `Tree` under a folder that is there and empty."""
    for name, data in tree.items():
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)


def _of_content(operation: Operation) -> bool:
    return operation.kind in ("write", "truncate")


def _chance(operation: Operation, random: Random) -> Operation | None:
    fate = random.choice(("kept", "lost", "torn", "zeroed"))
    if fate == "kept" or (operation.kind != "write" and fate == "torn"):
        return operation
    if fate == "lost" or operation.kind != "write":
        return None
    written = random.randrange(len(operation.data) + 1)
    data = operation.data[:written] if fate == "torn" else bytes(len(operation.data))
    return Operation(kind="write", node=operation.node, offset=operation.offset, data=data)
