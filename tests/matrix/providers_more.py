"""The rest of the providers, see :mod:`matrix.providers`, and the table of them all."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from matrix.providers import (
    Provider,
    Wire,
    anthropic_answer,
    anthropic_stream,
    chat_answer,
    chat_stream,
    responses_answer,
    responses_stream,
    sse,
    typed_sse,
)
from matrix.said import (
    FAILURE,
    INPUT,
    LOGPROB,
    OUTPUT,
    PICTURE,
    REFUSAL,
    SEAL,
    SOURCE,
    TEXT,
    THOUGHT,
    TITLE,
    TOKEN,
    Said,
)
from unit.wire import eventstreams

_encode: Final = msgspec.json.Encoder().encode


# Google's generateContent. A call is signed where reasoning is.

_GEMINI_ENDS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


def _gemini_parts(said: Said) -> list[Wire]:
    seal = {"thoughtSignature": SEAL} if said.sealed else {}
    parts: list[Wire] = []
    if said.thinking or said.sealed:
        parts.append({"text": THOUGHT, "thought": True})
    parts += [{"text": half} for half in said.halves]
    if said.picture:
        parts.append({"inlineData": {"mimeType": "image/png", "data": PICTURE}})
    for at, call in enumerate(said.calls):
        function = {"id": call.id, "name": call.name, "args": call.arguments}
        parts.append({"functionCall": function} | (seal if at == 0 else {}))
    return parts


def _gemini_end(said: Said) -> Wire:
    end: Wire = {"finishReason": _GEMINI_ENDS[said.finish]}
    if said.cited:
        support = {"segment": {"startIndex": 0, "endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}
        chunk = {"web": {"uri": SOURCE, "title": TITLE}}
        end["groundingMetadata"] = {"groundingChunks": [chunk], "groundingSupports": [support]}
    if said.logprobs:
        token = {"token": TOKEN, "logProbability": LOGPROB}
        end["logprobsResult"] = {"chosenCandidates": [token], "topCandidates": [{"candidates": [token]}]}
    return end


def _gemini_body(said: Said, candidate: Wire) -> Wire:
    return {
        "candidates": [{"index": 0} | candidate],
        "usageMetadata": {
            "promptTokenCount": INPUT,
            "cachedContentTokenCount": said.cached,
            "candidatesTokenCount": OUTPUT - said.reasoned,
            "thoughtsTokenCount": said.reasoned,
            "totalTokenCount": INPUT + OUTPUT,
        },
        "modelVersion": "up",
        "responseId": "r1",
    }


def _gemini_answer(said: Said) -> Wire | None:
    if said.refusal or said.written or said.finish == "stop_sequence":
        return None
    parts = _gemini_parts(said)
    if said.text is not None:
        parts = [*(part for part in parts if part.get("text") not in said.halves), {"text": TEXT}]
    return _gemini_body(said, {"content": {"role": "model", "parts": parts}, **_gemini_end(said)})


def _gemini_stream(said: Said) -> list[bytes]:
    candidates: list[Wire] = [{"content": {"role": "model", "parts": [part]}} for part in _gemini_parts(said)]
    last = {"content": {"role": "model", "parts": [{"text": ""}]}, **_gemini_end(said)}
    return [sse(_gemini_body(said, candidate)) for candidate in [*candidates, last]]


# Amazon's Converse.

_CONVERSE_ENDS: Final = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "content_filter": "content_filtered",
}


def _converse_blocks(said: Said) -> list[Wire]:
    blocks: list[Wire] = []
    if said.thinking or said.sealed:
        signature = {"signature": SEAL} if said.sealed else {}
        blocks.append({"reasoningContent": {"reasoningText": {"text": THOUGHT, **signature}}})
    text = REFUSAL if said.refusal else said.text
    if text is not None and said.cited:
        citation = {"title": TITLE, "location": {"web": {"url": SOURCE}}}
        blocks.append({"citationsContent": {"content": [{"text": text}], "citations": [citation]}})
    elif text is not None:
        blocks.append({"text": text})
    blocks += [{"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}} for call in said.calls]
    if said.picture:
        blocks.append({"image": {"format": "png", "source": {"bytes": PICTURE}}})
    return blocks


def _converse_end(said: Said) -> Wire:
    reason = "refusal" if said.refusal else "tool_use" if said.calls else _CONVERSE_ENDS[said.finish]
    fields = {"additionalModelResponseFields": {"stop_sequence": "END"}} if said.finish == "stop_sequence" else {}
    return {"stopReason": reason, **fields}


def _converse_usage(said: Said) -> Wire:
    return {
        "inputTokens": INPUT - said.cached - said.written,
        "outputTokens": OUTPUT,
        "totalTokens": INPUT + OUTPUT,
        "cacheReadInputTokens": said.cached,
        "cacheWriteInputTokens": said.written,
    }


def _converse_answer(said: Said) -> Wire | None:
    if said.logprobs or said.reasoned:
        return None
    message = {"role": "assistant", "content": _converse_blocks(said)}
    return {"output": {"message": message}, **_converse_end(said), "usage": _converse_usage(said)}


def _converse_deltas(block: Wire) -> tuple[Wire | None, list[Wire]]:
    """How a block begins, where it says so, and its deltas."""
    if "toolUse" in block:
        call = block["toolUse"]
        text = _encode(call["input"]).decode()
        start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
        return start, [{"toolUse": {"input": piece}} for piece in (text[:5], text[5:])]
    if "reasoningContent" in block:
        shown = block["reasoningContent"]["reasoningText"]
        return None, [{"reasoningContent": {name: value}} for name, value in shown.items()]
    if "image" in block:
        image = block["image"]
        return {"image": {"format": image["format"]}}, [{"image": {"source": image["source"]}}]
    text = block["text"] if "text" in block else block["citationsContent"]["content"][0]["text"]
    half = len(text) // 2
    deltas: list[Wire] = [{"text": text[:half]}, {"text": text[half:]}]
    return None, deltas + [{"citation": each} for each in block.get("citationsContent", {}).get("citations", ())]


def _converse_stream(said: Said) -> list[bytes]:
    messages = [eventstreams.encode("messageStart", {"role": "assistant"})]
    for index, block in enumerate(_converse_blocks(said)):
        start, deltas = _converse_deltas(block)
        place = {"contentBlockIndex": index}
        if start is not None:
            messages.append(eventstreams.encode("contentBlockStart", place | {"start": start}))
        messages += [eventstreams.encode("contentBlockDelta", place | {"delta": delta}) for delta in deltas]
        messages.append(eventstreams.encode("contentBlockStop", place))
    messages.append(eventstreams.encode("messageStop", _converse_end(said)))
    return [*messages, eventstreams.encode("metadata", {"usage": _converse_usage(said)})]


# Cohere's chat.

_COHERE_ENDS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "content_filter": "ERROR_TOXIC"}


def _cohere_usage(said: Said) -> Wire:
    tokens = {"input_tokens": INPUT, "output_tokens": OUTPUT}
    return {"billed_units": tokens, "tokens": tokens, "cached_tokens": said.cached}


def _cohere_citation() -> Wire:
    source = {"type": "document", "id": "doc:0", "document": {"id": "doc:0", "title": TITLE, "url": SOURCE}}
    return {"start": 0, "end": 5, "text": "Hello", "sources": [source], "type": "TEXT_CONTENT"}


def _cohere_calls(said: Said) -> list[Wire]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
        for call in said.calls
    ]


def _cohere_end(said: Said) -> str:
    return (
        "TOOL_CALL" if said.calls else "ERROR_TOXIC" if said.finish == "content_filter" else _COHERE_ENDS[said.finish]
    )


def _cohere_answer(said: Said) -> Wire | None:
    is_known = said.finish != "stop_sequence"
    if said.refusal or said.sealed or said.picture or said.written or said.reasoned or not is_known:
        return None
    message: Wire = {"role": "assistant", "content": []}
    if said.thinking:
        message["content"].append({"type": "thinking", "thinking": THOUGHT})
    if said.text is not None:
        message["content"].append({"type": "text", "text": said.text})
    if said.cited:
        message["citations"] = [_cohere_citation()]
    if said.calls:
        message["tool_calls"] = _cohere_calls(said)
    logprobs = [{"text": TOKEN, "token_ids": [1], "logprobs": [LOGPROB]}] if said.logprobs else None
    answer = {"id": "c1", "message": message, "finish_reason": _cohere_end(said), "usage": _cohere_usage(said)}
    return answer | ({} if logprobs is None else {"logprobs": logprobs})


def _cohere_event(kind: str, index: int, **message: Any) -> Wire:
    return {"type": kind, "index": index} | ({"delta": {"message": message}} if message else {})


def _cohere_stream(said: Said) -> list[bytes]:
    events: list[Wire] = [{"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}}]
    if said.thinking:
        events.append(_cohere_event("content-start", 0, content={"type": "thinking", "thinking": ""}))
        events.append(_cohere_event("content-delta", 0, content={"thinking": THOUGHT}))
        events.append(_cohere_event("content-end", 0))
    if said.text is not None:
        events.append(_cohere_event("content-start", 1, content={"type": "text", "text": ""}))
        deltas = [_cohere_event("content-delta", 1, content={"text": half}) for half in said.halves]
        if said.logprobs:
            deltas[0]["logprobs"] = {"text": TOKEN, "token_ids": [1], "logprobs": [LOGPROB]}
        events += [*deltas, _cohere_event("content-end", 1)]
    if said.cited:
        events.append(_cohere_event("citation-start", 0, citations=_cohere_citation()))
        events.append(_cohere_event("citation-end", 0))
    for at, (call, start) in enumerate(zip(said.calls, _cohere_calls(said), strict=True)):
        start["function"]["arguments"] = ""
        events.append(_cohere_event("tool-call-start", at, tool_calls=start))
        events += [
            _cohere_event("tool-call-delta", at, tool_calls={"function": {"arguments": piece}}) for piece in call.pieces
        ]
        events.append(_cohere_event("tool-call-end", at))
    end = {"finish_reason": _cohere_end(said), "usage": _cohere_usage(said)}
    return [*map(typed_sse, [*events, {"type": "message-end", "delta": end}]), b"data: [DONE]\n\n"]


# Ollama's chat.


def _ollama_end(said: Said) -> Wire:
    reason = "length" if said.finish == "length" else "stop"
    return {"done": True, "done_reason": reason, "prompt_eval_count": INPUT, "eval_count": OUTPUT}


def _ollama_members(said: Said) -> list[Wire]:
    """What is said, in the messages that it comes in."""
    said_so_far: list[Wire] = []
    if said.thinking:
        said_so_far.append({"content": "", "thinking": THOUGHT})
    said_so_far += [{"content": half} for half in said.halves]
    if said.picture:
        said_so_far.append({"content": "", "images": [PICTURE]})
    return said_so_far + [
        {"content": "", "tool_calls": [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}]}
        for call in said.calls
    ]


def _ollama_logprobs(said: Said) -> Wire:
    entry = {"token": TOKEN, "logprob": LOGPROB, "bytes": [72]}
    return {"logprobs": [entry | {"top_logprobs": [entry]}]} if said.logprobs else {}


def _ollama_answer(said: Said) -> Wire | None:
    is_known = said.finish in ("stop", "length")
    if said.refusal or said.sealed or said.cited or said.cached or said.written or said.reasoned or not is_known:
        return None
    message: Wire = {"role": "assistant", "content": said.text or ""}
    if said.thinking:
        message["thinking"] = THOUGHT
    if said.picture:
        message["images"] = [PICTURE]
    if said.calls:
        message["tool_calls"] = [call for each in _ollama_members(said) for call in each.get("tool_calls", ())]
    head = {"model": "up", "created_at": "2025-10-26T17:21:21Z", "message": message}
    return head | _ollama_end(said) | _ollama_logprobs(said)


def _ollama_stream(said: Said) -> list[bytes]:
    head: Wire = {"model": "up", "created_at": "2025-10-26T17:21:21Z"}
    lines = [head | {"message": {"role": "assistant"} | each, "done": False} for each in _ollama_members(said)]
    first_text = next((line for line in lines if line["message"]["content"]), None)
    if first_text is not None:
        first_text |= _ollama_logprobs(said)
    lines.append(head | {"message": {"role": "assistant", "content": ""}} | _ollama_end(said))
    return [_encode(line) + b"\n" for line in lines]


_OVERLOADED: Final = {"type": "error", "error": {"type": "overloaded_error", "message": FAILURE}}
_FAILED: Final = {"type": "error", "code": "server_error", "message": FAILURE, "param": None, "sequence_number": 9}
_GOOGLES: Final = {"error": {"code": 503, "message": FAILURE, "status": "UNAVAILABLE"}}
_OPENAIS: Final = {"error": {"message": FAILURE, "type": "server_error", "code": None, "param": None}}

PROVIDERS: Final[dict[str, Provider]] = {
    "openai": Provider(chat_answer, chat_stream, sse(_OPENAIS)),
    "responses": Provider(responses_answer, responses_stream, typed_sse(_FAILED)),
    "anthropic": Provider(anthropic_answer, anthropic_stream, typed_sse(_OVERLOADED)),
    "gemini": Provider(_gemini_answer, _gemini_stream, sse(_GOOGLES)),
    "converse": Provider(
        _converse_answer,
        _converse_stream,
        eventstreams.encode("exception:internalServerException", {"message": FAILURE}),
    ),
    "cohere": Provider(
        _cohere_answer, _cohere_stream, b"event: error\ndata: " + _encode({"message": FAILURE}) + b"\n\n"
    ),
    "ollama": Provider(_ollama_answer, _ollama_stream, _encode({"error": FAILURE}) + b"\n"),
}
