from __future__ import annotations

from typing import Any

import pytest

from pointsman.pipeline.usage import conversed, given_text, text_bytes, usage_of
from pointsman.wire import operations as op
from pointsman.wire.usage import Usage


def test_the_text_to_be_spoken_is_read_with_its_escapes() -> None:
    assert given_text(b'{"voice":"x","input":"a\\u00e9\\n"}') == "a\u00e9\n"


@pytest.mark.parametrize(
    ("before", "after"), [(b'"url":"data:image/png;base64,', b'"'), (b'{"type":"input_audio","data":"', b'"}')]
)
def test_pictures_and_sounds_in_a_request_are_not_taken_for_text(before: bytes, after: bytes) -> None:
    assert text_bytes(before + b"QUJD" * 1000 + after) == len(before + after)


def test_a_long_word_in_a_text_is_text() -> None:
    assert text_bytes(b'{"content":"%b"}' % (b"a" * 1000)) == 1014


@pytest.mark.parametrize("operation", [op.IMAGE_GENERATION, op.IMAGE_EDIT, op.IMAGE_VARIATION])
def test_pictures_in_the_answer_are_counted(rig: Any, operation: Any) -> None:
    body = b'{"data":[{"b64_json":"AA"},{"b64_json":"BB"}]}'
    assert usage_of(rig.call(operation), body) == Usage(images=2)
    assert usage_of(rig.call(operation), b'{"data":[{"url":"http://x"}]}') == Usage(images=1)


def test_speech_counts_characters_and_not_bytes(rig: Any) -> None:
    call = rig.call(op.SPEECH)
    call.given_text = "Grüße"
    assert usage_of(call, b"") == Usage(characters=5)


def test_whatever_else_does_not_tell_is_unknown(rig: Any) -> None:
    assert usage_of(rig.call(op.CHAT), b'{"data":[{"url":"http://x"}]}') is None


def test_pictures_are_not_counted_as_text() -> None:
    text = b'{"messages":[{"role":"user","content":"What is this?"}]}'
    picture = b'{"image_url":{"url":"data:image/png;base64,%b"}}' % (b"iVBORw0KGgo" * 10_000)
    assert text_bytes(text) == len(text)
    assert text_bytes(text + picture) < len(text) + 100


def test_a_conversation_is_counted_by_its_text_where_the_provider_does_not_count(rig: Any) -> None:
    call = rig.call(op.CHAT)
    call.given_bytes = 36
    answer = b'{"choices":[{"message":{"role":"assistant","content":"%b"}}]}' % (b"x" * 72)
    assert usage_of(call, answer) == Usage(input_tokens=10, output_tokens=20, total_tokens=30)
    assert conversed(call, 72) == usage_of(call, answer)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"text":"x","duration":8.5}', Usage(seconds=8.5)),
        (b'{"text":"x"}', None),
        (b'{"text":"x","duration":-1}', None),
        (b'{"text":"x","duration":"8"}', None),
        (b'{"text":"x","duration":1e300}', None),
        (b"1 00:00", None),
    ],
)
def test_what_was_heard_is_as_long_as_the_answer_says(rig: Any, body: bytes, usage: Usage | None) -> None:
    assert usage_of(rig.call(op.TRANSCRIPTION), body) == usage
