"""Phase 3: improve the base policy online, with a person at hand, never deploying a worse one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from robot_rl.app.improved import check_base, new_policy, save_improved
from robot_rl.app.learner_link import open_link
from robot_rl.app.run_config import JUDGING_SEEDS, SEEDS_PER_RUN
from robot_rl.app.run_context import RunContext
from robot_rl.control.realtime import RealtimeConfig
from robot_rl.core.clock import is_machine_clock
from robot_rl.core.protocol import Operator
from robot_rl.policies.ready_base import RunBase
from robot_rl.runtime.checkpoint import flatten, latest_checkpoint, save_checkpoint
from robot_rl.runtime.evaluator import Deployed, NeverWorse, evaluate
from robot_rl.runtime.improve import PHASE, Between, Improvement, Progress, Trainable
from robot_rl.runtime.rollout import OnStep

_DEPLOYED = "deployed."


def improve(
    run: RunContext, between: Between | None = None, watch: OnStep = lambda _: None
) -> None:
    """Run the online phase, from its last checkpoint if there is one.

    Args:
        run: the run.
        between: what happens between two episodes, see `Improvement`.
        watch: called with every step.

    Raises:
        Stopped: if asked to stop; a checkpoint was written.
        LearningError: if learning has diverged; the last good checkpoint stays.
        FingerprintError: if the checkpoint belongs to another base policy.
        HardwareError: if the supervisor's device does not open, or was lost and has not come back
            by the next episode.
    """
    config = run.config
    with (
        _supervised(run) as supervisor,
        run.phase(PHASE, config.improve.env_steps, "steps") as summary,
    ):
        base = run.base()
        policy = new_policy(config, base)
        judge, progress = _restore(run, base, policy)
        # The store first: opening it recovers what a killed recording left for the learner.
        with run.store("online") as store, open_link(run, base) as link:

            def save(progress: Progress, state: Mapping[str, Any]) -> None:
                _save(run, progress, judge, state, base)

            improvement = Improvement(
                config.improve,
                rollout=run.station.rollout(
                    run.station.agent(base if config.use_base else None, policy),
                    operator=supervisor,
                    explore=True,
                ),
                policy=policy,
                link=link,
                store=store,
                judge=judge,
                metadata=lambda seed: run.metadata(seed, base, supervisor),
                first_seed=config.seed * SEEDS_PER_RUN,
                save=save,
                sinks=run.sinks,
                progress=progress,
                between=between,
                watch=watch,
            )
            if config.cell.realtime or is_machine_clock(run.station.bench.clock):
                # Only now: the learner's process would have inherited priority and cores.
                (config.cell.realtime or RealtimeConfig()).apply()
            improvement.run(run.stop)
            save_improved(run.folder.improved, judge.deployed, base)
            updates = link.sync().updates
        run.check_stop()
        summary |= {"env_steps": progress.env_steps, "episodes": progress.episodes}
        summary |= {"human_steps": progress.human_steps, "updates": updates}


def _supervised(run: RunContext) -> AbstractContextManager[Operator | None]:
    """Who watches: the run's supervisor, or else whoever watches the bench anyway, if anybody."""
    supervisor, station = run.config.supervisor, run.station
    return station.seated("supervisor", supervisor) if supervisor else nullcontext(station.watcher)


def _restore(run: RunContext, base: RunBase, policy: Trainable) -> tuple[NeverWorse, Progress]:
    """The judge and the progress as of the last checkpoint, or fresh ones."""
    config = run.config.improve
    seeds = range(JUDGING_SEEDS, JUDGING_SEEDS + config.judge_episodes)
    metadata = run.metadata(0, base)
    saved = latest_checkpoint(run.folder.checkpoints)
    if saved is None:
        rollout = run.station.rollout(run.station.agent(base))
        episodes = evaluate(rollout, seeds, metadata, "judge", lambda _: run.check_stop())
        base_success = np.array([e.success_autonomous for e in episodes])
        deployed, progress = None, Progress()
    else:
        check_base(saved.meta["base_fingerprint"], base, saved.path)
        base_success = np.array(saved.meta["base_success"])
        deployed = _deployed(saved.meta["deployed"], saved.tensors)
        progress = Progress(**saved.meta["progress"])
    agent = run.station.agent(base if run.config.use_base else None, policy)
    judge = NeverWorse(
        run.station.rollout(agent),
        seeds,
        metadata,
        base_success=base_success,
        confidence=config.confidence,
        deployed=deployed,
    )
    return judge, progress


def _save(
    run: RunContext,
    progress: Progress,
    judge: NeverWorse,
    state: Mapping[str, Any],
    base: RunBase,
) -> None:
    """Write a checkpoint: learner, judge and progress; the episodes are in the store already."""
    tensors, tree = flatten(state)
    deployed = judge.deployed
    tensors |= {f"{_DEPLOYED}{name}": t for name, t in (deployed.weights or {}).items()}
    meta: dict[str, Any] = {
        "worker": tree,
        "progress": asdict(progress),
        "base_success": judge.base_success.tolist(),
        "deployed": {"version": deployed.version, "success": deployed.success},
        "base_fingerprint": base.fingerprint,
    }
    save_checkpoint(run.folder.checkpoints, progress.episodes, tensors, meta)


def _deployed(meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Deployed:
    weights = {
        name.removeprefix(_DEPLOYED): tensor
        for name, tensor in tensors.items()
        if name.startswith(_DEPLOYED)
    }
    return Deployed(version=meta["version"], success=meta["success"], weights=weights or None)
