"""Nothing but the gate makes what a robot obeys."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("robot_rl", "sim", "hardware", "ros2_ws", "scripts")


def makers_of(name: str) -> set[str]:
    files = [f for package in PACKAGES for f in (ROOT / package).rglob("*.py")]
    return {
        str(file.relative_to(ROOT))
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and name in (getattr(node.func, "id", ""), _attribute(node))
    }


def _attribute(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def test_safe_action_is_made_in_the_gate_and_nowhere_else():
    assert makers_of("SafeAction") == {"robot_rl/control/safety.py"}
