"""Reading the few fields of a JSON request that decide, and changing them without touching the rest.

Rules
-----
* One pass over the body and no object model: unread fields are skipped by the decoder, never built.
* What is authorised is what the upstream sees. JSON lets a key stand twice, or be spelled with escapes, and
  decoders take the last one. So ``model`` is replaced in place only where it is *proven* to stand once at the
  top level; everything else goes through a decode of the top level, which keeps one member of each name.
* Where ``"model"`` stands once in the whole text, unescaped, the decoder's finding one is the proof. Otherwise the
  decoder gets the body with the key that was found renamed: if it still sees a ``model``, there were two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pointsman.errors import InvalidRequest
from pointsman.wire import operations
from pointsman.wire.members import find_member, find_string, is_deeper_than, plain_value
from pointsman.wire.operations import Operation

MAX_DEPTH: Final = 64
"""Levels of nesting; deeper bodies are refused before some upstream's parser falls over them."""

OPERATORS_FIELDS: Final = ("api_key", "api_base", "base_url")
"""Members that would send the operator's traffic or credential elsewhere."""

_KEY: Final = b'"model"'
_RENAMED: Final = b'"-----"'
_SMALL_BYTES: Final = 8192
"""In larger bodies, counting keys takes longer than the general proof."""
_SERVER: Final = b'"server_url"'
_ESCAPED_LETTER: Final = b"\\u006"
"""Without these bytes no key can be ``model`` and be spelled otherwise."""
_OPENING: Final = re.compile(rb"[ \t\n\r]*+\{[ \t\n\r]*+(?P<empty>\}?)")
_PLACE: Final = re.compile(r"(?P<text>.*) - at `\$\.(?P<path>[^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_OFFSET: Final = re.compile(r"(?:JSON is malformed: )?(?P<text>.*) \(byte (?P<at>\d+)\)")

Span = tuple[int, int]
"""The first byte and the byte after the last."""


class RawWishes(msgspec.Struct, kw_only=True):
    """The members of a body that are for the gateway, unread; :mod:`pointsman.wire.wishes` says what they mean."""

    fallbacks: Raw | UnsetType = UNSET
    context_window_fallbacks: Raw | UnsetType = UNSET
    content_policy_fallbacks: Raw | UnsetType = UNSET
    models: Raw | UnsetType = UNSET
    num_retries: Raw | UnsetType = UNSET
    timeout: Raw | UnsetType = UNSET
    stream_timeout: Raw | UnsetType = UNSET
    disable_fallbacks: Raw | UnsetType = UNSET
    tags: Raw | UnsetType = UNSET
    priority: Raw | UnsetType = UNSET
    cache: Raw | UnsetType = UNSET
    caching: Raw | UnsetType = UNSET
    guardrails: Raw | UnsetType = UNSET
    mock_response: Raw | UnsetType = UNSET
    drop_params: Raw | UnsetType = UNSET
    additional_drop_params: Raw | UnsetType = UNSET
    allowed_openai_params: Raw | UnsetType = UNSET
    extra_body: Raw | UnsetType = UNSET
    mock_testing_fallbacks: Raw | UnsetType = UNSET
    allowed_model_region: Raw | UnsetType = UNSET
    pointsman: Raw | UnsetType = UNSET
    """What is said to a routed model."""
    metadata: Raw | UnsetType = UNSET
    """The upstream's, but for a list of ``tags`` in it."""


class Peek(msgspec.Struct, frozen=True):
    """What decides about a request."""

    model: str | None
    stream: bool = False
    include_usage: bool = False
    """``stream_options.include_usage``."""
    user: str | None = None
    model_span: Span | None = None
    """Where the JSON string of the only ``model`` stands; ``None``: not proven, or there is none."""
    has_stream_options: bool = False
    wishes: RawWishes | None = None
    """What the body says to the gateway; ``None``: nothing."""
    has_system: bool = False
    """Whether a body with ``messages`` has a ``system`` beside them, as Anthropic's have."""
    names_servers: bool = False
    """Whether one of the ``tools`` may be an MCP server."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(RawWishes, kw_only=True):
    model: str | UnsetType | None = UNSET
    stream: bool | None = None
    stream_options: _StreamOptions | UnsetType | None = UNSET
    user: str | None = None
    tools: Raw | UnsetType = UNSET
    api_key: Any = None
    api_base: Any = None
    base_url: Any = None


class _Chat(_Request, kw_only=True):
    messages: Raw
    system: Raw | UnsetType = UNSET


class _Messages(_Chat, kw_only=True):
    mcp_servers: Raw | UnsetType = UNSET


class _Contents(_Request, kw_only=True):
    contents: Raw


class _Counted(_Request, kw_only=True):
    contents: Raw = Raw(b"[]")


class _Prompt(_Request, kw_only=True):
    prompt: Raw


class _Input(_Request, kw_only=True):
    input: Raw


class _OptionalInput(_Request, kw_only=True):
    input: Raw = Raw(b"null")


class _Rerank(_Request, kw_only=True):
    query: Raw
    documents: Raw


class _Tagged(msgspec.Struct):
    tags: Raw | UnsetType = UNSET


class _Model(msgspec.Struct):
    model: Raw | UnsetType = UNSET


_Shape = tuple[str, bytes, str]
"""A field, the bytes that its value may begin with, and those in words."""
_Reader = tuple[msgspec.json.Decoder[Any], tuple[_Shape, ...]]

_READERS: Final[Mapping[str, _Reader]] = {
    operation.name: (msgspec.json.Decoder(request), shapes)
    for operation, request, shapes in (
        (operations.CHAT, _Chat, (("messages", b"[", "an array"),)),
        (operations.MESSAGES, _Messages, (("messages", b"[", "an array"),)),
        (operations.COUNT_TOKENS, _Chat, (("messages", b"[", "an array"),)),
        (operations.GENERATE_CONTENT, _Contents, (("contents", b'"[{', "an array"),)),
        (operations.GEMINI_COUNT_TOKENS, _Counted, (("contents", b'"[{', "an array"),)),
        (operations.COMPLETION, _Prompt, (("prompt", b'"[', "a string or an array"),)),
        (operations.RESPONSES, _OptionalInput, (("input", b'"[n', "a string or an array"),)),
        (operations.EMBEDDINGS, _Input, (("input", b'"[', "a string or an array"),)),
        (operations.IMAGE_GENERATION, _Prompt, (("prompt", b'"', "a string"),)),
        (operations.SPEECH, _Input, (("input", b'"', "a string"),)),
        (operations.MODERATION, _Input, (("input", b'"[', "a string or an array"),)),
        (operations.RERANK, _Rerank, (("query", b'"{', "a string"), ("documents", b"[", "an array"))),
    )
}
_MODELS: Final = msgspec.json.Decoder(_Model)
_TAGGED: Final = msgspec.json.Decoder(_Tagged)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXTS: Final = msgspec.json.Decoder(str)
_encode: Final = msgspec.json.Encoder().encode


def peek(operation: Operation, body: bytes) -> Peek:
    """Read the deciding fields of the JSON request ``body``.

    ``operation`` is one whose request is JSON. Raises :class:`InvalidRequest`, with ``param`` where a field
    is at fault, for anything that is not an object of the operation's shape.
    """
    decoder, shapes = _READERS[operation.name]
    if not body.isascii():
        _check_utf8(body)
    at = body.find(_KEY) if len(body) <= _SMALL_BYTES else -1
    # Two searches, one from each end, take less than counting. A single byte is found five times as fast as several,
    # and most bodies have no backslash.
    if 0 <= at == body.rfind(_KEY) and (body.find(b"\\") < 0 or body.find(_ESCAPED_LETTER) < 0):
        # The usual case: if the decoder finds a model at the top level, it is this one.
        request = _decode(decoder, body, body)
        _check_request(request, shapes, body)
        if not isinstance(request.model, str):
            return _peek(request, None, None)
        return _peek(request, request.model, plain_value(body, at + len(_KEY), request.model) or _prove_model(body))
    span = _find_model(body)
    request = _decode(decoder, body, _rename(body, span) if span else body)
    if span and request.model is not UNSET:
        span = None
        request = _decode(decoder, body, body)
    _check_request(request, shapes, body)
    if span is None:
        return _peek(request, request.model, None)
    return _peek(request, _TEXTS.decode(memoryview(body)[span[0] : span[1]]), span)


def operation_of(body: bytes) -> Operation | None:
    """The conversation that ``body``, which has no ``messages``, is a request for; ``None``: none that we know."""
    try:
        members = read_members(body)
    except InvalidRequest:
        return None
    if "input" in members:
        return operations.RESPONSES
    return operations.GENERATE_CONTENT if "contents" in members else None


def _peek(request: _Request, model: str | UnsetType | None, span: Span | None) -> Peek:
    options = request.stream_options
    return Peek(
        model if isinstance(model, str) else None,
        request.stream is True,
        options is not UNSET and options is not None and options.include_usage is True,
        request.user,
        span,
        options is not UNSET,
        request if _has_wishes(request) else None,
        type(request) is _Chat and request.system is not UNSET and memoryview(request.system)[0] in b'"[',
        (request.tools is not UNSET or type(request) is _Messages) and _names_servers(request),
    )


def _names_servers(request: _Request) -> bool:
    if type(request) is _Messages:
        return request.mcp_servers is not UNSET
    # From the end, which is twice as quick in such texts.
    return request.tools is not UNSET and bytes(request.tools).rfind(_SERVER) >= 0


def _has_wishes(request: RawWishes) -> bool:
    # One by one, because a loop over the names takes six times as long.
    return (
        request.fallbacks is not UNSET
        or request.context_window_fallbacks is not UNSET
        or request.content_policy_fallbacks is not UNSET
        or request.models is not UNSET
        or request.num_retries is not UNSET
        or request.timeout is not UNSET
        or request.stream_timeout is not UNSET
        or request.disable_fallbacks is not UNSET
        or request.tags is not UNSET
        or request.priority is not UNSET
        or request.cache is not UNSET
        or request.caching is not UNSET
        or request.guardrails is not UNSET
        or request.mock_response is not UNSET
        or request.drop_params is not UNSET
        or request.additional_drop_params is not UNSET
        or request.allowed_openai_params is not UNSET
        or request.extra_body is not UNSET
        or request.mock_testing_fallbacks is not UNSET
        or request.allowed_model_region is not UNSET
        or request.pointsman is not UNSET
        or (request.metadata is not UNSET and tags_of(request.metadata) is not None)
    )


def tags_of(metadata: Raw) -> Raw | None:
    """The list of ``tags`` in ``metadata``, unread; ``None`` if there is none."""
    try:
        tags = _TAGGED.decode(metadata).tags
    except msgspec.DecodeError:
        return None
    return tags if isinstance(tags, Raw) and bytes(tags).startswith(b"[") else None


def splice_model(body: bytes, old: str | None, new: str, span: Span | None = None) -> bytes:
    """Give ``body`` with ``new`` as its only top-level ``model``.

    ``old`` and ``span`` are what :func:`peek` read in this very body. Every other byte stays, except where
    ``model`` stands twice or is spelled with escapes: then the top level is written anew with the last of
    each member. Gives ``body`` itself when nothing changes.
    Raises :class:`InvalidRequest` if ``body`` is not an object.
    """
    if span is None:
        span = _prove_model(body)
        if span is None:
            return set_model(body, new)
    if old == new:
        return body
    view = memoryview(body)
    return b"".join((view[: span[0]], _encode(new), view[span[1] :]))


def set_model(body: bytes, new: str) -> bytes:
    """Give ``body`` with ``model`` set to ``new``, whether it names a model or not."""
    return insert_fields(body, {}, {"model": new})


def insert_fields(body: bytes, defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> bytes:
    """Set the members of ``defaults`` that the caller left out, and all of ``overrides``.

    Values are anything that JSON can hold. New members come first, the caller's keep their bytes, and a
    ``null`` of the caller's counts as given. Gives ``body`` itself when nothing changes.
    Raises :class:`InvalidRequest` if ``body`` is not an object.
    """
    if not defaults and not overrides:
        return body
    members = read_members(body)
    added = {name: value for name, value in {**defaults, **overrides}.items() if name not in members}
    if all(name in added for name in overrides):
        return _prepend(body, added) if added else body
    return _encode({**added, **members, **overrides})


def read_members(body: bytes) -> dict[str, Raw]:
    """Members of the object ``body``, their values unread; of several with one name the last.

    Raises :class:`InvalidRequest` if ``body`` is not an object.
    """
    members: dict[str, Raw] = _decode(_MEMBERS, body, body)
    return members


def ask_for_usage(body: bytes, *, has_stream_options: bool = True) -> bytes:
    """Set ``stream_options.include_usage`` and keep what else the caller put into ``stream_options``.

    ``has_stream_options`` as :func:`peek` read it; ``False`` saves a pass over the body.
    """
    if not has_stream_options:
        return _prepend(body, {"stream_options": {"include_usage": True}})
    raw = bytes(read_members(body).get("stream_options", b"null"))
    options = {} if raw == b"null" else read_members(raw)
    return insert_fields(body, {}, {"stream_options": {**options, "include_usage": True}})


def _find_model(body: bytes) -> Span | None:
    member = find_member(body, _KEY)
    if member is None:
        return None
    end = find_string(body, member[1])
    return None if end is None else (member[1], end)


def _rename(body: bytes, span: Span) -> bytes:
    key = body.rindex(_KEY, 0, span[0])
    view = memoryview(body)
    return b"".join((view[:key], _RENAMED, view[key + len(_KEY) :]))


def _prove_model(body: bytes) -> Span | None:
    span = _find_model(body)
    if span is None:
        return None
    try:
        model = _MODELS.decode(_rename(body, span)).model
    except (msgspec.DecodeError, RecursionError):
        return None
    return span if model is UNSET else None


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes, text: bytes) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except msgspec.DecodeError as error:
        raise _broken_json(str(error), body) from None
    except RecursionError:
        raise _too_deep() from None


def _prepend(body: bytes, added: Mapping[str, Any]) -> bytes:
    opening = _OPENING.match(body)
    if opening is None:
        raise InvalidRequest("The body must be a JSON object")
    if opening["empty"]:
        return _encode(added)
    return b"".join((memoryview(_encode(added))[:-1], b",", memoryview(body)[opening.end() :]))


def _check_request(request: _Request, shapes: tuple[_Shape, ...], body: bytes) -> None:
    for name, allowed, expected in shapes:
        if memoryview(getattr(request, name))[0] not in allowed:
            raise InvalidRequest(f"Invalid '{name}': expected {expected}", param=name)
    if request.api_key is not None or request.api_base is not None or request.base_url is not None:
        raise operators_field(next(name for name in OPERATORS_FIELDS if getattr(request, name) is not None))
    if is_deeper_than(body, MAX_DEPTH):
        raise _too_deep()


def operators_field(name: str) -> InvalidRequest:
    """The refusal of a member that only the operator may set."""
    return InvalidRequest(f"'{name}' is set by the gateway's operator; remove it", param=name)


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not valid UTF-8 at byte {error.start}") from None


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep")


def _wrong_shape(text: str) -> InvalidRequest:
    if missing := _MISSING.match(text):
        return InvalidRequest(f"Missing required parameter: '{missing['field']}'", param=missing["field"])
    if place := _PLACE.match(text):
        return InvalidRequest(f"Invalid '{place['path']}': {_plain(place['text'])}", param=place["path"])
    return InvalidRequest(f"The body must be a JSON object: {_plain(text)}")


def _plain(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "").replace(" | ", " or ")


def _broken_json(text: str, body: bytes) -> InvalidRequest:
    if not body.strip():
        return InvalidRequest("The body is empty; a JSON object is expected")
    if place := _OFFSET.match(text):
        # The decoder has gone past the first surplus character when it tells of it.
        at = int(place["at"]) - place["text"].startswith("trailing")
        return InvalidRequest(f"The body is not valid JSON: {place['text']} at byte {at}")
    return InvalidRequest(f"The body is not valid JSON: it ends too early, at byte {len(body)}")
