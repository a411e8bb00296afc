"""What OpenAI (and Cohere, and Jina) answer, in their shapes."""

from __future__ import annotations

import base64
import re
import struct
from typing import Any

from system.upstream.script import Answer, Received, event, json_answer, stream_answer

CREATED = 1_760_000_000
WORDS = ("Points", " set", ",", " signal", " clear", " ü ✓")
TEXT = "".join(WORDS)
SPEECH = bytes(range(256)) * 64
VECTOR = (0.25, -0.5, 0.125)
FINGERPRINT = "fp_upstream"
DONE = event("[DONE]")
FORM_FIELD = re.compile(rb'name="([a-z_]+)(?:\[\])?"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)')
RATE_LIMITS = (
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-remaining-requests", "499"),
    ("x-ratelimit-reset-requests", "120ms"),
    ("x-ratelimit-limit-tokens", "30000"),
    ("x-ratelimit-remaining-tokens", "29990"),
    ("openai-organization", "org-canary"),
    ("openai-processing-ms", "42"),
    ("set-cookie", "__cf_bm=canary; path=/"),
    ("server", "cloudflare-canary"),
    ("x-request-id", "req_upstream"),
)
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 6,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
RESPONSE_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 6,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 17,
}


def answer_to(received: Received) -> Answer:
    """The answer of the path that was asked."""
    path = received.target.partition("?")[0]
    if path.endswith("/models"):
        return json_answer({"object": "list", "data": []})
    if "multipart" in (received.header("content-type") or ""):
        form = {name.decode(): value.decode("latin-1") for name, value in FORM_FIELD.findall(received.body)}
        return _images(form, "image_edit") if "/images/" in path else _transcription(form, path)
    body = received.json
    for suffix, make in (
        ("/chat/completions", _chat),
        ("/completions", _completion),
        ("/responses", _response),
        ("/embeddings", _embeddings),
        ("/images/generations", _generation),
        ("/audio/speech", _speech),
        ("/moderations", _moderation),
    ):
        if path.endswith(suffix):
            return make(body)
    if path.endswith("/rerank"):
        return _rerank(body, path)
    return json_answer({"error": {"message": f"Invalid URL ({path})"}}, 404)


def model_name(asked: str) -> str:
    """OpenAI answers with a dated name."""
    return f"{asked}-2026-08-06"


def chat_body(model: str, message: dict[str, Any] | None = None, finish: str = "stop") -> dict[str, Any]:
    """A whole chat completion."""
    said = message or {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-upstream1",
        "object": "chat.completion",
        "created": CREATED,
        "model": model_name(model),
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        "x_vendor_field": {"kept": [1, 2.50, "ü"]},
    }


