from __future__ import annotations

import itertools

import pytest

from robot_rl.core.types import GateState, Source
from robot_rl.session.mode import LEGAL, Mode, Stage, Standing, Verb

ALL = list(itertools.product(Stage, GateState, Source))


def test_every_mode_has_its_verbs_and_a_stop_is_always_legal():
    assert set(LEGAL) == set(Mode)
    assert all(Verb.STOP in legal for legal in LEGAL.values())


def test_every_verb_is_legal_somewhere():
    assert set().union(*LEGAL.values()) == set(Verb)


@pytest.mark.parametrize(("stage", "gate", "source"), ALL)
def test_a_latched_gate_hides_everything_and_nothing_else_is_a_stop(stage, gate, source):
    mode = Standing(stage=stage, gate=gate, source=source).mode
    assert (mode == Mode.STOP) == (gate >= GateState.STOP)


@pytest.mark.parametrize(("stage", "gate", "source"), ALL)
def test_somebody_drives_only_while_an_episode_runs(stage, gate, source):
    mode = Standing(stage=stage, gate=gate, source=source).mode
    if mode in (Mode.AUTO, Mode.HUMAN, Mode.HOLD):
        assert stage == Stage.RUNNING
    elif mode != Mode.STOP:
        assert mode.value == stage.value


@pytest.mark.parametrize(
    ("gate", "source", "mode"),
    [
        (GateState.RUN, Source.POLICY, Mode.AUTO),
        (GateState.HOLD, Source.POLICY, Mode.HOLD),
        (GateState.RUN, Source.HOLD, Mode.HOLD),
        (GateState.RUN, Source.HUMAN, Mode.HUMAN),
        (GateState.HOLD, Source.DEMO, Mode.HUMAN),
    ],
)
def test_while_an_episode_runs_the_source_and_the_gate_decide(gate, source, mode):
    assert Standing(stage=Stage.RUNNING, gate=gate, source=source).mode == mode


def test_a_stop_is_ended_by_clearing_alone():
    assert [m for m in Mode if Verb.CLEAR in LEGAL[m]] == [Mode.STOP]
    assert not LEGAL[Mode.STOP] & {Verb.RESUME, Verb.GIVE_BACK, Verb.START, Verb.NEXT}
