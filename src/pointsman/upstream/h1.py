"""HTTP/1.1 framing: heads and bodies of requests out, answers in.

llhttp (by httptools, without leniencies) does the grammar and refuses what RFC 9112 calls an error: two
framings at once, two lengths, bare line feeds, bad chunk sizes. What it leaves to its user is done here:
limits, interim answers, ``HEAD``, transfer codings other than ``chunked``, bodies that end with the
connection, and bytes after the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import httptools

from pointsman.upstream.response import Headers, Producer, Response

MAX_HEADERS = 256
MAX_INTERIM = 16
"""How many 1xx answers may precede the final one."""

JOINED_BYTES = 16_384
"""Up to here one write of a copy is cheaper than two buffers."""

_PROTOCOL = b"HTTP/1."
_BODILESS = (b"GET ", b"HEAD", b"DELE")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BREAKS_LINE = re.compile(rb"[\r\n\0]")
_NOT_TARGET = re.compile(rb"[\x00-\x20\x7f]")
_TIMEOUT = re.compile(rb"(?:^|[,\s])timeout\s*=\s*(\d{1,9})", re.IGNORECASE)
_CLOSED_BY_STATUS = (204, 304)


class BadAnswer(Exception):
    """What came is not an answer; the text is for the operator."""


# Requests.


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header lines, each ended by CRLF.

    Raises ``ValueError`` on a name or value that could start another.
    """
    lines = bytearray()
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _BREAKS_LINE.search(value):
            raise ValueError("a header has a name or value that HTTP does not allow")
        lines += name + b": " + value + b"\r\n"
    return bytes(lines)


def request_head(method: bytes, target: bytes, host: bytes, lines: bytes) -> bytes:
    """Return a head as :meth:`Upstream.send` wants it; ``lines`` come from :func:`header_lines`.

    Raises ``ValueError`` when the method or target would break the request line.
    """
    if _NOT_TARGET.search(target) or not target or not _TOKEN.fullmatch(method):
        raise ValueError("the method or target of a request holds a character that HTTP does not allow")
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (method, target, host, lines)


def framed(head: bytes, body: bytes) -> tuple[bytes, ...]:
    """Return the buffers of a whole request, to be written in order."""
    if not body and head.startswith(_BODILESS):
        return (head + b"\r\n",)
    length = b"content-length: %d\r\n\r\n" % len(body)
    if len(body) <= JOINED_BYTES:
        return (head + length + body,)
    return (head + length, body)


def streamed_head(head: bytes, length: int | None) -> bytes:
    """Return the head of a request whose body follows piece by piece."""
    if length is None:
        return head + b"transfer-encoding: chunked\r\n\r\n"
    return head + b"content-length: %d\r\n\r\n" % length


# Answers.


