"""One line to a policy server that speaks openpi's protocol, ours or theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.policies.remote.codec import MAX_BYTES, decode, encode_parts
from robot_rl.policies.remote.frame import FrameSocket, Message
from robot_rl.policies.remote.handshake import Address, open_websocket

_WORDS = 500
"""Characters of a server's error that are told."""


class PolicyConnection:
    """Asks a policy server, one request at a time, and connects again where the line was lost.

    There is no thread behind it: between two requests nothing is read, and a server that has hung
    up meanwhile is found anew by the next one.

    Args:
        url: `ws://host:port`, `wss://host:port`, or `unix:///path` for a server of this machine.
        api_key: that the server asks for.
        ca_file: PEM of the authorities to trust for `wss`; the system's without it.
        timeout_s: for connecting, and for each answer [s].
        max_bytes: of a message that may come.

    Attributes:
        metadata: what the server said first, when it was connected to last.
        timeout_s: see above.

    Raises:
        ConfigError: if the address or key is wrong.
        ContractError: if what the server says is no message.
        HardwareError: if the server is not there, or silent.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        ca_file: Path | None = None,
        timeout_s: float = 10.0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._address = Address(url=url, api_key=api_key, ca_file=ca_file)
        self.timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._line: FrameSocket | None = None
        self.metadata: dict[str, Any] = {}
        with self._lock:
            self._until(time.monotonic() + timeout_s, self._connect)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, message: Mapping[str, object], timeout_s: float | None = None) -> dict[str, Any]:
        """Return the answer to a request.

        After an error the next request connects anew. A request is never sent twice.

        Args:
            message: see `codec.encode`.
            timeout_s: the connection's own without it [s].

        Raises:
            ContractError: if the message cannot travel, the server answers with an error, or with
                what is no message.
            HardwareError: if the server is not there, silent, or hangs up.
        """
        parts = encode_parts(message)
        with self._lock:
            deadline_s = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
            self._refresh(deadline_s)
            return self._until(deadline_s, lambda end_s: self._exchange(parts, end_s))

    def close(self) -> None:
        """Hang up; the next request would connect again."""
        with self._lock:
            self._drop()

    def _exchange(
        self, parts: list[bytes | bytearray | memoryview], end_s: float
    ) -> dict[str, Any]:
        if self._line is None:
            self._connect(end_s)
        assert self._line is not None
        self._line.send(parts, end_s)
        return self._read(self._line.receive(end_s))

    def _connect(self, end_s: float) -> None:
        self._line = open_websocket(self._address, self._max_bytes, end_s)
        self.metadata = self._read(self._line.receive(end_s))

    def _refresh(self, end_s: float) -> None:
        """Drop a line that has died since the last answer: nothing was lost with it."""
        try:
            if self._line is not None:
                self._line.refresh(end_s)
        except (OSError, ContractError):
            self._drop()

    def _until[T](self, end_s: float, work: Callable[[float], T]) -> T:
        """Do what has a deadline; whatever goes wrong ends the line."""
        try:
            return work(end_s)
        except OSError as error:
            self._drop()
            raise HardwareError(
                f"the policy server at {self._address.url} is lost: "
                f"{error or type(error).__name__}; is it running, and within reach?"
            ) from error
        except BaseException:
            self._drop()
            raise

    def _read(self, message: Message) -> dict[str, Any]:
        if message.is_text:
            text = bytes(message.data).decode(errors="replace").strip()
            raise ContractError(
                f"the policy server at {self._address.url} refuses: {text[-_WORDS:]}"
            )
        return decode(message.data, self._max_bytes)

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
