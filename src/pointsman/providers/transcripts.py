"""A transcript in the forms that OpenAI's clients can ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.translation import Reply, UploadedFile
from pointsman.wire.usage import Usage

DETAILED: Final = frozenset({"srt", "vtt", "verbose_json", "diarized_json"})
"""Forms that have the text in pieces, each with its time."""
_FORMS: Final = frozenset({"json", "text"}) | DETAILED
_GRANULARITIES: Final = ("timestamp_granularities[]", "timestamp_granularities")
_MAX_SECONDS: Final = 360_000.0
"""A hundred hours; providers are not trusted to count."""
_encode: Final = msgspec.json.Encoder().encode


class Piece(msgspec.Struct, kw_only=True):
    """A word, or a piece of the text that somebody says at a stretch; times are seconds."""

    text: str
    start: float
    end: float
    speaker: str | None = None


class Transcript(msgspec.Struct, kw_only=True):
    """What was heard."""

    text: str
    seconds: float
    """How long the sound is."""
    language: str | None = None
    segments: list[Piece] = []
    words: list[Piece] = []


def form_of(body: dict[str, Any]) -> str:
    """The form that is asked for.

    :raises InvalidRequest: it is not known
    """
    form = body.get("response_format") or "json"
    if not isinstance(form, str) or form not in _FORMS:
        raise InvalidRequest(f"response_format must be one of {', '.join(sorted(_FORMS))}", param="response_format")
    return form


def file_of(body: dict[str, Any]) -> UploadedFile:
    """The sound.

    :raises InvalidRequest: there is none
    """
    file = body.get("file")
    if not isinstance(file, UploadedFile):
        raise InvalidRequest("Missing required parameter: 'file'", param="file")
    return file


def write_reply(transcript: Transcript, body: dict[str, Any]) -> Reply:
    """The reply in the form that ``body`` asks for."""
    seconds = _within(transcript.seconds)
    usage = Usage(seconds=seconds)
    form = form_of(body)
    if form == "text":
        return Reply(body=f"{transcript.text}\n".encode(), content_type="text/plain; charset=utf-8", usage=usage)
    if form == "srt":
        content = "".join(f"{at}\n{_cue(piece, ',')}" for at, piece in enumerate(transcript.segments, start=1))
        return Reply(body=content.encode(), content_type="application/x-subrip; charset=utf-8", usage=usage)
    if form == "vtt":
        content = "WEBVTT\n\n" + "".join(_cue(piece, ".") for piece in transcript.segments)
        return Reply(body=content.encode(), content_type="text/vtt; charset=utf-8", usage=usage)
    reply: dict[str, Any] = {"text": transcript.text, "usage": {"type": "duration", "seconds": seconds}}
    if form != "json":
        reply = {"task": "transcribe", "duration": seconds} | reply
    if form == "verbose_json":
        reply |= {"language": transcript.language or "unknown"} | _details(transcript, _granularities(body))
    elif form == "diarized_json":
        reply["segments"] = [_said(at, piece) for at, piece in enumerate(transcript.segments)]
    return Reply(body=_encode(reply), usage=usage)


def _granularities(body: dict[str, Any]) -> Iterable[str]:
    given = next((body[name] for name in _GRANULARITIES if body.get(name)), "segment")
    return [given] if isinstance(given, str) else given


def _details(transcript: Transcript, granularities: Iterable[str]) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if "segment" in granularities:
        details["segments"] = [_segment(at, piece) for at, piece in enumerate(transcript.segments)]
    if "word" in granularities:
        details["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in transcript.words]
    return details


def _segment(at: int, piece: Piece) -> dict[str, Any]:
    # What only Whisper knows of a segment has the value that says nothing.
    unknown = {"tokens": [], "temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}
    return {"id": at, "seek": 0, "start": piece.start, "end": piece.end, "text": piece.text} | unknown


def _said(at: int, piece: Piece) -> dict[str, Any]:
    kind = "transcript.text.segment"
    speaker = piece.speaker or "A"
    return {"type": kind, "id": f"seg_{at}", "start": piece.start, "end": piece.end} | {
        "text": piece.text,
        "speaker": speaker,
    }


def _cue(piece: Piece, point: str) -> str:
    return f"{_clock(piece.start, point)} --> {_clock(piece.end, point)}\n{piece.text}\n\n"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(_within(seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _within(seconds: float) -> float:
    return min(max(seconds, 0.0), _MAX_SECONDS)
