"""Phase 4: base against improved policy from matched, held-out starts; then the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from robot_rl.app.improved import load_improved
from robot_rl.app.report import ComparedStart, PolicyTrials, ReportEvaluation, write_report
from robot_rl.app.run_config import HELD_OUT_SEEDS
from robot_rl.app.run_context import RunContext
from robot_rl.app.summary import RunSummary
from robot_rl.app.summary_of_run import summarise
from robot_rl.core.episode import Episode
from robot_rl.core.errors import DependencyError
from robot_rl.core.spec import WRENCH
from robot_rl.core.types import Image, Transition
from robot_rl.policies.ready_base import RunBase
from robot_rl.runtime.events import PhaseProgress, read_events
from robot_rl.runtime.improve import tell_episode
from robot_rl.runtime.rollout import Agent, force_curve

PHASE = "evaluate"
PICTURE = (480, 360)
"""Width and height of the pictures in the report [px]."""
FRAME_EVERY = 2
"""Control periods between two frames of a picture."""

_LOG = logging.getLogger(__name__)


def evaluate(run: RunContext) -> RunSummary:
    """Evaluate both policies, write `summary.json` and `report.html`, return the summary."""
    seeds = range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + run.config.evaluate.episodes)
    base = run.base()
    online = load_improved(run.folder.improved, run.config, base)
    agents = {"base": run.station.agent(base)}
    agents["improved"] = run.station.agent(base if run.config.use_base else None, online)
    if online is None:
        agents["improved"] = agents["base"]
    with run.phase(PHASE, 2 * len(seeds), "episodes") as summary:
        trials: dict[str, PolicyTrials] = {}
        for name, agent in agents.items():
            episodes = _run(run, name, agent, base, seeds, done=len(trials) * len(seeds))
            trials[name] = _trials(episodes, run.task.action.period_s)
            summary[name] = trials[name].rate
        evaluation = ReportEvaluation(base=trials["base"], improved=trials["improved"])
        pictures = _pictures(run, agents, evaluation, seeds)
    result = summarise(run, evaluation)
    result.write(run.folder.summary)
    events = read_events(run.folder.events)
    write_report(run.folder.path, result.to_dict(), events, evaluation, pictures)
    return result


def _run(
    run: RunContext,
    name: str,
    agent: Agent,
    base: RunBase,
    seeds: Sequence[int],
    *,
    done: int,
) -> list[Episode]:
    """Run what is not recorded yet of this very base and version, and return all episodes."""
    rollout = run.station.rollout(agent)
    episodes: list[Episode] = []
    with run.store(f"evaluation-{name}") as store:
        recorded = set(store.ids())
        for seed in seeds:
            run.check_stop()
            start_s = time.monotonic()
            episode_id = f"{name}-{base.fingerprint[:8]}-v{agent.version}-{seed}"
            if episode_id in recorded:
                episode = store.read(episode_id)
            else:
                episode = rollout.run(episode_id, seed, run.metadata(seed, base))
                store.append(episode)
                tell_episode(PHASE, episode, 0, time.monotonic() - start_s, run.sinks)
            episodes.append(episode)
            run.tell(PhaseProgress(phase=PHASE, done=done + len(episodes)))
    return episodes


def _trials(episodes: Sequence[Episode], period_s: float) -> PolicyTrials:
    has_wrench = all(WRENCH in e.vectors for e in episodes)
    return PolicyTrials(
        success=np.array([e.success_autonomous for e in episodes]),
        steps=np.array([len(e) for e in episodes]),
        period_s=period_s,
        force_n=[force_curve(e, WRENCH) for e in episodes] if has_wrench else [],
    )


def _pictures(
    run: RunContext,
    agents: dict[str, Agent],
    evaluation: ReportEvaluation,
    seeds: Sequence[int],
) -> list[ComparedStart]:
    """Film one start that the base failed and the improved policy solved, if there is one."""
    solved = evaluation.improved.success & ~evaluation.base.success
    if not solved.any():
        return []
    seed = seeds[int(np.argmax(solved))]
    try:
        films = {name: _film(run, agent, seed) for name, agent in agents.items()}
    except DependencyError as error:
        _LOG.warning("the report has no pictures: %s", error)
        return []
    return [
        ComparedStart(
            seed=seed,
            frame_period_s=FRAME_EVERY * run.task.action.period_s,
            base_frames=films["base"],
            improved_frames=films["improved"],
        )
    ]


def _film(run: RunContext, agent: Agent, seed: int) -> list[Image]:
    frames: list[Image] = []

    def on_step(transition: Transition) -> None:
        if transition.step % FRAME_EVERY == 0 or transition.terminated:
            frames.append(run.station.bench.render(*PICTURE))

    run.station.rollout(agent).run(f"film-{seed}", seed, run.metadata(seed), on_step)
    return frames
