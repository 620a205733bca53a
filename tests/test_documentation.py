from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "*/README.md")
    for path in ROOT.glob(pattern)
    if not path.parent.name.startswith(".")
)
TOP_LEVEL = r"(?:\.ci|robot_rl|sim|configs|scripts|tests)/"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    named = re.findall(rf"`(?:robot-rl run )?({TOP_LEVEL}[\w./-]*)[` ]", text)
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [name for name in linked if not (document.parent / name).exists()]
    assert not missing


def test_package_table_names_every_folder_of_the_library() -> None:
    table = (ROOT / "robot_rl/README.md").read_text()
    folders = {p.parent.name for p in (ROOT / "robot_rl").glob("*/__init__.py")}
    assert folders == set(re.findall(r"^\| `(\w+)/` ", table, re.MULTILINE))
