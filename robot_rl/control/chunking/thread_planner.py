"""Plans in a thread of this process, for a policy that lets go of the interpreter: torch does."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from robot_rl.control.chunking.planner import ContinuingPolicy, PlanContext, PlannerError
from robot_rl.core.errors import ContractError
from robot_rl.core.types import ActionChunk, Observation


class ThreadPlanner:
    """A `Planner` around a policy that only its one thread touches; it ends with this object.

    Args:
        policy: makes the plans. It is also seeded in the thread, before the first plan of an
            episode: a plan that was discarded may still be drawing random numbers until then.
    """

    def __init__(self, policy: ContinuingPolicy) -> None:
        self._policy = policy
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="planner")
        self._plan: Future[ActionChunk] | None = None
        self._wanted = False
        self._seed: int | None = None

    @property
    def fingerprint(self) -> str:
        """The policy's."""
        return self._policy.fingerprint

    @property
    def busy(self) -> bool:
        """See `Planner.busy`."""
        return self._plan is not None

    def reset(self, seed: int) -> None:
        """See `Planner.reset`."""
        self.discard()
        self._seed = seed

    def start(self, observation: Observation, context: PlanContext) -> None:
        """See `Planner.start`.

        Raises:
            ContractError: if it is busy.
        """
        if self._plan is not None:
            raise ContractError("the planner is busy: start a plan only while `busy` is false")
        seed, self._seed = self._seed, None
        self._plan = self._thread.submit(_make, self._policy, seed, observation, context)
        self._wanted = True

    def poll(self) -> ActionChunk | None:
        """See `Planner.poll`."""
        if self._plan is None or not self._plan.done():
            return None
        plan, self._plan = self._plan, None
        if (error := plan.exception()) is not None:
            raise PlannerError(
                f"the policy failed to plan: {type(error).__name__}: {error}; what is in play "
                "can be played out, then the arm has to rest"
            ) from error
        return plan.result() if self._wanted else None

    def discard(self) -> None:
        """See `Planner.discard`."""
        self._wanted = False


def _make(
    policy: ContinuingPolicy, seed: int | None, observation: Observation, context: PlanContext
) -> ActionChunk:
    """Not a method: the thread must not keep the planner alive."""
    if seed is not None:
        policy.reset(seed)
    return policy.act(observation, context)
