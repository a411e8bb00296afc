"""Ways in which a provider's stream can be malformed, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from matrix.answering import relay_between
from matrix.clients import JOINS
from matrix.providers_more import PROVIDERS
from matrix.said import OSLO, ROME, Said
from unit.wire import eventstreams

from pointsman.errors import UpstreamError
from pointsman.wire.messages import MAX_MESSAGE_BYTES

COMPLETE, FAILED, CUT = "complete", "failed", "cut"
EVERYTHING: Final = Said(thinking=True, cited=True, calls=(ROME, OSLO))
PLENTY: Final = Said(thinking=True, calls=(ROME, OSLO))
"""For providers that cite nothing."""

Messages = list[bytes]
OTHERS: Final[tuple[Any, ...]] = (None, 7, -1.5, "x", [], {}, [{}], True, 2**70)


def messages_of(provider: str) -> Messages:
    """A stream that has something of all, message by message."""
    native = PROVIDERS[provider]
    return native.stream(EVERYTHING if native.answer(EVERYTHING) is not None else PLENTY)


def outcome(stream: bytes, client: str, provider: str, size: int) -> str:
    """What comes of a stream that arrives in pieces of ``size`` bytes; nothing but a failure of the provider's may.

    A reply that is complete can be read by the client.
    """
    relay = relay_between(client, provider)
    reply = b""
    try:
        for at in range(0, len(stream), size):
            reply += relay.feed(stream[at : at + size])
            if relay.failure is not None:
                return FAILED
        reply += relay.close()
    except UpstreamError:
        return FAILED
    if relay.failure is not None:
        return FAILED
    if relay.is_finished:
        JOINS[client](reply)
    return COMPLETE if relay.is_finished else CUT


def framed(provider: str, data: bytes, name: str = "unknown") -> bytes:
    """A message with these bytes in it, well framed."""
    if provider == "ollama":
        return data.replace(b"\n", b" ") + b"\n"
    if provider == "converse":
        headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
        return eventstreams.message(headers, data)
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def payload(message: bytes) -> tuple[str, bytes]:
    """Name and data of a message of :func:`messages_of`."""
    if message.startswith((b"event: ", b"data: ")):
        lines = dict(line.split(b": ", 1) for line in message.strip().split(b"\n"))
        return lines.get(b"event", b"").decode(), lines[b"data"]
    if message.startswith(b"{"):
        return "", message.strip()
    start, end = message.index(b"{"), message.rindex(b"}") + 1
    name = message[message.index(b":event-type") + 14 :]
    return name[: name.index(b"\r:content-type")].decode(), message[start:end]


def rewritten(provider: str, message: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The message with other data."""
    name, data = payload(message)
    return framed(provider, change(data), name)


def variants(value: Any) -> Iterator[Any]:
    """``value`` with one of its members, at any depth, of another type."""
    for other in OTHERS:
        if type(other) is not type(value) or other != value:
            yield other
    if isinstance(value, dict):
        for name, member in value.items():
            yield {each: inner for each, inner in value.items() if each != name}
            yield from ({**value, name: variant} for variant in variants(member))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from ([*value[:at], variant, *value[at + 1 :]] for variant in variants(member))


def with_other_types(provider: str) -> Iterator[bytes]:
    """Streams in which one member of one message is missing, or of another type."""
    messages = messages_of(provider)
    for at, message in enumerate(messages):
        name, data = payload(message)
        if data == b"[DONE]":
            continue
        for variant in variants(msgspec.json.decode(data)):
            other = framed(provider, msgspec.json.encode(variant), name)
            yield b"".join([*messages[:at], other, *messages[at + 1 :]])


