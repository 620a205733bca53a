"""A commander in a process of its own, to be killed.

    python gate_commander.py FOLDER

Drives the tool to and fro at the speed limit.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import numpy as np

from robot_rl.core.errors import ContractError
from robot_rl.core.spec import TCP_POSE
from robot_rl.core.types import Source
from robot_rl.runtime.gate.client import GateClient

PERIOD_S = 0.1
TURN_M = 0.1
"""It turns back so far from the middle, well before the wall of the workspace."""


def main(folder: Path) -> None:
    """Command ten times a second, as a policy does; sit down again where the seat was lost."""
    action = np.zeros(7, np.float32)
    action[1], action[6] = 1.0, 1.0
    with GateClient(folder) as gate:
        while True:
            if gate.lease is None:
                gate.take(Source.POLICY, timeout_s=10.0)
            y_m = gate.wait(5.0).vectors[TCP_POSE][1]
            if abs(y_m) > TURN_M:
                action[1] = -np.sign(y_m)
            with contextlib.suppress(ContractError):
                gate.command(action)
            time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
