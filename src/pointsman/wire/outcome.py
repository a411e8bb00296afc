"""Whether an answer that has come to its end tells of a failure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.wire.sse import SseRelay

FAILED: Final = frozenset({"failed", "cancelled"})
"""Of a Responses object's ``status``."""


class _Outcome(msgspec.Struct):
    error: Any = None
    object: Any = None
    status: Any = None


def tells_failure(body: bytes, *, is_stream: bool) -> bool:
    """Whether ``body`` holds an error: an error event of a stream, or an error at the top of a JSON object.

    What is neither a stream of events nor a JSON object tells of none.
    """
    if is_stream:
        relay = SseRelay(max_event_bytes=len(body))
        relay.feed(body)
        relay.close()
        return relay.has_error
    try:
        outcome = msgspec.json.decode(body, type=_Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(outcome.error) or (outcome.object == "response" and outcome.status in FAILED)
