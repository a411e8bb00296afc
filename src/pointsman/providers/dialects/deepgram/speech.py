"""Speech by speak. A voice is a model here: ``aura-2-thalia-en``.

The model's name may be that of the voice, or of its family (``aura-2``), to which the caller's ``voice`` (``thalia``,
English unless it says more: ``celeste-es``) makes it whole. A ``voice`` that is the name of a model counts as it is.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.deepgram.paths import path_of
from pointsman.providers.translation import Reply, Terms, UpstreamRequest

_PATH: Final = "/speak"
_FAMILIES: Final = ("aura", "aura-2")
_FORMATS: Final = {
    "mp3": {"encoding": "mp3"},
    "opus": {"encoding": "opus", "container": "ogg"},
    "aac": {"encoding": "aac"},
    "flac": {"encoding": "flac"},
    "wav": {"encoding": "linear16", "container": "wav", "sample_rate": "24000"},
    "pcm": {"encoding": "linear16", "container": "none", "sample_rate": "24000"},
}
"""OpenAI's formats; its ``pcm`` has 24000 samples a second."""
_UNDERSTOOD: Final = frozenset({"model", "input", "voice", "response_format"})
_OWN: Final = frozenset({"bit_rate", "container", "encoding", "mip_opt_out", "sample_rate", "speed", "tag"})


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Deepgram; ``body`` is OpenAI's. Parameters of Deepgram's own are sent on.

    :raises InvalidRequest: there is no text, or the format of the sound is not known
    """
    text, form = body.get("input"), body.get("response_format") or "mp3"
    if not isinstance(text, str):
        raise InvalidRequest("input must be a text", param="input")
    if form not in _FORMATS:
        raise InvalidRequest(f"response_format must be one of {', '.join(_FORMATS)}", param="response_format")
    query: dict[str, Any] = {"model": _model(body.get("voice"), terms)} | _FORMATS[form]
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value is None or (name, value) == ("stream_format", "audio"):
            continue
        if name in _OWN or name in terms.allowed:
            query[name] = str(value).lower() if isinstance(value, bool) else value
        else:
            terms.lose(name)
    path = path_of(base_path, _PATH)
    query_text = urlencode(query, doseq=True, quote_via=quote)
    return UpstreamRequest(path=f"{path}?{query_text}", body=msgspec.json.encode({"text": text}))


def _model(voice: Any, terms: Terms) -> str:
    if not isinstance(voice, str) or not voice or "voice" in terms.drops:
        return terms.model
    if voice.startswith("aura-"):
        return voice
    if terms.model in _FAMILIES:
        return f"{terms.model}-{voice}" if "-" in voice else f"{terms.model}-{voice}-en"
    if voice not in terms.model.split("-"):
        terms.lose("voice")
    return terms.model


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """The sound as it is."""
    del request
    return Reply(body=answer, content_type="application/octet-stream")
