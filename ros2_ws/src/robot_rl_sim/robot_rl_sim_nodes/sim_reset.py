"""The action `robot/reset`: the arm drives itself to the start that a seed stands for.

A goal is kept until the world says that the way has ended, and is executed only then: nothing
here waits, so that commands are heard all the while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse, ServerGoalHandle
from rclpy.lifecycle import LifecycleNode
from robot_rl_msgs.action import ResetRobot

from robot_rl.core.errors import HardwareError
from robot_rl_nodes.conversion import stamp_from_ns
from robot_rl_nodes.topic import ROBOT_RESET
from robot_rl_sim.live import LiveWorld
from robot_rl_sim.world import Reset

_WORDS = 300


class ResetServer:
    """Offers the action; one goal at a time.

    Args:
        node: that offers it.
        live: the world.
        active: whether goals are taken.
        ros_now_ns: ROS time [ns].
    """

    def __init__(
        self,
        node: LifecycleNode,
        live: LiveWorld,
        active: Callable[[], bool],
        ros_now_ns: Callable[[], int],
    ) -> None:
        self._live = live
        self._active = active
        self._ros_now_ns = ros_now_ns
        self._goal: ServerGoalHandle | None = None
        self._run: Reset | None = None
        self._server = ActionServer(
            node,
            ResetRobot,
            ROBOT_RESET,
            self._finish,
            goal_callback=self._judge,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def poll(self) -> None:
        """Tell how far it is, and end what has come to its end; to be called again and again."""
        if self._goal is None or self._run is None:
            return
        if self._goal.is_cancel_requested and not self._run.finished:
            self._live.ask(lambda world: world.cancel())
        if self._run.finished:
            goal, self._goal = self._goal, None
            goal.execute()
        else:
            self._goal.publish_feedback(
                ResetRobot.Feedback(distance_m=float(self._run.distance_m))
            )

    def abandon(self) -> None:
        """Give up the goal in progress."""
        if self._goal is not None:
            self._live.ask(lambda world: world.cancel())
            self.poll()

    def close(self) -> None:
        """Offer it no more."""
        self._server.destroy()

    def _judge(self, request: Any) -> GoalResponse:
        free = self._active() and self._goal is None
        return GoalResponse.ACCEPT if free else GoalResponse.REJECT

    def _begin(self, goal: ServerGoalHandle) -> None:
        seed = int(goal.request.seed)
        self._goal = goal
        try:
            self._run = self._live.ask(lambda world: world.reset(seed))
        except HardwareError as error:
            self._run = Reset(seed, finished=True, error=str(error))

    def _finish(self, goal: ServerGoalHandle) -> Any:
        run, self._run = self._run, None
        error = run.error if run else "nothing was begun"
        if goal.is_cancel_requested:
            goal.canceled()
        elif error:
            goal.abort()
        else:
            goal.succeed()
        result = ResetRobot.Result(success=not error, message=error[:_WORDS])
        stamp_from_ns(self._ros_now_ns(), result.stamp)
        return result
