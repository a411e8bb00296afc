"""An answer as clients of the Completions API read it."""

from __future__ import annotations

from typing import Any

from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import Answer, Choice, Finish, Refusal, Text
from pointsman.wire.usage import Usage


def write_answer(answer: Answer, terms: ReplyTerms) -> dict[str, Any]:
    """The reply's body."""
    written: dict[str, Any] = {
        "id": answer.id or f"cmpl-{terms.unique}",
        "object": "text_completion",
        "created": terms.created if answer.created is None else answer.created,
        "model": terms.model,
        "choices": [_choice(choice) for choice in answer.choices],
    }
    if "system_fingerprint" in answer.options:
        written["system_fingerprint"] = answer.options["system_fingerprint"]
    if answer.usage is not None:
        written["usage"] = write_usage(answer.usage)
    return written


def write_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object."""
    written = {"cache_write_tokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens or usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens} | written,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def write_finish(finish: Finish) -> str:
    """The reason for the end."""
    if finish == "refusal":
        return "content_filter"
    return finish if finish in ("length", "content_filter") else "stop"


def write_logprobs(entries: list[dict[str, Any]], offset: int = 0) -> dict[str, Any]:
    """Log probabilities of a chat as the four lists that they are here; ``offset``: length of the text before."""
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry.get("token", ""))
    return {
        "tokens": [entry.get("token", "") for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [
            {top.get("token", ""): top.get("logprob") for top in entry.get("top_logprobs") or ()} for entry in entries
        ],
        "text_offset": offsets,
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "text": "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal)),
        "index": choice.index,
        "logprobs": None if choice.logprobs is None else write_logprobs(choice.logprobs),
        "finish_reason": write_finish(choice.finish),
    }
