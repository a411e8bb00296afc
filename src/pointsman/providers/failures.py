"""What an upstream's error answer means: one classification for every dialect of JSON error there is.

The caller gets the upstream's status, ``type``, ``code``, ``param`` and message, as OpenAI's SDKs read them,
with these exceptions:

1. a redirect, or a status that is no error status, is a broken upstream (502): redirects are never followed,
   since they would carry the credential elsewhere;
2. 401 and 403 are about the operator's credential, which the caller cannot mend: the status stays, the text
   is ours;
3. 407 speaks of a proxy between us and the upstream (502); 408 is a timeout of the upstream (504);
4. 529, Anthropic's "overloaded", is 503;
5. what is not JSON (a proxy's HTML page) keeps its status and loses its text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.providers.scrub import hide_secrets, scrub

Headers = Sequence[tuple[bytes, bytes]]

_MAX_BODY_BYTES = 1_048_576
_MAX_LABEL = 128
_MAX_RETRY_AFTER = 86_400.0
_MAX_DEPTH = 4

_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}

_CONTEXT_TEXTS = (
    "maximum context length",  # OpenAI, DeepSeek, vLLM, Mistral, OpenRouter
    "context_length_exceeded",
    "context length exceeded",
    "exceeds the context length",  # Ollama
    "exceed context limit",  # Anthropic, with max_tokens
    "prompt is too long",  # Anthropic, Fireworks
    "input is too long for requested model",
    "input token count",  # Gemini
    "input tokens exceeded",  # Nova
    "too many input tokens",  # Titan
    "exceeds the context window",  # OpenAI's on Bedrock
    "maximum prompt length",  # xAI
    "too many tokens",  # Cohere
    "reduce the length of the messages",  # Groq, Cerebras
    "longer than the maximum model length",  # vLLM
    "longer than the model's context length",  # SGLang
    "available context size",  # llama.cpp
    "exceed_context_size_error",
    "exceeded model token limit",  # Moonshot
    "`inputs` tokens + `max_new_tokens` must be",  # Text Generation Inference, Together
    "range of input length should be",  # DashScope
    "prompt exceeds max length",  # Z.ai
)
_POLICY_TEXTS = (
    "content_policy_violation",
    "content management policy",  # Azure
    "rejected as a result of our safety system",  # OpenAI
    "content filtering policy",  # Anthropic
    "content exists risk",  # DeepSeek
    "content violates usage guidelines",  # xAI
    "input was flagged",  # OpenRouter
    "data_inspection_failed",  # DashScope
    "inappropriate content",  # DashScope
    "prohibited_content",  # Gemini
    "considered high risk",  # Moonshot
    "sensitive content",  # Z.ai
)
_UNKNOWN_MODEL_TEXTS = (
    "not found",
    "does not exist",
    "not exist",
    "unknown model",
    "no such model",
    "not supported",
)


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an error object, wherever the vendor put them; ``None`` is absent or without meaning."""

    message: str | None = None
    kind: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    """A numeric code in the range of HTTP statuses, as in Gemini's, vLLM's and OpenRouter's error objects."""
    retry_after: float | None = None


def is_retryable(status: int) -> bool:
    """Whether the same request may succeed when it is sent again, as OpenAI's SDKs see it."""
    return status in (408, 409, 429) or status >= 500


def classify(
    status: int,
    headers: Headers,
    body: bytes,
    *,
    secrets: Iterable[str],
    address: str,
    now: float,
) -> GatewayError:
    """The error a caller is shown for an upstream answer that is not a 2xx.

    ``headers`` have lower-case names. ``secrets`` are the credentials sent and ``address`` the upstream's
    URL: neither appears in the message. ``now`` is Unix time in seconds, for a date in ``Retry-After``.
    """
    known = tuple(secrets)
    complaint = read_complaint(body)
    detail = f"{address} answered {status}"
    if complaint is not None and complaint.message:
        detail += ": " + hide_secrets(complaint.message, secrets=known)
    retry_after = read_retry_after(headers, now=now)
    if retry_after is None and complaint is not None:
        retry_after = complaint.retry_after
    return _error(status, complaint, secrets=known, address=address, detail=detail, retry_after=retry_after)


