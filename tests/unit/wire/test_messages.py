"""Cutting streams into messages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.wire import messages
from pointsman.wire.messages import JsonLines, Message, SseMessages

EVENTS = b"\xef\xbb\xbf: hello\n\nevent: start\ndata: {}\n\ndata: one\ndata: two\n\nid: 7\ndata:three\n\ndata\n\n"
MESSAGES = [(b"start", b"{}"), (b"", b"one\ntwo"), (b"", b"three")]
LINES = b'{"a":1}\n\n{"b":2}\r\n{"c":3}'


def _fed(reader: SseMessages | JsonLines, text: bytes, size: int) -> list[Message]:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [message for piece in pieces for message in reader.feed(piece)] + reader.close()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_whatever_the_pieces_and_line_ends_are(end: bytes, size: int) -> None:
    assert _fed(SseMessages(), EVENTS.replace(b"\n", end), size) == MESSAGES


def test_an_event_that_only_lacks_its_blank_line_is_given_at_the_end() -> None:
    reader = SseMessages()
    assert reader.feed(b"data: a\n\ndata: b") == [(b"", b"a")]
    assert reader.close() == [(b"", b"b")]
    assert reader.close() == []


def test_an_event_that_grows_beyond_the_bound_is_refused() -> None:
    reader = SseMessages(max_bytes=10)
    assert reader.feed(b"data: 1234") == []
    with pytest.raises(UpstreamBroken, match="too long"):
        reader.feed(b"5")


class Searched:
    """A pattern that counts the bytes that it is asked to search."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self.n_bytes = 0

    def finditer(self, text: bytes, start: int = 0) -> Iterator[re.Match[bytes]]:
        self.n_bytes += len(text) - start
        return self._pattern.finditer(text, start)


def test_an_event_of_many_pieces_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    boundary = Searched(messages._BOUNDARY)
    monkeypatch.setattr(messages, "_BOUNDARY", boundary)
    event = b"data: x\n" * 1000
    assert len(_fed(SseMessages(), event + b"\n", 8)) == 1
    assert len(event) <= boundary.n_bytes < 2 * len(event)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_lines_are_the_same_whatever_the_pieces_are(size: int) -> None:
    assert _fed(JsonLines(), LINES, size) == [(b"", b'{"a":1}'), (b"", b'{"b":2}'), (b"", b'{"c":3}')]


def test_a_line_that_grows_beyond_the_bound_is_refused() -> None:
    reader = JsonLines(max_bytes=10)
    with pytest.raises(UpstreamBroken, match="too long"):
        reader.feed(b"x" * 11)
