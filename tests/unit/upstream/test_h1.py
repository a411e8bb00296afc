from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pointsman.upstream.h1 import (
    MAX_HEADERS,
    MAX_INTERIM,
    AnswerReader,
    BadAnswer,
    framed,
    header_lines,
    request_head,
    streamed_head,
)
from pointsman.upstream.response import Response

OK = b"HTTP/1.1 200 OK\r\n"
POST = b"POST /x HTTP/1.1\r\nhost: h\r\n"
LIMIT = 1000


def whole(data: bytes) -> Iterable[bytes]:
    return [data]


def single(data: bytes) -> Iterable[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


feeding = pytest.mark.parametrize("cut", [whole, single])


class Read:
    """What came out of a reader for one answer."""

    def __init__(self, producer: Any) -> None:
        self.responses: list[Response] = []
        self.reader = AnswerReader(producer, self.responses.append, LIMIT)

    def feed(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.reader.feed(piece)

    @property
    def response(self) -> Response:
        assert len(self.responses) == 1
        return self.responses[0]


@pytest.fixture
def read(producer: Any) -> Read:
    read = Read(producer)
    read.reader.begin(is_head=False)
    return read


# (what comes, status, body, whether the connection can be reused)
GOOD = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello", True),
    "capital-chunked": (OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200, b"", True),
    "extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", 200, b"hello", True),
    "trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n", 200, b"a", True),
    "close": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "old-alive": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b"", True),
    "no-reason": (b"HTTP/1.1 429\r\nContent-Length: 2\r\n\r\nno", 429, b"no", True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", 200, b"ok", True),
    "hints": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", 200, b"ok", True),
    "unknown-interim": (b"HTTP/1.1 142 What\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", 200, b"ok", True),
}


