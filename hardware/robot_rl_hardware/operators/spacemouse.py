"""3Dconnexion's SpaceMouse, by the kernel's hidraw.

All of them speak the same few reports, so that no table of products is needed: any multi-axis
controller of the maker is one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Clocked
from robot_rl_hardware.operators.clock import machine_clock
from robot_rl_hardware.operators.hand import HandConfig, HandOperator
from robot_rl_hardware.operators.listener import WAIT_S, Held
from robot_rl_hardware.operators.spacemouse_report import MOST_BYTES, Reports
from robot_rl_hardware.package import needed

_MAKERS = (0x256F, 0x046D)
_MULTI_AXIS = (0x01, 0x08)
"""Usage page and usage."""
_RULE = (
    "install the udev rules of hardware/README.md, then pull the device out and plug it in again"
)


class SpaceMouseConfig(HandConfig):
    """A SpaceMouse. It reports 60 to 125 times a second while it is pushed, and not at rest.

    `button0` is the left one of two, or else the first bit of the device's report.

    Somebody who demonstrates with it, in a run's YAML; a simulated bench is in real time then:

        demonstrator:
          type: robot_rl_hardware.operators.spacemouse:SpaceMouseConfig
          action: [x, y, z, rx, ry, rz, gripper]
          dead_man: motion
          buttons: {button0: gripper}

    Args:
        serial: of the device, if there are several; a device that was open is found again by it.
    """

    serial: str = ""

    def build(self, at: Clocked | None = None) -> HandOperator:
        """Return the person who holds it, the device not yet open.

        Args:
            at: the bench that it is held at; without it this machine's clock counts.

        Raises:
            ConfigError: if the bench's clock is not the machine's.
        """
        return HandOperator(self, SpaceMouse(self.serial), machine_clock(at))


class SpaceMouse:
    """Implements `Reader`.

    Args:
        serial: of the device; empty for the only one.
        hid: stands in for the module `hidraw` of the package hidapi.
    """

    name = "spacemouse"
    repeats = True

    def __init__(self, serial: str = "", hid: Any = None) -> None:
        self._serial = serial
        self._hid = hid
        self._device: Any = None
        self._reports = Reports()

    def open(self) -> None:
        """Find it by its serial, or by being the only one.

        Raises:
            DependencyError: naming the package that is missing.
            HardwareError: if it is not there, is one of several, or may not be read.
        """
        self._hid = self._hid or needed("hidraw", "hidapi")
        entry = self._find()
        path: bytes = entry["path"]
        self._reports = Reports()
        self._device = self._hid.device()
        try:
            self._device.open_path(path)
        except OSError as error:
            where = os.fsdecode(path)
            denied = os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK)
            why = f"may not be read: {_RULE}" if denied else f"does not open: {error}"
            raise HardwareError(f"the SpaceMouse at {where} {why}") from error
        self._serial = self._serial or entry["serial_number"] or ""

    def read(self) -> Sequence[Held]:
        """Wait for the next report."""
        try:
            report = bytes(self._device.read(MOST_BYTES, round(WAIT_S * 1e3)))
        except (OSError, ValueError) as error:
            raise HardwareError(
                f"the SpaceMouse is gone ({error}): is it still plugged in?"
            ) from error
        return (self._reports.held,) if report and self._reports.take(report) else ()

    def close(self) -> None:
        """Let go of it."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def _find(self) -> Any:
        found = {
            entry["path"]: entry
            for maker in _MAKERS
            for entry in self._hid.enumerate(maker, 0)
            if (entry["usage_page"], entry["usage"]) == _MULTI_AXIS
        }
        serials = sorted(entry["serial_number"] or "none" for entry in found.values())
        fitting = [e for e in found.values() if self._serial in ("", e["serial_number"])]
        if len(fitting) == 1:
            return fitting[0]
        wanted = f"with serial {self._serial!r} " if self._serial else ""
        if not fitting:
            there = f"; there are: {', '.join(serials)}" if serials else ""
            raise HardwareError(f"no SpaceMouse {wanted}is plugged in{there}")
        raise HardwareError(
            f"{len(fitting)} SpaceMice {wanted}are plugged in, serials: {', '.join(serials)}; "
            "expected one, or its serial in the config"
        )
