from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robot_rl.config.load import load, save
from robot_rl.config.model import Component, Config
from robot_rl.core.errors import ConfigError

COMPONENTS = """
from pathlib import Path
from robot_rl.config.model import Component, Config

class PolicyConfig(Config):
    horizon: int
    rate: float = 1e-3

    def build(self):
        return ("policy", self.horizon)

class WrapConfig(Config):
    inner: Component

    def build(self):
        return ("wrap", self.inner.build())

class LimitsConfig(Config):
    low: tuple[float, float]
"""


class Budget(Config):
    steps: int
    minutes: float = 30.0


class Run(Config):
    name: str
    policy: Component
    budget: Budget
    layers: tuple[int, ...] = (64, 64)
    stages: tuple[Budget, ...] = ()
    extra: Component | None = None
    notes: Path = Path("notes.yaml")


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    return write_file


@pytest.fixture(autouse=True)
def toy_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "source" / "toy_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "component.py").write_text(COMPONENTS)
    (folder / "needy.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(folder.parent)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "toy_package"]:
        del sys.modules[name]


POLICY = "type: toy_package.component:PolicyConfig\nhorizon: 8\n"
RUN = "name: demo\npolicy: ../policies/toy.yaml\nbudget: {steps: 100}\n"


@pytest.fixture
def run_file(write: Write) -> Path:
    write("policies/toy.yaml", POLICY)
    return write("runs/demo.yaml", RUN)


def fails(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, Run, overrides)
    return str(error.value)


def test_reference_is_read_relative_to_the_file_that_names_it(run_file: Path) -> None:
    run = load(run_file, Run)
    assert run.policy.build() == ("policy", 8)
    assert run.budget == Budget(steps=100)


def test_yaml_path_stays_text_where_no_mapping_is_expected(write: Write, run_file: Path) -> None:
    path = write("runs/other.yaml", RUN + "notes: absent/file.yaml\n")
    assert load(path, Run).notes == Path("absent/file.yaml")


def test_loaded_config_is_frozen(run_file: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(run_file, Run).name = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_saved_config_loads_again_identically_without_the_files_it_came_from(
    write: Write, run_file: Path, tmp_path: Path
) -> None:
    extra = "extra: {type: 'toy_package.component:WrapConfig', inner: ../policies/toy.yaml}\n"
    run = load(write("runs/full.yaml", RUN + extra), Run, ["policy.rate=3e-7", "name=1e5x"])
    save(run, tmp_path / "saved.yaml")
    (tmp_path / "policies/toy.yaml").unlink()
    again = load(tmp_path / "saved.yaml", Run)
    assert again == run
    assert again.model_dump(mode="json") == run.model_dump(mode="json")
    assert run.model_dump(mode="json")["extra"]["inner"] == {
        "type": "toy_package.component:PolicyConfig",
        "horizon": 8,
        "rate": 1e-3,
    }


@pytest.mark.parametrize("name", ["1e5", "yes", "null", "12", "- a: b", "ünï"])
def test_text_that_looks_like_something_else_survives_saving(
    name: str, run_file: Path, tmp_path: Path
) -> None:
    run = load(run_file, Run, [f"name='{name}'"])
    save(run, tmp_path / "saved.yaml")
    assert load(tmp_path / "saved.yaml", Run).name == name


def test_component_file_loads_by_itself(run_file: Path) -> None:
    policy = load(run_file.parent / "../policies/toy.yaml", Config)
    assert policy.model_dump() == {
        "type": "toy_package.component:PolicyConfig",
        "horizon": 8,
        "rate": 1e-3,
    }


def test_override_reaches_into_referenced_files_and_leaves_them_as_they_are(
    run_file: Path, tmp_path: Path
) -> None:
    assert load(run_file, Run, ["policy.horizon=3"]).policy.build() == ("policy", 3)
    assert (tmp_path / "policies/toy.yaml").read_text() == POLICY


def test_later_override_wins(run_file: Path) -> None:
    assert load(run_file, Run, ["budget.steps=1", "budget.steps=2"]).budget.steps == 2


def test_override_of_an_aliased_section_changes_one_place_only(
    write: Write, run_file: Path
) -> None:
    stages = "stages: [&one {steps: 5}, *one]\n"
    run = load(write("runs/alias.yaml", RUN + stages), Run, ["stages.1.steps=6"])
    assert [s.steps for s in run.stages] == [5, 6]


def test_override_creates_a_section_that_the_file_leaves_to_its_defaults(
    run_file: Path,
) -> None:
    run = load(run_file, Run, ["extra.type=toy_package.component:PolicyConfig", "extra.horizon=2"])
    assert run.extra is not None
    assert run.extra.build() == ("policy", 2)


def test_override_replaces_a_whole_component_by_a_file(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    write("long.yaml", POLICY.replace("8", "80"))
    monkeypatch.chdir(tmp_path)
    assert load(run_file, Run, ["policy=long.yaml"]).policy.build() == ("policy", 80)


def test_unknown_key_names_file_key_and_nearest(run_file: Path, write: Write) -> None:
    policy = write("policies/toy.yaml", POLICY + "horizn: 8\n")
    message = fails(run_file)
    assert message.startswith(f"{run_file.parent / '../policies/toy.yaml'}: policy.horizn: got 8")
    assert "unknown key; did you mean 'horizon'?" in message
    assert policy.exists()


def test_unknown_key_of_an_override_names_the_override(run_file: Path) -> None:
    message = fails(run_file, "policy.horizn=9")
    assert message == (
        "override 'policy.horizn=9': policy.horizn: got 9 (int): "
        "unknown key; did you mean 'horizon'?"
    )


def test_every_error_of_a_section_is_named_at_once(write: Write, run_file: Path) -> None:
    path = write("runs/bad.yaml", RUN.replace("steps: 100", "step: 100"))
    lines = fails(path).splitlines()
    assert lines == [
        f"{path}: budget.step: got 100 (int): unknown key; did you mean 'steps'?",
        f"{path}: budget.steps: missing, expected int",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("budget.steps=many", "budget.steps: got 'many' (str): expected int"),
        ("budget.steps='5'", "budget.steps: got '5' (str): expected int"),
        ("budget.steps=true", "budget.steps: got True (bool): expected int"),
        ("budget.steps=1.5", "budget.steps: got 1.5 (float): expected a valid integer"),
        ("budget.minutes=.inf", "budget.minutes: got inf (float): expected a finite number"),
        ("budget=7", "budget: got 7 (int): expected a valid dictionary"),
        ("name=[1]", "name: got [1] (list): expected a valid string"),
        ("layers=[64, yes]", "layers: got [64, True] (list): expected tuple[int, ...]"),
        ("stages=[{steps: 1}, {steps: a}]", "stages.1.steps: got 'a' (str): expected int"),
        ("policy=diffusion", "policy: got 'diffusion' (str): expected a mapping with `type"),
        ("extra.horizon=2", "extra.type: missing, expected `type: package.module:Class`"),
    ],
)
def test_wrong_type_names_key_got_and_expected(
    run_file: Path, override: str, expected: str
) -> None:
    assert expected in fails(run_file, override)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("toy_package.component:PolicyConfg", "did you mean 'PolicyConfig'?"),
        ("toy_package.component:LimitsConfig", "has no component config 'LimitsConfig'"),
        ("toy_package.componet:PolicyConfig", "did you mean 'component'?"),
        ("toy_pakage.component:PolicyConfig", "no module named 'toy_pakage'"),
        ("toy_package.needy:X", "needs 'a_package_that_is_not_there', which is not installed"),
        ("toy_package.component", "expected `type: package.module:Class`"),
        (".component:X", "expected `type: package.module:Class`"),
    ],
)
def test_wrong_type_path_names_module_class_and_remedy(
    run_file: Path, named: str, expected: str
) -> None:
    message = fails(run_file, f"policy.type='{named}'")
    assert f"policy.type: got '{named}' (str)" in message
    assert expected in message


