"""Waiting for what another thread's executor brings."""

from __future__ import annotations

import threading
from typing import Any

from robot_rl.core.errors import HardwareError


def answer_of(client: Any, request: Any, limit_s: float) -> Any:
    """Ask a service and return its response.

    Raises:
        HardwareError: if nobody offers it, or the answer does not come in time.
    """
    if not client.service_is_ready():
        raise HardwareError(f"nobody offers {client.srv_name}: is its node active?")
    return result_of(client.call_async(request), client.srv_name, limit_s)


def result_of(future: Any, whose: str, limit_s: float) -> Any:
    """Return the result of a future.

    Raises:
        HardwareError: if it does not come in time.
    """
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(limit_s):
        raise HardwareError(f"{whose} has not answered within {limit_s:g} s")
    return future.result()
