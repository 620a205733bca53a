"""Diagnosis and repair of LeRobot v3 datasets on disk.

The checks live in `examination/`. A dataset that was killed while it was recorded, copied in part
or edited by hand is named for what it is; import and export live beside this file.
"""

from __future__ import annotations

from pathlib import Path

from robot_rl.data.exchange.lerobot.examination.diagnosis import diagnose
from robot_rl.data.exchange.lerobot.examination.repair import repair_lerobot
from robot_rl.data.finding import Finding

__all__ = ["examine_lerobot", "longest_verified_prefix", "repair_lerobot"]


def examine_lerobot(root: Path, *, decode: bool = True) -> list[Finding]:
    """Return all that is wrong with a LeRobot v3 dataset; nothing if it is whole.

    Each finding's problem begins with the name of the damage (`examination.damage.Kind`). There is
    one finding per kind and file; it names the first episode concerned. Damage does not raise.

    Args:
        root: the folder that holds meta/.
        decode: decode every frame of every video; else only count them, which is much faster.

    Raises:
        DependencyError: pyarrow is not installed.
    """
    return diagnose(root, decode=decode).findings


def longest_verified_prefix(root: Path, *, decode: bool = True) -> int:
    """Return the number of leading episodes for which every check holds.

    Args:
        root: the folder that holds meta/.
        decode: as `examine_lerobot`.

    Raises:
        DependencyError: pyarrow is not installed.
    """
    return diagnose(root, decode=decode).prefix
