r"""Finding a member of a JSON object in its bytes, without parsing the object.

Theory: in valid JSON a quote inside a string is written ``\"``, so the bytes ``"model"`` that are not
preceded by a backslash and are followed by a colon are a key. Which object the key belongs to is a matter of
counting the brackets outside strings from the nearer end of the text: an answer has its ``model`` and
``usage`` within a few hundred bytes of one of its ends, whatever lies between.

Keys spelled with escapes are not found, and of several equal keys one is. That will do for answers; requests,
where it matters what was authorised, get a proof on top in :mod:`pointsman.wire.peek`.
"""

from __future__ import annotations

import re
from itertools import accumulate

import msgspec

HEAD = 1024
SMALL_BYTES = 4096
"""Up to here counting brackets beats finding them one by one."""
MAX_CANDIDATES = 256
"""How often a key may stand deeper down before the search for it is given up."""

_COLON = re.compile(rb"[ \t\n\r]*+:[ \t\n\r]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BACKSLASH = 0x5C
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_TO_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
_ROUNDS = 8
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


Member = tuple[int, int]
"""Where the quote of the key stands, and where the value begins."""
_encode = msgspec.json.Encoder().encode


def find_member(body: bytes, key: bytes, head: int = HEAD) -> Member | None:
    """Find a top-level member of the object ``body`` by its ``key``, given with quotes.

    The first ``head`` bytes are looked at first, then the text is gone through from its end, but past no more than
    ``MAX_CANDIDATES`` other places where the key stands.
    On text that is not valid JSON any answer may come, but no exception.
    """
    at = body.find(key, 0, head)
    if at >= 0 and depth_change(body[:at]) == 1 and (member := _member(body, at, key)) is not None:
        return member
    return _find_from_the_end(body, key)


def find_string(body: bytes, start: int) -> int | None:
    """Where the JSON string that begins at ``start`` ends, or ``None`` if no string begins there."""
    match = _STRING.match(body, start)
    return match.end() if match else None


def plain_value(body: bytes, after_key: int, text: str) -> tuple[int, int] | None:
    """The span of the string ``text`` that is the value of the key which ends at ``after_key``, quotes included.

    Only for the usual spelling: at most one space behind the colon, nothing escaped that need not be. ``None`` says to
    look closer.
    """
    start = after_key + (2 if body.startswith(b": ", after_key) else 1)
    spelled = _encode(text)
    return (start, start + len(spelled)) if body.startswith(spelled, start) else None


def depth_change(text: bytes) -> int:
    """Brackets opened less brackets closed in JSON text that begins and ends outside strings."""
    outside = _outside_strings(text)
    return outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")


def is_deeper_than(body: bytes, limit: int) -> bool:
    """Whether valid JSON text is nested more than ``limit`` levels deep."""
    if len(body) <= SMALL_BYTES:
        # Most have a single array, which two searches tell sooner than counting.
        first = body.find(b"[")
        arrays = 1 if body.find(b"[", first + 1) < 0 else body.count(b"[")
        return body.count(b"{") + arrays > limit and _depth_exceeds(body, limit)
    # Few enough brackets cannot be deep. Finding them one by one beats counting: text between them is skipped.
    opened = 0
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0:
            opened += 1
            if opened > limit:
                return _depth_exceeds(body, limit)
            at = body.find(bracket, at + 1)
    return False


def _depth_exceeds(body: bytes, limit: int) -> bool:
    # Each round takes away the innermost pairs, at C speed. Real bodies have few levels and need no more than that;
    # for what is left after some rounds, adding up is quicker.
    brackets = _outside_strings(body).translate(_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(min(limit, _ROUNDS)):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    steps = memoryview(brackets.translate(_TO_STEPS)).cast("b")
    return max(accumulate(steps), default=0) > max(0, limit - _ROUNDS)


def _outside_strings(text: bytes) -> bytes:
    if b"\\" in text:
        # Pairs of backslashes first: what is then left of a run says whether the quote behind it is escaped.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2])


def _member(body: bytes, at: int, key: bytes) -> Member | None:
    if at and body[at - 1] == _BACKSLASH:  # the quote belongs to a string's text
        return None
    colon = _COLON.match(body, at + len(key))
    return (at, colon.end()) if colon else None


def _find_from_the_end(body: bytes, key: bytes) -> Member | None:
    depth, seen = 0, len(body)
    at = body.rfind(key)
    candidates = 0
    while at >= 0 and candidates < MAX_CANDIDATES:
        candidates += 1
        member = _member(body, at, key)
        if member is not None:
            depth += depth_change(body[at:seen])
            if depth == -1:
                return member
            seen = at
        at = body.rfind(key, 0, at)
    return None
