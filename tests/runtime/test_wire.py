import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ContractError
from robot_rl.core.types import NO_LATENT, GateReason, Observation, Source, Transition
from robot_rl.runtime.link import Published
from robot_rl.runtime.wire import (
    SCHEMA,
    Ask,
    Reply,
    Step,
    decode_message,
    decode_published,
    decode_state,
    decode_transition,
    encode_message,
    encode_published,
    encode_state,
    encode_transition,
)
from robot_rl.runtime.wire_array import Array, decode_image, decode_tensors, decode_vector

STATE, CAMERA = "observation.state", "observation.images.wrist"


def build_observation(instant: int) -> Observation:
    return Observation(
        stamp_ns=1_000 + instant,
        vectors={STATE: np.array([instant, math.nan], np.float32)},
        images={CAMERA: np.full((2, 3, 3), instant, np.uint8)},
        ages_s={"arm": 0.25},
        instruction="plug it in",
    )


def build_transition(**changes: Any) -> Transition:
    fields: dict[str, Any] = {
        "observation": build_observation(3),
        "next_observation": build_observation(4),
        "action": np.array([0.1, -1.0], np.float32),
        "base_action": np.array([0.2, 0.0], np.float32),
        "next_base_action": np.array([0.3, 0.0], np.float32),
        "proposed_action": np.array([0.4, 0.0], np.float32),
        "reward": 0.1,
        "terminated": False,
        "truncated": True,
        "source": Source.HUMAN,
        "intervention_start": True,
        "gate_reason": GateReason.FORCE,
        "inference_s": 0.004,
        "lateness_s": 0.0005,
        "episode_id": "online-7",
        "step": 3,
        "policy_version": 9,
        "latent": np.array([0.5, -2.0, 0.0], np.float32),
    }
    return Transition(**{**fields, **changes})


def build_published() -> Published:
    weights = {"mlp.0.weight": torch.tensor([[1.0, math.pi]]), "steps": torch.tensor(3)}
    return Published(weights=weights, version=2, updates=8, metrics={"critic_loss": 0.5})


def build_state() -> dict[str, Any]:
    return {
        "learner": {
            "w": torch.tensor([0.1, math.nan]),
            "rng": torch.arange(5, dtype=torch.uint8),
            "none": torch.empty(0, 3),
        },
        "sampler": {"rng": {"state": {"inc": 2**127 + 1}, "bit_generator": "PCG64"}},
        "updates": 12,
    }


