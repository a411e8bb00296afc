"""``usageMetadata``. The prompt's count has the cached tokens in it, the candidates' count lacks the thoughts."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from pointsman.wire.usage import Usage

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Modality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: _Count = 0


class _Metadata(msgspec.Struct, rename="camel"):
    prompt_token_count: _Count | None = None
    candidates_token_count: _Count | None = None
    thoughts_token_count: _Count | None = None
    tool_use_prompt_token_count: _Count | None = None
    cached_content_token_count: _Count | None = None
    total_token_count: _Count | None = None
    prompt_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


_METADATA: Final = msgspec.json.Decoder(_Metadata)


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """The usage of an answer; ``None`` where there is none, or none that can be read."""
    try:
        wire = _METADATA.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if wire.prompt_token_count is None and wire.total_token_count is None:
        return None
    input_tokens = (wire.prompt_token_count or 0) + (wire.tool_use_prompt_token_count or 0)
    output_tokens = wire.candidates_token_count or 0
    reasoning_tokens = wire.thoughts_token_count or 0
    # Some models' candidates have their thoughts counted in; the total tells.
    if wire.total_token_count != input_tokens + output_tokens:
        output_tokens += reasoning_tokens
    given, made = wire.prompt_tokens_details, wire.candidates_tokens_details
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=wire.total_token_count or input_tokens + output_tokens,
        cached_input_tokens=wire.cached_content_token_count or 0,
        reasoning_tokens=reasoning_tokens,
        audio_input_tokens=_of(given, "AUDIO"),
        audio_output_tokens=_of(made, "AUDIO"),
        image_input_tokens=_of(given, "IMAGE"),
        image_output_tokens=_of(made, "IMAGE"),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """``usageMetadata`` for a client."""
    answer = usage.output_tokens - usage.reasoning_tokens
    metadata: dict[str, Any] = {"promptTokenCount": usage.input_tokens, "candidatesTokenCount": answer}
    if usage.cached_input_tokens:
        metadata["cachedContentTokenCount"] = usage.cached_input_tokens
    if usage.reasoning_tokens:
        metadata["thoughtsTokenCount"] = usage.reasoning_tokens
    metadata["totalTokenCount"] = usage.total_tokens or usage.input_tokens + usage.output_tokens
    for name, total, audio, image in (
        ("promptTokensDetails", usage.input_tokens, usage.audio_input_tokens, usage.image_input_tokens),
        ("candidatesTokensDetails", answer, usage.audio_output_tokens, usage.image_output_tokens),
    ):
        if audio or image:
            metadata[name] = [
                {"modality": modality, "tokenCount": count}
                for modality, count in (("TEXT", total - audio - image), ("AUDIO", audio), ("IMAGE", image))
                if count > 0
            ]
    return metadata


def _of(details: list[_Modality] | None, modality: str) -> int:
    return sum(detail.token_count for detail in details if detail.modality == modality) if details else 0
