"""How the verbs are found, explained and refused."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from robot_rl.app.data.command import VERBS

START = "import sys; from robot_rl.app.main import main; status = main(sys.argv[1:]); "


@pytest.mark.parametrize("words", [[], ["--help"], ["help"]])
def test_help_names_every_verb(data, words):
    said = data(*words)
    assert said.status == 0
    assert all(f"  {verb} " in said.out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(data, verb, capsys):
    with pytest.raises(SystemExit) as ended:
        data(verb, "--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"robot-rl data {verb} " in said
    assert "Examples:" in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_verbs_class_is_where_the_table_says(verb):
    module, name = VERBS[verb][0].split(":")
    assert callable(getattr(importlib.import_module(module), name).run)


def test_an_unknown_verb_is_answered_with_the_nearest(data):
    said = data("lst")
    assert said.status == 1
    assert "unknown verb 'lst'; did you mean 'ls'?" in said.err


def test_an_unknown_option_is_a_usage_error(data, store, capsys):
    with pytest.raises(SystemExit) as ended:
        data("ls", store, "--delted")
    assert ended.value.code == 2
    assert "--delted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["ls"], ["stats"], ["delete", "x"], ["undo"], ["labels", "x"], ["show", "x"]]
)
def test_what_is_no_store_is_said_in_one_line(refused, tmp_path, words):
    verb, *rest = words
    assert f"{tmp_path / 'absent'}: no such folder" in refused(verb, tmp_path / "absent", *rest)
    assert f"{tmp_path} is no store: it has no manifest.jsonl" in refused(verb, tmp_path, *rest)


@pytest.mark.parametrize("words", [["stats"], ["delete", "x"], ["purge"], ["undo"]])
def test_a_runs_folder_is_answered_with_the_stores_in_it(refused, make_store, words, tmp_path):
    demos, online = make_store(name="demos"), make_store(name="online")
    verb, *rest = words
    assert f"name one of them: {demos}, {online}" in refused(verb, tmp_path, *rest)


@pytest.mark.parametrize("verb", ["delete", "labels", "show", "relabel"])
def test_an_unknown_episode_is_answered_with_the_nearest(refused, store, verb):
    more = ["--reward", "sparse"] if verb == "relabel" else []
    said = refused(verb, store, "online-3", *more)
    assert "no episode 'online-3'" in said
    assert "did you mean 'online-" in said


def test_no_verb_loads_torch():
    code = (
        "import importlib, sys\n"
        "from robot_rl.app.data.command import VERBS\n"
        "for path, _ in VERBS.values(): importlib.import_module(path.split(':')[0])\n"
        "print(sorted({'torch', 'lerobot', 'diffusers', 'mujoco'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.strip() == "[]", ended.stderr
