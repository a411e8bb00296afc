from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from message_batch_provider import error_of, message

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.anthropic import (
    CLOCKS_SECONDS,
    Counts,
    Listed,
    Told,
    asked,
    got,
    is_marked,
    takes,
)
from pointsman.batches.protocol.providers.base import passed
from pointsman.errors import InvalidRequest
from pointsman.wire import operations as op


def line(custom_id: str, result: Any) -> bytes:
    return json.dumps({"custom_id": custom_id, "result": result}).encode()


def passing(body: bytes) -> Any:
    return passed(LineRequest("mine", "/v1/messages", op.MESSAGES, body), "claude-x")


def test_a_request_goes_there_under_the_mark_and_its_number_and_with_the_name_that_the_model_has_there() -> None:
    body = b'{ "model":"house","max_tokens":8, "system":"Be brief", "messages":[] ,"temperature":1.50}'
    text = asked("msgbatch_1f", 7, passing(body))
    assert b'"temperature":1.50' in text
    params = {"model": "claude-x", "max_tokens": 8, "system": "Be brief", "messages": [], "temperature": 1.5}
    assert json.loads(text) == {"custom_id": "msgbatch_1f-7", "params": params}


@pytest.mark.parametrize(
    "more",
    [
        {"fallbacks": ["other"]},
        {"mcp_servers": [{"type": "url", "url": "https://x.test", "name": "x"}]},
        {"metadata": {"tags": ["night"]}},
    ],
)
def test_a_request_about_which_the_gateway_would_have_to_do_something_is_none_for_it(more: dict[str, Any]) -> None:
    body = json.dumps({"model": "house", "max_tokens": 8, "messages": [], **more}).encode()
    with pytest.raises(InvalidRequest, match="how they are to be served"):
        passing(body)


def test_what_comes_back_has_the_name_that_the_model_has_here_and_tells_what_was_used() -> None:
    used = {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5, "output_tokens": 4}
    told = message("claude-x") | {"usage": used}
    found = got(line("batch_1-7", {"type": "succeeded", "message": told}), "batch_1", "house")
    assert found is not None
    assert (found.number, found.status, found.request_id) == (7, 200, "batch_1-7")
    assert json.loads(found.body) == told | {"model": "house"}
    usage = found.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (18, 10, 5)
    assert usage.output_tokens == 4


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("permission_error", 403),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("overloaded_error", 529),
        ("of_tomorrow", 502),
    ],
)
def test_a_request_that_failed_there_is_told_as_it_was_told(kind: str, status: int) -> None:
    error = error_of(kind, "no")
    found = got(line("batch_1-7", {"type": "errored", "error": error}), "batch_1", "house")
    assert found is not None
    assert (found.status, json.loads(found.body), found.request_id) == (status, error, "req_1")
    assert found.usage.output_tokens == 0


@pytest.mark.parametrize("result", [{"type": "errored"}, {"type": "of_tomorrow", "error": {}}, {}])
def test_a_request_that_came_to_nothing_is_told_as_that(result: dict[str, Any]) -> None:
    found = got(line("batch_1-7", result), "batch_1", "house")
    assert found is not None
    told = json.loads(found.body)
    assert (found.status, told["type"], told["error"]["message"]) == (502, "error", "The provider gave no answer")


@pytest.mark.parametrize("kind", ["canceled", "expired"])
def test_a_request_that_was_not_run_there_says_nothing(kind: str) -> None:
    text = line("batch_1-8", {"type": kind})
    assert got(text, "batch_1", "house") is None
    assert is_marked(text, "batch_1")


@pytest.mark.parametrize(
    "custom_id",
    ["batch_2-7", "batch_1", "7", "batch_1-", "batch_1-x", "batch_1--7", "batch_1-\u0667", "batch_1-" + 10 * "9"],
)
def test_what_has_another_mark_is_not_ours(custom_id: str) -> None:
    text = line(custom_id, {"type": "succeeded", "message": message("claude-x")})
    assert got(text, "batch_1", "house") is None
    assert not is_marked(text, "batch_1")


def test_what_is_no_line_says_nothing() -> None:
    for text in (b"", b"no json", b"[]", b"{}", b"[" * 10_000):
        assert got(text, "batch_1", "house") is None
        assert not is_marked(text, "batch_1")


@pytest.mark.parametrize("place", [b"x", b"y", b"z"])
def test_an_error_that_is_no_text_is_told_as_no_answer_and_holds_nothing_up(place: bytes) -> None:
    error = {"type": "error", "error": {"type": "x", "message": "y"}, "request_id": "z"}
    text = line("batch_1-7", {"type": "errored", "error": error}).replace(b'"%b"' % place, b'"\xff"')
    found = got(text, "batch_1", "house")
    assert found is not None
    assert (found.number, found.status) == (7, 502)
    assert json.loads(found.body)["error"]["message"] == "The provider gave no answer"
    assert got(text.replace(b"batch_1", b"\xff"), "batch_1", "house") is None


@pytest.mark.parametrize("result", [b"null", b'{"type":"succeeded","message":"\\ud800"}', b"[" * 10_000])
def test_a_line_that_cannot_be_read_is_known_by_its_mark(result: bytes) -> None:
    text = b'{"custom_id":"batch_1-7","result":' + result + b"}"
    assert got(text, "batch_1", "house") is None
    assert is_marked(text, "batch_1")
    assert not is_marked(text, "batch_2")
    assert not is_marked(text, "batch")


def test_a_batch_is_over_when_it_has_ended_and_tells_what_it_has_not_run() -> None:
    made = datetime.fromtimestamp(0, UTC)
    states = ("in_progress", "canceling", "ended")
    assert [Told("b", state, made).is_over for state in states] == [False, False, True]
    counts = Counts(processing=1, succeeded=2, errored=4, canceled=8, expired=16)
    assert counts.total == 31
    assert Told("b", "ended", made, counts).problem == "ended with 8 canceled and 16 expired requests"
    assert Told("b", "ended", made, Counts(succeeded=2, errored=4)).problem == ""


def test_a_batch_may_be_ours_that_was_made_in_that_time_by_a_clock_that_is_a_little_wrong() -> None:
    def at(moment: float) -> Told:
        return Told("b", "ended", datetime.fromtimestamp(moment, UTC))

    since, until = 100_000.0, 101_000.0
    made = [at(one).was_made(since, until) for one in (since - CLOCKS_SECONDS, since, until, until + CLOCKS_SECONDS)]
    assert made == [True] * 4
    early, late = since - CLOCKS_SECONDS - 1.0, until + CLOCKS_SECONDS + 1.0
    assert [at(one).was_made(since, until) for one in (early, late)] == [False] * 2
    assert [at(one).is_older(since) for one in (early, since, late)] == [True, False, False]


def test_betas_hold_there_too_and_what_says_how_to_serve_does_not() -> None:
    assert takes({})
    assert takes({"anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07"})
    assert not takes({"anthropic-version": "2023-01-01"})
    assert not takes({"x-litellm-tags": "night"})


def test_a_page_of_batches_is_read_whatever_else_it_tells() -> None:
    text = (
        b'{"data":[{"id":"b","processing_status":"ended","created_at":"2026-01-02T03:04:05.6Z","x":1}],"has_more":true}'
    )
    listed = msgspec.json.decode(text, type=Listed)
    assert (listed.has_more, listed.data[0].created_at) == (True, datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC))
