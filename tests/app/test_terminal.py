from __future__ import annotations

import io

import pytest
from rich.console import Console

from robot_rl.app.terminal import (
    Column,
    Terminal,
    count_text,
    number_text,
    size_text,
)
from robot_rl.core.errors import ConfigError


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (7_200_000_000_000, "7200 GB"),
    ],
)
def test_sizes_read_in_powers_of_ten(size, text):
    assert size_text(size) == text


def test_counts_agree_with_their_noun():
    assert count_text(1, "episode") == "1 episode"
    assert count_text(0, "episode") == "0 episodes"
    assert count_text(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (0.123456, "0.1235"), (12345.6, "1.235e+04")]
)
def test_numbers_have_four_digits(value, text):
    assert number_text(value) == text


def written(width=40):
    out = io.StringIO()
    return out, Terminal(out=Console(file=out, width=width), err=Console(file=out, width=width))


def test_nothing_of_a_cell_is_cut_in_a_narrow_terminal():
    out, terminal = written(width=20)
    terminal.table([Column("episode"), Column("n", right=True)], [["a" * 30, "1"]])
    assert out.getvalue().count("a") == 30


def test_words_are_printed_as_they_are():
    out, terminal = written()
    terminal.say("[red]x[/red] /a/path/that/is/longer/than/the/terminal/is/wide")
    assert out.getvalue() == "[red]x[/red] /a/path/that/is/longer/than/the/terminal/is/wide\n"


def test_nobody_at_the_terminal_means_no():
    _, terminal = written()
    with pytest.raises(ConfigError, match="'remove it\\?': nobody is at the terminal to answer; "):
        terminal.confirm("remove it?")
