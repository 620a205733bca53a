"""Phase 2: train the base policy on the demonstrations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robot_rl.app.run_context import RunContext
from robot_rl.data.chunks import chunk_windows
from robot_rl.data.normaliser import Normaliser
from robot_rl.learning.imitation import train_policy
from robot_rl.runtime.events import PhaseProgress

PHASE = "imitate"
MARGIN = 0.1
"""Room that the normaliser leaves around what the demonstrations showed, as part of the range."""


def imitate(run: RunContext) -> None:
    """Train the base policy and save it in the run's folder."""
    config = run.config
    with run.phase(PHASE, config.imitate.steps, "updates") as summary:
        demos = run.demonstrations()
        observation = run.task.observation
        packed = np.concatenate([observation.pack(e.vectors) for e in demos])
        base = config.base.build(
            observation,
            run.task.action,
            Normaliser.fit_min_max(packed, margin=MARGIN),
            contract=run.task.contract,
            seed=config.seed,
        )

        def on_progress(steps: int, metrics: Mapping[str, float]) -> None:
            run.tell(PhaseProgress(phase=PHASE, done=steps))
            run.check_stop()

        data = chunk_windows(demos, config.base.horizon, observation)
        summary |= train_policy(base, data, config.imitate, config.seed, on_progress)
        base.save(run.folder.base)
        summary["fingerprint"] = base.fingerprint
