"""What a caller may say about routing in one request.

It stands in members of the body that LiteLLM and OpenRouter have, or in ``x-litellm-*`` headers; of the same wish the
body's goes first, and a ``null`` says nothing. None of it is for the upstream: :func:`strip_wishes` takes it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from pointsman.errors import InvalidRequest
from pointsman.wire.peek import OPERATORS_FIELDS, RawWishes, operators_field, read_members, tags_of

MAX_FALLBACKS: Final = 16
MAX_RETRIES: Final = 10
MAX_SECONDS: Final = 86_400
MAX_PRIORITY: Final = 255
MAX_TAGS: Final = 64
MAX_TAG_CHARS: Final = 128
MAX_REGIONS: Final = 16
MAX_PARAMS: Final = 64


class Fallback(msgspec.Struct, frozen=True):
    """A model to go on with."""

    model: str
    overrides: dict[str, Raw] = {}
    """Members of its body in the place of the request's own. How the answer is sent (``stream``) stays."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What one request says about its routing; ``None``: nothing. Times in seconds."""

    fallbacks: tuple[Fallback, ...] | None = None
    """In order; an empty one says that the requested model shall have none."""
    context_window_fallbacks: tuple[Fallback, ...] | None = None
    content_policy_fallbacks: tuple[Fallback, ...] | None = None
    models: tuple[str, ...] = ()
    """The models to try in order; the first is the requested one where the body has no ``model``."""
    num_retries: int | None = None
    timeout: float | None = None
    stream_timeout: float | None = None
    is_without_fallbacks: bool = False
    tags: tuple[str, ...] = ()
    regions: tuple[tuple[str, ...], ...] = ()
    """Where it may be answered: in one of each; in lower case."""
    priority: int | None = None
    """0 to 255; lower ones are served first."""
    cache: dict[str, Any] | None = None
    """As it was sent."""
    caching: bool | None = None
    drop_params: bool | None = None
    """Whether what the model cannot take is left out of the request, instead of refusing it."""
    additional_drop_params: list[str] | None = None
    """Parameters that are left out in any case."""
    allowed_openai_params: list[str] | None = None
    """Parameters that are sent whatever is known of the model."""
    extra_body: dict[str, Any] | None = None
    """Members for the upstream."""
    pointsman: dict[str, Any] | None = None
    """What is said to a routed model, as it was sent."""
    is_mock_failure: bool = False
    """Whether the first attempt shall fail, to see what follows."""


class _Wish(msgspec.Struct, frozen=True):
    """One that is a single value, and where it may stand."""

    field: str
    member: str
    header: bytes | None
    decoder: msgspec.json.Decoder[Any]
    expected: str


def _wish(member: str, kind: Any, expected: str, *, field: str | None = None, has_header: bool = True) -> _Wish:
    header = f"x-litellm-{member.replace('_', '-')}".encode() if has_header else None
    return _Wish(field or member, member, header, msgspec.json.Decoder(kind), expected)


_Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
_SECONDS: Final = f"seconds above 0 and up to {MAX_SECONDS}"
_FLAG: Final = "true or false"
_Params = Annotated[list[Annotated[str, Meta(max_length=MAX_TAG_CHARS)]], Meta(max_length=MAX_PARAMS)]
_PARAMS: Final = f"a list of at most {MAX_PARAMS} names of parameters"
_WISHES: Final = (
    _wish("num_retries", Annotated[int, Meta(ge=0, le=MAX_RETRIES)], f"a whole number from 0 to {MAX_RETRIES}"),
    _wish("timeout", _Seconds, _SECONDS),
    _wish("stream_timeout", _Seconds, _SECONDS),
    _wish("priority", Annotated[int, Meta(ge=0, le=MAX_PRIORITY)], f"a whole number from 0 to {MAX_PRIORITY}"),
    _wish("disable_fallbacks", bool, _FLAG, field="is_without_fallbacks"),
    _wish("mock_testing_fallbacks", bool, _FLAG, field="is_mock_failure", has_header=False),
    _wish("caching", bool, _FLAG, has_header=False),
    _wish("drop_params", bool, _FLAG, has_header=False),
    _wish("additional_drop_params", _Params, _PARAMS, has_header=False),
    _wish("allowed_openai_params", _Params, _PARAMS, has_header=False),
    _wish("extra_body", dict[str, Any], "an object", has_header=False),
    _wish("cache", dict[str, Any], "an object", has_header=False),
    _wish("pointsman", dict[str, Any], "an object", has_header=False),
)
_TAGS_HEADER: Final = b"x-litellm-tags"
_REGION_HEADER: Final = b"x-pointsman-region"
WISH_HEADERS: Final = frozenset(
    {_TAGS_HEADER, _REGION_HEADER, *(wish.header for wish in _WISHES if wish.header is not None)}
)
"""Headers that hold wishes; without one of them and without members of the body there are none."""
_OURS: Final = frozenset(RawWishes.__struct_fields__) - {"metadata"}
_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_HOW_IT_IS_SENT: Final = frozenset({"stream", "stream_options"})
_DECIDED: Final = frozenset({"model", "stream", "stream_options", "messages", "input", "prompt", "contents"})
"""Members without which the request is another one, or none."""
_NULL: Final = b"null"

