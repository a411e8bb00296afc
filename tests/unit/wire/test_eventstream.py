from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.wire.eventstreams import encode, framed, header, message

from pointsman.errors import UpstreamBroken
from pointsman.wire.eventstream import EventStreamMessages, read_headers
from pointsman.wire.messages import Message

EVENTS = encode("messageStart", {"role": "assistant"}) + encode("contentBlockDelta", {"delta": {"text": "wörld"}})
MESSAGES = [(b"messageStart", b'{"role":"assistant"}'), (b"contentBlockDelta", '{"delta":{"text":"wörld"}}'.encode())]
EVERY_TYPE = (
    header("t", 0, b"")
    + header("f", 1, b"")
    + header("byte", 2, b"\x01")
    + header("short", 3, b"\0\x02")
    + header("int", 4, bytes(4))
    + header("long", 5, bytes(8))
    + header("bytes", 6, b"\0\x03abc")
    + header("when", 8, bytes(8))
    + header("uuid", 9, bytes(16))
    + header(":event-type", 7, b"\0\x01x")
)


def _fed(text: bytes, size: int) -> list[Message]:
    reader = EventStreamMessages()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [message for piece in pieces for message in reader.feed(piece)] + reader.close()


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
def test_messages_are_the_same_whatever_the_pieces_are(size: int) -> None:
    assert _fed(EVENTS * 3, size) == MESSAGES * 3


def test_a_message_that_was_published_is_read() -> None:
    """In the test suites of Amazon's SDKs: nothing in it, and a header with a payload."""
    assert _fed(bytes.fromhex("000000100000000005c248eb7d98c8ff"), 1) == [(b"", b"")]
    text = bytes.fromhex(
        "0000003d0000002007fd8396"
        "0c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
        "7b27666f6f273a27626172277d8d9c08b1"
    )
    assert _fed(text, 5) == [(b"", b"{'foo':'bar'}")]


def test_headers_of_every_type_are_passed_over() -> None:
    assert _fed(framed(EVERY_TYPE, b"{}"), 3) == [(b"x", b"{}")]
    assert read_headers(EVERY_TYPE)[b"bytes"] == b"abc"


def test_an_exception_is_told_by_its_name() -> None:
    text = encode("exception:throttlingException", {"message": "slow down"})
    assert _fed(text, 9) == [(b"exception:throttlingException", b'{"message":"slow down"}')]


def test_an_error_is_told_by_its_code_and_message() -> None:
    text = message({":message-type": "error", ":error-code": "InternalError", ":error-message": 'a "fault"'}, b"")
    assert _fed(text, 9) == [(b"exception:InternalError", rb'{"message":"a \"fault\""}')]


def test_what_is_cut_off_is_no_message() -> None:
    reader = EventStreamMessages()
    assert reader.feed(EVENTS[:-1]) == MESSAGES[:1]
    assert reader.close() == []
    assert reader.feed(EVENTS) == MESSAGES


@pytest.mark.parametrize("at", range(0, len(EVENTS), 3))
def test_a_flipped_bit_anywhere_is_noticed(at: int) -> None:
    damaged = EVENTS[:at] + bytes([EVENTS[at] ^ 4]) + EVENTS[at + 1 :]
    with pytest.raises(UpstreamBroken, match="damaged"):
        _fed(damaged, len(damaged))


def test_a_message_beyond_the_bound_is_refused_before_it_is_there() -> None:
    text = message({":event-type": "x"}, bytes(100))
    assert EventStreamMessages(max_bytes=len(text)).feed(text) == [(b"x", bytes(100))]
    with pytest.raises(UpstreamBroken, match="too long"):
        EventStreamMessages(max_bytes=len(text) - 1).feed(text[:16])


@pytest.mark.parametrize(
    "headers",
    [b"\x05abc", b"\x01a", b"\x01a\x0a", b"\x01a\x07\0\x05ab", b"\x01a\x05\0", b"\x01a\x07\0"],
    ids=["name cut off", "no type", "unknown type", "text cut off", "number cut off", "length cut off"],
)
def test_malformed_headers_are_a_damage(headers: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="damaged"):
        _fed(framed(headers, b""), 1000)


def test_a_length_that_cannot_be_is_a_damage() -> None:
    prelude = struct.pack(">II", 20, 10)
    text = prelude + struct.pack(">I", zlib.crc32(prelude))
    with pytest.raises(UpstreamBroken, match="damaged"):
        EventStreamMessages().feed(text + bytes(20))


def test_names_are_told_apart_however_many_there_are() -> None:
    names = [f"e{number}" for number in range(40)] * 2
    text = b"".join(encode(name, {}) for name in names)
    assert [name.decode() for name, _ in _fed(text, 1000)] == names


@given(st.binary(max_size=300), st.integers(1, 50))
def test_whatever_comes_is_cut_or_refused(text: bytes, size: int) -> None:
    with contextlib.suppress(UpstreamBroken):
        _fed(text, size)
