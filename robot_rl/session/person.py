"""The person in the supervisor's seat: whoever of page, terminal and devices has the arm.

Not here: what a motion does to the arm (`control.arbiter`, then the gate).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robot_rl.control.watchdog import watched
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import OperatorInput
from robot_rl.core.types import Observation
from robot_rl.session.command import Motion
from robot_rl.session.devices import Devices
from robot_rl.session.motions import Motions

_PAGE_LIMIT_S = watched("page", "gate").limit_s


class SessionOperator:
    """Joins the pages' keys and the devices into one person (implements `core.protocol.Operator`).

    Whoever moves first while nobody has the arm gets it, and keeps it until it is given back or
    taken over; others move nothing meanwhile, but a device at the bench may take the arm from a
    page that rests. Who was lost, or whose drive was ended for them, moves nothing until they
    were seen at rest.

    Args:
        name: of the person.
        size: elements of an action.
        clock: the control loop's own, and the machine's.
        motions: of the pages.
        devices: at the bench.
        serve: called first in each tick, so that what was asked for counts in it.

    Attributes:
        holder: client or device that has the arm; empty for none.
        lost: why the last holder was lost; empty once somebody has the arm again.
    """

    def __init__(
        self,
        name: str,
        size: int,
        clock: Clock,
        motions: Motions,
        devices: Devices,
        serve: Callable[[], None],
    ) -> None:
        self.name = name
        self.holder = ""
        self.lost = ""
        self._clock = clock
        self._motions = motions
        self._devices = devices
        self._serve = serve
        self._zeros = np.zeros(size, np.float32)
        self._to_rest: set[str] = set()
        self._hold = False
        self._give_back = False
        self._moves = False

    @property
    def drives(self) -> bool:
        """Whether the holder moved the arm in the last tick."""
        return self._moves

    def begin(self) -> None:
        """An episode is about to begin: nobody has the arm, and nothing asked before counts."""
        self._to_rest |= self._motions.take_gone().keys()
        self.holder = self.lost = ""
        self._hold = self._give_back = self._moves = False

    def take(self, client: str) -> None:
        """The arm is to rest and to be this client's."""
        self.holder, self.lost = client, ""
        self._hold, self._give_back = True, False

    def rest(self) -> None:
        """The arm is to rest, whoever has it."""
        self._end_drive()
        self._hold, self._give_back = True, False

    def give_back(self) -> None:
        """Nobody has the arm any more, the policy goes on."""
        self._end_drive()
        self.holder = self.lost = ""
        self._hold, self._give_back = False, True

    def reset(self, seed: int) -> None:
        """A new episode begins."""
        self._devices.reset(seed)

    def poll(self, observation: Observation) -> OperatorInput:
        """Return what the person does now, without waiting.

        Raises:
            HardwareError: once, if whoever has the arm is gone or silent, or if nobody has it
                and a device is lost.
        """
        heard, lost = self._devices.poll(observation)
        self._serve()
        if why := self._loss(lost):
            self.holder, self.lost = "", why
            self._give_back = self._moves = False
            raise HardwareError(why)
        said = {name: self._at_bench(name, device) for name, device in heard.items()}
        for motion in self._motions.all():
            if motion.client not in said:
                said[motion.client] = self._at_page(motion)
        return self._join(said)

    def _loss(self, lost: dict[str, str]) -> str:
        """Why whoever has the arm cannot be heard; empty if they can."""
        lost = lost | self._motions.take_gone()
        self._to_rest |= lost.keys()
        if self.holder in lost:
            return f"{self.holder} is gone: {lost[self.holder]}"
        silent = next((m for m in self._motions.all() if m.client == self.holder), None)
        if silent is not None and not self._is_fresh(silent):
            self._motions.forget(self.holder)
            self._to_rest.add(self.holder)
            return f"{self.holder} has been silent for more than {_PAGE_LIMIT_S:g} s"
        broken = [name for name in lost if name in self._devices]
        if broken and not self.holder:
            return f"{broken[0]} is gone: {lost[broken[0]]}"
        return ""

    def _join(self, said: dict[str, OperatorInput]) -> OperatorInput:
        if (mover := self._mover(said)) and mover != self.holder:
            self.holder, self.lost = mover, ""
        now = said.get(self.holder)
        self._moves = now is not None and now.active
        hold, give_back = self._hold, self._give_back
        self._hold = self._give_back = False
        return OperatorInput(
            active=self._moves,
            action=now.action if now is not None else self._zeros,
            heard_ns=now.heard_ns if now is not None else None,
            give_back=give_back,
            hold=hold,
        )

    def _mover(self, said: dict[str, OperatorInput]) -> str:
        """Who takes the arm by moving; empty for nobody."""
        if self._give_back or (self.holder in said and said[self.holder].active):
            return ""
        movers = [name for name, one in said.items() if one.active]
        if self.holder:
            movers = [name for name in movers if name in self._devices]
        return movers[0] if movers else ""

    def _at_bench(self, name: str, said: OperatorInput) -> OperatorInput:
        active = self._may_move(name, active=said.active)
        return OperatorInput(active=active, action=said.action, heard_ns=said.heard_ns)

    def _at_page(self, motion: Motion) -> OperatorInput:
        active = self._may_move(motion.client, active=motion.active) and self._is_fresh(motion)
        action = np.clip(np.asarray(motion.action, np.float32), -1.0, 1.0)
        return OperatorInput(active=active, action=action, heard_ns=motion.heard_ns)

    def _may_move(self, name: str, *, active: bool) -> bool:
        if not active:
            self._to_rest.discard(name)
        return active and name not in self._to_rest

    def _is_fresh(self, motion: Motion) -> bool:
        return 0 <= (self._clock.now_ns() - motion.heard_ns) / NS_PER_S <= _PAGE_LIMIT_S

    def _end_drive(self) -> None:
        if self.holder and self._moves:
            self._to_rest.add(self.holder)
        self._moves = False
