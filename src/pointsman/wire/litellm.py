"""LiteLLM's calls on the OpenAI wire: what a request's body gives it, and what its errors are to a client.

LiteLLM takes everything by name, its own controls too: whoever sends ``api_base`` would get the operator's key. So of
a body only the fields of its operation are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, Inexpressible, InvalidRequest, UpstreamBroken

_TEXT = frozenset(
    (
        *("max_tokens", "temperature", "top_p", "n", "stream", "stream_options", "stop", "user", "seed", "logprobs"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "top_k", "min_p", "repetition_penalty"),
    )
)
_CHAT = _TEXT | {
    *("messages", "max_completion_tokens", "functions", "function_call", "tools", "tool_choice", "parallel_tool_calls"),
    *("response_format", "top_logprobs", "modalities", "prediction", "audio", "reasoning_effort", "verbosity"),
    *("safety_identifier", "service_tier", "store", "prompt_cache_key", "thinking", "web_search_options"),
}
_COMPLETION = _TEXT | {"prompt", "suffix", "best_of", "echo"}
_EMBEDDING = frozenset({"input", "dimensions", "encoding_format", "user", "input_type"})
_IMAGE = frozenset(
    (
        *("prompt", "n", "quality", "response_format", "size", "style", "user", "seed"),
        *("background", "moderation", "output_format", "output_compression"),
    )
)
FIELDS: Final = _CHAT | _COMPLETION | _EMBEDDING | _IMAGE
"""Body fields of any operation."""
_LEFT_OUT: Final = frozenset({"model", "metadata"})
"""The model is looked at by itself; metadata is for LiteLLM's callbacks, and there are none."""
_MODEL: Final = re.compile(r"(?!.*\.\.)[\w.:/@+ -]+")
"""Providers put it into addresses, and a wildcard has it from the caller."""

_CODES: Final = {
    "ContextWindowExceededError": "context_length_exceeded",
    "ContentPolicyViolationError": "content_policy_violation",
}
_PREFIX: Final = re.compile(r"((litellm\.)?\w+Error: )*(\w+Exception - )?")
_UNSUPPORTED: Final = re.compile(r"parameters: \[([\w', ]*)\]")


class Function(msgspec.Struct, frozen=True):
    """One of LiteLLM's functions, and the body fields that it is given."""

    name: str
    fields: frozenset[str]

    def arguments(self, body: bytes, *, allowed: frozenset[str], drops: bool) -> dict[str, Any]:
        """What a request's body gives it: its fields and those that are ``allowed``; with ``drops`` no others matter.

        :raises Inexpressible: the body has another field
        :raises InvalidRequest: it cannot be read, or its model cannot be named to a provider
        """
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"The body cannot be read: {error}") from error
        model = asked.get("model")
        if not isinstance(model, str) or not _MODEL.fullmatch(model):
            raise InvalidRequest("The model's name cannot be put to this provider", param="model")
        passed = {name: value for name, value in asked.items() if name in self.fields or name in allowed}
        unknown = next((name for name in asked if name not in passed and name not in _LEFT_OUT), None)
        if unknown is not None and not drops:
            raise Inexpressible(f"The provider of this model is not given {unknown[:80]!r}", param=unknown[:80])
        return passed | {"model": model}


FUNCTIONS: Final[Mapping[bytes, Function]] = MappingProxyType(
    {
        b"/chat/completions": Function("acompletion", _CHAT),
        b"/completions": Function("atext_completion", _COMPLETION),
        b"/embeddings": Function("aembedding", _EMBEDDING),
        b"/images/generations": Function("aimage_generation", _IMAGE),
    }
)
"""By the path of the operation."""


class Refusal(msgspec.Struct, frozen=True):
    """An error that a provider has answered with."""

    status: int
    body: bytes
    retry_after: str | None = None


def failure_of(error: Exception) -> GatewayError | Refusal:
    """What an error of LiteLLM's is: the provider's answer where it has a status, else the lack of one."""
    if isinstance(error, GatewayError):
        return error
    # Within a stream, LiteLLM wraps what went wrong.
    cause = getattr(error, "original_exception", None)
    error = cause if isinstance(cause, Exception) else error
    kind, text = type(error).__name__, str(getattr(error, "message", error))
    if kind == "UnsupportedParamsError":
        found = _UNSUPPORTED.search(text)
        return Inexpressible(f"The provider of this model does not take {found[1]}" if found else None)
    status = getattr(error, "status_code", None)
    # What LiteLLM could not make sense of is an APIConnectionError too, with a status of its own making.
    if kind == "APIConnectionError" or not isinstance(status, int) or not 400 <= status <= 599:
        return UpstreamBroken(operator_detail=f"litellm: {kind}: {text}")
    body = error_body(
        _PREFIX.sub("", text, count=1),
        kind=getattr(error, "type", None),
        code=_CODES.get(kind) or getattr(error, "code", None) or str(status),
        param=getattr(error, "param", None),
    )
    return Refusal(status, body, _retry_after(error))


def error_body(message: str, *, code: Any, kind: Any = None, param: Any = None) -> bytes:
    """An error object of OpenAI's."""
    said = {"message": message, "type": kind, "param": param, "code": code}
    return msgspec.json.encode({"error": {name: None if it is None else str(it) for name, it in said.items()}})


def _retry_after(error: Exception) -> str | None:
    answer = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(answer, "headers", None)):
        value = None if headers is None else headers.get("retry-after")
        if isinstance(value, str):
            return value
    return None
