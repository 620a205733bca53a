"""Runs on top of a base policy that is ready: nothing of it is trained, all else is as ever."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from robot_rl.app.base import load_base
from robot_rl.app.station import Station, blocking_player
from robot_rl.control.chunking.async_player import ChunkingConfig
from robot_rl.core.errors import ConfigError, FingerprintError
from robot_rl.core.types import Source
from robot_rl.policies.adapters.chunk import ChunkBase
from robot_rl.policies.base import check_request
from robot_rl.policies.chunk_policy import ChunkPolicy
from robot_rl.policies.ready_base import ReadyBase

pytestmark = pytest.mark.sim


class BlackBox:
    """A policy that cannot carry on with what is in play, and the adapter's config of it."""

    def __init__(self, policy):
        self._base = ChunkBase(policy)
        self.spec = replace(self._base.spec, guided=False)

    def build(self, task):
        return self

    def infer(self, requests):
        for request in requests:
            check_request(self.spec, request)
        return self._base.infer(requests)


STEERED = "{type: robot_rl.learning.dsrl_na:DsrlNaConfig, hidden: [16], heads: 2}"


def ready(path) -> tuple[str, str]:
    """Overrides that put a saved policy where the run would train one."""
    adapter = "robot_rl.policies.adapters.chunk:ChunkBaseConfig"
    return f"base={{type: '{adapter}', path: '{path}'}}", "imitate=null"


@pytest.fixture(scope="module", params=["residual", "steered"])
def ready_run(request, kit, tiny_run, tmp_path_factory):
    more = (f"learner={STEERED}", "use_base=false") if request.param == "steered" else ()
    runs = tmp_path_factory.mktemp("ready")
    words = ("run", kit.yaml, *kit.tiny, *ready(tiny_run.base), *more, "--runs", runs)
    assert kit.run(*words) == 0
    return kit.only_folder(runs)


def test_a_residual_or_noise_is_learned_on_top_of_it_and_evaluated(kit, ready_run):
    assert set(ready_run.phases) == {"collect", "imitate", "improve", "evaluate"}
    online = kit.episodes(ready_run, "online")
    assert sum(len(episode) for episode in online) >= 300
    steps = [s for episode in online for s in episode.source]
    assert Source.POLICY in steps
    assert ready_run.summary.exists()


def test_it_is_remembered_by_its_fingerprint_and_not_copied(kit, tiny_run, ready_run):
    assert [path.name for path in ready_run.base.iterdir()] == ["ready.json"]
    trained = ChunkPolicy.load(tiny_run.base)
    fingerprints = {e.metadata.base_fingerprint for e in kit.episodes(ready_run, "online")}
    assert fingerprints == {trained.fingerprint}


def test_another_policy_in_its_place_is_refused(kit, tiny_run, ready_run, tmp_path):
    task = kit.context(ready_run).task
    other = ChunkPolicy.load(tiny_run.base)
    other.load_weights({name: t + 0.1 for name, t in other.model.state_dict().items()})
    other.save(tmp_path / "base")
    moved = ready_run.config.base.model_copy(update={"path": tmp_path / "base"})
    base = ReadyBase.load(ready_run.base, moved, task)
    with pytest.raises(FingerprintError, match="the run began with"):
        base.policy  # noqa: B018


def test_its_plans_are_the_policys_own(kit, tiny_run, ready_run):
    task = kit.context(ready_run).task
    base, own = load_base(ready_run, task), ChunkPolicy.load(tiny_run.base)
    rows = torch.randn(3, task.observation.packed_size)
    noise = own.draw_noise(3)
    torch.testing.assert_close(base.plan(rows, {}, noise), own.plan(rows, {}, noise))


def test_demonstrations_get_its_actions_as_it_acts_online(kit, tiny_run, ready_run):
    base = load_base(ready_run, kit.context(ready_run).task)
    player = blocking_player(base)
    (demo, *_) = kit.episodes(ready_run, "demos")
    actions = []
    for _ in range(2):
        player.reset(7)
        actions.append([player.next(demo.observation(t)) for t in range(len(demo))])
    np.testing.assert_array_equal(*actions)
    assert ChunkBase(ChunkPolicy.load(tiny_run.base)).spec.execute == base.execute


@pytest.mark.parametrize("mode", ["trim", "ensemble", "realtime"])
def test_its_chunks_are_played_while_the_next_is_planned(kit, tiny_run, ready_run, mode):
    config = ready_run.config.model_copy(
        update={"chunking": ChunkingConfig(max_action_age_s=60.0, mode=mode)}
    )
    station = Station.of_run(config)
    base = load_base(ready_run, station.bench.task)
    if mode != "realtime":
        own = ChunkPolicy.load(tiny_run.base)
        base = ReadyBase.connect(BlackBox(own), station.bench.task, own.normaliser)
    player = station.player(base)
    player.reset(0)
    observation = station.env.reset(0)
    played = 0
    for _ in range(200):
        action = player.next(observation)
        played += action is not None
        observation = station.env.step(
            np.zeros(station.bench.task.action.size, np.float32) if action is None else action
        ).observation
        if played >= 6:
            break
        time.sleep(0.005)
    station.bench.close()
    assert played == 6


def test_a_policy_that_cannot_carry_on_is_refused_where_that_is_asked_for(kit, tiny_run, tmp_path):
    policy = ChunkPolicy.load(tiny_run.base)
    base = ReadyBase.connect(BlackBox(policy), kit.context(tiny_run).task, policy.normaliser)
    config = tiny_run.config.model_copy(
        update={"chunking": ChunkingConfig(max_action_age_s=60.0, mode="realtime")}
    )
    with pytest.raises(ConfigError, match="use trim or ensemble"):
        Station.of_run(config).player(base)


def test_a_ready_policy_is_not_imitated_and_a_trained_one_is(kit, tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="only for that one"):
        kit.new_run(tmp_path, ready(tiny_run.base)[0])
    with pytest.raises(ConfigError, match="expected for a base policy that is to be trained"):
        kit.new_run(tmp_path, "imitate=null")
