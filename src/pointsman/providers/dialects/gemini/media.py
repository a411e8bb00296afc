"""Pictures, sounds and files: ``inlineData`` and ``fileData`` parts."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final
from urllib.parse import urlsplit

from pointsman.errors import Inexpressible
from pointsman.wire.chat import Audio, Document, Image

_OWN_HOST: Final = "generativelanguage.googleapis.com"
_MIME_BY_FORMAT: Final = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "aiff": "audio/aiff",
    "m4a": "audio/m4a",
    "webm": "audio/webm",
    "pcm16": "audio/L16;codec=pcm;rate=24000",
}
_FORMAT_BY_MIME: Final = {mime: name for name, mime in _MIME_BY_FORMAT.items()} | {
    "audio/mpeg": "mp3",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/l16": "pcm16",
    "audio/pcm": "pcm16",
}
_MIME_BY_ENDING: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "mpeg": "video/mpeg",
    "mpg": "video/mpg",
    "webm": "video/webm",
}


def read_blob(mime_type: str, data: str) -> Image | Audio | Document:
    """What ``inlineData`` holds."""
    kind = mime_type.partition("/")[0]
    if kind == "image":
        return Image(data=data, media_type=mime_type)
    if kind == "audio":
        return Audio(data=data, format=_audio_format(mime_type))
    return Document(data=data, media_type=mime_type or None)


def read_file(uri: str, mime_type: str | None) -> Image | Document:
    """What ``fileData`` points to: a URL that anybody can fetch, or a file that only Google has."""
    url, file_id = (uri, None) if _is_public(uri) else (None, uri)
    mime = mime_type or _mime_of(uri)
    if mime is not None and mime.startswith("image/"):
        return Image(url=url, file_id=file_id, media_type=mime)
    return Document(url=url, file_id=file_id, media_type=mime)


def write_image(image: Image, place: str) -> dict[str, Any]:
    """A part for a picture.

    :raises Inexpressible: it is a file of another provider's, at ``place``
    """
    return _write(image.data, image.url or image.file_id, image.media_type, "image/png", place)


def write_document(document: Document, place: str) -> dict[str, Any]:
    """A part for a file that has no text of its own.

    :raises Inexpressible: it is a file of another provider's, at ``place``
    """
    return _write(document.data, document.url or document.file_id, document.media_type, "application/pdf", place)


def write_audio(audio: Audio) -> dict[str, Any] | None:
    """A part for a sound; ``None``: there is no data."""
    if audio.data is None:
        return None
    name = audio.format or "wav"
    return blob(_MIME_BY_FORMAT.get(name, f"audio/{name}"), audio.data)


def blob(mime_type: str, data: str) -> dict[str, Any]:
    """An ``inlineData`` part."""
    return {"inlineData": {"mimeType": mime_type, "data": data}}


def text_blob(text: str) -> dict[str, Any]:
    """An ``inlineData`` part of plain text."""
    return blob("text/plain", b64encode(text.encode()).decode())


def _write(data: str | None, uri: str | None, media_type: str | None, default: str, place: str) -> dict[str, Any]:
    if data is not None:
        return blob(media_type or default, data)
    if uri is None or not (_is_public(uri) or _is_google(uri)):
        raise Inexpressible("Gemini models take files by data, by URL, or as files of Google's", param=place)
    mime = media_type or _mime_of(uri)
    return {"fileData": {"fileUri": uri} | ({} if mime is None else {"mimeType": mime})}


def _is_public(uri: str) -> bool:
    return uri.startswith(("https://", "http://")) and _host(uri) != _OWN_HOST


def _is_google(uri: str) -> bool:
    return uri.startswith(("gs://", "files/")) or (uri.startswith("https://") and _host(uri) == _OWN_HOST)


def _host(uri: str) -> str | None:
    try:
        return urlsplit(uri).hostname
    except ValueError:
        return None


def _mime_of(uri: str) -> str | None:
    ending = uri.partition("?")[0].rpartition(".")[2]
    return _MIME_BY_ENDING.get(ending.lower())


def _audio_format(mime_type: str) -> str:
    bare = mime_type.partition(";")[0].strip().lower()
    return _FORMAT_BY_MIME.get(bare) or bare.partition("/")[2]
