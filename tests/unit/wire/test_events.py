from __future__ import annotations

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.wire.events import Event, Events

STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    b"id: 1\nretry: 1500\ndata:\n\n"
    b"event: endpoint\r\ndata: /messages\r\n\r\n"
    b"id: 2\ndata: one\ndata: two\n\n"
    b"data:three\r\r\n"
)
EVENTS = [Event(b"endpoint", b"/messages"), Event(b"", b"one\ntwo", b"2"), Event(b"", b"three")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    events = Events(1000)
    found = [one for at in range(0, len(STREAM), size) for one in events.feed(STREAM[at : at + size])]
    assert found == EVENTS
    assert events.last_id == b"2"
    assert events.retry == 1.5


def test_an_event_without_data_only_leaves_its_id() -> None:
    events = Events(1000)
    assert events.feed(b"id: 7\ndata: \n\n") == []
    assert events.last_id == b"7"


def test_what_was_begun_is_forgotten_when_the_stream_begins_anew_but_not_the_id() -> None:
    events = Events(1000)
    events.feed(b"id: 7\ndata: a\n\ndata: half of")
    events.restart()
    assert events.feed(b"data: b\n\n") == [Event(b"", b"b")]
    assert events.last_id == b"7"


@pytest.mark.parametrize("text", [b"data: %b\n\n", b"data: %b", b"data: a\ndata: %b"])
def test_an_event_has_a_bound(text: bytes) -> None:
    events = Events(100)
    for byte in text % (b"x" * 80):
        events.feed(bytes((byte,)))
    events = Events(100)
    with pytest.raises(UpstreamBroken):
        events.feed(text % (b"x" * 101))
    events = Events(100)
    feed_one_by_one = (events.feed(bytes((byte,))) for byte in text % (b"x" * 101))
    with pytest.raises(UpstreamBroken):
        list(feed_one_by_one)


def test_a_pause_that_is_no_number_and_an_id_with_a_nul_are_left_out() -> None:
    events = Events(100)
    events.feed(b"retry: soon\nid: a\0b\ndata: x\n\n")
    assert events.retry is None
    assert events.last_id is None
