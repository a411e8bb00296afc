from __future__ import annotations

import pytest

from pointsman.wire.outcome import tells_failure

CHUNK = b'data: {"choices":[{"delta":{"content":"an \\"error\\": {}"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[]}',
        b'{"object":"response","status":"completed","error":null}',
        b'{"object":"response","status":"incomplete"}',
        b'{"object":"response","status":"queued"}',
        b'{"object":"list","status":"failed"}',
        b'{"data":[{"error":"deeper down"}]}',
        b"",
        b"ID3\xff\xfb",
        b"[" * 100_000,
    ],
)
def test_answers_tell_of_no_failure(body: bytes) -> None:
    assert not tells_failure(body, is_stream=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"no"}}',
        b'{"error":"no","choices":[]}',
        b'{"object":"response","status":"failed","error":{"code":"server_error"}}',
        b'{"object":"response","status":"cancelled"}',
    ],
)
def test_an_error_at_the_top_of_an_object_is_one(body: bytes) -> None:
    assert tells_failure(body, is_stream=False)


@pytest.mark.parametrize("body", [b"", CHUNK + DONE, b": ping\n\n" + CHUNK, CHUNK + b"data: {"])
def test_streams_without_an_error_event_tell_of_none(body: bytes) -> None:
    assert not tells_failure(body, is_stream=True)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"cut"}}\n\n',
        b'event: error\ndata: {"type":"error","message":"no","error":{}}\n\n',
        b'event: response.failed\ndata: {"type":"response.failed","response":{"error":{"code":"x"}}}\n\n',
        b'data: {"error":{"message":"without its blank line"}}',
    ],
)
def test_an_error_event_is_one_wherever_it_stands(event: bytes) -> None:
    assert tells_failure(event, is_stream=True)
    assert tells_failure(CHUNK + event, is_stream=True)
