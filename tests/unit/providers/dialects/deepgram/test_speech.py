from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.deepgram.speech import read, write
from pointsman.providers.translation import Terms


def sent(terms: Terms, **body: Any) -> dict[str, list[str]]:
    request = write({"model": "x", "input": "Hello"} | body, terms, "")
    path, _, query = request.path.partition("?")
    assert path == "/v1/speak"
    assert json.loads(request.body) == {"text": "Hello"}
    return parse_qs(query)


@pytest.mark.parametrize(
    ("model", "voice", "expected", "lost"),
    [
        ("aura-2-thalia-en", "thalia", "aura-2-thalia-en", []),
        ("aura-2-thalia-en", "alloy", "aura-2-thalia-en", ["voice"]),
        ("aura-2-thalia-en", "aura-asteria-en", "aura-asteria-en", []),
        ("aura-2", "thalia", "aura-2-thalia-en", []),
        ("aura-2", "celeste-es", "aura-2-celeste-es", []),
        ("aura-2-thalia-en", None, "aura-2-thalia-en", []),
    ],
)
def test_a_voice_is_a_model(model: str, voice: str | None, expected: str, lost: list[str]) -> None:
    terms = Terms(model=model)
    assert sent(terms, voice=voice)["model"] == [expected]
    assert terms.lost == lost


@pytest.mark.parametrize(
    ("form", "encoding", "container"),
    [(None, "mp3", None), ("opus", "opus", "ogg"), ("flac", "flac", None), ("wav", "linear16", "wav")],
)
def test_formats(form: str | None, encoding: str, container: str | None) -> None:
    query = sent(Terms(model="m"), response_format=form)
    assert (query["encoding"], query.get("container")) == ([encoding], None if container is None else [container])


def test_own_parameters_pass_and_others_are_lost() -> None:
    terms = Terms(model="m", drops=frozenset({"voice"}), allowed=frozenset({"x"}))
    query = sent(terms, voice="v", speed=0.9, mip_opt_out=True, x="1", stream_format="audio", instructions="Softly.")
    assert query == {"model": ["m"], "encoding": ["mp3"], "speed": ["0.9"], "mip_opt_out": ["true"], "x": ["1"]}
    assert terms.lost == ["instructions"]


@pytest.mark.parametrize(
    ("body", "param"), [({}, "input"), ({"input": "a", "response_format": "midi"}, "response_format")]
)
def test_what_is_not_valid_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        write(body, Terms(model="m"), "")
    assert caught.value.param == param


def test_the_sound_is_left_alone() -> None:
    assert read(b"ID3", {}).body == b"ID3"