def chunk(model: str, delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a streamed chat."""
    return {
        "id": "chatcmpl-upstream2",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model_name(model),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        **more,
    }


def chat_events(model: str, *, usage: bool) -> list[bytes]:
    """A streamed chat without its ``[DONE]``."""
    more: dict[str, Any] = {"usage": None} if usage else {}
    chunks = [chunk(model, {"role": "assistant", "content": "", "refusal": None}, **more)]
    chunks += [chunk(model, {"content": word}, **more) for word in WORDS]
    chunks.append(chunk(model, {}, "stop", **more))
    if usage:
        chunks.append(chunk(model, {}) | {"choices": [], "usage": USAGE})
    return [event(one) for one in chunks]


def _wants_usage(body: dict[str, Any]) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _chat(body: dict[str, Any]) -> Answer:
    model = body["model"]
    if body.get("tools"):
        return _tools(body)
    if body.get("stream"):
        return stream_answer(*chat_events(model, usage=_wants_usage(body)), DONE, headers=RATE_LIMITS)
    message = None
    if body.get("response_format", {}).get("type") == "json_schema":
        message = {"role": "assistant", "content": '{"city":"Bern","tracks":12}', "refusal": None}
    return json_answer(chat_body(model, message), headers=RATE_LIMITS)


def _tools(body: dict[str, Any]) -> Answer:
    model, function = body["model"], body["tools"][0]["function"]["name"]
    call = {"id": "call_1", "type": "function", "function": {"name": function, "arguments": '{"city": "Bern"}'}}
    if not body.get("stream"):
        message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
        return json_answer(chat_body(model, message, "tool_calls"))
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": function, "arguments": ""}}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": [first]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"ci', 'ty": "', 'Bern"}')]
    chunks = [chunk(model, delta) for delta in deltas] + [chunk(model, {}, "tool_calls")]
    return stream_answer(*(event(one) for one in chunks), DONE)


def _completion(body: dict[str, Any]) -> Answer:
    def part(text: str, finish: str | None) -> dict[str, Any]:
        return {
            "id": "cmpl-upstream",
            "object": "text_completion",
            "created": CREATED,
            "model": model_name(body["model"]),
            "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}],
        }

    if not body.get("stream"):
        return json_answer(part(TEXT, "stop") | {"usage": USAGE})
    parts = [part(word, None) for word in WORDS] + [part("", "stop")]
    if _wants_usage(body):
        parts.append(part("", None) | {"choices": [], "usage": USAGE})
    return stream_answer(*(event(one) for one in parts), DONE)


def _response_object(model: str, status: str) -> dict[str, Any]:
    is_done = status == "completed"
    text = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": [text]}
    return {
        "id": "resp_upstream",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model_name(model),
        "output": [item] if is_done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": RESPONSE_USAGE if is_done else None,
    }


def _response(body: dict[str, Any]) -> Answer:
    model = body["model"]
    if not body.get("stream"):
        return json_answer(_response_object(model, "completed"))
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    item = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": _response_object(model, "in_progress")}),
        ("response.in_progress", {"response": _response_object(model, "in_progress")}),
        ("response.output_item.added", {"output_index": 0, "item": item}),
        ("response.content_part.added", {**place, "part": part}),
        *(("response.output_text.delta", {**place, "delta": word, "logprobs": []}) for word in WORDS),
        ("response.output_text.done", {**place, "text": TEXT, "logprobs": []}),
        ("response.content_part.done", {**place, "part": part | {"text": TEXT}}),
        ("response.output_item.done", {"output_index": 0, "item": item | {"status": "completed"}}),
        ("response.completed", {"response": _response_object(model, "completed")}),
    ]
    events = [event({"type": kind, "sequence_number": n, **more}, kind) for n, (kind, more) in enumerate(steps)]
    return stream_answer(*events)


def _embeddings(body: dict[str, Any]) -> Answer:
    given = body["input"]
    is_single = isinstance(given, str) or (bool(given) and isinstance(given[0], int))
    vector = VECTOR[: body.get("dimensions", len(VECTOR))]
    value: Any = list(vector)
    if body.get("encoding_format") == "base64":
        value = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    data = [{"object": "embedding", "index": n, "embedding": value} for n in range(1 if is_single else len(given))]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json_answer({"object": "list", "data": data, "model": model_name(body["model"]), "usage": usage})


def _generation(body: dict[str, Any]) -> Answer:
    return _images(body, "image_generation")


def _images(body: dict[str, Any], kind: str) -> Answer:
    picture = base64.b64encode(b"\x89PNG picture").decode()
    usage = {
        "total_tokens": 30,
        "input_tokens": 10,
        "output_tokens": 20,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    }
    if body.get("stream") not in (True, "true"):
        return json_answer({"created": CREATED, "data": [{"b64_json": picture}], "usage": usage})
    shape = {"created_at": CREATED, "size": "1024x1024", "quality": "high", "background": "opaque"}
    shape |= {"output_format": "png", "b64_json": picture}
    partial = {"type": f"{kind}.partial_image", "partial_image_index": 0, **shape}
    final = {"type": f"{kind}.completed", **shape, "usage": usage}
    return stream_answer(*(event(one, str(one["type"])) for one in (partial, final)))


def _transcription(form: dict[str, str], path: str) -> Answer:
    text = "Alle einsteigen" if path.endswith("/transcriptions") else "All aboard"
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18}
    if form.get("stream") == "true":
        deltas = [{"type": "transcript.text.delta", "delta": word} for word in text.split(" ")]
        last = {"type": "transcript.text.done", "text": text, "usage": usage}
        return stream_answer(*(event(one) for one in (*deltas, last)))
    shape = form.get("response_format", "json")
    if shape == "verbose_json":
        more = {"task": "transcribe", "language": "german", "duration": 1.5, "segments": [], "words": []}
        return json_answer({"text": text, **more, "usage": {"type": "duration", "seconds": 2}})
    if shape in ("text", "srt", "vtt"):
        lead = {"text": "", "srt": "1\n00:00:00,000 --> 00:00:01,500\n", "vtt": "WEBVTT\n\n"}[shape]
        kind = "text/plain; charset=utf-8"
        return Answer(200, (("content-type", kind),), (f"{lead}{text}\n".encode(),))
    return json_answer({"text": text, "usage": usage})


def _speech(body: dict[str, Any]) -> Answer:
    if body.get("stream_format") == "sse":
        delta = {"type": "speech.audio.delta", "audio": base64.b64encode(SPEECH[:300]).decode()}
        done = {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}}
        return stream_answer(event(delta), event(done))
    pieces = [SPEECH[at : at + 4096] for at in range(0, len(SPEECH), 4096)]
    return Answer(200, (("content-type", "audio/mpeg"),), pieces, "chunked")


def _moderation(body: dict[str, Any]) -> Answer:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    result = {
        "flagged": True,
        "categories": {"violence": True, "hate": False},
        "category_scores": {"violence": 0.93, "hate": 0.01},
        "category_applied_input_types": {"violence": ["text"], "hate": ["text"]},
    }
    model = model_name(body.get("model", "omni-moderation"))
    return json_answer({"id": "modr-1", "model": model, "results": [result for _ in given]})


def _rerank(body: dict[str, Any], path: str) -> Answer:
    count = len(body["documents"])
    results: list[dict[str, Any]] = [{"index": n, "relevance_score": (n + 1) / (count + 1)} for n in range(count)]
    if path == "/v2/rerank":
        meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
        return json_answer({"id": "rr-1", "results": results[: body.get("top_n", count)], "meta": meta})
    return json_answer({"model": body["model"], "object": "list", "usage": {"total_tokens": 9}, "results": results})
