"""`robot-rl serve`: base policies behind a websocket, or a table of how fast they plan here."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from pydantic import Field, ValidationError
from rich.console import Console
from rich.table import Table

from robot_rl.app.terminal import INTERRUPTED, Terminal
from robot_rl.config.load import checked, load
from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ConfigError, RobotRlError
from robot_rl.policies.base import BasePolicy
from robot_rl.runtime.serving.benchmark import Figures, Spread, measure
from robot_rl.runtime.serving.config import ServerConfig
from robot_rl.runtime.serving.server import PolicyServer

_POLICY_FILE = "policy.json"
_FINGERPRINT = 12

Builders = Mapping[str, Callable[[], BasePolicy]]
"""What makes each policy, by its name."""


class ServingConfig(Config):
    """A serving YAML: which policies, for which task, how.

    Args:
        policies: by the name under which clients ask, components whose `build(task)` returns a
            `policies.base.BasePolicy`; the first answers who names none.
        task: a component whose `build()` returns what has a `TaskSpec` as `spec`.
        server: where it listens, whom it lets in, and how it plans.
    """

    policies: dict[str, Component] = Field(min_length=1)
    task: Component
    server: ServerConfig = ServerConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Serve base policies to clients of ours and of openpi.

    Examples:
      robot-rl serve runs/peg_insert-20261121-101500-seed0
      robot-rl serve configs/serving/peg_insert.yaml --port 9000
      robot-rl serve configs/serving/peg_insert.yaml server.max_batch=4
      robot-rl serve --benchmark runs/peg_insert-20261121-101500-seed0/base
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="WHAT ...")]
    """A folder of a policy, a run's folder (its base), or a serving YAML and overrides."""

    benchmark: bool = False
    """Print how fast the policies plan and answer here, and serve nobody."""

    host: str | None = None
    """Address to listen on; any but the loopback needs a key and TLS."""

    port: int | None = None
    """Its port; 0 takes a free one."""

    unix: Path | None = None
    """A socket of this path instead, for this user alone."""

    api_key_file: Path | None = None
    """Holds the key that clients must know."""

    admin_key_file: Path | None = None
    """Holds the key of those who may send weights."""

    tls_cert: Path | None = None
    """PEM of the certificate chain."""

    tls_key: Path | None = None
    """PEM of its private key."""

    threads: int = 1
    """Threads of one torch operation; large networks without a GPU gain from more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until asked to end; returns the exit status: 0, 1 on an error, 130 if interrupted."""
    arguments = tyro.cli(Arguments, args=argv, prog="robot-rl serve")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("robot_rl").setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    try:
        builders, config = _asked(arguments)
        if arguments.benchmark:
            Console().print(_table({n: measure(b, config) for n, b in builders.items()}, config))
        else:
            _serve(builders, config)
    except KeyboardInterrupt:
        return INTERRUPTED
    except RobotRlError as error:
        Terminal.standard().error(f"robot-rl: {type(error).__name__}: {error}")
        return 1
    return 0


def _asked(arguments: Arguments) -> tuple[Builders, ServerConfig]:
    if not arguments.what:
        raise ConfigError("name what to serve: a policy's folder, a run's folder or a YAML file")
    what, *overrides = arguments.what
    if what.endswith(".yaml"):
        serving = load(what, ServingConfig, overrides)
        return _of_config(serving), _server(serving.server, arguments)
    if overrides:
        raise ConfigError(f"only a YAML file takes overrides: got {' '.join(overrides)!r}")
    folder = _policy_folder(Path(what))
    return {folder.name: partial(_saved, folder)}, _server(ServerConfig(), arguments)


def _of_config(serving: ServingConfig) -> Builders:
    task = serving.task.build().spec
    return {name: partial(each.build, task) for name, each in serving.policies.items()}


def _policy_folder(path: Path) -> Path:
    for folder in (path, path / "base"):
        if (folder / _POLICY_FILE).is_file():
            return folder.resolve()
    raise ConfigError(
        f"{path}: got neither a policy's folder (with {_POLICY_FILE}), nor a run's (with "
        f"base/{_POLICY_FILE}), nor a .yaml file"
    )


def _saved(folder: Path) -> BasePolicy:
    # Loaded only here: what a YAML names may need none of it.
    from robot_rl.policies.adapters.chunk import ChunkBase
    from robot_rl.policies.chunk_policy import ChunkPolicy

    try:
        return ChunkBase(ChunkPolicy.load(folder))
    except (ValidationError, KeyError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"no {error}"
        raise ConfigError(
            f"{folder / _POLICY_FILE} describes no chunk policy that this version knows: {why}"
        ) from error


def _server(config: ServerConfig, arguments: Arguments) -> ServerConfig:
    """The config, with what the command line says instead."""
    names = ("host", "port", "unix", "api_key_file", "admin_key_file", "tls_cert", "tls_key")
    given = {name: getattr(arguments, name) for name in names}
    said = {name: value for name, value in given.items() if value is not None}
    return checked(ServerConfig, {**config.model_dump(), **said})


def _serve(builders: Builders, config: ServerConfig) -> None:
    server = PolicyServer({name: build() for name, build in builders.items()}, config)
    asyncio.run(_run(server))


async def _run(server: PolicyServer) -> None:
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        # A second signal does what it does by default: ends the process at once.
        loop.remove_signal_handler(number)
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    await server.run(lambda: _announce(server))


def _announce(server: PolicyServer) -> None:
    named = ", ".join(
        f"{name} ({spec.name} {spec.fingerprint[:_FINGERPRINT]})"
        for name, spec in server.specs.items()
    )
    Terminal.standard().say(f"READY {server.address} {named}")


def _table(measured: Mapping[str, Figures], config: ServerConfig) -> Table:
    table = Table(title="policies on this machine, median and 99th percentile")
    table.add_column("policy", overflow="fold", min_width=6)
    columns = {"load": "s", "warm-up": "s", "one plan": "ms", f"batch of {config.max_batch}": "ms"}
    columns |= {"round trip": "ms", "memory": "MiB"}
    on_gpu = any(figures.device_mib is not None for figures in measured.values())
    for name, unit in (columns | ({"GPU": "MiB"} if on_gpu else {})).items():
        table.add_column(f"{name}\n{unit}", justify="right")
    for name, figures in measured.items():
        spreads = [_spread(s) for s in (figures.one, figures.full, figures.round_trip)]
        times = [f"{figures.load_s:.1f}", f"{figures.warm_up_s:.1f}", *spreads]
        device = [f"{figures.device_mib or 0:.0f}"] if on_gpu else []
        table.add_row(name, *times, f"{figures.memory_mib:.0f}", *device)
    return table


def _spread(spread: Spread) -> str:
    return " ".join(f"{seconds * 1e3:.3g}" for seconds in (spread.p50_s, spread.p99_s))
