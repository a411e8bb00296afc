"""Relaying a stream of server-sent events: the bytes go on as they came, but for ``model``.

Rules
-----
* Only whole events are sent on, so that the gateway can always add an event of its own after them.
* The usual piece is one or more whole events. It is looked at as one text and never split into lines; a few
  substring searches say whether something in it is worth a closer look.
* The spelling of ``"model":"..."`` is learnt from the first event that has one. As long as that is the only
  one in a piece, rewriting it is one ``bytes.replace``. A raw newline or an unescaped quote cannot stand
  inside a JSON string, so what looks like a line or a key is one.
* Anything unusual (several models, errors, usage to strip) is done event by event.

Line ends and boundaries are those of the WHATWG HTML standard, section 9.2.6: LF, CR LF or CR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.wire.members import find_member, find_string
from pointsman.wire.usage import Usage, last_usage, splice_answer_model

MAX_EVENT_BYTES: Final = 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_ENDS: Final = (b"\n\n", b"\n\r\n")
_FALSY: Final = frozenset({b"null", b"false", b"0", b'""', b"{}", b"[]"})
_NO_MODEL: Final = b'"model"\x00'
_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)+")
_DATA: Final = re.compile(rb"(?:\A|(?<=[\r\n]))data(?:: ?|(?=[\r\n]))([^\r\n]*+)")
_DONE: Final = re.compile(rb"(?:\A|[\r\n])data: ?\[DONE\][ \t]*+(?:[\r\n]|\Z)")
_REASON: Final = re.compile(rb'"finish_reason"[ \t]*+:[ \t]*+"[^"]')
_USAGE: Final = re.compile(rb'"usage"[ \t]*+:[ \t]*+\{')
_LAST_TYPE: Final = re.compile(
    rb'"type"[ \t]*+:[ \t]*+"(?:response\.(?:completed|incomplete|failed)|transcript\.text\.done'
    rb'|speech\.audio\.done|image_(?:generation|edit)\.completed)"'
)
_EVENT_TYPE: Final = re.compile(
    rb'"type"[ \t]*+:[ \t]*+"(?:response|transcript\.text|speech\.audio|image_generation|image_edit)\.'
)
_CONTENT: Final = re.compile(rb'content"[ \t]*+:[ \t]*+"((?:[^"\\]++|\\.)*+)"')
_CHAT_TEXT: Final = re.compile(
    rb'"(?:content|reasoning_content|reasoning|text|refusal|arguments)"[ \t]*+:[ \t]*+"((?:[^"\\]++|\\.)*+)"'
)
_DELTA_TEXT: Final = re.compile(rb'"delta"[ \t]*+:[ \t]*+"((?:[^"\\]++|\\.)*+)"')
_OTHER_OUTPUT: Final = re.compile(
    rb'"tool_calls"[ \t]*+:[ \t]*+\[[ \t]*+\{|"(?:partial_image_b64|b64_json|audio)"[ \t]*+:[ \t]*+["{]'
)


class _Syntax(msgspec.Struct):
    """Decoding into this builds nothing."""


_SYNTAX: Final = msgspec.json.Decoder(_Syntax)
_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode


class SseRelay:
    """Relay one stream of events, fed in pieces of any size.

    ``model`` is the public name to put in the place of the upstream's; ``None`` leaves it.
    ``strip_usage`` drops the chunk without choices that only reports usage: the client did not ask for it.
    ``withhold_errors`` drops error events, for a caller who sends his own instead.
    ``max_event_bytes`` bounds what is held back.
    """

    __slots__ = (
        "_began",
        "_is_level",
        "_max_event_bytes",
        "_model",
        "_new",
        "_old",
        "_pending_lf",
        "_strip_usage",
        "_tail",
        "_withhold_errors",
        "chunks",
        "error_body",
        "failure",
        "has_ending",
        "has_output",
        "is_finished",
        "is_typed",
        "output_bytes",
        "usage",
    )

    def __init__(
        self,
        model: str | None = None,
        *,
        strip_usage: bool = False,
        withhold_errors: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._model = model
        self._old = self._new = _NO_MODEL
        self._strip_usage = strip_usage
        self._withhold_errors = withhold_errors
        self._max_event_bytes = max_event_bytes
        self._tail = bytearray()
        self._began = False
        self._pending_lf: bytes | None = None
        self._is_level = False
        self.is_typed = False
        """Whether the events have types, as those of the Responses API do."""
        self.usage: Usage | None = None
        """The last one that was seen."""
        self.output_bytes = 0
        """Length of the text generated so far, for an estimate when no usage comes."""
        self.chunks = 0
        """Data lines seen, ``[DONE]`` not among them."""
        self.has_output = False
        """Whether the first token has come."""
        self.has_ending = False
        """Whether a choice has said why it ended; some servers say that and no ``[DONE]`` after it."""
        self.is_finished = False
        """Whether the stream has said that it is complete: by ``[DONE]`` or its API's last event."""
        self.error_body: bytes | None = None
        """The JSON of the first error event."""
        self.failure: GatewayError | None = None
        """It is for the caller to understand."""

    @property
    def has_error(self) -> bool:
        """Whether the upstream sent an error event; the client has then been told, unless it was withheld."""
        return self.error_body is not None

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes of the upstream and give what to send on, possibly nothing.

        Raises :class:`UpstreamBroken` when an event grows beyond the bound.
        """
        if self._is_level and not self._tail and piece.endswith(_ENDS):
            return self._relay(piece)
        return self._feed_part(piece)

    def close(self) -> bytes:
        """Give what is left when the upstream has ended.

        A last event that only lacks its blank line is completed; half an event is dropped, for the client
        could not tell it from a whole one. The caller looks at ``is_finished`` and ``has_error`` afterwards.
        """
        rest = bytes(self._tail)
        self._tail.clear()
        if not self._began:
            rest = rest.removeprefix(_BOM)
        rest = rest.rstrip(b"\r\n")
        if not rest or not _is_whole(rest):
            return b""
        return self._relay(rest + b"\n\n")

    def _feed_part(self, piece: bytes) -> bytes:
        tail = self._tail
        if self._pending_lf is not None and piece:
            # The LF of a CR LF whose CR ended the last block shares that block's fate.
            lf, self._pending_lf, self._is_level = self._pending_lf, None, True
            if piece.startswith(b"\n"):
                return lf + self.feed(piece[1:])
        tail += piece
        cut = _last_boundary(tail, max(0, len(tail) - len(piece) - 2))
        if len(tail) - cut > self._max_event_bytes:
            tail.clear()
            raise UpstreamBroken("The provider sent an event that is too long")
        if not cut:
            return b""
        block = bytes(memoryview(tail)[:cut])
        del tail[:cut]
        mark = _BOM if not self._began and block.startswith(_BOM) else b""
        self._began = True
        sent = mark + self._relay(block[len(mark) :])
        if not tail and block.endswith(b"\r"):
            self._pending_lf = b"\n" if sent.endswith(b"\r") else b""
        self._is_level = self._pending_lf is None
        return sent

    def _relay(self, block: bytes) -> bytes:
        """Note what is in ``block``, which is whole events, and give what becomes of it."""
        chunks = block.count(b"\ndata:") + block.startswith(b"data:")
        # `find`, because `in` first tries to take the bytes for a number, which costs as much as the search.
        if block.find(b"\r") >= 0:
            chunks += block.count(b"\rdata:")
        if self._model is not None and (models := block.count(b'"model"')):
            if models == block.count(self._old):
                block = block.replace(self._old, self._new)
            else:
                block = b"".join(map(self._rewrite, _events(block)))
        if block.find(b'"type"') >= 0:
            self._note_type(block)
        if block.find(b"[DONE]") >= 0 and _DONE.search(block):
            self.is_finished = True
            chunks -= 1
        # Most chunks say that there is no reason yet; that is quicker seen than a pattern is tried.
        has_text = block.find(b'"finish_reason":"') >= 0 or block.find(b'"finish_reason": "') >= 0
        if has_text and _REASON.search(block):
            self.has_ending = True
        self.chunks += chunks
        self._note_text(block, chunks)
        if block.find(b'"usage"') >= 0 and _USAGE.search(block):
            self.usage = last_usage(block) or self.usage
            if self._strip_usage:
                block = b"".join(event for event in _events(block) if not _is_usage_only(event))
        if block.find(b'"error"') >= 0:
            block = b"".join(event for event in _events(block) if not self._is_withheld(event))
        return block

    def _rewrite(self, event: bytes) -> bytes:
        assert self._model is not None
        lines = list(_DATA.finditer(event))
        if not lines:
            return event
        data = b"\n".join(line[1] for line in lines)
        member = find_member(data, b'"model"')
        end = find_string(data, member[1]) if member else None
        if member and end:
            self._old = data[member[0] : end]
            self._new = data[member[0] : member[1]] + _encode(self._model)
            data = data[: member[0]] + self._new + data[end:]
        elif inner := _members(data).get("response") or _members(data).get("message"):
            # Events of the Responses API and of Anthropic's that carry the whole answer have its model in there.
            old = bytes(inner)
            data = data.replace(old, splice_answer_model(old, self._model), 1)
        return _with_data(event, lines, data.split(b"\n"))

    def _note_type(self, block: bytes) -> None:
        if not self.is_typed and _EVENT_TYPE.search(block):
            self.is_typed = True
        if self.is_typed and _LAST_TYPE.search(block):
            self.is_finished = True

    def _note_text(self, block: bytes, chunks: int) -> None:
        texts: list[bytes] = []
        if self.is_typed:
            texts = _DELTA_TEXT.findall(block)
        else:
            # Most chunks have `content` and nothing else; looking for that alone is three times as quick.
            if chunks == 1:
                texts = _CONTENT.findall(block)
            if not texts or not texts[0]:
                texts = _CHAT_TEXT.findall(block)
        if texts:
            self.output_bytes += sum(map(len, texts))
        if not self.has_output:
            self.has_output = self.output_bytes > 0 or _OTHER_OUTPUT.search(block) is not None

    def _is_withheld(self, event: bytes) -> bool:
        data = _data(event)
        members = _members(data)
        kind = bytes(members.get("type", b""))
        is_error = bytes(members.get("error", b"null")) not in _FALSY or kind == b'"error"'
        if self.error_body is None and (is_error or kind == b'"response.failed"'):
            self.error_body = data
        return is_error and self._withhold_errors


def is_sound(block: bytes) -> bool:
    """Whether every event of ``block``, which is whole events, holds a JSON object, the end mark, or no data at all."""
    if block.startswith(b"data: {") and block.find(b"\n") == len(block) - 2:
        # The usual block is one event of one line.
        return _is_object(block[6:])
    if block.find(b"\r") >= 0:
        return all(_is_sound(event) for event in _events(block))
    for event in block.split(b"\n\n"):
        # The usual event is one line.
        is_line = event.startswith(b"data: {") and event.find(b"\n") < 0
        if not (_is_object(event[6:]) if is_line else _is_sound(event)):
            return False
    return True


def _is_sound(event: bytes) -> bool:
    data = _data(event)
    return not data or data.strip() == b"[DONE]" or _is_object(data)


def error_event(body: bytes) -> bytes:
    """Give the event that tells an OpenAI client of an error; ``body`` is ``{"error": {...}}``."""
    return b"data: " + b"\ndata: ".join(body.splitlines()) + b"\n\n"


def _last_boundary(text: bytearray, start: int) -> int:
    """Give the place behind the last blank line at or after ``start``, or 0."""
    cut = text.rfind(b"\n\n", start)
    if text.find(b"\r", start) >= 0:
        cut = max(cut, text.rfind(b"\n\r", start), text.rfind(b"\r\r", start))
        if cut >= 0 and text.startswith(b"\r\n", cut + 1):
            cut += 1
    return cut + 2 if cut >= 0 else 0


def _events(block: bytes) -> Iterator[bytes]:
    start = 0
    for boundary in _BOUNDARY.finditer(block):
        yield block[start : boundary.end()]
        start = boundary.end()
    if start < len(block):
        yield block[start:]


def _data(event: bytes) -> bytes:
    return b"\n".join(_DATA.findall(event))


def _with_data(event: bytes, lines: list[re.Match[bytes]], values: list[bytes]) -> bytes:
    parts: list[bytes] = []
    at = 0
    for line, value in zip(lines, values, strict=True):
        parts += event[at : line.start(1)], value
        at = line.end(1)
    return b"".join((*parts, event[at:]))


def _members(data: bytes) -> dict[str, Raw]:
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _is_object(data: bytes) -> bool:
    try:
        _SYNTAX.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_usage_only(event: bytes) -> bool:
    members = _members(_data(event))
    choices = bytes(members.get("choices", b""))
    return bytes(members.get("usage", b"")).startswith(b"{") and b"".join(choices.split()) == b"[]"


def _is_whole(event: bytes) -> bool:
    data = _data(event + b"\n")
    return data.strip() == b"[DONE]" or bool(_members(data))
