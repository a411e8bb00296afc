"""Transcription by listen: the sound is the body, everything else stands in the query.

Texts are punctuated and formatted unless the caller says otherwise, as OpenAI's are.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.deepgram.paths import path_of
from pointsman.providers.transcripts import (
    DETAILED,
    Piece,
    Transcript,
    file_of,
    form_of,
    write_reply,
)
from pointsman.providers.translation import Reply, Terms, UpstreamRequest

_PATH: Final = "/listen"
_UNDERSTOOD: Final = frozenset(
    {"file", "model", "response_format", "timestamp_granularities", "timestamp_granularities[]", "stream"}
)
_OWN: Final = frozenset(
    {
        "detect_entities",
        "detect_language",
        "diarize",
        "diarize_model",
        "dictation",
        "encoding",
        "filler_words",
        "keyterm",
        "keywords",
        "language",
        "language_hint",
        "measurements",
        "mip_opt_out",
        "multichannel",
        "numerals",
        "paragraphs",
        "profanity_filter",
        "punctuate",
        "redact",
        "replace",
        "search",
        "smart_format",
        "tag",
        "utt_split",
        "utterances",
        "version",
    }
)
"""Parameters of Deepgram's that change what is heard; a ``callback`` would take the answer elsewhere."""


class _Word(msgspec.Struct, gc=False):
    word: str = ""
    start: float = 0.0
    end: float = 0.0
    punctuated_word: str | None = None
    speaker: int | None = None


class _Alternative(msgspec.Struct):
    transcript: str
    words: list[_Word] = []
    languages: list[str] | None = None


class _Channel(msgspec.Struct):
    alternatives: list[_Alternative]
    detected_language: str | None = None


class _Utterance(msgspec.Struct, gc=False):
    transcript: str = ""
    start: float = 0.0
    end: float = 0.0
    speaker: int | None = None


class _Results(msgspec.Struct):
    channels: list[_Channel]
    utterances: list[_Utterance] | None = None


class _Metadata(msgspec.Struct, frozen=True):
    duration: float = 0.0


class _Answer(msgspec.Struct):
    results: _Results
    metadata: _Metadata = _Metadata()


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Deepgram; ``body`` is OpenAI's form. Parameters of Deepgram's own are sent on.

    Without ``language`` Deepgram takes it for English; ``detect_language`` or ``language=multi`` change that.

    :raises InvalidRequest: there is no file, or the form of the answer is not known
    """
    file, form = file_of(body), form_of(body)
    query: dict[str, Any] = {"model": terms.model, "smart_format": "true"}
    if form in DETAILED:
        query["utterances"] = "true"
    if form == "diarized_json":
        query["diarize"] = "true"
    if str(body.get("stream")).lower() == "true" and "stream" not in terms.drops:
        terms.lose("stream")
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value in (None, ""):
            continue
        if name in _OWN or name in terms.allowed:
            query[name] = str(value).lower() if isinstance(value, bool) else value
        else:
            terms.lose(name)
    path = path_of(base_path, _PATH)
    return UpstreamRequest(
        path=f"{path}?{urlencode(query, doseq=True, quote_via=quote)}",
        body=file.data,
        content_type=file.content_type or "application/octet-stream",
    )


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Deepgram's answer in the form that ``request``, the client's form, asks for.

    Of several channels the texts stand one below the other.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no transcript") from None
    heard = [channel.alternatives[0] for channel in found.results.channels if channel.alternatives]
    transcript = Transcript(
        text="\n".join(alternative.transcript for alternative in heard),
        seconds=found.metadata.duration,
        language=_language(found.results, request),
        segments=[
            Piece(text=said.transcript, start=said.start, end=said.end, speaker=_speaker(said.speaker))
            for said in found.results.utterances or ()
        ],
        words=[
            Piece(text=word.punctuated_word or word.word, start=word.start, end=word.end)
            for alternative in heard
            for word in alternative.words
        ],
    )
    return write_reply(transcript, request)


def _language(results: _Results, request: dict[str, Any]) -> str | None:
    for channel in results.channels:
        spoken = channel.alternatives[0].languages if channel.alternatives else None
        if channel.detected_language or spoken:
            return channel.detected_language or (spoken[0] if spoken else None)
    given = request.get("language")
    return given if isinstance(given, str) else None


def _speaker(number: int | None) -> str | None:
    return None if number is None else f"speaker_{number}"
