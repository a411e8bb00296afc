from __future__ import annotations

from typing import Any

import pytest
from unit.providers.dialects.gemini.golden import cases, plain

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini.streams import MAX_CITED, USAGE_EVERY, stream_reader
from pointsman.wire.chat import Event, Failed, TextDelta, UsageSeen
from pointsman.wire.messages import SseMessages


def shown(event: Event) -> Any:
    if isinstance(event, Failed):
        error = event.error
        return ["Failed", {"status": error.status, "code": error.code, "message": error.message}]
    return plain(event)


def read(pieces: list[bytes]) -> tuple[list[Any], bool]:
    reader, messages = stream_reader(), SseMessages()
    found = [message for piece in pieces for message in messages.feed(piece)] + messages.close()
    events = [event for name, data in found for event in reader.read(name, data)]
    is_finished = reader.is_finished
    return [shown(event) for event in [*events, *reader.close()]], is_finished


@pytest.mark.requirement("gemini.stream")
@cases("streams")
def test_a_stream_is_read_whole_byte_by_byte_and_with_leftovers(case: dict[str, Any]) -> None:
    text = "".join(case["native"]).encode()
    expected = (case["canonical"], case["is_finished"])
    assert read([text]) == expected
    assert read([text[at : at + 1] for at in range(len(text))]) == expected
    assert read([text[at : at + 37] for at in range(0, len(text), 37)]) == expected
    assert read([text.rstrip()]) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"[DONE]",
        b"{",
        b"[]",
        b'"text"',
        b'{"candidates":7}',
        b'{"candidates":[{"content":{"parts":"x"}}]}',
        b'{"candidates":[{"content":{"parts":[{"text":["x"]}]}}]}',
        b'{"candidates":[{"index":"one"}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}',
        b"{" * 100_000,
    ],
)
def test_an_event_that_is_none_is_the_providers_fault(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        stream_reader().read(b"", data)


def test_arguments_that_are_no_object_end_the_stream() -> None:
    reader = stream_reader()
    events = reader.read(b"", b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[1]}}]}}]}')
    assert isinstance(events[-1], Failed)
    assert reader.close() == []


def test_unknown_members_and_kinds_of_parts_are_skipped() -> None:
    reader = stream_reader()
    data = b'{"candidates":[{"content":{"parts":[{"hologram":{}},{"text":"a","tone":1}]},"new":[]}],"more":{}}'
    assert [event for event in reader.read(b"", data) if isinstance(event, TextDelta)] == [TextDelta("a")]


def test_the_text_that_is_kept_for_its_sources_is_bounded() -> None:
    reader = stream_reader()
    data = b'{"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}' % (b"x" * (MAX_CITED // 2))
    for _ in range(5):
        reader.read(b"", data)
    source = b'{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"endIndex":9999999},'
    reader.read(
        b"",
        b'{"candidates":[{"groundingMetadata":' + source + b'"groundingChunkIndices":[0]}]},"finishReason":"STOP"}]}',
    )
    first = next(event for event in reader.close() if isinstance(event, TextDelta))
    assert first.annotations is not None
    assert first.annotations[0]["url_citation"]["end_index"] == MAX_CITED


def test_usage_is_told_now_and_then_on_the_way() -> None:
    reader = stream_reader()
    seen = []
    for at in range(1, 2 * USAGE_EVERY + 2):
        usage = f'"usageMetadata":{{"promptTokenCount":1,"candidatesTokenCount":{at}}}'
        data = f'{{"candidates":[{{"content":{{"parts":[{{"text":"a"}}]}}}}],{usage}}}'
        seen += [e.usage.output_tokens for e in reader.read(b"", data.encode()) if isinstance(e, UsageSeen)]
    assert seen == [USAGE_EVERY, 2 * USAGE_EVERY]


def test_a_block_after_an_answer_has_begun_is_no_news() -> None:
    reader = stream_reader()
    reader.read(b"", b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}')
    reader.read(b"", b'{"promptFeedback":{"blockReason":"SAFETY"}}')
    assert not reader.is_finished
