from __future__ import annotations

import json

import msgspec
import pytest
from queued import CHAT

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.base import Got
from pointsman.batches.protocol.providers.openai import Made, Told, asked, got
from pointsman.wire import operations as op
from pointsman.wire.usage import Usage


def test_a_line_goes_there_under_its_number_and_with_the_name_that_the_model_has_there() -> None:
    body = b'{ "model":"house", "messages":[] ,"x":1.50}'
    line = asked(7, LineRequest("mine", CHAT, op.CHAT, body), "up-1")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b'"x":1.50' in line
    assert json.loads(line) == {
        "custom_id": "7",
        "method": "POST",
        "url": CHAT,
        "body": {"model": "up-1", "messages": [], "x": 1.5},
    }


def test_what_comes_back_has_the_name_that_the_model_has_here() -> None:
    body = {"model": "up-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
    response = {"status_code": 200, "request_id": "r", "body": body}
    found = got(json.dumps({"id": "x", "custom_id": "7", "response": response, "error": None}).encode(), "house")
    assert found is not None
    assert (found.number, found.status, found.request_id) == (7, 200, "r")
    assert json.loads(found.body)["model"] == "house"
    assert (found.usage.input_tokens, found.usage.output_tokens) == (3, 4)


def test_a_line_that_failed_there_is_told_as_it_was_told() -> None:
    response = {"status_code": 400, "request_id": "r", "body": {"error": {"message": "no"}}}
    found = got(json.dumps({"custom_id": "7", "response": response}).encode(), "house")
    assert found == Got(7, 400, b'{"error": {"message": "no"}}', "r", Usage())
    late = {"custom_id": "8", "response": None, "error": {"code": "request_timeout", "message": "too late"}}
    found = got(json.dumps(late).encode(), "house")
    assert found is not None
    error = {"message": "too late", "type": "upstream_error", "param": None, "code": "request_timeout"}
    assert (found.status, json.loads(found.body)) == (502, {"error": error})
    found = got(b'{"custom_id":"9"}', "house")
    assert found is not None
    assert json.loads(found.body)["error"]["message"] == "The provider gave no answer"


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
def test_a_line_that_was_not_begun_there_says_nothing(code: str) -> None:
    told = {"custom_id": "8", "response": None, "error": {"code": code, "message": "not executed"}}
    assert got(json.dumps(told).encode(), "house") is None


def test_states_are_read_in_capitals_and_in_small_letters() -> None:
    assert [Told("b", state).is_over for state in ("Validating", "in_progress", "Completed", "cancelled")] == [
        False,
        False,
        True,
        True,
    ]
    assert Told("b", "Completed").problem == ""
    assert Told("b", "failed", errors=msgspec.Raw(b'{"code":"x"}')).problem == 'failed: {"code":"x"}'
    assert Told("b", "completed", output_file_id="o", error_file_id="").files == ["o"]
    states = (None, "processed", "uploaded", "error", "pending", "notRunning")
    assert [Made("f", state).is_pending for state in states] == [False, False, False, False, True, True]


def test_what_is_no_line_says_nothing() -> None:
    for line in (b"", b"no json", b"[]", b'{"custom_id":"seven"}'):
        assert got(line, "house") is None
