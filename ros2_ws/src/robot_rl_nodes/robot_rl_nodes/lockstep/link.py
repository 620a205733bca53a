"""A process's own line into the graph: a private context, one node, and a thread that spins it.

For programs that are no nodes themselves. Whoever calls may be any thread but that one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.task import Future

from robot_rl.core import errors
from robot_rl.core.errors import HardwareError, RobotRlError
from robot_rl_nodes.lockstep.inbox import Inbox
from robot_rl_nodes.topic import Topic

_DISCOVERY = "ROS_AUTOMATIC_DISCOVERY_RANGE"
_LOOK_S = 0.2
"""Who waits looks so often whether there is still somebody to wait for."""
_JOIN_S = 5.0


class LockstepLink:
    """Publishes, listens and asks.

    Args:
        namespace: of the robot.
        domain: of DDS.
        inbox: told of the end of the thread; knows whether the other side has ended.
        limit_s: how long an answer may take [s].
    """

    def __init__(self, namespace: str, domain: int, inbox: Inbox, *, limit_s: float) -> None:
        self._inbox = inbox
        self._limit_s = limit_s
        self._context = Context()
        with _this_machine_alone():
            self._context.init(args=[], domain_id=domain)
        # What is not there need not be looked at in every round of the executor. And whoever waits
        # for an instant takes its messages by themselves, when the simulator says that they are
        # sent: an executor would wake up for each of them.
        self._node, self._ears = (
            Node(
                name,
                context=self._context,
                namespace=namespace,
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
            )
            for name in ("lockstep_bench", "lockstep_bench_ears")
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="lockstep link", daemon=True)
        self._thread.start()

    def speak(self, topic: Topic) -> Publisher:
        """Make a publisher."""
        return self._node.create_publisher(topic.type, topic.name, topic.quality.published)

    def listen(self, topic: Topic) -> Callable[[], Any]:
        """Return what takes the next message of a topic; None if there is none yet."""
        subscription = self._ears.create_subscription(
            topic.type, topic.name, lambda _: None, topic.quality.subscribed
        )

        def take() -> Any:
            with subscription.handle:
                taken = subscription.handle.take_message(topic.type, False)
            return None if taken is None else taken[0]

        return take

    def client(self, kind: Any, name: str) -> Client:
        """Make a client of a service."""
        client = self._node.create_client(kind, name)
        self._executor.wake()
        return client

    def action(self, kind: Any, name: str) -> ActionClient:
        """Make a client of an action."""
        client = ActionClient(self._node, kind, name)
        self._executor.wake()
        return client

    def release(self, client: Client) -> None:
        """Let go of a client that is needed no more."""
        self._node.destroy_client(client)

    def until(self, happened: Callable[[], object], what: str, limit_s: float) -> None:
        """Wait for something that nobody announces.

        Raises:
            HardwareError: if it has not happened in time, or cannot any more.
        """
        end_s = time.monotonic() + limit_s
        while not happened():
            self._inbox.check()
            if time.monotonic() > end_s:
                raise HardwareError(f"{what} is not there after {limit_s:g} s")
            time.sleep(0.02)

    def ask(self, client: Client, request: Any) -> Any:
        """Return the response, which has `success` and `message`.

        Raises:
            RobotRlError: what the other side could not do, as it names it.
            HardwareError: if there is no answer in time.
        """
        return granted(self.result(client.call_async(request), client.srv_name), client.srv_name)

    def achieve(self, client: ActionClient, goal: Any, what: str) -> Any:
        """Return the result of an action's goal, which has `success` and `message`.

        Raises:
            RobotRlError: what the other side could not do, as it names it.
            HardwareError: if it refuses the goal, or there is no answer in time.
        """
        handle = self.result(self._from_thread(lambda: client.send_goal_async(goal)), what)
        if not handle.accepted:
            raise HardwareError(f"{what} was refused: is the simulator's node active?")
        answer = self.result(self._from_thread(handle.get_result_async), what)
        return granted(answer.result, what)

    def result(self, future: Future, what: str) -> Any:
        """Wait for a future of this link.

        Raises:
            HardwareError: if there is no result in time.
        """
        self._inbox.check()
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        end_s = time.monotonic() + self._limit_s
        while not done.wait(_LOOK_S):
            self._inbox.check()
            if time.monotonic() > end_s:
                self._inbox.lose(f"no answer of {what} within {self._limit_s:g} s")
        return future.result()

    def close(self) -> None:
        """Leave the graph."""
        self._inbox.lose("the line to it is closed")
        self._executor.shutdown(timeout_sec=_JOIN_S)
        self._thread.join(_JOIN_S)
        self._node.destroy_node()
        self._ears.destroy_node()
        self._context.try_shutdown()

    def _from_thread(self, ask: Callable[[], Future]) -> Future:
        # rclpy notes what it asked of an action only after asking; an answer that is heard by
        # another thread before that is thrown away.
        return self.result(self._executor.create_task(ask), "the link's own thread")

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            self._inbox.lose("the line to it was shut down")
        except Exception as error:
            # Whoever waits must hear of it: nobody looks at this thread.
            self._inbox.lose(f"{type(error).__name__}: {error}")
            raise


def granted(answer: Any, what: str) -> Any:
    """Return an answer that says `success`.

    Raises:
        RobotRlError: of the type that its message names, else HardwareError.
    """
    if answer.success:
        return answer
    kind, _, words = answer.message.partition(": ")
    named = getattr(errors, kind, None)
    if isinstance(named, type) and issubclass(named, RobotRlError):
        raise named(words)
    raise HardwareError(f"{what}: {answer.message}")


@contextmanager
def _this_machine_alone() -> Iterator[None]:
    """The range of discovery is read from the environment when a context begins."""
    before = os.environ.get(_DISCOVERY)
    os.environ[_DISCOVERY] = "LOCALHOST"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_DISCOVERY]
        else:
            os.environ[_DISCOVERY] = before
