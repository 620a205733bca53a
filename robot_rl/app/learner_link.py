"""Builds the learner with its memory from a run's folder, in this process or in one of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_rl.app.base import load_base
from robot_rl.app.improved import check_base
from robot_rl.app.run_context import RunContext
from robot_rl.app.run_folder import RunFolder
from robot_rl.app.station import blocking_player
from robot_rl.core.recording import RecordingSpec
from robot_rl.data.judged import as_judged, successes
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.policies.ready_base import RunBase
from robot_rl.runtime.checkpoint import latest_checkpoint, unflatten
from robot_rl.runtime.link import InlineLink, LearnerLink
from robot_rl.runtime.process_link import ProcessLink
from robot_rl.runtime.relabel import relabel_base
from robot_rl.runtime.worker import LearnerWorker


@contextmanager
def open_link(run: RunContext, base: RunBase) -> Iterator[LearnerLink]:
    """The learner of a run, up to date with everything that the run has recorded.

    The caller has the `online` store open: what a killed recording left is then in it.
    """
    link: LearnerLink
    if run.config.learner_process:
        recording = run.station.recording.to_json()
        arguments = json.dumps({"folder": str(run.folder.path), "recording": recording})
        factory = f"{worker_from_folder.__module__}:{worker_from_folder.__name__}"
        link = ProcessLink(
            factory,
            arguments,
            max_lag_updates=run.config.learner_lag_updates,
            finish_s=run.config.act_without_learner_s,
            silence_s=run.config.learner_timeout_s,
        )
    else:
        link = InlineLink(build_worker(run.folder, run.station.recording, base))
    try:
        yield link
    finally:
        link.close()


def worker_from_folder(arguments: str) -> LearnerWorker:
    """Build the worker in a process of its own, which must not touch the bench.

    Args:
        arguments: JSON: `folder` of the run, and `recording`, what its episodes have in common.
    """
    given = json.loads(arguments)
    folder = RunFolder.open(Path(given["folder"]))
    recording = RecordingSpec.from_json(given["recording"])
    return build_worker(folder, recording, load_base(folder, recording.task))


def build_worker(folder: RunFolder, recording: RecordingSpec, base: RunBase) -> LearnerWorker:
    """Fill the buffers from the stores and restore the last checkpoint, if there is one.

    Steps that were recorded after the checkpoint are in the buffers too; their updates are owed.

    Raises:
        FingerprintError: if the checkpoint or an episode belongs to another base policy.
    """
    config = folder.config
    player = blocking_player(base)
    demos = EpisodeReader(folder.demos, recording)
    good = [relabel_base(as_judged(demos, one), player) for one in successes(demos)]
    learner = config.learner.build(base, config.seed)
    reward = config.reward.build()
    worker = LearnerWorker(learner, recording.task, config.schedule, good, config.seed, reward)
    online = EpisodeReader(folder.online, recording)
    for episode in (as_judged(online, episode_id) for episode_id in online.ids()):
        check_base(episode.metadata.base_fingerprint, base, folder.online)
        worker.add_episode(episode)
    saved = latest_checkpoint(folder.checkpoints)
    if saved is not None:
        check_base(saved.meta["base_fingerprint"], base, saved.path)
        worker.load_state_dict(unflatten(saved.tensors, saved.meta["worker"]))
    return worker
