from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.deepgram.transcription import read, write
from pointsman.providers.translation import Terms, UploadedFile
from pointsman.wire.usage import Usage

SOUND = UploadedFile(name="a.mp3", content_type="audio/mpeg", data=b"ID3")
ANSWER: dict[str, Any] = {
    "metadata": {"request_id": "a", "sha256": "b", "duration": 25.933313, "channels": 1, "models": ["m"]},
    "results": {
        "channels": [
            {
                "detected_language": "en",
                "alternatives": [
                    {
                        "transcript": "Yeah. As much as.",
                        "confidence": 0.99,
                        "words": [
                            {"word": "yeah", "start": 0.08, "end": 0.32, "confidence": 0.9, "punctuated_word": "Yeah."},
                            {"word": "as", "start": 0.4, "end": 0.7, "confidence": 0.9},
                        ],
                    }
                ],
            }
        ],
        "utterances": [
            {
                "start": 0.08,
                "end": 0.32,
                "confidence": 0.9,
                "channel": 0,
                "transcript": "Yeah.",
                "speaker": 1,
                "id": "x",
            },
            {"start": 0.4, "end": 0.7, "transcript": "As much as."},
        ],
    },
}


def sent(terms: Terms | None = None, **body: Any) -> tuple[str, dict[str, list[str]]]:
    request = write({"file": SOUND, "model": "x"} | body, terms or Terms(model="nova-3"), "/v1")
    assert (request.body, request.content_type) == (b"ID3", "audio/mpeg")
    path, _, query = request.path.partition("?")
    return path, parse_qs(query)


def test_all_but_the_sound_is_in_the_query() -> None:
    path, query = sent(language="de", keyterm=["Pointsman", "a b&c"], punctuate=True)
    assert path == "/v1/listen"
    assert query == {
        "model": ["nova-3"],
        "smart_format": ["true"],
        "language": ["de"],
        "keyterm": ["Pointsman", "a b&c"],
        "punctuate": ["true"],
    }


def test_forms_with_times_ask_for_utterances() -> None:
    assert sent(response_format="srt")[1]["utterances"] == ["true"]
    query = sent(response_format="diarized_json", smart_format="false")[1]
    assert (query["diarize"], query["smart_format"]) == (["true"], ["false"])
    assert "utterances" not in sent(response_format="text")[1]


def test_what_deepgram_does_not_know_is_lost_and_nothing_leads_the_answer_away() -> None:
    terms = Terms(model="m", drops=frozenset({"temperature"}), allowed=frozenset({"topics"}))
    fields = {"prompt": "p", "callback": "https://e.com", "temperature": "0", "topics": "true", "stream": "true"}
    assert sent(terms, **fields)[1].keys() == {"model", "smart_format", "topics"}
    assert terms.lost == ["stream", "prompt", "callback"]


def test_the_answer_is_openais() -> None:
    reply = read(
        json.dumps(ANSWER).encode(), {"response_format": "verbose_json", "timestamp_granularities[]": ["word"]}
    )
    found = json.loads(reply.body)
    assert (found["text"], found["language"], found["duration"]) == ("Yeah. As much as.", "en", 25.933313)
    assert [word["word"] for word in found["words"]] == ["Yeah.", "as"]
    assert reply.usage == Usage(seconds=25.933313)
    said = json.loads(read(json.dumps(ANSWER).encode(), {"response_format": "diarized_json"}).body)["segments"]
    assert [(piece["speaker"], piece["text"]) for piece in said] == [("speaker_1", "Yeah."), ("A", "As much as.")]


def test_texts_of_several_channels_are_below_each_other() -> None:
    channels = [{"alternatives": [{"transcript": text}]} for text in ("a", "b")] + [{"alternatives": []}]
    reply = read(json.dumps({"results": {"channels": channels}}).encode(), {})
    assert json.loads(reply.body)["text"] == "a\nb"


@pytest.mark.parametrize(
    ("channel", "asked", "language"),
    [
        ({"alternatives": [{"transcript": "", "languages": ["es", "en"]}]}, {}, "es"),
        ({"alternatives": [{"transcript": ""}]}, {"language": "de"}, "de"),
        ({"alternatives": []}, {}, "unknown"),
    ],
)
def test_the_language_is_the_one_heard_or_asked_for(channel: object, asked: dict[str, str], language: str) -> None:
    answer = json.dumps({"results": {"channels": [channel]}}).encode()
    assert json.loads(read(answer, asked | {"response_format": "verbose_json"}).body)["language"] == language


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"results": {}}', b'{"results": {"channels": ["\xff"]}}'])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {})