def assert_same(a: Any, b: Any) -> None:
    """Equal bit by bit, types and dtypes too."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, torch.Tensor):
        assert_same(a.numpy(), b.numpy())
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert_same(value, b[key])
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    else:
        assert a == b


def test_a_step_arrives_bit_by_bit():
    transition = build_transition()
    assert_same(decode_transition(encode_transition(transition)), transition)


def test_a_step_that_nothing_steered_arrives_with_an_empty_latent():
    transition = build_transition(latent=NO_LATENT)
    assert_same(decode_transition(encode_transition(transition)), transition)


def test_a_step_of_the_schema_before_latents_is_refused_by_its_version():
    parts = msgspec.msgpack.decode(encode_transition(build_transition())[len(SCHEMA) :])
    with pytest.raises(ContractError, match="must be of the same version"):
        decode_transition(b"rrl\x01" + msgspec.msgpack.encode(parts[:-1]))


def test_news_and_a_state_arrive_bit_by_bit():
    assert_same(decode_published(encode_published(build_published())), build_published())
    assert_same(decode_state(encode_state(build_state())), build_state())
    nothing = Published(weights=None, version=0, updates=0, metrics={})
    assert_same(decode_published(encode_published(nothing)), nothing)


def test_weights_that_share_memory_arrive_apart():
    tied = torch.zeros(2)
    published = dataclasses.replace(build_published(), weights={"a": tied, "b": tied})
    weights = decode_published(encode_published(published)).weights
    assert weights is not None
    weights["a"][0] = 1.0
    assert weights["b"][0] == 0.0


@pytest.mark.parametrize(
    "message",
    [Step(number=1, body=b"x"), Ask(number=2, about="state"), Reply(answers=0, body=b"")],
)
def test_an_envelope_arrives(message: Step | Ask | Reply):
    assert decode_message(encode_message(message)) == message


def test_a_following_step_shares_the_observation_and_does_not_send_it_again():
    first = build_transition()
    second = build_transition(observation=first.next_observation)
    whole, rest = encode_transition(second), encode_transition(second, first.next_observation)
    arrived = decode_transition(encode_transition(first))
    following = decode_transition(rest, arrived.next_observation)
    assert following.observation is arrived.next_observation
    assert_same(following, second)
    assert len(rest) < len(whole) - 18


def test_a_step_that_builds_on_a_missing_one_is_refused():
    transition = build_transition()
    data = encode_transition(transition, transition.observation)
    with pytest.raises(ContractError, match="missing"):
        decode_transition(data)


def test_an_equal_but_other_observation_is_sent_again():
    data = encode_transition(build_transition(), build_observation(3))
    assert_same(decode_transition(data), build_transition())


def test_decoded_arrays_own_their_memory():
    transition = decode_transition(encode_transition(build_transition()))
    transition.action[0] = 0.5
    transition.next_observation.images[CAMERA][0, 0, 0] = 9


@pytest.mark.parametrize("dtype", [np.float64, np.int64, object])
def test_an_array_of_another_dtype_is_not_sent(dtype: type):
    with pytest.raises(ContractError, match="float32 or uint8"):
        encode_transition(build_transition(action=np.zeros(2, dtype)))


def test_a_tensor_of_another_dtype_neither_leaves_nor_arrives():
    half = {"w": torch.zeros(2, dtype=torch.bfloat16)}
    with pytest.raises(ContractError, match="bfloat16"):
        encode_state(half)
    with pytest.raises(ContractError, match="BF16"):
        decode_tensors(safetensors.torch.save(half))


def test_a_truth_value_that_is_none_is_refused():
    data = bytearray(safetensors.torch.save({"b": torch.tensor([True])}))
    data[-1] = 2
    with pytest.raises(ContractError, match="truth"):
        decode_tensors(bytes(data))


@pytest.mark.parametrize(
    "array",
    [
        Array(dtype="uint8", shape=(4,), data=bytes(4)),
        Array(dtype="float32", shape=(1, 1), data=bytes(4)),
        Array(dtype="float32", shape=(2,), data=bytes(4)),
        Array(dtype="float32", shape=(2**62,), data=bytes(4)),
        Array(dtype="float32", shape=(2**40, 0, 2**40), data=b""),
    ],
)
def test_an_array_that_lies_about_itself_is_refused(array: Array):
    for decode in (decode_vector, decode_image):
        with pytest.raises(ContractError, match="array"):
            decode("array", array)


def test_an_object_dtype_is_refused():
    # The published way to crash decoders of arrays: "O" makes pointers of the sender's bytes.
    good = encode_transition(build_transition())
    bad = good.replace(b"\xa7float32", b"\xa7|Ofloat", 1)
    assert bad != good
    with pytest.raises(ContractError, match="Ofloat"):
        decode_transition(bad)


@pytest.mark.parametrize("value", ["source", "reward", "step"])
def test_a_value_of_another_type_is_refused(value: str):
    wrong = {"source": 77, "reward": "much", "step": -1}[value]
    names = [field.name for field in dataclasses.fields(Transition)]
    parts = msgspec.msgpack.decode(encode_transition(build_transition())[len(SCHEMA) :])
    parts[names.index(value)] = wrong
    with pytest.raises(ContractError):
        decode_transition(SCHEMA + msgspec.msgpack.encode(parts))


DECODERS: list[tuple[Callable[[bytes], Any], bytes]] = [
    (decode_transition, encode_transition(build_transition())),
    (decode_published, encode_published(build_published())),
    (decode_state, encode_state(build_state())),
    (decode_message, encode_message(Step(number=1, body=b"xyz"))),
]


@pytest.mark.parametrize(("decode", "good"), DECODERS)
def test_another_version_and_cut_or_longer_bytes_are_refused(
    decode: Callable[[bytes], Any], good: bytes
):
    other = SCHEMA[:-1] + bytes([SCHEMA[-1] + 1])
    for bad in (other + good[len(SCHEMA) :], good[:-1], good + b"\xc0", b""):
        with pytest.raises(ContractError):
            decode(bad)


def assert_sound(decoded: Any) -> None:
    """Whatever came through has the dtypes and dimensions that are promised."""
    if isinstance(decoded, Transition):
        for seen in (decoded.observation, decoded.next_observation):
            assert all(v.dtype == np.float32 and v.ndim == 1 for v in seen.vectors.values())
            assert all(i.dtype == np.uint8 and i.ndim == 3 for i in seen.images.values())
        actions = ("action", "base_action", "next_base_action", "proposed_action")
        for name in (*actions, "latent"):
            action = getattr(decoded, name)
            assert action.dtype == np.float32
            assert action.ndim == 1
        assert isinstance(decoded.source, Source)
        assert isinstance(decoded.gate_reason, GateReason)
    elif isinstance(decoded, Published) and decoded.weights is not None:
        allowed = {torch.float32, torch.float64, torch.int32, torch.int64, torch.uint8, torch.bool}
        assert {tensor.dtype for tensor in decoded.weights.values()} <= allowed
        assert all(
            torch.isfinite(tensor).shape == tensor.shape for tensor in decoded.weights.values()
        )


def decode_or_refuse(decode: Callable[[bytes], Any], data: bytes) -> None:
    with contextlib.suppress(ContractError):
        assert_sound(decode(data))


@pytest.mark.parametrize(("decode", "_good"), DECODERS)
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
@example(data=b"\x91" * 100_000)
def test_arbitrary_bytes_are_refused_or_sound(
    decode: Callable[[bytes], Any], _good: bytes, data: bytes
):
    decode_or_refuse(decode, data)
    decode_or_refuse(decode, SCHEMA + data)


@pytest.mark.parametrize(("decode", "good"), DECODERS)
@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
def test_changed_bytes_are_refused_or_sound(
    decode: Callable[[bytes], Any], good: bytes, changes: list[tuple[int, int]]
):
    data = bytearray(good)
    for position, byte in changes:
        data[position % len(data)] = byte
    decode_or_refuse(decode, bytes(data))


@pytest.mark.parametrize(
    "tree",
    [
        b"",
        b"[]",
        b"7",
        b'{"schema": 1}',
        b'{"schema": 2, "tree": {}}',
        b'{"schema": 1, "tree": 3}',
        b'{"schema": 1, "tree": {"tensor": "w", "float": "1"}}',
        b'{"schema": 1, "tree": {"tensor": ["w"]}}',
        b'{"schema": 1, "tree": {"dict": [[["a"], 1]]}}',
        b'{"schema": 1, "tree": {"dict": [1]}}',
        b'{"schema": 1, "tree": {"list": 5}}',
        b'{"schema": 1, "tree": ' + b"[" * 100_000,
        b'{"schema": 1, "tree": ' + b'{"list": [' * 2_000 + b"]}" * 2_000 + b"}",
    ],
)
def test_a_state_whose_tree_makes_no_sense_is_refused(tree: bytes):
    tensors = safetensors.torch.save({"w": torch.zeros(1)})
    with pytest.raises(ContractError):
        decode_state(SCHEMA + msgspec.msgpack.encode([tensors, tree]))
