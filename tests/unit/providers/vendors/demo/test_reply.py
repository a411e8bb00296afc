from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.providers.vendors.demo.reply import (
    error_reply,
    event,
    event_reply,
    flag,
    json_reply,
    new_id,
    read_object,
    text_field,
    whole_number,
    whole_reply,
)


def test_a_json_reply_says_its_type_and_length() -> None:
    reply = json_reply({"a": 1}, delay=0.5)
    assert reply.status == 200
    assert reply.headers == [(b"content-type", b"application/json"), (b"content-length", b"7")]
    assert reply.pieces == [(0.5, b'{"a":1}')]
    assert whole_reply(b"x", b"text/plain").pieces == [(0.0, b"x")]


def test_a_stream_has_no_length() -> None:
    reply = event_reply([(0.0, event({"a": 1})), (0.1, event({"b": 2}, "named"))])
    assert b"content-length" not in dict(reply.headers)
    assert dict(reply.headers)[b"content-type"].startswith(b"text/event-stream")
    assert [piece for _, piece in reply.pieces] == [
        b'data: {"a":1}\n\n',
        b'event: named\ndata: {"b":2}\n\n',
    ]


def test_errors_have_openais_four_members() -> None:
    reply = error_reply(ModelNotFound("no", param="model"))
    assert reply.status == 404
    assert json.loads(reply.pieces[0][1]) == {
        "error": {
            "message": "no",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_ids_differ_by_body_and_time_only() -> None:
    assert new_id("x-", b"a", 1.0) == new_id("x-", b"a", 1.0)
    assert len({new_id("x-", b"a", 1.0), new_id("x-", b"b", 1.0), new_id("x-", b"a", 2.0)}) == 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"null", b"[" * 5000, b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_object(body)


@pytest.mark.parametrize("value", [None, "", 7, []])
def test_a_required_text_must_be_one(value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        text_field({"prompt": value}, "prompt")
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("value", ["1", 0, 11, True, 1.5])
def test_a_number_out_of_bounds_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="from 1 to 10"):
        whole_number({"n": value}, "n", default=1, low=1, high=10)


def test_null_is_the_default() -> None:
    assert whole_number({"n": None}, "n", default=3, low=1, high=10) == 3
    assert flag({"stream": None}, "stream") is False
    assert flag({"stream": True}, "stream") is True
    with pytest.raises(InvalidRequest):
        flag({"stream": "yes"}, "stream")
