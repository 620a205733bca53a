"""Python packages that only some drivers need."""

from __future__ import annotations

import importlib
from typing import Any

from robot_rl.core.errors import DependencyError


def needed(module: str, package: str) -> Any:
    """Return a module of a package that is installed only where its devices are.

    Raises:
        DependencyError: naming the package.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"this device needs {package}, which does not load ({error}): "
            "pip install 'robot_rl[hardware]'"
        ) from error
