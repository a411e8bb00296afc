from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected
from pointsman.pipeline.answers import MAX_ERROR_BYTES, Answers
from pointsman.pipeline.race import Outrun, Race
from pointsman.pipeline.translate import Translation
from pointsman.providers.dialects import openai, responses
from pointsman.providers.dialects.cohere import rerank
from pointsman.upstream.response import Headers, Response
from pointsman.wire import operations as op
from pointsman.wire.answer import SMALL_BYTES
from pointsman.wire.chat import ChatRequest
from pointsman.wire.operations import Operation
from pointsman.wire.secret import Secret

Make = Callable[..., Any]
JSON = b"application/json"
EVENTS = b"text/event-stream"
CHAT = b'{"model":"up-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
STREAM = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def answers(rig: Any) -> Answers:
    return Answers(rig.clock, lambda: 1e9, lambda: "1")


def respond(
    rig: Any, body: bytes, kind: bytes | None = JSON, status: int = 200, headers: Headers | None = None
) -> Response:
    lines = [] if kind is None else [(b"content-type", kind)]
    response = Response(status, lines + (headers or []), rig.upstream)
    if body:
        response.feed(body)
    response.finish()
    return response


def attempt_at(rig: Any, operation: Operation = op.CHAT, *, stream: bool = False) -> Any:
    call = rig.call(operation)
    call.is_stream = stream
    return rig.attempt(call)


async def test_an_answer_is_replied_and_charged_for(rig: Any, answers: Answers) -> None:
    attempt = attempt_at(rig)
    await answers.take(attempt, respond(rig, CHAT))
    assert rig.downstream.body == CHAT.replace(b"up-1", b"house")
    assert (rig.downstream.status, rig.downstream.is_finished, attempt.call.status) == (200, True, 200)
    assert (attempt.is_answered, attempt.answered, attempt.cost) == (True, rig.clock.now, Decimal("0.005"))
    assert rig.downstream.headers["x-litellm-response-cost"] == "0.005"


@pytest.mark.parametrize(
    ("kind", "status", "is_complete", "is_usual"),
    [
        (JSON, 200, True, True),
        (JSON, 201, True, False),
        (JSON, 200, False, False),
        (b"application/json; charset=utf-8", 200, True, False),
        (None, 200, True, False),
    ],
)
def test_the_usual_answer_is_known_by_its_head_and_is_here_already(
    rig: Any, kind: bytes | None, status: int, is_complete: bool, is_usual: bool
) -> None:
    response = Response(status, [] if kind is None else [(b"content-type", kind)], rig.upstream)
    response.feed(CHAT)
    if is_complete:
        response.finish()
    assert response.whole(JSON) == (CHAT if is_usual else None)


@pytest.mark.parametrize(
    ("operation", "kind", "body", "replied"),
    [
        (op.CHAT, b"APPLICATION/JSON; charset=utf-8", CHAT, JSON),
        (op.CHAT, None, CHAT, JSON),
        (op.EMBEDDINGS, b"application/problem+json", b'{"data":[]}', JSON),
        (op.SPEECH, b"audio/mpeg", b"\xff", b"audio/mpeg"),
        (op.SPEECH, None, b"{", b"application/octet-stream"),
        (op.TRANSCRIPTION, b"text/plain", b"hello", b"text/plain"),
        (op.TRANSCRIPTION, EVENTS, b'data: {"type":"transcript.text.delta","delta":"a"}\n\n', EVENTS),
    ],
)
async def test_an_answer_is_taken_for_what_its_type_and_the_operation_say(
    rig: Any, answers: Answers, operation: Operation, kind: bytes | None, body: bytes, replied: bytes
) -> None:
    await answers.take(attempt_at(rig, operation), respond(rig, body, kind))
    assert rig.downstream.headers["content-type"].startswith(replied.decode())
    assert rig.downstream.is_finished


async def test_events_are_relayed_to_who_asked_for_a_stream(rig: Any, answers: Answers) -> None:
    await answers.take(attempt_at(rig, stream=True), respond(rig, STREAM, EVENTS))
    assert rig.downstream.body == STREAM


@pytest.mark.parametrize(
    ("operation", "kind", "body", "status", "error", "reported"),
    [
        (op.CHAT, JSON, b"", 200, UpstreamBroken, 502),
        (op.CHAT, JSON, b"[]", 200, UpstreamBroken, 502),
        (op.CHAT, JSON, b'{"model":"up-1"}', 200, UpstreamBroken, 502),
        (op.COMPLETION, JSON, b"{}", 200, UpstreamBroken, 502),
        (op.CHAT, JSON, b'{"error":{"message":"m","code":429}}', 200, UpstreamRejected, 429),
        (op.CHAT, b"text/html; charset=utf-8", b"<html>", 200, UpstreamBroken, 502),
        (op.SPEECH, b"text/html", b"<html>", 200, UpstreamBroken, 502),
        (op.SPEECH, b"audio/mpeg", b"", 200, UpstreamBroken, 502),
        (op.CHAT, b"text/plain", b"hello", 200, UpstreamBroken, 502),
        (op.CHAT, EVENTS, STREAM, 200, UpstreamBroken, 502),
        (op.EMBEDDINGS, b"application/octet-stream", b"\x00", 200, UpstreamBroken, 502),
        (op.CHAT, JSON, b'{"error":{"message":"m"}}', 503, UpstreamRejected, 503),
        (op.CHAT, b"text/html", b"<html>", 500, UpstreamRejected, 500),
        (op.CHAT, JSON, CHAT, 302, UpstreamBroken, 502),
    ],
)
async def test_what_is_no_answer_is_raised_and_nothing_is_sent(
    rig: Any, answers: Answers, operation: Operation, kind: bytes, body: bytes, status: int, error: Any, reported: int
) -> None:
    attempt = attempt_at(rig, operation)
    with pytest.raises(error) as raised:
        await answers.take(attempt, respond(rig, body, kind, status))
    assert isinstance(raised.value, GatewayError)
    assert raised.value.status == reported
    assert not rig.downstream.is_started
    assert not attempt.is_answered


