from __future__ import annotations

import numpy as np
import pytest

from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.spec import ImageSpec, ObservationSpec, VectorSpec
from robot_rl.core.types import Observation
from robot_rl.sensing.synchroniser import Synchroniser

MS = 1_000_000
CAMERA = "observation.images.wrist"
SPEC = ObservationSpec(
    vectors={
        "observation.state": VectorSpec(names=("a", "b"), unit="rad"),
        "observation.wrench": VectorSpec(names=("f",), unit="N"),
    },
    images={CAMERA: ImageSpec(height=2, width=3)},
)


def build_samples(**changes):
    samples = {
        "arm": Observation(
            stamp_ns=98 * MS, vectors={"observation.state": np.array([1, 2], np.float32)}
        ),
        "ft": Observation(
            stamp_ns=99 * MS, vectors={"observation.wrench": np.array([3], np.float32)}
        ),
        "camera": Observation(
            stamp_ns=60 * MS,
            vectors={},
            images={CAMERA: np.full((2, 3, 3), 7, np.uint8)},
            ages_s={"exposure": 0.005},
        ),
    }
    return samples | changes


def test_streams_are_joined_in_the_order_of_the_spec():
    samples = dict(reversed(build_samples().items()))
    joined = Synchroniser(SPEC).align(samples, 100 * MS)
    assert list(joined.vectors) == list(SPEC.vectors)
    np.testing.assert_array_equal(SPEC.pack(joined.vectors), [1, 2, 3])
    assert joined.images[CAMERA].shape == (2, 3, 3)
    assert joined.stamp_ns == 100 * MS


def test_age_is_known_for_every_stream_and_its_parts():
    joined = Synchroniser(SPEC).align(build_samples(), 100 * MS)
    assert joined.ages_s == pytest.approx(
        {"arm": 0.002, "ft": 0.001, "camera": 0.04, "camera/exposure": 0.045}
    )


def test_silent_stream_is_named():
    with pytest.raises(HardwareError, match="'ft' has no sample"):
        Synchroniser(SPEC).align(build_samples(ft=None), 100 * MS)


def test_key_that_nobody_delivers_is_named():
    samples = build_samples()
    del samples["camera"]
    with pytest.raises(HardwareError, match=rf"no stream delivers {CAMERA}; streams: arm, ft"):
        Synchroniser(SPEC).align(samples, 100 * MS)


def test_key_from_two_streams_is_refused():
    samples = build_samples()
    samples["arm_again"] = samples["arm"]
    with pytest.raises(ContractError, match=r"observation.state comes from two streams"):
        Synchroniser(SPEC).align(samples, 100 * MS)


@pytest.mark.parametrize("wrench", [np.zeros(2, np.float32), np.zeros(1, np.float64)])
def test_sample_of_wrong_shape_or_dtype_is_refused(wrench):
    ft = Observation(stamp_ns=0, vectors={"observation.wrench": wrench})
    with pytest.raises(ContractError, match=r"observation.wrench: got"):
        Synchroniser(SPEC).align(build_samples(ft=ft), 100 * MS)


def test_key_outside_the_spec_is_refused():
    extra = Observation(stamp_ns=0, vectors={"observation.wrenhc": np.zeros(1, np.float32)})
    with pytest.raises(ContractError, match=r"did you mean 'observation\.wrench'"):
        Synchroniser(SPEC).align(build_samples(extra=extra), 100 * MS)


def test_instruction_comes_from_the_task_or_else_from_a_sample():
    told = Observation(stamp_ns=0, vectors={}, instruction="from the sample")
    samples = build_samples(told=told)
    assert Synchroniser(SPEC).align(samples, 0).instruction == "from the sample"
    assert Synchroniser(SPEC, "from the task").align(samples, 0).instruction == "from the task"
