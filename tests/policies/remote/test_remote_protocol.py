from dataclasses import replace

import numpy as np
import pytest
from wire_toys import WRIST, make_observation, make_spec

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.core.errors import ContractError
from robot_rl.core.spec import JOINT_POSITION
from robot_rl.policies.base import PlanRequest
from robot_rl.policies.remote.codec import decode, encode
from robot_rl.policies.remote.protocol import (
    SCHEMA,
    answer_of,
    metadata_of,
    read_answer,
    read_metadata,
    read_request,
    request_of,
)

PLAN = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def read(message, spec=None):
    return read_request(decode(encode(message)), {"toy": spec or make_spec()}, "toy")


def foreign(**changes):
    seen = make_observation()
    message = {
        JOINT_POSITION: seen.vectors[JOINT_POSITION],
        WRIST: seen.images[WRIST],
        "prompt": "push",
    }
    return {**message, **changes}


def answered(spec, asked, plan=PLAN):
    message = answer_of(plan, spec, asked, version=7, infer_ms=1.5, prev_total_ms=2.5)
    return decode(encode(message))


def test_metadata_tell_every_spec_exactly():
    specs = {
        "a": make_spec(noise=(4, 3), guided=True, history=2),
        "b": make_spec(name="other", horizon=9, execute=9),
    }
    served = read_metadata(decode(encode(metadata_of(specs, {"a": 3, "b": 0}, "b"))))

    assert served.policies == specs
    assert [*served.policies["a"].observation.vectors] == [JOINT_POSITION]
    assert served.versions == {"a": 3, "b": 0}
    assert served.default == "b"


def edited(path, value):
    metadata = decode(encode(metadata_of({"toy": make_spec()}, {"toy": 0}, "toy")))
    place = metadata
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return metadata


TOY = ("robot_rl", "policies", "toy")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("robot_rl",), None, "openpi"),
        (("robot_rl",), 3, "object"),
        (("robot_rl", "schema"), 99, "got 99, expected 1"),
        (("robot_rl", "schema"), "1", "int"),
        (("robot_rl", "default"), "tox", "did you mean 'toy'"),
        (("robot_rl", "default"), None, "default"),
        ((*TOY, "version"), None, "version"),
        ((*TOY, "version"), -1, "0"),
        ((*TOY, "horizon"), "4", "horizon"),
        ((*TOY, "horizon"), 1 << 40, "horizon"),
        ((*TOY, "execute"), 5, "execute"),
        ((*TOY, "noise"), [1 << 40, 1 << 40], "noise"),
        ((*TOY, "noise"), [-1, 2], "noise"),
        ((*TOY, "noise"), [1], "noise"),
        ((*TOY, "action", "scale"), [0.1, float("nan"), 1.0], "finite"),
        ((*TOY, "action", "scale"), [0.1], "elements"),
        ((*TOY, "action", "kind"), "dance", "kind"),
        ((*TOY, "observation", "vectors", JOINT_POSITION), {}, "names"),
        ((*TOY, "observation"), None, "observation"),
    ],
)
def test_wrong_metadata_are_refused(path, value, message):
    with pytest.raises(ContractError, match=message):
        read_metadata(edited(path, value))


@pytest.mark.parametrize("history", [1, 3])
def test_a_request_comes_as_it_was_sent(history):
    spec = make_spec(history=history, noise=(4, 3), guided=True)
    noise = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    context = PlanContext(ahead=PLAN[:3], frozen=1)
    window = tuple(make_observation(i) for i in range(history))
    request = PlanRequest(window=window, noise=noise, context=context, max_guidance_weight=2.5)

    asked = read(request_of("toy", request, spec, 0.25), spec)

    assert (asked.policy, asked.own, asked.deadline_s) == ("toy", True, 0.25)
    got = asked.request
    assert got.context is not None
    np.testing.assert_array_equal(got.context.ahead, PLAN[:3])
    assert (got.context.frozen, got.max_guidance_weight) == (1, 2.5)
    np.testing.assert_array_equal(got.noise, noise)
    assert len(got.window) == history
    for was, seen in zip(window, got.window, strict=True):
        np.testing.assert_array_equal(seen.vectors[JOINT_POSITION], was.vectors[JOINT_POSITION])
        np.testing.assert_array_equal(seen.images[WRIST], was.images[WRIST])
        assert seen.instruction == "push"
    assert [o.stamp_ns for o in got.window] == [i * 50_000_000 for i in range(history)]


