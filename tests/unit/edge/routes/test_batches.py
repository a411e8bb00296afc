from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.edge.routes.queue_office import NOW, QueueOffice

ASKED = {"endpoint": "/v1/embeddings", "completion_window": "24h"}


@pytest.fixture
async def office(make_desk: Callable[..., Any], wire: Any, tmp_path: Path) -> QueueOffice:
    return QueueOffice(make_desk(), type(wire), tmp_path)


async def make(office: QueueOffice, *, key: str | None = None, owner: str = "", **asked: Any) -> Any:
    asked = {"input_file_id": await office.file(owner)} | ASKED | asked
    body = json.dumps(asked).encode()
    return await (
        office.call("POST", "/v1/batches", body, key=key) if key else office.call("POST", "/v1/batches", body)
    )


async def test_a_batch_is_told_as_openai_does(office: QueueOffice) -> None:
    made = await make(office, metadata={"a": "b"})
    assert made.status == 200
    told = made.json
    assert told.pop("input_file_id").startswith("file-")
    assert told.pop("usage")["total_tokens"] == 0
    never = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    assert told == {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/embeddings",
        "model": None,
        "errors": None,
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": int(NOW) + 1,
        "expires_at": int(NOW) + 1 + 86_400,
        **{f"{name}_at": None for name in never},
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": {"a": "b"},
    }


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai", "/openai/v1"])
async def test_a_batch_is_found_and_cancelled_at_each_path(office: QueueOffice, prefix: str) -> None:
    await make(office)
    assert (await office.call("GET", f"{prefix}/batches/batch_1")).json["id"] == "batch_1"
    assert (await office.call("GET", f"{prefix}/batches")).json["data"][0]["id"] == "batch_1"
    cancelled = (await office.call("POST", f"{prefix}/batches/batch_1/cancel")).json
    assert cancelled["status"] == "cancelling"
    assert cancelled["cancelling_at"] > NOW


async def test_a_list_goes_on_after_the_last_one(office: QueueOffice) -> None:
    empty = (await office.call("GET", "/v1/batches")).json
    assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    for _ in range(3):
        await make(office)
    first = (await office.call("GET", "/v1/batches?limit=2")).json
    assert [one["id"] for one in first["data"]] == ["batch_3", "batch_2"]
    assert (first["first_id"], first["last_id"], first["has_more"]) == ("batch_3", "batch_2", True)
    rest = (await office.call("GET", "/v1/batches?limit=2&after=batch_2")).json
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["batch_1"], False)
    for query in ("limit=0", "limit=101", "limit=x", "after=batch_none"):
        assert (await office.call("GET", f"/v1/batches?{query}")).status == 400


async def test_what_is_wrong_is_told_in_openais_shape(office: QueueOffice) -> None:
    refused = await office.call("POST", "/v1/batches", json.dumps(ASKED | {"input_file_id": "file-none"}).encode())
    error = refused.json["error"]
    assert (refused.status, error["code"], error["param"]) == (400, "file_not_found", "input_file_id")
    missing = await office.call("GET", "/v1/batches/batch_none")
    assert (missing.status, missing.json["error"]["code"]) == (404, "not_found")
    form = await office.call("POST", "/v1/batches", b"{}", headers={b"content-type": b"text/plain"})
    assert form.status == 415
    await make(office)
    await office.end("completed")
    late = await office.call("POST", "/v1/batches/batch_1/cancel")
    assert (late.status, late.json["error"]["code"]) == (400, "batch_is_over")


async def test_a_key_sees_its_own_batches_only(office: QueueOffice) -> None:
    mine, other = await office.desk.key(user_id="anna"), await office.desk.key(user_id="bert")
    assert (await make(office, key=mine, owner="user:anna")).status == 200
    assert (await make(office, key=other, owner="user:anna")).status == 400
    assert (await office.call("GET", "/v1/batches/batch_1", key=mine)).status == 200
    for method, path in (("GET", "/v1/batches/batch_1"), ("POST", "/v1/batches/batch_1/cancel")):
        assert (await office.call(method, path, key=other)).status == 404
    assert (await office.call("GET", "/v1/batches", key=other)).json["data"] == []
    assert len((await office.call("GET", "/v1/batches")).json["data"]) == 1


async def test_an_operator_holds_a_batch_and_nobody_else_does(office: QueueOffice) -> None:
    mine = await office.desk.key(user_id="anna")
    await make(office, key=mine, owner="user:anna")
    for name in ("pause", "resume"):
        assert (await office.call("POST", f"/v1/batches/batch_1/{name}", key=mine)).status == 403
    assert (await office.call("POST", "/v1/batches/batch_1/pause")).json["is_paused"] is True
    assert (await office.call("GET", "/v1/batches/batch_1", key=mine)).json["is_paused"] is True
    assert "is_paused" not in (await office.call("POST", "/v1/batches/batch_1/resume")).json
