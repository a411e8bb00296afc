from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.audio import TranscriptionVerbose
from system.process import Gateway
from system.upstream.answers import SPEECH
from system.upstream.script import Answer, error_answer
from system.upstream.server import FakeUpstream

PICTURE = ("plan ü nord.png", b"\x89PNG\r\n\x1a\n--boundary?\r\n\0", "image/png")
SOUND = ("ansage.mp3", b"ID3\x03\0" * 1000, "audio/mpeg")


@pytest.mark.requirement("images.generations")
def test_images_are_generated_without_a_model(client: OpenAI, upstream: FakeUpstream) -> None:
    answer = client.images.generate(prompt="a signal box")
    assert answer.data is not None
    assert answer.data[0].b64_json
    assert upstream.request("gpt-image-1").json == {"model": "gpt-image-1", "prompt": "a signal box"}


@pytest.mark.requirement("images.generations", "images.stream")
def test_images_are_generated_with_a_model_and_streamed(client: OpenAI) -> None:
    answer = client.images.generate(model="fake/painter", prompt="a signal box", quality="high")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 30
    with client.images.generate(model="fake/painter", prompt="x", stream=True, partial_images=1) as stream:
        assert [event.type for event in stream] == ["image_generation.partial_image", "image_generation.completed"]


@pytest.mark.requirement("images.edits")
def test_image_edits_keep_file_names_and_types(client: OpenAI, upstream: FakeUpstream) -> None:
    answer = client.images.edit(model="fake/editor", image=[PICTURE, PICTURE], mask=PICTURE, prompt="at night")
    assert answer.data is not None
    received = upstream.request("editor")
    assert received.target == "/v1/images/edits"
    assert received.body.count(PICTURE[1]) == 3
    assert received.body.count(b'name="image[]"; filename="plan') == 2
    assert received.body.count(b"Content-Type: image/png") == 3
    assert b"fake/" not in received.body


@pytest.mark.requirement("images.edits")
def test_image_edits_without_a_model_get_one(client: OpenAI, upstream: FakeUpstream) -> None:
    client.images.edit(image=PICTURE, prompt="at dawn")
    assert any(b"at dawn" in one.body for one in upstream.requests("gpt-image-1"))


@pytest.mark.requirement("images.edits")
def test_image_variations_are_served(client: OpenAI, upstream: FakeUpstream) -> None:
    with pytest.deprecated_call():
        answer = client.images.create_variation(model="fake/varied", image=PICTURE, n=1)
    assert answer.data is not None
    assert upstream.request("varied").target == "/v1/images/variations"


@pytest.mark.requirement("audio.transcriptions")
def test_a_transcription_is_json(client: OpenAI, upstream: FakeUpstream) -> None:
    answer = client.audio.transcriptions.create(
        model="fake/scribe", file=SOUND, language="de", timestamp_granularities=["word"]
    )
    assert answer.text == "Alle einsteigen"
    received = upstream.request("scribe")
    assert SOUND[1] in received.body
    assert b'filename="ansage.mp3"' in received.body
    assert b"audio/mpeg" in received.body
    assert b'name="timestamp_granularities[]"' in received.body


@pytest.mark.requirement("audio.transcriptions")
@pytest.mark.parametrize(("shape", "start"), [("text", "Alle"), ("srt", "1\n00:00"), ("vtt", "WEBVTT")])
def test_a_transcription_in_a_text_format_is_plain_text(
    gateway: Gateway, client: OpenAI, shape: Literal["text", "srt", "vtt"], start: str
) -> None:
    answer = client.audio.transcriptions.create(model="fake/scribe", file=SOUND, response_format=shape)
    assert isinstance(answer, str)
    assert answer.startswith(start)
    assert answer.endswith("Alle einsteigen\n")


