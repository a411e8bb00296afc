"""Pictures, sounds, films and documents, as blocks and back.

Converse takes data, and places in S3; it fetches nothing from elsewhere and keeps no files.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any, Final

import msgspec

from pointsman.wire.chat import Audio, Document, Image

Block = dict[str, Any]

_IMAGES: Final = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp"}
_BY_START: Final = {"iVBOR": "png", "/9j/": "jpeg", "R0lGO": "gif", "UklGR": "webp"}
"""Formats of images by how their base64 begins."""
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_VIDEOS: Final = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_ENDINGS: Final = frozenset(_DOCUMENTS.values())
_VIDEO_ENDINGS: Final = frozenset(_VIDEOS.values()) | {"mpg"}
_SOUNDS: Final = {"pcm16": "pcm"}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\-()\[\]]+")
_MAX_NAME: Final = 180
"""Characters of a document's name before its number; Amazon takes 200 in all."""


def write_image(image: Image) -> Block | None:
    """A block for a picture; ``None``: it cannot be given."""
    source = _source(image.data, image.url)
    ending = (image.media_type or image.url or "").rpartition("/" if image.media_type else ".")[2].lower()
    name = _IMAGES.get(ending)
    if name is None and image.data is not None:
        name = next((found for start, found in _BY_START.items() if image.data.startswith(start)), None)
    return None if source is None or name is None else {"image": {"format": name, "source": source}}


def read_image(raw: Any) -> Image | None:
    """The picture that an ``image`` block holds; ``None``: none that can be read."""
    try:
        wire = msgspec.convert(raw, _Image)
    except msgspec.ValidationError:
        return None
    return Image(data=wire.source.bytes, media_type=f"image/{wire.format}")


def write_audio(audio: Audio) -> Block | None:
    """A block for a sound, or for what is said in it; ``None``: there is neither."""
    if audio.data is not None:
        name = audio.format or "wav"
        return {"audio": {"format": _SOUNDS.get(name, name), "source": {"bytes": audio.data}}}
    return {"text": audio.transcript} if audio.transcript else None


def write_document(document: Document, names: set[str]) -> Block | None:
    """A block for a document or a film; ``None``: it cannot be given.

    Its name is made of what Amazon takes in one, and is none of ``names``, to which it is added.
    """
    text = document.text
    source = _source(b64encode(text.encode()).decode() if text is not None else document.data, document.url)
    if source is None:
        return None
    media_type = (document.media_type or "").partition(";")[0].strip().lower()
    ending = (document.name or document.url or "").rpartition(".")[2].lower()
    if media_type in _VIDEOS or (not media_type and ending in _VIDEO_ENDINGS):
        return {"video": {"format": _VIDEOS.get(media_type, ending), "source": source}}
    form = _format(document, media_type, ending)
    if form is None:
        return None
    block: Block = {"format": form, "name": _name(document, names), "source": source}
    if document.context is not None:
        block["context"] = document.context
    if document.has_citations:
        block["citations"] = {"enabled": True}
    return {"document": block}


class _Source(msgspec.Struct):
    bytes: str


class _Image(msgspec.Struct):
    format: str
    source: _Source


def _source(data: str | None, url: str | None) -> Block | None:
    if data is not None:
        return {"bytes": data}
    return {"s3Location": {"uri": url}} if url is not None and url.startswith("s3://") else None


def _format(document: Document, media_type: str, ending: str) -> str | None:
    found = _DOCUMENTS.get(media_type) or (ending if ending in _ENDINGS else None)
    if found is None and (document.text is not None or media_type.startswith("text/")):
        return "txt"
    return found


def _name(document: Document, names: set[str]) -> str:
    given = document.title or (document.name or "").rpartition(".")[0] or document.name or ""
    stem = _NOT_IN_NAMES.sub(" ", given).strip()[:_MAX_NAME].strip() or "Document"
    name, number = stem, 1
    while name in names:
        number += 1
        name = f"{stem} {number}"
    names.add(name)
    return name
