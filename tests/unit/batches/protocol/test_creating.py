from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.batches.protocol.creating import carried, wanted_of
from pointsman.errors import InvalidRequest

ASKED: dict[str, Any] = {"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"}


def body(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (ASKED | changes).items() if value is not ...}).encode()


def test_what_is_asked_for_is_read() -> None:
    wanted = wanted_of(body(endpoint="/embeddings", metadata={"a": "b"}, unknown=[1]))
    assert (wanted.input_file_id, wanted.endpoint, wanted.completion_window) == ("file-1", "/v1/embeddings", "24h")
    assert (wanted.metadata, wanted.output_expires_after) == ({"a": "b"}, None)
    expiry = {"anchor": "created_at", "seconds": 3600}
    assert wanted_of(body(output_expires_after=expiry | {"x": 1})).output_expires_after == expiry


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"", None, None),
        (b"[]", None, None),
        (b'{"input_file_id": "\xff"}', None, None),
        (body(input_file_id=...), "missing_required_parameter", "input_file_id"),
        (body(input_file_id=7), "invalid_type", "input_file_id"),
        (body(input_file_id=""), "invalid_type", "input_file_id"),
        (body(endpoint=...), "missing_required_parameter", "endpoint"),
        (body(endpoint="/v1/audio/speech"), "invalid_endpoint", "endpoint"),
        (body(completion_window=...), "missing_required_parameter", "completion_window"),
        (body(completion_window="48h"), None, "completion_window"),
        (body(metadata=["a"]), None, "metadata"),
        (body(metadata={"a": 1}), None, "metadata"),
        (body(metadata={"": "x"}), None, "metadata"),
        (body(metadata={"a": "x" * 513}), None, "metadata"),
        (body(metadata={"a" * 65: "x"}), None, "metadata"),
        (body(metadata={str(n): "x" for n in range(17)}), None, "metadata"),
        (body(output_expires_after=3600), None, "output_expires_after"),
        (body(output_expires_after={"anchor": "now", "seconds": 3600}), None, "output_expires_after"),
        (body(output_expires_after={"anchor": "created_at", "seconds": 60}), None, "output_expires_after"),
        (body(output_expires_after={"anchor": "created_at", "seconds": True}), None, "output_expires_after"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(sent: bytes, code: str | None, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        wanted_of(sent)
    assert (raised.value.code, raised.value.param) == (code, param)


def test_of_the_headers_those_are_kept_that_say_how_each_line_is_run() -> None:
    headers = {b"authorization": b"Bearer sk-1", b"x-litellm-tags": b"a,b", b"anthropic-beta": b"x", b"cookie": b"c"}
    assert carried(headers) == {"anthropic-beta": "x", "x-litellm-tags": "a,b"}


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x-litellm-num-retries", b"zz"), (b"x-pointsman-region", b"??"), (b"x-litellm-tags", b"x" * 500)],
)
def test_headers_that_no_line_could_be_sent_with_are_refused_at_once(name: bytes, value: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        carried({name: value})
    assert raised.value.param == name.decode()