_Entry = str | dict[str, Raw]
_ENTRIES: Final = msgspec.json.Decoder(Annotated[list[_Entry], Meta(max_length=MAX_FALLBACKS)])
_ENTRIES_EXPECTED: Final = f"a list of at most {MAX_FALLBACKS} models, or of objects with a model"
_NAMES: Final = msgspec.json.Decoder(Annotated[list[str], Meta(max_length=MAX_FALLBACKS)])
_NAMES_EXPECTED: Final = f"a list of at most {MAX_FALLBACKS} models"
_TAGS: Final = msgspec.json.Decoder(str | list[str])
_TAGS_EXPECTED: Final = f"at most {MAX_TAGS} tags of 1 to {MAX_TAG_CHARS} printable characters"
_REGION: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_REGIONS_EXPECTED: Final = f"at most {MAX_REGIONS} regions such as eu or us-east-1"
_TEXT: Final = msgspec.json.Decoder(str)
_encode: Final = msgspec.json.Encoder().encode


def wishes_of(raw: RawWishes | None, headers: Mapping[bytes, bytes], model: str | None) -> Wishes | None:
    """Read the wishes of a request for ``model``; ``None`` when it has none.

    ``raw`` is what :func:`pointsman.wire.peek.peek` found, and names of ``headers`` are in lower case.
    Raises :class:`InvalidRequest`, with the member or header as ``param``, for what is no such wish.
    """
    if raw is None and headers.keys().isdisjoint(WISH_HEADERS):
        return None
    said = {wish.field: _value(wish, raw, headers) for wish in _WISHES}
    said["tags"] = _tags(raw, headers)
    said["regions"] = _regions(raw, headers)
    if raw is not None:
        models = said["models"] = _models(raw)
        asked = model or (models[0] if models else None)
        said |= {name: _fallbacks(getattr(raw, name), name, asked) for name in _FALLBACKS}
        _check_extra(said["extra_body"])
        _check_drops(said["additional_drop_params"])
    said = {field: value for field, value in said.items() if value is not None}
    return Wishes(**said) if said else None


def _check_extra(extra: dict[str, Any] | None) -> None:
    """The operator's members are not set by this way either, nor those that have decided already."""
    for name in (*OPERATORS_FIELDS, "model", *_HOW_IT_IS_SENT):
        if extra is not None and name in extra:
            raise operators_field(f"extra_body.{name}")


def _check_drops(names: list[str] | None) -> None:
    for name in names or ():
        if name in _DECIDED:
            raise InvalidRequest(f"'{name}' cannot be dropped: leave it out", param="additional_drop_params")


def strip_wishes(body: bytes) -> bytes:
    """Give ``body`` without what is for the gateway; ``tags`` of ``metadata`` are when they are a list.

    What stays keeps the bytes of its value, and stands once.
    Raises :class:`InvalidRequest` if ``body`` is not an object.
    """
    return _encode(_carried(read_members(body)))


def _carried(members: Mapping[str, Raw]) -> dict[str, Raw]:
    kept = {name: value for name, value in members.items() if name not in _OURS}
    metadata = kept.get("metadata")
    if metadata is not None and tags_of(metadata) is not None:
        rest = read_members(bytes(metadata))
        del rest["tags"]
        if rest:
            kept["metadata"] = Raw(_encode(rest))
        else:
            del kept["metadata"]
    return kept


def _value(wish: _Wish, raw: RawWishes | None, headers: Mapping[bytes, bytes]) -> Any:
    text = _said(getattr(raw, wish.member, None))
    if text is not None:
        return _decode(wish.decoder, text, wish.member, wish.expected)
    if wish.header is None or wish.header not in headers:
        return None
    # A number or a flag is written in a header as it is in JSON.
    return _decode(wish.decoder, headers[wish.header].strip().lower(), wish.header.decode(), wish.expected)


