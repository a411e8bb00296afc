"""What is learnt from streams on their way through."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.pipeline.relays import TranslatedRelay, WatchedRelay
from pointsman.providers.dialects import anthropic
from pointsman.wire.chat import (
    Event,
    Failed,
    Finished,
    Image,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.messages import JsonLines, SseMessages
from pointsman.wire.sse import SseRelay
from pointsman.wire.usage import Usage

EVENTS: dict[bytes, list[Event]] = {
    b"start": [Started(id="1", usage=Usage(input_tokens=3))],
    b"empty": [TextDelta("")],
    b"text": [TextDelta("four")],
    b"think": [ThinkingDelta("ab")],
    b"tool": [ToolOpened(index=0, id="c", name="f")],
    b"arguments": [ToolDelta(0, "{}")],
    b"picture": [WholePart(Image(data="x"))],
    b"stop": [Finished("stop")],
    b"stop1": [Finished("stop", 1)],
    b"usage": [UsageSeen(Usage(output_tokens=9))],
    b"fail": [Failed(UpstreamBroken("no more")), TextDelta("never")],
}
STARTED = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"up","content":[]}}\n\n'
END = b'"message_stop"'
STOPPED = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class Reader:
    """Knows the words above; ``end`` is the last of a stream, or the reason of the second choice."""

    is_finished = False

    def read(self, _name: bytes, data: bytes) -> Iterable[Event]:
        self.is_finished = data in (b"end", b"stop1")
        return EVENTS.get(data, [])

    def close(self) -> Iterable[Event]:
        return [TextDelta("rest")] if not self.is_finished else []


class Writer:
    """Writes the names of events."""

    def write(self, event: Event) -> bytes:
        return type(event).__name__.encode() + b";"

    def close(self) -> bytes:
        return b"closed"


def _relay() -> TranslatedRelay:
    return TranslatedRelay(Reader(), JsonLines(), Writer())


@pytest.mark.parametrize("word", [b"text", b"think", b"tool", b"picture"])
def test_output_has_come_with_the_first_event_that_holds_some(word: bytes) -> None:
    relay = _relay()
    relay.feed(b"start\nempty\nusage\n")
    assert not relay.has_output
    relay.feed(word + b"\n")
    assert relay.has_output


def test_generated_text_is_counted_for_an_estimate() -> None:
    relay = _relay()
    relay.feed(b"text\nthink\narguments\n")
    assert (relay.output_bytes, relay.chunks) == (8, 3)


def test_the_last_usage_counts() -> None:
    relay = _relay()
    relay.feed(b"start\n")
    assert relay.usage == Usage(input_tokens=3)
    relay.feed(b"usage\n")
    assert relay.usage == Usage(output_tokens=9)


def test_a_complete_stream_is_closed_and_a_cut_one_is_not() -> None:
    complete = _relay()
    assert complete.feed(b"text\nend\n") == b"TextDelta;"
    assert complete.close() == b"closed"
    assert complete.is_finished
    cut = _relay()
    cut.feed(b"text\n")
    assert cut.close() == b"TextDelta;"
    assert not cut.is_finished


def test_a_stream_that_only_said_why_it_ended_is_complete() -> None:
    relay = _relay()
    assert relay.feed(b"text\nstop\nstop1\n") == b"TextDelta;Finished;Finished;"
    assert relay.close() == b"closed"
    assert (relay.is_finished, relay.has_ending) == (True, True)


def test_a_stream_of_which_one_choice_has_ended_and_another_has_not_is_cut() -> None:
    relay = _relay()
    relay.feed(b"text\nstop\n")
    assert relay.has_ending
    assert relay.close() == b"TextDelta;"
    assert (relay.is_finished, relay.has_ending) == (False, False)


def test_nothing_follows_a_failure() -> None:
    relay = _relay()
    assert relay.feed(b"text\nfail\ntext\n") == b"TextDelta;TextDelta;"
    assert relay.failure is not None
    assert relay.failure.message == "no more"
    assert relay.close() == b""


def test_what_only_lacks_its_line_end_is_read_at_the_end() -> None:
    relay = _relay()
    assert relay.feed(b"te") == b""
    assert relay.feed(b"xt\nend") == b"TextDelta;"
    assert relay.close() == b"closed"


def test_a_stream_that_passes_is_read_beside() -> None:
    relay = WatchedRelay(SseRelay("house", withhold_errors=True), anthropic.stream_reader(), SseMessages(), END)
    assert relay.feed(STARTED[:40]) == b""
    assert relay.feed(STARTED[40:]) == STARTED.replace(b'"up"', b'"house"')
    assert (relay.has_output, relay.is_finished) == (False, False)
    delta = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
    block = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    assert relay.feed(block + delta) == block + delta
    assert (relay.has_output, relay.output_bytes) == (True, 2)
    assert relay.feed(STOPPED) == STOPPED
    assert relay.is_finished
    assert relay.close() == b""


def test_an_error_event_of_a_stream_that_passes_is_withheld() -> None:
    relay = WatchedRelay(SseRelay("house", withhold_errors=True), anthropic.stream_reader(), SseMessages())
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    assert relay.feed(error) == b""
    assert relay.error_body is not None
    assert b"Overloaded" in relay.error_body
