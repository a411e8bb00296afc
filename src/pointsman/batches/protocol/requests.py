"""Reading ``{"requests": [...]}`` as it arrives: each request is given as soon as it is whole.

Theory: outside strings only quotes and brackets matter. They are counted until an object of the array ``requests`` is
closed; what stands between such objects is kept, with ``null`` in the place of each, and read as JSON at the end. So
the whole is proven to be JSON although no more than one request of it is ever held.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from pointsman.errors import BodyTooLarge, InvalidRequest

MAX_REST: Final = 64 << 10
"""Bytes of what stands between requests, beside a few for each of them."""
_MARK: Final = b"null"
_PER_REQUEST: Final = 64
_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_IN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_REQUESTS: Final = re.compile(rb'"requests"[ \t\r\n]*+:[ \t\r\n]*+\Z')
_LONGEST_KEY: Final = 256
_OPENING: Final = frozenset(b"{[")
_QUOTE: Final = ord('"')
_DEPTH: Final = 2
"""Of the objects that are looked for."""


class _Create(msgspec.Struct):
    requests: list[None]


class RequestScanner:
    """Takes a body piece by piece."""

    def __init__(self, max_bytes: int) -> None:
        """``max_bytes`` of one request."""
        self._max_bytes = max_bytes
        self._pending = bytearray()
        self._at = 0
        """How far that was looked at."""
        self._depth = 0
        self._is_in_string = False
        self._is_in_requests = False
        self._start: int | None = None
        """Where the request begins that is being read."""
        self._rest = bytearray()
        self.count = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The requests that are whole with ``piece``: objects, but perhaps no JSON inside.

        :raises InvalidRequest: one of them is too long, or there is too much else
        """
        self._pending += piece
        found: list[bytes] = []
        while self._step(found):
            pass
        self._tidy()
        return found

    def close(self) -> None:
        """The body has ended.

        :raises InvalidRequest: it is no object with an array of such objects
        """
        self._rest += self._pending
        try:
            told = msgspec.json.decode(bytes(self._rest), type=_Create)
        except msgspec.ValidationError as error:
            raise InvalidRequest(_told(str(error)), param="requests") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidRequest("The body is not valid JSON") from None
        if not self.count or len(told.requests) != self.count:
            what = "must not be empty" if not told.requests else "must hold objects only, and be there once"
            raise InvalidRequest(f"requests: {what}", param="requests")

    def _step(self, found: list[bytes]) -> bool:
        """Go on to what comes next; ``False``: more of the body is needed."""
        if self._is_in_string:
            end = _IN_STRING.match(self._pending, self._at)
            assert end is not None
            self._at = end.end()
            if self._at >= len(self._pending) or self._pending[self._at] != _QUOTE:
                return False
            self._is_in_string = False
            self._at += 1
            return True
        mark = _STRUCTURE.search(self._pending, self._at)
        if mark is None:
            self._at = len(self._pending)
            return False
        self._at = mark.end()
        self._bracket(self._pending[mark.start()], mark.start(), found)
        return True

    def _bracket(self, mark: int, at: int, found: list[bytes]) -> None:
        if mark == _QUOTE:
            self._is_in_string = True
            return
        if mark in _OPENING:
            if self._depth == 1:
                before = bytes(self._rest[-_LONGEST_KEY:] + self._pending[max(0, at - _LONGEST_KEY) : at])
                self._is_in_requests = mark == ord("[") and _REQUESTS.search(before) is not None
            elif self._depth == _DEPTH and self._is_in_requests and mark == ord("{"):
                self._begin(at)
            self._depth += 1
            return
        self._depth -= 1
        if self._depth == _DEPTH and self._start is not None:
            self._end(found)

    def _begin(self, at: int) -> None:
        self._rest += self._pending[:at] + _MARK
        del self._pending[:at]
        self._at -= at
        self._start = 0

    def _end(self, found: list[bytes]) -> None:
        self._check()
        found.append(bytes(self._pending[: self._at]))
        del self._pending[: self._at]
        self._at, self._start = 0, None
        self.count += 1

    def _tidy(self) -> None:
        if self._start is not None:
            self._check()
            return
        self._rest += self._pending[: self._at]
        del self._pending[: self._at]
        self._at = 0
        if len(self._rest) > MAX_REST + self.count * _PER_REQUEST:
            raise InvalidRequest("There is too much in the body beside 'requests'")

    def _check(self) -> None:
        if self._at > self._max_bytes:
            raise BodyTooLarge(
                f"requests.{self.count}: it is larger than the {self._max_bytes} bytes that a request may have"
            )


def _told(text: str) -> str:
    if "missing" in text:
        return "requests: Field required"
    return "requests: must be an array of objects"
