"""`python -m robot_rl.runtime.gate` is the gate's process."""

from robot_rl.runtime.gate.process import main

raise SystemExit(main())