@pytest.mark.requirement("audio.transcriptions")
def test_a_verbose_transcription_has_its_details(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(model="fake/scribe", file=SOUND, response_format="verbose_json")
    assert isinstance(answer, TranscriptionVerbose)
    assert (answer.language, answer.duration) == ("german", 1.5)


@pytest.mark.requirement("audio.transcriptions")
def test_a_transcription_streams(client: OpenAI) -> None:
    with client.audio.transcriptions.create(model="fake/scribe", file=SOUND, stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]


@pytest.mark.requirement("audio.translations")
async def test_a_translation_is_served(async_client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    with pytest.deprecated_call():
        answer = await async_client.audio.translations.create(model="fake/interpreter", file=SOUND)
    assert answer.text == "All aboard"
    assert upstream.request("interpreter").target == "/v1/audio/translations"


@pytest.mark.requirement("audio.upload-memory")
def test_a_large_upload_whose_model_comes_last_arrives_as_it_was_sent(gateway: Gateway, upstream: FakeUpstream) -> None:
    sound = bytes(range(256)) * 20_000
    parts = [
        b'--b0\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + sound + b"\r\n",
        b'--b0\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake/last\r\n--b0--\r\n',
    ]
    reply = gateway.post(
        "/v1/audio/transcriptions", b"".join(parts), {"content-type": "multipart/form-data; boundary=b0"}
    )
    assert reply.json["text"] == "Alle einsteigen"
    assert upstream.request("last").body == b"".join(parts).replace(b"fake/last", b"last")


@pytest.mark.requirement("audio.upload-memory")
def test_an_upload_is_passed_on_while_it_arrives(gateway: Gateway) -> None:
    piece = b"\0" * 65_536
    before = resident_bytes(gateway)
    head = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {gateway.key}\r\n"
        "Content-Type: multipart/form-data; boundary=b1\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    first = (
        b'--b1\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake/flow\r\n'
        b'--b1\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    )
    with gateway.connect() as sock:
        sock.sendall(head + chunked(first))
        for _ in range(112):  # 7 MiB, of 8 that are allowed
            sock.sendall(chunked(piece))
        grown = resident_bytes(gateway) - before
        sock.sendall(chunked(b"\r\n--b1--\r\n") + b"0\r\n\r\n")
        assert b"200 OK" in sock.recv(1 << 16)
    assert grown < 4 * 1024 * 1024


def chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def resident_bytes(gateway: Gateway) -> int:
    return int(Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.requirement("audio.speech")
def test_speech_is_binary(client: OpenAI) -> None:
    answer = client.audio.speech.create(model="fake/speaker", voice="alloy", input="Mind the gap")
    assert answer.content == SPEECH
    assert answer.response.headers["content-type"] == "audio/mpeg"


@pytest.mark.requirement("audio.speech")
def test_speech_arrives_as_it_is_made(client: OpenAI, upstream: FakeUpstream) -> None:
    gate = upstream.gate()
    upstream.answers(
        "slow-speaker", Answer(200, (("content-type", "audio/wav"),), (b"first", gate, b"last"), "chunked")
    )
    with client.audio.speech.with_streaming_response.create(
        model="fake/slow-speaker", voice="alloy", input="Mind the gap", response_format="wav"
    ) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"first"
        gate.open()
        assert b"".join(pieces) == b"last"


@pytest.mark.requirement("audio.speech")
def test_speech_as_events_passes(gateway: Gateway) -> None:
    body = {"model": "fake/speaker", "voice": "alloy", "input": "Mind the gap", "stream_format": "sse"}
    reply = gateway.post("/v1/audio/speech", body)
    assert [event["type"] for event in reply.events] == ["speech.audio.delta", "speech.audio.done"]


@pytest.mark.requirement("audio.speech")
def test_an_error_of_speech_is_json(gateway: Gateway, upstream: FakeUpstream) -> None:
    upstream.answers("hoarse", error_answer(400, "No such voice", kind="invalid_request_error", param="voice"))
    reply = gateway.post("/v1/audio/speech", {"model": "fake/hoarse", "voice": "x", "input": "Mind the gap"})
    assert (reply.status, reply.header("content-type")) == (400, "application/json")
    assert reply.error["param"] == "voice"


@pytest.mark.requirement("audio.transcriptions")
def test_a_file_object_can_be_sent(client: OpenAI) -> None:
    sound = io.BytesIO(SOUND[1])
    sound.name = "ansage.wav"
    assert client.audio.transcriptions.create(model="fake/scribe", file=sound).text