def _tags(raw: RawWishes | None, headers: Mapping[bytes, bytes]) -> tuple[str, ...] | None:
    text = _said(getattr(raw, "tags", None))
    if text is not None:
        return _checked_tags(_decode(_TAGS, text, "tags", _TAGS_EXPECTED), "tags")
    if raw is not None and isinstance(raw.metadata, Raw) and (tags := tags_of(raw.metadata)) is not None:
        return _checked_tags(_decode(_TAGS, bytes(tags), "metadata.tags", _TAGS_EXPECTED), "metadata.tags")
    line = headers.get(_TAGS_HEADER)
    return None if line is None else _checked_tags(line.decode("utf-8", "replace"), _TAGS_HEADER.decode())


def _checked_tags(tags: str | list[str], param: str) -> tuple[str, ...]:
    if isinstance(tags, str):
        tags = [tag for part in tags.split(",") if (tag := part.strip())]
    if len(tags) > MAX_TAGS or not all(0 < len(tag) <= MAX_TAG_CHARS and tag.isprintable() for tag in tags):
        raise _invalid(param, _TAGS_EXPECTED)
    return tuple(tags)


def _regions(raw: RawWishes | None, headers: Mapping[bytes, bytes]) -> tuple[tuple[str, ...], ...] | None:
    """What the header demands and what the body does: neither lifts the other, as whoever adds a header may not ask."""
    found = []
    text = _said(getattr(raw, "allowed_model_region", None))
    if text is not None:
        said = _decode(_TAGS, text, "allowed_model_region", _REGIONS_EXPECTED)
        found.append(_checked_regions(said, "allowed_model_region"))
    line = headers.get(_REGION_HEADER)
    if line is not None:
        found.append(_checked_regions(line.decode("latin-1"), _REGION_HEADER.decode()))
    return tuple(found) or None


def _checked_regions(said: str | list[str], param: str) -> tuple[str, ...]:
    names = said.split(",") if isinstance(said, str) else said
    regions = tuple(name.strip().lower() for name in names)
    if not 0 < len(regions) <= MAX_REGIONS or not all(map(_REGION.fullmatch, regions)):
        raise _invalid(param, _REGIONS_EXPECTED)
    return regions


def _models(raw: RawWishes) -> tuple[str, ...] | None:
    text = _said(raw.models)
    if text is None:
        return None
    return tuple(_name(model, "models") for model in _decode(_NAMES, text, "models", _NAMES_EXPECTED))


def _fallbacks(value: Any, param: str, asked: str | None) -> tuple[Fallback, ...] | None:
    """The fallbacks that hold for the model ``asked``: those listed, and of a map its own or those of ``*``."""
    text = _said(value)
    if text is None:
        return None
    listed: list[Fallback] = []
    mapped: dict[str | None, list[Fallback]] = {}
    for entry in _decode(_ENTRIES, text, param, _ENTRIES_EXPECTED):
        if isinstance(entry, str) or bytes(entry.get("model", Raw())).startswith(b'"'):
            listed.append(_fallback(entry, param))
            continue
        for group, names in entry.items():
            found = _decode(_ENTRIES, bytes(names), param, _ENTRIES_EXPECTED)
            mapped.setdefault(group, [_fallback(one, param) for one in found])
    return (*listed, *mapped.get(asked, mapped.get("*", ())))


def _fallback(entry: _Entry, param: str) -> Fallback:
    if isinstance(entry, str):
        return Fallback(_name(entry, param))
    for name in OPERATORS_FIELDS:
        if _said(entry.get(name)) is not None:
            raise operators_field(name)
    members = _carried(entry)
    model = _decode(_TEXT, bytes(members.pop("model", Raw(_NULL))), param, _ENTRIES_EXPECTED)
    overrides = {name: value for name, value in members.items() if name not in _HOW_IT_IS_SENT}
    return Fallback(_name(model, param), overrides)


def _name(model: str, param: str) -> str:
    if not model or not model.isprintable():
        raise _invalid(param, "names of models")
    return model


def _said(value: Any) -> bytes | None:
    text = bytes(value) if isinstance(value, Raw) else _NULL
    return None if text == _NULL else text


def _decode(decoder: msgspec.json.Decoder[Any], text: bytes, param: str, expected: str) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError:
        raise _invalid(param, expected) from None


def _invalid(param: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid '{param}': expected {expected}", param=param)
