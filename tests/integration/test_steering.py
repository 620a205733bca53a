"""A run that steers its base policy, end to end on the smallest task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robot_rl.app.collect import collect
from robot_rl.app.imitate import imitate
from robot_rl.app.improve import improve
from robot_rl.app.run_context import Stopped
from robot_rl.app.run_folder import RunFolder
from robot_rl.core.types import Source
from robot_rl.networks.encoder import NO_IMAGES
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.runtime.checkpoint import latest_checkpoint
from robot_rl.runtime.events import EpisodeEnded

pytestmark = pytest.mark.sim

LEARNERS = {
    "dsrl_sac": "{type: robot_rl.learning.dsrl_sac:DsrlSacConfig, hidden: [16], heads: 2}",
    "dsrl_na": "{type: robot_rl.learning.dsrl_na:DsrlNaConfig, hidden: [16], heads: 2}",
}


@pytest.fixture(scope="module", params=LEARNERS)
def steered_run(request, kit, tmp_path_factory) -> RunFolder:
    """A finished run whose base plays two of the four actions that it plans."""
    root = tmp_path_factory.mktemp(request.param)
    folder = kit.new_run(root, f"learner={LEARNERS[request.param]}", "use_base=false")
    for phase in (collect, imitate, improve):
        phase(kit.context(folder))
    return folder


def replanned(base: ChunkPolicy, episode, step: int) -> np.ndarray:
    """Return the two actions that the base plays from a step's observation and noise."""
    packed = torch.from_numpy(base.observation.pack(episode.observation(step).vectors))[None]
    noise = torch.from_numpy(episode.latent[step]).view(1, 4, -1)
    return base.plan(packed, NO_IMAGES, noise)[0, :2].numpy()


def test_the_noise_of_every_chunk_is_recorded_and_no_base_action(kit, steered_run):
    base = ChunkPolicy.load(steered_run.base)
    for episode in kit.episodes(steered_run, "online"):
        assert episode.latent.shape == (len(episode), 4 * base.action.size)
        assert not episode.base_action.any()


def test_what_was_proposed_is_the_bases_plan_from_the_recorded_noise(kit, steered_run):
    base = ChunkPolicy.load(steered_run.base)
    versions = set()
    for episode in kit.episodes(steered_run, "online"):
        first = replanned(base, episode, 0)
        np.testing.assert_allclose(episode.proposed_action[0], first[0], atol=1e-5)
        if len(episode) > 1 and episode.source[0] == Source.POLICY:
            np.testing.assert_allclose(episode.proposed_action[1], first[1], atol=1e-5)
            np.testing.assert_array_equal(episode.latent[0], episode.latent[1])
        versions.add(int(episode.policy_version[0]))
    # The prefill, unsteered, and what was learned.
    assert 0 in versions
    assert len(versions) > 1


def test_a_person_who_drives_makes_each_step_a_plan_of_its_own(kit, steered_run):
    driven = [
        (episode.latent[t], episode.latent[t + 1])
        for episode in kit.episodes(steered_run, "online")
        for t in range(len(episode) - 1)
        if episode.source[t] == Source.HUMAN
    ]
    assert driven
    assert all((one != other).any() for one, other in driven)


def test_stopped_and_resumed_it_ends_as_uninterrupted(kit, steered_run, tmp_path):
    folder = RunFolder.create(tmp_path, steered_run.config)
    for phase in (collect, imitate):
        phase(kit.context(folder))
    heard = []

    def listen(event) -> None:
        if isinstance(event, EpisodeEnded) and event.phase == "improve":
            heard.append(event)

    with pytest.raises(Stopped):
        improve(kit.context(folder, listen, stop=lambda: len(heard) >= 8))
    improve(kit.context(RunFolder.open(folder.path)))
    pairs = zip(kit.episodes(steered_run, "online"), kit.episodes(folder, "online"), strict=True)
    assert all(np.array_equal(a.latent, b.latent) for a, b in pairs)
    whole, parts = (latest_checkpoint(f.checkpoints).tensors for f in (steered_run, folder))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
