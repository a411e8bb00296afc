from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.transcripts import Piece, Transcript, file_of, form_of, write_reply
from pointsman.providers.translation import UploadedFile
from pointsman.wire.usage import Usage

HEARD = Transcript(
    text="Hello. Bye.",
    seconds=3725.5,
    language="en",
    segments=[
        Piece(text="Hello.", start=0.0, end=1.25, speaker="speaker_0"),
        Piece(text="Bye.", start=3724.0, end=3725.4996),
    ],
    words=[Piece(text="Hello.", start=0.0, end=1.25)],
)


def written(form: str | None, **more: Any) -> str:
    reply = write_reply(HEARD, {"response_format": form} | more)
    assert reply.usage == Usage(seconds=3725.5)
    return reply.body.decode()


def test_json_and_text_have_the_text() -> None:
    usage = {"type": "duration", "seconds": 3725.5}
    assert json.loads(written(None)) == {"text": "Hello. Bye.", "usage": usage}
    assert written("text") == "Hello. Bye.\n"
    assert write_reply(HEARD, {"response_format": "text"}).content_type == "text/plain; charset=utf-8"


def test_subtitles_have_times() -> None:
    assert written("srt") == ("1\n00:00:00,000 --> 00:00:01,250\nHello.\n\n2\n01:02:04,000 --> 01:02:05,500\nBye.\n\n")
    assert written("vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello.\n\n01:02:04.000 --> 01:02:05.500\nBye.\n\n"
    )


def test_verbose_json_has_what_was_asked_for() -> None:
    plain = json.loads(written("verbose_json"))
    assert {name: plain[name] for name in ("task", "language", "duration", "text")} == {
        "task": "transcribe",
        "language": "en",
        "duration": 3725.5,
        "text": "Hello. Bye.",
    }
    assert [segment["text"] for segment in plain["segments"]] == ["Hello.", "Bye."]
    assert [segment["id"] for segment in plain["segments"]] == [0, 1]
    assert "words" not in plain
    by_word = json.loads(written("verbose_json", **{"timestamp_granularities[]": "word"}))
    assert by_word["words"] == [{"word": "Hello.", "start": 0.0, "end": 1.25}]
    assert "segments" not in by_word
    both = json.loads(written("verbose_json", timestamp_granularities=["word", "segment"]))
    assert {"words", "segments"} <= both.keys()


def test_diarized_json_says_who_speaks() -> None:
    segments = json.loads(written("diarized_json"))["segments"]
    assert [segment["speaker"] for segment in segments] == ["speaker_0", "A"]
    assert segments[0] == {
        "type": "transcript.text.segment",
        "id": "seg_0",
        "start": 0.0,
        "end": 1.25,
        "text": "Hello.",
        "speaker": "speaker_0",
    }


@pytest.mark.parametrize("given", ["pdf", ["json"]])
def test_an_unknown_form_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        form_of({"response_format": given})
    assert caught.value.param == "response_format"


@pytest.mark.parametrize("file", [None, "text"])
def test_a_file_is_needed(file: object) -> None:
    sound = UploadedFile(name="a.wav", content_type="audio/wav", data=b"RIFF")
    assert file_of({"file": sound}) is sound
    with pytest.raises(InvalidRequest) as caught:
        file_of({"file": file})
    assert caught.value.param == "file"


def test_times_that_cannot_be_are_bounded() -> None:
    odd = Transcript(text="a", seconds=1e308, segments=[Piece(text="a", start=-1.0, end=1e308)])
    assert write_reply(odd, {"response_format": "srt"}).body == b"1\n00:00:00,000 --> 100:00:00,000\na\n\n"
    assert write_reply(odd, {}).usage == Usage(seconds=360_000.0)
