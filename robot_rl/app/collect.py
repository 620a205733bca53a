"""Phase 1: record demonstrations through the loop, gate and recorder that a robot would use."""

from __future__ import annotations

import time

from robot_rl.app.run_config import DEMONSTRATION_SEEDS, SEEDS_PER_RUN
from robot_rl.app.run_context import RunContext
from robot_rl.core.errors import RobotRlError
from robot_rl.core.types import Outcome, Source
from robot_rl.runtime.events import PhaseProgress
from robot_rl.runtime.improve import tell_episode
from robot_rl.runtime.record import record_episode
from robot_rl.runtime.rollout import succeeded

PHASE = "collect"


def collect(run: RunContext) -> None:
    """Record until enough demonstrations succeeded; failed ones are kept but not counted.

    Raises:
        RobotRlError: if the demonstrator fails too often.
        HardwareError: if the demonstrator's device does not open, or was lost and has not come
            back by the next demonstration; what was recorded so far is kept.
    """
    config = run.config.collect
    first_seed = DEMONSTRATION_SEEDS + run.config.seed * SEEDS_PER_RUN
    with (
        run.station.seated("demonstrator", run.config.demonstrator) as demonstrator,
        run.phase(PHASE, config.episodes, "demonstrations") as summary,
        run.store("demos") as store,
    ):
        rollout = run.station.rollout(
            run.station.agent(), operator=demonstrator, human_source=Source.DEMO
        )
        saved = [store.entry(episode_id) for episode_id in store.ids()]
        good = sum(entry.outcome == Outcome.SUCCESS for entry in saved)
        while good < config.episodes:
            run.check_stop()
            if len(store) >= config.episodes * config.attempts_per_episode:
                raise RobotRlError(
                    f"only {good} of {len(store)} demonstrations succeeded, {config.episodes} are "
                    "needed: check the demonstrator and the task"
                )
            start_s = time.monotonic()
            seed = first_seed + len(store)
            metadata = run.metadata(seed, operator=demonstrator)
            episode = record_episode(rollout, store, f"demo-{seed}", seed, metadata)
            good += succeeded(episode)
            tell_episode(PHASE, episode, 0, time.monotonic() - start_s, run.sinks)
            run.tell(PhaseProgress(phase=PHASE, done=good))
        summary["attempts"] = len(store)
        summary["steps"] = sum(store.entry(episode_id).steps for episode_id in store.ids())
