"""Phase 1: record demonstrations through the loop, gate and recorder that a robot would use."""

from __future__ import annotations

import time
from collections.abc import Callable

from robot_rl.app.run_config import DEMONSTRATION_SEEDS, SEEDS_PER_RUN
from robot_rl.app.run_context import RunContext
from robot_rl.control.realtime import exempt_from_collection
from robot_rl.core.clock import is_machine_clock
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.core.types import Source
from robot_rl.data.judged import successes
from robot_rl.data.store.episode_store import EpisodeStore
from robot_rl.runtime.events import PhaseProgress
from robot_rl.runtime.improve import tell_episode
from robot_rl.runtime.record import DEMONSTRATION, name_of, next_seed, record_episode
from robot_rl.runtime.rollout import OnStep

PHASE = "collect"


def collect(
    run: RunContext,
    between: Callable[[EpisodeStore], None] | None = None,
    watch: OnStep = lambda _: None,
) -> None:
    """Record until enough demonstrations succeeded; failed ones are kept but not counted.

    Args:
        run: the run.
        between: called before each demonstration and after the last: a person may judge, trim and
            delete those in the store, as often as they like. Without it the demonstrator may fail
            so often and no more.
        watch: called with every step.

    Raises:
        ConfigError: if nobody demonstrates.
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
        if demonstrator is None:
            raise ConfigError(
                "the run names no `demonstrator`: sit at it (robot-rl session) and demonstrate, "
                "or name one"
            )
        rollout = run.station.rollout(
            run.station.agent(), operator=demonstrator, human_source=Source.DEMO
        )
        if is_machine_clock(run.station.bench.clock):
            # A collection beside torch stops the loop for longer than the arm may be unheard.
            exempt_from_collection()
        seed = next_seed(store, DEMONSTRATION, first_seed)
        while _good(run, store, between) < config.episodes:
            run.check_stop()
            if between is None:
                _check_attempts(run, store)
            start_s = time.monotonic()
            metadata = run.metadata(seed, operator=demonstrator)
            name = name_of(DEMONSTRATION, seed)
            episode = record_episode(rollout, store, name, seed, metadata, watch)
            tell_episode(PHASE, episode, 0, time.monotonic() - start_s, run.sinks)
            seed += 1
        summary["attempts"] = len(store)
        summary["steps"] = sum(store.entry(episode_id).steps for episode_id in store.ids())


def _good(
    run: RunContext, store: EpisodeStore, between: Callable[[EpisodeStore], None] | None
) -> int:
    """How many are good, after the person, if there is one, has looked through them."""
    good = _told(run, store)
    if between is None:
        return good
    between(store)
    return _told(run, store)


def _told(run: RunContext, store: EpisodeStore) -> int:
    good = len(successes(store))
    run.tell(PhaseProgress(phase=PHASE, done=good))
    return good


def _check_attempts(run: RunContext, store: EpisodeStore) -> None:
    config = run.config.collect
    if len(store) >= config.episodes * config.attempts_per_episode:
        raise RobotRlError(
            f"only {len(successes(store))} of {len(store)} demonstrations succeeded, "
            f"{config.episodes} are needed: check the demonstrator and the task"
        )
