from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.converse import golden
from unit.wire.eventstreams import encode

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.converse import stream_reader, streams
from pointsman.wire.chat import Event, Failed, Started, TextDelta, ThinkingSealed, WholePart
from pointsman.wire.eventstream import EventStreamMessages


def read(pieces: list[bytes]) -> tuple[list[Event], bool]:
    cut, reader = EventStreamMessages(), stream_reader()
    messages = [message for piece in pieces for message in cut.feed(piece)] + cut.close()
    events = [event for name, data in messages for event in reader.read(name, data)]
    return [*events, *reader.close()], reader.is_finished


def feed(*events: tuple[str, dict[str, Any]]) -> list[Event]:
    reader = stream_reader()
    reader.read(b"messageStart", b"{}")
    return [found for name, data in events for found in reader.read(name.encode(), msgspec.json.encode(data))]


def delta(**delta: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}


def start(**start: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockStart", {"contentBlockIndex": 0, "start": start}


STOP = ("contentBlockStop", {"contentBlockIndex": 0})


@pytest.mark.parametrize("path", golden.cases("streams"), ids=lambda path: path.stem)
def test_a_stream_is_read_as_recorded_however_it_is_cut(path: Path) -> None:
    case = golden.load(path)
    text = b"".join(encode(name, payload) for name, payload in case["native"])
    expected = golden.values([pair for pair in case["canonical"] if pair[0] != "Failed"])
    failures = [members["error"] for kind, members in case["canonical"] if kind == "Failed"]
    for size in (len(text), 1, 7, 100):
        events, is_finished = read([text[at : at + size] for at in range(0, len(text), size)])
        errors = [event.error for event in events if isinstance(event, Failed)]
        assert [event for event in events if not isinstance(event, Failed)] == expected
        assert [{name: getattr(error, name) for name in failures[0]} for error in errors] == failures
        assert is_finished == case["is_finished"]


def test_a_stream_that_is_cut_off_is_not_finished() -> None:
    text = encode("messageStart", {"role": "assistant"}) + encode(*delta(text="Half"))
    assert read([text[:-1]]) == ([Started()], False)
    assert read([text]) == ([Started(), TextDelta("Half")], False)


def test_a_stream_begins_once_and_with_its_first_event_whatever_that_is() -> None:
    text = ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}})
    for events in ([("messageStart", {}), ("messageStart", {}), text], [text, ("messageStart", {})]):
        reader = stream_reader()
        found = [each for name, data in events for each in reader.read(name.encode(), msgspec.json.encode(data))]
        assert found == [Started(), TextDelta("a")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"contentBlockDelta", b""),
        (b"contentBlockDelta", b"{}"),
        (b"contentBlockDelta", b'{"delta":{"text":7}}'),
        (b"contentBlockDelta", b'{"delta":{"toolUse":{}}}'),
        (b"contentBlockDelta", b'{"delta":{"text":"a"},"contentBlockIndex":"x"}'),
        (b"contentBlockStart", b'{"start":{"toolUse":{"toolUseId":"x"}}}'),
        (b"contentBlockStart", b"[]"),
        (b"contentBlockStop", b"null"),
        (b"messageStop", b'{"stopReason":{}}'),
        (b"metadata", b"{"),
        (b"contentBlockDelta", b'{"delta":' * 5000),
        (b"contentBlockDelta", b'{"delta":{"text":"\xff"}}'),
        (b"messageStop", b'{"stopReason":"\xff"}'),
    ],
)
def test_what_cannot_be_understood_is_a_broken_upstream(name: bytes, data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        stream_reader().read(name, data)


def test_events_that_are_not_known_are_skipped() -> None:
    assert (
        feed(("somethingNew", {"a": 1}), delta(something={"a": 1}), STOP, ("metadata", {"usage": {"a": 1}}))[:-1] == []
    )


def test_a_usage_that_cannot_be_read_is_none() -> None:
    assert feed(("metadata", {"usage": {"inputTokens": "x"}}), ("metadata", {})) == []


def test_encrypted_reasoning_that_is_no_base64_is_a_broken_upstream() -> None:
    pieces = [delta(reasoningContent={"redactedContent": piece}) for piece in ("a", "b")]
    with pytest.raises(UpstreamBroken, match="base64"):
        feed(*pieces, STOP)


def test_one_piece_of_encrypted_reasoning_is_handed_on_as_it_is() -> None:
    events = feed(delta(reasoningContent={"redactedContent": "opaque"}), STOP)
    assert [event.seal.text for event in events if isinstance(event, ThinkingSealed)] == ["opaque"]


@pytest.mark.parametrize("source", [None, {}, {"bytes": 7}, "x"])
def test_a_picture_without_data_is_an_empty_one(source: Any) -> None:
    (event,) = feed(start(image={"format": "png"}), delta(image={"source": source}), STOP)
    assert isinstance(event, WholePart)


def test_a_picture_without_a_format_is_skipped() -> None:
    assert feed(start(image={}), delta(image={"source": {"bytes": "AA=="}}), STOP) == []


def test_what_a_tool_of_amazons_was_asked_may_be_no_object() -> None:
    begun = start(toolUse={"name": "x", "toolUseId": "1", "type": "server_tool_use"})
    (event,) = feed(begun, delta(toolUse={"input": "[cut"}), STOP)
    assert isinstance(event, WholePart)
    assert event.part.raw["toolUse"]["input"] == {}  # type: ignore[union-attr]


def test_a_block_that_has_not_begun_ends_without_a_word() -> None:
    assert feed(STOP) == []


def test_a_part_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_PART_CHARS", 10)
    assert feed(delta(reasoningContent={"signature": "x" * 10})) == []
    for piece in ({"signature": "x" * 11}, {"redactedContent": "x" * 11}):
        with pytest.raises(UpstreamBroken, match="too long"):
            feed(delta(reasoningContent=piece))
    for more in ({"citation": {"a": "x" * 11}}, {"toolResult": [{"text": "x" * 11}]}):
        with pytest.raises(UpstreamBroken, match="too long"):
            feed(delta(**more))


def test_blocks_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_BLOCKS", 2)
    with pytest.raises(UpstreamBroken, match="too many"):
        feed(*[(name, data | {"contentBlockIndex": at}) for at in range(3) for name, data in [delta(text="x")]])
