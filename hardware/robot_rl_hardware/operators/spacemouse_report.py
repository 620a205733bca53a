"""What a SpaceMouse says: USB HID reports of 3Dconnexion's devices, decoded.

Motion is signed 16-bit little endian, +-350 when pushed fully (older ones somewhat more). Older
devices split it: report 1 is the translation, report 2 the rotation, 7 bytes each; newer ones say
both in report 1 of 13 bytes. Report 3 is a bit for each button. Others (the battery's) say nothing
of motion. In the device's frame x points to the right, y to the person and z down; rotations are
right-handed about these.
"""

from __future__ import annotations

import struct

from robot_rl_hardware.operators.listener import REST, Held

MOST_BYTES = 32
_FULL = 350.0


class Reports:
    """Joins reports to what is held."""

    def __init__(self) -> None:
        self.held = REST
        self._translation = (0, 0, 0)
        self._rotation = (0, 0, 0)

    def take(self, report: bytes) -> bool:
        """Take a report in; False for one that says nothing of the person's hand."""
        match report[:1], len(report):
            case b"\x01", 13:
                values = struct.unpack_from("<6h", report, 1)
                self._translation, self._rotation = values[:3], values[3:]
            case b"\x01", 7:
                self._translation = struct.unpack_from("<3h", report, 1)
            case b"\x02", 7:
                self._rotation = struct.unpack_from("<3h", report, 1)
            case b"\x03", length if length > 1:
                self.held = Held(self.held.axes, _names(report[1:]))
                return True
            case _:
                return False
        axes = (*_turned(*self._translation), *_turned(*self._rotation))
        self.held = Held(axes, self.held.down)
        return True


def _turned(right: int, back: int, down: int) -> tuple[float, float, float]:
    """From the device's frame to x forward, y left, z up."""
    return -back / _FULL, -right / _FULL, -down / _FULL


def _names(bits: bytes) -> frozenset[str]:
    word = int.from_bytes(bits, "little")
    return frozenset(f"button{i}" for i in range(8 * len(bits)) if word >> i & 1)
