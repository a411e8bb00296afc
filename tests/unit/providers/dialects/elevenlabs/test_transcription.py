from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.elevenlabs.transcription import MAX_SEGMENT, read, write
from pointsman.providers.translation import Terms, UploadedFile
from pointsman.wire.usage import Usage

SOUND = UploadedFile(name="a.mp3", content_type="audio/mpeg", data=b"ID3")
_FIELD = re.compile(rb'name="([^"]+)"\r\n\r\n([^\r]*)\r\n')


def word(text: str, start: float, end: float, *, kind: str = "word", speaker: str = "s0") -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "type": kind, "speaker_id": speaker, "logprob": -0.1}


WORDS = [
    word("Hello", 0.1, 0.5),
    word(" ", 0.5, 0.6, kind="spacing"),
    word("there.", 0.6, 1.0),
    word(" ", 1.0, 1.1, kind="spacing"),
    word("Who", 1.1, 1.2),
    word(" ", 1.2, 1.3, kind="spacing"),
    word("Me", 1.3, 1.4, speaker="s1"),
    word("(laughs)", 3.0, 3.5, kind="audio_event", speaker="s1"),
]
ANSWER = {"language_code": "en", "language_probability": 0.98, "text": "Hello there. Who Me (laughs)", "words": WORDS}


def sent(terms: Terms | None = None, **body: Any) -> list[tuple[bytes, bytes]]:
    request = write({"file": SOUND, "model": "x"} | body, terms or Terms(model="scribe_v1"), "/v1")
    assert request.path == "/v1/speech-to-text"
    assert request.content_type.startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nID3\r\n' in request.body
    return _FIELD.findall(request.body)


def test_a_form_is_written() -> None:
    fields = sent(language="de", temperature="0.2", keyterms=["a", "b"], tag_audio_events=False, seed=None)
    assert fields == [
        (b"model_id", b"scribe_v1"),
        (b"language_code", b"de"),
        (b"temperature", b"0.2"),
        (b"keyterms", b"a"),
        (b"keyterms", b"b"),
        (b"tag_audio_events", b"false"),
    ]
    assert (b"diarize", b"true") in sent(response_format="diarized_json")


def test_what_is_not_known_is_lost_and_nothing_leads_the_answer_away() -> None:
    terms = Terms(model="m", drops=frozenset({"temperature"}), allowed=frozenset({"language", "x"}))
    fields = sent(terms, prompt="p", webhook="true", temperature="0", stream=True, language="de", x=1)
    assert [name for name, _ in fields] == [b"model_id", b"language", b"x"]
    assert terms.lost == ["stream", "prompt", "webhook"]


def test_pieces_end_with_sentences_speakers_and_pauses() -> None:
    reply = read(json.dumps(ANSWER).encode(), {"response_format": "diarized_json"})
    said = json.loads(reply.body)["segments"]
    assert [(piece["text"], piece["speaker"], piece["start"], piece["end"]) for piece in said] == [
        ("Hello there.", "s0", 0.1, 1.0),
        ("Who", "s0", 1.1, 1.2),
        ("Me", "s1", 1.3, 1.4),
        ("(laughs)", "s1", 3.0, 3.5),
    ]
    assert reply.usage == Usage(seconds=3.5)


def test_long_pieces_end_somewhere() -> None:
    words = [word("word ", at / 10, at / 10) for at in range(100)]
    reply = read(json.dumps(ANSWER | {"words": words}).encode(), {"response_format": "verbose_json"})
    said = json.loads(reply.body)["segments"]
    assert len(said) == 3
    assert all(len(piece["text"]) <= MAX_SEGMENT + len("word ") for piece in said)


def test_words_are_words_only_and_the_length_is_the_one_said() -> None:
    answer = json.dumps(ANSWER | {"audio_duration_secs": 9.5}).encode()
    found = json.loads(read(answer, {"response_format": "verbose_json", "timestamp_granularities": "word"}).body)
    assert [entry["word"] for entry in found["words"]] == ["Hello", "there.", "Who", "Me"]
    assert (found["duration"], found["language"]) == (9.5, "en")
    assert json.loads(read(b'{"text": "a"}', {}).body) == {"text": "a", "usage": {"type": "duration", "seconds": 0.0}}


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"text": "\xff"}', b'{"text": "a", "words": [1]}'])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {})