def _every(provider: str, change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Streams in which one message has other data. Of Amazon's first nothing but its name is read."""
    messages = messages_of(provider)
    for at, message in enumerate(messages):
        if provider == "converse" and at == 0:
            continue
        yield b"".join([*messages[:at], rewritten(provider, message, change), *messages[at + 1 :]])


def _with_unknown(provider: str) -> Iterator[bytes]:
    unknown = framed(provider, b'{"type":"not-known-yet","some":{"thing":[1]}}')
    if provider == "gemini":
        unknown = framed(provider, b'{"notKnownYet":{"thing":[1]}}')
    if provider == "ollama":
        unknown = framed(provider, b'{"not_known_yet":[1]}')
    if provider == "openai":
        unknown = framed(provider, b'{"object":"chat.completion.chunk","choices":[],"not_known_yet":[1]}')
    messages = messages_of(provider)
    yield from (b"".join([*messages[:at], unknown, *messages[at:]]) for at in range(1, len(messages) + 1))


def _with_error(provider: str) -> Iterator[bytes]:
    messages, error = messages_of(provider), PROVIDERS[provider].failure
    yield from (b"".join([*messages[:at], error, *messages[at:]]) for at in range(len(messages) - 2))


def _shuffled(provider: str) -> Iterator[bytes]:
    messages = messages_of(provider)
    yield from (b"".join([*messages[at:], *messages[:at]]) for at in range(1, len(messages)))
    yield from (b"".join([*messages[:at], *messages[at + 1 :]]) for at in range(len(messages)))
    yield b"".join(reversed(messages))


def _ends_twice(provider: str) -> Iterator[bytes]:
    messages = messages_of(provider)
    yield from (b"".join([*messages, *messages[-n:]]) for n in (1, 2, 3))


def _flipped(provider: str) -> Iterator[bytes]:
    """Streams of which one byte has changed on its way."""
    stream = b"".join(messages_of(provider))
    for at in range(0, len(stream), 7):
        yield stream[:at] + bytes([stream[at] ^ 0x20]) + stream[at + 1 :]


Streams = Callable[[str], Iterator[bytes]]
ANY: Final = frozenset({COMPLETE, FAILED, CUT})

MALFORMED: Final[dict[str, tuple[Streams, frozenset[str]]]] = {
    "nothing": (lambda _: iter([b""]), frozenset({CUT})),
    "half a JSON text": (lambda provider: _every(provider, lambda data: data[: len(data) // 2]), frozenset({FAILED})),
    "bytes that are no UTF-8": (
        lambda provider: _every(provider, lambda data: data.replace(b'"', b'"\xff\xfe', 3)),
        frozenset({FAILED, COMPLETE, CUT}),
    ),
    "JSON of another kind": (
        lambda provider: (stream for text in (b"[]", b"7", b'"x"') for stream in _every(provider, lambda _: text)),  # noqa: B023
        frozenset({FAILED}),
    ),
    "null": (lambda provider: _every(provider, lambda _: b"null"), ANY),
    "nothing but brackets": (lambda provider: _every(provider, lambda _: b"[" * 50_000), frozenset({FAILED})),
    "members of other types": (with_other_types, ANY),
    "events that nobody knows": (_with_unknown, frozenset({COMPLETE})),
    "an error": (_with_error, frozenset({FAILED})),
    "an event without an end": (
        lambda provider: iter([b"".join(messages_of(provider)[:2]) + b"data: " + b"x" * MAX_MESSAGE_BYTES]),
        frozenset({FAILED}),
    ),
    "a page": (lambda _: iter([b"<html><body>502 Bad Gateway</body></html>\n\n"]), frozenset({FAILED, CUT})),
    "a whole answer": (
        lambda provider: iter([msgspec.json.encode(PROVIDERS[provider].answer(PLENTY))]),
        frozenset({FAILED, CUT, COMPLETE}),
    ),
    "messages in another order, or missing": (_shuffled, ANY),
    "two ends": (_ends_twice, frozenset({COMPLETE})),
    "bytes after the end": (
        lambda provider: iter([b"".join(messages_of(provider)) + rest for rest in (b"\x00", b"\n\n\n", b"data: {")]),
        frozenset({COMPLETE, FAILED}),
    ),
    "a byte that was changed": (_flipped, ANY),
}
"""Kinds of streams, and what may come of them."""
