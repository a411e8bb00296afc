from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.access.attachments import Attached, attached

CODED = "Aa0+" * 100
URL = f"data:image/png;base64,{CODED}"
PICTURE = {"type": "image_url", "image_url": {"url": URL}}


def of(*parts: Any) -> Attached | None:
    return attached(msgspec.json.encode({"messages": [{"role": "user", "content": [*parts]}]}))


def test_a_body_of_texts_has_nothing_attached() -> None:
    assert attached(b'{"messages":[{"role":"user","content":"Hi"}]}') is None
    assert of({"type": "text", "text": "Hi"}) == Attached()


@pytest.mark.parametrize("body", [b'[{"type":"image_url"}]', b'{"messages":5,"type":1}'])
def test_what_is_no_request_has_nothing_attached(body: bytes) -> None:
    assert attached(body) == Attached()


@pytest.mark.parametrize("body", [b'{"type"', b'{"type":1e999}', b'{"x":"\\ud800"}'])
def test_what_cannot_be_read_here_may_be_anything(body: bytes) -> None:
    assert attached(body) == Attached(is_open=True)


def test_parts_are_told_from_each_other() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": CODED}}
    assert of(PICTURE, PICTURE) == Attached(coded=800, pictures=2)
    assert of(sound) == Attached(coded=400, sound=400)
    assert of({"inlineData": {"mimeType": "audio/mp3", "data": CODED}}) == Attached(coded=400, sound=400)
    assert of({"inlineData": {"mimeType": "application/pdf", "data": CODED}}) == Attached(coded=400, is_open=True)


def test_parts_are_found_within_others() -> None:
    document = {"type": "document", "source": {"type": "content", "content": [PICTURE]}}
    result = {
        "functionResponse": {"response": {"x": 1}, "parts": [{"inlineData": {"mimeType": "image/png", "data": CODED}}]}
    }
    for part in (document, result, [PICTURE], {"type": "function_call_output", "output": [PICTURE]}):
        assert of(part) == Attached(coded=400, pictures=1)


def test_a_url_that_is_not_in_base64_is_text() -> None:
    assert of({"type": "image_url", "image_url": {"url": f"data:text/plain,{CODED}"}}) == Attached()
