"""Each ROS package is complete: what it declares, installs and imports fits together."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools
from catkin_pkg.package import Package, parse_package

from robot_rl.app.ros.argument import Arguments, load_graph
from robot_rl.app.ros.plan import GROUPS, plan
from robot_rl.app.ros.process import Process

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "ros2_ws/src"
PACKAGES = sorted(file.parent for file in SOURCES.glob("*/package.xml"))
PYTHON = [folder for folder in PACKAGES if (folder / "setup.py").is_file()]
BY_PIP = {"mcap", "mujoco", "robot_rl", "robot_rl_hardware", "robot_rl_sim", "setuptools"}
"""Python packages that no package.xml can name; they come with robot_rl's distribution."""
KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "pydantic": "python3-pydantic",
    "robot_rl_sim_nodes": "robot_rl_sim",
}
"""Names in package.xml, where they differ from those of Python."""


def named(folder: Path) -> str:
    return folder.name


def package(folder: Path) -> Package:
    return parse_package(str(folder))


def processes() -> list[Process]:
    """Every process of every plan."""
    found: dict[str, Process] = {}
    for robot in ("sim_fr3", "example_real"):
        arguments = Arguments(robot=robot, config_dir=str(ROOT / "configs"), record="true")
        for group in GROUPS:
            if (robot, group) in (("example_real", "sim"), ("sim_fr3", "sensors")):
                continue
            for process in plan(load_graph(arguments), group, arguments).processes:
                found[process.executable] = process
    return list(found.values())


def set_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py gives to setuptools."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **said: given.update(said))
    monkeypatch.chdir(folder)
    exec(compile((folder / "setup.py").read_text(), "setup.py", "exec"), {"__name__": "setup"})
    return given


def imports(folder: Path) -> set[str]:
    """Top names of all that a package's Python imports, launch files among it."""
    found: set[str] = set()
    files = [file for file in folder.rglob("*.py") if file.name != "setup.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", PACKAGES, ids=named)
def test_package_xml_is_what_colcon_takes(folder: Path) -> None:
    made = package(folder)
    assert made.name == folder.name
    assert made.package_format == 3
    assert "package_format3.xsd" in (folder / "package.xml").read_text()
    assert made.licenses == ["Apache-2.0"]
    assert not made.validate(str(folder / "package.xml")) if made.validate else True


@pytest.mark.parametrize("folder", PYTHON, ids=named)
def test_what_is_imported_is_declared_and_the_reverse(folder: Path) -> None:
    made = package(folder)
    declared = {each.name for each in made.exec_depends}
    own = {each.name for each in folder.iterdir() if (each / "__init__.py").is_file()}
    wanted = {KEYS.get(name, name) for name in imports(folder) - BY_PIP - own}
    assert wanted - declared == set(), "missing in package.xml"
    # What is started is needed without being imported.
    started = {"robot_rl_nodes", "robot_rl_sim"} if folder.name == "robot_rl_bringup" else set()
    if folder.name == "robot_rl_bringup":
        started |= {"robot_rl_description"} & declared
    assert declared - wanted - started == set(), "declared, but not imported"


@pytest.mark.parametrize("folder", PYTHON, ids=named)
def test_setup_installs_every_file_that_is_to_be_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = set_up(folder, monkeypatch)
    made = package(folder)
    assert (given["name"], given["version"]) == (made.name, made.version)
    installed = {file: target for target, files in given["data_files"] for file in map(str, files)}
    assert installed[f"resource/{folder.name}"] == "share/ament_index/resource_index/packages"
    assert installed["package.xml"] == f"share/{folder.name}"
    missing = [file for file in installed if not (folder / file).is_file()]
    assert not missing
    for part, target in {"scripts": "lib", "launch": "share", "config": "share"}.items():
        for file in (folder / part).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                where = installed[str(file.relative_to(folder))]
                assert where.startswith(f"{target}/{folder.name}")
    for part in ("foxglove", "rviz", "urdf", "meshes"):
        for file in (folder / part).rglob("*"):
            assert not file.is_file() or str(file.relative_to(folder)) in installed
    assert given["packages"]


@pytest.mark.parametrize("folder", PYTHON, ids=named)
def test_scripts_are_where_colcon_and_pip_put_them(folder: Path) -> None:
    text = (folder / "setup.cfg").read_text()
    assert text.count(f"$base/lib/{folder.name}") == 2
    for script in (folder / "scripts").glob("*"):
        assert os.access(script, os.X_OK), f"{script} is not executable"
        assert script.read_text().startswith("#!/usr/bin/env python3\n")


def test_every_node_has_a_script_and_every_script_its_node() -> None:
    for folder in PYTHON:
        own = next((each for each in folder.iterdir() if (each / "__init__.py").is_file()), None)
        nodes = {file.stem for file in own.glob("*_node.py")} if own else set()
        scripts = {file.name for file in (folder / "scripts").glob("*")}
        assert scripts == nodes - {"managed_node"}, folder.name
        for script in scripts:
            assert own is not None
            text = (folder / "scripts" / script).read_text()
            assert f'runpy.run_module("{own.name}.{script}", run_name="__main__"' in text


@pytest.mark.parametrize("process", processes(), ids=lambda process: process.executable)
def test_every_node_of_every_plan_is_installed_and_can_be_run(process: Process) -> None:
    assert (SOURCES / process.package / "scripts" / process.executable).is_file()
    spec = importlib.util.find_spec(process.module)
    assert spec is not None, f"no module {process.module}"
    assert spec.origin is not None
    assert re.search(r'^if __name__ == "__main__":', Path(spec.origin).read_text(), re.MULTILINE)


@pytest.mark.parametrize("folder", PYTHON, ids=named)
def test_no_node_file_is_longer_than_it_may_be(folder: Path) -> None:
    long = {
        file.name: lines
        for file in folder.rglob("*_node.py")
        if file.stem != "managed_node" and (lines := len(file.read_text().splitlines())) > 150
    }
    assert not long, "at most 150 lines a node"
