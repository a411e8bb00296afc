"""Transcription by speech-to-text. Its words have times, and pieces of the text are made of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.elevenlabs.forms import write_form
from pointsman.providers.dialects.elevenlabs.paths import path_of
from pointsman.providers.transcripts import Piece, Transcript, file_of, form_of, write_reply
from pointsman.providers.translation import Reply, Terms, UpstreamRequest

MAX_SEGMENT: Final = 200
"""Characters after which a piece of the text ends with the word."""
PAUSE: Final = 1.0
"""Seconds of silence that end it."""
_PATH: Final = "/speech-to-text"
_ENDS: Final = (".", "?", "!", "\u3002", "\uff1f", "\uff01")
_RENAMED: Final = {"language": "language_code"}
_UNDERSTOOD: Final = frozenset(
    {"file", "model", "response_format", "timestamp_granularities", "timestamp_granularities[]", "stream"}
)
_OWN: Final = frozenset(
    {
        "detect_speaker_roles",
        "diarization_threshold",
        "diarize",
        "entity_detection",
        "entity_redaction",
        "entity_redaction_mode",
        "file_format",
        "keyterms",
        "language_code",
        "no_verbatim",
        "num_speakers",
        "numbers_format",
        "secondary_language_codes",
        "seed",
        "tag_audio_events",
        "temperature",
        "timestamps_granularity",
        "use_speaker_library",
    }
)
"""Parameters that change what is heard; others change the shape of the answer or take it elsewhere."""


class _Word(msgspec.Struct, gc=False):
    text: str
    type: str = "word"
    start: float | None = None
    end: float | None = None
    speaker_id: str | None = None


class _Answer(msgspec.Struct):
    text: str
    words: list[_Word] = []
    language_code: str | None = None
    audio_duration_secs: float | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for ElevenLabs; ``body`` is OpenAI's form. Parameters of ElevenLabs' own are sent on.

    :raises InvalidRequest: there is no file, or the form of the answer is not known
    """
    file, form = file_of(body), form_of(body)
    fields: dict[str, Any] = {"model_id": terms.model}
    if form == "diarized_json":
        fields["diarize"] = True
    if str(body.get("stream")).lower() == "true" and "stream" not in terms.drops:
        terms.lose("stream")
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value in (None, ""):
            continue
        if name in terms.allowed or name in _OWN:
            fields[name] = value
        elif name in _RENAMED:
            fields[_RENAMED[name]] = value
        else:
            terms.lose(name)
    content, content_type = write_form([pair for item in fields.items() for pair in _pairs(*item)], file)
    return UpstreamRequest(path=path_of(base_path, _PATH), body=content, content_type=content_type)


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    values = value if isinstance(value, list) else [value]
    return [(name, str(each).lower() if isinstance(each, bool) else str(each)) for each in values]


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """ElevenLabs' answer in the form that ``request``, the client's form, asks for.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no transcript") from None
    seconds = found.audio_duration_secs
    if seconds is None:
        seconds = max((word.end for word in found.words if word.end is not None), default=0.0)
    words = [
        Piece(text=word.text, start=word.start or 0.0, end=word.end or 0.0, speaker=word.speaker_id)
        for word in found.words
        if word.type == "word"
    ]
    transcript = Transcript(
        text=found.text,
        seconds=seconds,
        language=found.language_code,
        segments=_segments(found.words),
        words=words,
    )
    return write_reply(transcript, request)


def _segments(words: list[_Word]) -> list[Piece]:
    """Pieces that end with a sentence, with a speaker, at a pause or where they get long."""
    segments: list[Piece] = []
    is_open = False
    for word in words:
        start, end = word.start or 0.0, word.end or 0.0
        if is_open:
            last = segments[-1]
            is_open = word.speaker_id == last.speaker and start - last.end < PAUSE and len(last.text) < MAX_SEGMENT
        if word.type == "spacing":
            if is_open:
                segments[-1].text += word.text
            continue
        if is_open:
            segments[-1].text += word.text
            segments[-1].end = end
        else:
            segments.append(Piece(text=word.text, start=start, end=end, speaker=word.speaker_id))
        is_open = not word.text.endswith(_ENDS)
    for segment in segments:
        segment.text = segment.text.strip()
    return segments
