"""Input files with which something is wrong: each gets a clear error, and nothing is asked of any model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError
from system.batching import CHAT, MASTER, client, config, ended, jsonl, line, lines, make_key, submit, upload
from system.process import Gateway
from system.upstream.server import FakeUpstream

MORE = """
batches: {max_requests: 100, max_input_mb: 3, max_line_mb: 0.5}
"""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("faults"), config(fake.base_url, MORE)) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_spent(gateway: Gateway, fake: FakeUpstream) -> Iterator[None]:
    yield
    assert fake.requests("gpt") == []
    assert gateway.get("/spend/logs", key=MASTER).json == []


GOOD = json.dumps(line("good")).encode() + b"\n"


def one(value: Any) -> bytes:
    """A good line, and then this one."""
    return GOOD + json.dumps(value).encode()


def without(name: str) -> bytes:
    return one({member: value for member, value in line("a").items() if member != name})


FAULTS: list[tuple[str, bytes, int | None, str, str | None]] = [
    ("an empty file", b"", None, "empty_file", None),
    ("a file of empty lines", b"\n \n\n", None, "empty_file", None),
    ("a line that is no JSON", GOOD + b"not json", 2, "invalid_json_line", None),
    ("a line that is cut", GOOD + GOOD[:40], 2, "invalid_json_line", None),
    ("a line that is a list", one([line("a")]), 2, "invalid_json_line", None),
    ("bytes that are no text", GOOD + b'{"custom_id": "\xff"}', 2, "invalid_json_line", None),
    ("UTF-16", GOOD.decode().encode("utf-16"), 1, "invalid_json_line", None),
    ("a byte order mark", b"\xef\xbb\xbf" + GOOD, 1, "invalid_json_line", None),
    ("a JSON array over several lines", json.dumps([line("a")], indent=1).encode(), 1, "invalid_json_line", None),
    ("no custom_id", without("custom_id"), 2, "missing_required_parameter", "custom_id"),
    ("a custom_id that is no text", one(line(7)), 2, "invalid_type", "custom_id"),
    ("a custom_id that is empty", one(line("")), 2, "invalid_custom_id", "custom_id"),
    ("a custom_id that is there already", GOOD + b"\n" + GOOD, 3, "duplicate_custom_id", "custom_id"),
    ("no method", without("method"), 2, "missing_required_parameter", "method"),
    ("another method", one(line("a", method="GET")), 2, "invalid_method", "method"),
    ("no url", without("url"), 2, "missing_required_parameter", "url"),
    ("a url that batches cannot use", one(line("a", url="/v1/audio/speech")), 2, "invalid_url", "url"),
    ("mixed endpoints", one(line("a", url="/v1/embeddings", input="x")), 2, "invalid_url", "url"),
    ("no body", without("body"), 2, "missing_required_parameter", "body"),
    ("a body that is a text", one(line("a") | {"body": "Hi"}), 2, "invalid_type", "body"),
    ("no model", one(line("a", model=None)), 2, "invalid_request", "body.model"),
    ("an unknown model", one(line("a", model="nobody")), 2, "model_not_found", "body.model"),
    ("messages that are no list", one(line("a", messages="Hi")), 2, "invalid_request", "body.messages"),
    ("a stream", one(line("a", stream=True)), 2, "invalid_request", "body.stream"),
    ("a key of the operator", one(line("a", api_key="sk-1")), 2, "invalid_request", "body.api_key"),
    ("a line that is too long", one(line("a", user="x" * 600_000)), 2, "line_too_long", None),
    ("too many lines", jsonl(lines(101)), None, "too_many_lines", None),
]


@pytest.mark.requirement("batches.validation")
@pytest.mark.parametrize(
    ("data", "number", "code", "param"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_wrong_file_makes_a_batch_that_says_what_is_wrong(
    gateway: Gateway, data: bytes, number: int | None, code: str, param: str | None
) -> None:
    with client(gateway) as openai:
        batch = ended(openai, submit(openai, data).id)
        assert batch.status == "failed"
        assert batch.failed_at is not None
        assert batch.errors is not None
        errors = batch.errors.data or []
        assert (errors[0].line, errors[0].code, errors[0].param) == (number, code, param)
        assert errors[0].message
        assert (batch.output_file_id, batch.error_file_id) == (None, None)


@pytest.mark.requirement("batches.validation")
@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"input_file_id": "file-none"}, "file_not_found", "input_file_id"),
        ({"input_file_id": None}, "missing_required_parameter", "input_file_id"),
        ({"endpoint": "/v1/files"}, "invalid_endpoint", "endpoint"),
        ({"endpoint": None}, "missing_required_parameter", "endpoint"),
        ({"completion_window": "1h"}, None, "completion_window"),
        ({"metadata": {"a": 1}}, None, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, None, "output_expires_after"),
    ],
)
def test_a_wrong_request_is_refused_by_name(gateway: Gateway, changes: Any, code: str | None, param: str) -> None:
    with client(gateway) as openai:
        asked = {"input_file_id": upload(openai, GOOD), "endpoint": CHAT, "completion_window": "24h"} | changes
    refused = gateway.post("/v1/batches", asked, key=MASTER)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, code, param)


def test_files_that_are_not_for_this_are_refused(gateway: Gateway) -> None:
    mine, other = make_key(gateway, user_id="anna"), make_key(gateway, user_id="bert")
    with client(gateway, mine) as anna, client(gateway, other) as bert:
        for file_id, code in (
            (upload(anna, GOOD, "user_data"), "invalid_purpose"),
            (upload(bert, GOOD), "file_not_found"),
            (upload(anna, b"x" * (3 << 20) + b"x"), "file_too_large"),
        ):
            with pytest.raises(APIStatusError) as raised:
                anna.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
            assert (raised.value.status_code, raised.value.code, raised.value.param) == (400, code, "input_file_id")


def test_a_key_cannot_ask_by_a_batch_what_it_may_not_ask(gateway: Gateway) -> None:
    with client(gateway, make_key(gateway, models=["other"])) as openai:
        batch = ended(openai, submit(openai, GOOD).id)
        assert batch.errors is not None
        assert [error.code for error in batch.errors.data or []] == ["model_not_found"]
