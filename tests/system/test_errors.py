from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from system.conftest import MASTER_KEY, UPSTREAM_KEY
from system.process import Gateway
from system.upstream.answers import chat_events
from system.upstream.script import JSON_TYPE, Answer, End, Step, error_answer, event, json_answer, stream_answer
from system.upstream.server import FakeUpstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
HTML = b"<html><body>502 Bad Gateway nginx</body></html>"
LIMITS = (("retry-after", "7"), ("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "7s"))
CUT_BODY = b'{"id":"chatcmpl-1","choices":['


def ask(client: OpenAI, model: str, **more: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=HELLO, **more)
    assert caught.value.request_id
    assert isinstance(caught.value.body, dict)
    assert {"message", "type", "code"} <= caught.value.body.keys()
    return caught.value


@pytest.mark.requirement("errors.unknown-model")
def test_an_unknown_model_is_a_not_found_error(client: OpenAI) -> None:
    error = ask(client, "nobody")
    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.type, error.param) == ("model_not_found", "invalid_request_error", "model")


@pytest.mark.requirement("keys.headers")
def test_a_wrong_key_is_an_authentication_error(gateway: Gateway) -> None:
    with (
        OpenAI(base_url=gateway.base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="house-chat", messages=HELLO)
    error = caught.value
    assert (error.status_code, error.code, error.type) == (401, "invalid_api_key", "authentication_error")
    assert error.body == {"message": "Invalid API key", "type": "authentication_error", "code": "invalid_api_key"}


UPSTREAM_ERRORS: dict[str, tuple[Answer, type[openai.APIStatusError], int, str, str | None, str | None]] = {
    "context": (
        error_answer(
            400,
            "This model's maximum context length is 8192 tokens.",
            kind="invalid_request_error",
            code="context_length_exceeded",
            param="messages",
        ),
        openai.BadRequestError,
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
    "policy": (
        error_answer(400, "Rejected by our safety system.", kind="image_error", code="content_policy_violation"),
        openai.BadRequestError,
        400,
        "image_error",
        "content_policy_violation",
        None,
    ),
    "content-filter": (
        json_answer(
            {
                "error": {
                    "message": "The response was filtered",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                }
            },
            400,
        ),
        openai.BadRequestError,
        400,
        "invalid_request_error",
        "content_filter",
        "prompt",
    ),
    "unprocessable": (
        error_answer(422, "Bad n", kind="invalid_request_error", param="n"),
        openai.UnprocessableEntityError,
        422,
        "invalid_request_error",
        None,
        "n",
    ),
    "limited": (
        error_answer(429, "Slow down", kind="requests", code="rate_limit_exceeded", headers=LIMITS),
        openai.RateLimitError,
        429,
        "requests",
        "rate_limit_exceeded",
        None,
    ),
    "conflict": (
        error_answer(409, "Busy", kind="conflict_error"),
        openai.ConflictError,
        409,
        "conflict_error",
        None,
        None,
    ),
    "gone": (
        error_answer(404, "The model `x` does not exist", kind="invalid_request_error", code="model_not_found"),
        openai.NotFoundError,
        404,
        "invalid_request_error",
        "model_not_found",
        None,
    ),
    "internal": (
        error_answer(500, "The server had an error", kind="server_error"),
        openai.InternalServerError,
        500,
        "server_error",
        None,
        None,
    ),
    "overloaded": (
        error_answer(529, "Overloaded", kind="overloaded_error"),
        openai.InternalServerError,
        503,
        "overloaded_error",
        None,
        None,
    ),
}


@pytest.mark.requirement("errors.upstream-status", "errors.sdk-classes")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", UPSTREAM_ERRORS)
def test_an_upstreams_error_keeps_what_clients_act_on(
    client: OpenAI, upstream: FakeUpstream, case: str, *, stream: bool
) -> None:
    answer, kind, status, type_, code, param = UPSTREAM_ERRORS[case]
    model = f"error-{case}-{stream}"
    upstream.answers(model, answer)
    error = ask(client, f"fake/{model}", stream=stream)
    assert type(error) is kind
    assert (error.status_code, error.type, error.code, error.param) == (status, type_, code, param)


@pytest.mark.requirement("errors.upstream-status", "headers.rate-limits")
def test_a_429_keeps_retry_after_and_is_not_retried_here(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("limited", UPSTREAM_ERRORS["limited"][0])
    error = ask(client, "fake/limited")
    assert error.response.headers["retry-after"] == "7"
    assert error.response.headers["llm_provider-x-ratelimit-remaining-requests"] == "0"
    assert error.response.headers["llm_provider-x-ratelimit-reset-requests"] == "7s"
    assert error.message.endswith("Slow down") or "Slow down" in error.message
    assert len(upstream.requests("limited")) == 1


@pytest.mark.requirement("errors.upstream-status")
def test_the_sdk_retries_after_what_the_upstream_said(gateway: Gateway, upstream: FakeUpstream) -> None:
    hurried = error_answer(429, "Slow down", kind="requests", headers=(("retry-after-ms", "1"),))
    again = stream_answer(*chat_events("again", usage=False), event("[DONE]"))
    upstream.answers("again", hurried, again)
    with OpenAI(base_url=gateway.base_url, api_key=MASTER_KEY, max_retries=1) as client:
        stream = client.chat.completions.create(model="fake/again", messages=HELLO, stream=True)
        assert len(list(stream)) == len(again.steps) - 1


@pytest.mark.requirement("errors.no-secrets")
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_named_as_such_without_being_shown(
    client: OpenAI, upstream: FakeUpstream, status: int
) -> None:
    text = f"Incorrect API key provided: {UPSTREAM_KEY}. Ask {upstream.base_url}"
    upstream.answers(f"refused-{status}", error_answer(status, text, kind="auth", code="invalid_api_key"))
    error = ask(client, f"fake/refused-{status}")
    assert error.status_code in (401, 403, 502)
    assert UPSTREAM_KEY not in str(error.body)
    assert upstream.address not in str(error.body)
    # The caller's own key is in order; a code that says otherwise would send him looking in the wrong place.
    assert error.code != "invalid_api_key"


@pytest.mark.requirement("errors.upstream-down")
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_connection_is_a_502(client: OpenAI, *, stream: bool) -> None:
    error = ask(client, "down", stream=stream)
    assert (error.status_code, error.code) == (502, "upstream_unreachable")


@pytest.mark.requirement("errors.upstream-down")
@pytest.mark.parametrize(("model", "stream"), [("impatient", False), ("impatient-stream", True)])
def test_a_silent_upstream_is_a_504_and_is_let_go(
    client: OpenAI, upstream: FakeUpstream, model: str, *, stream: bool
) -> None:
    upstream.answers(model, Answer(framing="raw", steps=(End.SILENCE,)))
    error = ask(client, model, stream=stream)
    assert (error.status_code, error.type) == (504, "timeout_error")
    assert upstream.request(model).closed.wait(5)


GARBAGE: dict[str, Answer] = {
    "html": Answer(200, (("content-type", "text/html"),), (HTML,)),
    "html-502": Answer(502, (("content-type", "text/html"),), (HTML,)),
    "html-as-json": Answer(200, (JSON_TYPE,), (HTML,)),
    "empty": Answer(200, (JSON_TYPE,), ()),
    "empty-200-without-type": Answer(200, (), ()),
    "empty-500": Answer(500, (), ()),
    "json-array": Answer(200, (JSON_TYPE,), (b"[1,2]",)),
    "half-json": Answer(200, (JSON_TYPE,), (CUT_BODY,)),
    "cut-length": Answer(200, (JSON_TYPE, ("content-length", "400")), (CUT_BODY, End.CUT)),
    "cut-chunked": Answer(200, (JSON_TYPE,), (CUT_BODY, End.CUT), "chunked"),
    "reset-in-body": Answer(200, (JSON_TYPE, ("content-length", "400")), (CUT_BODY, End.RESET)),
    "closed-at-once": Answer(framing="raw", steps=(End.CUT,)),
    "reset-at-once": Answer(framing="raw", steps=(End.RESET,)),
    "not-http": Answer(framing="raw", steps=(b"SSH-2.0-OpenSSH_9.2\r\n", End.CUT)),
    "half-a-head": Answer(framing="raw", steps=(b"HTTP/1.1 200 OK\r\ncontent-ty", End.CUT)),
    "huge-headers": Answer(200, (JSON_TYPE, ("x-padding", "x" * 200_000)), (b"{}",)),
    "broken-chunk": Answer(
        framing="raw",
        steps=(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
            End.CUT,
        ),
    ),
    "redirect": Answer(302, (("location", "http://127.0.0.1:1/elsewhere"),), ()),
    "redirect-307": Answer(307, (("location", "http://127.0.0.1:1/elsewhere"),), ()),
    "not-modified": Answer(304, (), ()),
    "error-in-200": json_answer({"error": {"message": "Provider returned error", "code": 502}}),
    "empty-stream": stream_answer(),
    "html-500-as-json": Answer(500, (JSON_TYPE,), (HTML,)),
    "null-error-500": json_answer({"error": None}, 500),
}


@pytest.mark.requirement("errors.upstream-garbage")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_becomes_a_5xx_with_an_error_object(
    gateway: Gateway, client: OpenAI, upstream: FakeUpstream, case: str, *, stream: bool
) -> None:
    model = f"garbage-{case}-{stream}"
    upstream.answers(model, GARBAGE[case])
    error = ask(client, f"fake/{model}", stream=stream)
    assert isinstance(error, openai.InternalServerError)
    assert error.response.headers["content-type"] == "application/json"
    assert "<html" not in error.response.text
    assert "Traceback" not in error.response.text
    assert upstream.address not in error.response.text
    # A GET would follow a redirect; the credential must not.
    assert all(one.method == "POST" for one in upstream.requests(model))


@pytest.mark.requirement("errors.upstream-garbage")
def test_an_error_inside_a_200_keeps_the_status_that_it_names(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("inside", json_answer({"error": {"message": "Rate limited", "code": 429}}))
    assert isinstance(ask(client, "fake/inside"), openai.RateLimitError)


@pytest.mark.requirement("errors.upstream-garbage")
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses", "/v1/moderations"])
def test_garbage_is_no_better_at_other_endpoints(gateway: Gateway, upstream: FakeUpstream, path: str) -> None:
    upstream.answers("garbage-elsewhere", GARBAGE["html-as-json"])
    reply = gateway.post(path, {"model": "fake/garbage-elsewhere", "input": "x"})
    assert reply.status == 502
    assert reply.error["code"] == "upstream_broken"


EARLY: dict[str, tuple[list[Step], int]] = {
    "error-event": ([event({"error": {"message": "Overloaded", "type": "server_error", "code": 503}})], 503),
    "named-error-event": ([event({"error": {"message": "Nope", "type": "server_error"}}, "error")], 502),
    "cut": ([End.CUT], 502),
    "reset": ([End.RESET], 502),
    "half-event": ([b'data: {"id":"chatcmpl', End.CUT], 502),
}


@pytest.mark.requirement("errors.stream-early")
@pytest.mark.parametrize("case", EARLY)
def test_a_stream_that_fails_before_its_first_event_has_a_status(
    client: OpenAI, upstream: FakeUpstream, case: str
) -> None:
    steps, status = EARLY[case]
    upstream.answers(f"early-{case}", stream_answer(*steps))
    assert ask(client, f"fake/early-{case}", stream=True).status_code == status


LATE: dict[str, list[Step]] = {
    "cut": [End.CUT],
    "reset": [End.RESET],
    "clean-end-without-done": [],
    "half-event": [b'data: {"id":"x","choi', End.CUT],
    "error-event": [event({"error": {"message": "Lost", "type": "server_error"}}), event("[DONE]")],
    "error-event-then-cut": [event({"error": {"message": "Lost", "type": "server_error"}}), End.CUT],
}


@pytest.mark.requirement("errors.stream-late")
@pytest.mark.parametrize("case", LATE)
def test_a_stream_that_fails_later_ends_in_an_error(client: OpenAI, upstream: FakeUpstream, case: str) -> None:
    begun = chat_events(f"late-{case}", usage=False)[:4]
    upstream.answers(f"late-{case}", stream_answer(*begun, *LATE[case]))
    chunks: list[ChatCompletionChunk] = []
    with (
        pytest.raises(openai.APIError) as caught,
        client.chat.completions.create(model=f"fake/late-{case}", messages=HELLO, stream=True) as stream,
    ):
        chunks.extend(stream)
    assert len(chunks) == 4
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert isinstance(caught.value.body, dict)
    assert {"message", "type", "param", "code"} <= caught.value.body.keys() or case.startswith("error-event")


@pytest.mark.requirement("errors.stream-late")
def test_a_late_failure_never_pretends_to_be_done(gateway: Gateway, upstream: FakeUpstream) -> None:
    upstream.answers("late-raw", stream_answer(*chat_events("late-raw", usage=False)[:3], End.CUT))
    reply = gateway.post("/v1/chat/completions", {"model": "fake/late-raw", "messages": HELLO, "stream": True})
    assert reply.status == 200
    assert "error" in reply.events[-1]
    assert reply.events[-1]["error"]["code"] == "upstream_broken"


@pytest.mark.requirement("errors.stream-early")
def test_what_keeps_a_connection_alive_is_held_and_a_failure_after_it_has_its_status(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    upstream.answers("comment-only", stream_answer(b": keep-alive\n\n", End.CUT))
    reply = gateway.post("/v1/chat/completions", {"model": "fake/comment-only", "messages": HELLO, "stream": True})
    assert (reply.status, reply.error["code"]) == (502, "upstream_broken")


@pytest.mark.requirement("errors.stream-late")
def test_a_response_stream_that_is_cut_ends_in_an_error(gateway: Gateway, upstream: FakeUpstream) -> None:
    created = {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "model": "x"}}
    word = {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "m", "delta": "Hel"}
    events = event(created, "response.created"), event(word, "response.output_text.delta")
    upstream.answers("late-response", stream_answer(*events, End.CUT))
    reply = gateway.post("/v1/responses", {"model": "fake/late-response", "input": "x", "stream": True})
    assert reply.events[-3] == word
    assert [event["type"] for event in reply.events[-2:]] == ["error", "response.failed"]
    upstream.answers("late-response", stream_answer(events[0], End.CUT))
    reply = gateway.post("/v1/responses", {"model": "fake/late-response", "input": "x", "stream": True})
    assert (reply.status, reply.error["code"]) == (502, "upstream_broken")


@pytest.mark.requirement("errors.stream-late")
def test_cut_audio_does_not_end_cleanly(gateway: Gateway, upstream: FakeUpstream) -> None:
    upstream.answers(
        "late-audio", Answer(200, (("content-type", "audio/mpeg"),), (b"\xff\xfb" * 100, End.CUT), "chunked")
    )
    body = {"model": "fake/late-audio", "voice": "alloy", "input": "x"}
    assert not gateway.post("/v1/audio/speech", body).is_whole


@pytest.mark.requirement("chat.stream")
@pytest.mark.parametrize("shape", ["bytes", "crlf", "one-piece", "close-delimited", "no-space"])
def test_a_stream_in_any_pieces_is_understood(
    client: OpenAI, upstream: FakeUpstream, gateway: Gateway, shape: str
) -> None:
    model = f"pieces-{shape}"
    whole = b"".join([*chat_events(model, usage=True), event("[DONE]")])
    if shape == "crlf":
        whole = whole.replace(b"\n", b"\r\n")
    if shape == "no-space":
        whole = whole.replace(b"data: ", b"data:")
    pieces = [whole[at : at + 1] for at in range(len(whole))] if shape == "bytes" else [whole]
    framing = "close" if shape == "close-delimited" else "chunked"
    upstream.answers(model, Answer(200, (("content-type", "text/event-stream"),), pieces, framing))  # type: ignore[arg-type]  # a literal
    with client.chat.completions.create(
        model=f"fake/{model}", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert chunks[-1].usage is not None
    assert {chunk.model for chunk in chunks} == {f"fake/{model}"}
    sent = {"model": f"fake/{model}", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    reply = gateway.post("/v1/chat/completions", sent)
    expected = whole.replace(json.dumps(f"{model}-2026-08-06").encode(), json.dumps(f"fake/{model}").encode())
    assert reply.body == expected


@pytest.mark.requirement("chat.stream-usage")
def test_a_stream_without_usage_is_whole_all_the_same(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("no-usage", stream_answer(*chat_events("no-usage", usage=False), event("[DONE]")))
    with client.chat.completions.create(
        model="fake/no-usage", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        assert [chunk.usage for chunk in stream] == [None] * 8


@pytest.mark.requirement("errors.upstream-status")
async def test_the_async_client_gets_the_same_errors(async_client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("async-limited", UPSTREAM_ERRORS["limited"][0])
    with pytest.raises(openai.RateLimitError) as caught:
        await async_client.chat.completions.create(model="fake/async-limited", messages=HELLO)
    assert caught.value.request_id
