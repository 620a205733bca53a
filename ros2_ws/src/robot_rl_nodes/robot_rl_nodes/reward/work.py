"""A reward model in a thread of its own, for it may take longer than a callback may. No rclpy.

The newest observation counts: what came while the model was thinking is judged once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from robot_rl.core.protocol import Judgement
from robot_rl.core.types import Observation
from robot_rl.rewards.model import RewardModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is to be judged.

    Args:
        observation: joined for the model.
        stamp_ns: of its instant, ROS time [ns].
    """

    observation: Observation
    stamp_ns: int


class RewardWork:
    """Judges what is put in, and tells of each judgement.

    Args:
        model: only the thread touches it.
        tell: given what was judged, the judgement, and how sure the model is; called in the
            thread.

    Attributes:
        error: what the model has raised; it judges no more then.
    """

    def __init__(self, model: RewardModel, tell: Callable[[Seen, Judgement, float], None]) -> None:
        self.error: Exception | None = None
        self._model = model
        self._tell = tell
        self._there = threading.Condition()
        self._next: Seen | None = None
        self._anew = self._ended = False
        self._thread = threading.Thread(target=self._run, name="reward", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """An episode begins: what was put in before is not judged any more."""
        with self._there:
            self._next, self._anew = None, True
            self._there.notify()

    def put(self, seen: Seen) -> None:
        """Judge this next, instead of whatever waits."""
        with self._there:
            self._next = seen
            self._there.notify()

    def close(self, timeout_s: float) -> bool:
        """Judge no more; whether the thread has ended in time."""
        with self._there:
            self._ended = True
            self._there.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._work():
                pass
        except Exception as error:  # noqa: BLE001 - raised again by whoever asks for it
            self.error = error

    def _work(self) -> bool:
        with self._there:
            self._there.wait_for(lambda: self._next or self._anew or self._ended)
            seen, self._next = self._next, None
            anew, self._anew = self._anew, False
            if self._ended:
                return False
        if anew:
            self._model.reset()
        if seen is not None:
            judgement = self._model.score(seen.observation)
            with self._there:
                overtaken = self._anew or self._ended
            if not overtaken:
                self._tell(seen, judgement, self._model.probability)
        return True
