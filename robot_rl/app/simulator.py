"""The process that hosts a run's bench behind topics: started, watched, and ended for sure."""

from __future__ import annotations

import logging
import os
import random
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_rl.app.run_config import RunConfig
from robot_rl.config import document
from robot_rl.core.errors import ConfigError, HardwareError, StorageError

NODE = "robot_rl_sim_nodes.lockstep_node"
"""The library knows no middleware: the node is named by import path, as components are."""

_GRACE_S = 10.0
_LOG_LINES = 12
_DOMAINS = range(1, 101)
"""Beyond, DDS takes ports that the system gives to anybody."""
_PARTICIPANTS = 10
"""So many of a domain are looked for."""

_LOG = logging.getLogger(__name__)


class Simulator:
    """The process that hosts the cell's bench. It ends with the block, and with this process.

    Args:
        folder: gets `bench.yaml`, what is hosted, and `simulator.log`, what the process said.
        config: of the run.

    Attributes:
        domain: `ROS_DOMAIN_ID` of the process: that of the environment, or one that is free.
        namespace: of its node.
        pid: of the process.
        hosted: `bench.yaml`.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.domain = free_domain() if (asked := _domain_asked_for()) is None else asked
        # Two runs in one domain do not hear each other.
        cell = re.sub(r"\W|^(?=\d)", "_", config.cell.name, flags=re.ASCII)
        self.namespace = f"/{cell}_{secrets.token_hex(3)}"
        self._log = folder / "simulator.log"
        self.hosted = folder / "bench.yaml"
        try:
            folder.mkdir(exist_ok=True)
            self.hosted.write_text(document.dump(_hosted(config)), encoding="utf-8")
            log = self._log.open("w")
        except OSError as error:
            raise StorageError(f"cannot write into {folder}: {error}") from error
        parameters = {"bench": str(self.hosted.resolve()), "autostart": "true"}
        parameters["started_by"] = str(os.getpid())
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
        remap = ["-r", f"__ns:={self.namespace}"]
        with log:
            # A session of its own: Ctrl-C is for this process, which ends the other in good time.
            self._process = subprocess.Popen(
                [sys.executable, "-m", NODE, "--ros-args", *remap, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        self.pid = self._process.pid
        said = "through ros: ROS_DOMAIN_ID=%d, node %s/lockstep, process %d"
        _LOG.info(said, self.domain, self.namespace, self.pid)

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process, which has ended when this returns."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            _LOG.warning("the simulator did not end within %g s; it is killed", _GRACE_S)
            self._process.kill()
            self._process.wait()

    @property
    def _environment(self) -> Mapping[str, str]:
        return os.environ | {
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }

    def fate(self) -> str:
        """How the process ended and what it said last; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        said = "\n".join(lines) or "nothing"
        return f"process {self.pid} ended with code {code}; the last it said:\n{said}"


def _domain_asked_for() -> int | None:
    asked = os.environ.get("ROS_DOMAIN_ID", "").strip()
    if asked and not asked.isdecimal():
        raise ConfigError(f"ROS_DOMAIN_ID: got {asked!r}, expected a number, or none at all")
    return int(asked) if asked else None


def free_domain() -> int:
    """Return a `ROS_DOMAIN_ID` that nobody on this machine is in.

    Raises:
        HardwareError: if there is none.
    """
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        if all(_is_free(7410 + 250 * domain + 2 * number) for number in range(_PARTICIPANTS)):
            return domain
    raise HardwareError(
        f"all DDS domains from {_DOMAINS[0]} to {_DOMAINS[-1]} are in use: end some ROS processes"
    )


def _is_free(port: int) -> bool:
    """Whether nobody hears on a port where DDS finds participants (DDSI-RTPS, 9.6.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _hosted(config: RunConfig) -> dict[str, Any]:
    """What the node hosts, as it reads it."""
    whole = config.model_dump(mode="json")
    return {
        "bench": whole["cell"]["bench"],
        "task": whole["task"],
        "demonstrator": whole["demonstrator"],
        "supervisor": whole["supervisor"],
    }
