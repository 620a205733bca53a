import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_rl.core.errors import ContractError
from robot_rl.policies.remote import codec
from robot_rl.policies.remote.codec import decode, encode, encode_parts


def numbers(dtype: np.dtype, shape: list[int], seed: int) -> np.ndarray:
    """Any bits, as far as the dtype has them."""
    size = int(np.prod(shape)) * dtype.itemsize
    data = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 256, size, np.uint8)
    return data.view(dtype).reshape(shape)


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
DTYPES = st.sampled_from(list(codec.DTYPES.values()))
SEEDS = st.integers(0, 99)
ARRAYS = st.builds(numbers, DTYPES, st.lists(st.sampled_from([0, 1, 3, 40]), max_size=3), SEEDS)
NUMPY_SCALARS = st.builds(lambda dtype, seed: numbers(dtype, [1], seed)[0], DTYPES, SEEDS)
LEAVES = SCALARS | st.floats(allow_nan=False) | st.binary(max_size=40) | ARRAYS | NUMPY_SCALARS
MESSAGES = st.dictionaries(
    st.text(max_size=10),
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=6,
    ),
    max_size=6,
)


THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and [*a] == [*b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return (
            type(a) is type(b)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    return type(a) is type(b) and (a == b or (a != a and b != b))


def is_deep(value: object, left: int = 8) -> bool:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return inner is not None and (left == 0 or any(is_deep(v, left - 1) for v in inner))


def array(dtype: object = "<f4", shape: object = (1,), data: object = b"\0\0\0\0") -> dict:
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


def packed(value: object) -> bytes:
    return codec._ENCODER.encode({"a": value})


@given(MESSAGES)
@THOROUGH
def test_a_message_comes_back_as_it_was(message):
    if is_deep(message):
        with pytest.raises(ContractError, match="nested"):
            decode(encode(message))
    else:
        assert same(decode(encode(message)), message)


@given(MESSAGES)
@THOROUGH
def test_openpi_reads_what_we_write(openpi, message):
    assert same(openpi.msgpack_numpy.unpackb(encode(message)), message)


@given(MESSAGES)
@THOROUGH
def test_we_read_what_openpi_writes(openpi, message):
    # Its writer takes numpy's float64 for a float, so what it reads itself is the measure.
    data = openpi.msgpack_numpy.packb(message)

    assert is_deep(message) or same(decode(data), openpi.msgpack_numpy.unpackb(data))


def test_large_arrays_are_sent_from_where_they_lie_and_come_as_views():
    image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    parts = encode_parts({"image": image, "state": np.float32([1, 2])})
    data = b"".join(parts)

    assert np.shares_memory(np.frombuffer(parts[1], np.uint8), image)
    got = decode(data)
    assert np.shares_memory(got["image"], np.frombuffer(data, np.uint8))
    assert not got["image"].flags.writeable
    assert got["state"].flags.aligned
    assert got["state"].flags.owndata


def test_an_array_that_is_not_contiguous_travels():
    image = np.arange(100 * 100, dtype=np.uint8).reshape(100, 100)[::2, ::-1]

    np.testing.assert_array_equal(decode(encode({"a": image}))["a"], image)


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.zeros(2, complex),
        np.array(["a"]),
        np.array([b"a"]),
        np.zeros(2, ">f4"),
        np.zeros(2, "M8[s]"),
        np.zeros(2, [("a", "f4")]),
        np.zeros((1,) * 9),
        np.complex64(1),
        object(),
        2**64,
        {1, 2, 3, object()},
    ],
)
def test_what_may_not_travel_is_not_sent(value):
    with pytest.raises(ContractError):
        encode({"a": value})


@pytest.mark.parametrize(
    "name", ["|O", "O", "|V4", "<c8", "<U1", "|S4", ">f4", "<M8[s]", "f4", "<f4,<f4", "", "<f16"]
)
def test_a_dtype_that_is_not_on_the_list_is_refused(name):
    with pytest.raises(ContractError, match=r"dtype|length"):
        decode(packed(array(dtype=name)))
    scalar = {b"__npgeneric__": True, b"data": 1.5, b"dtype": name}
    with pytest.raises(ContractError, match=r"dtype|length"):
        decode(packed(scalar))


@pytest.mark.parametrize(
    "shape",
    [
        [-1],
        [-1, -1],
        [2],
        [0],
        [2**62, 4],
        [2**63, 2],
        [2**40, 2**40, 0],
        [2**64 - 1],
        [1] * 9,
        [1.0],
        [True],
        ["1"],
        [[1]],
        None,
        1,
        {},
    ],
)
def test_a_shape_that_does_not_fit_its_bytes_is_refused(shape):
    with pytest.raises(ContractError):
        decode(packed(array(shape=shape)))


@pytest.mark.parametrize(
    "value",
    [
        array(data="text"),
        array(data=[0, 0, 0, 0]),
        array(data=None),
        array(dtype="|b1", shape=[4], data=b"\0\1\2\0"),
        {**array(), b"more": 1},
        {b"__ndarray__": True},
        {b"__ndarray__": True, b"data": b"", b"dtype": "<f4"},
        {b"a": 1},
        {b"a": 1, b"b": 2, b"c": 3},
        {1: 2},
        {b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"},
        {b"__npgeneric__": True, b"data": -1, b"dtype": "<u8"},
        {b"__npgeneric__": True, b"data": "1", b"dtype": "<f4"},
        {b"__npgeneric__": True, b"data": 1, b"dtype": "|b1"},
        {b"__npgeneric__": True, b"data": True, b"dtype": "<i4"},
        {b"__npgeneric__": True, b"data": 1.5, b"dtype": "<i4"},
    ],
)
def test_what_is_no_value_is_refused(value):
    with pytest.raises(ContractError):
        decode(packed(value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80\x80",
        b"\x90",
        b"\x01",
        b"\x81\xa1a",
        b"\x81\x01\x01",
        b"\x81\xa1a\xd6\xff\0\0\0\0",
        b"\x81\xa1a\xc7\x01\x01a",
        b"\x81\xa2\xff\xfe\x01",
        b"\x81\xa1a\xa2\xff\xfe",
        b"\x81" + b"\x91" * 100 + b"\xc0",
        b"\x81\xa1a" + b"\x91" * 9 + b"\xc0",
        b"\x81\xa1a" + b"\x91" * 1_000_000,
        b"\xdf" + struct.pack(">I", 2**32 - 1) + b"\xa1a\x01",
        b"\x81\xa1a\xdd" + struct.pack(">I", 2**32 - 1) + b"\x01",
        b"\x81\xa1a\xc6" + struct.pack(">I", 2**32 - 1) + b"\x01",
        b"\x81\xa1a\xdd" + struct.pack(">I", 1_000_000) + b"\x90" * 1_000_000,
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ContractError):
        decode(data)


def test_a_message_beyond_the_cap_is_refused_unread():
    with pytest.raises(ContractError, match="101 bytes, expected at most 100"):
        decode(bytes(101), max_bytes=100)


def test_entries_are_counted_over_the_whole_message():
    half = list(range(40_000))

    assert decode(encode({"a": half}))["a"] == half
    with pytest.raises(ContractError, match="entries"):
        decode(encode({"a": half, "b": half}))
