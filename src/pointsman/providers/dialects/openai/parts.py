"""Parts of a message's content, as clients send them.

Besides OpenAI's own these are the ones that LiteLLM takes: ``cache_control`` on a part, ``video_url``, Anthropic's
``document``, ``thinking`` and ``redacted_thinking``, files by URL. What has another type is carried as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pointsman.providers.dialects.openai.fields import Fields, invalid, missing
from pointsman.providers.dialects.openai.reasoning import NAME, read_block, read_redacted
from pointsman.wire.chat import Audio, CacheMark, Document, Foreign, Image, Part, Refusal, Text

_MEDIA_TYPES: Final = MappingProxyType(
    {
        "pdf": "application/pdf",
        "txt": "text/plain",
        "md": "text/markdown",
        "csv": "text/csv",
        "html": "text/html",
        "json": "application/json",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "mp4": "video/mp4",
    }
)
"""By a file name's ending, for data that does not say itself what it is."""
_LINKS: Final = ("http://", "https://", "gs://", "s3://")
_LIFETIMES: Final = MappingProxyType({"12h": "1h", "1h": "1h", "5m": "5m"})


def read_parts(content: Any, place: str) -> list[Part]:
    """The content of a message: a text, or an array of parts.

    :raises InvalidRequest: it is neither, or a part is not valid
    """
    if type(content) is str:
        return [Text(content)]
    if type(content) is not list:
        raise invalid(place, "a string or an array")
    return [_read_part(value, f"{place}[{index}]") for index, value in enumerate(content)]


def read_cache(fields: Fields) -> CacheMark | None:
    """Anthropic's ``cache_control`` or OpenAI's ``prompt_cache_breakpoint``, whose shortest lifetime is the default."""
    for name in ("cache_control", "prompt_cache_breakpoint"):
        mark = fields.inner(name)
        if mark is not None:
            return CacheMark(_LIFETIMES.get(mark.text("ttl") or ""))
    return None


def split_data_url(url: str) -> tuple[str | None, str] | None:
    """Media type and base64 data of a ``data:`` URL; ``None``: it is none, or not in base64."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.rpartition(";")
    if not comma or encoding.strip().lower() != "base64":
        return None
    return media_type.partition(";")[0].strip().lower() or None, data


def _read_part(value: Any, place: str) -> Part:
    fields = Fields(value, place)
    kind = fields.needed_text("type")
    reader = _READERS.get(kind)
    return Foreign(NAME, value) if reader is None else reader(fields)


def _text(fields: Fields) -> Text:
    return Text(fields.needed_text("text"), cache=read_cache(fields))


def _refusal(fields: Fields) -> Refusal:
    return Refusal(fields.needed_text("refusal"))


def _image(fields: Fields) -> Image:
    place = fields.place("image_url")
    inner, url = _link(fields, "image_url")
    cache = read_cache(fields)
    detail = inner.text("detail") if inner is not None else None
    media_type = inner.text("format") if inner is not None else None
    found = split_data_url(url)
    if found is not None:
        return Image(data=found[1], media_type=found[0] or media_type, detail=detail, cache=cache)
    if not url.startswith(_LINKS):
        raise invalid(place, "a URL or a base64 data URL")
    return Image(url=url, media_type=media_type, detail=detail, cache=cache)


def _video(fields: Fields) -> Document:
    place = fields.place("video_url")
    _, url = _link(fields, "video_url")
    cache = read_cache(fields)
    found = split_data_url(url)
    if found is not None:
        return Document(data=found[1], media_type=found[0] or "video/mp4", cache=cache)
    if not url.startswith(_LINKS):
        raise invalid(place, "a URL or a base64 data URL")
    return Document(url=url, media_type="video/mp4", cache=cache)


def _link(fields: Fields, name: str) -> tuple[Fields | None, str]:
    """``{"url": ...}``, for which some clients write the URL alone."""
    if type(fields.rest.get(name)) is str:
        return None, fields.needed_text(name)
    inner = fields.needed_inner(name)
    return inner, inner.needed_text("url")


def _audio(fields: Fields) -> Audio:
    inner = fields.needed_inner("input_audio")
    data = inner.needed_text("data")
    found = split_data_url(data)
    return Audio(data=found[1] if found else data, format=inner.needed_text("format"))


def _file(fields: Fields) -> Document:
    place = fields.place("file")
    inner = fields.needed_inner("file")
    cache = read_cache(fields)
    name, media_type = inner.text("filename"), inner.text("format")
    data, file_id = inner.text("file_data"), inner.text("file_id")
    if media_type is None and name is not None:
        media_type = _MEDIA_TYPES.get(name.rpartition(".")[2].lower())
    link = data or file_id
    if link is None:
        raise missing(f"{place}.file_data")
    if link.startswith(_LINKS):
        return Document(url=link, media_type=media_type, name=name, cache=cache)
    if data is None:
        return Document(file_id=file_id, media_type=media_type, name=name, cache=cache)
    found = split_data_url(data)
    if found is not None:
        return Document(data=found[1], media_type=found[0] or media_type, name=name, cache=cache)
    return Document(data=data, media_type=media_type, name=name, cache=cache)


def _document(fields: Fields) -> Document:
    place = fields.place("source")
    source = fields.needed_inner("source")
    citations = fields.inner("citations")
    document = Document(
        title=fields.text("title"),
        context=fields.text("context"),
        has_citations=bool(citations and citations.flag("enabled")),
        media_type=source.text("media_type"),
        cache=read_cache(fields),
    )
    kind = source.needed_text("type")
    if kind == "text":
        document.text = source.needed_text("data")
    elif kind == "base64":
        document.data = source.needed_text("data")
    elif kind == "url":
        document.url = source.needed_text("url")
    elif kind == "file":
        document.file_id = source.needed_text("file_id")
    else:
        raise invalid(f"{place}.type", "text, base64, url or file")
    return document


_READERS: Final[Mapping[str, Callable[[Fields], Part]]] = MappingProxyType(
    {
        "text": _text,
        "refusal": _refusal,
        "image_url": _image,
        "video_url": _video,
        "input_audio": _audio,
        "file": _file,
        "document": _document,
        "thinking": read_block,
        "redacted_thinking": read_redacted,
    }
)
