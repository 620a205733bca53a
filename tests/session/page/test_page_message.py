"""What a browser may say: whatever comes, it is a message or a `ContractError`."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_rig import view

from robot_rl.core.errors import ContractError
from robot_rl.session.mode import Verb
from robot_rl.session.page.line import decode_down, decode_up
from robot_rl.session.page.message import (
    Asked,
    Hello,
    Hidden,
    Moved,
    Painted,
    Script,
    decode,
    decode_script,
    view_text,
)

KINDS = (Hello, Asked, Moved, Hidden, Painted)
GOOD = [
    {"type": "hello", "token": "t", "protocol": 1, "name": "tablet"},
    {
        "type": "command",
        "number": 3,
        "view": 71,
        "verb": "relabel",
        "arguments": {"outcome": "success"},
    },
    {"type": "motion", "number": 4, "view": 71, "active": True, "action": [0, -1, 1.0, 0.25]},
    {"type": "hidden"},
    {"type": "painted", "camera": 2147483648, "number": 7},
]

leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
value = st.recursive(
    leaf, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=8), v, max_size=4)
)


@pytest.mark.parametrize("message", GOOD, ids=lambda m: m["type"])
def test_what_may_be_said(message):
    assert isinstance(decode(json.dumps(message)), KINDS)


def test_a_stop_needs_to_say_little():
    assert decode('{"type":"command","number":1,"verb":"stop"}') == Asked(number=1, verb=Verb.STOP)
    assert decode_script(b'{"verb":"stop"}') == Script(verb=Verb.STOP)


def test_a_command_is_read_as_it_was_meant():
    assert decode(json.dumps(GOOD[1])) == Asked(
        number=3, view=71, verb=Verb.RELABEL, arguments={"outcome": "success"}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type":"command"}',
        '{"type":"command","number":1,"verb":"fly"}',
        '{"type":"command","number":-1,"verb":"stop"}',
        '{"type":"command","number":1,"view":-1,"verb":"start"}',
        '{"type":"command","number":1,"view":1.5,"verb":"start"}',
        '{"type":"command","number":1,"verb":"note","arguments":{"text":{"deep":1}}}',
        '{"type":"command","number":1,"verb":"note","arguments":{"text":"' + "x" * 5000 + '"}}',
        '{"type":"motion","number":1,"active":true,"action":[1.01]}',
        '{"type":"motion","number":1,"active":true,"action":[NaN]}',
        '{"type":"motion","number":1,"active":true,"action":[1e999]}',
        '{"type":"motion","number":1,"active":1,"action":[0]}',
        '{"type":"motion","number":1,"active":true,"action":' + str([0] * 65) + "}",
        '{"type":"hello","token":"t","protocol":1,"name":"../x"}',
        '{"type":"hello","token":"t","protocol":1,"name":"a\\nb"}',
        '{"type":"painted","camera":1,"number":1e400}',
        '{"type":"gone","client":"page-1"}',
        '{"type":"motion","a":' + "[" * 20000 + "]" * 20000 + "}",
        "x" * 70_000,
    ],
    ids=lambda text: text[:60],
)
def test_what_makes_no_sense_is_refused_with_words(text):
    with pytest.raises(ContractError) as error:
        decode(text)
    assert len(str(error.value)) < 400


@settings(max_examples=120, deadline=None)
@given(st.text(max_size=200) | value.map(json.dumps))
def test_any_text_is_a_message_or_refused(text):
    with contextlib.suppress(ContractError):
        assert isinstance(decode(text), KINDS)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(GOOD),
    st.dictionaries(
        st.sampled_from(
            [
                "type",
                "number",
                "view",
                "verb",
                "arguments",
                "active",
                "action",
                "camera",
                "token",
                "protocol",
            ]
        ),
        value,
        max_size=3,
    ),
)
def test_a_message_with_other_fields_is_a_message_or_refused(message, other):
    try:
        heard = decode(json.dumps(message | other))
    except ContractError:
        return
    if isinstance(heard, Moved):
        assert all(-1 <= v <= 1 for v in heard.action)


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    for read in (decode_script, decode_down, decode_up):
        with contextlib.suppress(ContractError):
            read(data)


def test_a_number_that_there_is_not_is_told_as_null():
    told = json.loads(view_text(view(5)))
    assert told["type"] == "view"
    assert told["number"] == 5
    assert told["force"] is None