def test_valid_classes_are_listed_when_none_is_near(run_file: Path) -> None:
    message = fails(run_file, "policy.type=toy_package.component:Zzz")
    assert "valid: PolicyConfig, WrapConfig" in message


def test_missing_file_names_path_referrer_and_nearest(write: Write, run_file: Path) -> None:
    path = write("runs/bad.yaml", RUN.replace("toy.yaml", "toi.yaml"))
    assert fails(path) == (
        f"{path.parent}/../policies/toi.yaml: no such file, referred to by {path}"
        "; did you mean 'toy.yaml'?"
    )


def test_missing_top_file_is_named(tmp_path: Path) -> None:
    assert fails(tmp_path / "none.yaml").startswith(f"{tmp_path / 'none.yaml'}: no such file")


def test_files_that_refer_to_each_other_in_a_circle_are_refused(write: Write) -> None:
    wrap = "type: toy_package.component:WrapConfig\ninner: {}.yaml\n"
    write("b.yaml", wrap.format("a"))
    with pytest.raises(ConfigError, match="in a circle"):
        load(write("a.yaml", wrap.format("b")), Config)


def test_duplicate_key_is_refused_with_its_line(write: Write) -> None:
    path = write("runs/twice.yaml", "name: a\nbudget:\n  steps: 1\n  steps: 2\n")
    assert fails(path) == f"{path}:4: key 'steps' appears twice; keep one of them"


def test_key_that_yaml_takes_for_a_boolean_is_refused(write: Write) -> None:
    assert "key True is not a word" in fails(write("bad.yaml", "on: 1\n"))


def test_code_bearing_yaml_is_refused(write: Write) -> None:
    path = write("bad.yaml", "name: !!python/object/apply:os.getcwd []\n")
    assert "could not determine a constructor" in fails(path)


@pytest.mark.parametrize("text", ["", "- 1\n", "word\n", "a: [1\n", "a: b: c\n"])
def test_file_that_is_no_mapping_is_refused_by_name(write: Write, text: str) -> None:
    path = write("bad.yaml", text)
    assert re.match(re.escape(str(path)), fails(path))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("budget", "expected `a.b.c=value`"),
        ("a..b=1", "expected `a.b.c=value`"),
        ("name.x=1", "lies inside 'demo'"),
        ("layers.9=1", "expected a valid tuple"),
        ("stages.0.steps=1", "expected a number below 0"),
        ("budget={a: 1", "expected ',' or '}'"),
    ],
)
def test_bad_override_is_quoted(
    write: Write, run_file: Path, override: str, expected: str
) -> None:
    path = write("runs/stages.yaml", RUN + "stages: []\n")
    message = fails(path, override)
    assert f"override {override!r}" in message
    assert expected in message


def test_exponents_are_numbers(run_file: Path) -> None:
    run = load(run_file, Run, ["budget.minutes=3e-4"])
    assert run.budget.minutes == 0.0003
