from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pointsman.batches.protocol.anthropic import RequestLines, message_batch, never_run, result_line, told_line
from pointsman.batches.protocol.lines import request_of
from pointsman.batches.protocol.objects import BatchDoc, BatchError
from pointsman.errors import InvalidRequest
from pointsman.store.work import BatchRow

PARAMS = {"model": "claude", "max_tokens": 5, "messages": []}
MOMENT = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def row(**changes: Any) -> BatchRow:
    values: dict[str, Any] = {
        "id": "msgbatch_1",
        "owner": "key:a",
        "key_id": "a",
        "kind": "anthropic",
        "executor": "lines",
        "state": "in_progress",
        "ending": "",
        "is_paused": False,
        "total": 10,
        "completed": 0,
        "failed": 0,
        "input_tokens": 0,
        "cached_tokens": 0,
        "output_tokens": 0,
        "reasoning_tokens": 0,
        "cost_nano_usd": 0,
        "created_at": MOMENT.timestamp(),
        "expires_at": MOMENT.timestamp() + 86_400,
        "in_progress_at": None,
        "finalizing_at": None,
        "cancelling_at": None,
        "ended_at": None,
        "doc": {},
        "fence": 1,
    }
    return BatchRow(**(values | changes))


def test_a_request_becomes_one_line() -> None:
    lines = RequestLines()
    request = json.dumps({"params": PARAMS | {"system": "a\nb"}, "custom_id": "one-1_A"}, indent=2).encode()
    line = lines.line(request)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    read = request_of(line)
    assert (read.custom_id, read.endpoint) == ("one-1_A", "/v1/messages")
    assert json.loads(read.body) == PARAMS | {"system": "a\nb"}
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("request_", "param", "told"),
    [
        (b"{]", "requests.1", "not valid JSON"),
        (b'{"custom_id":"\xff"}', "requests.1", "not valid JSON"),
        (json.dumps({"params": PARAMS}).encode(), "requests.1.custom_id", "Field required"),
        (json.dumps({"custom_id": 7, "params": PARAMS}).encode(), "requests.1.custom_id", "match pattern"),
        (json.dumps({"custom_id": "a b", "params": PARAMS}).encode(), "requests.1.custom_id", "match pattern"),
        (json.dumps({"custom_id": "a" * 65, "params": PARAMS}).encode(), "requests.1.custom_id", "match pattern"),
        (json.dumps({"custom_id": "first", "params": PARAMS}).encode(), "requests.1.custom_id", "already"),
        (b'{"custom_id":"a"}', "requests.1.params", "Field required"),
        (b'{"custom_id":"a","params":[]}', "requests.1.params", "should be an object"),
        (b'{"custom_id":"a","params":{"stream":true}}', "requests.1.params.stream", "streamed"),
    ],
)
def test_what_is_no_request_is_refused_by_its_place(request_: bytes, param: str, told: str) -> None:
    lines = RequestLines()
    lines.line(json.dumps({"custom_id": "first", "params": PARAMS | {"stream": False}}).encode())
    with pytest.raises(InvalidRequest, match=told) as raised:
        lines.line(request_)
    assert raised.value.param == param
    assert raised.value.message.startswith(param)


@pytest.mark.parametrize(
    ("changes", "status", "counts"),
    [
        ({"state": "validating"}, "in_progress", {"processing": 10}),
        ({"completed": 4, "failed": 1}, "in_progress", {"processing": 10}),
        ({"state": "finalizing", "completed": 9, "failed": 1}, "in_progress", {"processing": 10}),
        ({"state": "cancelling", "cancelling_at": 1.0}, "canceling", {"processing": 10}),
        ({"state": "completed", "completed": 9, "failed": 1}, "ended", {"succeeded": 9, "errored": 1}),
        (
            {"state": "cancelled", "completed": 4, "failed": 1, "cancelling_at": 1.0},
            "ended",
            {"succeeded": 4, "errored": 1, "canceled": 5},
        ),
        ({"state": "expired", "completed": 4, "failed": 1}, "ended", {"succeeded": 4, "errored": 1, "expired": 5}),
        ({"state": "failed"}, "ended", {"errored": 10}),
    ],
)
def test_a_batch_is_told_in_anthropics_words(changes: Any, status: str, counts: Any) -> None:
    told = message_batch(row(**changes, ended_at=MOMENT.timestamp() if status == "ended" else None))
    every = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    assert (told["processing_status"], told["request_counts"]) == (status, every | counts)
    assert (told["id"], told["type"], told["created_at"]) == ("msgbatch_1", "message_batch", MOMENT)
    is_over = status == "ended"
    assert told["results_url"] == ("/v1/messages/batches/msgbatch_1/results" if is_over else None)
    assert told["ended_at"] == (MOMENT if is_over else None)


@pytest.mark.parametrize(
    ("line", "result"),
    [
        (
            {"response": {"status_code": 200, "request_id": "r", "body": {"type": "message"}}, "error": None},
            {"type": "succeeded", "message": {"type": "message"}},
        ),
        (
            {"response": {"status_code": 400, "request_id": "r", "body": {"type": "error"}}, "error": None},
            {"type": "errored", "error": {"type": "error"}},
        ),
        ({"response": None, "error": {"code": "batch_expired", "message": "x"}}, {"type": "expired"}),
        ({"response": None, "error": {"code": "batch_cancelled", "message": "x"}}, {"type": "canceled"}),
        (
            {"response": None, "error": {"code": "other", "message": "why"}},
            {
                "type": "errored",
                "error": {"type": "error", "error": {"type": "api_error", "message": "why"}, "request_id": None},
            },
        ),
    ],
)
def test_a_line_of_a_file_is_a_result(line: Any, result: Any) -> None:
    told = result_line(json.dumps({"id": "batch_req_1", "custom_id": "a"} | line).encode())
    assert json.loads(told) == {"custom_id": "a", "result": result}
    assert told.endswith(b"}\n")


def test_a_request_of_a_batch_that_was_never_run_is_told_why() -> None:
    doc = BatchDoc(endpoint="/v1/messages", input_file_id="f", errors=(BatchError(code="c", message="no key"),))
    failed = never_run("failed", doc)
    assert failed["error"]["error"] == {"type": "api_error", "message": "no key"}
    cancelled = never_run("cancelled", doc)
    assert told_line("a", cancelled) == b'{"custom_id":"a","result":{"type":"canceled"}}\n'
