"""No file of the project can turn bytes that it reads into code that runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal",
    "pickletools", "shelve",
}  # fmt: skip
CALLS = {
    "builtins.eval", "builtins.exec", "eval", "exec", "os.popen",
    "os.system", "pandas.read_pickle", "torch.jit.load", "torch.load", "torch.package",
    "yaml.full_load", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
}  # fmt: skip
PINNED = {Path("robot_rl/networks/vision/pretrained.py"): ["torch.load"]}
"""Published weights come as a pickle: read only if their digest is the pinned one, and by torch's
loader that runs no code. That nothing else gets there is tested with the backbones."""
TRUE_IS_DANGEROUS = {"allow_pickle", "shell", "trust_remote_code"}


def dangers(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from (m for m in modules if m.split(".")[0] in MODULES)
        elif isinstance(node, ast.Name | ast.Attribute) and _dotted(node, names) in CALLS:
            yield _dotted(node, names)
        elif isinstance(node, ast.Call) and _dotted(node.func, names) == "__import__":
            yield "__import__"
        elif isinstance(node, ast.keyword) and node.arg in TRUE_IS_DANGEROUS:
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"{node.arg}="
        elif isinstance(node, ast.Constant) and node.value in TRUE_IS_DANGEROUS:
            yield f"{node.value!r} as a key"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The dotted name behind each name that an import binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                yield bound, alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def test_no_file_runs_code_from_bytes(report):
    files = [p for top in ("robot_rl", "sim", "scripts") for p in (ROOT / top).rglob("*.py")]
    found = {path.relative_to(ROOT): [*dangers(path.read_text())] for path in files}

    assert len(files) > 100
    assert {path: words for path, words in found.items() if words} == PINNED
    report("code from bytes", files=len(files), dangers=0)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import dill as d",
        "from joblib import load",
        "from cPickle import loads",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import numpy as np\nnp.load(f, allow_pickle=flag)",
        "import numpy as np\nnp.load(f, **{'allow_pickle': True})",
        "import torch\ntorch.load(f)",
        "import torch\nload = torch.load",
        "from torch import load as l\nl(f)",
        "eval('1')",
        "import builtins\nbuiltins.exec('1')",
        "import yaml\nyaml.load(f, Loader=yaml.SafeLoader)",
        "import yaml as y\ny.unsafe_load(f)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "make(trust_remote_code=True)",
        "__import__('pickle')",
        "import os\nos.system('ls')",
    ],
)
def test_the_search_finds(source):
    assert list(dangers(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import numpy as np\nnp.load(f)",
        "import numpy as np\nnp.load(f, allow_pickle=False)",
        "import yaml\nyaml.safe_load(f)",
        "from safetensors.torch import load_file\nload_file(f)",
        "import json\njson.load(f)",
    ],
)
def test_the_search_lets_pass(source):
    assert not list(dangers(source))
