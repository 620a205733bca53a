"""What is made to go wrong with a simulated robot's samples on their way out.

Faults are told by the names of topics, relative to the robot's namespace. Pure; knows numbers, not
messages. Not here: faults of the arm itself, which stops by its own watchdog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.errors import ConfigError, did_you_mean
from robot_rl_nodes.parameter import Parameter
from robot_rl_nodes.topic import EXTERNAL_WRENCH

WRONG_FRAME, WRONG_ENCODING = "somewhere", "yuv422"
_MOST_DELAYED = 1000


def _topics(name: str, description: str) -> Parameter:
    return Parameter(
        name=f"fault.{name}", default=[""], description=f"topics {description}", live=True
    )


FAULTS = (
    _topics("freeze", "that go on with fresh stamps and the content that they had"),
    _topics("drop", "that are silent"),
    _topics("nan", "whose numbers are NaN"),
    _topics(
        "delay", "that come late by fault.delay_s, with the stamps of when they were measured"
    ),
    _topics("ahead", "whose stamps are fault.ahead_s in the future"),
    _topics("frame", f"that say they are in the frame {WRONG_FRAME!r}"),
    _topics("encoding", f"of images that say they are encoded as {WRONG_ENCODING!r}"),
    Parameter(
        name="fault.delay_s",
        default=0.3,
        description="by which the topics of fault.delay come late [s]",
        minimum=0.0,
        maximum=5.0,
        live=True,
    ),
    Parameter(
        name="fault.ahead_s",
        default=1.0,
        description="by which the stamps of the topics of fault.ahead are in the future [s]",
        minimum=0.0,
        maximum=60.0,
        live=True,
    ),
    Parameter(
        name="fault.force_n",
        default=0.0,
        description=f"added to the force along z on {EXTERNAL_WRENCH.name} [N]",
        minimum=-1000.0,
        maximum=1000.0,
        live=True,
    ),
    Parameter(
        name="fault.second_publisher",
        default=False,
        description="whether the simulator itself publishes velocities of zero on the "
        "controller's topic, as a second commander would",
        live=True,
    ),
)
"""Parameters of a node that can be made to fail while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to be.

    Args:
        topic: relative name.
        stamp_ns: ROS time at which it was measured.
        frame: of the header.
        content: its numbers, or a picture uint8[h, w, 3].
        encoding: of a picture.
    """

    topic: str
    stamp_ns: int
    frame: str
    content: NDArray[np.float64] | NDArray[np.float32] | NDArray[np.uint8]
    encoding: str = "rgb8"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """Which faults there are; see `FAULTS`."""

    freeze: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    nan: tuple[str, ...] = ()
    delay: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    frame: tuple[str, ...] = ()
    encoding: tuple[str, ...] = ()
    delay_s: float = 0.3
    ahead_s: float = 1.0
    force_n: float = 0.0
    second_publisher: bool = False

    def check(self, topics: Collection[str]) -> None:
        """See whether the topics are there.

        Args:
            topics: that can fail.

        Raises:
            ConfigError: naming a topic that is not, or a picture that cannot be NaN.
        """
        for kind in ("freeze", "drop", "nan", "delay", "ahead", "frame", "encoding"):
            for topic in getattr(self, kind):
                if topic not in topics:
                    raise ConfigError(
                        f"fault.{kind}: no topic {topic!r}{did_you_mean(topic, topics)}"
                    )
                if (kind == "nan" and topic.startswith("cameras/")) or (
                    kind == "encoding" and not topic.endswith("image_raw")
                ):
                    raise ConfigError(f"fault.{kind}: {topic} cannot have this fault")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> FaultSettings:
        """Those that parameters of `FAULTS` say, by their names."""
        return cls(
            **{fault.name.removeprefix("fault."): _value(values[fault.name]) for fault in FAULTS}
        )


def _value(value: Any) -> Any:
    return tuple(v for v in value if v) if isinstance(value, list) else value


class Faults:
    """Decides what becomes of each sample; used from one thread.

    Attributes:
        settings: may be replaced at any time.
    """

    def __init__(self, settings: FaultSettings | None = None) -> None:
        self.settings = settings or FaultSettings()
        self._frozen: dict[str, NDArray[Any]] = {}
        self._late: dict[str, deque[tuple[int, Outgoing]]] = {}

    def passed_on(self, out: Outgoing, now_ns: int) -> list[Outgoing]:
        """What goes out on a sample's topic now that it has come.

        Args:
            out: the sample as it should be.
            now_ns: monotonic time.
        """
        faults, topic = self.settings, out.topic
        if topic in faults.freeze:
            content = self._frozen.setdefault(topic, out.content)
            out = replace(out, content=content)
        else:
            self._frozen.pop(topic, None)
        if topic in faults.nan:
            out = replace(out, content=np.full_like(out.content, np.nan))
        if topic in faults.ahead:
            out = replace(out, stamp_ns=out.stamp_ns + round(faults.ahead_s * NS_PER_S))
        if topic in faults.frame:
            out = replace(out, frame=WRONG_FRAME)
        if topic in faults.encoding:
            out = replace(out, encoding=WRONG_ENCODING)
        if faults.force_n and topic == EXTERNAL_WRENCH.name:
            out = replace(out, content=out.content + faults.force_n * _ALONG_Z)
        late = self._late.setdefault(topic, deque(maxlen=_MOST_DELAYED))
        wait_ns = round(faults.delay_s * NS_PER_S) if topic in faults.delay else 0
        late.append((now_ns + wait_ns, out))
        due = []
        while late and (late[0][0] <= now_ns or not wait_ns):
            due.append(late.popleft()[1])
        return [] if topic in faults.drop else due


_ALONG_Z = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
