from __future__ import annotations

import io
import json
import wave
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.audio import beeps, seconds_of, speech, transcribe
from pointsman.providers.vendors.demo.reply import DemoReply


def speak(**fields: Any) -> DemoReply:
    return speech(json.dumps({"model": "speech", "input": "one two", "voice": "alloy"} | fields).encode(), 0.0)


def whole(reply: DemoReply) -> bytes:
    return b"".join(piece for _, piece in reply.pieces)


@pytest.mark.parametrize("form", [None, "wav"])
def test_speech_is_a_wav_that_players_read(form: str | None) -> None:
    reply = speak(response_format=form)
    assert dict(reply.headers)[b"content-type"] == b"audio/wav"
    with wave.open(io.BytesIO(whole(reply))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24_000, 1, 2)
        assert sound.readframes(sound.getnframes()) == beeps(2)


def test_pcm_is_bare_samples_and_long_texts_are_bounded() -> None:
    assert whole(speak(response_format="pcm")) == beeps(2)
    assert len(beeps(1_000_000)) == len(beeps(100))


def test_long_speech_comes_in_pieces() -> None:
    reply = speak(input="word " * 50)
    assert len(reply.pieces) > 10
    assert b"content-length" not in dict(reply.headers)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "mp3"}, "response_format"),
        ({"stream_format": "sse"}, "stream_format"),
        ({"input": ""}, "input"),
        ({"model": "small"}, "model"),
    ],
)
def test_what_the_demo_cannot_speak_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        speak(**fields)
    assert caught.value.param == param


def upload(file: bytes = b"abc", **fields: str) -> DemoReply:
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in ({"model": "transcribe"} | fields).items()
    )
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return transcribe((parts + head).encode() + file + b"\r\n--b--\r\n", 0.0)


def test_a_transcription_tells_the_file() -> None:
    body = json.loads(whole(upload()))
    assert "'a.wav' of 3 bytes" in body["text"]
    assert "not an AI" in body["text"]
    assert body["usage"] == {"type": "duration", "seconds": 1}


@pytest.mark.parametrize(
    ("form", "start"),
    [("text", "This is"), ("srt", "1\n00:00:00,000 --> 00:00:01,000\n"), ("vtt", "WEBVTT\n\n00:00:00.000 -->")],
)
def test_plain_formats_are_plain_text(form: str, start: str) -> None:
    reply = upload(response_format=form)
    assert dict(reply.headers)[b"content-type"].startswith(b"text/plain")
    assert whole(reply).decode().startswith(start)


def test_verbose_json_has_segments_and_a_duration() -> None:
    body = json.loads(whole(upload(response_format="verbose_json", language="de")))
    assert (body["language"], body["duration"]) == ("de", 1.0)
    assert body["segments"][0]["text"] == body["text"]


def test_a_stream_ends_with_the_whole_text() -> None:
    events = [
        json.loads(piece.decode().strip().partition("\n")[2].removeprefix("data: "))
        for _, piece in upload(stream="true").pieces
    ]
    assert events[-1]["type"] == "transcript.text.done"
    assert events[-1]["usage"]["type"] == "tokens"
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"]


def test_the_length_comes_from_a_wav_header() -> None:
    assert seconds_of(whole(speak(input="word " * 25))) == 3
    assert seconds_of(b"") == 1
    assert seconds_of(b"x" * 16_001) == 2
    assert seconds_of(b"RIFF0000WAVEfmt " + b"\0" * 16) == 1


def test_a_wrong_format_or_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        upload(response_format="docx")
    assert caught.value.param == "response_format"
    with pytest.raises(InvalidRequest) as caught:
        transcribe(b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--', 0.0)
    assert caught.value.param == "file"
