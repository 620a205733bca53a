"""The entry point: which command gets the words, and how fast it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robot_rl.app.main import COMMANDS, RUN, main

START = "import sys; from robot_rl.app.main import main; status = main(sys.argv[1:]); "


def python(code, *words):
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(words, capsys):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize(("word", "meant"), [("dat", "data"), ("improv", "improve")])
def test_an_unknown_command_is_answered_with_the_nearest(word, meant, capsys):
    assert main([word]) == 1
    assert f"unknown command '{word}'; did you mean '{meant}'?" in capsys.readouterr().err


def test_looking_at_data_does_not_wait_for_torch():
    code = START + "print(sorted({'torch', 'diffusers', 'zarr', 'lerobot'} & set(sys.modules)))"
    ended = python(code, "data", "ls", "/nowhere")
    assert ended.stdout.strip() == "[]"
    assert "no such folder" in ended.stderr


def test_every_phase_of_a_run_is_a_command():
    from robot_rl.app.cli import PHASES

    assert {name for name, (path, _) in COMMANDS.items() if path == RUN} == {"run", *PHASES}


def test_the_words_of_a_run_reach_the_run(tmp_path, capsys):
    assert main(["run", str(tmp_path / "absent.yaml")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_options_may_stand_before_the_verb(tmp_path, capsys):
    assert main(["--resume", str(tmp_path), "run"]) == 1
    assert "is not a run's folder" in capsys.readouterr().err
