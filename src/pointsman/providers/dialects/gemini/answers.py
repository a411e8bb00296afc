"""Whole answers: a provider's is read, a client's is written."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini import wire
from pointsman.providers.dialects.gemini.citations import read_citations, write_citations
from pointsman.providers.dialects.gemini.finishes import MALFORMED, read_finish, write_finish
from pointsman.providers.dialects.gemini.logprobs import read_logprobs, write_logprobs
from pointsman.providers.dialects.gemini.parts import (
    arguments_of,
    call_id,
    mark_first_call,
    media_of,
    seal_of,
    write_part,
)
from pointsman.providers.dialects.gemini.seals import NAME
from pointsman.providers.dialects.gemini.usages import read_usage, write_usage
from pointsman.providers.failures import classify_inside
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import Answer, Choice, Part, Text, Thinking, ToolCall

_EXTRAS: Final = (
    ("groundingMetadata", "grounding_metadata"),
    ("citationMetadata", "citation_metadata"),
    ("urlContextMetadata", "url_context_metadata"),
    ("safetyRatings", "safety_ratings"),
)
"""Members of the first candidate that are carried in the answer's ``extras``."""


def read_answer(body: bytes) -> Answer:
    """A provider's answer.

    A prompt that was blocked gives one choice without parts.

    :raises UpstreamBroken: it is no answer
    :raises UpstreamRejected: it is an error with status 200
    """
    response = decode(body)
    usage = read_usage(response.usage_metadata)
    answer = Answer(choices=[], id=response.response_id, model=response.model_version, usage=usage, dialect=NAME)
    if not response.candidates:
        blocked = response.prompt_feedback.block_reason if response.prompt_feedback is not None else None
        if blocked is None:
            raise UpstreamBroken("The provider's answer has no candidates")
        answer.choices.append(Choice(parts=[], finish="content_filter", detail=blocked))
        return answer
    unique = response.response_id or digest(body)
    answer.choices = [_choice(candidate, at, unique) for at, candidate in enumerate(response.candidates)]
    first = response.candidates[0]
    answer.extras = {name: value for name, own in _EXTRAS if (value := getattr(first, own)) is not None}
    return answer


def decode(data: bytes) -> wire.Response:
    """An answer or an event of a stream.

    :raises UpstreamBroken: it is none
    :raises UpstreamRejected: it is an error
    """
    try:
        response = wire.RESPONSE.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _failure(data) from None
    if response.error is not wire.NOTHING and bytes(response.error) != b"null":
        raise _failure(data)
    return response


def digest(data: bytes) -> str:
    """Letters that hardly any other answer has, for one without an id."""
    return hashlib.sha256(data).hexdigest()[:24]


def _failure(data: bytes) -> Exception:
    found = classify_inside(data, secrets=(), address="the provider")
    return found or UpstreamBroken("The provider sent something that is no answer")


def _choice(candidate: wire.Candidate, at: int, unique: str) -> Choice:
    parts = _parts(candidate, unique)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    finish, detail = read_finish(candidate.finish_reason, has_calls=has_calls)
    _annotate(parts, candidate)
    return Choice(
        parts=parts,
        finish=finish,
        index=at if candidate.index is None else candidate.index,
        detail=detail,
        logprobs=read_logprobs(candidate.logprobs_result),
    )


def _parts(candidate: wire.Candidate, unique: str) -> list[Part]:
    parts: list[Part] = []
    n_calls = 0
    for part in (candidate.content.parts if candidate.content is not None else None) or ():
        seal = seal_of(part)
        if part.function_call is not None:
            call = part.function_call
            arguments = arguments_of(call)
            parts.append(ToolCall(id=call_id(call, unique, n_calls), name=call.name, arguments=arguments, seal=seal))
            n_calls += 1
        elif (media := media_of(part)) is not None:
            parts.append(media)
        elif part.thought:
            parts.append(Thinking(part.text or "", seal))
        elif part.text or seal is not None:
            parts.append(Text(part.text or "", seal=seal))
    return parts


def _annotate(parts: list[Part], candidate: wire.Candidate) -> None:
    """Put the sources to the first text. Their places count from its beginning."""
    text = next((part for part in parts if isinstance(part, Text) and part.text), None)
    if text is not None:
        text.annotations = read_citations(candidate.grounding_metadata, candidate.citation_metadata, text.text)


def write_answer(answer: Answer, terms: ReplyTerms) -> dict[str, Any]:
    """The reply's body."""
    reasoning = terms.request.reasoning
    is_thinking_shown = reasoning is not None and reasoning.is_shown is True
    candidates = [_candidate(choice, is_thinking_shown=is_thinking_shown) for choice in answer.choices]
    if answer.dialect == NAME and candidates:
        candidates[0] |= answer.extras
    body: dict[str, Any] = {"candidates": candidates}
    if answer.usage is not None:
        body["usageMetadata"] = write_usage(answer.usage)
    return body | {"modelVersion": terms.model, "responseId": answer.id or terms.unique}


def _candidate(choice: Choice, *, is_thinking_shown: bool) -> dict[str, Any]:
    calls_missing = False
    parts: list[dict[str, Any]] = []
    for part in choice.parts:
        written = write_part(part, is_thinking_shown=is_thinking_shown)
        if written is not None:
            parts.append(written)
        elif isinstance(part, ToolCall):
            calls_missing = True
    mark_first_call(parts)
    if calls_missing and choice.finish != "length":
        choice = Choice(parts=choice.parts, finish=choice.finish, index=choice.index, detail=MALFORMED)
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    candidate |= write_finish(choice) | {"index": choice.index}
    text = next((part for part in choice.parts if isinstance(part, Text) and part.annotations), None)
    grounding = write_citations(text.annotations, text.text) if text is not None else None
    if grounding is not None:
        candidate["groundingMetadata"] = grounding
    if choice.logprobs is not None:
        candidate["logprobsResult"] = write_logprobs(choice.logprobs)
    return candidate


def count_body(n_tokens: int) -> bytes:
    """The reply to countTokens, for clients whose model is not Google's."""
    return msgspec.json.encode({"totalTokens": n_tokens})
