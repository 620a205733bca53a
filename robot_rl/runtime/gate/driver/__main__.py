"""`python -m robot_rl.runtime.gate.driver` is the process of a driver."""

from robot_rl.runtime.gate.driver.process import main

raise SystemExit(main())
