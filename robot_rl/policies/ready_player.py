"""What plays the chunks of a policy that is ready, in this process or on a server. No torch."""

from __future__ import annotations

from robot_rl.control.chunk_player import ChunkPlayer, Player
from robot_rl.control.chunking.async_player import AsyncChunkPlayer, ChunkingConfig
from robot_rl.control.chunking.planner import Unguided
from robot_rl.control.chunking.thread_planner import ThreadPlanner
from robot_rl.core.clock import Clock
from robot_rl.core.errors import ConfigError
from robot_rl.policies.base import BasePolicy
from robot_rl.policies.episode_policy import EpisodePolicy, RememberingPlayer


def waiting_player(policy: BasePolicy, execute: int) -> Player:
    """Return what plays `execute` actions of a plan, then waits for the next plan."""
    waited_for = EpisodePolicy(policy, observed=_has_history(policy))
    return _remembering(ChunkPlayer(waited_for, execute), policy, waited_for)


def async_player(
    policy: BasePolicy, clock: Clock, chunking: ChunkingConfig, execute: int
) -> Player:
    """Return what plays a plan while the next one is made in a thread.

    Args:
        policy: makes the plans.
        clock: the control loop's own, on which observations are stamped.
        chunking: settings.
        execute: the policy's own, where the settings have none.

    Raises:
        ConfigError: if the policy cannot do what the chunking asks for.
    """
    guided = chunking.mode == "realtime"
    if guided and not policy.spec.guided:
        raise ConfigError(
            f"chunking.mode: {policy.spec.name} cannot make a plan that carries on with the one "
            "in play; use trim or ensemble"
        )
    planned = EpisodePolicy(policy, chunking.max_guidance_weight, observed=_has_history(policy))
    planner = ThreadPlanner(planned if guided else Unguided(planned))
    player = AsyncChunkPlayer(planner, clock, chunking, execute=execute)
    return _remembering(player, policy, planned)


def _has_history(policy: BasePolicy) -> bool:
    return policy.spec.history > 1


def _remembering(player: Player, policy: BasePolicy, planned: EpisodePolicy) -> Player:
    return RememberingPlayer(player, planned) if _has_history(policy) else player