@feeding
@pytest.mark.parametrize("name", GOOD)
async def test_an_answer_is_read(read: Read, name: str, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    data, status, body, can_reuse = GOOD[name]
    read.feed(cut(data))
    assert read.reader.is_complete
    assert read.reader.can_reuse is can_reuse
    assert read.response.status == status
    assert await read.response.read(100) == body


@feeding
async def test_answers_follow_each_other_on_one_reader(read: Read, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    for data, status, body, can_reuse in GOOD.values():
        if not can_reuse:
            continue
        read.responses.clear()
        read.reader.begin(is_head=False)
        assert not read.reader.has_begun
        read.feed(cut(data))
        assert read.response.status == status
        assert await read.response.read(100) == body


@feeding
def test_header_names_are_lowered_and_values_kept(read: Read, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    read.feed(
        cut(OK + b"X-Request-ID:  Ab c \r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n")
    )
    assert read.response.headers == [
        (b"x-request-id", b"Ab c "),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"x-empty", b""),
        (b"content-length", b"0"),
    ]


@feeding
async def test_trailers_are_no_headers(read: Read, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    read.feed(cut(GOOD["trailer"][0]))
    assert read.response.headers == [(b"transfer-encoding", b"chunked")]


BAD = {
    "two-framings": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-framings-reversed": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "two-lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "list-of-lengths": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "negative-length": OK + b"Content-Length: -2\r\n\r\n",
    "no-length": OK + b"Content-Length: \r\n\r\n",
    "worded-length": OK + b"Content-Length: two\r\n\r\n",
    "huge-length": OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "gzip-coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "unknown-coding": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "twice-chunked": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "bad-chunk-size": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "negative-chunk-size": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "bare-line-feed": OK + b"Content-Length: 2\n\nok",
    "space-before-colon": OK + b"Content-Length : 2\r\n\r\nok",
    "folded-header": OK + b"A: b\r\n c\r\n\r\n",
    "nul-in-header": OK + b"A: b\x00c\r\n\r\n",
    "garbage": b"hello world\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http2-frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "tls-record": b"\x15\x03\x03\x00\x02\x02\x46",
    "upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "plain-101": b"HTTP/1.1 101 Switching\r\n\r\n",
    "status-0": b"HTTP/1.1 000 What\r\n\r\n",
    "status-1000": b"HTTP/1.1 1000 What\r\n\r\n",
    "version-2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "other-protocol": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "interim-with-body": b"HTTP/1.1 103 Early\r\nContent-Length: 2\r\n\r\nok",
    "interim-flood": b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1),
    "endless-head": OK + b"A: " + b"b" * 2 * LIMIT,
    "large-head": OK + b"A: " + b"b" * LIMIT + b"\r\n\r\n",
    "many-headers": OK + b"a:\r\n" * (MAX_HEADERS + 1) + b"\r\n",
}


@feeding
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_an_answer_is_refused(read: Read, name: str, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    with pytest.raises(BadAnswer):
        read.feed(cut(BAD[name]))
    assert not read.reader.is_complete


@pytest.mark.parametrize("body", [b"5;", b"0\r\nX: "])
def test_an_extension_or_trailer_without_end_is_refused(read: Read, body: bytes) -> None:
    read.feed([OK + b"Transfer-Encoding: chunked\r\n\r\n", body])
    with pytest.raises(BadAnswer, match="too large"):
        read.feed([b"a" * 300] * 4)


@feeding
async def test_bytes_after_the_end_leave_the_answer_good_and_the_connection_not(
    read: Read, cut: Callable[[bytes], Iterable[bytes]]
) -> None:
    read.feed(cut(GOOD["length"][0] + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"))
    assert read.reader.is_complete
    assert not read.reader.can_reuse
    assert await read.response.read(10) == b"hello"


async def test_garbage_after_the_end_in_the_same_read_costs_only_the_connection(read: Read) -> None:
    read.feed([GOOD["close"][0] + b"\x00\x01garbage"])
    assert read.reader.is_complete
    assert not read.reader.can_reuse
    assert await read.response.read(10) == b"ok"


@feeding
async def test_without_a_length_the_body_lasts_to_the_end_of_the_connection(
    read: Read, cut: Callable[[bytes], Iterable[bytes]]
) -> None:
    read.feed(cut(OK + b"\r\nhel"))
    read.feed(cut(b"lo"))
    assert not read.reader.is_complete
    assert read.reader.end()
    assert not read.reader.can_reuse
    assert await read.response.read(10) == b"hello"


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 20", OK, OK + b"Content-Length: 5\r\n\r\nhell", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"],
)
def test_the_end_of_the_connection_does_not_complete_other_answers(read: Read, data: bytes) -> None:
    if data:
        read.feed([data])
    assert read.reader.has_begun is bool(data)
    assert not read.reader.end()


@feeding
@pytest.mark.parametrize("framing", [b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_an_answer_to_head_ends_with_its_head_and_the_next_one_is_read(
    read: Read, framing: bytes, cut: Callable[[bytes], Iterable[bytes]]
) -> None:
    read.reader.begin(is_head=True)
    read.feed(cut(OK + framing + b"\r\n"))
    assert read.reader.is_complete
    assert read.reader.can_reuse
    assert await read.response.read(0) == b""
    read.responses.clear()
    read.reader.begin(is_head=False)
    read.feed(cut(GOOD["length"][0]))
    assert await read.response.read(10) == b"hello"


async def test_a_body_after_head_costs_the_connection(read: Read) -> None:
    read.reader.begin(is_head=True)
    read.feed([OK + b"Content-Length: 2\r\n\r\nno"])
    assert not read.reader.can_reuse
    assert await read.response.read(0) == b""


def test_the_announced_idle_time_is_kept(read: Read) -> None:
    assert read.reader.keepalive is None
    read.feed([OK + b"Keep-Alive: max=100, timeout=7\r\nContent-Length: 0\r\n\r\n"])
    assert read.reader.keepalive == 7.0


def test_a_long_body_is_no_long_head(read: Read) -> None:
    read.feed([OK + b"Content-Length: 9000\r\n\r\n" + bytes(5000)])
    read.feed(single(bytes(4000)))
    assert read.reader.is_complete


async def test_a_body_given_up_midway_is_parsed_to_nowhere(read: Read, producer: Any) -> None:
    read.feed([OK + b"Content-Length: 4\r\n\r\nab"])
    done = read.response.relay(lambda data: read.response.abort())
    read.feed([b"cd"])
    assert producer.calls == ["abort"]
    with pytest.raises(Exception, match="cut off"):
        await asyncio.wait_for(done, 1)


def test_a_closed_reader_keeps_nothing(read: Read) -> None:
    read.feed([OK])
    read.reader.close()
    assert not hasattr(read.reader, "_parser")


def test_a_short_body_is_joined_to_its_head_and_a_long_one_is_not_copied() -> None:
    assert framed(POST, b"ab") == (POST + b"content-length: 2\r\n\r\nab",)
    body = bytes(100_000)
    head, same = framed(POST, body)
    assert head == POST + b"content-length: 100000\r\n\r\n"
    assert same is body


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE"])
def test_methods_that_need_no_body_get_no_length(method: bytes) -> None:
    head = method + b" / HTTP/1.1\r\nhost: h\r\n"
    assert framed(head, b"") == (head + b"\r\n",)
    assert framed(head, b"a") == (head + b"content-length: 1\r\n\r\na",)


def test_other_methods_say_that_their_body_is_empty() -> None:
    assert framed(POST, b"") == (POST + b"content-length: 0\r\n\r\n",)


def test_a_streamed_body_has_its_length_or_is_chunked() -> None:
    assert streamed_head(POST, 7) == POST + b"content-length: 7\r\n\r\n"
    assert streamed_head(POST, None) == POST + b"transfer-encoding: chunked\r\n\r\n"


def test_a_head_is_built_from_its_parts() -> None:
    lines = header_lines([(b"accept", b"*/*"), (b"x-a", b"")])
    assert request_head(b"GET", b"/v1?a=b", b"h:8", lines) == (
        b"GET /v1?a=b HTTP/1.1\r\nhost: h:8\r\naccept: */*\r\nx-a: \r\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"a", b"b\r\nc: d"), (b"a", b"b\nc"), (b"a", b"b\0"), (b"a b", b""), (b"", b"x"), (b"a:", b""), (b"a\r\nb", b"")],
)
def test_a_header_that_could_start_another_line_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="HTTP does not allow"):
        header_lines([(name, value)])


@pytest.mark.parametrize(
    ("method", "target"),
    [(b"GET", b"/a b"), (b"GET", b"/a\r\nx: y"), (b"GET", b""), (b"G T", b"/"), (b"", b"/"), (b"GET", b"/\x7f")],
)
def test_a_request_line_that_could_be_read_otherwise_is_refused(method: bytes, target: bytes) -> None:
    with pytest.raises(ValueError, match="HTTP does not allow"):
        request_head(method, target, b"h", b"")