class AnswerReader:
    """Reads the answers of one connection, one ``begin`` per request.

    ``deliver`` gets the response as soon as its final head is parsed; the reader then feeds it. After
    ``feed``: ``is_complete`` tells that the answer ended, and ``can_reuse`` that the connection may carry
    another request.
    """

    __slots__ = (
        "_deliver",
        "_headers",
        "_interim",
        "_is_head",
        "_is_until_close",
        "_max_head",
        "_parser",
        "_producer",
        "_quiet",
        "_response",
        "_start",
        "_was_head",
        "can_reuse",
        "has_begun",
        "is_complete",
        "keepalive",
    )

    def __init__(self, producer: Producer, deliver: Callable[[Response], None], max_head_bytes: int) -> None:
        self._producer = producer
        self._deliver = deliver
        self._max_head = max_head_bytes
        self._parser: httptools.HttpResponseParser = httptools.HttpResponseParser(self)
        self._headers: Headers = []
        self._response: Response | None = None
        self._start: bytes | None = b""
        self._quiet = 0
        self._interim = 0
        self._is_head = self._was_head = self._is_until_close = False
        self.has_begun = self.is_complete = self.can_reuse = False
        self.keepalive: float | None = None
        """Seconds of idleness that the peer announced (``Keep-Alive: timeout=N``)."""

    def begin(self, *, is_head: bool) -> None:
        """Expect the answer to one request; ``is_head`` when its method is ``HEAD``."""
        if self._was_head:
            # After HEAD the parser may still wait for the body that the head announced.
            self._parser = httptools.HttpResponseParser(self)
        self._is_head = self._was_head = is_head
        self._response = None
        self._quiet = 0
        self._interim = 0
        self.has_begun = self.is_complete = False

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises :class:`BadAnswer`; bytes after the end only cost the connection."""
        self.has_begun = True
        if self._start is not None:
            data = self._checked_start(self._start + data)
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_complete:
                cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
                raise BadAnswer(str(cause or error)) from error
            self.can_reuse = False
        # Heads, chunk extensions and trailers are bounded by what may arrive without a piece of body coming
        # out.
        if self._quiet > self._max_head and not self.is_complete:
            raise BadAnswer("the head, a chunk's extension or the trailer is too large")

    def end(self) -> bool:
        """Take the end of the stream; return whether the answer is whole by that."""
        response = self._response
        if response is not None and self._is_until_close and not self.is_complete:
            self._complete(response)
        return self.is_complete

    def close(self) -> None:
        """Let go of the parser, which refers back to the reader, and of whom the reader serves; nothing follows."""
        del self._parser, self._producer, self._deliver
        self._response = None

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Take the beginning of a message: a head, interim or final, or bytes after the answer."""
        if self.is_complete:
            self.can_reuse = False
        else:
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line, or one of a trailer."""
        # Nobody reads trailers, nor the headers of an answer that nobody asked for.
        if self._response is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the end of a head, and judge it."""
        if self._response is not None:
            return
        status = self._parser.get_status_code()
        headers = self._headers
        if len(headers) > MAX_HEADERS:
            raise BadAnswer("more headers than an answer may have")
        if self._quiet > self._max_head and _size(headers) > self._max_head:
            raise BadAnswer("the head is too large")
        if status < 200:
            self._on_interim(status)
            return
        self.can_reuse = self._parser.should_keep_alive()
        for name, value in headers:
            if name == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise BadAnswer("a transfer coding that nobody asked for")
            elif name == b"keep-alive":
                self._on_keepalive(value)
        self._quiet = 0
        self._is_until_close = not self.can_reuse and not _is_delimited(status, headers)
        response = self._response = Response(status, headers, self._producer)
        self._deliver(response)
        if self._is_head:
            self._complete(response)

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body, without its chunk framing."""
        response = self._response
        if response is None:
            raise BadAnswer("an interim answer with a body")
        if self.is_complete:
            self.can_reuse = False
            return
        self._quiet = 0
        response.feed(data)

    def on_message_complete(self) -> None:
        """Take the end of a message."""
        response = self._response
        if response is not None and not self.is_complete:
            self._complete(response)

    def _checked_start(self, start: bytes) -> bytes:
        # llhttp takes other versions and protocols (RTSP, ICE) for answers too. One look for each connection is
        # enough: what speaks HTTP/1 once will not change to something else.
        if not start.startswith(_PROTOCOL[: len(start)]):
            raise BadAnswer("not HTTP/1")
        if len(start) < len(_PROTOCOL):
            self._start = start
            return b""
        self._start = None
        return start

    def _complete(self, response: Response) -> None:
        self.is_complete = True
        response.finish()

    def _on_interim(self, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101:
            raise BadAnswer("a status that nobody asked for")
        if self._interim > MAX_INTERIM:
            raise BadAnswer("more interim answers than one may send")

    def _on_keepalive(self, value: bytes) -> None:
        found = _TIMEOUT.search(value)
        if found is not None:
            self.keepalive = float(found[1])


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _is_delimited(status: int, headers: Headers) -> bool:
    return status in _CLOSED_BY_STATUS or any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
