"""Speech is a beep for each word; a transcription tells the file's name and size."""

from __future__ import annotations

import math
import struct
from typing import Any

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.form import Part, file_of, read_form, text_of
from pointsman.providers.vendors.demo.names import find_model
from pointsman.providers.vendors.demo.reply import (
    DemoReply,
    event,
    event_reply,
    json_reply,
    read_object,
    text_field,
    whole_reply,
)
from pointsman.providers.vendors.demo.words import count_tokens, split_words

_RATE = 24_000
_BEEP_SAMPLES = 1_440
_PAUSE_SAMPLES = 960
_MAX_BEEPS = 100
_PIECE_BYTES = 8_192
_PIECE_DELAY = 0.002
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_UNKNOWN_BYTES_PER_SECOND = 16_000
_TOKENS_PER_SECOND = 10


def speech(raw: bytes, now: float) -> DemoReply:  # noqa: ARG001  all endpoints are called alike
    """``POST /audio/speech``: WAV, or bare samples as PCM (24 kHz, 16 bit, mono)."""
    body = read_object(raw)
    find_model(body.get("model"), "audio_speech")
    samples = beeps(len(split_words(text_field(body, "input"))))
    form = body.get("response_format")
    if form not in (None, "wav", "pcm"):
        raise InvalidRequest("The demo makes wav and pcm only", param="response_format")
    if body.get("stream_format") not in (None, "audio"):
        raise InvalidRequest("The demo streams audio only", param="stream_format")
    if form == "pcm":
        return _audio_reply(samples, b"audio/pcm")
    return _audio_reply(_wav_head(len(samples)) + samples, b"audio/wav")


def _audio_reply(data: bytes, content_type: bytes) -> DemoReply:
    pieces = [(_PIECE_DELAY, data[start : start + _PIECE_BYTES]) for start in range(0, len(data), _PIECE_BYTES)]
    return DemoReply(status=200, headers=[(b"content-type", content_type)], pieces=pieces)


def beeps(n_words: int) -> bytes:
    """Samples of one beep for each word, at most ``_MAX_BEEPS``."""
    wave = (int(9_000 * math.sin(2 * math.pi * 440 * i / _RATE)) for i in range(_BEEP_SAMPLES))
    beep = struct.pack(f"<{_BEEP_SAMPLES}h", *wave) + bytes(2 * _PAUSE_SAMPLES)
    return beep * max(1, min(n_words, _MAX_BEEPS))


def _wav_head(n_bytes: int) -> bytes:
    """RIFF header of 16 bit mono PCM."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE, 2 * _RATE, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + n_bytes, b"WAVE") + form + struct.pack("<4sI", b"data", n_bytes)


def transcribe(raw: bytes, now: float) -> DemoReply:  # noqa: ARG001  all endpoints are called alike
    """``POST /audio/transcriptions`` and ``/audio/translations``."""
    parts = read_form(raw)
    find_model(text_of(parts, "model"), "audio_transcription")
    file = file_of(parts, "file")
    form = text_of(parts, "response_format") or "json"
    if form not in _FORMATS:
        raise InvalidRequest(f"response_format must be one of {', '.join(_FORMATS)}", param="response_format")
    text = _transcript(file)
    seconds = seconds_of(file.value)
    usage: dict[str, Any] = {"type": "duration", "seconds": seconds}
    if text_of(parts, "stream") == "true":
        return event_reply(_stream(text, seconds))
    if form in ("text", "srt", "vtt"):
        plain = {
            "text": text + "\n",
            "srt": _srt(text, seconds),
            "vtt": _vtt(text, seconds),
        }
        return whole_reply(plain[form].encode(), b"text/plain; charset=utf-8")
    if form == "json":
        return json_reply({"text": text, "usage": usage})
    return json_reply(_verbose(text, usage, text_of(parts, "language")))


def _transcript(file: Part) -> str:
    return (
        "This is Pointsman's built-in demo model, not an AI; it did not listen. "
        f"It received the file {(file.file_name or '')[:200]!r} of {len(file.value)} bytes."
    )


def seconds_of(data: bytes) -> int:
    """Length by the byte rate of a WAV header, or estimated from the size; begun seconds count."""
    rate = _UNKNOWN_BYTES_PER_SECOND
    if data[:4] == b"RIFF" and data[8:16] == b"WAVEfmt " and len(data) >= 32:
        rate = int.from_bytes(data[28:32], "little") or rate
    return max(1, -(-len(data) // rate))


def _stream(text: str, seconds: int) -> list[tuple[float, bytes]]:
    """Deltas, then the whole; only tokens are counted here, as OpenAI's streaming models do."""
    pieces = [
        (_PIECE_DELAY, event({"type": "transcript.text.delta", "delta": word}, "transcript.text.delta"))
        for word in split_words(text)
    ]
    n_in, n_out = seconds * _TOKENS_PER_SECOND, count_tokens(text)
    usage = {"type": "tokens", "input_tokens": n_in, "output_tokens": n_out, "total_tokens": n_in + n_out}
    done = {"type": "transcript.text.done", "text": text, "usage": usage}
    return [*pieces, (0.0, event(done, "transcript.text.done"))]


def _clock(seconds: int, comma: str) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}{comma}000"


def _srt(text: str, seconds: int) -> str:
    return f"1\n{_clock(0, ',')} --> {_clock(seconds, ',')}\n{text}\n\n"


def _vtt(text: str, seconds: int) -> str:
    return f"WEBVTT\n\n{_clock(0, '.')} --> {_clock(seconds, '.')}\n{text}\n\n"


def _verbose(text: str, usage: dict[str, Any], language: str | None) -> dict[str, Any]:
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": float(usage["seconds"]),
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    return {
        "task": "transcribe",
        "language": language or "english",
        "duration": float(usage["seconds"]),
        "text": text,
        "segments": [segment],
        "usage": usage,
    }