async def test_an_error_has_the_upstreams_limits_with_it(rig: Any, answers: Answers) -> None:
    headers = [(b"x-ratelimit-remaining-requests", b"0"), (b"retry-after", b"7"), (b"server", b"cloud")]
    response = respond(rig, b'{"error":{"message":"slow"}}', JSON, 429, headers)
    with pytest.raises(UpstreamRejected) as raised:
        await answers.take(attempt_at(rig), response)
    assert raised.value.headers == (("llm_provider-x-ratelimit-remaining-requests", "0"),)
    assert raised.value.retry_after == 7


@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_answer_that_comes_second_is_not_replied(rig: Any, answers: Answers, is_stream: bool) -> None:
    first, second = attempt_at(rig), attempt_at(rig, stream=is_stream)
    first.race = second.race = Race()
    first.commit()
    response = respond(rig, STREAM, EVENTS) if is_stream else respond(rig, CHAT)
    with pytest.raises(Outrun):
        await answers.take(second, response)
    assert not rig.downstream.is_started
    assert not second.is_answered


async def test_a_translated_answer_is_shaped_as_the_client_asked(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="cohere"))
    answers = Answers(rig.clock, lambda: 1e9, lambda: "1")
    attempt = attempt_at(rig, op.RERANK)
    attempt.other = rerank
    attempt.asked = {"query": "q", "documents": ["a"], "return_documents": True}
    await answers.take(attempt, respond(rig, b'{"results":[{"index":0,"relevance_score":0.5}]}'))
    assert b'"document":{"text":"a"}' in rig.downstream.body


@pytest.mark.parametrize("body", [b"x" * (MAX_ERROR_BYTES + 1), None], ids=["too long", "cut"])
async def test_a_refusal_keeps_its_status_when_its_body_is_too_long_or_cut(rig: Any, body: bytes | None) -> None:
    if body is None:
        rig.upstream.script(b"{", status=429, headers=[(b"retry-after", b"7")], then=UpstreamBroken())
    else:
        rig.upstream.script(body, status=422)
    with pytest.raises(UpstreamRejected) as caught:
        await rig.ask({"model": "house", "messages": []})
    assert caught.value.status == (429 if body is None else 422)
    assert caught.value.retry_after == (7 if body is None else None)


FAILED = (
    b'{"object":"response","model":"up-1","status":"failed","error":{"code":"server_error",'
    b'"message":"key sk-upstream-canary-93ab at http://up.test/v1"}}'
)


@pytest.mark.parametrize("padding", [0, SMALL_BYTES])
async def test_a_run_that_has_failed_is_an_answer_without_its_secrets(rig: Any, answers: Answers, padding: int) -> None:
    await answers.take(attempt_at(rig, op.RESPONSES), respond(rig, FAILED[:-1] + b" " * padding + b"}"))
    reply = json.loads(rig.downstream.body)
    assert (reply["model"], reply["status"], reply["error"]["code"]) == ("house", "failed", "server_error")
    assert reply["error"]["message"].startswith("key [key] at ")
    assert b"up.test" not in rig.downstream.body


@pytest.mark.parametrize("error", [b"null", b'{"code":"server_error"}', b'"x"'])
async def test_a_run_without_a_message_is_passed_as_it_is(rig: Any, answers: Answers, error: bytes) -> None:
    body = b'{"object":"response", "error":%b}' % error
    await answers.take(attempt_at(rig, op.RESPONSES), respond(rig, body))
    assert rig.downstream.body == body


async def test_a_long_run_that_is_not_json_is_no_answer(rig: Any, answers: Answers) -> None:
    body = b'{"object":"response","error":{"message":"\xff%b"}}' % (b"x" * SMALL_BYTES)
    with pytest.raises(UpstreamBroken):
        await answers.take(attempt_at(rig, op.RESPONSES), respond(rig, body))
    assert not rig.downstream.is_started


async def test_a_failure_in_another_dialect_is_told_without_its_secrets(make_rig: Make, deployment: Make) -> None:
    # One that is known by nothing but being ours.
    rig = make_rig(deployment(credential=Secret("plain-canary")))
    answers = Answers(rig.clock, lambda: 1e9, lambda: "1")
    attempt = attempt_at(rig)
    request = ChatRequest(dialect="openai", turns=[])
    attempt.translation = Translation(outbound=responses, inbound=openai, request=request)
    with pytest.raises(UpstreamRejected) as raised:
        await answers.take(attempt, respond(rig, FAILED.replace(b"sk-upstream-canary-93ab", b"plain-canary")))
    assert raised.value.message.startswith("key [key] at ")
    assert "plain-canary" not in str(raised.value.operator_detail)
    assert "up.test" not in raised.value.message
