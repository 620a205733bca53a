"""One episode at a time on the live graph, in a thread of its own, told step by step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from robot_rl_msgs.msg import PolicyStep

from robot_rl.control.arbiter import Arbiter, HandOver
from robot_rl.core.clock import Clock
from robot_rl.core.episode import EpisodeMetadata
from robot_rl.core.errors import RobotRlError
from robot_rl.core.spec import TaskSpec
from robot_rl.core.types import Transition
from robot_rl.runtime.rollout import Agent, Rollout
from robot_rl_nodes.graph.env import GraphEnv, GraphOperator
from robot_rl_nodes.graph.message import first_step, step_message
from robot_rl_nodes.graph.policy import ServedPolicy

_LOG = logging.getLogger(__name__)

_GATE_ARBITRATES = HandOver(release_s=0.0)
"""How long the arm rests after a person has let go is the gate's to say."""


class GraphEpisodes:
    """Runs `Rollout`s on a `GraphEnv`.

    Args:
        env: the live graph.
        task: of the episodes.
        clock: the env's.
        tell: is given every step; called in the episode's thread.

    Attributes:
        failure: why the last episode could not go on, in words; empty if it could.
    """

    def __init__(
        self, env: GraphEnv, task: TaskSpec, clock: Clock, tell: Callable[[PolicyStep], None]
    ) -> None:
        self.failure = ""
        self._env = env
        self._task = task
        self._clock = clock
        self._tell = tell
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether an episode runs."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, episode_id: str, seed: int, policy: ServedPolicy) -> None:
        """Begin an episode; only while none is `running`."""
        self.failure = ""
        self._thread = threading.Thread(
            target=self._run, args=(episode_id, seed, policy), name="episode", daemon=True
        )
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of an episode that was called off; whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.running

    def _run(self, episode_id: str, seed: int, policy: ServedPolicy) -> None:
        env, action = self._env, self._task.action
        operator = GraphOperator(env)
        agent = Agent(base=policy.player, online=None, size=action.size)
        arbiter = Arbiter(action, self._clock, _GATE_ARBITRATES, operator=operator.name)
        rollout = Rollout(env, agent, arbiter, operator=operator)

        def on_step(transition: Transition) -> None:
            if transition.step == 0:
                begun = env.moment(transition.observation)
                self._tell(first_step(episode_id, begun, transition.base_action))
            assert env.period is not None
            moment = env.moment(transition.next_observation)
            self._tell(step_message(transition, env.outcome, moment, env.period, policy.version))

        try:
            rollout.run(episode_id, seed, EpisodeMetadata(task=self._task.name), on_step)
        except RobotRlError as error:
            self.failure = f"{episode_id}: {error}"
            _LOG.error("%s", self.failure)
        except Exception as error:  # noqa: BLE001 - logged and told; the next one may go on
            self.failure = f"{episode_id}: {type(error).__name__}: {error}"
            _LOG.exception("the episode has failed")
        finally:
            env.end()
