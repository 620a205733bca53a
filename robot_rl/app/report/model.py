"""What the report needs beyond events: the final evaluation, and pictures of matched starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_rl.app.summary import ForceNumbers
from robot_rl.core.errors import ContractError
from robot_rl.core.types import Image
from robot_rl.runtime.statistics import paired_difference_bound, wilson_interval

CONTACT_N = 1.0
"""Force norm from which a sample counts as contact [N]: above a wrist sensor's noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTrials:
    """Episodes of one policy in the final evaluation, nobody helping.

    Args:
        success: bool[n].
        steps: int[n], control periods of each episode.
        period_s: control period [s].
        force_n: n curves float32[T] of the contact force's norm [N]; empty without a sensor.

    Raises:
        ContractError: if the columns disagree in length.
    """

    success: NDArray[np.bool_]
    steps: NDArray[np.int64]
    period_s: float
    force_n: Sequence[NDArray[np.float32]] = ()

    def __post_init__(self) -> None:
        episodes = len(self.success)
        if len(self.steps) != episodes or len(self.force_n) not in (0, episodes):
            raise ContractError(
                f"evaluation: got {episodes} outcomes, {len(self.steps)} lengths and "
                f"{len(self.force_n)} force curves, expected as many of each"
            )

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.success)

    @property
    def rate(self) -> float:
        """Success rate in [0, 1]; NaN without episodes."""
        return float(np.mean(self.success)) if self.episodes else math.nan

    @property
    def ci95(self) -> tuple[float, float]:
        """95 % Wilson interval of the success rate."""
        return wilson_interval(int(np.count_nonzero(self.success)), self.episodes)

    @property
    def cycle_time_s(self) -> float:
        """Median duration of the successful episodes [s]; NaN without one."""
        solved = np.asarray(self.steps)[np.asarray(self.success, bool)]
        return float(np.median(solved)) * self.period_s if len(solved) else math.nan

    @property
    def contact_force_n(self) -> ForceNumbers:
        """Mean, 99th percentile and maximum over all samples in contact [N]; NaN without."""
        samples = np.concatenate([np.zeros(0, np.float32), *self.force_n])
        samples = samples[samples >= CONTACT_N]
        if len(samples) == 0:
            return ForceNumbers(mean=math.nan, p99=math.nan, max=math.nan)
        return ForceNumbers(
            mean=float(samples.mean(dtype=np.float64)),
            p99=float(np.percentile(samples, 99)),
            max=float(samples.max()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEvaluation:
    """The final evaluation from matched starts: episode i of both began alike.

    Raises:
        ContractError: if the policies have different numbers of episodes.
    """

    base: PolicyTrials
    improved: PolicyTrials

    def __post_init__(self) -> None:
        if self.base.episodes != self.improved.episodes:
            raise ContractError(
                f"evaluation: got {self.base.episodes} episodes of the base and "
                f"{self.improved.episodes} of the improved policy, expected matched starts"
            )

    @property
    def lower_bound(self) -> float:
        """95 % one-sided lower bound of the gain in success, in [-1, 1]."""
        return paired_difference_bound(self.base.success, self.improved.success)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedStart:
    """The same start, driven by the base and by the improved policy.

    Args:
        seed: of the start state.
        frame_period_s: between two frames [s].
        base_frames: k frames uint8[h, w, 3] RGB of the base policy.
        improved_frames: frames of the improved policy, of the same size.
        base_success: whether the base solved it.
        improved_success: whether the improved policy solved it.

    Raises:
        ContractError: if there are no frames, or their sizes differ.
    """

    seed: int
    frame_period_s: float
    base_frames: Sequence[Image]
    improved_frames: Sequence[Image]
    base_success: bool = False
    improved_success: bool = True

    def __post_init__(self) -> None:
        sizes = {frame.shape for frame in (*self.base_frames, *self.improved_frames)}
        if not self.base_frames or not self.improved_frames or len(sizes) != 1:
            raise ContractError(
                f"compared start {self.seed}: got {len(self.base_frames)} and "
                f"{len(self.improved_frames)} frames of sizes {sorted(sizes)}, expected at "
                "least one each, all of one size"
            )
