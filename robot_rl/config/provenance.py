"""Which code, libraries and settings made a result: stored next to every result."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from robot_rl.config.model import Config

_DISTRIBUTION = "robot_rl"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What ran.

    Args:
        code_version: the commit (with `-dirty` if files were changed), or the package's version
            where there is no repository.
        python, platform: the interpreter's version and the machine's system.
        libraries: `{distribution: version}` of the package's own dependencies.
    """

    code_version: str
    python: str
    platform: str
    libraries: Mapping[str, str]


@cache
def provenance() -> Provenance:
    """Return what runs now; looked up once a process."""
    return Provenance(
        code_version=_git_version(_ROOT) or _package_version(),
        python=platform.python_version(),
        platform=platform.platform(),
        libraries=_libraries(),
    )


def config_hash(config: Config) -> str:
    """Return 16 hex digits that two configs share exactly if every value in them is equal."""
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _git_version(root: Path) -> str:
    # A package installed inside somebody else's repository must not take over its version.
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def _package_version() -> str:
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def _libraries() -> dict[str, str]:
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    names = [re.split(r"[^\w.-]", r, maxsplit=1)[0] for r in requirements if "extra ==" not in r]
    return {name: metadata.version(name) for name in sorted(names)}
