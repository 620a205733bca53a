"""The actions of the episode manager: `episode/run` is served, `robot/reset` is asked for.

A goal is executed when its result is there. rclpy's executor spins at full speed for as long as a
callback waits, so none does.
"""

from __future__ import annotations

import time
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from robot_rl_msgs.action import ResetRobot, RunEpisode

from robot_rl_nodes.episode.message import result_message
from robot_rl_nodes.episode.state import Ending, EpisodeMachine, Phase, Run
from robot_rl_nodes.managed_node import ManagedNode
from robot_rl_nodes.topic import EPISODE_RUN, ROBOT_RESET

_FINISH_S = 0.02


class EpisodeActions:
    """Lets whoever wants an episode have one, one after the other.

    Args:
        node: that is being set up.
        machine: runs the episodes.
        task: its name, for episodes that nobody has named.
    """

    def __init__(self, node: ManagedNode, machine: EpisodeMachine, task: str) -> None:
        self._node, self._machine, self._task = node, machine, task
        self._goal: Any = None
        self._run: Run | None = None
        self._asked: Run | None = None
        self._reset_goal: Any = None
        self._cancel = False
        self._resets = ActionClient(node, ResetRobot, ROBOT_RESET)
        self._server = ActionServer(
            node,
            RunEpisode,
            EPISODE_RUN,
            self._answer,
            goal_callback=self._may_run,
            handle_accepted_callback=self._begin,
            cancel_callback=self._may_cancel,
        )
        # Not one of the node's: also where it was deactivated is an answer waited for.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._finishing = node.create_timer(
            _FINISH_S, lambda: node.guard(self._finish, EPISODE_RUN), clock=steady
        )
        node.when_unmade(self._close)

    def tick(self) -> None:
        """See to what is asked of us and of the robot."""
        machine = self._machine
        if self._cancel:
            self._cancel = False
            machine.cancel("cancelled by whoever asked for it")
        resets = machine.phase == Phase.RESETTING
        if resets and self._asked is not machine.run and self._resets.server_is_ready():
            self._ask_reset(machine.run)
        if not resets and self._reset_goal is not None:
            self._reset_goal.cancel_goal_async()
            self._reset_goal = None

    def tell_progress(self) -> None:
        """Tell whoever asked for the episode how far it is."""
        if self._goal is not None and self._run is not None:
            run = self._run
            self._goal.publish_feedback(
                RunEpisode.Feedback(
                    step=int(run.steps), reward=float(run.reward), source=int(run.source)
                )
            )

    def _close(self) -> None:
        self._node.destroy_timer(self._finishing)
        self._server.destroy()
        self._resets.destroy()

    def _finish(self) -> None:
        if self._goal is not None and not self._machine.busy:
            goal, self._goal = self._goal, None
            goal.execute()

    def _may_run(self, request: RunEpisode.Goal) -> GoalResponse:
        if self._node.active and not self._machine.busy and self._goal is None:
            return GoalResponse.ACCEPT
        why = self._machine.phase.name if self._node.active else "not active"
        self._node.get_logger().warning(f"{EPISODE_RUN} is refused: the manager is {why}")
        return GoalResponse.REJECT

    def _begin(self, goal: Any) -> None:
        wish = goal.request
        made = f"{self._task}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{wish.seed}"
        self._goal, self._cancel = goal, False
        self._run = self._machine.begin(
            str(wish.episode_id) or made, int(wish.seed), str(wish.operator_name)
        )

    def _may_cancel(self, goal: Any) -> CancelResponse:
        # Seen to in the next tick: until this answer is out, the goal cannot end as cancelled.
        self._cancel = True
        return CancelResponse.ACCEPT

    def _answer(self, goal: Any) -> RunEpisode.Result:
        assert self._run is not None
        ending = self._run.ending
        if ending == Ending.CANCELLED and goal.is_cancel_requested:
            goal.canceled()
        elif ending == Ending.ENDED:
            goal.succeed()
        else:
            goal.abort()
        return result_message(self._run)

    def _ask_reset(self, run: Run | None) -> None:
        assert run is not None
        self._asked = run
        sent = self._resets.send_goal_async(ResetRobot.Goal(seed=int(run.seed)))
        sent.add_done_callback(lambda future: self._reset_accepted(run, future.result()))

    def _reset_accepted(self, run: Run, goal: Any) -> None:
        if not goal.accepted:
            self._machine.was_reset(run, False, "robot/reset was refused: is its node active?")
            return
        self._reset_goal = goal
        goal.get_result_async().add_done_callback(
            lambda future: self._reset_done(run, future.result().result)
        )

    def _reset_done(self, run: Run, result: ResetRobot.Result) -> None:
        self._reset_goal = None
        self._machine.was_reset(run, bool(result.success), str(result.message))
