"""Deepgram's and ElevenLabs' ways to hear and to speak."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import UNSET, UnsetType
from system.fakes.model import Refused, Strict, require, require_header, taken
from system.upstream.script import Answer, Received, json_answer

DEEPGRAM_KEY = "dg-canary-9017"
ELEVENLABS_KEY = "xi-canary-1187"
HEARD = "Alle einsteigen."
SPOKEN = b"ID3\x03\0sound" * 400
VOICE = "JBFqnCBsd6RMkjVDRZzb"
LISTEN = frozenset({"model", "smart_format", "language", "utterances", "diarize", "punctuate", "detect_language"})
SPEAK = frozenset({"model", "encoding", "container", "sample_rate", "bit_rate"})
FORMATS = ("mp3_44100_128", "pcm_24000", "opus_48000_128", "wav_24000")


class Text(Strict):
    text: str


class ElevenText(Strict):
    text: str
    model_id: str
    voice_settings: dict[str, Any] | UnsetType = UNSET
    language_code: str | UnsetType = UNSET


def answer_deepgram(received: Received) -> Answer:
    """What Deepgram answers."""
    parts = urlsplit(received.target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    try:
        require_header(received.header("authorization"), f"Token {DEEPGRAM_KEY}", "Invalid credentials.")
        if parts.path == "/v1/speak":
            require(set(query) <= SPEAK and query["model"] == "aura-2-thalia-en", f"Unknown parameters: {query}")
            require(taken(received.body, Text).text != "", "text is empty")
            return _sound()
        require(parts.path == "/v1/listen", "Not Found", 404)
        require(set(query) <= LISTEN and query["model"] == "nova-3", f"Unknown parameters: {query}")
        require(received.header("content-type") == "audio/mpeg", "unsupported content type", 415)
        require(received.body.startswith(b"ID3"), "corrupt or unsupported data")
        words = [
            {"word": "alle", "punctuated_word": "Alle", "start": 0.1, "end": 0.5, "confidence": 0.99},
            {"word": "einsteigen", "punctuated_word": "einsteigen.", "start": 0.6, "end": 1.4, "confidence": 0.99},
        ]
        channel = {"alternatives": [{"transcript": HEARD, "confidence": 0.99, "words": words}]}
        said = {"transcript": HEARD, "start": 0.1, "end": 1.4, "confidence": 0.99, "channel": 0, "words": words}
        results = {"channels": [channel]} | ({"utterances": [said]} if "utterances" in query else {})
        return json_answer({"metadata": {"request_id": "r-1", "duration": 1.5, "channels": 1}, "results": results})
    except Refused as refused:
        error = {"err_code": "Bad Request", "err_msg": refused.message, "request_id": "r-1"}
        return json_answer(error, refused.status)


def answer_elevenlabs(received: Received) -> Answer:
    """What ElevenLabs answers."""
    parts = urlsplit(received.target)
    try:
        require_header(received.header("xi-api-key"), ELEVENLABS_KEY)
        if parts.path == f"/v1/text-to-speech/{VOICE}":
            wanted = parse_qs(parts.query).get("output_format", ["mp3_44100_128"])[0]
            require(wanted in FORMATS, f"Invalid output format {wanted}", 422)
            require(taken(received.body, ElevenText).text != "", "text is empty", 422)
            return _sound()
        require(parts.path == "/v1/speech-to-text", "Not Found", 404)
        form = _form(received)
        require(
            form.get("model_id") == b"scribe_v1" and form.get("file", b"").startswith(b"ID3"), "Field required", 422
        )
        words = [
            {"text": "Alle", "start": 0.1, "end": 0.5, "type": "word", "speaker_id": None},
            {"text": " ", "start": 0.5, "end": 0.6, "type": "spacing", "speaker_id": None},
            {"text": "einsteigen.", "start": 0.6, "end": 1.4, "type": "word", "speaker_id": None},
        ]
        return json_answer({"language_code": "deu", "language_probability": 0.98, "text": HEARD, "words": words})
    except Refused as refused:
        return json_answer({"detail": {"status": "invalid_request", "message": refused.message}}, refused.status)


def _sound() -> Answer:
    pieces = [SPOKEN[at : at + 1000] for at in range(0, len(SPOKEN), 1000)]
    return Answer(200, (("content-type", "audio/mpeg"),), pieces, "chunked")


def _form(received: Received) -> dict[str, bytes]:
    head = f"Content-Type: {received.header('content-type')}\r\n\r\n".encode()
    message = message_from_bytes(head + received.body, policy=HTTP)
    require(message.is_multipart(), "Expected a form", 422)
    fields = {}
    for part in message.iter_parts():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        fields[name] = content
    return fields
