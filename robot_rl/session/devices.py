"""What a person holds in the hand: several devices, each lost and heard again by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from robot_rl.control.watchdog import watched
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Operator, OperatorEvent, OperatorInput
from robot_rl.core.types import Observation
from robot_rl.session.mode import Verb

_LOG = logging.getLogger(__name__)
_LIMIT_S = watched("device", "gate").limit_s

VERBS: Mapping[OperatorEvent, Verb] = {
    OperatorEvent.SUCCESS: Verb.SUCCESS,
    OperatorEvent.FAILURE: Verb.FAILURE,
    OperatorEvent.RE_RECORD: Verb.RE_RECORD,
    OperatorEvent.PAUSE: Verb.PAUSE,
    OperatorEvent.STOP: Verb.STOP,
}
"""What a device's buttons ask for."""


class Devices:
    """Asks all devices what the person does.

    Args:
        devices: at the bench.
        clock: the control loop's own.
        ask: hands in what a button asks for: the device's name and the verb.
    """

    def __init__(
        self, devices: Sequence[Operator], clock: Clock, ask: Callable[[str, Verb], None]
    ) -> None:
        self._devices = {_name(i, devices): device for i, device in enumerate(devices)}
        self._clock = clock
        self._ask = ask
        self._lost: set[str] = set()
        self._pressed: set[tuple[str, Verb]] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._devices

    def reset(self, seed: int) -> None:
        """A new episode begins."""
        for device in self._devices.values():
            device.reset(seed)

    def poll(self, observation: Observation) -> tuple[dict[str, OperatorInput], dict[str, str]]:
        """What is done with each device that can be heard, and why others cannot since now."""
        heard: dict[str, OperatorInput] = {}
        news: dict[str, str] = {}
        for name, device in self._devices.items():
            try:
                said = device.poll(observation)
                why = self._silence(said)
            except HardwareError as error:
                said, why = None, str(error)
            if said is not None:
                self._hand_in(name, said)
            if said is not None and not why:
                heard[name] = said
                self._lost.discard(name)
            elif name not in self._lost:
                self._lost.add(name)
                news[name] = why
                _LOG.warning("%s is lost: %s", name, why)
        return heard, news

    def listen(self, observation: Observation, heed: frozenset[Verb] | None = None) -> None:
        """Hear nothing but buttons, all or those of `heed`: no episode runs."""
        for name, device in self._devices.items():
            try:
                said = device.poll(observation)
            except HardwareError:
                continue
            for event in said.events:
                if heed is None or VERBS[event] in heed:
                    self._ask(name, VERBS[event])

    def _hand_in(self, name: str, said: OperatorInput) -> None:
        for event in said.events:
            self._ask(name, VERBS[event])
        gives_back = said.give_back and not said.active
        for verb, pressed in ((Verb.TAKE_OVER, said.hold), (Verb.GIVE_BACK, gives_back)):
            if not pressed:
                self._pressed.discard((name, verb))
            elif (name, verb) not in self._pressed:
                self._pressed.add((name, verb))
                self._ask(name, verb)

    def _silence(self, said: OperatorInput) -> str:
        if said.heard_ns is None:
            return ""
        age_s = (self._clock.now_ns() - said.heard_ns) / NS_PER_S
        if 0 <= age_s <= _LIMIT_S:
            return ""
        return f"heard {age_s:.3f} s ago, at most {_LIMIT_S:g} s are borne"


def _name(index: int, devices: Sequence[Operator]) -> str:
    """The device's name, with a number if another one has it too."""
    before = sum(d.name == devices[index].name for d in devices[:index])
    return f"{devices[index].name}-{before + 1}" if before else devices[index].name