def classify_inside(body: bytes, *, secrets: Iterable[str], address: str) -> GatewayError | None:
    """The error that a 200 answer or a stream event holds, or ``None`` if it holds none.

    The status is the one in the error object when there is one, else 502.
    """
    if not holds_error(body):
        return None
    known = tuple(secrets)
    complaint = read_complaint(body) or Complaint()
    status = complaint.status if complaint.status is not None and complaint.status >= 400 else 502
    detail = f"{address} answered 200 with an error inside"
    if complaint.message:
        detail += ": " + hide_secrets(complaint.message, secrets=known)
    return _error(status, complaint, secrets=known, address=address, detail=detail, retry_after=complaint.retry_after)


class _ErrorPeek(msgspec.Struct):
    error: Any = None
    object: Any = None


def holds_error(body: bytes) -> bool:
    """Whether a JSON body or event has a truthy ``error`` at its top level, which SDKs raise.

    A Responses object has an ``error`` of its own, which tells how the run ended: that is an answer.
    """
    if b'"error"' not in body:
        return False
    try:
        peek = msgspec.json.decode(body, type=_ErrorPeek)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(peek.error) and peek.object != "response"


def _error(
    status: int,
    complaint: Complaint | None,
    *,
    secrets: tuple[str, ...],
    address: str,
    detail: str,
    retry_after: float | None,
) -> GatewayError:
    if status < 400 or status > 599:
        return UpstreamBroken(
            f"The provider answered with status {status}, which is neither an answer nor an error",
            operator_detail=detail,
        )
    if status == 407:
        return UpstreamBroken("A proxy before the provider refused the request", operator_detail=detail)
    if status == 408:
        return UpstreamTimeout(operator_detail=detail, retry_after=retry_after)
    found = complaint or Complaint()
    status = _plain_status(status, found)
    shown = 503 if status == 529 else status
    code = _label(found.code, secrets, address) or _code_from_text(status, found)
    kind = _label(found.kind, secrets, address) or _kind_for(shown)
    message = scrub(found.message or "", secrets=secrets, address=address)
    if status in (401, 403) and code != "content_policy_violation":
        code, message = "upstream_credential_refused", _credential_text(status)
    return UpstreamRejected(
        message or f"The provider answered with status {status} and no readable message",
        status=shown,
        kind=kind,
        code=code,
        param=_label(found.param, secrets, address),
        is_retryable=is_retryable(status),
        operator_detail=detail,
        retry_after=retry_after,
    )


def _plain_status(status: int, complaint: Complaint) -> int:
    """The status that others have for what some vendors call a bad request."""
    text = (complaint.message or "").lower() if status == 400 else ""
    if "api key not valid" in text:  # Google
        return 401
    return 402 if "credit balance is too low" in text else status  # Anthropic


def _credential_text(status: int) -> str:
    return (
        f"The provider refused the gateway's credential for this model (status {status}). "
        "Your own key is not the cause; the operator has to check the provider's key."
    )


def _kind_for(status: int) -> str:
    return _KINDS.get(status) or ("invalid_request_error" if status < 500 else "upstream_error")


def _code_from_text(status: int, complaint: Complaint) -> str | None:
    """Vendors that give no code say it in words, each in its own."""
    text = f"{complaint.kind or ''} {complaint.message or ''}".lower()
    if status == 429:
        return "rate_limit_exceeded"
    if any(phrase in text for phrase in _POLICY_TEXTS):
        return "content_policy_violation"
    if status in (401, 403):
        return None
    if any(phrase in text for phrase in _CONTEXT_TEXTS):
        return "context_length_exceeded"
    names_model = (complaint.message or "").startswith("model: ")  # Anthropic
    if status == 404 and (names_model or ("model" in text and any(one in text for one in _UNKNOWN_MODEL_TEXTS))):
        return "model_not_found"
    return None


def _label(value: str | None, secrets: tuple[str, ...], address: str) -> str | None:
    """A ``type``, ``code`` or ``param``: short, and as clean as the message."""
    if value is None:
        return None
    return scrub(value[:_MAX_LABEL], secrets=secrets, address=address) or None


