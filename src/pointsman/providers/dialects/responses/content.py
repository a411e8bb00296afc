"""The content of messages and of tool outputs, both ways."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.responses.fields import (
    Members,
    members,
    needed,
    objects,
    optional,
    text,
    wrong,
)
from pointsman.providers.translation import Terms
from pointsman.wire.chat import Audio, CacheMark, Document, Image, Part, Refusal, Text

_KNOWN: Final = ("input_text", "output_text", "input_image", "input_file", "input_audio", "refusal")
_BASE64: Final = ";base64"
_PDF: Final = "application/pdf"
_ANTHROPICS_FILE: Final = "file_01"
"""How ids of files begin that Anthropic keeps; OpenAI's begin with ``file-``."""
_LONG: Final = ("1h", "12h")
"""The longer life of a cache mark, here and in this dialect. The shorter one is the default everywhere."""


def read_content(value: Any, place: str) -> list[Part]:
    """The content of a message or an output: a text, or a list of parts."""
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise wrong(place, "a string or an array")
    return [_read_part(part, f"{place}[{at}]") for at, part in enumerate(objects(value, place))]


def _read_part(part: Members, place: str) -> Part:
    kind = needed(part, "type", text, place)
    if kind in ("input_text", "output_text", "text"):
        annotations = read_annotations(optional(part, "annotations", objects, place) or [])
        return Text(needed(part, "text", text, place), cache=_read_mark(part, place), annotations=annotations)
    if kind == "refusal":
        return Refusal(needed(part, "refusal", text, place))
    if kind == "input_image":
        return _read_image(part, place)
    if kind == "input_file":
        return _read_file(part, place)
    if kind == "input_audio":
        audio = needed(part, "input_audio", members, place)
        where = f"{place}.input_audio"
        return Audio(data=needed(audio, "data", text, where), format=needed(audio, "format", text, where))
    raise InvalidRequest(
        f"Invalid '{place}.type': '{kind}' is not one of {', '.join(_KNOWN)}",
        param=f"{place}.type",
    )


def _read_image(part: Members, place: str) -> Image:
    detail, cache = optional(part, "detail", text, place), _read_mark(part, place)
    file_id = optional(part, "file_id", text, place)
    if file_id is not None:
        return Image(file_id=file_id, detail=detail, cache=cache)
    url = needed(part, "image_url", text, place)
    if not url.startswith("data:"):
        return Image(url=url, detail=detail, cache=cache)
    media_type, data = _split_data_url(url, f"{place}.image_url")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache)


def _read_file(part: Members, place: str) -> Document:
    name, cache = optional(part, "filename", text, place), _read_mark(part, place)
    file_id = optional(part, "file_id", text, place)
    if file_id is not None:
        return Document(file_id=file_id, name=name, cache=cache)
    url = optional(part, "file_url", text, place)
    if url is not None:
        return Document(url=url, name=name, cache=cache)
    data = needed(part, "file_data", text, place)
    if data.startswith("data:"):
        media_type, data = _split_data_url(data, f"{place}.file_data")
    else:
        media_type = _PDF if name is not None and name.lower().endswith(".pdf") else None
    return Document(data=data, media_type=media_type, name=name, cache=cache)


def _split_data_url(url: str, place: str) -> tuple[str | None, str]:
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma or not head.endswith(_BASE64):
        raise wrong(place, "a data URL in base64")
    return head.removesuffix(_BASE64).partition(";")[0] or None, data


def _read_mark(part: Members, place: str) -> CacheMark | None:
    mark = optional(part, "prompt_cache_breakpoint", members, place)
    if mark is None:
        return None
    ttl = optional(mark, "ttl", text, f"{place}.prompt_cache_breakpoint")
    return CacheMark(_LONG[0] if ttl == _LONG[1] else None)


def read_annotations(native: list[Members]) -> list[Members]:
    """Citations as chat completions have them: what one says stands one level deeper, below its type."""
    return [
        {"type": kind, kind: {name: value for name, value in each.items() if name != "type"}}
        for each in native
        if isinstance(kind := each.get("type"), str)
    ]


def write_annotations(annotations: list[Members] | None) -> list[Members]:
    """The reverse of :func:`read_annotations`, with all members that clients insist on."""
    return [
        {"type": kind, **_needed(kind, inner), **inner}
        for each in annotations or []
        if isinstance(kind := each.get("type"), str) and isinstance(inner := each.get(kind), dict)
    ]


def _needed(kind: str, annotation: Members) -> Members:
    if kind != "file_citation":
        return {}
    return {"file_id": "", "filename": "", "index": annotation.get("end_index", 0)}


class PartWriter(msgspec.Struct):
    """Writes parts of the input for a provider, and notes those that it cannot take."""

    terms: Terms
    has_marks: bool
    """Whether cache marks are written. OpenAI caches without being asked, and its older models refuse marks: only a
    client that knows them has meant them for it."""

    def write(self, part: Part, place: str) -> Members | None:
        """A part of a message of the user or the operator, or of an output; ``None``: it cannot be said."""
        if isinstance(part, Text):
            return self._marked({"type": "input_text", "text": part.text}, part.cache)
        is_theirs = isinstance(part, Image | Document) and (part.file_id or "").startswith(_ANTHROPICS_FILE)
        if isinstance(part, Image) and not is_theirs:
            return self._marked(_write_image(part), part.cache)
        if isinstance(part, Document) and not is_theirs:
            if part.has_citations:
                self.terms.lose(f"{place}.citations")
            written = _write_document(part)
            if written is not None:
                return self._marked(written, part.cache)
        self.terms.lose(place)
        return None

    def write_output(self, part: Part, place: str) -> Members | None:
        """A part of a message of the model; ``None``: it cannot be said."""
        if isinstance(part, Text):
            self._note(part.cache)
            return {"type": "output_text", "text": part.text, "annotations": write_annotations(part.annotations)}
        if isinstance(part, Refusal):
            return {"type": "refusal", "refusal": part.text}
        self.terms.lose(place)
        return None

    def _marked(self, written: Members, mark: CacheMark | None) -> Members:
        if mark is None:
            return written
        if not self.has_marks:
            self._note(mark)
            return written
        ttl = {"ttl": _LONG[1]} if mark.ttl == _LONG[0] else {}
        return written | {"prompt_cache_breakpoint": {"mode": "explicit", **ttl}}

    def _note(self, mark: CacheMark | None) -> None:
        if mark is not None:
            self.terms.lose("cache_control")


def _write_image(image: Image) -> Members:
    written: Members = {"type": "input_image"}
    if image.file_id is not None:
        written["file_id"] = image.file_id
    elif image.data is not None:
        written["image_url"] = f"data:{image.media_type or 'image/png'};base64,{image.data}"
    else:
        written["image_url"] = image.url
    return written if image.detail is None else written | {"detail": image.detail}


def _write_document(document: Document) -> Members | None:
    if document.media_type is not None and document.media_type.startswith(("video/", "audio/")):
        return None
    if document.text is not None:
        # Files are for what has to be unpacked; a title and a context are said with the text.
        said = (document.title or document.name, document.context, document.text)
        return {"type": "input_text", "text": "\n\n".join(each for each in said if each)}
    if document.file_id is not None:
        return {"type": "input_file", "file_id": document.file_id}
    if document.url is not None:
        return {"type": "input_file", "file_url": document.url}
    media_type = document.media_type or _PDF
    name = document.name or document.title or ("document.pdf" if media_type == _PDF else "document")
    return {"type": "input_file", "filename": name, "file_data": f"data:{media_type};base64,{document.data}"}
