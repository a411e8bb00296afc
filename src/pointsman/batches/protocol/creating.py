"""What ``POST /v1/batches`` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.batches.protocol.lines import ENDPOINTS, canonical
from pointsman.errors import InvalidRequest
from pointsman.wire.wishes import WISH_HEADERS, wishes_of

WINDOW: Final = "24h"
WINDOW_SECONDS: Final = 86_400.0
MAX_METADATA: Final = 16
MAX_NAME_CHARS: Final = 64
MAX_VALUE_CHARS: Final = 512
LEAST_EXPIRY, MOST_EXPIRY = 3_600, 2_592_000
CARRIED: Final = WISH_HEADERS | {b"anthropic-beta", b"anthropic-version", b"openai-beta"}
"""Headers of the request for a batch that each of its lines is sent with."""
MAX_SHOWN: Final = 100


class WantedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that somebody wants."""

    input_file_id: str
    endpoint: str
    """As in :data:`ENDPOINTS`."""
    completion_window: str = WINDOW
    metadata: dict[str, str] | None = None
    output_expires_after: dict[str, Any] | None = None
    """``seconds`` from when its files are written; ``None``: as long as such files are kept."""


class _Body(msgspec.Struct):
    input_file_id: Any = None
    endpoint: Any = None
    completion_window: Any = None
    metadata: Any = None
    output_expires_after: Any = None


_BODY: Final = msgspec.json.Decoder(_Body)


def wanted_of(body: bytes) -> WantedBatch:
    """Read the body of a request for a batch.

    :raises InvalidRequest: it is wrong, with the member as ``param``
    """
    try:
        body.decode()
        read = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body must be a JSON object") from None
    input_file_id = _text(read.input_file_id, "input_file_id")
    told = _text(read.endpoint, "endpoint")
    endpoint = canonical(told)
    if endpoint is None:
        raise InvalidRequest(
            f"Batches cannot be made for {told[:MAX_SHOWN]!r}: 'endpoint' is one of {', '.join(ENDPOINTS)}",
            code="invalid_endpoint",
            param="endpoint",
        )
    if _text(read.completion_window, "completion_window") != WINDOW:
        raise InvalidRequest(f"'completion_window' must be '{WINDOW}'", param="completion_window")
    return WantedBatch(
        input_file_id=input_file_id,
        endpoint=endpoint,
        metadata=_metadata(read.metadata),
        output_expires_after=_expiry(read.output_expires_after),
    )


def carried(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """What each line is sent with, out of the ``headers`` of the request for its batch.

    :raises InvalidRequest: no line could be sent with that
    """
    wishes_of(None, headers, None)
    return {name.decode("latin-1"): headers[name].decode("latin-1") for name in sorted(CARRIED & headers.keys())}


def _text(value: Any, name: str) -> str:
    if value is None:
        raise InvalidRequest(f"Missing required parameter: '{name}'", code="missing_required_parameter", param=name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name!r} must be a string that is not empty", code="invalid_type", param=name)
    return value


def _metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if (
        not isinstance(value, dict)
        or len(value) > MAX_METADATA
        or any(not isinstance(one, str) or len(one) > MAX_VALUE_CHARS for one in value.values())
        or any(not 0 < len(name) <= MAX_NAME_CHARS for name in value)
    ):
        raise InvalidRequest(
            f"'metadata' must be at most {MAX_METADATA} strings of at most {MAX_VALUE_CHARS} characters, "
            f"each under a name of at most {MAX_NAME_CHARS}",
            param="metadata",
        )
    return value


def _expiry(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    seconds = value.get("seconds") if isinstance(value, dict) and value.get("anchor") == "created_at" else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not LEAST_EXPIRY <= seconds <= MOST_EXPIRY:
        raise InvalidRequest(
            "'output_expires_after' must be an object with 'anchor': 'created_at' and 'seconds' from "
            f"{LEAST_EXPIRY} to {MOST_EXPIRY}",
            param="output_expires_after",
        )
    return {"anchor": "created_at", "seconds": seconds}
