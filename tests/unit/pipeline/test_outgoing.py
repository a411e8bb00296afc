from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamBroken,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.pipeline.outgoing import JsonBody, UploadBody
from pointsman.pipeline.upload import Upload
from pointsman.routing.plan import Choice
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek, peek

Make = Callable[..., Any]
KIND = b"multipart/form-data; boundary=b"
ERROR = b'{"error":{"message":"no"}}'
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nhouse\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nABC\r\n--b--\r\n'
)


def json_body(raw: bytes) -> JsonBody:
    return JsonBody(peek(op.CHAT, raw), raw)


def sent(body: JsonBody, attempt: Any) -> bytes:
    raw = body.request(attempt)[1]
    assert isinstance(raw, bytes)
    return raw


def overriding(attempt: Any, overrides: dict[str, Any]) -> Any:
    choice = attempt.choice
    attempt.choice = Choice(choice.member, choice.match, choice.public_model, 0.0, overrides)
    return attempt


def test_each_deployment_is_asked_for_its_own_model_with_its_own_defaults(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2", defaults={"top_p": 1}, overrides={"seed": 7}))
    body = json_body(b'{ "model":"house", "messages":[]}')
    assert sent(body, rig.attempt()) == b'{ "model":"up-1", "messages":[]}'
    second = msgspec.json.decode(sent(body, rig.attempt(model="other")))
    assert second == {"model": "up-2", "messages": [], "top_p": 1, "seed": 7}
    assert sent(body, rig.attempt()) == b'{ "model":"up-1", "messages":[]}'


def test_a_body_without_a_model_gets_one(rig: Any) -> None:
    assert msgspec.json.decode(sent(json_body(b'{"messages":[]}'), rig.attempt())) == {"messages": [], "model": "up-1"}


def test_a_fallback_may_have_other_members_in_the_place_of_the_requests_own(rig: Any) -> None:
    attempt = overriding(rig.attempt(), {"messages": Raw(b'[{"role":"user"}]'), "max_tokens": Raw(b"5")})
    body = json_body(b'{"model":"house","messages":[],"n":1}')
    assert msgspec.json.decode(sent(body, attempt)) == {
        "model": "up-1",
        "messages": [{"role": "user"}],
        "max_tokens": 5,
        "n": 1,
    }


def test_the_operators_members_go_before_those_of_a_fallback(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(overrides={"seed": 7}, defaults={"n": 2, "top_p": 1}))
    attempt = overriding(rig.attempt(), {"seed": Raw(b"1"), "n": Raw(b"1")})
    found = msgspec.json.decode(sent(json_body(b'{"model":"house","messages":[]}'), attempt))
    assert (found["seed"], found["n"], found["top_p"]) == (7, 1, 1)


def test_usage_of_a_stream_is_asked_for_also_where_a_fallback_has_other_members(rig: Any) -> None:
    attempt = overriding(rig.attempt(), {"n": Raw(b"1")})
    found = msgspec.json.decode(sent(json_body(b'{"model":"house","messages":[],"stream":true}'), attempt))
    assert found["stream_options"] == {"include_usage": True}


def test_json_can_be_sent_any_number_of_times() -> None:
    body = json_body(b'{"model":"house","messages":[]}')
    assert body.can_repeat
    assert body.text_bytes == 31


def test_a_rerank_is_shaped_for_each_deployment(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2", vendor="cohere"))
    raw_body = b'{"model":"house","query":"q","documents":["a"]}'
    body = JsonBody(peek(op.RERANK, raw_body), raw_body)
    for model, path, name in (("house", b"/v1/rerank", "up-1"), ("other", b"/v2/rerank", "up-2")):
        head, raw, length = body.request(rig.attempt(rig.call(op.RERANK), model))
        assert head.startswith(b"POST %b HTTP/1.1\r\n" % path)
        assert isinstance(raw, bytes)
        assert msgspec.json.decode(raw)["model"] == name
        assert length is None
    assert body.can_repeat


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"x":1e999}'])
def test_a_rerank_that_cannot_be_read_is_refused(rig: Any, raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        JsonBody(Peek("house"), raw).request(rig.attempt(rig.call(op.RERANK)))


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_form_is_sent_again_from_its_beginning_to_a_deployment_with_another_name(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(), deployment("other", "a-longer-name"))
    with Upload(KIND, pieces(FORM[:70], FORM[70:100], FORM[100:]), len(FORM)) as upload:
        assert await upload.find_model() == "house"
        body = UploadBody(upload)
        for model, name in (("house", b"up-1"), ("other", b"a-longer-name"), ("house", b"up-1")):
            call = rig.call(op.TRANSCRIPTION, {b"content-type": KIND})
            head, outgoing, length = body.request(rig.attempt(call, model))
            assert not isinstance(outgoing, bytes)
            whole = b"".join([piece async for piece in outgoing])
            assert whole == FORM.replace(b"house", name)
            assert length == len(whole)
            assert b"content-type: " + KIND in head
        assert body.can_repeat


async def test_a_form_that_was_not_kept_whole_is_not_sent_again(rig: Any) -> None:
    with Upload(KIND, pieces(FORM), len(FORM)) as upload:
        body = UploadBody(upload)
        upload.is_held = False
        assert not body.can_repeat


# What must not be asked twice.


@pytest.mark.parametrize(
    ("error", "is_repeated"),
    [
        (UpstreamUnreachable(), True),
        (UpstreamRejected(status=503, kind="x"), True),
        (UpstreamTimeout(), False),
        (UpstreamBroken(), False),
    ],
)
@pytest.mark.parametrize("operation", [op.IMAGE_GENERATION, op.SPEECH])
async def test_what_is_charged_by_the_piece_is_repeated_only_when_it_cannot_have_been_made(
    pair: Any, operation: Operation, error: GatewayError, is_repeated: bool
) -> None:
    pair.upstreams["a"].error = error
    request = {"model": "house", "prompt": "x", "input": "x", "voice": "y"}
    if is_repeated:
        await pair.ask(request, operation)
    else:
        with pytest.raises(type(error)):
            await pair.ask(request, operation)
    assert pair.asked == ({"a": 1, "b": 1} if is_repeated else {"a": 1})


async def upload(rig: Any, *pieces: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    call = rig.call(op.TRANSCRIPTION, {b"content-type": KIND})
    with Upload(KIND, body(), sum(map(len, pieces))) as form:
        await rig.pipeline.serve_upload(call, form)


@pytest.mark.parametrize(
    "script", [{"error": UpstreamUnreachable()}, {"status": 503}, {"error": UpstreamRejected(status=500, kind="x")}]
)
async def test_an_upload_is_sent_again_whole(pair: Any, script: dict[str, Any]) -> None:
    pair.upstreams["a"].script(ERROR, **script)
    await upload(pair, FORM[:70], FORM[70:90], FORM[90:])
    (sent,) = pair.upstreams["b"].sent
    assert sent.body == FORM.replace(b"house", b"up-2")
    assert sent.length == len(sent.body)
    assert pair.downstream.status == 200


async def test_an_upload_that_could_not_be_kept_whole_is_not_sent_again(pair: Any) -> None:
    pair.upstreams["a"].script(ERROR, status=503)

    async def body() -> AsyncIterator[bytes]:
        yield FORM[:90]
        form.is_held = False
        yield FORM[90:]

    form = Upload(KIND, body(), len(FORM))
    with form, pytest.raises(UpstreamRejected):
        await pair.pipeline.serve_upload(pair.call(op.TRANSCRIPTION, {b"content-type": KIND}), form)
    assert pair.asked == {"a": 1}
    assert pair.upstreams["a"].sent[0].body == FORM.replace(b"house", b"up-1")


async def test_an_upload_whose_answer_is_lost_is_not_sent_again(pair: Any) -> None:
    pair.upstreams["a"].error = UpstreamTimeout()
    with pytest.raises(UpstreamTimeout):
        await upload(pair, FORM)
    assert pair.asked == {"a": 1}
