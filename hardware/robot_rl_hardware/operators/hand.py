"""A person with a device in the hand: reports become what the control loop asks for.

The same for every device: which axes drive, what the buttons mean, when the person drives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from robot_rl.config.model import Config
from robot_rl.core.clock import NS_PER_S, Clock
from robot_rl.core.protocol import OperatorEvent, OperatorInput
from robot_rl.core.spec import GRIPPER
from robot_rl.core.types import Observation
from robot_rl_hardware.operators.axes import ELEMENTS, Axes, AxesConfig, Element
from robot_rl_hardware.operators.buttons import EVENTS, LABELS, Word
from robot_rl_hardware.operators.listener import Heard, Listener, Reader

_GRIPS_FOR_S = 0.3
"""A gripper that is told by a press alone takes the arm for so long."""


class HandConfig(Config):
    """What all devices are told that a person pushes.

    Args:
        action: elements of the task's action, in its order; `gripper` last if it has one.
        axes: how what is pushed becomes motion.
        buttons: what the device's buttons mean, by their names.
        dead_man: the person drives while the button `dead_man` is held, or while anything is
            pushed beyond the dead band: then whoever touches the device takes over.
        gripper: `toggle`: each press opens or closes; `hold`: closed while the button is held.
        open_above_m: whoever takes over finds the gripper commanded open if it is measured to be
            open wider than this, and else closed, so that nothing falls; without it as this
            person left it, open at first.
        retry_s: a device that is gone is looked for so often.
    """

    action: tuple[Element | Literal["gripper"], ...] = Field(min_length=1)
    axes: AxesConfig = AxesConfig()
    buttons: Mapping[str, Word]
    dead_man: Literal["button", "motion"] = "button"
    gripper: Literal["toggle", "hold"] = "toggle"
    open_above_m: float | None = Field(default=None, gt=0)
    retry_s: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.action)) != len(self.action) or "gripper" in self.action[:-1]:
            raise ValueError(
                f"action {list(self.action)}: expected each element once, the gripper last"
            )
        if self.dead_man == "button" and "dead_man" not in self.buttons.values():
            raise ValueError("no button is the dead_man: name one, or set dead_man: motion")
        return self

    @property
    def has_gripper(self) -> bool:
        """Whether the task has one."""
        return self.action[-1] == "gripper"

    def words(self, names: frozenset[str]) -> frozenset[str]:
        """What the buttons of these names mean."""
        return frozenset(word for name, word in self.buttons.items() if name in names)


class HandOperator:
    """Implements `core.protocol.Operator` for a device that a person pushes.

    Entering opens the device, leaving lets go of it. One that is lost while it is open raises
    once from `poll`, is at rest and not heard from then on, and is looked for.

    Args:
        config: what the device's axes and buttons mean.
        reader: of the device.
        clock: monotonic, of this machine.

    Attributes:
        name: of the device, for the record.
    """

    def __init__(self, config: HandConfig, reader: Reader, clock: Clock) -> None:
        self.name = reader.name
        self._config = config
        self._repeats = reader.repeats
        self._clock = clock
        self._listener = Listener(reader, clock, config.retry_s)
        used = tuple(element in config.action for element in ELEMENTS)
        self._axes = Axes(config.axes, used)
        self._columns = [ELEMENTS.index(e) for e in config.action if e != "gripper"]
        self._active = False
        self._opens = True
        self._grips_until_ns: int | None = None

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.stop()

    @property
    def rate_hz(self) -> float:
        """Reports of the device within the last second."""
        return self._listener.rate_hz

    def reset(self, seed: int) -> None:
        """A new episode begins: what was pressed to judge the one before is forgotten."""
        names = (name for name, word in self._config.buttons.items() if EVENTS.get(word) in LABELS)
        self._listener.drop(frozenset(names))

    def poll(self, observation: Observation) -> OperatorInput:
        """Return what the person does now.

        Raises:
            HardwareError: once, when the device is lost; or if it was not entered.
            ContractError: if motion is in the tool's frame and nothing says where the tool is.
        """
        heard = self._listener.take()
        pushed = np.asarray(heard.held.axes, np.float64)
        motion = self._axes.motion(pushed, observation)
        pushes = bool(self._axes.shaped(pushed).any())
        words = [self._config.buttons[name] for name in heard.pressed if self._knows(name)]
        held = self._config.words(heard.held.down)
        active = self._drives(held, words, pushes)
        if active:
            self._grip(observation, held, words)
        self._active = active
        action = np.zeros(len(self._config.action), np.float32)
        if active:
            action[: len(self._columns)] = motion[self._columns]
            if self._config.has_gripper:
                action[-1] = 1.0 if self._opens else -1.0
        handed = [word for word in words if word in ("take_over", "give_back")]
        return OperatorInput(
            active=active,
            action=action,
            heard_ns=self._heard_ns(heard, pushes),
            give_back=handed[-1:] == ["give_back"],
            hold=handed[-1:] == ["take_over"],
            events=_events(words),
        )

    def _knows(self, name: str) -> bool:
        return name in self._config.buttons

    def _drives(self, held: frozenset[str], words: Sequence[str], pushes: bool) -> bool:
        if self._config.dead_man == "button":
            return "dead_man" in held
        now_ns = self._clock.now_ns()
        if self._config.has_gripper and ("gripper" in words or "gripper" in held):
            self._grips_until_ns = now_ns + round(_GRIPS_FOR_S * NS_PER_S)
        grips = self._grips_until_ns is not None and now_ns < self._grips_until_ns
        return pushes or grips

    def _grip(self, observation: Observation, held: frozenset[str], words: Sequence[str]) -> None:
        """Decide what the gripper is told, while the person drives."""
        opening = observation.vectors.get(GRIPPER)
        threshold_m = self._config.open_above_m
        if not self._active and threshold_m is not None and opening is not None:
            self._opens = bool(opening[0] > threshold_m)
        if self._config.gripper == "hold":
            self._opens = "gripper" not in held
        elif words.count("gripper") % 2:
            self._opens = not self._opens

    def _heard_ns(self, heard: Heard, pushes: bool) -> int:
        """Whoever pushes a device that repeats itself must be heard to do so."""
        return heard.report_ns if pushes and self._repeats else heard.alive_ns


def _events(words: Sequence[str]) -> tuple[OperatorEvent, ...]:
    return tuple(EVENTS[word] for word in words if word in EVENTS)
