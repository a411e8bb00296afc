from __future__ import annotations

from pointsman.errors import MethodNotAllowed, Overloaded, RateLimited
from pointsman.wire.replies import event, header_lines


def test_an_event_is_its_data_and_perhaps_a_name() -> None:
    assert event(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert event(b"{}", b"error") == b"event: error\ndata: {}\n\n"


def test_data_of_several_lines_stays_one_event() -> None:
    assert event(b'{\r\n"a":1\n}\r') == b'data: {\ndata: "a":1\ndata: }\n\n'


def test_a_failure_says_more_in_its_head() -> None:
    assert header_lines(RateLimited()) == b""
    assert header_lines(Overloaded(retry_after=0.2)) == b"retry-after: 1\r\n"
    assert header_lines(RateLimited(retry_after=2.1)) == b"retry-after: 3\r\n"
    assert header_lines(MethodNotAllowed(headers=(("allow", "GET"),))) == b"allow: GET\r\n"
    assert header_lines(MethodNotAllowed(headers=(("x", "ü\u2013"),))) == "x: ü?\r\n".encode("latin-1")
