from __future__ import annotations

import pytest

from pointsman.mcp.protocol.lines import Lines, TooLong

TEXT = b'{"a":1}\n\nnoise\r\n{"b":"\xc3\xa4"}\nrest'


def whole(lines: Lines, *pieces: bytes) -> list[bytes | TooLong]:
    return [line for piece in pieces for line in lines.feed(piece)]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_lines_are_the_same_however_they_arrive(size: int) -> None:
    pieces = [TEXT[i : i + size] for i in range(0, len(TEXT), size)]
    assert whole(Lines(100), *pieces) == [b'{"a":1}', b"", b"noise\r", b'{"b":"\xc3\xa4"}']


def test_what_has_no_end_waits_for_it() -> None:
    lines = Lines(100)
    assert whole(lines, b"ab") == []
    assert whole(lines, b"c\n") == [b"abc"]


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_a_line_that_is_too_long_is_not_kept_and_the_next_one_is_whole(size: int) -> None:
    lines = Lines(20)
    text = b"x" * 9_000 + b"end\nshort\n"
    found = whole(lines, *(text[i : i + size] for i in range(0, len(text), size)))
    assert isinstance(found[0], TooLong)
    assert (found[0].begin[:1], found[0].end[-3:]) == (b"x", b"end")
    assert len(found[0].begin) + len(found[0].end) <= 2 * 4096
    assert found[1:] == [b"short"]


def test_a_line_may_be_as_long_as_the_limit() -> None:
    assert whole(Lines(3), b"ab", b"c\nabc\n") == [b"abc", b"abc"]
    assert isinstance(whole(Lines(3), b"ab", b"cd\n")[0], TooLong)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (b'{"jsonrpc":"2.0","id":17,"result":{"id":4,', b'"id":5}}'),
        (b'{ "id" : 17 , "result": "', b'"}'),
        (b'{"result":{"id":3,', b'"id":5},"jsonrpc":"2.0","id":17}\r'),
        (b'{"result":{', b'},"id":17,"jsonrpc":"2.0"}'),
    ],
)
def test_the_id_of_a_long_response_is_found_at_either_end(begin: bytes, end: bytes) -> None:
    assert TooLong(begin, end).id == 17


def test_a_long_line_that_is_no_response_has_no_id() -> None:
    assert TooLong(b'{"jsonrpc":"2.0","method":"x","params":{"id":1}', b'{"id":1}}').id is None
