from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.edge.routes.queue_office import QueueOffice, content

PARAMS = {"model": "house", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
HEADERS = {b"anthropic-version": b"2023-06-01", b"content-type": b"application/json"}


@pytest.fixture
async def office(make_desk: Callable[..., Any], wire: Any, tmp_path: Path) -> QueueOffice:
    return QueueOffice(make_desk(), type(wire), tmp_path)


async def make(office: QueueOffice, *names: str, path: str = "/v1/messages/batches") -> Any:
    requests = [{"custom_id": name, "params": PARAMS} for name in names]
    return await office.call("POST", path, json.dumps({"requests": requests}).encode(), headers=HEADERS)


async def test_a_batch_is_told_as_anthropic_does(office: QueueOffice) -> None:
    made = await make(office, "a", "b")
    assert made.status == 200
    told = made.json
    assert told["created_at"].endswith("Z")
    assert told["expires_at"] > told["created_at"]
    assert {name: value for name, value in told.items() if not name.endswith("d_at") and name != "expires_at"} == {
        "id": "msgbatch_1",
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "results_url": None,
    }
    assert [told[name] for name in ("ended_at", "archived_at", "cancel_initiated_at")] == [None] * 3


@pytest.mark.parametrize("prefix", ["/v1", "", "/anthropic/v1"])
async def test_a_batch_is_found_cancelled_read_and_deleted_at_each_path(office: QueueOffice, prefix: str) -> None:
    path = f"{prefix}/messages/batches"
    await make(office, "a", path=path)
    assert (await office.call("GET", f"{path}/msgbatch_1")).json["id"] == "msgbatch_1"
    assert (await office.call("GET", path)).json["data"][0]["id"] == "msgbatch_1"
    assert (await office.call("POST", f"{path}/msgbatch_1/cancel")).json["processing_status"] == "canceling"
    line = {"custom_id": "a", "response": None, "error": {"code": "batch_cancelled", "message": "x"}}
    errors = await office.file("", "batch_output", json.dumps(line).encode() + b"\n")
    await office.end("cancelled", error_file_id=errors)
    told = (await office.call("GET", f"{path}/msgbatch_1")).json
    assert told["results_url"] == "/v1/messages/batches/msgbatch_1/results"
    assert told["request_counts"]["canceled"] == 1
    results = await office.call("GET", f"{path}/msgbatch_1/results")
    assert results.status == 200
    assert results.headers["content-type"] == "application/x-jsonl"
    assert json.loads(content(results)) == {"custom_id": "a", "result": {"type": "canceled"}}
    gone = await office.call("DELETE", f"{path}/msgbatch_1")
    assert gone.json == {"id": "msgbatch_1", "type": "message_batch_deleted"}
    assert (await office.call("GET", f"{path}/msgbatch_1")).status == 404


async def test_a_list_goes_both_ways(office: QueueOffice) -> None:
    empty = (await office.call("GET", "/v1/messages/batches")).json
    assert empty == {"data": [], "first_id": None, "last_id": None, "has_more": False}
    for _ in range(3):
        await make(office, "a")
    first = (await office.call("GET", "/v1/messages/batches?limit=2")).json
    assert [first[name] for name in ("first_id", "last_id", "has_more")] == ["msgbatch_3", "msgbatch_2", True]
    rest = (await office.call("GET", "/v1/messages/batches?after_id=msgbatch_2")).json
    assert [one["id"] for one in rest["data"]] == ["msgbatch_1"]
    back = (await office.call("GET", "/v1/messages/batches?limit=1&before_id=msgbatch_1")).json
    assert ([one["id"] for one in back["data"]], back["has_more"]) == (["msgbatch_2"], True)
    for query in ("limit=0", "limit=1001", "after_id=x", "after_id=msgbatch_1&before_id=msgbatch_2"):
        refused = await office.call("GET", f"/v1/messages/batches?{query}")
        assert (refused.status, refused.json["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages/batches/msgbatch_9", 404, "not_found_error"),
        ("GET", "/v1/messages/batches/msgbatch_1/results", 404, "not_found_error"),
        ("DELETE", "/v1/messages/batches/msgbatch_1", 400, "invalid_request_error"),
        ("GET", "/v1/batches/msgbatch_1", 404, None),
    ],
)
async def test_what_cannot_be_done_is_told_in_anthropics_shape(
    office: QueueOffice, method: str, path: str, status: int, kind: str | None
) -> None:
    await make(office, "a")
    refused = await office.call(method, path)
    assert (refused.status, refused.json.get("type")) == (status, None if kind is None else "error")
    assert kind is None or refused.json["error"]["type"] == kind


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", HEADERS, 400),
        (b'{"requests":[{"custom_id":"a b","params":{}}]}', HEADERS, 400),
        (b"{}", {b"content-type": b"text/plain"}, 415),
        (b"", HEADERS | {b"content-length": b"999999999"}, 413),
    ],
)
async def test_what_is_no_batch_is_refused(
    office: QueueOffice, body: bytes, headers: dict[bytes, bytes], status: int
) -> None:
    refused = await office.call("POST", "/v1/messages/batches", body, headers=headers)
    assert (refused.status, refused.json["type"]) == (status, "error")


async def test_many_results_are_sent_in_pieces(office: QueueOffice) -> None:
    await make(office, "a")
    body = {"text": "x" * 1000}
    lines = [{"custom_id": str(n), "response": {"status_code": 200, "body": body}} for n in range(200)]
    output = await office.file("", "batch_output", b"".join(json.dumps(one).encode() + b"\n" for one in lines))
    await office.end("completed", output_file_id=output)
    told = await office.call("GET", "/v1/messages/batches/msgbatch_1/results")
    assert (told.headers["x-content-type-options"], told.headers["content-disposition"]) == ("nosniff", "attachment")
    results = content(told)
    assert [json.loads(one)["custom_id"] for one in results.splitlines()] == [str(n) for n in range(200)]
