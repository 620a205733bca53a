"""What must not be mixed is refused by name, and a store has one writer."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import contents
import pytest
from oracle import look

from robot_rl.core.errors import ContractError, StorageError
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import ActionSpec, ImageSpec, VectorSpec
from robot_rl.data.store.episode_reader import EpisodeReader
from robot_rl.data.store.episode_store import EpisodeStore

SECOND_WRITER = (
    "import sys; from robot_rl.data.store.episode_store import EpisodeStore\n"
    "EpisodeStore(sys.argv[1])"
)
OBSERVATION = contents.SPEC.task.observation
ACTION = contents.SPEC.task.action


def robot(name: str) -> RecordingSpec:
    return dataclasses.replace(contents.SPEC, robot=name)


def task(**changes) -> RecordingSpec:
    return dataclasses.replace(
        contents.SPEC, task=dataclasses.replace(contents.SPEC.task, **changes)
    )


def action(**changes) -> RecordingSpec:
    return task(action=dataclasses.replace(ACTION, **changes))


def vectors(**changes: VectorSpec | None) -> RecordingSpec:
    """Vectors changed, added or (None) taken away; `state` is short for `observation.state`."""
    named = {f"observation.{key}": spec for key, spec in changes.items()}
    merged = {**OBSERVATION.vectors, **named}
    kept = {key: spec for key, spec in merged.items() if spec is not None}
    return task(observation=dataclasses.replace(OBSERVATION, vectors=kept))


def cameras(**changes: ImageSpec | None) -> RecordingSpec:
    named = {f"observation.images.{key}": spec for key, spec in changes.items()}
    merged = {**OBSERVATION.images, **named}
    kept = {key: spec for key, spec in merged.items() if spec is not None}
    return task(observation=dataclasses.replace(OBSERVATION, images=kept))


def vector(key: str, **changes) -> RecordingSpec:
    return vectors(
        **{key: dataclasses.replace(OBSERVATION.vectors[f"observation.{key}"], **changes)}
    )


MISMATCHES: list[tuple[RecordingSpec, str]] = [
    *((robot(name), "robot") for name in ("", "ur5", "FR3", "fr3 ", "fr3-2")),
    *((task(name=name), "task") for name in ("", "insert", "Plug", "plug2")),
    *(
        (action(period_s=period), "control period")
        for period in (0.05, 0.2, 1 / 15, 0.1000001, 0.099, 1.0, 100.0)
    ),
    *(
        (action(scale=scale), "action scale")
        for scale in (
            (0.01, 0.02, 0.031), (0.02, 0.02, 0.03), (0.02, 0.01, 0.03), (1.0, 2.0, 3.0),
            (10.0, 20.0, 30.0), (0.01, 0.01, 0.01),
        )
    ),
    *((action(kind=kind), "action kind") for kind in ("joint_delta", "opaque")),
    *(
        (action(names=names), "action names")
        for names in (("x", "z", "y"), ("y", "x", "z"), ("q0", "q1", "q2"), ("x", "y", "gripper"))
    ),
    (action(names=("x", "y"), scale=(0.01, 0.02)), "action names"),
    (
        task(action=ActionSpec(kind="tcp_delta", names=("x",), scale=(1.0,), period_s=0.1)),
        "action scale",
    ),
    *((vector("wrench", unit=unit), "observation.wrench.*unit") for unit in ("kN", "", "n")),
    *((vector("state", unit=unit), "observation.state.*unit") for unit in ("deg", "m")),
    *(
        (vector("wrench", frame=frame), "observation.wrench.*frame")
        for frame in ("base", "", "flange", "TCP")
    ),
    *(
        (vector("wrench", names=names), "observation.wrench.*names")
        for names in (("fz",), ("fx", "fy"), ("FX",))
    ),
    (vector("state", names=("instant", "episode")), "observation.state.*names"),
    (vectors(wrench=None), "observation.wrench.*only"),
    (vectors(velocity=VectorSpec(names=("v",), unit="rad/s")), "observation.velocity.*only"),
    (vectors(state=None, wrench=None), "observation.state.*only"),
    (
        task(
            observation=dataclasses.replace(
                OBSERVATION, vectors=dict(reversed(OBSERVATION.vectors.items()))
            )
        ),
        "order of vectors",
    ),
    *(
        (cameras(wrist=ImageSpec(height=h, width=w)), "observation.images.wrist.*" + what)
        for h, w, what in ((16, 32, "width"), (32, 16, "height"), (480, 640, "height"))
    ),
    (cameras(wrist=None), "observation.images.wrist.*only"),
    (cameras(front=ImageSpec(height=16, width=16)), "observation.images.front.*only"),
    (
        cameras(wrist=None, front=ImageSpec(height=16, width=16)),
        "observation.images.front.*only",
    ),
]  # fmt: skip


@pytest.fixture
def path(folder):
    with EpisodeStore(folder / "store", contents.SPEC) as store:
        store.append(contents.episode(0))
    return folder / "store"


def test_there_are_fifty_ways_to_be_different(report):
    assert len(MISMATCHES) >= 50
    assert len({repr(spec) for spec, _ in MISMATCHES}) == len(MISMATCHES)
    report("store opened under another spec", cases=len(MISMATCHES), let_through=0)


@pytest.mark.parametrize(("spec", "named"), MISMATCHES, ids=range(len(MISMATCHES)))
def test_another_spec_is_refused_by_the_name_of_what_differs(path, spec, named):
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"}

    with pytest.raises(ContractError, match=f"(?s){named}"):
        EpisodeStore(path, spec)

    assert before == {
        p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"
    }
    assert len(look(EpisodeReader(path)).episodes) == 1


def test_a_second_writer_is_refused_until_the_first_has_gone(path):
    with EpisodeStore(path) as store:
        with pytest.raises(StorageError, match=str(os.getpid())):
            EpisodeStore(path)
        second = subprocess.run(
            [sys.executable, "-c", SECOND_WRITER, path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode != 0
        assert f"process {os.getpid()}" in second.stderr
        store.append(contents.episode(1))
        assert len(EpisodeReader(path)) == 2

    with EpisodeStore(path) as store:
        assert len(store) == 2
