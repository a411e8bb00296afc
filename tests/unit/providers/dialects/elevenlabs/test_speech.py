from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.elevenlabs.speech import read, write
from pointsman.providers.translation import Terms


def test_the_voice_is_in_the_path_and_the_format_in_the_query() -> None:
    body = {"model": "x", "input": "Hi", "voice": "21m00Tcm4TlvDq8ikWAM", "speed": 1.1, "stream_format": "audio"}
    sent = write(body, Terms(model="eleven_multilingual_v2"), "/v1")
    assert sent.path == "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM?output_format=mp3_44100_128"
    written = {"text": "Hi", "model_id": "eleven_multilingual_v2", "voice_settings": {"speed": 1.1}}
    assert json.loads(sent.body) == written


@pytest.mark.parametrize(
    ("more", "query"),
    [
        ({"response_format": "opus"}, "output_format=opus_48000_128"),
        ({"response_format": "pcm"}, "output_format=pcm_24000"),
        ({"response_format": "wav"}, "output_format=wav_24000"),
        ({"response_format": "aac", "output_format": "ulaw_8000"}, "output_format=ulaw_8000"),
        ({"enable_logging": False}, "output_format=mp3_44100_128&enable_logging=false"),
    ],
)
def test_formats(more: dict[str, Any], query: str) -> None:
    assert (
        write({"input": "Hi", "voice": "a/b"} | more, Terms(model="m"), "").path == f"/v1/text-to-speech/a%2Fb?{query}"
    )


def test_own_parameters_pass_and_others_are_lost() -> None:
    terms = Terms(model="m", drops=frozenset({"y"}), allowed=frozenset({"x"}))
    settings = {"stability": 0.5, "speed": 0.8}
    own = {"voice_settings": settings, "speed": 1.1, "seed": 7, "x": 1, "y": 2, "instructions": "Softly."}
    sent = write({"input": "Hi", "voice": "v"} | own, terms, "/v1/text-to-speech")
    assert json.loads(sent.body) == {"text": "Hi", "model_id": "m", "voice_settings": settings, "seed": 7, "x": 1}
    assert terms.lost == ["instructions"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"voice": "v"}, "input"),
        ({"input": "a"}, "voice"),
        ({"input": "a", "voice": ""}, "voice"),
        ({"input": "a", "voice": ".."}, "voice"),
        ({"input": "a", "voice": {"id": "v"}}, "voice"),
        ({"input": "a", "voice": "v", "response_format": "flac"}, "response_format"),
    ],
)
def test_what_is_not_valid_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        write(body, Terms(model="m"), "")
    assert caught.value.param == param


def test_the_sound_is_left_alone() -> None:
    assert read(b"ID3", {}).body == b"ID3"
