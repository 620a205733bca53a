"""Write the description of the simulated cell: `python -m robot_rl_description CELL OUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from robot_rl_description.sim_cell import described


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cell", type=Path, help="configs/cells/sim_fr3.yaml")
    parser.add_argument("out", type=Path, help="the URDF to write")
    arguments = parser.parse_args(argv)
    arguments.out.write_text(described(arguments.cell), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
