"""Speech by text-to-speech. The caller's ``voice`` is the id of a voice: OpenAI's names are not known here."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.elevenlabs.paths import path_of
from pointsman.providers.translation import Reply, Terms, UpstreamRequest

_PATH: Final = "/text-to-speech"
_FORMATS: Final = {"mp3": "mp3_44100_128", "opus": "opus_48000_128", "pcm": "pcm_24000", "wav": "wav_24000"}
"""OpenAI's formats, as far as there are such; its ``pcm`` has 24000 samples a second."""
_UNDERSTOOD: Final = frozenset({"model", "input", "voice", "response_format", "output_format", "speed"})
_QUERY: Final = frozenset({"enable_logging", "optimize_streaming_latency"})
_OWN: Final = frozenset(
    {
        "apply_language_text_normalization",
        "apply_text_normalization",
        "language_code",
        "next_request_ids",
        "next_text",
        "previous_request_ids",
        "previous_text",
        "pronunciation_dictionary_locators",
        "seed",
        "use_pvc_as_ivc",
        "voice_settings",
    }
)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for ElevenLabs; ``body`` is OpenAI's. Parameters of ElevenLabs' own are sent on.

    :raises InvalidRequest: there is no text or no voice, or the format of the sound is not known
    """
    text, voice = body.get("input"), body.get("voice")
    if not isinstance(text, str):
        raise InvalidRequest("input must be a text", param="input")
    if not isinstance(voice, str) or voice in ("", ".", ".."):
        raise InvalidRequest("voice must be the id of a voice", param="voice")
    query: dict[str, Any] = {"output_format": _format(body)}
    written: dict[str, Any] = {"text": text, "model_id": terms.model}
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value is None or (name, value) == ("stream_format", "audio"):
            continue
        if name in _QUERY:
            query[name] = str(value).lower() if isinstance(value, bool) else value
        elif name in _OWN or name in terms.allowed:
            written[name] = value
        else:
            terms.lose(name)
    if body.get("speed") is not None and "speed" not in terms.drops:
        settings = written.get("voice_settings")
        written["voice_settings"] = {"speed": body["speed"]} | (settings if isinstance(settings, dict) else {})
    path = f"{path_of(base_path, _PATH)}/{quote(voice, safe='')}?{urlencode(query, quote_via=quote)}"
    return UpstreamRequest(path=path, body=msgspec.json.encode(written))


def _format(body: dict[str, Any]) -> str:
    own = body.get("output_format")
    if isinstance(own, str):
        return own
    form = body.get("response_format") or "mp3"
    if form not in _FORMATS:
        raise InvalidRequest(f"response_format must be one of {', '.join(_FORMATS)}", param="response_format")
    return _FORMATS[form]


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """The sound as it is."""
    del request
    return Reply(body=answer, content_type="application/octet-stream")
