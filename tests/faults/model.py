"""What a store must do, in the simplest words: lists in memory, and nothing on disk."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from oracle import State

Act = list
"""`["save", id, steps]`, `["delete", id]`, `["label", id, name, value, steps]`, `["undo"]`,
`["undo", id]` or `["purge"]`: JSON, so that a process can tell another what it is about to do."""


class Refused(Exception):
    """The model refuses an act; the store must, too, and nothing changes."""


@dataclass(slots=True)
class Model:
    """Saved episodes in order, the deleted ones, their labels, and what can be undone."""

    episodes: dict[str, tuple[int, bool]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    labels: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    undoable: list[tuple] = field(default_factory=list)
    used: dict[tuple[str, str], int] = field(default_factory=dict)
    purged: set[str] = field(default_factory=set)

    def after(self, act: Act) -> Model:
        other = copy.deepcopy(self)
        other.apply(act)
        return other

    def apply(self, act: Act) -> None:
        getattr(self, act[0])(*act[1:])

    def save(self, name: str, steps: int, interrupted: bool = False) -> None:
        if name in self.episodes or name in self.purged:
            raise Refused(name)
        self.episodes[name] = (steps, interrupted)

    def delete(self, name: str) -> None:
        self._there(name)
        self.deleted.add(name)
        self.undoable.append(("delete", name))

    def label(self, name: str, of: str, value: float, steps: int) -> None:
        self._there(name)
        if steps not in (1, self.episodes[name][0], self.episodes[name][0] + 1):
            raise Refused(f"{steps} values")
        version = self.used[name, of] = self.used.get((name, of), 0) + 1
        self.labels.setdefault((name, of), {})[version] = value
        self.undoable.append(("label", name, of, version))

    def undo(self, name: str | None = None) -> None:
        newest = [entry for entry in self.undoable if name in (None, entry[1])][-1:]
        if not newest:
            raise Refused("nothing to undo")
        self.undoable.remove(newest[0])
        match newest[0]:
            case ("delete", episode):
                self.deleted.remove(episode)
            case ("label", episode, of, version):
                del self.labels[episode, of][version]

    def purge(self) -> None:
        for name in self.deleted:
            del self.episodes[name]
        self.undoable = [entry for entry in self.undoable if entry[1] not in self.deleted]
        self.labels = {k: v for k, v in self.labels.items() if k[0] not in self.deleted}
        self.purged |= self.deleted
        self.deleted = set()

    def state(self) -> State:
        listed = [name for name in self.episodes if name not in self.deleted]
        return State(
            tuple((name, *self.episodes[name]) for name in listed),
            tuple(sorted(self.deleted)),
            tuple(
                sorted(
                    (name, of, version, value)
                    for (name, of), versions in self.labels.items()
                    if name in listed
                    for version, value in versions.items()
                )
            ),
        )

    def possible_after(self, act: Act | None) -> list[Model]:
        """The models that a crash during an act may leave: that before and that after."""
        return [self] if act is None else [self, self.after(act)]

    def _there(self, name: str) -> None:
        if name not in self.episodes or name in self.deleted:
            raise Refused(name)
