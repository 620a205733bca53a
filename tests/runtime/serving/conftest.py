from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from robot_rl.policies.base import BasePolicy
from robot_rl.runtime.serving.background import in_background
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve({"name": policy}, **config)`: the address of a server that ends with the test."""
    with ExitStack() as stack:

        def start(policies: Mapping[str, BasePolicy], **settings: object) -> str:
            config = ServerConfig(**{"port": 0, "drain_s": 2.0} | settings)
            return stack.enter_context(in_background(PolicyServer(policies, config)))

        yield start


@pytest.fixture
def key_file(tmp_path):
    """`key_file("name")`: path and content of a new key."""

    def make(name: str = "api") -> tuple[str, str]:
        path, key = tmp_path / f"{name}.key", f"{name}-0123456789abcdef"
        path.write_text(f"{key}\n")
        path.chmod(0o600)
        return str(path), key

    return make