def test_openpis_users_write_slashes_and_doubles_and_more_than_is_looked_at():
    message = {
        "observation/state": np.array([1.0, 2.0]),
        "observation/images/wrist": make_observation().images[WRIST],
        "observation/other": np.zeros(3),
        "prompt": "push",
    }
    asked = read(message)

    assert not asked.own
    assert asked.deadline_s is None
    seen = asked.request.window[0]
    assert seen.vectors[JOINT_POSITION].dtype == np.float32
    assert seen.vectors[JOINT_POSITION].tolist() == [1.0, 2.0]
    assert (seen.instruction, asked.request.noise, asked.request.context) == ("push", None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"robot_rl/schema": 2}, "got 2, expected 1"),
        ({"robot_rl/schema": "1"}, "schema"),
        ({"robot_rl/shema": 1}, "did you mean 'robot_rl/schema'"),
        ({"robot_rl/policy": "tox"}, "did you mean 'toy'"),
        ({"robot_rl/policy": 3}, "policy"),
        ({"robot_rl/deadline_ms": -1.0}, "deadline_ms"),
        ({"robot_rl/deadline_ms": float("nan")}, "deadline_ms"),
        ({"robot_rl/deadline_ms": "soon"}, "deadline_ms"),
        ({"robot_rl/noise": np.zeros((4, 3), np.float32)}, "takes none"),
        ({"robot_rl/frozen": 1}, "without robot_rl/ahead"),
        ({"robot_rl/ahead": PLAN, "robot_rl/frozen": 5}, "frozen"),
        ({"robot_rl/ahead": PLAN, "robot_rl/frozen": -1}, "frozen"),
        ({"robot_rl/ahead": np.zeros((5, 3), np.float32)}, "horizon"),
        ({"robot_rl/ahead": np.zeros((4, 2), np.float32)}, r"\[4, 2\].*\[n, 3\]"),
        ({"robot_rl/ahead": [[0.0] * 3]}, "list"),
        ({"robot_rl/max_guidance_weight": float("inf")}, "max_guidance_weight"),
        ({JOINT_POSITION: np.zeros(3, np.float32)}, r"float32\[3\], expected numbers\[2\]"),
        ({JOINT_POSITION: np.array([1.0, np.nan])}, "finite"),
        ({JOINT_POSITION: np.array([1.0, 1e300])}, "finite"),
        ({JOINT_POSITION: np.zeros(2, bool)}, "bool"),
        ({JOINT_POSITION: "zeros"}, "str"),
        ({WRIST: np.zeros((8, 6, 3), np.uint8)}, r"uint8\[8, 6, 3\], expected uint8\[6, 8, 3\]"),
        ({WRIST: np.zeros((1, 6, 8, 3), np.uint8)}, "expected uint8"),
        ({WRIST: np.zeros((6, 8, 3), np.float32)}, "float32"),
        ({WRIST: np.zeros((6, 8, 3), np.int8)}, "int8"),
        ({"observation/state": np.zeros(2)}, "twice"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "a" * 10_000}, "10000 characters"),
    ],
)
def test_a_wrong_request_is_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        read(foreign(**changes))


def test_a_missing_observation_is_named():
    message = foreign()
    message["observation.stat"] = message.pop(JOINT_POSITION)

    with pytest.raises(ContractError, match=r"missing 'observation.state'; did you mean"):
        read(message)


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ContractError, match="robot_rl/noise"):
        read(foreign(**{"robot_rl/noise": np.zeros((3, 4))}), make_spec(noise=(4, 3)))


def test_a_client_of_ours_is_told_the_plan_as_it_is():
    spec = make_spec()
    request = PlanRequest(window=(make_observation(),))
    asked = read(request_of("toy", request, spec, None), spec)

    plan, version, fingerprint, timing = read_answer(answered(spec, asked), spec)
    assert fingerprint == spec.fingerprint

    np.testing.assert_array_equal(plan, PLAN)
    assert plan.dtype == np.float32
    assert version == 7
    assert timing == {"infer_ms": 1.5, "prev_total_ms": 2.5}


def test_a_client_of_openpis_is_told_actions_in_si_units():
    spec = make_spec()
    message = answered(spec, read(foreign()))

    assert message.keys() == {"actions", "server_timing"}
    np.testing.assert_allclose(message["actions"], PLAN * np.float32([0.1, 0.2, 4.0]))
    assert message["actions"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"robot_rl/plan": None}, "NoneType"),
        ({"robot_rl/plan": np.zeros((4, 2), np.float32)}, r"expected numbers\[4, 3\]"),
        ({"robot_rl/plan": np.full((4, 3), np.nan)}, "finite"),
        ({"robot_rl/plan": np.full((4, 3), 1.01)}, "magnitude"),
        ({"robot_rl/version": "7"}, "version"),
        ({"robot_rl/fingerprint": 3}, "fingerprint"),
        ({"server_timing": {"infer_ms": "fast"}}, "server_timing"),
    ],
)
def test_a_wrong_answer_is_refused(changes, message):
    spec = make_spec()
    own = replace(read(foreign()), own=True)

    with pytest.raises(ContractError, match=message):
        read_answer({**answered(spec, own), **changes}, spec)


def test_the_schema_is_that_of_this_test():
    assert SCHEMA == 1
