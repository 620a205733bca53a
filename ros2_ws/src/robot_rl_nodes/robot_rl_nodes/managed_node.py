"""What every node has in common: a life that others manage, and a last word when it ends.

A subclass says what it needs in `PARAMETERS` and `setup`; no exception is swallowed, no callback
runs while the node is inactive, no timer hangs on a clock that may stand still.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from lifecycle_msgs.msg import State
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.context import Context
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.publisher import Publisher
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from robot_rl.core.clock import MonotonicClock
from robot_rl_nodes.diagnostic import Diagnostics, Level
from robot_rl_nodes.parameter import Parameter, Parameters
from robot_rl_nodes.topic import DIAGNOSTICS, Topic

AUTOSTART = Parameter(
    name="autostart",
    default=False,
    description="configure and activate at start, where no manager does it",
)
PATIENCE = Parameter(
    name="manager_ends_within_s",
    default=0.0,
    description="asked to end, an active node waits so long for its manager to end it in order, "
    "the gate last [s]",
    minimum=0.0,
    maximum=120.0,
)
COMMON = (AUTOSTART, PATIENCE)
"""What every node has."""


class ManagedNode(LifecycleNode):
    """A lifecycle node.

    Configuring reads the parameters and calls `setup`; what that raises refuses the transition
    and is logged and told on /diagnostics. An exception in a callback deactivates the node and
    is told likewise. Everything made in `setup` is unmade by cleaning up.

    Args:
        name: of the node.
        context: initialised; a private one in tests.
        overrides: parameters by name, before those of the command line.
        namespace: of the robot; that of the command line without it.

    Attributes:
        monotonic: this machine's monotonic clock, by which ages are judged.
        diagnostics: what the node has to tell of itself, once a second.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(
        self,
        name: str,
        *,
        context: Context | None = None,
        overrides: Mapping[str, Any] | None = None,
        namespace: str | None = None,
    ) -> None:
        super().__init__(
            name,
            context=context,
            namespace=namespace,
            parameter_overrides=[RosParameter(k, value=v) for k, v in (overrides or {}).items()],
        )
        self.monotonic = MonotonicClock()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._declared = Parameters(self, (*COMMON, *self.PARAMETERS))
        self._made: list[Callable[[], object]] = []
        self.diagnostics = Diagnostics(self.get_fully_qualified_name().lstrip("/"))
        self._told = super(LifecycleNode, self).create_publisher(
            DIAGNOSTICS.type, DIAGNOSTICS.name, DIAGNOSTICS.quality.published
        )
        self.create_timer(1.0, self._tell, clock=self._steady)

    # What a subclass says.

    def setup(self, values: Mapping[str, Any]) -> None:
        """Configure: open what is needed, make publishers, subscriptions, services and timers.

        Args:
            values: of all parameters, checked.

        Raises:
            RobotRlError: if it cannot be; the node then stays unconfigured.
        """

    def begin(self) -> None:
        """The node becomes active."""

    def rest(self) -> None:
        """The node becomes inactive; what is published here still goes out."""

    # What a subclass makes.

    def when_unmade(self, undo: Callable[[], object]) -> None:
        """Call `undo` when the node lets go of what `setup` made; the last made is first."""
        self._made.append(undo)

    def publish_on(self, topic: Topic) -> Publisher:
        """Make a publisher; it is silent while the node is inactive."""
        events = PublisherEventCallbacks(incompatible_qos=lambda e: self._mismatch(topic, e))
        publisher = self.create_lifecycle_publisher(
            topic.type, topic.name, topic.quality.published, event_callbacks=events
        )
        self.when_unmade(lambda: self.destroy_publisher(publisher))
        return publisher

    def listen_to(
        self,
        topic: Topic,
        callback: Callable[[Any], None],
        *,
        always: bool = False,
        recorded: bool = False,
        raw: bool = False,
        max_age_s: float | None = None,
        events: Mapping[str, Callable[[Any], None]] | None = None,
    ) -> Subscription:
        """Make a subscription; its rate and silence are told on /diagnostics.

        Args:
            topic: to listen to.
            callback: called with each message while the node is active.
            always: also while it is inactive.
            recorded: every message is wanted, not only the newest.
            raw: the callback takes serialised bytes.
            max_age_s: a longer silence is told as an error.
            events: further callbacks of `SubscriptionEventCallbacks`, e.g. `liveliness`.
        """
        flow = self.diagnostics.flow(topic.name, max_age_s)
        listeners: dict[str, Any] = {
            "incompatible_qos": lambda e: self._mismatch(topic, e),
            **(events or {}),
        }

        def heard(message: Any) -> None:
            flow.note()
            if always or self.active:
                self.guard(lambda: callback(message), f"a message on {topic.name}")

        profile = topic.quality.recorded if recorded else topic.quality.subscribed
        subscription = self.create_subscription(
            topic.type,
            topic.name,
            heard,
            profile,
            raw=raw,
            event_callbacks=SubscriptionEventCallbacks(**listeners),
        )
        self.when_unmade(lambda: self.destroy_subscription(subscription))
        return subscription

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Call back in every period of the steady clock while the node is active."""

        def due() -> None:
            if self.active:
                self.guard(callback, "a timer")

        timer = self.create_timer(period_s, due, clock=self._steady)
        self.when_unmade(lambda: self.destroy_timer(timer))
        return timer

    def serve(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> Service:
        """Offer a service whose response has `success` and `message`.

        An exception of the callback is the answer that it did not succeed, and so is a call
        while the node is inactive.
        """

        def asked(request: Any, response: Any) -> Any:
            if not self.active:
                response.success, response.message = False, f"{self.get_name()} is not active"
                return response
            try:
                return callback(request, response)
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                self.get_logger().error(f"{name}: {traceback.format_exc()}")
                response.success, response.message = False, f"{type(error).__name__}: {error}"
                return response

        service = self.create_service(kind, name, asked)
        self.when_unmade(lambda: self.destroy_service(service))
        return service

    # What everybody may ask.

    @property
    def active(self) -> bool:
        """Whether the node is active."""
        return self._declared.active

    @property
    def state_id(self) -> int:
        """Of the lifecycle, a constant of `lifecycle_msgs/State`."""
        return int(self._state_machine.current_state[0])

    @property
    def now_ns(self) -> int:
        """ROS time [ns], for stamps: the wall clock's, or the simulator's."""
        return int(self.get_clock().now().nanoseconds)

    def guard(self, work: Callable[[], object], what: str) -> None:
        """Do something; an exception is logged and told, and deactivates the node."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - deactivates the node, logged and told
            self.fail(error, what)

    def fail(self, error: BaseException, what: str) -> None:
        """Tell of an error and deactivate."""
        self.get_logger().error(
            f"{what}: {''.join(traceback.format_exception(error))}", throttle_duration_sec=1.0
        )
        self.diagnostics.set("fault", Level.ERROR, f"{what}: {type(error).__name__}: {error}")
        if self.active:
            self.trigger_deactivate()
        self._tell()

    def end(self) -> None:
        """Rest if active, let go of everything, and finish."""
        if self.state_id == State.PRIMARY_STATE_ACTIVE:
            self.trigger_deactivate()
        if self.state_id == State.PRIMARY_STATE_INACTIVE:
            self.trigger_cleanup()
        if self.state_id == State.PRIMARY_STATE_UNCONFIGURED:
            self.trigger_shutdown()

    def destroy_node(self) -> None:
        """Leave the graph."""
        super().destroy_node()
        # rclpy leaves it to the garbage collector, and the process is in the graph until then.
        self._state_machine.destroy_when_not_in_use()

    # What rclpy calls.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters and call `setup`."""
        try:
            self.setup(self._declared.values())
        except Exception as error:  # noqa: BLE001 - refuses the transition, logged and told
            self.get_logger().error(f"not configured: {error}")
            self.get_logger().debug(traceback.format_exc())
            self.diagnostics.set("fault", Level.ERROR, f"not configured: {error}")
            self._unmake()
            self._tell()
            return TransitionCallbackReturn.FAILURE
        self.diagnostics.clear("fault")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let publishers speak, then call `begin`."""
        done = super().on_activate(state)
        self._declared.active = True
        try:
            self.begin()
        except Exception as error:  # noqa: BLE001 - refuses the transition, logged and told
            self._declared.active = False
            self.get_logger().error(f"not activated: {traceback.format_exc()}")
            self.diagnostics.set("fault", Level.ERROR, f"not activated: {error}")
            self._tell()
            return TransitionCallbackReturn.FAILURE
        self.diagnostics.clear("fault")
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Call `rest`, then silence the publishers."""
        self._declared.active = False
        try:
            self.rest()
        except Exception:  # noqa: BLE001 - logged; the node comes to rest all the same
            self.get_logger().error(f"while coming to rest: {traceback.format_exc()}")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything."""
        self._unmake()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, wherever the node stands."""
        if self._declared.active:
            self.on_deactivate(state)
        self._unmake()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node may be configured again."""
        self._declared.active = False
        self._unmake()
        return TransitionCallbackReturn.SUCCESS

    def _unmake(self) -> None:
        while self._made:
            undo = self._made.pop()
            try:
                undo()
            except Exception:  # noqa: BLE001 - logged; the rest is let go of
                self.get_logger().error(f"while letting go: {traceback.format_exc()}")
        self.diagnostics.forget_flows()

    def _mismatch(self, topic: Topic, event: Any) -> None:
        policy = getattr(event, "last_policy_kind", "unknown")
        words = f"{topic.name}: somebody's quality of service does not match ours ({policy})"
        self.get_logger().error(words, throttle_duration_sec=5.0)
        self.diagnostics.set(f"quality of service of {topic.name}", Level.ERROR, words)

    def _tell(self) -> None:
        stamp = self.get_clock().now().to_msg()
        self._told.publish(self.diagnostics.message(self._state_machine.current_state[1], stamp))
