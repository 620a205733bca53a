"""Who may command the arm now: one lease at a time, each of its commands once and in order."""

from __future__ import annotations

from robot_rl.control.admission import Refusal
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Command, GateReason, Lease, Source


class Permission:
    """Gives leases; the newest is the only one that counts."""

    def __init__(self) -> None:
        self._lease = Lease(epoch=0, sources=frozenset())
        self._sequence = -1

    def grant(self, *sources: Source) -> Lease:
        """Give a lease to whoever may act as one of these sources; ends the one before.

        Raises:
            ContractError: if nobody is named.
        """
        if not sources:
            raise ContractError("a lease is given to at least one source; got none")
        self._lease = Lease(epoch=self._lease.epoch + 1, sources=frozenset(sources))
        self._sequence = -1
        return self._lease

    def refuse(self, command: Command) -> Refusal | None:
        """Refuse a command of another lease or source, or one that is not newer than the last."""
        if command.epoch != self._lease.epoch:
            return (
                GateReason.LEASE,
                f"command of lease {command.epoch}, the lease is {self._lease.epoch}",
            )
        if command.source not in self._lease.sources:
            allowed = ", ".join(sorted(source.name for source in self._lease.sources))
            return GateReason.MODE, f"{command.source.name} may not command now, but {allowed}"
        if command.sequence <= self._sequence:
            return (
                GateReason.SEQUENCE,
                f"command {command.sequence} comes after command {self._sequence}",
            )
        self._sequence = command.sequence
        return None