def read_retry_after(headers: Headers, *, now: float) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``retry-after`` (seconds or HTTP date); at most a day."""
    values = {name: value for name, value in headers if name in (b"retry-after", b"retry-after-ms")}
    milliseconds = _number(values.get(b"retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    raw = values.get(b"retry-after")
    seconds = _number(raw)
    if seconds is not None:
        return _bounded(seconds)
    if raw is None:
        return None
    try:
        return _bounded(parsedate_to_datetime(raw.decode("latin-1")).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(raw: bytes | None) -> float | None:
    if raw is None:
        return None
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def read_complaint(body: bytes) -> Complaint | None:
    """The error object of a body in any vendor's shape; ``None`` when it is not JSON or says nothing."""
    if not body or len(body) > _MAX_BODY_BYTES:
        return None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _complaint(value, 0)


def _complaint(value: Any, depth: int) -> Complaint | None:
    """The complaint in a value of one of these shapes.

    1. ``"text"``
    2. ``[{"loc": [...], "msg": ...}]``: FastAPI's validation problems, below ``detail``
    3. ``[{...}]``: Gemini wraps its error in a list; also lists of texts under ``errors``
    4. ``{"error": ...}``, ``{"detail": ...}``, ``{"errors": ...}``, ``{"message": {...}}`` (Mistral)
    5. ``{"message": ..., "type": ..., "code": ..., "param": ...}``; some of Amazon's say ``Message``
    """
    if isinstance(value, str) and value.strip():
        return Complaint(message=value)
    if isinstance(value, list) and value and depth < _MAX_DEPTH:
        first = value[0]
        if isinstance(first, dict) and "msg" in first and "loc" in first:
            return _validation_problems(value)
        return _complaint(first, depth + 1)
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return _complaint_of_object(value, depth)
    return None


def _complaint_of_object(value: dict[str, Any], depth: int) -> Complaint | None:
    for name in ("error", "detail", "errors", "message"):
        inner = value.get(name)
        if inner and (isinstance(inner, dict | list) or (name != "message" and isinstance(inner, str))):
            found = _complaint(inner, depth + 1)
            if found is not None:
                return _filled(found, value)
    flat = _flat(value)
    return flat if flat.message or flat.code or flat.status else None


def _filled(inner: Complaint, outer: dict[str, Any]) -> Complaint:
    """What the inner object left out, from beside it: ``{"error": "text", "code": "x"}``."""
    beside = _flat(outer)
    return Complaint(
        message=inner.message or beside.message,
        kind=inner.kind or beside.kind,
        code=inner.code or beside.code,
        param=inner.param or beside.param,
        status=inner.status or beside.status,
        retry_after=inner.retry_after,
    )


def _flat(value: dict[str, Any]) -> Complaint:
    names = ("message", "Message", "msg", "error_description")
    message = next((word for name in names if (word := _word(value.get(name)))), None)
    status, code = _status_or_code(value.get("code"))
    return Complaint(
        message=message,
        kind=_word(value.get("type")),
        code=code,
        param=_word(value.get("param")),
        status=status,
        retry_after=_google_delay(value.get("details")),
    )


def _status_or_code(raw: Any) -> tuple[int | None, str | None]:
    """A code that only repeats an HTTP status, as a number or as LiteLLM's string of one, is no code."""
    if isinstance(raw, bool) or raw is None:
        return None, None
    text = str(raw) if isinstance(raw, int | str) else ""
    if text.isascii() and text.isdigit() and len(text) == 3 and 100 <= int(text) <= 599:
        return int(text), None
    return None, _word(text)


def _word(value: Any) -> str | None:
    """LiteLLM writes an absent value as the text ``None``."""
    return value if isinstance(value, str) and value.strip() and value != "None" else None


def _validation_problems(problems: list[Any]) -> Complaint | None:
    texts: list[str] = []
    param: str | None = None
    for problem in problems[:8]:
        if not isinstance(problem, dict):
            continue
        place = problem.get("loc")
        steps = [str(step) for step in place if step != "body"] if isinstance(place, list) else []
        param = param or (".".join(steps) or None)
        said = _word(problem.get("msg")) or "not valid"
        texts.append(f"{'.'.join(steps)}: {said}" if steps else said)
    return Complaint(message="; ".join(texts), param=param) if texts else None


def _google_delay(details: Any) -> float | None:
    """``google.rpc.RetryInfo`` among the details: ``{"@type": ..., "retryDelay": "34s"}``."""
    if not isinstance(details, list):
        return None
    for detail in details[:16]:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            seconds = _number(delay[:-1].encode())
            return None if seconds is None else _bounded(seconds)
    return None
